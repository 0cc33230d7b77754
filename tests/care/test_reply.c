/* Replies: white space, fences, and the first JSON among words. */
#include "care/reply.h"

#include "support/test.h"

static void a_body_stands_between_fences_or_is_all(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { " {} \n", "{}" },         { "Here:\n```json\n{\"a\": 1}\n```\nDone.", "{\"a\": 1}" },
        { "```{}```", "```{}```" }, { "```json\n{}", "```json\n{}" },
        { " \t\r\n", "" },
    };
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        const wd_span b = wd_reply_body(wd_span_str(cases[i][0]));
        assert_int_equal(b.n, strlen(cases[i][1]));
        assert_memory_equal(b.p, cases[i][1], b.n);
    }
}

static void the_first_json_is_found_among_words(void **state)
{
    (void)state;
    json_t *v = wd_reply_json(WD_SPAN_LIT("Note [1]: {\"a\": 2} and more"), "{", NULL);
    assert_int_equal(json_integer_value(json_object_get(v, "a")), 2);
    json_decref(v);
    v = wd_reply_json(WD_SPAN_LIT("```\n[7] {}"), "[{", NULL);
    assert_int_equal(json_integer_value(json_array_get(v, 0)), 7);
    json_decref(v);
    bool no_memory = false;
    static const wd_span bad[] = { { 0 },
                                   WD_SPAN_LIT("none"),
                                   WD_SPAN_LIT("{\"a\": 1, \"a\": 2}"),
                                   WD_SPAN_LIT("{\"a\": "),
                                   WD_SPAN_LIT("\0\0") };
    for (size_t i = 0; i < WD_COUNT(bad); i++)
        assert_null(wd_reply_json(bad[i], "[{", &no_memory));
    assert_false(no_memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_stands_between_fences_or_is_all),
        cmocka_unit_test(the_first_json_is_found_among_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
