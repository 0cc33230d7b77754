/* AVX512-BF16: both operands bf16, products of pairs added in f32 (VDPBF16PS, denormals taken as zero). */
#include "tensor/cpu/avx512/tile.h"

static void dot_bf16_bf16(const wd_mm *m)
{
    dot_panel(m, VEC_BF16_PAIR);
}

static void mul_bf16_bf16(const wd_mm *m)
{
    mul_panel(m, VEC_BF16_PAIR);
}

void wd_kern_init_avx512bf16(wd_kern *k)
{
    k->dot_bf16_bf16 = dot_bf16_bf16;
    k->mul_bf16_bf16 = mul_bf16_bf16;
}
