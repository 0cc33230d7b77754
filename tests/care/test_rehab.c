/* The story "rehab": points from replies and files, words held to the measurements, and what is written. */
#include "care/video_file.h"
#include "care/rehab.h"

#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/json.h"
#include "base/rand.h"
#include "care/phantom/exercise.h"
#include "media/sandbox.h"
#include "support/scripted.h"
#include "support/test.h"

static wd_arena *arena;
static char *dir, prompt_en[700], prompt_zh[700], prompt_pose[700];

static int start(void **state)
{
    (void)state;
    wd_json_use_our_memory();
    assert_ok(wd_sandbox_start(&err));
    arena = wd_arena_create(1u << 28, false);
    dir = test_make_dir();
    snprintf(prompt_en, sizeof prompt_en, "%s/../prompts/rehab.en.txt", test_data_dir());
    snprintf(prompt_zh, sizeof prompt_zh, "%s/../prompts/rehab.zh.txt", test_data_dir());
    snprintf(prompt_pose, sizeof prompt_pose, "%s/../prompts/pose.txt", test_data_dir());
    return 0;
}

static int stop(void **state)
{
    (void)state;
    test_rm_dir(dir);
    wd_arena_destroy(arena);
    wd_sandbox_stop();
    return 0;
}

/* ---- replies that point ---- */

static void points_are_read_in_both_forms(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{\"head\": [500, 100], \"left knee\": [250, 750.5]}",
        "Here:\n```json\n{\"left_knee\": [250, 750.5], \"Nose\": [500, 100], \"tail\": [1, 2]}\n```",
        "[{\"point_2d\": [500, 100], \"label\": \"head\"}, {\"point_2d\": [250, 750.5], \"label\": \"Left "
        "Knee\"},"
        " {\"point_2d\": [9, 9], \"label\": \"head\"}]",
    };
    wd_pose_point p[WD_N_JOINT];
    for (size_t i = 0; i < WD_COUNT(good); i++) {
        assert_int_equal(wd_pose_parse(wd_span_str(good[i]), 200, 100, p), 2);
        assert_true(p[WD_JOINT_HEAD].x == 100 && p[WD_JOINT_HEAD].y == 10 &&
                    p[WD_JOINT_HEAD].confidence == 1);
        assert_true(p[WD_JOINT_LEFT_KNEE].x == 50 && fabs(p[WD_JOINT_LEFT_KNEE].y - 75.05) < 1e-9);
        assert_true(p[WD_JOINT_RIGHT_KNEE].confidence == 0);
    }
}

static void nonsense_gives_no_points(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "I see a person.",
        "{",
        "[",
        "{}",
        "[]",
        "null",
        "[1, 2, 3]",
        "{\"head\": 5}",
        "{\"head\": [1]}",
        "{\"head\": [1, 2, 3]}",
        "{\"head\": [\"1\", \"2\"]}",
        "{\"head\": [-1, 5]}",
        "{\"head\": [1001, 5]}",
        "{\"head\": [1e999, 5]}",
        "{\"head\": [null, 5]}",
        "{\"head\": {\"x\": 1}}",
        "[[[[[[[[[[",
        "[{\"label\": \"head\"}]",
        "[{\"point_2d\": [1, 2]}]",
        "[{\"point_2d\": \"head\", \"label\": \"head\"}]",
        "[{\"point_2d\": [1, 2], \"label\": 7}]",
        "{\"head\": [10, 10",
        "{\"\": [1, 1], \"left\": [1, 1]}",
    };
    wd_pose_point p[WD_N_JOINT];
    for (size_t i = 0; i < WD_COUNT(bad); i++)
        if (wd_pose_parse(wd_span_str(bad[i]), 200, 100, p) != 0)
            fail_msg("a point was found in %s", bad[i]);
    wd_rand r;
    wd_rand_init(&r, 1);
    static const char good[] = "{\"head\": [500, 100], \"left knee\": [250, 750], \"right hip\": [1, 999]}";
    for (int round = 0; round < 3000; round++) { /* never outside the picture, whatever comes */
        char s[sizeof good];
        memcpy(s, good, sizeof good);
        for (int k = 0; k < 1 + round % 4; k++)
            s[wd_rand_below(&r, sizeof good - 1)] = (char)wd_rand_below(&r, 256);
        (void)wd_pose_parse(wd_span_of(s, wd_rand_below(&r, sizeof good)), 200, 100, p);
        for (int j = 0; j < WD_N_JOINT; j++)
            assert_true(p[j].x >= 0 && p[j].x <= 200 && p[j].y >= 0 && p[j].y <= 100);
    }
}

