/* One row's step of the softmax in powers of two, for the attention kernels of AVX512-BF16 and of AMX. */
#ifndef WD_TENSOR_CPU_AVX512_SOFTMAX2_H
#define WD_TENSOR_CPU_AVX512_SOFTMAX2_H

#include <math.h>

#include "tensor/cpu/avx512/vec.h"

/* 2^x to 3e-6 of itself, a hundredth of what the rounding to bf16 costs; 1 for 0; 0 below -126; NaN stays NaN. x <= 0.
 * x = n + r with 0 <= r < 1; 2^r by a polynomial of degree 4, the best of those that are 1 at 0. */
static WD_ALWAYS_INLINE __m512 exp2_ps(__m512 x)
{
    const __mmask16 normal = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-126), _CMP_NLT_UQ); /* NaN too */
    const __m512 r = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    __m512 p = _mm512_set1_ps(0.0134266848f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.0522424728f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.241280198f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.693044841f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_maskz_scalef_ps(normal, p, x); /* takes the floor of x, which is n */
}

/* s [64]: a row's scores, those of keys that it does not see anything. Leaves the probabilities in p [64], moves the
 * maximum m and the sums l [16], and returns the factor of what was summed before. */
static WD_ALWAYS_INLINE float softmax2(const float *s, size_t n_see, float *m, float *l, wd_bf16 *p)
{
    const __mmask64 see = n_see < 64 ? ((__mmask64)1 << n_see) - 1 : ~(__mmask64)0;
    const __m512i ones = _mm512_set1_epi16(0x3F80);
    __m512 v[4];
    WD_UNROLL
    for (int g = 0; g < 4; g++)
        v[g] = _mm512_mask_loadu_ps(_mm512_set1_ps(-INFINITY), (__mmask16)(see >> 16 * g), s + 16 * g);
    const __m512 top = _mm512_max_ps(_mm512_max_ps(v[0], v[1]), _mm512_max_ps(v[2], v[3]));
    const float before = *m;
    float max = before, factor = 1;
    /* A new maximum is rare after the first blocks: the way across the lanes only then. */
    if (_mm512_cmp_ps_mask(top, _mm512_set1_ps(before), _CMP_GT_OQ)) {
        max = _mm512_reduce_max_ps(top);
        factor = _mm512_cvtss_f32(exp2_ps(_mm512_set1_ps(before - max)));
        *m = max;
    }
    __m512 sum = _mm512_mul_ps(_mm512_loadu_ps(l), _mm512_set1_ps(factor));
    WD_UNROLL
    for (int g = 0; g < 4; g++)
        v[g] = exp2_ps(_mm512_sub_ps(v[g], _mm512_set1_ps(max)));
    WD_UNROLL
    for (int g = 0; g < 4; g += 2) {
        const __m512bh both = _mm512_cvtne2ps_pbh(v[g + 1], v[g]);
        sum = _mm512_dpbf16_ps(sum, both, (__m512bh)ones);
        _mm512_storeu_si512(p + 16 * g, (__m512i)both);
    }
    _mm512_storeu_ps(l, sum);
    return factor;
}

#endif
