/* ward demo's page and verdicts: text stays text, nothing is fetched, and what is wrong is called wrong. */
#include "support/test.h"

#include <stdio.h>

#include "base/json.h"
#include "care/rehab_rules.h"
#include "cli/demo/demo.h"
#include "cli/html.h"

#define HOSTILE "<script>alert('1')</script> & \"quoted\""
#define ESCAPED "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;quoted&quot;"

static void assert_text(wd_buf *b, const char *want)
{
    assert_false(b->failed);
    assert_string_equal((const char *)b->p, want);
    wd_buf_free(b);
}

static void only_what_is_put_in_is_escaped(void **state)
{
    (void)state;
    wd_buf b = { 0 };
    wd_html(&b, "<p class=\"%s\">%s %d %u %.2f %c 100%%</p>", "a\"b", HOSTILE, -3, 7u, 0.125, 'M');
    assert_text(&b, "<p class=\"a&quot;b\">" ESCAPED " -3 7 0.12 M 100%</p>");
    const char *nothing = wd_demo_agrees("yes", false);
    nothing = strstr(nothing, "there is no such word");
    wd_html(&b, "[%s][%s]", nothing, "%s %n");
    assert_text(&b, "[][%s %n]");
    wd_html(&b, "%s", "\xE8\x82\xBA \xFF\x01 \xE8\x82");
    assert_text(&b, "\xE8\x82\xBA \xEF\xBF\xBD\xEF\xBF\xBD \xEF\xBF\xBD");
}

static void bytes_become_base_64(void **state)
{
    (void)state;
    static const char *const want[] = {
        "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"
    }; /* RFC 4648 */
    for (size_t n = 0; n < WD_COUNT(want); n++) {
        wd_buf b = { 0 };
        char full[64];
        wd_html_data(&b, "image/png", wd_span_of("foobar", n));
        snprintf(full, sizeof full, "data:image/png;base64,%s", want[n]);
        assert_text(&b, full);
    }
}

static const json_t *check_at(const json_t *section, size_t i)
{
    return json_array_get(json_object_get(section, "checks"), i);
}

/* The faults of a check, one after another: "side lobe". */
static void assert_faults(const json_t *section, size_t i, const char *want)
{
    char got[200] = "";
    const json_t *faults = json_object_get(check_at(section, i), "faults");
    for (size_t k = 0; k < json_array_size(faults); k++) {
        strncat(got, k ? " " : "", sizeof got - strlen(got) - 1);
        strncat(got, json_string_value(json_array_get(faults, k)), sizeof got - strlen(got) - 1);
    }
    assert_non_null(check_at(section, i));
    assert_string_equal(got, want);
}

static json_t *judged(wd_demo_section s, const char *result, const char *agrees)
{
    json_error_t e;
    json_t *section = json_pack("{s:o}", "result", json_loads(result, 0, &e));
    assert_non_null(section);
    json_t *truth = json_pack("{s:{s:{s:[s]}}, s:s}", "report", "en", "impression", "the first", "main_angle",
                              "knee_flexion");
    assert_non_null(truth);
    assert_ok(wd_demo_judge(section, s, truth, "en", &err));
    json_decref(truth);
    assert_string_equal(wd_demo_str(section, "agrees"), agrees);
    return section;
}

/* A claim of a report, or a truth. */
#define CLAIM(match, side, lobe, size, density, text)                                                   \
    "{\"type\":\"nodule\",\"side\":\"" side "\",\"lobe\":\"" lobe "\",\"size_mm\":" size                \
    ",\"density\":\"" density "\",\"margin\":\"smooth\",\"grade\":null,\"slices\":[5],\"text\":\"" text \
    "\",\"match\":" match "}"

