/* Questions about the drawn patient, with the tool calls and answers they need.
 *
 * An answer follows from the question and what the tools return, in one fixed wording: nothing in it is drawn. The answers
 * are made from the drawn patient, not through the tools, so that an evaluation with the truth also checks the tools.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "care/phantom/chart_inner.h"

#define TEXT_BYTES 1200
#define ROWS_USUAL 5 /* what the tool returns when no count is asked for */
#define ABSENT 0.15  /* of questions about something: it is not in the chart */

typedef struct question {
    wd_chart__patient *p;
    wd_rand *r;
    const char *kind;
    json_t *calls;
    const char *name[2], *other[2]; /* {n}, {m} */
    int count;                      /* {k} */
    char date[11];                  /* {d} */
    wd_buf answer[2];
    json_t *facts[2];
} question;

static bool chance(wd_rand *r, double p)
{
    return wd_rand_unit(r) < p;
}

/* --- pieces ------------------------------------------------------------------------------------------------------------ */

static void say(question *q, const char *en, const char *zh, ...) WD_PRINTF(2, 4);

/* The same arguments for both languages; names of things are said with say_name. */
static void say(question *q, const char *en, const char *zh, ...)
{
    const char *const form[2] = { en, zh };
    for (int lang = 0; lang < 2; lang++) {
        char text[TEXT_BYTES];
        va_list ap;
        va_start(ap, zh);
        vsnprintf(text, sizeof text, form[lang], ap);
        va_end(ap);
        wd_buf_str(&q->answer[lang], text);
    }
}

static void say_text(question *q, const wd_chart__text *t)
{
    for (int lang = 0; lang < 2; lang++)
        wd_buf_str(&q->answer[lang], t->t[lang]);
}

/* What an answer must hold to be right in substance. */
static void fact(question *q, const char *en, const char *zh)
{
    json_array_append_new(q->facts[0], json_string(en));
    json_array_append_new(q->facts[1], json_string(zh));
}

static void fact_both(question *q, const char *s)
{
    fact(q, s, s);
}

static void fact_text(question *q, const wd_chart__text *t)
{
    fact(q, t->t[0], t->t[1]);
}

/* Adds a call; arguments is given away. */
static void call(question *q, const char *tool, json_t *arguments)
{
    json_array_append_new(q->calls, json_pack("{s:s, s:o}", "name", tool, "arguments", arguments));
}

/* The answer that the chart says nothing. */
static void say_absent(question *q, const wd_chart__text *name)
{
    wd_buf_printf(&q->answer[0], "No %s is recorded in this chart.", name->t[0]);
    wd_buf_printf(&q->answer[1], "病历中没有%s的记录。", name->t[1]);
    char en[200], zh[200];
    snprintf(en, sizeof en, "No %s is recorded", name->t[0]);
    snprintf(zh, sizeof zh, "没有%s的记录", name->t[1]);
    fact(q, en, zh);
}

/* --- observations ---------------------------------------------------------------------------------------------------------- */

/* A measurement to ask about; NULL in *series when the chart has none of it. */
typedef struct subject {
    const wd_chart__series *series;
    const wd_term *term;
    wd_chart__text name;
} subject;

static bool is_pressure(const wd_chart__test *t)
{
    return !strcmp(t->name, "blood pressure");
}

static const wd_chart__series *series_of(const wd_chart__patient *p, const wd_chart__test *t)
{
    for (size_t i = 0; i < p->n_series; i++)
        if (p->series[i].test == t)
            return &p->series[i];
    return NULL;
}

static subject choose_test(question *q, bool numbers_only, double absent)
{
    const bool want_absent = chance(q->r, absent);
    const wd_chart__test *t;
    do
        t = &wd_chart__tests[wd_chart__pick(q->r, wd_chart__n_test)];
    while ((numbers_only && is_pressure(t)) || (series_of(q->p, t) == NULL) != want_absent);
    const wd_term *term = wd_term_find(t->name);
    return (subject){ series_of(q->p, t), term, { { term->name[0], term->name[1] } } };
}

/* One of a term's names in each language. */
static void put_names(question *q, const wd_term *t, const char *out[2])
{
    for (int lang = 0; lang < 2; lang++) {
        size_t n = 0;
        while (n < WD_TERM_ALSO_MAX && t->also[lang][n])
            n++;
        const size_t i = wd_chart__pick(q->r, n + 2); /* the usual name twice as often */
        out[lang] = i < n ? t->also[lang][i] : t->name[lang];
    }
}

