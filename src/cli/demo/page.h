/* What the sections of the demo's page share. */
#ifndef WD_CLI_DEMO_PAGE_H
#define WD_CLI_DEMO_PAGE_H

#include "cli/demo/demo.h"
#include "cli/html.h"

typedef struct wd_page_words {
    const char *title, *lead, *section, *result, *time, *seconds, *total, *seed, *model, *text_model, *draft,
        *truth, *impression, *none, *unreadable, *raw, *said, *true_is, *verdict, *right, *slice, *series,
        *cites, *cites_none, *shown_in, *box, *no_such, *best, *true_slice, *no_query, *video, *reps, *angle,
        *measured, *from_truth, *limit, *advice, *cause, *mean_off, *by_model, *by_measurement, *not_measured,
        *joints, *terms, *what_agrees, *call, *reads, *answer, *no_call, *refused, *foot, *repeat;
} wd_page_words;
extern const wd_page_words wd_page_english, wd_page_chinese;

typedef struct wd_page {
    const wd_demo *d;
    const wd_page_words *w;
    wd_buf *b;
    wd_err *err;
    wd_status st; /* of the first picture that could not be written */
} wd_page;

/* The picture as a data URL. */
void wd_page_png(wd_page *p, const wd_image *im);
void wd_page_seconds(wd_page *p, double s);
/* "✓ agrees with the truth" */
void wd_page_agrees(wd_page *p, const json_t *section);
/* "✓ right" or "✗ wrong side, wrong size (22 / 16 mm)" */
void wd_page_verdict(wd_page *p, const json_t *check);
/* Title, verdict and time; true when there is a result to show. */
bool wd_page_begin(wd_page *p, wd_demo_section s);
void wd_page_end(wd_page *p);
/* A list ("ul", "ol") of texts, or of the key of objects. */
void wd_page_texts(wd_page *p, const char *tag, const json_t *list, const char *key);
/* "1, 2, 3" */
void wd_page_numbers(wd_page *p, const json_t *list);
/* Truth, model and comparison, one row a check. */
void wd_page_checks(wd_page *p, const json_t *section);
/* A reply that could not be read, and why. */
void wd_page_raw(wd_page *p, const char *why, const char *raw);

/* The sections; one that was not asked for is nothing. */
void wd_page_slices(wd_page *p); /* the series as a strip, unseen: the other sections refer to its pictures */
void wd_page_report(wd_page *p);
void wd_page_find(wd_page *p);
void wd_page_rehab(wd_page *p);
void wd_page_lesson(wd_page *p);
void wd_page_assist(wd_page *p);

#endif
