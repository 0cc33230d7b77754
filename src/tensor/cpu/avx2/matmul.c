/* AVX2 matrix products in f32, weights widened as they are loaded.
 *
 * dot: lanes along k, one accumulator for each of R rows of x times O rows of w.
 * mul: lanes along the outputs, k in order.
 * The order of additions for a (row, output) pair is the same in every tile shape. */
#include "tensor/cpu/avx2/vec.h"

/* Inputs per chunk: four rows of w stay in the first-level cache while all rows of x pass by. */
#define CHUNK 1024

static WD_ALWAYS_INLINE size_t size_of(const int type)
{
    return type == VEC_F32 ? 4 : 2;
}

static WD_ALWAYS_INLINE void dot_step(const int type, const int R, const int O, const bool full,
                                      __m256 acc[][8], const float *x, size_t x_row, const uint8_t *w,
                                      size_t w_row, size_t left)
{
    __m256 wv[8];
    WD_UNROLL
    for (int o = 0; o < O; o++) {
        const uint8_t *p = w + (size_t)o * w_row;
        wv[o] = full ? load_f32(type, p) : load_f32_part(type, left, p);
    }
    WD_UNROLL
    for (int r = 0; r < R; r++) {
        const uint8_t *p = (const uint8_t *)(x + (size_t)r * x_row);
        const __m256 xv = full ? load_f32(VEC_F32, p) : load_f32_part(VEC_F32, left, p);
        WD_UNROLL
        for (int o = 0; o < O; o++)
            acc[r][o] = _mm256_fmadd_ps(xv, wv[o], acc[r][o]);
    }
}

/* Sums O accumulators and stores (or adds, after the first chunk) them at y. */
static WD_ALWAYS_INLINE void dot_store(float *y, const __m256 *acc, const int O, bool first)
{
    if (O % 4) { /* O is 1 */
        const float v = sum1(acc[0]);
        *y = first ? v : *y + v;
        return;
    }
    WD_UNROLL
    for (int o = 0; o < O; o += 4) {
        __m128 v = sum4(acc[o], acc[o + 1], acc[o + 2], acc[o + 3]);
        if (!first)
            v = _mm_add_ps(_mm_loadu_ps(y + o), v);
        _mm_storeu_ps(y + o, v);
    }
}

/* Rows [i, i + R) x outputs [o, o + O) over the inputs [k0, k0 + n_k). ahead: also fetch the next O rows of w, to the
 * second-level cache and in the order in which they lie, as cpu/avx512/tile.h has it. */
static WD_TILE void dot_tile(const wd_mm *m, const int type, const int R, const int O, size_t i, size_t o,
                             size_t k0, size_t n_k, bool ahead)
{
    const size_t w_row = m->w_stride * size_of(type);
    const float *x = (const float *)m->x + i * m->x_stride + k0;
    const uint8_t *w = (const uint8_t *)m->w + o * w_row + k0 * size_of(type);
    uintptr_t next = (uintptr_t)m->w + (o + (size_t)O) * w_row + (size_t)O * k0 * size_of(type);
    __m256 acc[2][8];
    size_t k = 0;
    WD_UNROLL
    for (int r = 0; r < R; r++) {
        WD_UNROLL
        for (int c = 0; c < O; c++)
            acc[r][c] = _mm256_setzero_ps();
    }
    for (; k + 8 <= n_k; k += 8) {
        if (ahead) {
            WD_UNROLL
            for (size_t b = 0; b < (size_t)O * 8 * size_of(type); b += 64)
                WD_PREFETCH_L2(next + b);
            next += (size_t)O * 8 * size_of(type);
        }
        dot_step(type, R, O, true, acc, x, m->x_stride, w, w_row, 0);
        x += 8;
        w += 8 * size_of(type);
    }
    if (k < n_k)
        dot_step(type, R, O, false, acc, x, m->x_stride, w, w_row, n_k - k);
    WD_UNROLL
    for (int r = 0; r < R; r++)
        dot_store(m->y + (i + (size_t)r) * m->y_stride + o, acc[r], O, k0 == 0);
}

/* All rows against outputs [o, o + O) over one chunk. */
static WD_ALWAYS_INLINE void dot_rows(const wd_mm *m, const int type, const int O, size_t o, size_t k0,
                                      size_t n_k)
{
    size_t i = 0;
    for (; i + 2 <= m->n; i += 2)
        dot_tile(m, type, 2, O, i, o, k0, n_k, i == 0);
    if (i < m->n)
        dot_tile(m, type, 1, O, i, o, k0, n_k, i == 0);
}

