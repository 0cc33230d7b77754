/* AVX2: multiply-adds in f32, and reading. */
#include <immintrin.h>

#include "base/compiler.h"
#include "tensor/cpu/peak.h"

double wd_peak__avx2_f32(uint64_t rounds)
{
    const __m256 a = _mm256_set1_ps(WD_PEAK_A), b = _mm256_set1_ps(WD_PEAK_B);
    __m256 acc[WD_PEAK_ACC_AVX2];
    WD_UNROLL
    for (int i = 0; i < WD_PEAK_ACC_AVX2; i++)
        acc[i] = _mm256_set1_ps((float)(i + 1));
    for (uint64_t r = 0; r < rounds; r++) {
        WD_UNROLL
        for (int i = 0; i < WD_PEAK_ACC_AVX2; i++)
            acc[i] = _mm256_fmadd_ps(acc[i], a, b);
    }
    double sum = 0;
    WD_UNROLL
    for (int i = 0; i < WD_PEAK_ACC_AVX2; i++) {
        float lane[8];
        _mm256_storeu_ps(lane, acc[i]);
        for (int k = 0; k < 8; k++)
            sum += (double)lane[k];
    }
    return sum;
}

uint64_t wd_read__avx2(const void *p, size_t n, size_t ahead)
{
    enum { N = 8 }; /* half a step; registers would not hold the whole one */
    const char *at = p, *end = at + n;
    __m256i acc[N];
    WD_UNROLL
    for (int i = 0; i < N; i++)
        acc[i] = _mm256_setzero_si256();
    for (; at < end; at += N * sizeof acc[0]) {
        if (ahead) {
            WD_UNROLL
            for (size_t i = 0; i < N / 2; i++)
                WD_PREFETCH((const void *)((uintptr_t)at + ahead + 64 * i));
        }
        WD_UNROLL
        for (int i = 0; i < N; i++)
            acc[i] = _mm256_xor_si256(acc[i], _mm256_load_si256((const __m256i *)(const void *)at + i));
    }
    uint64_t word[4], x = 0;
    WD_UNROLL
    for (int i = 1; i < N; i++)
        acc[0] = _mm256_xor_si256(acc[0], acc[i]);
    _mm256_storeu_si256((__m256i *)(void *)word, acc[0]);
    for (int i = 0; i < 4; i++)
        x ^= word[i];
    return x;
}
