/* Questions about the drawn patient, with the tool calls and answers they need.
 *
 * An answer follows from the question and what the tools return, in one fixed wording: nothing in it is drawn. The answers
 * are made from the drawn patient, not through the tools, so that an evaluation with the truth also checks the tools.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "care/phantom/chart_ask.h"

#define TEXT_BYTES 1200

bool wd_chart__chance(wd_rand *r, double p)
{
    return wd_rand_unit(r) < p;
}

void wd_chart__say(wd_chart__question *q, const char *en, const char *zh, ...)
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

void wd_chart__say_text(wd_chart__question *q, const wd_chart__text *t)
{
    for (int lang = 0; lang < 2; lang++)
        wd_buf_str(&q->answer[lang], t->t[lang]);
}

void wd_chart__fact(wd_chart__question *q, const char *en, const char *zh)
{
    json_array_append_new(q->facts[0], json_string(en));
    json_array_append_new(q->facts[1], json_string(zh));
}

void wd_chart__fact_both(wd_chart__question *q, const char *s)
{
    wd_chart__fact(q, s, s);
}

void wd_chart__fact_text(wd_chart__question *q, const wd_chart__text *t)
{
    wd_chart__fact(q, t->t[0], t->t[1]);
}

void wd_chart__call(wd_chart__question *q, const char *tool, json_t *arguments)
{
    json_array_append_new(q->calls, json_pack("{s:s, s:o}", "name", tool, "arguments", arguments));
}

void wd_chart__say_absent(wd_chart__question *q, const wd_chart__text *name)
{
    wd_buf_printf(&q->answer[0], "No %s is recorded in this chart.", name->t[0]);
    wd_buf_printf(&q->answer[1], "病历中没有%s的记录。", name->t[1]);
    char en[200], zh[200];
    snprintf(en, sizeof en, "No %s is recorded", name->t[0]);
    snprintf(zh, sizeof zh, "没有%s的记录", name->t[1]);
    wd_chart__fact(q, en, zh);
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
static void say_orders(wd_chart__question *q, bool stopped)
{
    int n = 0;
    for (size_t i = 0; i < q->p->n_order; i++) {
        const wd_chart__order *o = &q->p->order[i];
        char dose[2][64];
        if (o->stopped != stopped)
            continue;
        if (n++)
            wd_chart__say(q, "; ", "；");
        for (int lang = 0; lang < 2; lang++) {
            order_dose(o, lang, dose[lang]);
            wd_buf_printf(&q->answer[lang], "%s %s", o->drug->name.t[lang], dose[lang]);
        }
        wd_chart__fact_text(q, &o->drug->name);
        wd_chart__fact(q, dose[0], dose[1]);
    }
}

static int count_orders(const wd_chart__patient *p, bool stopped)
{
    int n = 0;
    for (size_t i = 0; i < p->n_order; i++)
        n += p->order[i].stopped == stopped;
    return n;
}

static void ask_orders(wd_chart__question *q, bool stopped)
{
    wd_chart__call(q, "get_medications", json_pack("{s:s}", "status", stopped ? "stopped" : "active"));
    const wd_chart__text none = stopped ? (wd_chart__text){ { "No stopped medications are recorded.",
                                                              "病历中没有停用药物的记录。" } }
                                        : (wd_chart__text){ { "No current medications are recorded.",
                                                              "病历中没有当前用药的记录。" } };
    if (!count_orders(q->p, stopped)) {
        wd_chart__say_text(q, &none);
        wd_chart__fact_text(q, &none);
        return;
    }
    if (stopped)
        wd_chart__say(q, "Stopped medications: ", "已停用药物：");
    else
        wd_chart__say(q, "Current medications: ", "当前用药：");
    say_orders(q, stopped);
    wd_chart__say(q, ".", "。");
}

static void ask_medications(wd_chart__question *q)
{
    ask_orders(q, false);
}

static void ask_stopped(wd_chart__question *q)
{
    ask_orders(q, true);
}

static void ask_medication_count(wd_chart__question *q)
{
    const int n = count_orders(q->p, false);
    const wd_chart__text none = { { "No current medications are recorded.", "病历中没有当前用药的记录。" } };
    char text[32];
    wd_chart__call(q, "get_medications", json_pack("{s:s}", "status", "active"));
    if (!n) {
        wd_chart__say_text(q, &none);
        wd_chart__fact_text(q, &none);
        return;
    }
    wd_buf_printf(&q->answer[0], "%d current medication%s recorded.", n, n == 1 ? " is" : "s are");
    wd_buf_printf(&q->answer[1], "共记录%d种当前用药。", n);
    snprintf(text, sizeof text, "%d", n);
    wd_chart__fact_both(q, text);
}

/* An order to ask about, or a drug that was never ordered. */
static const wd_chart__order *choose_order(wd_chart__question *q, const wd_chart__drug **drug)
{
    if (q->p->n_order && !wd_chart__chance(q->r, 0.25)) {
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
static const wd_chart__order *ask_order(wd_chart__question *q)
{
    const wd_chart__drug *d;
    const wd_chart__order *o = choose_order(q, &d);
    q->name[0] = d->name.t[0];
    q->name[1] = d->name.t[1];
    wd_chart__call(q, "get_medications", json_pack("{s:s}", "name", d->name.t[0]));
    if (!o)
        wd_chart__say_absent(q, &d->name);
    return o;
}

static void ask_dose(wd_chart__question *q)
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
    wd_chart__fact(q, dose[0], dose[1]);
}

static void ask_taking(wd_chart__question *q)
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
    wd_chart__fact(q, o->stopped ? "No," : "Yes,", o->stopped ? "否，" : "是，");
    wd_chart__fact(q, dose[0], dose[1]);
}

