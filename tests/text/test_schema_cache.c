#include "text/schema/cache.h"

#include <pthread.h>
#include <stdio.h>

#include "base/mem.h"
#include "support/test.h"

#define ROOM ((size_t)1 << 20)

static wd_constraint_source schema(const char *text)
{
    return (wd_constraint_source){ .kind = WD_CONSTRAINT_SCHEMA, .text = wd_span_str(text) };
}

/* What is got, and whether it was there. */
static bool was_there(wd_constraint_cache *k, uint64_t owner, wd_constraint_source s, wd_space space,
                      wd_constraint **out)
{
    bool hit;
    assert_ok(wd_constraint_cache_get(k, owner, &s, space, &hit, out, &err));
    return hit;
}

static void the_same_is_compiled_once(void **state)
{
    (void)state;
    const wd_span yes[] = { WD_SPAN_LIT("yes"), WD_SPAN_LIT("no") },
                  no[] = { WD_SPAN_LIT("yesn"), WD_SPAN_LIT("o") };
    const struct {
        wd_constraint_source s;
        wd_space space;
        uint64_t owner;
    } all[] = {
        { schema("{\"type\":\"string\"}"), WD_SPACE_BOUNDED, 1 },
        { schema("{\"type\":\"string\"}"), WD_SPACE_NONE, 1 },
        { schema("{\"type\":\"string\"}"), WD_SPACE_BOUNDED, 2 }, /* of another tenant */
        { schema("{\"type\": \"string\"}"), WD_SPACE_BOUNDED, 1 },
        { { .kind = WD_CONSTRAINT_OBJECT }, WD_SPACE_BOUNDED, 1 },
        { schema("{\"type\":\"object\"}"), WD_SPACE_BOUNDED, 1 },
        { { .kind = WD_CONSTRAINT_REGEX, .text = WD_SPAN_LIT("true") }, WD_SPACE_NONE, 1 },
        { schema("true"), WD_SPACE_NONE, 1 },
        { { .kind = WD_CONSTRAINT_CHOICE, .choice = yes, .n_choice = 2 }, WD_SPACE_NONE, 1 },
        { { .kind = WD_CONSTRAINT_CHOICE, .choice = no, .n_choice = 2 }, WD_SPACE_NONE, 1 },
        { { .kind = WD_CONSTRAINT_CHOICE, .choice = yes, .n_choice = 1 }, WD_SPACE_NONE, 1 },
    };
    wd_constraint_cache *k = NULL;
    wd_constraint *first[WD_COUNT(all)], *c;
    wd_constraint_cache_stats st;
    assert_ok(wd_constraint_cache_create(64 * ROOM, &k, &err));
    for (size_t i = 0; i < WD_COUNT(all); i++)
        assert_false(was_there(k, all[i].owner, all[i].s, all[i].space, &first[i]));
    for (size_t i = 0; i < WD_COUNT(all); i++) {
        assert_true(was_there(k, all[i].owner, all[i].s, all[i].space, &c));
        assert_ptr_equal(c, first[i]);
        wd_constraint_unref(&c);
    }
    assert_true(wd_constraint_accepts(first[8], WD_SPAN_LIT("no")));
    assert_false(wd_constraint_accepts(first[9], WD_SPAN_LIT("no")));
    wd_constraint_cache_state(k, &st);
    assert_int_equal(st.n, WD_COUNT(all));
    assert_int_equal(st.n_query, 2 * WD_COUNT(all));
    assert_int_equal(st.n_hit, WD_COUNT(all));
    wd_constraint_cache_destroy(k);
    assert_true(wd_constraint_accepts(first[0], WD_SPAN_LIT("\"a\""))); /* who holds one keeps it */
    for (size_t i = 0; i < WD_COUNT(all); i++)
        wd_constraint_unref(&first[i]);
}

