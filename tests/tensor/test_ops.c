/* The CPU backend's operators on every instruction set level of this machine, against plain loops in double; and
 * that a row's bits depend neither on its company nor on the number of threads. */
#include "support/test.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/rand.h"
#include "tensor/ops.h"
#include "tensor/quant.h"

static const char *const levels[] = { "ref", "avx2", "avx512", "avx512vnni", "avx512bf16", "amx" };

typedef void (*ops_fn)(wd_ops *ops, wd_ops *two_threads, bool fast);

/* Runs fn for every level and precision, with operators on one thread and on two. */
static void for_each_level(ops_fn fn)
{
    wd_pool *pool;
    assert_ok(wd_pool_create(2, &pool, &err));
    for (size_t i = 0; i < WD_COUNT(levels); i++) {
        uint32_t isa;
        if (wd_isa_parse(levels[i], &isa, NULL))
            continue;
        for (int fast = 0; fast < 2; fast++) {
            wd_cpu_opts o = { .isa = isa, .precision = fast ? WD_PRECISION_FAST : WD_PRECISION_EXACT };
            wd_ops *one, *two;
            assert_ok(wd_cpu_ops_create(&o, &one, &err));
            o.pool = pool;
            assert_ok(wd_cpu_ops_create(&o, &two, &err));
            fn(one, two, fast);
            wd_ops_destroy(one);
            wd_ops_destroy(two);
        }
    }
    wd_pool_destroy(pool);
}

static float *random_floats(wd_rand *r, size_t n, double scale)
{
    float *x = WD_ALLOC_N(float, n + 1);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(wd_rand_normal(r) * scale);
    return x;
}

/* Relative error in the second norm; 0 for two zero vectors. */
static double error_of(const double *want, const float *got, size_t n)
{
    double error = 0, power = 0;
    for (size_t i = 0; i < n; i++) {
        error += (got[i] - want[i]) * (got[i] - want[i]);
        power += want[i] * want[i];
    }
    return error > 0 ? sqrt(error / power) : error;
}

static void close_to(const char *what, const wd_ops *ops, const double *want, const float *got, size_t n,
                     double limit)
{
    const double error = error_of(want, got, n);
    if (!(error <= limit)) /* not NaN either */
        fail_msg("%s on %s: relative error %.3g, limit %.3g", what, ops->name, error, limit);
}

static void same_bits(const char *what, const wd_ops *ops, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (memcmp(&a[i], &b[i], sizeof a[i]) != 0)
            fail_msg("%s on %s: element %zu is %a, and %a", what, ops->name, i, (double)a[i], (double)b[i]);
    }
}

/* ---- linear ------------------------------------------------------------------------------------------------- */

/* A tensor of random values that holds its own memory; one byte off when odd. */
typedef struct owned {
    wd_tensor t;
    uint8_t *data, *scale;
} owned;

static owned random_tensor(wd_rand *r, wd_dtype dtype, size_t rows, size_t cols, bool odd)
{
    const size_t n = rows * cols, n_scale = (rows + 127) / 128 * ((cols + 127) / 128),
                 bytes = wd_dtype_bytes(dtype);
    owned o = { .data = WD_ALLOC_N(uint8_t, n * bytes + 1), .scale = WD_ALLOC_N(uint8_t, n_scale * 4) };
    assert_non_null(o.data);
    assert_non_null(o.scale);
    odd = odd && dtype != WD_DTYPE_F32;
    o.t = (wd_tensor){ .data = o.data + odd, .dtype = dtype, .n_dim = 2, .dim = { rows, cols } };
    for (size_t i = 0; i < n; i++) {
        const float v = (float)wd_rand_normal(r);
        const uint16_t half = dtype == WD_DTYPE_F16 ? wd_f32_to_f16(v) : wd_f32_to_bf16(v);
        if (dtype == WD_DTYPE_F32)
            memcpy(o.data + 4 * i, &v, 4);
        else if (dtype == WD_DTYPE_F8_E4M3)
            o.data[odd + i] = (uint8_t)(wd_rand_below(r, 127) | wd_rand_below(r, 2) << 7);
        else
            memcpy(o.data + odd + 2 * i, &half, 2);
    }
    if (dtype == WD_DTYPE_F8_E4M3) {
        o.t.scale = o.scale;
        o.t.scale_dtype = rows % 2 ? WD_DTYPE_BF16 : WD_DTYPE_F32;
        for (size_t i = 0; i < n_scale; i++) {
            const float v = (float)wd_rand_range(r, 0.001, 0.02);
            const wd_bf16 b = wd_f32_to_bf16(v);
            if (rows % 2)
                memcpy(o.scale + 2 * i, &b, 2);
            else
                memcpy(o.scale + 4 * i, &v, 4);
        }
    }
    return o;
}

static void release(owned *o)
{
    wd_free(o->data);
    wd_free(o->scale);
}

static double act_of(wd_act act, double z)
{
    switch (act) {
    case WD_ACT_SILU:
        return z / (1 + exp(-z));
    case WD_ACT_GELU_TANH:
        return z / 2 * (1 + tanh(sqrt(2 / acos(-1)) * (z + 0.044715 * z * z * z)));
    case WD_ACT_GELU_ERF:
        return z / 2 * erfc(-z / sqrt(2));
    default:
        return z;
    }
}

/* rounded: with the activations taken to bf16 first. */
static void linear_by_definition(const wd_linear_args *a, bool rounded, size_t n_out, size_t n_in, double *y)
{
    for (size_t i = 0; i < a->n; i++) {
        for (size_t o = 0; o < n_out; o++) {
            double sum = a->lin->b.data ? wd_tensor_get(&a->lin->b, o) : 0;
            for (size_t k = 0; k < n_in; k++) {
                const float x = a->x[i * a->x_stride + k];
                sum += (double)(rounded ? wd_bf16_to_f32(wd_f32_to_bf16(x)) : x) *
                       wd_tensor_get(&a->lin->w, a->lin->in_out ? k * n_out + o : o * n_in + k);
            }
            y[i * n_out + o] = act_of(a->act, sum) + (a->residual ? a->residual[i * a->y_stride + o] : 0);
        }
    }
}

static void pack(float *to, const float *y, size_t n, size_t n_out, size_t stride)
{
    for (size_t i = 0; i < n; i++)
        memcpy(to + i * n_out, y + i * stride, n_out * sizeof *y);
}