/* --- allergies, conditions -------------------------------------------------------------------------------------------------------- */

static void ask_allergies(wd_chart__question *q)
{
    const wd_chart__text none = { { "No allergies are recorded.", "病历中没有过敏的记录。" } };
    wd_chart__call(q, "get_allergies", json_object());
    if (!q->p->n_allergy) {
        wd_chart__say_text(q, &none);
        wd_chart__fact_text(q, &none);
        return;
    }
    wd_chart__say(q, "Recorded allergies: ", "已记录的过敏：");
    for (size_t i = 0; i < q->p->n_allergy; i++) {
        const wd_chart__allergy *a = &q->p->allergy[i];
        wd_buf_printf(&q->answer[0], "%s%s (%s, criticality %s)", i ? "; " : "", a->substance->name.t[0],
                      a->reaction->t[0], a->high ? "high" : "low");
        wd_buf_printf(&q->answer[1], "%s%s（%s，危险性%s）", i ? "；" : "", a->substance->name.t[1],
                      a->reaction->t[1], a->high ? "高" : "低");
        wd_chart__fact_text(q, &a->substance->name);
        wd_chart__fact_text(q, a->reaction);
    }
    wd_chart__say(q, ".", "。");
}

static void ask_allergic_to(wd_chart__question *q)
{
    const wd_chart__allergy *a = NULL;
    const wd_chart__substance *s = &wd_chart__substances[wd_chart__pick(q->r, wd_chart__n_substance)];
    if (q->p->n_allergy && wd_chart__chance(q->r, 0.6))
        s = q->p->allergy[wd_chart__pick(q->r, q->p->n_allergy)].substance;
    for (size_t i = 0; i < q->p->n_allergy; i++)
        if (q->p->allergy[i].substance == s)
            a = &q->p->allergy[i];
    for (int lang = 0; lang < 2; lang++)
        q->name[lang] = wd_chart__chance(q->r, 0.5) ? s->name.t[lang] : s->also.t[lang];
    wd_chart__call(q, "get_allergies", json_object());
    if (!a) {
        wd_buf_printf(&q->answer[0], "No allergy to %s is recorded.", q->name[0]);
        wd_buf_printf(&q->answer[1], "病历中没有对%s过敏的记录。", q->name[1]);
        wd_chart__fact(q, "No allergy to", "没有对");
        return;
    }
    wd_buf_printf(&q->answer[0], "Yes, an allergy to %s is recorded (%s, criticality %s).", s->name.t[0],
                  a->reaction->t[0], a->high ? "high" : "low");
    wd_buf_printf(&q->answer[1], "是，已记录对%s过敏（%s，危险性%s）。", s->name.t[1], a->reaction->t[1],
                  a->high ? "高" : "低");
    wd_chart__fact(q, "Yes,", "是，");
    wd_chart__fact_text(q, &s->name);
    wd_chart__fact_text(q, a->reaction);
}

