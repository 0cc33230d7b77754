/* The suite "report": the truth scores perfect, and every kind of mistake lowers exactly what it should. */
#include "support/test.h"

#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "care/eval/case.h"
#include "care/eval/eval.h"
#include "care/phantom/ct.h"

/* Seeds from 1 on: enough to hold every type of finding, normal ones, and several nodules in one. No pixel is drawn:
 * the reports are given, and all slices count as shown. */
#define N_CASES 60
#define N_SLICES 12

static json_t *truth[N_CASES];
static wd_slice_picture pictures[N_SLICES];
static const wd_slices shown = {
    .picture = pictures, .n_picture = N_SLICES, .n_slice = N_SLICES, .n_window = 1
};

/* Changes the right reply of a case; *used counts. */
typedef void edit_fn(json_t *report, const json_t *truth, const char *language, size_t *used);

static void no_edit(json_t *report, const json_t *t, const char *language, size_t *used)
{
    (void)report, (void)t, (void)language, (void)used;
}

/* Runs the case with this reply (NULL: the truth's own, edited). */
static json_t *run_case(size_t i, const char *language, const char *reply, edit_fn *edit, size_t *used)
{
    json_t *report = json_deep_copy(json_object_get(json_object_get(truth[i], "report"), language));
    edit(report, truth[i], language, used);
    char *text = json_dumps(report, JSON_COMPACT);
    json_decref(report);
    wd_arena *a = wd_arena_create((size_t)1 << 28, false);
    wd_report r = { .shown = &shown, .origin.language = language, .raw = reply ? reply : text };
    (void)wd_report_parse(wd_span_str(r.raw), &shown, a, &r);
    json_t *out = NULL;
    assert_ok(wd_eval__judge_report(&r, truth[i], "truth.json", language, a, &out, &err));
    json_object_set_new(out, "language", json_string(language));
    wd_arena_destroy(a);
    wd_free(text);
    return out;
}

static json_t *score_with(const char *reply, edit_fn *edit, size_t *used)
{
    json_t *result[2 * N_CASES], *m = json_object();
    for (size_t i = 0; i < N_CASES; i++) {
        result[2 * i] = run_case(i, "en", reply, edit, used);
        result[2 * i + 1] = run_case(i, "zh", reply, edit, used);
    }
    assert_ok(wd_eval_report.score(result, WD_COUNT(result), m, &err));
    for (size_t i = 0; i < WD_COUNT(result); i++)
        json_decref(result[i]);
    return m;
}

static double at(const json_t *m, const char *name)
{
    const json_t *v = json_object_get(m, name);
    if (!json_is_number(v))
        fail_msg("%s is no number", name);
    return json_number_value(v);
}

static const char *const names[] = { "finding_precision", "finding_recall", "finding_f1",
                                     "laterality",        "lobe",           "size_err_mm_median",
                                     "impression_rank",   "schema_valid",   "contradictions",
                                     "template_collapse", "unsupported",    "size_stated",
                                     "density",           "margin" };

/* Exactly the metrics of the list (", name, name,") get worse. */
static void changes_exactly(const char *which, edit_fn *edit)
{
    size_t used = 0;
    json_t *before = score_with(NULL, no_edit, &used), *after = score_with(NULL, edit, &used);
    assert_int_not_equal(used, 0);
    for (size_t i = 0; i < WD_COUNT(names); i++) {
        char key[64];
        snprintf(key, sizeof key, " %s,", names[i]);
        const bool lower_is_better = !strcmp(names[i], "size_err_mm_median") ||
                                     !strcmp(names[i], "contradictions") ||
                                     !strcmp(names[i], "template_collapse") ||
                                     !strcmp(names[i], "unsupported");
        const double worse = (at(after, names[i]) - at(before, names[i])) * (lower_is_better ? 1 : -1);
        if (strstr(which, key) ? !(worse > 1e-9) : fabs(worse) > 1e-9)
            fail_msg("%s: %s: %g became %g", which, names[i], at(before, names[i]), at(after, names[i]));
    }
    json_decref(before);
    json_decref(after);
}

/* ---- helpers of the edits ---- */

static const char *type_of(const json_t *t, size_t i)
{
    return json_string_value(json_object_get(json_array_get(json_object_get(t, "findings"), i), "type"));
}

static size_t n_findings(const json_t *t)
{
    return json_array_size(json_object_get(t, "findings"));
}

/* The index of the first finding of that type, or SIZE_MAX. */
static size_t first_of(const json_t *t, const char *type)
{
    for (size_t i = 0; i < n_findings(t); i++)
        if (!strcmp(type_of(t, i), type))
            return i;
    return SIZE_MAX;
}

