/* Cuts on synthetic samples, five a second: where they are, and where there are none. */
#include "care/lesson_cuts.h"

#include <math.h>

#include "base/rand.h"
#include "support/test.h"

#define N 600
#define GAP_S 0.2

static uint8_t grid[N][WD_CUTS_CELLS];
static double time_s[N];
static wd_arena *arena;
static wd_shot *shot;
static uint32_t n_shot;

/* A picture of its own for every number: bands and a block whose places and colours hang on it. */
static void scene(uint32_t number, uint8_t out[WD_CUTS_CELLS])
{
    wd_rand r;
    wd_rand_init(&r, number);
    const uint32_t x0 = (uint32_t)wd_rand_below(&r, 20), y0 = (uint32_t)wd_rand_below(&r, 10);
    uint8_t c[6];
    for (int i = 0; i < 6; i++)
        c[i] = (uint8_t)(30 + wd_rand_below(&r, 200));
    for (uint32_t y = 0; y < WD_CUTS_ROWS; y++) {
        for (uint32_t x = 0; x < WD_CUTS_COLUMNS; x++) {
            const bool inside = x >= x0 && x < x0 + 12 && y >= y0 && y < y0 + 8;
            for (uint32_t k = 0; k < 3; k++)
                *out++ = c[inside ? 3 + k : k];
        }
    }
}

/* Samples from .. to - 1 show the scene. */
static void show(uint32_t from, uint32_t to, uint32_t number)
{
    for (uint32_t i = from; i < to; i++)
        scene(number, grid[i]);
}

/* Samples from .. to - 1 become a mixture that leads from scene a (NULL: black) to scene b. */
static void dissolve(uint32_t from, uint32_t to, const uint8_t *a, const uint8_t *b)
{
    for (uint32_t i = from; i < to; i++) {
        const double t = (i - from + 0.5) / (to - from);
        for (uint32_t k = 0; k < WD_CUTS_CELLS; k++)
            grid[i][k] = (uint8_t)((a ? a[k] : 0) * (1 - t) + (b ? b[k] : 0) * t);
    }
}

static void noise(uint32_t from, uint32_t to, int most)
{
    wd_rand r;
    wd_rand_init(&r, 99);
    for (uint32_t i = from; i < to; i++)
        for (uint32_t k = 0; k < WD_CUTS_CELLS; k++)
            grid[i][k] = (uint8_t)(grid[i][k] + (int)wd_rand_below(&r, 2 * (uint64_t)most + 1) - most);
}

static void find(uint32_t n)
{
    wd_cuts_opts o = WD_CUTS_OPTS_DEFAULT;
    o.long_s = 1000;
    assert_ok(wd_cuts_find((const uint8_t(*)[WD_CUTS_CELLS])grid, time_s, n, n * GAP_S, &o, arena, &shot,
                           &n_shot, &err));
    assert_true(n_shot >= 1 && shot[0].start_s == 0);
    assert_true(fabs(shot[n_shot - 1].end_s - n * GAP_S) < 1e-9);
    for (uint32_t i = 0; i < n_shot; i++) {
        const double key_s = time_s[shot[i].key];
        assert_true(shot[i].start_s < shot[i].end_s && key_s >= shot[i].start_s && key_s < shot[i].end_s);
        if (i)
            assert_true(shot[i].start_s == shot[i - 1].end_s);
    }
}

static void assert_cut(uint32_t i, double at_s, double within_s)
{
    if (i >= n_shot || fabs(shot[i].start_s - at_s) > within_s)
        fail_msg("shot %u of %u begins at %g, wanted %g", i, n_shot, i < n_shot ? shot[i].start_s : -1, at_s);
}

static void a_hard_cut_lies_between_its_two_samples(void **state)
{
    (void)state;
    show(0, 20, 1);
    show(20, 50, 2);
    show(50, 80, 1);
    find(80);
    assert_int_equal(n_shot, 3);
    assert_cut(1, 3.9, 1e-9);
    assert_cut(2, 9.9, 1e-9);
    assert_in_range(shot[0].key, 5, 15); /* the picture is taken near the middle */
    assert_in_range(shot[1].key, 30, 40);
}

static void a_dissolve_is_one_cut_half_way(void **state)
{
    (void)state;
    for (uint32_t length = 1; length <= 7; length++) {
        show(0, 20, 1);
        show(20, 60, 2);
        uint8_t a[WD_CUTS_CELLS], b[WD_CUTS_CELLS];
        scene(1, a);
        scene(2, b);
        dissolve(20, 20 + length, a, b);
        find(60);
        assert_int_equal(n_shot, 2);
        assert_cut(1, (19.5 + length / 2.0) * GAP_S, 0.11);
        assert_true(shot[0].key < 20 && shot[1].key >= 20 + length); /* never a mixture */
    }
}

