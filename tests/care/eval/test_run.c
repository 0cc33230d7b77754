/* Running a suite: seeds and folders, languages, broken cases, cancelling, and nothing left behind. */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "care/eval/eval.h"
#include "media/sandbox.h"

static char *dir, *work;
static char prompts[600];

typedef struct seen {
    char lines[1000], failed[1000];
    size_t n;
    atomic_bool cancel;
    size_t cancel_after, fail_after;
} seen;

static wd_status on_result(void *self, const json_t *r, wd_err *err)
{
    seen *s = self;
    const size_t at = strlen(s->lines);
    snprintf(s->lines + at, sizeof s->lines - at, "%s/%s ", json_string_value(json_object_get(r, "case")),
             json_string_value(json_object_get(r, "language")));
    assert_true(json_is_real(json_object_get(r, "seconds")));
    if (++s->n == s->cancel_after)
        atomic_store(&s->cancel, true);
    return s->n == s->fail_after ? WD_FAIL(err, WD_E_IO, "each: disk full") : WD_OK;
}

static void on_failed(void *self, const char *name, const char *why)
{
    seen *s = self;
    const size_t at = strlen(s->failed);
    snprintf(s->failed + at, sizeof s->failed - at, "%s: %s\n", name, why);
}

static wd_status eval(const wd_eval_suite *suite, const char *cases, uint64_t first, uint64_t last,
                      wd_eval_language language, seen *s, json_t **out, wd_err *err)
{
    wd_oracle *o;
    WD_TRY(wd_oracle_create(NULL, &o, err));
    wd_eval_opts e = { .suite = suite,
                       .run = WD_EVAL_RUN_DEFAULT,
                       .cases = cases,
                       .first = first,
                       .last = last,
                       .language = language,
                       .on_result = on_result,
                       .on_failed = on_failed,
                       .self = s };
    e.run.oracle = o;
    e.run.engine = wd_oracle_engine(o);
    e.run.prompts_dir = prompts;
    e.run.cancel = &s->cancel;
    const wd_status st = wd_eval(&e, out, err);
    wd_oracle_destroy(o);
    return st;
}

static void nothing_is_left(void)
{
    wd_arena *a = wd_arena_create(1 << 20, false);
    char **names;
    size_t n;
    assert_ok(wd_file_list(a, work, &names, &n, &err));
    assert_int_equal(n, 0);
    wd_arena_destroy(a);
}

static double metric(const json_t *r, const char *name)
{
    return json_number_value(json_object_get(json_object_get(r, "metrics"), name));
}

static void seeds_become_cases_and_the_oracle_is_perfect(void **state)
{
    (void)state;
    static seen s;
    json_t *r;
    assert_ok(eval(&wd_eval_report, NULL, 3, 5, WD_EVAL_LANG_CASE, &s, &r, &err));
    assert_string_equal(s.lines, "3/en 4/zh 5/en ");
    assert_string_equal(json_string_value(json_object_get(r, "suite")), "report");
    assert_int_equal(json_integer_value(json_object_get(r, "cases")), 3);
    assert_int_equal(json_array_size(json_object_get(r, "failed")), 0);
    assert_true(metric(r, "finding_f1") == 1 && metric(r, "schema_valid") == 1);
    assert_true(json_is_object(json_object_get(r, "by")));
    assert_null(
        json_object_get(json_object_get(r, "metrics"), "n")); /* lifted out: names and numbers alone */
    assert_null(json_object_get(json_object_get(r, "metrics"), "by"));
    json_decref(r);
    nothing_is_left();

    static seen both;
    assert_ok(eval(&wd_eval_find, NULL, 1, 1, WD_EVAL_LANG_BOTH, &both, &r, &err));
    assert_string_equal(both.lines, "1/en 1/zh ");
    assert_true(metric(r, "top1") == 1 && metric(r, "ndcg") == 1);
    json_decref(r);
    nothing_is_left();
}

/* A folder with two good cases and every kind of broken one. */
static void make_folder(char *cases, size_t size)
{
    char path[700];
    snprintf(cases, size, "%s/cases", dir);
    static const char *const good[] = { "a-first", "z-last" };
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/cases/%s", dir, good[i]);
        assert_ok(wd_eval_report.make(path, 10 + i, &err));
    }
    static const struct {
        const char *name, *truth;
    } broken[] = {
        { "b-not-json", "{\"findings\": [" },
        { "c-no-series", "{\"findings\": []}" },
        { "d-list", "[]" },
        { "e-type", "{\"findings\": [{\"type\": \"fracture\"}]}" },
        { "f-language", "{\"findings\": [], \"language\": \"de\"}" },
    };
    for (size_t i = 0; i < WD_COUNT(broken); i++) {
        snprintf(path, sizeof path, "%s/cases/%s", dir, broken[i].name);
        assert_ok(wd_file_mkdirs(path, &err));
        test_write(path, "truth.json", broken[i].truth, strlen(broken[i].truth));
    }
    snprintf(path, sizeof path, "%s/cases/not-a-case", dir); /* no truth.json: not looked at */
    assert_ok(wd_file_mkdirs(path, &err));
}

