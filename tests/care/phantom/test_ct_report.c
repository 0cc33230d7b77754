/* The sentences about a synthetic chest CT: each names all that is known, alone and without slice numbers; a report
 * says what is there, then what is not, and concludes in the documented order. */
#include "support/test.h"

#include <ctype.h>
#include <stdio.h>

#include "care/phantom/ct_report.h"

enum { DRAWS = 300, WORDINGS_MAX = 64 };

static const char *const lobe_zh[] = { "右肺上叶", "右肺中叶", "右肺下叶", "左肺上叶", "左肺下叶" };
static const char *const density_zh[] = { "实性", "部分实性", "磨玻璃", "钙化" };
static const char *const margin_zh[] = { "光滑", "分叶", "毛刺" };
static const char *const grade_zh[] = { "少量", "中量", "大量" };

static bool says(const char *text, const char *word)
{
    return strcasestr(text, word) != NULL;
}

static wd_ct_finding nodule(wd_ct_lobe lobe, wd_ct_density d, wd_ct_margin m, double mm)
{
    return (wd_ct_finding){ .type = WD_CT_NODULE,
                            .side = lobe >= WD_CT_LUL ? WD_CT_LEFT : WD_CT_RIGHT,
                            .lobe = lobe,
                            .density = d,
                            .margin = m,
                            .size_mm = mm,
                            .shown = { 7 },
                            .n_shown = 1 };
}

static wd_ct_finding effusion(wd_ct_side side, wd_ct_grade g)
{
    return (wd_ct_finding){ .type = WD_CT_EFFUSION,
                            .side = side,
                            .lobe = WD_CT_NO_LOBE,
                            .grade = g,
                            .shown = { 1, 2 },
                            .n_shown = 2 };
}

static wd_ct_finding consolidation(wd_ct_lobe lobe, double mm)
{
    wd_ct_finding f = nodule(lobe, 0, 0, mm);
    f.type = WD_CT_CONSOLIDATION;
    return f;
}

static wd_ct_finding emphysema(void)
{
    return (wd_ct_finding){ .type = WD_CT_EMPHYSEMA,
                            .side = WD_CT_BOTH,
                            .lobe = WD_CT_NO_LOBE,
                            .shown = { 8, 9, 10 },
                            .n_shown = 3 };
}

/* Whole, of one sentence, without holes, and with no number but the size. */
static void check_form(const char *text, wd_ct_lang l, double size_mm)
{
    const char *end = l == WD_CT_EN ? "." : "。";
    char size[24];
    const size_t n = strlen(text);
    snprintf(size, sizeof size, "%d mm", (int)size_mm);
    if (n < 10 || strcmp(text + n - strlen(end), end) != 0 || strchr(text, '{') || strchr(text, '}') ||
        strstr(text, "  ") || strstr(text, "(null)") || islower((unsigned char)text[0]))
        fail_msg("\"%s\"", text);
    const char *at = size_mm > 0 ? strstr(text, size) : NULL;
    assert_int_equal(at != NULL, size_mm > 0);
    for (const char *p = text; *p; p++)
        if (isdigit((unsigned char)*p) && !(at && p >= at && p < at + strlen(size)))
            fail_msg("\"%s\" holds another number", text);
    if (l == WD_CT_EN && at && at > text + 2 && at[-1] == ' ') {
        const bool vowel = !strncmp(size, "8 ", 2) || !strncmp(size, "11", 2) || !strncmp(size, "18", 2);
        if (!strncasecmp(at - 2, "a ", 2) && (at == text + 2 || at[-3] == ' '))
            assert_false(vowel);
        if (at >= text + 3 && !strncasecmp(at - 3, "an ", 3) && (at == text + 3 || at[-4] == ' '))
            assert_true(vowel);
    }
}

/* How many patterns there are: texts with the same fields that differ. */
static size_t count_wordings(wd_ct_finding f, wd_ct_lang l)
{
    static char seen[WORDINGS_MAX][WD_CT_TEXT_MAX];
    size_t n = 0;
    wd_rand r;
    wd_rand_init(&r, 5);
    for (int i = 0; i < DRAWS; i++) {
        wd_ct_report__sentence(&f, &r);
        size_t k = 0;
        while (k < n && strcmp(seen[k], f.text[l]) != 0)
            k++;
        if (k == n) {
            assert_true(n < WORDINGS_MAX);
            memcpy(seen[n++], f.text[l], sizeof seen[0]);
        }
    }
    return n;
}

