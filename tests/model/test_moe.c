#include <math.h>

#include "model/pass.h"
#include "support/test.h"

static void route_normalises_over_all_experts_before_it_picks(void **state)
{
    (void)state;
    float p[4] = { logf(1), logf(2), logf(3), logf(4) }, top[2];
    uint32_t ids[2];
    wd_moe__route(p, 1, 4, 2, false, ids, top);
    assert_int_equal(ids[0], 3);
    assert_int_equal(ids[1], 2);
    assert_float_equal(top[0], 0.4, 1e-6);
    assert_float_equal(top[1], 0.3, 1e-6);

    float q[4] = { logf(1), logf(2), logf(3), logf(4) };
    wd_moe__route(q, 1, 4, 2, true, ids, top);
    assert_float_equal(top[0], 4.0 / 7, 1e-6);
    assert_float_equal(top[1], 3.0 / 7, 1e-6);
}

static void route_gives_ties_to_the_lowest_expert(void **state)
{
    (void)state;
    float p[12] = { 1, 5, 5, 1, 5, 0, 2, 2, 2, 2, 2, 2 }, top[4];
    uint32_t ids[4];
    wd_moe__route(p, 2, 6, 2, true, ids, top);
    assert_int_equal(ids[0], 1);
    assert_int_equal(ids[1], 2);
    assert_int_equal(ids[2], 0);
    assert_int_equal(ids[3], 1);
}

static void route_survives_large_and_broken_logits(void **state)
{
    (void)state;
    float p[8] = { 1e30f, -1e30f, 1e30f, 0, NAN, NAN, NAN, NAN }, top[4];
    uint32_t ids[4];
    wd_moe__route(p, 2, 4, 2, true, ids, top);
    assert_int_equal(ids[0], 0);
    assert_int_equal(ids[1], 2);
    assert_float_equal(top[0], 0.5, 1e-6);
    assert_true(ids[2] < 4 && ids[3] < 4 && ids[2] != ids[3]);
}

static void route_can_pick_every_expert(void **state)
{
    (void)state;
    float p[3] = { 0, 2, 1 }, top[3];
    uint32_t ids[3];
    wd_moe__route(p, 1, 3, 3, true, ids, top);
    assert_int_equal(ids[0], 1);
    assert_int_equal(ids[1], 2);
    assert_int_equal(ids[2], 0);
    assert_float_equal(top[0] + top[1] + top[2], 1, 1e-6);
}

static void group_lists_each_experts_rows_in_order(void **state)
{
    (void)state;
    static const uint32_t top_i[8] = { 3, 0, 0, 3, 2, 3, 0, 2 }; /* 4 rows, 2 experts each */
    uint32_t order[8], start[6];
    wd_moe__group(top_i, 4, 5, 2, order, start);
    static const uint32_t want_start[6] = { 0, 3, 3, 5, 8, 8 }, want[8] = { 1, 2, 6, 4, 7, 0, 3, 5 };
    assert_memory_equal(start, want_start, sizeof start);
    assert_memory_equal(order, want, sizeof order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(route_normalises_over_all_experts_before_it_picks),
        cmocka_unit_test(route_gives_ties_to_the_lowest_expert),
        cmocka_unit_test(route_survives_large_and_broken_logits),
        cmocka_unit_test(route_can_pick_every_expert),
        cmocka_unit_test(group_lists_each_experts_rows_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
