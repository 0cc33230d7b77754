/* The CPU backend's own state, shared by its operators. */
#ifndef WD_TENSOR_CPU_CPU_H
#define WD_TENSOR_CPU_CPU_H

#include "base/compiler.h"
#include "tensor/cpu/kern.h"
#include "tensor/ops.h"

/* Tile sizes: how much of a product one kernel call sees. Results do not depend on them, except WD_CPU_F8_K,
 * WD_CPU_KEYS and WD_CPU_RANGE, which are part of the order of summation. */
enum {
    WD_CPU_ROWS = 48,    /* rows of x; a multiple of the 16 of dot_pack's groups */
    WD_CPU_OUTS = 64,    /* outputs */
    WD_CPU_MANY = 96,    /* rows of x, and */
    WD_CPU_WIDE = 256,   /* outputs, of a kernel that goes through the inputs in its outer loop */
    WD_CPU_F8_K = 128,   /* inputs of FP8 weights widened at a time: a block of scales */
    WD_CPU_F8_OUTS = 16, /* outputs of FP8 weights widened at a time: in one row of blocks */
    WD_CPU_HEAD_MAX = WD_HEAD_DIM_MAX,

    /* Attention. */
    WD_CPU_Q_ROWS = 128,        /* query rows (token, head) */
    WD_CPU_KEYS = WD_ATTN_KEYS, /* keys per softmax step, counted from the start of a page or segment */
    WD_CPU_RANGE = 512,         /* keys summed on their own, rounded up to whole pages */
    WD_CPU_L_PARTS = 16,        /* parts of a row's sum of probabilities */
    WD_CPU_FETCH_ROWS = 16,     /* with so few rows the next block is fetched ahead */
};

/* Activations rounded to bf16 by one linear call at a time; more rows go in several passes. Between two rows is a gap: rows
 * of 2048 inputs would all begin in one set of the first-level cache, and push each other and the weights out. */
#define WD_CPU_X_GAP 32 /* elements: a line */
#define WD_CPU_X_BYTES (((size_t)32 << 20) + 16 * WD_CPU_X_GAP * sizeof(wd_bf16))
/* Longest norm weight: a row of 4 Hv in a vision merger is the longest in use, at 4608. */
#define WD_CPU_VEC_MAX WD_NORM_DIM_MAX

typedef struct wd_cpu_scratch { /* one per worker */
    float y[WD_CPU_MANY * WD_CPU_WIDE];
    float part[WD_CPU_ROWS * WD_CPU_OUTS]; /* FP8: one block of inputs */
    float bias[WD_CPU_WIDE];
    float w[WD_CPU_F8_OUTS * WD_CPU_F8_K];    /* FP8, widened */
    float q[WD_CPU_Q_ROWS * WD_CPU_HEAD_MAX]; /* attention, from here on */
    wd_bf16 q16[WD_CPU_Q_ROWS * WD_CPU_HEAD_MAX];
    float acc[WD_CPU_Q_ROWS * WD_CPU_HEAD_MAX];
    float m[WD_CPU_Q_ROWS], l[WD_CPU_Q_ROWS * WD_CPU_L_PARTS];
    float total[WD_CPU_Q_ROWS * (2 + WD_CPU_HEAD_MAX)]; /* m, l and acc of the ranges so far */
    uint8_t n_see[WD_CPU_Q_ROWS];
    float s[WD_CPU_Q_ROWS * WD_CPU_KEYS];
    float kt[WD_CPU_HEAD_MAX * WD_CPU_KEYS];
    float v[WD_CPU_KEYS * WD_CPU_HEAD_MAX];
    wd_bf16 k16[WD_CPU_HEAD_MAX * WD_CPU_KEYS], v16[WD_CPU_KEYS * WD_CPU_HEAD_MAX]; /* KV8, widened */
    WD_ALIGNED(64) uint8_t work[WD_ATTN_WORK_BYTES];                                /* attn_block's */
} wd_cpu_scratch;

typedef struct wd_cpu {
    wd_ops ops;
    char name[24];
    wd_kern k;
    wd_pool *pool;
    bool exact;           /* WD_PRECISION_EXACT */
    bool bf16_x;          /* activations are rounded for BF16 and FP8 weights, and attention is in bf16 */
    wd_bf16 *x;           /* [WD_CPU_X_BYTES] rounded or quantised activations; attention's pairs or parts */
    float *vec_w, *vec_b; /* [WD_CPU_VEC_MAX] norm weights as f32 */
    wd_cpu_scratch *scratch; /* [wd_pool_size(pool)] */
} wd_cpu;

/* Runs fn over the team when `work` (about: elements touched) pays for waking it, else here. */
void wd_cpu__run(wd_cpu *c, size_t work, wd_pool_fn fn, void *arg);
/* The same in pieces that are dealt out (base/pool.h). */
void wd_cpu__deal(wd_cpu *c, size_t work, size_t n, size_t grain, size_t most, wd_pool_piece_fn fn,
                  void *arg);
/* n elements of t from flattened index i as f32; t has no scales. */
void wd_cpu__to_f32(const wd_cpu *c, float *y, const wd_tensor *t, size_t i, size_t n);
/* n elements of row r of an FP8 matrix with scales, from column col. */
void wd_cpu__f8_row(const wd_cpu *c, float *y, const wd_tensor *t, size_t r, size_t col, size_t n);

void wd_cpu__linear(void *self, const wd_linear_args *a, size_t n_a);
void wd_cpu__attn_paged(void *self, const wd_attn_paged *a);
void wd_cpu__attn_full(void *self, const wd_attn_full *a);
void wd_cpu__kv_store(void *self, void *const *page, const float *k, const float *v, size_t n, size_t pos,
                      size_t n_kv_head, size_t head_dim, size_t page_len, wd_dtype kv_dtype);

#endif
