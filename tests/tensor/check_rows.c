/* Checks and benchmarks of conversions, norms, rotation, activations and softmax. */
#include <math.h>
#include <string.h>

#include "check.h"

enum { ROWS = 5 };

static const size_t lengths[] = { 1, 7, 16, 20, 64, 72, 128, 1023, 4608 };

/* ---- conversions -------------------------------------------------------------------------------------------- */

static void check_widen(wd_check *c, size_t slot, const char *name, bool f16)
{
    for (size_t i = 0; i < WD_COUNT(lengths); i++) {
        const size_t n = lengths[i] == 4608 ? 65536 : lengths[i]; /* every 16-bit value */
        if (!wd_check_begin(c, slot, "%s_%zu", name, n))
            continue;
        char *x = wd_check_bytes(c, 2 * n + c->low);
        x += c->low;
        float *want = wd_check_buf(c, n), *got = wd_check_buf(c, n);
        for (size_t v = 0; v < n; v++) {
            const uint16_t u = (uint16_t)(v * 40503u); /* odd: a permutation */
            memcpy(x + 2 * v, &u, sizeof u);
        }
        void (*ref)(float *, const void *, size_t) = f16 ? c->ref->f16_to_f32 : c->ref->bf16_to_f32;
        void (*dut)(float *, const void *, size_t) = f16 ? c->dut->f16_to_f32 : c->dut->bf16_to_f32;
        ref(want, x, n);
        dut(got, x, n);
        for (size_t v = 0; v < n; v++) {
            if (isnan(want[v]) && isnan(got[v]))
                got[v] = want[v]; /* which NaN is not promised */
        }
        wd_check_same(c, "values", want, got, n * sizeof *got);
        wd_check_bench(c, 6 * n, n, dut(got, x, n));
    }
}

static void check_f8(wd_check *c)
{
    static const size_t sizes[] = { 256, 1, 15, 128, 100 };
    for (size_t i = 0; i < WD_COUNT(sizes); i++) {
        const size_t n = sizes[i];
        if (!wd_check_begin(c, WD_SLOT(f8_to_f32), "f8_to_f32_%zu", n))
            continue;
        uint8_t *x = wd_check_bytes(c, n);
        float *want = wd_check_buf(c, n), *got = wd_check_buf(c, n);
        for (size_t v = 0; v < n; v++)
            x[v] = (uint8_t)(v * 171);
        c->ref->f8_to_f32(want, x, 0.0123f, n);
        c->dut->f8_to_f32(got, x, 0.0123f, n);
        for (size_t v = 0; v < n; v++) {
            if (isnan(want[v]) && isnan(got[v]))
                got[v] = want[v];
        }
        wd_check_same(c, "values", want, got, n * sizeof *got);
        wd_check_bench(c, 5 * n, n, c->dut->f8_to_f32(got, x, 0.0123f, n));
    }
}

static void check_f8_to_bf16(wd_check *c)
{
    static const size_t sizes[] = { 256, 1, 31, 128, 100 };
    for (size_t i = 0; i < WD_COUNT(sizes); i++) {
        const size_t n = sizes[i];
        if (!wd_check_begin(c, WD_SLOT(f8_to_bf16), "f8_to_bf16_%zu", n))
            continue;
        uint8_t *x = wd_check_bytes(c, n);
        wd_bf16 *want = wd_check_bytes(c, 2 * n), *got = wd_check_bytes(c, 2 * n);
        for (size_t v = 0; v < n; v++)
            x[v] = (uint8_t)(v * 171);
        c->ref->f8_to_bf16(want, x, n);
        c->dut->f8_to_bf16(got, x, n);
        wd_check_same(c, "values", want, got, n * sizeof *got);
        wd_check_bench(c, 3 * n, n, c->dut->f8_to_bf16(got, x, n));
    }
}

static void check_narrow(wd_check *c)
{
    for (size_t i = 0; i < WD_COUNT(lengths); i++) {
        const size_t n = lengths[i] == 4608 ? 1u << 19 : lengths[i];
        if (!wd_check_begin(c, WD_SLOT(f32_to_bf16), "f32_to_bf16_%zu", n))
            continue;
        float *x = wd_check_buf(c, n);
        wd_bf16 *want = wd_check_bytes(c, 2 * n), *got = wd_check_bytes(c, 2 * n);
        for (size_t v = 0; v < n; v++) { /* any upper half, with the lower halves around a tie */
            static const uint32_t low[] = { 0x8000, 0, 0x7FFF, 0x8001, 0xFFFF, 1, 0x8000, 0x1234 };
            const uint32_t u = (uint32_t)(v / 8) << 16 | low[v % 8];
            memcpy(&x[v], &u, sizeof u);
        }
        c->ref->f32_to_bf16(want, x, n);
        c->dut->f32_to_bf16(got, x, n);
        wd_check_same(c, "values", want, got, n * sizeof *got);
        wd_check_bench(c, 6 * n, n, c->dut->f32_to_bf16(got, x, n));
    }
}

