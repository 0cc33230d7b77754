/* AMX products with quantised weights (TDPBSUD): y = x w'.
 *
 * Activations are the A operand as they lie in memory, 16 rows of a group; weights are the B operand: the layout of
 * tensor/quant.h is a B tile's, 64 bytes of four inputs of 16 outputs in a row, so W8 is loaded as it is stored and W4
 * after its halves have been taken apart. A C tile is 16 rows x 16 outputs. It ends with its group, because the next
 * one has other scales: C goes through memory and is added to y in floats, up to 48 rows for each B that was loaded.
 *
 * The sums are whole numbers and the groups come in order, so a row's bits are those of VNNI, which is what few rows
 * get: a tile costs its rows however few are of use. */
#include <immintrin.h>

#include "base/compiler.h"
#include "tensor/cpu/avx512/vec.h"

enum { STRIPE = 16, TILE_ROWS = 16, MAX_TILES = 3, FEW = 8, GROUP_MAX = 128 };

typedef struct quant_config { /* Intel SDM volume 1, "TILECFG" */
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} quant_config;

/* Rows of the one to three A and C tiles. */
typedef struct quant_shape {
    size_t n_tile, rows[MAX_TILES];
} quant_shape;

/* Tiles 0..2: C [row][output]; 4..6: A [row][input]; 7: B. The members are volatile because GCC 12 tells its optimiser
 * that _tile_loadconfig reads eight bytes, and would drop the stores of the rest. */
static void configure_quant(const quant_shape *s, size_t inputs)
{
    volatile quant_config c = { .palette = 1 };
    for (size_t t = 0; t < s->n_tile; t++) {
        c.rows[t] = c.rows[4 + t] = (uint8_t)s->rows[t];
        c.row_bytes[t] = 4 * STRIPE;
        c.row_bytes[4 + t] = (uint16_t)inputs;
    }
    c.rows[7] = (uint8_t)(inputs / 4);
    c.row_bytes[7] = 4 * STRIPE;
    _tile_loadconfig((const void *)&c);
}

/* The sums of one group over all rows, to c. b: [group / 4][16][4]. */
static void group_sums(const wd_mmq *m, const quant_shape *s, size_t inputs, const int8_t *x,
                       const uint8_t *b, int32_t c[][TILE_ROWS * STRIPE])
{
    const size_t next = TILE_ROWS * m->n_in;
    _tile_zero(0);
    if (s->n_tile > 1)
        _tile_zero(1);
    if (s->n_tile > 2)
        _tile_zero(2);
    for (size_t k = 0; k < m->group; k += inputs, x += inputs) {
        _tile_loadd(7, b + k * STRIPE, 4 * STRIPE);
        _tile_loadd(4, x, m->n_in);
        _tile_dpbsud(0, 4, 7);
        if (s->n_tile > 1) {
            _tile_loadd(5, x + next, m->n_in);
            _tile_dpbsud(1, 5, 7);
        }
        if (s->n_tile > 2) {
            _tile_loadd(6, x + 2 * next, m->n_in);
            _tile_dpbsud(2, 6, 7);
        }
    }
    _tile_stored(0, c[0], 4 * STRIPE);
    if (s->n_tile > 1)
        _tile_stored(1, c[1], 4 * STRIPE);
    if (s->n_tile > 2)
        _tile_stored(2, c[2], 4 * STRIPE);
    WD_BARRIER();
}

/* Fours of one group to bytes, as W8 has them. */
static void unpack(const uint8_t *w, size_t group, uint8_t *b)
{
    const __m512i mask = _mm512_set1_epi8(15);
    for (size_t k = 0; k < group; k += 8, w += 4 * STRIPE, b += 8 * STRIPE) {
        const __m512i both = _mm512_loadu_si512(w);
        _mm512_storeu_si512(b, _mm512_and_si512(both, mask));
        _mm512_storeu_si512(b + 4 * STRIPE, _mm512_and_si512(_mm512_srli_epi16(both, 4), mask));
    }
    WD_BARRIER();
}