/* One layer: right on one thread; the same on two, in place of the residual, and for each row alone. */
static void check_linear(wd_ops *ops, wd_ops *two, wd_linear_args a, size_t n_out, size_t n_in,
                         bool may_round)
{
    const size_t n_y = a.n * a.y_stride;
    double *want = WD_ALLOC_N(double, a.n *n_out);
    float *y = WD_ALLOC_N(float, n_y), *got = WD_ALLOC_N(float, n_y), *other = WD_ALLOC_N(float, n_y);
    a.y = y;
    for (size_t i = 0; i < n_y; i++)
        y[i] = -77;
    ops->linear(ops->self, &a, 1);
    for (size_t i = 0; i < a.n; i++) {
        for (size_t o = n_out; o < a.y_stride; o++)
            assert_true(y[i * a.y_stride + o] == -77); /* beyond the columns: untouched */
    }
    pack(got, y, a.n, n_out, a.y_stride);
    linear_by_definition(&a, false, n_out, n_in, want);
    if (may_round && error_of(want, got, a.n * n_out) > 3e-6)
        linear_by_definition(&a, true, n_out, n_in, want);
    close_to("linear", ops, want, got, a.n * n_out, 3e-6);

    memcpy(y, a.residual ? a.residual : got, n_y * sizeof *y);
    wd_linear_args b = a;
    if (a.residual)
        b.residual = y;
    two->linear(two->self, &b, 1);
    pack(other, y, a.n, n_out, a.y_stride);
    same_bits("linear on two threads, in place", two, got, other, a.n * n_out);

    b = a;
    b.n = 1;
    for (size_t i = 0; i < a.n; i++) {
        b.x = a.x + i * a.x_stride;
        b.y = y + i * a.y_stride;
        b.residual = a.residual ? a.residual + i * a.y_stride : NULL;
        two->linear(two->self, &b, 1);
    }
    pack(other, y, a.n, n_out, a.y_stride);
    same_bits("linear row by row", two, got, other, a.n * n_out);
    wd_free(want);
    wd_free(y);
    wd_free(got);
    wd_free(other);
}

static void linear_level(wd_ops *ops, wd_ops *two, bool fast)
{
    static const wd_dtype dtypes[] = { WD_DTYPE_F32, WD_DTYPE_F16, WD_DTYPE_BF16, WD_DTYPE_F8_E4M3 };
    static const struct {
        size_t n, n_out, n_in;
    } sizes[] = { { 1, 1, 1 },     { 3, 130, 257 }, { 50, 67, 64 },
                  { 5, 200, 300 }, { 2, 48, 4200 }, { 99, 261, 33 } };
    wd_rand r;
    wd_rand_init(&r, 11);
    for (size_t c = 0; c < WD_COUNT(dtypes) * WD_COUNT(sizes) * 2; c++) {
        const wd_dtype dtype = dtypes[c % 4];
        const size_t s = c / 4 % WD_COUNT(sizes), n = sizes[s].n, n_out = sizes[s].n_out,
                     n_in = sizes[s].n_in;
        const bool in_out = c / 4 >= WD_COUNT(sizes);
        owned w = random_tensor(&r, dtype, in_out ? n_in : n_out, in_out ? n_out : n_in, c % 3 == 1);
        owned b = random_tensor(&r, c % 2 ? WD_DTYPE_F32 : WD_DTYPE_BF16, 1, n_out, false);
        const wd_linear lin = { .w = w.t, .b = c % 5 ? b.t : (wd_tensor){ 0 }, .in_out = in_out };
        float *x = random_floats(&r, n * (n_in + 3), 1 / sqrt((double)n_in));
        float *residual = random_floats(&r, n * (n_out + s), 1);
        const wd_linear_args a = { .x = x,
                                   .residual = (c + c / 4) % 2 ? residual : NULL,
                                   .n = n,
                                   .x_stride = n_in + 3,
                                   .y_stride = n_out + s,
                                   .lin = &lin,
                                   .act = (wd_act)((c + c / 4) % 4) };
        check_linear(ops, two, a, n_out, n_in, fast && dtype != WD_DTYPE_F32);
        wd_free(x);
        wd_free(residual);
        release(&w);
        release(&b);
    }
}

static void linear_is_right_for_every_type_orientation_and_shape(void **state)
{
    (void)state;
    for_each_level(linear_level);
}

/* What a group of activations becomes, by the words of kern.h. */
static void rounded_to_8_bits(const float *x, size_t n_in, size_t group, double *to)
{
    for (size_t k0 = 0; k0 < n_in; k0 += group) {
        float a = 0;
        for (size_t k = k0; k < k0 + group; k++)
            a = fmaxf(a, fabsf(x[k]));
        for (size_t k = k0; k < k0 + group; k++)
            to[k] = a > 0 ? rint((double)(x[k] * (127 / a))) * (double)(a / 127) : 0;
    }
}

/* W8 and W4 against their own values: exactly as f32 weights when EXACT, with activations in 8 bits when FAST; the same
 * bits on every level then, and on any number of threads, alone and together. */
