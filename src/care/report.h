/* The story "report": a DICOM study becomes a structured report draft.
 *
 * The workflow picks a series and slices, draws them, fills a prompt template, asks the engine, and takes the reply
 * apart into findings and impression. Nothing is invented: a reply that does not parse is kept as it came and said to
 * be so, and slices that a finding cites but that were not shown are dropped and counted.
 */
#ifndef WD_CARE_REPORT_H
#define WD_CARE_REPORT_H

#include <jansson.h>

#include "care/ask.h"
#include "care/slices.h"

typedef struct wd_report_opts {
    wd_slices_opts slices;
    wd_ask_opts ask;
    const char *question; /* clinical question, NULL: none */
    const char *earlier;  /* text of an earlier report, NULL: none */
} wd_report_opts;

typedef struct wd_report_finding {
    const char *text, *place; /* place "" when not said */
    double size_mm;           /* 0: not said */
    uint32_t *slice;          /* [n_slice] numbers from 1, all of them shown */
    uint32_t n_slice;
} wd_report_finding;

typedef struct wd_report {
    const wd_slices *shown;
    bool parsed;                /* false: findings and impression are empty, raw is all there is */
    const char *why_not;        /* the sentence, when not parsed */
    wd_report_finding *finding; /* [n_finding] */
    uint32_t n_finding;
    const char **impression; /* [n_impression] most likely first */
    uint32_t n_impression;
    uint32_t n_dropped_slices; /* citations of slices that were not shown */
    const char *raw;           /* the model's text as it came */
    const char *question;      /* or NULL */
    wd_origin origin;
} wd_report;

/* Everything lives in the arena; `shown` also needs the study. */
WD_MUST_CHECK wd_status wd_report_make(wd_engine *e, const wd_study *study, const wd_report_opts *o,
                                       wd_arena *a, wd_report *out, wd_err *err);

/* The draft as JSON (care/schemas/report.json) and as Markdown. Both say DRAFT. */
json_t *wd_report_json(const wd_report *r); /* NULL: no memory */
void wd_report_markdown(const wd_report *r, wd_buf *out);
/* One of them as a file's bytes, and both as dir/report.json and dir/report.md (dir is created). */
WD_MUST_CHECK wd_status wd_report_text(const wd_report *r, bool json, wd_buf *out, wd_err *err);
WD_MUST_CHECK wd_status wd_report_save(const wd_report *r, const char *dir, wd_err *err);

/* The reply alone: a JSON object {"findings", "impression"} (also inside ``` fences), or text under the headings
 * Findings / Impression (所见 / 印象). Returns false with *why, a sentence, when it is neither. For tests too. */
bool wd_report_parse(wd_span text, const wd_slices *shown, wd_arena *a, wd_report *out);

#endif