static void there_are_eight_wordings_or_more(void **state)
{
    (void)state;
    for (wd_ct_lang l = WD_CT_EN; l < WD_CT_N_LANG; l++) {
        assert_true(count_wordings(nodule(WD_CT_RUL, WD_CT_SOLID, WD_CT_SMOOTH, 12), l) >= 8);
        assert_true(count_wordings(nodule(WD_CT_RUL, WD_CT_SOLID, WD_CT_SMOOTH, 5), l) >= 8);
        assert_true(count_wordings(consolidation(WD_CT_LLL, 44), l) >= 8);
        assert_true(count_wordings(effusion(WD_CT_LEFT, WD_CT_LARGE), l) >= 8);
        assert_true(count_wordings(emphysema(), l) >= 8);
    }
}

static void check_nodule(const wd_ct_finding *f)
{
    const char *en = f->text[WD_CT_EN], *zh = f->text[WD_CT_ZH];
    check_form(en, WD_CT_EN, f->size_mm);
    check_form(zh, WD_CT_ZH, f->size_mm);
    assert_true(says(en, "nodule") && says(zh, "结节"));
    assert_true(says(en, wd_ct_lobe_name(f->lobe)) && says(zh, lobe_zh[f->lobe]));
    assert_true(says(en, wd_ct_density_name(f->density)) && says(zh, density_zh[f->density]));
    assert_int_equal(says(en, "part-solid"), f->density == WD_CT_PART_SOLID);
    assert_int_equal(says(zh, "部分实性"), f->density == WD_CT_PART_SOLID);
    for (wd_ct_margin m = WD_CT_SMOOTH; m <= WD_CT_SPICULATED; m++) {
        const bool want = f->size_mm >= 8 && m == f->margin;
        assert_int_equal(says(en, wd_ct_margin_name(m)), want);
        assert_int_equal(says(zh, margin_zh[m]), want);
    }
}

static void a_nodule_is_named_with_all_its_attributes(void **state)
{
    (void)state;
    wd_rand r;
    wd_rand_init(&r, 1);
    for (int i = 0; i < DRAWS * 10; i++) {
        const double mm = 4 + (double)wd_rand_below(&r, 27);
        wd_ct_finding f = nodule((wd_ct_lobe)wd_rand_below(&r, 5), (wd_ct_density)wd_rand_below(&r, 4),
                                 mm < 8 ? WD_CT_SMOOTH : (wd_ct_margin)wd_rand_below(&r, 3), mm);
        wd_ct_report__sentence(&f, &r);
        check_nodule(&f);
    }
}

static void other_findings_are_named_with_theirs(void **state)
{
    (void)state;
    wd_rand r;
    wd_rand_init(&r, 2);
    for (int i = 0; i < DRAWS; i++) {
        wd_ct_finding c = consolidation((wd_ct_lobe)(i % 5), 30 + i % 31),
                      e = effusion((wd_ct_side)(i % 2), (wd_ct_grade)(i / 2 % 3)), x = emphysema();
        wd_ct_report__sentence(&c, &r);
        wd_ct_report__sentence(&e, &r);
        wd_ct_report__sentence(&x, &r);
        for (wd_ct_lang l = WD_CT_EN; l < WD_CT_N_LANG; l++) {
            check_form(c.text[l], l, c.size_mm);
            check_form(e.text[l], l, 0);
            check_form(x.text[l], l, 0);
        }
        assert_true(says(c.text[0], "consolidation") && says(c.text[0], wd_ct_lobe_name(c.lobe)));
        assert_true(says(c.text[1], "实变") && says(c.text[1], lobe_zh[c.lobe]));
        assert_true(says(c.text[0], "air bronchogram") && says(c.text[1], "空气支气管征"));
        assert_true(says(e.text[0], "pleural") && says(e.text[0], wd_ct_grade_name(e.grade)));
        assert_int_equal(says(e.text[0], "left"), e.side == WD_CT_LEFT);
        assert_int_equal(says(e.text[0], "right"), e.side == WD_CT_RIGHT);
        assert_true(says(e.text[1], grade_zh[e.grade]) && says(e.text[1], "液"));
        assert_int_equal(says(e.text[1], "左侧"), e.side == WD_CT_LEFT);
        assert_true(says(x.text[0], "emphysem") && says(x.text[0], "upper lobe"));
        assert_true(says(x.text[1], "肺气肿") && says(x.text[1], "上叶"));
    }
}

