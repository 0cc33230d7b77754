/* Frame choice, clip sizes, times and clips against the reference. */
#include <stdio.h>

#include "golden.h"
#include "vision/video.h"

static wd_vision_processor published(void)
{
    wd_vision_processor p;
    wd_vision_processor_defaults(&p);
    return p;
}

static void check_plan(const wd_video_plan *plan, const json_t *c, const char *what)
{
    wd_buf text = { 0 };
    assert_int_equal(plan->n_frame, golden_int(c, "n"));
    const json_t *first = json_object_get(c, "first");
    for (size_t k = 0; k < json_array_size(first); k++)
        assert_int_equal(plan->index[k], json_integer_value(json_array_get(first, k)));
    golden_check(plan->index, plan->n_frame * sizeof *plan->index, golden_str(c, "index"), what);
    assert_int_equal(plan->n_group, golden_int(c, "groups"));
    for (uint32_t g = 0; g < plan->n_group; g++) {
        char one[WD_VIDEO_TIME_TEXT_MAX];
        const size_t n = wd_video_time_text(plan->group_s[g], one);
        wd_buf_put(&text, one, n);
    }
    const char *head = golden_str(c, "text");
    assert_memory_equal(text.p, head, strlen(head));
    golden_check(text.p, text.n, golden_str(c, "times"), what);
    wd_buf_free(&text);
}

static void plans_equal_the_reference(void **state)
{
    const wd_vision_processor p = published();
    json_t *doc = golden_load();
    const json_t *c, *all = json_object_get(doc, "videos");
    size_t i, refused = 0;
    (void)state;
    assert_true(json_array_size(all) >= 200);
    json_array_foreach(all, i, c)
    {
        const wd_video_opts o = { .n_frame = (uint32_t)golden_int(c, "want_n"),
                                  .fps = golden_num(c, "want_fps"),
                                  .cap_frame_pixels = golden_int(c, "cap") };
        const wd_size in = { (uint32_t)golden_int(c, "h"), (uint32_t)golden_int(c, "w") };
        const json_t *size = json_object_get(c, "size");
        wd_video_plan plan = { 0 };
        char what[96];
        snprintf(what, sizeof what, "video case %zu", i);
        if (!json_integer_value(json_array_get(size, 0))) {
            assert_fails(wd_video_plan_make(&p, &o, (uint64_t)golden_int(c, "f"), golden_num(c, "fps"), in,
                                            &plan, &err),
                         WD_E_INVALID, "at most 200");
            assert_null(plan.index);
            refused++;
            continue;
        }
        assert_ok(
            wd_video_plan_make(&p, &o, (uint64_t)golden_int(c, "f"), golden_num(c, "fps"), in, &plan, &err));
        if (plan.size.height != json_integer_value(json_array_get(size, 0)) ||
            plan.size.width != json_integer_value(json_array_get(size, 1)))
            fail_msg("%s: %u x %u", what, plan.size.height, plan.size.width);
        check_plan(&plan, c, what);
        wd_video_plan_free(&plan);
    }
    assert_true(refused < 60);
    json_decref(doc);
}

static void the_vendors_choice_is_followed(void **state)
{
    const wd_vision_processor p = published();
    json_t *doc = golden_load();
    const json_t *c, *all = json_object_get(doc, "vendor");
    size_t i, refused = 0;
    (void)state;
    assert_true(json_array_size(all) >= 100);
    json_array_foreach(all, i, c)
    {
        const wd_video_opts o = { .sampling = WD_SAMPLING_VENDOR,
                                  .n_frame = (uint32_t)json_integer_value(json_object_get(c, "nframes")),
                                  .fps = json_number_value(json_object_get(c, "fps")),
                                  .start_s = json_number_value(json_object_get(c, "video_start")),
                                  .end_s = json_number_value(json_object_get(c, "video_end")) };
        uint64_t *index = NULL;
        uint32_t n = 0;
        const uint64_t total = (uint64_t)golden_int(c, "f");
        if (!golden_int(c, "n")) {
            assert_fails(wd_video_sample(&p, &o, total, golden_num(c, "rate"), &index, &n, &err),
                         WD_E_INVALID, "video: ");
            assert_null(index);
            refused++;
            continue;
        }
        assert_ok(wd_video_sample(&p, &o, total, golden_num(c, "rate"), &index, &n, &err));
        assert_int_equal(n, golden_int(c, "n"));
        golden_check(index, n * sizeof *index, golden_str(c, "index"), "vendor case");
        wd_free(index);
    }
    assert_true(refused < 30);
    json_decref(doc);
}

