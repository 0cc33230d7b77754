/* A fixed team of threads for data-parallel loops.
 *
 * wd_pool_run splits nothing itself: fn is called once per worker with its index, the caller being worker 0,
 * and returns when all are done. Workers spin briefly, then sleep. One loop at a time: a pool belongs to one
 * caller thread. Creating 1 thread creates none.
 */
#ifndef WD_BASE_POOL_H
#define WD_BASE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct wd_pool wd_pool;

/* n_thread 0: one per core (base/cores.h). */
WD_MUST_CHECK wd_status wd_pool_create(unsigned n_thread, wd_pool **out, wd_err *err);
void wd_pool_destroy(wd_pool *p);        /* accepts NULL */
unsigned wd_pool_size(const wd_pool *p); /* 1 for NULL */

typedef void (*wd_pool_fn)(void *arg, unsigned worker, unsigned n_worker);
/* A NULL pool runs fn(arg, 0, 1) here. */
void wd_pool_run(wd_pool *p, wd_pool_fn fn, void *arg);

/* fn once for every item of n, in pieces [first, last) of at most `most` items that begin at multiples of grain. Each
 * worker begins with a contiguous share and takes pieces off its front; who has none left takes them off the back of
 * another's. So one that is held up, by other programs or by the machine below this one, holds up the rest for a piece and
 * not for a share. Pieces become smaller towards the end of a share. Which worker has which piece is not determined; the
 * n items and `most` are counted in grains, fewer than 2^32. A NULL pool has all pieces here, in order. */
typedef void (*wd_pool_piece_fn)(void *arg, unsigned worker, size_t first, size_t last);
void wd_pool_deal(wd_pool *p, size_t n, size_t grain, size_t most, wd_pool_piece_fn fn, void *arg);

/* Contiguous share of n items for a worker, in multiples of grain: [*first, *last). */
void wd_pool_share(size_t n, size_t grain, unsigned worker, unsigned n_worker, size_t *first, size_t *last);

#endif
