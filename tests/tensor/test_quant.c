/* The quantised formats: layout, what other formats hold, how well values are kept, what is refused. */
#include "support/test.h"

#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/rand.h"
#include "tensor/quant.h"

static wd_quant make(wd_dtype t, size_t n_out, size_t n_in, uint32_t group)
{
    const size_t n = wd_quant_bytes(t, n_out, n_in, group);
    void *block = wd_alloc_aligned(n, 1);
    assert_non_null(block);
    memset(block, 0, n);
    return wd_quant_over(t, n_out, n_in, group, block);
}

static void sizes_are_what_the_header_says(void **state)
{
    (void)state;
    const wd_quant_sizes a = wd_quant_size(WD_DTYPE_W8, 17, 64, 32),
                         b = wd_quant_size(WD_DTYPE_W4, 32, 256, 128);
    assert_int_equal(a.data, 32 * 64);
    assert_int_equal(a.scale, 32 * 2 * 2);
    assert_int_equal(a.zero, 0);
    assert_int_equal(b.data, 32 * 128);
    assert_int_equal(b.scale, 32 * 2 * 2);
    assert_int_equal(b.zero, 32 * 2);
    assert_true(wd_quant_bytes(WD_DTYPE_W4, 4096, 4096, 32) ==
                4096 * 4096 / 32 * 19); /* 0.594 of a byte each */
    assert_true(wd_quant_bytes(WD_DTYPE_W8, 4096, 4096, 32) == 4096 * 4096 / 32 * 34);
    assert_true(wd_quant_group_is_good(64) && !wd_quant_group_is_good(16) && !wd_quant_group_is_good(96));
}

/* Bytes by hand, as a reader in another language would find them. */
static void bytes_lie_where_the_header_says(void **state)
{
    (void)state;
    const size_t n_out = 20, n_in = 128;
    wd_quant q8 = make(WD_DTYPE_W8, n_out, n_in, 32), q4 = make(WD_DTYPE_W4, n_out, n_in, 32);
    for (size_t o = 0; o < n_out; o++) {
        for (size_t g = 0; g < 4; g++) {
            int8_t v8[32];
            uint8_t v4[32];
            for (size_t k = 0; k < 32; k++) {
                v8[k] = (int8_t)((o * 7 + g * 32 + k) % 256 - 128);
                v4[k] = (uint8_t)((o * 5 + g * 3 + k) % 16);
            }
            wd_quant_put_w8(&q8, o, g, (wd_f16)(o * 4 + g), v8);
            wd_quant_put_w4(&q4, o, g, (wd_f16)(o * 4 + g), (uint8_t)(o + g), v4);
        }
    }
    for (size_t o = 0; o < n_out; o++) {
        for (size_t k = 0; k < n_in; k++) {
            const size_t stripe = o / 16, lane = o % 16, g = k / 32;
            assert_int_equal(q8.data[stripe * 128 * 16 + k / 4 * 64 + lane * 4 + k % 4], (o * 7 + k) % 256);
            const uint8_t pair = q4.data[stripe * 64 * 16 + k / 8 * 64 + lane * 4 + k % 4];
            assert_int_equal(k % 8 < 4 ? pair & 15 : pair >> 4, (o * 5 + g * 3 + k % 32) % 16);
            assert_int_equal(q8.scale[stripe * 64 + g * 16 + lane], o * 4 + g);
            assert_int_equal(q4.scale[stripe * 64 + g * 16 + lane], o * 4 + g);
            assert_int_equal(q4.zero[stripe * 64 + g * 16 + lane], o + g);
        }
    }
    wd_free(q8.data);
    wd_free(q4.data);
}

