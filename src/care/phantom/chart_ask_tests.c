/* Questions about measurements: values, trends, reference ranges, dates, counts. */
#include <stdio.h>
#include <string.h>

#include "care/phantom/chart_ask.h"

#define ROWS_USUAL 5 /* what the tool returns when no count is asked for */

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

static subject choose_test(wd_chart__question *q, bool numbers_only, double absent)
{
    const bool want_absent = wd_chart__chance(q->r, absent);
    const wd_chart__test *t;
    do
        t = &wd_chart__tests[wd_chart__pick(q->r, wd_chart__n_test)];
    while ((numbers_only && is_pressure(t)) || (series_of(q->p, t) == NULL) != want_absent);
    const wd_term *term = wd_term_find(t->name);
    return (subject){ series_of(q->p, t), term, { { term->name[0], term->name[1] } } };
}

/* One of a term's names in each language. */
static void put_names(wd_chart__question *q, const wd_term *t, const char *out[2])
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

static void last_of(wd_chart__question *q, const wd_chart__series *s, char value[64], char date[11])
{
    char number[40], unit[24];
    value_text(s, s->n - 1, number);
    unit_text(s, unit);
    snprintf(value, 64, "%s%s", number, unit);
    wd_chart__date(q->p->visit[s->visit[s->n - 1]], date);
}

/* "The latest potassium is 4.8 mmol/L on 2026-03-02, above the reference range (3.5-5.3)." */
static void say_latest(wd_chart__question *q, const subject *s)
{
    char value[64], date[11], range[40];
    if (!s->series) {
        wd_chart__say_absent(q, &s->name);
        return;
    }
    last_of(q, s->series, value, date);
    wd_buf_printf(&q->answer[0], "The latest %s is %s on %s", s->name.t[0], value, date);
    wd_buf_printf(&q->answer[1], "最近一次%s为%s（%s）", s->name.t[1], value, date);
    wd_chart__fact_both(q, value);
    wd_chart__fact_both(q, date);
    if (range_text(s->series->test, range)) {
        const int side = wd_chart__side(s->series->test, s->series->value[s->series->n - 1]);
        const wd_chart__text *w = &side_words[side + 1];
        wd_buf_printf(&q->answer[0], ", %s the reference range (%s)", w->t[0], range);
        wd_buf_printf(&q->answer[1], "，%s参考范围（%s）%s", w->t[1], range, side ? "" : "内");
        char en[64], zh[64];
        snprintf(en, sizeof en, "%s the reference range", w->t[0]);
        snprintf(zh, sizeof zh, "%s参考范围", w->t[1]);
        wd_chart__fact(q, en, zh);
    }
    wd_chart__say(q, ".", "。");
}

static void call_last(wd_chart__question *q, const subject *s, int n)
{
    wd_chart__call(q, "get_observations", json_pack("{s:s, s:i}", "name", s->term->name[0], "last", n));
}

void wd_chart__ask_latest(wd_chart__question *q)
{
    const subject s = choose_test(q, false, CHART_ABSENT);
    put_names(q, s.term, q->name);
    call_last(q, &s, 1);
    say_latest(q, &s);
}

void wd_chart__ask_pair(wd_chart__question *q)
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
    wd_chart__say(q, " ", "");
    say_latest(q, &b);
}

/* The values from `from` on, "3.9, 4.2, 4.8 mmol/L". */
static void say_values(wd_chart__question *q, const wd_chart__series *s, int from)
{
    char value[40], unit[24];
    for (int i = from; i < s->n; i++) {
        value_text(s, i, value);
        if (i > from)
            wd_chart__say(q, ", ", "、");
        wd_chart__say(q, "%s", "%s", value);
        wd_chart__fact_both(q, value);
    }
    unit_text(s, unit);
    wd_chart__say(q, "%s", "%s", unit);
}

