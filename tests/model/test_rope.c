/* Expected values: spec sections 3.8, 4.1, A.3, 5.4, recomputed there independently of this code. */
#include "model/rope.h"

#include <math.h>

#include "support/test.h"

static void near(double got, double want, double rel)
{
    if (!(fabs(got - want) <= rel * fabs(want)))
        fail_msg("got %.9g, expected %.9g", got, want);
}

static wd_rope_config plain(double theta)
{
    return (wd_rope_config){ .theta = theta, .yarn_attention_factor = 1 };
}

static void frequencies_of_the_published_thetas(void **state)
{
    (void)state;
    wd_rope r;
    wd_rope_config c = plain(1e6);
    wd_rope__init(&r, &c, 128);
    assert_int_equal(r.n_pair, 64);
    near(r.inv_freq[0], 1.0, 0);
    near(r.inv_freq[1], 0.805842188, 1e-7);
    near(r.inv_freq[63], 1.24093776e-06, 1e-7);

    c = plain(5e6);
    wd_rope__init(&r, &c, 128);
    near(r.inv_freq[1], 0.785829980, 1e-7);
    near(r.inv_freq[2], 0.617528758, 1e-7);
    static const double last[4] = { 5.24463925e-07, 4.12139476e-07, 3.23871556e-07, 2.54507979e-07 };
    for (int i = 0; i < 4; i++)
        near(r.inv_freq[60 + i], last[i], 1e-7);
}

static void axes_are_interleaved_and_the_last_four_are_time(void **state)
{
    (void)state;
    wd_rope r;
    wd_rope_config c = plain(5e6);
    c.mrope = true;
    memcpy(c.mrope_section, (uint32_t[3]){ 24, 20, 20 }, sizeof c.mrope_section);
    wd_rope__init(&r, &c, 128);
    char axes[65] = { 0 };
    for (int i = 0; i < 64; i++)
        axes[i] = "THW"[r.axis[i]];
    assert_string_equal(axes, "THWTHWTHWTHWTHWTHWTHWTHWTHWTHWTHWTHWTHWTHWTHWTHWTHWTHWTHWTHWTTTT");

    memcpy(c.mrope_section, (uint32_t[3]){ 8, 4, 4 }, sizeof c.mrope_section);
    wd_rope__init(&r, &c, 32);
    char small[17] = { 0 };
    for (int i = 0; i < 16; i++)
        small[i] = "THW"[r.axis[i]];
    assert_string_equal(small, "THWTHWTHWTHWTTTT");
}

static void yarn_of_qwen3_stretches_as_published(void **state)
{
    (void)state;
    wd_rope r;
    const wd_rope_config c = { .theta = 1e6,
                               .yarn = true,
                               .yarn_factor = 4,
                               .yarn_attention_factor = 0.1 * log(4) + 1,
                               .yarn_beta_fast = 32,
                               .yarn_beta_slow = 1,
                               .yarn_original_max_pos = 32768,
                               .yarn_truncate = true };
    wd_rope__init(&r, &c, 128);
    near(r.scale, 1.138629, 1e-6);
    static const struct {
        int i;
        double want;
    } at[] = { { 0, 1 },
               { 20, 1.33352143e-02 },
               { 30, 1.06436098e-03 },
               { 40, 4.44569853e-05 },
               { 63, 3.10234440e-07 } };
    for (size_t i = 0; i < WD_COUNT(at); i++)
        near(r.inv_freq[at[i].i], at[i].want, 2e-7);
}

