/* Arenas: a chain of chunks, bump allocation, deferred calls.
 *
 * Invariants
 *   1. head is the chunk being filled; older chunks hang behind it and are never written again.
 *   2. used counts the bytes handed out, padding and red zones included; used <= max.
 *   3. Memory between pieces and past the fill mark is poisoned under AddressSanitizer.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifndef WITH_ASAN
#define WITH_ASAN 0
#endif

#if WITH_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#define RED_ZONE 16
#else
#define POISON(p, n) ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#define RED_ZONE 0
#endif

#define ALIGN 16
#define CHUNK_MIN ((size_t)16 << 10)

typedef struct chunk {
    struct chunk *next;
    size_t cap, fill;
} chunk;

typedef struct deferred {
    struct deferred *next;
    void (*fn)(void *);
    void *arg;
} deferred;

struct wd_arena {
    chunk *head;
    deferred *defers;
    size_t used, max;
    bool wipe;
};

static uint8_t *chunk_data(chunk *c)
{
    return (uint8_t *)(c + 1) + (ALIGN - sizeof(chunk) % ALIGN) % ALIGN;
}

wd_arena *wd_arena_create(size_t max_bytes, bool wipe)
{
    wd_arena *a = WD_ALLOC(wd_arena);
    if (a) {
        a->max = max_bytes;
        a->wipe = wipe;
    }
    return a;
}

void wd_arena_reset(wd_arena *a)
{
    while (a->defers) {
        deferred *d = a->defers;
        a->defers = d->next; /* before the call: fn may use the arena's memory, not add to the list twice */
        d->fn(d->arg);
    }
    while (a->head) {
        chunk *c = a->head;
        a->head = c->next;
        UNPOISON(chunk_data(c), c->cap);
        if (a->wipe)
            wd_wipe(chunk_data(c), c->fill);
        wd_free(c);
    }
    a->used = 0;
}

void wd_arena_destroy(wd_arena *a)
{
    if (!a)
        return;
    wd_arena_reset(a);
    wd_free(a);
}

static chunk *add_chunk(wd_arena *a, size_t need)
{
    const size_t cap = WD_MAX(need, a->head ? WD_MIN(a->head->cap * 2, (size_t)1 << 20) : CHUNK_MIN);
    size_t bytes;
    if (!wd_add_size(cap, sizeof(chunk) + ALIGN, &bytes))
        return NULL;
    chunk *c = wd_calloc(1, bytes);
    if (!c)
        return NULL;
    c->cap = cap;
    c->next = a->head;
    a->head = c;
    POISON(chunk_data(c), cap);
    return c;
}

void *wd_arena_alloc(wd_arena *a, size_t n, size_t size)
{
    size_t bytes, need;
    if (!wd_mul_size(n, size, &bytes) || !wd_add_size(bytes, ALIGN - 1 + RED_ZONE, &need))
        return NULL;
    need = (need & ~(size_t)(ALIGN - 1)) + (need < ALIGN ? ALIGN : 0);
    if (need > a->max - a->used)
        return NULL;
    chunk *c = a->head;
    if (!c || need > c->cap - c->fill) {
        c = add_chunk(a, need);
        if (!c)
            return NULL;
    }
    uint8_t *p = chunk_data(c) + c->fill;
    UNPOISON(p, bytes);
    c->fill += need;
    a->used += need;
    return p; /* chunks come from calloc and are handed out once: zeroed */
}

char *wd_arena_strndup(wd_arena *a, const char *s, size_t n)
{
    size_t size;
    if (!wd_add_size(n, 1, &size))
        return NULL;
    char *copy = wd_arena_alloc(a, size, 1);
    if (copy && n)
        memcpy(copy, s, n);
    return copy;
}

char *wd_arena_printf(wd_arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    const int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *s = n < 0 ? NULL : wd_arena_alloc(a, (size_t)n + 1, 1);
    if (s)
        vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    return s;
}

size_t wd_arena_used(const wd_arena *a)
{
    return a->used;
}

wd_status wd_arena_defer(wd_arena *a, void (*fn)(void *), void *arg)
{
    deferred *d = WD_NEW(a, deferred);
    if (!d) {
        fn(arg);
        return WD_E_NOMEM;
    }
    *d = (deferred){ a->defers, fn, arg };
    a->defers = d;
    return WD_OK;
}
