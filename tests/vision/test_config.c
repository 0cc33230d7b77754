/* Processor files: the published ones, both spellings, and those that must be refused. */
#include "support/test.h"
#include "vision/config.h"

#include "base/mem.h"

static const char published_image[] =
    "{\"size\": {\"longest_edge\": 16777216, \"shortest_edge\": 65536}, \"patch_size\": 16, "
    "\"temporal_patch_size\": 2, \"merge_size\": 2, \"image_mean\": [0.5, 0.5, 0.5], \"image_std\": [0.5, "
    "0.5, 0.5], "
    "\"processor_class\": \"Qwen3VLProcessor\", \"image_processor_type\": \"Qwen2VLImageProcessorFast\"}";
static const char published_video[] =
    "{\"size\": {\"longest_edge\": 25165824, \"shortest_edge\": 4096}, \"patch_size\": 16, "
    "\"temporal_patch_size\": 2, \"merge_size\": 2, \"image_mean\": [0.5, 0.5, 0.5], \"image_std\": [0.5, "
    "0.5, 0.5], "
    "\"processor_class\": \"Qwen3VLProcessor\", \"video_processor_type\": \"Qwen3VLVideoProcessor\"}";

static void put(const char *dir, const char *name, const char *text)
{
    test_write(dir, name, text, strlen(text));
}

static void assert_same_format(const wd_pixel_format *a, const wd_pixel_format *b)
{
    assert_int_equal(a->patch_size, b->patch_size);
    assert_int_equal(a->temporal_patch_size, b->temporal_patch_size);
    assert_int_equal(a->merge_size, b->merge_size);
    assert_memory_equal(a->mean, b->mean, sizeof a->mean);
    assert_memory_equal(a->std, b->std, sizeof a->std);
    assert_true(a->rescale == b->rescale);
}

/* Field by field: the bytes between fields are anybody's. */
static void assert_same(const wd_vision_processor *a, const wd_vision_processor *b)
{
    assert_same_format(&a->image, &b->image);
    assert_same_format(&a->video, &b->video);
    assert_memory_equal(&a->image_budget, &b->image_budget, sizeof a->image_budget);
    assert_memory_equal(&a->video_budget, &b->video_budget, sizeof a->video_budget);
    assert_true(a->fps == b->fps && a->cap_frame_pixels == b->cap_frame_pixels);
    assert_int_equal(a->min_frames, b->min_frames);
    assert_int_equal(a->max_frames, b->max_frames);
    assert_int_equal(a->max_frame_tokens, b->max_frame_tokens);
}

static void published_files_give_the_defaults(void **state)
{
    char *dir = test_make_dir();
    wd_vision_processor want, got = { 0 }, none = { 0 };
    (void)state;
    wd_vision_processor_defaults(&want);
    assert_ok(wd_vision_processor_read(dir, &none, &err));
    put(dir, "preprocessor_config.json", published_image);
    put(dir, "video_preprocessor_config.json", published_video);
    assert_ok(wd_vision_processor_read(dir, &got, &err));
    assert_same(&got, &want);
    assert_same(&none, &want);
    assert_int_equal(wd_patch_row_len(&got.image), 1536);
    test_rm_dir(dir);
}

static void both_spellings_and_the_newer_file_are_read(void **state)
{
    char *dir = test_make_dir();
    wd_vision_processor p = { 0 };
    (void)state;
    put(dir, "preprocessor_config.json",
        "{\"min_pixels\": 4096, \"max_pixels\": 1310720, \"size\": {\"shortest_edge\": 65536, "
        "\"longest_edge\": 1}}");
    put(dir, "video_preprocessor_config.json",
        "{\"size\": {\"min_pixels\": 5000, \"max_pixels\": 6000000}, \"fps\": 1, \"min_frames\": 2, "
        "\"max_frames\": 64, "
        "\"image_mean\": 0.4, \"num_frames\": null, \"cap_pixels_per_frame\": true, \"max_video_tokens\": "
        "500}");
    assert_ok(wd_vision_processor_read(dir, &p, &err));
    assert_int_equal(p.image_budget.min_pixels, 4096);
    assert_int_equal(p.image_budget.max_pixels, 1310720);
    assert_int_equal(p.video_budget.min_pixels, 5000);
    assert_int_equal(p.video_budget.max_pixels, 6000000);
    assert_true(p.fps == 1 && p.min_frames == 2 && p.max_frames == 64 && p.cap_frame_pixels);
    assert_int_equal(p.max_frame_tokens, 500);
    assert_true(p.video.mean[2] == 0.4f && p.image.mean[2] == 0.5f);

    put(dir, "processor_config.json",
        "{\"image_processor\": {\"size\": {\"shortest_edge\": 1024, \"longest_edge\": 2048}}, "
        "\"processor_class\": \"Qwen3VLProcessor\"}");
    assert_ok(wd_vision_processor_read(dir, &p, &err));
    assert_int_equal(p.image_budget.max_pixels, 2048);
    assert_int_equal(p.video_budget.max_pixels, 6000000); /* not in the newer file: the older one speaks */
    test_rm_dir(dir);
}

