/* AVX-512: activations in groups of 8 bits. The products need VNNI, see matmul_vnni.c. */
#include "tensor/cpu/avx512/vec.h"

#include <math.h>

static void quantise(int8_t *q, wd_qgroup *xg, const float *x, size_t n_in, size_t group)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
    for (size_t k0 = 0; k0 < n_in; k0 += group, xg++, q += group, x += group) {
        __m512i max = _mm512_setzero_si512(), sum = max;
        for (size_t k = 0; k < group; k += 16)
            max = _mm512_max_epu32(max, _mm512_and_si512(_mm512_loadu_si512(x + k), magnitude));
        const uint32_t bits = _mm512_reduce_max_epu32(max); /* above any number's where one is NaN */
        float a;
        memcpy(&a, &bits, sizeof a);
        *xg = (wd_qgroup){ .scale = 0 };
        if (!(a >= 0x1p-100f) || bits >= 0x7F800000u) {
            if (bits >= 0x7F800000u)
                xg->scale = xg->sum = NAN;
            memset(q, 0, group);
            continue;
        }
        const __m512 inv = _mm512_set1_ps(127 / a);
        for (size_t k = 0; k < group; k += 16) {
            const __m512i v = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + k), inv));
            sum = _mm512_add_epi32(sum, v);
            _mm_storeu_si128((__m128i *)(void *)(q + k), _mm512_cvtepi32_epi8(v));
        }
        const int32_t s = _mm512_reduce_add_epi32(sum);
        xg->scale = a / 127;
        xg->sum = xg->scale * (float)s;
        xg->shift = -128 * s;
    }
}

void wd_kern__avx512_quant(wd_kern *k)
{
    k->quantise = quantise;
}
