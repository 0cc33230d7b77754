/* Times the work that a hospital waits for, below the engine where that is possible: token ids and pixels are random.
 *
 * Prefill is a prompt in the engine's chunks, up to the logits of its last token. Decode is one token after another, each
 * with its logits, on a cache that was filled with random keys and values: how they came there makes no difference to the
 * time. An image is the tower alone, without reading the file and cutting it into patches. Ranking is the engine's own, whole. */
#include <string.h>

#include "base/clock.h"
#include "base/rand.h"
#include "cli/bench.h"

#define FILL_ROWS 256      /* keys and values stored at a time */
#define LONGEST (1u << 20) /* a size */
#define LONGEST_SIDE 8192
#define TAIL 6 /* tokens after a ranked image: vision_end, im_end, newline, im_start, assistant, newline */
#define RANK_ACROSS 18 /* tokens of a ranked image: 17 x 18 = 306 */
#define RANK_DOWN 17

typedef struct bench {
    wd_cli *cli;
    const wd_bench_args *a;
    wd_runtime *rt;
    wd_model *model;
    const wd_model_config *c;
    wd_meter *meter;
    wd_cost_weights w;
    wd_kv_pool *pool;
    wd_kv *kv;
    double kv_bytes; /* of a token */
    float *logits;   /* [n_vocab] */
    uint32_t *ids;   /* [max_rows] */
    wd_rand rand;
    wd_bench_row *row;
    size_t n_row;
} bench;

static wd_status no_memory(const char *what, wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "bench: no memory for %s", what);
}

/* ---- the parts of a run ---- */

static void draw_ids(bench *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        b->ids[i] = (uint32_t)wd_rand_below(&b->rand, b->c->text.n_vocab);
}

/* n new tokens into the cache, in chunks as the engine's; logits of the last. */
static wd_status read_tokens(bench *b, size_t n, wd_err *err)
{
    const size_t most = wd_model_max_rows(b->model);
    for (size_t at = 0, rows; at < n; at += rows) {
        rows = WD_MIN(most, n - at);
        const uint32_t last = (uint32_t)rows - 1;
        const bool end = at + rows == n;
        draw_ids(b, rows);
        const wd_step s = { .ids = b->ids,
                            .n = rows,
                            .kv = b->kv,
                            .out_row = &last,
                            .n_out = end,
                            .logits = end ? b->logits : NULL,
                            .cancel = &wd_cli_cancelled };
        WD_TRY(wd_model_step(b->model, &s, err));
    }
    return WD_OK;
}

/* The cache holds exactly n tokens, of random keys and values. */
static wd_status fill_cache(bench *b, size_t n, wd_err *err)
{
    const wd_kv_opts *o = wd_kv_opts_of(b->kv);
    const size_t dim = (size_t)o->n_kv_head * o->head_dim;
    wd_ops *ops = wd_runtime_ops(b->rt);
    wd_kv_truncate(b->kv, WD_MIN(n, wd_kv_len(b->kv)));
    float *k = wd_alloc_aligned(2 * FILL_ROWS * dim, sizeof *k);
    if (!k)
        return no_memory("keys and values", err);
    for (size_t i = 0; i < 2 * FILL_ROWS * dim; i++)
        k[i] = (float)wd_rand_range(&b->rand, -1, 1);
    wd_status st = WD_OK;
    for (size_t at = wd_kv_len(b->kv), rows; !st && at < n; at += rows) {
        rows = WD_MIN((size_t)FILL_ROWS, n - at);
        st = wd_kv_reserve(b->kv, rows, err);
        for (uint32_t l = 0; !st && l < o->n_layer; l++)
            ops->kv_store(ops->self, wd_kv_layer(b->kv, l), k, k + FILL_ROWS * dim, rows, at, o->n_kv_head,
                          o->head_dim, o->page_len, o->dtype);
        if (!st)
            wd_kv_commit(b->kv, rows);
    }
    wd_free(k);
    return st;
}

static void draw_values(bench *b, float *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        v[i] = (float)wd_rand_range(&b->rand, -1, 1);
}

/* ---- one kind of work each: a run, timed from `start` on ---- */

