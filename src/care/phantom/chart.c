/* The synthetic chart: who the patient is, drawn from the seed. */
#include "care/phantom/chart.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "care/phantom/chart_inner.h"

#define FIRST_DAY 19723 /* 2024-01-01 */
#define DAYS 1096       /* until the end of 2026 */
#define DAYS_PER_YEAR 365.25

/* Civil date from days since 1970-01-01 (H. Hinnant's algorithm; years from 0 on). */
void wd_chart__date(int64_t day, char out[11])
{
    const int64_t z = day + 719468, era = z / 146097, doe = z - era * 146097;
    const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    const int64_t d = doy - (153 * mp + 2) / 5 + 1, m = mp < 10 ? mp + 3 : mp - 9;
    snprintf(out, 11, "%04u-%02u-%02u", (unsigned)(yoe + era * 400 + (m <= 2)) % 10000u, (unsigned)m % 100u,
             (unsigned)d % 100u);
}

void wd_chart__number(int32_t value, int decimals, char out[16])
{
    int32_t unit = 1;
    for (int i = 0; i < decimals; i++)
        unit *= 10;
    if (decimals == 0)
        snprintf(out, 16, "%d", value);
    else
        snprintf(out, 16, "%d.%0*d", value / unit, decimals, value % unit);
    for (size_t n = strlen(out); decimals && n > 2 && out[n - 1] == '0' && out[n - 2] != '.'; n--)
        out[n - 1] = 0;
}

void wd_chart__dose(int32_t thousandths, char out[16])
{
    wd_chart__number(thousandths, 3, out);
    const size_t n = strlen(out);
    if (n > 2 && !strcmp(out + n - 2, ".0"))
        out[n - 2] = 0;
}

int wd_chart__side(const wd_chart__test *t, int32_t value)
{
    return t->high != CHART_NO_LIMIT && value > t->high ? 1
           : t->low != CHART_NO_LIMIT && value < t->low ? -1
                                                        : 0;
}

static int32_t between(wd_rand *r, int64_t lo, int64_t hi)
{
    return (int32_t)(lo + (int64_t)wd_rand_below(r, (uint64_t)(hi - lo + 1)));
}

static bool chance(wd_rand *r, double p)
{
    return wd_rand_unit(r) < p;
}

/* A permutation of 0 .. n-1, so that its first few are drawn without repetition. */
static void shuffle(wd_rand *r, int *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        v[i] = (int)i;
    for (size_t i = n; i-- > 1;) {
        const size_t k = wd_chart__pick(r, i + 1);
        const int swap = v[i];
        v[i] = v[k];
        v[k] = swap;
    }
}

/* The newest value: in the reference range half of the time, else above or below as the range allows. */
static int32_t draw_value(wd_rand *r, const wd_chart__test *t)
{
    const int32_t low = t->low == CHART_NO_LIMIT ? t->least : t->low;
    const int32_t high = t->high == CHART_NO_LIMIT ? t->most : t->high;
    const bool can_low = low > t->least, can_high = high < t->most;
    if ((!can_low && !can_high) || chance(r, 0.5))
        return between(r, low, high);
    if (can_high && (!can_low || chance(r, 0.6))) /* mostly near the range: squares of a uniform number */
        return high + 1 + (int32_t)((t->most - high - 1) * wd_rand_unit(r) * wd_rand_unit(r));
    return low - 1 - (int32_t)((low - 1 - t->least) * wd_rand_unit(r) * wd_rand_unit(r));
}

/* Values that end in `last` and rise, fall, stay or waver on the way. */
static void draw_course(wd_rand *r, const wd_chart__test *t, int32_t last, int n, int32_t *out)
{
    const int32_t reach = WD_MAX((t->most - t->least) / 24, 2);
    const double kind = wd_rand_unit(r);
    out[n - 1] = last;
    for (int i = n - 1; i-- > 0;) {
        int32_t step = between(r, 1, reach);
        if (kind >= 0.36 && kind < 0.72)
            step = -step;
        else if (kind >= 0.72 && kind < 0.8)
            step = 0;
        else if (kind >= 0.8 && chance(r, 0.5))
            step = -step;
        const int32_t before = out[i + 1] - step;
        out[i] = before < t->least ? t->least : before > t->most ? t->most : before;
    }
}

static void draw_series(wd_chart__patient *p, const wd_chart__test *t)
{
    wd_chart__series *s = &p->series[p->n_series++];
    int order[CHART_VISITS];
    *s = (wd_chart__series){ .test = t,
                             .term = wd_term_find(t->name),
                             .n = between(&p->rand, 3, CHART_VISITS) };
    shuffle(&p->rand, order, CHART_VISITS);
    for (int v = 0; v < CHART_VISITS; v++) /* the first n of the permutation, in order of time */
        for (int i = 0, k = 0; i < s->n; i++)
            if (order[i] == v) {
                while (k < CHART_VISITS && s->visit[k])
                    k++;
                s->visit[k] = v + 1; /* counted from 1 here, so that 0 is free */
            }
    for (int i = 0; i < s->n; i++)
        s->visit[i]--;
    draw_course(&p->rand, t, draw_value(&p->rand, t), s->n, s->value);
    for (int i = 0; i < s->n; i++) /* the diastolic pressure goes with the systolic one */
        s->second[i] = s->value[i] * 55 / 100 + between(&p->rand, -6, 6);
}

