/* Prompt templates. */
#include "support/test.h"

#include <stdio.h>

#include "care/prompt_file.h"

static wd_status fill(const char *text, wd_buf *out, wd_err *err)
{
    char *dir = test_make_dir(), path[600];
    test_write(dir, "p.txt", text, strlen(text));
    snprintf(path, sizeof path, "%s/p.txt", dir);
    wd_arena *a = wd_arena_create(1 << 20, false);
    wd_prompt_file f;
    static const wd_prompt_value values[] = { { "a", { (const uint8_t *)"{{b}}", 5 } },
                                              { "b", { (const uint8_t *)"2", 1 } } };
    wd_status st = wd_prompt_file_read(path, a, &f, err);
    if (!st)
        st = wd_prompt_file_fill(&f, f.user, values, 2, out, err);
    wd_arena_destroy(a);
    test_rm_dir(dir);
    return st;
}

static void places_are_filled_once_and_values_are_not_searched(void **state)
{
    (void)state;
    wd_buf b = { 0 };
    assert_ok(fill("[system]\ns\n[user]\nx {{a}} y {{b}} {{ z\n[not a part]\n", &b, &err));
    assert_string_equal((char *)b.p, "x {{b}} y 2 {{ z\n[not a part]");
    wd_buf_free(&b);
}

static void an_unknown_place_or_missing_part_is_named(void **state)
{
    (void)state;
    wd_buf b = { 0 };
    assert_fails(fill("[system]\n\n[user]\n{{c}}\n", &b, &err), WD_E_INVALID, "{{c}} is no known place");
    assert_fails(fill("[user]\n{{a}}\n", &b, &err), WD_E_INVALID, "expected a [system] and a [user] part");
    wd_buf_free(&b);
}

static void any_allocation_or_read_may_fail(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        char *dir = test_make_dir(), path[600];
        test_write(dir, "p.txt", "[system]\ns\n[user]\nx {{a}}\n", 25);
        snprintf(path, sizeof path, "%s/p.txt", dir);
        static const wd_prompt_value values[] = { { "a", { (const uint8_t *)"1", 1 } } };
        wd_inject_failure(nth);
        wd_arena *a = wd_arena_create(1 << 20, false);
        wd_prompt_file f;
        wd_buf out = { 0 };
        wd_status st = a ? wd_prompt_file_read(path, a, &f, NULL) : WD_E_NOMEM;
        if (!st)
            st = wd_prompt_file_fill(&f, f.user, values, 1, &out, NULL);
        const bool injected = wd_inject_failure(0) >= nth;
        assert_true(!injected || st != WD_OK);
        wd_buf_free(&out);
        wd_arena_destroy(a);
        test_rm_dir(dir);
        if (!injected) {
            assert_int_equal(st, WD_OK);
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_filled_once_and_values_are_not_searched),
        cmocka_unit_test(any_allocation_or_read_may_fail),
        cmocka_unit_test(an_unknown_place_or_missing_part_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
