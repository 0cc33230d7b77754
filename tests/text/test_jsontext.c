#include "text/jsontext.h"

#include <math.h>

#include "base/digest.h"
#include "base/json.h"
#include "cases.h"
#include "support/test.h"

/* What Python 3.11 prints for json.dumps(json.loads(text), ensure_ascii=False). */
static const struct {
    const char *text, *printed;
} good[] = {
    { "{}", "{}" },
    { " [ ] ", "[]" },
    { "{\"a\":1,\"b\":[1,2,{\"c\":null}]}", "{\"a\": 1, \"b\": [1, 2, {\"c\": null}]}" },
    { "{\"z\":1,\"a\":2}", "{\"z\": 1, \"a\": 2}" },
    { "[true,false,null]", "[true, false, null]" },
    { "\"\\u00e9\\u4e2d\\ud83e\\ude7b\"", "\"é中🩻\"" },
    { "\"\\/\\b\\f\\n\\r\\t\\u0001\\u001f\\\"\\\\\"", "\"/\\b\\f\\n\\r\\t\\u0001\\u001f\\\"\\\\\"" },
    { "\"\\u007f\\u0080\\u2028\"", "\"\x7f\xc2\x80\xe2\x80\xa8\"" },
    { "\"\\u0000\"", "\"\\u0000\"" },
    { "-0", "0" },
    { "-0.0", "-0.0" },
    { "-0e0", "-0.0" },
    { "1.0", "1.0" },
    { "1E5", "100000.0" },
    { "100e-2", "1.0" },
    { "1e16", "1e+16" },
    { "1e15", "1000000000000000.0" },
    { "123456789012345678", "123456789012345678" },
    { "-340282366920938463463374607431768211456", "-340282366920938463463374607431768211456" },
    { "0.0001", "0.0001" },
    { "0.00001", "1e-05" },
    { "1e400", "Infinity" },
    { "-1e400", "-Infinity" },
    { "1e-400", "0.0" },
    { "0.1", "0.1" },
    { "\"<script>&'\"", "\"<script>&'\"" },
};

static void text_is_printed_as_python_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < WD_COUNT(good); i++) {
        wd_buf out = { 0 };
        assert_ok(wd_jsontext_text(wd_span_str(good[i].text), "t", NULL, &out, &err));
        assert_string_equal((const char *)out.p, good[i].printed);
        wd_buf_free(&out);
    }
}

static void bad_json_is_refused_with_its_byte(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "[",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "[1,]",
        "[1 2]",
        "{a:1}",
        "{'a':1}",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "NaN",
        "nul",
        "truex",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\t\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "1 2",
        "]",
        "{}}",
        "[}",
        "{\"a\":1]",
        "Infinity",
        "-Infinity",
        "\"\xff\"",
        "\"\xed\xa0\x80\"",
        "\xef\xbb\xbf{}",
        "\"\\ud800\\u0041\"",
        "{\"a\":1 \"b\":2}",
        "[,1]",
        "\"\\",
        "\"\\u",
        "{\"a\"",
        "{\"a\":",
        "/**/1",
    };
    for (size_t i = 0; i < WD_COUNT(bad); i++) {
        wd_buf out = { 0 };
        assert_fails(wd_jsontext_text(wd_span_str(bad[i]), "the tool", NULL, &out, &err), WD_E_INVALID,
                     "the tool: ");
        wd_buf_free(&out);
    }
    wd_buf out = { 0 };
    assert_fails(wd_jsontext_text(WD_SPAN_LIT("{\"a\": x}"), "tools", NULL, &out, &err), WD_E_INVALID,
                 "byte 6");
    wd_buf_free(&out);
}

static void a_doubled_key_is_refused_in_its_own_object_only(void **state)
{
    (void)state;
    wd_buf out = { 0 };
    assert_ok(wd_jsontext_text(WD_SPAN_LIT("[{\"a\":1},{\"a\":{\"a\":2}}]"), "t", NULL, &out, &err));
    assert_fails(wd_jsontext_text(WD_SPAN_LIT("{\"a\":1,\"b\":{},\"\\u0061\":2}"), "t", NULL, &out, &err),
                 WD_E_INVALID, "twice");
    wd_buf_free(&out);
}