static void quantised_level(wd_ops *ops, wd_ops *two, bool fast)
{
    static const struct {
        size_t n, n_out, n_in;
        uint32_t group;
    } sizes[] = {
        { 1, 1, 32, 32 }, { 3, 130, 256, 64 }, { 50, 67, 96, 32 }, { 5, 200, 384, 128 }, { 2, 48, 4224, 32 }
    };
    static float first_level[2][50 * 67];
    wd_rand r;
    wd_rand_init(&r, 12);
    for (size_t c = 0; c < 2 * WD_COUNT(sizes); c++) {
        const size_t s = c / 2, n = sizes[s].n, n_out = sizes[s].n_out, n_in = sizes[s].n_in;
        const wd_dtype dtype = c % 2 ? WD_DTYPE_W4 : WD_DTYPE_W8;
        void *block = wd_calloc(wd_quant_bytes(dtype, n_out, n_in, sizes[s].group) + 64, 1);
        const wd_quant q = wd_quant_over(dtype, n_out, n_in, sizes[s].group,
                                         (uint8_t *)block + (64 - (uintptr_t)block % 64));
        float *x = random_floats(&r, n * (n_in + 3), 1), *residual = random_floats(&r, n * (n_out + s), 1);
        float *row = random_floats(&r, n_in, 1), *y = WD_ALLOC_N(float, n *(n_out + s));
        double *want = WD_ALLOC_N(double, n *n_out), *rounded = WD_ALLOC_N(double, n_in);
        float *got = WD_ALLOC_N(float, n *n_out), *other = WD_ALLOC_N(float, n *n_out);
        for (size_t o = 0; o < n_out; o++) {
            for (size_t k = 0; k < n_in; k++)
                row[k] = (float)(wd_rand_normal(&r) / sqrt((double)n_in));
            assert_ok(wd_quant_row(&q, o, row, &err));
        }
        owned b = random_tensor(&r, WD_DTYPE_BF16, 1, n_out, false);
        const wd_linear lin = { .w = wd_quant_tensor(&q), .b = b.t };
        wd_linear_args a = { .y = y,
                             .x = x,
                             .residual = c % 3 ? residual : NULL,
                             .n = n,
                             .x_stride = n_in + 3,
                             .y_stride = n_out + s,
                             .lin = &lin,
                             .act = s == 2 ? WD_ACT_NONE : (wd_act)(c % 4) };
        for (size_t i = 0; i < n; i++) {
            const float *xi = x + i * a.x_stride;
            for (size_t k = 0; k < n_in; k++)
                rounded[k] = xi[k];
            if (fast)
                rounded_to_8_bits(xi, n_in, sizes[s].group, rounded);
            for (size_t o = 0; o < n_out; o++) {
                double sum = wd_tensor_get(&b.t, o);
                for (size_t k = 0; k < n_in; k++)
                    sum += rounded[k] * wd_tensor_get(&lin.w, o * n_in + k);
                want[i * n_out + o] = act_of(a.act, sum) + (a.residual ? residual[i * a.y_stride + o] : 0);
            }
        }
        ops->linear(ops->self, &a, 1);
        pack(got, y, n, n_out, a.y_stride);
        close_to("a quantised layer", ops, want, got, n * n_out, 3e-6);
        two->linear(two->self, &a, 1);
        pack(other, y, n, n_out, a.y_stride);
        same_bits("a quantised layer on two threads", two, got, other, n * n_out);
        wd_linear_args one = a;
        one.n = 1;
        for (size_t i = 0; i < n; i++) {
            one.x = x + i * a.x_stride;
            one.y = y + i * a.y_stride;
            one.residual = a.residual ? residual + i * a.y_stride : NULL;
            two->linear(two->self, &one, 1);
        }
        pack(other, y, n, n_out, a.y_stride);
        same_bits("a quantised layer row by row", two, got, other, n * n_out);
        if (fast && s == 2) { /* nothing but the product and the bias */
            if (strcmp(ops->name, "cpu/ref") == 0)
                memcpy(first_level[c % 2], got, n * n_out * sizeof *got);
            same_bits("a quantised layer and the reference's", ops, first_level[c % 2], got, n * n_out);
        }
        wd_free(block);
        wd_free(x);
        wd_free(residual);
        wd_free(row);
        wd_free(y);
        wd_free(want);
        wd_free(rounded);
        wd_free(got);
        wd_free(other);
        release(&b);
    }
}

static void quantised_layers_are_right_and_the_same_on_every_level(void **state)
{
    (void)state;
    for_each_level(quantised_level);
}

/* Maps of rows that are listed, each list its own: a row has the bits that it has in order. More maps than fit in one loop,
 * or more rows than are prepared at a time. */
static void check_listed(wd_ops *ops, wd_ops *two, const wd_linear *lin, size_t n_out, size_t n_in,
                         const size_t *n, size_t n_map)
{
    enum { ROWS = 16, MAPS = 40 };
    wd_rand r;
    wd_rand_init(&r, 15);
    const size_t y_stride = n_out + 1;
    wd_linear_args a[MAPS] = { 0 };
    uint32_t *row[MAPS];
    float *x = random_floats(&r, ROWS * (n_in + 3), 1), *in_order = WD_ALLOC_N(float, ROWS *n_out);
    assert_true(n_map <= MAPS);
    for (size_t i = 0; i < n_map; i++) {
        float *y = random_floats(&r, n[i] * y_stride, 1);
        row[i] = WD_ALLOC_N(uint32_t, n[i]);
        for (size_t k = 0; k < n[i]; k++)
            row[i][k] = (uint32_t)wd_rand_below(&r, ROWS);
        if (i % 3 == 1 && n[i] == n[i - 1]) /* equal lists in two places */
            memcpy(row[i], row[i - 1], n[i] * sizeof *row[i]);
        a[i] = (wd_linear_args){
            .y = y, .x = x, .row = row[i], .n = n[i], .x_stride = n_in + 3, .y_stride = y_stride, .lin = lin
        };
    }
    ops->linear(ops->self,
                &(wd_linear_args){
                    .y = in_order, .x = x, .n = ROWS, .x_stride = n_in + 3, .y_stride = n_out, .lin = lin },
                1);
    two->linear(two->self, a, n_map);
    for (size_t i = 0; i < n_map; i++) {
        for (size_t k = 0; k < n[i]; k++)
            same_bits("a listed row", two, in_order + row[i][k] * n_out, a[i].y + k * y_stride, n_out);
        wd_free(row[i]);
        wd_free(a[i].y);
    }
    wd_free(x);
    wd_free(in_order);
}

static void listed_level(wd_ops *ops, wd_ops *two, bool fast)
{
    static const struct {
        wd_dtype dtype;
        uint32_t group; /* quantised */
        bool in_out;
    } kinds[] = { { WD_DTYPE_BF16, 0, false }, { WD_DTYPE_BF16, 0, true }, { WD_DTYPE_F32, 0, false },
                  { WD_DTYPE_F16, 0, true },   { WD_DTYPE_W8, 32, false }, { WD_DTYPE_F8_E4M3, 0, false } };
    static const size_t few[40] = { 1, 1, 5, 17, 17, 48, 49, 2, 1, 33, 16, 16, 60, 3, 3, 1, 1, 1, 7, 9,
                                    1, 4, 4, 31, 31, 12, 90, 6, 1, 1,  1,  1,  2,  8, 8, 5, 1, 1, 3, 20 };
    static const size_t many[] = { 400, 500, 1100 };
    static const struct {
        size_t n_out, n_in;
        const size_t *n;
        size_t n_map;
    } sizes[] = { { 67, 96, few, WD_COUNT(few) }, { 1, 16384, many, WD_COUNT(many) } };
    wd_rand r;
    wd_rand_init(&r, 16);
    for (size_t c = 0; c < WD_COUNT(kinds) * WD_COUNT(sizes); c++) {
        const size_t s = c % WD_COUNT(sizes), t = c / WD_COUNT(sizes);
        if (s == 1 && (!fast || !strstr(ops->name, wd_isa_name(wd_isa_detect())) || kinds[t].in_out))
            continue; /* how many are prepared at a time is the same on every level */
        const size_t n_out = sizes[s].n_out, n_in = sizes[s].n_in;
        owned w = { 0 };
        void *block = NULL;
        wd_linear lin = { .in_out = kinds[t].in_out };
        if (kinds[t].group) {
            float *values = random_floats(&r, n_in, 1);
            block = wd_calloc(wd_quant_bytes(kinds[t].dtype, n_out, n_in, kinds[t].group) + 64, 1);
            const wd_quant q = wd_quant_over(kinds[t].dtype, n_out, n_in, kinds[t].group,
                                             (uint8_t *)block + (64 - (uintptr_t)block % 64));
            for (size_t o = 0; o < n_out; o++)
                assert_ok(wd_quant_row(&q, o, values, &err));
            lin.w = wd_quant_tensor(&q);
            wd_free(values);
        } else {
            w = random_tensor(&r, kinds[t].dtype, lin.in_out ? n_in : n_out, lin.in_out ? n_out : n_in,
                              false);
            lin.w = w.t;
        }
        check_listed(ops, two, &lin, n_out, n_in, sizes[s].n, sizes[s].n_map);
        wd_free(block);
        release(&w);
    }
}

