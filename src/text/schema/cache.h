/* Constraints that were compiled, kept for whoever asks for the same again: bounded in bytes, the one used longest ago goes
 * first. Thread-safe. Masks found for a constraint are kept by the lexicon of each vocabulary; they serve it as long as
 * it is kept here.
 *
 * An entry answers its owner alone (a tenant): nobody finds out from the time it takes what others ask for. */
#ifndef WD_TEXT_SCHEMA_CACHE_H
#define WD_TEXT_SCHEMA_CACHE_H

#include "text/schema/constraint.h"

typedef struct wd_constraint_cache wd_constraint_cache;

typedef struct wd_constraint_cache_stats {
    size_t n, bytes;
    uint64_t n_query, n_hit;
} wd_constraint_cache_stats;

/* max_bytes: of all constraints, as they are compiled. One that would take more than a quarter of it is not kept. */
WD_MUST_CHECK wd_status wd_constraint_cache_create(size_t max_bytes, wd_constraint_cache **out, wd_err *err);
void wd_constraint_cache_destroy(wd_constraint_cache *k); /* accepts NULL */

/* What `source` says, compiled: *out has one reference for the caller. space counts for JSON only. *hit (may be NULL): it
 * was there. Without memory to keep it, it is not kept. Errors as of the function in text/schema/constraint.h that makes
 * it; those are not kept. */
WD_MUST_CHECK wd_status wd_constraint_cache_get(wd_constraint_cache *k, uint64_t owner,
                                                const wd_constraint_source *source, wd_space space, bool *hit,
                                                wd_constraint **out, wd_err *err);

void wd_constraint_cache_state(wd_constraint_cache *k, wd_constraint_cache_stats *out);

#endif
