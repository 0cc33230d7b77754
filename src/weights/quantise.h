/* Weights in 8 or 4 bits: made from a checkpoint in memory, and written as a checkpoint of their own (docs/quantised.md).
 *
 * Quantised are the matrices of the decoder: the projections of attention, of MLPs and of experts, and the head, which
 * is always in 8 bits (tied to the embedding, it is the embedding too). Routers, norms, biases, an untied embedding, the
 * vision tower, and a matrix whose inputs are no multiple of 32 or whose outputs are none of 16 stay as they are stored.
 */
#ifndef WD_WEIGHTS_QUANTISE_H
#define WD_WEIGHTS_QUANTISE_H

#include <stdatomic.h>

#include "base/pool.h"
#include "weights/config.h"
#include "weights/weights.h"

typedef struct wd_quantise_opts {
    wd_dtype type;  /* WD_DTYPE_W8 or WD_DTYPE_W4 */
    uint32_t group; /* 32, 64 or 128 inputs share a scale, fewer where n_in asks for it; 0: the default */
    wd_pool *pool;  /* borrowed; NULL: the calling thread */
    const atomic_bool *cancel;                                   /* looked at between matrices; NULL: never */
    void (*progress)(void *self, uint64_t done, uint64_t total); /* weights; NULL: none */
    void *progress_self;
} wd_quantise_opts;

/* What a call changed. */
typedef struct wd_quantised {
    size_t n_matrix;
    uint64_t n_weight;      /* in them */
    uint64_t before, after; /* bytes of them */
    size_t n_left;          /* matrices of the decoder whose shape does not fit */
} wd_quantised;

/* Replaces the matrices in w by quantised ones, which live as long as w. Views that were fetched before still show what
 * is in the file. On failure some are replaced and some are not: w is only good for closing.
 *   WD_E_UNSUPPORTED   the checkpoint is quantised already, or a weight is not finite: names the tensor
 *   WD_E_CANCELLED     *cancel became true */
WD_MUST_CHECK wd_status wd_weights_quantise(wd_weights *w, const wd_model_config *c,
                                            const wd_quantise_opts *o, wd_quantised *out, wd_err *err);

/* Writes every tensor of w to DIR/model.safetensors, quantised ones in two or three parts under the names of
 * docs/quantised.md, each at a multiple of 32 bytes. */
WD_MUST_CHECK wd_status wd_weights_save(const wd_weights *w, const char *dir, wd_err *err);

#endif
