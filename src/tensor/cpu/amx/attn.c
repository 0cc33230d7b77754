/* Attention over a block with AMX tiles. Rows of queries are A as they lie, keys in pairs are B as they lie, and so are
 * the probabilities and the values in pairs: nothing is packed here. 32 rows at a time: two tiles of rows times two
 * tiles of keys, or of elements of the values, share what is loaded; between the two products the softmax goes row by
 * row over scores in the first-level cache.
 *
 * What does not fill a tile goes through zeros: the last elements of a key (queries have zeros there), the last elements
 * of the values. A block of 16 or 48 keys takes steps of 16 instead of 32 in both products. A row's sums have one order
 * whatever shares its tile. */
#include <assert.h>
#include <immintrin.h>

#include "base/compiler.h"
#include "tensor/cpu/amx/amx.h"
#include "tensor/cpu/avx512/softmax2.h"

enum { TILE = 16, ROWS = 2 * TILE, KEYS = WD_ATTN_KEYS, STEP = 32 };

typedef struct work {
    float s[ROWS][KEYS];
    wd_bf16 p[ROWS][KEYS];
    wd_bf16 k_tail[KEYS / TILE][STEP / 2][TILE][2]; /* the last elements of the keys, zeros behind */
    wd_bf16 v_tail[KEYS / 2][TILE][2];              /* the last elements of the values */
    float acc_tail[ROWS][TILE];
} work;

static_assert(sizeof(work) <= WD_ATTN_WORK_BYTES, "the caller's scratch holds what is needed here");

typedef struct job {
    const wd_attn_block *b;
    work *w;
    size_t step;      /* inputs of a tile product: 32, or 16 */
    size_t n, row[2]; /* rows at hand, and of each tile */
} job;

/* The tile configuration in memory: Intel SDM volume 1, "TILECFG". */
typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

/* Tiles 0..3: C, of rows t / 2 and columns t % 2; 4, 5: A; 6, 7: B. Volatile: see matmul.c. */
static void configure(const job *j)
{
    volatile tile_config c = { .palette = 1 };
    for (unsigned r = 0; r < 2 && j->row[r]; r++) {
        c.rows[2 * r] = c.rows[2 * r + 1] = c.rows[4 + r] = (uint8_t)j->row[r];
        c.row_bytes[2 * r] = c.row_bytes[2 * r + 1] = 4 * TILE;
        c.row_bytes[4 + r] = (uint16_t)(2 * j->step);
    }
    for (unsigned t = 6; t < 8; t++) {
        c.rows[t] = (uint8_t)(j->step / 2);
        c.row_bytes[t] = 4 * TILE;
    }
    _tile_loadconfig((const void *)&c);
}

/* One step: C += A B for both tiles of rows; a row of A is a_row bytes from the next, of B b_row. b2 NULL: one tile of
 * columns. */
static void multiply(const job *j, const wd_bf16 *a, size_t a_row, const wd_bf16 *b, const wd_bf16 *b2,
                     size_t b_row)
{
    _tile_loadd(6, b, b_row);
    _tile_loadd(4, a, a_row);
    _tile_dpbf16ps(0, 4, 6);
    if (b2) {
        _tile_loadd(7, b2, b_row);
        _tile_dpbf16ps(1, 4, 7);
    }
    if (!j->row[1])
        return;
    _tile_loadd(5, (const void *)((uintptr_t)a + TILE * a_row), a_row);
    _tile_dpbf16ps(2, 5, 6);
    if (b2)
        _tile_dpbf16ps(3, 5, 7);
}

static void clear(const job *j)
{
    _tile_zero(0);
    _tile_zero(1);
    if (j->row[1]) {
        _tile_zero(2);
        _tile_zero(3);
    }
}

/* C of n_col tiles of columns, from or to rows of `stride` bytes at p. */
static void load(const job *j, size_t n_col, const float *p, size_t stride)
{
    const float *p2 = (const void *)((uintptr_t)p + TILE * stride);
    _tile_loadd(0, p, stride);
    if (n_col > 1)
        _tile_loadd(1, p + TILE, stride);
    if (j->row[1])
        _tile_loadd(2, p2, stride);
    if (j->row[1] && n_col > 1)
        _tile_loadd(3, p2 + TILE, stride);
}

static void store(const job *j, size_t n_col, float *p, size_t stride)
{
    float *p2 = (void *)((uintptr_t)p + TILE * stride);
    _tile_stored(0, p, stride);
    if (n_col > 1)
        _tile_stored(1, p + TILE, stride);
    if (j->row[1])
        _tile_stored(2, p2, stride);
    if (j->row[1] && n_col > 1)
        _tile_stored(3, p2 + TILE, stride);
    WD_BARRIER();
}

