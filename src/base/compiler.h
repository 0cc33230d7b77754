/* Compiler extensions, each named once; no other header uses a GNU attribute or builtin. */
#ifndef WD_BASE_COMPILER_H
#define WD_BASE_COMPILER_H

#include <stddef.h>

#if defined(__has_feature)
#define WD_SANITIZED \
    (__has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WD_SANITIZED 1
#else
#define WD_SANITIZED 0
#endif

#define WD_MUST_CHECK __attribute__((warn_unused_result))
#define WD_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define WD_NORETURN __attribute__((noreturn))
#define WD_UNUSED __attribute__((unused))
#define WD_ALIGNED(n) __attribute__((aligned(n)))
#define WD_LIKELY(x) __builtin_expect(!!(x), 1)
#define WD_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define WD_PREFETCH(p) __builtin_prefetch(p)
/* No nearer than the second-level cache; p may be an integer, because it may be past the end of what there is. */
#define WD_PREFETCH_L2(p) __builtin_prefetch((const void *)(p), 0, 2)
/* The compiler keeps every store before it and every load after it. */
#define WD_BARRIER() __asm__ volatile("" ::: "memory")
/* For kernels whose tile sizes are arguments that must become constants. */
#define WD_ALWAYS_INLINE inline __attribute__((always_inline))
/* For the largest of these, of which a kernel holds dozens with different sizes, and before their loops of at most 32
 * rounds: all of it, so that arrays can live in registers. The checks that sanitizers add to every copy would keep the
 * compiler busy for minutes: in their builds it is one function, and sizes are what they look like. */
#if WD_SANITIZED
#define WD_TILE
#define WD_UNROLL
#elif defined(__clang__)
#define WD_TILE WD_ALWAYS_INLINE
#define WD_UNROLL _Pragma("unroll")
#else
#define WD_TILE WD_ALWAYS_INLINE
#define WD_UNROLL _Pragma("GCC unroll 32")
#endif
#define WD_CTZ(x) ((unsigned)__builtin_ctz(x)) /* trailing zero bits; x is not 0 */

/* Compiles a function for several instruction sets, the best one chosen when the program is loaded. For plain
 * integer loops whose result is the same on each; floating-point kernels live in tensor/cpu. Sanitizers run
 * before the choice can be made, so their builds have the plain version only. */
#if defined(__x86_64__) && !WD_SANITIZED
#define WD_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WD_CLONES
#endif

#define WD_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define WD_MIN(a, b) ((a) < (b) ? (a) : (b))
#define WD_MAX(a, b) ((a) > (b) ? (a) : (b))

#if defined(__x86_64__)
#define WD_ARCH_X86_64 1
#else
#define WD_ARCH_X86_64 0
#endif

#endif
