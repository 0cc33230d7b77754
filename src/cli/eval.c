/* ward eval: a story on cases whose truth is known. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "care/eval/eval.h"
#include "care/phantom/phantom.h"
#include "cli/data.h"
#include "cli/runtime.h"

typedef struct options {
    wd_model_args m;
    const char *cases, *seeds, *language, *windows, *baseline, *record, *each;
    int64_t slices;
    bool oracle, json;
} options;

#define AT(field) offsetof(options, field)
/* clang-format off */
static const wd_opt opts[] = {
    WD_MODEL_OPTS(options, m),
    { "cases", 0, WD_OPT_STR, AT(cases), NULL, 0, 0, "folder of your own cases (docs/evaluation.md)" },
    { "seeds", 0, WD_OPT_STR, AT(seeds), NULL, 0, 0, "synthetic cases: A..B, or one seed" },
    { "language", 'l', WD_OPT_STR, AT(language), "case", 0, 0,
      "en, zh, both, or case: what truth.json says, else odd seeds en, even ones zh" },
    { "window", 0, WD_OPT_STR, AT(windows), "lung", 0, 0, "windows that slices are shown through" },
    { "slices", 0, WD_OPT_INT, AT(slices), "12", 1, 100000, "slices shown of a series" },
    { "baseline", 0, WD_OPT_STR, AT(baseline), NULL, 0, 0,
      "blind: always the most frequent answer; embedding (find): by embeddings instead of the reranking head" },
    { "oracle", 0, WD_OPT_BOOL, AT(oracle), "false", 0, 0, "no model: answer with the truth, which must score perfect" },
    { "record", 0, WD_OPT_STR, AT(record), NULL, 0, 0,
      "write every prompt, its pictures and the reply to FILE (-: standard output); without -m the right reply, and no score" },
    { "each", 0, WD_OPT_STR, AT(each), NULL, 0, 0, "write every case's reply, truth and comparison to FILE, a line each" },
    { "json", 0, WD_OPT_BOOL, AT(json), "false", 0, 0, "one JSON object on standard output" },
};
/* clang-format on */

typedef struct command {
    wd_cli *cli;
    const options *o;
    FILE *each;
    wd_progress progress;
    size_t n_failed;
} command;

static void list_suites(wd_buf *b)
{
    const wd_eval_suite *s;
    for (size_t i = 0; (s = wd_eval_suite_at(i)); i++)
        wd_buf_printf(b, "%s%s", i ? ", " : "", s->name);
}

static wd_status choose_suite(const wd_opt_list *rest, const wd_eval_suite **out, wd_err *err)
{
    if (rest->n == 1 && (*out = wd_eval_find_suite(rest->v[0])))
        return WD_OK;
    wd_buf b = { 0 };
    list_suites(&b);
    wd_status st = rest->n == 1
                       ? WD_FAIL(err, WD_E_USAGE, "eval: no suite \"%s\"; there are %s", rest->v[0],
                                 b.n ? (char *)b.p : "none")
                       : WD_FAIL(err, WD_E_USAGE, "eval needs one suite: %s", b.n ? (char *)b.p : "none");
    wd_buf_free(&b);
    return st;
}

static bool read_seed(const char **at, uint64_t *out)
{
    char *end;
    errno = 0;
    if (**at < '0' || **at > '9')
        return false;
    *out = strtoull(*at, &end, 10);
    *at = end;
    return !errno && *out <= INT64_MAX;
}

/* "7" or "1..200". */
static wd_status read_seeds(const char *s, uint64_t *first, uint64_t *last, wd_err *err)
{
    const char *at = s;
    bool good = read_seed(&at, first);
    *last = *first;
    if (good && !strncmp(at, "..", 2)) {
        at += 2;
        good = read_seed(&at, last);
    }
    if (!good || *at || *last < *first)
        return WD_FAIL(err, WD_E_USAGE, "--seeds: \"%s\", expected a seed or a range such as 1..200", s);
    return WD_OK;
}

static wd_status read_language(const char *s, wd_eval_language *out, wd_err *err)
{
    static const char *const names[] = { "case", "en", "zh", "both" };
    for (size_t i = 0; i < WD_COUNT(names); i++) {
        if (!strcmp(s, names[i])) {
            *out = (wd_eval_language)i;
            return WD_OK;
        }
    }
    return WD_FAIL(err, WD_E_USAGE, "--language: \"%s\", expected en, zh, both or case", s);
}