static void a_right_reply_is_read_back(void **state)
{
    (void)state;
    wd_pose_point p[WD_N_JOINT] = { 0 }, q[WD_N_JOINT];
    wd_buf b = { 0 };
    wd_pose_reply(p, 192, 144, &b);
    assert_string_equal((char *)b.p, "{}");
    wd_buf_clear(&b);
    p[WD_JOINT_HEAD] = (wd_pose_point){ 96, 36, 1 };
    p[WD_JOINT_RIGHT_ANKLE] = (wd_pose_point){ 500, -3, 1 }; /* outside: to the edge */
    wd_pose_reply(p, 192, 144, &b);
    assert_string_equal((char *)b.p, "{\"head\": [500, 250], \"right ankle\": [1000, 0]}");
    wd_buf_clear(&b);
    for (int j = 0; j < WD_N_JOINT; j++)
        p[j] = (wd_pose_point){ 10 * j, 5 * j, 1 };
    wd_pose_reply(p, 192, 144, &b);
    assert_int_equal(wd_pose_parse(wd_buf_view(&b), 192, 144, q), WD_N_JOINT);
    for (int j = 0; j < WD_N_JOINT; j++)
        assert_true(fabs(p[j].x - q[j].x) < 0.1 && fabs(p[j].y - q[j].y) < 0.1);
    wd_buf_free(&b);
}

/* ---- pictures and videos ---- */

static void pictures_are_made_narrow(void **state)
{
    (void)state;
    wd_image im = { 0 }, small = { 0 };
    assert_ok(wd_image_init(&im, 320, 240, &err));
    for (uint32_t y = 0; y < 240; y++)
        for (uint32_t x = 0; x < 320; x++)
            im.rgb[3 * (y * 320 + x)] = (uint8_t)(x < 160 ? 10 : 210);
    assert_ok(wd_pose_shrink(&im, 192, &small, &err));
    assert_int_equal(small.width, 192);
    assert_int_equal(small.height, 144);
    assert_int_equal(small.rgb[3 * 95], 10);
    assert_int_equal(small.rgb[3 * 96], 210);
    wd_image_free(&small);
    assert_ok(wd_pose_shrink(&im, 3, &small, &err));
    assert_int_equal(small.height, 2);
    assert_int_equal(small.rgb[3], 110); /* the middle of three: half of each */
    wd_image_free(&small);
    assert_ok(wd_pose_shrink(&im, 1000, &small, &err));
    assert_int_equal(small.width, 320);
    assert_memory_equal(small.rgb, im.rgb, (size_t)320 * 240 * 3);
    wd_image_free(&small);
    wd_image_free(&im);
}

