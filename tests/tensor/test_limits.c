/* The loops that measure the machine do the work they are timed for, and the figures are plausible. */
#include "support/test.h"

#include <math.h>
#include <stdlib.h>

#include "base/cores.h"
#include "base/mem.h"
#include "base/rand.h"
#include "tensor/cpu/limits.h"
#include "tensor/cpu/peak.h"

#define QUICK_S 0.01
#define BUFFER ((size_t)4 << 20)

static void assert_is(double is, double want)
{
    if (is != want)
        fail_msg("%.17g, expected %.17g", is, want);
}

/* The documented arithmetic, one lane at a time. */
static double f32_sum(int n_acc, int n_lane, uint64_t rounds)
{
    double sum = 0;
    for (int i = 0; i < n_acc; i++) {
        float v = (float)(i + 1);
        for (uint64_t r = 0; r < rounds; r++)
            v = fmaf(v, WD_PEAK_A, WD_PEAK_B);
        sum += n_lane * (double)v;
    }
    return sum;
}

static double linear_sum(int n_acc, int n_lane, uint64_t rounds, double step)
{
    return n_lane * (n_acc * (n_acc + 1) / 2.0 + n_acc * (double)rounds * step);
}

static void a_peak_loop_does_every_operation_it_counts(void **state)
{
    (void)state;
    static const uint64_t rounds[] = { 0, 1, 3, 1000 };
    const uint32_t isa = wd_isa_detect();
    for (size_t i = 0; i < WD_COUNT(rounds); i++) {
        const uint64_t r = rounds[i];
        (void)r; /* off x86-64 there is no loop */
#if WD_ARCH_X86_64
        if (isa & WD_ISA_AVX2)
            assert_is(wd_peak__avx2_f32(r), f32_sum(WD_PEAK_ACC_AVX2, 8, r));
        if (isa & WD_ISA_AVX512)
            assert_is(wd_peak__avx512_f32(r), f32_sum(WD_PEAK_ACC_AVX512, 16, r));
        if (isa & WD_ISA_AVX512_BF16)
            assert_is(wd_peak__avx512_bf16(r), linear_sum(WD_PEAK_ACC_AVX512, 16, r, WD_PEAK_BF16_SUM));
        if (isa & WD_ISA_AVX512_VNNI)
            assert_is(wd_peak__avx512_int8(r), linear_sum(WD_PEAK_ACC_AVX512, 16, r, WD_PEAK_INT8_SUM));
        if (isa & WD_ISA_AMX)
            assert_is(wd_peak__amx_bf16(r), 4.0 * 256 * 16 * (double)r * WD_PEAK_BF16_SUM);
        if (isa & WD_ISA_AMX)
            assert_is(wd_peak__amx_int8(r), 4.0 * 256 * 16 * (double)r * WD_PEAK_INT8_SUM);
#endif
    }
}

static void a_reading_loop_sees_every_word(void **state)
{
    (void)state;
    static const struct {
        uint32_t isa;
        wd_read_fn read;
    } loops[] = {
        { 0, wd_read__ref },
#if WD_ARCH_X86_64
        { WD_ISA_AVX2, wd_read__avx2 },
        { WD_ISA_AVX512, wd_read__avx512 },
#endif
    };
    enum { MOST = 7 * WD_PEAK_READ_STEP };
    uint64_t *p = wd_alloc_aligned(1, MOST);
    assert_non_null(p);
    wd_rand rand;
    wd_rand_init(&rand, 3);
    for (size_t n = 0; n <= MOST; n += WD_PEAK_READ_STEP) {
        uint64_t want = 0;
        for (size_t i = 0; i < n / 8; i++)
            want ^= p[i] = wd_rand_u64(&rand);
        for (size_t i = 0; i < WD_COUNT(loops); i++) {
            if (loops[i].isa & ~wd_isa_detect())
                continue;
            assert_true(loops[i].read(p, n, 0) == want);
            assert_true(loops[i].read(p, n, 4096) == want); /* asks for what is past the end */
        }
    }
    wd_free(p);
}

/* The better of two measurements: other programs may take the processor away from one of them. */
static void keep_best(wd_limits *best, const wd_limits *l)
{
    for (int i = 0; i < WD_PEAK_COUNT; i++) {
        best->peak[i].one = WD_MAX(best->peak[i].one, l->peak[i].one);
        best->peak[i].all = WD_MAX(best->peak[i].all, l->peak[i].all);
    }
    for (int i = 0; i < 4; i++) {
        wd_rate *r = &best->read[i / 2][i % 2];
        r->one = WD_MAX(r->one, l->read[i / 2][i % 2].one);
        r->all = WD_MAX(r->all, l->read[i / 2][i % 2].all);
    }
}

static bool team_keeps_up(const wd_limits *l)
{
    bool good = wd_limits_read(l).all >= 0.8 * wd_limits_read(l).one;
    for (int i = 0; i < WD_PEAK_COUNT; i++)
        good = good && l->peak[i].all >= 0.8 * l->peak[i].one;
    return good;
}

/* Somebody else needs the processors: then two threads need not do more than one. */
static bool busy(void)
{
    double load[1];
    return getloadavg(load, 1) < 1 || load[0] > wd_core_count();
}

