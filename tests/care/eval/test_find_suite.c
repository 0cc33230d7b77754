/* The suite "find": rankings judged by hand-made numbers, and the way from a series to a ranking. */
#include "support/scripted.h"
#include "support/test.h"

#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "care/eval/eval.h"
#include "media/sandbox.h"

static char *dir;
static char prompts[600], case_dir[600];
static json_t *truth;

static double at(const json_t *m, const char *name)
{
    const json_t *v = json_object_get(m, name);
    if (!json_is_number(v))
        fail_msg("%s is no number", name);
    return json_number_value(v);
}

static json_t *query(const char *type, const char *relevant, const char *ranking)
{
    json_t *r, *k;
    assert_ok(wd_json_parse(wd_span_str(relevant), "relevant", &r, &err));
    assert_ok(wd_json_parse(wd_span_str(ranking), "ranking", &k, &err));
    return json_pack("{s:s, s:o, s:o}", "type", type, "relevant", r, "ranking", k);
}

static void rankings_are_judged(void **state)
{
    (void)state;
    json_t *result[] = {
        json_pack("{s:s, s:[oo]}", "language", "en", "queries", query("nodule", "[4, 3]", "[3, 4, 1, 2]"),
                  query("nodule", "[4]", "[1, 2, 4, 3]")),
        json_pack("{s:s, s:[o]}", "language", "zh", "queries", query("effusion", "[1, 2]", "[3, 1, 4, 2]")),
        json_pack("{s:s, s:[]}", "language", "zh", "queries"), /* nothing to find */
    };
    json_t *m = json_object();
    assert_ok(wd_eval_find.score(result, WD_COUNT(result), m, &err));
    assert_true(fabs(at(m, "top1") - 1.0 / 3) < 1e-12);
    assert_true(fabs(at(m, "top3") - 1) < 1e-12);
    assert_true(fabs(at(m, "mrr") - (1 + 1.0 / 3 + 1.0 / 2) / 3) < 1e-12);
    const double best = 1 + 1 / log2(3), third = (1 / log2(3) + 1 / log2(5)) / best;
    assert_true(fabs(at(m, "ndcg") - (1 + 0.5 + third) / 3) < 1e-12);
    const json_t *by = json_object_get(json_object_get(m, "by"), "type");
    assert_true(at(json_object_get(by, "nodule"), "top1") == 0.5);
    assert_true(at(json_object_get(by, "effusion"), "top1") == 0);
    assert_true(json_is_null(json_object_get(json_object_get(by, "emphysema"), "top1")));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(m, "n"), "top1")), 3);
    for (size_t i = 0; i < WD_COUNT(result); i++)
        json_decref(result[i]);
    json_decref(m);
}

static void the_blind_ranking_is_what_is_relevant_most_often(void **state)
{
    (void)state;
    json_t *result[] = { json_pack(
        "{s:s, s:[ooo]}", "language", "en", "queries", query("nodule", "[2]", "[1, 2, 3]"),
        query("nodule", "[2, 3]", "[1, 2, 3]"), query("nodule", "[1]", "[1, 2, 3]")) };
    json_t *m = json_object();
    assert_ok(wd_eval_find.blind(result, 1, m, &err));
    assert_true(fabs(at(m, "top1") - 2.0 / 3) < 1e-12); /* always 2 first, then 1, then 3 */
    assert_true(fabs(at(m, "mrr") - (1 + 1 + 0.5) / 3) < 1e-12);
    json_decref(result[0]);
    json_decref(m);
}

/* Scores by turn: the k-th of each query's 12 pictures is the best. */
typedef struct turn {
    size_t asked, best;
} turn;

static double by_turn(void *ctx, const wd_rerank_pair *pair)
{
    turn *t = ctx;
    assert_int_equal(pair->document.media.n_image, 1);
    return t->asked++ % 12 == t->best ? 0.9 : 0.1;
}

static wd_eval_run run_with(wd_engine *e)
{
    return (wd_eval_run){
        .engine = e, .language = "en", .prompts_dir = prompts, .windows = "lung", .n_slice = 12
    };
}