/* Blocks as Q8_0 (-128 is possible there), Q4_0 (a scale may be negative) and GPTQ have them come back bit for bit. */
static void other_formats_values_are_held_exactly(void **state)
{
    (void)state;
    wd_rand r;
    wd_rand_init(&r, 3);
    wd_quant q8 = make(WD_DTYPE_W8, 3, 64, 32), q4 = make(WD_DTYPE_W4, 3, 256, 128);
    for (int round = 0; round < 50; round++) {
        const wd_f16 d = wd_f32_to_f16((float)wd_rand_normal(&r) * 0.01f);
        const float scale = wd_f16_to_f32(d);
        const uint8_t zero = (uint8_t)wd_rand_below(&r, 16); /* GPTQ: any of 0 .. 15, Q4_0: 8 */
        int8_t v8[32];
        uint8_t v4[128];
        float y[128];
        for (size_t k = 0; k < 32; k++)
            v8[k] = (int8_t)((int)wd_rand_below(&r, 256) - 128);
        for (size_t k = 0; k < 128; k++)
            v4[k] = (uint8_t)wd_rand_below(&r, 16);
        wd_quant_put_w8(&q8, 1, 1, d, v8);
        wd_quant_put_w4(&q4, 2, 1, d, (uint8_t)(zero * 16), v4);
        const wd_tensor t8 = wd_quant_tensor(&q8), t4 = wd_quant_tensor(&q4);
        wd_quant_get(&t8, 1, 32, 32, y);
        for (size_t k = 0; k < 32; k++)
            assert_true(y[k] == scale * v8[k]);
        wd_quant_get(&t4, 2, 128, 128, y);
        for (size_t k = 0; k < 128; k++) {
            assert_true(fabsf(y[k] - scale * (v4[k] - zero)) <= fabsf(scale) * 1e-6f);
            assert_true(wd_tensor_get(&t4, 2 * 256 + 128 + k) == y[k]);
        }
    }
    wd_free(q8.data);
    wd_free(q4.data);
}

/* w = step q + min: Q4_1 and the sub-blocks of Q4_K. */
static void minimums_are_kept_to_a_32nd_of_a_step(void **state)
{
    (void)state;
    wd_rand r;
    wd_rand_init(&r, 4);
    wd_quant q = make(WD_DTYPE_W4, 1, 32, 32);
    const wd_tensor t = wd_quant_tensor(&q);
    uint8_t v[32];
    float y[32];
    for (int round = 0; round < 2000; round++) {
        const float step = wd_f16_to_f32(wd_f32_to_f16((float)wd_rand_range(&r, 0.001, 0.1)));
        const float min = -step * (float)wd_rand_range(&r, 0, 15.9);
        for (size_t k = 0; k < 32; k++)
            v[k] = (uint8_t)wd_rand_below(&r, 16);
        assert_ok(wd_quant_put_w4_min(&q, 0, 0, step, min, v, &err));
        wd_quant_get(&t, 0, 0, 32, y);
        for (size_t k = 0; k < 32; k++)
            assert_true(fabsf(y[k] - (step * v[k] + min)) <= step / 32 * 1.0001f);
    }
    /* Out of reach of a zero: quantised again, and never worse than a 25th of the largest. */
    static const float mins[] = { 0.01f, 3, 100, -30, -170 };
    for (size_t m = 0; m < WD_COUNT(mins); m++) {
        float top = 0;
        for (size_t k = 0; k < 32; k++) {
            v[k] = (uint8_t)(k % 16);
            top = fmaxf(top, fabsf(v[k] + mins[m]));
        }
        assert_ok(wd_quant_put_w4_min(&q, 0, 0, 1, mins[m], v, &err));
        wd_quant_get(&t, 0, 0, 32, y);
        for (size_t k = 0; k < 32; k++)
            assert_true(fabsf(y[k] - (v[k] + mins[m])) <= top / 25);
    }
    assert_ok(wd_quant_put_w4_min(&q, 0, 0, 0, 0, v, &err)); /* a block of zeros */
    wd_quant_get(&t, 0, 0, 32, y);
    assert_true(y[0] == 0 && y[31] == 0);
    assert_ok(wd_quant_put_w4_min(&q, 0, 0, 0, 0.5f, v, &err)); /* of one value */
    wd_quant_get(&t, 0, 0, 32, y);
    assert_true(fabsf(y[0] - 0.5f) < 0.02f && y[0] == y[31]);
    assert_fails(wd_quant_put_w4_min(&q, 0, 0, NAN, 0, v, &err), WD_E_UNSUPPORTED, "not finite");
    assert_fails(wd_quant_put_w4_min(&q, 0, 0, 1, -INFINITY, v, &err), WD_E_UNSUPPORTED, "not finite");
    assert_fails(wd_quant_put_w4_min(&q, 0, 0, 1e6f, 0, v, &err), WD_E_UNSUPPORTED, "too large");
    wd_free(q.data);
}

