/* Attention, blockwise: never more than WD_CPU_Q_ROWS x WD_CPU_KEYS scores at a time, so memory does not grow with the
 * square of the length.
 *
 * A tile is rows of queries (tokens x the query heads that share a key-value head) that pass over the keys block by
 * block, so what is read of keys and values is read once for all its rows. There are two ways to take a block in:
 *
 *   f32    keys turned and values widened to f32, scores by one product, the online softmax, the values by another.
 *   pairs  bf16 keys and values in pairs (kern.h), queries and probabilities rounded to bf16, by one kernel. The cache
 *          holds bf16 so already; the vision tower's keys and values are packed once for all tiles of a head.
 *
 * Blocks are counted from the start of the page or segment, whatever rows are asked for, and a row takes whole blocks:
 * keys that it does not see have probability 0. Over a paged cache blocks form ranges of about WD_CPU_RANGE keys, again
 * counted from the start; a range is summed on its own and ranges are merged in order. So ranges of few rows can be
 * shared among the workers, and yet a row's operations, and its bits, are the same in a decode step and in the middle
 * of a prompt, on any number of threads.
 *
 * An exact zero may be added for a key that a row does not see; results are made +0 where they are zero. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/compiler.h"
#include "tensor/cpu/cpu.h"

#define LOG2_E 1.44269504f

enum {
    PAIR_KEYS = 16, /* keys abreast in the pairs' layout */
    F32_ROWS = 48,  /* rows of a product in f32: their scores stay in the first-level cache */
};

typedef struct tile { /* query rows [token0, token0 + n_token) x heads [head0, head0 + n_head) */
    const float *q;
    float *out;
    size_t q_stride, out_stride;
    size_t token0, n_token, head0, n_head, head_dim;
    float scale;
    bool pairs;
} tile;

typedef struct
    block { /* keys and values at hand, and those that come next; pairs, or as the f32 way wants them */
    const void *k, *v, *k_next, *v_next;
    size_t v_stride; /* f32 only */
    size_t n_key;
} block;

static size_t rows_of(const tile *t)
{
    return t->n_token * t->n_head;
}

static size_t q_stride_of(size_t dim)
{
    return (dim + 31) / 32 * 32;
}

/* The tile's queries, scaled, in the form that its way wants. */
static void gather(const wd_kern *k, const tile *t, wd_cpu_scratch *s)
{
    const size_t dim = t->head_dim, stride = q_stride_of(dim);
    const float scale = t->pairs ? t->scale * LOG2_E : t->scale;
    for (size_t r = 0; r < rows_of(t); r++) {
        const size_t token = t->token0 + r / t->n_head, head = t->head0 + r % t->n_head;
        const float *row = t->q + token * t->q_stride + head * dim;
        float *q = s->q + r * dim;
        for (size_t e = 0; e < dim; e++)
            q[e] = row[e] * scale;
        if (t->pairs) {
            memset(s->q16 + r * stride + dim, 0, (stride - dim) * sizeof *s->q16);
            k->f32_to_bf16(s->q16 + r * stride, q, dim);
        }
    }
}

/* Nothing has been summed for the tile's rows. */
static void begin(const tile *t, wd_cpu_scratch *s)
{
    const size_t n = rows_of(t);
    for (size_t r = 0; r < n; r++)
        s->m[r] = -INFINITY;
    memset(s->l, 0, n * WD_CPU_L_PARTS * sizeof *s->l);
    memset(s->acc, 0, n * t->head_dim * sizeof *s->acc);
}

/* The sum of a row's probabilities. */
static float sum_of(const tile *t, const wd_cpu_scratch *s, size_t r)
{
    if (!t->pairs)
        return s->l[r];
    float sum[WD_CPU_L_PARTS];
    memcpy(sum, s->l + r * WD_CPU_L_PARTS, sizeof sum);
    for (size_t half = WD_CPU_L_PARTS / 2; half; half /= 2) {
        for (size_t i = 0; i < half; i++)
            sum[i] += sum[i + half];
    }
    return sum[0];
}