static void a_model_points_at_every_sampled_frame(void **state)
{
    (void)state;
    static scripted e;
    static const char *const reply[] = { "{\"head\": [500, 500], \"left hip\": [250, 1000]}",
                                         "I cannot see." };
    const char *path = wd_path_join(arena, dir, "video.mp4");
    wd_exercise *x;
    assert_ok(wd_exercise_write(dir, 7, &err));
    assert_ok(wd_exercise_plan(7, arena, &x, &err));
    scripted_init(&e, reply, 2);
    wd_pose_model m = WD_POSE_MODEL_DEFAULT;
    m.engine = &e.engine;
    m.prompt_path = prompt_pose;
    const wd_pose port = wd_pose_of_model(&m);
    const wd_pose_sampling o = WD_POSE_SAMPLING_DEFAULT;
    wd_video_source v;
    wd_pose_frame *f;
    size_t n;
    assert_ok(wd_video_file_open(path, NULL, arena, &v, &err));
    assert_ok(wd_pose_video(&v, &port, &o, arena, &f, &n, &err));
    assert_int_equal(n, (wd_exercise_info_of(x)->n_frame - 1) / 3 + 1); /* 5 of 15 per second */
    assert_int_equal(e.n_asked, n);
    assert_int_equal(e.n_image, 1);
    assert_non_null(strstr(e.prompt, "[image]"));
    assert_non_null(strstr(e.prompt, "0 to 1000"));
    assert_int_equal(m.n_asked, n);
    assert_int_equal(m.n_unread, n - 1);
    assert_int_equal(f[2].frame, 6);
    assert_true(fabs(f[2].time_s - 0.4) < 1e-9);
    assert_true(f[0].joint[WD_JOINT_HEAD].x == 160 && f[0].joint[WD_JOINT_HEAD].y == 120); /* of 320 x 240 */
    assert_true(f[0].joint[WD_JOINT_LEFT_HIP].x == 80 && f[0].joint[WD_JOINT_LEFT_HIP].y == 240);
    assert_true(f[1].joint[WD_JOINT_HEAD].confidence == 0);
    wd_pose_sampling few = o;
    few.max_samples = 4;
    assert_ok(wd_pose_video(&v, &port, &few, arena, &f, &n, &err));
    assert_int_equal(n, 4);
    static const atomic_bool yes = true;
    few.cancel = &yes;
    assert_fails(wd_pose_video(&v, &port, &few, arena, &f, &n, &err), WD_E_CANCELLED, "cancelled");
    e.fail = WD_E_LIMIT;
    assert_fails(wd_pose_video(&v, &port, &o, arena, &f, &n, &err), WD_E_LIMIT, "scripted failure");
    v.fps = 0;
    assert_fails(wd_pose_video(&v, &port, &o, arena, &f, &n, &err), WD_E_INVALID, "rate is 0");
    assert_fails(wd_video_file_open("/nonexistent.mp4", NULL, arena, &v, &err), WD_E_NOT_FOUND,
                 "/nonexistent.mp4");
}

/* ---- pose files ---- */

static const char *file_of(const char *text)
{
    const char *path = wd_path_join(arena, dir, "given.json");
    assert_ok(wd_file_write(path, wd_span_str(text), &err));
    return path;
}

static void a_pose_file_is_read(void **state)
{
    (void)state;
    wd_pose_frame *f;
    size_t n;
    assert_ok(wd_pose_read(
        file_of("{\"fps\": 10, \"frames\": [{\"frame\": 3, \"points\": {\"left knee\": [10, 20.5], "
                "\"right_knee\": [1, 2, 0.25], \"head\": null, \"left toe\": \"skipped\"}}, "
                "{\"points\": {}, \"time_s\": 9.5}]}"),
        arena, &f, &n, &err));
    assert_int_equal(n, 2);
    assert_int_equal(f[0].frame, 3);
    assert_true(fabs(f[0].time_s - 0.3) < 1e-9);
    assert_true(f[0].joint[WD_JOINT_LEFT_KNEE].y == 20.5 && f[0].joint[WD_JOINT_LEFT_KNEE].confidence == 1);
    assert_true(f[0].joint[WD_JOINT_RIGHT_KNEE].confidence == 0.25);
    assert_true(f[0].joint[WD_JOINT_HEAD].confidence == 0);
    assert_true(f[1].time_s == 9.5);
}

