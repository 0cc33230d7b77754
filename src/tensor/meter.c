/* Passing on, with a clock beside it. */
#include "tensor/meter.h"

#include "base/clock.h"
#include "base/mem.h"

struct wd_meter {
    wd_ops ops;
    wd_ops *inner;
    wd_meter_total total;
};

static void note(wd_meter_sum *s, double start, double ops)
{
    s->n_call++;
    s->seconds += wd_clock_s() - start;
    s->ops += ops;
}

static void linear(void *self, const wd_linear_args *a, size_t n_a)
{
    wd_meter *m = self;
    const double start = wd_clock_s();
    double ops = 0;
    for (size_t i = 0; i < n_a; i++)
        ops += 2 * (double)a[i].n * (double)a[i].lin->w.dim[0] * (double)a[i].lin->w.dim[1];
    m->inner->linear(m->inner->self, a, n_a);
    note(&m->total.linear, start, ops);
}

static void attn_paged(void *self, const wd_attn_paged *a)
{
    wd_meter *m = self;
    const double start = wd_clock_s(), n = (double)a->n;
    const double seen = n * (double)a->pos + n * (n + 1) / 2; /* keys, over all rows */
    m->inner->attn_paged(m->inner->self, a);
    note(&m->total.attn, start, 4 * seen * (double)(a->n_head * a->head_dim));
}

static void attn_full(void *self, const wd_attn_full *a)
{
    wd_meter *m = self;
    const double start = wd_clock_s();
    double seen = 0;
    for (size_t i = 0; i < a->n_seg; i++)
        seen += (double)(a->seg[i + 1] - a->seg[i]) * (double)(a->seg[i + 1] - a->seg[i]);
    m->inner->attn_full(m->inner->self, a);
    note(&m->total.attn, start, 4 * seen * (double)(a->n_head * a->head_dim));
}

static void add_rows(void *self, float *y, const uint32_t *to, const float *x, const float *a, size_t n,
                     size_t dim)
{
    wd_meter *m = self;
    const double start = wd_clock_s();
    m->inner->add_rows(m->inner->self, y, to, x, a, n, dim);
    note(&m->total.rest, start, 0);
}

static void kv_store(void *self, void *const *page, const float *k, const float *v, size_t n, size_t pos,
                     size_t n_kv_head, size_t head_dim, size_t page_len, wd_dtype kv_dtype)
{
    wd_meter *m = self;
    const double start = wd_clock_s();
    m->inner->kv_store(m->inner->self, page, k, v, n, pos, n_kv_head, head_dim, page_len, kv_dtype);
    note(&m->total.attn, start, 0);
}

static void embed(void *self, float *y, const wd_tensor *table, const uint32_t *ids, size_t n)
{
    wd_meter *m = self;
    const double start = wd_clock_s();
    m->inner->embed(m->inner->self, y, table, ids, n);
    note(&m->total.rest, start, 0);
}

static void rmsnorm(void *self, float *y, const float *x, const wd_tensor *w, size_t n, size_t dim, float eps)
{
    wd_meter *m = self;
    const double start = wd_clock_s();
    m->inner->rmsnorm(m->inner->self, y, x, w, n, dim, eps);
    note(&m->total.rest, start, 0);
}

static void layernorm(void *self, float *y, const float *x, const wd_tensor *w, const wd_tensor *b, size_t n,
                      size_t dim, float eps)
{
    wd_meter *m = self;
    const double start = wd_clock_s();
    m->inner->layernorm(m->inner->self, y, x, w, b, n, dim, eps);
    note(&m->total.rest, start, 0);
}

static void rope(void *self, float *x, const float *cos, const float *sin, size_t n, size_t stride,
                 size_t n_head, size_t head_dim)
{
    wd_meter *m = self;
    const double start = wd_clock_s();
    m->inner->rope(m->inner->self, x, cos, sin, n, stride, n_head, head_dim);
    note(&m->total.rest, start, 0);
}

static void silu_mul(void *self, float *y, const float *gate, const float *up, size_t n, size_t dim,
                     size_t stride)
{
    wd_meter *m = self;
    const double start = wd_clock_s();
    m->inner->silu_mul(m->inner->self, y, gate, up, n, dim, stride);
    note(&m->total.rest, start, 0);
}

static void add_scaled(void *self, float *y, const float *x, float a, size_t count)
{
    wd_meter *m = self;
    const double start = wd_clock_s();
    m->inner->add_scaled(m->inner->self, y, x, a, count);
    note(&m->total.rest, start, 0);
}

static void destroy_nothing(void *self)
{
    (void)self; /* the meter is its creator's */
}

/* An operator that is not passed on would be a NULL call: this stops the build when the table grows. */
_Static_assert(sizeof(wd_ops) == 14 * sizeof(void *), "a new operator in ops.h: pass it on here");

wd_status wd_meter_create(wd_ops *inner, wd_meter **out, wd_err *err)
{
    *out = NULL;
    wd_meter *m = WD_ALLOC(wd_meter);
    if (!m)
        return WD_FAIL(err, WD_E_NOMEM, "no memory for measuring");
    m->inner = inner;
    m->ops = (wd_ops){ .self = m,
                       .name = inner->name,
                       .linear = linear,
                       .embed = embed,
                       .rmsnorm = rmsnorm,
                       .layernorm = layernorm,
                       .rope = rope,
                       .silu_mul = silu_mul,
                       .add_scaled = add_scaled,
                       .add_rows = add_rows,
                       .kv_store = kv_store,
                       .attn_paged = attn_paged,
                       .attn_full = attn_full,
                       .destroy = destroy_nothing };
    *out = m;
    return WD_OK;
}

void wd_meter_destroy(wd_meter *m)
{
    wd_free(m);
}

wd_ops *wd_meter_ops(wd_meter *m)
{
    return &m->ops;
}

wd_meter_total wd_meter_take(wd_meter *m)
{
    const wd_meter_total t = m->total;
    m->total = (wd_meter_total){ 0 };
    return t;
}