/* out = acc / l, and +0 for -0. */
static void write_row(const wd_kern *k, const tile *t, size_t r, const float *acc, float l)
{
    const size_t token = t->token0 + r / t->n_head, head = t->head0 + r % t->n_head;
    float *out = t->out + token * t->out_stride + head * t->head_dim;
    memset(out, 0, t->head_dim * sizeof *out);
    k->add_scaled(out, acc, 1 / l, t->head_dim);
}

static void attend_f32(const wd_kern *k, const tile *t, wd_cpu_scratch *s, size_t first, const block *b)
{
    const size_t dim = t->head_dim;
    for (size_t r = first, n; r < rows_of(t); r += n) {
        float *acc = s->acc + r * dim;
        n = WD_MIN(rows_of(t) - r, (size_t)F32_ROWS);
        k->mul_f32(&(wd_mm){ .y = s->s,
                             .y_stride = WD_CPU_KEYS,
                             .x = s->q + r * dim,
                             .x_stride = dim,
                             .w = b->k,
                             .w_stride = WD_CPU_KEYS,
                             .n = n,
                             .n_out = b->n_key,
                             .n_in = dim });
        for (size_t i = 0; i < n; i++) {
            for (size_t j = s->n_see[r + i]; j < b->n_key; j++)
                s->s[i * WD_CPU_KEYS + j] = -INFINITY;
        }
        k->softmax_step(s->s, WD_CPU_KEYS, b->n_key, s->m + r, s->l + r, acc, dim, n);
        k->mul_f32(&(wd_mm){ .y = acc,
                             .y_stride = dim,
                             .x = s->s,
                             .x_stride = WD_CPU_KEYS,
                             .w = b->v,
                             .w_stride = b->v_stride,
                             .n = n,
                             .n_out = dim,
                             .n_in = b->n_key,
                             .add = true });
    }
}

/* The tile's rows from `first` on take a block in; s->n_see says how many of its keys each of them sees. */
static void attend(const wd_kern *k, const tile *t, wd_cpu_scratch *s, size_t first, const block *b)
{
    const size_t dim = t->head_dim, stride = q_stride_of(dim);
    if (!t->pairs) {
        attend_f32(k, t, s, first, b);
        return;
    }
    k->attn_block(&(wd_attn_block){ .q = s->q16 + first * stride,
                                    .q_stride = stride,
                                    .k = b->k,
                                    .v = b->v,
                                    .k_next = b->k_next,
                                    .v_next = b->v_next,
                                    .n_see = s->n_see + first,
                                    .m = s->m + first,
                                    .l = s->l + first * WD_CPU_L_PARTS,
                                    .acc = s->acc + first * dim,
                                    .work = s->work,
                                    .n = rows_of(t) - first,
                                    .n_key = b->n_key,
                                    .dim = dim });
}

/* Rows for each tile when n_row rows of each of n_unit heads are to be dealt out: few enough for every worker to get
 * some, which changes no bits. */
static size_t tile_rows(size_t n_row, size_t n_unit, unsigned n_worker)
{
    size_t rows = WD_CPU_Q_ROWS;
    while (rows > 32 && (n_row + rows - 1) / rows * n_unit < (size_t)4 * n_worker)
        rows /= 2;
    return rows;
}

/* ---- paged -------------------------------------------------------------------------------------------------- */

typedef struct paged_job {
    wd_cpu *c;
    const wd_attn_paged *a;
    size_t tile_token, tile_head; /* tile shape */
    size_t n_tile, n_split;       /* tiles of tokens; tiles of one key-value head's query heads */
    size_t range, n_range;        /* keys of a range, a multiple of the page */
    float *part; /* [n_range][n][n_head][2 + head_dim] m, l, acc; NULL: a tile goes over all ranges */
} paged_job;

static size_t block_len(const wd_attn_paged *a, size_t key0)
{
    return WD_MIN(a->page_len - key0 % a->page_len, (size_t)WD_CPU_KEYS);
}

/* Where the keys of head h, or its values, begin in the page that holds key0. */
static const uint8_t *head_at(const wd_attn_paged *a, size_t h, size_t key0, bool values)
{
    const uint8_t *page = a->page[key0 / a->page_len];
    return page + (h + (values ? a->n_kv_head : 0)) * wd_kv_head_bytes(a->kv_dtype, a->page_len, a->head_dim);
}

