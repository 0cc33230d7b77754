/* GPTQ and AWQ: every value as the formulas of the specification give it, and parts that do not fit. */
#include "support/test.h"

#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rand.h"
#include "support/checkpoint.h"
#include "tensor/quant.h"
#include "weights/packed.h"

#define STEM "model.layers.0.mlp.up_proj"

typedef struct packed_case {
    const char *what;
    wd_packing packing;
    uint32_t bits, group;
    size_t n_out, n_in;
    bool shuffled;    /* g_idx in an order of its own */
    unsigned z0, z1;  /* zeros are of z0 .. z1, as the formula subtracts them */
    wd_dtype want;    /* what it becomes */
    double tolerance; /* of a step of the group; 0: but for f32's rounding */
} packed_case;

static const packed_case cases[] = {
    { "gptq", WD_PACKING_GPTQ, 4, 128, 32, 256, false, 1, 15, WD_DTYPE_W4, 0 },
    { "gptq symmetric, no g_idx order", WD_PACKING_GPTQ, 4, 64, 16, 192, false, 8, 8, WD_DTYPE_W4, 0 },
    { "gptq with a zero of 16", WD_PACKING_GPTQ, 4, 32, 16, 64, false, 16, 16, WD_DTYPE_W4, 1.0 },
    { "gptq v2", WD_PACKING_GPTQ_V2, 4, 128, 48, 128, false, 0, 15, WD_DTYPE_W4, 0 },
    { "gptq by importance", WD_PACKING_GPTQ, 4, 128, 16, 256, true, 1, 15, WD_DTYPE_W8, 0.2 },
    { "gptq of one group", WD_PACKING_GPTQ, 4, 0, 16, 96, false, 1, 15, WD_DTYPE_W4, 0 },
    { "gptq 8 bits", WD_PACKING_GPTQ, 8, 128, 32, 256, false, 128, 128, WD_DTYPE_W8, 0 },
    { "gptq 8 bits, any zero", WD_PACKING_GPTQ, 8, 128, 16, 128, false, 1, 255, WD_DTYPE_W8, 1.1 },
    { "groups of 16", WD_PACKING_GPTQ, 4, 16, 16, 96, false, 1, 15, WD_DTYPE_W8, 0.4 },
    { "awq", WD_PACKING_AWQ, 4, 128, 32, 256, false, 0, 15, WD_DTYPE_W4, 0 },
};

typedef struct packed {
    uint8_t *q;   /* [n_out][n_in] */
    unsigned *z;  /* [n_group][n_out] */
    float *scale; /* [n_group][n_out] */
    uint32_t *g_idx;
    size_t n_group, group;
} packed;

static void put_bits(uint8_t *words, size_t word, unsigned at, unsigned v)
{
    uint32_t w = wd_le32(words + 4 * word) | (uint32_t)v << at;
    for (size_t i = 0; i < 4; i++)
        words[4 * word + i] = (uint8_t)(w >> (8 * i));
}