/* Squared error of one row over that row's power. */
static double row_error(const wd_tensor *t, const float *x, size_t n)
{
    double error = 0, power = 0;
    float y[128];
    for (size_t k = 0; k < n; k += 128) {
        wd_quant_get(t, 0, k, 128, y);
        for (size_t i = 0; i < 128; i++) {
            error += ((double)y[i] - x[k + i]) * ((double)y[i] - x[k + i]);
            power += (double)x[k + i] * x[k + i];
        }
    }
    return error / power;
}

static void eight_bits_are_the_nearest_of_254_steps(void **state)
{
    (void)state;
    wd_rand r;
    wd_rand_init(&r, 5);
    float x[128], y[128];
    for (uint32_t group = 32; group <= 128; group *= 2) {
        wd_quant q = make(WD_DTYPE_W8, 1, 128, group);
        const wd_tensor t = wd_quant_tensor(&q);
        for (int round = 0; round < 300; round++) {
            const double size = ldexp(1, (int)wd_rand_below(&r, 14) - 12);
            for (size_t k = 0; k < 128; k++)
                x[k] = (float)(wd_rand_normal(&r) * size);
            assert_ok(wd_quant_row(&q, 0, x, &err));
            wd_quant_get(&t, 0, 0, 128, y);
            for (size_t k0 = 0; k0 < 128; k0 += group) {
                float top = 0;
                for (size_t k = k0; k < k0 + group; k++)
                    top = fmaxf(top, fabsf(x[k]));
                for (size_t k = k0; k < k0 + group; k++) /* f16 rounds the scale */
                    assert_true(fabsf(y[k] - x[k]) <= top / 127 * 0.5f * 1.002f + 0x1p-24f);
            }
        }
        wd_free(q.data);
    }
}

/* What plain rounding between the smallest and the largest value gives, with a scale and a minimum in f32. */
static double plain_error(const float *x, size_t n, size_t group)
{
    double error = 0, power = 0;
    for (size_t k0 = 0; k0 < n; k0 += group) {
        double low = 0, high = 0;
        for (size_t k = k0; k < k0 + group; k++) {
            low = fmin(low, x[k]);
            high = fmax(high, x[k]);
        }
        const double step = (high - low) / 15;
        for (size_t k = k0; k < k0 + group; k++) {
            const double y = low + rint((x[k] - low) / step) * step;
            error += (y - x[k]) * (y - x[k]);
            power += (double)x[k] * x[k];
        }
    }
    return error / power;
}

static void the_search_for_four_bits_beats_plain_rounding(void **state)
{
    (void)state;
    enum { N = 128 * 64 };
    static float x[N];
    static const double limit[] = { 0.87, 0.90, 0.87 }; /* of plain rounding's error: 32, 64, 128 */
    wd_rand r;
    for (size_t g = 0; g < 3; g++) {
        const uint32_t group = 32u << g;
        wd_quant q = make(WD_DTYPE_W4, 1, N, group);
        const wd_tensor t = wd_quant_tensor(&q);
        wd_rand_init(&r, 6);
        for (size_t k = 0; k < N; k++)
            x[k] = (float)(wd_rand_normal(&r) * 0.02);
        assert_ok(wd_quant_row(&q, 0, x, &err));
        const double ratio = row_error(&t, x, N) / plain_error(x, N, group);
        if (!(ratio < limit[g]))
            fail_msg("group %u: %.4f of plain rounding's error", group, ratio);
        for (size_t k = 0; k < N; k++) /* all of one sign, not near 0 */
            x[k] = 3 + (float)wd_rand_range(&r, -1, 1);
        assert_ok(wd_quant_row(&q, 0, x, &err));
        assert_true(row_error(&t, x, N) < 0.002);
        wd_free(q.data);
    }
}

