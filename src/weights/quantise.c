/* Quantising a checkpoint: which tensors, in which form, stripe by stripe over the pool. */
#include "weights/quantise.h"

#include <stdio.h>
#include <string.h>

#include "tensor/quant.h"

#define DEFAULT_GROUP_W8 32
#define DEFAULT_GROUP_W4 32

enum { STRIPE = WD_QUANT_STRIPE };

typedef struct job {
    wd_tensor from; /* [n_out][n_in], or [n_in][n_out] when in_out */
    bool in_out;
    wd_quant to;
    float *rows;         /* [n_worker][STRIPE][n_in] */
    wd_err *errs;        /* [n_worker] */
    wd_status *statuses; /* [n_worker] */
} job;

/* n elements from the flattened index i, every step-th, as f32; block scales are applied by the caller. */
static void to_f32(const wd_tensor *t, size_t i, size_t step, size_t n, float *y)
{
    const uint8_t *p = (const uint8_t *)t->data + i * wd_dtype_bytes(t->dtype);
    uint16_t half;
    switch (t->dtype) {
    case WD_DTYPE_F32:
        for (size_t k = 0; k < n; k++)
            memcpy(&y[k], p + 4 * k * step, sizeof *y);
        return;
    case WD_DTYPE_F16:
        for (size_t k = 0; k < n; k++) {
            memcpy(&half, p + 2 * k * step, sizeof half);
            y[k] = wd_f16_to_f32(half);
        }
        return;
    case WD_DTYPE_BF16:
        for (size_t k = 0; k < n; k++) {
            memcpy(&half, p + 2 * k * step, sizeof half);
            const uint32_t bits = (uint32_t)half << 16;
            memcpy(&y[k], &bits, sizeof bits);
        }
        return;
    default: /* F8_E4M3, whose scales tensor.c knows */
        for (size_t k = 0; k < n; k++)
            y[k] = wd_tensor_get(t, i + k * step);
    }
}

static void quantise_part(void *arg, unsigned worker, unsigned n_worker)
{
    const job *j = arg;
    const size_t n_in = j->to.n_in, n_out = j->to.n_out;
    float *rows = j->rows + worker * STRIPE * n_in;
    size_t first, last;
    wd_pool_share(n_out, STRIPE, worker, n_worker, &first, &last);
    for (size_t o = first; o < last && !j->statuses[worker]; o += STRIPE) {
        if (j->in_out) { /* outputs side by side: a stripe of them at a time */
            float line[STRIPE];
            for (size_t k = 0; k < n_in; k++) {
                to_f32(&j->from, k * n_out + o, 1, STRIPE, line);
                for (size_t r = 0; r < STRIPE; r++)
                    rows[r * n_in + k] = line[r];
            }
        } else {
            to_f32(&j->from, o * n_in, 1, STRIPE * n_in, rows);
        }
        for (size_t r = 0; r < STRIPE && !j->statuses[worker]; r++)
            j->statuses[worker] = wd_quant_row(&j->to, o + r, rows + r * n_in, &j->errs[worker]);
    }
}

typedef struct plan {
    wd_dtype type; /* COUNT: leave it */
    uint32_t group;
    size_t n_expert, n_out, n_in; /* n_expert 0: two dimensions */
    bool in_out;
} plan;

static bool is_float(wd_dtype t)
{
    return t == WD_DTYPE_F32 || t == WD_DTYPE_F16 || t == WD_DTYPE_BF16 || t == WD_DTYPE_F8_E4M3;
}

static bool is_head(const wd_model_config *c, const wd_weights *w, const char *name)
{
    const bool own = !c->text.tied && wd_weights_find(w, "lm_head.weight", NULL);
    return !strcmp(name, own ? "lm_head.weight" : "embed_tokens.weight");
}

