/* The suite "assist": the truth scores perfect, each known mistake lowers its own metric and no other. */
#include "support/scripted.h"
#include "support/test.h"

#include <stdio.h>

#include "base/json.h"
#include "care/eval/eval.h"
#include "care/phantom/chart.h"

static char prompts[600];

static double metric(const json_t *outcome, const char *name)
{
    const json_t *v = json_object_get(json_object_get(outcome, "metrics"), name);
    if (!json_is_number(v))
        fail_msg("metric %s is not there", name);
    return json_number_value(v);
}

static const char *const names[] = { "tool_call_exact", "argument_match", "answer_exact", "answer_value",
                                     "grounded" };

static void the_truth_scores_perfect_in_both_languages(void **state)
{
    (void)state;
    wd_oracle *oracle;
    json_t *out;
    assert_ok(wd_oracle_create(NULL, &oracle, &err));
    wd_eval_run run = WD_EVAL_RUN_DEFAULT;
    run.engine = wd_oracle_engine(oracle);
    run.oracle = oracle;
    run.prompts_dir = prompts;
    const wd_eval_opts o = {
        .suite = &wd_eval_assist, .run = run, .first = 1, .last = 40, .language = WD_EVAL_LANG_BOTH
    };
    assert_ok(wd_eval(&o, &out, &err));
    assert_int_equal(json_integer_value(json_object_get(out, "cases")), 80);
    for (size_t i = 0; i < WD_COUNT(names); i++)
        if (metric(out, names[i]) !=
            1) /* the answers come from the drawn patient, the evidence from the tools */
            fail_msg("%s is %g", names[i], metric(out, names[i]));
    assert_true(json_object_size(json_object_get(out, "by")) > 15);
    json_decref(out);

    wd_eval_opts blind = o;
    blind.blind = true;
    assert_ok(wd_eval(&blind, &out, &err));
    assert_true(metric(out, "tool_call_exact") < 0.2 && metric(out, "tool_call_exact") > 0);
    assert_true(metric(out, "answer_exact") < 0.2 && metric(out, "answer_exact") > 0);
    json_decref(out);
    wd_oracle_destroy(oracle);
}

#define CALL(name, args) "<tool_call>\n{\"name\": \"" name "\", \"arguments\": " args "}\n</tool_call>"

static const char chart[] =
    "{\"resourceType\": \"Bundle\", \"type\": \"collection\", \"timestamp\": \"2026-03-05T08:00:00Z\", "
    "\"entry\": ["
    "{\"resource\": {\"resourceType\": \"Patient\", \"id\": \"p1\"}},"
    "{\"resource\": {\"resourceType\": \"Observation\", \"id\": \"k1\", \"status\": \"final\","
    " \"code\": {\"text\": \"potassium\"}, \"subject\": {\"reference\": \"Patient/p1\"},"
    " \"effectiveDateTime\": \"2026-03-02\", \"valueQuantity\": {\"value\": 4.8, \"unit\": \"mmol/L\"}}}]}";
static const char truth[] = "{\"questions\": [{\"kind\": \"latest\", \"calls\": [{\"name\": "
                            "\"get_observations\", \"arguments\": {\"name\": "
                            "\"potassium\", \"last\": 1}}], \"question\": \"Potassium?\", \"answer\": \"The "
                            "latest potassium is 4.8 mmol/L.\", "
                            "\"facts\": [\"4.8 mmol/L\"]}]}";
#define RIGHT_CALL CALL("get_observations", "{\"last\": 1, \"name\": \"potassium\"}")
#define RIGHT_ANSWER "The latest  potassium is 4.8 mmol/L.\n"

