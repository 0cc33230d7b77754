/* The paged KV cache: keys and values of one sequence each, in pages taken from a pool.
 *
 * A page holds page_len tokens of all layers, layer after layer as wd_ops.kv_store lays one out. Pages are taken
 * when tokens come and given back when they go, so memory is the used context, rounded up to a page.
 *
 * Sequences that begin alike can share pages: wd_kv_share takes a page's tokens out of one sequence, wd_kv_attach puts
 * them under another. Tokens that were shared never change. Who appends after a shared end that is inside a page goes on
 * in the same page if it is the one that wrote it, and gets a copy otherwise (wd_kv_reserve makes it).
 *
 * Not thread-safe: a pool, its sequences and its pages belong to one thread at a time.
 */
#ifndef WD_MODEL_KV_H
#define WD_MODEL_KV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "tensor/dtype.h"

typedef struct wd_kv_pool wd_kv_pool;
typedef struct wd_kv wd_kv;

typedef struct wd_kv_opts {
    uint32_t n_layer, n_kv_head, head_dim; /* of the model: wd_model_kv_opts() */
    wd_dtype dtype;                        /* F32, BF16 or KV8 */
    uint32_t page_len;                     /* tokens per page, a multiple of 16      default 64 */
    uint32_t max_len; /* tokens of one sequence at most         default the model's max_pos */
    size_t max_bytes; /* all pages of the pool, 0: no limit     default 0 */
} wd_kv_opts;

/* WD_E_USAGE for a page_len that is not a multiple of 16 or a dtype other than F32, BF16 and KV8. */
WD_MUST_CHECK wd_status wd_kv_pool_create(const wd_kv_opts *o, wd_kv_pool **out, wd_err *err);
/* Accepts NULL. Its sequences must be gone. */
void wd_kv_pool_destroy(wd_kv_pool *p);
const wd_kv_opts *wd_kv_pool_opts(const wd_kv_pool *p);
size_t wd_kv_pool_bytes(const wd_kv_pool *p); /* held now: pages in use and pages kept for reuse */
size_t wd_kv_page_bytes(const wd_kv_opts *o);
size_t wd_kv_pool_used(const wd_kv_pool *p); /* bytes of pages in use, each counted once */

/* An empty sequence. */
WD_MUST_CHECK wd_status wd_kv_create(wd_kv_pool *p, wd_kv **out, wd_err *err);
void wd_kv_destroy(wd_kv *kv); /* accepts NULL; pages go back to the pool */

size_t wd_kv_len(const wd_kv *kv); /* tokens kept */
const wd_kv_opts *wd_kv_opts_of(const wd_kv *kv);
/* Position of the token at sequence index n is n + rope_delta on all axes (spec section 4.2); 0 at first. It
 * is kept here because it lives and dies with the cached tokens; wd_kv_truncate leaves it alone. */
int32_t wd_kv_rope_delta(const wd_kv *kv);
void wd_kv_set_rope_delta(wd_kv *kv, int32_t delta);

/* Room for n more tokens. WD_E_LIMIT when max_len or the pool's bytes would be passed, WD_E_NOMEM; then
 * nothing has changed. */
WD_MUST_CHECK wd_status wd_kv_reserve(wd_kv *kv, size_t n, wd_err *err);
/* n tokens of the reserved room have been written in every layer. */
void wd_kv_commit(wd_kv *kv, size_t n);
/* Forgets all tokens from index len on; len <= wd_kv_len(). Pages that hold nothing any more go back. */
void wd_kv_truncate(wd_kv *kv, size_t len);

/* A page that outlives its sequence. */
typedef struct wd_kv_page wd_kv_page;
/* A reference to page i, with a promise that its first n tokens stay as they are; all n are in kv. */
wd_kv_page *wd_kv_share(wd_kv *kv, size_t i, size_t n);
/* The first n tokens of a page, which somebody was promised, become the next of kv: its length must be a multiple of
 * page_len. WD_E_LIMIT when max_len would be passed, WD_E_NOMEM. */
WD_MUST_CHECK wd_status wd_kv_attach(wd_kv *kv, wd_kv_page *page, size_t n, wd_err *err);
bool wd_kv_page_is_shared(const wd_kv_page *page);       /* by more than one */
void wd_kv_page_unref(wd_kv_pool *p, wd_kv_page **page); /* *page becomes NULL; the last one gives it back */

/* The pages of one layer as the operators want them; valid until the next call on kv. */
void *const *wd_kv_layer(wd_kv *kv, uint32_t layer);

#endif
