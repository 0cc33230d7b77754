/* The operator table: what a forward pass calls, and what a backend (CPU now, CUDA later) implements.
 *
 * Activations are f32, row-major: a matrix of n rows with n_col columns has a row stride of n_col unless the
 * argument says otherwise. Weights are wd_tensor views in their stored dtype. Outputs must not alias inputs
 * unless stated. Nothing here fails or allocates from the system per call (scratch grows once and is kept):
 * shapes are checked once, when a model is opened, and asserted here.
 *
 * Determinism: a row of an output depends only on the same row of the inputs (and the weights, the row's own
 * keys and values): never on n, on the other rows, or on the number of threads. Bit for bit.
 *
 * Precision: with F32 weights everything is f32. With 16-bit and 8-bit weights `linear` may round the
 * activations to bf16 and accumulate in f32 when the ops were created with WD_PRECISION_FAST, and so may attention
 * its queries and probabilities (and, where wd_attn_full.round allows it, keys and values); with WD_PRECISION_EXACT
 * they multiply in f32. With W8 and W4 weights FAST rounds each group of activations to 8 bits with a scale of its own,
 * and the result is the same on every instruction set, bit for bit.
 */
#ifndef WD_TENSOR_OPS_H
#define WD_TENSOR_OPS_H

#include <stdbool.h>

#include "base/err.h"
#include "base/pool.h"
#include "tensor/tensor.h"

/* What every backend can do; a model that needs more is refused when it is opened. */
#define WD_HEAD_DIM_MAX 256         /* of both attentions */
#define WD_NORM_DIM_MAX 65536       /* of rmsnorm and layernorm */
#define WD_LINEAR_IN_MAX (1u << 20) /* inputs of linear */

typedef enum wd_act { WD_ACT_NONE, WD_ACT_SILU, WD_ACT_GELU_TANH, WD_ACT_GELU_ERF } wd_act;

/* y = act(x Wᵀ + b) (+ residual) */
typedef struct wd_linear {
    wd_tensor w; /* [n_out][n_in], or [n_in][n_out] when in_out; F32, F16, BF16, F8_E4M3, W8 or W4 */
    wd_tensor b; /* [n_out], F32, F16 or BF16; data NULL: none */
    bool in_out; /* the published orientation of fused experts: y = x W; not of W8 and W4 */
} wd_linear;

typedef struct wd_linear_args {
    float *y;                     /* [n][y_stride], n_out columns written */
    const float *x;               /* [n][x_stride], or where row is given the rows that it names */
    const uint32_t *row;          /* [n] row i of the input is x's row[i]; NULL: i */
    const float *residual;        /* [n][y_stride] added after act, may be y itself; NULL: none */
    size_t n, x_stride, y_stride; /* strides in floats, >= columns */
    const wd_linear *lin;
    wd_act act;
} wd_linear_args;

/* Causal attention of n new rows over a paged KV cache (grouped queries). */
typedef struct wd_attn_paged {
    const float *q; /* [n][n_head * head_dim], RoPE applied */
    float *out;     /* [n][n_head * head_dim] */
    size_t n, n_head, n_kv_head, head_dim;
    void *const *page; /* pages of this layer as kv_store fills them */
    size_t page_len;
    wd_dtype kv_dtype; /* F32, BF16 or KV8 */
    size_t pos;        /* sequence index of row 0: row i sees keys 0 .. pos + i */
    float scale;
} wd_attn_paged;

/* Full (not causal) attention within segments: the vision tower. */
typedef struct wd_attn_full {
    const float *q, *k, *v; /* [n][stride]; head h in columns h * head_dim .. */
    size_t stride;          /* of q, k and v, in floats */
    float *out;             /* [n][n_head * head_dim] */
    size_t n_head, head_dim;
    const size_t *seg; /* [n_seg + 1] row offsets: rows of segment s attend to rows of segment s */
    size_t n_seg;
    float scale;
    bool round; /* they come from weights of 16 bits or fewer: WD_PRECISION_FAST may compute in bf16 */
} wd_attn_full;

