/* Attention over a block for AVX512-BF16. A few rows of queries at a time: scores with lanes along the keys, the softmax
 * row by row in the first-level cache, then the values' part with lanes along the elements. Keys and values are read in
 * pairs as they lie, and a pair of the row's is broadcast. */
#include "tensor/cpu/avx512/softmax2.h"

enum { ROWS = 6, KEYS = WD_ATTN_KEYS };

static WD_ALWAYS_INLINE __m512 dp(__m512 acc, __m512i a, __m512i b)
{
    return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b);
}

/* A pair in every lane. */
static WD_ALWAYS_INLINE __m512i pair_at(const wd_bf16 *p)
{
    return _mm512_broadcastd_epi32(_mm_loadu_si32(p));
}

/* Scores of R rows with V groups of 16 keys from group g. ahead: fetch the same of the next block, in the order in which
 * it lies: one stream is read faster than several. */
static WD_TILE void scores(const int R, const int V, const bool ahead, const wd_attn_block *b,
                           const wd_bf16 *q, size_t g, float *s)
{
    const size_t group = 16 * b->dim;
    const wd_bf16 *k = b->k + g * group, *next = ahead ? b->k_next + g * group : NULL;
    __m512 acc[ROWS][4];
    WD_UNROLL
    for (int r = 0; r < R; r++) {
        WD_UNROLL
        for (int v = 0; v < V; v++)
            acc[r][v] = _mm512_setzero_ps();
    }
    for (size_t e = 0; e < b->dim; e += 2) {
        __m512i kv[4];
        WD_UNROLL
        for (int v = 0; v < V; v++) {
            kv[v] = _mm512_loadu_si512(k + (size_t)v * group + 16 * e);
            if (ahead)
                WD_PREFETCH_L2(next + 16 * (e * (size_t)V + 2 * (size_t)v));
        }
        WD_UNROLL
        for (int r = 0; r < R; r++) {
            const __m512i qv = pair_at(q + (size_t)r * b->q_stride + e);
            WD_UNROLL
            for (int v = 0; v < V; v++)
                acc[r][v] = dp(acc[r][v], kv[v], qv);
        }
    }
    WD_UNROLL
    for (int r = 0; r < R; r++) {
        WD_UNROLL
        for (int v = 0; v < V; v++)
            _mm512_store_ps(s + r * KEYS + 16 * v, acc[r][v]);
    }
}

/* acc of R rows, V vectors of elements from e, the last cut by lanes: times factor, plus p v. */
static WD_TILE void values(const int R, const int V, const bool ahead, const wd_attn_block *b, size_t e,
                           __mmask16 lanes, const wd_bf16 *p, const float *factor, float *to)
{
    const wd_bf16 *v = b->v;
    __m512 acc[ROWS][4];
    WD_UNROLL
    for (int r = 0; r < R; r++) {
        WD_UNROLL
        for (int i = 0; i < V; i++)
            acc[r][i] = _mm512_mul_ps(_mm512_set1_ps(factor[r]),
                                      _mm512_maskz_loadu_ps(i == V - 1 ? lanes : (__mmask16)0xFFFF,
                                                            to + (size_t)r * b->dim + e + 16 * i));
    }
    for (size_t j = 0; j < b->n_key; j += 2) {
        const size_t at = j * b->dim + 2 * e;
        __m512i vv[4];
        WD_UNROLL
        for (int i = 0; i < V; i++) {
            vv[i] = _mm512_maskz_loadu_epi32(i == V - 1 ? lanes : (__mmask16)0xFFFF, v + at + 32 * i);
            if (ahead)
                WD_PREFETCH_L2(b->v_next + e * b->n_key + 16 * (j * (size_t)V + 2 * (size_t)i));
        }
        WD_UNROLL
        for (int r = 0; r < R; r++) {
            const __m512i pv = pair_at(p + r * KEYS + j);
            WD_UNROLL
            for (int i = 0; i < V; i++)
                acc[r][i] = dp(acc[r][i], vv[i], pv);
        }
    }
    WD_UNROLL
    for (int r = 0; r < R; r++) {
        WD_UNROLL
        for (int i = 0; i < V; i++)
            _mm512_mask_storeu_ps(to + (size_t)r * b->dim + e + 16 * i,
                                  i == V - 1 ? lanes : (__mmask16)0xFFFF, acc[r][i]);
    }
}

/* Rows [i, i + R). */
static WD_ALWAYS_INLINE void rows(const int R, const bool ahead, const wd_attn_block *b, size_t i)
{
    WD_ALIGNED(64) float s[ROWS * KEYS];
    WD_ALIGNED(64) wd_bf16 p[ROWS * KEYS];
    float factor[ROWS];
    const wd_bf16 *q = b->q + i * b->q_stride;
    float *to = b->acc + i * b->dim;
    if (b->n_key == KEYS) {
        scores(R, 4, ahead, b, q, 0, s);
    } else {
        for (size_t g = 0; g < b->n_key / 16; g++)
            scores(R, 1, ahead, b, q, g, s + 16 * g);
    }
    for (size_t r = 0; r < (size_t)R; r++)
        factor[r] = softmax2(s + r * KEYS, b->n_see[i + r], b->m + i + r, b->l + 16 * (i + r), p + r * KEYS);
    size_t e = 0;
    for (; e + 64 <= b->dim; e += 64)
        values(R, 4, ahead, b, e, 0xFFFF, p, factor, to);
    for (; e < b->dim; e += 16)
        values(R, 1, ahead, b, e, first_lanes(WD_MIN(b->dim - e, (size_t)16)), p, factor, to);
}

/* Few rows, which wait for memory: the first of them fetch the next block. Returns how many. */
static size_t rows_ahead(const wd_attn_block *b)
{
    if (b->n >= 4) {
        rows(4, true, b, 0);
        return 4;
    }
    if (b->n >= 2) {
        rows(2, true, b, 0);
        return 2;
    }
    rows(1, true, b, 0);
    return 1;
}

static void attn_block(const wd_attn_block *b)
{
    size_t i = b->k_next ? rows_ahead(b) : 0;
    for (; i + 6 <= b->n; i += 6)
        rows(6, false, b, i);
    if (i + 4 <= b->n) {
        rows(4, false, b, i);
        i += 4;
    }
    if (i + 2 <= b->n) {
        rows(2, false, b, i);
        i += 2;
    }
    if (i < b->n)
        rows(1, false, b, i);
}

static void i8_to_bf16(wd_bf16 *y, const void *x, const float *scale, size_t n)
{
    const uint8_t *p = x;
    const __m512 low = _mm512_loadu_ps(scale), high = _mm512_loadu_ps(scale + 16);
    for (size_t i = 0; i < n; i += 32) {
        const size_t left = WD_MIN(n - i, (size_t)32);
        const __mmask32 lanes = (__mmask32)((1ull << left) - 1);
        const __m256i v = _mm256_maskz_loadu_epi8(lanes, p + i);
        const __m512 a = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(v)));
        const __m512 b = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(v, 1)));
        const __m512bh both = _mm512_cvtne2ps_pbh(_mm512_mul_ps(b, high), _mm512_mul_ps(a, low));
        _mm512_mask_storeu_epi16(y + i, lanes, (__m512i)both);
    }
}

void wd_kern__avx512bf16_attn(wd_kern *k)
{
    k->i8_to_bf16 = i8_to_bf16;
    k->attn_block = attn_block;
}
