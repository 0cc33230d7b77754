/* AVX-512-VNNI products with quantised weights: VPDPBUSD adds four products of bytes to each of 16 outputs.
 *
 * A stripe's 16 outputs are a register; a row's four activations are broadcast. R rows times S stripes keep their sums
 * of a group in registers, and then their results; the group's scales are applied once for all of its inputs. Eight steps
 * are written out: in a loop of one, GCC copies every sum twice a step, 24 moves beside 12 products.
 *
 * Few rows wait for memory: they take one stripe at a time, because two are two streams, which are read more slowly than
 * one. W8 has so little to do with each line that the hardware fetches ahead by itself; W4 is fetched ahead to the
 * second-level cache, whose places for lines under way are more than the first level's. */
#include "tensor/cpu/avx512/vec.h"

enum {
    STRIPE = 16,
    ROWS = 6,
    STRIPES = 2,
    FEW = 4,                    /* rows that wait for memory */
    AHEAD = 6144,               /* bytes of weights in W4, */
    SCALES_AHEAD = 16 * STRIPE, /* and scales and zeros of 16 groups */
    BLOCK = 32,                 /* inputs written out; every group is a multiple */
    PAGE = 4096,
};

static WD_ALWAYS_INLINE __m512i four(const int8_t *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm512_set1_epi32(v);
}

/* BLOCK inputs of R rows and S stripes onto s. */
static WD_ALWAYS_INLINE void block_w8(const wd_mmq *m, const int R, const int S, bool ahead, const int8_t *x,
                                      const uint8_t *w, size_t w_stripe, uintptr_t next, __m512i s[][STRIPES])
{
    WD_UNROLL
    for (size_t k = 0; k < BLOCK; k += 4, w += 4 * STRIPE, next += 4 * STRIPE * (size_t)S) {
        __m512i wv[STRIPES];
        WD_UNROLL
        for (int c = 0; c < S; c++) {
            if (ahead && S > 1)
                WD_PREFETCH_L2(next + (size_t)c * 4 * STRIPE);
            if (S == 1)
                WD_BARRIER(); /* lines in their order: GCC takes the last one early, and the hardware loses the stream */
            wv[c] = _mm512_loadu_si512(w + (size_t)c * w_stripe);
        }
        WD_UNROLL
        for (int r = 0; r < R; r++) {
            const __m512i v = four(x + (size_t)r * m->n_in + k);
            WD_UNROLL
            for (int c = 0; c < S; c++)
                s[r][c] = _mm512_dpbusd_epi32(s[r][c], wv[c], v);
        }
    }
}

static WD_ALWAYS_INLINE void block_w4(const wd_mmq *m, const int R, const int S, bool ahead, const int8_t *x,
                                      const uint8_t *w, size_t w_stripe, uintptr_t next, __m512i s[][STRIPES])
{
    const __m512i mask = _mm512_set1_epi8(15);
    WD_UNROLL
    for (size_t k = 0; k < BLOCK; k += 8, w += 4 * STRIPE, next += 4 * STRIPE * (size_t)S) {
        __m512i low[STRIPES], high[STRIPES];
        WD_UNROLL
        for (int c = 0; c < S; c++) {
            if (ahead)
                WD_PREFETCH_L2(next + (size_t)c * 4 * STRIPE);
            if (S == 1)
                WD_BARRIER();
            const __m512i both = _mm512_loadu_si512(w + (size_t)c * w_stripe);
            low[c] = _mm512_and_si512(both, mask);
            high[c] = _mm512_and_si512(_mm512_srli_epi16(both, 4), mask);
        }
        WD_UNROLL
        for (int r = 0; r < R; r++) {
            const __m512i v = four(x + (size_t)r * m->n_in + k), u = four(x + (size_t)r * m->n_in + k + 4);
            WD_UNROLL
            for (int c = 0; c < S; c++) {
                s[r][c] = _mm512_dpbusd_epi32(s[r][c], low[c], v);
                s[r][c] = _mm512_dpbusd_epi32(s[r][c], high[c], u);
            }
        }
    }
}

/* The sums of a group onto s. */
static WD_ALWAYS_INLINE void group_sums(const wd_mmq *m, const bool four_bits, const int R, const int S,
                                        bool ahead, const int8_t *x, const uint8_t *w, size_t w_stripe,
                                        uintptr_t next, __m512i s[][STRIPES])
{
    const size_t w_block = BLOCK * STRIPE / (four_bits ? 2 : 1);
    for (size_t k = 0; k < m->group; k += BLOCK, w += w_block, next += (size_t)S * w_block) {
        if (four_bits)
            block_w4(m, R, S, ahead, x + k, w, w_stripe, next, s);
        else
            block_w8(m, R, S, ahead, x + k, w, w_stripe, next, s);
    }
}

/* scale * zero / 16 of 16 outputs, negative. */
static WD_ALWAYS_INLINE __m512 offsets(const uint8_t *zero, __m512 scale)
{
    const __m512 z = _mm512_cvtepi32_ps(
        _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)zero)));
    return _mm512_mul_ps(scale, _mm512_mul_ps(z, _mm512_set1_ps(-1.0f / 16)));
}