static void ask_conditions(wd_chart__question *q, bool resolved)
{
    int n = 0;
    wd_chart__call(q, "get_conditions", json_pack("{s:s}", "status", resolved ? "resolved" : "active"));
    for (size_t i = 0; i < q->p->n_condition; i++) {
        const wd_chart__condition *c = &q->p->condition[i];
        char date[11];
        if (c->resolved != resolved)
            continue;
        if (n++)
            wd_chart__say(q, "; ", "；");
        else if (resolved)
            wd_chart__say(q, "Resolved conditions: ", "已缓解的疾病：");
        else
            wd_chart__say(q, "Active conditions: ", "当前疾病：");
        wd_chart__date(c->day, date);
        wd_buf_printf(&q->answer[0], "%s (since %s)", c->disease->name.t[0], date);
        wd_buf_printf(&q->answer[1], "%s（始于%s）", c->disease->name.t[1], date);
        wd_chart__fact_text(q, &c->disease->name);
        wd_chart__fact_both(q, date);
    }
    const wd_chart__text none = resolved ? (wd_chart__text){ { "No resolved conditions are recorded.",
                                                               "病历中没有已缓解疾病的记录。" } }
                                         : (wd_chart__text){ { "No active conditions are recorded.",
                                                               "病历中没有当前疾病的记录。" } };
    if (n) {
        wd_chart__say(q, ".", "。");
        return;
    }
    wd_chart__say_text(q, &none);
    wd_chart__fact_text(q, &none);
}

static void ask_active_conditions(wd_chart__question *q)
{
    ask_conditions(q, false);
}

static void ask_resolved_conditions(wd_chart__question *q)
{
    ask_conditions(q, true);
}

static void ask_has_condition(wd_chart__question *q)
{
    const wd_chart__condition *c = NULL;
    const wd_chart__disease *d = &wd_chart__diseases[wd_chart__pick(q->r, wd_chart__n_disease)];
    if (q->p->n_condition && wd_chart__chance(q->r, 0.6))
        d = q->p->condition[wd_chart__pick(q->r, q->p->n_condition)].disease;
    for (size_t i = 0; i < q->p->n_condition; i++)
        if (q->p->condition[i].disease == d)
            c = &q->p->condition[i];
    q->name[0] = d->name.t[0];
    q->name[1] = d->name.t[1];
    wd_chart__call(q, "get_conditions", json_pack("{s:s}", "status", "all"));
    if (!c) {
        wd_chart__say_absent(q, &d->name);
        return;
    }
    char date[11];
    wd_chart__date(c->day, date);
    wd_buf_printf(&q->answer[0], "Yes, %s is recorded (%s, since %s).", d->name.t[0],
                  c->resolved ? "resolved" : "active", date);
    wd_buf_printf(&q->answer[1], "是，已记录%s（%s，始于%s）。", d->name.t[1],
                  c->resolved ? "已缓解" : "现患", date);
    wd_chart__fact(q, "Yes,", "是，");
    wd_chart__fact(q, c->resolved ? "resolved" : "active", c->resolved ? "已缓解" : "现患");
    wd_chart__fact_both(q, date);
}

/* --- imaging, and what no tool holds ------------------------------------------------------------------------------------------------ */

static const struct {
    const char *code;
    wd_chart__text name;
} modalities[] = { { "CT", { { "CT", "CT" } } },
                   { "MR", { { "MRI", "磁共振" } } },
                   { "DX", { { "X-ray", "X线" } } },
                   { "US", { { "ultrasound", "超声" } } } };

static void say_study(wd_chart__question *q, const wd_chart__study *s)
{
    char date[11];
    wd_chart__date(s->day, date);
    wd_buf_printf(&q->answer[0], "The last study is the %s of %s: %s", s->kind->name.t[0], date,
                  s->conclusion[0]);
    wd_buf_printf(&q->answer[1], "最近一次检查为%s的%s：%s", date, s->kind->name.t[1], s->conclusion[1]);
    wd_chart__fact_text(q, &s->kind->name);
    wd_chart__fact_both(q, date);
    wd_chart__fact(q, s->conclusion[0], s->conclusion[1]);
}