static void listed_rows_are_the_same_as_in_order(void **state)
{
    (void)state;
    for_each_level(listed_level);
}

/* Maps of the same rows, of every type side by side, cut stripes and more of one kind than fit in one loop: the bits of each
 * alone. */
static void together_level(wd_ops *ops, wd_ops *two, bool fast)
{
    enum { MAPS = 14, N = 50, IN = 256 };
    static const struct {
        wd_dtype dtype;
        size_t n_out;
        uint32_t group; /* quantised */
        bool in_out;
    } maps[MAPS] = {
        { WD_DTYPE_BF16, 130, 0, false },    { WD_DTYPE_BF16, 1, 0, false },
        { WD_DTYPE_F8_E4M3, 200, 0, false }, { WD_DTYPE_BF16, 64, 0, false },
        { WD_DTYPE_BF16, 67, 0, false },     { WD_DTYPE_BF16, 48, 0, true },
        { WD_DTYPE_F8_E4M3, 40, 0, true },   { WD_DTYPE_F32, 33, 0, false },
        { WD_DTYPE_F16, 70, 0, false },      { WD_DTYPE_W4, 130, 32, false },
        { WD_DTYPE_W8, 48, 32, false },      { WD_DTYPE_W4, 17, 64, false },
        { WD_DTYPE_W8, 100, 64, false },     { WD_DTYPE_F32, 5, 0, true },
    };
    (void)fast;
    wd_rand r;
    wd_rand_init(&r, 13);
    owned w[MAPS] = { 0 };
    void *block[MAPS] = { NULL };
    wd_linear lin[MAPS];
    wd_linear_args a[MAPS];
    float *x = random_floats(&r, N * IN, 1), *alone[MAPS], *y[MAPS], *row = random_floats(&r, IN, 1);
    for (size_t i = 0; i < MAPS; i++) {
        const size_t n_out = maps[i].n_out;
        if (maps[i].group) {
            block[i] = wd_calloc(wd_quant_bytes(maps[i].dtype, n_out, IN, maps[i].group) + 64, 1);
            const wd_quant q = wd_quant_over(maps[i].dtype, n_out, IN, maps[i].group,
                                             (uint8_t *)block[i] + (64 - (uintptr_t)block[i] % 64));
            for (size_t o = 0; o < n_out; o++) {
                for (size_t k = 0; k < IN; k++)
                    row[k] = (float)wd_rand_normal(&r);
                assert_ok(wd_quant_row(&q, o, row, &err));
            }
            lin[i] = (wd_linear){ .w = wd_quant_tensor(&q) };
        } else {
            w[i] = random_tensor(&r, maps[i].dtype, maps[i].in_out ? IN : n_out, maps[i].in_out ? n_out : IN,
                                 false);
            lin[i] = (wd_linear){ .w = w[i].t, .in_out = maps[i].in_out };
        }
        alone[i] = random_floats(&r, N * (n_out + 1), 1);
        y[i] = WD_ALLOC_N(float, N *(n_out + 1));
        memcpy(y[i], alone[i], N * (n_out + 1) * sizeof(float));
        a[i] = (wd_linear_args){ .y = y[i],
                                 .x = x,
                                 .residual = i % 3 ? NULL : y[i],
                                 .x_stride = IN,
                                 .y_stride = n_out + 1,
                                 .lin = &lin[i],
                                 .act = (wd_act)(i % 4) };
    }
    static const size_t rows[] = { 1, 3, N };
    for (size_t t = 0; t < WD_COUNT(rows); t++) {
        for (size_t i = 0; i < MAPS; i++) {
            a[i].n = rows[t];
            a[i].y = alone[i];
            a[i].residual = i % 3 ? NULL : alone[i];
            ops->linear(ops->self, &a[i], 1);
            a[i].y = y[i];
            a[i].residual = i % 3 ? NULL : y[i];
        }
        two->linear(two->self, a, MAPS);
        for (size_t i = 0; i < MAPS; i++) /* what lies between the rows has stayed too */
            same_bits("one of several maps", two, alone[i], y[i], N * (maps[i].n_out + 1));
    }
    for (size_t i = 0; i < MAPS; i++) {
        wd_free(alone[i]);
        wd_free(y[i]);
        wd_free(block[i]);
        release(&w[i]);
    }
    wd_free(x);
    wd_free(row);
}

static void maps_of_the_same_rows_are_the_same_together(void **state)
{
    (void)state;
    for_each_level(together_level);
}

/* ---- attention ---------------------------------------------------------------------------------------------- */

/* Row q of one head over n_key keys and values, fetched by get(ctx, key, element). */
typedef double (*get_fn)(const void *ctx, size_t key, size_t e);

static void attention_by_definition(const float *q, size_t dim, size_t n_key, double scale, get_fn k,
                                    get_fn v, const void *ctx, double *out)
{
    double *p = WD_ALLOC_N(double, n_key), max = -INFINITY, sum = 0;
    for (size_t j = 0; j < n_key; j++) {
        for (size_t e = 0; e < dim; e++)
            p[j] += scale * q[e] * k(ctx, j, e);
        max = fmax(max, p[j]);
    }
    for (size_t j = 0; j < n_key; j++) {
        p[j] = exp(p[j] - max);
        sum += p[j];
    }
    for (size_t e = 0; e < dim; e++) {
        out[e] = 0;
        for (size_t j = 0; j < n_key; j++)
            out[e] += p[j] / sum * v(ctx, j, e);
    }
    wd_free(p);
}

typedef struct cached { /* one key-value head of a sequence */
    const float *k, *v;
    size_t stride;
} cached;

static double key_of(const void *ctx, size_t j, size_t e)
{
    const cached *c = ctx;
    return c->k[j * c->stride + e];
}

