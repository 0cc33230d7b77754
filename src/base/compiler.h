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

#define WD_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define WD_MIN(a, b) ((a) < (b) ? (a) : (b))
#define WD_MAX(a, b) ((a) > (b) ? (a) : (b))

#if defined(__x86_64__)
#define WD_ARCH_X86_64 1
#else
#define WD_ARCH_X86_64 0
#endif

#endif
