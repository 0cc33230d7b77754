/* AMX tiles in C, by the Intel SDM (volume 2: LDTILECFG, TILELOADD, TILESTORED, TILEZERO, TDPBF16PS, TDPBSUD). Whatever would
 * raise #UD or #GP on a machine stops the test. */
#ifndef WD_TESTS_TENSOR_AMX_EMULATED_H
#define WD_TESTS_TENSOR_AMX_EMULATED_H

#include <stddef.h>

#include "tensor/cpu/kern.h"

void amx_loadconfig(const void *config);
void amx_release(void);
void amx_zero(int tile);
void amx_load(int tile, const void *base, size_t stride);
void amx_store(int tile, void *base, size_t stride);
void amx_dpbf16ps(int c, int a, int b);
void amx_dpbsud(int c, int a, int b);

/* The slots of cpu/amx, compiled onto the functions above. Needs AVX-512 with VNNI and bf16. */
void wd_kern_init_amx_emulated(wd_kern *k);

/* The loops of cpu/amx/peak.c, likewise. */
double wd_peak__amx_bf16_emulated(uint64_t rounds);
double wd_peak__amx_int8_emulated(uint64_t rounds);

#endif
