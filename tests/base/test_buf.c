/* Spans, buffers, UTF-8, maps. */
#include "support/test.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/map.h"
#include "base/utf8.h"

static void buffer_refuses_to_pass_its_limit_and_keeps_what_it_had(void **state)
{
    (void)state;
    wd_buf b = { .max = 8 };
    wd_buf_str(&b, "12345678");
    assert_false(b.failed);
    wd_buf_char(&b, '9');
    assert_true(b.failed);
    assert_int_equal(b.n, 8);
    assert_string_equal((char *)b.p, "12345678");
    assert_fails(wd_buf_check(&b, "body", &err), WD_E_LIMIT, "body: more than 8 bytes");
    wd_buf_free(&b);
}

static void a_json_list_never_has_a_hole(void **state)
{
    (void)state;
    json_t *list = json_array();
    wd_json_append(&list, json_integer(1));
    wd_json_append(&list, json_integer(2));
    assert_int_equal(json_array_size(list), 2);
    wd_json_append(&list, NULL);
    assert_null(list);
    wd_json_append(&list, json_integer(3)); /* given up as well */
    assert_null(list);
}

static void json_string_escapes_controls_and_mends_bad_utf8(void **state)
{
    (void)state;
    wd_buf b = { 0 };
    wd_buf_json(&b, wd_span_of("a\"\\\n\x01\xff\xe4\xb8\xad", 9));
    assert_string_equal((char *)b.p, "\"a\\\"\\\\\\n\\u0001\xEF\xBF\xBD\xe4\xb8\xad\"");
    wd_buf_free(&b);
}

/* Unicode 15, section 3.9, table 3-8: the maximal subparts of this string are five U+FFFD. */
static void utf8_replaces_maximal_subparts(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        { "\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", "????????A" },
        { "\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", "????????A" },
        { "\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", "?????A??B" },
        { "\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", "????A" },
    };
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        wd_buf b = { 0 }, want = { 0 };
        wd_utf8_sanitize(wd_span_str(cases[i].in), &b);
        for (const char *c = cases[i].out; *c; c++)
            *c == '?' ? wd_buf_str(&want, "\xEF\xBF\xBD") : wd_buf_char(&want, *c);
        assert_string_equal((char *)b.p, (char *)want.p);
        assert_false(wd_utf8_valid(wd_span_str(cases[i].in)));
        wd_buf_free(&b);
        wd_buf_free(&want);
    }
    assert_true(wd_utf8_valid(WD_SPAN_LIT("\xEF\xBF\xBD is itself valid")));
}

static void utf8_round_trips_every_scalar_value(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        if (cp >= 0xD800 && cp <= 0xDFFF)
            continue;
        uint8_t u[4];
        const size_t n = wd_utf8_put(cp, u);
        size_t took;
        assert_int_equal(wd_utf8_next(wd_span_of(u, n), 0, &took), cp);
        assert_int_equal(took, n);
        for (size_t cut = 1; cut < n; cut++)
            assert_int_equal(wd_utf8_partial(wd_span_of(u, cut)), cut);
        assert_int_equal(wd_utf8_partial(wd_span_of(u, n)), 0);
    }
}

static void map_finds_every_key_in_order_of_insertion(void **state)
{
    (void)state;
    wd_map *m = wd_map_create(0);
    char key[32];
    for (int i = 0; i < 5000; i++) {
        const int n = snprintf(key, sizeof key, "layers.%d.weight", i);
        bool was = true;
        assert_int_equal(wd_map_put(m, wd_span_of(key, (size_t)n), (uint64_t)i * 3, &was), WD_OK);
        assert_false(was);
    }
    bool was = false;
    assert_int_equal(wd_map_put(m, WD_SPAN_LIT("layers.7.weight"), 1, &was), WD_OK);
    assert_true(was);
    assert_int_equal(wd_map_count(m), 5000);
    uint64_t v;
    assert_true(wd_map_get(m, WD_SPAN_LIT("layers.4999.weight"), &v));
    assert_int_equal(v, 4999 * 3);
    assert_true(wd_map_get(m, WD_SPAN_LIT("layers.7.weight"), &v));
    assert_int_equal(v, 1);
    assert_false(wd_map_get(m, WD_SPAN_LIT("layers.5000.weight"), &v));
    assert_true(wd_span_is(wd_map_key(m, 3), "layers.3.weight"));
    wd_map_destroy(m);
}

static void nothing_leaks_when_any_allocation_fails(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        wd_inject_failure(nth);
        wd_map *m = wd_map_create(0);
        wd_buf b = { 0 };
        for (int i = 0; m && i < 40; i++) {
            wd_buf_printf(&b, "key %d;", i);
            if (b.failed || wd_map_put(m, wd_buf_view(&b), 1, NULL))
                break;
        }
        wd_map_destroy(m);
        wd_buf_free(&b);
        if (wd_inject_failure(0) < nth)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffer_refuses_to_pass_its_limit_and_keeps_what_it_had),
        cmocka_unit_test(a_json_list_never_has_a_hole),
        cmocka_unit_test(json_string_escapes_controls_and_mends_bad_utf8),
        cmocka_unit_test(utf8_replaces_maximal_subparts),
        cmocka_unit_test(utf8_round_trips_every_scalar_value),
        cmocka_unit_test(map_finds_every_key_in_order_of_insertion),
        cmocka_unit_test(nothing_leaks_when_any_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