/* Keys of head h from sequence index key0 on, the first of a block; values with `values`. */
static const uint8_t *stored_at(const wd_attn_paged *a, size_t h, size_t key0, bool values)
{
    const size_t row = a->kv_dtype == WD_DTYPE_KV8 ? a->head_dim
                                                   : wd_kv_head_bytes(a->kv_dtype, 1, a->head_dim);
    return head_at(a, h, key0, values) + key0 % a->page_len * row;
}

/* The block of n_key keys at key0 from KV8 to pairs of bf16 in s->k16 and s->v16. */
static void widen_block(const wd_cpu *c, const wd_attn_paged *a, wd_cpu_scratch *s, size_t h, size_t key0,
                        size_t n_key)
{
    const size_t dim = a->head_dim, scales = a->page_len * dim + key0 % a->page_len * sizeof(float);
    const uint8_t *keys = stored_at(a, h, key0, false), *values = stored_at(a, h, key0, true);
    float scale[WD_CPU_KEYS], each[2 * PAIR_KEYS];
    memcpy(scale, head_at(a, h, key0, false) + scales, n_key * sizeof *scale);
    for (size_t j = 0; j < n_key; j += PAIR_KEYS) {
        for (size_t i = 0; i < 2 * PAIR_KEYS; i++)
            each[i] = scale[j + i / 2];
        c->k.i8_to_bf16(s->k16 + j * dim, keys + j * dim, each, PAIR_KEYS * dim);
    }
    memcpy(scale, head_at(a, h, key0, true) + scales, n_key * sizeof *scale);
    for (size_t j = 0; j < n_key; j += 2) {
        for (size_t i = 0; i < 2 * PAIR_KEYS; i++)
            each[i] = scale[j + i % 2];
        c->k.i8_to_bf16(s->v16 + j * dim, values + j * dim, each, 2 * dim);
    }
}

/* The block at key0, of which the tile sees n_key. What follows is worth fetching: the block behind it where that begins
 * before `end`, or else the next head's first, because a worker's tasks follow each other so. */
static block load_block(const wd_cpu *c, const wd_attn_paged *a, const tile *t, wd_cpu_scratch *s, size_t h,
                        size_t key0, size_t n_key, size_t end)
{
    const size_t dim = a->head_dim, next = key0 + block_len(a, key0);
    const void *keys = stored_at(a, h, key0, false), *values = stored_at(a, h, key0, true);
    if (a->kv_dtype == WD_DTYPE_KV8) {
        widen_block(c, a, s, h, key0, next - key0);
        keys = s->k16;
        values = s->v16;
    }
    if (t->pairs) {
        const size_t then = next < end ? next : 0, then_h = next < end ? h : h + 1;
        const bool more = a->kv_dtype == WD_DTYPE_BF16 && then_h < a->n_kv_head &&
                          rows_of(t) <= WD_CPU_FETCH_ROWS && block_len(a, then) == next - key0;
        return (block){ .k = keys,
                        .v = values,
                        .k_next = more ? stored_at(a, then_h, then, false) : NULL,
                        .v_next = more ? stored_at(a, then_h, then, true) : NULL,
                        .n_key = next - key0 };
    }
    if (a->kv_dtype == WD_DTYPE_F32) {
        c->k.transpose_f32(s->kt, WD_CPU_KEYS, keys, dim, n_key, dim);
        return (block){ .k = s->kt, .v = values, .v_stride = dim, .n_key = n_key };
    }
    for (size_t j = 0; j < n_key; j += PAIR_KEYS)
        c->k.unpair_bf16(s->kt + j, WD_CPU_KEYS, (const wd_bf16 *)keys + j * dim, dim / 2, PAIR_KEYS);
    c->k.unpair_bf16(s->v, dim, values, (n_key + 1) / 2, dim);
    return (block){ .k = s->kt, .v = s->v, .v_stride = dim, .n_key = n_key };
}

