/* The CPU backend: threads and scratch around the kernels. Row-wise operators are here, the large ones
 * beside. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/cpu/cpu.h"
#include "tensor/quant.h"

/* Elements below which waking the team costs more than it saves. */
#define WORK_MIN 16384

void wd_cpu__run(wd_cpu *c, size_t work, wd_pool_fn fn, void *arg)
{
    wd_pool_run(work < WORK_MIN ? NULL : c->pool, fn, arg);
}

void wd_cpu__deal(wd_cpu *c, size_t work, size_t n, size_t grain, size_t most, wd_pool_piece_fn fn, void *arg)
{
    wd_pool_deal(work < WORK_MIN ? NULL : c->pool, n, grain, most, fn, arg);
}

void wd_cpu__to_f32(const wd_cpu *c, float *y, const wd_tensor *t, size_t i, size_t n)
{
    const uint8_t *p = (const uint8_t *)t->data + i * wd_dtype_bytes(t->dtype);
    switch (t->dtype) {
    case WD_DTYPE_F32:
        memcpy(y, p, n * sizeof *y);
        return;
    case WD_DTYPE_F16:
        c->k.f16_to_f32(y, p, n);
        return;
    case WD_DTYPE_BF16:
        c->k.bf16_to_f32(y, p, n);
        return;
    case WD_DTYPE_F8_E4M3:
        assert(!t->scale);
        c->k.f8_to_f32(y, p, 1, n);
        return;
    default:
        assert(!"a floating dtype");
    }
}

void wd_cpu__f8_row(const wd_cpu *c, float *y, const wd_tensor *t, size_t r, size_t col, size_t n)
{
    enum { BLOCK = 128 };
    const size_t n_col = t->dim[1], scales_per_row = (n_col + BLOCK - 1) / BLOCK;
    const wd_tensor scale = { .data = t->scale,
                              .dtype = t->scale_dtype,
                              .n_dim = 1,
                              .dim = { (t->dim[0] + BLOCK - 1) / BLOCK * scales_per_row } };
    const wd_f8 *row = (const wd_f8 *)t->data + r * n_col;
    for (size_t end = col + n; col < end;) {
        const size_t block = col / BLOCK, step = WD_MIN((block + 1) * BLOCK, end) - col;
        const float factor = t->scale ? wd_tensor_get(&scale, r / BLOCK * scales_per_row + block) : 1;
        c->k.f8_to_f32(y, row + col, factor, step);
        y += step;
        col += step;
    }
}

/* ---- rows
 * --------------------------------------------------------------------------------------------------- */

typedef struct rows_job {
    wd_cpu *c;
    float *y;
    const float *x, *x2, *w, *b;
    const wd_tensor *table;
    const uint32_t *ids; /* of the table, or of the rows that add_rows adds to */
    size_t n, dim, stride, n_head;
    float value; /* eps, or the factor of add_scaled */
} rows_job;

static void embed_part(void *arg, unsigned worker, unsigned n_worker)
{
    const rows_job *j = arg;
    size_t first, last;
    wd_pool_share(j->n, 1, worker, n_worker, &first, &last);
    for (size_t i = first; i < last; i++) {
        float *y = j->y + i * j->dim;
        assert(j->ids[i] < j->table->dim[0]);
        if (j->table->dtype == WD_DTYPE_F8_E4M3)
            wd_cpu__f8_row(j->c, y, j->table, j->ids[i], 0, j->dim);
        else if (wd_quant_is(j->table->dtype))
            wd_quant_get(j->table, j->ids[i], 0, j->dim, y);
        else
            wd_cpu__to_f32(j->c, y, j->table, j->ids[i] * j->dim, j->dim);
    }
}

static void embed(void *self, float *y, const wd_tensor *table, const uint32_t *ids, size_t n)
{
    assert(table->n_dim == 2);
    rows_job j = { .c = self, .y = y, .table = table, .ids = ids, .n = n, .dim = table->dim[1] };
    wd_cpu__run(self, n * j.dim, embed_part, &j);
}

