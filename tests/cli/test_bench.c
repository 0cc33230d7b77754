/* The arithmetic of ward bench: medians, sizes, and which limit bounds what. */
#include "support/test.h"

#include "cli/bench.h"

static void assert_is(double is, double want)
{
    if (is != want)
        fail_msg("%.17g, expected %.17g", is, want);
}

static void a_median_is_in_the_middle_whatever_the_order(void **state)
{
    (void)state;
    const double odd[] = { 5, 1, 9 }, even[] = { 4, 1, 8, 2 }, one[] = { 7 };
    assert_is(wd_bench_median(odd, 3), 5);
    assert_is(wd_bench_median(even, 4), 3);
    assert_is(wd_bench_median(one, 1), 7);
    assert_is(odd[0], 5); /* left as it was */
}

static void sizes_are_numbers_with_commas_between(void **state)
{
    (void)state;
    uint64_t size[WD_BENCH_SIZES];
    size_t n;
    assert_ok(wd_bench_sizes("prefill", "512,2048,8192", 1, 8192, size, &n, &err));
    assert_int_equal(n, 3);
    assert_int_equal(size[0], 512);
    assert_int_equal(size[2], 8192);
    assert_ok(wd_bench_sizes("decode", "0", 0, 10, size, &n, &err));
    assert_int_equal(n, 1);
    assert_int_equal(size[0], 0);
    assert_ok(wd_bench_sizes("batch", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", 1, 16, size, &n, &err));
    assert_int_equal(n, WD_BENCH_SIZES);
    static const char *const bad[] = { "",
                                       ",",
                                       "1,",
                                       ",1",
                                       "1,,2",
                                       "1 ,2",
                                       " 1",
                                       "-1",
                                       "+1",
                                       "x",
                                       "1x",
                                       "0",
                                       "101",
                                       "1;2",
                                       "0x10",
                                       "1e1",
                                       "1.5",
                                       "99999999999999999999999999",
                                       "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1" };
    for (size_t i = 0; i < WD_COUNT(bad); i++)
        assert_fails(wd_bench_sizes("prefill", bad[i], 1, 100, size, &n, &err), WD_E_USAGE, "--prefill: ");
}

/* A machine of round numbers. */
static wd_limits machine(void)
{
    wd_limits l = { 0 };
    l.read[0][1] = (wd_rate){ 10, 20 };
    l.peak[WD_PEAK_AVX2_F32] = (wd_rate){ 50, 100 };
    l.peak[WD_PEAK_AVX512_BF16] = (wd_rate){ 100, 200 };
    l.peak[WD_PEAK_AVX512_INT8] = (wd_rate){ 200, 400 };
    return l;
}

static void the_slower_of_reading_and_multiplying_bounds(void **state)
{
    (void)state;
    const wd_limits l = machine();
    const wd_cost decode = { .linear_ops = 400, .attn_ops = 200, .weight_bytes = 100, .kv_bytes = 40 };
    wd_bench_bound b = wd_bench_bound_of(&l, &decode, WD_DTYPE_BF16, false);
    assert_string_equal(b.by, "read");
    assert_is(b.seconds, 7);
    assert_is(b.read_s, 7);
    assert_is(b.multiply_s, 3);
    assert_is(b.linear_s, 5); /* read 5, multiplied 2 */
    assert_is(b.attn_s, 2);   /* read 2, multiplied 1 */

    const wd_cost prefill = { .linear_ops = 4000, .attn_ops = 200, .weight_bytes = 100, .kv_bytes = 0 };
    b = wd_bench_bound_of(&l, &prefill, WD_DTYPE_BF16, false);
    assert_string_equal(b.by, "avx512_bf16");
    assert_is(b.seconds, 21);
    assert_is(b.linear_s, 20);
    assert_is(b.attn_s, 1);
    b = wd_bench_bound_of(&l, &prefill, WD_DTYPE_BF16, true); /* exact: all in f32 */
    assert_string_equal(b.by, "avx2_f32");
    assert_is(b.seconds, 42);
}

static void weights_of_a_type_are_held_to_its_units(void **state)
{
    (void)state;
    const wd_limits l = machine();
    wd_peak which;
    wd_limits_peak(&l, wd_bench_peaks(WD_DTYPE_F32, false), &which);
    assert_int_equal(which, WD_PEAK_AVX2_F32);
    wd_limits_peak(&l, wd_bench_peaks(WD_DTYPE_F16, false), &which);
    assert_int_equal(which, WD_PEAK_AVX2_F32);
    wd_limits_peak(&l, wd_bench_peaks(WD_DTYPE_BF16, false), &which);
    assert_int_equal(which, WD_PEAK_AVX512_BF16);
    wd_limits_peak(&l, wd_bench_peaks(WD_DTYPE_F8_E4M3, false), &which);
    assert_int_equal(which, WD_PEAK_AVX512_BF16);
    wd_limits_peak(&l, wd_bench_peaks(WD_DTYPE_W8, false), &which);
    assert_int_equal(which, WD_PEAK_AVX512_INT8);
    wd_limits_peak(&l, wd_bench_peaks(WD_DTYPE_W8, true), &which);
    assert_int_equal(which, WD_PEAK_AVX2_F32);
}

static void without_limits_there_is_no_bound(void **state)
{
    (void)state;
    const wd_limits l = { 0 };
    const wd_cost c = { 1, 2, 3, 4 };
    const wd_bench_bound b = wd_bench_bound_of(&l, &c, WD_DTYPE_BF16, false);
    assert_is(b.seconds, 0);
    assert_is(b.linear_s, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_median_is_in_the_middle_whatever_the_order),
        cmocka_unit_test(sizes_are_numbers_with_commas_between),
        cmocka_unit_test(the_slower_of_reading_and_multiplying_bounds),
        cmocka_unit_test(weights_of_a_type_are_held_to_its_units),
        cmocka_unit_test(without_limits_there_is_no_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
