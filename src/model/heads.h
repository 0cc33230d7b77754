/* What is read off the last hidden state: token logits, an embedding, a relevance score. */
#ifndef WD_MODEL_HEADS_H
#define WD_MODEL_HEADS_H

#include "model/model.h"

/* logits [n][n_vocab] of hidden [n][n_embd] after the final norm. */
void wd_model_logits(wd_model *m, const float *hidden, size_t n, float *logits);

/* The embedding of a sequence from the final-norm hidden state of its last token: the first dim values,
 * scaled to length 1 (MRL, spec section 9.1). out may be hidden. 1 <= dim <= n_embd.
 *   WD_E_INVALID   dim out of range, or a hidden state without a direction (all zero, or not finite) */
WD_MUST_CHECK wd_status wd_embedding(const float *hidden, size_t n_embd, size_t dim, float *out, wd_err *err);

/* The reranker: reads the two head rows once. */
typedef struct wd_rerank wd_rerank;
/* WD_E_INVALID when an id is outside the vocabulary. */
WD_MUST_CHECK wd_status wd_rerank_create(wd_model *m, uint32_t yes_id, uint32_t no_id, wd_rerank **out,
                                         wd_err *err);
void wd_rerank_destroy(wd_rerank *r); /* accepts NULL */
/* sigmoid(hidden . (W[yes] - W[no])) for the final-norm hidden state of the last token: 0 .. 1. */
double wd_rerank_score(const wd_rerank *r, const float *hidden);

#endif