/* The tile's rows over those of the keys [key0, end) that they see. */
static void paged_range(const wd_cpu *c, const wd_attn_paged *a, const tile *t, wd_cpu_scratch *s, size_t h,
                        size_t key0, size_t end)
{
    const size_t first = a->pos + t->token0; /* sequence index of the tile's first row */
    const size_t all = first + t->n_token;
    end = WD_MIN(end, all);
    begin(t, s);
    for (size_t len; key0 < end; key0 += len) {
        len = block_len(a, key0);
        const size_t token = key0 > first ? key0 - first : 0; /* the first that sees any of these keys */
        for (size_t r = token * t->n_head; r < rows_of(t); r++)
            s->n_see[r] = (uint8_t)WD_MIN(first + r / t->n_head + 1 - key0, len);
        const block b = load_block(c, a, t, s, h, key0, WD_MIN(len, end - key0), all);
        attend(&c->k, t, s, token * t->n_head, &b);
    }
}

/* Adds the sums of a range, if there are any, to those of the ranges before: to = [m, l, acc]. acc is used up. */
static void merge(const wd_kern *k, bool pairs, float *to, float m, float l, float *acc, size_t dim)
{
    if (m == -INFINITY)
        return;
    const float below = -fabsf(m - to[0]), factor = pairs ? exp2f(below) : expf(below);
    if (m > to[0]) { /* what was summed before weighs less */
        k->add_scaled(acc, to + 2, factor, dim);
        memcpy(to + 2, acc, dim * sizeof *acc);
        to[1] = to[1] * factor + l;
        to[0] = m;
    } else {
        k->add_scaled(to + 2, acc, factor, dim);
        to[1] += l * factor;
    }
}

static void start_merge(float *to, size_t dim)
{
    memset(to, 0, (2 + dim) * sizeof *to);
    to[0] = -INFINITY;
}

/* All ranges of a tile, one after another. */
static void paged_tile(const paged_job *j, const tile *t, wd_cpu_scratch *s, size_t h)
{
    const size_t dim = t->head_dim, size = 2 + dim, end = j->a->pos + t->token0 + t->n_token;
    for (size_t r = 0; r < rows_of(t); r++)
        start_merge(s->total + r * size, dim);
    for (size_t key0 = 0; key0 < end; key0 += j->range) {
        paged_range(j->c, j->a, t, s, h, key0, key0 + j->range);
        for (size_t r = 0; r < rows_of(t); r++)
            merge(&j->c->k, t->pairs, s->total + r * size, s->m[r], sum_of(t, s, r), s->acc + r * dim, dim);
    }
    for (size_t r = 0; r < rows_of(t); r++)
        write_row(&j->c->k, t, r, s->total + r * size + 2, s->total[r * size + 1]);
}

static float *part_of(const paged_job *j, size_t range, size_t token, size_t head)
{
    return j->part + ((range * j->a->n + token) * j->a->n_head + head) * (2 + j->a->head_dim);
}

/* One range of a tile, to be merged later. */
static void paged_piece(const paged_job *j, const tile *t, wd_cpu_scratch *s, size_t h, size_t range)
{
    paged_range(j->c, j->a, t, s, h, range * j->range, (range + 1) * j->range);
    for (size_t r = 0; r < rows_of(t); r++) {
        float *to = part_of(j, range, t->token0 + r / t->n_head, t->head0 + r % t->n_head);
        to[0] = s->m[r];
        to[1] = sum_of(t, s, r);
        memcpy(to + 2, s->acc + r * t->head_dim, t->head_dim * sizeof *to);
    }
}

static bool in_pairs(const wd_cpu *c, const wd_attn_paged *a)
{
    return c->bf16_x && a->kv_dtype != WD_DTYPE_F32;
}

/* Tasks [first, last): tiles of tokens and of query heads, in them key-value heads, in these ranges where they are shared
 * out. Later tiles see more keys: tasks are dealt out, and that keeps the workers even. */