/* Of the one nodule of a case: with two, the wrong place of one may be the right place of the other. */
static size_t only_nodule(const json_t *t)
{
    size_t n = 0;
    for (size_t i = 0; i < n_findings(t); i++)
        n += !strcmp(type_of(t, i), "nodule");
    return n == 1 ? first_of(t, "nodule") : SIZE_MAX;
}

static void replace_in(json_t *finding, const char *key, const char *const pairs[][2], size_t n)
{
    const char *s = json_string_value(json_object_get(finding, key));
    for (size_t i = 0; s && i < n; i++) {
        const char *found = strstr(s, pairs[i][0]);
        if (!found)
            continue;
        char text[600];
        snprintf(text, sizeof text, "%.*s%s%s", (int)(found - s), s, pairs[i][1],
                 found + strlen(pairs[i][0]));
        json_object_set_new(finding, key, json_string(text));
        return;
    }
}

static json_t *finding_at(json_t *report, size_t i)
{
    return json_array_get(json_object_get(report, "findings"), i);
}

static const char *const sides[][2] = { { "left", "right" }, { "Left", "Right" }, { "right", "left" },
                                        { "Right", "Left" }, { "左", "右" },      { "右", "左" } };

static void append(json_t *report, const char *text, const char *place)
{
    json_array_append_new(
        json_object_get(report, "findings"),
        json_pack("{s:s, s:s?, s:n, s:[]}", "text", text, "place", place, "size_mm", "slices"));
}

/* ---- the edits ---- */

static void flip_effusion(json_t *report, const json_t *t, const char *language, size_t *used)
{
    (void)language;
    const size_t i = first_of(t, "effusion");
    if (i == SIZE_MAX)
        return;
    replace_in(finding_at(report, i), "text", sides, WD_COUNT(sides));
    replace_in(finding_at(report, i), "place", sides, WD_COUNT(sides));
    ++*used;
}

static void flip_place_alone(json_t *report, const json_t *t, const char *language, size_t *used)
{
    (void)language;
    const size_t i = first_of(t, "effusion");
    if (i == SIZE_MAX)
        return;
    replace_in(finding_at(report, i), "place", sides, WD_COUNT(sides));
    ++*used;
}

static void flip_nodule(json_t *report, const json_t *t, const char *language, size_t *used)
{
    (void)language;
    const size_t i = only_nodule(t);
    const json_t *f = json_array_get(json_object_get(t, "findings"), i);
    const char *lobe = i == SIZE_MAX ? NULL : json_string_value(json_object_get(f, "lobe"));
    if (!lobe || strstr(lobe, "middle"))
        return;
    replace_in(finding_at(report, i), "text", sides, WD_COUNT(sides));
    replace_in(finding_at(report, i), "place", sides, WD_COUNT(sides));
    ++*used;
}

static void other_lobe(json_t *report, const json_t *t, const char *language, size_t *used)
{
    static const char *const lobes[][2] = { { "upper", "lower" }, { "middle", "lower" }, { "lower", "upper" },
                                            { "上叶", "下叶" },   { "中叶", "下叶" },    { "下叶", "上叶" } };
    (void)language;
    const size_t i = only_nodule(t);
    if (i == SIZE_MAX)
        return;
    replace_in(finding_at(report, i), "text", lobes, WD_COUNT(lobes));
    replace_in(finding_at(report, i), "place", lobes, WD_COUNT(lobes));
    ++*used;
}

static void five_millimetres(json_t *report, const json_t *t, const char *language, size_t *used)
{
    (void)language;
    for (size_t i = 0; i < n_findings(t); i++) {
        json_t *f = finding_at(report, i);
        const double mm = json_number_value(json_object_get(f, "size_mm"));
        if (mm > 0) {
            json_object_set_new(f, "size_mm", json_real(mm + 5));
            ++*used;
        }
    }
}

static void miss_one(json_t *report, const json_t *t, const char *language, size_t *used)
{
    (void)language;
    if (!n_findings(t))
        return;
    json_array_remove(json_object_get(report, "findings"), n_findings(t) - 1);
    ++*used;
}

/* In a lobe that has none, where another nodule makes "no nodule" impossible. */
static void invent_one(json_t *report, const json_t *t, const char *language, size_t *used)
{
    if (first_of(t, "nodule") == SIZE_MAX)
        return;
    for (size_t i = 0; i < n_findings(t); i++) {
        const json_t *f = json_array_get(json_object_get(t, "findings"), i);
        const char *lobe = json_string_value(json_object_get(f, "lobe"));
        if (!strcmp(type_of(t, i), "nodule") && lobe && !strcmp(lobe, "left lower lobe"))
            return;
    }
    const bool zh = !strcmp(language, "zh");
    append(report, zh ? "左肺下叶见一实性结节。" : "A solid nodule in the left lower lobe.",
           zh ? "左肺下叶" : "left lower lobe");
    ++*used;
}