static wd_status check(const options *o, const wd_eval_opts *e, wd_err *err)
{
    const bool blind = o->baseline && !strcmp(o->baseline, "blind"),
               embedding = o->baseline && !strcmp(o->baseline, "embedding");
    if (!o->cases == !o->seeds)
        return WD_FAIL(err, WD_E_USAGE, "eval: give --cases DIR or --seeds A..B");
    if (o->baseline && !blind && !embedding)
        return WD_FAIL(err, WD_E_USAGE, "--baseline: \"%s\", expected blind or embedding", o->baseline);
    if (blind && !e->suite->blind)
        return WD_FAIL(err, WD_E_USAGE, "%s has no blind baseline", e->suite->name);
    if (embedding && strcmp(e->suite->name, "find") != 0)
        return WD_FAIL(err, WD_E_USAGE, "--baseline embedding is for find, not %s", e->suite->name);
    const bool no_model = o->oracle || blind || (o->record && !o->m.model);
    if (no_model && o->m.model)
        return WD_FAIL(err, WD_E_USAGE, "eval: %s asks no model; leave -m out",
                       o->oracle ? "--oracle" : "--baseline blind");
    if (embedding && o->oracle)
        return WD_FAIL(err, WD_E_USAGE, "eval: no truth is known about embeddings; --oracle ranks by scores");
    if (o->record && o->json && (no_model || !strcmp(o->record, "-")))
        return WD_FAIL(err, WD_E_USAGE, "eval: %s; leave --json out",
                       no_model ? "--record without a model scores nothing"
                                : "standard output holds the record");
    if (o->record && blind)
        return WD_FAIL(err, WD_E_USAGE, "eval: a blind baseline asks nothing; leave --record out");
    if (!no_model && e->last >= WD_PHANTOM_TRAIN_SEED && o->seeds)
        return WD_FAIL(err, WD_E_USAGE,
                       "--seeds: from %d on they are for training; a model is measured on smaller ones",
                       WD_PHANTOM_TRAIN_SEED);
    return WD_OK;
}

static wd_status on_result(void *self, const json_t *result, wd_err *err)
{
    command *c = self;
    if (!c->each)
        return WD_OK;
    if (json_dumpf(result, c->each, JSON_COMPACT) || fputc('\n', c->each) == EOF)
        return WD_FAIL(err, WD_E_IO, "%s: cannot write: %s", c->o->each, strerror(errno));
    return WD_OK;
}

static void on_failed(void *self, const char *name, const char *why)
{
    command *c = self;
    wd_progress_end(&c->progress);
    c->n_failed++;
    fprintf(stderr, "ward: case %s: %s\n", name, why);
}

static void on_progress(void *self, uint64_t done, uint64_t total)
{
    command *c = self;
    wd_progress_at(&c->progress, done, total);
}

/* "12.3" with as many digits as tell something. */
static void number(char out[32], const json_t *v, const char *unit)
{
    if (!json_is_number(v))
        snprintf(out, 32, "-");
    else
        snprintf(out, 32, unit && *unit ? "%.2f %s" : "%.4f", json_number_value(v), unit ? unit : "");
}

static void table_row(wd_buf *b, const char *name, const json_t *value, const json_t *n,
                      const wd_eval_target *t)
{
    char text[32], target[40] = "";
    number(text, value, t ? t->unit : "");
    if (t && isfinite(t->value))
        snprintf(target, sizeof target, "%s %g%s%s", t->at_most ? "<=" : ">=", t->value, *t->unit ? " " : "",
                 t->unit);
    const char *verdict = "";
    if (*target && json_is_number(value)) {
        const double x = json_number_value(value);
        verdict = (t->at_most ? x <= t->value : x >= t->value) ? "reached" : "missed";
    }
    wd_buf_printf(b, "%-26s %12s  %-12s %-8s %6lld\n", name, text, target, verdict,
                  (long long)json_integer_value(n));
}

static wd_status print_table(const wd_eval_suite *s, const json_t *r, wd_err *err)
{
    const json_t *metrics = json_object_get(r, "metrics"), *n = json_object_get(r, "n");
    const char *baseline = json_string_value(json_object_get(r, "baseline"));
    const size_t failed = json_array_size(json_object_get(r, "failed"));
    wd_buf b = { 0 };
    const char *model = json_string_value(json_object_get(r, "model"));
    wd_buf_printf(&b, "%s, %s%s%s: %lld cases in %.1f s", s->name, model ? model : "no model",
                  baseline ? ", baseline " : "", baseline ? baseline : "",
                  (long long)json_integer_value(json_object_get(r, "cases")),
                  json_number_value(json_object_get(r, "seconds")));
    if (failed)
        wd_buf_printf(&b, ", %zu failed", failed);
    wd_buf_printf(&b, "\n\n%-26s %12s  %-21s %6s\n", "metric", "value", "target", "n");
    for (size_t i = 0; i < s->n_target; i++)
        table_row(&b, s->target[i].metric, json_object_get(metrics, s->target[i].metric),
                  json_object_get(n, s->target[i].metric), &s->target[i]);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)metrics, name, value)
    {
        size_t i = 0;
        while (i < s->n_target && strcmp(s->target[i].metric, name) != 0)
            i++;
        if (i == s->n_target)
            table_row(&b, name, value, json_object_get(n, name), NULL);
    }
    wd_status st = wd_buf_check(&b, "table", err);
    if (!st)
        st = wd_cli_print(wd_buf_view(&b), err);
    wd_buf_free(&b);
    return st;
}