static void draw_days(wd_chart__patient *p)
{
    p->today = FIRST_DAY + between(&p->rand, 0, DAYS - 1);
    p->birth_day = p->today - (int64_t)(DAYS_PER_YEAR * wd_rand_range(&p->rand, 19, 92));
    int64_t day = p->today - between(&p->rand, 0, 9);
    for (int v = CHART_VISITS; v-- > 0; day -= between(&p->rand, 1, 45)) {
        p->visit[v] = day;
        p->minute[v] = between(&p->rand, 6 * 60, 20 * 60);
    }
}

static void draw_series_all(wd_chart__patient *p)
{
    int order[CHART_TESTS_MAX];
    shuffle(&p->rand, order, wd_chart__n_test);
    const size_t n = (size_t)between(&p->rand, 12, 18);
    for (size_t i = 0; i < n; i++)
        draw_series(p, &wd_chart__tests[order[i]]);
}

static int by_order_day(const void *a, const void *b)
{
    const wd_chart__order *x = a, *y = b;
    return x->day < y->day ? -1 : x->day > y->day;
}

/* May the drug be ordered: not for men alone, no allergy against it, nothing of its group (ATC level 2) ordered yet. */
static bool may_order(const wd_chart__patient *p, const wd_chart__drug *d)
{
    bool may = !(d->men && p->female);
    for (size_t i = 0; i < p->n_allergy; i++) {
        const char *forbids = p->allergy[i].substance->forbids;
        may = may && !(forbids && !strncmp(d->atc, forbids, strlen(forbids)));
    }
    for (size_t i = 0; i < p->n_order; i++)
        may = may && strncmp(d->atc, p->order[i].drug->atc, 3) != 0;
    return may;
}

static const wd_chart__frequency *draw_frequency(wd_rand *r, const wd_chart__drug *d)
{
    size_t i;
    do
        i = wd_chart__pick(r, wd_chart__n_frequency);
    while (!(d->frequency >> i & 1));
    return &wd_chart__frequencies[i];
}

static void draw_orders(wd_chart__patient *p)
{
    int order[64];
    shuffle(&p->rand, order, wd_chart__n_drug);
    const size_t n_active = chance(&p->rand, 0.08) ? 0 : (size_t)between(&p->rand, 1, 4);
    const size_t n_stopped = chance(&p->rand, 0.25) ? 0 : (size_t)between(&p->rand, 1, 3);
    for (size_t i = 0; p->n_order < n_active + n_stopped; i++) {
        const wd_chart__drug *d = &wd_chart__drugs[order[i]];
        const size_t n_dose = d->dose[2] ? 3 : d->dose[1] ? 2 : 1;
        const int64_t k = (int64_t)p->n_order;
        const bool stopped = p->n_order >= n_active;
        if (!may_order(p, d))
            continue;
        p->order[p->n_order++] = (wd_chart__order){ .drug = d,
                                                    .frequency = draw_frequency(&p->rand, d),
                                                    .dose = d->dose[wd_chart__pick(&p->rand, n_dose)],
                                                    .stopped = stopped,
                                                    .day = p->today - 1 - between(&p->rand, 0, 29) - 31 * k -
                                                           (stopped ? 60 : 0) };
    }
    qsort(p->order, p->n_order, sizeof *p->order, by_order_day);
}

static void draw_allergies(wd_chart__patient *p)
{
    int order[64];
    shuffle(&p->rand, order, wd_chart__n_substance);
    p->n_allergy = chance(&p->rand, 0.2) ? 0 : (size_t)between(&p->rand, 1, CHART_ALLERGIES_MAX);
    for (size_t i = 0; i < p->n_allergy; i++) {
        const size_t reaction = wd_chart__pick(&p->rand, wd_chart__n_reaction);
        p->allergy[i] = (wd_chart__allergy){ &wd_chart__substances[order[i]], &wd_chart__reactions[reaction],
                                             reaction < CHART_REACTIONS_DANGEROUS || chance(&p->rand, 0.25) };
    }
}

static int by_condition_day(const void *a, const void *b)
{
    const wd_chart__condition *x = a, *y = b;
    return x->day < y->day ? -1 : x->day > y->day;
}