static void a_clip_equals_the_reference(void **state)
{
    const wd_vision_processor p = published();
    json_t *doc = golden_load();
    const json_t *c = json_object_get(doc, "clip");
    const uint32_t w = (uint32_t)golden_int(c, "w"), h = (uint32_t)golden_int(c, "h");
    wd_video_plan plan = { 0 };
    wd_visual v = { 0 };
    wd_clip clip;
    (void)state;
    assert_ok(wd_video_plan_make(&p, NULL, (uint64_t)golden_int(c, "n"), golden_num(c, "fps"),
                                 (wd_size){ h, w }, &plan, &err));
    assert_ok(wd_clip_begin(&clip, &p, &plan, &v, &err));
    assert_fails(wd_clip_end(&clip, &err), WD_E_INVALID, "0 of 4");
    for (uint32_t i = 0; i < plan.n_frame; i++) {
        assert_int_equal(plan.index[i], json_integer_value(json_array_get(json_object_get(c, "index"), i)));
        wd_image im = golden_picture((uint32_t)golden_int(c, "seed") + (uint32_t)plan.index[i], w, h);
        assert_ok(wd_clip_add(&clip, &im, &err));
        if (i + 1 == plan.n_frame)
            assert_fails(wd_clip_add(&clip, &im, &err), WD_E_INVALID, "more than the 4 frames");
        wd_image_free(&im);
    }
    assert_ok(wd_clip_end(&clip, &err));
    for (size_t k = 0; k < 3; k++)
        assert_int_equal(v.grid[k], json_integer_value(json_array_get(json_object_get(c, "grid"), k)));
    golden_check(v.rgb, (size_t)v.n_frame * v.height * v.width * 3, golden_str(c, "resized"), "clip pixels");
    const size_t n = wd_visual_rows(&v) * wd_patch_row_len(&p.video);
    float *rows = WD_ALLOC_N(float, n);
    for (uint32_t g = 0; g < v.grid[0]; g++) /* a pair of frames at a time */
        wd_visual_fill(&v, g * wd_visual_group_rows(&v), wd_visual_group_rows(&v),
                       rows + g * wd_visual_group_rows(&v) * 1536);
    golden_check(rows, n * sizeof *rows, golden_str(c, "rows"), "clip rows");
    wd_free(rows);
    wd_visual_free(&v);
    wd_video_plan_free(&plan);
    json_decref(doc);
}

static void an_odd_clip_repeats_its_last_frame(void **state)
{
    const wd_vision_processor p = published();
    json_t *doc = golden_load();
    const json_t *c = json_object_get(doc, "clip");
    wd_visual v = { 0 };
    (void)state;
    assert_ok(wd_visual_init(&v, &p.video, 3, 64, 64, &err));
    for (uint32_t i = 0; i < 3; i++) {
        wd_image im = golden_picture(60 + i, 64, 64);
        memcpy(v.rgb + (size_t)i * 64 * 64 * 3, im.rgb, 64 * 64 * 3);
        wd_image_free(&im);
    }
    const size_t n = wd_visual_rows(&v) * wd_patch_row_len(&p.video);
    float *rows = WD_ALLOC_N(float, n);
    wd_visual_fill(&v, 0, wd_visual_rows(&v), rows);
    golden_check(rows, n * sizeof *rows, golden_str(c, "odd_rows"), "rows of three frames");
    wd_free(rows);
    wd_visual_free(&v);
    json_decref(doc);
}

static void unknown_rates_count_as_24(void **state)
{
    const wd_vision_processor p = published();
    static const double rates[] = { 0, -1, 1.0 / 0.0, 0.0 / 0.0 };
    (void)state;
    for (size_t i = 0; i < WD_COUNT(rates); i++) {
        wd_video_plan plan = { 0 };
        assert_ok(wd_video_plan_make(&p, NULL, 240, rates[i], (wd_size){ 240, 320 }, &plan, &err));
        assert_true(plan.fps == 24.0);
        assert_int_equal(plan.n_frame, 20);
        wd_video_plan_free(&plan);
    }
}