static void a_report_is_wrong_where_the_evaluation_says_so(void **state)
{
    (void)state;
    static const char result[] =
        "{\"parsed\":true,\"contradictions\":[],\"unsupported\":[\"c\", \"an "
        "impression\"],\"impression\":[\"x\"],"
        "\"impression_first\":false,\"positive_sentences\":3,\"schema_valid\":true,\"truth\":"
        "[" CLAIM("0", "right", "right lower lobe", "16", "solid", "A") "," CLAIM(
            "1", "left", "left upper lobe", "10", "solid",
            "B") "," CLAIM("null", "left", "left lower lobe", "20", "solid",
                           "C") "],\"said\":[" CLAIM("0", "right", "right lower lobe", "17", "solid",
                                                     "a") "," CLAIM("1", "right", "right upper lobe", "22",
                                                                    "calcified",
                                                                    "b") "," CLAIM("null", "left",
                                                                                   "left upper lobe", "9",
                                                                                   "solid", "c") "]}";
    json_t *s = judged(WD_DEMO_REPORT, result, "partly");
    assert_faults(s, 0, "");
    assert_faults(s, 1, "side lobe density size");
    assert_string_equal(wd_demo_str(check_at(s, 1), "note"), "22 / 10 mm");
    assert_faults(s, 2, "missed");
    assert_faults(s, 3, "invented");
    assert_faults(s, 4, "unsupported"); /* "c" was named above */
    assert_string_equal(wd_demo_str(check_at(s, 4), "said"), "an impression");
    assert_faults(s, 5, "impression");
    assert_string_equal(wd_demo_str(check_at(s, 5), "truth"), "the first");
    assert_null(check_at(s, 6));
    json_decref(s);
}

static void a_reply_that_is_no_report_is_no_clear_lung(void **state)
{
    (void)state;
    json_decref(judged(
        WD_DEMO_REPORT,
        "{\"parsed\":false,\"why_not\":\"babble\",\"truth\":[],\"said\":[],\"unsupported\":[]}", "no"));
    json_decref(
        judged(WD_DEMO_REPORT, "{\"parsed\":true,\"truth\":[],\"said\":[],\"unsupported\":[]}", "yes"));
}

static void a_slice_is_found_first_in_three_or_not(void **state)
{
    (void)state;
    static const char result[] =
        "{\"queries\":["
        "{\"sentence\":\"a\",\"type\":\"nodule\",\"relevant\":[2],\"ranking\":[2,1,3,4]},"
        "{\"sentence\":\"b\",\"type\":\"nodule\",\"relevant\":[2],\"ranking\":[3,1,2,4]},"
        "{\"sentence\":\"c\",\"type\":\"nodule\",\"relevant\":[2],\"ranking\":[3,1,4,2]}]}";
    json_t *s = judged(WD_DEMO_FIND, result, "partly");
    assert_faults(s, 0, "");
    assert_faults(s, 1, "not first");
    assert_faults(s, 2, "missed");
    assert_string_equal(wd_demo_str(check_at(s, 2), "said"), "3, 1, 4");
    json_decref(s);
    s = json_pack("{s:{s:[]}}", "result", "queries"); /* nothing to look for is neither right nor wrong */
    assert_ok(wd_demo_judge(s, WD_DEMO_FIND, NULL, "en", &err));
    assert_true(json_is_null(json_object_get(s, "agrees")));
    json_decref(s);
}

static void repetitions_faults_steps_and_answers_are_compared(void **state)
{
    (void)state;
    json_t *s = judged(
        WD_DEMO_REHAB,
        "{\"exercise\":\"squat\",\"reps\":4,\"reps_true\":5,\"angles\":[[90,null]],\"asked\":true,"
        "\"phrase_ok\":false,\"faults_true\":[{\"type\":\"trunk_lean\",\"start_s\":1,\"end_s\":2,"
        "\"match\":1},{\"type\":\"trunk_lean\",\"start_s\":5,\"end_s\":6,\"match\":null}],\"faults\":["
        "{\"type\":\"asymmetry\",\"start_s\":1,\"end_s\":2,\"match\":null},"
        "{\"type\":\"trunk_lean\",\"start_s\":1,\"end_s\":2,\"match\":0}]}",
        "partly");
    assert_faults(s, 0, "count");
    assert_faults(s, 1, "unmeasured");
    assert_string_equal(wd_demo_str(check_at(s, 1), "truth"), "knee flexion");
    assert_faults(s, 2, "");
    assert_faults(s, 3, "missed");
    assert_faults(s, 4, "invented");
    assert_faults(s, 5, "words");
    json_decref(s);
    s = judged(WD_DEMO_LESSON,
               "{\"title\":\"T\",\"title_true\":\"U\",\"parsed\":true,\"steps_true\":["
               "{\"title\":\"wash\",\"start_s\":1,\"end_s\":9,\"match\":0},"
               "{\"title\":\"dry\",\"start_s\":9,\"end_s\":12,\"match\":null}],\"steps\":["
               "{\"title\":\"wash\",\"start_s\":4,\"end_s\":9,\"match\":0},"
               "{\"title\":\"sing\",\"start_s\":9,\"end_s\":12,\"match\":null}]}",
               "no");
    assert_faults(s, 0, "title");
    assert_faults(s, 1, "time");
    assert_faults(s, 2, "missed");
    assert_faults(s, 3, "invented");
    json_decref(s);
    s = judged(WD_DEMO_ASSIST,
               "{\"questions\":[{\"question\":\"q\",\"answer\":\"5\",\"true_answer\":\"4\",\"tool_call_"
               "exact\":false,"
               "\"argument_match\":0,\"answer_exact\":false,\"answer_value\":false,\"grounded\":false}]}",
               "no");
    assert_faults(s, 0, "call value ungrounded");
    json_decref(s);
}