static void value_text(const wd_chart__series *s, int i, char out[40])
{
    char value[16];
    wd_chart__number(s->value[i], s->test->decimals, value);
    if (is_pressure(s->test))
        snprintf(out, 40, "%s/%d", value, s->second[i]);
    else
        snprintf(out, 40, "%s", value);
}

/* " mmol/L", or nothing. */
static void unit_text(const wd_chart__series *s, char out[24])
{
    snprintf(out, 24, "%s%s", s->test->unit ? " " : "", s->test->unit ? s->test->unit : "");
}

/* "3.5-5.3", "<=10", ">=94"; false: none. */
static bool range_text(const wd_chart__test *t, char out[40])
{
    char low[16], high[16];
    wd_chart__number(t->low, t->decimals, low);
    wd_chart__number(t->high, t->decimals, high);
    if (t->low != CHART_NO_LIMIT && t->high != CHART_NO_LIMIT)
        snprintf(out, 40, "%s-%s", low, high);
    else if (t->high != CHART_NO_LIMIT)
        snprintf(out, 40, "<=%s", high);
    else if (t->low != CHART_NO_LIMIT)
        snprintf(out, 40, ">=%s", low);
    else
        return false;
    return true;
}

static const wd_chart__text side_words[3] = { { { "below", "低于" } },
                                              { { "within", "在" } },
                                              { { "above", "高于" } } };

static void last_of(question *q, const wd_chart__series *s, char value[64], char date[11])
{
    char number[40], unit[24];
    value_text(s, s->n - 1, number);
    unit_text(s, unit);
    snprintf(value, 64, "%s%s", number, unit);
    wd_chart__date(q->p->visit[s->visit[s->n - 1]], date);
}

/* "The latest potassium is 4.8 mmol/L on 2026-03-02, above the reference range (3.5-5.3)." */
static void say_latest(question *q, const subject *s)
{
    char value[64], date[11], range[40];
    if (!s->series) {
        say_absent(q, &s->name);
        return;
    }
    last_of(q, s->series, value, date);
    wd_buf_printf(&q->answer[0], "The latest %s is %s on %s", s->name.t[0], value, date);
    wd_buf_printf(&q->answer[1], "最近一次%s为%s（%s）", s->name.t[1], value, date);
    fact_both(q, value);
    fact_both(q, date);
    if (range_text(s->series->test, range)) {
        const int side = wd_chart__side(s->series->test, s->series->value[s->series->n - 1]);
        const wd_chart__text *w = &side_words[side + 1];
        wd_buf_printf(&q->answer[0], ", %s the reference range (%s)", w->t[0], range);
        wd_buf_printf(&q->answer[1], "，%s参考范围（%s）%s", w->t[1], range, side ? "" : "内");
        char en[64], zh[64];
        snprintf(en, sizeof en, "%s the reference range", w->t[0]);
        snprintf(zh, sizeof zh, "%s参考范围", w->t[1]);
        fact(q, en, zh);
    }
    say(q, ".", "。");
}

static void call_last(question *q, const subject *s, int n)
{
    call(q, "get_observations", json_pack("{s:s, s:i}", "name", s->term->name[0], "last", n));
}

static void ask_latest(question *q)
{
    const subject s = choose_test(q, false, ABSENT);
    put_names(q, s.term, q->name);
    call_last(q, &s, 1);
    say_latest(q, &s);
}

static void ask_pair(question *q)
{
    const subject a = choose_test(q, false, 0);
    subject b = a;
    while (b.term == a.term)
        b = choose_test(q, false, 0.1);
    put_names(q, a.term, q->name);
    put_names(q, b.term, q->other);
    call_last(q, &a, 1);
    call_last(q, &b, 1);
    say_latest(q, &a);
    say(q, " ", "");
    say_latest(q, &b);
}

/* The values from `from` on, "3.9, 4.2, 4.8 mmol/L". */
static void say_values(question *q, const wd_chart__series *s, int from)
{
    char value[40], unit[24];
    for (int i = from; i < s->n; i++) {
        value_text(s, i, value);
        if (i > from)
            say(q, ", ", "、");
        say(q, "%s", "%s", value);
        fact_both(q, value);
    }
    unit_text(s, unit);
    say(q, "%s", "%s", unit);
}