static double value_of(const void *ctx, size_t j, size_t e)
{
    const cached *c = ctx;
    return c->v[j * c->stride + e];
}

/* n rows of dim as a cache of the dtype gives them back. */
static float *as_stored(const float *x, size_t n, size_t dim, wd_dtype dtype)
{
    float *y = WD_ALLOC_N(float, n *dim);
    for (size_t i = 0; i < n * dim; i++) {
        float most = 0;
        for (size_t e = i / dim * dim; dtype == WD_DTYPE_KV8 && e < (i / dim + 1) * dim; e++)
            most = fmaxf(most, fabsf(x[e]));
        y[i] = most > 0 ? rintf(x[i] * (127 / most)) * (most / 127) : x[i];
        if (dtype != WD_DTYPE_F32)
            y[i] = wd_bf16_to_f32(wd_f32_to_bf16(y[i]));
    }
    return y;
}

/* pages filled with NaN: whatever is read before it was stored shows. */
static void **make_pages(size_t n_page, size_t bytes)
{
    void **page = WD_ALLOC_N(void *, n_page);
    for (size_t p = 0; p < n_page; p++) {
        page[p] = wd_calloc(bytes, 1);
        memset(page[p], 0xFF, bytes);
    }
    return page;
}

/* What attention may be off by: f32 throughout, or queries, probabilities (and of full attention keys and values)
 * rounded to bf16, each to 2^-9 of itself. */
static double attn_limit(const wd_ops *ops, bool may_round)
{
    const bool has_bf16 = strstr(ops->name, "bf16") || strstr(ops->name, "amx");
    return may_round && has_bf16 ? 6e-3 : 2e-6;
}

static void paged_case(wd_ops *ops, wd_ops *two, bool fast, size_t n, size_t n_head, size_t n_kv, size_t dim,
                       size_t page_len, wd_dtype dtype)
{
    wd_rand r;
    wd_rand_init(&r, n * dim + page_len);
    const size_t n_page = (n + page_len - 1) / page_len, kv_width = n_kv * dim, width = n_head * dim;
    const size_t page_bytes = 2 * n_kv * wd_kv_head_bytes(dtype, page_len, dim);
    void **page = make_pages(n_page, page_bytes);
    float *q = random_floats(&r, n * width, 2), *k = random_floats(&r, n * kv_width, 1);
    float *v = random_floats(&r, n * kv_width, 1);
    float *k_kept = as_stored(k, n * n_kv, dim, dtype), *v_kept = as_stored(v, n * n_kv, dim, dtype);
    float *got = WD_ALLOC_N(float, n *width), *other = WD_ALLOC_N(float, n *width);
    double *want = WD_ALLOC_N(double, n *width);
    const float scale = 1 / sqrtf((float)dim);
    for (size_t i = 0; i < n * n_head; i++) {
        const size_t token = i / n_head, h = i % n_head / (n_head / n_kv);
        const cached c = { k_kept + h * dim, v_kept + h * dim, kv_width };
        attention_by_definition(q + i * dim, dim, token + 1, (double)scale, key_of, value_of, &c,
                                want + i * dim);
    }

    wd_attn_paged a = { .q = q,
                        .out = got,
                        .n = n,
                        .n_head = n_head,
                        .n_kv_head = n_kv,
                        .head_dim = dim,
                        .page = page,
                        .page_len = page_len,
                        .kv_dtype = dtype,
                        .pos = 0,
                        .scale = scale };
    ops->kv_store(ops->self, page, k, v, n, 0, n_kv, dim, page_len, dtype);
    ops->attn_paged(ops->self, &a);
    close_to("attn_paged", ops, want, got, n * width, attn_limit(ops, fast && dtype != WD_DTYPE_F32));

    /* As decoded: a chunk, then token by token into fresh pages, on two threads. */
    for (size_t p = 0; p < n_page; p++)
        memset(page[p], 0xFF, page_bytes);
    for (size_t at = 0; at < n;) {
        const size_t step = at ? 1 : (n + 1) / 2;
        two->kv_store(two->self, page, k + at * kv_width, v + at * kv_width, step, at, n_kv, dim, page_len,
                      dtype);
        a.q = q + at * width;
        a.out = other + at * width;
        a.n = step;
        a.pos = at;
        two->attn_paged(two->self, &a);
        at += step;
    }
    same_bits("attn_paged step by step", two, got, other, n * width);
    for (size_t p = 0; p < n_page; p++)
        wd_free(page[p]);
    wd_free(page);
    wd_free(k_kept);
    wd_free(v_kept);
    wd_free(q);
    wd_free(k);
    wd_free(v);
    wd_free(got);
    wd_free(other);
    wd_free(want);
}

static void paged_level(wd_ops *ops, wd_ops *two, bool fast)
{
    static const struct {
        size_t n, n_head, n_kv, dim, page_len;
        wd_dtype dtype;
    } cases[] = {
        { 1, 2, 1, 128, 16, WD_DTYPE_BF16 },
        { 45, 4, 2, 128, 16, WD_DTYPE_BF16 },
        { 70, 3, 3, 20, 64, WD_DTYPE_F32 },
        { 33, 16, 2, 72, 8, WD_DTYPE_F32 },
        { 150, 8, 1, 16, 128, WD_DTYPE_BF16 }, /* pages longer than a block of keys */
        { 20, 70, 1, 8, 4, WD_DTYPE_F32 },
        { 9, 150, 1, 32, 16, WD_DTYPE_BF16 }, /* more heads than a tile holds */
        { 70, 6, 2, 72, 48, WD_DTYPE_BF16 },
        { 40, 4, 2, 256, 32, WD_DTYPE_BF16 },
        { 65, 3, 3, 20, 64, WD_DTYPE_BF16 },
        { 100, 5, 1, 64, 96, WD_DTYPE_BF16 },
        { 1, 2, 1, 128, 16, WD_DTYPE_KV8 },
        { 90, 6, 2, 72, 48, WD_DTYPE_KV8 },
        { 70, 4, 2, 128, 64, WD_DTYPE_KV8 },
        { 65, 3, 3, 20, 96, WD_DTYPE_KV8 },
    };
    for (size_t i = 0; i < WD_COUNT(cases); i++)
        paged_case(ops, two, fast, cases[i].n, cases[i].n_head, cases[i].n_kv, cases[i].dim,
                   cases[i].page_len, cases[i].dtype);
}

static void paged_attention_is_causal_and_the_same_in_prefill_and_decode(void **state)
{
    (void)state;
    for_each_level(paged_level);
}

