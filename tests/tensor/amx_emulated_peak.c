/* The source of the AMX peak loops with the tile intrinsics replaced. */
#include "amx_emulated.h"

#include <immintrin.h>

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#undef _tile_dpbsud
#define _tile_loadconfig amx_loadconfig
#define _tile_release amx_release
#define _tile_zero amx_zero
#define _tile_loadd amx_load
#define _tile_stored amx_store
#define _tile_dpbf16ps amx_dpbf16ps
#define _tile_dpbsud amx_dpbsud
#define wd_peak__amx_bf16 wd_peak__amx_bf16_emulated
#define wd_peak__amx_int8 wd_peak__amx_int8_emulated

#include "tensor/cpu/amx/peak.c"