static void refuses_what_it_would_not_obey(void **state)
{
    static const struct {
        const char *image, *video, *part;
        wd_status code;
    } rows[] = {
        { "[]", NULL, "object expected", WD_E_INVALID },
        { "{\"patch_size\": \"16\"}", NULL, "patch_size", WD_E_INVALID },
        { "{\"patch_size\": 0}", NULL, "patch_size", WD_E_INVALID },
        { "{\"patch_size\": 14}", NULL, "one vision tower", WD_E_INVALID },
        { "{\"merge_size\": 1e30}", NULL, "merge_size", WD_E_INVALID },
        { "{\"image_std\": [0.5, 0, 0.5]}", NULL, "image_std", WD_E_INVALID },
        { "{\"image_mean\": [0.5, 0.5]}", NULL, "image_mean", WD_E_INVALID },
        { "{\"image_mean\": [0.5, 0.5, \"x\"]}", NULL, "image_mean", WD_E_INVALID },
        { "{\"size\": {\"height\": 224, \"width\": 224}}", NULL, "fixed height", WD_E_UNSUPPORTED },
        { "{\"size\": {\"shortest_edge\": 100, \"longest_edge\": 99}}", NULL, "at least 100", WD_E_INVALID },
        { "{\"size\": {\"shortest_edge\": -5}}", NULL, "shortest_edge", WD_E_INVALID },
        { "{\"size\": 5}", NULL, "size", WD_E_INVALID },
        { "{\"resample\": 2}", NULL, "bicubic", WD_E_UNSUPPORTED },
        { "{\"do_normalize\": false}", NULL, "do_normalize", WD_E_UNSUPPORTED },
        { "{\"rescale_factor\": 0}", NULL, "rescale_factor", WD_E_INVALID },
        { NULL, "{\"fps\": 0}", "fps", WD_E_INVALID },
        { NULL, "{\"min_frames\": 9, \"max_frames\": 8}", "min_frames 9", WD_E_INVALID },
        { NULL, "{\"max_frames\": 1000000000000}", "max_frames", WD_E_INVALID },
        { "{", NULL, "preprocessor_config.json", WD_E_CORRUPT },
    };
    wd_vision_processor p;
    (void)state;
    for (size_t i = 0; i < WD_COUNT(rows); i++) {
        char *dir = test_make_dir();
        memset(&p, 0x5a, sizeof p);
        const wd_vision_processor before = p;
        if (rows[i].image)
            put(dir, "preprocessor_config.json", rows[i].image);
        if (rows[i].video)
            put(dir, "video_preprocessor_config.json", rows[i].video);
        assert_fails(wd_vision_processor_read(dir, &p, &err), rows[i].code, rows[i].part);
        assert_memory_equal(&p, &before, sizeof p);
        test_rm_dir(dir);
    }
}

static void survives_every_failed_allocation_and_read(void **state)
{
    char *dir = test_make_dir();
    (void)state;
    put(dir, "preprocessor_config.json", published_image);
    put(dir, "video_preprocessor_config.json", published_video);
    put(dir, "processor_config.json", "{\"processor_class\": \"Qwen3VLProcessor\"}");
    for (uint64_t n = 1;; n++) {
        wd_err err = { 0 };
        wd_vision_processor p;
        wd_inject_failure(n);
        const wd_status st = wd_vision_processor_read(dir, &p, &err);
        if (wd_inject_failure(0) < n) {
            assert_int_equal(st, WD_OK);
            break;
        }
        assert_int_not_equal(st, WD_OK);
        assert_true(err.text[0]);
    }
    test_rm_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_files_give_the_defaults),
        cmocka_unit_test(both_spellings_and_the_newer_file_are_read),
        cmocka_unit_test(refuses_what_it_would_not_obey),
        cmocka_unit_test(survives_every_failed_allocation_and_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
