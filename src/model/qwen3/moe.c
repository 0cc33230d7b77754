/* The sparse feed-forward half of a layer (spec section 3.6): a router picks k experts for each row, and the rows
 * of one expert are computed together.
 *
 * A row's sum runs over its experts in ascending order of their ids, whatever the other rows chose, so its bits are its
 * own. Only experts that some row chose are read. */
#include <math.h>
#include <string.h>

#include "model/pass.h"

static void softmax(float *p, uint32_t n)
{
    float max = p[0], sum = 0;
    for (uint32_t i = 1; i < n; i++)
        max = WD_MAX(max, p[i]);
    for (uint32_t i = 0; i < n; i++) {
        p[i] = expf(p[i] - max);
        sum += p[i];
    }
    for (uint32_t i = 0; i < n; i++)
        p[i] /= sum;
}

/* Insertion into a sorted list of k; a later equal value stays behind, so ties go to the lowest id. */
static void top_k(const float *p, uint32_t n, uint32_t k, uint32_t *ids, float *top)
{
    for (uint32_t i = 0; i < n; i++) {
        if (i >= k && !(p[i] > top[k - 1]))
            continue;
        uint32_t at = i < k ? i : k - 1;
        for (; at > 0 && p[i] > top[at - 1]; at--) {
            top[at] = top[at - 1];
            ids[at] = ids[at - 1];
        }
        top[at] = p[i];
        ids[at] = i;
    }
}

void wd_moe__route(float *probs, size_t n, uint32_t n_expert, uint32_t k, bool renormalise, uint32_t *top_i,
                   float *top_p)
{
    for (size_t r = 0; r < n; r++) {
        float *p = probs + r * n_expert, *weights = top_p + r * k, sum = 0;
        softmax(p, n_expert);
        top_k(p, n_expert, k, top_i + r * k, weights);
        for (uint32_t j = 0; j < k; j++)
            sum += weights[j];
        for (uint32_t j = 0; renormalise && j < k; j++)
            weights[j] /= sum;
    }
}

void wd_moe__group(const uint32_t *top_i, size_t n, uint32_t n_expert, uint32_t k, uint32_t *order,
                   uint32_t *start)
{
    memset(start, 0, (n_expert + 1) * sizeof *start);
    for (size_t i = 0; i < n * k; i++)
        start[top_i[i] + 1]++;
    for (uint32_t e = 0; e < n_expert; e++)
        start[e + 1] += start[e];
    for (size_t i = 0; i < n * k; i++)
        order[start[top_i[i]]++] = (uint32_t)i;
    for (uint32_t e = n_expert; e > 0; e--) /* each start has moved on to the next one's: move them back */
        start[e] = start[e - 1];
    start[0] = 0;
}

/* ex_out [n][n_embd] = expert(x [n][n_embd]) */
static void run_expert(const wd_pass *p, const wd_expert *x, bool fused, const float *in, size_t n)
{
    wd_model *m = p->m;
    const wd_ops *ops = m->ops;
    wd_work *w = p->w;
    const size_t n_embd = m->cfg.text.n_embd, n_ff = m->cfg.text.n_ff_expert;
    if (fused) {
        wd_linear__apply(m, &x->gate_up, w->ex_ff, in, NULL, n, n_embd, 2 * n_ff, WD_ACT_NONE);
        ops->silu_mul(ops->self, w->ex_act, w->ex_ff, w->ex_ff + n_ff, n, n_ff, 2 * n_ff);
    } else {
        float *gate = w->ex_ff, *up = w->ex_ff + n * n_ff;
        wd_proj__apply_each(m, (wd_proj_to[]){ { &x->mlp.gate, gate, n_ff }, { &x->mlp.up, up, n_ff } }, 2,
                            in, n, n_embd);
        ops->silu_mul(ops->self, w->ex_act, gate, up, n, n_ff, n_ff);
    }
    wd_proj__apply(m, &x->mlp.down, w->ex_out, w->ex_act, NULL, n, n_ff, n_embd);
}

/* Ids travel as floats, in the place of the probabilities, which nobody needs any more. */
static void trace_route(const wd_pass *p, uint32_t l)
{
    const uint32_t k = p->m->cfg.text.n_expert_used;
    wd_work *w = p->w;
    if (!p->trace)
        return;
    wd_trace__at(p->trace, "router_probs_%u", l, p->n, p->m->cfg.text.n_expert, w->probs);
    wd_trace__at(p->trace, "router_weights_%u", l, p->n, k, w->top_p);
    for (size_t i = 0; i < p->n * k; i++)
        w->probs[i] = (float)w->top_i[i];
    wd_trace__at(p->trace, "router_ids_%u", l, p->n, k, w->probs);
}

void wd_moe__add(const wd_pass *p, uint32_t l)
{
    wd_model *m = p->m;
    const wd_text_config *c = &m->cfg.text;
    const wd_layer *y = &m->text.layer[l];
    const wd_ops *ops = m->ops;
    wd_work *w = p->w;
    const size_t n_embd = c->n_embd;
    const uint32_t k = c->n_expert_used;
    const bool renormalise = c->norm_topk_prob ||
                             m->cfg.arch == WD_ARCH_QWEN3_VL_MOE; /* the latter always does */

    ops->rmsnorm(ops->self, w->norm, w->x, &y->mlp_norm.w, p->n, n_embd, c->rms_eps);
    wd_linear__apply(m, &y->moe.router, w->probs, w->norm, NULL, p->n, n_embd, c->n_expert, WD_ACT_NONE);
    wd_moe__route(w->probs, p->n, c->n_expert, k, renormalise, w->top_i, w->top_p);
    trace_route(p, l);
    wd_moe__group(w->top_i, p->n, c->n_expert, k, w->order, w->start);

    for (uint32_t e = 0; e < c->n_expert; e++) {
        const uint32_t *place = w->order + w->start[e];
        const size_t n = w->start[e + 1] - w->start[e];
        const float *in = w->ex_in;
        if (n == 0)
            continue;
        if (n == 1)
            in = w->norm + place[0] / k * n_embd;
        for (size_t i = 0; n > 1 && i < n; i++)
            memcpy(w->ex_in + i * n_embd, w->norm + place[i] / k * n_embd, n_embd * sizeof(float));
        run_expert(p, &y->moe.expert[e], y->moe.fused, in, n);
        for (size_t i = 0; i < n; i++)
            ops->add_scaled(ops->self, w->x + place[i] / k * n_embd, w->ex_out + i * n_embd,
                            w->top_p[place[i]], n_embd);
    }
}
