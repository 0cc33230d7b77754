/* Sizes of images and clips against the reference. */
#include "golden.h"
#include "vision/smart_resize.h"

#define FACTOR 32

static const wd_pixel_budget image_budget = { 65536, 16777216 };
static const wd_pixel_budget clip_budget = { 4096, 25165824 };

static void images_get_the_sizes_of_the_specification(void **state)
{
    static const uint32_t rows[][4] = {
        { 1080, 1920, 1088, 1920 }, { 480, 640, 480, 640 },   { 768, 1024, 768, 1024 },
        { 100, 100, 256, 256 },     { 48, 48, 256, 256 },     { 33, 500, 96, 1024 },
        { 80, 720, 96, 768 },       { 240, 1040, 256, 1024 }, { 3024, 4032, 3008, 4032 },
        { 5000, 7000, 3456, 4832 },
    };
    static const uint32_t embed[][4] = { { 1080, 1920, 992, 1792 },
                                         { 100, 100, 96, 96 },
                                         { 5000, 7000, 1120, 1600 } };
    (void)state;
    for (size_t i = 0; i < WD_COUNT(rows); i++) {
        wd_size s = { 0 };
        assert_ok(wd_smart_resize_image((wd_size){ rows[i][0], rows[i][1] }, FACTOR, image_budget, &s, &err));
        assert_int_equal(s.height, rows[i][2]);
        assert_int_equal(s.width, rows[i][3]);
    }
    for (size_t i = 0; i < WD_COUNT(embed); i++) {
        wd_size s = { 0 };
        assert_ok(wd_smart_resize_image((wd_size){ embed[i][0], embed[i][1] }, FACTOR, WD_PIXEL_BUDGET_EMBED,
                                        &s, &err));
        assert_int_equal(s.height, embed[i][2]);
        assert_int_equal(s.width, embed[i][3]);
    }
}

static void images_get_the_reference_sizes(void **state)
{
    json_t *doc = golden_load();
    const json_t *c, *all = json_object_get(doc, "smart");
    size_t i, refused = 0;
    (void)state;
    assert_true(json_array_size(all) >= 400);
    json_array_foreach(all, i, c)
    {
        int64_t v[6];
        for (size_t k = 0; k < 6; k++)
            v[k] = json_integer_value(json_array_get(c, k));
        const wd_size in = { (uint32_t)v[0], (uint32_t)v[1] };
        const wd_pixel_budget b = { (uint64_t)v[2], (uint64_t)v[3] };
        wd_size s = { 0 };
        if (!v[4]) {
            assert_fails(wd_smart_resize_image(in, FACTOR, b, &s, &err), WD_E_INVALID, "at most 200");
            refused++;
            continue;
        }
        assert_ok(wd_smart_resize_image(in, FACTOR, b, &s, &err));
        if (s.height != v[4] || s.width != v[5])
            fail_msg("%u x %u: %u x %u, wanted %lld x %lld", in.height, in.width, s.height, s.width,
                     (long long)v[4], (long long)v[5]);
    }
    assert_in_range(refused, 1, 100);
    json_decref(doc);
}

static void clips_get_the_sizes_of_the_specification(void **state)
{
    static const uint32_t rows[][5] = {
        { 20, 720, 1280, 704, 1280 },  { 10, 1080, 1920, 1088, 1920 }, { 6, 480, 640, 480, 640 },
        { 4, 360, 640, 352, 640 },     { 4, 240, 320, 256, 320 },      { 600, 1080, 1920, 128, 256 },
        { 768, 1080, 1920, 128, 224 },
    };
    (void)state;
    for (size_t i = 0; i < WD_COUNT(rows); i++) {
        wd_size s = { 0 };
        assert_ok(wd_smart_resize_video(rows[i][0], (wd_size){ rows[i][1], rows[i][2] }, FACTOR, 2,
                                        clip_budget, &s, &err));
        assert_int_equal(s.height, rows[i][3]);
        assert_int_equal(s.width, rows[i][4]);
    }
}