/* The file of a case, written by the words of the specification. */
static packed write_case(const packed_case *c, const char *dir)
{
    static const unsigned order[8] = { 0, 2, 4, 6, 1, 3, 5, 7 }; /* nibble k of AWQ holds column order[k] */
    wd_rand r;
    wd_rand_init(&r, 17);
    const size_t group = c->group ? c->group : c->n_in, n_group = (c->n_in + group - 1) / group,
                 p = 32 / c->bits;
    const bool awq = c->packing == WD_PACKING_AWQ;
    packed v = { .q = wd_calloc(c->n_out, c->n_in),
                 .z = WD_ALLOC_N(unsigned, n_group * c->n_out),
                 .scale = WD_ALLOC_N(float, n_group * c->n_out),
                 .g_idx = WD_ALLOC_N(uint32_t, c->n_in),
                 .n_group = n_group,
                 .group = group };
    const test_tensor t[] = {
        { STEM ".qweight", "I32", { awq ? c->n_in : c->n_in / p, awq ? c->n_out / p : c->n_out } },
        { STEM ".qzeros", "I32", { n_group, c->n_out / p } },
        { STEM ".scales", "F16", { n_group, c->n_out } },
        { STEM ".g_idx", "I32", { c->n_in } },
    };
    wd_buf b = { 0 };
    test_st_file(&b, t, 4);
    uint8_t *data = b.p + 8 + wd_le64(b.p), *zeros = data + 4 * c->n_in * c->n_out / p;
    uint8_t *scales = zeros + 4 * n_group * c->n_out / p, *index = scales + 2 * n_group * c->n_out;
    memset(data, 0, (size_t)(b.p + b.n - data));
    for (size_t k = 0; k < c->n_in; k++) {
        v.g_idx[k] = (uint32_t)(c->shuffled ? (k * 7 + 3) % n_group : k / group);
        put_bits(index, k, 0, v.g_idx[k]);
    }
    for (size_t o = 0; o < c->n_out; o++) {
        for (size_t k = 0; k < c->n_in; k++) {
            const unsigned q = v.q[o * c->n_in + k] = (uint8_t)wd_rand_below(&r, 1u << c->bits);
            if (!awq)
                put_bits(data, k / p * c->n_out + o, (unsigned)(k % p) * c->bits, q);
            for (unsigned n = 0; awq && n < 8; n++)
                if (order[n] == o % 8)
                    put_bits(data, k * (c->n_out / 8) + o / 8, 4 * n, q);
        }
        for (size_t g = 0; g < n_group; g++) {
            const unsigned z = c->z0 + (unsigned)wd_rand_below(&r, c->z1 - c->z0 + 1);
            const unsigned stored = c->packing == WD_PACKING_GPTQ ? z - 1 : z;
            const wd_f16 h = wd_f32_to_f16((float)wd_rand_range(&r, 0.002, 0.01));
            v.z[g * c->n_out + o] = z;
            v.scale[g * c->n_out + o] = wd_f16_to_f32(h);
            memcpy(scales + 2 * (g * c->n_out + o), &h, 2);
            for (unsigned n = 0; awq && n < 8; n++)
                if (order[n] == o % 8)
                    put_bits(zeros, g * (c->n_out / 8) + o / 8, 4 * n, stored);
            if (!awq)
                put_bits(zeros, g * (c->n_out / p) + o / p, (unsigned)(o % p) * c->bits, stored);
        }
    }
    test_write(dir, "model.safetensors", b.p, b.n);
    wd_buf_free(&b);
    return v;
}

static void values_are_those_of_the_formula(void **state)
{
    (void)state;
    wd_pool *pool;
    assert_ok(wd_pool_create(2, &pool, &err));
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        const packed_case *c = &cases[i];
        char *dir = test_make_dir();
        packed v = write_case(c, dir);
        const wd_model_config config = { .packing = c->packing,
                                         .packed_bits = c->bits,
                                         .packed_group = c->group };
        wd_weights *w;
        wd_tensor t;
        assert_ok(wd_weights_open(dir, &w, &err));
        assert_ok(wd_weights_unpack(w, &config, i % 2 ? pool : NULL, &err));
        assert_int_equal(wd_weights_count(w), 1);
        assert_ok(
            wd_weights_get(w, "layers.0.mlp.up_proj.weight", (size_t[]){ c->n_out, c->n_in }, 2, &t, &err));
        assert_int_equal(t.dtype, c->want);
        for (size_t o = 0; o < c->n_out; o++) {
            for (size_t k = 0; k < c->n_in; k++) {
                const size_t at = v.g_idx[k] * c->n_out + o;
                const double want = (double)v.scale[at] * ((double)v.q[o * c->n_in + k] - v.z[at]);
                const double most = v.scale[at] * (c->tolerance > 0 ? c->tolerance : 4e-6);
                const double got = wd_tensor_get(&t, o * c->n_in + k);
                if (!(fabs(got - want) <= most * (c->shuffled || c->group == 16 ? 5 : 1)))
                    fail_msg("%s: output %zu, input %zu is %g, not %g", c->what, o, k, got, want);
            }
        }
        wd_weights_close(w);
        wd_free(v.q);
        wd_free(v.z);
        wd_free(v.scale);
        wd_free(v.g_idx);
        test_rm_dir(dir);
    }
    wd_pool_destroy(pool);
}