static WD_ALWAYS_INLINE void dot_panel(const wd_mm *m, const int type)
{
    size_t o = 0;
    if (m->n == 1) { /* more rows of w at a time: this one is bound by memory */
        for (; o + 8 <= m->n_out; o += 8) {
            for (size_t k0 = 0; k0 < m->n_in; k0 += CHUNK)
                dot_tile(m, type, 1, 8, 0, o, k0, WD_MIN((size_t)CHUNK, m->n_in - k0), true);
        }
    }
    for (; o + 4 <= m->n_out; o += 4) {
        for (size_t k0 = 0; k0 < m->n_in; k0 += CHUNK)
            dot_rows(m, type, 4, o, k0, WD_MIN((size_t)CHUNK, m->n_in - k0));
    }
    for (; o < m->n_out; o++) {
        for (size_t k0 = 0; k0 < m->n_in; k0 += CHUNK)
            dot_rows(m, type, 1, o, k0, WD_MIN((size_t)CHUNK, m->n_in - k0));
    }
}

/* R rows x V vectors of outputs from o; with V = 1 only the first `lanes` outputs. */
static WD_TILE void mul_tile(const wd_mm *m, const int type, const int R, const int V, size_t i, size_t o,
                             size_t lanes)
{
    const __m256i mask = first_lanes(lanes);
    const float *x = (const float *)m->x + i * m->x_stride;
    const uint8_t *w = (const uint8_t *)m->w + o * size_of(type);
    float *y = m->y + i * m->y_stride + o;
    __m256 acc[6][2];
    WD_UNROLL
    for (int r = 0; r < R; r++) {
        WD_UNROLL
        for (int v = 0; v < V; v++) {
            const float *p = y + (size_t)r * m->y_stride + 8 * v;
            acc[r][v] = _mm256_setzero_ps();
            if (m->add)
                acc[r][v] = V > 1 ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, mask);
        }
    }
    for (size_t k = 0; k < m->n_in; k++) {
        __m256 wv[2];
        WD_UNROLL
        for (int v = 0; v < V; v++) {
            const uint8_t *p = w + (k * m->w_stride + 8 * (size_t)v) * size_of(type);
            wv[v] = V > 1 || lanes == 8 ? load_f32(type, p) : load_f32_part(type, lanes, p);
        }
        WD_UNROLL
        for (int r = 0; r < R; r++) {
            const __m256 xv = _mm256_broadcast_ss(x + (size_t)r * m->x_stride + k);
            WD_UNROLL
            for (int v = 0; v < V; v++)
                acc[r][v] = _mm256_fmadd_ps(xv, wv[v], acc[r][v]);
        }
    }
    WD_UNROLL
    for (int r = 0; r < R; r++) {
        WD_UNROLL
        for (int v = 0; v < V; v++) {
            float *p = y + (size_t)r * m->y_stride + 8 * v;
            if (V > 1)
                _mm256_storeu_ps(p, acc[r][v]);
            else
                _mm256_maskstore_ps(p, mask, acc[r][v]);
        }
    }
}

static WD_ALWAYS_INLINE void mul_rows(const wd_mm *m, const int type, const int V, size_t o, size_t lanes)
{
    size_t i = 0;
    for (; i + 6 <= m->n; i += 6)
        mul_tile(m, type, 6, V, i, o, lanes);
    for (; i + 2 <= m->n; i += 2)
        mul_tile(m, type, 2, V, i, o, lanes);
    if (i < m->n)
        mul_tile(m, type, 1, V, i, o, lanes);
}

static WD_ALWAYS_INLINE void mul_panel(const wd_mm *m, const int type)
{
    size_t o = 0;
    for (; o + 16 <= m->n_out; o += 16)
        mul_rows(m, type, 2, o, 8);
    for (; o < m->n_out; o += 8)
        mul_rows(m, type, 1, o, WD_MIN(m->n_out - o, (size_t)8));
}

static void dot_f32(const wd_mm *m)
{
    dot_panel(m, VEC_F32);
}

static void dot_f16(const wd_mm *m)
{
    dot_panel(m, VEC_F16);
}

static void dot_bf16(const wd_mm *m)
{
    dot_panel(m, VEC_BF16);
}

static void mul_f32(const wd_mm *m)
{
    mul_panel(m, VEC_F32);
}

static void mul_f16(const wd_mm *m)
{
    mul_panel(m, VEC_F16);
}

static void mul_bf16(const wd_mm *m)
{
    mul_panel(m, VEC_BF16);
}

void wd_kern__avx2_matmul(wd_kern *k)
{
    k->dot_f32 = dot_f32;
    k->dot_f16 = dot_f16;
    k->dot_bf16 = dot_bf16;
    k->mul_f32 = mul_f32;
    k->mul_f16 = mul_f16;
    k->mul_bf16 = mul_bf16;
}
