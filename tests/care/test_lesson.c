/* The story "lesson": cards of a video, what the model is asked, what becomes of its reply, and the three forms. */
#include "care/lesson.h"

#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/json.h"
#include "media/mp4_write.h"
#include "media/sandbox.h"
#include "support/scripted.h"
#include "support/test.h"

#define FPS 10u

static char *dir;
static wd_arena *arena;
static char video[700], prompt_en[700], prompt_zh[700];

/* A video of plain colours: seconds of each. */
static void write_video(const char *path, uint32_t w, uint32_t h, const uint32_t *seconds, uint32_t n)
{
    wd_mp4_opts o = WD_MP4_OPTS_DEFAULT;
    wd_mp4 *m = NULL;
    wd_image im = { 0 };
    o.width = w;
    o.height = h;
    o.fps_num = FPS;
    assert_ok(wd_image_init(&im, w, h, &err));
    assert_ok(wd_mp4_create(path, &o, &m, &err));
    for (uint32_t i = 0; i < n; i++) {
        for (size_t k = 0; k < (size_t)w * h * 3; k++)
            im.rgb[k] = (uint8_t)(k % 3 == i % 3 ? 230 : 40 + 10 * i);
        for (uint32_t f = 0; f < seconds[i] * FPS; f++)
            assert_ok(wd_mp4_add(m, &im, &err));
    }
    assert_ok(wd_mp4_finish(m, &err));
    wd_mp4_destroy(m);
    wd_image_free(&im);
}

static wd_lesson_opts opts(void)
{
    wd_lesson_opts o = WD_LESSON_OPTS_DEFAULT;
    o.ask.prompt_path = prompt_en;
    o.ask.model_digest = "00";
    return o;
}

static wd_lesson_cards look(const wd_lesson_opts *o)
{
    wd_lesson_cards c = { 0 };
    assert_ok(wd_lesson_look(video, o, arena, &c, &err));
    return c;
}

static void cards_have_the_times_and_pictures_of_their_shots(void **state)
{
    (void)state;
    static const double start[] = { 0, 3, 7, 9 };
    const wd_lesson_opts o = opts();
    const wd_lesson_cards c = look(&o);
    assert_int_equal(c.n_card, 4);
    assert_int_equal(c.n_left_out, 0);
    assert_true(fabs(c.duration_s - 14) < 0.01 && c.fps == FPS && c.width == 320 && c.height == 180);
    assert_string_equal(c.codec, "h264");
    for (uint32_t i = 0; i < 4; i++) {
        const wd_lesson_card *k = &c.card[i];
        assert_true(fabs(k->start_s - start[i]) < 0.11 && k->key_s > k->start_s && k->key_s < k->end_s);
        assert_int_equal(k->picture.width, 256);
        assert_int_equal(k->picture.height, 144);
        assert_true(k->picture.rgb[i % 3] > 180 && k->picture.rgb[(i + 1) % 3] < 110); /* its own colour */
    }
}

static void too_many_shots_leave_the_longest_and_a_long_take_is_divided(void **state)
{
    (void)state;
    wd_lesson_opts o = opts();
    o.max_cards = 2;
    wd_lesson_cards c = look(&o);
    assert_int_equal(c.n_card, 2);
    assert_int_equal(c.n_left_out, 2);
    assert_true(fabs(c.card[0].start_s - 3) < 0.11 && fabs(c.card[1].start_s - 9) < 0.11);
    o = opts();
    o.cuts.long_s = 2;
    c = look(&o);
    assert_int_equal(c.n_card, 8); /* 3, 4, 2 and 5 s by 2 s: 2 + 2 + 1 + 3 */
    assert_true(c.card[1].is_take && !c.card[2].is_take);
    o.max_cards = 3;
    c = look(&o); /* now a take has up to 14 / 3 s */
    assert_int_equal(c.n_card, 3);
    assert_int_equal(c.n_left_out, 2);
    o = opts();
    o.picture_pixels = 64 * 36;
    c = look(&o);
    assert_int_equal(c.card[0].picture.width, 64);
    assert_int_equal(c.card[0].picture.height, 36);
    o.picture_pixels = 1u << 24;
    c = look(&o);
    assert_int_equal(c.card[0].picture.width, 320); /* never larger than the video */
}