static void a_bad_pose_file_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
        wd_status code;
    } bad[] = {
        { "[]", "expected an object", WD_E_INVALID },
        { "{", "given.json", WD_E_CORRUPT },
        { "{\"frames\": []}", "no frames", WD_E_INVALID },
        { "{\"frames\": 5}", "frames", WD_E_INVALID },
        { "{\"frames\": [7]}", "frames[0] is no object", WD_E_INVALID },
        { "{\"fps\": -1, \"frames\": [{}]}", "fps", WD_E_INVALID },
        { "{\"frames\": [{\"points\": {}}]}", "frames[0] has no time_s", WD_E_INVALID },
        { "{\"fps\": 5, \"frames\": [{\"points\": {}}, {}]}", "frames[1] has no points", WD_E_INVALID },
        { "{\"fps\": 5, \"frames\": [{\"points\": []}]}", "points", WD_E_INVALID },
        { "{\"fps\": 5, \"frames\": [{\"points\": {\"head\": [1]}}]}", "\"head\" of frames[0]",
          WD_E_INVALID },
        { "{\"fps\": 5, \"frames\": [{\"points\": {\"head\": [1, 2, 3]}}]}", "confidence 0..1",
          WD_E_INVALID },
        { "{\"fps\": 5, \"frames\": [{\"points\": {\"head\": [\"a\", 2]}}]}", "\"head\" of frames[0]",
          WD_E_INVALID },
        { "{\"fps\": 5, \"frames\": [{\"points\": {\"head\": [1e300, 2]}}]}", "\"head\" of frames[0]",
          WD_E_INVALID },
        { "{\"fps\": 5, \"frames\": [{\"frame\": 4, \"points\": {}}, {\"frame\": 4, \"points\": {}}]}",
          "the time of frames[1] is 0.8 s", WD_E_INVALID },
        { "{\"fps\": 5, \"frames\": [{\"frame\": -4, \"points\": {}}]}", "frame", WD_E_INVALID },
    };
    wd_pose_frame *f;
    size_t n;
    for (size_t i = 0; i < WD_COUNT(bad); i++)
        assert_fails(wd_pose_read(file_of(bad[i].text), arena, &f, &n, &err), bad[i].code, bad[i].says);
    assert_fails(wd_pose_read("/nonexistent.json", arena, &f, &n, &err), WD_E_NOT_FOUND, "/nonexistent.json");
}

/* ---- numbers ---- */

static void numbers_must_be_among_the_measured(void **state)
{
    (void)state;
    static const char allowed[] =
        "Repetitions: 4, 2.1 s each\ntrunk_lean: 58 degrees, limit 45, repetitions 2, 3";
    static const char *const fine[] = {
        "",
        "No number at all.",
        "It leans 58 degrees in repetitions 2 and 3 (limit 45).",
        "Two of four repetitions; 58.0 degrees, 2.10 seconds.",
        "躯干前倾５８度，第二、三次，共四次。",
        "一侧较弱，一些动作。",
        "The one weak side.",
    };
    static const struct {
        const char *text;
        double bad;
    } wrong[] = {
        { "It leans 57 degrees.", 57 },
        { "It leans 58.5 degrees.", 58.5 },
        { "5 8 degrees", 5 },
        { "Do ten repetitions.", 10 },
        { "每天做十组。", 10 },
        { "前倾六十二度。", 62 },
        { "第五次。", 5 },
        { "保持三十秒。", 30 },
        { "Do it twice with twenty kg.", 20 },
        { "58 or 1000000000000000000000", 1e21 },
        { "1990s", 1990 },
        { "一百二十度", 120 },
    };
    for (size_t i = 0; i < WD_COUNT(fine); i++)
        if (!wd_rehab_numbers_hold(wd_span_str(fine[i]), WD_SPAN_LIT(allowed), NULL))
            fail_msg("refused: %s", fine[i]);
    for (size_t i = 0; i < WD_COUNT(wrong); i++) {
        double bad = -1;
        if (wd_rehab_numbers_hold(wd_span_str(wrong[i].text), WD_SPAN_LIT(allowed), &bad))
            fail_msg("let through: %s", wrong[i].text);
        assert_true(fabs(bad - wrong[i].bad) < 1e-6 * wrong[i].bad);
    }
    wd_buf many = { 0 };
    for (int i = 0; i < 1000; i++)
        wd_buf_str(&many, "4 ");
    assert_false(
        wd_rehab_numbers_hold(wd_buf_view(&many), WD_SPAN_LIT(allowed), NULL)); /* too many to check */
    wd_buf_free(&many);
}

/* ---- the model's words ---- */

static wd_rehab_measured measured;

/* Squats of which the 2nd and 3rd lean too far. */
static const wd_rehab_measured *leaning(void)
{
    static wd_rehab_rep rep[3];
    static wd_rehab_fault fault[2];
    for (int i = 0; i < 3; i++)
        rep[i] = (wd_rehab_rep){ 4 * i + 1, 4 * i + 3, 4 * i + 2, 95 + i, 90, 0.4, { 95, 96 } };
    for (int i = 0; i < 2; i++)
        fault[i] = (wd_rehab_fault){ WD_FAULT_TRUNK_LEAN, (uint32_t)i + 2, 4 * i + 5.5, 4 * i + 6.5,
                                     57.6 - i };
    measured = (wd_rehab_measured){ .kind = WD_EXERCISE_SQUAT,
                                    .view = WD_VIEW_SIDE,
                                    .yaw_deg = 3,
                                    .coverage = 1,
                                    .jitter = 0.01,
                                    .rep = rep,
                                    .n_rep = 3,
                                    .fault = fault,
                                    .n_fault = 2 };
    return &measured;
}

