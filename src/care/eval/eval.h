/* Evaluation: a story is run on cases whose truth is known, by the product's own path, and compared with it.
 *
 * A case is a folder: what a user would have (DICOM files, a video, a chart) and truth.json (docs/evaluation.md). It is
 * either one of the user's own or made from a seed by a phantom. A suite runs one story on one case and says how good
 * the outcome is; one file each, listed in eval.c.
 */
#ifndef WD_CARE_EVAL_EVAL_H
#define WD_CARE_EVAL_EVAL_H

#include <jansson.h>
#include <stdatomic.h>

#include "care/eval/oracle.h"
#include "engine/engine.h"

/* How each case is run. */
typedef struct wd_eval_run {
    wd_engine *engine;
    wd_oracle
        *oracle; /* NULL; else `engine` is it, and the suite tells it each right answer before the call */
    const char *language;      /* "en" or "zh", of this case */
    const char *prompts_dir;   /* folder of the prompt templates */
    const char *windows;       /* of slices, default "lung" */
    uint32_t n_slice;          /* shown of a series, default 12 */
    const char *model_digest;  /* hex, or NULL */
    bool embedding;            /* find: rank by embeddings instead of the reranking head */
    wd_engine *words;          /* rehab: puts the measurements into words; NULL: `engine` does */
    bool plain_words;          /* rehab: no engine does, the measurement's own sentences stand */
    uint32_t max_tokens;       /* of every reply; 0: what the suite allows */
    bool detail;               /* the result also holds the story's whole draft, and of rehab the joints */
    const atomic_bool *cancel; /* or NULL */
} wd_eval_run;
#define WD_EVAL_RUN_DEFAULT ((wd_eval_run){ .language = "en", .windows = "lung", .n_slice = 12 })

/* What a metric should reach, for the table. */
typedef struct wd_eval_target {
    const char *metric, *unit; /* unit "" for shares from 0 to 1 */
    double value;              /* NAN: none */
    bool at_most;              /* smaller is better */
} wd_eval_target;

typedef struct wd_eval_suite {
    const char *name, *brief;
    const wd_eval_target *target; /* [n_target] every metric, in the order of the table */
    size_t n_target;
    /* Writes the synthetic case of the seed into dir, truth.json included. */
    wd_status (*make)(const char *dir, uint64_t seed, wd_err *err);
    /* Runs the story on the case. *out, owned by the caller: one object of plain data with what the model said, what
     * was true and how they compare: all that score() needs. Never fails because the model talks nonsense; fails when
     * the case or its truth cannot be read. With an oracle, every call of the engine was told its answer. */
    wd_status (*run)(const wd_eval_run *r, const char *dir, const json_t *truth, wd_arena *a, json_t **out,
                     wd_err *err);
    /* Sets each metric of the n results with wd_eval_set(); may add an object "by" with the same per kind. */
    wd_status (*score)(json_t *const *result, size_t n, json_t *metrics, wd_err *err);
    /* Optional: the metrics of one answer for all, the most frequent of what was true in these cases. No model. */
    wd_status (*blind)(json_t *const *result, size_t n, json_t *metrics, wd_err *err);
} wd_eval_suite;

extern const wd_eval_suite wd_eval_report, wd_eval_find, wd_eval_rehab, wd_eval_lesson, wd_eval_assist;

/* NULL when there is none. */
const wd_eval_suite *wd_eval_find_suite(const char *name);
/* The names, one by one; NULL past the last. */
const wd_eval_suite *wd_eval_suite_at(size_t i);

/* metrics[name] = value, or null when nothing was there to be judged (n 0); metrics["n"][name] = n. */
WD_MUST_CHECK wd_status wd_eval_set(json_t *metrics, const char *name, double value, size_t n, wd_err *err);

typedef enum wd_eval_language {
    WD_EVAL_LANG_CASE,
    WD_EVAL_LANG_EN,
    WD_EVAL_LANG_ZH,
    WD_EVAL_LANG_BOTH
} wd_eval_language;

typedef struct wd_eval_opts {
    const wd_eval_suite *suite;
    const char *model;  /* as the result names it; NULL: the engine's name */
    wd_eval_run run;    /* language is set from case to case */
    wd_oracle *witness; /* writes down what run.engine, which is it, is asked and answers; NULL: none */
    const char *cases;  /* a folder of case folders; NULL: the seeds first .. last */
    uint64_t first, last;
    wd_eval_language
        language;  /* LANG_CASE: truth.json's "language"; else by its seed, odd en, even zh; else en */
    bool blind;    /* score the suite's blind answer */
    bool no_score; /* results are not kept, "metrics" stays empty: for long records */
    /* Each result as soon as it is known: {"case", "seed", "language", "seconds", ...}. Borrowed. May be NULL. */
    wd_status (*on_result)(void *self, const json_t *result, wd_err *err);
    void (*on_failed)(void *self, const char *name,
                      const char *why); /* a case that could not be run; may be NULL */
    void (*progress)(void *self, uint64_t done, uint64_t total); /* cases; may be NULL */
    void *self;
} wd_eval_opts;

/* Runs all cases. *out, owned by the caller:
 *   {"suite", "model" (null for a blind baseline), "engine", "baseline": null | "blind" | "embedding", "cases": n run, "failed": [{"case", "error"}],
 *    "seconds", "metrics": {name: number | null}, "n": {name: number}, "by": {...}}
 * A case that cannot be run is noted and the others go on.
 *   WD_E_NOT_FOUND   cases holds no folder with a truth.json
 *   WD_E_CANCELLED   *run.cancel became true; nothing is left behind
 *   WD_E_IO          the record or on_result could not be written */
WD_MUST_CHECK wd_status wd_eval(const wd_eval_opts *o, json_t **out, wd_err *err);

#endif
