/* What the suites about CT series share. */
#ifndef WD_CARE_EVAL_CASE_H
#define WD_CARE_EVAL_CASE_H

#include <stdatomic.h>

#include "base/arena.h"
#include "media/study.h"

/* The synthetic chest CT of the seed, at the phantom's default size. */
WD_MUST_CHECK wd_status wd_eval__make_ct(const char *dir, uint64_t seed, wd_err *err);

/* dir/series, opened as the product opens a study; closed with the arena. */
WD_MUST_CHECK wd_status wd_eval__study(const char *dir, const atomic_bool *cancel, wd_arena *a,
                                       wd_study **out, wd_err *err);

#endif
