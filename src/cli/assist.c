/* ward assist: a question about a patient, answered from the chart. */
#include "care/assist.h"

#include <string.h>

#include "base/utf8.h"
#include "cli/ask.h"
#include "cli/show.h"

typedef struct options {
    wd_model_args m;
    wd_ask_args a;
    const char *chart, *patient, *today;
    int64_t rounds;
    bool json;
} options;

#define AT(field) offsetof(options, field)
/* clang-format off */
static const wd_opt opts[] = {
    WD_MODEL_OPTS(options, m),
    { "chart", 'c', WD_OPT_STR, AT(chart), NULL, 0, 0, "FHIR R4 bundle with the patient's records" },
    { "patient", 0, WD_OPT_STR, AT(patient), NULL, 0, 0, "id of the patient, when the chart holds several" },
    { "today", 0, WD_OPT_STR, AT(today), NULL, 0, 0, "YYYY-MM-DD; default: the day the chart was made" },
    { "rounds", 0, WD_OPT_INT, AT(rounds), "4", 1, WD_ASSIST_ROUNDS_MAX, "replies that may ask for records" },
    WD_ASK_OPTS(options, a, "assist", "auto", "en, zh, or auto: the question's", "1024"),
    { "json", 0, WD_OPT_BOOL, AT(json), "false", 0, 0, "one JSON object on standard output" },
};
/* clang-format on */

/* Chinese when the question has a character of it. */
static const char *language_of(const char *question)
{
    const wd_span s = wd_span_str(question);
    for (size_t at = 0, n; at < s.n; at += n) {
        const uint32_t cp = wd_utf8_next(s, at, &n);
        if (cp >= 0x4E00 && cp <= 0x9FFF)
            return "zh";
    }
    return "en";
}

static wd_status print_text(const wd_assist *r, wd_err *err)
{
    wd_buf b = { 0 };
    wd_buf_printf(&b, "%s\n\n", r->answer);
    for (size_t i = 0; i < r->n_step; i++)
        wd_buf_printf(&b, "%s %s%s\n", r->step[i].name, r->step[i].args,
                      r->step[i].refused ? "  refused" : "");
    wd_buf_str(&b, r->n_evidence ? "read:" : "no record was read");
    for (size_t i = 0; i < r->n_evidence; i++)
        wd_buf_printf(&b, " %s", r->evidence[i]);
    for (size_t i = 0; i < r->n_unsupported; i++)
        wd_buf_printf(&b, "%s%s", i ? ", " : "\nin no record: ", r->unsupported[i]);
    wd_buf_str(&b, "\nDRAFT: check it against the records before use.\n");
    wd_status st = wd_buf_check(&b, "answer", err);
    if (!st)
        st = wd_cli_print(wd_buf_view(&b), err);
    wd_buf_wipe(&b);
    return st;
}

static wd_status answer(wd_cli *cli, const options *o, const char *question, const wd_records *records,
                        wd_runtime *rt, wd_err *err)
{
    wd_assist_opts ao = { .max_rounds = (uint32_t)o->rounds };
    wd_ask_args ask = o->a;
    if (!strcmp(ask.language, "auto"))
        ask.language = language_of(question);
    WD_TRY(wd_cli_ask(cli, &ask, "assist", rt, &ao.ask, err));

    wd_show show;
    wd_show_begin(&show, true);
    ao.ask.watch = wd_show_watch(&show);
    wd_assist r;
    wd_status st = wd_assist_ask(wd_runtime_engine(rt), records, question, &ao, cli->arena, &r, err);
    wd_show_end(&show);
    if (!st)
        st = o->json ? wd_cli_print_json(wd_assist_json(&r), err) : r.answered ? print_text(&r, err) : WD_OK;
    if (!st && !r.answered) {
        cli->printed = o->json;
        st = WD_FAIL(err, WD_E_LIMIT, "assist: the model asked for records %u times and did not answer",
                     r.n_round);
    }
    return st;
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    options o = { 0 };
    wd_opt_list rest;
    WD_TRY(wd_cli_options(cli, &wd_cmd_assist, argc, argv, &o, &rest, err));
    if (rest.n != 1)
        return WD_FAIL(err, WD_E_USAGE, "assist takes one question, got %zu operands", rest.n);
    if (!o.chart)
        return WD_FAIL(err, WD_E_USAGE, "assist needs the patient's records: --chart FILE");
    if (strcmp(o.a.language, "auto") != 0 && wd_cli_language(o.a.language, err))
        return WD_FAIL(err, WD_E_USAGE, "--language: \"%s\", expected en, zh or auto", o.a.language);
    const wd_chart_opts co = { .patient = o.patient, .today = o.today };
    wd_records records;
    WD_TRY(wd_records_open_chart(o.chart, &co, cli->arena, &records, err));
    wd_runtime *rt = NULL;
    wd_status st = wd_runtime_open(cli, &o.m, &rt, err);
    if (!st)
        st = answer(cli, &o, rest.v[0], &records, rt, err);
    wd_runtime_close(rt);
    return st;
}

const wd_command wd_cmd_assist = {
    .name = "assist",
    .brief = "answer a question from a patient's records",
    .operands = "QUESTION",
    .about = "The model looks up what the question needs (measurements, medications, allergies, diagnoses, "
             "imaging)\n"
             "through tools that are bound to one patient, and answers from what they return. The records "
             "read are\n"
             "listed with the answer, and so are numbers of the answer that stand in none of them.\n"
             "The answer is a DRAFT.",
    .examples =
        "  ward phantom chart --seed 7 -o case\n"
        "  ward assist -m Qwen3-4B-Instruct-2507 --chart case/chart.json \"What is the latest potassium?\"\n"
        "  ward assist -m Qwen3-4B-Instruct-2507 --chart case/chart.json \"患者目前用什么药？\" --json\n",
    .options = { "assist", opts, WD_COUNT(opts) },
    .run = run,
};
