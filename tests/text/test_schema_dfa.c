#include "text/schema/dfa.h"

#include <regex.h>

#include "base/rand.h"
#include "support/test.h"

static wd_arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = wd_arena_create((size_t)64 << 20, false);
    return arena ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    wd_arena_destroy(arena);
    return 0;
}

static const wd_dfa *regex(const char *re, bool search)
{
    const wd_dfa *d = NULL;
    assert_ok(wd_dfa_regex(arena, wd_span_str(re), search, "test", &d, &err));
    return d;
}

static void matches_what_the_expression_says(void **state)
{
    (void)state;
    static const struct {
        const char *re, *yes, *no; /* texts divided by spaces, "-": the empty one */
    } t[] = {
        { "abc", "abc", "- ab abcd" },
        { "a|bc|", "a bc -", "b abc" },
        { "[a-c]+x?", "a abcx", "x d ax1" },
        { "[^a-c]", "d é 漢", "a dd" },
        { "a{2}", "aa", "a aaa" },
        { "a{2,}", "aa aaaaa", "a" },
        { "a{1,3}b", "ab aaab", "b aaaab" },
        { "(?:ab)*c", "c ababc", "abac" },
        { "(a|b)(?<n>c|d)", "ac bd", "a cd" },
        { "\\d\\w\\.", "1a. 9_.", "aa. 1a1" },
        { "[\\d-]+", "1-2 -", "a" },
        { "a{", "a{", "a" },
        { "\\u00e9\\x41\\u{1F600}\\uD83D\\uDE00", "éA😀😀", "éA" },
        { "^ab$", "ab", "a" },
        { "a^b", "", "ab a b" },
        { "a$|b", "a b", "ab" },
        { ".", "a é", "-" },
        { "(a*)*b", "b aaab", "a" },
    };
    for (size_t i = 0; i < WD_COUNT(t); i++) {
        const wd_dfa *d = regex(t[i].re, false);
        for (int good = 0; good < 2; good++) {
            const char *p = good ? t[i].yes : t[i].no;
            while (*p) {
                const size_t n = strcspn(p, " ");
                const bool none = n == 1 && *p == '-' && !strchr(t[i].re, '-');
                if (wd_dfa_accepts(d, wd_span_of(p, none ? 0 : n)) != good)
                    fail_msg("%s and %.*s", t[i].re, (int)n, p);
                p += n + (p[n] == ' ');
            }
        }
    }
}

static void search_finds_it_anywhere(void **state)
{
    (void)state;
    assert_true(wd_dfa_accepts(regex("b+c", true), WD_SPAN_LIT("aabbca")));
    assert_false(wd_dfa_accepts(regex("b+c", true), WD_SPAN_LIT("aabba")));
    assert_true(wd_dfa_accepts(regex("^b", true), WD_SPAN_LIT("bx")));
    assert_false(wd_dfa_accepts(regex("^b", true), WD_SPAN_LIT("ab")));
    assert_true(wd_dfa_accepts(regex("b$", true), WD_SPAN_LIT("ab")));
    assert_false(wd_dfa_accepts(regex("b$", true), WD_SPAN_LIT("abx")));
    assert_true(wd_dfa_accepts(regex("", true), WD_SPAN_LIT("")));
    assert_true(wd_dfa_accepts(regex("x{1,100}y", true), WD_SPAN_LIT("axxxyb")));
    assert_int_equal(regex("a^", true)->n_state, 0);
}

/* Random expressions of a small alphabet against the C library's. */
static void put_random(wd_rand *r, wd_buf *b, int depth)
{
    static const char *const atom[] = { "a", "b", "c", "[ab]", "[^a]", "." };
    const uint64_t n = 1 + wd_rand_below(r, 3);
    for (uint64_t i = 0; i < n; i++) {
        if (depth < 3 && wd_rand_below(r, 3) == 0) {
            wd_buf_char(b, '(');
            put_random(r, b, depth + 1);
            if (wd_rand_below(r, 2)) {
                wd_buf_char(b, '|');
                put_random(r, b, depth + 1);
            }
            wd_buf_char(b, ')');
        } else {
            wd_buf_str(b, atom[wd_rand_below(r, WD_COUNT(atom))]);
        }
        static const char *const often[] = { "", "", "", "*", "+", "?", "{2}", "{1,3}", "{2,}" };
        wd_buf_str(b, often[wd_rand_below(r, WD_COUNT(often))]);
    }
}

static void agrees_with_the_c_library(void **state)
{
    (void)state;
    wd_rand r;
    int n_large = 0;
    wd_rand_init(&r, 5);
    for (int round = 0; round < 200; round++) {
        wd_buf re = { 0 };
        regex_t posix;
        put_random(&r, &re, 0);
        const bool search = wd_rand_below(&r, 2);
        const wd_dfa *d;
        wd_err err;
        const wd_status st = wd_dfa_regex(arena, wd_buf_view(&re), search, "test", &d, &err);
        if (st == WD_E_LIMIT) { /* "." and counts within each other */
            n_large++;
            wd_buf_free(&re);
            continue;
        }
        assert_int_equal(st, WD_OK);
        wd_buf whole = { 0 };
        wd_buf_printf(&whole, search ? "%s" : "^(%s)$", (const char *)re.p);
        assert_int_equal(regcomp(&posix, (const char *)whole.p, REG_EXTENDED | REG_NOSUB), 0);
        for (int i = 0; i < 60; i++) {
            char text[10];
            const size_t n = wd_rand_below(&r, sizeof text);
            for (size_t k = 0; k < n; k++)
                text[k] = (char)('a' + wd_rand_below(&r, 4));
            text[n] = 0;
            const bool want = regexec(&posix, text, 0, NULL, 0) == 0;
            if (wd_dfa_accepts(d, wd_span_of(text, n)) != want)
                fail_msg("%s on %s: expected %d", (const char *)whole.p, text, want);
        }
        regfree(&posix);
        wd_buf_free(&re);
        wd_buf_free(&whole);
    }
    assert_true(n_large < 20);
}