/* Rows of a long context, where keys are summed in ranges: some rows at once, as chunks, and alone, on one thread and
 * on many, have the same bits. */
static void long_case(wd_ops *ops, wd_ops *const *teams, size_t n_team, bool fast, wd_dtype dtype)
{
    enum { POS = 1000, N = 50, HEADS = 6, KV = 2, DIM = 32, PAGE = 48 };
    const size_t len = POS + N, width = HEADS * DIM, kv_width = KV * DIM, n_page = (len + PAGE - 1) / PAGE;
    const size_t page_bytes = 2 * KV * wd_kv_head_bytes(dtype, PAGE, DIM);
    wd_rand r;
    wd_rand_init(&r, 8);
    void **page = make_pages(n_page, page_bytes);
    float *q = random_floats(&r, N * width, 2), *k = random_floats(&r, len * kv_width, 1);
    float *v = random_floats(&r, len * kv_width, 1);
    float *k_kept = as_stored(k, len * KV, DIM, dtype), *v_kept = as_stored(v, len * KV, DIM, dtype);
    float *got = WD_ALLOC_N(float, N *width), *other = WD_ALLOC_N(float, N *width);
    double *want = WD_ALLOC_N(double, N *width);
    for (size_t i = 0; i < (size_t)N * HEADS; i++) {
        const size_t h = i % HEADS / (HEADS / KV);
        const cached c = { k_kept + h * DIM, v_kept + h * DIM, kv_width };
        attention_by_definition(q + i * DIM, DIM, POS + i / HEADS + 1, 0.18, key_of, value_of, &c,
                                want + i * DIM);
    }
    ops->kv_store(ops->self, page, k, v, len, 0, KV, DIM, PAGE, dtype);
    const wd_attn_paged a = { .q = q,
                              .out = got,
                              .n = N,
                              .n_head = HEADS,
                              .n_kv_head = KV,
                              .head_dim = DIM,
                              .page = page,
                              .page_len = PAGE,
                              .kv_dtype = dtype,
                              .pos = POS,
                              .scale = 0.18f };
    ops->attn_paged(ops->self, &a);
    close_to("attn_paged of a long context", ops, want, got, N * width,
             attn_limit(ops, fast && dtype != WD_DTYPE_F32));
    for (size_t team = 0; team < n_team; team++) {
        static const size_t chunks[] = { N, 7, 1 };
        for (size_t c = 0; c < WD_COUNT(chunks); c++) {
            wd_attn_paged b = a;
            for (size_t at = 0; at < N; at += b.n) {
                b.n = WD_MIN(chunks[c], N - at);
                b.pos = POS + at;
                b.q = q + at * width;
                b.out = other + at * width;
                teams[team]->attn_paged(teams[team]->self, &b);
            }
            same_bits("attn_paged of a long context in chunks", teams[team], got, other, N * width);
        }
    }
    for (size_t p = 0; p < n_page; p++)
        wd_free(page[p]);
    wd_free(page);
    wd_free(k_kept);
    wd_free(v_kept);
    wd_free(q);
    wd_free(k);
    wd_free(v);
    wd_free(got);
    wd_free(other);
    wd_free(want);
}

static void long_contexts_are_summed_in_ranges_that_threads_do_not_move(void **state)
{
    (void)state;
    static const unsigned threads[] = { 1, 2, 3, 7 };
    wd_pool *pool[WD_COUNT(threads)];
    for (size_t i = 0; i < WD_COUNT(threads); i++)
        assert_ok(wd_pool_create(threads[i], &pool[i], &err));
    for (size_t l = 0; l < 2 * WD_COUNT(levels); l++) {
        wd_cpu_opts o = { .precision = l % 2 ? WD_PRECISION_FAST : WD_PRECISION_EXACT };
        wd_ops *team[WD_COUNT(threads)];
        if (wd_isa_parse(levels[l / 2], &o.isa, NULL))
            continue;
        for (size_t i = 0; i < WD_COUNT(threads); i++) {
            o.pool = pool[i];
            assert_ok(wd_cpu_ops_create(&o, &team[i], &err));
        }
        long_case(team[0], team, WD_COUNT(threads), l % 2, WD_DTYPE_BF16);
        long_case(team[0], team, WD_COUNT(threads), l % 2, WD_DTYPE_KV8);
        if (l % 2 == 0)
            long_case(team[0], team, WD_COUNT(threads), false, WD_DTYPE_F32);
        for (size_t i = 0; i < WD_COUNT(threads); i++)
            wd_ops_destroy(team[i]);
    }
    for (size_t i = 0; i < WD_COUNT(threads); i++)
        wd_pool_destroy(pool[i]);
}

/* A page of bf16 is laid out as ops.h says, whatever it held before; values that are not there are zero. */
static void store_level(wd_ops *ops, wd_ops *two, bool fast)
{
    enum { N = 37, KV = 2, DIM = 10, PAGE = 32, PAGES = 2 };
    (void)fast;
    wd_rand r;
    wd_rand_init(&r, 4);
    float *k = random_floats(&r, N * KV * DIM, 1), *v = random_floats(&r, N * KV * DIM, 1);
    void **page = make_pages(PAGES, 2 * KV * PAGE * DIM * sizeof(wd_bf16));
    for (size_t at = 0, n = 1; at < N; at += n, n = WD_MIN(2 * n + 1, N - at)) {
        const wd_ops *o = at % 2 ? ops : two;
        o->kv_store(o->self, page, k + at * KV * DIM, v + at * KV * DIM, n, at, KV, DIM, PAGE, WD_DTYPE_BF16);
    }
    for (size_t i = 0; i < (size_t)PAGES * PAGE * KV * DIM; i++) {
        const size_t token = i / (KV * DIM), h = i / DIM % KV, e = i % DIM, at = token % PAGE;
        const wd_bf16 *head = (const wd_bf16 *)page[token / PAGE] + h * PAGE * DIM;
        const wd_bf16 key = head[((at / 16 * (DIM / 2) + e / 2) * 16 + at % 16) * 2 + e % 2];
        const wd_bf16 value = head[KV * PAGE * DIM + (at / 2 * DIM + e) * 2 + at % 2];
        assert_int_equal(value, token < N ? wd_f32_to_bf16(v[i]) : 0);
        if (token < N)
            assert_int_equal(key, wd_f32_to_bf16(k[i]));
    }
    for (size_t p = 0; p < PAGES; p++)
        wd_free(page[p]);
    wd_free(page);
    wd_free(k);
    wd_free(v);
}

static void a_page_of_bf16_is_in_pairs_and_clean(void **state)
{
    (void)state;
    for_each_level(store_level);
}

