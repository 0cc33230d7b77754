/* The parts of a forward pass, as the files of src/model call each other. */
#ifndef WD_MODEL_PASS_H
#define WD_MODEL_PASS_H

#include "model/params.h"

/* The rows of one sequence in a step. */
typedef struct wd_pass_seq {
    wd_kv *kv;
    uint32_t first, n, past; /* row in the step, rows, tokens in the cache before them */
} wd_pass_seq;

/* One call of the decoder. */
typedef struct wd_pass {
    wd_model *m;
    wd_work *w;
    const wd_trace *trace;
    const wd_pass_seq *seq; /* [n_seq], rows ascending without gaps */
    size_t n_seq;
    const wd_kv_opts *kv_opts; /* of every sequence */
    size_t n_new;              /* tokens */
    size_t n; /* rows of the residual stream: the new tokens, or in the last layer only the wanted ones */
    const uint32_t *row; /* [n] which new tokens these rows are; NULL: all in order */
} wd_pass;

/* y [n][n_out] = x Wt + b (+ residual [n][n_out], may be y), and the adapters' shares. */
void wd_proj__apply(wd_model *m, const wd_proj *p, float *y, const float *x, const float *residual, size_t n,
                    size_t n_in, size_t n_out);
/* Several projections of the same x [n][n_in], read in one loop of the threads. */
#define WD_PROJ_TOGETHER 3
typedef struct wd_proj_to {
    const wd_proj *proj;
    float *y; /* [n][n_out] */
    size_t n_out;
} wd_proj_to;
void wd_proj__apply_each(wd_model *m, const wd_proj_to *to, size_t n_to, const float *x, size_t n,
                         size_t n_in);
/* What an operator's linear gave with p->lin and no activation becomes what p gives. */
void wd_proj__add_adapters(wd_model *m, const wd_proj *p, const wd_linear_args *done);
void wd_linear__apply(wd_model *m, const wd_linear *lin, float *y, const float *x, const float *residual,
                      size_t n, size_t n_in, size_t n_out, wd_act act);
/* Outputs first .. first + n - 1 of a linear map that is not stored the other way round, nor in FP8 blocks. */
wd_linear wd_linear__rows(const wd_linear *lin, size_t first, size_t n);

/* The halves of a layer over the residual stream x = w->x. Attention in two steps: norm(x) and with it the keys and
 * values of all new tokens into the cache, and the queries of all in w->q where `queries`; then x += attention, for the rows
 * that p says, whose queries it makes itself when p->row has left some out. */
void wd_attention__store(const wd_pass *p, uint32_t l, bool queries);
void wd_attention__add(const wd_pass *p, uint32_t l);
/* x += mlp(norm(x)) */
void wd_mlp__add(const wd_pass *p, uint32_t l);
void wd_moe__add(const wd_pass *p, uint32_t l);

/* Softmax over each row of probs [n][n_expert] in place, then its k largest: ids (ties: lowest) in top_i, weights in
 * top_p, scaled to sum 1 when asked. */
void wd_moe__route(float *probs, size_t n, uint32_t n_expert, uint32_t k, bool renormalise, uint32_t *top_i,
                   float *top_p);
/* order [n * k]: places in top_i grouped by expert, rows ascending in a group; start [n_expert + 1]. */
void wd_moe__group(const uint32_t *top_i, size_t n, uint32_t n_expert, uint32_t k, uint32_t *order,
                   uint32_t *start);

/* n_group merge blocks, 4 rows of x [n_embd] each, to out [n_group][n_out] (spec sections 5.6, 5.7). norm and hidden are
 * scratch of as many floats as the rows of x. */
void wd_merger__run(wd_model *m, const wd_merger *g, bool norm_after_grouping, const float *x, size_t n_group,
                    float *norm, float *hidden, float *out);
/* Row and column of patch i of a grid that is w patches wide, in merge order (spec section 5.1). */
void wd_tower__place(uint32_t w, uint32_t merge, size_t i, uint32_t *row, uint32_t *col);
/* out [n][n_embd]: interpolated position embeddings of patches first .. first + n - 1 of an h x w grid (5.3). corner is
 * scratch [4][n_embd]. */
void wd_tower__positions(wd_model *m, uint32_t h, uint32_t w, size_t first, size_t n, float *corner,
                         float *out);

static inline void wd_trace__rows(const wd_trace *t, const char *stage, size_t n_row, size_t n_col,
                                  const float *data)
{
    if (t)
        t->fn(t->self, stage, n_row, n_col, data);
}
/* fmt has one %u for i. */
void wd_trace__at(const wd_trace *t, const char *fmt, uint32_t i, size_t n_row, size_t n_col,
                  const float *data);

#endif
