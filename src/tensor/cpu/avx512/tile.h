/* Matrix product tiles for AVX-512, written once for all types: `type` and the tile sizes are constants wherever
 * these functions are inlined.
 *
 * dot: lanes along k. R rows of x times O rows of w; every pair has one accumulator, summed across its lanes at
 *      the end of a chunk of inputs. Weights come straight from their rows, so nothing is packed, and the order of
 *      additions for a (row, output) pair is the same in every tile shape.
 * mul: lanes along the outputs. R rows of x times V vectors of w's columns; k runs in order.
 */
#ifndef WD_TENSOR_CPU_AVX512_TILE_H
#define WD_TENSOR_CPU_AVX512_TILE_H

#include "tensor/cpu/avx512/vec.h"

/* Inputs per chunk: four rows of w stay in the first-level cache while all rows of x pass by. */
#define CHUNK_BYTES 4096
#define BY_CHUNK 24 /* so many rows: four passes at least */

/* Bytes of an element of w and of x, and elements per step. */
static WD_ALWAYS_INLINE size_t w_size(const int type)
{
    return type == VEC_F32 ? 4 : 2;
}

static WD_ALWAYS_INLINE size_t x_size(const int type)
{
    return type == VEC_BF16_PAIR ? 2 : 4;
}

static WD_ALWAYS_INLINE size_t step_of(const int type)
{
    return type == VEC_BF16_PAIR ? 32 : 16;
}

/* acc + the products of one step, with operands as loaded below. */
static WD_ALWAYS_INLINE __m512 multiply_add(const int type, __m512 x, __m512 w, __m512 acc)
{
#ifdef __AVX512BF16__
    if (type == VEC_BF16_PAIR)
        return _mm512_dpbf16_ps(acc, (__m512bh)_mm512_castps_si512(x), (__m512bh)_mm512_castps_si512(w));
#endif
    (void)type;
    return _mm512_fmadd_ps(x, w, acc);
}

/* One step of w (from_w) or x; a pair is loaded as it is. left: elements there are, when the step is not full. */
static WD_ALWAYS_INLINE __m512 load_step(const int type, const bool from_w, const bool full, const uint8_t *p,
                                         size_t left)
{
    if (type == VEC_BF16_PAIR) {
        if (full)
            return _mm512_loadu_ps(p);
        return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16((__mmask32)((1ull << left) - 1), p));
    }
    const int t = from_w ? type : VEC_F32;
    return full ? load_f32(t, p) : load_f32_mask(t, first_lanes(left), p);
}

static WD_ALWAYS_INLINE void dot_step(const int type, const int R, const int O, const bool full,
                                      __m512 acc[][4], const uint8_t *x, size_t x_row, const uint8_t *w,
                                      size_t w_row, size_t left)
{
    __m512 wv[4];
    WD_UNROLL
    for (int o = 0; o < O; o++)
        wv[o] = load_step(type, true, full, w + (size_t)o * w_row, left);
    WD_UNROLL
    for (int r = 0; r < R; r++) {
        const __m512 xv = load_step(type, false, full, x + (size_t)r * x_row, left);
        WD_UNROLL
        for (int o = 0; o < O; o++)
            acc[r][o] = multiply_add(type, xv, wv[o], acc[r][o]);
    }
}

/* Sums O accumulators, 1 or 4, and stores (or adds, after the first chunk) them at y. */
static WD_ALWAYS_INLINE void dot_store(float *y, const __m512 *acc, const int O, bool first)
{
    if (O == 1) {
        const float v = sum1(acc[0]);
        *y = first ? v : *y + v;
        return;
    }
    __m128 v = sum4(acc[0], acc[1], acc[2], acc[3]);
    if (!first)
        v = _mm_add_ps(_mm_loadu_ps(y), v);
    _mm_storeu_ps(y, v);
}

/* Rows [i, i + R) x outputs [o, o + O) over the inputs [k0, k0 + n_k). With each step an O / PARTS of what one step reads
 * of w is fetched from `next` (0: nothing is), to the second-level cache and in the order in which it lies: one stream is
 * read faster than four, and the first level has too few places for lines under way. */
static WD_TILE void dot_tile(const wd_mm *m, const int type, const int R, const int O, const int PARTS,
                             size_t i, size_t o, size_t k0, size_t n_k, uintptr_t next)
{
    const size_t x_row = m->x_stride * x_size(type), w_row = m->w_stride * w_size(type), step = step_of(type);
    const uint8_t *x = (const uint8_t *)m->x + i * x_row + (m->k0 + k0) * x_size(type);
    const uint8_t *w = (const uint8_t *)m->w + o * w_row + k0 * w_size(type);
    const size_t fetch = (size_t)O * step * w_size(type) / (size_t)PARTS; /* bytes with each step */
    const bool ahead = next != 0;
    __m512 acc[6][4];
    size_t k = 0;
    WD_UNROLL
    for (int r = 0; r < R; r++) {
        WD_UNROLL
        for (int c = 0; c < O; c++)
            acc[r][c] = _mm512_setzero_ps();
    }
    for (; k + step <= n_k; k += step) {
        if (ahead) {
            WD_UNROLL
            for (size_t b = 0; b < fetch; b += 64)
                WD_PREFETCH_L2(next + b);
            next += fetch;
        }
        dot_step(type, R, O, true, acc, x, x_row, w, w_row, 0);
        x += step * x_size(type);
        w += step * w_size(type);
    }
    if (k < n_k)
        dot_step(type, R, O, false, acc, x, x_row, w, w_row, n_k - k);
    WD_UNROLL
    for (int r = 0; r < R; r++)
        dot_store(m->y + (i + (size_t)r) * m->y_stride + o, acc[r], O, k0 == 0);
}