static void refuses_what_it_does_not_know(void **state)
{
    static const struct {
        const char *re;
        wd_status st;
        const char *part;
    } t[] = {
        { "(", WD_E_INVALID, "without" },
        { ")", WD_E_INVALID, "without" },
        { "[a", WD_E_INVALID, "without" },
        { "*", WD_E_INVALID, "nothing to repeat" },
        { "a**", WD_E_INVALID, "nothing" },
        { "a{3,2}", WD_E_INVALID, "minimum" },
        { "[b-a]", WD_E_INVALID, "rise" },
        { "\\", WD_E_INVALID, "backslash" },
        { "\\y", WD_E_INVALID, "escape" },
        { "\\u12", WD_E_INVALID, "hexadecimal" },
        { "\\uD800\\u0041", WD_E_INVALID, "" },
        { "\xff", WD_E_INVALID, "UTF-8" },
        { "(?=a)", WD_E_UNSUPPORTED, "ahead" },
        { "(?<!a)", WD_E_UNSUPPORTED, "behind" },
        { "(a)\\1", WD_E_UNSUPPORTED, "back" },
        { "\\p{L}", WD_E_UNSUPPORTED, "propert" },
        { "\\b", WD_E_UNSUPPORTED, "border" },
        { "a++", WD_E_UNSUPPORTED, "possessive" },
        { "a{6000}", WD_E_LIMIT, "5000" },
        { "(a{500}){500}", WD_E_LIMIT, "large" },
        { "(a|b)*a(a|b){20}", WD_E_LIMIT, "automaton" },
    };
    (void)state;
    for (size_t i = 0; i < WD_COUNT(t); i++) {
        const wd_dfa *d;
        assert_fails(wd_dfa_regex(arena, wd_span_str(t[i].re), false, "test", &d, &err), t[i].st, t[i].part);
    }
    wd_buf deep = { 0 };
    for (int i = 0; i < 5000; i++)
        wd_buf_char(&deep, '(');
    const wd_dfa *d;
    assert_fails(wd_dfa_regex(arena, wd_buf_view(&deep), false, "test", &d, &err), WD_E_LIMIT, "deeply");
    wd_buf_free(&deep);
}

static void products_are_both_or_the_first_alone(void **state)
{
    (void)state;
    const wd_dfa *x = regex("[a-c]{1,3}", false), *y = regex("b", true), *both, *without, *len;
    assert_ok(wd_dfa_product(arena, x, y, false, &both, &err));
    assert_ok(wd_dfa_product(arena, x, y, true, &without, &err));
    assert_ok(wd_dfa_length(arena, 2, 3, &len, &err));
    for (int i = 0; i < 4 * 4 * 4 * 4; i++) {
        char text[5] = { 0 };
        size_t n = 0;
        for (int k = i; k; k /= 4)
            text[n++] = (char)('a' + k % 4);
        const wd_span s = wd_span_of(text, n);
        const bool in_x = wd_dfa_accepts(x, s), in_y = wd_dfa_accepts(y, s);
        assert_int_equal(wd_dfa_accepts(both, s), in_x && in_y);
        assert_int_equal(wd_dfa_accepts(without, s), in_x && !in_y);
        assert_int_equal(wd_dfa_accepts(len, s), n == 2 || n == 3);
    }
    assert_ok(wd_dfa_product(arena, x, x, true, &without, &err));
    assert_int_equal(without->n_state, 0);
}

static void literals_are_exact(void **state)
{
    (void)state;
    const wd_span text[] = { WD_SPAN_LIT("a"), WD_SPAN_LIT("abc"), WD_SPAN_LIT("漢字"), WD_SPAN_LIT("") };
    const wd_dfa *d;
    assert_ok(wd_dfa_literals(arena, text, 4, &d, &err));
    for (size_t i = 0; i < 4; i++)
        assert_true(wd_dfa_accepts(d, text[i]));
    assert_false(wd_dfa_accepts(d, WD_SPAN_LIT("ab")));
    assert_false(wd_dfa_accepts(d, WD_SPAN_LIT("漢")));
    assert_false(wd_dfa_accepts(d, WD_SPAN_LIT("b")));
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        wd_arena *a = wd_arena_create((size_t)1 << 20, false);
        const wd_dfa *d = NULL;
        wd_err err;
        wd_inject_failure(nth);
        const wd_status st = wd_dfa_regex(a, WD_SPAN_LIT("^(?:[a-c]{2,3}|x)+$"), true, "test", &d, &err);
        const uint64_t left = wd_inject_failure(0);
        wd_arena_destroy(a);
        if (left < nth) {
            assert_int_equal(st, WD_OK);
            break;
        }
        assert_int_not_equal(st, WD_OK);
        assert_true(nth < 10000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_what_the_expression_says),
        cmocka_unit_test(search_finds_it_anywhere),
        cmocka_unit_test(agrees_with_the_c_library),
        cmocka_unit_test(refuses_what_it_does_not_know),
        cmocka_unit_test(products_are_both_or_the_first_alone),
        cmocka_unit_test(literals_are_exact),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("schema_dfa", tests, set_up, tear_down);
}
