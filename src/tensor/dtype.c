/* Scalar conversions between element types: the specification that every kernel matches bit for bit. */
#include "tensor/dtype.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static uint32_t bits_of(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float v;
    memcpy(&v, &u, sizeof v);
    return v;
}

size_t wd_dtype_bytes(wd_dtype t)
{
    static const size_t bytes[WD_DTYPE_STORED] = { 4, 2, 2, 1, 4, 8, 1 };
    assert(t < WD_DTYPE_STORED);
    return bytes[t];
}

const char *wd_dtype_name(wd_dtype t)
{
    static const char *const name[WD_DTYPE_COUNT] = { "F32", "F16", "BF16", "F8_E4M3", "I32",
                                                      "I64", "U8",  "W8",   "W4",      "KV8" };
    assert(t < WD_DTYPE_COUNT);
    return name[t];
}

size_t wd_kv_head_bytes(wd_dtype t, size_t n, size_t head_dim)
{
    return t == WD_DTYPE_KV8 ? n * (head_dim + sizeof(float)) : n * head_dim * wd_dtype_bytes(t);
}

float wd_bf16_to_f32(wd_bf16 v)
{
    return float_of((uint32_t)v << 16);
}

wd_bf16 wd_f32_to_bf16(float v)
{
    const uint32_t u = bits_of(v);
    if ((u & 0x7FFFFFFFu) > 0x7F800000u)
        return (wd_bf16)((u >> 16) | 0x40u); /* rounding could carry a NaN into infinity */
    return (wd_bf16)((u + 0x7FFFu + ((u >> 16) & 1u)) >> 16);
}

float wd_f16_to_f32(wd_f16 v)
{
    const uint32_t sign = (uint32_t)(v & 0x8000u) << 16;
    const uint32_t exponent = (v >> 10) & 31u, fraction = v & 1023u;
    if (exponent == 31)
        return float_of(sign | 0x7F800000u | fraction << 13 | (fraction ? 0x400000u : 0)); /* NaN: quiet */
    if (exponent == 0) {
        const float magnitude = ldexpf((float)fraction, -24);
        return float_of(sign | bits_of(magnitude));
    }
    return float_of(sign | (exponent + 112) << 23 | fraction << 13);
}

wd_f16 wd_f32_to_f16(float v)
{
    const uint32_t u = bits_of(v), magnitude = u & 0x7FFFFFFFu;
    const uint32_t sign = (u >> 16) & 0x8000u;
    if (magnitude > 0x7F800000u)
        return (wd_f16)(sign | 0x7E00u | ((magnitude >> 13) & 0x3FFu));
    if (magnitude >= 0x477FF000u) /* 65520, half-way past the largest: rounds to infinity */
        return (wd_f16)(sign | 0x7C00u);
    if (magnitude < 0x38800000u) { /* below 2^-14: a multiple of 2^-24 */
        const double units = ldexp((double)float_of(magnitude), 24);
        return (wd_f16)(sign | (uint32_t)nearbyint(units)); /* exact in double; ties to even */
    }
    const uint32_t rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u);
    return (wd_f16)(sign | ((rounded - 0x38000000u) >> 13));
}

float wd_f8_to_f32(wd_f8 v)
{
    const uint32_t sign = (uint32_t)(v & 0x80u) << 24;
    const uint32_t exponent = (v >> 3) & 15u, fraction = v & 7u;
    if (exponent == 15 && fraction == 7)
        return float_of(sign | 0x7FC00000u);
    if (exponent == 0) {
        const float magnitude = ldexpf((float)fraction, -9);
        return float_of(sign | bits_of(magnitude));
    }
    return float_of(sign | (exponent + 120) << 23 | fraction << 20);
}