static void ask_trend(question *q)
{
    static const wd_chart__text course[] = { { { "is falling", "呈下降趋势" } },
                                             { { "is rising", "呈上升趋势" } },
                                             { { "is stable", "保持稳定" } },
                                             { { "shows no clear trend", "无明显趋势" } } };
    const subject s = choose_test(q, true, ABSENT);
    put_names(q, s.term, q->name);
    q->count = 3 + (int)wd_chart__pick(q->r, 3);
    call_last(q, &s, q->count);
    if (!s.series) {
        say_absent(q, &s.name);
        return;
    }
    const int from = WD_MAX(s.series->n - q->count, 0);
    bool up = false, down = false;
    for (int i = from + 1; i < s.series->n; i++) {
        up |= s.series->value[i] > s.series->value[i - 1];
        down |= s.series->value[i] < s.series->value[i - 1];
    }
    const wd_chart__text *c = &course[up && down ? 3 : up ? 1 : down ? 0 : 2];
    char first_date[11], last_date[11];
    wd_chart__date(q->p->visit[s.series->visit[from]], first_date);
    wd_chart__date(q->p->visit[s.series->visit[s.series->n - 1]], last_date);
    say(q, "The ", "");
    say_text(q, &s.name);
    say(q, " ", "");
    say_text(q, c);
    say(q, ": ", "：");
    say_values(q, s.series, from);
    say(q, " from %s to %s.", "（%s至%s）。", first_date, last_date);
    fact_text(q, c);
    fact_both(q, first_date);
    fact_both(q, last_date);
}

/* Is it above, below, within the reference range? */
static void ask_side(question *q, int asked)
{
    const subject s = choose_test(q, false, ABSENT);
    char value[64], date[11], range[40];
    put_names(q, s.term, q->name);
    call_last(q, &s, 1);
    if (!s.series) {
        say_absent(q, &s.name);
        return;
    }
    if (!range_text(s.series->test, range)) {
        wd_buf_printf(&q->answer[0], "No reference range is recorded for the %s.", s.name.t[0]);
        wd_buf_printf(&q->answer[1], "病历中没有%s的参考范围。", s.name.t[1]);
        fact(q, "No reference range", "没有");
        return;
    }
    last_of(q, s.series, value, date);
    const int side = wd_chart__side(s.series->test, s.series->value[s.series->n - 1]);
    const bool yes = side == asked;
    const wd_chart__text *w = &side_words[side + 1];
    wd_buf_printf(&q->answer[0], "%s, the latest %s is %s the reference range (%s on %s; range %s).",
                  yes ? "Yes" : "No", s.name.t[0], w->t[0], value, date, range);
    wd_buf_printf(&q->answer[1], "%s，最近一次%s%s参考范围%s（%s，%s；参考范围%s）。", yes ? "是" : "否",
                  s.name.t[1], w->t[1], side ? "" : "内", value, date, range);
    fact(q, yes ? "Yes" : "No", yes ? "是" : "否");
    fact_text(q, w);
    fact_both(q, value);
}

static void ask_above(question *q)
{
    ask_side(q, 1);
}

static void ask_below(question *q)
{
    ask_side(q, -1);
}

static void ask_within(question *q)
{
    ask_side(q, 0);
}

static void ask_when(question *q)
{
    const subject s = choose_test(q, false, ABSENT);
    char value[64], date[11];
    put_names(q, s.term, q->name);
    call_last(q, &s, 1);
    if (!s.series) {
        say_absent(q, &s.name);
        return;
    }
    last_of(q, s.series, value, date);
    wd_buf_printf(&q->answer[0], "The last %s was measured on %s (%s).", s.name.t[0], date, value);
    wd_buf_printf(&q->answer[1], "最近一次%s检测于%s（%s）。", s.name.t[1], date, value);
    fact_both(q, date);
    fact_both(q, value);
}