static void broken_cases_are_named_and_the_others_go_on(void **state)
{
    (void)state;
    static seen s;
    char cases[700];
    json_t *r;
    make_folder(cases, sizeof cases);
    assert_ok(eval(&wd_eval_report, cases, 0, 0, WD_EVAL_LANG_CASE, &s, &r, &err));
    assert_string_equal(s.lines, "a-first/zh z-last/en "); /* seeds 10 and 11 */
    assert_int_equal(json_integer_value(json_object_get(r, "cases")), 2);
    assert_int_equal(json_array_size(json_object_get(r, "failed")), 5);
    assert_true(metric(r, "finding_f1") == 1);
    static const char *const says[] = {
        "b-not-json: ", "not valid JSON", "c-no-series: ", "d-list: ",          "expected an object",
        "e-type: ",     "\"fracture\"",   "f-language: ",  "language is \"de\""
    };
    for (size_t i = 0; i < WD_COUNT(says); i++)
        if (!strstr(s.failed, says[i]))
            fail_msg("\"%s\" is not in\n%s", says[i], s.failed);
    json_decref(r);

    static seen find;
    assert_ok(eval(&wd_eval_find, cases, 0, 0, WD_EVAL_LANG_EN, &find, &r, &err));
    assert_string_equal(find.lines, "a-first/en z-last/en ");
    json_decref(r);
}

static void a_folder_without_cases_is_refused(void **state)
{
    (void)state;
    static seen s;
    json_t *r;
    assert_fails(eval(&wd_eval_report, work, 0, 0, WD_EVAL_LANG_CASE, &s, &r, &err), WD_E_NOT_FOUND,
                 "holds no folder with a truth.json");
    assert_null(r);
    assert_fails(eval(&wd_eval_report, "/no/such", 0, 0, WD_EVAL_LANG_CASE, &s, &r, &err), WD_E_NOT_FOUND,
                 "/no/such");
}

static void cancelling_stops_and_cleans_up(void **state)
{
    (void)state;
    static seen s = { .cancel_after = 1 };
    json_t *r;
    assert_fails(eval(&wd_eval_report, NULL, 1, 9, WD_EVAL_LANG_CASE, &s, &r, &err), WD_E_CANCELLED,
                 "cancelled after 1 of 9 cases");
    assert_null(r);
    nothing_is_left();
}

static void a_result_that_cannot_be_written_ends_it(void **state)
{
    (void)state;
    static seen s = { .fail_after = 2 };
    json_t *r;
    assert_fails(eval(&wd_eval_report, NULL, 1, 9, WD_EVAL_LANG_CASE, &s, &r, &err), WD_E_IO, "disk full");
    assert_int_equal(s.n, 2);
    nothing_is_left();
}

static wd_status no_make(const char *path, uint64_t seed, wd_err *err)
{
    WD_TRY(wd_file_mkdirs(path, err));
    char name[5000];
    snprintf(name, sizeof name, "%s/truth.json", path);
    return seed == 2 ? WD_FAIL(err, WD_E_IO, "seed 2 cannot be made")
                     : wd_file_write(name, WD_SPAN_LIT("{}"), err);
}

static wd_status asks_nothing(const wd_eval_run *r, const char *path, const json_t *truth, wd_arena *a,
                              json_t **out, wd_err *err)
{
    (void)path, (void)truth, (void)a, (void)err;
    wd_oracle_expect(r->oracle, WD_SPAN_LIT("unasked"));
    *out = json_object();
    return WD_OK;
}

static wd_status no_score(json_t *const *result, size_t n, json_t *metrics, wd_err *err)
{
    (void)result;
    WD_TRY(wd_eval_set(metrics, "some", 0.5, 4, err));
    return wd_eval_set(metrics, "none", 0.5, n, err);
}

static void an_answer_that_nobody_asked_for_is_an_error_of_the_suite(void **state)
{
    (void)state;
    const wd_eval_suite suite = { .name = "test", .make = no_make, .run = asks_nothing, .score = no_score };
    static seen s;
    json_t *r;
    assert_ok(eval(&suite, NULL, 1, 2, WD_EVAL_LANG_CASE, &s, &r, &err));
    assert_non_null(strstr(s.failed, "1: 1: 1 answers were not asked for"));
    assert_non_null(strstr(s.failed, "2: seed 2 cannot be made"));
    assert_true(metric(r, "some") == 0.5);
    const json_t *metrics = json_object_get(r, "metrics");
    assert_true(json_is_null(json_object_get(metrics, "none"))); /* nothing was judged */
    assert_int_equal(json_integer_value(json_object_get(json_object_get(r, "n"), "some")), 4);
    json_decref(r);
    nothing_is_left();
}

static void suites_are_found_by_name(void **state)
{
    (void)state;
    assert_ptr_equal(wd_eval_find_suite("report"), &wd_eval_report);
    assert_ptr_equal(wd_eval_find_suite("find"), &wd_eval_find);
    assert_null(wd_eval_find_suite("nothing"));
    size_t n = 0;
    const wd_eval_suite *s;
    while ((s = wd_eval_suite_at(n)))
        n += s->make && s->run && s->score && s->n_target ? 1 : 1000;
    assert_in_range(n, 2, 999);
    assert_null(wd_eval_suite_at(1000));
}

static int set_up(void **state)
{
    (void)state;
    dir = test_make_dir();
    work = test_make_dir();
    snprintf(prompts, sizeof prompts, "%s/../prompts", test_data_dir());
    return setenv("TMPDIR", work, 1);
}

static int tear_down(void **state)
{
    (void)state;
    test_rm_dir(work);
    test_rm_dir(dir);
    return 0;
}

int main(void)
{
    wd_err err;
    wd_json_use_our_memory();
    if (wd_sandbox_start(&err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeds_become_cases_and_the_oracle_is_perfect),
        cmocka_unit_test(broken_cases_are_named_and_the_others_go_on),
        cmocka_unit_test(a_folder_without_cases_is_refused),
        cmocka_unit_test(cancelling_stops_and_cleans_up),
        cmocka_unit_test(a_result_that_cannot_be_written_ends_it),
        cmocka_unit_test(an_answer_that_nobody_asked_for_is_an_error_of_the_suite),
        cmocka_unit_test(suites_are_found_by_name),
    };
    const int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    wd_sandbox_stop();
    return failed;
}
