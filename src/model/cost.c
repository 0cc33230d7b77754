/* Counting: spec sections 3 and 5, one term for each matrix. */
#include "model/cost.h"

#include <math.h>
#include <string.h>

static wd_dtype most_of(const double bytes[WD_DTYPE_COUNT])
{
    int best = 0;
    for (int i = 1; i < WD_DTYPE_COUNT; i++)
        if (bytes[i] > bytes[best])
            best = i;
    return (wd_dtype)best;
}

void wd_cost_weigh(const wd_model_config *c, const wd_weights *w, wd_cost_weights *out)
{
    wd_cost_weights s = { 0 };
    double head = 0, embd = 0, layer_of[WD_DTYPE_COUNT] = { 0 }, vision_of[WD_DTYPE_COUNT] = { 0 };
    for (size_t i = 0; i < wd_weights_count(w); i++) {
        const char *name;
        wd_tensor t;
        wd_weights_at(w, i, &name, NULL, NULL, &t, NULL);
        const double bytes = (double)wd_tensor_bytes(&t);
        if (!strncmp(name, "visual.", 7)) {
            s.vision += bytes;
            vision_of[t.dtype] += bytes;
        } else if (!strncmp(name, "embed_tokens.", 13)) {
            embd += bytes;
        } else if (!strncmp(name, "lm_head.", 8)) {
            head += bytes;
        } else {
            *(strstr(name, ".mlp.experts.") ? &s.experts : &s.layers) += bytes;
            layer_of[t.dtype] += bytes;
        }
    }
    s.head = c->text.tied ? embd : head;
    s.embd_row = embd / c->text.n_vocab;
    s.layer_dtype = most_of(layer_of);
    s.vision_dtype = most_of(vision_of);
    *out = s;
}

/* Operations of x [n][n_in] times a matrix [n_in][n_out]. */
static double product(double n, double n_in, double n_out)
{
    return 2 * n * n_in * n_out;
}

/* The feed-forward half of layer l for one token. */
static double mlp_ops(const wd_text_config *t, uint32_t l)
{
    if (!t->sparse[l])
        return 3 * product(1, t->n_embd, t->n_ff);
    return product(1, t->n_embd, t->n_expert) + t->n_expert_used * 3 * product(1, t->n_embd, t->n_ff_expert);
}

/* Keys that the last m of n new tokens see together, each all before it and itself. */
static double keys_seen(double n, double past, double m)
{
    return m * (past + n - m) + m * (m + 1) / 2;
}

void wd_cost_add_step(const wd_model_config *c, const wd_cost_weights *w, size_t n_new, size_t past,
                      size_t n_out, bool logits, double kv_bytes, wd_cost *io)
{
    const wd_text_config *t = &c->text;
    const double n = (double)n_new, q = (double)t->n_head * t->head_dim,
                 kv = (double)t->n_kv_head * t->head_dim;
    for (uint32_t l = 0; l < t->n_layer; l++) {
        /* The last layer: keys and values of all, the rest only for who is read out. */
        const double m = l + 1 < t->n_layer ? n : (double)n_out;
        io->linear_ops += product(n, t->n_embd, 2 * kv);
        io->linear_ops += product(m, t->n_embd, q) + product(m, q, t->n_embd) + m * mlp_ops(t, l);
        io->attn_ops += 4 * keys_seen(n, (double)past, m) * q;
    }
    if (logits)
        io->linear_ops += product((double)n_out, t->n_embd, t->n_vocab);

    io->weight_bytes += w->layers + n * w->embd_row + (logits && n_out ? w->head : 0);
    if (t->n_expert)
        io->weight_bytes += w->experts * (1 - pow(1 - (double)t->n_expert_used / t->n_expert, n));
    io->kv_bytes += kv_bytes * (n + (double)past);
}

void wd_cost_add_batch(const wd_model_config *c, const wd_cost_weights *w, size_t n_seq, size_t past,
                       double kv_bytes, wd_cost *io)
{
    /* As a step of n_seq tokens, but none sees another. */
    wd_cost together = { 0 }, one = { 0 };
    wd_cost_add_step(c, w, n_seq, 0, n_seq, true, 0, &together);
    wd_cost_add_step(c, w, 1, past, 1, true, kv_bytes, &one);
    io->linear_ops += together.linear_ops;
    io->weight_bytes += together.weight_bytes;
    io->attn_ops += (double)n_seq * one.attn_ops;
    io->kv_bytes += (double)n_seq * one.kv_bytes;
}

void wd_cost_add_see(const wd_model_config *c, const wd_cost_weights *w, const uint32_t (*grid)[3],
                     size_t n_grid, wd_cost *io)
{
    const wd_vision_config *v = &c->vision;
    const double unit = (double)v->merge_size * v->merge_size, wide = unit * v->n_embd, embd = v->n_embd;
    const double in = 3.0 * v->temporal_patch_size * v->patch_size * v->patch_size;
    for (size_t i = 0; i < n_grid; i++) {
        const double seg = (double)grid[i][1] * grid[i][2], n = grid[i][0] * seg;
        io->linear_ops += product(n, in, embd);
        io->linear_ops += v->depth * (product(n, embd, 4 * embd) + 2 * product(n, embd, v->n_ff));
        io->linear_ops += (1.0 + v->n_deepstack) *
                          (product(n / unit, wide, wide) + product(n / unit, wide, v->n_out));
        io->attn_ops += v->depth * 4 * n * seg * embd;
    }
    io->weight_bytes += w->vision;
}
