/* Views: counts, sub-tensors, block scales. */
#include "support/test.h"

#include "tensor/tensor.h"

static void count_and_bytes_follow_the_shape(void **state)
{
    (void)state;
    const float x[12] = { 0 };
    const wd_tensor t = { .data = x, .dtype = WD_DTYPE_F32, .n_dim = 3, .dim = { 2, 3, 2 } },
                    none = { .n_dim = 1 };
    assert_int_equal(wd_tensor_count(&t), 12);
    assert_int_equal(wd_tensor_bytes(&t), 48);
    assert_int_equal(wd_tensor_count(&none), 0);
}

static void elements_of_every_type_read_as_f32(void **state)
{
    (void)state;
    const int32_t i32[] = { -7, 9 };
    const int64_t i64[] = { 5, -6 };
    const uint8_t u8[] = { 1, 255 }, f8[] = { 0x38, 0xC0 };
    const uint16_t bf16[] = { 0x3F80, 0xC000 }, f16[] = { 0x3C00, 0xC000 };
    const struct {
        const void *p;
        wd_dtype dtype;
        float a, b;
    } cases[] = {
        { i32, WD_DTYPE_I32, -7, 9 },    { i64, WD_DTYPE_I64, 5, -6 },   { u8, WD_DTYPE_U8, 1, 255 },
        { f8, WD_DTYPE_F8_E4M3, 1, -2 }, { bf16, WD_DTYPE_BF16, 1, -2 }, { f16, WD_DTYPE_F16, 1, -2 },
    };
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        const wd_tensor t = { .data = cases[i].p, .dtype = cases[i].dtype, .n_dim = 1, .dim = { 2 } };
        assert_true(wd_tensor_get(&t, 0) == cases[i].a && wd_tensor_get(&t, 1) == cases[i].b);
    }
}

/* Two experts of 130 x 260 FP8 ones: 2 x 3 blocks each, every block with its own scale. */
static void block_scales_follow_sub_tensors(void **state)
{
    (void)state;
    static uint8_t data[2][130][260];
    float scale[2][2][3];
    memset(data, 0x38, sizeof data); /* 1.0 */
    for (size_t i = 0; i < 12; i++)
        (&scale[0][0][0])[i] = (float)(i + 1);
    const wd_tensor t = { .data = data,
                          .dtype = WD_DTYPE_F8_E4M3,
                          .n_dim = 3,
                          .dim = { 2, 130, 260 },
                          .scale = scale,
                          .scale_dtype = WD_DTYPE_F32 };
    for (size_t e = 0; e < 2; e++) {
        const wd_tensor expert = wd_tensor_at(&t, e);
        assert_int_equal(expert.n_dim, 2);
        assert_int_equal(wd_tensor_count(&expert), 130 * 260);
        for (size_t r = 0; r < 130; r += 43) { /* 0, 43, 86, 129: the last in the second row of blocks */
            const wd_tensor row = wd_tensor_at(&expert, r);
            for (size_t c = 0; c < 260; c++) {
                const float want = scale[e][r / 128][c / 128];
                assert_true(wd_tensor_get(&t, (e * 130 + r) * 260 + c) == want);
                assert_true(wd_tensor_get(&expert, r * 260 + c) == want);
                assert_true(wd_tensor_get(&row, c) == want);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(count_and_bytes_follow_the_shape),
        cmocka_unit_test(elements_of_every_type_read_as_f32),
        cmocka_unit_test(block_scales_follow_sub_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
