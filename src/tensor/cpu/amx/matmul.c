/* AMX matrix products in bf16 (TDPBF16PS): y' = w x'.
 *
 * Sixteen rows of w are an A tile as they lie in memory, so weights need no repacking. Activations are packed once
 * per call as B: a group of up to 16 rows is [inputs / 2][rows][2], two consecutive inputs of a row side by side.
 * A C tile is 16 outputs x 16 rows; two by two of them share what is loaded.
 *
 * An output's sum has the same order whatever shares its tile, so a row's bits do not depend on its company; a
 * single row is a B tile with one column. */
#include <immintrin.h>

#include "base/compiler.h"
#include "tensor/cpu/amx/amx.h"
#include "tensor/cpu/avx512/vec.h"

enum { GROUP = 16, STEP = 32 }; /* rows of a tile; inputs of a step: 64 bytes */

/* The tile configuration in memory: Intel SDM volume 1, "TILECFG". */
typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

/* How many outputs and rows of x the two tiles of each operand hold; 0: that tile is not used. */
typedef struct shape {
    uint8_t out[2], row[2];
} shape;

/* Tiles 0..3: C [out][row]; 4, 5: A; 6, 7: B. The members are volatile because GCC 12 tells its optimiser that
 * _tile_loadconfig reads eight bytes, and would drop the stores of the rest. */
static void configure(const shape *s)
{
    volatile tile_config c = { .palette = 1 };
    for (unsigned o = 0; o < 2; o++) {
        for (unsigned r = 0; r < 2; r++) {
            if (!s->out[o] || !s->row[r])
                continue;
            c.rows[2 * o + r] = s->out[o];
            c.row_bytes[2 * o + r] = (uint16_t)(4 * s->row[r]);
        }
        c.rows[4 + o] = s->out[o];
        c.row_bytes[4 + o] = s->out[o] ? 2 * STEP : 0;
        c.rows[6 + o] = s->row[o] ? STEP / 2 : 0;
        c.row_bytes[6 + o] = (uint16_t)(4 * s->row[o]);
    }
    _tile_loadconfig((const void *)&c);
}

/* The products of one step: A from a (and a2, 16 rows below), B from b (and b2, one group on). */
static void multiply(const shape *s, const uint8_t *a, const uint8_t *a2, size_t a_row, const uint8_t *b,
                     const uint8_t *b2)
{
    _tile_loadd(4, a, a_row);
    _tile_loadd(6, b, 4 * (size_t)s->row[0]);
    _tile_dpbf16ps(0, 4, 6);
    if (s->row[1]) {
        _tile_loadd(7, b2, 4 * (size_t)s->row[1]);
        _tile_dpbf16ps(1, 4, 7);
    }
    if (s->out[1]) {
        _tile_loadd(5, a2, a_row);
        _tile_dpbf16ps(2, 5, 6);
        if (s->row[1])
            _tile_dpbf16ps(3, 5, 7);
    }
}

/* A tile of C is in c [out][row]; y wants [row][out]. */
static void put(float *y, size_t y_stride, const float *c, size_t n_out, size_t n_row)
{
    for (size_t r = 0; r < n_row; r++) {
        for (size_t o = 0; o < n_out; o++)
            y[r * y_stride + o] = c[o * n_row + r];
    }
}

static void store(const wd_mm *m, const shape *s, size_t i, size_t o)
{
    float c[GROUP * GROUP];
    float *y = m->y + i * m->y_stride + o;
    const size_t n_row[2] = { s->row[0], s->row[1] };
    _tile_stored(0, c, 4 * n_row[0]);
    WD_BARRIER();
    put(y, m->y_stride, c, s->out[0], n_row[0]);
    if (n_row[1]) {
        _tile_stored(1, c, 4 * n_row[1]);
        WD_BARRIER();
        put(y + GROUP * m->y_stride, m->y_stride, c, s->out[0], n_row[1]);
    }
    if (!s->out[1])
        return;
    _tile_stored(2, c, 4 * n_row[0]);
    WD_BARRIER();
    put(y + GROUP, m->y_stride, c, s->out[1], n_row[0]);
    if (n_row[1]) {
        _tile_stored(3, c, 4 * n_row[1]);
        WD_BARRIER();
        put(y + GROUP * m->y_stride + GROUP, m->y_stride, c, s->out[1], n_row[1]);
    }
}

