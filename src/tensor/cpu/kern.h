/* One slot per hot loop of the CPU backend. The reference fills all of them and is the specification; each
 * instruction set replaces the slots it wins. Single-threaded, no allocation, no failure.
 *
 * Pointers may be unaligned for their type where they are `const void *` (weights in a mapped file). A slot
 * touches only the elements its arguments name. Row i of an output depends on row i of the inputs and on the
 * shared operand alone, in an order of operations that n and n_out do not change: the same row has the same
 * bits alone and in a crowd.
 */
#ifndef WD_TENSOR_CPU_KERN_H
#define WD_TENSOR_CPU_KERN_H

#include <stdbool.h>

#include "tensor/dtype.h"

/* A small matrix product; strides in elements. */
typedef struct wd_mm {
    float *y;      /* [n][y_stride] */
    const void *x; /* [n][x_stride] */
    const void *w; /* dot: [n_out][w_stride]; mul: [n_in][w_stride] */
    size_t y_stride, x_stride, w_stride;
    size_t n, n_out, n_in; /* n_in >= 1 */
    size_t k0;             /* dot_bf16_bf16 only: begins at this input of x, a multiple of 32 */
    bool add;              /* mul only: start from what y holds instead of 0 */
} wd_mm;

typedef void (*wd_mm_fn)(const wd_mm *m);

/* A group of quantised activations: x[k] is about scale * q[k]. All of it is NaN and 0 where an x is not finite. */
typedef struct wd_qgroup {
    float scale;
    float sum;     /* scale * (sum of q) */
    int32_t shift; /* -128 * (sum of q) */
} wd_qgroup;

/* A small product with quantised weights (tensor/quant.h), from the first output of a stripe. */
typedef struct wd_mmq {
    float *y;            /* [n][y_stride] */
    const int8_t *x;     /* [n][n_in] */
    const wd_qgroup *xg; /* [n][n_in / group] */
    const uint8_t *w;    /* the stripes that hold outputs 0 .. n_out - 1, whole */
    const void *scale;   /* theirs */
    const uint8_t *zero; /* W4: theirs */
    size_t y_stride;
    size_t n, n_out, n_in, group; /* n <= 48 */
} wd_mmq;

typedef void (*wd_mmq_fn)(const wd_mmq *m);

#define WD_ATTN_KEYS 64                    /* keys of a block at most */
#define WD_ATTN_WORK_BYTES ((size_t)32768) /* scratch of attn_block */

/* Rows of queries, a block of keys and values in pairs of bf16, and what the rows have summed so far. */
typedef struct wd_attn_block {
    const wd_bf16 *q; /* [n][q_stride] times log2 e; zeros from dim to q_stride, a multiple of 32 */
    const wd_bf16 *k; /* [n_key / 16][dim / 2][16][2]: two elements of a key together, 16 keys abreast */
    const wd_bf16 *v; /* [n_key / 2][dim][2]: two keys' values together */
    const wd_bf16 *k_next, *v_next; /* both, worth fetching for the next call; NULL: none is */
    const uint8_t *n_see;           /* [n] a row sees the block's first so many keys: 1 .. n_key */
    float *m, *l, *acc;             /* [n], [n][16], [n][dim] */
    void *work;                     /* [WD_ATTN_WORK_BYTES] aligned to 64, for the kernel's own use */
    size_t q_stride, n, n_key, dim; /* n_key a multiple of 16 up to WD_ATTN_KEYS; dim even */
} wd_attn_block;

