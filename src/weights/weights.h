/* A checkpoint, a directory in Hugging Face layout or GGUF files: named tensors, memory-mapped and used in place.
 *
 * Names are the published ones of spec sections 2.2 to 2.4, normalised when the checkpoint was opened:
 * "model.language_model.layers.0..." and "model.layers.0..." both answer to "layers.0...", the tower to
 * "visual...", the head to "lm_head.weight".
 *
 * A matrix that was written quantised (docs/quantised.md) is one tensor of dtype W8 or W4 here, with the shape that it
 * stands for; its parts have no names of their own.
 */
#ifndef WD_WEIGHTS_WEIGHTS_H
#define WD_WEIGHTS_WEIGHTS_H

#include "base/buf.h"
#include "base/digest.h"
#include "base/pool.h"
#include "tensor/tensor.h"
#include "weights/config.h"

typedef struct wd_weights wd_weights;

/* Opens model.safetensors or, where there is none, the shards that model.safetensors.index.json names. Every
 * header is checked whole: doubled names, overlaps, holes, truncation, sizes. The index rules: a tensor it
 * does not name is ignored with one warning, one that is elsewhere than it says, or in two shards, is an
 * error. */
WD_MUST_CHECK wd_status wd_weights_open(const char *dir, wd_weights **out, wd_err *err);
void wd_weights_close(wd_weights *w); /* accepts NULL; every tensor view dies */
/* Workers for wd_weights_get where values must be decoded first (GGUF): borrowed, NULL for none. */
void wd_weights_use_pool(wd_weights *w, wd_pool *pool);

/* The tensor `name` with exactly this shape and a floating dtype, W8 or W4. FP8 weights come with their scales. What a
 * GGUF file holds in blocks is decoded now, the first time, into memory of the wd_weights: see weights/gguf_open.h.
 *   WD_E_NOT_FOUND   no such tensor: names file and tensor
 *   WD_E_INVALID     another shape or dtype: names both */
WD_MUST_CHECK wd_status wd_weights_get(wd_weights *w, const char *name, const size_t *dim, uint32_t n_dim,
                                       wd_tensor *out, wd_err *err);
/* What wd_weights_get would say, without values being decoded. Does not count as fetched. */
WD_MUST_CHECK wd_status wd_weights_check(wd_weights *w, const char *name, const size_t *dim, uint32_t n_dim,
                                         wd_err *err);
/* Present at all? Does not count as fetched. *out (may be NULL) gets its real shape; its data is NULL while it has not
 * been decoded. */
bool wd_weights_find(const wd_weights *w, const char *name, wd_tensor *out);

/* From now on the tensor `name`, which is there, is *t; `owned` (wd_free) goes when w is closed, and at once on failure it
 * does not: the caller keeps it. */
WD_MUST_CHECK wd_status wd_weights_replace(wd_weights *w, const char *name, const wd_tensor *t, void *owned,
                                           wd_err *err);

/* One more tensor, under a normal name that is not taken; otherwise as wd_weights_replace. Comes last in wd_weights_at. */
WD_MUST_CHECK wd_status wd_weights_put(wd_weights *w, const char *name, const wd_tensor *t, void *owned,
                                       wd_err *err);
/* Takes the tensors out whose names `gone` is true of. On failure w is only good for closing. */
WD_MUST_CHECK wd_status wd_weights_drop(wd_weights *w, bool (*gone)(const char *name), wd_err *err);

/* The normal name of a stored one: its end, after any run of "model." and "language_model.". */
const char *wd_weights_normal_name(const char *stored);

size_t wd_weights_count(const wd_weights *w);
/* The i-th tensor: normalised name, the name in the file, the file, the view, and whether it was fetched. */
void wd_weights_at(const wd_weights *w, size_t i, const char **name, const char **stored_name,
                   const char **file, wd_tensor *t, bool *fetched);
/* "BF16", "Q4_K": the i-th tensor's element type in its file. */
const char *wd_weights_stored_type(const wd_weights *w, size_t i);
size_t wd_weights_mapped_bytes(const wd_weights *w);
size_t wd_weights_made_bytes(const wd_weights *w); /* memory of its own that it has taken so far */

/* BLAKE2b-256 over config.json, the index and every byte of the shards, in name order; over every byte of the GGUF
 * files. Reads everything. */
WD_MUST_CHECK wd_status wd_weights_digest(const wd_weights *w, wd_digest *out, wd_err *err);

#endif
