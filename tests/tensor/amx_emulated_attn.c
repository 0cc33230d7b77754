/* The source of the AMX attention with the tile intrinsics replaced. */
#include "amx_replace.h"

#include "tensor/cpu/amx/attn.c"
