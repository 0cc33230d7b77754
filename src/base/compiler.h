/* Compiler extensions, each named once; no other header uses a GNU attribute or builtin. */
#ifndef WD_BASE_COMPILER_H
#define WD_BASE_COMPILER_H

#include <stddef.h>

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
/* Before a loop of at most 32 rounds, known at compile time: all of it, so that arrays can live in registers. */
#if defined(__clang__)
#define WD_UNROLL _Pragma("unroll")
#else
#define WD_UNROLL _Pragma("GCC unroll 32")
#endif
#define WD_CTZ(x) ((unsigned)__builtin_ctz(x)) /* trailing zero bits; x is not 0 */

/* Compiles a function for several instruction sets, the best one chosen when the program is loaded. For plain
 * integer loops whose result is the same on each; floating-point kernels live in tensor/cpu. Sanitizers run
 * before the choice can be made, so their builds have the plain version only. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define WD_NO_CLONES 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WD_NO_CLONES 1
#endif
#if defined(__x86_64__) && !defined(WD_NO_CLONES)
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
