/* Attention with normalised queries and keys, grouped queries and a paged cache (spec section 3.3). */
#include <math.h>

#include "model/pass.h"

void wd_attention__store(const wd_pass *p, uint32_t l, bool queries)
{
    wd_model *m = p->m;
    const wd_text_config *c = &m->cfg.text;
    const wd_layer *y = &m->text.layer[l];
    const wd_ops *ops = m->ops;
    wd_work *w = p->w;
    const wd_trace *t = l == 0 ? p->trace : NULL;
    const size_t n = p->n_new, n_kv = (size_t)c->n_kv_head * c->head_dim;
    const wd_proj_to to[] = { { &y->k, w->k, n_kv },
                              { &y->v, w->v, n_kv },
                              { &y->q, w->q, (size_t)c->n_head * c->head_dim } };

    ops->rmsnorm(ops->self, w->norm, w->x, &y->attn_norm.w, n, c->n_embd, c->rms_eps);
    wd_proj__apply_each(m, to, queries ? 3 : 2, w->norm, n, c->n_embd);
    ops->rmsnorm(ops->self, w->k, w->k, &y->k_norm.w, n * c->n_kv_head, c->head_dim, c->rms_eps);
    wd_trace__rows(t, "l0_k_norm", n, n_kv, w->k);
    ops->rope(ops->self, w->k, w->cos, w->sin, n, n_kv, c->n_kv_head, c->head_dim);
    wd_trace__rows(t, "l0_k_rope", n, n_kv, w->k);
    wd_trace__rows(t, "l0_v", n, n_kv, w->v);
    for (const wd_pass_seq *s = p->seq; s < p->seq + p->n_seq; s++)
        ops->kv_store(ops->self, wd_kv_layer(s->kv, l), w->k + s->first * n_kv, w->v + s->first * n_kv, s->n,
                      s->past, c->n_kv_head, c->head_dim, p->kv_opts->page_len, p->kv_opts->dtype);
}

/* Queries i .. i + n - 1, which are neighbours in sequence s from its new token `at` on. */
static void attend(const wd_pass *p, const wd_pass_seq *s, uint32_t l, size_t i, size_t n, size_t at)
{
    const wd_text_config *c = &p->m->cfg.text;
    const wd_ops *ops = p->m->ops;
    const size_t n_q = (size_t)c->n_head * c->head_dim;
    ops->attn_paged(ops->self, &(wd_attn_paged){
                                   .q = p->w->q + i * n_q,
                                   .out = p->w->attn + i * n_q,
                                   .n = n,
                                   .n_head = c->n_head,
                                   .n_kv_head = c->n_kv_head,
                                   .head_dim = c->head_dim,
                                   .page = wd_kv_layer(s->kv, l),
                                   .page_len = p->kv_opts->page_len,
                                   .kv_dtype = p->kv_opts->dtype,
                                   .pos = s->past + at,
                                   .scale = 1.0f / sqrtf((float)c->head_dim),
                               });
}

static size_t row_at(const wd_pass *p, size_t i)
{
    return p->row ? p->row[i] : i;
}

void wd_attention__add(const wd_pass *p, uint32_t l)
{
    wd_model *m = p->m;
    const wd_text_config *c = &m->cfg.text;
    const wd_layer *y = &m->text.layer[l];
    const wd_ops *ops = m->ops;
    wd_work *w = p->w;
    const wd_trace *t = l == 0 ? p->trace : NULL;
    const size_t n = p->n, n_q = (size_t)c->n_head * c->head_dim;

    if (p->row)
        wd_proj__apply(m, &y->q, w->q, w->norm, NULL, n, c->n_embd, n_q);
    ops->rmsnorm(ops->self, w->q, w->q, &y->q_norm.w, n * c->n_head, c->head_dim, c->rms_eps);
    wd_trace__rows(t, "l0_q_norm", n, n_q, w->q);
    ops->rope(ops->self, w->q, w->cos, w->sin, n, n_q, c->n_head, c->head_dim);
    wd_trace__rows(t, "l0_q_rope", n, n_q, w->q);
    const wd_pass_seq *s = p->seq;
    for (size_t i = 0, run; i < n; i += run) {
        const size_t row = row_at(p, i);
        while (row >= (size_t)s->first + s->n)
            s++;
        run = 1;
        while (i + run < n && row_at(p, i + run) == row + run && row + run < (size_t)s->first + s->n)
            run++;
        attend(p, s, l, i, run, row - s->first);
    }
    wd_trace__rows(t, "l0_attn_out", n, n_q, w->attn);
    wd_proj__apply(m, &y->o, w->x, w->attn, w->x, n, n_q, c->n_embd);
}
