/* The story "rehab": the model puts measurements into words, and the words are checked against them. */
#include "care/rehab.h"

#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "base/utf8.h"
#include "care/rehab_inner.h"
#include "care/reply.h"

#define TEXT_MAX 2000u /* bytes of one sentence from the model */
#define FAULTS_MAX 100u
#define PROMPT_MAX ((size_t)1 << 20)

typedef struct story {
    const wd_rehab_measured *m;
    const wd_rehab_opts *o;
    wd_arena *a;
    wd_rehab *r;
    wd_buf measured; /* as in the prompt: the numbers that may be said */
    bool zh;
    bool no_memory; /* found while the reply was read */
} story;

bool wd_rehab_issues(const wd_rehab_measured *m, wd_arena *a, wd_rehab_issue out[WD_N_FAULT], uint32_t *n_out)
{
    const wd_rehab_rule *rule = wd_rehab_rule_of(m->kind);
    uint32_t n = 0;
    for (int k = 0; k < WD_N_FAULT; k++) {
        wd_rehab_issue f = { .kind = (wd_rehab_fault_kind)k };
        const bool deep = k == WD_FAULT_INSUFFICIENT_DEPTH && rule->rises;
        f.rep = WD_NEW_N(a, uint32_t, m->n_fault ? m->n_fault : 1);
        for (uint32_t i = 0; f.rep && i < m->n_fault; i++) {
            if ((int)m->fault[i].kind != k)
                continue;
            const double v = m->fault[i].worst_deg;
            f.worst_deg = !f.n_rep ? v : deep ? fmin(f.worst_deg, v) : fmax(f.worst_deg, v);
            f.rep[f.n_rep++] = m->fault[i].rep;
        }
        if (!f.rep)
            return false;
        if (f.n_rep)
            out[n++] = f;
    }
    *n_out = n;
    return true;
}

/* ---- what the model said ---- */

/* Chinese characters in a Chinese text, none in an English one. */
static bool right_language(wd_span s, bool zh)
{
    bool cjk = false;
    for (size_t at = 0, n; at < s.n; at += n) {
        const uint32_t c = wd_utf8_next(s, at, &n);
        cjk |= c >= 0x4E00 && c <= 0x9FFF;
    }
    return cjk == zh;
}

static bool printable(wd_span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] == 0x7F)
            return false;
    return true;
}

/* The sentence in v when it stands, else NULL with *note. */
static const char *take_sentence(story *s, const json_t *v, const char *name, const char **note)
{
    const wd_span t = json_is_string(v) ? wd_span_of(json_string_value(v), json_string_length(v))
                                        : (wd_span){ 0 };
    double bad = NAN;
    const char *why, *kept = NULL;
    if (!t.n || t.n > TEXT_MAX || !printable(t))
        why = wd_arena_printf(s->a, s->zh ? "模型没有给出可用的 %s。" : "The model gave no usable %s.", name);
    else if (!right_language(t, s->zh))
        why = wd_arena_printf(
            s->a, s->zh ? "模型的 %s 不是中文，已替换。" : "The model's %s was not in English.", name);
    else if (!wd_rehab_numbers_hold(t, wd_buf_view(&s->measured), &bad))
        why = wd_arena_printf(s->a,
                              s->zh ? "模型的 %s 含有未测量的数字 %g，已替换。"
                                    : "The model's %s has the number %g, which was not measured.",
                              name, bad);
    else
        why = kept = wd_arena_strndup(s->a, (const char *)t.p, t.n);
    s->no_memory |= !why;
    if (!kept)
        *note = why;
    return kept;
}

static void take_issue(story *s, const json_t *v, wd_rehab_issue *f)
{
    const char *issue = take_sentence(s, json_object_get(v, "issue"), "issue", &f->note);
    if (issue) {
        f->issue = issue;
        f->by_model = true;
    }
    f->cause = take_sentence(s, json_object_get(v, "cause"), "cause", &f->note);
    f->advice = take_sentence(s, json_object_get(v, "advice"), "advice", &f->note);
}

