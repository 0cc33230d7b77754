/* What the synthetic lessons say: topics, their steps and terms, in English and Chinese. Invented for tests and
 * demonstrations after common patient leaflets; no advice for anybody. */
#ifndef WD_CARE_PHANTOM_LESSON_SCRIPT_H
#define WD_CARE_PHANTOM_LESSON_SCRIPT_H

#include "care/phantom/pictogram.h"

#define WD_SCRIPT_TOPICS 10
#define WD_SCRIPT_STEPS 8 /* of a topic, in the order in which they are done */
#define WD_SCRIPT_TERMS 2

enum { WD_SCRIPT_EN, WD_SCRIPT_ZH };

typedef struct wd_script_step {
    const char *title[2]; /* [language] */
    const char *other[2]; /* another wording, or NULL */
    wd_pictogram pictogram;
} wd_script_step;

typedef struct wd_script_term {
    const char *term[2], *meaning[2];
} wd_script_term;

typedef struct wd_script_topic {
    const char *name;        /* "inhaler": for truth.json */
    const char *title[2][2]; /* [language][wording] */
    wd_script_step step[WD_SCRIPT_STEPS];
    wd_script_term term[WD_SCRIPT_TERMS];
} wd_script_topic;

extern const wd_script_topic wd_script[WD_SCRIPT_TOPICS];

#endif
