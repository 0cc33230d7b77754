/* The story "assist". */
#include "care/assist.h"

#include <stdio.h>

#include "base/json.h"
#include "text/jsontext.h"

#define QUESTION_MAX ((size_t)8192)
#define PROMPT_MAX ((size_t)1 << 20)
#define ROUNDS_USUAL 4
#define STEPS_MAX ((size_t)WD_ASSIST_ROUNDS_MAX * WD_ASSIST_CALLS_MAX)
#define EVIDENCE_MAX 512
#define UNSUPPORTED_MAX 32

typedef struct talk {
    wd_engine *engine;
    const wd_records *records;
    const wd_assist_opts *o;
    wd_lang lang;
    wd_arena *arena;
    wd_assist *out;
    wd_message *message; /* [2 + rounds * (1 + calls)] */
    size_t n_message;
    wd_err *err;
} talk;

static wd_status no_memory(wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "assist: no memory");
}

/* --- what the answer rests on ---------------------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Digits, and single joiners (of `joiners`) between digits. */
static size_t run_length(const char *s, const char *joiners)
{
    size_t n = 0;
    while (is_digit(s[n]) || (n && s[n] && strchr(joiners, s[n]) && is_digit(s[n + 1])))
        n++;
    return n;
}

/* Does s[0 .. n) stand in the text as a number of its own, not inside a longer one? */
static bool stands_in(const char *text, const char *s, size_t n)
{
    for (const char *at = text; *at; at++) {
        if (strncmp(at, s, n) != 0)
            continue;
        const bool before = at > text &&
                            (is_digit(at[-1]) || (at[-1] == '.' && at > text + 1 && is_digit(at[-2])));
        const bool after = is_digit(at[n]) || (at[n] == '.' && is_digit(at[n + 1]));
        if (!before && !after)
            return true;
    }
    return false;
}

static bool stands_in_any(const char *const *text, size_t n_text, const char *s, size_t n)
{
    for (size_t i = 0; i < n_text; i++)
        if (stands_in(text[i], s, n))
            return true;
    return false;
}

/* A date must stand there as a whole; of other joined numbers (3.5-5.3) each part may. */
static bool is_supported(const char *const *text, size_t n_text, const char *s, size_t n)
{
    char date[11] = { 0 };
    if (stands_in_any(text, n_text, s, n))
        return true;
    if (n == 10) {
        memcpy(date, s, 10);
        if (wd_is_date(date))
            return false;
    }
    for (size_t at = 0; at < n;) {
        const size_t part = run_length(s + at, ".");
        if (part == n || !stands_in_any(text, n_text, s + at, part))
            return false;
        at += part + 1;
    }
    return true;
}

size_t wd_assist_unsupported(const char *answer, const char *const *text, size_t n_text, wd_arena *a,
                             const char **out, size_t max)
{
    size_t n = 0;
    for (const char *s = answer; *s;) {
        const size_t len = run_length(s, ".-/:");
        if (!len) {
            s++;
            continue;
        }
        const bool in_word = s > answer && is_letter(s[-1]);
        if (!in_word && !is_supported(text, n_text, s, len)) {
            if (n < max && !(out[n] = wd_arena_strndup(a, s, len)))
                return SIZE_MAX;
            n++;
        }
        s += len;
    }
    return n;
}

static wd_status check_answer(talk *t)
{
    wd_assist *r = t->out;
    const char **results = WD_NEW_N(t->arena, const char *, r->n_step + 1);
    r->unsupported = WD_NEW_N(t->arena, const char *, UNSUPPORTED_MAX);
    if (!results || !r->unsupported)
        return no_memory(t->err);
    for (size_t i = 0; i < r->n_step; i++)
        results[i] = r->step[i].result;
    const size_t n = wd_assist_unsupported(r->answer, results, r->n_step, t->arena, r->unsupported,
                                           UNSUPPORTED_MAX);
    if (n == SIZE_MAX)
        return no_memory(t->err);
    r->n_unsupported = WD_MIN(n, (size_t)UNSUPPORTED_MAX);
    return WD_OK;
}

static void add_evidence(wd_assist *r, const char *name)
{
    for (size_t i = 0; i < r->n_evidence; i++)
        if (!strcmp(r->evidence[i], name))
            return;
    if (r->n_evidence < EVIDENCE_MAX)
        r->evidence[r->n_evidence++] = name;
}

/* --- messages ---------------------------------------------------------------------------------------------------------- */

static const char *keep(talk *t, wd_span s)
{
    return wd_arena_strndup(t->arena, (const char *)s.p, s.n);
}

