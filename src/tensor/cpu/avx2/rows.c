/* AVX2 norms, rotation, activations and softmax. */
#include "tensor/cpu/avx2/vec.h"

#include <math.h>

/* Elements i .. of an array of n floats: eight, or those that are left, with zeros behind. */
static WD_ALWAYS_INLINE __m256 get(const float *p, size_t i, size_t n)
{
    return n - i >= 8 ? _mm256_loadu_ps(p + i) : _mm256_maskload_ps(p + i, first_lanes(n - i));
}

static WD_ALWAYS_INLINE void put(float *p, size_t i, size_t n, __m256 v)
{
    if (n - i >= 8)
        _mm256_storeu_ps(p + i, v);
    else
        _mm256_maskstore_ps(p + i, first_lanes(n - i), v);
}

/* v where there are elements, 0 behind the last. */
static WD_ALWAYS_INLINE __m256 keep(size_t i, size_t n, __m256 v)
{
    return n - i >= 8 ? v : _mm256_and_ps(v, _mm256_castsi256_ps(first_lanes(n - i)));
}

static void rmsnorm(float *y, const float *x, const float *w, size_t rows, size_t dim, float eps)
{
    for (size_t r = 0; r < rows; r++, x += dim, y += dim) {
        __m256 even = _mm256_setzero_ps(), odd = _mm256_setzero_ps();
        for (size_t i = 0; i < dim; i += 16) {
            const __m256 a = get(x, i, dim);
            even = _mm256_fmadd_ps(a, a, even);
            if (i + 8 < dim) {
                const __m256 b = get(x, i + 8, dim);
                odd = _mm256_fmadd_ps(b, b, odd);
            }
        }
        const __m256 inv = _mm256_set1_ps(1 / sqrtf(sum1(_mm256_add_ps(even, odd)) / (float)dim + eps));
        for (size_t i = 0; i < dim; i += 8)
            put(y, i, dim, _mm256_mul_ps(_mm256_mul_ps(get(x, i, dim), inv), get(w, i, dim)));
    }
}

static void layernorm(float *y, const float *x, const float *w, const float *b, size_t rows, size_t dim,
                      float eps)
{
    for (size_t r = 0; r < rows; r++, x += dim, y += dim) {
        __m256 sum = _mm256_setzero_ps(), rest = _mm256_setzero_ps(), square = _mm256_setzero_ps();
        for (size_t i = 0; i < dim; i += 8)
            sum = _mm256_add_ps(sum, get(x, i, dim));
        /* A mean in f32 is a little off when it is large; what is left over gives the rest of it. */
        const float n = (float)dim;
        const __m256 mean = _mm256_set1_ps(sum1(sum) / n);
        for (size_t i = 0; i < dim; i += 8) {
            const __m256 v = keep(i, dim, _mm256_sub_ps(get(x, i, dim), mean));
            rest = _mm256_add_ps(rest, v);
            square = _mm256_fmadd_ps(v, v, square);
        }
        const float off = sum1(rest) / n, variance = sum1(square) / n - off * off;
        const __m256 shift = _mm256_set1_ps(off), inv = _mm256_set1_ps(1 / sqrtf(variance + eps));
        for (size_t i = 0; i < dim; i += 8) {
            const __m256 v = _mm256_mul_ps(_mm256_sub_ps(_mm256_sub_ps(get(x, i, dim), mean), shift), inv);
            put(y, i, dim, _mm256_fmadd_ps(v, get(w, i, dim), get(b, i, dim)));
        }
    }
}

static void rope(float *x, const float *cosine, const float *sine, size_t n_head, size_t head_dim)
{
    const size_t half = head_dim / 2;
    for (size_t h = 0; h < n_head; h++, x += head_dim) {
        for (size_t i = 0; i < half; i += 8) {
            const __m256 a = get(x, i, half), b = get(x + half, i, half);
            const __m256 c = get(cosine, i, half), s = get(sine, i, half);
            put(x, i, half, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
            put(x + half, i, half, _mm256_fmadd_ps(b, c, _mm256_mul_ps(a, s)));
        }
    }
}

/* z / (1 + e^-u) */
static __m256 gate_ps(__m256 z, __m256 u)
{
    const __m256 e = exp_ps(_mm256_sub_ps(_mm256_setzero_ps(), u));
    return _mm256_div_ps(z, _mm256_add_ps(_mm256_set1_ps(1), e));
}

static void silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        const __m256 z = get(gate, i, n);
        put(y, i, n, _mm256_mul_ps(gate_ps(z, z), get(up, i, n)));
    }
}

static void silu(float *y, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        const __m256 z = get(y, i, n);
        put(y, i, n, gate_ps(z, z));
    }
}

/* (1 + tanh u) / 2 is 1 / (1 + e^-2u), without the cancellation. */
static void gelu_tanh(float *y, size_t n)
{
    const __m256 twice_c = _mm256_set1_ps(1.59576912f),
                 cubic = _mm256_set1_ps(0.0713548163f); /* times 0.044715 */
    for (size_t i = 0; i < n; i += 8) {
        const __m256 z = get(y, i, n);
        put(y, i, n, gate_ps(z, _mm256_mul_ps(z, _mm256_fmadd_ps(_mm256_mul_ps(z, z), cubic, twice_c))));
    }
}

static void add_scaled(float *y, const float *x, float a, size_t n)
{
    const __m256 factor = _mm256_set1_ps(a);
    for (size_t i = 0; i < n; i += 8)
        put(y, i, n, _mm256_fmadd_ps(factor, get(x, i, n), get(y, i, n)));
}

static float max1(__m256 v)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    m = _mm_max_ss(m, _mm_movehdup_ps(m));
    return _mm_cvtss_f32(m);
}

static void softmax_step(float *s, size_t s_stride, size_t n_key, float *m, float *l, float *acc, size_t dim,
                         size_t n)
{
    for (size_t r = 0; r < n; r++, s += s_stride, acc += dim) {
        const __m256 before = _mm256_set1_ps(m[r]), lowest = _mm256_set1_ps(-INFINITY);
        __m256 max = before, sum = _mm256_setzero_ps();
        for (size_t j = 0; j < n_key; j += 8) {
            __m256 v = get(s, j, n_key);
            if (n_key - j < 8)
                v = _mm256_blendv_ps(lowest, v, _mm256_castsi256_ps(first_lanes(n_key - j)));
            max = _mm256_max_ps(max, v);
        }
        max = _mm256_set1_ps(max1(max));
        for (size_t j = 0; j < n_key; j += 8) {
            const __m256 e = keep(j, n_key, exp_ps(_mm256_sub_ps(get(s, j, n_key), max)));
            sum = _mm256_add_ps(sum, e);
            put(s, j, n_key, e);
        }
        const __m256 correction = exp_ps(_mm256_sub_ps(before, max));
        if (m[r] != _mm256_cvtss_f32(max)) { /* else the factor is 1: the same bits, and the common case */
            for (size_t i = 0; i < dim; i += 8)
                put(acc, i, dim, _mm256_mul_ps(get(acc, i, dim), correction));
        }
        l[r] = l[r] * _mm256_cvtss_f32(correction) + sum1(sum);
        m[r] = _mm256_cvtss_f32(max);
    }
}

void wd_kern__avx2_rows(wd_kern *k)
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