static void every_finding_with_a_sentence_is_a_query(void **state)
{
    (void)state;
    static const char *const none[] = { "" };
    static scripted s;
    turn t = { 0, 6 };
    scripted_init(&s, none, 1);
    s.score = by_turn;
    s.ctx = &t;
    const wd_eval_run run = run_with(&s.engine);
    wd_arena *a = wd_arena_create((size_t)1 << 30, false);
    json_t *out;
    assert_ok(wd_eval_find.run(&run, case_dir, truth, a, &out, &err));
    const json_t *queries = json_object_get(out, "queries"), *findings = json_object_get(truth, "findings");
    assert_int_equal(json_array_size(queries), json_array_size(findings));
    assert_int_not_equal(json_array_size(queries), 0);
    for (size_t i = 0; i < json_array_size(queries); i++) {
        const json_t *q = json_array_get(queries, i), *f = json_array_get(findings, i);
        assert_string_equal(json_string_value(json_object_get(q, "sentence")),
                            json_string_value(json_object_get(json_object_get(f, "text"), "en")));
        assert_int_equal(json_array_size(json_object_get(q, "relevant")),
                         json_array_size(json_object_get(f, "slices")));
        assert_int_equal(json_integer_value(json_array_get(json_object_get(q, "ranking"), 0)), 7);
        assert_int_equal(json_integer_value(json_array_get(json_object_get(q, "ranking"), 1)), 1);
    }
    json_decref(out);

    json_t *mute = json_deep_copy(truth); /* without a sentence there is nothing to ask */
    json_object_del(json_array_get(json_object_get(mute, "findings"), 0), "text");
    assert_ok(wd_eval_find.run(&run, case_dir, mute, a, &out, &err));
    assert_int_equal(json_array_size(json_object_get(out, "queries")), json_array_size(findings) - 1);
    json_decref(out);
    json_decref(mute);
    wd_arena_destroy(a);
}

/* A picture's vector by turn; the sentence is near the fourth. */
static wd_status embed(void *self, wd_arena *a, const wd_embed *rq, const float **out, uint32_t *dim,
                       size_t *n_token, wd_err *err)
{
    turn *t = self;
    float *v = WD_NEW_N(a, float, 2);
    if (!v)
        return WD_FAIL(err, WD_E_NOMEM, "test");
    const bool picture = rq->item.media.n_image == 1;
    const double angle = picture ? 0.1 * (double)t->asked++ : 0.3;
    v[0] = (float)cos(angle);
    v[1] = (float)sin(angle);
    *out = v;
    *dim = 2;
    *n_token = 1;
    return WD_OK;
}

static void the_embedding_baseline_ranks_by_cosine_and_sees_each_picture_once(void **state)
{
    (void)state;
    turn t = { 0 };
    wd_engine e = { .self = &t, .embed = embed };
    wd_eval_run run = run_with(&e);
    run.embedding = true;
    wd_arena *a = wd_arena_create((size_t)1 << 30, false);
    json_t *out;
    assert_ok(wd_eval_find.run(&run, case_dir, truth, a, &out, &err));
    assert_int_equal(t.asked, 12);
    const json_t *q = json_array_get(json_object_get(out, "queries"), 0),
                 *ranking = json_object_get(q, "ranking");
    assert_int_equal(json_integer_value(json_array_get(ranking, 0)), 4);
    assert_int_equal(json_array_size(ranking), 12);
    assert_int_equal(json_integer_value(json_array_get(ranking, 11)), 12);
    assert_true(fabs(json_number_value(json_array_get(json_object_get(q, "scores"), 0)) - 1) < 1e-6);
    json_decref(out);
    wd_arena_destroy(a);
}

static void an_engine_failure_is_passed_on(void **state)
{
    (void)state;
    static const char *const none[] = { "" };
    static scripted s;
    scripted_init(&s, none, 1);
    s.fail = WD_E_LIMIT;
    const wd_eval_run run = run_with(&s.engine);
    wd_arena *a = wd_arena_create((size_t)1 << 30, false);
    json_t *out = NULL;
    assert_fails(wd_eval_find.run(&run, case_dir, truth, a, &out, &err), WD_E_LIMIT, "scripted failure");
    assert_fails(wd_eval_report.run(&run, case_dir, truth, a, &out, &err), WD_E_LIMIT, "scripted failure");
    assert_null(out);
    wd_arena_destroy(a);
}

static int set_up(void **state)
{
    (void)state;
    char path[700];
    dir = test_make_dir();
    snprintf(prompts, sizeof prompts, "%s/../prompts", test_data_dir());
    snprintf(case_dir, sizeof case_dir, "%s/1", dir);
    snprintf(path, sizeof path, "%s/1/truth.json", dir);
    assert_ok(wd_eval_find.make(case_dir, 1, &err));
    assert_ok(wd_json_read_file(path, 1 << 20, &truth, &err));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    json_decref(truth);
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
        cmocka_unit_test(rankings_are_judged),
        cmocka_unit_test(the_blind_ranking_is_what_is_relevant_most_often),
        cmocka_unit_test(every_finding_with_a_sentence_is_a_query),
        cmocka_unit_test(the_embedding_baseline_ranks_by_cosine_and_sees_each_picture_once),
        cmocka_unit_test(an_engine_failure_is_passed_on),
    };
    const int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    wd_sandbox_stop();
    return failed;
}