static wd_status add_text(talk *t, wd_role role, wd_span text)
{
    wd_part *part = WD_NEW(t->arena, wd_part);
    if (!part)
        return no_memory(t->err);
    t->message[t->n_message++] = wd_message_text(role, text, part);
    return WD_OK;
}

static wd_status begin(talk *t, const char *question)
{
    wd_prompt_file f;
    WD_TRY(wd_prompt_file_read(t->o->ask.prompt_path, t->arena, &f, t->err));
    wd_origin_begin(&t->out->origin, t->engine, &t->o->ask, &f);
    const wd_prompt_value values[] = { { "today", wd_span_str(t->records->today) },
                                       { "question", wd_span_str(question) } };
    const wd_span part[2] = { f.system, f.user };
    const wd_role role[2] = { WD_ROLE_SYSTEM, WD_ROLE_USER };
    for (int i = 0; i < 2; i++) {
        wd_buf b = { .max = PROMPT_MAX };
        wd_status st = wd_prompt_file_fill(&f, part[i], values, WD_COUNT(values), &b, t->err);
        const char *text = st ? NULL : keep(t, wd_buf_view(&b));
        if (!st)
            st = text ? add_text(t, role[i], wd_span_of(text, b.n)) : no_memory(t->err);
        wd_buf_wipe(&b);
        WD_TRY(st);
    }
    return WD_OK;
}

/* The model's reply becomes a message: what it said, thought and asked for. */
static wd_status add_reply(talk *t, const wd_parsed *p)
{
    const size_t n_call = WD_MIN(p->n_call, (size_t)WD_ASSIST_CALLS_MAX); /* the others were asked in vain */
    wd_tool_call *call = WD_NEW_N(t->arena, wd_tool_call, n_call);
    const char *content = keep(t, wd_buf_view(&p->content)), *reasoning = keep(t, wd_buf_view(&p->reasoning));
    if (!call || !content || !reasoning)
        return no_memory(t->err);
    WD_TRY(add_text(t, WD_ROLE_ASSISTANT, wd_span_of(content, p->content.n)));
    wd_message *m = &t->message[t->n_message - 1];
    for (size_t i = 0; i < n_call; i++) {
        const char *name = keep(t, wd_span_str(p->call[i].name)),
                   *args = keep(t, wd_span_str(p->call[i].args));
        if (!name || !args)
            return no_memory(t->err);
        /* verbatim: the tokens that the model wrote, so that what is cached of them is found again */
        call[i] = (wd_tool_call){ .name = wd_span_str(name),
                                  .verbatim = true,
                                  .args = { .text = wd_span_str(args) } };
    }
    m->call = call;
    m->n_call = n_call;
    m->has_reasoning = p->reasoning.n > 0;
    m->reasoning = wd_span_of(reasoning, p->reasoning.n);
    return WD_OK;
}

/* Does the i-th call of the last reply and adds its result as a message and a step. */
static wd_status do_call(talk *t, const wd_tool_call *call)
{
    wd_tool_result result;
    const char *name = (const char *)call->name.p, *args = (const char *)call->args.text.p;
    WD_TRY(wd_assist_call(t->records, t->lang, name, args, t->arena, &result, t->err));
    wd_buf b = { .max = PROMPT_MAX };
    wd_status st = wd_jsontext_value(result.value, "tool result", &b, t->err);
    const char *text = st ? NULL : keep(t, wd_buf_view(&b));
    wd_buf_wipe(&b);
    json_decref(result.value);
    WD_TRY(st);
    if (!text)
        return no_memory(t->err);
    for (size_t i = 0; i < result.n_read; i++)
        add_evidence(t->out, result.read[i]);
    t->out->step[t->out->n_step++] = (wd_assist_step){ name, args, text, result.refused };
    return add_text(t, WD_ROLE_TOOL, wd_span_str(text));
}

/* One reply of the model, and what it asked for. */
static wd_status one_round(talk *t)
{
    json_t *tools = wd_assist_tools();
    if (!tools)
        return no_memory(t->err);
    wd_generate rq = { .chat = {
                           .message = t->message, .n_message = t->n_message, .tools = { .value = tools } } };
    wd_parsed reply;
    wd_status st = wd_ask(t->engine, &t->o->ask, &rq, t->arena, &t->out->origin, &reply, t->err);
    json_decref(tools);
    WD_TRY(st);
    t->out->n_round++;
    st = add_reply(t, &reply);
    wd_parsed_free(&reply);
    const wd_message *m = &t->message[t->n_message - 1];
    for (size_t i = 0; !st && i < m->n_call; i++)
        st = do_call(t, &m->call[i]);
    return st;
}

