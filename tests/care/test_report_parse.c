/* A model's reply becomes findings and impression, or is said not to be a report. */
#include "support/test.h"

#include "care/report.h"

static wd_arena *arena;

/* Slices 3, 7 and 12 (numbers from 1) were shown. */
static wd_slices *shown(void)
{
    static wd_slice_picture p[3] = { { .slice = 2 }, { .slice = 6 }, { .slice = 11 } };
    static wd_slices s = { .picture = p, .n_picture = 3, .n_slice = 3, .n_window = 1 };
    return &s;
}

static wd_report parse(const char *text)
{
    wd_report r = { 0 };
    const bool parsed = wd_report_parse(wd_span_str(text), shown(), arena, &r);
    assert_true(parsed == r.parsed);
    return r;
}

static void json_reply_is_read_with_its_evidence(void **state)
{
    (void)state;
    const wd_report r = parse(
        "{\"findings\": [{\"text\": \"Nodule.\", \"place\": \"left upper lobe\", \"size_mm\": 12.5,"
        " \"slices\": [3, 7]}, {\"text\": \"No effusion.\", \"size_mm\": null}],"
        " \"impression\": [\"Nodule, follow up\", \"Otherwise normal\"]}");
    assert_true(r.parsed);
    assert_int_equal(r.n_finding, 2);
    assert_string_equal(r.finding[0].place, "left upper lobe");
    assert_true(r.finding[0].size_mm == 12.5);
    assert_int_equal(r.finding[0].n_slice, 2);
    assert_int_equal(r.finding[0].slice[1], 7);
    assert_string_equal(r.finding[1].place, "");
    assert_int_equal(r.n_impression, 2);
    assert_string_equal(r.impression[0], "Nodule, follow up");
}

static void a_citation_of_a_slice_that_was_not_shown_is_dropped_and_counted(void **state)
{
    (void)state;
    const wd_report r = parse("{\"findings\": [{\"text\": \"x\", \"slices\": [3, 4, -1, \"7\", 99999999999, "
                              "12]}], \"impression\": []}");
    assert_true(r.parsed);
    assert_int_equal(r.finding[0].n_slice, 2);
    assert_int_equal(r.finding[0].slice[0], 3);
    assert_int_equal(r.finding[0].slice[1], 12);
    assert_int_equal(r.n_dropped_slices, 4);
}

static void fences_around_the_json_are_no_obstacle(void **state)
{
    (void)state;
    const wd_report r = parse(
        "Here is the draft:\n```json\n{\"findings\": [\"Clear lungs.\"], \"impression\": "
        "[\"Normal\"]}\n```\nRegards");
    assert_true(r.parsed);
    assert_string_equal(r.finding[0].text, "Clear lungs.");
}

static void headings_in_both_languages_are_read(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "Findings:\n- Clear lungs.\n2. No effusion.\nImpression: Normal chest.\n",
        "## FINDINGS\n* Clear lungs.\n\n* No effusion.\n**Impression:**\n1) Normal chest.",
        "影像所见：\n- Clear lungs.\n- No effusion.\n诊断印象：Normal chest.",
        "【所见】\nClear lungs.\nNo effusion.\n【印象】\nNormal chest.",
    };
    for (size_t i = 0; i < WD_COUNT(texts); i++) {
        const wd_report r = parse(texts[i]);
        assert_true(r.parsed);
        assert_int_equal(r.n_finding, 2);
        assert_string_equal(r.finding[0].text, "Clear lungs.");
        assert_string_equal(r.finding[1].text, "No effusion.");
        assert_int_equal(r.n_impression, 1);
        assert_string_equal(r.impression[0], "Normal chest.");
    }
}

static void what_is_no_report_is_said_to_be_none_and_leaves_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        { "", "neither" },
        { "The lungs are clear.", "neither" },
        { "Findings: clear", "neither" },
        { "{\"findings\": [", "no whole JSON" },
        { "{\"findings\": []}", "no impression" },
        { "{\"findings\": [{\"place\": \"x\"}], \"impression\": []}", "no text" },
        { "{\"findings\": [{\"text\": \"x\", \"size_mm\": \"big\"}], \"impression\": []}", "size_mm" },
        { "{\"findings\": [{\"text\": \"x\", \"size_mm\": -2}], \"impression\": []}", "size_mm" },
        { "{\"findings\": [\"a\"], \"impression\": [3]}", "impression" },
    };
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        const wd_report r = parse(cases[i].text);
        assert_false(r.parsed);
        assert_non_null(strstr(r.why_not, cases[i].why));
        assert_int_equal(r.n_finding, 0);
        assert_int_equal(r.n_impression, 0);
    }
}

static int set_up(void **state)
{
    (void)state;
    arena = wd_arena_create(16u << 20, false);
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_reply_is_read_with_its_evidence),
        cmocka_unit_test(a_citation_of_a_slice_that_was_not_shown_is_dropped_and_counted),
        cmocka_unit_test(fences_around_the_json_are_no_obstacle),
        cmocka_unit_test(headings_in_both_languages_are_read),
        cmocka_unit_test(what_is_no_report_is_said_to_be_none_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