typedef struct wd_kern {
    /* y[i][o] = sum over k of x[i][k] w[o][k], in f32. x is f32, or bf16 in the slot that says so.
     * NMSE against the reference <= 1e-10. */
    wd_mm_fn dot_f32, dot_f16, dot_bf16;
    wd_mm_fn dot_bf16_bf16; /* may take denormals as zero; x as dot_pack left it */
    bool dot_by_chunk;      /* it takes many rows and outputs a chunk of inputs at a time: let it see many */
    /* n rows of f32 x rounded to bf16, in the layout that dot_bf16_bf16 of the same table reads: rows row[i] of x, or the
     * first n where row is NULL. to [n][stride], stride a multiple of 32 and >= n_in. Rows are laid out in groups of 16
     * from the first; a product may begin at any group. */
    void (*dot_pack)(wd_bf16 *to, size_t stride, const float *x, size_t x_stride, const uint32_t *row,
                     size_t n, size_t n_in);
    /* y[i][o] (+)= sum over k of x[i][k] w[k][o]. */
    wd_mm_fn mul_f32, mul_f16, mul_bf16;
    wd_mm_fn mul_bf16_bf16; /* may take denormals as zero */

    /* One row in groups: q[k] = x[k] * (127 / a) to nearest even and scale = a / 127, a the largest |x| of the group; all
     * 0 where a < 2^-100. Bit for bit the reference's, as are the products: for each group in order, with s its scale,
     *   W8  y = fma(sum of q (u - 128), x.scale * s, y)
     *   W4  y = fma(sum of q u, x.scale * s, y), then y = fma(-(s * zero / 16), x.sum, y)
     * from y = 0. The sums are whole numbers below 2^24, so no order matters but that of the groups. */
    void (*quantise)(int8_t *q, wd_qgroup *xg, const float *x, size_t n_in, size_t group);
    wd_mmq_fn dot_w8, dot_w4;

    /* Rows to and from f32, bit for bit as dtype.h. f8: times scale. */
    void (*bf16_to_f32)(float *y, const void *x, size_t n);
    void (*f16_to_f32)(float *y, const void *x, size_t n);
    void (*f8_to_f32)(float *y, const void *x, float scale, size_t n);
    void (*f8_to_bf16)(wd_bf16 *y, const void *x, size_t n); /* exact */
    void (*f32_to_bf16)(wd_bf16 *y, const float *x, size_t n);
    /* y[c][r] = x[r][c], bit for bit. */
    void (*transpose_f32)(float *y, size_t y_stride, const void *x, size_t x_stride, size_t rows,
                          size_t cols);
    /* The pairs of attn_block. Keys: n <= 16 rows to [dim / 2][16][2], zeros for the keys that are not there. Values: n
     * rows to [(n + 1) / 2][dim][2], zeros beside the last when n is odd. Rounded as f32_to_bf16; dim is even. */
    void (*pair_keys)(wd_bf16 *to, const float *x, size_t x_stride, size_t n, size_t dim);
    void (*pair_values)(wd_bf16 *to, const float *x, size_t x_stride, size_t n, size_t dim);
    /* y[i] = bf16(x[i] * scale[i % 32]), x signed bytes. May take denormals as zero. */
    void (*i8_to_bf16)(wd_bf16 *y, const void *x, const float *scale, size_t n);
    /* y[2r + h][i] = x[r][i][h], x bf16 [rows][n][2], bit for bit. */
    void (*unpair_bf16)(float *y, size_t y_stride, const void *x, size_t rows, size_t n);

    /* y may be x. NMSE <= 1e-10. */
    void (*rmsnorm)(float *y, const float *x, const float *w, size_t rows, size_t dim, float eps);
    void (*layernorm)(float *y, const float *x, const float *w, const float *b, size_t rows, size_t dim,
                      float eps);
    /* One row in place: n_head heads of head_dim, pairs i and i + head_dim / 2. cos, sin [head_dim / 2]. */
    void (*rope)(float *x, const float *cos, const float *sin, size_t n_head, size_t head_dim);

    /* Element-wise; relative error <= 2e-6 of the largest of |y|, |x| at that element. y may be gate. */
    void (*silu_mul)(float *y, const float *gate, const float *up, size_t n);
    void (*silu)(float *y, size_t n);
    void (*gelu_tanh)(float *y, size_t n);
    void (*gelu_erf)(float *y, size_t n);
    void (*add_scaled)(float *y, const float *x, float a, size_t n); /* y += a * x */

    /* One step of the online softmax (Milakov and Gimelshein 2018) for n rows over n_key >= 1 more scores
     * each: m' = max(m, max s);  c = exp(m - m');  s = exp(s - m');  l = l c + sum s;  acc = acc c;  m = m'
     * s [n][s_stride], m and l [n], acc [n][dim]. Starts from m = -inf, l = 0, acc = 0. Scores are finite or
     * -inf, the first of a row finite. NMSE <= 1e-10. */
    void (*softmax_step)(float *s, size_t s_stride, size_t n_key, float *m, float *l, float *acc, size_t dim,
                         size_t n);

    /* A whole block of attention: scores, a step of the softmax in powers of two, and the values' part.
     *   s = q k';  m' = max(m, max s);  p = bf16(2^(s - m'));  l = l 2^(m - m') + p, a row's in any of its 16 parts;
     *   acc = acc 2^(m - m') + p v;  m = m'
     * A key that a row does not see has p = 0: it may hold anything, its value must be finite. What is summed is the
     * rounded p, so that the weights of a row are its p / sum l exactly. Starts as softmax_step does. May take
     * denormals as zero. NMSE of acc and of a row's l <= 1e-6: p may be rounded to the other side of a near tie. */
    void (*attn_block)(const wd_attn_block *b);
} wd_kern;

/* isa: WD_ISA_* bits that CPU, operating system and the user's mask all allow. */
void wd_kern_init(wd_kern *k, uint32_t isa);

void wd_kern_init_ref(wd_kern *k);
void wd_kern_init_avx2(wd_kern *k);
void wd_kern_init_avx512(wd_kern *k);
void wd_kern_init_avx512vnni(wd_kern *k);
void wd_kern_init_avx512bf16(wd_kern *k);
void wd_kern_init_amx(wd_kern *k);

#endif
