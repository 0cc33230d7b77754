/* Attention, blockwise: never more than WD_CPU_Q_ROWS x WD_CPU_KEYS scores at a time, so memory does not grow
 * with the square of the length.
 *
 * A task is one key-value head and a tile of query rows (tokens x the query heads that share it). For each
 * block of keys: K is transposed and V widened to f32 once for the tile, scores are one small product, the
 * online softmax rescales what has been summed so far, and the probabilities times V are added by another
 * product.
 *
 * Blocks are counted from the start of the page or segment, whatever rows are asked for; a row whose last
 * visible key lies inside a block takes that block alone, with only the keys it sees. So a row's operations,
 * and its bits, are the same in a decode step and in the middle of a prompt, and it never touches a later
 * key. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/compiler.h"
#include "tensor/cpu/cpu.h"

typedef struct tile { /* query rows [token0, token0 + n_token) x heads [head0, head0 + n_head) */
    const float *q;
    float *out;
    size_t q_stride, out_stride;
    size_t token0, n_token, head0, n_head, head_dim;
    float scale;
} tile;

static void gather(const tile *t, wd_cpu_scratch *s)
{
    const size_t dim = t->head_dim;
    float *q = s->q;
    for (size_t i = 0; i < t->n_token; i++) {
        const float *row = t->q + (t->token0 + i) * t->q_stride + t->head0 * dim;
        for (size_t e = 0; e < t->n_head * dim; e++)
            *q++ = row[e] * t->scale;
    }
    for (size_t r = 0; r < t->n_token * t->n_head; r++) {
        s->m[r] = -INFINITY;
        s->l[r] = 0;
    }
    memset(s->acc, 0, t->n_token * t->n_head * dim * sizeof(float));
}

static void scatter(const tile *t, const wd_cpu_scratch *s)
{
    const size_t dim = t->head_dim;
    for (size_t r = 0; r < t->n_token * t->n_head; r++) {
        const size_t token = t->token0 + r / t->n_head, head = t->head0 + r % t->n_head;
        float *out = t->out + token * t->out_stride + head * dim;
        for (size_t e = 0; e < dim; e++)
            out[e] = s->acc[r * dim + e] / s->l[r];
    }
}

/* Rows [r, r + n) of the tile against the first n_key keys of the block in s->kt and v. */
static void attend(const wd_kern *k, wd_cpu_scratch *s, size_t r, size_t n, const float *v, size_t v_stride,
                   size_t n_key, size_t dim)
{
    float *q = s->q + r * dim, *acc = s->acc + r * dim, *score = s->s + r * WD_CPU_KEYS;
    k->mul_f32(&(wd_mm){ .y = score,
                         .y_stride = WD_CPU_KEYS,
                         .x = q,
                         .x_stride = dim,
                         .w = s->kt,
                         .w_stride = WD_CPU_KEYS,
                         .n = n,
                         .n_out = n_key,
                         .n_in = dim });
    k->softmax_step(score, WD_CPU_KEYS, n_key, s->m + r, s->l + r, acc, dim, n);
    k->mul_f32(&(wd_mm){ .y = acc,
                         .y_stride = dim,
                         .x = score,
                         .x_stride = WD_CPU_KEYS,
                         .w = v,
                         .w_stride = v_stride,
                         .n = n,
                         .n_out = dim,
                         .n_in = n_key,
                         .add = true });
}

/* ---- paged
 * -------------------------------------------------------------------------------------------------- */

typedef struct paged_job {
    wd_cpu *c;
    const wd_attn_paged *a;
    size_t tile_token, tile_head; /* tile shape */
    size_t n_tile, n_split;       /* tiles of tokens; tiles of one key-value head's query heads */
} paged_job;

