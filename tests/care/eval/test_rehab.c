/* The suite "rehab": the truth scores perfect by pictures and by points, and each known mistake costs what it should. */
#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/json.h"
#include "care/eval/eval.h"
#include "care/phantom/exercise.h"
#include "media/sandbox.h"
#include "support/scripted.h"
#include "support/test.h"

#define CASES 40

static char *dir, prompts[700];
static json_t *result[CASES + 1];
static size_t n_result;
static wd_arena *arena;

static wd_status keep(void *self, const json_t *r, wd_err *err)
{
    (void)self;
    (void)err;
    assert_true(n_result <= CASES);
    result[n_result++] = json_deep_copy(r);
    return WD_OK;
}

static int start(void **state)
{
    (void)state;
    assert_ok(wd_sandbox_start(&err));
    arena = wd_arena_create(1u << 26, false);
    dir = test_make_dir();
    snprintf(prompts, sizeof prompts, "%s/../prompts", test_data_dir());
    return 0;
}

static int stop(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_result; i++)
        json_decref(result[i]);
    test_rm_dir(dir);
    wd_arena_destroy(arena);
    wd_sandbox_stop();
    return 0;
}

static double of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_number(v))
        fail_msg("%s is no number", key);
    return json_number_value(v);
}

static void near(const json_t *m, const char *key, double want, double within)
{
    if (fabs(of(m, key) - want) > within)
        fail_msg("%s is %.12g, wanted %.12g", key, of(m, key), want);
}

static json_t *score(json_t *const *r, size_t n)
{
    json_t *m = json_object();
    assert_ok(wd_eval_rehab.score(r, n, m, &err));
    return m;
}

/* Runs seeds, or the folder's cases, against the truth. */
static json_t *run_oracle(const char *cases, uint64_t first, uint64_t last, bool kept)
{
    wd_oracle *oracle = NULL;
    json_t *out = NULL;
    assert_ok(wd_oracle_create(NULL, &oracle, &err));
    wd_eval_opts o = {
        .suite = &wd_eval_rehab, .run = WD_EVAL_RUN_DEFAULT, .cases = cases, .first = first, .last = last
    };
    o.run.oracle = oracle;
    o.run.engine = wd_oracle_engine(oracle);
    o.run.prompts_dir = prompts;
    o.on_result = kept ? keep : NULL;
    assert_ok(wd_eval(&o, &out, &err));
    assert_int_equal(json_array_size(json_object_get(out, "failed")), 0);
    assert_int_equal(wd_oracle_n_expected(oracle), 0);
    wd_oracle_destroy(oracle);
    return out;
}

/* The whole path: video, pictures, pointing replies, measurement, words, score. */
static void the_truth_scores_perfect_by_pictures(void **state)
{
    (void)state;
    json_t *out = run_oracle(NULL, 3, 5, false);
    const json_t *m = json_object_get(out, "metrics");
    near(m, "reps_exact", 1, 0);
    near(m, "fault_f1", 1, 0);
    near(m, "phrase_ok", 1, 0);
    assert_true(of(m, "angle_mae_deg") < 2);
    json_decref(out);
}

static void the_truth_scores_perfect_by_points(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= CASES; seed++)
        assert_ok(wd_exercise_write_points(wd_arena_printf(arena, "%s/%02u", dir, (unsigned)seed), seed, 0.5,
                                           &err));
    json_t *out = run_oracle(dir, 0, 0, true);
    const json_t *m = json_object_get(out, "metrics");
    assert_int_equal(n_result, CASES);
    near(m, "reps_exact", 1, 0);
    assert_true(of(m, "fault_f1") >= 0.95);
    near(m, "phrase_ok", 1, 0);
    assert_true(of(m, "angle_mae_deg") < 2);
    assert_int_equal(json_object_size(json_object_get(out, "by")), WD_N_EXERCISE);
    json_decref(out);
}

/* One with faults, perfectly measured, and its number of them. */
static json_t *faulty(size_t *n)
{
    for (size_t i = 0; i < n_result; i++) {
        *n = json_array_size(json_object_get(result[i], "faults"));
        if (*n >= 2 && *n == json_array_size(json_object_get(result[i], "faults_true")))
            return json_deep_copy(result[i]);
    }
    fail_msg("no case with two faults");
    return NULL;
}