typedef struct work {
    bench *b;
    wd_bench_row *row;
    unsigned run;   /* which */
    float *patches; /* image */
    uint32_t grid[1][3];
    wd_image *image;  /* rerank: [size] */
    wd_step_seq *seq; /* batch: [size], as the two below */
    uint32_t *out_row;
    float *logits; /* [size][n_vocab] */
} work;

typedef wd_status (*run_fn)(work *w, double *start, wd_err *err);

static wd_status run_prefill(work *w, double *start, wd_err *err)
{
    wd_kv_truncate(w->b->kv, 0);
    *start = wd_clock_s();
    return read_tokens(w->b, w->row->size, err);
}

static wd_status run_decode(work *w, double *start, wd_err *err)
{
    WD_TRY(fill_cache(w->b, w->row->size, err));
    *start = wd_clock_s();
    for (int64_t i = 0; i < w->b->a->steps; i++)
        WD_TRY(read_tokens(w->b, 1, err));
    return WD_OK;
}

/* A token for every sequence in each step, their caches empty at first. */
static wd_status run_batch(work *w, double *start, wd_err *err)
{
    const size_t n = w->row->size;
    for (size_t i = 0; i < n; i++)
        wd_kv_truncate(w->seq[i].kv, 0);
    *start = wd_clock_s();
    for (int64_t i = 0; i < w->b->a->steps; i++) {
        draw_ids(w->b, n);
        const wd_step s = { .ids = w->b->ids,
                            .n = n,
                            .seq = w->seq,
                            .n_seq = n,
                            .out_row = w->out_row,
                            .n_out = n,
                            .logits = w->logits,
                            .cancel = &wd_cli_cancelled };
        WD_TRY(wd_model_step(w->b->model, &s, err));
    }
    return WD_OK;
}

static wd_status run_image(work *w, double *start, wd_err *err)
{
    wd_features f = { 0 };
    const wd_see in = {
        .patches = w->patches, .grid = (const uint32_t(*)[3])w->grid, .n_grid = 1, .cancel = &wd_cli_cancelled
    };
    *start = wd_clock_s();
    const wd_status st = wd_model_see(w->b->model, &in, &f, err);
    wd_features_free(&f);
    return st;
}

/* A sentence of its own for each run, so that none is in the engine's cache already. */
static wd_status run_rerank(work *w, double *start, wd_err *err)
{
    char text[128];
    snprintf(text, sizeof text,
             "Finding %u: a small nodule in the right upper lobe, unchanged since last year.", w->run + 1);
    wd_engine *e = wd_runtime_engine(w->b->rt);
    const wd_part q = { WD_PART_TEXT, wd_span_str(text) }, d = { .kind = WD_PART_IMAGE };
    size_t n_token = 0;
    *start = wd_clock_s();
    for (uint64_t i = 0; i < w->row->size; i++) {
        const wd_rerank_pair pair = { .query = { .parts = { &q, 1 } },
                                      .document = { .parts = { &d, 1 },
                                                    .media = { .image = &w->image[i], .n_image = 1 } },
                                      .watch = { .cancel = &wd_cli_cancelled } };
        double score;
        wd_arena *a = wd_arena_create((size_t)1 << 30, true);
        if (!a)
            return no_memory("ranking", err);
        const wd_status st = e->rerank(e->self, a, &pair, &score, &n_token, err);
        wd_arena_destroy(a);
        WD_TRY(st);
    }
    /* What cannot be taken from the cache: the images, and for each what stands from its pixels on. */
    if (w->run == 0) {
        const size_t own = RANK_ACROSS * RANK_DOWN + TAIL;
        for (uint64_t i = 0; i < w->row->size; i++) {
            wd_cost_add_see(w->b->c, &w->b->w, (const uint32_t(*)[3])w->grid, 1, &w->row->cost);
            wd_cost_add_step(w->b->c, &w->b->w, own, n_token > own ? n_token - own : 0, 1, false,
                             w->b->kv_bytes, &w->row->cost);
        }
    }
    return WD_OK;
}

/* ---- rows ---- */