/* y += the sums of a group times its scales, from rows i; the first group begins at 0. */
static void add_group(const wd_mmq *m, const bool four_bits, size_t i, size_t n, size_t o, size_t at,
                      size_t g, const int32_t *c)
{
    const size_t n_group = m->n_in / m->group;
    const __mmask16 outs = first_lanes(WD_MIN(m->n_out - o, (size_t)STRIPE));
    const __m512 ws = load_f32(VEC_F16, (const uint8_t *)m->scale + at * sizeof(wd_f16));
    __m512 offset = _mm512_setzero_ps();
    if (four_bits) {
        const __m128i z = _mm_loadu_si128((const __m128i *)(const void *)(m->zero + at));
        offset = _mm512_mul_ps(
            ws, _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(z)), _mm512_set1_ps(-1.0f / 16)));
    }
    for (size_t r = 0; r < n; r++) {
        const wd_qgroup *q = m->xg + (i + r) * n_group + g;
        float *y = m->y + (i + r) * m->y_stride + o;
        __m512i sum = _mm512_loadu_si512(c + r * STRIPE);
        if (!four_bits)
            sum = _mm512_add_epi32(sum, _mm512_set1_epi32(q->shift));
        __m512 v = g ? _mm512_maskz_loadu_ps(outs, y) : _mm512_setzero_ps();
        v = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(_mm512_set1_ps(q->scale), ws), v);
        if (four_bits)
            v = _mm512_fmadd_ps(offset, _mm512_set1_ps(q->sum), v);
        _mm512_mask_storeu_ps(y, outs, v);
    }
}

/* Rows from i, as the shape says, x all outputs. */
static void quant_rows(const wd_mmq *m, const bool four_bits, const quant_shape *s, size_t i)
{
    const size_t n_group = m->n_in / m->group, inputs = WD_MIN(m->group, (size_t)64);
    const size_t w_group = m->group * STRIPE / (four_bits ? 2 : 1);
    int32_t c[MAX_TILES][TILE_ROWS * STRIPE];
    uint8_t b[GROUP_MAX * STRIPE];
    configure_quant(s, inputs);
    for (size_t o = 0; o < m->n_out; o += STRIPE) {
        for (size_t g = 0; g < n_group; g++) {
            const size_t at = o / STRIPE * n_group + g;
            const uint8_t *w = m->w + at * w_group;
            if (four_bits) {
                unpack(w, m->group, b);
                w = b;
            }
            group_sums(m, s, inputs, m->x + i * m->n_in + g * m->group, w, c);
            for (size_t t = 0; t < s->n_tile; t++)
                add_group(m, four_bits, i + t * TILE_ROWS, s->rows[t], o, at * STRIPE, g, c[t]);
        }
    }
}

static void dot_quant(const wd_mmq *m, const bool four_bits)
{
    for (size_t i = 0; i < m->n; i += MAX_TILES * TILE_ROWS) {
        quant_shape s = { 0 };
        for (; s.n_tile < MAX_TILES && i + s.n_tile * TILE_ROWS < m->n; s.n_tile++)
            s.rows[s.n_tile] = WD_MIN(m->n - i - s.n_tile * TILE_ROWS, (size_t)TILE_ROWS);
        quant_rows(m, four_bits, &s, i);
    }
    _tile_release();
}

static void dot_w8(const wd_mmq *m)
{
    if (m->n < FEW)
        wd_kern__vnni_w8(m);
    else
        dot_quant(m, false);
}

static void dot_w4(const wd_mmq *m)
{
    if (m->n < FEW)
        wd_kern__vnni_w4(m);
    else
        dot_quant(m, true);
}

void wd_kern__amx_quant(wd_kern *k)
{
    k->dot_w8 = dot_w8;
    k->dot_w4 = dot_w4;
}
