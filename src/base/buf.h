/* Byte views and growable byte buffers. */
#ifndef WD_BASE_BUF_H
#define WD_BASE_BUF_H

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* A view of bytes that somebody else owns; p may be NULL when n is 0. Text is a span too: UTF-8, no NUL. */
typedef struct wd_span {
    const uint8_t *p;
    size_t n;
} wd_span;

#define WD_SPAN_LIT(s) ((wd_span){ (const uint8_t *)(s), sizeof(s) - 1 })

static inline wd_span wd_span_of(const void *p, size_t n)
{
    return (wd_span){ (const uint8_t *)p, n };
}

static inline wd_span wd_span_str(const char *s)
{
    return (wd_span){ (const uint8_t *)s, s ? strlen(s) : 0 };
}

/* The part [at, at + n), cut to what is there. */
static inline wd_span wd_span_sub(wd_span s, size_t at, size_t n)
{
    if (at > s.n)
        at = s.n;
    if (n > s.n - at)
        n = s.n - at;
    return (wd_span){ at ? s.p + at : s.p, n }; /* p may be NULL: not even 0 may be added to it */
}

static inline bool wd_span_eq(wd_span a, wd_span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool wd_span_is(wd_span a, const char *s)
{
    return wd_span_eq(a, wd_span_str(s));
}

static inline bool wd_span_starts(wd_span a, const char *prefix)
{
    const size_t n = strlen(prefix);
    return a.n >= n && memcmp(a.p, prefix, n) == 0;
}

static inline bool wd_span_ends(wd_span a, const char *suffix)
{
    const size_t n = strlen(suffix);
    return a.n >= n && memcmp(a.p + a.n - n, suffix, n) == 0;
}

/* Offset of the first occurrence of needle at or after from, or SIZE_MAX. */
size_t wd_span_find(wd_span hay, wd_span needle, size_t from);

/* Little-endian reads that need no alignment. */
uint16_t wd_le16(const uint8_t *p);
uint32_t wd_le32(const uint8_t *p);
uint64_t wd_le64(const uint8_t *p);

/* A growable buffer. {0} is a valid empty one with no limit; set max before use to bound it.
 * After a failed append the contents are as before and failed stays true, so that a run of appends can be
 * checked once at its end. p[n] is always 0 after a successful append, so text can be used as a C string. */
typedef struct wd_buf {
    uint8_t *p;
    size_t n, cap;
    size_t max; /* most bytes, 0 = no limit */
    bool failed;
} wd_buf;

void wd_buf_put(wd_buf *b, const void *p, size_t n);
void wd_buf_span(wd_buf *b, wd_span s);
void wd_buf_str(wd_buf *b, const char *s);
void wd_buf_char(wd_buf *b, char c);
void wd_buf_printf(wd_buf *b, const char *fmt, ...) WD_PRINTF(2, 3);
/* n more bytes at the end, uninitialised; NULL (and failed) when they cannot be had. */
uint8_t *wd_buf_grow(wd_buf *b, size_t n);
/* Appends s as a JSON string with quotes; invalid UTF-8 becomes U+FFFD. */
void wd_buf_json(wd_buf *b, wd_span s);
/* WD_OK, or WD_E_NOMEM / WD_E_LIMIT with "WHAT: ..." when an append failed. */
WD_MUST_CHECK wd_status wd_buf_check(const wd_buf *b, const char *what, wd_err *err);
void wd_buf_clear(wd_buf *b); /* keeps the memory */
void wd_buf_wipe(wd_buf *b);
void wd_buf_free(wd_buf *b); /* becomes {0} with the same max */

static inline wd_span wd_buf_view(const wd_buf *b)
{
    return (wd_span){ b->p, b->n };
}

#endif
