/* AVX-512-VNNI: multiply-adds of four bytes, summed in 32 bits (VPDPBUSD). */
#include <immintrin.h>

#include "base/compiler.h"
#include "tensor/cpu/peak.h"

double wd_peak__avx512_int8(uint64_t rounds)
{
    const __m512i u = _mm512_set1_epi32(0x04030201);
    const __m512i s = _mm512_set1_epi32((int)(0xF8u << 24 | 0x07u << 16 | 0xFAu << 8 | 0x05u));
    __m512i acc[WD_PEAK_ACC_AVX512];
    WD_UNROLL
    for (int i = 0; i < WD_PEAK_ACC_AVX512; i++)
        acc[i] = _mm512_set1_epi32(i + 1);
    for (uint64_t r = 0; r < rounds; r++) {
        WD_UNROLL
        for (int i = 0; i < WD_PEAK_ACC_AVX512; i++)
            acc[i] = _mm512_dpbusd_epi32(acc[i], u, s);
    }
    double sum = 0;
    WD_UNROLL
    for (int i = 0; i < WD_PEAK_ACC_AVX512; i++) {
        int32_t lane[16];
        _mm512_storeu_si512(lane, acc[i]);
        for (int k = 0; k < 16; k++)
            sum += (double)lane[k];
    }
    return sum;
}