static void short_and_strange_videos_have_plans(void **state)
{
    const wd_vision_processor p = published();
    wd_video_plan plan = { 0 };
    (void)state;
    assert_ok(wd_video_plan_make(&p, NULL, 1, 30, (wd_size){ 240, 320 }, &plan, &err));
    assert_int_equal(plan.n_frame, 1);
    assert_int_equal(plan.n_group, 1);
    assert_int_equal(plan.index[0], 0);
    wd_video_plan_free(&plan);
    /* a rate that says one frame in eleven days */
    assert_ok(wd_video_plan_make(&p, NULL, 100, 1e-6, (wd_size){ 240, 320 }, &plan, &err));
    assert_int_equal(plan.n_frame, 100);
    wd_video_plan_free(&plan);
    const wd_video_opts more = { .n_frame = 9 }; /* more than there are: some come twice */
    assert_ok(wd_video_plan_make(&p, &more, 3, 30, (wd_size){ 240, 320 }, &plan, &err));
    assert_int_equal(plan.n_frame, 9);
    assert_int_equal(plan.index[8], 2);
    wd_video_plan_free(&plan);
}

static void refuses_what_cannot_be_sampled(void **state)
{
    const wd_vision_processor p = published();
    const wd_video_opts both = { .fps = 1, .n_frame = 4 }, many = { .n_frame = 1u << 30 };
    const wd_video_opts part = { .sampling = WD_SAMPLING_VENDOR, .start_s = 9, .end_s = 3 };
    wd_video_plan plan = { 0 };
    (void)state;
    assert_fails(wd_video_plan_make(&p, NULL, 0, 30, (wd_size){ 9, 9 }, &plan, &err), WD_E_INVALID,
                 "0 frames");
    assert_fails(wd_video_plan_make(&p, &both, 9, 30, (wd_size){ 9, 9 }, &plan, &err), WD_E_USAGE, "exclude");
    assert_fails(wd_video_plan_make(&p, &many, 9, 30, (wd_size){ 9, 9 }, &plan, &err), WD_E_INVALID,
                 "asked for");
    assert_fails(wd_video_plan_make(&p, &part, 300, 30, (wd_size){ 9, 9 }, &plan, &err), WD_E_INVALID,
                 "no frames");
    assert_null(plan.index);
}

static void times_round_to_even(void **state)
{
    static const struct {
        double s;
        const char *text;
    } rows[] = { { 0.25, "<0.2 seconds>" },
                 { 0.35, "<0.3 seconds>" },
                 { 0.75, "<0.8 seconds>" },
                 { 0, "<0.0 seconds>" },
                 { 7199.95, "<7199.9 seconds>" } };
    (void)state;
    for (size_t i = 0; i < WD_COUNT(rows); i++) {
        char got[WD_VIDEO_TIME_TEXT_MAX];
        assert_int_equal(wd_video_time_text(rows[i].s, got), strlen(rows[i].text));
        assert_string_equal(got, rows[i].text);
    }
}

static void survives_every_failed_allocation(void **state)
{
    const wd_vision_processor p = published();
    (void)state;
    for (uint64_t n = 1;; n++) {
        wd_err err = { 0 };
        wd_video_plan plan = { 0 };
        wd_inject_failure(n);
        const wd_status st = wd_video_plan_make(&p, NULL, 300, 30, (wd_size){ 720, 1280 }, &plan, &err);
        if (wd_inject_failure(0) < n) {
            assert_int_equal(st, WD_OK);
            wd_video_plan_free(&plan);
            break;
        }
        assert_int_equal(st, WD_E_NOMEM);
        assert_null(plan.index);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_equal_the_reference),
        cmocka_unit_test(the_vendors_choice_is_followed),
        cmocka_unit_test(a_clip_equals_the_reference),
        cmocka_unit_test(an_odd_clip_repeats_its_last_frame),
        cmocka_unit_test(unknown_rates_count_as_24),
        cmocka_unit_test(short_and_strange_videos_have_plans),
        cmocka_unit_test(refuses_what_cannot_be_sampled),
        cmocka_unit_test(times_round_to_even),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