static void yarn_of_qwen3_vl_stretches_as_published(void **state)
{
    (void)state;
    wd_rope r;
    const wd_rope_config c = { .theta = 5e6,
                               .yarn = true,
                               .yarn_factor = 3,
                               .yarn_attention_factor = 0.1 * log(3) + 1,
                               .yarn_beta_fast = 32,
                               .yarn_beta_slow = 1,
                               .yarn_original_max_pos = 262144,
                               .yarn_truncate = true,
                               .mrope = true,
                               .mrope_section = { 24, 20, 20 } };
    wd_rope__init(&r, &c, 128);
    near(r.scale, 1.109861, 1e-6);
    static const struct {
        int i;
        double want;
    } at[] = { { 0, 1 },
               { 20, 8.06439652e-03 },
               { 30, 6.94023865e-04 },
               { 40, 3.52270161e-05 },
               { 50, 1.94674214e-06 },
               { 63, 8.48359929e-08 } };
    for (size_t i = 0; i < WD_COUNT(at); i++)
        near(r.inv_freq[at[i].i], at[i].want, 2e-7);
    assert_int_equal(r.axis[1], 1); /* the axes are dealt after the stretching, unchanged */
    assert_int_equal(r.axis[61], 0);
}

static void yarn_with_equal_ends_does_not_divide_by_zero(void **state)
{
    (void)state;
    wd_rope r;
    const wd_rope_config c = { .theta = 1e6,
                               .yarn = true,
                               .yarn_factor = 2,
                               .yarn_attention_factor = 1,
                               .yarn_beta_fast = 1,
                               .yarn_beta_slow = 1,
                               .yarn_original_max_pos = 1024 };
    wd_rope__init(&r, &c, 32);
    for (uint32_t i = 0; i < r.n_pair; i++)
        assert_true(isfinite(r.inv_freq[i]) && r.inv_freq[i] > 0);
}

static void angles_follow_each_pairs_own_axis(void **state)
{
    (void)state;
    wd_rope r;
    wd_rope_config c = plain(5e6);
    c.mrope = true;
    memcpy(c.mrope_section, (uint32_t[3]){ 8, 4, 4 }, sizeof c.mrope_section);
    wd_rope__init(&r, &c, 32);
    r.scale = 2;
    const int32_t t[2] = { 3, 262143 }, h[2] = { 5, 7 }, w[2] = { 11, 13 };
    const int32_t *const pos[3] = { t, h, w };
    float cos_out[32], sin_out[32];
    wd_rope__angles(&r, pos, 2, cos_out, sin_out);
    for (int n = 0; n < 2; n++)
        for (int i = 0; i < 16; i++) {
            const float angle = (float)pos[r.axis[i]][n] * r.inv_freq[i];
            assert_float_equal(cos_out[n * 16 + i], 2 * cos((double)angle), 1e-6);
            assert_float_equal(sin_out[n * 16 + i], 2 * sin((double)angle), 1e-6);
        }
}

static void axial_angles_are_the_rows_then_the_columns(void **state)
{
    (void)state;
    static const uint32_t head[] = { 64, 72, 20 };
    for (size_t k = 0; k < WD_COUNT(head); k++) {
        wd_rope r;
        float cos_out[64], sin_out[64];
        wd_rope__init_axial(&r, head[k]);
        assert_int_equal(r.n_pair, head[k] / 4);
        wd_rope__angles_axial(&r, 3, 7, cos_out, sin_out);
        for (uint32_t m = 0; m < r.n_pair; m++) {
            const double f = pow(10000.0,
                                 -(double)m / (head[k] / 4)); /* spec A.3: 10000^(-m/16), 10000^(-m/18) */
            assert_float_equal(cos_out[m], cos(3 * f), 1e-6);
            assert_float_equal(sin_out[m], sin(3 * f), 1e-6);
            assert_float_equal(cos_out[r.n_pair + m], cos(7 * f), 1e-6);
            assert_float_equal(sin_out[r.n_pair + m], sin(7 * f), 1e-6);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frequencies_of_the_published_thetas),
        cmocka_unit_test(axes_are_interleaved_and_the_last_four_are_time),
        cmocka_unit_test(yarn_of_qwen3_stretches_as_published),
        cmocka_unit_test(yarn_of_qwen3_vl_stretches_as_published),
        cmocka_unit_test(yarn_with_equal_ends_does_not_divide_by_zero),
        cmocka_unit_test(angles_follow_each_pairs_own_axis),
        cmocka_unit_test(axial_angles_are_the_rows_then_the_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