static void what_is_no_video_or_no_option_is_refused(void **state)
{
    (void)state;
    wd_lesson_opts o = opts();
    wd_lesson_cards c;
    char path[760];
    test_write(dir, "note.mp4", "not a video at all", 18);
    snprintf(path, sizeof path, "%s/note.mp4", dir);
    assert_fails(wd_lesson_look(path, &o, arena, &c, &err), WD_E_UNSUPPORTED, "note.mp4");
    snprintf(path, sizeof path, "%s/missing.mp4", dir);
    assert_fails(wd_lesson_look(path, &o, arena, &c, &err), WD_E_NOT_FOUND, "missing.mp4");
    o.max_cards = WD_LESSON_CARDS_MAX + 1;
    assert_fails(wd_lesson_look(video, &o, arena, &c, &err), WD_E_USAGE, "1 to 64 cards");
    o = opts();
    o.sample_fps = NAN;
    assert_fails(wd_lesson_look(video, &o, arena, &c, &err), WD_E_USAGE, "sampling rate");
    wd_arena *small = wd_arena_create(4096, false);
    o = opts();
    assert_fails(wd_lesson_look(video, &o, small, &c, &err), WD_E_NOMEM, "no memory");
    wd_arena_destroy(small);
}

static const char good[] =
    "{\"title\": \"Clean hands\", \"steps\": [{\"title\": \"Wet both hands\", \"card\": 2}, {\"title\": "
    "\"Rinse <b>& "
    "dry\", \"card\": 3}, {\"title\": \"Rinse <b>& dry\", \"card\": 4}], \"terms\": [{\"term\": \"germs\", "
    "\"meaning\": \"cause infection\"}], \"summary\": \"Clean hands in 2 steps.\"}";

static wd_lesson ask(const char *const reply, const wd_lesson_opts *o, scripted *e)
{
    static const char *replies[1];
    replies[0] = reply;
    scripted_init(e, replies, 1);
    wd_lesson_cards *c = WD_NEW(arena, wd_lesson_cards);
    *c = look(o);
    wd_lesson l = { 0 };
    assert_ok(wd_lesson_ask(&e->engine, c, o, arena, &l, &err));
    return l;
}

static void the_model_sees_each_card_with_its_number_and_times(void **state)
{
    (void)state;
    static scripted e;
    wd_lesson_opts o = opts();
    wd_lesson l = ask(good, &o, &e);
    assert_int_equal(e.n_image, 4);
    assert_non_null(strstr(e.prompt, "Card 1 (0.0-2.9 s): [image]Card 2 (2.9-6.9 s): [image]"));
    assert_non_null(strstr(e.prompt, "\"steps\": [{\"title\": "));
    assert_null(strstr(e.prompt, "{{"));
    assert_true(l.parsed);
    o.ask.language = "zh";
    o.ask.prompt_path = prompt_zh;
    l = ask(good, &o, &e);
    assert_non_null(strstr(e.prompt, "卡片2（2.9-6.9秒）：[image]"));
    assert_string_equal(l.origin.language, "zh");
}

static void times_come_from_the_cards_and_neighbours_of_one_step_join(void **state)
{
    (void)state;
    static scripted e;
    const wd_lesson_opts o = opts();
    const wd_lesson l = ask(good, &o, &e);
    assert_int_equal(l.n_step, 2);
    assert_true(fabs(l.step[0].start_s - 3) < 0.11 && fabs(l.step[0].end_s - 7) < 0.11);
    assert_true(fabs(l.step[1].start_s - 7) < 0.11 && fabs(l.step[1].end_s - 14) < 0.11);
    assert_int_equal(l.step[1].first_card, 3);
    assert_int_equal(l.step[1].last_card, 4);
    assert_string_equal(l.title, "Clean hands");
    assert_int_equal(l.n_term, 1);
    assert_false(l.reordered);
}