static void each_mistake_costs_its_own_metric(void **state)
{
    (void)state;
    size_t n = 0;
    json_t *r = faulty(&n), *m = score(&r, 1);
    near(m, "fault_f1", 1, 0);
    const double mae = of(m, "angle_mae_deg");
    json_decref(m);

    json_t *bad = json_deep_copy(r); /* one fault under another name */
    json_object_set_new(json_array_get(json_object_get(bad, "faults"), 0), "type",
                        json_string("knee_bent_not"));
    m = score(&bad, 1);
    near(m, "fault_f1", (double)(n - 1) / (double)n, 1e-9);
    near(m, "reps_exact", 1, 0);
    near(m, "phrase_ok", 1, 0);
    json_decref(m);
    json_decref(bad);

    bad = json_deep_copy(r); /* at another time */
    json_t *f = json_array_get(json_object_get(bad, "faults"), 0);
    json_object_set_new(f, "start_s", json_real(1000));
    json_object_set_new(f, "end_s", json_real(1001));
    m = score(&bad, 1);
    near(m, "fault_f1", (double)(n - 1) / (double)n, 1e-9);
    json_decref(m);
    json_decref(bad);

    bad = json_deep_copy(r); /* one too many: 2n / (2n + 1) */
    json_array_append(json_object_get(bad, "faults"), json_array_get(json_object_get(bad, "faults"), 0));
    m = score(&bad, 1);
    near(m, "fault_f1", 2.0 * (double)n / (2.0 * (double)n + 1), 1e-9);
    json_decref(m);
    json_decref(bad);

    bad = json_deep_copy(r); /* a repetition missed */
    json_object_set_new(bad, "reps", json_integer((json_int_t)of(bad, "reps") - 1));
    m = score(&bad, 1);
    near(m, "reps_exact", 0, 0);
    near(m, "fault_f1", 1, 0);
    near(m, "angle_mae_deg", mae, 1e-9);
    json_decref(m);
    json_t *two[2] = { r, bad };
    m = score(two, 2);
    near(m, "reps_exact", 0.5, 0);
    json_decref(m);
    json_decref(bad);

    bad = json_deep_copy(r); /* every angle off by 10, one not measured */
    json_t *a = json_object_get(bad, "angles");
    for (size_t i = 0; i < json_array_size(a); i++)
        json_array_set_new(json_array_get(a, i), 1,
                           i ? json_real(json_number_value(json_array_get(json_array_get(a, i), 0)) + 10)
                             : json_null());
    m = score(&bad, 1);
    near(m, "angle_mae_deg", 10, 1e-9);
    json_decref(m);
    json_decref(bad);

    bad = json_deep_copy(r);
    json_object_set_new(bad, "phrase_ok", json_false());
    m = score(&bad, 1);
    near(m, "phrase_ok", 0, 0);
    near(m, "fault_f1", 1, 0);
    json_decref(m);
    json_decref(bad);
    json_decref(r);
}

static void faults_say_which_they_match(void **state)
{
    (void)state;
    size_t n;
    json_t *r = faulty(&n);
    const json_t *truth = json_object_get(r, "faults_true"), *said = json_object_get(r, "faults");
    for (size_t i = 0; i < n; i++) {
        const json_t *k = json_object_get(json_array_get(truth, i), "match");
        assert_true(json_is_integer(k));
        const json_t *back = json_array_get(said, (size_t)json_integer_value(k));
        assert_int_equal(json_integer_value(json_object_get(back, "match")), i);
    }
    json_decref(r);
}

