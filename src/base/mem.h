/* The only place that calls malloc. Checked sizes, aligned blocks, secure wipe, and failure injection. */
#ifndef WD_BASE_MEM_H
#define WD_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* *out = a * b, or a + b; false when it does not fit (then *out is untouched). For sizes from outside. */
WD_MUST_CHECK bool wd_mul_size(size_t a, size_t b, size_t *out);
WD_MUST_CHECK bool wd_add_size(size_t a, size_t b, size_t *out);

/* Zeroed; NULL when out of memory or n * size overflows. wd_free(NULL) does nothing. */
void *wd_calloc(size_t n, size_t size);
/* Grows or shrinks to n * size bytes; new bytes are not zeroed. On NULL the old block stays valid. */
void *wd_realloc(void *p, size_t n, size_t size);
void wd_free(void *p);
char *wd_strdup(const char *s);

/* Aligned to 64 bytes (a cache line, an AVX-512 register, an AMX row), not zeroed. Release with wd_free. From 4 MiB on the
 * kernel is asked for huge pages: one fault for 2 MiB at its first touch, not 512. */
void *wd_alloc_aligned(size_t n, size_t size);

#define WD_ALLOC(type) ((type *)wd_calloc(1, sizeof(type)))
#define WD_ALLOC_N(type, n) ((type *)wd_calloc((n), sizeof(type)))

/* Overwrites n bytes in a way the compiler keeps. */
void wd_wipe(void *p, size_t n);

/* Failure injection, for tests only: the nth allocation from now (1 = the next) fails once, n = 0 switches
 * it off. Covers wd_*alloc*, arenas, buffers, jansson, and every wd_file read (see file.h). Returns how many
 * injection points were passed since the last call. Not thread-safe: set while other threads are idle. */
uint64_t wd_inject_failure(uint64_t nth);
/* One injection point: true when this one must fail. */
bool wd_inject_here(void);

#endif