static wd_bench_row *new_row(bench *b, const char *name, uint64_t size)
{
    wd_bench_row *r = &b->row[b->n_row++];
    *r = (wd_bench_row){ .work = name, .size = size, .dtype = b->w.layer_dtype };
    return r;
}

/* The runs of one row. What the model cannot do is a line of the table, not the end of it. */
static wd_status measure(work *w, run_fn run, wd_err *err)
{
    wd_bench_row *r = w->row;
    for (w->run = 0; w->run < (unsigned)w->b->a->repeat; w->run++) {
        double start = 0;
        wd_err why = { 0 };
        wd_meter_take(w->b->meter);
        const wd_status st = run(w, &start, &why);
        const double seconds = wd_clock_s() - start;
        if (st == WD_E_UNSUPPORTED) {
            r->missing = wd_arena_strndup(w->b->cli->arena, why.text, strlen(why.text));
            return r->missing ? WD_OK : no_memory("a message", err);
        }
        if (st) {
            if (err)
                *err = why;
            return st;
        }
        const wd_meter_total t = wd_meter_take(w->b->meter);
        r->seconds[r->n_run++] = seconds;
        r->parts.linear.seconds += t.linear.seconds;
        r->parts.attn.seconds += t.attn.seconds;
        r->parts.rest.seconds += t.rest.seconds;
    }
    return WD_OK;
}

static wd_status prefill(bench *b, uint64_t size, wd_err *err)
{
    work w = { .b = b, .row = new_row(b, "prefill", size) };
    if (size > b->c->text.max_pos) {
        w.row->missing = "longer than the model's context";
        return WD_OK;
    }
    w.row->n_token = (double)size;
    wd_cost_add_step(b->c, &b->w, size, 0, 1, true, b->kv_bytes, &w.row->cost);
    return measure(&w, run_prefill, err);
}

static wd_status decode(bench *b, uint64_t depth, wd_err *err)
{
    work w = { .b = b, .row = new_row(b, "decode", depth) };
    const uint64_t steps = (uint64_t)b->a->steps;
    if (depth + steps > b->c->text.max_pos) {
        w.row->missing = "longer than the model's context";
        return WD_OK;
    }
    w.row->n_token = (double)steps;
    for (uint64_t i = 0; i < steps; i++)
        wd_cost_add_step(b->c, &b->w, 1, depth + i, 1, true, b->kv_bytes, &w.row->cost);
    return measure(&w, run_decode, err);
}

static wd_status batch(bench *b, uint64_t size, wd_err *err)
{
    work w = { .b = b, .row = new_row(b, "batch", size) };
    const uint64_t steps = (uint64_t)b->a->steps;
    if (size > wd_model_max_rows(b->model) || steps > b->c->text.max_pos) {
        w.row->missing = steps > b->c->text.max_pos ? "longer than the model's context"
                                                    : "more sequences than a step has rows";
        return WD_OK;
    }
    w.row->n_token = (double)(steps * size);
    for (uint64_t i = 0; i < steps; i++)
        wd_cost_add_batch(b->c, &b->w, size, i, b->kv_bytes, &w.row->cost);
    w.seq = WD_ALLOC_N(wd_step_seq, size);
    w.out_row = WD_ALLOC_N(uint32_t, size);
    w.logits = WD_ALLOC_N(float, size * b->c->text.n_vocab);
    wd_status st = w.seq && w.out_row && w.logits ? WD_OK : no_memory("a batch", err);
    for (uint64_t i = 0; !st && i < size; i++) {
        w.seq[i].n = 1;
        w.out_row[i] = (uint32_t)i;
        st = wd_kv_create(b->pool, &w.seq[i].kv, err);
    }
    if (!st)
        st = measure(&w, run_batch, err);
    for (uint64_t i = 0; w.seq && i < size; i++)
        wd_kv_destroy(w.seq[i].kv);
    wd_free(w.seq);
    wd_free(w.out_row);
    wd_free(w.logits);
    return st;
}