static void ask_since(question *q)
{
    const subject s = choose_test(q, false, ABSENT);
    const wd_chart__patient *p = q->p;
    int from = 0, n = 0;
    put_names(q, s.term, q->name);
    if (s.series) {
        n = s.series->n;
        from = n - 1 - (int)wd_chart__pick(q->r, (size_t)WD_MIN(n, ROWS_USUAL));
        if (chance(q->r, 0.08) && p->visit[s.series->visit[n - 1]] < p->today)
            from = n; /* since the day after the last one */
    }
    int64_t day = p->today - 20 - (int64_t)wd_chart__pick(q->r, 60);
    if (from < n) { /* some day from just after the one before to the first that counts */
        const int64_t to = p->visit[s.series->visit[from]];
        const int64_t after = from ? p->visit[s.series->visit[from - 1]] + 1 : to - 10;
        day = after + (int64_t)wd_chart__pick(q->r, (size_t)(to - after + 1));
    } else if (n) {
        day = p->visit[s.series->visit[n - 1]] + 1;
    }
    wd_chart__date(day, q->date);
    call(q, "get_observations", json_pack("{s:s, s:s}", "name", s.term->name[0], "since", q->date));
    if (from == n) {
        wd_buf_printf(&q->answer[0], "No %s is recorded in that period.", s.name.t[0]);
        wd_buf_printf(&q->answer[1], "该时间段内没有%s的记录。", s.name.t[1]);
        fact(q, "is recorded in that period", "没有");
        return;
    }
    char unit[24], value[40], date[11];
    unit_text(s.series, unit);
    say(q, "Results for the ", "");
    say_text(q, &s.name);
    say(q, ": ", "结果：");
    for (int i = from; i < n; i++) {
        value_text(s.series, i, value);
        wd_chart__date(p->visit[s.series->visit[i]], date);
        if (i > from)
            say(q, ", ", "、");
        say(q, "%s%s on %s", "%s%s（%s）", value, unit, date);
        fact_both(q, value);
        fact_both(q, date);
    }
    say(q, ".", "。");
}

static void ask_count(question *q)
{
    const subject s = choose_test(q, false, ABSENT);
    char text[32];
    put_names(q, s.term, q->name);
    call(q, "get_observations", json_pack("{s:s}", "name", s.term->name[0]));
    if (!s.series) {
        say_absent(q, &s.name);
        return;
    }
    wd_buf_printf(&q->answer[0], "%d results of the %s are recorded.", s.series->n, s.name.t[0]);
    wd_buf_printf(&q->answer[1], "共记录%d次%s结果。", s.series->n, s.name.t[1]);
    snprintf(text, sizeof text, "%d", s.series->n);
    fact_both(q, text);
}

/* --- medications ---------------------------------------------------------------------------------------------------------------- */

/* "500 mg twice daily" */
static void order_dose(const wd_chart__order *o, int lang, char out[64])
{
    char amount[16];
    wd_chart__dose(o->dose, amount);
    snprintf(out, 64, "%s %s %s", amount, o->drug->unit, o->frequency->words.t[lang]);
}

/* "metformin 500 mg twice daily; ramipril 5 mg once daily" */
static void say_orders(question *q, bool stopped)
{
    int n = 0;
    for (size_t i = 0; i < q->p->n_order; i++) {
        const wd_chart__order *o = &q->p->order[i];
        char dose[2][64];
        if (o->stopped != stopped)
            continue;
        if (n++)
            say(q, "; ", "；");
        for (int lang = 0; lang < 2; lang++) {
            order_dose(o, lang, dose[lang]);
            wd_buf_printf(&q->answer[lang], "%s %s", o->drug->name.t[lang], dose[lang]);
        }
        fact_text(q, &o->drug->name);
        fact(q, dose[0], dose[1]);
    }
}

static int count_orders(const wd_chart__patient *p, bool stopped)
{
    int n = 0;
    for (size_t i = 0; i < p->n_order; i++)
        n += p->order[i].stopped == stopped;
    return n;
}

static void ask_orders(question *q, bool stopped)
{
    call(q, "get_medications", json_pack("{s:s}", "status", stopped ? "stopped" : "active"));
    const wd_chart__text none = stopped ? (wd_chart__text){ { "No stopped medications are recorded.",
                                                              "病历中没有停用药物的记录。" } }
                                        : (wd_chart__text){ { "No current medications are recorded.",
                                                              "病历中没有当前用药的记录。" } };
    if (!count_orders(q->p, stopped)) {
        say_text(q, &none);
        fact_text(q, &none);
        return;
    }
    if (stopped)
        say(q, "Stopped medications: ", "已停用药物：");
    else
        say(q, "Current medications: ", "当前用药：");
    say_orders(q, stopped);
    say(q, ".", "。");
}

static void ask_medications(question *q)
{
    ask_orders(q, false);
}

static void ask_stopped(question *q)
{
    ask_orders(q, true);
}

