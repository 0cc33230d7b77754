/* Chooses the kernels: each later instruction set replaces only the slots where it has beaten the earlier one. */
#include "tensor/cpu/kern.h"

#include "base/compiler.h"
#include "tensor/ops.h"

void wd_kern_init(wd_kern *k, uint32_t isa)
{
    (void)isa; /* unused off x86-64 */
    wd_kern_init_ref(k);
#if WD_ARCH_X86_64
    if (isa & WD_ISA_AVX2)
        wd_kern_init_avx2(k);
    if (isa & WD_ISA_AVX512)
        wd_kern_init_avx512(k);
    if (isa & WD_ISA_AVX512_VNNI)
        wd_kern_init_avx512vnni(k);
    if (isa & WD_ISA_AVX512_BF16)
        wd_kern_init_avx512bf16(k);
    if (isa & WD_ISA_AMX)
        wd_kern_init_amx(k);
#endif
}
