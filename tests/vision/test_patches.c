/* Patch rows of images against the reference. */
#include <math.h>
#include <stdio.h>

#include "golden.h"
#include "vision/patches.h"

static void check_image(const wd_vision_processor *p, const json_t *c)
{
    const wd_pixel_budget embed = WD_PIXEL_BUDGET_EMBED;
    const bool plain = !strcmp(golden_str(c, "budget"), "image");
    const size_t len = wd_patch_row_len(&p->image);
    char what[96];
    wd_visual v = { 0 };

    wd_image im = golden_picture((uint32_t)golden_int(c, "seed"), (uint32_t)golden_int(c, "w"),
                                 (uint32_t)golden_int(c, "h"));
    snprintf(what, sizeof what, "%u x %u, %s budget", im.width, im.height, golden_str(c, "budget"));
    assert_ok(wd_visual_of_image(p, plain ? NULL : &embed, &im, &v, &err));
    for (size_t k = 0; k < 3; k++)
        assert_int_equal(v.grid[k], json_integer_value(json_array_get(json_object_get(c, "grid"), k)));
    for (size_t k = 0; k < 24; k++)
        assert_int_equal(v.rgb[k], json_integer_value(json_array_get(json_object_get(c, "first"), k)));
    golden_check(v.rgb, (size_t)v.width * v.height * 3, golden_str(c, "resized"), what);

    wd_visual steps; /* shape first, then pixels, which may go and come again */
    assert_ok(wd_visual_plan_image(p, plain ? NULL : &embed, &im, &steps, &err));
    assert_null(steps.rgb);
    assert_memory_equal(steps.grid, v.grid, sizeof v.grid);
    for (int round = 0; round < 2; round++) {
        assert_ok(wd_visual_take_image(&steps, &im, &err));
        assert_memory_equal(steps.rgb, v.rgb, (size_t)v.width * v.height * 3);
        wd_visual_drop(&steps);
        assert_null(steps.rgb);
    }

    const size_t n = wd_visual_rows(&v);
    float *rows = WD_ALLOC_N(float, n *len);
    assert_non_null(rows);
    for (size_t i = 0; i < n; i += 37) /* in pieces, as the engine asks for them */
        wd_visual_fill(&v, i, WD_MIN(37, n - i), rows + i * len);
    const json_t *row = json_object_get(c, "row");
    for (size_t k = 0; k < json_array_size(row); k++)
        assert_true(fabs(rows[(n - 1) * len + k * 171] - json_number_value(json_array_get(row, k))) <= 1e-6);
    golden_check(rows, n * len * sizeof *rows, golden_str(c, "rows"), what);
    wd_free(rows);
    wd_visual_free(&v);
    wd_image_free(&im);
}

static void images_equal_the_reference(void **state)
{
    wd_vision_processor p;
    json_t *doc = golden_load();
    const json_t *c, *all = json_object_get(doc, "images");
    size_t i;
    (void)state;
    wd_vision_processor_defaults(&p);
    assert_true(json_array_size(all) >= 40);
    json_array_foreach(all, i, c) check_image(&p, c);
    json_decref(doc);
}

/* The order of rows, and of values in a row, by position: each value tells where it comes from. */
static void rows_are_in_the_order_of_the_specification(void **state)
{
    wd_vision_processor p;
    wd_visual v = { 0 };
    (void)state;
    wd_vision_processor_defaults(&p);
    assert_ok(wd_visual_init(&v, &p.video, 3, 96, 64, &err)); /* grid 2 x 4 x 6 */
    assert_int_equal(wd_visual_rows(&v), 48);
    assert_int_equal(wd_visual_tokens(&v), 12);
    for (uint32_t f = 0; f < 3; f++) {
        for (uint32_t y = 0; y < 64; y++) {
            for (uint32_t x = 0; x < 96; x++) {
                uint8_t *px = v.rgb + ((f * 64 + y) * 96 + x) * 3;
                px[0] = (uint8_t)x, px[1] = (uint8_t)y, px[2] = (uint8_t)(200 + f);
            }
        }
    }
    float *rows = WD_ALLOC_N(float, 48 * 1536);
    wd_visual_fill(&v, 0, 48, rows);
    for (uint32_t row = 0; row < 48; row++) {
        const uint32_t c = row % 2, r = row / 2 % 2, cc = row / 4 % 3, rr = row / 12 % 2, g = row / 24;
        for (uint32_t k = 0; k < 1536; k++) {
            const uint32_t x = k % 16, y = k / 16 % 16, f = k / 256 % 2, ch = k / 512;
            const uint32_t want = ch == 0   ? (2 * cc + c) * 16 + x
                                  : ch == 1 ? (2 * rr + r) * 16 + y
                                            : 200 + WD_MIN(2 * g + f, 2);
            assert_true(fabsf(rows[row * 1536 + k] - ((float)want / 127.5f - 1)) < 1e-6f);
        }
    }
    wd_free(rows);
    wd_visual_free(&v);
}

static void mean_deviation_and_scale_are_obeyed(void **state)
{
    wd_vision_processor p;
    wd_visual v = { 0 };
    (void)state;
    wd_vision_processor_defaults(&p);
    memcpy(p.image.mean, ((float[]){ 0.48145466f, 0.4578275f, 0.40821073f }), sizeof p.image.mean);
    memcpy(p.image.std, ((float[]){ 0.26862954f, 0.26130258f, 0.27577711f }), sizeof p.image.std);
    assert_ok(wd_visual_init(&v, &p.image, 1, 32, 32, &err));
    memset(v.rgb, 77, 32 * 32 * 3);
    float row[1536];
    wd_visual_fill(&v, 3, 1, row);
    for (size_t c = 0; c < 3; c++)
        assert_true(fabs(row[c * 512] - (77 / 255.0 - p.image.mean[c]) / p.image.std[c]) < 1e-6);
    wd_visual_free(&v);
}

static void refuses_sides_that_do_not_divide(void **state)
{
    wd_vision_processor p;
    wd_visual v = { 0 };
    (void)state;
    wd_vision_processor_defaults(&p);
    assert_fails(wd_visual_init(&v, &p.image, 1, 48, 64, &err), WD_E_INVALID, "multiples of 32");
    assert_fails(wd_visual_init(&v, &p.image, 0, 64, 64, &err), WD_E_INVALID, "0 frames");
    assert_null(v.rgb);
}

static void survives_every_failed_allocation(void **state)
{
    wd_vision_processor p;
    wd_image im = golden_picture(2, 50, 40);
    (void)state;
    wd_vision_processor_defaults(&p);
    for (uint64_t n = 1;; n++) {
        wd_err err = { 0 };
        wd_visual v = { 0 };
        wd_inject_failure(n);
        const wd_status st = wd_visual_of_image(&p, NULL, &im, &v, &err);
        if (wd_inject_failure(0) < n) {
            assert_int_equal(st, WD_OK);
            wd_visual_free(&v);
            break;
        }
        assert_int_equal(st, WD_E_NOMEM);
        assert_null(v.rgb);
    }
    wd_image_free(&im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_equal_the_reference),
        cmocka_unit_test(rows_are_in_the_order_of_the_specification),
        cmocka_unit_test(mean_deviation_and_scale_are_obeyed),
        cmocka_unit_test(refuses_sides_that_do_not_divide),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
