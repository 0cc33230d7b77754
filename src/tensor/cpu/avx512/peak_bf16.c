/* AVX-512-BF16: multiply-adds of pairs, summed in f32 (VDPBF16PS). */
#include <immintrin.h>
#include <string.h>

#include "base/compiler.h"
#include "tensor/cpu/peak.h"
#include "tensor/dtype.h"

/* Sixteen times the same two numbers. */
static __m512bh pairs(float even, float odd)
{
    const __m512i v = _mm512_set1_epi32((int)((uint32_t)wd_f32_to_bf16(odd) << 16 | wd_f32_to_bf16(even)));
    __m512bh out;
    memcpy(&out, &v, sizeof out);
    return out;
}

double wd_peak__avx512_bf16(uint64_t rounds)
{
    const __m512bh x = pairs(0.5f, 0.25f), y = pairs(3.0f, 2.0f);
    __m512 acc[WD_PEAK_ACC_AVX512];
    WD_UNROLL
    for (int i = 0; i < WD_PEAK_ACC_AVX512; i++)
        acc[i] = _mm512_set1_ps((float)(i + 1));
    for (uint64_t r = 0; r < rounds; r++) {
        WD_UNROLL
        for (int i = 0; i < WD_PEAK_ACC_AVX512; i++)
            acc[i] = _mm512_dpbf16_ps(acc[i], x, y);
    }
    double sum = 0;
    WD_UNROLL
    for (int i = 0; i < WD_PEAK_ACC_AVX512; i++) {
        float lane[16];
        _mm512_storeu_ps(lane, acc[i]);
        for (int k = 0; k < 16; k++)
            sum += (double)lane[k];
    }
    return sum;
}
