/* The slots that AVX2 with FMA and F16C wins. */
#include "tensor/cpu/avx2/vec.h"

void wd_kern_init_avx2(wd_kern *k)
{
    wd_kern__avx2_matmul(k);
    wd_kern__avx2_convert(k);
    wd_kern__avx2_quant(k);
    wd_kern__avx2_rows(k);
}