static bool is_projection(const char *name)
{
    const wd_span s = wd_span_str(name);
    return wd_span_starts(s, "layers.") && (strstr(name, ".self_attn.") || strstr(name, ".mlp.")) &&
           (wd_span_ends(s, "_proj.weight") || wd_span_ends(s, ".gate_up_proj") ||
            wd_span_ends(s, ".down_proj"));
}

static uint32_t group_for(const wd_quantise_opts *o, size_t n_in)
{
    uint32_t group = o->group ? o->group : o->type == WD_DTYPE_W4 ? DEFAULT_GROUP_W4 : DEFAULT_GROUP_W8;
    while (group > 32 && n_in % group)
        group /= 2;
    return group;
}

/* Experts in one tensor lie either way round; where that cannot be told, as published (model/qwen3/fetch.c). */
static bool lies_in_out(const wd_model_config *c, const char *name, const wd_tensor *t)
{
    const bool down = wd_span_ends(wd_span_str(name), ".down_proj");
    const size_t n_out = down ? c->text.n_embd : 2 * (size_t)c->text.n_ff_expert;
    const size_t n_in = down ? c->text.n_ff_expert : c->text.n_embd;
    return !(n_in != n_out && t->dim[1] == n_out && t->dim[2] == n_in);
}

static plan plan_for(const wd_weights *w, const wd_model_config *c, const wd_quantise_opts *o,
                     const char *name, const wd_tensor *t, bool *misfit)
{
    plan p = { .type = WD_DTYPE_COUNT };
    *misfit = false;
    const bool head = is_head(c, w, name);
    if ((!head && !is_projection(name)) || t->n_dim < 2 || t->n_dim > 3)
        return p;
    p.in_out = t->n_dim == 3 && lies_in_out(c, name, t);
    p.n_expert = t->n_dim == 3 ? t->dim[0] : 0;
    p.n_out = t->dim[t->n_dim - (p.in_out ? 1 : 2)];
    p.n_in = t->dim[t->n_dim - (p.in_out ? 2 : 1)];
    p.group = group_for(o, p.n_in);
    *misfit = p.n_in % p.group || p.n_out % STRIPE || p.n_in == 0 || p.n_out == 0 || wd_tensor_count(t) == 0;
    if (!*misfit)
        p.type = head ? WD_DTYPE_W8 : o->type;
    return p;
}

/* One matrix, on all workers. */
static wd_status quantise_matrix(job *j, const wd_quantise_opts *o, const char *name, wd_err *err)
{
    const unsigned n_worker = wd_pool_size(o->pool);
    memset(j->statuses, 0, n_worker * sizeof *j->statuses);
    wd_pool_run(o->pool, quantise_part, j);
    for (unsigned i = 0; i < n_worker; i++)
        if (j->statuses[i])
            return WD_FAIL(err, j->statuses[i], "tensor %s: %s", name, j->errs[i].text);
    return WD_OK;
}

