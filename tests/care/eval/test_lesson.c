/* The suite "lesson": the truth scores perfect, and each known mistake costs just what it should. */
#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/json.h"
#include "care/eval/eval.h"
#include "care/phantom/lesson.h"
#include "media/sandbox.h"
#include "support/scripted.h"
#include "support/test.h"

#define SEEDS 4

static json_t *result[SEEDS]; /* of the oracle */
static char prompts[700];

static wd_status keep(void *self, const json_t *r, wd_err *err)
{
    size_t *n = self;
    (void)err;
    result[(*n)++] = json_deep_copy(r);
    return WD_OK;
}

static double of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_number(v))
        fail_msg("%s is no number", key);
    return json_number_value(v);
}

static void assert_metric(const json_t *m, const char *key, double want)
{
    if (fabs(of(m, key) - want) > 1e-9)
        fail_msg("%s is %.12g, wanted %.12g", key, of(m, key), want);
}

static json_t *score(json_t *const *r, size_t n)
{
    json_t *m = json_object();
    assert_ok(wd_eval_lesson.score(r, n, m, &err));
    return m;
}

/* A run of the whole path: phantom, cuts, prompt, reply, parser, score. Also fills `result` for the tests below. */
static void the_truth_scores_perfect(void **state)
{
    (void)state;
    wd_oracle *oracle = NULL;
    size_t n = 0;
    json_t *out = NULL;
    assert_ok(wd_oracle_create(NULL, &oracle, &err));
    wd_eval_opts o = {
        .suite = &wd_eval_lesson, .run = WD_EVAL_RUN_DEFAULT, .first = 11, .last = 10 + SEEDS
    };
    o.run.oracle = oracle;
    o.run.engine = wd_oracle_engine(oracle);
    o.run.prompts_dir = prompts;
    o.on_result = keep;
    o.self = &n;
    assert_ok(wd_eval(&o, &out, &err));
    assert_int_equal(n, SEEDS);
    assert_int_equal(json_array_size(json_object_get(out, "failed")), 0);
    const json_t *m = json_object_get(out, "metrics");
    assert_metric(m, "step_f1", 1);
    assert_metric(m, "text_cer", 0);
    assert_metric(m, "title_exact", 1);
    assert_metric(m, "parsed", 1);
    assert_metric(m, "step_time_within_1s", 1);
    assert_true(of(m, "step_time_err_s_median") < 0.15);
    assert_metric(json_object_get(json_object_get(out, "by"), "zh"), "step_f1", 1);
    for (size_t i = 0; i < SEEDS; i++) {
        const json_t *truth = json_object_get(result[i], "steps_true"),
                     *said = json_object_get(result[i], "steps");
        assert_int_equal(json_array_size(truth), json_array_size(said));
        for (size_t k = 0; k < json_array_size(truth); k++) {
            assert_metric(json_array_get(truth, k), "match", (double)k);
            assert_metric(json_array_get(said, k), "match", (double)k);
        }
        assert_null(json_object_get(result[i], "draft")); /* nobody asked for it */
    }
    json_decref(out);
    wd_oracle_destroy(oracle);
}

static json_t *said_step(json_t *r, size_t i)
{
    return json_array_get(json_object_get(r, "steps"), i);
}

static void a_wrong_title_of_a_step_is_a_miss_and_costs_characters(void **state)
{
    (void)state;
    json_t *r = json_deep_copy(result[0]);
    const double n = (double)json_array_size(json_object_get(r, "steps"));
    json_object_set_new(said_step(r, 0), "title", json_string("qqqqqqqqqqqqqqqqqqqqqqqq"));
    json_t *m = score(&r, 1);
    assert_metric(m, "step_f1", (n - 1) / n);
    assert_metric(m, "title_exact", 1);
    assert_true(of(m, "text_cer") > 0.1);
    json_decref(m);
    json_decref(r);
}

