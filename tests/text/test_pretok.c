/* The pieces of the Qwen pattern. */
#include "support/test.h"

#include "base/rand.h"
#include "base/utf8.h"
#include "text/pretok.h"

static wd_unicode *unicode;

static int open_tables(void **state)
{
    (void)state;
    unicode = wd_unicode_create();
    return unicode ? 0 : -1;
}

static int close_tables(void **state)
{
    (void)state;
    wd_free(unicode);
    return 0;
}

/* want: the pieces with a bar between. */
static void assert_pieces(const char *text, const char *want)
{
    const wd_span s = wd_span_str(text);
    wd_buf got = { 0 };

    for (size_t at = 0, end; at < s.n; at = end) {
        end = wd_pretok_next(unicode, s, at);
        assert_in_range(end, at + 1, s.n);
        if (at)
            wd_buf_char(&got, '|');
        wd_buf_span(&got, wd_span_sub(s, at, end - at));
    }
    assert_string_equal((const char *)got.p, want);
    wd_buf_free(&got);
}

static void words_and_digits_are_cut_as_specified(void **state)
{
    (void)state;
    assert_pieces("Hello world", "Hello| world");
    assert_pieces("a1234b", "a|1|2|3|4|b");
    assert_pieces("foo(bar);\n\n}", "foo|(bar|);\n\n|}");
    assert_pieces("\xC2\xBFQu\xC3\xA9 tal?", "\xC2\xBFQu\xC3\xA9| tal|?");
    assert_pieces("a\xC2\xA0"
                  "b",
                  "a|\xC2\xA0"
                  "b");
    assert_pieces("<0.3 seconds>", "<|0|.|3| seconds|>");
    assert_pieces("\xE8\x82\xBA\xE9\x83\xA8"
                  "CT\xEF\xBC\x8C"
                  "5mm",
                  "\xE8\x82\xBA\xE9\x83\xA8"
                  "CT|\xEF\xBC\x8C|5|mm");
}

static void contractions_are_cut_whatever_their_case(void **state)
{
    (void)state;
    assert_pieces("I'M don't we'LL", "I|'M| don|'t| we|'LL");
    assert_pieces("x'rE'Ve'd'S", "x|'rE|'Ve|'d|'S");
    assert_pieces("it'\xC5\xBF"
                  "a",
                  "it|'\xC5\xBF|a"); /* the long s is an s */
    assert_pieces("'l 'v 'r", "'l| '|v| '|r");
    assert_pieces("'", "'");
    assert_pieces("a'", "a|'");
    assert_pieces("'r\xC3\xA9", "'r\xC3\xA9");
}

static void white_space_is_shared_out_as_specified(void **state)
{
    (void)state;
    assert_pieces("x  y   z", "x| | y|  | z");
    assert_pieces("line1\n\n  line2\t\tend  ", "line|1|\n\n| | line|2|\t|\tend|  ");
    assert_pieces("  \n \n  x", "  \n \n| | x");
    assert_pieces(" \r\n\r\n", " \r\n\r\n");
    assert_pieces("\xE3\x80\x80\xE3\x80\x80x", "\xE3\x80\x80|\xE3\x80\x80x");
    assert_pieces("  1", " | |1");
    assert_pieces("   !a", "  | !|a");
    assert_pieces(" \xC2\x85", " \xC2\x85");
    assert_pieces("\n\xE2\x80\xA8x", "\n|\xE2\x80\xA8x");
}

static void marks_are_no_letters(void **state)
{
    (void)state;
    assert_pieces("\xE0\xA4\xB9\xE0\xA4\xBF\xE0\xA4\xA8\xE0\xA5\x8D\xE0\xA4\xA6\xE0\xA5\x80",
                  "\xE0\xA4\xB9|\xE0\xA4\xBF\xE0\xA4\xA8|\xE0\xA5\x8D\xE0\xA4\xA6|\xE0\xA5\x80");
    assert_pieces("a\xCC\xB4\xCC\xB4"
                  "b",
                  "a|\xCC\xB4\xCC\xB4|b"); /* two marks: signs, then the word */
}

static void pieces_cover_any_text(void **state)
{
    static const char *const parts[] = { " ",        "\n",           "\r",       "'",
                                         "s",        "LL",           "1",        "!",
                                         "\xCC\x81", "\xE8\x82\xBA", "\xC2\xA0", "\xF0\x9F\x98\x80",
                                         "\t",       "\xC5\xBF" };
    wd_rand r;
    (void)state;

    wd_rand_init(&r, 5);
    for (int round = 0; round < 20000; round++) {
        wd_buf text = { 0 };
        for (size_t i = 0, n = 1 + wd_rand_below(&r, 20); i < n; i++)
            wd_buf_str(&text, parts[wd_rand_below(&r, WD_COUNT(parts))]);
        size_t at = 0;
        while (at < text.n) {
            const size_t end = wd_pretok_next(unicode, wd_buf_view(&text), at);
            assert_true(end > at && end <= text.n);
            assert_true(wd_utf8_valid(wd_span_sub(wd_buf_view(&text), at, end - at)));
            at = end;
        }
        wd_buf_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_and_digits_are_cut_as_specified),
        cmocka_unit_test(contractions_are_cut_whatever_their_case),
        cmocka_unit_test(white_space_is_shared_out_as_specified),
        cmocka_unit_test(marks_are_no_letters),
        cmocka_unit_test(pieces_cover_any_text),
    };
    return cmocka_run_group_tests(tests, open_tables, close_tables);
}
