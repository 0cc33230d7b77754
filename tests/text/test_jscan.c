/* The pull reader for JSON. */
#include "support/test.h"

#include "text/jscan.h"

static wd_status read_one_string(const char *json, wd_buf *out, wd_err *err)
{
    wd_jscan s;
    wd_span got = { 0 };

    wd_jscan_init(&s, wd_span_str(json), "t");
    wd_status st = wd_jscan_string(&s, &got, err);
    if (!st)
        wd_buf_span(out, got);
    if (!st)
        st = wd_jscan_end(&s, err);
    wd_jscan_free(&s);
    return st;
}

static wd_status skip_one(const char *json, wd_buf *out, wd_err *err)
{
    wd_jscan s;
    wd_span got = { 0 };

    wd_jscan_init(&s, wd_span_str(json), "t");
    wd_status st = wd_jscan_skip(&s, &got, err);
    if (!st)
        wd_buf_span(out, got);
    return st ? st : wd_jscan_end(&s, err);
}

static wd_status read_number(const char *json, uint64_t *v, wd_err *err)
{
    wd_jscan s;

    wd_jscan_init(&s, wd_span_str(json), "t");
    WD_TRY(wd_jscan_uint(&s, 1000, "the id", v, err));
    return wd_jscan_end(&s, err);
}

static void strings_lose_their_escapes(void **state)
{
    wd_buf b = { 0 };
    (void)state;

    assert_ok(read_one_string(" \"a\\n\\\"\\\\\\/\\u0120\\ud83d\\ude00z\" ", &b, &err));
    assert_string_equal((const char *)b.p, "a\n\"\\/\xC4\xA0\xF0\x9F\x98\x80z");
    wd_buf_clear(&b);
    assert_ok(read_one_string("\"plain \xE8\x82\xBA\"", &b, &err));
    assert_string_equal((const char *)b.p, "plain \xE8\x82\xBA");
    wd_buf_free(&b);
}

static void broken_strings_are_refused(void **state)
{
    static const char *const bad[] = { "\"abc",        "\"a\\",       "\"a\\q\"",
                                       "\"\\u12g4\"",  "\"\\u12\"",   "\"\\ud83d\"",
                                       "\"\\ud83dx\"", "\"\\ude00\"", "\"\\ud83d\\u0041\"",
                                       "\"a\nb\"",     "abc",         "",
                                       "\"a\" b" };
    wd_buf b = { 0 };
    (void)state;

    for (size_t i = 0; i < WD_COUNT(bad); i++)
        assert_fails(read_one_string(bad[i], &b, &err), WD_E_CORRUPT, "t: ");
    wd_buf_free(&b);
}

static void numbers_keep_to_their_limit(void **state)
{
    static const char *const bad[] = { "-1", "1.0", "1e2", "01", "x", "\"1\"", "null" };
    uint64_t v = 0;
    (void)state;

    assert_ok(read_number(" 1000 ", &v, &err));
    assert_int_equal(v, 1000);
    assert_ok(read_number("0", &v, &err));
    assert_int_equal(v, 0);
    assert_fails(read_number("1001", &v, &err), WD_E_LIMIT, "the id is over 1000");
    assert_fails(read_number("4294967297", &v, &err), WD_E_LIMIT, "over 1000");
    assert_fails(read_number("99999999999999999999999999", &v, &err), WD_E_LIMIT, "over 1000");
    for (size_t i = 0; i < WD_COUNT(bad); i++)
        assert_fails(read_number(bad[i], &v, &err), WD_E_INVALID, "is not a whole number");
    assert_fails(read_number("", &v, &err), WD_E_CORRUPT, "cut off");
}

static void skipping_gives_the_values_text(void **state)
{
    wd_buf b = { 0 };
    (void)state;

    assert_ok(skip_one(" {\"a\":[1,{\"]\":\"\\\"}\"}],\"b\":null} ", &b, &err));
    assert_string_equal((const char *)b.p, "{\"a\":[1,{\"]\":\"\\\"}\"}],\"b\":null}");
    wd_buf_clear(&b);
    assert_ok(skip_one("-1.5e3", &b, &err));
    assert_string_equal((const char *)b.p, "-1.5e3");
    assert_fails(skip_one("{\"a\":[1", &b, &err), WD_E_CORRUPT, "the end of a value");
    assert_fails(skip_one("[\"a\\\"", &b, &err), WD_E_CORRUPT, "the end of a string");
    assert_fails(skip_one("[\"a\\", &b, &err), WD_E_CORRUPT, "the end of a string");
    assert_fails(skip_one(",", &b, &err), WD_E_CORRUPT, "a value");
    wd_buf_free(&b);
}

static void deep_nesting_is_skipped_without_recursion(void **state)
{
    wd_buf text = { 0 }, b = { 0 };
    (void)state;

    for (int i = 0; i < 1000000; i++)
        wd_buf_char(&text, '[');
    assert_fails(skip_one((const char *)text.p, &b, &err), WD_E_CORRUPT, "cut off");
    wd_buf_free(&text);
    wd_buf_free(&b);
}

static void members_are_counted_out(void **state)
{
    wd_jscan s;
    bool more;
    (void)state;

    wd_jscan_init(&s, WD_SPAN_LIT("[1, 2,]"), "t");
    uint64_t v;
    assert_ok(wd_jscan_enter(&s, '[', "list", &err));
    assert_ok(wd_jscan_more(&s, '[', true, &more, &err));
    assert_ok(wd_jscan_uint(&s, 9, "n", &v, &err));
    assert_ok(wd_jscan_more(&s, '[', false, &more, &err));
    assert_ok(wd_jscan_uint(&s, 9, "n", &v, &err));
    assert_fails(wd_jscan_more(&s, '[', false, &more, &err), WD_E_CORRUPT, "another member");
    wd_jscan_init(&s, WD_SPAN_LIT("[1 2]"), "t");
    assert_ok(wd_jscan_enter(&s, '[', "list", &err));
    assert_ok(wd_jscan_uint(&s, 9, "n", &v, &err));
    assert_fails(wd_jscan_more(&s, '[', false, &more, &err), WD_E_CORRUPT, "',' or ']'");
    wd_jscan_init(&s, WD_SPAN_LIT("{}"), "t");
    assert_fails(wd_jscan_enter(&s, '[', "list", &err), WD_E_INVALID, "list is not an array");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_lose_their_escapes),
        cmocka_unit_test(broken_strings_are_refused),
        cmocka_unit_test(numbers_keep_to_their_limit),
        cmocka_unit_test(skipping_gives_the_values_text),
        cmocka_unit_test(deep_nesting_is_skipped_without_recursion),
        cmocka_unit_test(members_are_counted_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