static void ask_last_imaging(wd_chart__question *q)
{
    const wd_chart__text none = { { "No imaging study is recorded in this chart.",
                                    "病历中没有影像检查的记录。" } };
    wd_chart__call(q, "get_imaging", json_pack("{s:i}", "last", 1));
    if (q->p->n_study) {
        say_study(q, &q->p->study[q->p->n_study - 1]);
    } else {
        wd_chart__say_text(q, &none);
        wd_chart__fact_text(q, &none);
    }
}

/* A kind of imaging: of a study that was done, or any. */
static size_t choose_modality(wd_chart__question *q)
{
    size_t m = wd_chart__pick(q->r, WD_COUNT(modalities));
    if (q->p->n_study && wd_chart__chance(q->r, 0.75)) {
        const char *code = q->p->study[wd_chart__pick(q->r, q->p->n_study)].kind->modality;
        for (m = 0; strcmp(modalities[m].code, code) != 0;)
            m++;
    }
    q->name[0] = modalities[m].name.t[0];
    q->name[1] = modalities[m].name.t[1];
    return m;
}

static void say_no_study(wd_chart__question *q, size_t m)
{
    char zh[64];
    snprintf(zh, sizeof zh, "%s检查", modalities[m].name.t[1]);
    const wd_chart__text name = { { modalities[m].name.t[0], zh } };
    wd_chart__say_absent(q, &name);
}

static void ask_last_of_modality(wd_chart__question *q)
{
    const size_t m = choose_modality(q);
    const wd_chart__study *last = NULL;
    for (size_t i = 0; i < q->p->n_study; i++)
        if (!strcmp(q->p->study[i].kind->modality, modalities[m].code))
            last = &q->p->study[i];
    wd_chart__call(q, "get_imaging", json_pack("{s:s, s:i}", "modality", modalities[m].code, "last", 1));
    if (last)
        say_study(q, last);
    else
        say_no_study(q, m);
}

static void ask_imaging_count(wd_chart__question *q)
{
    const size_t m = choose_modality(q);
    int n = 0;
    char text[32];
    for (size_t i = 0; i < q->p->n_study; i++)
        n += !strcmp(q->p->study[i].kind->modality, modalities[m].code);
    wd_chart__call(q, "get_imaging", json_pack("{s:s}", "modality", modalities[m].code));
    if (!n) {
        say_no_study(q, m);
        return;
    }
    wd_buf_printf(&q->answer[0], "%d %s %s recorded.", n, modalities[m].name.t[0],
                  n == 1 ? "study is" : "studies are");
    wd_buf_printf(&q->answer[1], "共记录%d次%s检查。", n, modalities[m].name.t[1]);
    snprintf(text, sizeof text, "%d", n);
    wd_chart__fact_both(q, text);
}

static void ask_outside(wd_chart__question *q)
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
    wd_chart__say_text(q, &none);
    wd_chart__fact_text(q, &none);
}

/* --- the whole ------------------------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *kind;
    void (*ask)(wd_chart__question *q);
} kinds[] = {
    { "latest", wd_chart__ask_latest },
    { "trend", wd_chart__ask_trend },
    { "above", wd_chart__ask_above },
    { "below", wd_chart__ask_below },
    { "within", wd_chart__ask_within },
    { "when", wd_chart__ask_when },
    { "since", wd_chart__ask_since },
    { "count", wd_chart__ask_count },
    { "pair", wd_chart__ask_pair },
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
static void put_question(const wd_chart__question *q, int lang, const char *form, const char *count,
                         wd_buf *out)
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

static json_t *in_language(wd_chart__question *q, int lang)
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
    const char *count = wd_chart__chance(q->r, 0.5) ? digits : number[lang][q->count];
    put_question(q, lang, w->ask[lang][wd_chart__pick(q->r, n)], count, &text);
    json_t *v = json_pack("{s:s%, s:s%, s:O}", "question", (const char *)text.p, text.n, "answer",
                          (const char *)q->answer[lang].p, q->answer[lang].n, "facts", q->facts[lang]);
    wd_buf_free(&text);
    return v;
}

static json_t *ask(wd_chart__patient *p, size_t kind)
{
    wd_chart__question q = { .p = p, .r = &p->rand, .kind = kinds[kind].kind, .calls = json_array() };
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