/* The engine: the truth itself, or the model. Blind baselines need truths only. */
static wd_status open_engine(command *c, wd_eval_opts *e, wd_oracle **oracle, wd_runtime **rt, wd_err *err)
{
    const options *o = c->o;
    if (!o->m.model && (o->oracle || o->record || e->blind)) {
        WD_TRY(wd_oracle_create(o->record, oracle, err));
        e->run.oracle = *oracle;
        e->run.engine = wd_oracle_engine(*oracle);
        return WD_OK;
    }
    WD_TRY(wd_runtime_open(c->cli, &o->m, rt, err));
    e->run.engine = wd_runtime_engine(*rt);
    if (o->record) {
        WD_TRY(wd_oracle_create_around(e->run.engine, o->record, oracle, err));
        e->witness = *oracle;
        e->run.engine = wd_oracle_engine(*oracle);
    }
    return wd_runtime_digest(*rt, c->cli->arena, &e->run.model_digest, err);
}

/* Everything but the record, whose reader waits for nothing else. */
static wd_status print(command *c, const wd_eval_opts *e, json_t *r, wd_err *err)
{
    if (c->o->json && e->run.model_digest)
        json_object_set_new(r, "model_digest", json_string(e->run.model_digest));
    if (c->o->json)
        return wd_cli_print_json(json_incref(r), err);
    if (!c->o->record || (c->o->m.model && strcmp(c->o->record, "-") != 0))
        return print_table(e->suite, r, err);
    fprintf(stderr, "ward: %lld cases recorded in %.1f s\n",
            (long long)json_integer_value(json_object_get(r, "cases")),
            json_number_value(json_object_get(r, "seconds")));
    return WD_OK;
}

static wd_status evaluate(command *c, wd_eval_opts *e, wd_err *err)
{
    json_t *r = NULL;
    wd_progress_begin(&c->progress, e->suite->name, "cases");
    wd_status st = wd_eval(e, &r, err);
    wd_progress_end(&c->progress);
    if (!st)
        st = print(c, e, r, err);
    c->cli->printed = !st && c->o->json;
    if (!st && c->n_failed)
        st = WD_FAIL(err, WD_E_IO, "%zu of the cases could not be run, as said above", c->n_failed);
    json_decref(r);
    return st;
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    options o = { 0 };
    wd_opt_list rest;
    WD_TRY(wd_cli_options(cli, &wd_cmd_eval, argc, argv, &o, &rest, err));
    wd_eval_opts e = {
        .model = o.m.model, .run = WD_EVAL_RUN_DEFAULT, .cases = o.cases, .no_score = o.record && !o.m.model
    };
    WD_TRY(choose_suite(&rest, &e.suite, err));
    if (o.seeds)
        WD_TRY(read_seeds(o.seeds, &e.first, &e.last, err));
    WD_TRY(check(&o, &e, err));
    WD_TRY(read_language(o.language, &e.language, err));
    e.blind = o.baseline && !strcmp(o.baseline, "blind");
    e.run.embedding = o.baseline && !e.blind;
    e.run.windows = o.windows;
    e.run.n_slice = (uint32_t)o.slices;
    e.run.cancel = &wd_cli_cancelled;
    WD_TRY(wd_data_find(cli, "prompts", &e.run.prompts_dir, err));

    command c = { .cli = cli, .o = &o };
    e.self = &c;
    e.on_result = on_result;
    e.on_failed = on_failed;
    e.progress = on_progress;
    wd_oracle *oracle = NULL;
    wd_runtime *rt = NULL;
    wd_status st = open_engine(&c, &e, &oracle, &rt, err);
    if (!st && o.each && !(c.each = fopen(o.each, "w")))
        st = WD_FAIL(err, WD_E_IO, "%s: cannot write: %s", o.each, strerror(errno));
    if (!st)
        st = evaluate(&c, &e, err);
    if (c.each && fclose(c.each) != 0 && !st)
        st = WD_FAIL(err, WD_E_IO, "%s: cannot write: %s", o.each, strerror(errno));
    wd_oracle_destroy(oracle);
    wd_runtime_close(rt);
    return st;
}

const wd_command wd_cmd_eval = {
    .name = "eval",
    .brief = "measure a story on cases whose truth is known",
    .operands = "SUITE",
    .about = "Runs a story by the product's own path on cases (folders with what a user would have and a\n"
             "truth.json) and compares what comes out with the truth. Cases are your own (--cases DIR, the "
             "layout is\n"
             "in docs/evaluation.md) or synthetic ones made from seeds. Decoding is greedy. A case that "
             "cannot be run\n"
             "is said and counted, and the others go on; the exit code is 1 then.\n\n"
             "  report  findings and impression of a draft: precision, recall, side, lobe, size, "
             "contradictions, ...\n"
             "  find    slices ranked by a finding's sentence: top1, top3, mrr, ndcg\n"
             "  rehab   repetitions, faults and angles of an exercise video\n"
             "  lesson  steps of a teaching video, their times and their text\n"
             "  assist  tool calls and answers from a patient's records",
    .examples = "  ward eval report -m models/demo --seeds 1..200\n"
                "  ward eval find -m Qwen3-VL-Reranker-2B --cases ours/ --json --each find.jsonl\n"
                "  ward eval report --oracle --seeds 1..5\n"
                "  ward eval report --record - --seeds 1000000..1000099 | trainer\n",
    .options = { "eval", opts, WD_COUNT(opts) },
    .run = run,
};