/* ---- the page ---- */

static json_t *loads(const char *text)
{
    json_error_t e;
    json_t *v = json_loads(text, 0, &e);
    if (!v)
        fail_msg("%s at %d", e.text, e.position);
    return v;
}

/* Every string that is `%` becomes the hostile text. */
static void spoil(json_t *v)
{
    const char *key;
    json_t *one;
    size_t i;
    void *next;
    if (json_is_string(v) && !strcmp(json_string_value(v), "%"))
        assert_int_equal(json_string_set(v, HOSTILE), 0);
    json_array_foreach(v, i, one) spoil(one);
    json_object_foreach_safe(v, next, key, one) spoil(one);
}

static const char report[] =
    "{\"seed\":1,\"seconds\":1,\"agrees\":\"no\",\"checks\":[{\"truth\":\"%\",\"said\":\"%\",\"faults\":[\"%"
    "\"],"
    "\"note\":\"%\"}],\"result\":{\"truth\":[{\"text\":\"%\",\"slices\":[1],\"match\":0}],\"said\":[{"
    "\"text\":\"%\","
    "\"slices\":[1],\"match\":0},{\"text\":\"%\",\"slices\":[1],\"match\":null}],\"draft\":{\"parsed\":true,"
    "\"findings\":[{\"text\":\"%\"}],\"impression\":[\"%\"],\"series\":{\"modality\":\"%\",\"body_part\":\"%"
    "\"}}}}";
static const char find[] = "{\"agrees\":\"no\",\"checks\":[{\"faults\":[\"%\"]}],\"result\":{\"queries\":[{"
                           "\"sentence\":\"%\",\"ranking\":[1],"
                           "\"scores\":[0.5],\"relevant\":[1]}]}}";
static const char rehab[] =
    "{\"agrees\":\"no\",\"checks\":[{\"truth\":\"%\",\"said\":\"%\",\"faults\":[]}],\"result\":{\"exercise\":"
    "\"squat\","
    "\"faults\":[{\"type\":\"trunk_lean\",\"start_s\":1,\"end_s\":2,\"match\":null}],\"faults_true\":[],"
    "\"joints\":"
    "[[[1,2],null]],\"draft\":{\"summary\":\"%\",\"main_angle\":\"%\",\"advice\":[{\"issue\":\"%\",\"cause\":"
    "\"%\","
    "\"advice\":\"%\",\"phrased_by\":\"model\"}],\"angles\":{\"time_s\":[0],\"frame\":[0],\"main\":[50]}}}}";
static const char lesson[] =
    "{\"agrees\":\"no\",\"checks\":[{\"faults\":[]},{\"truth\":\"%\",\"said\":\"%\",\"faults\":[]}],"
    "\"result\":{"
    "\"steps_true\":[{\"title\":\"%\",\"start_s\":1,\"end_s\":2,\"match\":0}],\"steps\":[{\"title\":\"%\"}],"
    "\"draft\":{\"parsed\":false,\"why_not_parsed\":\"%\",\"raw\":\"%\"}}}";
static const char assist[] =
    "{\"agrees\":\"no\",\"checks\":[{\"faults\":[]}],\"result\":{\"questions\":[{\"question\":\"%\","
    "\"answer\":\"%\","
    "\"true_answer\":\"%\",\"true_calls\":[{\"name\":\"%\",\"arguments\":{\"a\":\"%\"}}],\"draft\":{"
    "\"calls\":[{"
    "\"name\":\"%\",\"arguments\":{\"b\":\"%\"},\"result\":\"%\",\"refused\":true}]}}]}}";
static const char truths[] = "{\"report\":{\"en\":{\"findings\":[{\"text\":\"%\"}],\"impression\":[\"%\"]}},"
                             "\"title\":\"%\",\"summary\":\"%\","
                             "\"terms\":[{\"term\":\"%\",\"meaning\":\"%\"}],\"findings\":[{\"boxes\":[{"
                             "\"slice\":1,\"box\":[0,0,1,1]}]}],"
                             "\"fps\":15,\"n_frame\":30,\"angles\":{\"main\":[10,20]},\"joints\":[[[1,1]]]}";

