/* Block formats of GGUF: the values of the gguf package, bit for bit, and the formulas by hand. */
#include "support/test.h"

#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "tensor/dtype.h"
#include "tensor/ggml_blocks.h"

static void every_type_equals_the_reference(void **state)
{
    (void)state;
    char path[600];
    wd_buf file = { 0 };
    size_t at = 0, n_type = 0;
    bool seen[64] = { false };
    snprintf(path, sizeof path, "%s/golden/gguf/blocks.bin", test_data_dir());
    assert_ok(wd_file_read(path, 1 << 20, &file, &err));
    while (at < file.n) {
        assert_true(file.n - at >= 12);
        const uint32_t type = wd_le32(file.p + at), n_block = wd_le32(file.p + at + 4),
                       n = wd_le32(file.p + at + 8);
        at += 12;
        assert_true(wd_ggml_can_decode(type));
        assert_int_equal(n, n_block * wd_ggml_block_len((wd_ggml_type)type));
        const size_t block_bytes = n_block * wd_ggml_block_bytes((wd_ggml_type)type);
        assert_true(file.n - at >= block_bytes + 4 * (size_t)n);
        /* at an odd address and in memory of exactly its size, so that a sanitizer sees a byte too many */
        uint8_t *odd = wd_calloc(block_bytes + 1, 1);
        float *got = WD_ALLOC_N(float, n);
        assert_non_null(odd);
        assert_non_null(got);
        memcpy(odd + 1, file.p + at, block_bytes);
        wd_ggml_to_f32((wd_ggml_type)type, odd + 1, got, n);
        for (size_t i = 0; i < n; i++) {
            uint32_t bits;
            memcpy(&bits, &got[i], sizeof bits);
            const uint32_t want = wd_le32(file.p + at + block_bytes + 4 * i);
            if (bits != want)
                fail_msg("%s value %zu: 0x%08x, expected 0x%08x", wd_ggml_name(type), i, bits, want);
        }
        wd_free(odd);
        wd_free(got);
        at += block_bytes + 4 * (size_t)n;
        assert_false(seen[type]);
        seen[type] = true;
        n_type++;
    }
    assert_int_equal(at, file.n);
    for (uint32_t t = 0; t < 64; t++)
        assert_int_equal(seen[t], wd_ggml_can_decode(t)); /* none that is read is left out */
    assert_int_equal(n_type, 12);
    wd_buf_free(&file);
}

static void blocks_by_hand(void **state)
{
    (void)state;
    float v[256];
    uint8_t q4_0[18] = { 0x00, 0x38 }; /* 0.5 */
    q4_0[2] = 0xF0;                    /* first value 0, 17th 15 */
    wd_ggml_to_f32(WD_GGML_Q4_0, q4_0, v, 32);
    assert_true(v[0] == -4 && v[16] == 3.5f && v[1] == -4);

    uint8_t q5_1[24] = { 0x00, 0x3C, 0x00, 0xC0 }; /* 1, -2 */
    q5_1[4] = 1;                                   /* fifth bit of the first value */
    q5_1[8] = 0x21;
    wd_ggml_to_f32(WD_GGML_Q5_1, q5_1, v, 32);
    assert_true(v[0] == 15 && v[16] == 0 && v[1] == -2);

    uint8_t q4_k[144] = { 0x00, 0x3C, 0x00, 0x3C }; /* 1, 1 */
    q4_k[4] = 0x40 | 3;                             /* scale of group 0: 3; upper bits of group 4's: 1 */
    q4_k[8] = 0x80 | 2;                             /* minimum of group 0: 2; upper bits of group 4's: 2 */
    q4_k[12] = 0x51;                                /* lower bits of group 4: scale 1, minimum 5 */
    q4_k[16] = 7;                                   /* group 0, value 0 */
    q4_k[16 + 2 * 32] = 10;                         /* group 4, value 0 */
    wd_ggml_to_f32(WD_GGML_Q4_K, q4_k, v, 256);
    assert_true(v[0] == 3 * 7 - 2);
    assert_true(v[128] == 17 * 10 - 37);
    assert_true(v[32] == 0);
}

/* Step, minimum and integers give the decoded value again. */
static void groups_give_the_same_values(void **state)
{
    (void)state;
    static const wd_ggml_type types[] = { WD_GGML_Q8_0, WD_GGML_Q4_0, WD_GGML_Q4_1, WD_GGML_Q5_0,
                                          WD_GGML_Q5_1, WD_GGML_Q4_K, WD_GGML_Q5_K, WD_GGML_IQ4_NL };
    uint8_t block[2 * 176];
    float want[512];
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (uint8_t)(i * 37 + i / 7); /* any bits; scales stay finite */
    for (size_t k = 0; k < WD_COUNT(types); k++) {
        wd_ggml_group g;
        const size_t len = wd_ggml_block_len(types[k]), bytes = wd_ggml_block_bytes(types[k]);
        for (size_t b = 0; b < 2; b++) {
            block[b * bytes + 1] = 0x2C;
            if (types[k] != WD_GGML_Q8_0)
                block[b * bytes + 3] = 0xA8; /* where a minimum may stand */
        }
        wd_ggml_to_f32(types[k], block, want, 2 * len);
        for (size_t i = 0; i < 2 * len; i++) {
            assert_true(wd_ggml_group_at(types[k], block, i / 32, &g));
            const float got = g.step * (float)g.q[i % 32] + g.min;
            assert_true(fabsf(got - want[i]) <= 1e-6f * (fabsf(g.min) + fabsf(want[i])));
            assert_true(len > 32 || wd_f16_to_f32(g.step_f16) == g.step);
        }
    }
    wd_ggml_group g;
    assert_false(wd_ggml_group_at(WD_GGML_F32, block, 0, &g));
    assert_false(wd_ggml_group_at(WD_GGML_BF16, block, 0, &g));
    assert_false(wd_ggml_group_at(WD_GGML_Q6_K, block, 0, &g));
}

static void names_and_sizes_are_those_of_the_format(void **state)
{
    (void)state;
    assert_string_equal(wd_ggml_name(WD_GGML_Q4_K), "Q4_K");
    assert_string_equal(wd_ggml_name(10), "Q2_K");
    assert_false(wd_ggml_can_decode(10));
    assert_null(wd_ggml_name(4)); /* Q4_2, long gone */
    assert_null(wd_ggml_name(UINT32_MAX));
    assert_false(wd_ggml_can_decode(UINT32_MAX));
    assert_int_equal(wd_ggml_block_len(WD_GGML_Q6_K), 256);
    assert_int_equal(wd_ggml_block_bytes(WD_GGML_Q6_K), 210);
    assert_int_equal(wd_ggml_block_bytes(WD_GGML_BF16), 2);
    wd_ggml_to_f32(WD_GGML_Q8_0, NULL, NULL, 0); /* nothing is nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_equals_the_reference),
        cmocka_unit_test(blocks_by_hand),
        cmocka_unit_test(groups_give_the_same_values),
        cmocka_unit_test(names_and_sizes_are_those_of_the_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