/* A norm's weight as f32: in place when it is stored so, else converted to `to`. */
static const float *vec_f32(const wd_cpu *c, const wd_tensor *t, size_t dim, float *to)
{
    assert(wd_tensor_count(t) == dim);
    if (t->dtype == WD_DTYPE_F32 && (uintptr_t)t->data % sizeof(float) == 0)
        return t->data;
    assert(dim <= WD_CPU_VEC_MAX);
    wd_cpu__to_f32(c, to, t, 0, dim);
    return to;
}

static void rmsnorm_part(void *arg, unsigned worker, unsigned n_worker)
{
    const rows_job *j = arg;
    size_t first, last;
    wd_pool_share(j->n, 1, worker, n_worker, &first, &last);
    j->c->k.rmsnorm(j->y + first * j->dim, j->x + first * j->dim, j->w, last - first, j->dim, j->value);
}

static void rmsnorm(void *self, float *y, const float *x, const wd_tensor *w, size_t n, size_t dim, float eps)
{
    wd_cpu *c = self;
    rows_job j = {
        .c = c, .y = y, .x = x, .w = vec_f32(c, w, dim, c->vec_w), .n = n, .dim = dim, .value = eps
    };
    wd_cpu__run(c, n * dim, rmsnorm_part, &j);
}

static void layernorm_part(void *arg, unsigned worker, unsigned n_worker)
{
    const rows_job *j = arg;
    size_t first, last;
    wd_pool_share(j->n, 1, worker, n_worker, &first, &last);
    j->c->k.layernorm(j->y + first * j->dim, j->x + first * j->dim, j->w, j->b, last - first, j->dim,
                      j->value);
}

static void layernorm(void *self, float *y, const float *x, const wd_tensor *w, const wd_tensor *b, size_t n,
                      size_t dim, float eps)
{
    wd_cpu *c = self;
    rows_job j = { .c = c, .y = y, .x = x, .n = n, .dim = dim, .value = eps };
    j.w = vec_f32(c, w, dim, c->vec_w);
    j.b = vec_f32(c, b, dim, c->vec_b);
    wd_cpu__run(c, n * dim, layernorm_part, &j);
}

static void rope_part(void *arg, unsigned worker, unsigned n_worker)
{
    const rows_job *j = arg;
    const size_t half = j->dim / 2;
    size_t first, last;
    wd_pool_share(j->n, 1, worker, n_worker, &first, &last);
    for (size_t i = first; i < last; i++)
        j->c->k.rope(j->y + i * j->stride, j->w + i * half, j->b + i * half, j->n_head, j->dim);
}

static void rope(void *self, float *x, const float *cosine, const float *sine, size_t n, size_t stride,
                 size_t n_head, size_t head_dim)
{
    assert(head_dim % 2 == 0 && stride >= n_head * head_dim);
    rows_job j = {
        .c = self, .y = x, .w = cosine, .b = sine, .n = n, .stride = stride, .n_head = n_head, .dim = head_dim
    };
    wd_cpu__run(self, n * n_head * head_dim, rope_part, &j);
}

static void silu_mul_part(void *arg, unsigned worker, unsigned n_worker)
{
    const rows_job *j = arg;
    size_t first, last;
    wd_pool_share(j->n, 1, worker, n_worker, &first, &last);
    for (size_t i = first; i < last; i++)
        j->c->k.silu_mul(j->y + i * j->dim, j->x + i * j->stride, j->x2 + i * j->stride, j->dim);
}

static void silu_mul(void *self, float *y, const float *gate, const float *up, size_t n, size_t dim,
                     size_t stride)
{
    /* Packing in place writes rows over gates that another worker would still have to read: one worker, in
     * order. */
    const bool packs = y == gate && stride != dim;
    rows_job j = { .c = self, .y = y, .x = gate, .x2 = up, .n = n, .dim = dim, .stride = stride };
    wd_cpu__run(self, packs ? 0 : n * dim * 4, silu_mul_part, &j);
}