static void nesting_is_limited_for_text_and_values_alike(void **state)
{
    (void)state;
    char text[2 * WD_JSONTEXT_DEPTH + 3];
    wd_buf out = { 0 };
    for (size_t n = WD_JSONTEXT_DEPTH; n <= WD_JSONTEXT_DEPTH + 1; n++) {
        memset(text, '[', n);
        memset(text + n, ']', n);
        json_t *v = NULL;
        assert_ok(wd_json_parse(wd_span_of(text, 2 * n), "t", &v, &err));
        if (n == WD_JSONTEXT_DEPTH) {
            assert_ok(wd_jsontext_text(wd_span_of(text, 2 * n), "t", NULL, &out, &err));
            assert_ok(wd_jsontext_value(v, "t", &out, &err));
        } else {
            assert_fails(wd_jsontext_text(wd_span_of(text, 2 * n), "t", NULL, &out, &err), WD_E_LIMIT,
                         "nested");
            assert_fails(wd_jsontext_value(v, "t", &out, &err), WD_E_LIMIT, "nested");
        }
        json_decref(v);
    }
    wd_buf_free(&out);
}

static void an_endless_integer_is_refused(void **state)
{
    (void)state;
    static char digits[WD_JSONTEXT_DIGITS + 1];
    wd_buf out = { 0 };
    memset(digits, '9', sizeof digits);
    assert_ok(wd_jsontext_text(wd_span_of(digits, WD_JSONTEXT_DIGITS), "t", NULL, &out, &err));
    assert_int_equal(out.n, WD_JSONTEXT_DIGITS);
    assert_fails(wd_jsontext_text(wd_span_of(digits, sizeof digits), "t", NULL, &out, &err), WD_E_LIMIT,
                 "4300 digits");
    wd_buf_free(&out);
}

static void lines_puts_each_element_behind_a_newline(void **state)
{
    (void)state;
    wd_buf out = { 0 };
    size_t n;
    assert_ok(wd_jsontext_lines(WD_SPAN_LIT(" [{\"a\":[1,2]}, \"x\" ,3.0] "), "tools", &n, &out, &err));
    assert_int_equal(n, 3);
    assert_string_equal((const char *)out.p, "\n{\"a\": [1, 2]}\n\"x\"\n3.0");
    wd_buf_clear(&out);
    assert_ok(wd_jsontext_lines(WD_SPAN_LIT("[]"), "tools", &n, &out, &err));
    assert_int_equal(n + out.n, 0);
    assert_fails(wd_jsontext_lines(WD_SPAN_LIT("{}"), "tools", &n, &out, &err), WD_E_INVALID, "an array");
    assert_fails(wd_jsontext_lines(WD_SPAN_LIT("[] x"), "tools", &n, &out, &err), WD_E_INVALID, "the end");
    assert_fails(wd_jsontext_lines(WD_SPAN_LIT("[1"), "tools", &n, &out, &err), WD_E_INVALID, "ends early");
    wd_buf_free(&out);
}

static wd_span member(const char *object, const char *key)
{
    wd_span out = { 0 };
    assert_ok(wd_jsontext_member(wd_span_str(object), key, &out, &err));
    return out;
}

static void member_finds_bytes_of_valid_objects_only(void **state)
{
    (void)state;
    const char *o = " {\"x\": {\"name\": 1}, \"name\" : \"f\\n\" , \"arguments\":{ \"a\" : [ 1 ] } } ";
    assert_true(wd_span_is(member(o, "name"), "\"f\\n\""));
    assert_true(wd_span_is(member(o, "arguments"), "{ \"a\" : [ 1 ] }"));
    assert_int_equal(member(o, "a").n, 0);
    assert_true(wd_span_is(member("{\"n\\u0061me\": 7}", "name"), "7"));

    static const char *const bad[] = { "{\"name\": 1", "{\"name\": 1} x", "[\"name\"]", "",
                                       "{\"name\": 1, \"name\": 2}" };
    for (size_t i = 0; i < WD_COUNT(bad); i++) {
        wd_span out = { 0 };
        assert_fails(wd_jsontext_member(wd_span_str(bad[i]), "name", &out, &err), WD_E_INVALID, "name: ");
        assert_int_equal(out.n, 0);
    }
}