static void figures_are_plausible(void **state)
{
    (void)state;
    wd_pool *pool;
    assert_ok(wd_pool_create(2, &pool, &err));
    const wd_limits_opts o = {
        .pool = pool, .isa = wd_isa_detect(), .seconds = QUICK_S, .buffer_bytes = BUFFER + 1
    };
    wd_limits best = { 0 }, l = { 0 };
    for (int i = 0; i < (busy() ? 1 : 40) && (i == 0 || !team_keeps_up(&best)); i++) {
        assert_ok(wd_limits_measure(&o, &l, &err));
        keep_best(&best, &l);
    }
    assert_int_equal(l.n_thread, 2);
    assert_int_equal(l.isa, o.isa);
    assert_int_equal(l.buffer_bytes, BUFFER); /* whole huge pages */
    assert_true(l.huge_bytes <= l.buffer_bytes);
    for (int i = 1; i < WD_CACHE_LEVELS; i++)
        assert_true(!l.cache[i] || l.cache[i] > l.cache[i - 1]);
    for (int i = 0; i < 4; i++)
        assert_true(best.read[i / 2][i % 2].one > 1e8 && best.read[i / 2][i % 2].one < 1e13);
    if (busy())
        print_message("the processors are busy: whether a team is faster than one thread was not judged\n");
    else
        assert_true(team_keeps_up(&best));
    for (int i = 0; i < WD_PEAK_COUNT; i++)
        assert_true(best.peak[i].one == 0 || (best.peak[i].one > 1e8 && best.peak[i].all < 1e16));
    if (o.isa & WD_ISA_AVX2)
        assert_true(best.peak[WD_PEAK_AVX2_F32].one > 0);
    if (o.isa & WD_ISA_AVX512_BF16 && !busy()) /* more per instruction on the same units */
        assert_true(best.peak[WD_PEAK_AVX512_BF16].all > best.peak[WD_PEAK_AVX2_F32].all);
    assert_int_equal(best.peak[WD_PEAK_AMX_BF16].one > 0, (o.isa & WD_ISA_AMX) != 0);
    wd_pool_destroy(pool);
}

static void a_mask_hides_what_it_forbids(void **state)
{
    (void)state;
    static const struct {
        const char *isa;
        uint32_t may; /* peaks */
    } masks[] = {
        { "ref", 0 },
        { "avx2", 1u << WD_PEAK_AVX2_F32 },
        { "avx512", 1u << WD_PEAK_AVX2_F32 | 1u << WD_PEAK_AVX512_F32 },
        { "avx512vnni", 1u << WD_PEAK_AVX2_F32 | 1u << WD_PEAK_AVX512_F32 | 1u << WD_PEAK_AVX512_INT8 },
        { "avx512bf16", (1u << WD_PEAK_AMX_BF16) - 1 },
    };
    for (size_t i = 0; i < WD_COUNT(masks); i++) {
        wd_limits_opts o = { .seconds = 1e-4, .buffer_bytes = 1 };
        wd_limits l;
        if (wd_isa_parse(masks[i].isa, &o.isa, NULL))
            continue;
        assert_ok(wd_limits_measure(&o, &l, &err));
        assert_int_equal(l.n_thread, 1);
        assert_true(wd_limits_read(&l).one > 0);
        for (unsigned p = 0; p < WD_PEAK_COUNT; p++)
            if (!(masks[i].may >> p & 1u))
                assert_true(l.peak[p].one == 0 && l.peak[p].all == 0);
    }
}

static void the_highest_peak_of_some_is_found(void **state)
{
    (void)state;
    wd_limits l = { 0 };
    wd_peak which;
    l.peak[WD_PEAK_AVX2_F32] = (wd_rate){ 1, 2 };
    l.peak[WD_PEAK_AVX512_BF16] = (wd_rate){ 3, 5 };
    l.peak[WD_PEAK_AVX512_INT8] = (wd_rate){ 7, 11 };
    assert_is(wd_limits_peak(&l, ~0u, &which).all, 11);
    assert_int_equal(which, WD_PEAK_AVX512_INT8);
    assert_is(wd_limits_peak(&l, 1u << WD_PEAK_AVX512_BF16 | 1u << WD_PEAK_AVX2_F32, &which).one, 3);
    assert_int_equal(which, WD_PEAK_AVX512_BF16);
    assert_is(wd_limits_peak(&l, 1u << WD_PEAK_AMX_BF16, &which).all, 0);
    assert_int_equal(which, WD_PEAK_COUNT);
    l.read[0][0] = (wd_rate){ 10, 15 };
    l.read[1][1] = (wd_rate){ 9, 20 };
    assert_is(wd_limits_read(&l).one, 10);
    assert_is(wd_limits_read(&l).all, 20);
    for (int i = 0; i < WD_PEAK_COUNT; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(wd_peak_key((wd_peak)i), wd_peak_key((wd_peak)k));
}

static void a_buffer_that_cannot_be_had_is_one_sentence(void **state)
{
    (void)state;
    wd_limits l = { .n_thread = 77 };
    const wd_limits_opts o = { .seconds = 1e-4, .buffer_bytes = (size_t)1 << 50 };
    assert_fails(wd_limits_measure(&o, &l, &err), WD_E_NOMEM, "1073741824 MiB");
    assert_int_equal(l.n_thread, 77); /* untouched */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_peak_loop_does_every_operation_it_counts),
        cmocka_unit_test(a_reading_loop_sees_every_word),
        cmocka_unit_test(figures_are_plausible),
        cmocka_unit_test(a_mask_hides_what_it_forbids),
        cmocka_unit_test(the_highest_peak_of_some_is_found),
        cmocka_unit_test(a_buffer_that_cannot_be_had_is_one_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