static void paged_tasks(void *arg, unsigned worker, size_t first, size_t last)
{
    const paged_job *j = arg;
    const wd_attn_paged *a = j->a;
    wd_cpu_scratch *s = &j->c->scratch[worker];
    const size_t group = a->n_head / a->n_kv_head, width = a->n_head * a->head_dim;
    const size_t n_range = j->part ? j->n_range : 1;
    for (size_t task = first; task < last; task++) {
        const size_t range = task % n_range, h = task / n_range % a->n_kv_head;
        const size_t rest = task / n_range / a->n_kv_head;
        const size_t split = rest % j->n_split * j->tile_head, token0 = rest / j->n_split * j->tile_token;
        const tile t = { .q = a->q,
                         .out = a->out,
                         .q_stride = width,
                         .out_stride = width,
                         .token0 = token0,
                         .n_token = WD_MIN(a->n - token0, j->tile_token),
                         .head0 = h * group + split,
                         .n_head = WD_MIN(group - split, j->tile_head),
                         .head_dim = a->head_dim,
                         .scale = a->scale,
                         .pairs = in_pairs(j->c, a) };
        gather(&j->c->k, &t, s);
        if (j->part)
            paged_piece(j, &t, s, h, range);
        else
            paged_tile(j, &t, s, h);
    }
}

/* The pieces of every row, in the order of the ranges. */
static void merge_part(void *arg, unsigned worker, unsigned n_worker)
{
    const paged_job *j = arg;
    const wd_attn_paged *a = j->a;
    const size_t dim = a->head_dim;
    float *total = j->c->scratch[worker].total;
    for (size_t row = worker; row < a->n * a->n_head; row += n_worker) {
        const size_t token = row / a->n_head, head = row % a->n_head;
        const tile t = { .out = a->out + row * dim, .n_token = 1, .n_head = 1, .head_dim = dim };
        start_merge(total, dim);
        for (size_t i = 0; i < j->n_range; i++) {
            float *part = part_of(j, i, token, head);
            merge(&j->c->k, in_pairs(j->c, a), total, part[0], part[1], part + 2, dim);
        }
        write_row(&j->c->k, &t, 0, total + 2, total[1]);
    }
}

void wd_cpu__attn_paged(void *self, const wd_attn_paged *a)
{
    wd_cpu *c = self;
    assert(a->n_head % a->n_kv_head == 0 && a->head_dim <= WD_CPU_HEAD_MAX);
    assert(a->kv_dtype == WD_DTYPE_F32 || (a->page_len % PAIR_KEYS == 0 && a->head_dim % 2 == 0));
    const size_t group = a->n_head / a->n_kv_head, n_key = a->pos + a->n;
    const unsigned n_worker = wd_pool_size(c->pool);
    paged_job j = { .c = c, .a = a };
    if (!a->n)
        return;
    j.tile_head = WD_MIN(group, (size_t)WD_CPU_Q_ROWS);
    j.tile_token = WD_MAX(tile_rows(a->n * group, a->n_kv_head, n_worker) / j.tile_head, (size_t)1);
    j.n_tile = (a->n + j.tile_token - 1) / j.tile_token;
    j.n_split = (group + j.tile_head - 1) / j.tile_head;
    j.range = (WD_CPU_RANGE + a->page_len - 1) / a->page_len * a->page_len;
    j.n_range = (n_key + j.range - 1) / j.range;
    const size_t n_task = j.n_tile * j.n_split * a->n_kv_head;
    const size_t bytes = j.n_range * a->n * a->n_head * (2 + a->head_dim) * sizeof(float);
    if (j.n_range > 1 && n_task < (size_t)4 * n_worker && bytes <= WD_CPU_X_BYTES)
        j.part = (float *)(void *)c->x;
    /* Whole blocks are read, and from memory. */
    const size_t n_read = (n_key + WD_CPU_KEYS - 1) / WD_CPU_KEYS * WD_CPU_KEYS;
    wd_cpu__deal(c, a->n * n_read * a->n_kv_head * a->head_dim / 4, n_task * (j.part ? j.n_range : 1), 1, 1,
                 paged_tasks, &j);
    if (j.part)
        wd_cpu__run(c, j.n_range * a->n * a->n_head * a->head_dim, merge_part, &j);
}

/* ---- the cache ---------------------------------------------------------------------------------------------- */

