/* AVX-512 norms, rotation, activations and softmax. */
#include "tensor/cpu/avx512/vec.h"

#include <math.h>

/* A loop over n floats in vectors of 16; the last one is masked. */
#define FOR_LANES(i, n, mask)            \
    for (size_t i = 0; i < (n); i += 16) \
        for (__mmask16 mask = first_lanes(WD_MIN((n)-i, (size_t)16)), once = 1; once; once = 0)

static void rmsnorm(float *y, const float *x, const float *w, size_t rows, size_t dim, float eps)
{
    for (size_t r = 0; r < rows; r++, x += dim, y += dim) {
        __m512 sum[4] = { _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                          _mm512_setzero_ps() };
        FOR_LANES(i, dim, mask)
        {
            const __m512 v = _mm512_maskz_loadu_ps(mask, x + i);
            sum[i / 16 % 4] = _mm512_fmadd_ps(v, v, sum[i / 16 % 4]);
        }
        const __m512 total = _mm512_add_ps(_mm512_add_ps(sum[0], sum[2]), _mm512_add_ps(sum[1], sum[3]));
        const __m512 inv = _mm512_set1_ps(1 / sqrtf(sum1(total) / (float)dim + eps));
        FOR_LANES(i, dim, mask)
        {
            const __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), inv);
            _mm512_mask_storeu_ps(y + i, mask, _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, w + i)));
        }
    }
}

static void layernorm(float *y, const float *x, const float *w, const float *b, size_t rows, size_t dim,
                      float eps)
{
    for (size_t r = 0; r < rows; r++, x += dim, y += dim) {
        __m512 sum = _mm512_setzero_ps(), rest = _mm512_setzero_ps(), square = _mm512_setzero_ps();
        FOR_LANES(i, dim, mask)
        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, x + i));
        /* A mean in f32 is a little off when it is large; what is left over gives the rest of it. */
        const float n = (float)dim;
        const __m512 mean = _mm512_set1_ps(sum1(sum) / n);
        FOR_LANES(i, dim, mask)
        {
            const __m512 v = _mm512_maskz_sub_ps(mask, _mm512_maskz_loadu_ps(mask, x + i), mean);
            rest = _mm512_add_ps(rest, v);
            square = _mm512_fmadd_ps(v, v, square);
        }
        const float off = sum1(rest) / n, variance = sum1(square) / n - off * off;
        const __m512 shift = _mm512_set1_ps(off), inv = _mm512_set1_ps(1 / sqrtf(variance + eps));
        FOR_LANES(i, dim, mask)
        {
            __m512 v = _mm512_sub_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + i), mean), shift);
            v = _mm512_mul_ps(v, inv);
            _mm512_mask_storeu_ps(
                y + i, mask,
                _mm512_fmadd_ps(v, _mm512_maskz_loadu_ps(mask, w + i), _mm512_maskz_loadu_ps(mask, b + i)));
        }
    }
}

static void rope(float *x, const float *cosine, const float *sine, size_t n_head, size_t head_dim)
{
    const size_t half = head_dim / 2;
    for (size_t h = 0; h < n_head; h++, x += head_dim) {
        FOR_LANES(i, half, mask)
        {
            const __m512 a = _mm512_maskz_loadu_ps(mask, x + i),
                         b = _mm512_maskz_loadu_ps(mask, x + half + i);
            const __m512 c = _mm512_maskz_loadu_ps(mask, cosine + i),
                         s = _mm512_maskz_loadu_ps(mask, sine + i);
            _mm512_mask_storeu_ps(x + i, mask, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
            _mm512_mask_storeu_ps(x + half + i, mask, _mm512_fmadd_ps(b, c, _mm512_mul_ps(a, s)));
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
    FOR_LANES(i, n, mask)
    {
        const __m512 z = _mm512_maskz_loadu_ps(mask, gate + i);
        _mm512_mask_storeu_ps(y + i, mask, _mm512_mul_ps(gate_ps(z, z), _mm512_maskz_loadu_ps(mask, up + i)));
    }
}

static void silu(float *y, size_t n)
{
    FOR_LANES(i, n, mask)
    {
        const __m512 z = _mm512_maskz_loadu_ps(mask, y + i);
        _mm512_mask_storeu_ps(y + i, mask, gate_ps(z, z));
    }
}

/* (1 + tanh u) / 2 is 1 / (1 + e^-2u), without the cancellation. */
static void gelu_tanh(float *y, size_t n)
{
    const __m512 twice_c = _mm512_set1_ps(1.59576912f),
                 cubic = _mm512_set1_ps(0.0713548163f); /* times 0.044715 */
    FOR_LANES(i, n, mask)
    {
        const __m512 z = _mm512_maskz_loadu_ps(mask, y + i);
        const __m512 u = _mm512_mul_ps(z, _mm512_fmadd_ps(_mm512_mul_ps(z, z), cubic, twice_c));
        _mm512_mask_storeu_ps(y + i, mask, gate_ps(z, u));
    }
}

static void add_scaled(float *y, const float *x, float a, size_t n)
{
    const __m512 factor = _mm512_set1_ps(a);
    FOR_LANES(i, n, mask)
    {
        const __m512 v = _mm512_maskz_loadu_ps(mask, x + i);
        _mm512_mask_storeu_ps(y + i, mask, _mm512_fmadd_ps(factor, v, _mm512_maskz_loadu_ps(mask, y + i)));
    }
}

static void softmax_step(float *s, size_t s_stride, size_t n_key, float *m, float *l, float *acc, size_t dim,
                         size_t n)
{
    const __m512 lowest = _mm512_set1_ps(-INFINITY);
    for (size_t r = 0; r < n; r++, s += s_stride, acc += dim) {
        __m512 max = _mm512_set1_ps(m[r]), sum = _mm512_setzero_ps();
        FOR_LANES(j, n_key, mask)
        max = _mm512_max_ps(max, _mm512_mask_loadu_ps(lowest, mask, s + j));
        max = _mm512_set1_ps(_mm512_reduce_max_ps(max));
        FOR_LANES(j, n_key, mask)
        {
            const __m512 e = exp_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, s + j), max));
            sum = _mm512_mask_add_ps(sum, mask, sum, e);
            _mm512_mask_storeu_ps(s + j, mask, e);
        }
        const __m512 correction = exp_ps(_mm512_sub_ps(_mm512_set1_ps(m[r]), max));
        FOR_LANES(i, dim, mask)
        _mm512_mask_storeu_ps(acc + i, mask, _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, acc + i), correction));
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