static wd_status quantise_tensor(wd_weights *w, const char *name, const wd_tensor *from, const plan *p,
                                 const wd_quantise_opts *o, wd_quantised *sum, wd_err *err)
{
    const unsigned n_worker = wd_pool_size(o->pool);
    const size_t n = WD_MAX(p->n_expert, (size_t)1);
    const wd_quant_sizes s = wd_quant_size(p->type, p->n_out, p->n_in, p->group);
    wd_status st = WD_OK;
    job j = { .in_out = p->in_out };
    uint8_t *block = wd_alloc_aligned(n, s.data + s.scale + s.zero);
    j.rows = wd_alloc_aligned((size_t)n_worker * STRIPE * p->n_in, sizeof(float));
    j.errs = WD_ALLOC_N(wd_err, n_worker);
    j.statuses = WD_ALLOC_N(wd_status, n_worker);
    if (!block || !j.rows || !j.errs || !j.statuses)
        st = WD_FAIL(err, WD_E_NOMEM, "tensor %s: no memory to quantise it", name);
    for (size_t e = 0; e < n && !st; e++) {
        j.from = p->n_expert ? wd_tensor_at(from, e) : *from;
        j.to = (wd_quant){ .dtype = p->type,
                           .n_out = p->n_out,
                           .n_in = p->n_in,
                           .group = p->group,
                           .data = block + e * s.data,
                           .scale = (wd_f16 *)(void *)(block + n * s.data + e * s.scale),
                           .zero = block + n * (s.data + s.scale) + e * s.zero };
        st = quantise_matrix(&j, o, name, err);
    }
    if (st == WD_OK) {
        wd_tensor t = { .data = block,
                        .dtype = p->type,
                        .n_dim = p->n_expert ? 3 : 2,
                        .scale = block + n * s.data,
                        .scale_dtype = WD_DTYPE_F16,
                        .zero = p->type == WD_DTYPE_W4 ? block + n * (s.data + s.scale) : NULL,
                        .group = p->group };
        memcpy(t.dim,
               p->n_expert ? (size_t[]){ p->n_expert, p->n_out, p->n_in }
                           : (size_t[]){ p->n_out, p->n_in, 0 },
               3 * sizeof t.dim[0]);
        sum->n_matrix += n;
        sum->n_weight += (uint64_t)n * p->n_out * p->n_in;
        sum->before += (uint64_t)wd_tensor_bytes(from);
        sum->after += (uint64_t)n * (s.data + s.scale + s.zero);
        st = wd_weights_replace(w, name, &t, block, err);
    }
    if (st)
        wd_free(block);
    wd_free(j.rows);
    wd_free(j.errs);
    wd_free(j.statuses);
    return st;
}

/* How much there is to do, and whether it can be done. */
static wd_status count_work(const wd_weights *w, const wd_model_config *c, const wd_quantise_opts *o,
                            uint64_t *total, wd_quantised *sum, wd_err *err)
{
    for (size_t i = 0; i < wd_weights_count(w); i++) {
        const char *name;
        wd_tensor t;
        bool misfit;
        wd_weights_at(w, i, &name, NULL, NULL, &t, NULL);
        const plan p = plan_for(w, c, o, name, &t, &misfit);
        if (wd_quant_is(t.dtype))
            return WD_FAIL(err, WD_E_UNSUPPORTED,
                           "tensor %s is in %s already: quantise the checkpoint it was made of", name,
                           wd_dtype_name(t.dtype));
        sum->n_left += misfit;
        if (p.type != WD_DTYPE_COUNT && is_float(t.dtype))
            *total += (uint64_t)wd_tensor_count(&t);
    }
    return WD_OK;
}

wd_status wd_weights_quantise(wd_weights *w, const wd_model_config *c, const wd_quantise_opts *o,
                              wd_quantised *out, wd_err *err)
{
    wd_quantised sum = { 0 };
    uint64_t total = 0;
    if (!wd_quant_is(o->type) || (o->group && !wd_quant_group_is_good(o->group)))
        return WD_FAIL(err, WD_E_USAGE, "quantising: expected W8 or W4 in groups of 32, 64 or 128");
    WD_TRY(count_work(w, c, o, &total, &sum, err));
    for (size_t i = 0; i < wd_weights_count(w); i++) {
        const char *name;
        wd_tensor t;
        bool misfit;
        wd_weights_at(w, i, &name, NULL, NULL, &t, NULL);
        const plan p = plan_for(w, c, o, name, &t, &misfit);
        if (p.type == WD_DTYPE_COUNT || !is_float(t.dtype))
            continue;
        if (o->cancel && atomic_load(o->cancel))
            return WD_FAIL(err, WD_E_CANCELLED, "quantising was cancelled");
        WD_TRY(wd_weights_get(w, name, t.dim, t.n_dim, &t, err)); /* with the scales of FP8 */
        WD_TRY(quantise_tensor(w, name, &t, &p, o, &sum, err));
        if (o->progress)
            o->progress(o->progress_self, sum.n_weight, total);
    }
    if (out)
        *out = sum;
    return WD_OK;
}
