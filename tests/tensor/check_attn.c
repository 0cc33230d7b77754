/* Checks and benchmarks of attention over a block, and of the pairs that it reads. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"

static void check_pair_keys(wd_check *c)
{
    static const size_t shapes[][2] = { { 1, 2 }, { 16, 32 }, { 16, 128 }, { 7, 72 }, { 15, 20 }, { 3, 50 } };
    for (size_t i = 0; i < WD_COUNT(shapes); i++) {
        const size_t n = shapes[i][0], dim = shapes[i][1], stride = dim + i % 3;
        if (!wd_check_begin(c, WD_SLOT(pair_keys), "pair_keys_%zux%zu", n, dim))
            continue;
        float *x = wd_check_buf(c, (n - 1) * stride + dim);
        wd_bf16 *want = wd_check_bytes(c, 32 * dim), *got = wd_check_bytes(c, 32 * dim);
        wd_check_fill(c, x, (n - 1) * stride + dim);
        memset(got, 0xFF, 32 * dim);
        c->ref->pair_keys(want, x, stride, n, dim);
        c->dut->pair_keys(got, x, stride, n, dim);
        wd_check_same(c, "pairs", want, got, 32 * dim);
        wd_check_bench(c, 6 * n * dim, n * dim, c->dut->pair_keys(got, x, stride, n, dim));
    }
}

static void check_pair_values(wd_check *c)
{
    static const size_t shapes[][2] = { { 1, 2 }, { 64, 64 }, { 64, 128 }, { 7, 72 }, { 16, 20 }, { 3, 50 } };
    for (size_t i = 0; i < WD_COUNT(shapes); i++) {
        const size_t n = shapes[i][0], dim = shapes[i][1], stride = dim + i % 3;
        const size_t bytes = (n + 1) / 2 * 4 * dim;
        if (!wd_check_begin(c, WD_SLOT(pair_values), "pair_values_%zux%zu", n, dim))
            continue;
        float *x = wd_check_buf(c, (n - 1) * stride + dim);
        wd_bf16 *want = wd_check_bytes(c, bytes), *got = wd_check_bytes(c, bytes);
        wd_check_fill(c, x, (n - 1) * stride + dim);
        memset(got, 0xFF, bytes);
        c->ref->pair_values(want, x, stride, n, dim);
        c->dut->pair_values(got, x, stride, n, dim);
        wd_check_same(c, "pairs", want, got, bytes);
        wd_check_bench(c, 6 * n * dim, n * dim, c->dut->pair_values(got, x, stride, n, dim));
    }
}

static void check_unpair(wd_check *c)
{
    static const size_t shapes[][2] = { { 1, 1 }, { 64, 16 }, { 32, 128 }, { 3, 72 }, { 5, 20 }, { 2, 7 } };
    for (size_t i = 0; i < WD_COUNT(shapes); i++) {
        const size_t rows = shapes[i][0], n = shapes[i][1], stride = n + i % 3;
        const size_t n_y = (2 * rows - 1) * stride + n;
        if (!wd_check_begin(c, WD_SLOT(unpair_bf16), "unpair_bf16_%zux%zu", rows, n))
            continue;
        char *x = wd_check_bytes(c, 4 * rows * n + c->low);
        x += c->low;
        float *want = wd_check_buf(c, n_y), *got = wd_check_buf(c, n_y);
        wd_check_fill_bf16(c, x, 2 * rows * n);
        c->ref->unpair_bf16(want, stride, x, rows, n);
        c->dut->unpair_bf16(got, stride, x, rows, n);
        wd_check_same(c, "values", want, got, n_y * sizeof *got);
        wd_check_bench(c, 12 * rows * n, 2 * rows * n, c->dut->unpair_bf16(got, stride, x, rows, n));
    }
}

static void check_i8(wd_check *c)
{
    static const size_t lengths[] = { 2, 20, 32, 72, 256, 2048 };
    for (size_t i = 0; i < WD_COUNT(lengths); i++) {
        const size_t n = lengths[i];
        if (!wd_check_begin(c, WD_SLOT(i8_to_bf16), "i8_to_bf16_%zu", n))
            continue;
        signed char *x = wd_check_bytes(c, n);
        float *scale = wd_check_buf(c, 32);
        wd_bf16 *want = wd_check_bytes(c, 2 * n), *got = wd_check_bytes(c, 2 * n);
        for (size_t k = 0; k < n; k++)
            x[k] = (signed char)(wd_rand_below(&c->rand, 255) - 127);
        for (size_t k = 0; k < 32; k++) /* no products that are denormal */
            scale[k] = (float)ldexp(1 + wd_rand_range(&c->rand, 0, 1), (int)wd_rand_below(&c->rand, 60) - 40);
        c->ref->i8_to_bf16(want, x, scale, n);
        c->dut->i8_to_bf16(got, x, scale, n);
        wd_check_same(c, "values", want, got, 2 * n);
        wd_check_bench(c, 3 * n, n, c->dut->i8_to_bf16(got, x, scale, n));
    }
}