static void a_clip_of_one_frame_counts_as_two(void **state)
{
    wd_size one = { 0 }, two = { 0 };
    (void)state;
    assert_ok(wd_smart_resize_video(1, (wd_size){ 5000, 7000 }, FACTOR, 2, clip_budget, &one, &err));
    assert_ok(wd_smart_resize_video(2, (wd_size){ 5000, 7000 }, FACTOR, 2, clip_budget, &two, &err));
    assert_memory_equal(&one, &two, sizeof one);
    assert_true(2ull * one.height * one.width <= clip_budget.max_pixels);
}

static void the_cap_bounds_every_frame(void **state)
{
    (void)state;
    /* few frames: 768 tokens each; many: an even share; very many: 1.05 times the minimum */
    assert_int_equal(wd_pixel_budget_cap(clip_budget, 4, FACTOR, 768).max_pixels, 4 * 768 * 1024);
    assert_int_equal(wd_pixel_budget_cap(clip_budget, 100, FACTOR, 768).max_pixels, 100 * (25165824 / 100));
    assert_int_equal(wd_pixel_budget_cap(clip_budget, 768, FACTOR, 768).max_pixels, 768 * (25165824 / 768));
    assert_int_equal(wd_pixel_budget_cap((wd_pixel_budget){ 131072, 786432 }, 768, FACTOR, 768).max_pixels,
                     768 * (int)(131072 * 1.05));
}

static void the_vendor_sizes_frames_as_images(void **state)
{
    (void)state;
    /* its wrapper for lists of 64 frames: total 10 * 768 * 1024 */
    const wd_pixel_budget b = wd_pixel_budget_frame((wd_pixel_budget){ 0, 7864320 }, 64, FACTOR, 768);
    assert_int_equal(b.min_pixels, 131072);
    assert_int_equal(b.max_pixels, 7864320 / 64 * 2);
    assert_int_equal(wd_pixel_budget_frame((wd_pixel_budget){ 0, 7864320 }, 500, FACTOR, 768).max_pixels,
                     137625);
    assert_int_equal(wd_pixel_budget_frame((wd_pixel_budget){ 0 }, 4, FACTOR, 768).max_pixels, 768 * 1024);
}

static void refuses_what_has_no_size(void **state)
{
    wd_size s = { 7, 7 };
    (void)state;
    assert_fails(wd_smart_resize_image((wd_size){ 0, 5 }, FACTOR, image_budget, &s, &err), WD_E_INVALID,
                 "zero");
    assert_fails(wd_smart_resize_image((wd_size){ 10, 2001 }, FACTOR, image_budget, &s, &err), WD_E_INVALID,
                 "200.1");
    assert_fails(wd_smart_resize_video(0, (wd_size){ 5, 5 }, FACTOR, 2, clip_budget, &s, &err), WD_E_INVALID,
                 "without frames");
    assert_fails(wd_smart_resize_video(4, (wd_size){ 1, 65535 }, FACTOR, 2, clip_budget, &s, &err),
                 WD_E_INVALID, "at most 200");
    assert_int_equal(s.height, 7);
    assert_ok(wd_smart_resize_image((wd_size){ 1, 200 }, FACTOR, (wd_pixel_budget){ 1, 16777216 }, &s, &err));
    assert_int_equal(s.height, 32); /* never a side of zero */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_get_the_sizes_of_the_specification),
        cmocka_unit_test(images_get_the_reference_sizes),
        cmocka_unit_test(clips_get_the_sizes_of_the_specification),
        cmocka_unit_test(a_clip_of_one_frame_counts_as_two),
        cmocka_unit_test(the_cap_bounds_every_frame),
        cmocka_unit_test(the_vendor_sizes_frames_as_images),
        cmocka_unit_test(refuses_what_has_no_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