static void a_dissolve_is_found_in_grain(void **state)
{
    (void)state;
    uint8_t a[WD_CUTS_CELLS], b[WD_CUTS_CELLS];
    scene(1, a);
    scene(2, b);
    show(0, 40, 1);
    dissolve(40, 43, a, b);
    show(43, 90, 2);
    noise(0, 90, 5);
    find(90);
    assert_int_equal(n_shot, 2);
    assert_cut(1, 41 * GAP_S, 0.11);
}

static void a_fade_through_black_is_one_cut(void **state)
{
    (void)state;
    for (uint32_t hold = 0; hold <= 2; hold++) {
        uint8_t a[WD_CUTS_CELLS], b[WD_CUTS_CELLS];
        scene(1, a);
        scene(2, b);
        show(0, 20, 1);
        dissolve(20, 22, a, NULL);
        memset(grid[22], 0, 3 * WD_CUTS_CELLS);
        dissolve(22 + hold, 24 + hold, NULL, b);
        show(24 + hold, 60, 2);
        find(60);
        assert_int_equal(n_shot, 2);
        assert_cut(1, (21.5 + hold / 2.0) * GAP_S, 0.25);
        assert_true(shot[0].key < 20 && shot[1].key >= 24 + hold);
    }
}

static void a_flash_and_a_passing_object_are_no_cuts(void **state)
{
    (void)state;
    show(0, 100, 1);
    memset(grid[30], 255, WD_CUTS_CELLS);
    show(60, 63, 7);                   /* something before the lens for 0.6 s */
    for (uint32_t i = 75; i < 95; i++) /* and one while something moves */
        for (uint32_t y = 0; y < WD_CUTS_ROWS; y++)
            memset(&grid[i][3 * (y * WD_CUTS_COLUMNS + i - 75)], 250, 15);
    memset(grid[85], 255, WD_CUTS_CELLS);
    find(100);
    assert_int_equal(n_shot, 1);
    assert_true(shot[0].key != 30 && (shot[0].key < 60 || shot[0].key > 63)); /* nor the picture shown */
}

static void flicker_and_noise_are_no_cuts_and_hide_none(void **state)
{
    (void)state;
    show(0, 60, 1);
    show(60, 120, 2);
    for (uint32_t i = 0; i < 120; i++) /* a lamp: every second sample brighter */
        for (uint32_t k = 0; k < WD_CUTS_CELLS; k++)
            grid[i][k] = (uint8_t)(grid[i][k] + (i % 2) * 3);
    noise(0, 120, 3);
    find(120);
    assert_int_equal(n_shot, 2);
    assert_cut(1, 11.9, 1e-9);
}

static void a_moving_block_is_one_shot_and_a_cut_within_the_movement_is_found(void **state)
{
    (void)state;
    show(0, 120, 1);
    show(60, 120, 2);
    for (uint32_t i = 20; i < 110; i++) { /* a bright column wanders through both shots */
        for (uint32_t y = 0; y < WD_CUTS_ROWS; y++)
            for (uint32_t x = i % 32; x < i % 32 + 4; x++)
                memset(&grid[i][3 * (y * WD_CUTS_COLUMNS + x % 32)], 250, 3);
    }
    memset(grid[35], 255, WD_CUTS_CELLS); /* and a flash on the way */
    find(120);
    assert_int_equal(n_shot, 2);
    assert_cut(1, 11.9, 1e-9);
}

static void a_restless_camera_makes_no_cuts_and_hides_none(void **state)
{
    (void)state;
    wd_rand r;
    wd_rand_init(&r, 5);
    show(0, 60, 1);
    show(60, 200, 2);
    for (uint32_t i = 0; i < 200; i++) { /* shaken, the last part harder and by another amount each time */
        const uint64_t most = i < 120 ? 30 : 50 + wd_rand_below(&r, 80);
        for (uint32_t k = 0; k < WD_CUTS_CELLS; k++)
            grid[i][k] = (uint8_t)WD_MIN(grid[i][k] / 2 + wd_rand_below(&r, most), 255);
    }
    find(200);
    assert_int_equal(n_shot, 2);
    assert_cut(1, 11.9, 1e-9);
}

