/* Findings out of truth.json, hostile ones too, and which claim belongs to which truth. */
#include "support/test.h"

#include <stdio.h>

#include "base/json.h"
#include "care/eval/claims.h"

static wd_arena *arena;

static wd_status read(const char *text, wd_claim **out, size_t *n, wd_err *err)
{
    json_t *v;
    WD_TRY(wd_json_parse(wd_span_str(text), "test", &v, err));
    const wd_status st = wd_eval__truth(v, "7/truth.json", "zh", arena, out, n, err);
    json_decref(v);
    return st;
}

static void a_finding_is_read_with_all_its_fields(void **state)
{
    (void)state;
    wd_claim *c;
    size_t n;
    assert_ok(read(
        "{\"findings\": [{\"type\": \"nodule\", \"side\": \"left\", \"lobe\": \"left upper lobe\", "
        "\"size_mm\": "
        "12.5, \"density\": \"part-solid\", \"margin\": \"spiculated\", \"grade\": null, \"slices\": [3, 4], "
        "\"text\": {\"en\": \"A nodule.\", \"zh\": \"结节。\"}, \"anything\": [1]}, {\"type\": \"effusion\", "
        "\"lobe\": \"\", \"text\": \"Fluid.\"}, {\"type\": \"nodule\", \"lobe\": \"右肺中叶\"}]}",
        &c, &n, &err));
    assert_int_equal(n, 3);
    assert_int_equal(c[0].type, WD_LEX_NODULE);
    assert_int_equal(c[0].side, WD_LEX_LEFT);
    assert_int_equal(c[0].lobe, WD_LEX_LUL);
    assert_true(c[0].size_mm == 12.5);
    assert_int_equal(c[0].density, WD_LEX_PART_SOLID);
    assert_int_equal(c[0].margin, WD_LEX_SPICULATED);
    assert_int_equal(c[0].n_slice, 2);
    assert_int_equal(c[0].slice[1], 4);
    assert_string_equal(c[0].text, "结节。");
    assert_int_equal(c[1].side, 0);
    assert_string_equal(c[1].text, "Fluid."); /* one sentence for all languages */
    assert_int_equal(c[2].lobe, WD_LEX_RML);
    assert_int_equal(c[2].side, WD_LEX_RIGHT); /* the lobe tells */
    assert_null(c[2].text);
}

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    wd_claim *c, *again;
    size_t n;
    assert_ok(read(
        "{\"findings\": [{\"type\": \"consolidation\", \"side\": \"right\", \"lobe\": \"right lower lobe\", "
        "\"size_mm\": 40, \"slices\": [1, 9], \"text\": \"实变。\"}]}",
        &c, &n, &err));
    json_t *v = json_pack("{s:[o]}", "findings", wd_eval__claim_json(c));
    assert_ok(wd_eval__truth(v, "again", "zh", arena, &again, &n, &err));
    assert_int_equal(n, 1);
    assert_int_equal(again->lobe, c->lobe);
    assert_int_equal(again->n_slice, 2);
    assert_true(again->size_mm == 40);
    assert_string_equal(again->text, c->text);
    json_decref(v);
}

static void hostile_truths_are_refused_naming_finding_and_field(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        { "{}", "7/truth.json: findings is missing" },
        { "{\"findings\": {}}", "findings" },
        { "{\"findings\": [7]}", "findings[0]: expected an object" },
        { "{\"findings\": [{}]}", "findings[0]: type is missing" },
        { "{\"findings\": [{\"type\": \"fracture\"}]}",
          "findings[0]: type is \"fracture\", expected one of nodule, effusion, consolidation, emphysema" },
        { "{\"findings\": [{\"type\": 3}]}", "type" },
        { "{\"findings\": [{\"type\": \"nodule\", \"side\": \"top\"}]}",
          "side is \"top\", expected one of left" },
        { "{\"findings\": [{\"type\": \"nodule\", \"lobe\": \"liver\"}]}", "lobe is \"liver\"" },
        { "{\"findings\": [{\"type\": \"nodule\"}, {\"type\": \"nodule\", \"side\": \"left\", \"lobe\": "
          "\"right upper "
          "lobe\"}]}",
          "findings[1]: side is \"left\", but lobe is \"right upper lobe\"" },
        { "{\"findings\": [{\"type\": \"nodule\", \"size_mm\": -1}]}", "size_mm" },
        { "{\"findings\": [{\"type\": \"nodule\", \"size_mm\": \"9\"}]}", "size_mm" },
        { "{\"findings\": [{\"type\": \"nodule\", \"size_mm\": 1e300}]}", "size_mm" },
        { "{\"findings\": [{\"type\": \"nodule\", \"slices\": [0]}]}", "slices[0] is no slice number" },
        { "{\"findings\": [{\"type\": \"nodule\", \"slices\": [1, 4294967297]}]}",
          "slices[1] is no slice number" },
        { "{\"findings\": [{\"type\": \"nodule\", \"slices\": [1.5]}]}", "slices[0] is no slice number" },
        { "{\"findings\": [{\"type\": \"nodule\", \"slices\": 4}]}", "slices" },
        { "{\"findings\": [{\"type\": \"nodule\", \"text\": [1]}]}", "text is no text" },
        { "{\"findings\": [{\"type\": \"nodule\", \"density\": \"soft\"}]}", "density is \"soft\"" },
        { "{\"findings\": [{\"type\": \"effusion\", \"grade\": \"huge\"}]}", "grade is \"huge\"" },
    };
    for (size_t i = 0; i < WD_COUNT(rows); i++) {
        wd_claim *c;
        size_t n;
        assert_fails(read(rows[i].text, &c, &n, &err), WD_E_INVALID, rows[i].says);
    }
    wd_buf many = { 0 };
    wd_buf_str(&many, "{\"findings\": [");
    for (int i = 0; i < 101; i++)
        wd_buf_printf(&many, "%s{\"type\": \"nodule\"}", i ? ", " : "");
    wd_buf_str(&many, "]}");
    wd_claim *c;
    size_t n;
    assert_fails(read((char *)many.p, &c, &n, &err), WD_E_LIMIT, "101 findings");
    wd_buf_free(&many);
}

