/* The source of the AMX matrix products with the tile intrinsics replaced. */
#include "amx_replace.h"

#include "tensor/cpu/amx/matmul.c"
#include "tensor/cpu/amx/quant.c"
