/* The suite "assist": questions about a chart, run separately; tool calls and answers against the truth.
 *
 *   tool_call_exact   share of questions whose calls are the right ones: names and arguments equal as JSON, in order
 *   argument_match    mean share of arguments with the right value; superfluous ones count as wrong
 *   answer_exact      share of answers equal to the right one but for white space
 *   answer_value      share of answers that hold every fact of the right one (value, unit, date, yes or no) and no number
 *                     that it does not have
 *   grounded          share of questions whose answer has no number that no tool returned
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "care/assist.h"
#include "care/eval/case.h"
#include "care/eval/eval.h"
#include "care/phantom/chart.h"
#include "text/jsontext.h"

#define REPLY_TOKENS 400
#define NUMBERS_MAX 64

static wd_status no_memory(wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "assist: no memory");
}

static const char *text_at(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

/* --- comparing -------------------------------------------------------------------------------------------------------- */

/* Equal but for the amount of white space, and that at the ends. */
static bool same_text(const char *a, const char *b)
{
    static const char space[] = " \t\r\n";
    for (;;) {
        const size_t n = strspn(a, space), m = strspn(b, space);
        a += n;
        b += m;
        if (!*a || !*b)
            return !*a && !*b;
        if ((n > 0) != (m > 0))
            return false;
        while (*a && !strchr(space, *a) && *a == *b)
            a++, b++;
        if ((*a && !strchr(space, *a)) || (*b && !strchr(space, *b)))
            return false;
    }
}

static bool is_number_part(char c)
{
    return c >= '0' && c <= '9';
}

/* Does the text hold the fact, not as part of a longer number? */
static bool holds(const char *text, const char *fact)
{
    const size_t n = strlen(fact);
    for (const char *at = strstr(text, fact); n && at; at = strstr(at + 1, fact)) {
        const bool before = is_number_part(fact[0]) && at > text &&
                            (is_number_part(at[-1]) ||
                             (at[-1] == '.' && at > text + 1 && is_number_part(at[-2])));
        const bool after = is_number_part(fact[n - 1]) &&
                           (is_number_part(at[n]) || (at[n] == '.' && is_number_part(at[n + 1])));
        if (!before && !after)
            return true;
    }
    return false;
}

static bool value_is_right(const char *answer, const json_t *truth, wd_arena *a)
{
    const char *right = text_at(truth, "answer"), *extra[NUMBERS_MAX];
    json_t *fact;
    size_t i;
    json_array_foreach(json_object_get(truth, "facts"), i, fact)
    {
        if (!holds(answer, json_string_value(fact) ? json_string_value(fact) : ""))
            return false;
    }
    return wd_assist_unsupported(answer, &right, 1, a, extra, NUMBERS_MAX) == 0;
}

/* Arguments of both, by place: how many are equal, and how many there are at least on one side. */
static void count_arguments(const json_t *got, const json_t *want, size_t *equal, size_t *all)
{
    const size_t n = WD_MAX(json_array_size(got), json_array_size(want));
    for (size_t i = 0; i < n; i++) {
        const json_t *g = json_array_get(got, i), *w = json_array_get(want, i);
        const bool same_tool = g && w && !strcmp(text_at(g, "name"), text_at(w, "name"));
        json_t *ga = json_object_get(g, "arguments"), *wa = json_object_get(w, "arguments"), *v;
        const char *key;
        *all += json_object_size(wa) +
                (g && w && !same_tool); /* a wrong tool is wrong even without arguments */
        json_object_foreach(ga, key, v)
        {
            const json_t *right = json_object_get(wa, key);
            *all += !right;
            *equal += right && same_tool && json_equal(v, right);
        }
    }
}

static double argument_match(const json_t *got, const json_t *want)
{
    size_t equal = 0, all = 0;
    count_arguments(got, want, &equal, &all);
    if (all)
        return (double)equal / (double)all;
    return json_array_size(got) == json_array_size(want) ? 1 : 0;
}

/* result["calls"] and what else is known against the truth. */
static wd_status compare(json_t *result, const json_t *want_calls, const json_t *truth, bool grounded,
                         wd_arena *a, wd_err *err)
{
    const json_t *calls = json_object_get(result, "calls");
    const char *answer = text_at(result, "answer");
    json_t *v = json_pack("{s:b, s:f, s:b, s:b, s:b}", "tool_call_exact", json_equal(calls, want_calls),
                          "argument_match", argument_match(calls, want_calls), "answer_exact",
                          same_text(answer, text_at(truth, "answer")), "answer_value",
                          value_is_right(answer, truth, a), "grounded", grounded);
    return v && !json_object_update(result, v) ? (json_decref(v), WD_OK) : (json_decref(v), no_memory(err));
}

/* --- running ------------------------------------------------------------------------------------------------------------- */