static void full_case(wd_ops *ops, wd_ops *two, size_t dim, bool fast, bool round)
{
    static const size_t seg[] = { 0, 1, 1, 66, 200 };
    const size_t n = 200, heads = 3;
    const size_t width = heads * dim, stride = 3 * width; /* q, k, v side by side, as projected */
    wd_rand r;
    wd_rand_init(&r, 5 + dim);
    float *qkv = random_floats(&r, n * stride, 1.5);
    float *got = WD_ALLOC_N(float, n *width), *other = WD_ALLOC_N(float, n *width);
    double *want = WD_ALLOC_N(double, n *width);
    const wd_attn_full a = { .q = qkv,
                             .k = qkv + width,
                             .v = qkv + 2 * width,
                             .stride = stride,
                             .out = got,
                             .n_head = heads,
                             .head_dim = dim,
                             .seg = seg,
                             .n_seg = WD_COUNT(seg) - 1,
                             .scale = 1 / sqrtf((float)dim),
                             .round = round };
    for (size_t s = 0; s < a.n_seg; s++) {
        for (size_t i = seg[s] * heads; i < seg[s + 1] * heads; i++) {
            const size_t head = i % heads, row = i / heads;
            const float *k = a.k + seg[s] * stride + head * dim;
            const cached c = { k, k + width, stride };
            attention_by_definition(qkv + row * stride + head * dim, dim, seg[s + 1] - seg[s],
                                    (double)a.scale, key_of, value_of, &c, want + i * dim);
        }
    }
    ops->attn_full(ops->self, &a);
    close_to("attn_full", ops, want, got, n * width, attn_limit(ops, fast && round && dim % 2 == 0));

    wd_attn_full b = a; /* the last segment on its own, on two threads */
    const size_t last[] = { 0, seg[4] - seg[3] }, skip = seg[3];
    b.q += skip * stride;
    b.k += skip * stride;
    b.v += skip * stride;
    b.out = other;
    b.seg = last;
    b.n_seg = 1;
    two->attn_full(two->self, &b);
    same_bits("attn_full of one segment", two, got + skip * width, other, last[1] * width);
    wd_free(qkv);
    wd_free(got);
    wd_free(other);
    wd_free(want);
}

static void full_level(wd_ops *ops, wd_ops *two, bool fast)
{
    static const size_t dims[] = { 64, 72, 20, 32, 80, 256 };
    for (size_t d = 0; d < WD_COUNT(dims); d++) {
        full_case(ops, two, dims[d], fast, false);
        if (fast)
            full_case(ops, two, dims[d], fast, true);
    }
    full_case(ops, two, 33, fast, true); /* no pairs of an odd head */
}

static void full_attention_stays_within_segments(void **state)
{
    (void)state;
    for_each_level(full_level);
}

/* ---- rows --------------------------------------------------------------------------------------------------- */

static void norm_level(wd_ops *ops, wd_ops *two, bool fast)
{
    (void)fast;
    wd_rand r;
    wd_rand_init(&r, 3);
    const size_t n = 300, dim = 100;
    float *x = random_floats(&r, n * dim, 3), *y = WD_ALLOC_N(float, n *dim), *z = WD_ALLOC_N(float, n *dim);
    double *want = WD_ALLOC_N(double, n *dim);
    owned w = random_tensor(&r, WD_DTYPE_BF16, 1, dim, true),
          b = random_tensor(&r, WD_DTYPE_F16, 1, dim, false);
    for (int centred = 0; centred < 2; centred++) {
        for (size_t i = 0; i < n; i++) {
            double mean = 0, square = 0;
            for (size_t k = 0; k < dim && centred; k++)
                mean += (double)x[i * dim + k] / dim;
            for (size_t k = 0; k < dim; k++)
                square += (x[i * dim + k] - mean) * (x[i * dim + k] - mean) / dim;
            for (size_t k = 0; k < dim; k++)
                want[i * dim + k] = (x[i * dim + k] - mean) / sqrt(square + 1e-6) * wd_tensor_get(&w.t, k) +
                                    (centred ? wd_tensor_get(&b.t, k) : 0);
        }
        memcpy(z, x, n * dim * sizeof *x);
        if (centred) {
            ops->layernorm(ops->self, y, x, &w.t, &b.t, n, dim, 1e-6f);
            two->layernorm(two->self, z, z, &w.t, &b.t, n, dim, 1e-6f);
        } else {
            ops->rmsnorm(ops->self, y, x, &w.t, n, dim, 1e-6f);
            two->rmsnorm(two->self, z, z, &w.t, n, dim, 1e-6f);
        }
        close_to(centred ? "layernorm" : "rmsnorm", ops, want, y, n * dim, 1e-6);
        same_bits("a norm in place on two threads", two, y, z, n * dim);
    }
    wd_free(x);
    wd_free(y);
    wd_free(z);
    wd_free(want);
    release(&w);
    release(&b);
}

static void norms_take_weights_of_any_type(void **state)
{
    (void)state;
    for_each_level(norm_level);
}

/* Rows are added one after another, also to the same one: as add_scaled does it row by row. */
static void check_add_rows(wd_ops *ops, wd_ops *two)
{
    static const size_t dims[] = { 1, 67, 1000 };
    enum { TO = 5, N = 40 };
    wd_rand r;
    wd_rand_init(&r, 17);
    for (size_t s = 0; s < WD_COUNT(dims); s++) {
        const size_t dim = dims[s];
        float *x = random_floats(&r, N * dim, 1), *y = random_floats(&r, TO * dim, 1),
              *want = WD_ALLOC_N(float, TO *dim);
        float a[N];
        uint32_t to[N];
        memcpy(want, y, TO * dim * sizeof *y);
        for (size_t i = 0; i < N; i++) {
            a[i] = (float)wd_rand_normal(&r);
            to[i] = (uint32_t)wd_rand_below(&r, TO - 1); /* the last gets nothing */
            ops->add_scaled(ops->self, want + to[i] * dim, x + i * dim, a[i], dim);
        }
        two->add_rows(two->self, y, to, x, a, N, dim);
        same_bits("add_rows", two, want, y, TO * dim);
        wd_free(x);
        wd_free(y);
        wd_free(want);
    }
}

