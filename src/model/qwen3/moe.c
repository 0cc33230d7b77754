/* The sparse feed-forward half of a layer (spec section 3.6): a router picks k experts for each row, and the rows
 * of one expert are computed together, those of several experts in one loop of the threads.
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

/* Experts [first, last) and their rows, one expert's behind the other's. */
typedef struct some_experts {
    const wd_pass *p;
    const wd_moe *moe;
    uint32_t first, last;
} some_experts;

/* Where expert e's rows begin among theirs, and how many they are. */
static size_t rows_before(const some_experts *s, uint32_t e)
{
    return s->p->w->start[e] - s->p->w->start[s->first];
}

static size_t rows_of(const some_experts *s, uint32_t e)
{
    return s->p->w->start[e + 1] - s->p->w->start[e];
}

/* ex_ff [n][2 * n_ff] = gates and values beside each other, of the rows that the order names */
static void gate_and_up(const some_experts *s)
{
    wd_model *m = s->p->m;
    wd_work *w = s->p->w;
    const size_t n_ff = m->cfg.text.n_ff_expert;
    size_t n = 0;
    for (uint32_t e = s->first; e < s->last; e++) {
        const wd_expert *x = &s->moe->expert[e];
        wd_linear_args a = { .y = w->ex_ff + rows_before(s, e) * 2 * n_ff,
                             .x = w->norm,
                             .row = w->order + w->start[e],
                             .n = rows_of(s, e),
                             .x_stride = m->cfg.text.n_embd,
                             .y_stride = 2 * n_ff,
                             .lin = s->moe->fused ? &x->gate_up : &x->mlp.gate.lin };
        if (a.n == 0)
            continue;
        w->ex_map[n++] = a;
        if (s->moe->fused)
            continue;
        a.y += n_ff;
        a.lin = &x->mlp.up.lin;
        w->ex_map[n++] = a;
    }
    m->ops->linear(m->ops->self, w->ex_map, n);
    n = 0;
    for (uint32_t e = s->first; !s->moe->fused && e < s->last; e++) {
        if (rows_of(s, e) == 0)
            continue;
        wd_proj__add_adapters(m, &s->moe->expert[e].mlp.gate, &w->ex_map[n++]);
        wd_proj__add_adapters(m, &s->moe->expert[e].mlp.up, &w->ex_map[n++]);
    }
}

/* ex_out [n][n_embd] of ex_act [n][n_ff] */
static void down(const some_experts *s)
{
    wd_model *m = s->p->m;
    wd_work *w = s->p->w;
    const size_t n_embd = m->cfg.text.n_embd, n_ff = m->cfg.text.n_ff_expert;
    size_t n = 0;
    for (uint32_t e = s->first; e < s->last; e++) {
        const size_t at = rows_before(s, e);
        if (rows_of(s, e))
            w->ex_map[n++] = (wd_linear_args){ .y = w->ex_out + at * n_embd,
                                               .x = w->ex_act + at * n_ff,
                                               .n = rows_of(s, e),
                                               .x_stride = n_ff,
                                               .y_stride = n_embd,
                                               .lin = &s->moe->expert[e].mlp.down.lin };
    }
    m->ops->linear(m->ops->self, w->ex_map, n);
    n = 0;
    for (uint32_t e = s->first; e < s->last; e++)
        if (rows_of(s, e))
            wd_proj__add_adapters(m, &s->moe->expert[e].mlp.down, &w->ex_map[n++]);
}

/* x += what they give, each row's experts in ascending order */
static void add_experts(const some_experts *s)
{
    const wd_pass *p = s->p;
    const wd_ops *ops = p->m->ops;
    wd_work *w = p->w;
    const uint32_t at = w->start[s->first];
    const size_t n = w->start[s->last] - at, n_ff = p->m->cfg.text.n_ff_expert;
    if (n == 0)
        return;
    gate_and_up(s);
    ops->silu_mul(ops->self, w->ex_act, w->ex_ff, w->ex_ff + n_ff, n, n_ff, 2 * n_ff);
    down(s);
    ops->add_rows(ops->self, w->x, w->order + at, w->ex_out, w->ex_weight + at, n, p->m->cfg.text.n_embd);
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

    for (size_t i = 0; i < p->n * k; i++) {
        w->ex_weight[i] = w->top_p[w->order[i]];
        w->order[i] /= k;
    }
    /* As many experts at a time as have room for their rows: one has n at most. */
    for (some_experts s = { p, &y->moe, 0, 0 }; s.first < c->n_expert; s.first = s.last) {
        for (s.last = s.first + 1;
             s.last < c->n_expert && w->start[s.last + 1] - w->start[s.first] <= m->max_rows;)
            s.last++;
        add_experts(&s);
    }
}