/* What a perfect model would write: the calls in one reply, if there are any, then the answer. */
static wd_status tell(wd_oracle *o, const json_t *calls, const char *answer, wd_err *err)
{
    wd_buf b = { 0 };
    json_t *one;
    size_t i;
    wd_status st = WD_OK;
    json_array_foreach(calls, i, one)
    {
        wd_buf_str(&b, i ? "\n<tool_call>\n" : "<tool_call>\n");
        if (!st)
            st = wd_jsontext_value(one, "tool call", &b, err);
        wd_buf_str(&b, "\n</tool_call>");
    }
    if (!st)
        st = wd_buf_check(&b, "tool calls", err);
    if (!st && b.n)
        wd_oracle_expect(o, wd_buf_view(&b));
    if (!st)
        wd_oracle_expect(o, wd_span_str(answer));
    wd_buf_free(&b);
    return st;
}

static json_t *calls_of(const wd_assist *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_step; i++) {
        json_t *args;
        wd_err unused;
        if (wd_json_parse(wd_span_str(r->step[i].args), "arguments", &args, &unused))
            args = json_string(r->step[i].args);
        json_array_append_new(list, json_pack("{s:s, s:o}", "name", r->step[i].name, "arguments", args));
    }
    return list;
}

typedef struct job {
    const wd_eval_run *run;
    const wd_records *records;
    wd_assist_opts opts;
    wd_arena *arena;
    wd_err *err;
} job;

static wd_status run_question(const job *j, const json_t *question, json_t **out)
{
    const json_t *own = json_object_get(question, j->run->language), *truth = own ? own : question;
    json_t *calls = json_object_get(question, "calls");
    wd_assist r;
    if (j->run->oracle)
        WD_TRY(tell(j->run->oracle, calls, text_at(truth, "answer"), j->err));
    WD_TRY(wd_assist_ask(j->run->engine, j->records, text_at(truth, "question"), &j->opts, j->arena, &r,
                         j->err));
    json_t *v = json_pack("{s:s, s:s, s:o, s:s, s:O, s:s, s:b, s:i}", "kind", text_at(question, "kind"),
                          "question", r.question, "calls", calls_of(&r), "answer", r.answer, "true_calls",
                          calls, "true_answer", text_at(truth, "answer"), "answered", r.answered, "rounds",
                          (int)r.n_round);
    json_t *read = json_array();
    for (size_t i = 0; i < r.n_evidence; i++)
        json_array_append_new(read, json_string(r.evidence[i]));
    if (!v || json_object_set_new(v, "evidence", read) ||
        (j->run->detail && json_object_set_new(v, "draft", wd_assist_json(&r)))) {
        json_decref(v);
        return no_memory(j->err);
    }
    const wd_status st = compare(v, calls, truth, r.answered && !r.n_unsupported, j->arena, j->err);
    if (st)
        json_decref(v);
    else
        *out = v;
    return st;
}

/* One sentence for a truth that is not of the documented form. */
static wd_status check_truth(const char *dir, const char *language, const json_t *questions, wd_err *err)
{
    json_t *q, *c;
    size_t i, k;
    if (!json_is_array(questions) || !json_array_size(questions))
        return WD_FAIL(err, WD_E_INVALID, "%s/truth.json: expected a list \"questions\"", dir);
    json_array_foreach(questions, i, q)
    {
        const json_t *own = json_object_get(q, language), *truth = own ? own : q;
        if (!*text_at(truth, "question") || !*text_at(truth, "answer"))
            return WD_FAIL(err, WD_E_INVALID,
                           "%s/truth.json: question %zu has no \"question\" and \"answer\" in %s", dir, i + 1,
                           language);
        if (!json_is_array(json_object_get(q, "calls")))
            return WD_FAIL(err, WD_E_INVALID, "%s/truth.json: question %zu has no list \"calls\"", dir,
                           i + 1);
        json_array_foreach(json_object_get(q, "calls"), k, c)
        {
            if (!*text_at(c, "name") || !json_is_object(json_object_get(c, "arguments")))
                return WD_FAIL(err, WD_E_INVALID,
                               "%s/truth.json: question %zu, call %zu: expected \"name\" and \"arguments\"",
                               dir, i + 1, k + 1);
        }
    }
    return WD_OK;
}

static wd_status run(const wd_eval_run *r, const char *dir, const json_t *truth, wd_arena *a, json_t **out,
                     wd_err *err)
{
    const json_t *questions = json_object_get(truth, "questions");
    const char *today = json_string_value(json_object_get(truth, "today"));
    const wd_chart_opts co = { .today = today };
    wd_records records;
    json_t *q;
    size_t i;
    const char *chart = wd_arena_printf(a, "%s/chart.json", dir);
    job j = { .run = r, .records = &records, .arena = a, .err = err };
    if (!chart)
        return no_memory(err);
    WD_TRY(wd_eval__ask(r, "assist", REPLY_TOKENS, a, &j.opts.ask, err));
    WD_TRY(check_truth(dir, r->language, questions, err));
    WD_TRY(wd_records_open_chart(chart, &co, a, &records, err));
    json_t *list = json_array();
    wd_status st = WD_OK;
    json_array_foreach(questions, i, q)
    {
        json_t *one = NULL;
        st = run_question(&j, q, &one);
        if (!st && json_array_append_new(list, one))
            st = no_memory(err);
        if (st)
            break;
    }
    *out = st ? NULL : json_pack("{s:O}", "questions", list);
    json_decref(list);
    return st ? st : *out ? WD_OK : no_memory(err);
}

