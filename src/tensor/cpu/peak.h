/* The loops that limits.c times: nothing but multiply-adds on registers, nothing but reads.
 *
 * A peak loop runs `rounds` rounds and returns the sum of all lanes of its accumulators, so that a test can hold it to
 * having done its work. Every lane of register i begins as i + 1 (equal sums could become one), of a tile as 0; a round
 * makes of it
 *   f32    acc * WD_PEAK_A + WD_PEAK_B, rounded once
 *   bf16   acc + WD_PEAK_BF16_SUM: a pair of products; sixteen such pairs in a tile
 *   int8   acc + WD_PEAK_INT8_SUM: four products; sixteen such fours in a tile
 */
#ifndef WD_TENSOR_CPU_PEAK_H
#define WD_TENSOR_CPU_PEAK_H

#include <stddef.h>
#include <stdint.h>

#define WD_PEAK_A (-0.9375f)
#define WD_PEAK_B 0.8125f
/* int8: u is 1, 2, 3, 4 and s is 5, -6, 7, -8 over and over; a lane's four products add up so: */
#define WD_PEAK_INT8_SUM (1 * 5 + 2 * -6 + 3 * 7 + 4 * -8)
/* bf16: a pair of x is 0.5, 0.25, a pair of y is 3, 2. */
#define WD_PEAK_BF16_SUM (0.5 * 3 + 0.25 * 2)

enum {
    WD_PEAK_ACC_AVX2 = 12,   /* of 16 registers; 8 cover the latency of two units */
    WD_PEAK_ACC_AVX512 = 24, /* of 32 */
    WD_PEAK_ACC_AMX = 4,     /* of 8 tiles */
    WD_PEAK_READ_STEP = 512  /* bytes that a reading loop takes per round */
};

typedef double (*wd_peak_fn)(uint64_t rounds);
double wd_peak__avx2_f32(uint64_t rounds);
double wd_peak__avx512_f32(uint64_t rounds);
double wd_peak__avx512_bf16(uint64_t rounds);
double wd_peak__avx512_int8(uint64_t rounds);
double wd_peak__amx_bf16(uint64_t rounds);
double wd_peak__amx_int8(uint64_t rounds);

/* Reads n bytes, a multiple of WD_PEAK_READ_STEP, in order; asks for what lies `ahead` bytes further on (0: does not), also
 * past the end. p is aligned to 64 bytes. Returns the exclusive or of all 64-bit words. */
typedef uint64_t (*wd_read_fn)(const void *p, size_t n, size_t ahead);
uint64_t wd_read__ref(const void *p, size_t n, size_t ahead);
uint64_t wd_read__avx2(const void *p, size_t n, size_t ahead);
uint64_t wd_read__avx512(const void *p, size_t n, size_t ahead);

#endif