/* ---- a block ------------------------------------------------------------------------------------------------ */

typedef struct state {
    float *m, *l, *acc;
} state;

static state new_state(wd_check *c, size_t n, size_t dim)
{
    const state s = { wd_check_buf(c, n), wd_check_buf(c, 16 * n), wd_check_buf(c, n * dim) };
    for (size_t r = 0; r < n; r++)
        s.m[r] = -INFINITY;
    return s;
}

/* Rows [i, i + n) of b take the block in. */
static void take(void (*slot)(const wd_attn_block *b), const wd_attn_block *b, const state *s, size_t i,
                 size_t n)
{
    wd_attn_block part = *b;
    part.q += i * b->q_stride;
    part.n_see += i;
    part.m = s->m + i;
    part.l = s->l + 16 * i;
    part.acc = s->acc + i * b->dim;
    part.n = n;
    slot(&part);
}

static void fill_block(wd_check *c, wd_bf16 *p, size_t n, double scale)
{
    for (size_t i = 0; i < n; i++)
        p[i] = wd_f32_to_bf16((float)(wd_rand_normal(&c->rand) * scale));
}

/* Keys that no row sees may hold anything. */
static void spoil_keys(wd_check *c, wd_bf16 *k, const uint8_t *n_see, size_t n, size_t n_key, size_t dim)
{
    size_t seen = 0;
    for (size_t r = 0; r < n; r++)
        seen = WD_MAX(seen, (size_t)n_see[r]);
    for (size_t j = seen; j < n_key; j++) {
        for (size_t e = 0; e < dim; e++)
            k[j / 16 * 16 * dim + e / 2 * 32 + j % 16 * 2 + e % 2] = wd_rand_below(&c->rand, 2) ? 0xFFFF
                                                                                                : 0x7F80;
    }
}

/* A row's sum may be spread over its parts as a level likes. */
static void check_sums(wd_check *c, const float *want, const float *got, size_t n)
{
    for (size_t r = 0; r < n; r++) {
        float sum[2] = { 0, 0 };
        for (size_t i = 16 * r; i < 16 * r + 16; i++) {
            sum[0] += want[i];
            sum[1] += got[i];
        }
        wd_check_near(c, &sum[0], &sum[1], NULL, 1, 1e-3);
    }
}

/* Blocks one after another; every level's sums near the reference's, and each row alone with the bits it has among
 * the others. grow: of the scores from block to block, so that the maximum moves or stays. */
static void check_blocks(wd_check *c, size_t n, size_t n_key, size_t dim, bool masked, double grow)
{
    const size_t q_stride = (dim + 31) / 32 * 32 + 32 * (n % 2);
    wd_bf16 *q = wd_check_bytes(c, 2 * ((n - 1) * q_stride + (dim + 31) / 32 * 32));
    wd_bf16 *k = wd_check_bytes(c, 2 * n_key * dim), *v = wd_check_bytes(c, 2 * n_key * dim);
    uint8_t *n_see = wd_check_bytes(c, n);
    const state want = new_state(c, n, dim), got = new_state(c, n, dim), one = new_state(c, n, dim);
    void *work = wd_alloc_aligned(WD_ATTN_WORK_BYTES, 1);
    if (!work)
        abort();
    double scale = 2 / sqrt((double)dim);
    for (size_t r = 0; r < n; r++)
        fill_block(c, q + r * q_stride, dim, scale);
    const wd_attn_block b = {
        .q = q, .k = k, .v = v, .n_see = n_see, .work = work, .q_stride = q_stride, .n_key = n_key, .dim = dim
    };
    for (int step = 0; step < 3; step++, scale *= grow) {
        fill_block(c, k, n_key * dim, scale * sqrt((double)dim));
        fill_block(c, v, n_key * dim, 1);
        for (size_t r = 0; r < n; r++)
            n_see[r] = (uint8_t)(masked ? 1 + wd_rand_below(&c->rand, n_key) : n_key);
        spoil_keys(c, k, n_see, n, n_key, dim);
        take(c->ref->attn_block, &b, &want, 0, n);
        take(c->dut->attn_block, &b, &got, 0, n);
        for (size_t i = 0, part = 1; i < n; i += part, part = part % 5 + 1)
            take(c->dut->attn_block, &b, &one, i, WD_MIN(part, n - i));
        wd_check_near(c, want.m, got.m, NULL, n, 1e-5);
        check_sums(c, want.l, got.l, n);
        wd_check_nmse(c, want.acc, got.acc, n * dim, 1e-6);
        wd_check_same(c, "maxima of a few rows", got.m, one.m, n * sizeof *one.m);
        wd_check_same(c, "their sums", got.l, one.l, 16 * n * sizeof *one.l);
        wd_check_same(c, "their accumulators", got.acc, one.acc, n * dim * sizeof *one.acc);
    }
    wd_check_bench(c, 4 * n_key * dim, 4 * n * n_key * dim, take(c->dut->attn_block, &b, &got, 0, n));
    wd_free(work);
}