/* Loads the block of n_key keys that starts at sequence index key0 of key-value head h. */
static const float *load_block(const wd_cpu *c, const wd_attn_paged *a, wd_cpu_scratch *s, size_t h,
                               size_t key0, size_t n_key)
{
    const size_t size = wd_dtype_bytes(a->kv_dtype), dim = a->head_dim;
    const uint8_t *page = a->page[key0 / a->page_len];
    const uint8_t *keys = page + (h * a->page_len + key0 % a->page_len) * dim * size;
    const uint8_t *values = keys + a->n_kv_head * a->page_len * dim * size;
    if (a->kv_dtype == WD_DTYPE_F32) {
        c->k.transpose_f32(s->kt, WD_CPU_KEYS, keys, dim, n_key, dim);
        return (const float *)(const void *)values;
    }
    c->k.transpose_bf16(s->kt, WD_CPU_KEYS, keys, dim, n_key, dim);
    c->k.bf16_to_f32(s->v, values, n_key * dim);
    return s->v;
}

static void paged_tile(const wd_cpu *c, const wd_attn_paged *a, wd_cpu_scratch *s, size_t h, const tile *t)
{
    const size_t first = a->pos + t->token0;     /* sequence index of the tile's first row */
    const size_t n_visible = first + t->n_token; /* keys that its last row sees */
    gather(t, s);
    for (size_t key0 = 0; key0 < n_visible;) {
        const size_t in_page = a->page_len - key0 % a->page_len;
        const size_t block = WD_MIN(in_page, (size_t)WD_CPU_KEYS);
        const size_t n_key = WD_MIN(block, n_visible - key0);
        const float *v = load_block(c, a, s, h, key0, n_key);

        /* Tokens before key0 see nothing here; those up to key0 + block - 2 see a part, each its own. */
        size_t i = key0 > first ? key0 - first : 0;
        for (; i < t->n_token && first + i + 1 < key0 + block; i++)
            attend(&c->k, s, i * t->n_head, t->n_head, v, a->head_dim, first + i + 1 - key0, a->head_dim);
        if (i < t->n_token)
            attend(&c->k, s, i * t->n_head, (t->n_token - i) * t->n_head, v, a->head_dim, block, a->head_dim);
        key0 += block;
    }
    scatter(t, s);
}

static void paged_part(void *arg, unsigned worker, unsigned n_worker)
{
    const paged_job *j = arg;
    const wd_attn_paged *a = j->a;
    const size_t group = a->n_head / a->n_kv_head, width = a->n_head * a->head_dim;
    const size_t n_task = j->n_tile * j->n_split * a->n_kv_head;
    /* Later tiles see more keys: dealing tasks out one by one keeps the workers even. */
    for (size_t task = worker; task < n_task; task += n_worker) {
        const size_t h = task % a->n_kv_head, rest = task / a->n_kv_head;
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
                         .scale = a->scale };
        paged_tile(j->c, a, &j->c->scratch[worker], h, &t);
    }
}

void wd_cpu__attn_paged(void *self, const wd_attn_paged *a)
{
    assert(a->n_head % a->n_kv_head == 0 && a->head_dim <= WD_CPU_HEAD_MAX);
    assert(a->kv_dtype == WD_DTYPE_F32 || a->kv_dtype == WD_DTYPE_BF16);
    const size_t group = a->n_head / a->n_kv_head;
    paged_job j = { .c = self, .a = a };
    if (!a->n)
        return;
    j.tile_head = WD_MIN(group, (size_t)WD_CPU_Q_ROWS);
    j.tile_token = WD_CPU_Q_ROWS / j.tile_head;
    j.n_tile = (a->n + j.tile_token - 1) / j.tile_token;
    j.n_split = (group + j.tile_head - 1) / j.tile_head;
    wd_cpu__run(self, a->n * (a->pos + a->n) * a->n_kv_head * a->head_dim / 4, paged_part, &j);
}

/* ---- the cache
 * ---------------------------------------------------------------------------------------------- */

