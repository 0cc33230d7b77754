/* The story "assist": a question about one patient, answered from the records.
 *
 * The model sees the question and the tools' definitions, asks for what it needs, reads what the tools return, and answers.
 * It never sees a chart as a whole and cannot name a patient: the tools are bound to one (care/assist_tools.h). What was
 * looked up stays with the answer as evidence, and numbers of the answer that no tool returned are named.
 */
#ifndef WD_CARE_ASSIST_H
#define WD_CARE_ASSIST_H

#include "care/ask.h"
#include "care/assist_tools.h"

#define WD_ASSIST_CALLS_MAX 8 /* done of one reply; further ones are left out */
#define WD_ASSIST_ROUNDS_MAX 16

typedef struct wd_assist_opts {
    wd_ask_opts ask;     /* template: {{today}}, {{question}} */
    uint32_t max_rounds; /* replies that ask for tools, 1 .. WD_ASSIST_ROUNDS_MAX; 0: 4 */
} wd_assist_opts;

/* One tool call. */
typedef struct wd_assist_step {
    const char *name, *args; /* as the model wrote them */
    const char *result;      /* as the model read it */
    bool refused;            /* the result is a sentence that says why */
} wd_assist_step;

typedef struct wd_assist {
    bool answered;        /* false: the model still asked for tools after max_rounds; answer is "" */
    const char *answer;   /* without white space around it */
    wd_assist_step *step; /* [n_step] in the order they were done */
    size_t n_step;
    const char **evidence; /* [n_evidence] "Observation/12": the resources read, each once */
    size_t n_evidence;
    const char **unsupported; /* [n_unsupported] numbers of the answer that occur in no tool's result */
    size_t n_unsupported;
    uint32_t n_round; /* replies of the model */
    const char *question, *today;
    wd_origin origin;
} wd_assist;

/* Everything lives in the arena.
 *
 *   WD_E_INVALID   the question is empty or longer than 8 KiB
 *   others         of the template, the records, the engine; a model's nonsense is no failure */
WD_MUST_CHECK wd_status wd_assist_ask(wd_engine *e, const wd_records *records, const char *question,
                                      const wd_assist_opts *o, wd_arena *a, wd_assist *out, wd_err *err);

/* The result as JSON; it says DRAFT. NULL: no memory. */
json_t *wd_assist_json(const wd_assist *r);

/* The numbers (4.8, 142/88, 2026-03-02) of the answer that do not occur in any of the texts, into out[0 .. max); returns
 * how many there are. Digits behind a letter (HbA1c) are no number. Everything lives in the arena; SIZE_MAX: no memory. */
size_t wd_assist_unsupported(const char *answer, const char *const *text, size_t n_text, wd_arena *a,
                             const char **out, size_t max);

#endif