static void element_level(wd_ops *ops, wd_ops *two, bool fast)
{
    (void)fast;
    wd_rand r;
    wd_rand_init(&r, 9);
    enum { N = 90, DIM = 70, HEADS = 3, HEAD = 20, STRIDE = 2 * DIM };
    float *gate_up = random_floats(&r, N * STRIDE, 2), *y = WD_ALLOC_N(float, N *DIM);
    float *angle = random_floats(&r, N * HEAD / 2, 3), *co = WD_ALLOC_N(float, N *HEAD / 2);
    float *si = WD_ALLOC_N(float, N *HEAD / 2);
    double *want = WD_ALLOC_N(double, N *DIM);
    for (size_t i = 0; i < N * DIM; i++) {
        const double gate = gate_up[i / DIM * STRIDE + i % DIM],
                     up = gate_up[i / DIM * STRIDE + DIM + i % DIM];
        want[i] = gate / (1 + exp(-gate)) * up;
    }
    ops->silu_mul(ops->self, y, gate_up, gate_up + DIM, N, DIM, STRIDE);
    close_to("silu_mul", ops, want, y, N * DIM, 1e-6);
    two->silu_mul(two->self, gate_up, gate_up, gate_up + DIM, N, DIM, STRIDE); /* packed over itself */
    same_bits("silu_mul in place", two, y, gate_up, N * DIM);

    for (size_t i = 0; i < N * DIM; i++)
        want[i] = y[i] + 0.75 * gate_up[i];
    ops->add_scaled(ops->self, y, gate_up, 0.75f, N * DIM);
    close_to("add_scaled", ops, want, y, N * DIM, 1e-6);
    check_add_rows(ops, two);

    for (size_t i = 0; i < N * HEAD / 2; i++) {
        co[i] = cosf(angle[i]);
        si[i] = sinf(angle[i]);
    }
    for (size_t i = 0; i < N * DIM; i++) {
        const size_t row = i / DIM, e = i % DIM % HEAD, c = row * HEAD / 2 + e % (HEAD / 2);
        if (i % DIM >= HEADS * HEAD)
            want[i] = y[i]; /* columns past the heads stay */
        else if (e < HEAD / 2)
            want[i] = (double)y[i] * co[c] - (double)y[i + HEAD / 2] * si[c];
        else
            want[i] = (double)y[i] * co[c] + (double)y[i - HEAD / 2] * si[c];
    }
    two->rope(two->self, y, co, si, N, DIM, HEADS, HEAD);
    close_to("rope", two, want, y, N * DIM, 1e-6);
    wd_free(gate_up);
    wd_free(y);
    wd_free(angle);
    wd_free(co);
    wd_free(si);
    wd_free(want);
}

static void element_wise_operators_follow_their_formulas(void **state)
{
    (void)state;
    for_each_level(element_level);
}

static void embed_level(wd_ops *ops, wd_ops *two, bool fast)
{
    static const wd_dtype dtypes[] = { WD_DTYPE_F32, WD_DTYPE_F16, WD_DTYPE_BF16, WD_DTYPE_F8_E4M3 };
    wd_rand r;
    wd_rand_init(&r, 4);
    (void)fast;
    for (size_t d = 0; d < WD_COUNT(dtypes); d++) {
        owned table = random_tensor(&r, dtypes[d], 300, 200, true);
        uint32_t ids[120];
        float *y = WD_ALLOC_N(float, 120 * 200), *z = WD_ALLOC_N(float, 120 * 200);
        for (size_t i = 0; i < 120; i++)
            ids[i] = i == 0 ? 299 : (uint32_t)wd_rand_below(&r, 300);
        ops->embed(ops->self, y, &table.t, ids, 120);
        two->embed(two->self, z, &table.t, ids, 120);
        same_bits("embed on two threads", two, y, z, 120 * 200);
        for (size_t i = 0; i < 120 * 200; i++)
            assert_true(y[i] == wd_tensor_get(&table.t, ids[i / 200] * 200 + i % 200));
        wd_free(y);
        wd_free(z);
        release(&table);
    }
}

static void embedding_rows_are_exact(void **state)
{
    (void)state;
    for_each_level(embed_level);
}

/* ---- life --------------------------------------------------------------------------------------------------- */

static void isa_words_are_parsed_and_unknown_ones_refused(void **state)
{
    (void)state;
    uint32_t isa = 99;
    assert_ok(wd_isa_parse("ref", &isa, &err));
    assert_int_equal(isa, 0);
    assert_string_equal(wd_isa_name(isa), "ref");
    assert_ok(wd_isa_parse(NULL, &isa, &err));
    assert_int_equal(isa, wd_isa_detect());
    assert_ok(wd_isa_parse("auto", &isa, &err));
    assert_fails(wd_isa_parse("sse9", &isa, &err), WD_E_USAGE, "sse9");
    assert_fails(wd_isa_parse("", &isa, &err), WD_E_USAGE, "expected auto");
    assert_int_equal(isa, wd_isa_detect()); /* untouched */
    if (!(wd_isa_detect() & WD_ISA_AMX)) {
        wd_ops *ops;
        const wd_cpu_opts o = { .isa = WD_ISA_AMX };
        assert_fails(wd_isa_parse("amx", &isa, &err), WD_E_UNSUPPORTED, "amx");
        assert_fails(wd_cpu_ops_create(&o, &ops, &err), WD_E_UNSUPPORTED, "not available");
        assert_null(ops);
    }
}

static void create_fails_cleanly_without_memory(void **state)
{
    (void)state;
    const wd_cpu_opts o = { .isa = wd_isa_detect() };
    for (uint64_t n = 1;; n++) {
        wd_ops *ops;
        wd_err err = { 0 };
        wd_inject_failure(n);
        const wd_status st = wd_cpu_ops_create(&o, &ops, &err);
        wd_inject_failure(0);
        if (st == WD_OK) {
            wd_ops_destroy(ops);
            assert_true(n > 2);
            return;
        }
        assert_int_equal(st, WD_E_NOMEM);
        assert_null(ops);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_is_right_for_every_type_orientation_and_shape),
        cmocka_unit_test(quantised_layers_are_right_and_the_same_on_every_level),
        cmocka_unit_test(listed_rows_are_the_same_as_in_order),
        cmocka_unit_test(maps_of_the_same_rows_are_the_same_together),
        cmocka_unit_test(paged_attention_is_causal_and_the_same_in_prefill_and_decode),
        cmocka_unit_test(long_contexts_are_summed_in_ranges_that_threads_do_not_move),
        cmocka_unit_test(a_page_of_bf16_is_in_pairs_and_clean),
        cmocka_unit_test(full_attention_stays_within_segments),
        cmocka_unit_test(norms_take_weights_of_any_type),
        cmocka_unit_test(element_wise_operators_follow_their_formulas),
        cmocka_unit_test(embedding_rows_are_exact),
        cmocka_unit_test(isa_words_are_parsed_and_unknown_ones_refused),
        cmocka_unit_test(create_fails_cleanly_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