static void the_three_forms_say_draft_and_hold_the_steps(void **state)
{
    (void)state;
    static scripted e;
    const wd_lesson_opts o = opts();
    const wd_lesson l = ask(good, &o, &e);
    wd_buf b = { 0 };
    assert_ok(wd_lesson_text(&l, WD_LESSON_VTT, &b, &err));
    const char *t = (const char *)b.p;
    assert_int_equal(strncmp(t, "WEBVTT\n\nNOTE\nDRAFT", 18), 0);
    assert_non_null(strstr(t,
                           "\n\n1\n00:00:02.900 --> 00:00:06.900\n1. Wet both hands\n\n2\n00:00:06.900 --> "
                           "00:00:14.000\n2. Rinse &lt;b&gt;&amp; dry\n"));
    wd_buf_clear(&b);
    assert_ok(wd_lesson_text(&l, WD_LESSON_MARKDOWN, &b, &err));
    t = (const char *)b.p;
    assert_non_null(strstr(t, "# Clean hands - DRAFT\n"));
    assert_non_null(strstr(t, "faces in it are not hidden"));
    assert_non_null(strstr(t, "1. **0:02.9 - 0:06.9** Wet both hands\n"));
    assert_non_null(strstr(t, "- **germs**: cause infection\n"));
    assert_non_null(strstr(t, "Clean hands in 2 steps."));
    wd_buf_clear(&b);
    assert_ok(wd_lesson_text(&l, WD_LESSON_JSON, &b, &err));
    json_t *v = NULL;
    assert_ok(wd_json_parse(wd_buf_view(&b), "lesson.json", &v, &err));
    assert_string_equal(json_string_value(json_object_get(v, "status")), "DRAFT");
    assert_int_equal(json_array_size(json_object_get(v, "cards")), 4);
    const json_t *s = json_array_get(json_object_get(v, "steps"), 1);
    assert_int_equal(json_array_size(json_object_get(s, "cards")), 2);
    assert_true(fabs(json_number_value(json_object_get(s, "end_s")) - 14) < 1e-9);
    json_decref(v);
    wd_buf_free(&b);

    char out[720], path[760];
    static const char *const names[] = { "lesson.json", "lesson.md", "lesson.vtt", "card-01.png",
                                         "card-04.png" };
    snprintf(out, sizeof out, "%s/draft", dir);
    assert_ok(wd_lesson_save(&l, out, &err));
    for (size_t i = 0; i < WD_COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", out, names[i]);
        assert_true(wd_file_exists(path));
    }
    assert_fails(wd_lesson_save(&l, video, &err), WD_E_INVALID, "not a directory");
}

/* A cue must not be able to end its file's structure: text on one line, no arrow, hours counted. */
static void subtitles_hold_whatever_a_title_says(void **state)
{
    (void)state;
    wd_lesson_card card[2] = { { .start_s = 3599.9996, .end_s = 3661.5 },
                               { .start_s = 3661.5, .end_s = 36000 } };
    const wd_lesson_cards c = { .card = card, .n_card = 2, .codec = "h264" };
    wd_lesson l = { .raw = "", .origin = { .language = "en", .model = "m" } };
    assert_true(
        wd_lesson_parse(wd_span_str("{\"steps\": [{\"title\": \"a\\n\\n00:00 --> 00:09\\nb\", \"card\": 1}, "
                                    "{\"title\": \"c\", \"card\": 2}, {\"title\": \"d\", \"card\": 2}]}"),
                        &c, arena, &l));
    wd_buf b = { 0 };
    assert_ok(wd_lesson_text(&l, WD_LESSON_VTT, &b, &err));
    assert_non_null(strstr((char *)b.p, "\n1\n01:00:00.000 --> 01:01:01.500\n1. a  00:00 --&gt; 00:09 b\n"));
    assert_non_null(strstr((char *)b.p, "\n2\n01:01:01.500 --> 10:00:00.000\n2. c\n3. d\n")); /* one cue */
    wd_buf_free(&b);
}

/* Three cards of 10 s. */
static wd_lesson parse(const char *text)
{
    static wd_lesson_card card[3] = { { .end_s = 10 },
                                      { .start_s = 10, .end_s = 20 },
                                      { .start_s = 20, .end_s = 30 } };
    static const wd_lesson_cards c = { .card = card, .n_card = 3 };
    wd_lesson l = { .origin.language = "en" };
    const bool parsed = wd_lesson_parse(wd_span_str(text), &c, arena, &l);
    assert_true(parsed == l.parsed);
    return l;
}

static void steps_of_cards_that_were_not_shown_are_dropped_and_counted(void **state)
{
    (void)state;
    const wd_lesson l = parse(
        "{\"steps\": [{\"title\": \"a\", \"card\": 0}, {\"title\": \"b\", \"card\": 4}, {\"title\": "
        "\"c\", \"card\": -9223372036854775808}, {\"title\": \"d\", \"card\": \"2\"}, {\"title\": "
        "\"e\"}, {\"title\": \"f\", \"card\": 2.0}, {\"title\": \"g\", \"card\": 4294967297}, "
        "{\"title\": \"h\", \"card\": 3}]}");
    assert_true(l.parsed);
    assert_int_equal(l.n_dropped, 7);
    assert_int_equal(l.n_step, 1);
    assert_true(l.step[0].start_s == 20);
    assert_string_equal(l.title, "");
    assert_string_equal(l.summary, "");
}

