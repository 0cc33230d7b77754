/* The raster: areas, edges, and shapes that reach outside. */
#include "care/phantom/canvas.h"

#include <math.h>

#include "support/test.h"

#define W 60
#define H 40

static const wd_rgb white = { 255, 255, 255 };
static wd_image im;

static int begin(void **state)
{
    (void)state;
    assert_ok(wd_image_init(&im, W, H, &err));
    return 0;
}

static int end(void **state)
{
    (void)state;
    wd_image_free(&im);
    return 0;
}

/* Pixels covered, parts counted. */
static double area(void)
{
    double sum = 0;
    for (size_t i = 0; i < (size_t)W * H * 3; i += 3)
        sum += im.rgb[i] / 255.0;
    return sum;
}

static int at(uint32_t x, uint32_t y)
{
    return im.rgb[3 * ((size_t)y * W + x)];
}

#define ASSERT_AREA(want, within)                                               \
    do {                                                                        \
        if (fabs(area() - (want)) > (within))                                   \
            fail_msg("%.2f pixels are covered, expected %.2f", area(), (want)); \
    } while (0)

static void a_rectangle_covers_parts_of_pixels(void **state)
{
    (void)state;
    wd_canvas_rect(&im, 10.25, 5, 4.5, 2.5, white);
    ASSERT_AREA(4.5 * 2.5, 0.1);
    assert_int_equal(at(10, 5), 191); /* three quarters */
    assert_int_equal(at(11, 7), 128);
    assert_int_equal(at(9, 5), 0);
}

static void round_shapes_have_their_area(void **state)
{
    (void)state;
    wd_canvas_disc(&im, (wd_point){ 30, 20 }, 12, white);
    ASSERT_AREA(M_PI * 144, 2);
    wd_canvas_fill(&im, (wd_rgb){ 0 });
    wd_canvas_ellipse(&im, (wd_point){ 30, 20 }, 20, 8, white);
    ASSERT_AREA(M_PI * 160, 4);
    wd_canvas_fill(&im, (wd_rgb){ 0 });
    wd_canvas_ring(&im, (wd_point){ 30, 20 }, 12, 4, white);
    ASSERT_AREA(M_PI * (14 * 14 - 10 * 10), 2);
    assert_int_equal(at(30, 20), 0);
    wd_canvas_fill(&im, (wd_rgb){ 0 });
    wd_canvas_round_rect(&im, 10, 10, 30, 20, 6, white);
    ASSERT_AREA(600 - 36 * (4 - M_PI), 2);
    assert_int_equal(at(10, 10), 0);
    assert_int_equal(at(10, 20), 255);
}

static void a_limb_is_the_hull_of_its_ends(void **state)
{
    (void)state;
    wd_canvas_line(&im, (wd_point){ 15, 20 }, (wd_point){ 45, 20 }, 8, white);
    ASSERT_AREA(30 * 8 + M_PI * 16, 1);
    wd_canvas_fill(&im, (wd_rgb){ 0 });
    /* Two discs of 10 and 5, 20 apart: two tangents of length sqrt(20^2 - 5^2), and what the discs add. */
    const double lean = acos(5.0 / 20), side = sqrt(375.0);
    wd_canvas_limb(&im, (wd_point){ 18, 20 }, 10, (wd_point){ 38, 20 }, 5, white);
    ASSERT_AREA(side * (10 + 5) + 100 * (M_PI - lean) + 25 * lean, 1.5);
    wd_canvas_fill(&im, (wd_rgb){ 0 });
    wd_canvas_limb(&im, (wd_point){ 30, 20 }, 3, (wd_point){ 31, 20 }, 9, white); /* one inside the other */
    ASSERT_AREA(M_PI * 81, 2);
}

static void a_polygon_is_filled_even_odd(void **state)
{
    (void)state;
    wd_canvas_polygon(&im, (const wd_point[]){ { 10, 5 }, { 50, 5 }, { 10, 35 } }, 3, white);
    ASSERT_AREA(600.0, 1);
    wd_canvas_fill(&im, (wd_rgb){ 0 });
    const wd_point twice[] = { { 5, 5 },   { 25, 5 },
                               { 25, 25 }, { 5, 25 }, /* the same square again: nothing left */
                               { 5, 5 },   { 25, 5 },
                               { 25, 25 }, { 5, 25 } };
    wd_canvas_polygon(&im, twice, 8, white);
    ASSERT_AREA(0.0, 0.01);
    wd_canvas_polygon(&im, twice, 2, white);
    wd_canvas_polygon(&im, twice, WD_CANVAS_POLYGON_MAX + 1, white); /* not read */
    ASSERT_AREA(0.0, 0.01);
}

static void nothing_is_drawn_outside(void **state)
{
    (void)state;
    static const double far[] = { -1e300, -1e9, -50, 1e9, INFINITY, NAN };
    for (size_t i = 0; i < WD_COUNT(far); i++) {
        const wd_point p = { far[i], far[i] };
        wd_canvas_rect(&im, far[i], far[i], 20, 20, white);
        wd_canvas_disc(&im, p, 20, white);
        wd_canvas_ellipse(&im, p, 20, 10, white);
        wd_canvas_ring(&im, p, 10, 2, white);
        wd_canvas_round_rect(&im, far[i], far[i], 20, 20, 4, white);
        wd_canvas_limb(&im, p, 3, (wd_point){ far[i] + 9, far[i] }, 5, white);
        wd_canvas_polygon(&im, (const wd_point[]){ p, { far[i] + 9, far[i] }, { far[i], far[i] + 9 } }, 3,
                          white);
    }
    ASSERT_AREA(0.0, 0.01);
    wd_canvas_disc(&im, (wd_point){ 0, 0 }, 10, white); /* a quarter is inside */
    ASSERT_AREA(M_PI * 25, 2);
}

static void colours_go_from_one_to_the_other(void **state)
{
    (void)state;
    const wd_rgb half = wd_rgb_mix((wd_rgb){ 0, 100, 200 }, (wd_rgb){ 100, 0, 200 }, 0.5);
    assert_int_equal(half.r, 50);
    assert_int_equal(half.g, 50);
    assert_int_equal(half.b, 200);
    wd_canvas_gradient(&im, 0, 0, W, H, (wd_rgb){ 0 }, white);
    for (uint32_t y = 1; y < H; y++)
        assert_true(at(3, y) > at(3, y - 1));
    assert_int_equal(at(3, 0), 3);
    assert_int_equal(at(59, 39), 252);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_rectangle_covers_parts_of_pixels, begin, end),
        cmocka_unit_test_setup_teardown(round_shapes_have_their_area, begin, end),
        cmocka_unit_test_setup_teardown(a_limb_is_the_hull_of_its_ends, begin, end),
        cmocka_unit_test_setup_teardown(a_polygon_is_filled_even_odd, begin, end),
        cmocka_unit_test_setup_teardown(nothing_is_drawn_outside, begin, end),
        cmocka_unit_test_setup_teardown(colours_go_from_one_to_the_other, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