static void check_transpose(wd_check *c)
{
    static const size_t shapes[][2] = { { 1, 1 },   { 16, 16 }, { 64, 128 }, { 64, 72 },
                                        { 63, 20 }, { 17, 33 }, { 3, 64 } };
    for (size_t i = 0; i < WD_COUNT(shapes); i++) {
        const size_t rows = shapes[i][0], cols = shapes[i][1], x_stride = cols + i % 2,
                     y_stride = rows + i % 3;
        if (!wd_check_begin(c, WD_SLOT(transpose_f32), "transpose_f32_%zux%zu", rows, cols))
            continue;
        const size_t n_x = (rows - 1) * x_stride + cols, n_y = (cols - 1) * y_stride + rows;
        float *x = wd_check_buf(c, n_x), *want = wd_check_buf(c, n_y), *got = wd_check_buf(c, n_y);
        wd_check_fill(c, x, n_x);
        c->ref->transpose_f32(want, y_stride, x, x_stride, rows, cols);
        c->dut->transpose_f32(got, y_stride, x, x_stride, rows, cols);
        wd_check_same(c, "values", want, got, n_y * sizeof *got);
        wd_check_bench(c, n_x * 8, n_x, c->dut->transpose_f32(got, y_stride, x, x_stride, rows, cols));
    }
}

void check_convert(wd_check *c)
{
    check_widen(c, WD_SLOT(bf16_to_f32), "bf16_to_f32", false);
    check_widen(c, WD_SLOT(f16_to_f32), "f16_to_f32", true);
    check_f8(c);
    check_f8_to_bf16(c);
    check_narrow(c);
    check_transpose(c);
    wd_check_end(c);
}

/* ---- norms -------------------------------------------------------------------------------------------------- */

static void check_rmsnorm(wd_check *c)
{
    for (size_t i = 0; i < WD_COUNT(lengths); i++) {
        const size_t d = lengths[i];
        if (!wd_check_begin(c, WD_SLOT(rmsnorm), "rmsnorm_d%zu", d))
            continue;
        float *x = wd_check_buf(c, ROWS * d), *w = wd_check_buf(c, d);
        float *want = wd_check_buf(c, ROWS * d), *got = wd_check_buf(c, ROWS * d), *one = wd_check_buf(c, d);
        wd_check_fill(c, x, ROWS * d);
        wd_check_fill(c, w, d);
        c->ref->rmsnorm(want, x, w, ROWS, d, 1e-6f);
        c->dut->rmsnorm(got, x, w, ROWS, d, 1e-6f);
        wd_check_nmse(c, want, got, ROWS * d, 1e-12);
        c->dut->rmsnorm(one, x + 3 * d, w, 1, d, 1e-6f);
        wd_check_same(c, "row alone", got + 3 * d, one, d * sizeof *one);
        c->dut->rmsnorm(x, x, w, ROWS, d, 1e-6f);
        wd_check_same(c, "in place", got, x, ROWS * d * sizeof *x);
        wd_check_bench(c, 12 * ROWS * d, 4 * ROWS * d, c->dut->rmsnorm(got, x, w, ROWS, d, 1e-6f));
    }
    if (wd_check_begin(c, WD_SLOT(rmsnorm), "rmsnorm_zeros")) { /* eps keeps it finite */
        float *x = wd_check_buf(c, 40), *w = wd_check_buf(c, 40), *y = wd_check_buf(c, 40),
              *zero = wd_check_buf(c, 40);
        wd_check_fill(c, w, 40);
        for (size_t i = 0; i < 40; i++)
            w[i] = fabsf(w[i]);
        c->dut->rmsnorm(y, x, w, 1, 40, 1e-6f);
        wd_check_same(c, "zeros", zero, y, 160);
    }
}

static void check_layernorm(wd_check *c)
{
    for (size_t i = 0; i < WD_COUNT(lengths); i++) {
        const size_t d = lengths[i];
        if (!wd_check_begin(c, WD_SLOT(layernorm), "layernorm_d%zu", d))
            continue;
        float *x = wd_check_buf(c, ROWS * d), *w = wd_check_buf(c, d), *b = wd_check_buf(c, d);
        float *want = wd_check_buf(c, ROWS * d), *got = wd_check_buf(c, ROWS * d), *one = wd_check_buf(c, d);
        wd_check_fill(c, x, ROWS * d);
        for (size_t k = 0; k < d; k++)
            x[2 * d + k] = x[2 * d + k] / 64 + 300; /* a mean far from zero */
        wd_check_fill(c, w, d);
        wd_check_fill(c, b, d);
        c->ref->layernorm(want, x, w, b, ROWS, d, 1e-6f);
        c->dut->layernorm(got, x, w, b, ROWS, d, 1e-6f);
        wd_check_nmse(c, want, got, ROWS * d, 1e-10);
        c->dut->layernorm(one, x + 3 * d, w, b, 1, d, 1e-6f);
        wd_check_same(c, "row alone", got + 3 * d, one, d * sizeof *one);
        c->dut->layernorm(x, x, w, b, ROWS, d, 1e-6f);
        wd_check_same(c, "in place", got, x, ROWS * d * sizeof *x);
        wd_check_bench(c, 16 * ROWS * d, 7 * ROWS * d, c->dut->layernorm(got, x, w, b, ROWS, d, 1e-6f));
    }
}