static void steps_are_put_in_order_and_only_neighbours_join(void **state)
{
    (void)state;
    wd_lesson l = parse(
        "```json\n{\"title\": null, \"steps\": [{\"title\": \"b\", \"card\": 3}, {\"title\": \" a \", "
        "\"card\": 1}, {\"title\": \"a\", \"card\": 2}], \"terms\": null}\n```\nthat is all");
    assert_true(l.parsed && l.reordered);
    assert_int_equal(l.n_step, 2);
    assert_string_equal(l.step[0].title, "a");
    assert_true(l.step[0].start_s == 0 && l.step[0].end_s == 20);
    l = parse("{\"steps\": [{\"title\": \"a\", \"card\": 1}, {\"title\": \"a\", \"card\": 3}]}");
    assert_int_equal(l.n_step, 2); /* the same step again, later */
    l = parse(
        "{\"steps\": [{\"title\": \"a\", \"card\": 1}, {\"title\": \"b\", \"card\": 1}, {\"title\": \"b\", "
        "\"card\": 1}]}");
    assert_int_equal(l.n_step, 2); /* two steps on one card */
    assert_false(l.reordered);
    l = parse("{\"steps\": []}");
    assert_true(l.parsed && l.n_step == 0);
}

static void what_is_no_lesson_is_said_to_be_none_and_leaves_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        { "", "not the JSON" },
        { "1. Wet both hands", "not the JSON" },
        { "[]", "not the JSON" },
        { "{\"steps\": [", "no whole JSON" },
        { "{\"steps\": []} and more", "no whole JSON" },
        { "{\"title\": \"a\"}", "no steps array" },
        { "{\"steps\": {}}", "no steps array" },
        { "{\"steps\": [3]}", "no title" },
        { "{\"steps\": [{\"card\": 1}]}", "no title" },
        { "{\"steps\": [{\"title\": \" \", \"card\": 1}]}", "no title" },
        { "{\"steps\": [{\"title\": 7, \"card\": 1}]}", "no title" },
        { "{\"steps\": [], \"title\": []}", "title or summary" },
        { "{\"steps\": [], \"terms\": \"x\"}", "terms are no array" },
        { "{\"steps\": [], \"terms\": [{\"meaning\": \"x\"}]}", "term has no text" },
    };
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        const wd_lesson l = parse(cases[i].text);
        assert_false(l.parsed);
        if (!strstr(l.why_not, cases[i].why))
            fail_msg("%s: \"%s\" does not contain \"%s\"", cases[i].text, l.why_not, cases[i].why);
        assert_int_equal(l.n_step + l.n_term + l.n_dropped, 0);
        assert_string_equal(l.title, "");
    }
    wd_buf b = { 0 };
    wd_buf_str(&b, "{\"steps\": [");
    for (int i = 0; i < 201; i++)
        wd_buf_str(&b, "{\"title\": \"a\", \"card\": 1}, ");
    wd_buf_str(&b, "{}]}");
    assert_non_null(strstr(parse((char *)b.p).why_not, "more steps"));
    wd_buf_clear(&b);
    wd_buf_str(&b, "{\"steps\": [], \"title\": \"");
    for (int i = 0; i < 2001; i++)
        wd_buf_char(&b, 'a');
    wd_buf_str(&b, "\"}");
    assert_non_null(strstr(parse((char *)b.p).why_not, "usual length"));
    wd_buf_free(&b);
}

static void a_reply_that_is_no_lesson_is_kept_raw(void **state)
{
    (void)state;
    static scripted e;
    const wd_lesson_opts o = opts();
    const wd_lesson l = ask("I see \xFFhands.", &o, &e);
    assert_false(l.parsed);
    assert_string_equal(l.raw, "I see \xEF\xBF\xBDhands.");
    wd_buf b = { 0 };
    for (int form = 0; form < 3; form++) {
        wd_buf_clear(&b);
        assert_ok(wd_lesson_text(&l, (wd_lesson_form)form, &b, &err));
        assert_non_null(strstr((char *)b.p, "DRAFT"));
    }
    assert_null(strstr((char *)b.p, "-->")); /* subtitles without cues */
    wd_buf_free(&b);
}

