/* AVX2 products with quantised weights: VPMADDUBSW and VPMADDWD, eight outputs in a register.
 *
 * VPMADDUBSW takes an unsigned and a signed byte, and its sum of two products saturates at 16 bits. W8 gives it the
 * magnitude of the weight and puts the weight's sign on the activation: at most 2 * 128 * 127 = 32512. W4's weights are
 * unsigned and so small that eight such sums fit: 8 * 2 * 15 * 127 = 30480, the 32 inputs of a step. */
#include "tensor/cpu/avx2/vec.h"

#include <math.h>

enum {
    STRIPE = 16,
    ROWS = 4,
    STEP = 32,    /* inputs written out: in a loop GCC copies every sum; every group is a multiple */
    AHEAD = 6144, /* bytes of weights that are fetched ahead, */
    SCALES_AHEAD = 16 * STRIPE, /* and scales and zeros of 16 groups */
};

static WD_ALWAYS_INLINE __m256i load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

/* Four activations in every lane. */
static WD_ALWAYS_INLINE __m256i four(const int8_t *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

/* STEP inputs of the two halves of a stripe against R rows: sums onto s. ahead: also fetch as much further on. */
static WD_ALWAYS_INLINE void step_w8(const wd_mmq *m, const int R, bool ahead, const int8_t *x,
                                     const uint8_t *w, __m256i s[][2])
{
    const __m256i ones = _mm256_set1_epi16(1), high = _mm256_set1_epi8((char)0x80);
    WD_UNROLL
    for (size_t k = 0; k < STEP; k += 4, w += 4 * STRIPE) {
        if (ahead)
            WD_PREFETCH_L2((uintptr_t)w + AHEAD);
        WD_BARRIER(); /* lines in their order: GCC moves loads about, and the hardware loses the stream */
        const __m256i w0 = _mm256_xor_si256(load(w), high), w1 = _mm256_xor_si256(load(w + 32), high);
        const __m256i a0 = _mm256_abs_epi8(w0), a1 = _mm256_abs_epi8(w1);
        WD_UNROLL
        for (int r = 0; r < R; r++) {
            const __m256i v = four(x + (size_t)r * m->n_in + k);
            s[r][0] = _mm256_add_epi32(
                s[r][0], _mm256_madd_epi16(_mm256_maddubs_epi16(a0, _mm256_sign_epi8(v, w0)), ones));
            s[r][1] = _mm256_add_epi32(
                s[r][1], _mm256_madd_epi16(_mm256_maddubs_epi16(a1, _mm256_sign_epi8(v, w1)), ones));
        }
    }
}

static WD_ALWAYS_INLINE void step_w4(const wd_mmq *m, const int R, bool ahead, const int8_t *x,
                                     const uint8_t *w, __m256i s[][2])
{
    const __m256i ones = _mm256_set1_epi16(1), low = _mm256_set1_epi8(15);
    __m256i t[ROWS][2];
    WD_UNROLL
    for (int r = 0; r < R; r++)
        t[r][0] = t[r][1] = _mm256_setzero_si256();
    WD_UNROLL
    for (size_t k = 0; k < STEP; k += 8, w += 4 * STRIPE) {
        if (ahead)
            WD_PREFETCH_L2((uintptr_t)w + AHEAD);
        WD_BARRIER();
        const __m256i w0 = load(w), w1 = load(w + 32);
        const __m256i l0 = _mm256_and_si256(w0, low), l1 = _mm256_and_si256(w1, low);
        const __m256i h0 = _mm256_and_si256(_mm256_srli_epi16(w0, 4), low);
        const __m256i h1 = _mm256_and_si256(_mm256_srli_epi16(w1, 4), low);
        WD_UNROLL
        for (int r = 0; r < R; r++) {
            const __m256i v = four(x + (size_t)r * m->n_in + k), u = four(x + (size_t)r * m->n_in + k + 4);
            t[r][0] = _mm256_add_epi16(t[r][0], _mm256_maddubs_epi16(l0, v));
            t[r][1] = _mm256_add_epi16(t[r][1], _mm256_maddubs_epi16(l1, v));
            t[r][0] = _mm256_add_epi16(t[r][0], _mm256_maddubs_epi16(h0, u));
            t[r][1] = _mm256_add_epi16(t[r][1], _mm256_maddubs_epi16(h1, u));
        }
    }
    WD_UNROLL
    for (int r = 0; r < R; r++) {
        s[r][0] = _mm256_add_epi32(s[r][0], _mm256_madd_epi16(t[r][0], ones));
        s[r][1] = _mm256_add_epi32(s[r][1], _mm256_madd_epi16(t[r][1], ones));
    }
}

static WD_ALWAYS_INLINE __m256 half_scales(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* scale * zero / 16, negative. */
static WD_ALWAYS_INLINE __m256 half_offsets(const uint8_t *zero, __m256 scale)
{
    const __m256 z = _mm256_cvtepi32_ps(
        _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)zero)));
    return _mm256_mul_ps(scale, _mm256_mul_ps(z, _mm256_set1_ps(-1.0f / 16)));
}