static void check_rope(wd_check *c)
{
    static const size_t dims[] = { 2, 20, 64, 72, 128 };
    for (size_t i = 0; i < WD_COUNT(dims); i++) {
        const size_t d = dims[i], heads = 3;
        if (!wd_check_begin(c, WD_SLOT(rope), "rope_d%zu", d))
            continue;
        float *want = wd_check_buf(c, heads * d), *got = wd_check_buf(c, heads * d);
        float *co = wd_check_buf(c, d / 2), *si = wd_check_buf(c, d / 2);
        wd_check_fill(c, want, heads * d);
        memcpy(got, want, heads * d * sizeof *got);
        for (size_t k = 0; k < d / 2; k++) {
            co[k] = cosf((float)k * 1.7f);
            si[k] = sinf((float)k * 1.7f);
        }
        c->ref->rope(want, co, si, heads, d);
        c->dut->rope(got, co, si, heads, d);
        wd_check_nmse(c, want, got, heads * d, 1e-12);
        wd_check_bench(c, 8 * heads * d, 3 * heads * d, c->dut->rope(got, co, si, heads, d));
    }
}

/* ---- element by element ------------------------------------------------------------------------------------- */

/* Mixed scales, and the places where exponentials leave the range of f32. */
static void fill_hard(wd_check *c, float *x, size_t n)
{
    static const float edges[] = { 0,      -0.0f,   87.5f, -87.5f, 88.9f,  -88.9f,
                                   104.5f, -104.5f, 1e4f,  -1e4f,  1e-40f, 17 };
    wd_check_fill(c, x, n);
    for (size_t i = 0; i < WD_COUNT(edges) && i < n; i++)
        x[(i * 5) % n] = edges[i];
}

static void check_silu_mul(wd_check *c)
{
    for (size_t i = 0; i < WD_COUNT(lengths); i++) {
        const size_t n = lengths[i];
        if (!wd_check_begin(c, WD_SLOT(silu_mul), "silu_mul_%zu", n))
            continue;
        float *gate = wd_check_buf(c, n), *up = wd_check_buf(c, n), *scale = wd_check_buf(c, n);
        float *want = wd_check_buf(c, n), *got = wd_check_buf(c, n);
        fill_hard(c, gate, n);
        wd_check_fill(c, up, n);
        for (size_t k = 0; k < n; k++)
            scale[k] = gate[k] * up[k];
        c->ref->silu_mul(want, gate, up, n);
        c->dut->silu_mul(got, gate, up, n);
        wd_check_near(c, want, got, scale, n, 5e-7);
        c->dut->silu_mul(gate, gate, up, n);
        wd_check_same(c, "in place", got, gate, n * sizeof *got);
        wd_check_bench(c, 12 * n, n, c->dut->silu_mul(got, gate, up, n));
    }
}

static void check_act(wd_check *c, size_t slot, const char *name)
{
    void (*ref)(float *, size_t), (*dut)(float *, size_t);
    memcpy(&ref, (const char *)c->ref + slot, sizeof ref);
    memcpy(&dut, (const char *)c->dut + slot, sizeof dut);
    for (size_t i = 0; i < WD_COUNT(lengths); i++) {
        const size_t n = lengths[i];
        if (!wd_check_begin(c, slot, "%s_%zu", name, n))
            continue;
        float *x = wd_check_buf(c, n), *want = wd_check_buf(c, n), *got = wd_check_buf(c, n);
        fill_hard(c, x, n);
        for (size_t k = 13; k < n; k++) /* and the bend, closely */
            x[k] = k % 2 ? x[k] : (float)k * 16.0f / (float)n - 8;
        memcpy(want, x, n * sizeof *x);
        memcpy(got, x, n * sizeof *x);
        ref(want, n);
        dut(got, n);
        wd_check_near(c, want, got, x, n, 5e-7);
        if (n > 1) {
            memcpy(want, x, n * sizeof *x);
            dut(want + 1, 1);
            wd_check_same(c, "element alone", got + 1, want + 1, sizeof *got);
        }
        wd_check_bench(c, 8 * n, n, dut(got, n));
    }
}

