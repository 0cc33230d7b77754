/* Operators at the shapes of a 2B model: time, GB/s of weights or cache read, and GFLOP/s, on one core by its own
 * clock (which other people's load hardly disturbs) and on all cores by the wall's. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "check.h"
#include "tensor/ops.h"
#include "tensor/quant.h"

enum {
    VOCAB = 151936,
    HIDDEN = 2048,
    FF = 6144,
    MAX_N = 512,
    HEADS = 16,
    KV_HEADS = 8,
    HEAD = 128,
    PAGE = 64
};
#define MAX_POS 4608

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

typedef struct bench {
    wd_bf16
        *w; /* [VOCAB][HIDDEN]; smaller matrices are taken from all over it, so that none stays in a cache */
    float *x, *y;
    void *page[MAX_POS / PAGE];
    const char *filter;
    size_t turn;
} bench;

typedef struct levels_ops { /* one instruction set's operators on one thread and on all */
    wd_ops *one, *all;
} levels_ops;

typedef void (*case_fn)(bench *b, wd_ops *ops, size_t n, size_t p, size_t q);

static void linear_case(bench *b, wd_ops *ops, size_t n, size_t n_out, size_t n_in)
{
    const size_t places = (size_t)VOCAB * HIDDEN / (n_out * n_in);
    const wd_linear lin = { .w = { .data = b->w + b->turn++ % places * n_out * n_in,
                                   .dtype = WD_DTYPE_BF16,
                                   .n_dim = 2,
                                   .dim = { n_out, n_in } } };
    const wd_linear_args a = {
        .y = b->y, .x = b->x, .n = n, .x_stride = n_in, .y_stride = n_out, .lin = &lin
    };
    ops->linear(ops->self, &a, 1);
}

/* FP8 weights with one scale per 128 x 128 block, over the same memory. */
static void f8_case(bench *b, wd_ops *ops, size_t n, size_t n_out, size_t n_in)
{
    const size_t places = 2 * (size_t)VOCAB * HIDDEN / (n_out * n_in);
    const wd_linear lin = { .w = { .data = (const wd_f8 *)b->w + b->turn++ % places * n_out * n_in,
                                   .dtype = WD_DTYPE_F8_E4M3,
                                   .n_dim = 2,
                                   .dim = { n_out, n_in },
                                   .scale = b->x,
                                   .scale_dtype = WD_DTYPE_F32 } };
    const wd_linear_args a = {
        .y = b->y, .x = b->x, .n = n, .x_stride = n_in, .y_stride = n_out, .lin = &lin
    };
    ops->linear(ops->self, &a, 1);
}

/* W8 and W4 over the same memory; any bytes are weights, and scales. */
static void quant_case(bench *b, wd_ops *ops, size_t n, size_t n_out, size_t n_in, wd_dtype dtype)
{
    const wd_quant_sizes s = wd_quant_size(dtype, n_out, n_in, 32);
    const size_t places = 2 * (size_t)VOCAB * HIDDEN / (s.data + s.scale + s.zero);
    const uint8_t *at = (const uint8_t *)b->w + b->turn++ % places * (s.data + s.scale + s.zero);
    const wd_linear lin = { .w = { .data = at,
                                   .dtype = dtype,
                                   .n_dim = 2,
                                   .dim = { n_out, n_in },
                                   .scale = at + s.data,
                                   .scale_dtype = WD_DTYPE_F16,
                                   .zero = dtype == WD_DTYPE_W4 ? at + s.data + s.scale : NULL,
                                   .group = 32 } };
    const wd_linear_args a = {
        .y = b->y, .x = b->x, .n = n, .x_stride = n_in, .y_stride = n_out, .lin = &lin
    };
    ops->linear(ops->self, &a, 1);
}

static void w8_case(bench *b, wd_ops *ops, size_t n, size_t n_out, size_t n_in)
{
    quant_case(b, ops, n, n_out, n_in, WD_DTYPE_W8);
}

static void w4_case(bench *b, wd_ops *ops, size_t n, size_t n_out, size_t n_in)
{
    quant_case(b, ops, n, n_out, n_in, WD_DTYPE_W4);
}