static wd_status try_unpack(const test_tensor *t, size_t n, wd_err *err)
{
    const wd_model_config c = { .packing = WD_PACKING_GPTQ, .packed_bits = 4, .packed_group = 128 };
    char *dir = test_make_dir();
    wd_weights *w;
    test_write_st(dir, "model.safetensors", t, n);
    wd_status st = wd_weights_open(dir, &w, err);
    if (!st)
        st = wd_weights_unpack(w, &c, NULL, err);
    wd_weights_close(w);
    test_rm_dir(dir);
    return st;
}

static void parts_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const struct {
        test_tensor t[4];
        size_t n;
        wd_status code;
        const char *part;
    } bad[] = {
        { { { STEM ".qweight", "I32", { 16, 16 } } },
          1,
          WD_E_NOT_FOUND,
          "has no layers.0.mlp.up_proj.qzeros" },
        { { { STEM ".qweight", "F32", { 16, 16 } } }, 1, WD_E_INVALID, "is F32[16, 16], expected I32" },
        { { { STEM ".qweight", "I32", { 16, 8 } } }, 1, WD_E_UNSUPPORTED, "8 outputs and 128 inputs" },
        { { { STEM ".qweight", "I32", { 3, 16 } } }, 1, WD_E_UNSUPPORTED, "16 outputs and 24 inputs" },
        { { { STEM ".qweight", "I32", { 16, 16 } }, { STEM ".qzeros", "I32", { 2, 2 } } },
          2,
          WD_E_INVALID,
          "is I32[2, 2], expected I32[1, 2]" },
        { { { STEM ".qweight", "I32", { 16, 16 } },
            { STEM ".qzeros", "I32", { 1, 2 } },
            { STEM ".scales", "U8", { 1, 16 } } },
          3,
          WD_E_INVALID,
          "is U8[1, 16], expected F16" },
        { { { STEM ".qweight", "I32", { 16, 16 } },
            { STEM ".qzeros", "I32", { 1, 2 } },
            { STEM ".scales", "F16", { 1, 16 } },
            { STEM ".g_idx", "I32", { 128 } } },
          4,
          WD_E_CORRUPT,
          "there are 1" }, /* bytes that count up are no group */
    };
    for (size_t i = 0; i < WD_COUNT(bad); i++)
        assert_fails(try_unpack(bad[i].t, bad[i].n, &err), bad[i].code, bad[i].part);
}

static void failures_on_the_way_are_errors(void **state)
{
    (void)state;
    const packed_case *c = &cases[0];
    const wd_model_config config = { .packing = c->packing,
                                     .packed_bits = c->bits,
                                     .packed_group = c->group };
    char *dir = test_make_dir();
    packed v = write_case(c, dir);
    for (uint64_t nth = 1;; nth++) {
        wd_weights *w;
        wd_err err = { 0 };
        if (wd_weights_open(dir, &w, &err))
            fail_msg("%s", err.text);
        wd_inject_failure(nth);
        const wd_status st = wd_weights_unpack(w, &config, NULL, &err);
        wd_inject_failure(0);
        wd_weights_close(w);
        if (st == WD_OK) {
            assert_true(nth > 6);
            break;
        }
        assert_int_equal(st, WD_E_NOMEM);
    }
    wd_free(v.q);
    wd_free(v.z);
    wd_free(v.scale);
    wd_free(v.g_idx);
    test_rm_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_the_formula),
        cmocka_unit_test(parts_that_do_not_fit_are_refused),
        cmocka_unit_test(failures_on_the_way_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
