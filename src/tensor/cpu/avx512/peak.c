/* AVX-512: multiply-adds in f32, and reading. */
#include <immintrin.h>

#include "base/compiler.h"
#include "tensor/cpu/peak.h"

double wd_peak__avx512_f32(uint64_t rounds)
{
    const __m512 a = _mm512_set1_ps(WD_PEAK_A), b = _mm512_set1_ps(WD_PEAK_B);
    __m512 acc[WD_PEAK_ACC_AVX512];
    WD_UNROLL
    for (int i = 0; i < WD_PEAK_ACC_AVX512; i++)
        acc[i] = _mm512_set1_ps((float)(i + 1));
    for (uint64_t r = 0; r < rounds; r++) {
        WD_UNROLL
        for (int i = 0; i < WD_PEAK_ACC_AVX512; i++)
            acc[i] = _mm512_fmadd_ps(acc[i], a, b);
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

uint64_t wd_read__avx512(const void *p, size_t n, size_t ahead)
{
    enum { N = WD_PEAK_READ_STEP / 64 };
    const char *at = p, *end = at + n;
    __m512i acc[N];
    WD_UNROLL
    for (int i = 0; i < N; i++)
        acc[i] = _mm512_setzero_si512();
    for (; at < end; at += N * sizeof acc[0]) {
        if (ahead) {
            WD_UNROLL
            for (size_t i = 0; i < N; i++)
                WD_PREFETCH((const void *)((uintptr_t)at + ahead + 64 * i));
        }
        WD_UNROLL
        for (int i = 0; i < N; i++)
            acc[i] = _mm512_xor_si512(acc[i], _mm512_load_si512(at + 64 * i));
    }
    uint64_t word[8], x = 0;
    WD_UNROLL
    for (int i = 1; i < N; i++)
        acc[0] = _mm512_xor_si512(acc[0], acc[i]);
    _mm512_storeu_si512(word, acc[0]);
    for (int i = 0; i < 8; i++)
        x ^= word[i];
    return x;
}