static uint8_t pixels[2 * 2 * 3];
static wd_slice_picture slice = { .image = { pixels, 2, 2 }, .window = "lung" };
static wd_demo_frame frame = { .image = { pixels, 2, 2 } };

static wd_demo hostile_demo(void)
{
    wd_demo d = { .slices = { .picture = &slice, .n_picture = 1, .n_slice = 1, .n_window = 1 },
                  .exercise = &frame,
                  .lesson = &frame,
                  .n_exercise = 1,
                  .n_lesson = 1 };
    d.all = loads(
        "{\"seed\":1,\"notice\":\"%\",\"engine\":{\"sees\":{\"model\":\"%\",\"name\":\"%\",\"digest\":\"%\"},"
        "\"reads\":null},\"sections\":{}}");
    static const char *const sections[] = { report, find, rehab, lesson, assist };
    for (int s = 0; s < WD_DEMO_N; s++) {
        json_object_set_new(json_object_get(d.all, "sections"), wd_demo_section_name((wd_demo_section)s),
                            loads(sections[s]));
        d.truth[s] = loads(truths);
        spoil(d.truth[s]);
    }
    spoil(d.all);
    return d;
}

static void free_demo(wd_demo *d)
{
    for (int s = 0; s < WD_DEMO_N; s++)
        json_decref(d->truth[s]);
    json_decref(d->all);
}

/* Every src, href and url() is inside the page, or one of the two videos. */
static void assert_no_reference(const char *html)
{
    static const char *const names[] = { "src=",    "href=", "url(",    "action=",
                                         "@import", "<link", "<script", "<iframe" };
    static const char *const fine[] = { "src=\"data:image/png;base64,", "href=\"data:image/png;base64,",
                                        "href=\"#", "src=\"exercise/video.mp4\"",
                                        "src=\"lesson/video.mp4\"" };
    for (size_t i = 0; i < WD_COUNT(names); i++) {
        for (const char *at = strstr(html, names[i]); at; at = strstr(at + 1, names[i])) {
            size_t k = 0;
            while (k < WD_COUNT(fine) && strncmp(at, fine[k], strlen(fine[k])) != 0)
                k++;
            if (k == WD_COUNT(fine))
                fail_msg("the page refers to %.60s", at);
        }
    }
    assert_null(strstr(html, "http://"));
    assert_null(strstr(html, "https://"));
}

static void hostile_text_stays_text_and_nothing_is_fetched(void **state)
{
    (void)state;
    for (int zh = 0; zh < 2; zh++) {
        wd_demo d = hostile_demo();
        wd_buf b = { 0 };
        d.zh = zh;
        assert_ok(wd_demo_page(&d, &b, &err));
        const char *html = (const char *)b.p;
        size_t n = 0;
        for (const char *at = strstr(html, ESCAPED); at; at = strstr(at + 1, ESCAPED))
            n++;
        assert_int_equal(n, zh ? 41 : 43); /* every place where it stands: nothing was left out either */
        assert_null(strstr(html, "alert('1')"));
        assert_null(strstr(html, "\"quoted\""));
        assert_no_reference(html);
        wd_buf_free(&b);
        free_demo(&d);
    }
}

static void an_empty_demo_has_a_page_and_a_text(void **state)
{
    (void)state;
    wd_demo d = { .all = loads(
                      "{\"seed\":1,\"notice\":\"n\",\"sections\":{\"assist\":{\"skipped\":\"no <model>\","
                      "\"agrees\":null}}}") };
    wd_buf b = { 0 };
    assert_ok(wd_demo_page(&d, &b, &err));
    assert_non_null(strstr((const char *)b.p, "no &lt;model&gt;"));
    wd_buf_clear(&b);
    assert_ok(wd_demo_text(&d, true, &b, &err));
    assert_non_null(strstr((const char *)b.p, "no <model>"));
    wd_buf_free(&b);
    json_decref(d.all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_put_in_is_escaped),
        cmocka_unit_test(bytes_become_base_64),
        cmocka_unit_test(a_report_is_wrong_where_the_evaluation_says_so),
        cmocka_unit_test(a_reply_that_is_no_report_is_no_clear_lung),
        cmocka_unit_test(a_slice_is_found_first_in_three_or_not),
        cmocka_unit_test(repetitions_faults_steps_and_answers_are_compared),
        cmocka_unit_test(hostile_text_stays_text_and_nothing_is_fetched),
        cmocka_unit_test(an_empty_demo_has_a_page_and_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