static json_t *report(const wd_ct_finding *f, size_t n, wd_ct_lang l, uint64_t seed)
{
    wd_rand r;
    wd_rand_init(&r, seed);
    json_t *v = wd_ct_report__json(f, n, l, &r);
    assert_non_null(v);
    return v;
}

static const char *text_of(const json_t *list, size_t i)
{
    const json_t *v = json_array_get(list, i);
    return json_string_value(json_is_string(v) ? v : json_object_get(v, "text"));
}

static const char *const kind_en[] = { "nodul", "consolidation", "effusion", "emphysem" };

static void a_report_says_what_is_there_and_then_what_is_not(void **state)
{
    (void)state;
    wd_ct_finding f[] = { nodule(WD_CT_RML, WD_CT_SOLID, WD_CT_SMOOTH, 18),
                          effusion(WD_CT_LEFT, WD_CT_SMALL) };
    wd_rand r;
    wd_rand_init(&r, 9);
    size_t most = 0;
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        for (size_t i = 0; i < WD_COUNT(f); i++)
            wd_ct_report__sentence(&f[i], &r);
        json_t *v = report(f, 2, WD_CT_EN, seed), *list = json_object_get(v, "findings");
        const size_t n = json_array_size(list);
        assert_in_range(n, 3, 4);
        most = n > most ? n : most;
        assert_string_equal(text_of(list, 0), f[0].text[WD_CT_EN]);
        assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "place")),
                            "right middle lobe");
        assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "size_mm")), 18);
        assert_string_equal(json_string_value(json_object_get(json_array_get(list, 1), "place")),
                            "left pleural cavity");
        assert_true(json_is_null(json_object_get(json_array_get(list, 1), "size_mm")));
        assert_int_equal(json_array_size(json_object_get(json_array_get(list, 1), "slices")), 2);
        for (size_t i = 2; i < n; i++) {
            const json_t *absent = json_array_get(list, i);
            assert_true(says(text_of(list, i), "no"));
            assert_false(says(text_of(list, i), kind_en[WD_CT_NODULE]));
            assert_false(says(text_of(list, i), "pleural"));
            assert_false(says(text_of(list, i), kind_en[WD_CT_EFFUSION]));
            assert_true(json_is_null(json_object_get(absent, "place")));
            assert_true(json_is_null(json_object_get(absent, "size_mm")));
            assert_int_equal(json_array_size(json_object_get(absent, "slices")), 0);
        }
        assert_true(n < 4 || strcmp(text_of(list, 2), text_of(list, 3)) != 0);
        json_decref(v);
    }
    assert_int_equal(most, 4);
}

static void clear_lungs_are_said_to_be_clear(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        json_t *en = report(NULL, 0, WD_CT_EN, seed), *zh = report(NULL, 0, WD_CT_ZH, seed);
        const json_t *a = json_object_get(en, "findings"), *b = json_object_get(zh, "findings");
        assert_int_equal(json_array_size(a), 2);
        assert_int_equal(json_array_size(b), 2);
        assert_true(says(text_of(a, 0), "lung"));
        assert_true(says(text_of(a, 1), "effusion") || says(text_of(a, 1), "pleural fluid"));
        assert_true(says(text_of(b, 1), "胸腔"));
        assert_int_equal(json_array_size(json_object_get(en, "impression")), 1);
        assert_int_equal(json_array_size(json_object_get(zh, "impression")), 1);
        json_decref(en);
        json_decref(zh);
    }
}

static void all_kinds_present_leave_nothing_to_deny(void **state)
{
    (void)state;
    wd_ct_finding f[] = { nodule(WD_CT_RML, WD_CT_SOLID, WD_CT_SMOOTH, 18), consolidation(WD_CT_LLL, 40),
                          effusion(WD_CT_LEFT, WD_CT_SMALL), emphysema() };
    wd_rand r;
    wd_rand_init(&r, 3);
    for (size_t i = 0; i < WD_COUNT(f); i++)
        wd_ct_report__sentence(&f[i], &r);
    json_t *v = report(f, 4, WD_CT_ZH, 1);
    assert_int_equal(json_array_size(json_object_get(v, "findings")), 4);
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(json_object_get(v, "findings"), 3), "place")),
        "双肺");
    json_decref(v);
}

