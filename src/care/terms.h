/* Names of common measurements: LOINC code, English and Chinese name, other ways to say it.
 *
 * A chart may name a test in one language and the question in another; the code is what both share. The table is not
 * complete and need not be: what it lacks is found by the chart's own names. */
#ifndef WD_CARE_TERMS_H
#define WD_CARE_TERMS_H

#include <stdbool.h>
#include <stddef.h>

#define WD_TERM_ALSO_MAX 4

typedef enum wd_lang { WD_LANG_EN, WD_LANG_ZH } wd_lang;

typedef struct wd_term {
    const char *loinc, *display;           /* the code and LOINC's own long name */
    const char *name[2];                   /* by wd_lang; the English one is the tools' argument */
    const char *also[2][WD_TERM_ALSO_MAX]; /* other names, NULL past the last */
} wd_term;

/* One by one; NULL past the last. */
const wd_term *wd_term_at(size_t i);
/* By a name of either language, another name, or the LOINC code; letter case of ASCII does not matter. NULL: none. */
const wd_term *wd_term_find(const char *name);

#endif