static void zero(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

/* Outputs [o, o + 32) x rows [i, i + 32), as far as the shape goes. */
static void block(const wd_mm *m, const shape *s, size_t i, size_t o)
{
    const size_t a_row = 2 * m->w_stride, full = m->n_in / STEP * STEP, left = m->n_in - full;
    const uint8_t *a = (const uint8_t *)m->w + o * a_row;
    const uint8_t *group = (const uint8_t *)m->x + 2 * i * m->x_stride;
    const uint8_t *b = group + 2 * m->k0 * s->row[0];
    const uint8_t *b2 = group + 2 * GROUP * m->x_stride + 2 * m->k0 * s->row[1];
    if (s->row[1] && s->out[1]) {
        zero();
    } else { /* a tile that is not configured must not be touched */
        _tile_zero(0);
        if (s->row[1])
            _tile_zero(1);
        if (s->out[1])
            _tile_zero(2);
    }
    for (size_t k = 0; k < full; k += STEP)
        multiply(s, a + 2 * k, a + GROUP * a_row + 2 * k, a_row, b + 2 * k * s->row[0],
                 b2 + 2 * k * s->row[1]);
    if (left) { /* B is padded with zeros; rows of A end here */
        uint16_t tail[2 * GROUP][STEP] = { 0 };
        for (size_t r = 0; r < (size_t)s->out[0] + s->out[1]; r++)
            memcpy(tail[r], a + r * a_row + 2 * full, 2 * left);
        WD_BARRIER();
        multiply(s, (const uint8_t *)tail[0], (const uint8_t *)tail[GROUP], 2 * STEP,
                 b + 2 * full * s->row[0], b2 + 2 * full * s->row[1]);
    }
    store(m, s, i, o);
}

static uint8_t at_most_16(size_t n, size_t used)
{
    return n > used ? (uint8_t)WD_MIN(n - used, (size_t)GROUP) : 0;
}

static void dot_bf16_bf16(const wd_mm *m)
{
    shape now = { { 0, 0 }, { 0, 0 } };
    for (size_t o = 0; o < m->n_out; o += 2 * GROUP) {
        for (size_t i = 0; i < m->n; i += 2 * GROUP) {
            const shape s = { { at_most_16(m->n_out - o, 0), at_most_16(m->n_out - o, GROUP) },
                              { at_most_16(m->n - i, 0), at_most_16(m->n - i, GROUP) } };
            if (memcmp(&s, &now, sizeof s) != 0)
                configure(&s);
            now = s;
            block(m, &s, i, o);
        }
    }
    _tile_release();
}

/* One group: 32 inputs of each row become 16 pairs, and pairs of the same inputs come together. */
static void pack_group(wd_bf16 *to, const float *const *x, size_t n, size_t n_in)
{
    const __mmask16 rows = first_lanes(n);
    for (size_t k = 0; k < n_in; k += STEP) {
        const size_t left = n_in - k;
        const __mmask16 low = first_lanes(WD_MIN(left, (size_t)16));
        const __mmask16 high = left > 16 ? first_lanes(WD_MIN(left - 16, (size_t)16)) : 0;
        __m512 v[GROUP];
        for (size_t r = 0; r < GROUP; r++) {
            const float *p = x[WD_MIN(r, n - 1)] + k;
            const __m256i a = to_bf16(_mm512_maskz_loadu_ps(low, p));
            const __m256i b = to_bf16(_mm512_maskz_loadu_ps(high, high ? p + 16 : p));
            v[r] = _mm512_castsi512_ps(_mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1));
        }
        transpose16(v);
        for (size_t pair = 0; pair < STEP / 2; pair++)
            _mm512_mask_storeu_ps((float *)(void *)(to + (k / 2 + pair) * 2 * n), rows, v[pair]);
    }
}

static void dot_pack(wd_bf16 *to, size_t stride, const float *x, size_t x_stride, const uint32_t *row,
                     size_t n, size_t n_in)
{
    const float *group[GROUP];
    for (size_t i = 0; i < n; i += GROUP) {
        const size_t n_row = WD_MIN(n - i, (size_t)GROUP);
        for (size_t r = 0; r < n_row; r++)
            group[r] = x + (row ? row[i + r] : i + r) * x_stride;
        pack_group(to + i * stride, group, n_row, n_in);
    }
}

void wd_kern_init_amx(wd_kern *k)
{
    wd_kern__amx_quant(k);
    k->dot_bf16_bf16 = dot_bf16_bf16;
    k->dot_by_chunk = false;
    k->dot_pack = dot_pack;
    wd_kern__amx_attn(k);
}
