/* Running a suite over cases. */
#include "care/eval/eval.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/opt.h"

#define TRUTH_BYTES_MAX ((size_t)16 << 20)
#define CASE_ARENA_MAX ((size_t)4 << 30)
#define FTW_DESCRIPTORS 16

/* One line each; NULL ends it. */
static const wd_eval_suite *const suites[] = {
    &wd_eval_report, &wd_eval_find, &wd_eval_assist, &wd_eval_lesson, &wd_eval_rehab, NULL,
};

const wd_eval_suite *wd_eval_suite_at(size_t i)
{
    return i < WD_COUNT(suites) ? suites[i] : NULL;
}

const wd_eval_suite *wd_eval_find_suite(const char *name)
{
    for (size_t i = 0; suites[i]; i++)
        if (!strcmp(suites[i]->name, name))
            return suites[i];
    return NULL;
}

wd_status wd_eval_set(json_t *metrics, const char *name, double value, size_t n, wd_err *err)
{
    json_t *count = json_object_get(metrics, "n");
    bool bad = false;
    if (!count)
        bad = json_object_set_new(metrics, "n", count = json_object()) != 0;
    bad = bad || json_object_set_new(metrics, name, n ? json_real(value) : json_null()) ||
          json_object_set_new(count, name, json_integer((json_int_t)n));
    return bad ? WD_FAIL(err, WD_E_NOMEM, "evaluation: no memory") : WD_OK;
}

typedef struct evaluation {
    const wd_eval_opts *o;
    json_t **result; /* [n] */
    size_t n, cap, n_run;
    json_t *failed;
    char work[4096]; /* temporary folder, "" for none */
} evaluation;

static wd_status no_memory(wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "evaluation: no memory");
}

/* ---- temporary cases ---- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *f)
{
    (void)st, (void)kind, (void)f;
    return remove(path) != 0 && errno != ENOENT ? -1 : 0;
}

static void remove_tree(const char *path)
{
    (void)nftw(path, remove_one, FTW_DESCRIPTORS, FTW_DEPTH | FTW_PHYS);
}

/* $TMPDIR, else memory, else /tmp. */
static wd_status make_work(evaluation *v, wd_err *err)
{
    const char *base = wd_env("TMPDIR");
    if (!base)
        base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    if (snprintf(v->work, sizeof v->work, "%s/ward-eval-XXXXXX", base) >= (int)sizeof v->work - 64 ||
        !mkdtemp(v->work)) {
        const int e = errno;
        v->work[0] = 0;
        return WD_FAIL(err, WD_E_IO, "%s: cannot make a temporary folder: %s", base, strerror(e));
    }
    return WD_OK;
}

/* ---- cases ---- */

/* Who writes the record, if anybody does. */
static wd_oracle *recorder(const wd_eval_opts *o)
{
    return o->run.oracle ? o->run.oracle : o->witness;
}

/* Errors that are not the case's own: everything ends. */
static bool is_fatal(const evaluation *v, wd_status st)
{
    return st == WD_E_CANCELLED || st == WD_E_NOMEM || (recorder(v->o) && wd_oracle_failed(recorder(v->o)));
}

static wd_status note_failed(evaluation *v, const char *name, const wd_err *why, wd_err *err)
{
    if (v->o->on_failed)
        v->o->on_failed(v->o->self, name, why->text);
    if (json_array_append_new(v->failed, json_pack("{s:s, s:s}", "case", name, "error", why->text)))
        return no_memory(err);
    return WD_OK;
}

static wd_status keep(evaluation *v, json_t *result, wd_err *err)
{
    v->n_run++;
    wd_status st = v->o->on_result ? v->o->on_result(v->o->self, result, err) : WD_OK;
    if (st || v->o->no_score) {
        json_decref(result);
        return st;
    }
    if (v->n == v->cap) {
        const size_t cap = v->cap ? 2 * v->cap : 64;
        json_t **more = wd_realloc(v->result, cap, sizeof *more);
        if (!more) {
            json_decref(result);
            return no_memory(err);
        }
        v->result = more;
        v->cap = cap;
    }
    v->result[v->n++] = result;
    return WD_OK;
}

