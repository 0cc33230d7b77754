/* The parts that wd_kern_init_ref puts together. */
#ifndef WD_TENSOR_CPU_REF_REF_H
#define WD_TENSOR_CPU_REF_REF_H

#include "tensor/cpu/kern.h"

void wd_kern__ref_matmul(wd_kern *k);
void wd_kern__ref_convert(wd_kern *k);
void wd_kern__ref_quant(wd_kern *k);
void wd_kern__ref_rows(wd_kern *k);
void wd_kern__ref_attn(wd_kern *k);

#endif