/* Rows [i, i + R) x the stripe from output o. ahead: also fetch what comes next, in the order in which it lies. */
static WD_TILE void tile(const wd_mmq *m, const bool four_bits, const int R, size_t i, size_t o, bool ahead)
{
    const size_t n_group = m->n_in / m->group, stripe = o / STRIPE,
                 width = WD_MIN(m->n_out - o, (size_t)STRIPE);
    const size_t w_step = STEP * STRIPE / (four_bits ? 2 : 1);
    const int8_t *x = m->x + i * m->n_in;
    const wd_qgroup *xg = m->xg + i * n_group;
    const uint8_t *w = m->w + stripe * (m->n_in / STEP) * w_step;
    const uint8_t *scale = (const uint8_t *)m->scale + stripe * n_group * STRIPE * sizeof(wd_f16);
    const uint8_t *zero = four_bits ? m->zero + stripe * n_group * STRIPE : NULL;
    __m256 acc[ROWS][2];
    WD_UNROLL
    for (int r = 0; r < R; r++)
        acc[r][0] = acc[r][1] = _mm256_setzero_ps();
    for (size_t g = 0; g < n_group; g++) {
        __m256i s[ROWS][2];
        WD_UNROLL
        for (int r = 0; r < R; r++)
            s[r][0] = s[r][1] = _mm256_setzero_si256();
        for (size_t k = 0; k < m->group; k += STEP, x += STEP, w += w_step) {
            if (four_bits)
                step_w4(m, R, ahead, x, w, s);
            else
                step_w8(m, R, ahead, x, w, s);
        }
        if (ahead) {
            WD_PREFETCH_L2((uintptr_t)scale + SCALES_AHEAD * sizeof(wd_f16));
            if (four_bits)
                WD_PREFETCH_L2((uintptr_t)zero + SCALES_AHEAD);
        }
        WD_UNROLL
        for (int v = 0; v < 2; v++) {
            const __m256 ws = half_scales(scale + 16 * v);
            const __m256 offset = four_bits ? half_offsets(zero + 8 * v, ws) : _mm256_setzero_ps();
            WD_UNROLL
            for (int r = 0; r < R; r++) {
                const wd_qgroup *q = xg + (size_t)r * n_group;
                acc[r][v] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(s[r][v]),
                                            _mm256_mul_ps(_mm256_set1_ps(q->scale), ws), acc[r][v]);
                if (four_bits)
                    acc[r][v] = _mm256_fmadd_ps(offset, _mm256_set1_ps(q->sum), acc[r][v]);
            }
        }
        xg++;
        scale += STRIPE * sizeof(wd_f16);
        if (four_bits)
            zero += STRIPE;
    }
    WD_UNROLL
    for (int r = 0; r < R; r++) {
        float *y = m->y + (i + (size_t)r) * m->y_stride + o;
        for (size_t v = 0; v < 2 && 8 * v < width; v++)
            _mm256_maskstore_ps(y + 8 * v, first_lanes(WD_MIN(width - 8 * v, (size_t)8)), acc[r][v]);
    }
}

static WD_ALWAYS_INLINE void panel(const wd_mmq *m, const bool four_bits)
{
    for (size_t o = 0; o < m->n_out; o += STRIPE) {
        size_t i = 0;
        for (; i + ROWS <= m->n; i += ROWS)
            tile(m, four_bits, ROWS, i, o, i == 0);
        for (; i + 2 <= m->n; i += 2)
            tile(m, four_bits, 2, i, o, i == 0);
        if (i < m->n)
            tile(m, four_bits, 1, i, o, i == 0);
    }
}

static void dot_w8(const wd_mmq *m)
{
    panel(m, false);
}

static void dot_w4(const wd_mmq *m)
{
    panel(m, true);
}

static uint32_t largest_bits(const float *x, size_t group)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
    __m256i max = _mm256_setzero_si256();
    for (size_t k = 0; k < group; k += 8)
        max = _mm256_max_epu32(max, _mm256_and_si256(load(x + k), magnitude));
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(max), _mm256_extracti128_si256(max, 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, _MM_SHUFFLE(1, 0, 3, 2)));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, _MM_SHUFFLE(2, 3, 0, 1)));
    return (uint32_t)_mm_cvtsi128_si32(m);
}

static void quantise(int8_t *q, wd_qgroup *xg, const float *x, size_t n_in, size_t group)
{
    for (size_t k0 = 0; k0 < n_in; k0 += group, xg++, q += group, x += group) {
        const uint32_t bits = largest_bits(x, group);
        float a;
        memcpy(&a, &bits, sizeof a);
        *xg = (wd_qgroup){ .scale = 0 };
        if (!(a >= 0x1p-100f) || bits >= 0x7F800000u) {
            if (bits >= 0x7F800000u)
                xg->scale = xg->sum = NAN;
            memset(q, 0, group);
            continue;
        }
        const __m256 inv = _mm256_set1_ps(127 / a);
        __m256i sum = _mm256_setzero_si256();
        for (size_t k = 0; k < group; k += 16) {
            const __m256i u = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + k), inv));
            const __m256i v = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + k + 8), inv));
            sum = _mm256_add_epi32(sum, _mm256_add_epi32(u, v));
            const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(u, v), _MM_SHUFFLE(3, 1, 2, 0));
            _mm_storeu_si128((__m128i *)(void *)(q + k), _mm_packs_epi16(_mm256_castsi256_si128(words),
                                                                         _mm256_extracti128_si256(words, 1)));
        }
        __m128i s = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(1, 0, 3, 2)));
        s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(2, 3, 0, 1)));
        xg->scale = a / 127;
        xg->sum = xg->scale * (float)_mm_cvtsi128_si32(s);
        xg->shift = -128 * _mm_cvtsi128_si32(s);
    }
}

void wd_kern__avx2_quant(wd_kern *k)
{
    k->quantise = quantise;
    k->dot_w8 = dot_w8;
    k->dot_w4 = dot_w4;
}
