/* AVX2 conversions and transposes, bit for bit as dtype.h. */
#include "tensor/cpu/avx2/vec.h"

static void store_part(float *y, __m256 v, size_t n)
{
    _mm256_maskstore_ps(y, first_lanes(n), v);
}

static WD_ALWAYS_INLINE void widen(const int type, float *y, const uint8_t *p, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, load_f32(type, p + 2 * i));
    if (i < n)
        store_part(y + i, load_f32_part(type, n - i, p + 2 * i), n - i);
}

static void bf16_to_f32(float *y, const void *x, size_t n)
{
    widen(VEC_BF16, y, x, n);
}

static void f16_to_f32(float *y, const void *x, size_t n)
{
    widen(VEC_F16, y, x, n);
}

/* Exponent and fraction move into an f32 whose exponent is too small by 120; one exact multiplication by 2^120
 * mends it, denormals included. */
static __m256 from_f8(const void *p)
{
    const __m256i u = _mm256_cvtepu8_epi32(_mm_loadl_epi64(p));
    const __m256i magnitude = _mm256_and_si256(u, _mm256_set1_epi32(0x7F));
    const __m256i sign = _mm256_slli_epi32(_mm256_and_si256(u, _mm256_set1_epi32(0x80)), 24);
    const __m256 scaled = _mm256_mul_ps(_mm256_castsi256_ps(_mm256_slli_epi32(magnitude, 20)),
                                        _mm256_set1_ps(1.329227995784916e36f));
    const __m256i nan = _mm256_cmpeq_epi32(magnitude, _mm256_set1_epi32(0x7F));
    const __m256i bits = _mm256_blendv_epi8(_mm256_castps_si256(scaled), _mm256_set1_epi32(0x7FC00000), nan);
    return _mm256_castsi256_ps(_mm256_or_si256(bits, sign));
}

static void f8_to_f32(float *y, const void *x, float scale, size_t n)
{
    const uint8_t *p = x;
    const __m256 factor = _mm256_set1_ps(scale);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_mul_ps(from_f8(p + i), factor));
    if (i < n) {
        uint8_t part[8] = { 0 };
        memcpy(part, p + i, n - i);
        store_part(y + i, _mm256_mul_ps(from_f8(part), factor), n - i);
    }
}

/* To nearest even, in the lower 16 bits of each lane; a NaN keeps its upper bits and becomes quiet. */
static __m256i round_bf16(__m256 v)
{
    const __m256i u = _mm256_castps_si256(v), upper = _mm256_srli_epi32(u, 16);
    const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    const __m256i bias = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(_mm256_srli_epi32(_mm256_add_epi32(u, bias), 16),
                              _mm256_or_si256(upper, _mm256_set1_epi32(0x40)), nan);
}

static __m128i to_bf16(__m256 v)
{
    const __m256i r = round_bf16(v);
    return _mm_packus_epi32(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1));
}

static void f32_to_bf16(wd_bf16 *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(void *)(y + i), to_bf16(_mm256_loadu_ps(x + i)));
    if (i < n) {
        wd_bf16 part[8];
        _mm_storeu_si128((__m128i *)(void *)part,
                         to_bf16(load_f32_part(VEC_F32, n - i, (const uint8_t *)(x + i))));
        memcpy(y + i, part, (n - i) * sizeof *y);
    }
}

/* 8 x 8 floats: exchanges pieces 1, 2, then 4 apart. */
static void transpose8(__m256 *v)
{
    __m256 t[8];
    WD_UNROLL
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_ps(v[2 * i], v[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(v[2 * i], v[2 * i + 1]);
    }
    WD_UNROLL
    for (int i = 0; i < 2; i++) {
        v[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], _MM_SHUFFLE(1, 0, 1, 0));
        v[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], _MM_SHUFFLE(3, 2, 3, 2));
        v[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], _MM_SHUFFLE(1, 0, 1, 0));
        v[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], _MM_SHUFFLE(3, 2, 3, 2));
    }
    WD_UNROLL
    for (int c = 0; c < 4; c++) {
        const __m256 low = v[c], high = v[4 + c];
        v[c] = _mm256_permute2f128_ps(low, high, 0x20);
        v[4 + c] = _mm256_permute2f128_ps(low, high, 0x31);
    }
}

static void transpose_f32(float *y, size_t y_stride, const void *x, size_t x_stride, size_t rows, size_t cols)
{
    for (size_t r0 = 0; r0 < rows; r0 += 8) {
        const size_t n_r = WD_MIN(rows - r0, (size_t)8);
        for (size_t c0 = 0; c0 < cols; c0 += 8) {
            const size_t n_c = WD_MIN(cols - c0, (size_t)8);
            const uint8_t *p = (const uint8_t *)x + (r0 * x_stride + c0) * sizeof(float);
            __m256 v[8];
            for (size_t r = 0; r < 8; r++) { /* rows past the end: nothing is read, zeros */
                const uint8_t *row = p + WD_MIN(r, n_r - 1) * x_stride * sizeof(float);
                v[r] = n_c == 8 && r < n_r ? load_f32(VEC_F32, row)
                                           : load_f32_part(VEC_F32, r < n_r ? n_c : 0, row);
            }
            transpose8(v);
            for (size_t c = 0; c < n_c; c++) {
                float *to = y + (c0 + c) * y_stride + r0;
                if (n_r == 8)
                    _mm256_storeu_ps(to, v[c]);
                else
                    store_part(to, v[c], n_r);
            }
        }
    }
}

static void i8_to_bf16(wd_bf16 *y, const void *x, const float *scale, size_t n)
{
    const uint8_t *p = x;
    for (size_t i = 0; i < n; i += 8) {
        const size_t left = WD_MIN(n - i, (size_t)8);
        uint8_t part[8] = { 0 };
        wd_bf16 out[8];
        memcpy(part, p + i, left);
        const __m256i v = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)part));
        const __m256 f = _mm256_mul_ps(_mm256_cvtepi32_ps(v), _mm256_loadu_ps(scale + i % 32));
        _mm_storeu_si128((__m128i *)(void *)out, to_bf16(f));
        memcpy(y + i, out, left * sizeof *y);
    }
}

static void unpair_bf16(float *y, size_t y_stride, const void *x, size_t rows, size_t n)
{
    const uint8_t *p = x;
    for (size_t r = 0; r < rows; r++, p += 4 * n, y += 2 * y_stride) {
        for (size_t i = 0; i < n; i += 8) {
            const size_t left = n - i;
            const __m256i both = _mm256_castps_si256(left >= 8 ? load_f32(VEC_F32, p + 4 * i)
                                                               : load_f32_part(VEC_F32, left, p + 4 * i));
            const __m256 even = _mm256_castsi256_ps(_mm256_slli_epi32(both, 16));
            const __m256 odd = _mm256_castsi256_ps(
                _mm256_and_si256(both, _mm256_set1_epi32((int)0xFFFF0000)));
            if (left >= 8) {
                _mm256_storeu_ps(y + i, even);
                _mm256_storeu_ps(y + y_stride + i, odd);
            } else {
                store_part(y + i, even, left);
                store_part(y + y_stride + i, odd, left);
            }
        }
    }
}

void wd_kern__avx2_convert(wd_kern *k)
{
    k->bf16_to_f32 = bf16_to_f32;
    k->f16_to_f32 = f16_to_f32;
    k->f8_to_f32 = f8_to_f32;
    k->f32_to_bf16 = f32_to_bf16;
    k->transpose_f32 = transpose_f32;
    k->i8_to_bf16 = i8_to_bf16;
    k->unpair_bf16 = unpair_bf16;
}