static void ask_medication_count(question *q)
{
    const int n = count_orders(q->p, false);
    const wd_chart__text none = { { "No current medications are recorded.", "病历中没有当前用药的记录。" } };
    char text[32];
    call(q, "get_medications", json_pack("{s:s}", "status", "active"));
    if (!n) {
        say_text(q, &none);
        fact_text(q, &none);
        return;
    }
    wd_buf_printf(&q->answer[0], "%d current medication%s recorded.", n, n == 1 ? " is" : "s are");
    wd_buf_printf(&q->answer[1], "共记录%d种当前用药。", n);
    snprintf(text, sizeof text, "%d", n);
    fact_both(q, text);
}

/* An order to ask about, or a drug that was never ordered. */
static const wd_chart__order *choose_order(question *q, const wd_chart__drug **drug)
{
    if (q->p->n_order && !chance(q->r, 0.25)) {
        const wd_chart__order *o = &q->p->order[wd_chart__pick(q->r, q->p->n_order)];
        *drug = o->drug;
        return o;
    }
    for (;;) {
        bool ordered = false;
        *drug = &wd_chart__drugs[wd_chart__pick(q->r, wd_chart__n_drug)];
        for (size_t i = 0; i < q->p->n_order; i++)
            ordered |= q->p->order[i].drug == *drug;
        if (!ordered)
            return NULL;
    }
}

/* Asks for a drug by name; NULL when the answer, that there is none, has been said. */
static const wd_chart__order *ask_order(question *q)
{
    const wd_chart__drug *d;
    const wd_chart__order *o = choose_order(q, &d);
    q->name[0] = d->name.t[0];
    q->name[1] = d->name.t[1];
    call(q, "get_medications", json_pack("{s:s}", "name", d->name.t[0]));
    if (!o)
        say_absent(q, &d->name);
    return o;
}

static void ask_dose(question *q)
{
    const wd_chart__order *o = ask_order(q);
    char dose[2][64];
    if (!o)
        return;
    order_dose(o, 0, dose[0]);
    order_dose(o, 1, dose[1]);
    wd_buf_printf(&q->answer[0], "The recorded dose of %s is %s (%s).", o->drug->name.t[0], dose[0],
                  o->stopped ? "stopped" : "active");
    wd_buf_printf(&q->answer[1], "%s的记录剂量为%s（%s）。", o->drug->name.t[1], dose[1],
                  o->stopped ? "已停用" : "使用中");
    fact(q, dose[0], dose[1]);
}

static void ask_taking(question *q)
{
    const wd_chart__order *o = ask_order(q);
    char dose[2][64];
    if (!o)
        return;
    order_dose(o, 0, dose[0]);
    order_dose(o, 1, dose[1]);
    if (o->stopped) {
        wd_buf_printf(&q->answer[0], "No, %s was stopped (%s).", o->drug->name.t[0], dose[0]);
        wd_buf_printf(&q->answer[1], "否，%s已停用（%s）。", o->drug->name.t[1], dose[1]);
    } else {
        wd_buf_printf(&q->answer[0], "Yes, %s is a current medication (%s).", o->drug->name.t[0], dose[0]);
        wd_buf_printf(&q->answer[1], "是，正在使用%s（%s）。", o->drug->name.t[1], dose[1]);
    }
    fact(q, o->stopped ? "No" : "Yes", o->stopped ? "否" : "是");
    fact(q, dose[0], dose[1]);
}

/* --- allergies, conditions -------------------------------------------------------------------------------------------------------- */

static void ask_allergies(question *q)
{
    const wd_chart__text none = { { "No allergies are recorded.", "病历中没有过敏的记录。" } };
    call(q, "get_allergies", json_object());
    if (!q->p->n_allergy) {
        say_text(q, &none);
        fact_text(q, &none);
        return;
    }
    say(q, "Recorded allergies: ", "已记录的过敏：");
    for (size_t i = 0; i < q->p->n_allergy; i++) {
        const wd_chart__allergy *a = &q->p->allergy[i];
        wd_buf_printf(&q->answer[0], "%s%s (%s, criticality %s)", i ? "; " : "", a->substance->name.t[0],
                      a->reaction->t[0], a->high ? "high" : "low");
        wd_buf_printf(&q->answer[1], "%s%s（%s，危险性%s）", i ? "；" : "", a->substance->name.t[1],
                      a->reaction->t[1], a->high ? "高" : "低");
        fact_text(q, &a->substance->name);
        fact_text(q, a->reaction);
    }
    say(q, ".", "。");
}

