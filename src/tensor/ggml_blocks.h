/* The element formats of GGUF files, decoded to f32.
 *
 * A quantised row is a run of blocks; each block holds its values as small integers and what they are multiplied with.
 * Layouts and formulas are those of ggml (ggml-common.h and ggml-quants.c of the llama.cpp project, 2026); the products
 * are taken in its order, one rounding each, so that the values are the same bit for bit.
 *
 *   type     values  bytes   value
 *   Q8_0     32      34      d q             q: i8
 *   Q4_0     32      18      d (q - 8)       q: 4 bits
 *   Q4_1     32      20      d q + m
 *   Q5_0     32      22      d (q - 16)      q: 5 bits
 *   Q5_1     32      24      d q + m
 *   IQ4_NL   32      18      d table[q]      q: 4 bits
 *   Q4_K     256     144     (d s) q - (e m)  per 32 values: s, m of 6 bits
 *   Q5_K     256     176     as Q4_K with q of 5 bits
 *   Q6_K     256     210     (d s) (q - 32)   per 16 values: s of 8 bits
 *
 * d, m and e are f16. F32, F16 and BF16 are blocks of one value.
 */
#ifndef WD_TENSOR_GGML_BLOCKS_H
#define WD_TENSOR_GGML_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers as they stand in files. */
typedef enum wd_ggml_type {
    WD_GGML_F32 = 0,
    WD_GGML_F16 = 1,
    WD_GGML_Q4_0 = 2,
    WD_GGML_Q4_1 = 3,
    WD_GGML_Q5_0 = 6,
    WD_GGML_Q5_1 = 7,
    WD_GGML_Q8_0 = 8,
    WD_GGML_Q4_K = 12,
    WD_GGML_Q5_K = 13,
    WD_GGML_Q6_K = 14,
    WD_GGML_IQ4_NL = 20,
    WD_GGML_BF16 = 30,
} wd_ggml_type;

/* The types above, for messages. */
#define WD_GGML_READS "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K or IQ4_NL"

/* One of the types above? */
bool wd_ggml_can_decode(uint32_t type);
/* "Q4_K"; also of types that are not decoded; NULL for a number without a type. */
const char *wd_ggml_name(uint32_t type);

/* Of a type that can be decoded. */
size_t wd_ggml_block_len(wd_ggml_type t);   /* values: 1, 32 or 256 */
size_t wd_ggml_block_bytes(wd_ggml_type t); /* at most 210 */

/* n values, n a multiple of the block's, from src, at any alignment. NaN and infinite scales give what they give. */
void wd_ggml_to_f32(wd_ggml_type t, const void *src, float *dst, size_t n);

/* 32 values of a quantised type as the file holds them: value = step * q + min, up to the rounding of f32. */
#define WD_GGML_GROUP 32
typedef struct wd_ggml_group {
    float step, min;
    uint16_t step_f16;       /* the same as step, of the types whose blocks are one group */
    int8_t q[WD_GGML_GROUP]; /* Q8_0, Q5_0, IQ4_NL: signed, min is 0; Q4_0, Q4_1, Q5_1, Q4_K, Q5_K: from 0 */
} wd_ggml_group;

/* Group g of the values from src on. False for F32, F16, BF16, and for Q6_K, whose groups have 16 values. */
bool wd_ggml_group_at(wd_ggml_type t, const void *src, size_t g, wd_ggml_group *out);

#endif