static void draw_conditions(wd_chart__patient *p)
{
    int order[64];
    shuffle(&p->rand, order, wd_chart__n_disease);
    p->n_condition = chance(&p->rand, 0.06) ? 0 : (size_t)between(&p->rand, 1, 5);
    for (size_t i = 0; i < p->n_condition; i++) {
        wd_chart__condition *c = &p->condition[i];
        c->disease = &wd_chart__diseases[order[i]];
        c->resolved = c->disease->resolves && chance(&p->rand, 0.7);
        c->day = p->today - 100 - 211 * (int64_t)i - between(&p->rand, 0, 200);
        c->end_day = c->day + between(&p->rand, 14, 90);
    }
    qsort(p->condition, p->n_condition, sizeof *p->condition, by_condition_day);
}

/* A sentence of a finding, without the stop at its end. */
static void say_finding(wd_rand *r, const wd_chart__finding *f, char en[160], char zh[160])
{
    char *const out[2] = { en, zh };
    const int mm = f->most ? between(r, f->least, f->most) : 0;
    for (int lang = 0; lang < 2; lang++) {
        const char *text = f->text.t[lang], *at = strstr(text, "{n}");
        if (at)
            snprintf(out[lang], 160, "%.*s%d%s", (int)(at - text), text, mm, at + 3);
        else
            snprintf(out[lang], 160, "%s", text);
    }
}

static void draw_conclusion(wd_rand *r, wd_chart__study *s)
{
    int order[64], found = 0;
    const int wanted = chance(r, 0.45) ? 2 : 1;
    shuffle(r, order, wd_chart__n_finding);
    for (size_t i = 0; i < wd_chart__n_finding && found < wanted; i++) {
        const wd_chart__finding *f = &wd_chart__findings[order[i]];
        char text[2][160];
        const bool nothing = !strncmp(f->text.t[WD_LANG_EN], "No", 2);
        if (strcmp(f->region, s->kind->region) != 0 || (found && nothing))
            continue; /* that nothing was found is said alone */
        say_finding(r, f, text[0], text[1]);
        for (int lang = 0; lang < 2; lang++) {
            const size_t n = strlen(s->conclusion[lang]);
            snprintf(s->conclusion[lang] + n, sizeof s->conclusion[lang] - n, "%s%s%s",
                     found && lang == WD_LANG_EN ? " " : "", text[lang], lang == WD_LANG_EN ? "." : "。");
        }
        found += nothing ? wanted : 1;
    }
}

static void draw_studies(wd_chart__patient *p)
{
    p->n_study = chance(&p->rand, 0.06) ? 0 : (size_t)between(&p->rand, 1, 5);
    int64_t day = p->today - 700;
    for (size_t i = 0; i < p->n_study; i++) {
        wd_chart__study *s = &p->study[i];
        day += between(&p->rand, 3, 130);
        s->day = day;
        s->kind = &wd_chart__study_kinds[wd_chart__pick(&p->rand, wd_chart__n_study_kind)];
        draw_conclusion(&p->rand, s);
    }
}

void wd_chart__draw(uint64_t seed, wd_chart__patient *p)
{
    *p = (wd_chart__patient){ .seed = seed };
    wd_rand_init(&p->rand, seed);
    p->female = chance(&p->rand, 0.5);
    draw_days(p);
    draw_series_all(p);
    draw_allergies(p);
    draw_orders(p);
    draw_conditions(p);
    draw_studies(p);
}

wd_status wd_phantom_chart_make(uint64_t seed, json_t **chart, json_t **truth, wd_err *err)
{
    wd_chart__patient *p = WD_ALLOC(wd_chart__patient);
    *chart = *truth = NULL;
    if (p) {
        wd_chart__draw(seed, p);
        *chart = wd_chart__bundle(p);
        *truth = wd_chart__truth(p);
    }
    wd_free(p);
    if (*chart && *truth)
        return WD_OK;
    json_decref(*chart);
    json_decref(*truth);
    *chart = *truth = NULL;
    return WD_FAIL(err, WD_E_NOMEM, "phantom: no memory for a chart");
}

/* FHIR decimals keep the digits they are written with: 15 are shown shortest. */
static wd_status write_json(const char *dir, const char *name, const json_t *v, wd_err *err)
{
    char path[4096];
    wd_buf b = { 0 };
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return WD_FAIL(err, WD_E_INVALID, "%s: the path is too long", dir);
    wd_status st = wd_json_write(v, JSON_INDENT(1) | JSON_REAL_PRECISION(15), &b, err);
    wd_buf_char(&b, '\n');
    if (!st)
        st = wd_buf_check(&b, path, err);
    if (!st)
        st = wd_file_write(path, wd_buf_view(&b), err);
    wd_buf_free(&b);
    return st;
}

wd_status wd_phantom_chart_write(const char *dir, uint64_t seed, wd_err *err)
{
    json_t *chart, *truth;
    WD_TRY(wd_phantom_chart_make(seed, &chart, &truth, err));
    wd_status st = wd_file_mkdirs(dir, err);
    if (!st)
        st = write_json(dir, "chart.json", chart, err);
    if (!st)
        st = write_json(dir, "truth.json", truth, err);
    json_decref(chart);
    json_decref(truth);
    return st;
}