typedef struct store_job {
    wd_cpu *c;
    void *const *page;
    const float *k, *v;
    size_t n, pos, n_kv_head, head_dim, page_len;
    wd_dtype dtype;
} store_job;

/* A key into its column of the pairs. keys: of the page's head. */
static void store_key(wd_bf16 *keys, size_t at, const wd_bf16 *row, size_t dim)
{
    wd_bf16 *to = keys + at / PAIR_KEYS * PAIR_KEYS * dim + at % PAIR_KEYS * 2;
    for (size_t e = 0; e < dim; e += 2, to += 2 * PAIR_KEYS)
        memcpy(to, row + e, 2 * sizeof *to);
}

/* The first value of a block clears the block: a value that is not there counts zero times, and must be finite. */
static void store_value(wd_bf16 *values, size_t at, const wd_bf16 *row, size_t dim, size_t page_len)
{
    wd_bf16 *to = values + at / 2 * 2 * dim + at % 2;
    if (at % WD_CPU_KEYS == 0)
        memset(to, 0, WD_MIN(page_len - at, (size_t)WD_CPU_KEYS) * dim * sizeof *to);
    for (size_t e = 0; e < dim; e++)
        to[2 * e] = row[e];
}

/* A row in bytes; returns their scale. A row that is not finite is NaN throughout, a tiny one is zero. */
static float quantise(int8_t *to, const float *x, size_t dim)
{
    float most = 0, zero = 0;
    for (size_t e = 0; e < dim; e++) {
        most = fmaxf(most, fabsf(x[e]));
        zero += x[e] * 0; /* or NaN */
    }
    memset(to, 0, dim);
    if (isnan(zero))
        return NAN;
    if (most < 1e-30f)
        return 0;
    for (size_t e = 0; e < dim; e++)
        to[e] = (int8_t)lrintf(x[e] * (127 / most));
    return most / 127;
}

/* Token `at` of a head's part of a KV8 page, in the places of bf16. */
static void store_kv8(uint8_t *part, size_t at, const float *x, size_t dim, size_t page_len, bool values)
{
    int8_t row[WD_CPU_HEAD_MAX];
    const float scale = quantise(row, x, dim);
    uint8_t *scales = part + page_len * dim,
            *to = part + at / PAIR_KEYS * PAIR_KEYS * dim + at % PAIR_KEYS * 2;
    if (values) {
        to = part + at / 2 * 2 * dim + at % 2;
        if (at % WD_CPU_KEYS == 0) {
            const size_t n = WD_MIN(page_len - at, (size_t)WD_CPU_KEYS);
            memset(to, 0, n * dim);
            memset(scales + at * sizeof scale, 0, n * sizeof scale);
        }
    }
    for (size_t e = 0; e < dim; e++)
        to[values ? 2 * e : e / 2 * 2 * PAIR_KEYS + e % 2] = (uint8_t)row[e];
    memcpy(scales + at * sizeof scale, &scale, sizeof scale);
}

static void store_part(void *arg, unsigned worker, unsigned n_worker)
{
    const store_job *j = arg;
    const size_t dim = j->head_dim, part_bytes = wd_kv_head_bytes(j->dtype, j->page_len, dim);
    wd_bf16 row[WD_CPU_HEAD_MAX];
    size_t first, last;
    wd_pool_share(2 * j->n_kv_head, 1, worker, n_worker, &first, &last); /* keys of every head, then values */
    for (size_t i = 0; i < j->n; i++) {
        uint8_t *page = j->page[(j->pos + i) / j->page_len];
        const size_t at = (j->pos + i) % j->page_len;
        for (size_t h = first; h < last; h++) {
            const float *from = (h < j->n_kv_head ? j->k + h * dim : j->v + (h - j->n_kv_head) * dim) +
                                i * j->n_kv_head * dim;
            void *head = page + h * part_bytes;
            if (j->dtype == WD_DTYPE_F32) {
                memcpy((float *)head + at * dim, from, dim * sizeof *from);
                continue;
            }
            if (j->dtype == WD_DTYPE_KV8) {
                store_kv8(head, at, from, dim, j->page_len, h >= j->n_kv_head);
                continue;
            }
            j->c->k.f32_to_bf16(row, from, dim);
            if (h < j->n_kv_head)
                store_key(head, at, row, dim);
            else
                store_value(head, at, row, dim, j->page_len);
        }
    }
}