/* The p-th pass over the same weights; the first n_part of them each fetch their part of the weights that come next. */
static WD_ALWAYS_INLINE void dot_pass(const wd_mm *m, const int type, const int R, const int O, size_t i,
                                      size_t o, size_t k0, size_t n_k, size_t p, size_t n_part,
                                      uintptr_t next, size_t part)
{
    next = p < n_part ? next + p * part : 0;
    if (O == 1 || n_part == 1)
        dot_tile(m, type, R, O, 1, i, o, k0, n_k, next);
    else if (n_part == 2)
        dot_tile(m, type, R, O, 2, i, o, k0, n_k, next);
    else
        dot_tile(m, type, R, O, 4, i, o, k0, n_k, next);
}

/* All rows against outputs [o, o + O) over one chunk. What is fetched meanwhile is spread over the passes: reading and
 * multiplying then take the time of the longer one. It is the next O rows of w, a piece of all of them for each chunk,
 * or (by_chunk, with four passes or more) their part of this chunk, a row for each pass. */
static WD_ALWAYS_INLINE void dot_rows(const wd_mm *m, const int type, const int O, size_t o, size_t k0,
                                      size_t n_k, bool by_chunk)
{
    const size_t rest = m->n % 6, n_pass = m->n / 6 + rest / 4 + rest % 4 / 2 + rest % 2;
    const size_t n_part = O == 1 || n_pass == 1 ? 1 : n_pass < 4 ? 2 : 4, step = step_of(type);
    const size_t w_row = m->w_stride * w_size(type);
    const size_t part = by_chunk ? w_row : n_k / step * step * (size_t)O * w_size(type) / n_part;
    const uintptr_t next = (uintptr_t)m->w + (o + (size_t)O) * w_row +
                           (by_chunk ? k0 : (size_t)O * k0) * w_size(type);
    size_t i = 0, p = 0;
    for (; i + 6 <= m->n; i += 6)
        dot_pass(m, type, 6, O, i, o, k0, n_k, p++, n_part, next, part);
    if (i + 4 <= m->n) {
        dot_pass(m, type, 4, O, i, o, k0, n_k, p++, n_part, next, part);
        i += 4;
    }
    if (i + 2 <= m->n) {
        dot_pass(m, type, 2, O, i, o, k0, n_k, p++, n_part, next, part);
        i += 2;
    }
    if (i < m->n)
        dot_pass(m, type, 1, O, i, o, k0, n_k, p, n_part, next, part);
}

/* One row of one chunk waits for memory: a row of w after another is one stream of misses. */
static WD_ALWAYS_INLINE void dot_one_row(const wd_mm *m, const int type)
{
    const size_t w_row = m->w_stride * w_size(type);
    for (size_t o = 0; o < m->n_out; o++) {
        fetch_next_page((uintptr_t)m->w + o * w_row + CHUNK_BYTES / 2);
        dot_tile(m, type, 1, 1, 1, 0, o, 0, m->n_in, 0);
    }
}

/* Few rows take w in the order in which it lies. Many take it chunk by chunk, so that theirs of a chunk stay in the
 * second-level cache while all outputs pass by. */
static WD_ALWAYS_INLINE void dot_panel(const wd_mm *m, const int type)
{
    const size_t chunk = CHUNK_BYTES / w_size(type), n_chunk = (m->n_in + chunk - 1) / chunk;
    const size_t n_four = m->n_out / 4;
    const bool by_chunk = m->n >= BY_CHUNK;
    /* With more of x beside w in the first-level cache this is slower, and so it is for short rows. */
    if (m->n == 1 && m->n_in <= chunk && m->n_in > chunk / 2) {
        dot_one_row(m, type);
        return;
    }
    for (size_t t = 0; t < n_four * n_chunk; t++) {
        const size_t o = 4 * (by_chunk ? t % n_four : t / n_chunk);
        const size_t k0 = chunk * (by_chunk ? t / n_four : t % n_chunk);
        dot_rows(m, type, 4, o, k0, WD_MIN(chunk, m->n_in - k0), by_chunk);
    }
    for (size_t o = 4 * n_four; o < m->n_out; o++) {
        for (size_t k0 = 0; k0 < m->n_in; k0 += chunk)
            dot_rows(m, type, 1, o, k0, WD_MIN(chunk, m->n_in - k0), false);
    }
}