static void a_letter_wrong_costs_a_character_and_no_step(void **state)
{
    (void)state;
    json_t *r = json_deep_copy(result[0]); /* seed 11: English */
    char title[100];
    size_t letters = 0;
    const size_t n = json_array_size(json_object_get(r, "steps"));
    for (size_t i = 0; i < n; i++)
        letters += strlen(json_string_value(json_object_get(said_step(r, i), "title"))) + (i > 0);
    snprintf(title, sizeof title, "%s", json_string_value(json_object_get(said_step(r, 0), "title")));
    title[0] = '#';
    json_object_set_new(said_step(r, 0), "title", json_string(title));
    json_t *m = score(&r, 1);
    assert_metric(m, "step_f1", 1);
    assert_metric(m, "text_cer", 1.0 / (double)letters);
    json_decref(m);
    json_decref(r);
}

static void a_wrong_time_costs_time_and_beyond_its_step_the_step(void **state)
{
    (void)state;
    json_t *r = json_deep_copy(result[0]);
    const size_t n = json_array_size(json_object_get(r, "steps"));
    for (size_t i = 0; i < n; i++) {
        json_t *s = said_step(r, i);
        json_object_set_new(
            s, "start_s",
            json_real(of(json_array_get(json_object_get(r, "steps_true"), i), "start_s") + 1.25));
    }
    json_t *m = score(&r, 1);
    assert_metric(m, "step_f1", 1);
    assert_metric(m, "step_time_err_s_median", 1.25);
    assert_metric(m, "step_time_within_1s", 0);
    assert_metric(m, "text_cer", 0);
    json_decref(m);
    for (size_t i = 0; i < n; i++) {
        json_object_set_new(said_step(r, i), "start_s", json_real(1000));
        json_object_set_new(said_step(r, i), "end_s", json_real(1010));
    }
    m = score(&r, 1);
    assert_metric(m, "step_f1", 0);
    assert_true(json_is_null(json_object_get(m, "step_time_err_s_median"))); /* nothing to be judged */
    json_decref(m);
    json_decref(r);
}

static void a_missing_a_doubled_and_an_invented_step_are_counted(void **state)
{
    (void)state;
    json_t *r = json_deep_copy(result[0]);
    const double n = (double)json_array_size(json_object_get(r, "steps"));
    json_array_append(json_object_get(r, "steps"), said_step(r, 0));
    json_t *m = score(&r, 1);
    assert_metric(m, "step_recall", 1);
    assert_metric(m, "step_precision", n / (n + 1));
    json_decref(m);
    json_array_remove(json_object_get(r, "steps"), (size_t)n);
    json_array_remove(json_object_get(r, "steps"), 0);
    m = score(&r, 1);
    assert_metric(m, "step_precision", 1);
    assert_metric(m, "step_recall", (n - 1) / n);
    assert_metric(m, "step_f1", 2 * (n - 1) / (2 * n - 1));
    json_decref(m);
    json_decref(r);
}

static void a_wrong_title_of_the_lesson_costs_that_alone(void **state)
{
    (void)state;
    json_t *r = json_deep_copy(result[1]);
    json_object_set_new(r, "title", json_string("?"));
    json_t *m = score(&r, 1);
    assert_metric(m, "title_exact", 0);
    assert_metric(m, "step_f1", 1);
    assert_metric(m, "text_cer", 0);
    json_decref(m);
    json_decref(r);
}

static void the_blind_answer_is_the_most_frequent_one(void **state)
{
    (void)state;
    json_t *same[3], *m = json_object();
    for (int i = 0; i < 3; i++) { /* one case three times: its title and its steps are the usual ones */
        same[i] = json_deep_copy(result[0]);
        json_object_set_new(same[i], "steps", json_array());
        json_object_set_new(same[i], "title", json_string(""));
    }
    assert_ok(wd_eval_lesson.blind(same, 3, m, &err));
    assert_metric(m, "title_exact", 1);
    assert_metric(m, "text_cer", 0); /* all steps equally frequent: in the order of the case */
    assert_true(of(m, "step_time_err_s_median") > 0.3);
    json_decref(m);
    m = json_object();
    assert_ok(wd_eval_lesson.blind(result, SEEDS, m, &err));
    assert_true(of(m, "step_f1") < 0.7);
    json_decref(m);
    for (int i = 0; i < 3; i++)
        json_decref(same[i]);
}

