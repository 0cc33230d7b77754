/* AVX-512 matrix products in f32, weights widened as they are loaded. */
#include "tensor/cpu/avx512/tile.h"

static void dot_f32(const wd_mm *m)
{
    dot_panel(m, VEC_F32);
}

static void dot_f16(const wd_mm *m)
{
    dot_panel(m, VEC_F16);
}

static void dot_bf16(const wd_mm *m)
{
    dot_panel(m, VEC_BF16);
}

static void mul_f32(const wd_mm *m)
{
    mul_panel(m, VEC_F32);
}

static void mul_f16(const wd_mm *m)
{
    mul_panel(m, VEC_F16);
}

static void mul_bf16(const wd_mm *m)
{
    mul_panel(m, VEC_BF16);
}

void wd_kern__avx512_matmul(wd_kern *k)
{
    k->dot_f32 = dot_f32;
    k->dot_f16 = dot_f16;
    k->dot_bf16 = dot_bf16;
    k->mul_f32 = mul_f32;
    k->mul_f16 = mul_f16;
    k->mul_bf16 = mul_bf16;
}
