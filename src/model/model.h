/* A model: every tensor of a checkpoint fetched and checked once, and the forward passes over them.
 *
 * wd_model_step runs the decoder over new tokens of one sequence, wd_model_see the vision tower over the
 * patches of images and videos. Both call the operator table alone; neither allocates per token. One caller
 * thread at a time: a model has one workspace, and so have its operators.
 *
 * Determinism: the numbers of a token depend on its sequence only. A prompt given whole, in chunks (also when
 * a chunk's border lies inside an image), or token by token gives the same bits.
 */
#ifndef WD_MODEL_MODEL_H
#define WD_MODEL_MODEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "model/kv.h"
#include "model/trace.h"
#include "tensor/ops.h"
#include "weights/config.h"
#include "weights/lora.h"
#include "weights/weights.h"

typedef struct wd_model wd_model;

typedef struct wd_model_opts {
    wd_lora *const *lora; /* [n_lora] adapters, each with its scale; borrowed until wd_model_close */
    size_t n_lora;
    uint32_t max_rows; /* tokens per step at most: sizes the workspace    default 512 */
    bool no_vision;    /* leave the tower's tensors alone                 default false */
} wd_model_opts;
#define WD_MODEL_OPTS_DEFAULT ((wd_model_opts){ .max_rows = 512 })

/* Fetches every tensor that the configuration asks for. w, ops and the adapters are borrowed until
 * wd_model_close; c is copied. o may be NULL: defaults.
 *   WD_E_NOT_FOUND, WD_E_INVALID   a tensor is missing or has another shape or dtype: names file and tensor
 *   WD_E_UNSUPPORTED               a shape that the operators cannot do, e.g. head_dim % 2 != 0 */
WD_MUST_CHECK wd_status wd_model_open(wd_weights *w, const wd_model_config *c, const wd_model_opts *o,
                                      wd_ops *ops, wd_model **out, wd_err *err);
void wd_model_close(wd_model *m); /* accepts NULL */

const wd_model_config *wd_model_cfg(const wd_model *m);
uint32_t wd_model_max_rows(const wd_model *m);
size_t wd_model_workspace_bytes(const wd_model *m);
/* What a KV pool for this model wants: F32 for an F32 checkpoint, BF16 otherwise; pages of 64 tokens. */
wd_kv_opts wd_model_kv_opts(const wd_model *m);
/* Of the embedding as it is kept: BF16 for a checkpoint as published. */
wd_dtype wd_model_dtype(const wd_model *m);

/* ---- the vision tower ---- */

/* Features of visual tokens, in the order of their placeholders (spec section 5.8). */
typedef struct wd_features {
    size_t n_row, n_embd; /* rows = patches / 4 */
    uint32_t n_deepstack;
    float *main;                        /* [n_row][n_embd] */
    float *deepstack[WD_MAX_DEEPSTACK]; /* [n_row][n_embd] each */
} wd_features;

WD_MUST_CHECK wd_status wd_features_init(wd_features *f, size_t n_row, size_t n_embd, uint32_t n_deepstack,
                                         wd_err *err);
void wd_features_free(wd_features *f); /* accepts {0}, becomes {0} */

typedef struct wd_see {
    /* Rows of pixels [sum of t * h * w][3 * temporal_patch_size * patch_size^2], spec section 5.1: all of them, or made
     * on demand, so that a large image's are never in memory together: fill writes rows first .. first + n - 1. */
    const float *patches; /* NULL: fill */
    void (*fill)(void *self, size_t first, size_t n, float *out);
    void *fill_self;
    const uint32_t (*grid)[3]; /* [n_grid] t, h, w in patches; h and w even; an image has t = 1 */
    size_t n_grid;
    const atomic_bool *cancel;                 /* looked at between blocks; NULL: never */
    void (*progress)(void *self, double done); /* 0 .. 1, after each block; NULL: none */
    void *progress_self;
    const wd_trace *trace; /* NULL: none */
} wd_see;

/* Patches to features, several images and videos at once. *out is the caller's (wd_features_free). Each
 * temporal group of each image or video is on its own: its rows do not depend on what else is in the call.
 *   WD_E_UNSUPPORTED   the model has no tower
 *   WD_E_INVALID       an odd or zero grid
 *   WD_E_CANCELLED     *cancel became true */
WD_MUST_CHECK wd_status wd_model_see(wd_model *m, const wd_see *in, wd_features *out, wd_err *err);

/* ---- the decoder ---- */

/* A sequence of a step: where n of its tokens go. */
typedef struct wd_step_seq {
    wd_kv *kv;
    size_t n; /* >= 1 */
} wd_step_seq;

/* New tokens of one sequence, or of several at once: weights are read once for all of them. A row's bits are the same
 * whatever else is in the step. */
typedef struct wd_step {
    const uint32_t *ids; /* [n] tokens, 1 <= n <= max_rows */
    size_t n;
    const int32_t *pos[3]; /* [n] each: t, h, w; all NULL: index in the sequence + the cache's rope_delta */
    const wd_features *features;
    const int32_t *visual; /* [n] row of features that stands for token i, -1 for text; NULL: all text */
    wd_kv *kv;             /* n tokens are appended; unchanged when the step fails */
    /* In place of kv: sequences whose tokens follow each other in ids, n in all. Their caches differ from each other but
     * have pages of one length and dtype; all of them are unchanged when the step fails. */
    const wd_step_seq *seq; /* [n_seq], borrowed during the call */
    size_t n_seq;           /* 0: kv */

    const uint32_t *out_row; /* [n_out] which of the n rows are wanted, ascending */
    size_t n_out;            /* 0: only the cache is filled */
    float *hidden;           /* [n_out][n_embd] after the final norm; NULL: not wanted */
    float *logits;           /* [n_out][n_vocab]; NULL: not wanted */

    const atomic_bool *cancel; /* looked at before each layer; NULL: never */
    const wd_trace *trace;     /* NULL: none */
} wd_step;

/*   WD_E_INVALID     a token id outside the vocabulary, a negative position, a visual row outside the features
 *   WD_E_LIMIT       the cache or the context is full
 *   WD_E_CANCELLED   *cancel became true */
WD_MUST_CHECK wd_status wd_model_step(wd_model *m, const wd_step *s, wd_err *err);

#endif