static void the_impression_is_in_order_of_importance(void **state)
{
    (void)state;
    /* from the most to the least important; given to the grammar the other way round */
    const wd_ct_finding order[] = {
        nodule(WD_CT_RUL, WD_CT_SOLID, WD_CT_SPICULATED, 12),
        effusion(WD_CT_RIGHT, WD_CT_LARGE),
        consolidation(WD_CT_RLL, 40),
        nodule(WD_CT_LUL, WD_CT_PART_SOLID, WD_CT_SMOOTH, 10),
        nodule(WD_CT_LLL, WD_CT_SOLID, WD_CT_LOBULATED, 29),
        effusion(WD_CT_LEFT, WD_CT_MODERATE),
        nodule(WD_CT_RML, WD_CT_GROUND_GLASS, WD_CT_SMOOTH, 9),
        nodule(WD_CT_RML, WD_CT_SOLID, WD_CT_SMOOTH, 30),
        effusion(WD_CT_LEFT, WD_CT_SMALL),
        emphysema(),
        nodule(WD_CT_RML, WD_CT_CALCIFIED, WD_CT_SMOOTH, 30),
    };
    static const char *const word[] = { "spiculated", "effusion",  "consolidation", "part-solid",
                                        "solid",      "effusion",  "ground-glass",  "solid",
                                        "effusion",   "emphysema", "calcified" };
    for (size_t i = 0; i + 1 < WD_COUNT(order); i++) {
        const wd_ct_finding two[] = { order[i + 1], order[i] };
        json_t *v = report(two, 2, WD_CT_EN, i), *list = json_object_get(v, "impression");
        assert_int_equal(json_array_size(list), 2);
        if (!says(text_of(list, 0), word[i]) || !says(text_of(list, 1), word[i + 1]))
            fail_msg("%s before %s: \"%s\" \"%s\"", word[i], word[i + 1], text_of(list, 0), text_of(list, 1));
        json_decref(v);
    }
    json_t *v = report(order, 6, WD_CT_EN, 1);
    assert_int_equal(json_array_size(json_object_get(v, "impression")), 4);
    json_decref(v);
}

static void without_chance_one_thing_has_one_wording(void **state)
{
    (void)state;
    wd_ct_finding f[] = { nodule(WD_CT_LUL, WD_CT_SOLID, WD_CT_SMOOTH, 11),
                          nodule(WD_CT_RUL, WD_CT_SOLID, WD_CT_SMOOTH, 7),
                          effusion(WD_CT_LEFT, WD_CT_SMALL) };
    for (size_t i = 0; i < WD_COUNT(f); i++)
        wd_ct_report__sentence(&f[i], NULL);
    assert_string_equal(f[0].text[WD_CT_EN], "An 11 mm smooth solid nodule in the left upper lobe.");
    assert_string_equal(f[1].text[WD_CT_EN], "A 7 mm solid nodule in the right upper lobe.");
    assert_string_equal(f[2].text[WD_CT_EN], "Small left pleural effusion.");
    json_t *v = wd_ct_report__json(f, 3, WD_CT_EN, NULL), *list = json_object_get(v, "findings");
    assert_int_equal(json_array_size(list), 4);
    assert_string_equal(text_of(list, 3), "No consolidation.");
    json_decref(v);
    v = wd_ct_report__json(NULL, 0, WD_CT_EN, NULL);
    list = json_object_get(v, "findings");
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(text_of(list, 0), "The lungs are clear.");
    assert_string_equal(text_of(list, 1), "No pleural effusion.");
    json_decref(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_are_eight_wordings_or_more),
        cmocka_unit_test(a_nodule_is_named_with_all_its_attributes),
        cmocka_unit_test(other_findings_are_named_with_theirs),
        cmocka_unit_test(a_report_says_what_is_there_and_then_what_is_not),
        cmocka_unit_test(clear_lungs_are_said_to_be_clear),
        cmocka_unit_test(all_kinds_present_leave_nothing_to_deny),
        cmocka_unit_test(the_impression_is_in_order_of_importance),
        cmocka_unit_test(without_chance_one_thing_has_one_wording),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