/* The case of a user's own: another container's name, only the fields that are needed; and broken ones. */
static void a_case_folder_is_read_or_refused_with_a_sentence(void **state)
{
    (void)state;
    static const struct {
        const char *truth;
        wd_status st;
        const char *why;
    } cases[] = {
        { "{\"steps\": [{\"title\": \"a\", \"start_s\": 0, \"end_s\": 60}]}", WD_OK, "" },
        { "{}", WD_E_INVALID, "steps: expected 1 to" },
        { "{\"steps\": []}", WD_E_INVALID, "steps: expected 1 to" },
        { "{\"steps\": [{\"start_s\": 0, \"end_s\": 60}]}", WD_E_INVALID, "title" },
        { "{\"steps\": [{\"title\": \"a\", \"end_s\": 60}]}", WD_E_INVALID, "step 1 needs start_s" },
        { "{\"steps\": [{\"title\": \"a\", \"start_s\": 9, \"end_s\": 9}]}", WD_E_INVALID, "a later end_s" },
        { "{\"title\": 3, \"steps\": [{\"title\": \"a\", \"start_s\": 0, \"end_s\": 60}]}", WD_E_INVALID,
          "title" },
    };
    char *dir = test_make_dir(), from[700], to[700];
    wd_arena *a = wd_arena_create((size_t)1 << 30, false);
    static scripted e;
    static const char *const reply[] = { "nonsense" };
    scripted_init(&e, reply, 1);
    wd_eval_run run = WD_EVAL_RUN_DEFAULT;
    run.engine = &e.engine;
    run.prompts_dir = prompts;
    run.detail = true;
    json_t *out = NULL;
    assert_fails(wd_eval_lesson.run(&run, dir, NULL, a, &out, &err), WD_E_NOT_FOUND, "no video.mp4");
    assert_ok(wd_phantom_lesson(dir, 7, &err));
    snprintf(from, sizeof from, "%s/video.mp4", dir);
    snprintf(to, sizeof to, "%s/video.mov", dir);
    assert_int_equal(rename(from, to), 0);
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        json_t *truth = json_loads(cases[i].truth, 0, NULL);
        if (cases[i].st) {
            assert_fails(wd_eval_lesson.run(&run, dir, truth, a, &out, &err), cases[i].st, cases[i].why);
        } else {
            assert_ok(wd_eval_lesson.run(&run, dir, truth, a, &out, &err));
            assert_true(
                json_is_false(json_object_get(out, "parsed"))); /* nonsense is a result, not a failure */
            assert_string_equal(json_string_value(json_object_get(json_object_get(out, "draft"), "raw")),
                                "nonsense");
            assert_true(json_is_null(
                json_object_get(json_array_get(json_object_get(out, "steps_true"), 0), "match")));
            json_t *m = score(&out, 1);
            assert_metric(m, "step_f1", 0);
            assert_metric(m, "text_cer", 1);
            assert_true(json_is_null(json_object_get(m, "title_exact"))); /* no title was known */
            json_decref(m);
            json_decref(out);
        }
        json_decref(truth);
    }
    wd_arena_destroy(a);
    test_rm_dir(dir);
}

static int begin(void **state)
{
    (void)state;
    snprintf(prompts, sizeof prompts, "%s/../prompts", test_data_dir());
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (int i = 0; i < SEEDS; i++)
        json_decref(result[i]);
    return 0;
}

int main(void)
{
    wd_err err;
    if (wd_sandbox_start(&err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_truth_scores_perfect),
        cmocka_unit_test(a_wrong_title_of_a_step_is_a_miss_and_costs_characters),
        cmocka_unit_test(a_letter_wrong_costs_a_character_and_no_step),
        cmocka_unit_test(a_wrong_time_costs_time_and_beyond_its_step_the_step),
        cmocka_unit_test(a_missing_a_doubled_and_an_invented_step_are_counted),
        cmocka_unit_test(a_wrong_title_of_the_lesson_costs_that_alone),
        cmocka_unit_test(the_blind_answer_is_the_most_frequent_one),
        cmocka_unit_test(a_case_folder_is_read_or_refused_with_a_sentence),
    };
    const int failed = cmocka_run_group_tests(tests, begin, end);
    wd_sandbox_stop();
    return failed;
}
