/* An arena: everything allocated for one request or job, released at once.
 *
 * Not thread-safe. Pieces are aligned to 16 bytes and zeroed. Under AddressSanitizer a red zone lies between
 * pieces and everything is poisoned on reset.
 */
#ifndef WD_BASE_ARENA_H
#define WD_BASE_ARENA_H

#include "base/err.h"
#include "base/mem.h"

typedef struct wd_arena wd_arena;

/* max_bytes: the most it may hold; further allocations give NULL. wipe: overwrite with zeros on reset. */
WD_MUST_CHECK wd_arena *wd_arena_create(size_t max_bytes, bool wipe);
void wd_arena_destroy(wd_arena *a); /* accepts NULL; resets first */
void wd_arena_reset(wd_arena *a);

/* n * size zeroed bytes or NULL (limit, memory, overflow). */
void *wd_arena_alloc(wd_arena *a, size_t n, size_t size);
char *wd_arena_strndup(wd_arena *a, const char *s, size_t n); /* adds a terminating NUL */
char *wd_arena_printf(wd_arena *a, const char *fmt, ...) WD_PRINTF(2, 3);
size_t wd_arena_used(const wd_arena *a);

/* fn(arg) runs when the arena is reset or destroyed, newest first. On failure fn has been run at once. */
WD_MUST_CHECK wd_status wd_arena_defer(wd_arena *a, void (*fn)(void *), void *arg);

#define WD_NEW(arena, type) ((type *)wd_arena_alloc((arena), 1, sizeof(type)))
#define WD_NEW_N(arena, type, n) ((type *)wd_arena_alloc((arena), (n), sizeof(type)))

#endif
