/* Which instruction sets may be used: what CPUID says, what the operating system saves (XGETBV), and for AMX
 * Linux's permission to use tiles. */
#include <stdatomic.h>
#include <string.h>

#include "base/compiler.h"
#include "tensor/ops.h"

#if WD_ARCH_X86_64
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* asm/prctl.h and the kernel's documentation x86/xstate: ask once for the tile data component. */
#define ARCH_REQ_XCOMP_PERM 0x1023
#define XFEATURE_XTILEDATA 18

#define XCR0_SSE_AVX 0x6u
#define XCR0_AVX512 0xE0u /* opmask, upper halves of 0..15, registers 16..31 */
#define XCR0_AMX 0x60000u /* tile configuration, tile data */

static uint64_t saved_state(void)
{
    uint32_t low, high;
    /* XGETBV: the intrinsic would need -mxsave for this file. */
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool has(uint32_t reg, unsigned bit)
{
    return reg >> bit & 1u;
}

static uint32_t detect(void)
{
    uint32_t a, b, c, d, c1, isa = 0;
    if (!__get_cpuid(1, &a, &b, &c1, &d) || !has(c1, 27)) /* OSXSAVE: XGETBV exists */
        return 0;
    const uint64_t saved = saved_state();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (saved & XCR0_SSE_AVX) != XCR0_SSE_AVX)
        return 0;
    const uint32_t b7 = b, c7 = c, d7 = d;
    if (has(c1, 28) && has(c1, 12) && has(c1, 29) && has(b7, 5)) /* AVX, FMA, F16C, AVX2 */
        isa |= WD_ISA_AVX2;
    const bool f_bw_dq_vl = has(b7, 16) && has(b7, 30) && has(b7, 17) && has(b7, 31);
    if (!(isa & WD_ISA_AVX2) || !f_bw_dq_vl || (saved & XCR0_AVX512) != XCR0_AVX512)
        return isa;
    isa |= WD_ISA_AVX512;
    if (!has(c7, 11))
        return isa;
    isa |= WD_ISA_AVX512_VNNI;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !has(a, 5))
        return isa;
    isa |= WD_ISA_AVX512_BF16;
    if (has(d7, 22) && has(d7, 24) && has(d7, 25) && /* AMX-BF16, AMX-TILE, AMX-INT8 */
        (saved & XCR0_AMX) == XCR0_AMX &&
        syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0)
        isa |= WD_ISA_AMX;
    return isa;
}
#else
static uint32_t detect(void)
{
    return 0;
}
#endif

#define FOUND 0x80000000u /* tells "none" from "not looked yet" */

uint32_t wd_isa_detect(void)
{
    static _Atomic uint32_t found; /* written once; two threads that race here write the same value */
    uint32_t isa = atomic_load_explicit(&found, memory_order_relaxed);
    if (!isa) {
        isa = detect() | FOUND;
        atomic_store_explicit(&found, isa, memory_order_relaxed);
    }
    return isa & ~FOUND;
}

static const struct {
    const char *name;
    uint32_t isa; /* everything up to this level */
} levels[] = {
    { "ref", 0 },
    { "avx2", WD_ISA_AVX2 },
    { "avx512", WD_ISA_AVX2 | WD_ISA_AVX512 },
    { "avx512vnni", WD_ISA_AVX2 | WD_ISA_AVX512 | WD_ISA_AVX512_VNNI },
    { "avx512bf16", WD_ISA_AVX2 | WD_ISA_AVX512 | WD_ISA_AVX512_VNNI | WD_ISA_AVX512_BF16 },
    { "amx", WD_ISA_AVX2 | WD_ISA_AVX512 | WD_ISA_AVX512_VNNI | WD_ISA_AVX512_BF16 | WD_ISA_AMX },
};

wd_status wd_isa_parse(const char *word, uint32_t *isa, wd_err *err)
{
    const uint32_t have = wd_isa_detect();
    if (!word || !strcmp(word, "auto")) {
        *isa = have;
        return WD_OK;
    }
    for (size_t i = 0; i < WD_COUNT(levels); i++) {
        if (strcmp(word, levels[i].name) != 0)
            continue;
        if (levels[i].isa & ~have)
            return WD_FAIL(err, WD_E_UNSUPPORTED, "--isa %s: this machine has no more than %s", word,
                           wd_isa_name(have));
        *isa = levels[i].isa;
        return WD_OK;
    }
    return WD_FAIL(err, WD_E_USAGE,
                   "--isa %.40s: expected auto, ref, avx2, avx512, avx512vnni, avx512bf16 or amx", word);
}

const char *wd_isa_name(uint32_t isa)
{
    size_t best = 0;
    for (size_t i = 0; i < WD_COUNT(levels); i++) {
        if (!(levels[i].isa & ~isa))
            best = i;
    }
    return levels[best].name;
}
