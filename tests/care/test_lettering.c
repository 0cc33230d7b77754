/* Letters: really drawn, where they belong, and one clear sentence where that is not possible. */
#include "care/phantom/lettering.h"

#include <stdio.h>

#include "support/test.h"

#define W 120
#define H 60

static wd_lettering *letters;
static wd_image im;
static const wd_pen pen = { .letters = WD_LETTERS_SANS, .size_px = 30, .rgb = { 0, 0, 0 } };

static int begin(void **state)
{
    (void)state;
    assert_ok(wd_lettering_open(NULL, &letters, &err));
    assert_ok(wd_image_init(&im, W, H, &err));
    return 0;
}

static int end(void **state)
{
    (void)state;
    wd_lettering_close(letters);
    wd_lettering_close(NULL);
    wd_image_free(&im);
    return 0;
}

typedef struct ink {
    uint32_t left, right, top, bottom; /* of dark pixels; right and bottom included */
    double area;
} ink;

static ink draw(double x, double y, const wd_pen *p, const char *text)
{
    ink k = { W, 0, H, 0, 0 };
    memset(im.rgb, 255, (size_t)W * H * 3);
    assert_ok(wd_lettering_draw(letters, &im, x, y, p, wd_span_str(text), &err));
    for (uint32_t j = 0; j < H; j++) {
        for (uint32_t i = 0; i < W; i++) {
            const uint8_t v = im.rgb[3 * ((size_t)j * W + i)];
            k.area += (255 - v) / 255.0;
            if (v >= 128)
                continue;
            k.left = WD_MIN(k.left, i);
            k.right = WD_MAX(k.right, i);
            k.top = WD_MIN(k.top, j);
            k.bottom = WD_MAX(k.bottom, j);
        }
    }
    return k;
}

static double width(const wd_pen *p, const char *text)
{
    double w = 0;
    assert_ok(wd_lettering_width(letters, p, wd_span_str(text), &w, &err));
    return w;
}

static void a_letter_stands_on_its_line_and_within_its_width(void **state)
{
    (void)state;
    const ink k = draw(20, 45, &pen, "H");
    const double w = width(&pen, "H");
    assert_true(w > 20 && w < 30);
    assert_true(k.left >= 20 && k.right < 20 + w);
    assert_int_equal(k.bottom, 44);                /* the row above the base line is the letter's last */
    assert_in_range(k.bottom - k.top + 1, 21, 23); /* a capital of DejaVu is 0.73 of its size */
    assert_true(k.area > 150 && k.area < 400);
    const ink descends = draw(20, 45, &pen, "g");
    assert_true(descends.bottom > 48);
}

static void letters_follow_each_other(void **state)
{
    (void)state;
    assert_true(width(&pen, "HH") > 1.99 * width(&pen, "H") && width(&pen, "HH") < 2.01 * width(&pen, "H"));
    const ink one = draw(5, 45, &pen, "H"), two = draw(5, 45, &pen, "HH");
    assert_true(two.area > 1.95 * one.area && two.area < 2.05 * one.area);
    assert_true(two.right > one.right + 20);
    assert_true(width(&pen, "") == 0);
    assert_true(draw(5, 45, &pen, "").area == 0);
}

static void chinese_characters_are_drawn_and_differ(void **state)
{
    (void)state;
    const ink a = draw(10, 45, &pen, "洗");
    static uint8_t first[W * H * 3];
    memcpy(first, im.rgb, sizeof first);
    assert_true(a.area > 150);
    assert_true(width(&pen, "洗") > 27 && width(&pen, "洗") < 33);
    const ink b = draw(10, 45, &pen, "手");
    assert_true(b.area > 80 && memcmp(first, im.rgb, sizeof first) != 0); /* no box that stands for both */
    assert_true(width(&pen, "第3步") > 2.5 * width(&pen, "3"));
}

static void styles_and_colours_are_as_asked(void **state)
{
    (void)state;
    const wd_pen mono = { WD_LETTERS_MONO, 30, { 0, 0, 0 } }, serif = { WD_LETTERS_SERIF, 30, { 0, 0, 0 } },
                 green = { WD_LETTERS_SANS, 30, { 0, 255, 0 } };
    assert_true(width(&mono, "i") == width(&mono, "M"));
    assert_true(width(&pen, "i") < width(&pen, "M"));
    assert_true(draw(5, 45, &serif, "I").area > draw(5, 45, &pen, "I").area); /* its feet */
    (void)draw(5, 45, &green, "H");
    bool found = false;
    for (size_t i = 0; i < sizeof(uint8_t[W * H]); i++) {
        const uint8_t *p = im.rgb + 3 * i;
        found |= p[0] == 0 && p[1] == 255 && p[2] == 0;
        assert_int_equal(p[1], 255); /* between white and green nothing loses its green */
    }
    assert_true(found);
}

static void what_lies_outside_is_not_drawn(void **state)
{
    (void)state;
    assert_true(draw(-500, 45, &pen, "H").area == 0);
    assert_true(draw(500, 45, &pen, "H").area == 0);
    assert_true(draw(5, -100, &pen, "Hg").area == 0);
    assert_true(draw(5, 500, &pen, "Hg").area == 0);
    const ink half = draw(-12, 45, &pen, "H"), whole = draw(20, 45, &pen, "H");
    assert_true(half.area > 0.3 * whole.area && half.area < 0.7 * whole.area);
}

static void a_character_or_size_that_is_not_there_is_refused(void **state)
{
    (void)state;
    double w = -1;
    const wd_pen small = { WD_LETTERS_SANS, 5, { 0, 0, 0 } }, large = { WD_LETTERS_SANS, 401, { 0, 0, 0 } };
    assert_fails(wd_lettering_width(letters, &pen, wd_span_str("a\xF4\x8F\xBF\xBD"), &w, &err),
                 WD_E_UNSUPPORTED, "no font has the character U+10FFFD");
    assert_true(w == -1);
    assert_fails(wd_lettering_draw(letters, &im, 0, 0, &pen, wd_span_str("\xF4\x8F\xBF\xBD"), &err),
                 WD_E_UNSUPPORTED, "U+10FFFD");
    assert_fails(wd_lettering_width(letters, &small, wd_span_str("a"), &w, &err), WD_E_USAGE, "5 pixels");
    assert_fails(wd_lettering_draw(letters, &im, 0, 0, &large, wd_span_str("a"), &err), WD_E_USAGE,
                 "401 pixels");
}

static void a_missing_font_is_one_sentence_with_its_package(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    wd_lettering *l = NULL;
    assert_fails(wd_lettering_open(dir, &l, &err), WD_E_NOT_FOUND,
                 "DejaVuSans-Bold.ttf: the font is not there; Debian's package fonts-dejavu-core has it");
    assert_null(l);
    test_write(dir, "DejaVuSans-Bold.ttf", "no font", 7);
    assert_fails(wd_lettering_open(dir, &l, &err), WD_E_CORRUPT, "not a font");
    assert_null(l);
    test_rm_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_letter_stands_on_its_line_and_within_its_width),
        cmocka_unit_test(letters_follow_each_other),
        cmocka_unit_test(chinese_characters_are_drawn_and_differ),
        cmocka_unit_test(styles_and_colours_are_as_asked),
        cmocka_unit_test(what_lies_outside_is_not_drawn),
        cmocka_unit_test(a_character_or_size_that_is_not_there_is_refused),
        cmocka_unit_test(a_missing_font_is_one_sentence_with_its_package),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
