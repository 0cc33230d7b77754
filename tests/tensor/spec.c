/* Every slot by its formula in long double, sharing no code with the reference: what the reference must equal. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

typedef long double ld;

static ld half(unsigned v, int exponent_bits, int fraction_bits, bool infinities)
{
    const int e_max = (1 << exponent_bits) - 1, e = (int)(v >> fraction_bits) & e_max;
    const int f = (int)(v & ((1u << fraction_bits) - 1)), bias = e_max / 2;
    const ld sign = v >> (exponent_bits + fraction_bits) & 1 ? -1 : 1;
    if (e == e_max && (infinities || f == (1 << fraction_bits) - 1))
        return f ? (ld)NAN : sign * (ld)INFINITY;
    return sign * (e ? ldexpl(1 + ldexpl(f, -fraction_bits), e - bias) : ldexpl(f, 1 - bias - fraction_bits));
}

enum { F32, F16, BF16 };

static ld at(int type, const void *p, size_t i)
{
    float f;
    uint16_t h;
    if (type == F32) {
        memcpy(&f, (const char *)p + 4 * i, 4);
        return f;
    }
    memcpy(&h, (const char *)p + 2 * i, 2);
    return type == F16 ? half(h, 5, 10, true) : half(h, 8, 7, true);
}

static void product(const wd_mm *m, int x_type, int w_type, bool dot)
{
    for (size_t i = 0; i < m->n; i++) {
        for (size_t o = 0; o < m->n_out; o++) {
            ld sum = !dot && m->add ? m->y[i * m->y_stride + o] : 0;
            for (size_t k = 0; k < m->n_in; k++)
                sum += at(x_type, m->x, i * m->x_stride + m->k0 + k) *
                       at(w_type, m->w, dot ? o * m->w_stride + k : k * m->w_stride + o);
            m->y[i * m->y_stride + o] = (float)sum;
        }
    }
}

#define PRODUCT(name, x_type, w_type, dot) \
    static void name(const wd_mm *m)       \
    {                                      \
        product(m, x_type, w_type, dot);   \
    }
PRODUCT(dot_f32, F32, F32, true)
PRODUCT(dot_f16, F32, F16, true)
PRODUCT(dot_bf16, F32, BF16, true)
PRODUCT(dot_bf16_bf16, BF16, BF16, true)
PRODUCT(mul_f32, F32, F32, false)
PRODUCT(mul_f16, F32, F16, false)
PRODUCT(mul_bf16, F32, BF16, false)
PRODUCT(mul_bf16_bf16, BF16, BF16, false)

static void quantise(int8_t *q, wd_qgroup *xg, const float *x, size_t n_in, size_t group)
{
    for (size_t k = 0; k < n_in; k++) {
        const size_t first = k / group * group;
        wd_qgroup *g = &xg[k / group];
        float top = 0;
        bool finite = true;
        for (size_t i = first; i < first + group; i++) {
            finite = finite && isfinite(x[i]);
            top = fmaxf(top, fabsf(x[i]));
        }
        const bool some = finite && top >= 0x1p-100f;
        const float times = 127 / top, product_of = x[k] * times;
        q[k] = some ? (int8_t)lrintl(product_of) : 0;
        if (k == first)
            *g = (wd_qgroup){ .scale = !finite ? NAN : some ? top / 127 : 0 };
        g->shift += q[k];
        if (k + 1 == first + group) {
            g->sum = g->scale * (float)g->shift;
            g->shift *= -128;
        }
    }
}

static void quant_product(const wd_mmq *m, bool fours)
{
    for (size_t i = 0; i < m->n; i++) {
        for (size_t o = 0; o < m->n_out; o++) {
            ld sum = 0;
            for (size_t k = 0; k < m->n_in; k++) {
                const size_t per = fours ? 8 : 4, n_group = m->n_in / m->group;
                const size_t place = ((o / 16 * (m->n_in / per) + k / per) * 16 + o % 16) * 4 + k % 4;
                const size_t group = (o / 16 * n_group + k / m->group) * 16 + o % 16;
                const ld u = fours ? m->w[place] >> (k % 8 < 4 ? 0 : 4) & 0xF : m->w[place];
                const ld zero = fours ? (ld)m->zero[group] / 16 : 128;
                sum += at(F16, m->scale, group) * (u - zero) * m->xg[i * n_group + k / m->group].scale *
                       m->x[i * m->n_in + k];
            }
            m->y[i * m->y_stride + o] = (float)sum;
        }
    }
}

static void dot_w8(const wd_mmq *m)
{
    quant_product(m, false);
}

static void dot_w4(const wd_mmq *m)
{
    quant_product(m, true);
}

static void bf16_to_f32(float *y, const void *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)at(BF16, x, i);
}

static void f16_to_f32(float *y, const void *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)at(F16, x, i);
}

static void f8_to_f32(float *y, const void *x, float scale, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)(half(((const uint8_t *)x)[i], 4, 3, false) * scale);
}

static void f8_to_bf16(wd_bf16 *y, const void *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float v = (float)half(((const uint8_t *)x)[i], 4, 3, false);
        uint32_t u;
        memcpy(&u, &v, sizeof u);
        y[i] = isnan(v) ? (wd_bf16)(((const uint8_t *)x)[i] << 8 & 0x8000) | 0x7FC0 : (wd_bf16)(u >> 16);
    }
}

/* The bf16 values on both sides of x; the nearer one, or the even one. */
static void f32_to_bf16(wd_bf16 *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, &x[i], sizeof u);
        const unsigned down = u >> 16;
        const ld low = fabsl(half(down, 8, 7, true)), v = fabsl((ld)x[i]);
        const ld high = (down & 0x7FFF) == 0x7F7F ? ldexpl(1, 128) : fabsl(half(down + 1, 8, 7, true));
        if (isnan(x[i]))
            y[i] = (wd_bf16)(down | 0x40);
        else if (v == low)
            y[i] = (wd_bf16)down;
        else
            y[i] = (wd_bf16)(high - v < v - low || (high - v == v - low && (down & 1)) ? down + 1 : down);
    }
}