static wd_status image(bench *b, uint64_t size, wd_err *err)
{
    work w = { .b = b, .row = new_row(b, "image", size) };
    const wd_vision_config *v = &b->c->vision;
    w.row->dtype = b->w.vision_dtype;
    if (!b->c->has_vision) {
        w.row->missing = "the model reads text only";
        return WD_OK;
    }
    const uint32_t side = (uint32_t)size / v->patch_size;
    const size_t n = (size_t)side * side * 3 * v->temporal_patch_size * v->patch_size * v->patch_size;
    w.grid[0][0] = 1;
    w.grid[0][1] = w.grid[0][2] = side;
    w.patches = wd_alloc_aligned(n, sizeof *w.patches);
    if (!w.patches)
        return no_memory("patches", err);
    draw_values(b, w.patches, n);
    wd_cost_add_see(b->c, &b->w, (const uint32_t(*)[3])w.grid, 1, &w.row->cost);
    const wd_status st = measure(&w, run_image, err);
    wd_free(w.patches);
    return st;
}

static wd_status rerank(bench *b, uint64_t size, wd_err *err)
{
    work w = { .b = b, .row = new_row(b, "rerank", size) };
    const wd_vision_config *v = &b->c->vision;
    if (!b->c->has_vision) {
        w.row->missing = "the model reads text only";
        return WD_OK;
    }
    w.grid[0][0] = 1;
    w.grid[0][1] = RANK_DOWN * v->merge_size;
    w.grid[0][2] = RANK_ACROSS * v->merge_size;
    w.image = WD_ALLOC_N(wd_image, size);
    wd_status st = w.image ? WD_OK : no_memory("images", err);
    for (uint64_t i = 0; !st && i < size; i++) {
        st = wd_image_init(&w.image[i], w.grid[0][2] * v->patch_size, w.grid[0][1] * v->patch_size, err);
        for (size_t k = 0; !st && k < (size_t)w.image[i].width * w.image[i].height * 3; k++)
            w.image[i].rgb[k] = (uint8_t)wd_rand_u64(&b->rand);
    }
    if (!st)
        st = measure(&w, run_rerank, err);
    for (uint64_t i = 0; w.image && i < size; i++)
        wd_image_free(&w.image[i]);
    wd_free(w.image);
    return st;
}

/* ---- all of it ---- */

static const struct kind {
    const char *name;
    size_t sizes; /* offset in wd_bench_args */
    uint64_t min, max;
    wd_status (*run)(bench *b, uint64_t size, wd_err *err);
} kinds[] = {
    { "prefill", offsetof(wd_bench_args, prefill), 1, LONGEST, prefill },
    { "decode", offsetof(wd_bench_args, decode), 0, LONGEST, decode },
    { "image", offsetof(wd_bench_args, image), 1, LONGEST_SIDE, image },
    { "rerank", offsetof(wd_bench_args, rerank), 1, 1000, rerank },
    { "batch", offsetof(wd_bench_args, batch), 1, 1024, batch },
};

typedef struct plan {
    bool want[WD_COUNT(kinds)];
    uint64_t size[WD_COUNT(kinds)][WD_BENCH_SIZES];
    size_t n[WD_COUNT(kinds)], n_all;
} plan;

static wd_status choose(const wd_bench_args *a, plan *p, wd_err *err)
{
    for (size_t k = 0; k < WD_COUNT(kinds); k++)
        p->want[k] = a->only.n == 0;
    for (size_t i = 0; i < a->only.n; i++) {
        size_t k = 0;
        while (k < WD_COUNT(kinds) && strcmp(kinds[k].name, a->only.v[i]) != 0)
            k++;
        if (k == WD_COUNT(kinds))
            return WD_FAIL(err, WD_E_USAGE, "--only \"%s\", expected prefill, decode, image, rerank or batch",
                           a->only.v[i]);
        p->want[k] = true;
    }
    return WD_OK;
}

