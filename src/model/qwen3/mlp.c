/* The dense feed-forward half of a layer (spec section 3.5). */
#include "model/pass.h"

void wd_mlp__add(const wd_pass *p, uint32_t l)
{
    wd_model *m = p->m;
    const wd_text_config *c = &m->cfg.text;
    const wd_layer *y = &m->text.layer[l];
    const wd_ops *ops = m->ops;
    wd_work *w = p->w;
    const wd_proj_to to[] = { { &y->mlp.gate, w->gate, c->n_ff }, { &y->mlp.up, w->up, c->n_ff } };

    ops->rmsnorm(ops->self, w->norm, w->x, &y->mlp_norm.w, p->n, c->n_embd, c->rms_eps);
    wd_proj__apply_each(m, to, 2, w->norm, p->n, c->n_embd);
    ops->silu_mul(ops->self, w->gate, w->gate, w->up, p->n, c->n_ff, c->n_ff);
    wd_proj__apply(m, &y->mlp.down, w->x, w->gate, w->x, p->n, c->n_ff, c->n_embd);
}
