/* What the engines of one process share: turns on the processor, and a budget of memory. Thread-safe. */
#ifndef WD_ENGINE_LOCAL_SHARE_H
#define WD_ENGINE_LOCAL_SHARE_H

#include "base/err.h"

typedef struct wd_share wd_share;

/* max_bytes 0: no limit. */
WD_MUST_CHECK wd_status wd_share_create(size_t max_bytes, wd_share **out, wd_err *err);
void wd_share_destroy(wd_share *s); /* accepts NULL; everything is given back */

/* A turn: a step, or a pass of the tower. One at a time, in the order in which they were asked for, so that no engine waits
 * for more than one turn of each other. Not to be nested. NULL: there are no others. */
void wd_share_begin_turn(wd_share *s);
void wd_share_end_turn(wd_share *s);

/* What a model holds at most, in bytes. */
typedef struct wd_share_need {
    size_t weights, kv, images, work;
} wd_share_need;

/* Takes it off the budget, all or nothing; `name` is the model's, for the sentence.
 *   WD_E_LIMIT   more than is left: the sentence has the numbers */
WD_MUST_CHECK wd_status wd_share_reserve(wd_share *s, const char *name, const wd_share_need *n, wd_err *err);
void wd_share_give_back(wd_share *s, const wd_share_need *n);

size_t wd_share_max(const wd_share *s); /* 0: no limit, also for NULL */
size_t wd_share_used(wd_share *s);

#endif
