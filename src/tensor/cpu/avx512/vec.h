/* What the AVX-512 kernels share: loads of every type, sums in a fixed order, the exponential, rounding,
 * transposition. */
#ifndef WD_TENSOR_CPU_AVX512_VEC_H
#define WD_TENSOR_CPU_AVX512_VEC_H

#include <immintrin.h>
#include <string.h>

#include "base/compiler.h"
#include "tensor/cpu/kern.h"

enum vec_type { VEC_F32, VEC_F16, VEC_BF16, VEC_BF16_PAIR };

/* Lanes 0 .. n-1, n <= 16. */
static inline __mmask16 first_lanes(size_t n)
{
    return (__mmask16)((1u << n) - 1u);
}

static WD_ALWAYS_INLINE __m512 from_bf16(__m256i v)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
}

/* 16 elements of the type at p as f32. */
static WD_ALWAYS_INLINE __m512 load_f32(const int type, const uint8_t *p)
{
    if (type == VEC_F32)
        return _mm512_loadu_ps(p);
    const __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return type == VEC_F16 ? _mm512_cvtph_ps(v) : from_bf16(v);
}

/* The lanes of the mask; the others are 0 and their memory is not touched. */
static WD_ALWAYS_INLINE __m512 load_f32_mask(const int type, __mmask16 mask, const uint8_t *p)
{
    if (type == VEC_F32)
        return _mm512_maskz_loadu_ps(mask, p);
    const __m256i v = _mm256_maskz_loadu_epi16(mask, p);
    return type == VEC_F16 ? _mm512_cvtph_ps(v) : from_bf16(v);
}

/* Lane i of the result is the sum of the lanes of the i-th argument. Each sum has the same order of additions:
 * ((v0 + v2) + (v1 + v3)) within each quarter, then (q0 + q2) + (q1 + q3). */
static WD_ALWAYS_INLINE __m128 sum4(__m512 a, __m512 b, __m512 c, __m512 d)
{
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const __m512 quarter = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, _MM_SHUFFLE(1, 0, 1, 0)),
                                         _mm512_shuffle_ps(ab, cd, _MM_SHUFFLE(3, 2, 3, 2)));
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(quarter), _mm512_extractf32x8_ps(quarter, 1));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

static WD_ALWAYS_INLINE float sum1(__m512 a)
{
    return _mm_cvtss_f32(sum4(a, a, a, a));
}

/* e^x to about 1 unit in the last place; 0 below -87.3, where results would be denormal (slow, and of no use
 * here); infinity above 88.8; NaN stays NaN.
 * x = n ln 2 + r with |r| <= ln(2) / 2, ln 2 split in two; e^r by its Taylor polynomial of degree 7. */
static WD_ALWAYS_INLINE __m512 exp_ps(__m512 x)
{
    const __m512 lowest = _mm512_set1_ps(-87.3f);
    const __mmask16 normal = _mm512_cmp_ps_mask(x, lowest, _CMP_NLT_UQ); /* NaN too */
    x = _mm512_max_ps(lowest, x); /* the second operand where one is NaN */
    x = _mm512_min_ps(_mm512_set1_ps(100.0f), x);
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)),
                                          _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693145752f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(1.42860677e-6f), r);
    __m512 p = _mm512_set1_ps(1.0f / 5040);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 720));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 120));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 24));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_maskz_scalef_ps(normal, p, n);
}

/* To nearest even; a NaN keeps its upper bits and becomes quiet. VCVTNEPS2BF16 would flush denormals. */
static WD_ALWAYS_INLINE __m256i to_bf16(__m512 v)
{
    const __m512i u = _mm512_castps_si512(v), upper = _mm512_srli_epi32(u, 16);
    const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_srli_epi32(
        _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7FFF)), odd), 16);
    const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    return _mm512_cvtepi32_epi16(_mm512_mask_or_epi32(rounded, nan, upper, _mm512_set1_epi32(0x40)));
}

/* 16 x 16 floats: exchanges halves of ever smaller pieces, 8, 4, 2, then 1 apart. */
static WD_ALWAYS_INLINE void transpose16(__m512 *v)
{
    __m512 t[16];
    WD_UNROLL
    for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]);
    }
    WD_UNROLL
    for (int i = 0; i < 4; i++) {
        v[4 * i] = _mm512_shuffle_ps(t[4 * i], t[4 * i + 2], _MM_SHUFFLE(1, 0, 1, 0));
        v[4 * i + 1] = _mm512_shuffle_ps(t[4 * i], t[4 * i + 2], _MM_SHUFFLE(3, 2, 3, 2));
        v[4 * i + 2] = _mm512_shuffle_ps(t[4 * i + 1], t[4 * i + 3], _MM_SHUFFLE(1, 0, 1, 0));
        v[4 * i + 3] = _mm512_shuffle_ps(t[4 * i + 1], t[4 * i + 3], _MM_SHUFFLE(3, 2, 3, 2));
    }
    /* v[4g + c], quarter q: rows 4g .. 4g + 3 of column 4q + c. */
    WD_UNROLL
    for (int c = 0; c < 4; c++) {
        t[c] = _mm512_shuffle_f32x4(v[c], v[4 + c], _MM_SHUFFLE(1, 0, 1, 0));
        t[4 + c] = _mm512_shuffle_f32x4(v[c], v[4 + c], _MM_SHUFFLE(3, 2, 3, 2));
        t[8 + c] = _mm512_shuffle_f32x4(v[8 + c], v[12 + c], _MM_SHUFFLE(1, 0, 1, 0));
        t[12 + c] = _mm512_shuffle_f32x4(v[8 + c], v[12 + c], _MM_SHUFFLE(3, 2, 3, 2));
    }
    WD_UNROLL
    for (int c = 0; c < 4; c++) {
        v[c] = _mm512_shuffle_f32x4(t[c], t[8 + c], _MM_SHUFFLE(2, 0, 2, 0));
        v[4 + c] = _mm512_shuffle_f32x4(t[c], t[8 + c], _MM_SHUFFLE(3, 1, 3, 1));
        v[8 + c] = _mm512_shuffle_f32x4(t[4 + c], t[12 + c], _MM_SHUFFLE(2, 0, 2, 0));
        v[12 + c] = _mm512_shuffle_f32x4(t[4 + c], t[12 + c], _MM_SHUFFLE(3, 1, 3, 1));
    }
}

/* The first lines of the page after the one of p. Hardware follows one stream of misses further than software can fetch,
 * but is slow to begin a page of 4 KiB: docs/performance.md, "Few rows". */
static WD_ALWAYS_INLINE void fetch_next_page(uintptr_t p)
{
    const uintptr_t page = (p | 4095) + 1;
    WD_UNROLL
    for (size_t b = 0; b < 512; b += 64)
        WD_PREFETCH_L2(page + b);
}

/* The parts that wd_kern_init_avx512 puts together. */
void wd_kern__avx512_matmul(wd_kern *k);
void wd_kern__avx512_convert(wd_kern *k);
void wd_kern__avx512_quant(wd_kern *k);
void wd_kern__avx512_rows(wd_kern *k);
/* The VNNI slots, which AMX uses for few rows. */
void wd_kern__vnni_w8(const wd_mmq *m);
void wd_kern__vnni_w4(const wd_mmq *m);
/* Of cpu/amx, which builds on these. */
void wd_kern__amx_quant(wd_kern *k);
/* The part of wd_kern_init_avx512bf16 that is attention. */
void wd_kern__avx512bf16_attn(wd_kern *k);

#endif
