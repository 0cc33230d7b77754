#include "model/kv.h"

#include "base/mem.h"
#include "support/test.h"

static const wd_kv_opts small = {
    .n_layer = 3, .n_kv_head = 2, .head_dim = 8, .dtype = WD_DTYPE_BF16, .page_len = 16, .max_len = 100
};

static void reserve_takes_pages_as_tokens_come(void **state)
{
    (void)state;
    wd_kv_pool *p;
    wd_kv *kv;
    assert_ok(wd_kv_pool_create(&small, &p, &err));
    assert_ok(wd_kv_create(p, &kv, &err));
    const size_t page = wd_kv_page_bytes(&small);
    assert_int_equal(page, 3 * 2 * 2 * 16 * 8 * 2);
    assert_int_equal(wd_kv_pool_bytes(p), 0);

    assert_ok(wd_kv_reserve(kv, 16, &err));
    wd_kv_commit(kv, 16);
    assert_int_equal(wd_kv_pool_bytes(p), page);
    assert_ok(wd_kv_reserve(kv, 1, &err));
    assert_int_equal(wd_kv_pool_bytes(p), 2 * page);
    assert_int_equal(wd_kv_len(kv), 16);
    wd_kv_commit(kv, 1);
    assert_int_equal(wd_kv_len(kv), 17);
    wd_kv_destroy(kv);
    wd_kv_pool_destroy(p);
}

static void truncate_gives_pages_back_and_keeps_the_rest(void **state)
{
    (void)state;
    wd_kv_pool *p;
    wd_kv *kv, *other;
    assert_ok(wd_kv_pool_create(&small, &p, &err));
    assert_ok(wd_kv_create(p, &kv, &err));
    assert_ok(wd_kv_create(p, &other, &err));
    assert_ok(wd_kv_reserve(kv, 50, &err));
    wd_kv_commit(kv, 50);
    wd_kv_set_rope_delta(kv, -7);
    void *first = wd_kv_layer(kv, 0)[0], *third = wd_kv_layer(kv, 0)[2];

    wd_kv_truncate(kv, 17);
    assert_int_equal(wd_kv_len(kv), 17);
    assert_int_equal(wd_kv_rope_delta(kv), -7);
    assert_ptr_equal(wd_kv_layer(kv, 0)[0], first);

    const size_t held = wd_kv_pool_bytes(p);
    assert_ok(wd_kv_reserve(other, 32, &err)); /* two pages came back: nothing new is taken */
    assert_int_equal(wd_kv_pool_bytes(p), held);
    assert_true(wd_kv_layer(other, 0)[0] == third || wd_kv_layer(other, 0)[1] == third);
    wd_kv_destroy(kv);
    wd_kv_destroy(other);
    wd_kv_pool_destroy(p);
}

static void layers_and_pages_do_not_overlap(void **state)
{
    (void)state;
    wd_kv_pool *p;
    wd_kv *kv;
    assert_ok(wd_kv_pool_create(&small, &p, &err));
    assert_ok(wd_kv_create(p, &kv, &err));
    assert_ok(wd_kv_reserve(kv, 40, &err));
    const size_t layer = wd_kv_page_bytes(&small) / small.n_layer;
    for (uint32_t l = 0; l < small.n_layer; l++)
        for (int i = 0; i < 3; i++)
            memset(wd_kv_layer(kv, l)[i], (int)(l * 3 + i + 1), layer);
    for (uint32_t l = 0; l < small.n_layer; l++)
        for (int i = 0; i < 3; i++) {
            const uint8_t *b = wd_kv_layer(kv, l)[i];
            assert_int_equal(b[0], l * 3 + i + 1);
            assert_int_equal(b[layer - 1], l * 3 + i + 1);
        }
    wd_kv_destroy(kv);
    wd_kv_pool_destroy(p);
}

static void reserve_refuses_more_than_the_context(void **state)
{
    (void)state;
    wd_kv_pool *p;
    wd_kv *kv;
    assert_ok(wd_kv_pool_create(&small, &p, &err));
    assert_ok(wd_kv_create(p, &kv, &err));
    assert_ok(wd_kv_reserve(kv, 99, &err));
    wd_kv_commit(kv, 99);
    assert_fails(wd_kv_reserve(kv, 2, &err), WD_E_LIMIT, "99 tokens and 2 more, at most 100");
    assert_fails(wd_kv_reserve(kv, SIZE_MAX, &err), WD_E_LIMIT, "at most 100");
    assert_ok(wd_kv_reserve(kv, 1, &err));
    wd_kv_destroy(kv);
    wd_kv_pool_destroy(p);
}

static void reserve_changes_nothing_when_the_pool_is_full(void **state)
{
    (void)state;
    wd_kv_opts o = small;
    o.max_bytes = 3 * wd_kv_page_bytes(&small) + 1;
    wd_kv_pool *p;
    wd_kv *a, *b;
    assert_ok(wd_kv_pool_create(&o, &p, &err));
    assert_ok(wd_kv_create(p, &a, &err));
    assert_ok(wd_kv_create(p, &b, &err));
    assert_ok(wd_kv_reserve(a, 32, &err));
    wd_kv_commit(a, 32);
    assert_fails(wd_kv_reserve(b, 32, &err), WD_E_LIMIT, "limit");
    assert_ok(wd_kv_reserve(b, 16, &err)); /* the page it had got went back */
    assert_ok(wd_kv_reserve(a, 0, &err));
    wd_kv_destroy(b);
    assert_ok(wd_kv_reserve(a, 16, &err));
    wd_kv_destroy(a);
    wd_kv_pool_destroy(p);
}

static void create_refuses_odd_pages_and_dtypes(void **state)
{
    (void)state;
    wd_kv_pool *p;
    wd_kv_opts o = small;
    o.page_len = 24;
    assert_fails(wd_kv_pool_create(&o, &p, &err), WD_E_USAGE, "24");
    assert_null(p);
    o.page_len = 0;
    assert_fails(wd_kv_pool_create(&o, &p, &err), WD_E_USAGE, "16");
    o = small;
    o.dtype = WD_DTYPE_F16;
    assert_fails(wd_kv_pool_create(&o, &p, &err), WD_E_USAGE, "F16");
}

static wd_status build_up_and_down(wd_err *err)
{
    wd_kv_pool *p = NULL;
    wd_kv *kv = NULL;
    wd_status st = wd_kv_pool_create(&small, &p, err);
    if (!st)
        st = wd_kv_create(p, &kv, err);
    for (int i = 0; !st && i < 6; i++) {
        st = wd_kv_reserve(kv, 16, err);
        if (!st)
            wd_kv_commit(kv, 16);
    }
    wd_kv_destroy(kv);
    wd_kv_pool_destroy(p);
    return st;
}

static void every_failed_allocation_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        wd_err err = { 0 };
        wd_inject_failure(n);
        const wd_status st = build_up_and_down(&err);
        if (wd_inject_failure(0) < n) {
            assert_int_equal(st, WD_OK);
            assert_true(n > 6);
            return;
        }
        assert_int_equal(st, WD_E_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reserve_takes_pages_as_tokens_come),
        cmocka_unit_test(truncate_gives_pages_back_and_keeps_the_rest),
        cmocka_unit_test(layers_and_pages_do_not_overlap),
        cmocka_unit_test(reserve_refuses_more_than_the_context),
        cmocka_unit_test(reserve_changes_nothing_when_the_pool_is_full),
        cmocka_unit_test(create_refuses_odd_pages_and_dtypes),
        cmocka_unit_test(every_failed_allocation_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
