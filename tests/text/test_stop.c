#include "text/stop.h"

#include "base/rand.h"
#include "support/test.h"

/* What must come out of the whole text: everything before the stop string that is complete first. */
static size_t reference(wd_span text, const wd_span *stop, size_t n_stop, size_t *which)
{
    for (size_t end = 1; end <= text.n; end++) {
        size_t best = SIZE_MAX;
        for (size_t i = 0; i < n_stop; i++)
            if (stop[i].n <= end && memcmp(text.p + end - stop[i].n, stop[i].p, stop[i].n) == 0 &&
                (best == SIZE_MAX || stop[i].n > stop[best].n))
                best = i;
        if (best != SIZE_MAX) {
            *which = best;
            return end - stop[best].n;
        }
    }
    *which = SIZE_MAX;
    return text.n;
}

/* Feeds text cut at each bit of cuts (bit i: after byte i), or after every byte. */
static void check(wd_span text, const wd_span *stop, size_t n_stop, uint64_t cuts)
{
    wd_stop *s = NULL;
    wd_buf out = { 0 };
    size_t want_which, which = SIZE_MAX;
    const size_t want = reference(text, stop, n_stop, &want_which);
    bool done = false;
    assert_ok(wd_stop_create(stop, n_stop, &s, &err));
    for (size_t from = 0; from < text.n;) {
        size_t n = 1;
        while (from + n < text.n && !(cuts >> (from + n - 1) % 64 & 1))
            n++;
        done = wd_stop_feed(s, wd_span_sub(text, from, n), &out, &which);
        from += n;
        assert_true(out.n <= want); /* nothing of a stop string, at no time */
    }
    if (!done)
        wd_stop_end(s, &out);
    assert_int_equal(done, want_which != SIZE_MAX);
    assert_int_equal(which, want_which);
    assert_int_equal(out.n, want);
    assert_memory_equal(out.p ? out.p : (const uint8_t *)"", text.p, want);
    wd_stop_destroy(s);
    wd_buf_free(&out);
}

static void text_ends_before_the_first_complete_stop_string(void **state)
{
    (void)state;
    const wd_span stop[] = { WD_SPAN_LIT("END"), WD_SPAN_LIT("\n\nUser:"), WD_SPAN_LIT("aab"),
                             WD_SPAN_LIT("。停"), WD_SPAN_LIT("ND") };
    static const char *const text[] = {
        "hello ENDING", "hello EN",       "aaaaab", "aaaaaa", "x\n\n\nUser: y", "x\n\nUser",
        "报告。停止",   "报告。\xe5\x81", "E",      "",       "ENEND",          "aaND",
    };
    for (size_t i = 0; i < WD_COUNT(text); i++)
        for (uint64_t cuts = 0; cuts < 1u << 14; cuts++)
            check(wd_span_str(text[i]), stop, WD_COUNT(stop), cuts);
}

static void any_cut_gives_the_same_on_random_texts(void **state)
{
    (void)state;
    wd_rand r;
    wd_rand_init(&r, 3);
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[8][12], text[80];
        wd_span stop[8];
        const size_t n_stop = wd_rand_below(&r, 8), n = wd_rand_below(&r, sizeof text);
        for (size_t i = 0; i < n_stop; i++) {
            stop[i] = wd_span_of(bytes[i], 1 + wd_rand_below(&r, sizeof bytes[i]));
            for (size_t k = 0; k < stop[i].n; k++)
                bytes[i][k] = (uint8_t)('a' + wd_rand_below(&r, 2));
        }
        for (size_t k = 0; k < n; k++)
            text[k] = (uint8_t)('a' + wd_rand_below(&r, 8) / 4);
        check(wd_span_of(text, n), stop, n_stop, wd_rand_u64(&r));
        check(wd_span_of(text, n), stop, n_stop, UINT64_MAX);
    }
}

static void text_that_cannot_be_a_stop_string_passes_at_once(void **state)
{
    (void)state;
    const wd_span stop = WD_SPAN_LIT("</report>");
    wd_stop *s = NULL;
    wd_buf out = { 0 };
    assert_ok(wd_stop_create(&stop, 1, &s, &err));
    assert_false(wd_stop_feed(s, WD_SPAN_LIT("abc</re"), &out, NULL));
    assert_true(wd_span_is(wd_buf_view(&out), "abc"));
    assert_false(wd_stop_feed(s, WD_SPAN_LIT("st>"), &out, NULL));
    assert_true(wd_span_is(wd_buf_view(&out), "abc</rest>"));
    assert_false(wd_stop_feed(s, WD_SPAN_LIT("</report"), &out, NULL));
    assert_true(wd_stop_feed(s, WD_SPAN_LIT("> more"), &out, NULL));
    assert_true(wd_stop_feed(s, WD_SPAN_LIT("and more"), &out, NULL));
    wd_stop_end(s, &out);
    assert_true(wd_span_is(wd_buf_view(&out), "abc</rest>"));
    wd_stop_destroy(s);
    wd_buf_free(&out);
}

static void the_longest_stop_string_allowed_is_found(void **state)
{
    (void)state;
    static uint8_t text[3 * WD_STOP_BYTES_MAX];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 'y';
    const wd_span stop = wd_span_of(text + sizeof text - WD_STOP_BYTES_MAX, WD_STOP_BYTES_MAX);
    check(wd_span_of(text, sizeof text), &stop, 1, 0);
    check(wd_span_of(text, sizeof text), &stop, 1, UINT64_MAX);
    check(wd_span_of(text, sizeof text), &stop, 1, 0x8000100000000100u);
}

static void unusable_stop_strings_are_refused(void **state)
{
    (void)state;
    static const uint8_t many[WD_STOP_BYTES_MAX + 1];
    wd_span stop[WD_STOP_MAX + 1];
    wd_stop *s;
    for (size_t i = 0; i < WD_COUNT(stop); i++)
        stop[i] = WD_SPAN_LIT("x");
    assert_fails(wd_stop_create(stop, WD_STOP_MAX + 1, &s, &err), WD_E_INVALID,
                 "17 stop strings, expected at most 16");
    stop[2] = (wd_span){ 0 };
    assert_fails(wd_stop_create(stop, 3, &s, &err), WD_E_INVALID, "stop string 3 has 0 bytes");
    stop[2] = wd_span_of(many, sizeof many);
    assert_fails(wd_stop_create(stop, 3, &s, &err), WD_E_INVALID, "stop string 3 has 1025 bytes");
    bool passed = false;
    for (uint64_t nth = 1; !passed; nth++) {
        wd_err err;
        wd_inject_failure(nth);
        const wd_status st = wd_stop_create(stop, 2, &s, &err);
        passed = wd_inject_failure(0) < nth;
        assert_int_equal(st, passed ? WD_OK : WD_E_NOMEM);
        wd_stop_destroy(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_ends_before_the_first_complete_stop_string),
        cmocka_unit_test(any_cut_gives_the_same_on_random_texts),
        cmocka_unit_test(text_that_cannot_be_a_stop_string_passes_at_once),
        cmocka_unit_test(the_longest_stop_string_allowed_is_found),
        cmocka_unit_test(unusable_stop_strings_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