#define SLICES(...)    \
    (const uint32_t[]) \
    {                  \
        __VA_ARGS__    \
    }

static void claims_find_the_truth_that_they_mean(void **state)
{
    (void)state;
    wd_claim truth[] = {
        { .type = WD_LEX_NODULE,
          .side = WD_LEX_RIGHT,
          .lobe = WD_LEX_RUL,
          .size_mm = 10,
          .slice = SLICES(9, 10),
          .n_slice = 2 },
        { .type = WD_LEX_NODULE,
          .side = WD_LEX_RIGHT,
          .lobe = WD_LEX_RUL,
          .size_mm = 20,
          .slice = SLICES(10),
          .n_slice = 1 },
        { .type = WD_LEX_NODULE,
          .side = WD_LEX_LEFT,
          .lobe = WD_LEX_LLL,
          .size_mm = 8,
          .slice = SLICES(3),
          .n_slice = 1 },
        { .type = WD_LEX_EFFUSION, .side = WD_LEX_LEFT, .slice = SLICES(1, 2), .n_slice = 2 },
    };
    wd_claim said[] = {
        /* the larger of two in one lobe and slice */
        { .type = WD_LEX_NODULE,
          .side = WD_LEX_RIGHT,
          .lobe = WD_LEX_RUL,
          .size_mm = 19,
          .slice = SLICES(10),
          .n_slice = 1 },
        { .type = WD_LEX_NODULE,
          .side = WD_LEX_RIGHT,
          .lobe = WD_LEX_RUL,
          .size_mm = 11,
          .slice = SLICES(10),
          .n_slice = 1 },
        /* wrong lobe and side, but the slice shows it */
        { .type = WD_LEX_NODULE, .side = WD_LEX_RIGHT, .lobe = WD_LEX_RLL, .slice = SLICES(3), .n_slice = 1 },
        /* nothing but a side */
        { .type = WD_LEX_EFFUSION, .side = WD_LEX_LEFT },
        /* another side, no slice: somebody else's */
        { .type = WD_LEX_EFFUSION, .side = WD_LEX_RIGHT },
        /* another type in the right place */
        { .type = WD_LEX_CONSOLIDATION,
          .side = WD_LEX_LEFT,
          .lobe = WD_LEX_LLL,
          .slice = SLICES(3),
          .n_slice = 1 },
    };
    static const int wanted[] = { 1, 0, 2, 3, -1, -1 };
    assert_ok(wd_eval__match(said, WD_COUNT(said), truth, WD_COUNT(truth), arena, &err));
    for (size_t i = 0; i < WD_COUNT(said); i++)
        assert_int_equal(said[i].match, wanted[i]);
    for (size_t i = 0; i < WD_COUNT(truth); i++)
        assert_int_equal(said[truth[i].match].match, i);
}

static void a_truth_is_matched_once(void **state)
{
    (void)state;
    wd_claim truth[] = { { .type = WD_LEX_EFFUSION, .side = WD_LEX_LEFT } },
             said[] = { { .type = WD_LEX_EFFUSION }, { .type = WD_LEX_EFFUSION, .side = WD_LEX_LEFT } };
    assert_ok(wd_eval__match(said, 2, truth, 1, arena, &err));
    assert_int_equal(said[0].match, -1);
    assert_int_equal(said[1].match, 0);
    assert_ok(wd_eval__match(said, 2, truth, 0, arena, &err));
    assert_int_equal(said[1].match, -1);
}

static void disjoint_slices_keep_nodules_apart_unless_the_lobe_is_the_same(void **state)
{
    (void)state;
    wd_claim truth[] = {
        { .type = WD_LEX_NODULE, .side = WD_LEX_LEFT, .lobe = WD_LEX_LUL, .slice = SLICES(9), .n_slice = 1 }
    };
    wd_claim said[] = { { .type = WD_LEX_NODULE, .side = WD_LEX_LEFT, .slice = SLICES(2), .n_slice = 1 } };
    assert_ok(wd_eval__match(said, 1, truth, 1, arena, &err));
    assert_int_equal(said[0].match, -1);
    said[0].lobe = WD_LEX_LUL;
    assert_ok(wd_eval__match(said, 1, truth, 1, arena, &err));
    assert_int_equal(said[0].match, 0);
    said[0] = (wd_claim){ .type = WD_LEX_NODULE, .side = WD_LEX_LEFT }; /* says no more */
    assert_ok(wd_eval__match(said, 1, truth, 1, arena, &err));
    assert_int_equal(said[0].match, 0);
}

static int set_up(void **state)
{
    (void)state;
    arena = wd_arena_create(1 << 24, false);
    return arena ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    wd_arena_destroy(arena);
    return 0;
}

int main(void)
{
    wd_json_use_our_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_finding_is_read_with_all_its_fields),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(hostile_truths_are_refused_naming_finding_and_field),
        cmocka_unit_test(claims_find_the_truth_that_they_mean),
        cmocka_unit_test(a_truth_is_matched_once),
        cmocka_unit_test(disjoint_slices_keep_nodules_apart_unless_the_lobe_is_the_same),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