static void each_mistake_lowers_its_own_metric(void **state)
{
    static const struct {
        const char *what, *reply[2];
        double metric[5]; /* as names */
    } cases[] = {
        { "right", { RIGHT_CALL, RIGHT_ANSWER }, { 1, 1, 1, 1, 1 } },
        { "one argument wrong",
          { CALL("get_observations", "{\"name\": \"potassium\", \"last\": 2}"), RIGHT_ANSWER },
          { 0, 0.5, 1, 1, 1 } },
        { "an argument left out",
          { CALL("get_observations", "{\"name\": \"potassium\"}"), RIGHT_ANSWER },
          { 0, 0.5, 1, 1, 1 } },
        { "an argument of the wrong type",
          { CALL("get_observations", "{\"name\": \"potassium\", \"last\": \"1\"}"), RIGHT_ANSWER },
          { 0, 0.5, 1, 1, 0 } }, /* refused: nothing was read that holds 4.8 */
        { "a superfluous call",
          { RIGHT_CALL "\n" CALL("get_medications", "{\"status\": \"active\"}"), RIGHT_ANSWER },
          { 0, 2. / 3, 1, 1, 1 } },
        { "another tool", { CALL("get_allergies", "{}"), RIGHT_ANSWER }, { 0, 0, 1, 1, 0 } },
        { "no call", { RIGHT_ANSWER, RIGHT_ANSWER }, { 0, 0, 1, 1, 0 } },
        { "another wording", { RIGHT_CALL, "Potassium: 4.8 mmol/L" }, { 1, 1, 0, 1, 1 } },
        { "another unit", { RIGHT_CALL, "The latest potassium is 4.8 mg/L." }, { 1, 1, 0, 0, 1 } },
        { "another number", { RIGHT_CALL, "The latest potassium is 14.8 mmol/L." }, { 1, 1, 0, 0, 0 } },
        { "a number too many",
          { RIGHT_CALL, "The latest potassium is 4.8 mmol/L, before 4.1." },
          { 1, 1, 0, 0, 0 } },
        { "a date from the record, not asked for",
          { RIGHT_CALL, "The latest potassium is 4.8 mmol/L (2026-03-02)." },
          { 1, 1, 0, 0, 1 } },
        { "nothing", { RIGHT_CALL, "" }, { 1, 1, 0, 0, 1 } },
        { "only calls", { RIGHT_CALL, RIGHT_CALL }, { 0, 0.2, 0, 0, 0 } },
    };
    (void)state;
    char *dir = test_make_dir(), one[600];
    snprintf(one, sizeof one, "%s/one", dir);
    assert_ok(wd_phantom_chart_write(one, 1, &err)); /* makes the folder */
    test_write(one, "chart.json", chart, sizeof chart - 1);
    test_write(one, "truth.json", truth, sizeof truth - 1);
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        static scripted e;
        json_t *out;
        scripted_init(&e, cases[i].reply, 2);
        wd_eval_run run = WD_EVAL_RUN_DEFAULT;
        run.engine = &e.engine;
        run.prompts_dir = prompts;
        const wd_eval_opts o = { .suite = &wd_eval_assist, .run = run, .cases = dir };
        assert_ok(wd_eval(&o, &out, &err));
        assert_int_equal(json_integer_value(json_object_get(out, "cases")), 1);
        for (size_t m = 0; m < WD_COUNT(names); m++)
            if (metric(out, names[m]) < cases[i].metric[m] - 1e-9 ||
                metric(out, names[m]) > cases[i].metric[m] + 1e-9)
                fail_msg("%s: %s is %g, expected %g", cases[i].what, names[m], metric(out, names[m]),
                         cases[i].metric[m]);
        json_decref(out);
    }
    test_rm_dir(dir);
}

static void a_truth_of_another_form_is_named(void **state)
{
    static const struct {
        const char *truth, *why;
    } cases[] = {
        { "{}", "expected a list" },
        { "{\"questions\": []}", "expected a list" },
        { "{\"questions\": [{\"question\": \"a\"}]}", "question 1 has no" },
        { "{\"questions\": [{\"question\": \"a\", \"answer\": \"b\"}]}", "no list" },
        { "{\"questions\": [{\"question\": \"a\", \"answer\": \"b\", \"calls\": [{\"name\": \"x\"}]}]}",
          "call 1" },
        { "{\"questions\": [5]}", "question 1 has no" },
    };
    (void)state;
    static const char *const reply[] = { "x" };
    static scripted e;
    scripted_init(&e, reply, 1);
    char *dir = test_make_dir();
    test_write(dir, "chart.json", chart, sizeof chart - 1);
    wd_arena *a = wd_arena_create((size_t)1 << 24, false);
    wd_eval_run run = WD_EVAL_RUN_DEFAULT;
    run.engine = &e.engine;
    run.prompts_dir = prompts;
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        json_t *t, *out = NULL;
        wd_err why = { 0 };
        assert_ok(wd_json_parse(wd_span_str(cases[i].truth), "truth", &t, &err));
        assert_int_equal(wd_eval_assist.run(&run, dir, t, a, &out, &why), WD_E_INVALID);
        assert_non_null(strstr(why.text, cases[i].why));
        assert_null(out);
        json_decref(t);
    }
    wd_arena_destroy(a);
    test_rm_dir(dir);
}

int main(void)
{
    snprintf(prompts, sizeof prompts, "%s/../prompts", test_data_dir());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_truth_scores_perfect_in_both_languages),
        cmocka_unit_test(each_mistake_lowers_its_own_metric),
        cmocka_unit_test(a_truth_of_another_form_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