static void add_scaled_part(void *arg, unsigned worker, unsigned n_worker)
{
    const rows_job *j = arg;
    size_t first, last;
    wd_pool_share(j->n, 64, worker, n_worker, &first, &last);
    j->c->k.add_scaled(j->y + first, j->x + first, j->value, last - first);
}

static void add_scaled(void *self, float *y, const float *x, float a, size_t count)
{
    rows_job j = { .c = self, .y = y, .x = x, .n = count, .value = a };
    wd_cpu__run(self, count, add_scaled_part, &j);
}

/* Columns are shared out, so that a row's sums are in order whoever has them. */
static void add_rows_part(void *arg, unsigned worker, unsigned n_worker)
{
    const rows_job *j = arg;
    size_t first, last;
    wd_pool_share(j->dim, 64, worker, n_worker, &first, &last);
    for (size_t i = 0; first < last && i < j->n; i++)
        j->c->k.add_scaled(j->y + j->ids[i] * j->dim + first, j->x + i * j->dim + first, j->w[i],
                           last - first);
}

static void add_rows(void *self, float *y, const uint32_t *to, const float *x, const float *a, size_t n,
                     size_t dim)
{
    rows_job j = { .c = self, .y = y, .x = x, .w = a, .ids = to, .n = n, .dim = dim };
    wd_cpu__run(self, n * dim, add_rows_part, &j);
}

/* ---- life
 * --------------------------------------------------------------------------------------------------- */

static void destroy(void *self)
{
    wd_cpu *c = self;
    wd_free(c->x);
    wd_free(c->vec_w);
    wd_free(c->vec_b);
    wd_free(c->scratch);
    wd_free(c);
}

wd_status wd_cpu_ops_create(const wd_cpu_opts *o, wd_ops **out, wd_err *err)
{
    *out = NULL;
    const uint32_t missing = o->isa & ~wd_isa_detect();
    if (missing)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "instruction sets 0x%x are not available here (%s is)", missing,
                       wd_isa_name(wd_isa_detect()));
    wd_cpu *c = WD_ALLOC(wd_cpu);
    if (!c)
        return WD_FAIL(err, WD_E_NOMEM, "no memory for the CPU backend");
    wd_kern_init(&c->k, o->isa);
    c->pool = o->pool;
    c->exact = o->precision == WD_PRECISION_EXACT;
    c->bf16_x = o->precision == WD_PRECISION_FAST && (o->isa & (WD_ISA_AVX512_BF16 | WD_ISA_AMX));
    c->x = wd_alloc_aligned(WD_CPU_X_BYTES, 1); /* untouched pages cost nothing */
    c->vec_w = wd_alloc_aligned(WD_CPU_VEC_MAX, sizeof(float));
    c->vec_b = wd_alloc_aligned(WD_CPU_VEC_MAX, sizeof(float));
    c->scratch = wd_alloc_aligned(wd_pool_size(o->pool), sizeof *c->scratch);
    if (!c->x || !c->vec_w || !c->vec_b || !c->scratch) {
        destroy(c);
        return WD_FAIL(err, WD_E_NOMEM, "no memory for the scratch space of %u threads",
                       wd_pool_size(o->pool));
    }
    snprintf(c->name, sizeof c->name, "cpu/%s", wd_isa_name(o->isa));
    c->ops = (wd_ops){ .self = c,
                       .name = c->name,
                       .linear = wd_cpu__linear,
                       .embed = embed,
                       .rmsnorm = rmsnorm,
                       .layernorm = layernorm,
                       .rope = rope,
                       .silu_mul = silu_mul,
                       .add_scaled = add_scaled,
                       .add_rows = add_rows,
                       .kv_store = wd_cpu__kv_store,
                       .attn_paged = wd_cpu__attn_paged,
                       .attn_full = wd_cpu__attn_full,
                       .destroy = destroy };
    *out = &c->ops;
    return WD_OK;
}

void wd_ops_destroy(wd_ops *ops)
{
    if (ops)
        ops->destroy(ops->self);
}
