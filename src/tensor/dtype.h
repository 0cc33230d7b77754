/* Element types and the scalar conversions between them (the reference: kernels must agree bit for bit). */
#ifndef WD_TENSOR_DTYPE_H
#define WD_TENSOR_DTYPE_H

#include <stddef.h>
#include <stdint.h>

typedef enum wd_dtype {
    WD_DTYPE_F32,
    WD_DTYPE_F16,
    WD_DTYPE_BF16,
    WD_DTYPE_F8_E4M3, /* finite only: no infinities, 0x7F and 0xFF are NaN, largest 448 */
    WD_DTYPE_I32,
    WD_DTYPE_I64,
    WD_DTYPE_U8,
    WD_DTYPE_STORED, /* how many a safetensors file may name */
    /* Matrices in groups with scales, in the layout of tensor/quant.h; elements have no place of their own. */
    WD_DTYPE_W8 = WD_DTYPE_STORED,
    WD_DTYPE_W4,
    /* Keys and values in a byte per element, with an f32 scale per head and token (wd_ops.kv_store). */
    WD_DTYPE_KV8,
    WD_DTYPE_COUNT
} wd_dtype;

typedef uint16_t wd_bf16;
typedef uint16_t wd_f16;
typedef uint8_t wd_f8;

size_t wd_dtype_bytes(wd_dtype t);     /* of one element; not of W8, W4 and KV8 */
const char *wd_dtype_name(wd_dtype t); /* as safetensors spells it: "BF16"; "W8", "W4", "KV8" */
/* Of the keys, or the values, of n tokens of one head in a page of F32, BF16 or KV8. */
size_t wd_kv_head_bytes(wd_dtype t, size_t n, size_t head_dim);

float wd_bf16_to_f32(wd_bf16 v);
wd_bf16 wd_f32_to_bf16(float v); /* round to nearest even; NaN stays a quiet NaN */
float wd_f16_to_f32(wd_f16 v);
wd_f16 wd_f32_to_f16(float v); /* round to nearest even, overflow to infinity */
float wd_f8_to_f32(wd_f8 v);

#endif