/* --- scoring --------------------------------------------------------------------------------------------------------------- */

static const char *const metric_names[] = { "tool_call_exact", "argument_match", "answer_exact",
                                            "answer_value", "grounded" };
#define N_METRIC WD_COUNT(metric_names)

typedef struct tally {
    double sum[N_METRIC];
    size_t n;
} tally;

static void count(tally *t, const json_t *question)
{
    for (size_t m = 0; m < N_METRIC; m++) {
        const json_t *v = json_object_get(question, metric_names[m]);
        t->sum[m] += json_is_number(v) ? json_number_value(v) : json_is_true(v) ? 1 : 0;
    }
    t->n++;
}

static double share(const tally *t, size_t m)
{
    return t->n ? t->sum[m] / (double)t->n : 0;
}

/* metrics["by"][kind] = the metrics of the questions of a kind. */
static wd_status put_kinds(json_t *const *result, size_t n, json_t *metrics, wd_err *err)
{
    json_t *by = json_object(), *q;
    size_t k;
    for (size_t i = 0; i < n; i++) {
        json_array_foreach(json_object_get(result[i], "questions"), k, q)
            json_object_set_new(by, text_at(q, "kind"), json_object());
    }
    const char *kind;
    json_t *of;
    json_object_foreach(by, kind, of)
    {
        tally t = { 0 };
        for (size_t i = 0; i < n; i++) {
            json_array_foreach(json_object_get(result[i], "questions"), k, q)
            {
                if (!strcmp(text_at(q, "kind"), kind))
                    count(&t, q);
            }
        }
        json_object_set_new(of, "n", json_integer((json_int_t)t.n));
        for (size_t m = 0; m < N_METRIC; m++)
            json_object_set_new(of, metric_names[m], json_real(share(&t, m)));
    }
    return json_object_set_new(metrics, "by", by) ? no_memory(err) : WD_OK;
}

static wd_status put_metrics(const tally *t, json_t *metrics, wd_err *err)
{
    for (size_t m = 0; m < N_METRIC; m++)
        WD_TRY(wd_eval_set(metrics, metric_names[m], share(t, m), t->n, err));
    return WD_OK;
}

static wd_status score(json_t *const *result, size_t n, json_t *metrics, wd_err *err)
{
    tally t = { 0 };
    json_t *q;
    size_t k;
    for (size_t i = 0; i < n; i++) {
        json_array_foreach(json_object_get(result[i], "questions"), k, q) count(&t, q);
    }
    WD_TRY(put_metrics(&t, metrics, err));
    return put_kinds(result, n, metrics, err);
}

/* The most frequent value of `key` as JSON text among all questions; borrowed. */
static const json_t *most_frequent(json_t *const *result, size_t n, const char *key, wd_err *err)
{
    json_t *seen = json_object(), *q;
    const json_t *best = NULL;
    json_int_t most = 0;
    size_t k;
    for (size_t i = 0; i < n; i++) {
        json_array_foreach(json_object_get(result[i], "questions"), k, q)
        {
            const json_t *v = json_object_get(q, key);
            wd_buf b = { 0 };
            if (wd_json_write(v, JSON_COMPACT | JSON_SORT_KEYS, &b, err) || wd_buf_check(&b, "value", err)) {
                wd_buf_free(&b);
                continue;
            }
            const json_int_t times = json_integer_value(json_object_get(seen, (const char *)b.p)) + 1;
            json_object_set_new(seen, (const char *)b.p, json_integer(times));
            if (times > most) {
                most = times;
                best = v;
            }
            wd_buf_free(&b);
        }
    }
    json_decref(seen);
    return best;
}

static wd_status blind(json_t *const *result, size_t n, json_t *metrics, wd_err *err)
{
    const json_t *calls = most_frequent(result, n, "true_calls", err),
                 *answer = most_frequent(result, n, "true_answer", err);
    tally t = { 0 };
    json_t *q;
    size_t k;
    for (size_t i = 0; i < n && calls && answer; i++) {
        json_array_foreach(json_object_get(result[i], "questions"), k, q)
        {
            const json_t *want = json_object_get(q, "true_calls");
            const bool right = same_text(json_string_value(answer), text_at(q, "true_answer"));
            const double v[N_METRIC] = { json_equal(calls, want), argument_match(calls, want), right, right,
                                         1 };
            for (size_t m = 0; m < N_METRIC; m++)
                t.sum[m] += v[m];
            t.n++;
        }
    }
    return put_metrics(&t, metrics, err);
}

static const wd_eval_target targets[] = {
    { "tool_call_exact", "", 0.95, false }, { "argument_match", "", NAN, false },
    { "answer_exact", "", NAN, false },     { "answer_value", "", NAN, false },
    { "grounded", "", NAN, false },
};

const wd_eval_suite wd_eval_assist = {
    .name = "assist",
    .brief = "questions about a chart: tool calls and answers",
    .target = targets,
    .n_target = WD_COUNT(targets),
    .make = wd_phantom_chart_write,
    .run = run,
    .score = score,
    .blind = blind,
};