static void paged_case(bench *b, wd_ops *ops, size_t n, size_t pos, size_t unused)
{
    (void)unused;
    const wd_attn_paged a = { .q = b->x,
                              .out = b->y,
                              .n = n,
                              .n_head = HEADS,
                              .n_kv_head = KV_HEADS,
                              .head_dim = HEAD,
                              .page = b->page,
                              .page_len = PAGE,
                              .kv_dtype = WD_DTYPE_BF16,
                              .pos = pos,
                              .scale = 0.088f };
    ops->attn_paged(ops->self, &a);
}

static void full_case(bench *b, wd_ops *ops, size_t n, size_t heads, size_t dim)
{
    const size_t seg[] = { 0, n };
    const wd_attn_full a = { .q = b->x,
                             .k = b->x + heads * dim,
                             .v = b->x + 2 * heads * dim,
                             .stride = 3 * heads * dim,
                             .out = b->y,
                             .n_head = heads,
                             .head_dim = dim,
                             .seg = seg,
                             .n_seg = 1,
                             .scale = 0.12f,
                             .round = true };
    ops->attn_full(ops->self, &a);
}

/* Best of up to 60 runs and about half a second. */
static double best_of(bench *b, wd_ops *ops, clockid_t clock, case_fn fn, size_t n, size_t p, size_t q)
{
    double best = INFINITY;
    const double start = seconds(clock);
    for (int i = 0; i < 60 && (i < 2 || seconds(clock) - start < 0.5); i++) {
        const double t = seconds(clock);
        fn(b, ops, n, p, q);
        best = fmin(best, seconds(clock) - t);
    }
    return best;
}

static void measure(bench *b, const levels_ops *o, const char *what, case_fn fn, size_t n, size_t p, size_t q,
                    double bytes, double flops)
{
    char name[64];
    snprintf(name, sizeof name, "%s n=%zu %zu %zu", what, n, p, q);
    if (b->filter && !strstr(name, b->filter))
        return;
    const double one = best_of(b, o->one, CLOCK_PROCESS_CPUTIME_ID, fn, n, p, q);
    const double all = best_of(b, o->all, CLOCK_MONOTONIC, fn, n, p, q);
    printf("%-15s %-25s %9.3f ms %7.1f GB/s %7.1f GFLOP/s %12.3f ms %7.1f GB/s %7.1f GFLOP/s\n", o->one->name,
           name, one * 1e3, bytes / one * 1e-9, flops / one * 1e-9, all * 1e3, bytes / all * 1e-9,
           flops / all * 1e-9);
}

static void bench_level(bench *b, const levels_ops *ops)
{
    static const size_t shapes[][2] = {
        { HIDDEN, HIDDEN }, { FF, HIDDEN }, { HIDDEN, FF }, { VOCAB, HIDDEN }
    };
    static const size_t rows[] = { 1, 8, 64, 512 }, depths[] = { 512, 4096 };
    for (size_t s = 0; s < WD_COUNT(shapes); s++) {
        for (size_t i = 0; i < WD_COUNT(rows) && !(s == 3 && rows[i] > 8); i++) {
            const double cells = (double)shapes[s][0] * (double)shapes[s][1];
            measure(b, ops, "linear", linear_case, rows[i], shapes[s][0], shapes[s][1], 2 * cells,
                    2 * cells * (double)rows[i]);
        }
    }
    for (size_t i = 0; i < WD_COUNT(rows); i++)
        measure(b, ops, "linear_f8", f8_case, rows[i], FF, HIDDEN, (double)FF * HIDDEN,
                2.0 * FF * HIDDEN * (double)rows[i]);
    for (size_t i = 0; i < WD_COUNT(rows); i++) {
        measure(b, ops, "linear_w8", w8_case, rows[i], FF, HIDDEN, 34.0 / 32 * FF * HIDDEN,
                2.0 * FF * HIDDEN * (double)rows[i]);
        measure(b, ops, "linear_w4", w4_case, rows[i], FF, HIDDEN, 19.0 / 32 * FF * HIDDEN,
                2.0 * FF * HIDDEN * (double)rows[i]);
    }
    for (size_t d = 0; d < WD_COUNT(depths); d++) {
        for (size_t n = 1; n <= 512; n += 511) {
            const double keys = (double)n * ((double)depths[d] + 0.5 * ((double)n + 1));
            measure(b, ops, "attn_paged", paged_case, n, depths[d], HEAD,
                    4.0 * KV_HEADS * HEAD * (double)(depths[d] + n), 4.0 * HEADS * HEAD * keys);
        }
    }
    measure(b, ops, "attn_full", full_case, 1024, 16, 64, 1024 * 12 * 1024, 4.0 * 1024 * 1024 * 1024);
    measure(b, ops, "attn_full", full_case, 1024, 16, 72, 1024 * 12 * 1152, 4.0 * 1024 * 1152 * 1024);
}