static void what_fades_in_at_the_start_or_out_at_the_end_is_no_shot_of_its_own(void **state)
{
    (void)state;
    uint8_t a[WD_CUTS_CELLS];
    scene(1, a);
    show(0, 50, 1);
    dissolve(0, 3, NULL, a);
    dissolve(47, 50, a, NULL);
    find(50);
    assert_int_equal(n_shot, 1);
    assert_in_range(shot[0].key, 5, 45);
}

static void a_long_take_becomes_equal_parts(void **state)
{
    (void)state;
    wd_cuts_opts o = WD_CUTS_OPTS_DEFAULT;
    show(0, 500, 1); /* 100 s */
    show(500, 550, 2);
    assert_ok(wd_cuts_find((const uint8_t(*)[WD_CUTS_CELLS])grid, time_s, 550, 110, &o, arena, &shot, &n_shot,
                           &err));
    assert_int_equal(n_shot, 6); /* 99.9 s by 20, and the other shot */
    for (uint32_t i = 0; i < 5; i++) {
        assert_true(fabs(shot[i].end_s - shot[i].start_s - 19.98) < 1e-9);
        assert_true(time_s[shot[i].key] > shot[i].start_s && time_s[shot[i].key] < shot[i].end_s);
        assert_int_equal(shot[i].is_take, i > 0);
    }
    assert_false(shot[5].is_take);
    assert_cut(5, 99.9, 1e-9);
}

static void one_sample_is_one_shot(void **state)
{
    (void)state;
    show(0, 1, 1);
    find(1);
    assert_int_equal(n_shot, 1);
    show(0, 2, 1);
    show(1, 2, 2);
    find(2);
    assert_int_equal(n_shot, 1); /* too short to be two */
    wd_arena *small = wd_arena_create(64, false);
    wd_cuts_opts o = WD_CUTS_OPTS_DEFAULT;
    assert_fails(
        wd_cuts_find((const uint8_t(*)[WD_CUTS_CELLS])grid, time_s, 2, 1, &o, small, &shot, &n_shot, &err),
        WD_E_NOMEM, "no memory");
    wd_arena_destroy(small);
}

static void a_grid_holds_the_means_of_a_picture_of_any_size(void **state)
{
    (void)state;
    static const uint32_t sizes[][2] = { { 1, 1 }, { 3, 200 }, { 33, 19 }, { 320, 180 } };
    for (size_t s = 0; s < WD_COUNT(sizes); s++) {
        const uint32_t w = sizes[s][0], h = sizes[s][1];
        wd_image im = { 0 };
        uint8_t g[WD_CUTS_CELLS];
        assert_ok(wd_image_init(&im, w, h, &err));
        for (uint32_t y = 0; y < h; y++)
            for (uint32_t x = 0; x < w; x++)
                memcpy(im.rgb + 3 * ((size_t)y * w + x),
                       (const uint8_t[]){ x < w / 2 ? 10 : 200, 77, y < h / 2 ? 40 : 90 }, 3);
        wd_cuts_grid(&im, g);
        const uint8_t *first = g, *last = g + WD_CUTS_CELLS - 3;
        assert_int_equal(first[0], w == 1 ? 200 : 10);
        assert_int_equal(last[0], 200);
        assert_int_equal(first[1], 77);
        assert_int_equal(first[2], h == 1 ? 90 : 40);
        assert_int_equal(last[2], 90);
        wd_image_free(&im);
    }
}

static int begin(void **state)
{
    (void)state;
    arena = wd_arena_create(16u << 20, false);
    for (uint32_t i = 0; i < N; i++)
        time_s[i] = i * GAP_S;
    return 0;
}

static int end(void **state)
{
    (void)state;
    wd_arena_destroy(arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hard_cut_lies_between_its_two_samples),
        cmocka_unit_test(a_dissolve_is_one_cut_half_way),
        cmocka_unit_test(a_dissolve_is_found_in_grain),
        cmocka_unit_test(a_fade_through_black_is_one_cut),
        cmocka_unit_test(a_flash_and_a_passing_object_are_no_cuts),
        cmocka_unit_test(flicker_and_noise_are_no_cuts_and_hide_none),
        cmocka_unit_test(a_moving_block_is_one_shot_and_a_cut_within_the_movement_is_found),
        cmocka_unit_test(a_restless_camera_makes_no_cuts_and_hides_none),
        cmocka_unit_test(what_fades_in_at_the_start_or_out_at_the_end_is_no_shot_of_its_own),
        cmocka_unit_test(a_long_take_becomes_equal_parts),
        cmocka_unit_test(one_sample_is_one_shot),
        cmocka_unit_test(a_grid_holds_the_means_of_a_picture_of_any_size),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
