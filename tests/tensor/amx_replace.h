/* Puts the functions of amx_emulated.h in the place of the tile intrinsics, for a file that includes an AMX kernel. */
#ifndef WD_TESTS_TENSOR_AMX_REPLACE_H
#define WD_TESTS_TENSOR_AMX_REPLACE_H

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
#define wd_kern_init_amx wd_kern_init_amx_emulated
#define wd_kern__amx_quant wd_kern__amx_quant_emulated
#define wd_kern__amx_attn wd_kern__amx_attn_emulated

#endif