void wd_cpu__kv_store(void *self, void *const *page, const float *k, const float *v, size_t n, size_t pos,
                      size_t n_kv_head, size_t head_dim, size_t page_len, wd_dtype kv_dtype)
{
    assert(head_dim <= WD_CPU_HEAD_MAX);
    assert(kv_dtype == WD_DTYPE_F32 || (page_len % PAIR_KEYS == 0 && head_dim % 2 == 0));
    store_job j = { .c = self,
                    .page = page,
                    .k = k,
                    .v = v,
                    .n = n,
                    .pos = pos,
                    .n_kv_head = n_kv_head,
                    .head_dim = head_dim,
                    .page_len = page_len,
                    .dtype = kv_dtype };
    wd_cpu__run(self, n * n_kv_head * head_dim * 2, store_part, &j);
}

/* ---- full --------------------------------------------------------------------------------------------------- */

/* A unit is one head of one segment; units are counted segment by segment. */
typedef struct full_job {
    wd_cpu *c;
    const wd_attn_full *a;
    size_t first, last; /* units of this pass */
    size_t tile_rows;
    bool pairs; /* the units' keys and values lie in c->x, one unit behind the other */
} full_job;

static size_t unit_rows(const wd_attn_full *a, size_t unit)
{
    const size_t g = unit / a->n_head;
    return a->seg[g + 1] - a->seg[g];
}

/* Elements of a unit's keys, and of its values, in pairs. */
static size_t unit_size(const wd_attn_full *a, size_t unit)
{
    return (unit_rows(a, unit) + PAIR_KEYS - 1) / PAIR_KEYS * PAIR_KEYS * a->head_dim;
}

/* One block of a unit to `keys` and to as many elements of `values`, zeros behind the last row. */
static void pack_block(const full_job *j, size_t unit, size_t key0, wd_bf16 *keys, wd_bf16 *values)
{
    const wd_attn_full *a = j->a;
    const wd_kern *k = &j->c->k;
    const size_t dim = a->head_dim, n = WD_MIN(unit_rows(a, unit) - key0, (size_t)WD_CPU_KEYS);
    const size_t n_pair = (n + 1) / 2, n_key = (n + PAIR_KEYS - 1) / PAIR_KEYS * PAIR_KEYS;
    const size_t at = (a->seg[unit / a->n_head] + key0) * a->stride + unit % a->n_head * dim;
    for (size_t i = 0; i < n; i += PAIR_KEYS)
        k->pair_keys(keys + i * dim, a->k + at + i * a->stride, a->stride, WD_MIN(n - i, (size_t)PAIR_KEYS),
                     dim);
    k->pair_values(values, a->v + at, a->stride, n, dim);
    memset(values + 2 * n_pair * dim, 0, (n_key - 2 * n_pair) * dim * sizeof *values);
}

static void pack_part(void *arg, unsigned worker, unsigned n_worker)
{
    const full_job *j = arg;
    wd_bf16 *to = j->c->x;
    size_t task = 0;
    for (size_t unit = j->first; unit < j->last; unit++) {
        const size_t size = unit_size(j->a, unit);
        for (size_t key0 = 0; key0 < unit_rows(j->a, unit); key0 += WD_CPU_KEYS) {
            wd_bf16 *keys = to + key0 * j->a->head_dim;
            if (task++ % n_worker == worker)
                pack_block(j, unit, key0, keys, keys + size);
        }
        to += 2 * size;
    }
}

