/* AVX-512 norms, rotation, activations and softmax. */
#include "tensor/cpu/avx512/vec.h"

#include <math.h>

/* Elements i .. of an array of n floats: sixteen, or those that are left, with zeros behind. */
static WD_ALWAYS_INLINE __m512 get(const float *p, size_t i, size_t n)
{
    return n - i >= 16 ? _mm512_loadu_ps(p + i) : _mm512_maskz_loadu_ps(first_lanes(n - i), p + i);
}

static WD_ALWAYS_INLINE void put(float *p, size_t i, size_t n, __m512 v)
{
    if (n - i >= 16)
        _mm512_storeu_ps(p + i, v);
    else
        _mm512_mask_storeu_ps(p + i, first_lanes(n - i), v);
}

/* v where there are elements, 0 behind the last. */
static WD_ALWAYS_INLINE __m512 keep(size_t i, size_t n, __m512 v)
{
    return n - i >= 16 ? v : _mm512_maskz_mov_ps(first_lanes(n - i), v);
}

static void rmsnorm(float *y, const float *x, const float *w, size_t rows, size_t dim, float eps)
{
    for (size_t r = 0; r < rows; r++, x += dim, y += dim) {
        __m512 even = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
        for (size_t i = 0; i < dim; i += 32) {
            const __m512 a = get(x, i, dim);
            even = _mm512_fmadd_ps(a, a, even);
            if (i + 16 < dim) {
                const __m512 b = get(x, i + 16, dim);
                odd = _mm512_fmadd_ps(b, b, odd);
            }
        }
        const __m512 inv = _mm512_set1_ps(1 / sqrtf(sum1(_mm512_add_ps(even, odd)) / (float)dim + eps));
        for (size_t i = 0; i < dim; i += 16)
            put(y, i, dim, _mm512_mul_ps(_mm512_mul_ps(get(x, i, dim), inv), get(w, i, dim)));
    }
}

static void layernorm(float *y, const float *x, const float *w, const float *b, size_t rows, size_t dim,
                      float eps)
{
    for (size_t r = 0; r < rows; r++, x += dim, y += dim) {
        __m512 sum = _mm512_setzero_ps(), rest = _mm512_setzero_ps(), square = _mm512_setzero_ps();
        for (size_t i = 0; i < dim; i += 16)
            sum = _mm512_add_ps(sum, get(x, i, dim));
        /* A mean in f32 is a little off when it is large; what is left over gives the rest of it. */
        const float n = (float)dim;
        const __m512 mean = _mm512_set1_ps(sum1(sum) / n);
        for (size_t i = 0; i < dim; i += 16) {
            const __m512 v = keep(i, dim, _mm512_sub_ps(get(x, i, dim), mean));
            rest = _mm512_add_ps(rest, v);
            square = _mm512_fmadd_ps(v, v, square);
        }
        const float off = sum1(rest) / n, variance = sum1(square) / n - off * off;
        const __m512 shift = _mm512_set1_ps(off), inv = _mm512_set1_ps(1 / sqrtf(variance + eps));
        for (size_t i = 0; i < dim; i += 16) {
            const __m512 v = _mm512_mul_ps(_mm512_sub_ps(_mm512_sub_ps(get(x, i, dim), mean), shift), inv);
            put(y, i, dim, _mm512_fmadd_ps(v, get(w, i, dim), get(b, i, dim)));
        }
    }
}

static void rope(float *x, const float *cosine, const float *sine, size_t n_head, size_t head_dim)
{
    const size_t half = head_dim / 2;
    for (size_t h = 0; h < n_head; h++, x += head_dim) {
        for (size_t i = 0; i < half; i += 16) {
            const __m512 a = get(x, i, half), b = get(x + half, i, half);
            const __m512 c = get(cosine, i, half), s = get(sine, i, half);
            put(x, i, half, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
            put(x + half, i, half, _mm512_fmadd_ps(b, c, _mm512_mul_ps(a, s)));
        }
    }
}

/* z / (1 + e^-u) */
static __m512 gate_ps(__m512 z, __m512 u)
{
    const __m512 e = exp_ps(_mm512_sub_ps(_mm512_setzero_ps(), u));
    return _mm512_div_ps(z, _mm512_add_ps(_mm512_set1_ps(1), e));
}

static void silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __m512 z = get(gate, i, n);
        put(y, i, n, _mm512_mul_ps(gate_ps(z, z), get(up, i, n)));
    }
}

static void silu(float *y, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __m512 z = get(y, i, n);
        put(y, i, n, gate_ps(z, z));
    }
}

/* (1 + tanh u) / 2 is 1 / (1 + e^-2u), without the cancellation. */
static void gelu_tanh(float *y, size_t n)
{
    const __m512 twice_c = _mm512_set1_ps(1.59576912f),
                 cubic = _mm512_set1_ps(0.0713548163f); /* times 0.044715 */
    for (size_t i = 0; i < n; i += 16) {
        const __m512 z = get(y, i, n);
        put(y, i, n, gate_ps(z, _mm512_mul_ps(z, _mm512_fmadd_ps(_mm512_mul_ps(z, z), cubic, twice_c))));
    }
}

static void add_scaled(float *y, const float *x, float a, size_t n)
{
    const __m512 factor = _mm512_set1_ps(a);
    for (size_t i = 0; i < n; i += 16)
        put(y, i, n, _mm512_fmadd_ps(factor, get(x, i, n), get(y, i, n)));
}

static void softmax_step(float *s, size_t s_stride, size_t n_key, float *m, float *l, float *acc, size_t dim,
                         size_t n)
{
    for (size_t r = 0; r < n; r++, s += s_stride, acc += dim) {
        const __m512 before = _mm512_set1_ps(m[r]), lowest = _mm512_set1_ps(-INFINITY);
        __m512 max = before, sum = _mm512_setzero_ps();
        for (size_t j = 0; j < n_key; j += 16) {
            __m512 v = get(s, j, n_key);
            if (n_key - j < 16)
                v = _mm512_mask_mov_ps(lowest, first_lanes(n_key - j), v);
            max = _mm512_max_ps(max, v);
        }
        max = _mm512_set1_ps(_mm512_reduce_max_ps(max));
        for (size_t j = 0; j < n_key; j += 16) {
            const __m512 e = keep(j, n_key, exp_ps(_mm512_sub_ps(get(s, j, n_key), max)));
            sum = _mm512_add_ps(sum, e);
            put(s, j, n_key, e);
        }
        const __m512 correction = exp_ps(_mm512_sub_ps(before, max));
        if (m[r] != _mm512_cvtss_f32(max)) { /* else the factor is 1: the same bits, and the common case */
            for (size_t i = 0; i < dim; i += 16)
                put(acc, i, dim, _mm512_mul_ps(get(acc, i, dim), correction));
        }
        l[r] = l[r] * _mm512_cvtss_f32(correction) + sum1(sum);
        m[r] = _mm512_cvtss_f32(max);
    }
}

void wd_kern__avx512_rows(wd_kern *k)
{
    k->rmsnorm = rmsnorm;
    k->layernorm = layernorm;
    k->rope = rope;
    k->silu_mul = silu_mul;
    k->silu = silu;
    k->gelu_tanh = gelu_tanh;
    k->add_scaled = add_scaled;
    k->softmax_step = softmax_step;
}