static void zeros_and_tiny_values_are_kept_as_they_can(void **state)
{
    (void)state;
    static const wd_dtype types[] = { WD_DTYPE_W8, WD_DTYPE_W4 };
    float x[32] = { 0 }, y[32];
    for (size_t i = 0; i < 2; i++) {
        wd_quant q = make(types[i], 1, 32, 32);
        const wd_tensor t = wd_quant_tensor(&q);
        memset(x, 0, sizeof x);
        assert_ok(wd_quant_row(&q, 0, x, &err));
        wd_quant_get(&t, 0, 0, 32, y);
        for (size_t k = 0; k < 32; k++)
            assert_true(y[k] == 0);
        for (size_t k = 0; k < 32; k++)
            x[k] = (float)k * 1e-8f;
        assert_ok(wd_quant_row(&q, 0, x, &err));
        wd_quant_get(&t, 0, 0, 32, y);
        for (size_t k = 0; k < 32; k++)
            assert_true(fabsf(y[k] - x[k]) <= 3.1e-8f); /* half of f16's smallest step */
        for (size_t k = 0; k < 32; k++)
            x[k] = 1e-30f;
        assert_ok(wd_quant_row(&q, 0, x, &err));
        wd_quant_get(&t, 0, 0, 32, y);
        assert_true(y[5] == 0);
        wd_free(q.data);
    }
}

static void values_that_no_scale_holds_are_refused(void **state)
{
    (void)state;
    static const wd_dtype types[] = { WD_DTYPE_W8, WD_DTYPE_W4 };
    static const float bad[] = { NAN, INFINITY, -INFINITY, 1e30f };
    for (size_t i = 0; i < 2; i++) {
        wd_quant q = make(types[i], 1, 64, 32);
        for (size_t b = 0; b < WD_COUNT(bad); b++) {
            float x[64] = { 1, -1 };
            x[50] = bad[b];
            assert_fails(wd_quant_row(&q, 0, x, &err), WD_E_UNSUPPORTED, "weight");
        }
        float large[64] = { 400000, -400000 };
        assert_ok(wd_quant_row(&q, 0, large, &err));
        wd_free(q.data);
    }
}

static void experts_are_matrices_one_after_another(void **state)
{
    (void)state;
    const size_t n_out = 20, n_in = 64, n_expert = 3;
    const wd_quant_sizes s = wd_quant_size(WD_DTYPE_W4, n_out, n_in, 32);
    uint8_t *block = wd_calloc(n_expert, s.data + s.scale + s.zero);
    wd_tensor all = { .dtype = WD_DTYPE_W4, .n_dim = 3, .dim = { n_expert, n_out, n_in }, .group = 32 };
    all.data = block;
    all.scale = block + n_expert * s.data;
    all.zero = block + n_expert * (s.data + s.scale);
    float x[64];
    for (size_t e = 0; e < n_expert; e++) {
        const wd_quant q = { .dtype = WD_DTYPE_W4,
                             .n_out = n_out,
                             .n_in = n_in,
                             .group = 32,
                             .data = block + e * s.data,
                             .scale = (wd_f16 *)(void *)(block + n_expert * s.data + e * s.scale),
                             .zero = block + n_expert * (s.data + s.scale) + e * s.zero };
        for (size_t o = 0; o < n_out; o++) {
            for (size_t k = 0; k < n_in; k++)
                x[k] = (float)(e * 100 + o) * (k % 2 ? 1 : -1);
            assert_ok(wd_quant_row(&q, o, x, &err));
        }
    }
    assert_int_equal(wd_tensor_bytes(&all), n_expert * (s.data + s.scale + s.zero));
    for (size_t e = 0; e < n_expert; e++) {
        const wd_tensor one = wd_tensor_at(&all, e);
        assert_int_equal(one.n_dim, 2);
        assert_int_equal(wd_tensor_bytes(&one), s.data + s.scale + s.zero);
        for (size_t o = 0; o < n_out; o++) {
            const float v = wd_tensor_get(&one, o * n_in + 1);
            assert_true(fabsf(v - (float)(e * 100 + o)) <= 0.01f * (float)(e * 100 + o));
            assert_true(wd_tensor_get(&all, (e * n_out + o) * n_in + 1) == v);
        }
    }
    wd_free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_what_the_header_says),
        cmocka_unit_test(bytes_lie_where_the_header_says),
        cmocka_unit_test(other_formats_values_are_held_exactly),
        cmocka_unit_test(minimums_are_kept_to_a_32nd_of_a_step),
        cmocka_unit_test(eight_bits_are_the_nearest_of_254_steps),
        cmocka_unit_test(the_search_for_four_bits_beats_plain_rounding),
        cmocka_unit_test(zeros_and_tiny_values_are_kept_as_they_can),
        cmocka_unit_test(values_that_no_scale_holds_are_refused),
        cmocka_unit_test(experts_are_matrices_one_after_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