/* The n keys from row key0 on, of the unit whose pairs begin at `keys` and `values`. */
static block full_block(const full_job *j, const tile *t, wd_cpu_scratch *s, size_t row, size_t n,
                        const wd_bf16 *keys, const wd_bf16 *values)
{
    const wd_attn_full *a = j->a;
    const size_t dim = a->head_dim, at = row * a->stride + t->head0 * dim;
    if (j->pairs)
        return (block){ .k = keys, .v = values, .n_key = (n + PAIR_KEYS - 1) / PAIR_KEYS * PAIR_KEYS };
    j->c->k.transpose_f32(s->kt, WD_CPU_KEYS, a->k + at, a->stride, n, dim);
    return (block){ .k = s->kt, .v = a->v + at, .v_stride = a->stride, .n_key = n };
}

/* A tile over the rows [first, end); pairs: the unit's. */
static void full_tile(const full_job *j, const tile *t, wd_cpu_scratch *s, size_t first, size_t end,
                      const wd_bf16 *pairs)
{
    const wd_kern *k = &j->c->k;
    const size_t dim = t->head_dim, size = (end - first + PAIR_KEYS - 1) / PAIR_KEYS * PAIR_KEYS * dim;
    gather(k, t, s);
    begin(t, s);
    for (size_t row = first; row < end; row += WD_CPU_KEYS) {
        const size_t n = WD_MIN(end - row, (size_t)WD_CPU_KEYS);
        const wd_bf16 *keys = j->pairs ? pairs + (row - first) * dim : NULL;
        const block b = full_block(j, t, s, row, n, keys, j->pairs ? keys + size : NULL);
        memset(s->n_see, (int)n, rows_of(t));
        attend(k, t, s, 0, &b);
    }
    for (size_t r = 0; r < rows_of(t); r++)
        write_row(k, t, r, s->acc + r * dim, sum_of(t, s, r));
}

static void full_part(void *arg, unsigned worker, unsigned n_worker)
{
    const full_job *j = arg;
    const wd_attn_full *a = j->a;
    const wd_bf16 *pairs = j->c->x;
    size_t task = 0;
    for (size_t unit = j->first; unit < j->last; unit++) {
        const size_t first = a->seg[unit / a->n_head], end = first + unit_rows(a, unit);
        for (size_t row = first; row < end; row += j->tile_rows) {
            const tile t = { .q = a->q,
                             .out = a->out,
                             .q_stride = a->stride,
                             .out_stride = a->n_head * a->head_dim,
                             .token0 = row,
                             .n_token = WD_MIN(end - row, j->tile_rows),
                             .head0 = unit % a->n_head,
                             .n_head = 1,
                             .head_dim = a->head_dim,
                             .scale = a->scale,
                             .pairs = j->pairs };
            if (task++ % n_worker == worker)
                full_tile(j, &t, &j->c->scratch[worker], first, end, pairs);
        }
        pairs += 2 * unit_size(a, unit);
    }
}

/* The units from j->first on that are computed together: those whose pairs fit, or one that is in f32 because its own
 * would not. */
static void next_pass(full_job *j, size_t n_unit, bool pairs)
{
    const size_t room = WD_CPU_X_BYTES / sizeof(wd_bf16);
    size_t used = 0;
    j->last = j->first;
    j->pairs = pairs && 2 * unit_size(j->a, j->first) <= room;
    if (!pairs)
        j->last = n_unit;
    else if (!j->pairs)
        j->last++;
    while (j->pairs && j->last < n_unit && used + 2 * unit_size(j->a, j->last) <= room)
        used += 2 * unit_size(j->a, j->last++);
}

void wd_cpu__attn_full(void *self, const wd_attn_full *a)
{
    wd_cpu *c = self;
    assert(a->head_dim <= WD_CPU_HEAD_MAX && a->stride >= a->n_head * a->head_dim);
    const size_t n_unit = a->n_seg * a->n_head, n = a->n_seg ? a->seg[a->n_seg] : 0;
    full_job j = { .c = c, .a = a, .tile_rows = tile_rows(n, a->n_head, wd_pool_size(c->pool)) };
    for (; j.first < n_unit; j.first = j.last) {
        next_pass(&j, n_unit, c->bf16_x && a->round && a->head_dim % 2 == 0);
        const size_t work = n * a->head_dim * (j.last - j.first);
        if (j.pairs)
            wd_cpu__run(c, work, pack_part, &j);
        wd_cpu__run(c, 4 * work, full_part, &j);
    }
}