static wd_rehab phrase(const wd_rehab_measured *m, bool zh, const char *reply, scripted *e)
{
    const char *const replies[] = { reply };
    const wd_rehab_opts o = {
        .ask = { .prompt_path = zh ? prompt_zh : prompt_en,
                 .language = zh ? "zh" : "en",
                 .max_tokens = 100,
                 .model_digest = "abc" },
        .watch_for = "the left hip",
    };
    wd_rehab r;
    if (reply)
        scripted_init(e, replies, 1);
    assert_ok(wd_rehab_phrase(reply ? &e->engine : NULL, m, &o, arena, &r, &err));
    return r;
}

#define GOOD                                                                                                 \
    "{\"faults\": [{\"type\": \"trunk_lean\", \"issue\": \"The trunk leans 58 degrees in repetitions 2 and " \
    "3.\", "                                                                                                 \
    "\"cause\": \"Weak back.\", \"advice\": \"Chest up.\"}], \"summary\": \"3 squats, two of them "          \
    "leaning.\"}"

static void words_that_hold_are_taken(void **state)
{
    (void)state;
    static scripted e;
    wd_rehab r = phrase(leaning(), false, GOOD, &e);
    assert_non_null(strstr(e.prompt, "Exercise: squat\nRepetitions: 3, 2.0 s each, peak 95 to 97 degrees\n"));
    assert_non_null(strstr(e.prompt, "trunk_lean: 58 degrees, limit 45, repetitions 2, 3\n"));
    assert_non_null(strstr(e.prompt, "the left hip"));
    assert_int_equal(e.n_image, 0);
    assert_true(r.asked && r.parsed);
    assert_int_equal(r.n_issue, 1);
    assert_true(r.issue[0].by_model && r.summary_by_model);
    assert_null(r.issue[0].note);
    assert_string_equal(r.issue[0].advice, "Chest up.");
    assert_string_equal(r.summary, "3 squats, two of them leaning.");
    r = phrase(leaning(), false, "```json\n" GOOD "\n```", &e);
    assert_true(r.issue[0].by_model);
    r = phrase(leaning(), true,
               "{\"faults\": [{\"type\": \"trunk_lean\", \"issue\": \"第2、3次躯干前倾58度。\", \"cause\": "
               "\"背肌弱。\", "
               "\"advice\": \"挺胸。\"}], \"summary\": \"共三次。\"}",
               &e);
    assert_non_null(strstr(e.prompt, "动作：深蹲\n次数：3，每次 2.0 秒，峰值 95 至 97 度\n"));
    assert_true(r.issue[0].by_model && r.summary_by_model);
}