typedef struct store_job {
    wd_cpu *c;
    void *const *page;
    const float *k, *v;
    size_t n, pos, n_kv_head, head_dim, page_len;
    wd_dtype dtype;
} store_job;

static void store_part(void *arg, unsigned worker, unsigned n_worker)
{
    const store_job *j = arg;
    const size_t dim = j->head_dim, size = wd_dtype_bytes(j->dtype);
    size_t first, last;
    wd_pool_share(j->n, 1, worker, n_worker, &first, &last);
    for (size_t i = first; i < last; i++) {
        uint8_t *page = j->page[(j->pos + i) / j->page_len];
        const size_t at = (j->pos + i) % j->page_len;
        for (size_t h = 0; h < 2 * j->n_kv_head; h++) { /* keys of every head, then values */
            const float *from = (h < j->n_kv_head ? j->k + h * dim : j->v + (h - j->n_kv_head) * dim) +
                                i * j->n_kv_head * dim;
            void *to = page + (h * j->page_len + at) * dim * size;
            if (j->dtype == WD_DTYPE_F32)
                memcpy(to, from, dim * sizeof *from);
            else
                j->c->k.f32_to_bf16(to, from, dim);
        }
    }
}

void wd_cpu__kv_store(void *self, void *const *page, const float *k, const float *v, size_t n, size_t pos,
                      size_t n_kv_head, size_t head_dim, size_t page_len, wd_dtype kv_dtype)
{
    assert(kv_dtype == WD_DTYPE_F32 || kv_dtype == WD_DTYPE_BF16);
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

/* ---- full
 * --------------------------------------------------------------------------------------------------- */

typedef struct full_job {
    wd_cpu *c;
    const wd_attn_full *a;
} full_job;

static void full_tile(const wd_cpu *c, const wd_attn_full *a, wd_cpu_scratch *s, size_t end, size_t first,
                      const tile *t)
{
    const size_t dim = a->head_dim, column = t->head0 * dim;
    gather(t, s);
    for (size_t key0 = first; key0 < end; key0 += WD_CPU_KEYS) {
        const size_t n_key = WD_MIN(end - key0, (size_t)WD_CPU_KEYS);
        c->k.transpose_f32(s->kt, WD_CPU_KEYS, a->k + key0 * a->stride + column, a->stride, n_key, dim);
        attend(&c->k, s, 0, t->n_token, a->v + key0 * a->stride + column, a->stride, n_key, dim);
    }
    scatter(t, s);
}

static void full_part(void *arg, unsigned worker, unsigned n_worker)
{
    const full_job *j = arg;
    const wd_attn_full *a = j->a;
    size_t task = 0;
    for (size_t g = 0; g < a->n_seg; g++) {
        for (size_t row = a->seg[g]; row < a->seg[g + 1]; row += WD_CPU_Q_ROWS) {
            for (size_t h = 0; h < a->n_head; h++) {
                const tile t = { .q = a->q,
                                 .out = a->out,
                                 .q_stride = a->stride,
                                 .out_stride = a->n_head * a->head_dim,
                                 .token0 = row,
                                 .n_token = WD_MIN(a->seg[g + 1] - row, (size_t)WD_CPU_Q_ROWS),
                                 .head0 = h,
                                 .n_head = 1,
                                 .head_dim = a->head_dim,
                                 .scale = a->scale };
                if (task++ % n_worker == worker)
                    full_tile(j->c, a, &j->c->scratch[worker], a->seg[g + 1], a->seg[g], &t);
            }
        }
    }
}

void wd_cpu__attn_full(void *self, const wd_attn_full *a)
{
    assert(a->head_dim <= WD_CPU_HEAD_MAX && a->stride >= a->n_head * a->head_dim);
    full_job j = { .c = self, .a = a };
    wd_cpu__run(self, a->n_seg ? a->seg[a->n_seg] * a->n_head * a->head_dim * 4 : 0, full_part, &j);
}