/* The case in one language. *result on success. */
static wd_status run_once(evaluation *v, const char *dir, const char *name, json_int_t seed,
                          const json_t *truth, const char *language, json_t **result, wd_err *err)
{
    const wd_eval_opts *o = v->o;
    wd_eval_run run = o->run;
    run.language = language;
    wd_oracle *record = recorder(o);
    if (record) {
        wd_oracle_case(record, o->suite->name, name, (uint64_t)seed);
        wd_oracle_truth(record, truth);
    }
    wd_arena *a = wd_arena_create(CASE_ARENA_MAX, true);
    if (!a)
        return no_memory(err);
    const double start = wd_clock_s();
    json_t *out = NULL;
    wd_status st = o->suite->run(&run, dir, truth, a, &out, err);
    if (!st && run.oracle && wd_oracle_n_expected(run.oracle))
        st = WD_FAIL(err, WD_E_INTERNAL, "%s: %zu answers were not asked for", name,
                     wd_oracle_n_expected(run.oracle));
    json_t *all = st ? NULL
                     : json_pack("{s:s, s:I, s:s, s:f}", "case", name, "seed", seed, "language", language,
                                 "seconds", wd_clock_s() - start);
    if (!st && (!all || json_object_update(all, out)))
        st = no_memory(err);
    json_decref(out);
    if (record) {
        wd_err flushed;
        const wd_status write = wd_oracle_flush(record, &flushed);
        if (!st && write) {
            st = write;
            *err = flushed;
        }
        wd_oracle_truth(record, NULL);
    }
    wd_arena_destroy(a);
    if (st)
        json_decref(all);
    else
        *result = all;
    return st;
}

static wd_status read_truth(const char *dir, wd_arena *a, json_t **out, wd_err *err)
{
    const char *path = wd_path_join(a, dir, "truth.json");
    if (!path)
        return no_memory(err);
    WD_TRY(wd_json_read_file(path, TRUTH_BYTES_MAX, out, err));
    if (!json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        return WD_FAIL(err, WD_E_INVALID, "%s: expected an object", path);
    }
    return WD_OK;
}

static wd_status languages(const evaluation *v, const json_t *truth, const char *dir, const char *out[2],
                           size_t *n, wd_err *err)
{
    const wd_eval_language want = v->o->language;
    const char *own = json_string_value(json_object_get(truth, "language"));
    const json_t *seed = json_object_get(truth, "seed");
    *n = 1;
    if (want == WD_EVAL_LANG_CASE && own && strcmp(own, "en") != 0 && strcmp(own, "zh") != 0)
        return WD_FAIL(err, WD_E_INVALID, "%s/truth.json: language is \"%s\", expected en or zh", dir, own);
    if (want == WD_EVAL_LANG_EN)
        out[0] = "en";
    else if (want == WD_EVAL_LANG_ZH)
        out[0] = "zh";
    else if (want == WD_EVAL_LANG_CASE && own)
        out[0] = own;
    else
        out[0] = json_is_integer(seed) && json_integer_value(seed) % 2 == 0 ? "zh" : "en";
    if (want == WD_EVAL_LANG_BOTH) {
        out[0] = "en";
        out[1] = "zh";
        *n = 2;
    }
    return WD_OK;
}

/* All of a case; what is the case's own fault is noted. */
static wd_status run_case(evaluation *v, const char *dir, const char *name, bool made, uint64_t seed,
                          wd_err *err)
{
    wd_arena *a = wd_arena_create((size_t)1 << 20, false);
    if (!a)
        return no_memory(err);
    wd_err why = { 0 };
    json_t *truth = NULL;
    const char *language[2] = { NULL, NULL };
    size_t n = 0;
    wd_status st = made ? v->o->suite->make(dir, seed, &why) : WD_OK;
    if (!st)
        st = read_truth(dir, a, &truth, &why);
    if (!st)
        st = languages(v, truth, dir, language, &n, &why);
    const json_int_t number = made ? (json_int_t)seed : json_integer_value(json_object_get(truth, "seed"));
    for (size_t i = 0; !st && i < n; i++) {
        json_t *result = NULL;
        st = run_once(v, dir, name, number, truth, language[i], &result, &why);
        if (!st) {
            st = keep(v, result, err);
            if (st)
                goto out;
        }
    }
    if (st) {
        if (is_fatal(v, st))
            *err = why;
        else
            st = note_failed(v, name, &why, err);
    }
out:
    json_decref(truth);
    wd_arena_destroy(a);
    return st;
}

static bool cancelled(const evaluation *v)
{
    return v->o->run.cancel && atomic_load(v->o->run.cancel);
}

static wd_status next_case(const evaluation *v, uint64_t done, uint64_t all, wd_err *err)
{
    if (cancelled(v))
        return WD_FAIL(err, WD_E_CANCELLED, "cancelled after %llu of %llu cases", (unsigned long long)done,
                       (unsigned long long)all);
    if (v->o->progress)
        v->o->progress(v->o->self, done, all);
    return WD_OK;
}

