/* Resampling against Pillow. */
#include <stdio.h>

#include <sodium.h>

#include "golden.h"
#include "vision/resize.h"

static int64_t at(const json_t *a, size_t i)
{
    return json_integer_value(json_array_get(a, i));
}

static wd_image resized(const json_t *c, char what[64])
{
    snprintf(what, 64, "%lld x %lld to %lld x %lld", (long long)at(c, 1), (long long)at(c, 2),
             (long long)at(c, 3), (long long)at(c, 4));
    wd_image in = golden_picture((uint32_t)at(c, 0), (uint32_t)at(c, 1), (uint32_t)at(c, 2)), out = { 0 };
    assert_ok(wd_resize_image(&in, (uint32_t)at(c, 3), (uint32_t)at(c, 4), &out, &err));
    wd_image_free(&in);
    return out;
}

static void every_byte_of_small_pictures_equals_pillow(void **state)
{
    json_t *doc = golden_load();
    const json_t *c;
    size_t i;
    char what[64];
    (void)state;
    json_array_foreach(json_object_get(doc, "resize_full"), i, c)
    {
        uint8_t want[4096];
        size_t n = 0;
        wd_image got = resized(c, what);
        const char *b64 = json_string_value(json_array_get(c, 5));
        assert_int_equal(0, sodium_base642bin(want, sizeof want, b64, strlen(b64), NULL, &n, NULL,
                                              sodium_base64_VARIANT_ORIGINAL));
        assert_int_equal(n, (size_t)got.width * got.height * 3);
        assert_memory_equal(got.rgb, want, n);
        wd_image_free(&got);
    }
    json_decref(doc);
}

static void random_sizes_equal_pillow(void **state)
{
    json_t *doc = golden_load();
    const json_t *c, *all = json_object_get(doc, "resize");
    size_t i;
    char what[64];
    (void)state;
    assert_true(json_array_size(all) >= 60);
    json_array_foreach(all, i, c)
    {
        wd_image got = resized(c, what);
        golden_check(got.rgb, (size_t)got.width * got.height * 3, json_string_value(json_array_get(c, 5)),
                     what);
        wd_image_free(&got);
    }
    json_decref(doc);
}

/* Weights sum to one within rounding: a flat picture stays flat, at both ends of the range too. */
static void flat_pictures_stay_flat(void **state)
{
    static const uint32_t sizes[][4] = {
        { 65535, 1, 3, 1 }, { 1, 65535, 1, 2 }, { 1, 1, 700, 5 }, { 100, 7, 99, 8 }
    };
    (void)state;
    for (size_t k = 0; k < WD_COUNT(sizes); k++) {
        for (int level = 0; level <= 255; level += 51) {
            wd_image in = { 0 }, out = { 0 };
            assert_ok(wd_image_init(&in, sizes[k][0], sizes[k][1], &err));
            memset(in.rgb, level, (size_t)in.width * in.height * 3);
            assert_ok(wd_resize_image(&in, sizes[k][2], sizes[k][3], &out, &err));
            for (size_t i = 0; i < (size_t)out.width * out.height * 3; i++)
                assert_int_equal(out.rgb[i], level);
            wd_image_free(&in);
            wd_image_free(&out);
        }
    }
}

static void refuses_sides_out_of_range(void **state)
{
    uint8_t px[3] = { 0 };
    (void)state;
    assert_fails(wd_resize_rgb(px, 1, 1, px, 0, 1, &err), WD_E_INVALID, "sides must be");
    assert_fails(wd_resize_rgb(px, 1, 65536, px, 1, 1, &err), WD_E_INVALID, "1 x 65536");
}

static void survives_every_failed_allocation(void **state)
{
    wd_image in = golden_picture(1, 37, 21), out;
    uint64_t n = 1, passed;
    (void)state;
    for (;; n++) {
        wd_err err = { 0 };
        out = (wd_image){ 0 };
        wd_inject_failure(n);
        const wd_status st = wd_resize_image(&in, 20, 50, &out, &err);
        passed = wd_inject_failure(0);
        if (passed < n) {
            assert_int_equal(st, WD_OK);
            break;
        }
        assert_int_equal(st, WD_E_NOMEM);
        assert_null(out.rgb);
    }
    assert_true(n > 5);
    wd_image_free(&out);
    wd_image_free(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_of_small_pictures_equals_pillow),
        cmocka_unit_test(random_sizes_equal_pillow),
        cmocka_unit_test(flat_pictures_stay_flat),
        cmocka_unit_test(refuses_sides_out_of_range),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
