/* The parts that wd_kern_init_amx puts together. */
#ifndef WD_TENSOR_CPU_AMX_AMX_H
#define WD_TENSOR_CPU_AMX_AMX_H

#include "tensor/cpu/kern.h"

void wd_kern__amx_attn(wd_kern *k);

#endif