typedef struct wd_ops {
    void *self;
    const char *name; /* "cpu/avx512", for messages and benchmarks */

    /* One map or several, no output of which is read by another of them. The same bits as one after another, with fewer
     * meetings of the threads where neighbours have as many inputs and the same kind of weights; and those that follow
     * each other with the same rows have them rounded or quantised once. */
    void (*linear)(void *self, const wd_linear_args *a, size_t n_a);

    /* y[n][n_col] = rows `ids` of the table [n_row][n_col] (F32, F16, BF16, F8, W8, W4), as f32. ids[i] < n_row. */
    void (*embed)(void *self, float *y, const wd_tensor *table, const uint32_t *ids, size_t n);

    /* Over each of n rows of dim values; y may be x. w (and b) [dim] as stored. y_i = x_i / rms(x) * w. */
    void (*rmsnorm)(void *self, float *y, const float *x, const wd_tensor *w, size_t n, size_t dim,
                    float eps);
    void (*layernorm)(void *self, float *y, const float *x, const wd_tensor *w, const wd_tensor *b, size_t n,
                      size_t dim, float eps);

    /* Half-split rotation in place of x [n][stride], heads at h * head_dim; pairs i and i + head_dim/2.
     * cos, sin: [n][head_dim / 2]. */
    void (*rope)(void *self, float *x, const float *cos, const float *sin, size_t n, size_t stride,
                 size_t n_head, size_t head_dim);

    /* y[n][dim] = silu(gate) * up; y may be gate. gate, up [n][stride]. */
    void (*silu_mul)(void *self, float *y, const float *gate, const float *up, size_t n, size_t dim,
                     size_t stride);
    /* y[count] += a * x[count] */
    void (*add_scaled)(void *self, float *y, const float *x, float a, size_t count);
    /* For i from 0 to n - 1, in this order: row to[i] of y += a[i] * row i of x. x, y [..][dim]; to may repeat. */
    void (*add_rows)(void *self, float *y, const uint32_t *to, const float *x, const float *a, size_t n,
                     size_t dim);

    /* Stores keys and values of n rows k, v [n][n_kv_head * head_dim] at sequence index pos .., after the rows before
     * them. A page is [2][n_kv_head] parts of wd_kv_head_bytes, [0] keys. F32: rows of head_dim. BF16, with page_len a
     * multiple of 16 and head_dim even, is in pairs, which is how products want it: keys
     * [page_len / 16][head_dim / 2][16][2], two elements of a key together, 16 keys abreast; values
     * [page_len / 2][head_dim][2], two keys' values together. KV8 has bytes for bf16 in the same places, and behind a
     * head's part the scales [page_len]: an element is its byte times its token's scale, rounded to bf16. Other bytes
     * of the page change too: a page is copied whole or not at all. Values must be finite: a later one may be
     * multiplied by zero. */
    void (*kv_store)(void *self, void *const *page, const float *k, const float *v, size_t n, size_t pos,
                     size_t n_kv_head, size_t head_dim, size_t page_len, wd_dtype kv_dtype);
    void (*attn_paged)(void *self, const wd_attn_paged *a);
    void (*attn_full)(void *self, const wd_attn_full *a);

    void (*destroy)(void *self); /* wd_ops_destroy calls it */
} wd_ops;

typedef enum wd_precision { WD_PRECISION_FAST, WD_PRECISION_EXACT } wd_precision;

/* Instruction sets of the CPU backend, as bits. */
#define WD_ISA_AVX2 1u   /* AVX2, FMA and F16C */
#define WD_ISA_AVX512 2u /* AVX-512 F, BW, DQ, VL */
#define WD_ISA_AVX512_BF16 4u
#define WD_ISA_AMX 8u /* AMX tile, bf16 and int8, with Linux's permission */
#define WD_ISA_AVX512_VNNI 16u

/* What this CPU and operating system allow, found once. */
uint32_t wd_isa_detect(void);
/* "ref", "avx2", "avx512", "avx512vnni", "avx512bf16", "amx": everything up to that level; "auto" or NULL: all.
 * WD_E_USAGE for another word, WD_E_UNSUPPORTED for a level this machine lacks. */
WD_MUST_CHECK wd_status wd_isa_parse(const char *word, uint32_t *isa, wd_err *err);
const char *wd_isa_name(uint32_t isa); /* the highest level, as above */

typedef struct wd_cpu_opts {
    uint32_t isa; /* from wd_isa_parse; the reference where 0 */
    wd_precision precision;
    wd_pool *pool; /* borrowed; NULL: the calling thread */
} wd_cpu_opts;

/* The CPU backend. One caller thread at a time. */
WD_MUST_CHECK wd_status wd_cpu_ops_create(const wd_cpu_opts *o, wd_ops **out, wd_err *err);
void wd_ops_destroy(wd_ops *ops); /* accepts NULL */

#endif
