/* Quantised weights in memory: W8 and W4, each group of inputs of an output with a scale of its own.
 *
 *   W8   w = scale * (u - 128)          u a byte (so q = u - 128 is -128 .. 127), scale f16
 *   W4   w = scale * (u - zero / 16)    u 0 .. 15, zero a byte in sixteenths of a step, scale f16
 *
 * A group is 32, 64 or 128 consecutive inputs; n_in is a multiple of it. With groups of 32 a weight takes 1.0625 or
 * 0.594 bytes, with 128 it takes 1.016 or 0.523. What other formats hold fits: Q8_0, Q5_0 and IQ4_NL exactly in W8;
 * Q4_0, GPTQ and AWQ exactly in W4; Q4_1 and the sub-blocks of Q4_K with their minimum rounded to the nearest
 * sixteenth of a step, an error of at most 1/32 of a step beside the 1/2 that four bits have anyway.
 *
 * The layout is the kernels'. Outputs go in stripes of 16 (the last one is filled up), each stripe whole before the
 * next, so that any share of the outputs is one run of memory:
 *
 *   data    W8  [n_stripe][n_in / 4][16][4]  bytes: four inputs of an output side by side, as a lane of VPDPBUSD takes
 *               them; the 16 outputs of a stripe fill a register, and 16 (or 8) such rows are a B tile of TDPBSUD
 *           W4  [n_stripe][n_in / 8][16][4]  the same of two fours at once: inputs 8 p + j in the low halves of byte j
 *               and 8 p + 4 + j in the high ones, so that one load, a mask and a shift give two registers
 *   scale   [n_stripe][n_in / group][16]  f16
 *   zero    [n_stripe][n_in / group][16]  bytes, W4 only
 *
 * Weights are the unsigned operand and activations the signed one, because the instructions want one of each. The
 * offset of 128 costs nothing: a product starts from -128 times the sum of the activations of its group.
 *
 * In a wd_tensor: dtype WD_DTYPE_W8 or WD_DTYPE_W4, dim [n_out][n_in] or [n_expert][n_out][n_in], group, and the three
 * pointers, none of which has to be aligned.
 */
#ifndef WD_TENSOR_QUANT_H
#define WD_TENSOR_QUANT_H

#include <stdbool.h>

#include "base/err.h"
#include "tensor/tensor.h"

#define WD_QUANT_STRIPE 16 /* outputs */
#define WD_QUANT_GROUP_MAX 128

bool wd_quant_is(wd_dtype t);              /* W8 or W4 */
bool wd_quant_group_is_good(size_t group); /* 32, 64 or 128 */

/* A matrix that is being written. */
typedef struct wd_quant {
    wd_dtype dtype;
    size_t n_out, n_in;
    uint32_t group;
    uint8_t *data;
    wd_f16 *scale;
    uint8_t *zero; /* W4 only */
} wd_quant;

/* Bytes of each part. n_in % group == 0; no overflow is looked for: dimensions have been checked against a file. */
typedef struct wd_quant_sizes {
    size_t data, scale, zero;
} wd_quant_sizes;
wd_quant_sizes wd_quant_size(wd_dtype t, size_t n_out, size_t n_in, uint32_t group);
/* Of all three parts one after another, each begun at a multiple of 64 bytes. */
size_t wd_quant_bytes(wd_dtype t, size_t n_out, size_t n_in, uint32_t group);
/* The matrix whose parts lie so in `block`, which is 64-byte aligned and zeroed, and holds wd_quant_bytes. */
wd_quant wd_quant_over(wd_dtype t, size_t n_out, size_t n_in, uint32_t group, void *block);
wd_tensor wd_quant_tensor(const wd_quant *q);

/* ---- packing values that are quantised already ---- */

/* Group g (inputs g * group ..) of an output; q holds `group` values. Different outputs may be written by different
 * threads. q of W8: -128 .. 127; of W4: 0 .. 15. */
void wd_quant_put_w8(const wd_quant *t, size_t out, size_t g, wd_f16 scale, const int8_t *q);
void wd_quant_put_w4(const wd_quant *t, size_t out, size_t g, wd_f16 scale, uint8_t zero, const uint8_t *q);
/* w = step * q + min, as Q4_1 (and, with min <= 0, Q4_K) has it: min becomes the nearest multiple of step / 16. Where
 * that is out of reach (min > 0, or min < -15.94 step) the group's values are quantised again.
 *   WD_E_UNSUPPORTED   step or min are not finite, or too large for f16 */
WD_MUST_CHECK wd_status wd_quant_put_w4_min(const wd_quant *t, size_t out, size_t g, float step, float min,
                                            const uint8_t *q, wd_err *err);

/* ---- quantising ---- */

/* One output from its n_in values. W8: the largest magnitude of a group is 127 steps. W4: the scale and the zero with
 * the smallest squared error that a search over narrowed ranges and least-squares refinements finds. The same bytes on
 * every machine.
 *   WD_E_UNSUPPORTED   a value is not finite, or too large for a scale in f16 */
WD_MUST_CHECK wd_status wd_quant_row(const wd_quant *t, size_t out, const float *x, wd_err *err);

/* ---- reading ---- */

/* Inputs [first, first + n) of an output of a matrix (n_dim 2), as f32; first and n are multiples of 8. Each value is
 * scale * (u - 128), or scale * u - scale * zero / 16 with each product rounded to f32, then the difference. */
void wd_quant_get(const wd_tensor *t, size_t out, size_t first, size_t n, float *y);

#endif
