/* The story "rehab": an exercise video becomes measurements and advice. Geometry measures, the model phrases.
 *
 *   video ──wd_pose_video──> points ──wd_rehab_measure──> angles, repetitions, faults ──wd_rehab_phrase──> words
 *     (or wd_pose_read: a file)        (rehab_measure.h)
 *
 * The model sees the measurements, not the video, when it phrases. What it writes is kept only where it stands the
 * checks: its type must be a fault that was measured, its language the one asked for, and every number in it must be
 * among the measurements it was given. Anything else is replaced by a plain sentence of the measurement, and it is said
 * which and why. Without a model there are the plain sentences alone.
 */
#ifndef WD_CARE_REHAB_H
#define WD_CARE_REHAB_H

#include <jansson.h>

#include "care/ask.h"
#include "care/rehab_measure.h"
#include "care/rehab_pose.h"

typedef struct wd_rehab_opts {
    wd_ask_opts ask;       /* template: prompts/rehab.LANGUAGE.txt */
    const char *watch_for; /* what the therapist wants looked at, NULL: nothing special */
} wd_rehab_opts;

/* All faults of one kind, in words. */
typedef struct wd_rehab_issue {
    wd_rehab_fault_kind kind;
    double worst_deg;
    uint32_t *rep; /* [n_rep] */
    uint32_t n_rep;
    const char *issue;          /* never NULL */
    const char *cause, *advice; /* NULL: the model gave none that stands */
    bool by_model;              /* issue is the model's */
    const char *note;           /* a sentence: why something was replaced or left out; NULL */
} wd_rehab_issue;

typedef struct wd_rehab {
    const wd_rehab_measured *m;
    wd_rehab_issue issue[WD_N_FAULT];
    uint32_t n_issue;
    const char *summary;
    bool summary_by_model;
    const char *summary_note;
    bool asked, parsed;  /* a model was asked; its reply was the JSON that was wanted */
    uint32_t n_invented; /* faults in the reply that were not measured: dropped */
    const char *raw;     /* the model's text as it came, "" without one */
    wd_origin origin;
    /* Of where the points came from; set by the caller before writing. */
    const char *pose_source; /* "model" or "file" */
    uint32_t n_pose_asked, n_pose_unread;
} wd_rehab;

/* e NULL: plain sentences. Everything lives in the arena; m is borrowed. */
WD_MUST_CHECK wd_status wd_rehab_phrase(wd_engine *e, const wd_rehab_measured *m, const wd_rehab_opts *o,
                                        wd_arena *a, wd_rehab *out, wd_err *err);

/* The draft as JSON (docs/rehab.md) and as Markdown. */
json_t *wd_rehab_json(const wd_rehab *r); /* NULL: no memory */
void wd_rehab_markdown(const wd_rehab *r, wd_buf *out);
/* One of them as a file's bytes; both as dir/rehab.json and dir/rehab.md (dir is created). */
WD_MUST_CHECK wd_status wd_rehab_text(const wd_rehab *r, bool json, wd_buf *out, wd_err *err);
WD_MUST_CHECK wd_status wd_rehab_save(const wd_rehab *r, const char *dir, wd_err *err);

/* The parts, for tests and evaluation. */

/* The measurements as they stand in the prompt. */
void wd_rehab_measured_text(const wd_rehab_measured *m, const wd_rehab_issue *issue, uint32_t n_issue,
                            bool zh, wd_buf *out);
/* The measured faults, one entry for each kind. False when out of memory. */
WD_MUST_CHECK bool wd_rehab_issues(const wd_rehab_measured *m, wd_arena *a, wd_rehab_issue out[WD_N_FAULT],
                                   uint32_t *n);
/* True when every number in text, in digits or in words of English or Chinese, is one of those in `allowed`. *bad, if
 * not NULL, is one that is not. */
bool wd_rehab_numbers_hold(wd_span text, wd_span allowed, double *bad);
/* Mean of the repetitions' durations in seconds; 0 without any. */
double wd_rehab_tempo_s(const wd_rehab_measured *m);

#endif
