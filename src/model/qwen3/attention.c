/* Attention with normalised queries and keys, grouped queries and a paged cache (spec section 3.3). */
#include <math.h>

#include "model/pass.h"

void wd_attention__store(const wd_pass *p, uint32_t l)
{
    wd_model *m = p->m;
    const wd_text_config *c = &m->cfg.text;
    const wd_layer *y = &m->text.layer[l];
    const wd_ops *ops = m->ops;
    wd_work *w = p->w;
    const wd_trace *t = l == 0 ? p->trace : NULL;
    const size_t n = p->n_new, n_kv = (size_t)c->n_kv_head * c->head_dim;

    ops->rmsnorm(ops->self, w->norm, w->x, &y->attn_norm.w, n, c->n_embd, c->rms_eps);
    wd_proj__apply(m, &y->k, w->k, w->norm, NULL, n, c->n_embd, n_kv);
    wd_proj__apply(m, &y->v, w->v, w->norm, NULL, n, c->n_embd, n_kv);
    ops->rmsnorm(ops->self, w->k, w->k, &y->k_norm.w, n * c->n_kv_head, c->head_dim, c->rms_eps);
    wd_trace__rows(t, "l0_k_norm", n, n_kv, w->k);
    ops->rope(ops->self, w->k, w->cos, w->sin, n, n_kv, c->n_kv_head, c->head_dim);
    wd_trace__rows(t, "l0_k_rope", n, n_kv, w->k);
    wd_trace__rows(t, "l0_v", n, n_kv, w->v);
    ops->kv_store(ops->self, wd_kv_layer(p->kv, l), w->k, w->v, n, p->past, c->n_kv_head, c->head_dim,
                  p->kv_opts->page_len, p->kv_opts->dtype);
}

/* Queries i .. i + n - 1, which are neighbours in the sequence from index pos on. */
static void attend(const wd_pass *p, uint32_t l, size_t i, size_t n, size_t pos)
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
                                   .page = wd_kv_layer(p->kv, l),
                                   .page_len = p->kv_opts->page_len,
                                   .kv_dtype = p->kv_opts->dtype,
                                   .pos = pos,
                                   .scale = 1.0f / sqrtf((float)c->head_dim),
                               });
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

    wd_proj__apply(m, &y->q, w->q, w->norm, NULL, n, c->n_embd, n_q);
    ops->rmsnorm(ops->self, w->q, w->q, &y->q_norm.w, n * c->n_head, c->head_dim, c->rms_eps);
    wd_trace__rows(t, "l0_q_norm", n, n_q, w->q);
    ops->rope(ops->self, w->q, w->cos, w->sin, n, n_q, c->n_head, c->head_dim);
    wd_trace__rows(t, "l0_q_rope", n, n_q, w->q);
    if (!p->row)
        attend(p, l, 0, n, p->past);
    for (size_t i = 0; p->row && i < n; i++)
        attend(p, l, i, 1, p->past + p->row[i]);
    wd_trace__rows(t, "l0_attn_out", n, n_q, w->attn);
    wd_proj__apply(m, &y->o, w->x, w->attn, w->x, n, n_q, c->n_embd);
}