static void deny_what_is_there(json_t *report, const json_t *t, const char *language, size_t *used)
{
    if (first_of(t, "nodule") == SIZE_MAX)
        return;
    append(report, !strcmp(language, "zh") ? "双肺未见结节。" : "No pulmonary nodule is seen.", NULL);
    ++*used;
}

static void last_impression_first(json_t *report, const json_t *t, const char *language, size_t *used)
{
    (void)language;
    json_t *list = json_object_get(report, "impression");
    const size_t n = json_array_size(list);
    if (n < 2 || n_findings(t) != n || first_of(t, "nodule") == SIZE_MAX)
        return;
    json_t *last = json_incref(json_array_get(list, n - 1));
    json_array_remove(list, n - 1);
    json_array_insert_new(list, 0, last);
    ++*used;
}

static void wrong_look(json_t *report, const json_t *t, const char *language, size_t *used)
{
    static const char *const looks[][2] = { { "Solid", "Calcified" },
                                            { "solid", "calcified" },
                                            { "实性", "钙化" } };
    (void)language;
    const size_t i = first_of(t, "nodule");
    if (i == SIZE_MAX || strcmp(json_string_value(json_object_get(
                                    json_array_get(json_object_get(t, "findings"), i), "density")),
                                "solid") != 0)
        return;
    replace_in(finding_at(report, i), "text", looks, WD_COUNT(looks));
    ++*used;
}

static void no_text_at_all(json_t *report, const json_t *t, const char *language, size_t *used)
{
    (void)language;
    if (json_integer_value(json_object_get(t, "seed")) != 1)
        return;
    json_object_del(report, "impression"); /* no report without */
    ++*used;
}

/* ---- tests ---- */

static void the_truth_scores_perfect(void **state)
{
    (void)state;
    size_t used = 0;
    json_t *m = score_with(NULL, no_edit, &used);
    static const char *const one[] = {
        "finding_precision", "finding_recall", "finding_f1",  "laterality", "lobe",
        "impression_rank",   "schema_valid",   "size_stated", "density",    "margin"
    };
    for (size_t i = 0; i < WD_COUNT(one); i++)
        assert_true(at(m, one[i]) == 1);
    static const char *const zero[] = { "size_err_mm_median", "contradictions", "unsupported" };
    for (size_t i = 0; i < WD_COUNT(zero); i++)
        assert_true(at(m, zero[i]) == 0);
    assert_true(at(m, "template_collapse") <= 0.15);
    const json_t *by = json_object_get(json_object_get(m, "by"), "type");
    static const char *const types[] = { "nodule", "effusion", "consolidation", "emphysema" };
    for (size_t i = 0; i < WD_COUNT(types); i++) /* every type is among the cases */
        assert_true(at(json_object_get(by, types[i]), "finding_f1") == 1);
    assert_true(json_is_null(json_object_get(json_object_get(by, "effusion"), "lobe")));
    assert_true(at(json_object_get(json_object_get(json_object_get(m, "by"), "language"), "zh"), "lobe") ==
                1);
    json_decref(m);
}

static void each_mistake_lowers_exactly_its_metric(void **state)
{
    (void)state;
    changes_exactly(" laterality,", flip_effusion);
    changes_exactly(" laterality, lobe,", flip_nodule);
    changes_exactly(" laterality, contradictions,", flip_place_alone);
    changes_exactly(" lobe,", other_lobe);
    changes_exactly(" size_err_mm_median,", five_millimetres);
    changes_exactly(" finding_recall, finding_f1,", miss_one);
    changes_exactly(" finding_precision, finding_f1, unsupported,", invent_one);
    changes_exactly(" contradictions,", deny_what_is_there);
    changes_exactly(" impression_rank,", last_impression_first);
    changes_exactly(" density,", wrong_look);
    changes_exactly(" schema_valid, finding_recall, finding_f1, impression_rank,", no_text_at_all);
}

static void five_millimetres_are_five_millimetres(void **state)
{
    (void)state;
    size_t used = 0;
    json_t *m = score_with(NULL, five_millimetres, &used);
    assert_true(at(m, "size_err_mm_median") == 5);
    json_decref(m);
}

static void words_that_are_no_report_find_nothing(void **state)
{
    (void)state;
    size_t used = 0;
    json_t *m = score_with("I am sorry, I cannot see pictures.", no_edit, &used);
    assert_true(at(m, "schema_valid") == 0);
    assert_true(at(m, "finding_recall") == 0);
    assert_true(json_is_null(json_object_get(m, "finding_precision"))); /* nothing was claimed */
    assert_true(at(m, "template_collapse") == 1);
    json_decref(m);
}

