/* AVX-512 conversions and transposes, bit for bit as dtype.h. */
#include "tensor/cpu/avx512/vec.h"

static void bf16_to_f32(float *y, const void *x, size_t n)
{
    const uint8_t *p = x;
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(y + i, load_f32(VEC_BF16, p + 2 * i));
    if (i < n)
        _mm512_mask_storeu_ps(y + i, first_lanes(n - i),
                              load_f32_mask(VEC_BF16, first_lanes(n - i), p + 2 * i));
}

static void f16_to_f32(float *y, const void *x, size_t n)
{
    const uint8_t *p = x;
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(y + i, load_f32(VEC_F16, p + 2 * i));
    if (i < n)
        _mm512_mask_storeu_ps(y + i, first_lanes(n - i),
                              load_f32_mask(VEC_F16, first_lanes(n - i), p + 2 * i));
}

/* Exponent and fraction move into an f32 whose exponent is too small by 120; one exact multiplication by 2^120
 * mends it, denormals included. */
static __m512 from_f8(__m128i v)
{
    const __m512i u = _mm512_cvtepu8_epi32(v);
    const __m512i magnitude = _mm512_and_si512(u, _mm512_set1_epi32(0x7F));
    const __m512i sign = _mm512_slli_epi32(_mm512_and_si512(u, _mm512_set1_epi32(0x80)), 24);
    const __m512 scaled = _mm512_mul_ps(_mm512_castsi512_ps(_mm512_slli_epi32(magnitude, 20)),
                                        _mm512_set1_ps(1.329227995784916e36f));
    const __mmask16 nan = _mm512_cmpeq_epi32_mask(magnitude, _mm512_set1_epi32(0x7F));
    const __m512i bits = _mm512_mask_mov_epi32(_mm512_castps_si512(scaled), nan,
                                               _mm512_set1_epi32(0x7FC00000));
    return _mm512_castsi512_ps(_mm512_or_si512(bits, sign));
}

static void f8_to_f32(float *y, const void *x, float scale, size_t n)
{
    const uint8_t *p = x;
    const __m512 factor = _mm512_set1_ps(scale);
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(
            y + i, _mm512_mul_ps(from_f8(_mm_loadu_si128((const __m128i *)(const void *)(p + i))), factor));
    if (i < n) {
        const __mmask16 mask = first_lanes(n - i);
        _mm512_mask_storeu_ps(y + i, mask, _mm512_mul_ps(from_f8(_mm_maskz_loadu_epi8(mask, p + i)), factor));
    }
}

/* Exponent and fraction move up, with the exponent biased for bf16; the eight denormals come from a table. */
static __m512i f8_to_bf16_32(__m256i v)
{
    const __m512i u = _mm512_cvtepu8_epi16(v), magnitude = _mm512_and_si512(u, _mm512_set1_epi16(0x7F));
    const __m512i denormal = _mm512_castsi128_si512(/* k / 512 */
                                                    _mm_setr_epi16(0, 0x3B00, 0x3B80, 0x3BC0, 0x3C00, 0x3C20,
                                                                   0x3C40, 0x3C60));
    __m512i bits = _mm512_add_epi16(_mm512_slli_epi16(magnitude, 4), _mm512_set1_epi16(0x3C00));
    const __mmask32 small = _mm512_testn_epi16_mask(u, _mm512_set1_epi16(0x78));
    bits = _mm512_mask_permutexvar_epi16(bits, small, magnitude, denormal);
    const __mmask32 nan = _mm512_cmpeq_epi16_mask(magnitude, _mm512_set1_epi16(0x7F));
    bits = _mm512_mask_mov_epi16(bits, nan, _mm512_set1_epi16(0x7FC0));
    const __m512i sign = _mm512_slli_epi16(_mm512_and_si512(u, _mm512_set1_epi16(0x80)), 8);
    return _mm512_or_si512(bits, sign);
}

static void f8_to_bf16(wd_bf16 *y, const void *x, size_t n)
{
    const uint8_t *p = x;
    size_t i = 0;
    for (; i + 32 <= n; i += 32)
        _mm512_storeu_si512(y + i, f8_to_bf16_32(_mm256_loadu_si256((const __m256i *)(const void *)(p + i))));
    if (i < n) {
        const __mmask32 mask = (__mmask32)((1ull << (n - i)) - 1);
        _mm512_mask_storeu_epi16(y + i, mask, f8_to_bf16_32(_mm256_maskz_loadu_epi8(mask, p + i)));
    }
}

static void f32_to_bf16(wd_bf16 *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm256_storeu_si256((__m256i *)(void *)(y + i), to_bf16(_mm512_loadu_ps(x + i)));
    if (i < n) {
        const __mmask16 mask = first_lanes(n - i);
        _mm256_mask_storeu_epi16(y + i, mask, to_bf16(_mm512_maskz_loadu_ps(mask, x + i)));
    }
}

