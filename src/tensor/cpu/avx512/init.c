/* The slots that AVX-512 (F, BW, DQ, VL) wins. */
#include "tensor/cpu/avx512/vec.h"

void wd_kern_init_avx512(wd_kern *k)
{
    wd_kern__avx512_matmul(k);
    wd_kern__avx512_convert(k);
    wd_kern__avx512_quant(k);
    wd_kern__avx512_rows(k);
}