static void unquote_reads_what_a_string_spells(void **state)
{
    (void)state;
    wd_buf out = { 0 };
    assert_ok(wd_jsontext_unquote(WD_SPAN_LIT(" \"a\\u0062\\n\" "), &out, &err));
    assert_string_equal((const char *)out.p, "ab\n");
    assert_fails(wd_jsontext_unquote(WD_SPAN_LIT("\"a\" b"), &out, &err), WD_E_INVALID, "the end");
    assert_fails(wd_jsontext_unquote(WD_SPAN_LIT("1"), &out, &err), WD_E_INVALID, "a string");
    wd_buf_free(&out);
}

static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static void put_line(wd_buf *out, double v, size_t *n)
{
    wd_jsontext_float(v, out);
    wd_buf_char(out, '\n');
    (*n)++;
}

/* The same numbers as floats() in tools/golden/chat.py. */
static void floats_are_printed_as_python_does(void **state)
{
    (void)state;
    wd_buf out = { 0 };
    size_t n = 0;
    uint64_t whole = 1;
    for (int e = -1074; e < 1024; e++) {
        const double v = ldexp(1, e);
        put_line(&out, nextafter(v, 0), &n);
        put_line(&out, v, &n);
        put_line(&out, nextafter(v, INFINITY), &n);
    }
    for (uint64_t i = 0; i < 100000; i++) {
        const uint64_t bits = mix(i);
        double v;
        memcpy(&v, &bits, sizeof v);
        if (isfinite(v))
            put_line(&out, v, &n);
    }
    for (uint64_t i = 0; i < 20000; i++) {
        double scale = 1;
        whole = 10;
        for (uint64_t k = 0; k < i % 17; k++)
            whole *= 10;
        for (uint64_t k = 0; k < i % 23; k++)
            scale *= 10;
        put_line(&out, (double)(mix(i) % whole) / scale, &n);
    }
    json_t *doc = cases_read("floats");
    const json_t *want = json_array_get(json_object_get(doc, "cases"), 0);
    wd_digest d;
    char hex[65];
    wd_digest_of(wd_buf_view(&out), &d);
    wd_digest_hex(&d, hex);
    assert_int_equal(n, json_integer_value(json_object_get(want, "n")));
    assert_string_equal(hex, json_string_value(json_object_get(want, "blake2b")));
    json_decref(doc);
    wd_buf_free(&out);
}

static void every_failing_allocation_is_reported(void **state)
{
    (void)state;
    bool passed = false;
    for (uint64_t nth = 1; !passed; nth++) {
        wd_buf out = { 0 };
        wd_err err;
        wd_inject_failure(nth);
        const wd_status st = wd_jsontext_text(WD_SPAN_LIT("{\"a\":[1,2.5,\"\\u00e9\"],\"b\":{\"a\":1}}"), "t",
                                              NULL, &out, &err);
        passed = wd_inject_failure(0) < nth;
        assert_int_equal(st, passed ? WD_OK : WD_E_NOMEM);
        wd_buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_printed_as_python_does),
        cmocka_unit_test(bad_json_is_refused_with_its_byte),
        cmocka_unit_test(a_doubled_key_is_refused_in_its_own_object_only),
        cmocka_unit_test(nesting_is_limited_for_text_and_values_alike),
        cmocka_unit_test(an_endless_integer_is_refused),
        cmocka_unit_test(lines_puts_each_element_behind_a_newline),
        cmocka_unit_test(member_finds_bytes_of_valid_objects_only),
        cmocka_unit_test(unquote_reads_what_a_string_spells),
        cmocka_unit_test(floats_are_printed_as_python_does),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