static void the_one_used_longest_ago_goes_first(void **state)
{
    (void)state;
    char text[3][64];
    wd_constraint_cache *k = NULL;
    wd_constraint *c;
    wd_constraint_cache_stats one, now;
    for (int i = 0; i < 3; i++)
        snprintf(text[i], sizeof text[i], "{\"type\":\"string\",\"pattern\":\"^[a-f]{%d00}$\"}", i + 3);
    assert_ok(wd_constraint_cache_create(ROOM, &k, &err));
    assert_false(was_there(k, 0, schema(text[2]), WD_SPACE_NONE, &c));
    wd_constraint_unref(&c);
    wd_constraint_cache_state(k, &one);
    wd_constraint_cache_destroy(k);
    assert_true(one.n == 1 && one.bytes > 0);
    /* room for four of the largest: older ones go, and what is asked for stays */
    assert_ok(wd_constraint_cache_create(4 * one.bytes, &k, &err));
    for (int i = 0; i < 40; i++) {
        char other[64];
        snprintf(other, sizeof other, "{\"type\":\"string\",\"pattern\":\"^[a-f]{3%02d}$\"}", i);
        assert_int_equal(was_there(k, 0, schema(text[0]), WD_SPACE_NONE, &c), i > 0);
        wd_constraint_unref(&c);
        assert_int_equal(was_there(k, 0, schema(other), WD_SPACE_NONE, &c), i == 0); /* {300} is text[0] */
        wd_constraint_unref(&c);
        wd_constraint_cache_state(k, &now);
        assert_true(now.bytes <= 4 * one.bytes);
    }
    assert_true(now.n >= 3 && now.n < 12);
    assert_false(
        was_there(k, 0, schema("{\"type\":\"string\",\"pattern\":\"^[a-f]{301}$\"}"), WD_SPACE_NONE, &c));
    wd_constraint_unref(&c);
    wd_constraint_cache_destroy(k);
    /* what takes more than its share is made and not kept */
    assert_ok(wd_constraint_cache_create(4 * one.bytes - 4, &k, &err));
    for (int i = 0; i < 2; i++) {
        assert_false(was_there(k, 0, schema(text[2]), WD_SPACE_NONE, &c));
        wd_constraint_unref(&c);
    }
    wd_constraint_cache_destroy(k);
}

static void what_is_refused_is_refused_again(void **state)
{
    (void)state;
    wd_constraint_cache *k = NULL;
    wd_constraint *c;
    const wd_constraint_source bad = schema("{\"multipleOf\":2}");
    wd_constraint_cache_stats st;
    assert_ok(wd_constraint_cache_create(ROOM, &k, &err));
    for (int i = 0; i < 2; i++) {
        assert_fails(wd_constraint_cache_get(k, 0, &bad, WD_SPACE_NONE, NULL, &c, &err), WD_E_UNSUPPORTED,
                     "multipleOf");
        assert_null(c);
    }
    wd_constraint_cache_state(k, &st);
    assert_int_equal(st.n, 0);
    wd_constraint_cache_destroy(k);
}

static void *ask_often(void *arg)
{
    char text[96];
    wd_constraint *c;
    wd_err err;
    for (int i = 0; i < 60; i++) {
        snprintf(text, sizeof text, "{\"type\":\"string\",\"maxLength\":%d}", 1 + i % 7);
        const wd_constraint_source s = schema(text);
        if (wd_constraint_cache_get(arg, 0, &s, WD_SPACE_NONE, NULL, &c, &err) ||
            !wd_constraint_accepts(c, WD_SPAN_LIT("\"a\"")) ||
            wd_constraint_accepts(c, WD_SPAN_LIT("\"abcdefgh\"")))
            return arg;
        wd_constraint_unref(&c);
    }
    return NULL;
}

static void threads_share_it(void **state)
{
    (void)state;
    pthread_t t[4];
    void *bad;
    wd_constraint_cache *k = NULL;
    wd_constraint_cache_stats st;
    assert_ok(wd_constraint_cache_create(ROOM, &k, &err));
    for (size_t i = 0; i < WD_COUNT(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, ask_often, k), 0);
    for (size_t i = 0; i < WD_COUNT(t); i++) {
        assert_int_equal(pthread_join(t[i], &bad), 0);
        assert_null(bad);
    }
    wd_constraint_cache_state(k, &st);
    assert_int_equal(st.n, 7);
    assert_int_equal(st.n_query, 240);
    assert_true(st.n_hit >= 240 - 4 * 7);
    wd_constraint_cache_destroy(k);
}

static void every_failed_allocation_is_reported_or_leaves_it_out(void **state)
{
    (void)state;
    const wd_constraint_source s = schema("{\"type\":\"string\"}");
    for (uint64_t nth = 1;; nth++) {
        wd_constraint_cache *k = NULL;
        wd_constraint *c = NULL;
        wd_err err;
        wd_inject_failure(nth);
        wd_status st = wd_constraint_cache_create(ROOM, &k, &err);
        if (!st)
            st = wd_constraint_cache_get(k, 0, &s, WD_SPACE_NONE, NULL, &c, &err);
        const uint64_t passed = wd_inject_failure(0);
        assert_true(st == WD_OK || st == WD_E_NOMEM);
        assert_int_equal(c != NULL, st == WD_OK);
        wd_constraint_unref(&c);
        wd_constraint_cache_destroy(k);
        if (passed < nth)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_is_compiled_once),
        cmocka_unit_test(the_one_used_longest_ago_goes_first),
        cmocka_unit_test(what_is_refused_is_refused_again),
        cmocka_unit_test(threads_share_it),
        cmocka_unit_test(every_failed_allocation_is_reported_or_leaves_it_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
