/* What the parts of the synthetic chart share: the drawn patient, before FHIR and before words. */
#ifndef WD_CARE_PHANTOM_CHART_INNER_H
#define WD_CARE_PHANTOM_CHART_INNER_H

#include <jansson.h>

#include "base/rand.h"
#include "care/phantom/chart.h"
#include "care/terms.h"

#define CHART_VISITS 9
#define CHART_TESTS_MAX 32
#define CHART_DRUGS_MAX 8
#define CHART_ALLERGIES_MAX 3
#define CHART_CONDITIONS_MAX 6
#define CHART_STUDIES_MAX 6
#define CHART_REACTIONS_DANGEROUS 3
#define CHART_NO_LIMIT INT32_MIN

/* A text in both languages, by wd_lang. */
typedef struct wd_chart__text {
    const char *t[2];
} wd_chart__text;

/* How a measurement is drawn. Values are integers in units of 10^-decimals. */
typedef struct wd_chart__test {
    const char *name; /* the term's English name (care/terms.h) */
    const char *unit, *ucum;
    int decimals;
    int32_t low, high;   /* reference range, CHART_NO_LIMIT: open */
    int32_t least, most; /* drawn within */
    bool vital;
} wd_chart__test;

typedef struct wd_chart__drug {
    wd_chart__text name;
    const char *atc, *unit, *ucum;
    int32_t dose[3];    /* in 1/1000 of the unit, 0: no further one */
    unsigned frequency; /* bit i: given at wd_chart__frequencies[i] */
    bool men;           /* for men only */
} wd_chart__drug;

typedef struct wd_chart__frequency {
    wd_chart__text words;
    int times, per_days;
} wd_chart__frequency;

typedef struct wd_chart__substance {
    wd_chart__text name, also;      /* also: as a question may call it */
    const char *category, *forbids; /* forbids: beginning of the ATC codes not ordered then, or NULL */
} wd_chart__substance;

typedef struct wd_chart__disease {
    wd_chart__text name;
    const char *icd10;
    bool resolves;
} wd_chart__disease;

typedef struct wd_chart__study_kind {
    wd_chart__text name;
    const char *modality, *region; /* region chooses the findings */
} wd_chart__study_kind;

/* A sentence of a conclusion; {n} is a number of millimetres from `least` on. */
typedef struct wd_chart__finding {
    const char *region;
    wd_chart__text text;
    int least, most;
} wd_chart__finding;

extern const wd_chart__test wd_chart__tests[];
extern const wd_chart__drug wd_chart__drugs[];
extern const wd_chart__frequency wd_chart__frequencies[];
extern const wd_chart__substance wd_chart__substances[];
extern const wd_chart__text wd_chart__reactions[];
extern const wd_chart__disease wd_chart__diseases[];
extern const wd_chart__study_kind wd_chart__study_kinds[];
extern const wd_chart__finding wd_chart__findings[];
extern const size_t wd_chart__n_test, wd_chart__n_drug, wd_chart__n_frequency, wd_chart__n_substance,
    wd_chart__n_reaction, wd_chart__n_disease, wd_chart__n_study_kind, wd_chart__n_finding;

/* --- the drawn patient --- */

typedef struct wd_chart__series {
    const wd_chart__test *test;
    const wd_term *term;
    int n;                   /* 3 .. CHART_VISITS */
    int visit[CHART_VISITS]; /* rising */
    int32_t value[CHART_VISITS];
    int32_t second[CHART_VISITS]; /* of blood pressure: the diastolic one */
} wd_chart__series;

typedef struct wd_chart__order {
    const wd_chart__drug *drug;
    const wd_chart__frequency *frequency;
    int32_t dose;
    bool stopped;
    int64_t day;
} wd_chart__order;

typedef struct wd_chart__allergy {
    const wd_chart__substance *substance;
    const wd_chart__text *reaction;
    bool high;
} wd_chart__allergy;

typedef struct wd_chart__condition {
    const wd_chart__disease *disease;
    bool resolved;
    int64_t day, end_day;
} wd_chart__condition;

typedef struct wd_chart__study {
    const wd_chart__study_kind *kind;
    int64_t day;
    char conclusion[2][320];
} wd_chart__study;

typedef struct wd_chart__patient {
    uint64_t seed;
    wd_rand rand;
    bool female;
    int64_t today, birth_day;    /* days since 1970-01-01 */
    int64_t visit[CHART_VISITS]; /* rising */
    int minute[CHART_VISITS];    /* of the day */
    wd_chart__series series[CHART_TESTS_MAX];
    size_t n_series;
    wd_chart__order order[CHART_DRUGS_MAX]; /* by day */
    size_t n_order;
    wd_chart__allergy allergy[CHART_ALLERGIES_MAX];
    size_t n_allergy;
    wd_chart__condition condition[CHART_CONDITIONS_MAX]; /* by day */
    size_t n_condition;
    wd_chart__study study[CHART_STUDIES_MAX]; /* by day */
    size_t n_study;
} wd_chart__patient;

void wd_chart__draw(uint64_t seed, wd_chart__patient *p);

/* "2026-03-02" */
void wd_chart__date(int64_t day, char out[11]);
/* "4.8", "0.15", "140": no zeros at the end but the one behind the point. */
void wd_chart__number(int32_t value, int decimals, char out[16]);
/* A dose: "2.5", "500". */
void wd_chart__dose(int32_t thousandths, char out[16]);
/* 1 above, -1 below, 0 within, of the reference range. */
int wd_chart__side(const wd_chart__test *t, int32_t value);

static inline size_t wd_chart__pick(wd_rand *r, size_t n)
{
    return (size_t)wd_rand_below(r, n);
}

/* The bundle; the questions with their truth. NULL: no memory. */
json_t *wd_chart__bundle(const wd_chart__patient *p);
json_t *wd_chart__truth(wd_chart__patient *p);

/* How a kind of question may be worded: {n} the name, {m} a second one, {k} a count, {d} a date. */
typedef struct wd_chart__wording {
    const char *kind;
    const char *ask[2][9]; /* by wd_lang, NULL past the last */
} wd_chart__wording;
extern const wd_chart__wording wd_chart__wordings[];
extern const size_t wd_chart__n_wording;

#endif