static wd_status make_plan(const wd_bench_args *a, const wd_model_config *c, plan *p, wd_err *err)
{
    *p = (plan){ 0 };
    WD_TRY(choose(a, p, err));
    for (size_t k = 0; k < WD_COUNT(kinds); k++) {
        const char *text = *(const char *const *)(const void *)((const char *)a + kinds[k].sizes);
        WD_TRY(wd_bench_sizes(kinds[k].name, text, kinds[k].min, kinds[k].max, p->size[k], &p->n[k], err));
        p->n_all += p->want[k] ? p->n[k] : 0;
        const uint64_t unit = c && c->has_vision ? (uint64_t)c->vision.patch_size * c->vision.merge_size : 1;
        for (size_t i = 0; kinds[k].run == image && p->want[k] && i < p->n[k]; i++)
            if (p->size[k][i] % unit)
                return WD_FAIL(err, WD_E_USAGE, "--image: %llu pixels, expected a multiple of %llu",
                               (unsigned long long)p->size[k][i], (unsigned long long)unit);
    }
    return WD_OK;
}

wd_status wd_bench_check(const wd_bench_args *a, wd_runtime *rt, wd_err *err)
{
    plan p;
    return make_plan(a, rt ? wd_model_cfg(wd_runtime_model(rt)) : NULL, &p, err);
}

/* Maps every page once, and wakes the processor up. */
static wd_status warm_up(bench *b, wd_err *err)
{
    wd_kv_truncate(b->kv, 0);
    WD_TRY(read_tokens(b, WD_MIN(16u, b->c->text.max_pos), err));
    if (!b->c->has_vision)
        return WD_OK;
    const wd_vision_config *v = &b->c->vision;
    const uint32_t grid[1][3] = { { 1, v->merge_size, v->merge_size } };
    const size_t n = (size_t)v->merge_size * v->merge_size * 3 * v->temporal_patch_size * v->patch_size *
                     v->patch_size;
    float *patches = wd_alloc_aligned(n, sizeof *patches);
    if (!patches)
        return no_memory("patches", err);
    draw_values(b, patches, n);
    wd_features f = { 0 };
    const wd_status st = wd_model_see(b->model, &(wd_see){ .patches = patches, .grid = grid, .n_grid = 1 },
                                      &f, err);
    wd_features_free(&f);
    wd_free(patches);
    return st;
}

static wd_status run_all(bench *b, wd_err *err)
{
    plan todo;
    WD_TRY(make_plan(b->a, b->c, &todo, err));
    b->row = WD_NEW_N(b->cli->arena, wd_bench_row, todo.n_all);
    if (!b->row)
        return no_memory("results", err);
    WD_TRY(warm_up(b, err));
    wd_progress p;
    wd_progress_begin(&p, "measuring", "tasks");
    wd_status st = WD_OK;
    for (size_t k = 0; !st && k < WD_COUNT(kinds); k++) {
        for (size_t i = 0; !st && todo.want[k] && i < todo.n[k]; i++) {
            wd_progress_at(&p, b->n_row, todo.n_all);
            st = kinds[k].run(b, todo.size[k][i], err);
        }
    }
    wd_progress_end(&p);
    return st;
}

wd_status wd_bench_model(wd_cli *cli, const wd_bench_args *a, wd_runtime *rt, wd_bench_row **rows, size_t *n,
                         wd_err *err)
{
    bench b = { .cli = cli, .a = a, .rt = rt, .model = wd_runtime_model(rt), .meter = wd_runtime_meter(rt) };
    b.c = wd_model_cfg(b.model);
    wd_rand_init(&b.rand, 1);
    wd_cost_weigh(b.c, wd_runtime_weights(rt), &b.w);
    wd_kv_opts o = *wd_runtime_kv(rt);
    o.max_len = b.c->text.max_pos;
    b.kv_bytes = (double)wd_kv_page_bytes(&o) / o.page_len;
    b.logits = WD_ALLOC_N(float, b.c->text.n_vocab);
    b.ids = WD_ALLOC_N(uint32_t, wd_model_max_rows(b.model));
    wd_status st = b.logits && b.ids ? WD_OK : no_memory("logits", err);
    if (!st)
        st = wd_kv_pool_create(&o, &b.pool, err);
    if (!st)
        st = wd_kv_create(b.pool, &b.kv, err);
    if (!st)
        st = run_all(&b, err);
    wd_kv_destroy(b.kv);
    wd_kv_pool_destroy(b.pool);
    wd_free(b.logits);
    wd_free(b.ids);
    if (!st) {
        *rows = b.row;
        *n = b.n_row;
    }
    return st;
}
