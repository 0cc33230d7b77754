/* What the AVX2 kernels share: loads of every type, sums in a fixed order, the exponential. */
#ifndef WD_TENSOR_CPU_AVX2_VEC_H
#define WD_TENSOR_CPU_AVX2_VEC_H

#include <immintrin.h>
#include <string.h>

#include "base/compiler.h"
#include "tensor/cpu/kern.h"

enum vec_type { VEC_F32, VEC_F16, VEC_BF16 };

/* All bits set in lanes 0 .. n-1, n <= 8. */
static inline __m256i first_lanes(size_t n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane);
}

static WD_ALWAYS_INLINE __m256 from_half(const int type, __m128i v)
{
    if (type == VEC_F16)
        return _mm256_cvtph_ps(v);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16));
}

/* 8 elements of the type at p as f32. */
static WD_ALWAYS_INLINE __m256 load_f32(const int type, const uint8_t *p)
{
    if (type == VEC_F32)
        return _mm256_loadu_ps((const float *)(const void *)p);
    return from_half(type, _mm_loadu_si128((const __m128i *)(const void *)p));
}

/* The first n of them, zeros in the other lanes. There is no masked load of 16-bit elements: by way of memory. */
static WD_ALWAYS_INLINE __m256 load_f32_part(const int type, size_t n, const uint8_t *p)
{
    if (type == VEC_F32)
        return _mm256_maskload_ps((const float *)(const void *)p, first_lanes(n));
    uint16_t part[8] = { 0 };
    memcpy(part, p, n * sizeof part[0]);
    return from_half(type, _mm_loadu_si128((const __m128i *)(const void *)part));
}

/* Lane i of the result is the sum of the lanes of the i-th argument. Each sum has the same order of additions:
 * ((v0 + v2) + (v1 + v3)) within each half, then the halves. */
static WD_ALWAYS_INLINE __m128 sum4(__m256 a, __m256 b, __m256 c, __m256 d)
{
    const __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    const __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    const __m256 half = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, _MM_SHUFFLE(1, 0, 1, 0)),
                                      _mm256_shuffle_ps(ab, cd, _MM_SHUFFLE(3, 2, 3, 2)));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

static WD_ALWAYS_INLINE float sum1(__m256 a)
{
    return _mm_cvtss_f32(sum4(a, a, a, a));
}

/* 2^n for whole n in -126 .. 127. */
static WD_ALWAYS_INLINE __m256 power_of_2(__m256i n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

/* e^x to about 1 unit in the last place; 0 below -87.3, where results would be denormal (slow, and of no use
 * here); infinity above 88.8; NaN stays NaN.
 * x = n ln 2 + r with |r| <= ln(2) / 2, ln 2 split in two; e^r by its Taylor polynomial of degree 7. */
static WD_ALWAYS_INLINE __m256 exp_ps(__m256 x)
{
    const __m256 lowest = _mm256_set1_ps(-87.3f);
    const __m256 normal = _mm256_cmp_ps(x, lowest, _CMP_NLT_UQ); /* NaN too */
    x = _mm256_max_ps(lowest, x);                                /* the second operand where one is NaN */
    x = _mm256_min_ps(_mm256_set1_ps(100.0f), x);
    const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)),
                                     _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693145752f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(1.42860677e-6f), r);
    __m256 p = _mm256_set1_ps(1.0f / 5040);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 720));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 120));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 24));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 6));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    /* In two factors: n reaches 144 on the way to infinity. */
    const __m256i whole = _mm256_cvtps_epi32(n), part = _mm256_srai_epi32(whole, 1);
    p = _mm256_mul_ps(_mm256_mul_ps(p, power_of_2(part)), power_of_2(_mm256_sub_epi32(whole, part)));
    return _mm256_and_ps(p, normal);
}

/* The parts that wd_kern_init_avx2 puts together. */
void wd_kern__avx2_matmul(wd_kern *k);
void wd_kern__avx2_convert(wd_kern *k);
void wd_kern__avx2_quant(wd_kern *k);
void wd_kern__avx2_rows(wd_kern *k);

#endif