void wd_chart__ask_trend(wd_chart__question *q)
{
    static const wd_chart__text course[] = { { { "is falling", "呈下降趋势" } },
                                             { { "is rising", "呈上升趋势" } },
                                             { { "is stable", "保持稳定" } },
                                             { { "shows no clear trend", "无明显趋势" } } };
    const subject s = choose_test(q, true, CHART_ABSENT);
    put_names(q, s.term, q->name);
    q->count = 3 + (int)wd_chart__pick(q->r, 3);
    call_last(q, &s, q->count);
    if (!s.series) {
        wd_chart__say_absent(q, &s.name);
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
    wd_chart__say(q, "The ", "");
    wd_chart__say_text(q, &s.name);
    wd_chart__say(q, " ", "");
    wd_chart__say_text(q, c);
    wd_chart__say(q, ": ", "：");
    say_values(q, s.series, from);
    wd_chart__say(q, " from %s to %s.", "（%s至%s）。", first_date, last_date);
    wd_chart__fact_text(q, c);
    wd_chart__fact_both(q, first_date);
    wd_chart__fact_both(q, last_date);
}

/* Is it above, below, within the reference range? */
static void ask_side(wd_chart__question *q, int asked)
{
    const subject s = choose_test(q, false, CHART_ABSENT);
    char value[64], date[11], range[40];
    put_names(q, s.term, q->name);
    call_last(q, &s, 1);
    if (!s.series) {
        wd_chart__say_absent(q, &s.name);
        return;
    }
    if (!range_text(s.series->test, range)) {
        wd_buf_printf(&q->answer[0], "No reference range is recorded for the %s.", s.name.t[0]);
        wd_buf_printf(&q->answer[1], "病历中没有%s的参考范围。", s.name.t[1]);
        wd_chart__fact(q, "No reference range", "没有");
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
    wd_chart__fact(q, yes ? "Yes," : "No,", yes ? "是，" : "否，");
    wd_chart__fact_text(q, w);
    wd_chart__fact_both(q, value);
}

void wd_chart__ask_above(wd_chart__question *q)
{
    ask_side(q, 1);
}

void wd_chart__ask_below(wd_chart__question *q)
{
    ask_side(q, -1);
}

void wd_chart__ask_within(wd_chart__question *q)
{
    ask_side(q, 0);
}

void wd_chart__ask_when(wd_chart__question *q)
{
    const subject s = choose_test(q, false, CHART_ABSENT);
    char value[64], date[11];
    put_names(q, s.term, q->name);
    call_last(q, &s, 1);
    if (!s.series) {
        wd_chart__say_absent(q, &s.name);
        return;
    }
    last_of(q, s.series, value, date);
    wd_buf_printf(&q->answer[0], "The last %s was measured on %s (%s).", s.name.t[0], date, value);
    wd_buf_printf(&q->answer[1], "最近一次%s检测于%s（%s）。", s.name.t[1], date, value);
    wd_chart__fact_both(q, date);
    wd_chart__fact_both(q, value);
}

void wd_chart__ask_since(wd_chart__question *q)
{
    const subject s = choose_test(q, false, CHART_ABSENT);
    const wd_chart__patient *p = q->p;
    int from = 0, n = 0;
    put_names(q, s.term, q->name);
    if (s.series) {
        n = s.series->n;
        from = n - 1 - (int)wd_chart__pick(q->r, (size_t)WD_MIN(n, ROWS_USUAL));
        if (wd_chart__chance(q->r, 0.08) && p->visit[s.series->visit[n - 1]] < p->today)
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
    wd_chart__call(q, "get_observations", json_pack("{s:s, s:s}", "name", s.term->name[0], "since", q->date));
    if (from == n) {
        wd_buf_printf(&q->answer[0], "No %s is recorded in that period.", s.name.t[0]);
        wd_buf_printf(&q->answer[1], "该时间段内没有%s的记录。", s.name.t[1]);
        wd_chart__fact(q, "is recorded in that period", "没有");
        return;
    }
    char unit[24], value[40], date[11];
    unit_text(s.series, unit);
    wd_chart__say(q, "Results for the ", "");
    wd_chart__say_text(q, &s.name);
    wd_chart__say(q, ": ", "结果：");
    for (int i = from; i < n; i++) {
        value_text(s.series, i, value);
        wd_chart__date(p->visit[s.series->visit[i]], date);
        if (i > from)
            wd_chart__say(q, ", ", "、");
        wd_chart__say(q, "%s%s on %s", "%s%s（%s）", value, unit, date);
        wd_chart__fact_both(q, value);
        wd_chart__fact_both(q, date);
    }
    wd_chart__say(q, ".", "。");
}

void wd_chart__ask_count(wd_chart__question *q)
{
    const subject s = choose_test(q, false, CHART_ABSENT);
    char text[32];
    put_names(q, s.term, q->name);
    wd_chart__call(q, "get_observations", json_pack("{s:s}", "name", s.term->name[0]));
    if (!s.series) {
        wd_chart__say_absent(q, &s.name);
        return;
    }
    wd_buf_printf(&q->answer[0], "%d results of the %s are recorded.", s.series->n, s.name.t[0]);
    wd_buf_printf(&q->answer[1], "共记录%d次%s结果。", s.series->n, s.name.t[1]);
    snprintf(text, sizeof text, "%d", s.series->n);
    wd_chart__fact_both(q, text);
}