static wd_status take_answer(talk *t, const wd_message *m)
{
    wd_span s = m->part->text;
    while (s.n && strchr(" \t\r\n", s.p[s.n - 1]))
        s.n--;
    while (s.n && strchr(" \t\r\n", s.p[0]))
        s = wd_span_sub(s, 1, s.n);
    t->out->answered = true;
    t->out->answer = keep(t, s);
    return t->out->answer ? WD_OK : no_memory(t->err);
}

static wd_status converse(talk *t, uint32_t max_rounds)
{
    t->out->answer = "";
    for (uint32_t i = 0; i <= max_rounds; i++) {
        const size_t before = t->n_message;
        WD_TRY(one_round(t));
        const wd_message *m = &t->message[before];
        if (!m->n_call)
            return take_answer(t, m);
    }
    return WD_OK;
}

wd_status wd_assist_ask(wd_engine *e, const wd_records *records, const char *question,
                        const wd_assist_opts *o, wd_arena *a, wd_assist *out, wd_err *err)
{
    const uint32_t max_rounds = o->max_rounds ? o->max_rounds : ROUNDS_USUAL;
    if (!question[strspn(question, " \t\r\n")])
        return WD_FAIL(err, WD_E_INVALID, "assist: the question is empty");
    if (strlen(question) > QUESTION_MAX)
        return WD_FAIL(err, WD_E_INVALID, "assist: a question of %zu bytes, expected at most %zu",
                       strlen(question), QUESTION_MAX);
    if (max_rounds > WD_ASSIST_ROUNDS_MAX)
        return WD_FAIL(err, WD_E_USAGE, "assist: %u rounds, expected 1 to %d", max_rounds,
                       WD_ASSIST_ROUNDS_MAX);
    wd_assist r = { .question = question, .today = records->today };
    talk t = { .engine = e,
               .records = records,
               .o = o,
               .lang = !strcmp(o->ask.language, "zh") ? WD_LANG_ZH : WD_LANG_EN,
               .arena = a,
               .out = &r,
               .err = err };
    const size_t n_message = 2 + ((size_t)max_rounds + 1) * (1 + WD_ASSIST_CALLS_MAX);
    t.message = WD_NEW_N(a, wd_message, n_message);
    r.step = WD_NEW_N(a, wd_assist_step, STEPS_MAX + WD_ASSIST_CALLS_MAX);
    r.evidence = WD_NEW_N(a, const char *, EVIDENCE_MAX);
    if (!t.message || !r.step || !r.evidence)
        return no_memory(err);
    WD_TRY(begin(&t, question));
    WD_TRY(converse(&t, max_rounds));
    WD_TRY(check_answer(&t));
    *out = r;
    return WD_OK;
}

/* --- the result as JSON --------------------------------------------------------------------------------------------------- */

/* A JSON text as a value; as a string when it is none. */
static json_t *value_or_text(const char *s)
{
    json_t *v;
    wd_err unused;
    return wd_json_parse(wd_span_str(s), "value", &v, &unused) ? json_string(s) : v;
}

static json_t *strings(const char *const *s, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++)
        json_array_append_new(list, json_string(s[i]));
    return list;
}

json_t *wd_assist_json(const wd_assist *r)
{
    json_t *steps = json_array();
    for (size_t i = 0; steps && i < r->n_step; i++) {
        const wd_assist_step *s = &r->step[i];
        json_array_append_new(steps, json_pack("{s:s, s:o, s:o, s:b}", "name", s->name, "arguments",
                                               value_or_text(s->args), "result", value_or_text(s->result),
                                               "refused", s->refused));
    }
    json_t *tokens = json_pack("{s:I, s:I}", "prompt", (json_int_t)r->origin.n_prompt, "reply",
                               (json_int_t)r->origin.n_reply);
    json_t *timings = json_pack("{s:f, s:f}", "prefill", r->origin.timings.prefill_s, "decode",
                                r->origin.timings.decode_s);
    return json_pack("{s:s, s:b, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:i, s:b, s:s, s:s?, s:s, s:s, s:o, s:o}",
                     "status", "DRAFT", "answered", r->answered, "answer", r->answer, "question", r->question,
                     "language", r->origin.language, "today", r->today, "calls", steps, "evidence",
                     strings(r->evidence, r->n_evidence), "unsupported",
                     strings(r->unsupported, r->n_unsupported), "rounds", (int)r->n_round, "cut",
                     r->origin.cut, "model", r->origin.model, "model_digest", r->origin.model_digest,
                     "prompt_digest", r->origin.prompt_digest, "created", r->origin.created, "tokens", tokens,
                     "timings", timings);
}
