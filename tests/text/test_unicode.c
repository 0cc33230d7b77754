/* Character classes and NFC against utf8proc. */
#include "support/test.h"

#include <stdlib.h>

#include <utf8proc.h>

#include "base/rand.h"
#include "base/utf8.h"
#include "text/unicode.h"

static bool surrogate(uint32_t c)
{
    return c >= 0xD800 && c < 0xE000;
}

static wd_buf nfc(const wd_unicode *u, wd_span text)
{
    wd_buf out = { 0 };
    assert_ok(wd_unicode_nfc(u, text, &out, &err));
    return out;
}

static void assert_nfc(const wd_unicode *u, const char *text, const char *want)
{
    wd_buf got = nfc(u, wd_span_str(text));
    assert_string_equal((const char *)got.p, want);
    wd_buf_free(&got);
}

/* The library may know fewer letters than the tables or, one day, more; where both know one they agree. */
static void classes_agree_with_utf8proc_where_both_know_the_character(void **state)
{
    wd_unicode *u = wd_unicode_create();
    size_t n_letter = 0, n_number = 0, n_unknown = 0;
    const bool newer = strcmp(utf8proc_unicode_version(), "16") > 0; /* than the tables */
    (void)state;

    for (uint32_t c = 0; c < WD_UNICODE_END; c++) {
        const utf8proc_category_t cat = utf8proc_category((utf8proc_int32_t)c);
        const bool letter = u->of[c] & WD_UC_LETTER, number = u->of[c] & WD_UC_NUMBER;
        n_letter += letter;
        n_number += number;
        assert_false(letter && number);
        if (cat == UTF8PROC_CATEGORY_CN || surrogate(c)) {
            n_unknown += letter || number;
            continue;
        }
        if (newer && !letter && !number)
            continue;
        const bool lib_letter = cat >= UTF8PROC_CATEGORY_LU && cat <= UTF8PROC_CATEGORY_LO;
        const bool lib_number = cat >= UTF8PROC_CATEGORY_ND && cat <= UTF8PROC_CATEGORY_NO;
        if (lib_letter != letter || lib_number != number)
            fail_msg("U+%04X: letter %d, number %d, category %d", (unsigned)c, letter, number, (int)cat);
    }
    assert_int_equal(n_letter, 141028);
    assert_int_equal(n_number, 1911);
    assert_in_range(n_unknown, 0, 10000); /* what came after the library's Unicode version */
    wd_free(u);
}

static void white_space_is_unicodes_25_characters(void **state)
{
    wd_unicode *u = wd_unicode_create();
    size_t n = 0;
    (void)state;

    for (uint32_t c = 0; c < WD_UNICODE_END; c++)
        n += (u->of[c] & WD_UC_SPACE) != 0;
    assert_int_equal(n, 25);
    assert_true(u->of[0x85] & u->of[0xA0] & u->of[0x3000] & u->of[0x2028] & WD_UC_SPACE);
    assert_false((u->of[0x200B] | u->of[0xFEFF] | u->of[0x180E]) & WD_UC_SPACE);
    wd_free(u);
}

/* utf8proc's own NFC of text in characters older than the reference's normaliser. */
static void nfc_of_random_marks_is_utf8procs(void **state)
{
    static const uint32_t pick[] = { 'a',   'e',    'q',    0x1112, 0x1161,  0x11AB, 0xAC00, 0xAC01,
                                     0x915, 0x93C,  0x958,  0x1E69, 0x212B,  0x344,  0xFB1D, 0x3B1,
                                     0x345, 0x1F71, 0x4E00, 0xF900, 0x2F81A, 0x1D15E };
    wd_unicode *u = wd_unicode_create();
    wd_rand r;
    (void)state;

    wd_rand_init(&r, 3);
    for (int round = 0; round < 20000; round++) {
        wd_buf text = { 0 };
        const size_t n = 1 + wd_rand_below(&r, 40);
        for (size_t i = 0; i < n; i++) {
            uint8_t utf8[4];
            const uint32_t c = wd_rand_below(&r, 3) ? 0x300 + (uint32_t)wd_rand_below(&r, 0x70)
                                                    : pick[wd_rand_below(&r, WD_COUNT(pick))];
            wd_buf_put(&text, utf8, wd_utf8_put(c, utf8));
        }
        wd_buf got = nfc(u, wd_buf_view(&text));
        uint8_t *want = utf8proc_NFC(text.p);
        assert_string_equal((const char *)got.p, (const char *)want);
        const size_t done = wd_unicode_nfc_prefix(u, wd_buf_view(&text));
        assert_true(done <= got.n && memcmp(got.p, text.p, done) == 0);
        free(want);
        wd_buf_free(&got);
        wd_buf_free(&text);
    }
    wd_free(u);
}

static void nfc_composes_orders_and_excludes(void **state)
{
    wd_unicode *u = wd_unicode_create();
    (void)state;

    assert_nfc(u, "plain", "plain");
    assert_nfc(u, "e\xCC\x81t\xC3\xA9", "\xC3\xA9t\xC3\xA9");
    assert_nfc(u, "h\xCC\x82\xCC\xA3", "\xE1\xB8\xA5\xCC\x82");            /* h, dot below, circumflex */
    assert_nfc(u, "\xC4\xA5\xCC\xA3", "\xE1\xB8\xA5\xCC\x82");             /* the circumflex makes way */
    assert_nfc(u, "\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB", "\xED\x95\x9C"); /* Hangul */
    assert_nfc(u, "\xE0\xA5\x98", "\xE0\xA4\x95\xE0\xA4\xBC");             /* U+0958 is excluded */
    assert_nfc(u, "\xE2\x84\xAB\xE2\x84\xAA", "\xC3\x85K");                /* Angstrom and Kelvin signs */
    wd_free(u);
}

/* The reference's normaliser is frozen at Unicode 9: later marks stay where they are. */
static void nfc_leaves_characters_newer_than_the_reference(void **state)
{
    wd_unicode *u = wd_unicode_create();
    (void)state;

    assert_nfc(u, "q\xCC\x81\xE0\xBA\xBA", "q\xCC\x81\xE0\xBA\xBA");                       /* U+0EBA */
    assert_nfc(u, "\xF0\x91\xA4\xB5\xF0\x91\xA4\xB0", "\xF0\x91\xA4\xB5\xF0\x91\xA4\xB0"); /* U+11935 11930 */
    wd_free(u);
}

static void nfc_of_endless_marks_is_linear(void **state)
{
    wd_unicode *u = wd_unicode_create();
    wd_buf text = { 0 };
    (void)state;

    for (int i = 0; i < 250000; i++) /* classes 230 and 220 in turn: a sort by insertion would take hours */
        wd_buf_str(&text, "\xCC\x81\xCC\x96");
    wd_buf got = nfc(u, wd_buf_view(&text));
    assert_int_equal(got.n, text.n);
    for (size_t i = 0; i < got.n; i += 2)
        assert_int_equal(got.p[i + 1], i < got.n / 2 ? 0x96 : 0x81);
    wd_buf_free(&got);
    wd_buf_free(&text);
    wd_free(u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_agree_with_utf8proc_where_both_know_the_character),
        cmocka_unit_test(white_space_is_unicodes_25_characters),
        cmocka_unit_test(nfc_of_random_marks_is_utf8procs),
        cmocka_unit_test(nfc_composes_orders_and_excludes),
        cmocka_unit_test(nfc_leaves_characters_newer_than_the_reference),
        cmocka_unit_test(nfc_of_endless_marks_is_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