static void check_attn_block(wd_check *c)
{
    static const struct {
        size_t n, n_key, dim;
        bool masked;
        double grow;
    } cases[] = {
        { 1, 16, 2, false, 1 },    { 1, 64, 128, false, 1 },   { 2, 64, 128, true, 2 },
        { 3, 32, 72, true, 1 },    { 5, 48, 20, true, 2 },     { 16, 64, 32, true, 1 },
        { 17, 16, 64, false, 2 },  { 19, 64, 80, true, 0.5 },  { 33, 48, 36, true, 2 },
        { 13, 64, 256, true, 1 },  { 64, 64, 64, false, 0.5 }, { 41, 64, 72, false, 2 },
        { 128, 64, 128, true, 1 }, { 8, 64, 128, false, 1 },
    };
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        if (wd_check_begin(c, WD_SLOT(attn_block), "attn_block_%zux%zux%zu%s", cases[i].n, cases[i].n_key,
                           cases[i].dim, cases[i].masked ? "_masked" : ""))
            check_blocks(c, cases[i].n, cases[i].n_key, cases[i].dim, cases[i].masked, cases[i].grow);
    }
}

/* One key with the value 1 in every place and others far below it: exactly 1, which a sum of unrounded weights or a
 * polynomial that is not 1 at 0 would miss. */
static void check_certain_key(wd_check *c)
{
    enum { DIM = 32, KEYS = 16 };
    if (!wd_check_begin(c, WD_SLOT(attn_block), "attn_block_certain"))
        return;
    wd_bf16 *q = wd_check_bytes(c, 2 * DIM), *k = wd_check_bytes(c, 2 * KEYS * DIM);
    wd_bf16 *v = wd_check_bytes(c, 2 * KEYS * DIM);
    uint8_t *n_see = wd_check_bytes(c, 1);
    const state s = new_state(c, 1, DIM);
    void *work = wd_alloc_aligned(WD_ATTN_WORK_BYTES, 1);
    if (!work)
        abort();
    *n_see = KEYS;
    for (size_t e = 0; e < DIM; e++)
        q[e] = wd_f32_to_bf16(2);
    for (size_t j = 0; j < KEYS; j++) {
        for (size_t e = 0; e < DIM; e++) {
            k[e / 2 * 32 + 2 * j + e % 2] = wd_f32_to_bf16(j == 5 ? 8 : -8);
            v[(j / 2 * DIM + e) * 2 + j % 2] = wd_f32_to_bf16(j == 5 ? 1 : 300);
        }
    }
    const wd_attn_block b = {
        .q = q, .k = k, .v = v, .n_see = n_see, .work = work, .q_stride = DIM, .n_key = KEYS, .dim = DIM
    };
    take(c->dut->attn_block, &b, &s, 0, 1);
    for (size_t e = 0; e < DIM; e++) {
        if (s.acc[e] != 1)
            wd_check_fail(c, "element %zu is %.9g, wanted 1", e, (double)s.acc[e]);
    }
    float sum = 0;
    for (size_t i = 0; i < 16; i++)
        sum += s.l[i];
    if (sum != 1 || s.m[0] != 2 * 8 * DIM)
        wd_check_fail(c, "sum %.9g and maximum %.9g", (double)sum, (double)s.m[0]);
    wd_free(work);
}

void check_attn(wd_check *c)
{
    check_pair_keys(c);
    check_pair_values(c);
    check_unpair(c);
    check_i8(c);
    check_attn_block(c);
    check_certain_key(c);
    wd_check_end(c);
}
