/* Questions about a drawn chart, in the making: shared by the files that ask. */
#ifndef WD_CARE_PHANTOM_CHART_ASK_H
#define WD_CARE_PHANTOM_CHART_ASK_H

#include "base/buf.h"
#include "care/phantom/chart_inner.h"

#define CHART_ABSENT 0.15 /* of questions about something: it is not in the chart */

typedef struct wd_chart__question {
    wd_chart__patient *p;
    wd_rand *r;
    const char *kind;
    json_t *calls;
    const char *name[2], *other[2]; /* {n}, {m} */
    int count;                      /* {k} */
    char date[11];                  /* {d} */
    wd_buf answer[2];
    json_t *facts[2];
} wd_chart__question;

bool wd_chart__chance(wd_rand *r, double p);
/* Adds to both answers. The arguments are those of both formats. */
void wd_chart__say(wd_chart__question *q, const char *en, const char *zh, ...) WD_PRINTF(2, 4);
void wd_chart__say_text(wd_chart__question *q, const wd_chart__text *t);
/* The answer that the chart says nothing of it. */
void wd_chart__say_absent(wd_chart__question *q, const wd_chart__text *name);
/* What an answer must hold to be right in substance. */
void wd_chart__fact(wd_chart__question *q, const char *en, const char *zh);
void wd_chart__fact_both(wd_chart__question *q, const char *s);
void wd_chart__fact_text(wd_chart__question *q, const wd_chart__text *t);
/* Adds a call; arguments is given away. */
void wd_chart__call(wd_chart__question *q, const char *tool, json_t *arguments);

/* About measurements (chart_ask_tests.c). */
void wd_chart__ask_latest(wd_chart__question *q);
void wd_chart__ask_pair(wd_chart__question *q);
void wd_chart__ask_trend(wd_chart__question *q);
void wd_chart__ask_above(wd_chart__question *q);
void wd_chart__ask_below(wd_chart__question *q);
void wd_chart__ask_within(wd_chart__question *q);
void wd_chart__ask_when(wd_chart__question *q);
void wd_chart__ask_since(wd_chart__question *q);
void wd_chart__ask_count(wd_chart__question *q);

#endif
