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

/* Marks token i of a sequence, in a byte of its own that the test keeps for it. */
static void mark(wd_kv *kv, size_t i, int value)
{
    ((uint8_t *)wd_kv_layer(kv, 1)[i / 16])[i % 16] = (uint8_t)value;
}

static int marked(wd_kv *kv, size_t i)
{
    return ((const uint8_t *)wd_kv_layer(kv, 1)[i / 16])[i % 16];
}

static void append(wd_kv *kv, size_t n, int value)
{
    const size_t at = wd_kv_len(kv);
    assert_ok(wd_kv_reserve(kv, n, &err));
    for (size_t i = 0; i < n; i++)
        mark(kv, at + i, value);
    wd_kv_commit(kv, n);
}

static void shared_tokens_stay_and_each_goes_on_alone(void **state)
{
    (void)state;
    wd_kv_pool *p;
    wd_kv *a, *b, *c;
    assert_ok(wd_kv_pool_create(&small, &p, &err));
    assert_ok(wd_kv_create(p, &a, &err));
    assert_ok(wd_kv_create(p, &b, &err));
    assert_ok(wd_kv_create(p, &c, &err));
    append(a, 26, 1);
    wd_kv_page *whole = wd_kv_share(a, 0, 16), *part = wd_kv_share(a, 1, 10);
    const size_t page = wd_kv_page_bytes(&small);
    assert_int_equal(wd_kv_pool_used(p), 2 * page);
    assert_true(wd_kv_page_is_shared(whole));
    wd_kv *const others[] = { b, c };
    for (int i = 0; i < 2; i++) {
        assert_ok(wd_kv_attach(others[i], whole, 16, &err));
        assert_ok(wd_kv_attach(others[i], part, 10 - 3 * (size_t)i, &err));
    }
    assert_int_equal(wd_kv_pool_used(p), 2 * page);
    const void *const was = wd_kv_layer(a, 1)[1];
    append(a, 2, 2); /* it wrote the page: it goes on there */
    assert_ptr_equal(wd_kv_layer(a, 1)[1], was);
    append(b, 3, 3);
    append(c, 3, 4);
    assert_int_equal(wd_kv_pool_used(p), 4 * page);
    assert_ptr_equal(wd_kv_layer(b, 1)[0], wd_kv_layer(a, 1)[0]);
    for (size_t i = 0; i < 28; i++) {
        assert_int_equal(marked(a, i), i < 26 ? 1 : 2);
        assert_int_equal(marked(b, i), i < 26 ? 1 : 3);
        if (i < 26)
            assert_int_equal(marked(c, i), i < 23 ? 1 : 4);
    }
    wd_kv_truncate(a, 20); /* into what it promised: now it is the one to copy */
    append(a, 2, 5);
    assert_ptr_not_equal(wd_kv_layer(a, 1)[1], was);
    assert_int_equal(marked(a, 19), 1);
    assert_int_equal(marked(a, 20), 5);
    wd_kv_destroy(a);
    wd_kv_destroy(b);
    wd_kv_destroy(c);
    assert_int_equal(wd_kv_pool_used(p), 2 * page); /* the sharer's */
    assert_ok(wd_kv_create(p, &a, &err));
    assert_ok(wd_kv_attach(a, whole, 16, &err));
    assert_ok(wd_kv_attach(a, part, 10, &err));
    wd_kv_page_unref(p, &part);
    assert_null(part);
    append(a, 1, 6); /* alone with it: no copy */
    assert_ptr_equal(wd_kv_layer(a, 1)[1], was);
    assert_int_equal(marked(a, 25), 1);
    wd_kv_destroy(a);
    wd_kv_page_unref(p, &whole);
    assert_int_equal(wd_kv_pool_used(p), 0);
    wd_kv_pool_destroy(p);
}

static void a_copy_that_does_not_fit_changes_nothing(void **state)
{
    (void)state;
    wd_kv_opts o = small;
    o.max_bytes = 2 * wd_kv_page_bytes(&small);
    wd_kv_pool *p;
    wd_kv *a, *b, *c;
    assert_ok(wd_kv_pool_create(&o, &p, &err));
    assert_ok(wd_kv_create(p, &a, &err));
    assert_ok(wd_kv_create(p, &b, &err));
    assert_ok(wd_kv_create(p, &c, &err));
    append(a, 5, 1);
    append(c, 1, 9);
    wd_kv_page *page = wd_kv_share(a, 0, 5);
    assert_ok(wd_kv_attach(b, page, 5, &err));
    assert_fails(wd_kv_reserve(b, 1, &err), WD_E_LIMIT, "limit");
    assert_int_equal(wd_kv_len(b), 5);
    assert_int_equal(marked(b, 4), 1);
    wd_kv_destroy(c);
    append(b, 1, 2);
    append(a, 1, 3);
    assert_int_equal(marked(b, 5), 2);
    assert_int_equal(marked(a, 5), 3);
    wd_kv_page_unref(p, &page);
    wd_kv_destroy(a);
    wd_kv_destroy(b);
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
        cmocka_unit_test(shared_tokens_stay_and_each_goes_on_alone),
        cmocka_unit_test(a_copy_that_does_not_fit_changes_nothing),
        cmocka_unit_test(every_failed_allocation_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