static void words_that_do_not_hold_are_replaced_and_it_is_said(void **state)
{
    (void)state;
    static scripted e;
    static const struct {
        const char *reply, *note;
        bool parsed, issue, cause, advice, summary;
        uint32_t n_invented;
    } cases[] = {
        { "Nice squats!", "could not be read", false, false, false, false, false, 0 },
        { "", "could not be read", false, false, false, false, false, 0 },
        { "{\"faults\": 7}", "could not be read", false, false, false, false, false, 0 },
        { "{\"faults\": []}", "did not speak of it", true, false, false, false, false, 0 },
        { "{\"faults\": [{\"type\": \"trunk_lean\", \"issue\": \"It leans 60 degrees.\", \"cause\": \"Weak "
          "back.\", "
          "\"advice\": \"Chest up.\"}], \"summary\": \"Well done.\"}",
          "issue has the number 60", true, false, true, true, true, 0 },
        { "{\"faults\": [{\"type\": \"trunk_lean\", \"issue\": \"It leans.\", \"cause\": \"Weak back.\", "
          "\"advice\": \"Do 10 a day.\"}], \"summary\": \"Do 10.\"}",
          "advice has the number 10", true, true, true, false, false, 0 },
        { "{\"faults\": [{\"type\": \"trunk_lean\", \"issue\": \"躯干前倾。\", \"cause\": \"\", \"advice\": "
          "5}]}",
          "no usable advice", true, false, false, false, false, 0 },
        { "{\"faults\": [{\"type\": \"asymmetry\", \"issue\": \"Left is weak.\"}, {\"type\": \"x\"}, 7], "
          "\"summary\": \"Line\\nbreak.\"}",
          "did not speak of it", true, false, false, false, false, 3 },
    };
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        const wd_rehab r = phrase(leaning(), false, cases[i].reply, &e);
        const wd_rehab_issue *f = &r.issue[0];
        assert_int_equal(r.parsed, cases[i].parsed);
        assert_int_equal(r.n_issue, 1); /* nothing measured is lost, nothing else is added */
        assert_int_equal(f->by_model, cases[i].issue);
        if (!f->by_model)
            assert_string_equal(f->issue,
                                "Lean of the trunk 58 degrees (limit 45 degrees), repetitions 2, 3.");
        assert_int_equal(f->cause != NULL, cases[i].cause);
        assert_int_equal(f->advice != NULL, cases[i].advice);
        assert_int_equal(r.summary_by_model, cases[i].summary);
        assert_int_equal(r.n_invented, cases[i].n_invented);
        assert_non_null(f->note);
        if (!strstr(f->note, cases[i].note))
            fail_msg("\"%s\" does not say \"%s\"", f->note, cases[i].note);
        assert_string_equal(r.raw, cases[i].reply);
    }
}

static void without_a_model_the_measurements_speak(void **state)
{
    (void)state;
    static scripted e;
    const wd_rehab r = phrase(leaning(), true, NULL, &e);
    assert_false(r.asked);
    assert_string_equal(r.issue[0].issue, "躯干倾斜 58 度（限值 45 度），第 2、3 次。");
    assert_null(r.issue[0].note);
    assert_string_equal(r.summary, "深蹲：3 次，问题 1 类。");
}

static void what_was_not_measured_is_not_asked_about(void **state)
{
    (void)state;
    static scripted e;
    wd_rehab_measured m = *leaning();
    m.n_fault = m.n_rep = 0;
    m.main_why = WD_WHY_VIEW;
    m.fault_why[WD_FAULT_TRUNK_LEAN] = WD_WHY_VIEW;
    const wd_rehab r = phrase(&m, false, GOOD, &e);
    assert_int_equal(e.n_asked, 0);
    assert_string_equal(r.summary, "The squat could not be measured.");
    wd_buf b = { 0 };
    wd_rehab_markdown(&r, &b);
    assert_non_null(
        strstr((char *)b.p, "## Not measured\n\n- Lean of the trunk: the camera does not see it"));
    assert_null(strstr((char *)b.p, "none found")); /* silence is not health */
    wd_buf_free(&b);
}

static void an_engine_failure_is_passed_on(void **state)
{
    (void)state;
    static scripted e;
    static const char *const reply[] = { "" };
    const wd_rehab_opts o = { .ask = { .prompt_path = prompt_en, .language = "en" } };
    wd_rehab r;
    scripted_init(&e, reply, 1);
    e.fail = WD_E_CANCELLED;
    assert_fails(wd_rehab_phrase(&e.engine, leaning(), &o, arena, &r, &err), WD_E_CANCELLED,
                 "scripted failure");
}

/* ---- what is written ---- */