static void check_add_scaled(wd_check *c)
{
    for (size_t i = 0; i < WD_COUNT(lengths); i++) {
        const size_t n = lengths[i];
        if (!wd_check_begin(c, WD_SLOT(add_scaled), "add_scaled_%zu", n))
            continue;
        float *x = wd_check_buf(c, n), *want = wd_check_buf(c, n), *got = wd_check_buf(c, n);
        wd_check_fill(c, x, n);
        wd_check_fill(c, want, n);
        memcpy(got, want, n * sizeof *got);
        c->ref->add_scaled(want, x, -0.37f, n);
        c->dut->add_scaled(got, x, -0.37f, n);
        wd_check_near(c, want, got, x, n, 1e-6);
        wd_check_bench(c, 12 * n, 2 * n, c->dut->add_scaled(got, x, -0.37f, n));
    }
}

/* ---- softmax ------------------------------------------------------------------------------------------------ */

static void fill_scores(wd_check *c, float *s, size_t n_key, size_t stride, unsigned step)
{
    for (size_t r = 0; r < ROWS; r++) {
        wd_check_fill(c, s + r * stride, n_key);
        for (size_t j = 0; j < n_key; j++)
            s[r * stride + j] = fmodf(s[r * stride + j], 40) - (float)(step * r * 20); /* lower and lower */
        if (n_key > 2)
            s[r * stride + n_key - 1] = r % 2 ? -INFINITY : -1e30f;
    }
}

static void check_softmax_step(wd_check *c)
{
    static const size_t shapes[][2] = { { 1, 1 }, { 7, 20 }, { 16, 64 }, { 33, 72 }, { 64, 128 } };
    for (size_t i = 0; i < WD_COUNT(shapes); i++) {
        const size_t n_key = shapes[i][0], dim = shapes[i][1], stride = n_key + i % 2,
                     n_s = (ROWS - 1) * stride + n_key;
        if (!wd_check_begin(c, WD_SLOT(softmax_step), "softmax_step_%zux%zu", n_key, dim))
            continue;
        float *s[3], *m[3], *l[3], *acc[3]; /* reference, under test, one row alone */
        for (unsigned v = 0; v < 3; v++) {
            s[v] = wd_check_buf(c, n_s);
            m[v] = wd_check_buf(c, ROWS);
            l[v] = wd_check_buf(c, ROWS);
            acc[v] = wd_check_buf(c, ROWS * dim);
            for (size_t r = 0; r < ROWS; r++)
                m[v][r] = -INFINITY;
        }
        for (unsigned step = 0; step < 3; step++) {
            fill_scores(c, s[0], n_key, stride, step);
            memcpy(s[1], s[0], n_s * sizeof **s);
            memcpy(s[2], s[0], n_s * sizeof **s);
            c->ref->softmax_step(s[0], stride, n_key, m[0], l[0], acc[0], dim, ROWS);
            c->dut->softmax_step(s[1], stride, n_key, m[1], l[1], acc[1], dim, ROWS);
            c->dut->softmax_step(s[2] + 2 * stride, stride, n_key, m[2] + 2, l[2] + 2, acc[2] + 2 * dim, dim,
                                 1);
            wd_check_near(c, s[0], s[1], NULL, n_s, 3e-7);
            wd_check_nmse(c, s[0], s[1], n_s, 1e-13);
            wd_check_nmse(c, l[0], l[1], ROWS, 1e-12);
            wd_check_nmse(c, acc[0], acc[1], ROWS * dim, 1e-12);
            wd_check_same(c, "maximum", m[0], m[1], ROWS * sizeof **m);
            wd_check_same(c, "row alone", s[1] + 2 * stride, s[2] + 2 * stride, n_key * sizeof **s);
            wd_check_same(c, "its sum", l[1] + 2, l[2] + 2, sizeof **l);
            wd_check_same(c, "its accumulator", acc[1] + 2 * dim, acc[2] + 2 * dim, dim * sizeof **acc);
            for (size_t e = 0; e < ROWS * dim; e++)
                acc[0][e] = acc[1][e] = acc[2][e] = acc[0][e] + (float)(e % 7);
        }
        wd_check_bench(c, 4 * ROWS * (n_key + dim), ROWS * n_key,
                       c->dut->softmax_step(s[1], stride, n_key, m[1], l[1], acc[1], dim, ROWS));
    }
}

void check_rows(wd_check *c)
{
    check_rmsnorm(c);
    check_layernorm(c);
    check_rope(c);
    check_silu_mul(c);
    check_act(c, WD_SLOT(silu), "silu");
    check_act(c, WD_SLOT(gelu_tanh), "gelu_tanh");
    check_act(c, WD_SLOT(gelu_erf), "gelu_erf");
    check_add_scaled(c);
    check_softmax_step(c);
    wd_check_end(c);
}
