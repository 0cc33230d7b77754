/* The reference fills every slot. */
#include "tensor/cpu/ref/ref.h"

void wd_kern_init_ref(wd_kern *k)
{
    wd_kern__ref_matmul(k);
    wd_kern__ref_convert(k);
    wd_kern__ref_quant(k);
    wd_kern__ref_rows(k);
    wd_kern__ref_attn(k);
}
