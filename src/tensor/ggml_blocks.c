/* Block formats, plain: this is the specification, and what is decoded once when a model is opened. */
#include "tensor/ggml_blocks.h"

#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "tensor/dtype.h"

#define N32 32   /* values of a small block */
#define N256 256 /* values of a large one */

typedef void decode_fn(const uint8_t *block, float *dst);

static float f16_at(const uint8_t *p)
{
    return wd_f16_to_f32(wd_le16(p));
}

static void decode_f32(const uint8_t *b, float *dst)
{
    const uint32_t bits = wd_le32(b);
    memcpy(dst, &bits, sizeof bits);
}

static void decode_f16(const uint8_t *b, float *dst)
{
    *dst = f16_at(b);
}

static void decode_bf16(const uint8_t *b, float *dst)
{
    *dst = wd_bf16_to_f32(wd_le16(b));
}

static void decode_q8_0(const uint8_t *b, float *dst)
{
    const float d = f16_at(b);
    for (size_t i = 0; i < N32; i++)
        dst[i] = d * (float)(int8_t)b[2 + i];
}

/* The value of a small block at i: low halves of the bytes first, then the high ones. */
static unsigned nibble(const uint8_t *q, size_t i)
{
    return i < N32 / 2 ? q[i] & 15u : q[i - N32 / 2] >> 4;
}

/* The same with a fifth bit from a word of 32. */
static unsigned five_bits(const uint8_t *q, uint32_t high, size_t i)
{
    return nibble(q, i) | ((high >> i) & 1u) << 4;
}

static void decode_q4_0(const uint8_t *b, float *dst)
{
    const float d = f16_at(b);
    for (size_t i = 0; i < N32; i++)
        dst[i] = d * (float)((int)nibble(b + 2, i) - 8);
}

static void decode_q4_1(const uint8_t *b, float *dst)
{
    const float d = f16_at(b), m = f16_at(b + 2);
    for (size_t i = 0; i < N32; i++)
        dst[i] = d * (float)nibble(b + 4, i) + m;
}

static void decode_q5_0(const uint8_t *b, float *dst)
{
    const float d = f16_at(b);
    const uint32_t high = wd_le32(b + 2);
    for (size_t i = 0; i < N32; i++)
        dst[i] = d * (float)((int)five_bits(b + 6, high, i) - 16);
}

static void decode_q5_1(const uint8_t *b, float *dst)
{
    const float d = f16_at(b), m = f16_at(b + 2);
    const uint32_t high = wd_le32(b + 4);
    for (size_t i = 0; i < N32; i++)
        dst[i] = d * (float)five_bits(b + 8, high, i) + m;
}

/* The values of IQ4_NL: denser around zero, as weights are. */
static const int8_t level[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };

static void decode_iq4_nl(const uint8_t *b, float *dst)
{
    const float d = f16_at(b);
    for (size_t i = 0; i < N32; i++)
        dst[i] = d * (float)level[nibble(b + 2, i)];
}

/* Scale and minimum of group g of 8. Twelve bytes: the low six bits of the first four are the scales of groups 0 to 3,
 * those of the next four their minima; groups 4 to 7 have their low four bits in the last four bytes (scale below,
 * minimum above) and their upper two in the top of the bytes of the four groups before. */
static void k_scale(const uint8_t *s, unsigned g, unsigned *scale, unsigned *min)
{
    if (g < 4) {
        *scale = s[g] & 63u;
        *min = s[g + 4] & 63u;
        return;
    }
    *scale = (s[g + 4] & 15u) | (unsigned)(s[g - 4] >> 6) << 4;
    *min = (unsigned)(s[g + 4] >> 4) | (unsigned)(s[g] >> 6) << 4;
}

/* Value i of group g. Two neighbours share 32 bytes, the first in the low halves. high NULL: four bits. */
static unsigned k_value(const uint8_t *high, const uint8_t *q, unsigned g, size_t i)
{
    const uint8_t from = q[(size_t)(g / 2) * 32 + i];
    const unsigned v = g % 2 ? from >> 4 : from & 15u;
    return high ? v | ((high[i] >> g) & 1u) << 4 : v;
}

static void decode_k(const uint8_t *b, const uint8_t *high, const uint8_t *q, float *dst)
{
    const float d = f16_at(b), e = f16_at(b + 2);
    for (unsigned g = 0; g < 8; g++) {
        unsigned scale, min;
        k_scale(b + 4, g, &scale, &min);
        const float ds = d * (float)scale, em = e * (float)min;
        for (size_t i = 0; i < 32; i++)
            dst[g * 32 + i] = ds * (float)k_value(high, q, g, i) - em;
    }
}

static void decode_q4_k(const uint8_t *b, float *dst)
{
    decode_k(b, NULL, b + 16, dst);
}

static void decode_q5_k(const uint8_t *b, float *dst)
{
    decode_k(b, b + 16, b + 48, dst);
}

/* Two halves of 128 values. In each: 64 bytes of low bits, whose lower halves are the first 64 values, and 32 bytes of
 * high bits, two for each of the values i, i + 32, i + 64 and i + 96. */