static void the_draft_is_written_in_both_forms(void **state)
{
    (void)state;
    static scripted e;
    wd_rehab r = phrase(leaning(), false, GOOD, &e);
    r.pose_source = "file";
    json_t *v = wd_rehab_json(&r);
    assert_non_null(v);
    assert_string_equal(json_string_value(json_object_get(v, "status")), "DRAFT");
    assert_string_equal(json_string_value(json_object_get(v, "exercise")), "squat");
    assert_int_equal(json_array_size(json_object_get(v, "repetitions")), 3);
    const json_t *fault = json_array_get(json_object_get(v, "faults"), 1);
    assert_int_equal(json_integer_value(json_object_get(fault, "repetition")), 3);
    assert_true(json_real_value(json_object_get(fault, "start_s")) == 9.5);
    const json_t *advice = json_array_get(json_object_get(v, "advice"), 0);
    assert_string_equal(json_string_value(json_object_get(advice, "phrased_by")), "model");
    assert_string_equal(json_string_value(json_object_get(advice, "cause")), "Weak back.");
    assert_true(json_is_null(json_object_get(advice, "note")));
    assert_string_equal(json_string_value(json_object_get(json_object_get(v, "points"), "confidence")),
                        "high");
    assert_int_equal(json_array_size(json_object_get(v, "not_measured")), 0);
    json_decref(v);
    wd_buf b = { 0 };
    assert_ok(wd_rehab_text(&r, false, &b, &err));
    assert_non_null(strstr((char *)b.p, "# Exercise report - DRAFT"));
    assert_non_null(strstr(
        (char *)b.p, "- **The trunk leans 58 degrees in repetitions 2 and 3.** (5.5-6.5 s, 9.5-10.5 s)"));
    assert_non_null(strstr((char *)b.p, "| 2 | 5.0 | 7.0 | 96° | 90° | 0.4 |"));
    wd_buf_clear(&b);
    char *to = wd_arena_printf(arena, "%s/out", dir);
    assert_ok(wd_rehab_save(&r, to, &err));
    assert_ok(wd_file_read(wd_path_join(arena, to, "rehab.json"), 1u << 20, &b, &err));
    wd_buf_free(&b);
    assert_true(wd_file_exists(wd_path_join(arena, to, "rehab.md")));
}

/* Every allocation in turn fails: the whole result, or none; the same sentence, or "no memory". */
static void nothing_is_lost_when_memory_ends(void **state)
{
    (void)state;
    static scripted e;
    static const char *const reply[] = { GOOD };
    const wd_rehab_opts o = { .ask = { .prompt_path = prompt_en, .language = "en", .max_tokens = 100 } };
    wd_buf whole = { 0 };
    uint64_t n_point = 1, n_failed = 0;
    scripted_init(&e, reply, 1);
    for (uint64_t nth = 0; nth <= n_point; nth++) {
        wd_arena *a = wd_arena_create(1u << 22, false);
        wd_err err = { 0 };
        wd_rehab r;
        wd_buf b = { 0 };
        (void)wd_inject_failure(nth ? nth : (uint64_t)1 << 60); /* the first round counts */
        wd_status st = wd_rehab_phrase(&e.engine, leaning(), &o, a, &r, &err);
        if (!st)
            memset(r.origin.created, '0', sizeof r.origin.created - 1);
        if (!st)
            st = wd_rehab_text(&r, true, &b, &err);
        const uint64_t passed = wd_inject_failure(0);
        if (nth == 0) {
            assert_int_equal(st, WD_OK);
            n_point = passed;
            whole = b;
            wd_arena_destroy(a);
            continue;
        }
        if (st)
            assert_true(st == WD_E_NOMEM || st == WD_E_IO);
        else if (!wd_span_eq(wd_buf_view(&b), wd_buf_view(&whole)))
            fail_msg("allocation %u of %u failed, and something is missing: %s / %s", (unsigned)nth,
                     (unsigned)n_point, r.issue[0].note ? r.issue[0].note : "", r.raw);
        n_failed += st != WD_OK;
        wd_buf_free(&b);
        wd_arena_destroy(a);
    }
    assert_true(n_failed >= 15); /* arenas, buffers, files; jansson's own are tried again (base/json.c) */
    wd_buf_free(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_are_read_in_both_forms),
        cmocka_unit_test(nonsense_gives_no_points),
        cmocka_unit_test(a_right_reply_is_read_back),
        cmocka_unit_test(pictures_are_made_narrow),
        cmocka_unit_test(a_model_points_at_every_sampled_frame),
        cmocka_unit_test(a_pose_file_is_read),
        cmocka_unit_test(a_bad_pose_file_is_refused_with_its_place),
        cmocka_unit_test(numbers_must_be_among_the_measured),
        cmocka_unit_test(words_that_hold_are_taken),
        cmocka_unit_test(words_that_do_not_hold_are_replaced_and_it_is_said),
        cmocka_unit_test(without_a_model_the_measurements_speak),
        cmocka_unit_test(what_was_not_measured_is_not_asked_about),
        cmocka_unit_test(an_engine_failure_is_passed_on),
        cmocka_unit_test(the_draft_is_written_in_both_forms),
        cmocka_unit_test(nothing_is_lost_when_memory_ends),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