/* Rows [i, i + R) x S stripes from output o. ahead: also fetch what comes next, in the order in which it lies: some way
 * on in a single stripe, and the next ones beside two. */
static WD_TILE void tile(const wd_mmq *m, const bool four_bits, const int R, const int S, size_t i, size_t o,
                         bool ahead)
{
    const size_t n_group = m->n_in / m->group, stripe = o / STRIPE;
    const size_t w_group = m->group * STRIPE / (four_bits ? 2 : 1), w_stripe = n_group * w_group;
    const int8_t *x = m->x + i * m->n_in;
    const wd_qgroup *xg = m->xg + i * n_group;
    const uint8_t *w = m->w + stripe * w_stripe;
    size_t at = stripe * n_group * STRIPE;
    uintptr_t next = (uintptr_t)w + (S == 1 ? AHEAD : (size_t)S * w_stripe);
    __m512 acc[ROWS][STRIPES];
    WD_UNROLL
    for (int r = 0; r < R; r++) {
        WD_UNROLL
        for (int c = 0; c < S; c++)
            acc[r][c] = _mm512_setzero_ps();
    }
    for (size_t g = 0; g < n_group;
         g++, x += m->group, xg++, w += w_group, at += STRIPE, next += S * w_group) {
        __m512i s[ROWS][STRIPES];
        WD_UNROLL
        for (int r = 0; r < R; r++) {
            WD_UNROLL
            for (int c = 0; c < S; c++)
                s[r][c] = four_bits ? _mm512_setzero_si512()
                                    : _mm512_set1_epi32(xg[(size_t)r * n_group].shift);
        }
        if (ahead && S == 1 && !four_bits && (uintptr_t)w % PAGE < w_group)
            fetch_next_page((uintptr_t)w);
        group_sums(m, four_bits, R, S, ahead, x, w, w_stripe, next, s);
        WD_UNROLL
        for (int c = 0; c < S; c++) {
            const size_t mine = at + (size_t)c * n_group * STRIPE;
            if (ahead && S == 1) {
                WD_PREFETCH_L2((uintptr_t)m->scale + (mine + SCALES_AHEAD) * sizeof(wd_f16));
                if (four_bits)
                    WD_PREFETCH_L2((uintptr_t)m->zero + mine + SCALES_AHEAD);
            }
            const __m512 ws = load_f32(VEC_F16, (const uint8_t *)m->scale + mine * sizeof(wd_f16));
            const __m512 offset = four_bits ? offsets(m->zero + mine, ws) : _mm512_setzero_ps();
            WD_UNROLL
            for (int r = 0; r < R; r++) {
                const wd_qgroup *q = xg + (size_t)r * n_group;
                acc[r][c] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(s[r][c]),
                                            _mm512_mul_ps(_mm512_set1_ps(q->scale), ws), acc[r][c]);
                if (four_bits)
                    acc[r][c] = _mm512_fmadd_ps(offset, _mm512_set1_ps(q->sum), acc[r][c]);
            }
        }
    }
    WD_UNROLL
    for (int r = 0; r < R; r++) {
        WD_UNROLL
        for (int c = 0; c < S; c++) {
            const size_t from = o + (size_t)c * STRIPE;
            _mm512_mask_storeu_ps(m->y + (i + (size_t)r) * m->y_stride + from,
                                  first_lanes(WD_MIN(m->n_out - from, (size_t)STRIPE)), acc[r][c]);
        }
    }
}

static WD_ALWAYS_INLINE void rows(const wd_mmq *m, const bool four_bits, const int S, size_t o)
{
    size_t i = 0;
    for (; i + 6 <= m->n; i += 6)
        tile(m, four_bits, 6, S, i, o, i == 0);
    if (i + 4 <= m->n) {
        tile(m, four_bits, 4, S, i, o, i == 0);
        i += 4;
    }
    if (i + 2 <= m->n) {
        tile(m, four_bits, 2, S, i, o, i == 0);
        i += 2;
    }
    if (i < m->n)
        tile(m, four_bits, 1, S, i, o, i == 0);
}

static WD_ALWAYS_INLINE void panel(const wd_mmq *m, const bool four_bits)
{
    size_t o = 0;
    for (; m->n > FEW && m->n_out > o + STRIPE; o += 2 * STRIPE) /* the second one may be cut */
        rows(m, four_bits, 2, o);
    for (; o < m->n_out; o += STRIPE)
        rows(m, four_bits, 1, o);
}

void wd_kern__vnni_w8(const wd_mmq *m)
{
    panel(m, false);
}

void wd_kern__vnni_w4(const wd_mmq *m)
{
    panel(m, true);
}

void wd_kern_init_avx512vnni(wd_kern *k)
{
    k->dot_w8 = wd_kern__vnni_w8;
    k->dot_w4 = wd_kern__vnni_w4;
}
