/* Chooses the kernels: each later instruction set replaces only the slots where it has beaten the earlier
 * one. */
#include "tensor/cpu/kern.h"

#include "base/compiler.h"
#include "tensor/ops.h"

void wd_kern_init(wd_kern *k, uint32_t isa)
{
    (void)isa; /* unused off x86-64 */
    wd_kern_init_ref(k);
}
