/* Memory: the one caller of malloc. */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <sodium.h>

#define CACHE_LINE 64
#define HUGE_PAGE ((size_t)2 << 20) /* x86-64's */

/* Failure injection, tests only: countdown to the failing point (0: off) and points passed. */
static _Atomic uint64_t inject_left, inject_seen;

uint64_t wd_inject_failure(uint64_t nth)
{
    atomic_store(&inject_left, nth);
    return atomic_exchange(&inject_seen, 0);
}

bool wd_inject_here(void)
{
    if (WD_LIKELY(atomic_load_explicit(&inject_left, memory_order_relaxed) == 0))
        return false;
    atomic_fetch_add(&inject_seen, 1);
    return atomic_fetch_sub(&inject_left, 1) == 1;
}

bool wd_mul_size(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

bool wd_add_size(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

void *wd_calloc(size_t n, size_t size)
{
    if (wd_inject_here())
        return NULL;
    return calloc(n ? n : 1, size ? size : 1);
}

void *wd_realloc(void *p, size_t n, size_t size)
{
    size_t bytes;
    if (!wd_mul_size(n, size, &bytes) || wd_inject_here())
        return NULL;
    return realloc(p, bytes ? bytes : 1);
}

void wd_free(void *p)
{
    free(p);
}

char *wd_strdup(const char *s)
{
    const size_t n = strlen(s) + 1;
    char *copy = wd_calloc(n, 1);
    if (copy)
        memcpy(copy, s, n);
    return copy;
}

void *wd_alloc_aligned(size_t n, size_t size)
{
    size_t bytes;
    if (!wd_mul_size(n, size, &bytes) || !wd_add_size(bytes, CACHE_LINE - 1, &bytes) || wd_inject_here())
        return NULL;
    bytes &= ~(size_t)(CACHE_LINE - 1);
    if (bytes < 2 * HUGE_PAGE)
        return aligned_alloc(CACHE_LINE, bytes ? bytes : CACHE_LINE);
    void *p;
    if (posix_memalign(&p, HUGE_PAGE, bytes))
        return NULL;
    (void)madvise(p, bytes & ~(HUGE_PAGE - 1),
                  MADV_HUGEPAGE); /* a kernel without them says no: nothing is lost */
    return p;
}

void wd_wipe(void *p, size_t n)
{
    if (n)
        sodium_memzero(p, n);
}