static void without_words_the_measurement_speaks(void **state)
{
    (void)state;
    wd_eval_run run = WD_EVAL_RUN_DEFAULT;
    run.prompts_dir = prompts;
    run.plain_words = run.detail = true;
    const char *one = wd_arena_printf(arena, "%s/01", dir);
    json_t *truth, *out = NULL;
    assert_ok(wd_json_read_file(wd_arena_printf(arena, "%s/truth.json", one), 1 << 20, &truth, &err));
    assert_ok(wd_eval_rehab.run(&run, one, truth, arena, &out, &err));
    assert_true(json_is_false(json_object_get(out, "asked")));
    const json_t *draft = json_object_get(out, "draft"), *advice = json_object_get(draft, "advice");
    assert_true(json_array_size(advice) > 0);
    for (size_t i = 0; i < json_array_size(advice); i++)
        assert_string_equal(json_string_value(json_object_get(json_array_get(advice, i), "phrased_by")),
                            "measurement");
    const size_t n = json_array_size(json_object_get(json_object_get(draft, "angles"), "time_s"));
    assert_int_equal(json_array_size(json_object_get(out, "joints")), n);
    assert_int_equal(json_array_size(json_array_get(json_object_get(out, "joints"), 0)), WD_N_JOINT);
    json_decref(out);
    json_decref(truth);
}

static void blind_answers_are_far_from_perfect(void **state)
{
    (void)state;
    json_t *m = json_object();
    assert_ok(wd_eval_rehab.blind(result, n_result, m, &err));
    assert_true(of(m, "reps_exact") > 0 && of(m, "reps_exact") < 0.6);
    assert_true(of(m, "fault_f1") > 0 && of(m, "fault_f1") < 0.5);
    assert_true(of(m, "angle_mae_deg") > 20);
    assert_true(json_is_null(json_object_get(m, "phrase_ok")));
    json_decref(m);
}

/* Words of a model that talks nonsense: measured all the same, and no case fails. */
static void a_model_that_babbles_fails_no_case(void **state)
{
    (void)state;
    static scripted e;
    static const char *const reply[] = { "Great job, 100 %!" };
    json_t *out = NULL;
    scripted_init(&e, reply, 1);
    wd_eval_opts o = { .suite = &wd_eval_rehab, .run = WD_EVAL_RUN_DEFAULT, .cases = dir };
    o.run.engine = &e.engine;
    o.run.prompts_dir = prompts;
    assert_ok(wd_eval(&o, &out, &err));
    const json_t *m = json_object_get(out, "metrics");
    near(m, "reps_exact", 1, 0);
    near(m, "phrase_ok", 0, 0);
    json_decref(out);
    o.cases = NULL; /* it also cannot point */
    o.first = o.last = 8;
    assert_ok(wd_eval(&o, &out, &err));
    assert_int_equal(json_array_size(json_object_get(out, "failed")), 0);
    m = json_object_get(out, "metrics");
    near(m, "reps_exact", 0, 0);
    assert_true(json_is_null(json_object_get(m, "angle_mae_deg")));
    json_decref(out);
}

static void a_case_that_cannot_be_read_says_why(void **state)
{
    (void)state;
    static const struct {
        const char *truth, *says;
    } bad[] = { { "{\"repetitions\": []}", "exercise is missing" },
                { "{\"exercise\": \"yoga\", \"repetitions\": []}", "no exercise of that name" },
                { "{\"exercise\": \"squat\"}", "repetitions is missing" },
                { "{\"exercise\": \"squat\", \"repetitions\": [], \"faults\": [{\"type\": \"x\"}]}",
                  "faults[0]" } };
    static scripted e;
    static const char *const reply[] = { "" };
    wd_eval_run run = WD_EVAL_RUN_DEFAULT;
    scripted_init(&e, reply, 1);
    run.engine = &e.engine;
    run.prompts_dir = prompts;
    const char *one = wd_arena_printf(arena, "%s/05", dir);
    for (size_t i = 0; i < WD_COUNT(bad); i++) {
        json_t *truth = NULL, *out = NULL;
        assert_ok(wd_json_parse(wd_span_str(bad[i].truth), "truth.json", &truth, &err));
        assert_fails(wd_eval_rehab.run(&run, one, truth, arena, &out, &err), WD_E_INVALID, bad[i].says);
        json_decref(truth);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_truth_scores_perfect_by_pictures),
        cmocka_unit_test(the_truth_scores_perfect_by_points),
        cmocka_unit_test(each_mistake_costs_its_own_metric),
        cmocka_unit_test(faults_say_which_they_match),
        cmocka_unit_test(without_words_the_measurement_speaks),
        cmocka_unit_test(blind_answers_are_far_from_perfect),
        cmocka_unit_test(a_model_that_babbles_fails_no_case),
        cmocka_unit_test(a_case_that_cannot_be_read_says_why),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