/* ---- mul ---------------------------------------------------------------------------------------------------- */

/* V vectors of 16 columns of row k of w; of a pair, of rows k and k + 1, or k alone when it is the last, with each
 * column's two values side by side. The last vector is cut by mask. */
static WD_ALWAYS_INLINE void mul_load(const wd_mm *m, const int type, const int V, const bool last, size_t k,
                                      size_t o, __mmask16 mask, __m512 *wv)
{
    const size_t row = m->w_stride * w_size(type);
    const uint8_t *w = (const uint8_t *)m->w + k * row + o * w_size(type);
    WD_UNROLL
    for (int v = 0; v < V; v++) {
        const uint8_t *p = w + (size_t)v * 16 * w_size(type);
        const __mmask16 lanes = v == V - 1 ? mask : (__mmask16)0xFFFF;
        if (type != VEC_BF16_PAIR) {
            wv[v] = load_f32_mask(type, lanes, p);
            continue;
        }
        const __m512i a = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, p));
        const __m512i b = last ? _mm512_setzero_si512()
                               : _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, p + row));
        wv[v] = _mm512_castsi512_ps(_mm512_or_si512(a, _mm512_slli_epi32(b, 16)));
    }
}

/* Element k of a row of x in every lane; of a pair, elements k and k + 1. */
static WD_ALWAYS_INLINE __m512 mul_x(const int type, const bool last, const uint8_t *p)
{
    if (type != VEC_BF16_PAIR)
        return _mm512_set1_ps(*(const float *)(const void *)p);
    if (last)
        return _mm512_castsi512_ps(_mm512_set1_epi32(*(const uint16_t *)(const void *)p));
    return _mm512_castsi512_ps(_mm512_broadcastd_epi32(_mm_loadu_si32(p)));
}

static WD_ALWAYS_INLINE void mul_step(const wd_mm *m, const int type, const int R, const int V,
                                      const bool last, size_t k, size_t o, __mmask16 mask, const uint8_t *x,
                                      __m512 acc[][4])
{
    const size_t x_row = m->x_stride * x_size(type);
    __m512 wv[4];
    mul_load(m, type, V, last, k, o, mask, wv);
    WD_UNROLL
    for (int r = 0; r < R; r++) {
        const __m512 xv = mul_x(type, last, x + (size_t)r * x_row + k * x_size(type));
        WD_UNROLL
        for (int v = 0; v < V; v++)
            acc[r][v] = multiply_add(type, xv, wv[v], acc[r][v]);
    }
}

static WD_TILE void mul_tile(const wd_mm *m, const int type, const int R, const int V, size_t i, size_t o,
                             __mmask16 mask)
{
    const size_t step = type == VEC_BF16_PAIR ? 2 : 1;
    const uint8_t *x = (const uint8_t *)m->x + i * m->x_stride * x_size(type);
    float *y = m->y + i * m->y_stride + o;
    __m512 acc[6][4];
    size_t k = 0;
    WD_UNROLL
    for (int r = 0; r < R; r++) {
        WD_UNROLL
        for (int v = 0; v < V; v++) {
            const __mmask16 lanes = v == V - 1 ? mask : (__mmask16)0xFFFF;
            acc[r][v] = _mm512_maskz_loadu_ps(m->add ? lanes : 0, y + (size_t)r * m->y_stride + v * 16);
        }
    }
    for (; k + step <= m->n_in; k += step)
        mul_step(m, type, R, V, false, k, o, mask, x, acc);
    if (k < m->n_in)
        mul_step(m, type, R, V, true, k, o, mask, x, acc);
    WD_UNROLL
    for (int r = 0; r < R; r++) {
        WD_UNROLL
        for (int v = 0; v < V; v++) {
            const __mmask16 lanes = v == V - 1 ? mask : (__mmask16)0xFFFF;
            _mm512_mask_storeu_ps(y + (size_t)r * m->y_stride + v * 16, lanes, acc[r][v]);
        }
    }
}

static WD_ALWAYS_INLINE void mul_rows(const wd_mm *m, const int type, const int V, size_t o, __mmask16 mask)
{
    size_t i = 0;
    for (; i + 6 <= m->n; i += 6)
        mul_tile(m, type, 6, V, i, o, mask);
    if (i + 4 <= m->n) {
        mul_tile(m, type, 4, V, i, o, mask);
        i += 4;
    }
    if (i + 2 <= m->n) {
        mul_tile(m, type, 2, V, i, o, mask);
        i += 2;
    }
    if (i < m->n)
        mul_tile(m, type, 1, V, i, o, mask);
}

static WD_ALWAYS_INLINE void mul_panel(const wd_mm *m, const int type)
{
    size_t o = 0;
    for (; o + 64 <= m->n_out; o += 64)
        mul_rows(m, type, 4, o, 0xFFFF);
    for (; o < m->n_out; o += 16)
        mul_rows(m, type, 1, o, first_lanes(WD_MIN(m->n_out - o, (size_t)16)));
}

#endif