static void read_reply(story *s, wd_span reply)
{
    wd_rehab *r = s->r;
    json_t *o = wd_reply_json(reply, "{", &s->no_memory);
    const json_t *faults = json_object_get(o, "faults");
    r->parsed = json_is_array(faults);
    for (size_t i = 0; r->parsed && i < WD_MIN(json_array_size(faults), FAULTS_MAX); i++) {
        const json_t *v = json_array_get(faults, i), *type = json_object_get(v, "type");
        const wd_rehab_fault_kind k = json_is_string(type) ? wd_rehab_fault_of(json_string_value(type))
                                                           : WD_N_FAULT;
        wd_rehab_issue *f = NULL;
        for (uint32_t n = 0; n < r->n_issue; n++)
            if (r->issue[n].kind == k && !r->issue[n].cause && !r->issue[n].by_model)
                f = &r->issue[n];
        if (f)
            take_issue(s, v, f);
        else
            r->n_invented++;
    }
    if (r->parsed) {
        const char *t = take_sentence(s, json_object_get(o, "summary"), "summary", &r->summary_note);
        if (t) {
            r->summary = t;
            r->summary_by_model = true;
        }
    }
    json_decref(o);
}

/* ---- asking ---- */

static wd_status ask(story *s, wd_engine *e, wd_err *err)
{
    const wd_ask_opts *o = &s->o->ask;
    const char *watch = "";
    if (s->o->watch_for && *s->o->watch_for)
        watch = wd_arena_printf(s->a, s->zh ? "请特别注意：%s\n" : "Look in particular at: %s\n",
                                s->o->watch_for);
    if (!watch)
        return WD_FAIL(err, WD_E_NOMEM, "rehab: no memory");
    wd_span measured = wd_buf_view(&s->measured);
    if (measured.n && measured.p[measured.n - 1] == '\n')
        measured.n--;
    const wd_prompt_value values[] = { { "measured", measured }, { "watch", wd_span_str(watch) } };
    wd_prompt_file f;
    wd_message message;
    WD_TRY(wd_prompt_file_read(o->prompt_path, s->a, &f, err));
    WD_TRY(wd_ask_message(&f, values, WD_COUNT(values), NULL, 0, s->a, &message, err));
    wd_rehab *r = s->r;
    wd_origin_begin(&r->origin, e, o, &f);
    WD_TRY(wd_ask_text(e, o, f.system, &message, &(wd_media){ 0 }, s->a, &r->origin, &r->raw, err));
    r->asked = true;
    read_reply(s, wd_span_str(r->raw));
    return s->no_memory ? WD_FAIL(err, WD_E_NOMEM, "rehab: no memory") : WD_OK;
}

/* ---- public ---- */

/* Every sentence as the measurement says it; the model's may replace them. */
static bool begin_plain(story *s)
{
    wd_rehab *r = s->r;
    wd_buf b = { 0 };
    bool good = true;
    for (uint32_t i = 0; i < r->n_issue; i++) {
        wd_buf_clear(&b);
        wd_rehab__plain(s->m, &r->issue[i], s->zh, &b);
        r->issue[i].issue = b.failed ? NULL : wd_arena_strndup(s->a, (const char *)b.p, b.n);
        good &= r->issue[i].issue != NULL;
    }
    wd_buf_clear(&b);
    wd_rehab__plain_summary(s->m, r->n_issue, s->zh, &b);
    r->summary = b.failed ? NULL : wd_arena_strndup(s->a, (const char *)b.p, b.n);
    wd_buf_free(&b);
    wd_rehab_measured_text(s->m, r->issue, r->n_issue, s->zh, &s->measured);
    return good && r->summary && !s->measured.failed;
}

static void say_what_is_missing(story *s)
{
    wd_rehab *r = s->r;
    for (uint32_t i = 0; r->asked && i < r->n_issue; i++)
        if (!r->issue[i].by_model && !r->issue[i].note)
            r->issue[i].note = !r->parsed
                                   ? (s->zh ? "模型的回答无法解析。" : "The model's reply could not be read.")
                                   : (s->zh ? "模型没有提到这个问题。" : "The model did not speak of it.");
    if (r->asked && !r->summary_by_model && !r->summary_note)
        r->summary_note = s->zh ? "模型的回答无法解析。" : "The model's reply could not be read.";
}

wd_status wd_rehab_phrase(wd_engine *e, const wd_rehab_measured *m, const wd_rehab_opts *o, wd_arena *a,
                          wd_rehab *out, wd_err *err)
{
    wd_rehab r = { .m = m, .raw = "", .pose_source = "" };
    story s = { .m = m, .o = o, .a = a, .r = &r, .zh = !strcmp(o->ask.language, "zh") };
    wd_origin_begin(&r.origin, NULL, &o->ask, NULL);
    const bool listed = wd_rehab_issues(m, a, r.issue, &r.n_issue);
    wd_status st = listed && begin_plain(&s) ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "rehab: no memory");
    if (!st && e && !m->main_why) /* nothing measured: nothing to put into words */
        st = ask(&s, e, err);
    if (!st) {
        say_what_is_missing(&s);
        *out = r;
    }
    wd_buf_free(&s.measured);
    return st;
}