/* Scores of the rows from q with one or two groups of 16 keys, from group g. */
static void scores(const job *j, const wd_bf16 *q, size_t g, size_t n_col)
{
    const size_t dim = j->b->dim, full = dim / j->step * j->step, a_row = 2 * j->b->q_stride;
    const wd_bf16 *k = j->b->k + g * TILE * dim, *k2 = n_col > 1 ? k + TILE * dim : NULL;
    clear(j);
    for (size_t e = 0; e < full; e += j->step)
        multiply(j, q + e, a_row, k + TILE * e, k2 ? k2 + TILE * e : NULL, 4 * TILE);
    if (full < dim)
        multiply(j, q + full, a_row, &j->w->k_tail[g][0][0][0], k2 ? &j->w->k_tail[g + 1][0][0][0] : NULL,
                 4 * TILE);
    store(j, n_col, &j->w->s[0][16 * g], sizeof j->w->s[0]);
}

/* n_col tiles of elements from e of the rows' sums at acc, plus p v. */
static void values(const job *j, float *acc, size_t e, size_t n_col)
{
    const size_t dim = j->b->dim;
    load(j, n_col, acc + e, 4 * dim);
    for (size_t key = 0; key < j->b->n_key; key += j->step) {
        const wd_bf16 *v = j->b->v + key * dim + 2 * e;
        multiply(j, &j->w->p[0][key], sizeof j->w->p[0], v, n_col > 1 ? v + 2 * TILE : NULL, 4 * dim);
    }
    store(j, n_col, acc + e, 4 * dim);
}

/* The elements behind the last whole tile. */
static void values_tail(const job *j, float *acc, size_t e)
{
    const size_t dim = j->b->dim, bytes = (dim - e) * sizeof *acc;
    work *w = j->w;
    for (size_t r = 0; r < j->n; r++)
        memcpy(w->acc_tail[r], acc + r * dim + e, bytes);
    WD_BARRIER();
    load(j, 1, w->acc_tail[0], sizeof w->acc_tail[0]);
    for (size_t key = 0; key < j->b->n_key; key += j->step)
        multiply(j, &w->p[0][key], sizeof w->p[0], &w->v_tail[key / 2][0][0], NULL, sizeof w->v_tail[0]);
    store(j, 1, w->acc_tail[0], sizeof w->acc_tail[0]);
    for (size_t r = 0; r < j->n; r++)
        memcpy(acc + r * dim + e, w->acc_tail[r], bytes);
}

static void rescale(float *acc, float factor, size_t dim)
{
    const __m512 f = _mm512_set1_ps(factor);
    for (size_t e = 0; e < dim; e += 16) {
        const __mmask16 lanes = first_lanes(WD_MIN(dim - e, (size_t)16));
        _mm512_mask_storeu_ps(acc + e, lanes, _mm512_mul_ps(f, _mm512_maskz_loadu_ps(lanes, acc + e)));
    }
}

/* The j->n rows from i. */
static void rows(const job *j, size_t i)
{
    const wd_attn_block *b = j->b;
    const size_t groups = b->n_key / TILE, whole = b->dim / TILE;
    float *acc = b->acc + i * b->dim;
    for (size_t g = 0; g < groups; g += 2)
        scores(j, b->q + i * b->q_stride, g, WD_MIN(groups - g, (size_t)2));
    for (size_t r = 0; r < j->n; r++) {
        const float factor = softmax2(j->w->s[r], b->n_see[i + r], b->m + i + r, b->l + 16 * (i + r),
                                      j->w->p[r]);
        if (factor != 1) /* else the same bits */
            rescale(acc + r * b->dim, factor, b->dim);
    }
    WD_BARRIER();
    for (size_t t = 0; t < whole; t += 2)
        values(j, acc, t * TILE, WD_MIN(whole - t, (size_t)2));
    if (b->dim % TILE)
        values_tail(j, acc, whole * TILE);
}

/* What is left of keys and values behind whole tiles, with zeros around. */
static void copy_tails(const job *j)
{
    const wd_attn_block *b = j->b;
    const size_t dim = b->dim, k_full = dim / j->step * j->step, v_full = dim / TILE * TILE;
    for (size_t g = 0; k_full < dim && g < b->n_key / TILE; g++) {
        memset(j->w->k_tail[g], 0, sizeof j->w->k_tail[g]);
        memcpy(j->w->k_tail[g], b->k + g * TILE * dim + TILE * k_full, (dim - k_full) * TILE * sizeof *b->k);
    }
    for (size_t pair = 0; v_full < dim && pair < b->n_key / 2; pair++) {
        memset(j->w->v_tail[pair], 0, sizeof j->w->v_tail[pair]);
        memcpy(j->w->v_tail[pair], b->v + 2 * (pair * dim + v_full), 2 * (dim - v_full) * sizeof *b->v);
    }
    WD_BARRIER();
}

static void attn_block(const wd_attn_block *b)
{
    job j = { .b = b, .w = b->work, .step = b->n_key % STEP ? STEP / 2 : STEP };
    size_t before = 0;
    copy_tails(&j);
    for (size_t i = 0; i < b->n; i += j.n) {
        j.n = WD_MIN(b->n - i, (size_t)ROWS);
        j.row[0] = WD_MIN(j.n, (size_t)TILE);
        j.row[1] = j.n - j.row[0];
        if (j.n != before)
            configure(&j);
        before = j.n;
        rows(&j, i);
    }
    _tile_release();
}

void wd_kern__amx_attn(wd_kern *k)
{
    k->attn_block = attn_block;
}