typedef struct reader {
    const bench *b;
    uint64_t sum[64 * 8]; /* a cache line each */
} reader;

static void read_part(void *arg, unsigned worker, unsigned n_worker)
{
    reader *r = arg;
    const uint64_t *p = (const uint64_t *)(const void *)r->b->w;
    const size_t n = (size_t)VOCAB * HIDDEN / 4, first = n / n_worker * worker;
    uint64_t a = 0, b = 0, c = 0, d = 0;
    for (size_t i = first; i + 8 <= first + n / n_worker;
         i += 8) { /* a cache line, fetched 64 lines before */
        WD_PREFETCH((const char *)(p + i) + 4096);
        a += p[i] ^ p[i + 4];
        b += p[i + 1] ^ p[i + 5];
        c += p[i + 2] ^ p[i + 6];
        d += p[i + 3] ^ p[i + 7];
    }
    r->sum[worker % 64 * 8] += a ^ b ^ c ^ d;
}

static double read_all(const bench *b, wd_pool *pool, clockid_t clock)
{
    static reader r;
    double best = INFINITY;
    r.b = b;
    for (int i = 0; i < 5; i++) {
        const double t = seconds(clock);
        wd_pool_run(pool, read_part, &r);
        best = fmin(best, seconds(clock) - t);
    }
    return 2.0 * VOCAB * HIDDEN / best * 1e-9;
}

void bench_ops(const char *filter)
{
    static const char *const levels[] = { "avx2", "avx512", "avx512vnni", "avx512bf16", "amx" };
    bench b = { .filter = filter };
    wd_pool *pool;
    if (wd_pool_create(0, &pool, NULL))
        return;
    b.w = wd_alloc_aligned((size_t)VOCAB * HIDDEN, sizeof *b.w);
    b.x = WD_ALLOC_N(float, 1024 * FF);
    b.y = WD_ALLOC_N(float, (size_t)MAX_N *VOCAB);
    for (size_t i = 0; i < MAX_POS / PAGE; i++)
        b.page[i] = wd_calloc(2 * KV_HEADS * HEAD * PAGE, 2);
    if (!b.w || !b.x || !b.y || !b.page[MAX_POS / PAGE - 1])
        exit(1);
    for (size_t i = 0; i < (size_t)VOCAB * HIDDEN; i++)
        b.w[i] = (wd_bf16)(0x3C00 + i % 251);
    for (size_t i = 0; i < 1024 * FF; i++)
        b.x[i] = (float)(i % 1013) * 1e-4f;
    printf("reading memory: one core %.1f GB/s, all %u %.1f GB/s\n",
           read_all(&b, NULL, CLOCK_PROCESS_CPUTIME_ID), wd_pool_size(pool),
           read_all(&b, pool, CLOCK_MONOTONIC));
    printf("%-41s %12s %12s %15s %15s\n", "", "one core,", "its clock", "all cores,", "wall clock");
    for (size_t i = 0; i < WD_COUNT(levels); i++) {
        wd_cpu_opts o = { .precision = WD_PRECISION_FAST };
        levels_ops ops = { 0 };
        if (wd_isa_parse(levels[i], &o.isa, NULL) || wd_cpu_ops_create(&o, &ops.one, NULL))
            continue;
        o.pool = pool;
        if (!wd_cpu_ops_create(&o, &ops.all, NULL))
            bench_level(&b, &ops);
        wd_ops_destroy(ops.one);
        wd_ops_destroy(ops.all);
    }
    wd_pool_destroy(pool);
    wd_free(b.w);
    wd_free(b.x);
    wd_free(b.y);
    for (size_t i = 0; i < MAX_POS / PAGE; i++)
        wd_free(b.page[i]);
}
