/* Every value of the small types, against arithmetic that knows nothing of bit tricks. */
#include "support/test.h"

#include <math.h>
#include <stdbool.h>

#include "base/rand.h"
#include "tensor/dtype.h"

static uint32_t bits_of(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float v;
    memcpy(&v, &u, sizeof v);
    return v;
}

/* The value of a small float by its definition; NaN where it is one. */
static double define(unsigned v, unsigned exponent_bits, unsigned fraction_bits, bool infinities)
{
    const unsigned e_max = (1u << exponent_bits) - 1, bias = e_max / 2;
    const unsigned sign = v >> (exponent_bits + fraction_bits) & 1u, e = v >> fraction_bits & e_max;
    const unsigned f = v & ((1u << fraction_bits) - 1);
    double x;
    if (e == e_max && infinities)
        x = f ? (double)NAN : (double)INFINITY;
    else if (e == e_max && f == (1u << fraction_bits) - 1)
        x = (double)NAN;
    else if (e == 0)
        x = ldexp(f, 1 - (int)bias - (int)fraction_bits);
    else
        x = ldexp(1 + ldexp(f, -(int)fraction_bits), (int)e - (int)bias);
    return sign ? -x : x;
}

static void same(float got, double want)
{
    if (isnan(want))
        assert_true(isnan(got));
    else
        assert_int_equal(bits_of(got), bits_of((float)want)); /* every value is exact in f32, -0 included */
}

static void every_bf16_f16_and_f8_has_its_defined_value(void **state)
{
    (void)state;
    for (unsigned v = 0; v < 65536; v++) {
        same(wd_bf16_to_f32((wd_bf16)v), define(v, 8, 7, true));
        same(wd_f16_to_f32((wd_f16)v), define(v, 5, 10, true));
    }
    for (unsigned v = 0; v < 256; v++)
        same(wd_f8_to_f32((wd_f8)v), define(v, 4, 3, false));
    assert_true(wd_f8_to_f32(0x7E) == 448);
}

static void every_bf16_and_f16_survives_the_way_through_f32(void **state)
{
    (void)state;
    for (unsigned v = 0; v < 65536; v++) {
        const float b = wd_bf16_to_f32((wd_bf16)v), h = wd_f16_to_f32((wd_f16)v);
        if (isnan(b))
            assert_true(isnan(wd_bf16_to_f32(wd_f32_to_bf16(b))));
        else
            assert_int_equal(wd_f32_to_bf16(b), v);
        if (isnan(h))
            assert_true(isnan(wd_f16_to_f32(wd_f32_to_f16(h))));
        else
            assert_int_equal(wd_f32_to_f16(h), v);
    }
}

/* The nearest of 65536 values by search; a tie goes to the even pattern. v >= 0 and finite. */
static unsigned nearest(double v, float (*value)(uint16_t), unsigned inf)
{
    unsigned low = 0, high = inf; /* non-negative patterns are ordered as their values */
    while (high - low > 1) {
        const unsigned mid = (low + high) / 2;
        if ((double)value((uint16_t)mid) <= v)
            low = mid;
        else
            high = mid;
    }
    /* Beyond the largest finite value, infinity stands for the value that the next pattern would have. */
    const double a = value((uint16_t)low);
    const double b = high == inf ? 2 * a - (double)value((uint16_t)(low - 1)) : (double)value((uint16_t)high);
    if (v - a != b - v)
        return v - a < b - v ? low : high;
    return low & 1 ? high : low;
}

static void rounds_right(float v)
{
    const uint32_t sign = bits_of(v) >> 16 & 0x8000u;
    assert_int_equal(wd_f32_to_bf16(v), sign | nearest(fabs((double)v), wd_bf16_to_f32, 0x7F80));
    assert_int_equal(wd_f32_to_f16(v), sign | nearest(fabs((double)v), wd_f16_to_f32, 0x7C00));
}

static void rounding_to_16_bits_is_to_nearest_and_ties_to_even(void **state)
{
    (void)state;
    wd_rand r;
    wd_rand_init(&r, 7);
    for (int i = 0; i < 200000; i++) { /* any bits: all scales, denormals, huge values */
        const float v = float_of((uint32_t)wd_rand_u64(&r));
        if (isfinite(v))
            rounds_right(v);
    }
    for (unsigned v = 0; v < 0x7C00; v++) { /* the middle between neighbours, and one step to each side */
        const double gap = (double)wd_f16_to_f32((wd_f16)(v | 1u)) - (double)wd_f16_to_f32((wd_f16)(v & ~1u));
        const float middle = (float)((double)wd_f16_to_f32((wd_f16)v) + gap / 2);
        rounds_right(middle);
        rounds_right(-nextafterf(middle, 0));
        rounds_right(nextafterf(middle, INFINITY));
    }
    for (unsigned v = 0; v < 0x7F80; v++) {
        const float middle = float_of(v << 16 | 0x8000u);
        rounds_right(middle);
        rounds_right(-nextafterf(middle, 0));
        if (isfinite(nextafterf(middle, INFINITY)))
            rounds_right(nextafterf(middle, INFINITY));
    }
}

static void infinities_and_nans_stay_what_they_are(void **state)
{
    (void)state;
    assert_int_equal(wd_f32_to_bf16(INFINITY), 0x7F80);
    assert_int_equal(wd_f32_to_bf16(-INFINITY), 0xFF80);
    assert_int_equal(wd_f32_to_f16(INFINITY), 0x7C00);
    assert_int_equal(wd_f32_to_f16(-INFINITY), 0xFC00);
    assert_int_equal(wd_f32_to_f16(65519.996f), 0x7BFF);
    assert_int_equal(wd_f32_to_f16(65520.0f), 0x7C00);
    /* A NaN whose upper bits are zero must not become infinity. */
    assert_true(isnan(wd_bf16_to_f32(wd_f32_to_bf16(float_of(0x7F800001)))));
    assert_true(isnan(wd_bf16_to_f32(wd_f32_to_bf16(float_of(0xFFFFFFFF)))));
    assert_true(isnan(wd_f16_to_f32(wd_f32_to_f16(float_of(0x7F800001)))));
}

static void names_and_sizes_are_those_of_safetensors(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t bytes;
    } want[] = { { "F32", 4 }, { "F16", 2 }, { "BF16", 2 }, { "F8_E4M3", 1 },
                 { "I32", 4 }, { "I64", 8 }, { "U8", 1 } };
    for (unsigned t = 0; t < WD_DTYPE_STORED; t++) {
        assert_string_equal(wd_dtype_name((wd_dtype)t), want[t].name);
        assert_int_equal(wd_dtype_bytes((wd_dtype)t), want[t].bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bf16_f16_and_f8_has_its_defined_value),
        cmocka_unit_test(every_bf16_and_f16_survives_the_way_through_f32),
        cmocka_unit_test(rounding_to_16_bits_is_to_nearest_and_ties_to_even),
        cmocka_unit_test(infinities_and_nans_stay_what_they_are),
        cmocka_unit_test(names_and_sizes_are_those_of_safetensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
