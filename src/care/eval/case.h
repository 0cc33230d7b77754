/* What the suites share. */
#ifndef WD_CARE_EVAL_CASE_H
#define WD_CARE_EVAL_CASE_H

#include <jansson.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "care/eval/eval.h"
#include "care/report.h"
#include "media/study.h"

/* The synthetic chest CT of the seed, at the phantom's default size. */
WD_MUST_CHECK wd_status wd_eval__make_ct(const char *dir, uint64_t seed, wd_err *err);

/* dir/series, opened as the product opens a study; closed with the arena. */
WD_MUST_CHECK wd_status wd_eval__study(const char *dir, const atomic_bool *cancel, wd_arena *a,
                                       wd_study **out, wd_err *err);

/* How the run asks in a story: its template, at most max_tokens unless the run says otherwise, greedy. */
WD_MUST_CHECK wd_status wd_eval__ask(const wd_eval_run *r, const char *story, uint32_t max_tokens,
                                     wd_arena *a, wd_ask_opts *out, wd_err *err);

/* The report against the truth: what the suite's run() gives. where names truth.json in messages. */
WD_MUST_CHECK wd_status wd_eval__judge_report(const wd_report *report, const json_t *truth, const char *where,
                                              const char *language, wd_arena *a, json_t **out, wd_err *err);

#endif