static void ask_allergic_to(question *q)
{
    const wd_chart__allergy *a = NULL;
    const wd_chart__substance *s = &wd_chart__substances[wd_chart__pick(q->r, wd_chart__n_substance)];
    if (q->p->n_allergy && chance(q->r, 0.6))
        s = q->p->allergy[wd_chart__pick(q->r, q->p->n_allergy)].substance;
    for (size_t i = 0; i < q->p->n_allergy; i++)
        if (q->p->allergy[i].substance == s)
            a = &q->p->allergy[i];
    for (int lang = 0; lang < 2; lang++)
        q->name[lang] = chance(q->r, 0.5) ? s->name.t[lang] : s->also.t[lang];
    call(q, "get_allergies", json_object());
    if (!a) {
        wd_buf_printf(&q->answer[0], "No allergy to %s is recorded.", q->name[0]);
        wd_buf_printf(&q->answer[1], "病历中没有对%s过敏的记录。", q->name[1]);
        fact(q, "No allergy", "没有");
        return;
    }
    wd_buf_printf(&q->answer[0], "Yes, an allergy to %s is recorded (%s, criticality %s).", s->name.t[0],
                  a->reaction->t[0], a->high ? "high" : "low");
    wd_buf_printf(&q->answer[1], "是，已记录对%s过敏（%s，危险性%s）。", s->name.t[1], a->reaction->t[1],
                  a->high ? "高" : "低");
    fact(q, "Yes", "是");
    fact_text(q, &s->name);
    fact_text(q, a->reaction);
}

static void ask_conditions(question *q, bool resolved)
{
    int n = 0;
    call(q, "get_conditions", json_pack("{s:s}", "status", resolved ? "resolved" : "active"));
    for (size_t i = 0; i < q->p->n_condition; i++) {
        const wd_chart__condition *c = &q->p->condition[i];
        char date[11];
        if (c->resolved != resolved)
            continue;
        if (n++)
            say(q, "; ", "；");
        else if (resolved)
            say(q, "Resolved conditions: ", "已缓解的疾病：");
        else
            say(q, "Active conditions: ", "当前疾病：");
        wd_chart__date(c->day, date);
        wd_buf_printf(&q->answer[0], "%s (since %s)", c->disease->name.t[0], date);
        wd_buf_printf(&q->answer[1], "%s（始于%s）", c->disease->name.t[1], date);
        fact_text(q, &c->disease->name);
        fact_both(q, date);
    }
    const wd_chart__text none = resolved ? (wd_chart__text){ { "No resolved conditions are recorded.",
                                                               "病历中没有已缓解疾病的记录。" } }
                                         : (wd_chart__text){ { "No active conditions are recorded.",
                                                               "病历中没有当前疾病的记录。" } };
    if (n) {
        say(q, ".", "。");
        return;
    }
    say_text(q, &none);
    fact_text(q, &none);
}

static void ask_active_conditions(question *q)
{
    ask_conditions(q, false);
}

static void ask_resolved_conditions(question *q)
{
    ask_conditions(q, true);
}

static void ask_has_condition(question *q)
{
    const wd_chart__condition *c = NULL;
    const wd_chart__disease *d = &wd_chart__diseases[wd_chart__pick(q->r, wd_chart__n_disease)];
    if (q->p->n_condition && chance(q->r, 0.6))
        d = q->p->condition[wd_chart__pick(q->r, q->p->n_condition)].disease;
    for (size_t i = 0; i < q->p->n_condition; i++)
        if (q->p->condition[i].disease == d)
            c = &q->p->condition[i];
    q->name[0] = d->name.t[0];
    q->name[1] = d->name.t[1];
    call(q, "get_conditions", json_pack("{s:s}", "status", "all"));
    if (!c) {
        say_absent(q, &d->name);
        return;
    }
    char date[11];
    wd_chart__date(c->day, date);
    wd_buf_printf(&q->answer[0], "Yes, %s is recorded (%s, since %s).", d->name.t[0],
                  c->resolved ? "resolved" : "active", date);
    wd_buf_printf(&q->answer[1], "是，已记录%s（%s，始于%s）。", d->name.t[1],
                  c->resolved ? "已缓解" : "现患", date);
    fact(q, "Yes", "是");
    fact(q, c->resolved ? "resolved" : "active", c->resolved ? "已缓解" : "现患");
    fact_both(q, date);
}