static void dot_pack(wd_bf16 *to, size_t stride, const float *x, size_t x_stride, const uint32_t *row,
                     size_t n, size_t n_in)
{
    for (size_t i = 0; i < n; i++)
        f32_to_bf16(to + i * stride, x + (row ? row[i] : i) * x_stride, n_in);
}

static void transpose(int type, float *y, size_t y_stride, const void *x, size_t x_stride, size_t rows,
                      size_t cols)
{
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < cols; c++)
            y[c * y_stride + r] = (float)at(type, x, r * x_stride + c);
    }
}

static void transpose_f32(float *y, size_t y_stride, const void *x, size_t x_stride, size_t rows, size_t cols)
{
    transpose(F32, y, y_stride, x, x_stride, rows, cols);
}

static wd_bf16 rounded(float v)
{
    wd_bf16 y;
    f32_to_bf16(&y, &v, 1);
    return y;
}

static void pair_keys(wd_bf16 *to, const float *x, size_t x_stride, size_t n, size_t dim)
{
    for (size_t pair = 0; pair < dim / 2; pair++) {
        for (size_t key = 0; key < 16; key++) {
            for (size_t h = 0; h < 2; h++)
                *to++ = key < n ? rounded(x[key * x_stride + 2 * pair + h]) : 0;
        }
    }
}

static void pair_values(wd_bf16 *to, const float *x, size_t x_stride, size_t n, size_t dim)
{
    for (size_t pair = 0; 2 * pair < n; pair++) {
        for (size_t e = 0; e < dim; e++) {
            *to++ = rounded(x[2 * pair * x_stride + e]);
            *to++ = 2 * pair + 1 < n ? rounded(x[(2 * pair + 1) * x_stride + e]) : 0;
        }
    }
}

static void i8_to_bf16(wd_bf16 *y, const void *x, const float *scale, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = rounded(((const signed char *)x)[i] * scale[i % 32]);
}

static void unpair_bf16(float *y, size_t y_stride, const void *x, size_t rows, size_t n)
{
    for (size_t i = 0; i < 2 * rows * n; i++)
        y[(i / (2 * n) * 2 + i % 2) * y_stride + i / 2 % n] = (float)at(BF16, x, i);
}

static void rmsnorm(float *y, const float *x, const float *w, size_t rows, size_t dim, float eps)
{
    for (size_t r = 0; r < rows; r++) {
        ld mean = 0;
        for (size_t i = 0; i < dim; i++)
            mean += (ld)x[r * dim + i] * x[r * dim + i] / dim;
        for (size_t i = 0; i < dim; i++)
            y[r * dim + i] = (float)(x[r * dim + i] / sqrtl(mean + eps) * w[i]);
    }
}

static void layernorm(float *y, const float *x, const float *w, const float *b, size_t rows, size_t dim,
                      float eps)
{
    for (size_t r = 0; r < rows; r++) {
        ld mean = 0, variance = 0;
        for (size_t i = 0; i < dim; i++)
            mean += (ld)x[r * dim + i] / dim;
        for (size_t i = 0; i < dim; i++)
            variance += powl(x[r * dim + i] - mean, 2) / dim;
        for (size_t i = 0; i < dim; i++)
            y[r * dim + i] = (float)((x[r * dim + i] - mean) / sqrtl(variance + eps) * w[i] + b[i]);
    }
}

static void rope(float *x, const float *c, const float *s, size_t n_head, size_t head_dim)
{
    for (size_t h = 0; h < n_head; h++) {
        for (size_t i = 0; i < head_dim / 2; i++) {
            float *a = &x[h * head_dim + i], *b = a + head_dim / 2;
            const ld u = *a, v = *b;
            *a = (float)(u * c[i] - v * s[i]);
            *b = (float)(v * c[i] + u * s[i]);
        }
    }
}