static void failures_are_passed_on(void **state)
{
    (void)state;
    static scripted e;
    wd_lesson_opts o = opts();
    wd_lesson l;
    const wd_lesson_cards c = look(&o);
    static const char *const reply[] = { "" };
    scripted_init(&e, reply, 1);
    e.fail = WD_E_CANCELLED;
    assert_fails(wd_lesson_ask(&e.engine, &c, &o, arena, &l, &err), WD_E_CANCELLED, "scripted failure");
    char path[760];
    snprintf(path, sizeof path, "%s/bad.txt", dir);
    test_write(dir, "bad.txt", "[system]\nx\n[user]\nno place\n", 27);
    o.ask.prompt_path = path;
    assert_fails(wd_lesson_ask(&e.engine, &c, &o, arena, &l, &err), WD_E_INVALID, "has no {{images}}");
    test_write(dir, "bad.txt", "[system]\nx\n[user]\n{{images}} {{what}}\n", 38);
    assert_fails(wd_lesson_ask(&e.engine, &c, &o, arena, &l, &err), WD_E_INVALID, "{{what}}");
}

/* Every allocation fails once: the whole draft, or a sentence; never one with a hole. */
static void no_memory_gives_no_half_draft(void **state)
{
    (void)state;
    static wd_lesson_card card[4] = { { .end_s = 1 }, { .end_s = 2 }, { .end_s = 3 }, { .end_s = 4 } };
    static const wd_lesson_cards c = { .card = card, .n_card = 4, .codec = "h264" };
    for (int form = 0; form < 3; form++) {
        wd_buf want = { 0 };
        for (uint64_t n = 0;; n++) { /* 0: none fails */
            wd_arena *a = wd_arena_create(1u << 20, false);
            wd_lesson l = { .raw = good, .origin = { .language = "en", .model = "m" } };
            wd_buf got = { 0 };
            wd_err err;
            wd_inject_failure(n);
            const bool parsed = wd_lesson_parse(WD_SPAN_LIT(good), &c, a, &l);
            const wd_status st = wd_lesson_text(&l, (wd_lesson_form)form, &got, &err);
            const bool hit = wd_inject_failure(0) >= n;
            if (n == 0) {
                assert_true(parsed && st == WD_OK);
                want = got;
                wd_arena_destroy(a);
                continue;
            }
            assert_true(parsed || (l.why_not && l.n_step == 0));
            if (!st && parsed && !wd_span_eq(wd_buf_view(&got), wd_buf_view(&want)))
                fail_msg("form %d differs when allocation %u fails", form, (unsigned)n);
            if (st)
                assert_int_equal(st, WD_E_NOMEM);
            wd_buf_free(&got);
            wd_arena_destroy(a);
            if (!hit)
                break;
        }
        wd_buf_free(&want);
    }
}

static int begin(void **state)
{
    (void)state;
    static const uint32_t seconds[] = { 3, 4, 2, 5 };
    dir = test_make_dir();
    arena = wd_arena_create((size_t)1 << 30, false);
    snprintf(video, sizeof video, "%s/video.mp4", dir);
    snprintf(prompt_en, sizeof prompt_en, "%s/../prompts/lesson.en.txt", test_data_dir());
    snprintf(prompt_zh, sizeof prompt_zh, "%s/../prompts/lesson.zh.txt", test_data_dir());
    write_video(video, 320, 180, seconds, 4);
    return 0;
}

static int end(void **state)
{
    (void)state;
    wd_arena_destroy(arena);
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
        cmocka_unit_test(cards_have_the_times_and_pictures_of_their_shots),
        cmocka_unit_test(too_many_shots_leave_the_longest_and_a_long_take_is_divided),
        cmocka_unit_test(what_is_no_video_or_no_option_is_refused),
        cmocka_unit_test(the_model_sees_each_card_with_its_number_and_times),
        cmocka_unit_test(times_come_from_the_cards_and_neighbours_of_one_step_join),
        cmocka_unit_test(the_three_forms_say_draft_and_hold_the_steps),
        cmocka_unit_test(subtitles_hold_whatever_a_title_says),
        cmocka_unit_test(steps_of_cards_that_were_not_shown_are_dropped_and_counted),
        cmocka_unit_test(steps_are_put_in_order_and_only_neighbours_join),
        cmocka_unit_test(what_is_no_lesson_is_said_to_be_none_and_leaves_nothing),
        cmocka_unit_test(a_reply_that_is_no_lesson_is_kept_raw),
        cmocka_unit_test(failures_are_passed_on),
        cmocka_unit_test(no_memory_gives_no_half_draft),
    };
    const int failed = cmocka_run_group_tests(tests, begin, end);
    wd_sandbox_stop();
    return failed;
}