/* --- imaging, and what no tool holds ------------------------------------------------------------------------------------------------ */

static const struct {
    const char *code;
    wd_chart__text name;
} modalities[] = { { "CT", { { "CT", "CT" } } },
                   { "MR", { { "MRI", "磁共振" } } },
                   { "DX", { { "X-ray", "X线" } } },
                   { "US", { { "ultrasound", "超声" } } } };

static void say_study(question *q, const wd_chart__study *s)
{
    char date[11];
    wd_chart__date(s->day, date);
    wd_buf_printf(&q->answer[0], "The last study is the %s of %s: %s", s->kind->name.t[0], date,
                  s->conclusion[0]);
    wd_buf_printf(&q->answer[1], "最近一次检查为%s的%s：%s", date, s->kind->name.t[1], s->conclusion[1]);
    fact_text(q, &s->kind->name);
    fact_both(q, date);
    fact(q, s->conclusion[0], s->conclusion[1]);
}

static void ask_last_imaging(question *q)
{
    const wd_chart__text none = { { "No imaging study is recorded in this chart.",
                                    "病历中没有影像检查的记录。" } };
    call(q, "get_imaging", json_pack("{s:i}", "last", 1));
    if (q->p->n_study) {
        say_study(q, &q->p->study[q->p->n_study - 1]);
    } else {
        say_text(q, &none);
        fact_text(q, &none);
    }
}

/* A kind of imaging: of a study that was done, or any. */
static size_t choose_modality(question *q)
{
    size_t m = wd_chart__pick(q->r, WD_COUNT(modalities));
    if (q->p->n_study && chance(q->r, 0.75)) {
        const char *code = q->p->study[wd_chart__pick(q->r, q->p->n_study)].kind->modality;
        for (m = 0; strcmp(modalities[m].code, code) != 0;)
            m++;
    }
    q->name[0] = modalities[m].name.t[0];
    q->name[1] = modalities[m].name.t[1];
    return m;
}

static void say_no_study(question *q, size_t m)
{
    char zh[64];
    snprintf(zh, sizeof zh, "%s检查", modalities[m].name.t[1]);
    const wd_chart__text name = { { modalities[m].name.t[0], zh } };
    say_absent(q, &name);
}

static void ask_last_of_modality(question *q)
{
    const size_t m = choose_modality(q);
    const wd_chart__study *last = NULL;
    for (size_t i = 0; i < q->p->n_study; i++)
        if (!strcmp(q->p->study[i].kind->modality, modalities[m].code))
            last = &q->p->study[i];
    call(q, "get_imaging", json_pack("{s:s, s:i}", "modality", modalities[m].code, "last", 1));
    if (last)
        say_study(q, last);
    else
        say_no_study(q, m);
}

static void ask_imaging_count(question *q)
{
    const size_t m = choose_modality(q);
    int n = 0;
    char text[32];
    for (size_t i = 0; i < q->p->n_study; i++)
        n += !strcmp(q->p->study[i].kind->modality, modalities[m].code);
    call(q, "get_imaging", json_pack("{s:s}", "modality", modalities[m].code));
    if (!n) {
        say_no_study(q, m);
        return;
    }
    wd_buf_printf(&q->answer[0], "%d %s %s recorded.", n, modalities[m].name.t[0],
                  n == 1 ? "study is" : "studies are");
    wd_buf_printf(&q->answer[1], "共记录%d次%s检查。", n, modalities[m].name.t[1]);
    snprintf(text, sizeof text, "%d", n);
    fact_both(q, text);
}

static void ask_outside(question *q)
{
    static const wd_chart__text topic[] = {
        { { "insurance", "保险" } },
        { { "occupation", "职业" } },
        { { "phone number", "电话号码" } },
        { { "home address", "家庭住址" } },
        { { "marital status", "婚姻状况" } },
        { { "favourite food", "喜欢的食物" } },
        { { "hobby", "爱好" } },
        { { "religion", "宗教信仰" } },
        { { "room number", "房间号" } },
        { { "next of kin", "直系亲属" } },
        { { "education", "学历" } },
        { { "bank account", "银行账户" } },
    };
    const wd_chart__text *t = &topic[wd_chart__pick(q->r, WD_COUNT(topic))];
    const wd_chart__text none = { { "This chart does not record that.", "病历中没有记录该信息。" } };
    q->name[0] = t->t[0];
    q->name[1] = t->t[1];
    say_text(q, &none);
    fact_text(q, &none);
}