static void silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)(gate[i] / (1 + expl(-(ld)gate[i])) * up[i]);
}

static void silu(float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)(y[i] / (1 + expl(-(ld)y[i])));
}

static void gelu_tanh(float *y, size_t n)
{
    const ld pi = acosl(-1);
    for (size_t i = 0; i < n; i++) {
        const ld z = y[i];
        y[i] = (float)(z / 2 * (1 + tanhl(sqrtl(2 / pi) * (z + 0.044715L * z * z * z))));
    }
}

static void gelu_erf(float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)((ld)y[i] / 2 * erfcl(-(ld)y[i] / sqrtl(2)));
}

static void add_scaled(float *y, const float *x, float a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)(y[i] + (ld)a * x[i]);
}

static void softmax_step(float *s, size_t s_stride, size_t n_key, float *m, float *l, float *acc, size_t dim,
                         size_t n)
{
    for (size_t r = 0; r < n; r++) {
        ld top = m[r], sum = 0;
        for (size_t j = 0; j < n_key; j++)
            top = fmaxl(top, s[r * s_stride + j]);
        for (size_t j = 0; j < n_key; j++) {
            const float below = s[r * s_stride + j] - (float)top; /* a difference of f32 is f32 */
            sum += expl(below);
            s[r * s_stride + j] = (float)expl(below);
        }
        for (size_t i = 0; i < dim; i++)
            acc[r * dim + i] = (float)(acc[r * dim + i] * expl(m[r] - top));
        l[r] = (float)(l[r] * expl(m[r] - top) + sum);
        m[r] = (float)top;
    }
}

static void attn_block(const wd_attn_block *b)
{
    for (size_t r = 0; r < b->n; r++) {
        ld s[WD_ATTN_KEYS] = { 0 }, top = b->m[r];
        for (size_t j = 0; j < b->n_see[r]; j++) {
            const wd_bf16 *key = b->k + j / 16 * 16 * b->dim + 2 * (j % 16);
            for (size_t e = 0; e < b->dim; e++)
                s[j] += at(BF16, b->q, r * b->q_stride + e) * at(BF16, key, e / 2 * 32 + e % 2);
            s[j] = (float)s[j];
            top = fmaxl(top, s[j]);
        }
        const ld factor = exp2l(b->m[r] - top);
        for (size_t part = 0; part < 16; part++)
            b->l[16 * r + part] = (float)(b->l[16 * r + part] * factor);
        for (size_t e = 0; e < b->dim; e++)
            b->acc[r * b->dim + e] = (float)(b->acc[r * b->dim + e] * factor);
        for (size_t j = 0; j < b->n_see[r]; j++) {
            const float below = (float)s[j] - (float)top; /* a difference of f32 is f32 */
            const wd_bf16 p = below < -126 ? 0 : rounded((float)exp2l(below));
            b->l[16 * r + j % 16] += (float)at(BF16, &p, 0);
            for (size_t e = 0; e < b->dim; e++)
                b->acc[r * b->dim + e] = (float)(b->acc[r * b->dim + e] +
                                                 at(BF16, &p, 0) *
                                                     at(BF16, b->v, (j / 2 * b->dim + e) * 2 + j % 2));
        }
        b->m[r] = (float)top;
    }
}

void wd_kern_init_spec(wd_kern *k)
{
    *k = (wd_kern){ .dot_f32 = dot_f32,
                    .dot_f16 = dot_f16,
                    .dot_bf16 = dot_bf16,
                    .dot_bf16_bf16 = dot_bf16_bf16,
                    .dot_pack = dot_pack,
                    .quantise = quantise,
                    .dot_w8 = dot_w8,
                    .dot_w4 = dot_w4,
                    .mul_f32 = mul_f32,
                    .mul_f16 = mul_f16,
                    .mul_bf16 = mul_bf16,
                    .mul_bf16_bf16 = mul_bf16_bf16,
                    .bf16_to_f32 = bf16_to_f32,
                    .f16_to_f32 = f16_to_f32,
                    .f8_to_f32 = f8_to_f32,
                    .f8_to_bf16 = f8_to_bf16,
                    .f32_to_bf16 = f32_to_bf16,
                    .transpose_f32 = transpose_f32,
                    .pair_keys = pair_keys,
                    .pair_values = pair_values,
                    .i8_to_bf16 = i8_to_bf16,
                    .unpair_bf16 = unpair_bf16,
                    .rmsnorm = rmsnorm,
                    .layernorm = layernorm,
                    .rope = rope,
                    .silu_mul = silu_mul,
                    .silu = silu,
                    .gelu_tanh = gelu_tanh,
                    .gelu_erf = gelu_erf,
                    .add_scaled = add_scaled,
                    .softmax_step = softmax_step,
                    .attn_block = attn_block };
}