static void one_report_for_all_collapses(void **state)
{
    (void)state;
    size_t used = 0;
    json_t *m = score_with(
        "{\"findings\": [{\"text\": \"A 12 mm solid nodule in the right upper lobe.\", \"place\": "
        "\"right upper lobe\", \"size_mm\": 12, \"slices\": []}], \"impression\": [\"Solid nodule "
        "in the right upper lobe, 12 mm.\"]}",
        no_edit, &used);
    assert_true(at(m, "template_collapse") == 1);
    assert_true(at(m, "distinct_texts") < 0.05);
    assert_true(at(m, "schema_valid") == 1);
    assert_true(at(m, "finding_precision") < 0.5 && at(m, "finding_f1") < 0.4);
    assert_true(at(m, "unsupported") > 0.2);
    json_decref(m);
}

/* The same report as text under headings: everything is still found, from the sentences alone. */
static void text_under_headings_is_read_but_is_not_the_json_asked_for(void **state)
{
    (void)state;
    json_t *result[2 * N_CASES], *m = json_object();
    for (size_t i = 0; i < 2 * N_CASES; i++) {
        const char *language = i % 2 ? "zh" : "en";
        const json_t *r = json_object_get(json_object_get(truth[i / 2], "report"), language);
        wd_buf b = { 0 };
        size_t used;
        wd_buf_str(&b, i % 2 ? "影像所见：\n" : "Findings:\n");
        for (size_t k = 0; k < json_array_size(json_object_get(r, "findings")); k++)
            wd_buf_printf(&b, "- %s\n",
                          json_string_value(
                              json_object_get(json_array_get(json_object_get(r, "findings"), k), "text")));
        wd_buf_str(&b, i % 2 ? "诊断印象：\n" : "Impression:\n");
        for (size_t k = 0; k < json_array_size(json_object_get(r, "impression")); k++)
            wd_buf_printf(&b, "%zu. %s\n", k + 1,
                          json_string_value(json_array_get(json_object_get(r, "impression"), k)));
        result[i] = run_case(i / 2, language, (char *)b.p, no_edit, &used);
        wd_buf_free(&b);
    }
    assert_ok(wd_eval_report.score(result, WD_COUNT(result), m, &err));
    static const char *const one[] = { "finding_precision", "finding_recall", "laterality", "lobe",
                                       "impression_rank",   "size_stated",    "density",    "margin" };
    for (size_t i = 0; i < WD_COUNT(one); i++)
        if (at(m, one[i]) != 1)
            fail_msg("%s is %g", one[i], at(m, one[i]));
    assert_true(at(m, "schema_valid") == 0);
    assert_true(at(m, "size_err_mm_median") == 0);
    for (size_t i = 0; i < WD_COUNT(result); i++)
        json_decref(result[i]);
    json_decref(m);
}

static void the_blind_answer_is_far_from_the_truth(void **state)
{
    (void)state;
    json_t *result[N_CASES], *m = json_object(), *none = json_object();
    size_t used;
    for (size_t i = 0; i < N_CASES; i++)
        result[i] = run_case(i, "en", NULL, no_edit, &used);
    assert_ok(wd_eval_report.blind(result, N_CASES, m, &err));
    assert_true(at(m, "template_collapse") == 1);
    assert_true(at(m, "finding_recall") > 0 && at(m, "finding_recall") < 0.5);
    assert_ok(wd_eval_report.blind(result, 0, none, &err)); /* no case: nothing to judge */
    assert_true(json_is_null(json_object_get(none, "finding_recall")));
    for (size_t i = 0; i < N_CASES; i++)
        json_decref(result[i]);
    json_decref(m);
    json_decref(none);
}

static int set_up(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < N_SLICES; i++)
        pictures[i].slice = i;
    for (size_t i = 0; i < N_CASES; i++) {
        wd_ct_opts o = WD_CT_OPTS_DEFAULT;
        wd_ct *ct;
        o.seed = i + 1;
        assert_ok(wd_ct_create(&o, &ct, &err));
        truth[i] = wd_ct_truth(ct);
        assert_non_null(truth[i]);
        wd_ct_destroy(ct);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CASES; i++)
        json_decref(truth[i]);
    return 0;
}

int main(void)
{
    wd_json_use_our_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_truth_scores_perfect),
        cmocka_unit_test(each_mistake_lowers_exactly_its_metric),
        cmocka_unit_test(five_millimetres_are_five_millimetres),
        cmocka_unit_test(words_that_are_no_report_find_nothing),
        cmocka_unit_test(one_report_for_all_collapses),
        cmocka_unit_test(text_under_headings_is_read_but_is_not_the_json_asked_for),
        cmocka_unit_test(the_blind_answer_is_far_from_the_truth),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