/* --- the whole ------------------------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *kind;
    void (*ask)(question *q);
} kinds[] = {
    { "latest", ask_latest },
    { "trend", ask_trend },
    { "above", ask_above },
    { "below", ask_below },
    { "within", ask_within },
    { "when", ask_when },
    { "since", ask_since },
    { "count", ask_count },
    { "pair", ask_pair },
    { "medications", ask_medications },
    { "stopped", ask_stopped },
    { "medication count", ask_medication_count },
    { "dose", ask_dose },
    { "taking", ask_taking },
    { "allergies", ask_allergies },
    { "allergic to", ask_allergic_to },
    { "active conditions", ask_active_conditions },
    { "resolved conditions", ask_resolved_conditions },
    { "has condition", ask_has_condition },
    { "last imaging", ask_last_imaging },
    { "last of modality", ask_last_of_modality },
    { "imaging count", ask_imaging_count },
    { "outside", ask_outside },
};

static const wd_chart__wording *wording_of(const char *kind)
{
    size_t i = 0;
    while (strcmp(wd_chart__wordings[i].kind, kind) != 0)
        i++;
    return &wd_chart__wordings[i];
}

/* The template with its places filled. */
static void put_question(const question *q, int lang, const char *form, const char *count, wd_buf *out)
{
    for (const char *s = form; *s; s++) {
        if (*s == '{' && s[1] && s[2] == '}') {
            wd_buf_str(out, s[1] == 'n'   ? q->name[lang]
                            : s[1] == 'm' ? q->other[lang]
                            : s[1] == 'k' ? count
                                          : q->date);
            s += 2;
        } else {
            wd_buf_char(out, *s);
        }
    }
}

static json_t *in_language(question *q, int lang)
{
    static const char *const number[2][6] = { { "", "", "", "three", "four", "five" },
                                              { "", "", "", "三", "四", "五" } };
    const wd_chart__wording *w = wording_of(q->kind);
    char digits[16];
    wd_buf text = { 0 };
    size_t n = 0;
    while (n < WD_COUNT(w->ask[lang]) && w->ask[lang][n])
        n++;
    snprintf(digits, sizeof digits, "%d", q->count);
    const char *count = chance(q->r, 0.5) ? digits : number[lang][q->count];
    put_question(q, lang, w->ask[lang][wd_chart__pick(q->r, n)], count, &text);
    json_t *v = json_pack("{s:s%, s:s%, s:O}", "question", (const char *)text.p, text.n, "answer",
                          (const char *)q->answer[lang].p, q->answer[lang].n, "facts", q->facts[lang]);
    wd_buf_free(&text);
    return v;
}

static json_t *ask(wd_chart__patient *p, size_t kind)
{
    question q = { .p = p, .r = &p->rand, .kind = kinds[kind].kind, .calls = json_array() };
    q.facts[0] = json_array();
    q.facts[1] = json_array();
    kinds[kind].ask(&q);
    json_t *en = in_language(&q, WD_LANG_EN), *zh = in_language(&q, WD_LANG_ZH);
    json_t *v = json_pack("{s:s, s:o, s:o, s:o}", "kind", q.kind, "calls", q.calls, "en", en, "zh", zh);
    for (int lang = 0; lang < 2; lang++) {
        wd_buf_free(&q.answer[lang]);
        json_decref(q.facts[lang]);
    }
    return v;
}

json_t *wd_chart__truth(wd_chart__patient *p)
{
    size_t order[WD_COUNT(kinds)];
    char today[11];
    json_t *list = json_array();
    for (size_t i = 0; i < WD_COUNT(kinds); i++)
        order[i] = i;
    for (size_t i = 0; i < WD_CHART_QUESTIONS; i++) {
        const size_t k = i + wd_chart__pick(&p->rand, WD_COUNT(kinds) - i), kind = order[k];
        order[k] = order[i];
        if (json_array_append_new(list, ask(p, kind))) {
            json_decref(list);
            return NULL;
        }
    }
    wd_chart__date(p->today, today);
    return json_pack("{s:s, s:I, s:s, s:o}", "kind", "chart", "seed", (json_int_t)p->seed, "today", today,
                     "questions", list);
}