static void decode_q6_k(const uint8_t *b, float *dst)
{
    const uint8_t *scale = b + 192;
    const float d = f16_at(b + 208);
    for (size_t i = 0; i < N256; i++) {
        const size_t half = i / 128, j = i % 128;
        const uint8_t low = b[half * 64 + j % 64], high = b[128 + half * 32 + j % 32];
        const unsigned q = (j < 64 ? low & 15u : low >> 4) | ((high >> (j / 32 * 2)) & 3u) << 4;
        dst[i] = d * (float)(int8_t)scale[i / 16] * (float)((int)q - 32);
    }
}

/* By number; those without a decoder are named so that a message can say what was found. */
static const struct format {
    const char *name;
    uint16_t len, bytes;
    decode_fn *decode;
} formats[] = {
    [0] = { "F32", 1, 4, decode_f32 },
    [1] = { "F16", 1, 2, decode_f16 },
    [2] = { "Q4_0", N32, 18, decode_q4_0 },
    [3] = { "Q4_1", N32, 20, decode_q4_1 },
    [6] = { "Q5_0", N32, 22, decode_q5_0 },
    [7] = { "Q5_1", N32, 24, decode_q5_1 },
    [8] = { "Q8_0", N32, 34, decode_q8_0 },
    [9] = { .name = "Q8_1" },
    [10] = { .name = "Q2_K" },
    [11] = { .name = "Q3_K" },
    [12] = { "Q4_K", N256, 144, decode_q4_k },
    [13] = { "Q5_K", N256, 176, decode_q5_k },
    [14] = { "Q6_K", N256, 210, decode_q6_k },
    [15] = { .name = "Q8_K" },
    [16] = { .name = "IQ2_XXS" },
    [17] = { .name = "IQ2_XS" },
    [18] = { .name = "IQ3_XXS" },
    [19] = { .name = "IQ1_S" },
    [20] = { "IQ4_NL", N32, 18, decode_iq4_nl },
    [21] = { .name = "IQ3_S" },
    [22] = { .name = "IQ2_S" },
    [23] = { .name = "IQ4_XS" },
    [24] = { .name = "I8" },
    [25] = { .name = "I16" },
    [26] = { .name = "I32" },
    [27] = { .name = "I64" },
    [28] = { .name = "F64" },
    [29] = { .name = "IQ1_M" },
    [30] = { "BF16", 1, 2, decode_bf16 },
    [34] = { .name = "TQ1_0" },
    [35] = { .name = "TQ2_0" },
    [39] = { .name = "MXFP4" },
    [40] = { .name = "NVFP4" },
};

bool wd_ggml_can_decode(uint32_t type)
{
    return type < WD_COUNT(formats) && formats[type].decode;
}

const char *wd_ggml_name(uint32_t type)
{
    return type < WD_COUNT(formats) ? formats[type].name : NULL;
}

size_t wd_ggml_block_len(wd_ggml_type t)
{
    assert(wd_ggml_can_decode(t));
    return formats[t].len;
}

size_t wd_ggml_block_bytes(wd_ggml_type t)
{
    assert(wd_ggml_can_decode(t));
    return formats[t].bytes;
}

void wd_ggml_to_f32(wd_ggml_type t, const void *src, float *dst, size_t n)
{
    assert(wd_ggml_can_decode(t) && n % formats[t].len == 0);
    const struct format *f = &formats[t];
    const uint8_t *block = src;
    for (size_t i = 0; i < n; i += f->len, block += f->bytes)
        f->decode(block, dst + i);
}

/* A group of Q4_K or Q5_K. */
static void k_group(const uint8_t *b, const uint8_t *high, const uint8_t *q, unsigned g, wd_ggml_group *out)
{
    unsigned scale, min;
    k_scale(b + 4, g, &scale, &min);
    out->step = f16_at(b) * (float)scale;
    out->min = -(f16_at(b + 2) * (float)min);
    for (size_t i = 0; i < WD_GGML_GROUP; i++)
        out->q[i] = (int8_t)k_value(high, q, g, i);
}

bool wd_ggml_group_at(wd_ggml_type t, const void *src, size_t g, wd_ggml_group *out)
{
    assert(wd_ggml_can_decode(t));
    if (formats[t].len == 1 || t == WD_GGML_Q6_K)
        return false;
    const size_t per = formats[t].len / WD_GGML_GROUP;
    const uint8_t *b = (const uint8_t *)src + g / per * formats[t].bytes;
    *out = (wd_ggml_group){ .step = f16_at(b), .step_f16 = wd_le16(b) };
    if (t == WD_GGML_Q4_K) {
        k_group(b, NULL, b + 16, (unsigned)(g % per), out);
        return true;
    }
    if (t == WD_GGML_Q5_K) {
        k_group(b, b + 16, b + 48, (unsigned)(g % per), out);
        return true;
    }
    out->min = t == WD_GGML_Q4_0                        ? -8 * out->step
               : t == WD_GGML_Q4_1 || t == WD_GGML_Q5_1 ? f16_at(b + 2)
                                                        : 0;
    for (size_t i = 0; i < WD_GGML_GROUP; i++)
        out->q[i] = (int8_t)(t == WD_GGML_Q8_0     ? b[2 + i]
                             : t == WD_GGML_Q5_0   ? (int)five_bits(b + 6, wd_le32(b + 2), i) - 16
                             : t == WD_GGML_Q5_1   ? (int)five_bits(b + 8, wd_le32(b + 4), i)
                             : t == WD_GGML_IQ4_NL ? level[nibble(b + 2, i)]
                                                   : (int)nibble(b + (t == WD_GGML_Q4_1 ? 4 : 2), i));
    return true;
}
