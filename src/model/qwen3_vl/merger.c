/* From patches to visual tokens: merge^2 neighbouring rows become one of the decoder's width (spec sections 5.6, 5.7).
 * Rows are in merge order, so a block of [4][n_embd] already lies in memory as the [1][4 * n_embd] it becomes. */
#include "model/pass.h"

/* Fixed in the reference's code, not in the configuration. */
#define EPS 1e-6f

void wd_merger__run(wd_model *m, const wd_merger *g, bool norm_after_grouping, const float *x, size_t n_group,
                    float *norm, float *hidden, float *out)
{
    const wd_vision_config *c = &m->cfg.vision;
    const size_t unit = (size_t)c->merge_size * c->merge_size, wide = unit * c->n_embd;
    const size_t n_norm = norm_after_grouping ? n_group : n_group * unit;
    const size_t dim = norm_after_grouping ? wide : c->n_embd;
    m->ops->layernorm(m->ops->self, norm, x, &g->norm.w, &g->norm.b, n_norm, dim, EPS);
    wd_linear__apply(m, &g->fc1, hidden, norm, NULL, n_group, wide, wide, WD_ACT_GELU_ERF);
    wd_linear__apply(m, &g->fc2, out, hidden, NULL, n_group, wide, c->n_out, WD_ACT_NONE);
}