static void transpose_f32(float *y, size_t y_stride, const void *x, size_t x_stride, size_t rows, size_t cols)
{
    for (size_t r0 = 0; r0 < rows; r0 += 16) {
        const size_t n_r = WD_MIN(rows - r0, (size_t)16);
        for (size_t c0 = 0; c0 < cols; c0 += 16) {
            const size_t n_c = WD_MIN(cols - c0, (size_t)16);
            const uint8_t *p = (const uint8_t *)x + (r0 * x_stride + c0) * sizeof(float);
            __m512 v[16];
            for (size_t r = 0; r < 16; r++) /* rows past the end: nothing is read, zeros */
                v[r] = _mm512_maskz_loadu_ps(r < n_r ? first_lanes(n_c) : 0,
                                             r < n_r ? p + r * x_stride * sizeof(float) : p);
            transpose16(v);
            for (size_t c = 0; c < n_c; c++)
                _mm512_mask_storeu_ps(y + (c0 + c) * y_stride + r0, first_lanes(n_r), v[c]);
        }
    }
}

/* Up to 32 elements of a row as 16 pairs. */
static __m512 pairs_of(const float *x, size_t left)
{
    const __mmask16 low = first_lanes(WD_MIN(left, (size_t)16));
    const __mmask16 high = left > 16 ? first_lanes(WD_MIN(left - 16, (size_t)16)) : 0;
    const __m256i a = to_bf16(_mm512_maskz_loadu_ps(low, x));
    const __m256i b = to_bf16(_mm512_maskz_loadu_ps(high, high ? x + 16 : x));
    return _mm512_castsi512_ps(_mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1));
}

/* 32 elements of 16 keys are 16 x 16 pairs, turned. */
static void pair_keys(wd_bf16 *to, const float *x, size_t x_stride, size_t n, size_t dim)
{
    for (size_t e = 0; e < dim; e += 32) {
        const size_t left = WD_MIN(dim - e, (size_t)32);
        __m512 v[16];
        for (size_t j = 0; j < 16; j++)
            v[j] = j < n ? pairs_of(x + j * x_stride + e, left) : _mm512_setzero_ps();
        transpose16(v);
        for (size_t pair = 0; pair < left / 2; pair++)
            _mm512_storeu_ps((float *)(void *)(to + (e / 2 + pair) * 32), v[pair]);
    }
}

static void pair_values(wd_bf16 *to, const float *x, size_t x_stride, size_t n, size_t dim)
{
    for (size_t j = 0; j < n; j += 2, to += 2 * dim, x += 2 * x_stride) {
        for (size_t e = 0; e < dim; e += 16) {
            const __mmask16 lanes = first_lanes(WD_MIN(dim - e, (size_t)16)), second = j + 1 < n ? lanes : 0;
            const __m512i a = _mm512_cvtepu16_epi32(to_bf16(_mm512_maskz_loadu_ps(lanes, x + e)));
            const __m512i b = _mm512_cvtepu16_epi32(
                to_bf16(_mm512_maskz_loadu_ps(second, second ? x + x_stride + e : x)));
            _mm512_mask_storeu_epi32(to + 2 * e, lanes, _mm512_or_si512(a, _mm512_slli_epi32(b, 16)));
        }
    }
}

static void i8_to_bf16(wd_bf16 *y, const void *x, const float *scale, size_t n)
{
    const uint8_t *p = x;
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 lanes = first_lanes(WD_MIN(n - i, (size_t)16));
        const __m512 v = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(lanes, p + i)));
        _mm256_mask_storeu_epi16(y + i, lanes, to_bf16(_mm512_mul_ps(v, _mm512_loadu_ps(scale + i % 32))));
    }
}

static void unpair_bf16(float *y, size_t y_stride, const void *x, size_t rows, size_t n)
{
    const uint8_t *p = x;
    for (size_t r = 0; r < rows; r++, p += 4 * n, y += 2 * y_stride) {
        for (size_t i = 0; i < n; i += 16) {
            const __mmask16 lanes = first_lanes(WD_MIN(n - i, (size_t)16));
            const __m512i both = _mm512_maskz_loadu_epi32(lanes, p + 4 * i);
            _mm512_mask_storeu_epi32(y + i, lanes, _mm512_slli_epi32(both, 16));
            _mm512_mask_storeu_epi32(y + y_stride + i, lanes,
                                     _mm512_and_si512(both, _mm512_set1_epi32((int)0xFFFF0000)));
        }
    }
}

void wd_kern__avx512_convert(wd_kern *k)
{
    k->bf16_to_f32 = bf16_to_f32;
    k->f16_to_f32 = f16_to_f32;
    k->f8_to_f32 = f8_to_f32;
    k->f8_to_bf16 = f8_to_bf16;
    k->f32_to_bf16 = f32_to_bf16;
    k->transpose_f32 = transpose_f32;
    k->pair_keys = pair_keys;
    k->pair_values = pair_values;
    k->i8_to_bf16 = i8_to_bf16;
    k->unpair_bf16 = unpair_bf16;
}
