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

/* Rows stay rows. */
static void dot_pack(wd_bf16 *to, size_t stride, const float *x, size_t x_stride, const uint32_t *row,
                     size_t n, size_t n_in)
{
    for (size_t i = 0; i < n; i++, to += stride) {
        const float *from = x + (row ? row[i] : i) * x_stride;
        size_t k = 0;
        for (; k + 16 <= n_in; k += 16)
            _mm256_storeu_si256((__m256i *)(void *)(to + k), to_bf16(_mm512_loadu_ps(from + k)));
        const __mmask16 mask = first_lanes(n_in - k);
        if (mask)
            _mm256_mask_storeu_epi16(to + k, mask, to_bf16(_mm512_maskz_loadu_ps(mask, from + k)));
    }
}

void wd_kern_init_avx512bf16(wd_kern *k)
{
    k->dot_bf16_bf16 = dot_bf16_bf16;
    k->dot_by_chunk = true;
    k->dot_pack = dot_pack;
    k->mul_bf16_bf16 = mul_bf16_bf16;
    wd_kern__avx512bf16_attn(k);
}