static wd_status run_seeds(evaluation *v, wd_err *err)
{
    const wd_eval_opts *o = v->o;
    WD_TRY(make_work(v, err));
    const uint64_t n = o->last - o->first + 1;
    for (uint64_t i = 0; i < n; i++) {
        WD_TRY(next_case(v, i, n, err));
        char dir[sizeof v->work + 32], name[24];
        snprintf(name, sizeof name, "%llu", (unsigned long long)(o->first + i));
        snprintf(dir, sizeof dir, "%s/%s", v->work, name);
        const wd_status st = run_case(v, dir, name, true, o->first + i, err);
        remove_tree(dir);
        WD_TRY(st);
    }
    return WD_OK;
}

static wd_status run_folders(evaluation *v, wd_arena *a, wd_err *err)
{
    char **names;
    size_t n, n_case = 0;
    WD_TRY(wd_file_list(a, v->o->cases, &names, &n, err));
    const char **dir = WD_NEW_N(a, const char *, n + 1);
    for (size_t i = 0; dir && i < n; i++) {
        const char *path = wd_path_join(a, v->o->cases, names[i]);
        const char *truth = path ? wd_path_join(a, path, "truth.json") : NULL;
        if (!truth)
            return no_memory(err);
        if (wd_file_is_dir(path) && wd_file_exists(truth))
            dir[n_case++] = path;
    }
    if (!dir)
        return no_memory(err);
    if (!n_case)
        return WD_FAIL(err, WD_E_NOT_FOUND, "%s: holds no folder with a truth.json", v->o->cases);
    for (size_t i = 0; i < n_case; i++) {
        WD_TRY(next_case(v, i, n_case, err));
        WD_TRY(run_case(v, dir[i], wd_path_base(dir[i]), false, 0, err));
    }
    return WD_OK;
}

/* ---- the outcome ---- */

static wd_status score(const evaluation *v, json_t *metrics, wd_err *err)
{
    const wd_eval_suite *s = v->o->suite;
    if (v->o->no_score)
        return WD_OK;
    if (v->o->blind)
        return s->blind(v->result, v->n, metrics, err);
    return s->score(v->result, v->n, metrics, err);
}

/* Moves metrics[key] to out[key]. */
static int lift(json_t *out, json_t *metrics, const char *key)
{
    json_t *v = json_object_get(metrics, key);
    const int bad = json_object_set(out, key, v ? v : json_null());
    json_object_del(metrics, key);
    return bad;
}

static wd_status outcome(const evaluation *v, double seconds, json_t **out, wd_err *err)
{
    const wd_eval_opts *o = v->o;
    json_t *metrics = json_object();
    wd_status st = metrics ? score(v, metrics, err) : no_memory(err);
    const char *engine = o->run.engine->info.name, *model = o->model ? o->model : engine;
    const char *baseline = o->blind ? "blind" : o->run.embedding ? "embedding" : NULL;
    json_t *r = st ? NULL
                   : json_pack("{s:s, s:s?, s:s?, s:s?, s:I, s:O, s:f}", "suite", o->suite->name, "model",
                               o->blind ? NULL : model, "engine", o->blind ? NULL : engine, "baseline",
                               baseline, "cases", (json_int_t)v->n_run, "failed", v->failed, "seconds",
                               seconds);
    if (!st &&
        (!r || json_object_set(r, "metrics", metrics) || lift(r, metrics, "n") || lift(r, metrics, "by")))
        st = no_memory(err);
    json_decref(metrics);
    if (st)
        json_decref(r);
    else
        *out = r;
    return st;
}

wd_status wd_eval(const wd_eval_opts *o, json_t **out, wd_err *err)
{
    *out = NULL;
    if (o->blind && !o->suite->blind)
        return WD_FAIL(err, WD_E_USAGE, "%s has no blind baseline", o->suite->name);
    const double start = wd_clock_s();
    evaluation *v = WD_ALLOC(evaluation);
    wd_arena *a = wd_arena_create((size_t)64 << 20, false);
    wd_status st = v && a ? WD_OK : no_memory(err);
    if (!st) {
        v->o = o;
        v->failed = json_array();
        if (!v->failed)
            st = no_memory(err);
    }
    if (!st)
        st = o->cases ? run_folders(v, a, err) : run_seeds(v, err);
    if (!st)
        st = outcome(v, wd_clock_s() - start, out, err);
    if (v) {
        if (v->work[0])
            remove_tree(v->work);
        for (size_t i = 0; i < v->n; i++)
            json_decref(v->result[i]);
        wd_free(v->result);
        json_decref(v->failed);
    }
    wd_free(v);
    wd_arena_destroy(a);
    return st;
}
