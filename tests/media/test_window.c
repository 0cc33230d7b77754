/* Windows: the formulas of PS3.3 C.11.2.1.2 and C.11.2.1.3, with the standard's own examples, and their names. */
#include "support/test.h"

#include <math.h>

#include "media/window.h"

static void near(double got, double want)
{
    if (fabs(got - want) > 1e-12)
        fail_msg("%.17g, expected %.17g", got, want);
}

/* C.11.2.1.2.1, the notes: window center 2048, width 4096 is the full range of 12 bits; width 1 is a threshold. */
static void linear_function_is_the_standards(void **state)
{
    (void)state;
    const wd_window full = { .center = 2048, .width = 4096 }, threshold = { .center = 2048, .width = 1 },
                    hundred = { .center = 0, .width = 100 }, one = { .center = 0, .width = 1 };
    near(wd_window_at(&full, 0), 0);
    near(wd_window_at(&full, 4095), 1);
    near(wd_window_at(&full, 1), ((1 - 2047.5) / 4095 + 0.5));
    near(wd_window_at(&threshold, 2047), 0);
    near(wd_window_at(&threshold, 2048), 1);
    near(wd_window_at(&hundred, -50), 0);
    near(wd_window_at(&hundred, 49), (49 + 0.5) / 99 + 0.5);
    near(wd_window_at(&hundred, 50), 1);
    near(wd_window_at(&hundred, 0), 0.5 / 99 + 0.5);
    near(wd_window_at(&one, -1), 0);
    near(wd_window_at(&one, 0), 1);
}

static void exact_function_is_symmetric(void **state)
{
    (void)state;
    const wd_window w = { .center = 0, .width = 100, .fn = WD_WINDOW_LINEAR_EXACT };
    near(wd_window_at(&w, -50), 0);
    near(wd_window_at(&w, 0), 0.5);
    near(wd_window_at(&w, 25), 0.75);
    near(wd_window_at(&w, 50), 1);
    near(wd_window_at(&w, 51), 1);
}

static void sigmoid_function_is_the_standards(void **state)
{
    (void)state;
    const wd_window w = { .center = 10, .width = 40, .fn = WD_WINDOW_SIGMOID };
    near(wd_window_at(&w, 10), 0.5);
    near(wd_window_at(&w, 20), 1 / (1 + exp(-1)));
    near(wd_window_at(&w, 0) + wd_window_at(&w, 20), 1);
}

static void apply_rounds_and_inverts(void **state)
{
    (void)state;
    const wd_window w = { .center = 128, .width = 256 }; /* 0 .. 255 as they are */
    const float v[] = { -5, 0, 1, 127, 254, 255, 256, NAN };
    const uint8_t want[] = { 0, 0, 1, 127, 254, 255, 255, 0 };
    uint8_t out[8];
    wd_window_apply(&w, v, 8, false, out);
    assert_memory_equal(out, want, sizeof want);
    wd_window_apply(&w, v, 8, true, out);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(out[i], 255 - want[i]);
    assert_int_equal(out[7], 0); /* what is not a number stays black */
}

static void range_shows_its_ends_black_and_white(void **state)
{
    (void)state;
    const wd_window w = wd_window_of_range(-10, 30), flat = wd_window_of_range(5, 5);
    near(wd_window_at(&w, -10), 0);
    near(wd_window_at(&w, 10), 0.5);
    near(wd_window_at(&w, 30), 1);
    near(wd_window_at(&flat, 5), 0.5);
}

static void check_choice(const char *text, wd_window want)
{
    wd_window_choice c = { 0 };
    assert_ok(wd_window_parse(text, &c, &err));
    assert_int_equal(c.kind, WD_WINDOW_BY_NUMBER);
    near(c.w.center, want.center);
    near(c.w.width, want.width);
    assert_int_equal(c.w.fn, want.fn);
}

static void windows_are_named_or_numbered(void **state)
{
    (void)state;
    wd_window_choice c = { 0 };
    check_choice("lung", (wd_window){ .center = -600, .width = 1500 });
    check_choice("Mediastinum", (wd_window){ .center = 40, .width = 400 });
    check_choice("bone", (wd_window){ .center = 400, .width = 1800 });
    check_choice("brain", (wd_window){ .center = 40, .width = 80 });
    check_choice("-600/1500", (wd_window){ .center = -600, .width = 1500 });
    check_choice("40.5/1e2:exact", (wd_window){ .center = 40.5, .width = 100, .fn = WD_WINDOW_LINEAR_EXACT });
    check_choice("0/0.5:sigmoid", (wd_window){ .center = 0, .width = 0.5, .fn = WD_WINDOW_SIGMOID });
    assert_ok(wd_window_parse("file", &c, &err));
    assert_int_equal(c.kind, WD_WINDOW_BY_FILE);
    assert_int_equal(c.tag_i, 0);
    assert_ok(wd_window_parse("file:2", &c, &err));
    assert_int_equal(c.tag_i, 1);
    assert_ok(wd_window_parse("range", &c, &err));
    assert_int_equal(c.kind, WD_WINDOW_BY_RANGE);
}

static void wrong_windows_are_refused_with_the_names(void **state)
{
    (void)state;
    static const char *const bad[] = { "",         "lungs",   "40",      "40/",    "/400",
                                       "40/0",     "40/-5",   "nan/1",   "inf/10", "0x10/20",
                                       "40/400x",  "40//2",   "lung:1",  "file:0", "file:",
                                       "file:999", "range:1", "1/2:odd", "1/1e999" };
    wd_window_choice c = { .tag_i = 77 };
    for (size_t i = 0; i < WD_COUNT(bad); i++)
        assert_fails(wd_window_parse(bad[i], &c, &err), WD_E_USAGE, "window ");
    assert_int_equal(c.tag_i, 77); /* untouched */
    assert_fails(wd_window_parse("x", &c, &err), WD_E_USAGE, "mediastinum");
}

static void every_preset_is_found_by_its_name(void **state)
{
    (void)state;
    size_t n = 0;
    for (const wd_window_preset *p; (p = wd_window_preset_at(n)) != NULL; n++) {
        assert_ptr_equal(wd_window_preset_find(wd_span_str(p->name)), p);
        assert_true(p->width >= 1 && *p->use);
    }
    assert_true(n >= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_function_is_the_standards),
        cmocka_unit_test(exact_function_is_symmetric),
        cmocka_unit_test(sigmoid_function_is_the_standards),
        cmocka_unit_test(apply_rounds_and_inverts),
        cmocka_unit_test(range_shows_its_ends_black_and_white),
        cmocka_unit_test(windows_are_named_or_numbered),
        cmocka_unit_test(wrong_windows_are_refused_with_the_names),
        cmocka_unit_test(every_preset_is_found_by_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
