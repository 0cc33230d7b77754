/* Byte views and growable buffers. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

size_t wd_span_find(wd_span hay, wd_span needle, size_t from)
{
    if (from > hay.n || needle.n > hay.n - from)
        return SIZE_MAX;
    if (needle.n == 0)
        return from;
    const uint8_t *at = memmem(hay.p + from, hay.n - from, needle.p, needle.n);
    return at ? (size_t)(at - hay.p) : SIZE_MAX;
}

uint16_t wd_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t wd_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint64_t wd_le64(const uint8_t *p)
{
    return wd_le32(p) | (uint64_t)wd_le32(p + 4) << 32;
}

/* Room for n more bytes and a terminating zero. */
static bool reserve(wd_buf *b, size_t n)
{
    size_t need;
    if (b->failed)
        return false;
    if (!wd_add_size(b->n, n, &need) || (b->max && need > b->max) || !wd_add_size(need, 1, &need)) {
        b->failed = true;
        return false;
    }
    if (need <= b->cap)
        return true;
    size_t cap = b->cap < 64 ? 64 : b->cap;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    uint8_t *p = wd_realloc(b->p, cap, 1);
    if (!p) {
        b->failed = true;
        return false;
    }
    b->p = p;
    b->cap = cap;
    return true;
}

void wd_buf_put(wd_buf *b, const void *p, size_t n)
{
    if (!reserve(b, n))
        return;
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = 0;
}

void wd_buf_span(wd_buf *b, wd_span s)
{
    wd_buf_put(b, s.p, s.n);
}

void wd_buf_str(wd_buf *b, const char *s)
{
    wd_buf_put(b, s, strlen(s));
}

void wd_buf_char(wd_buf *b, char c)
{
    wd_buf_put(b, &c, 1);
}

void wd_buf_printf(wd_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    const int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->failed = true;
    } else if (reserve(b, (size_t)n)) {
        vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

uint8_t *wd_buf_grow(wd_buf *b, size_t n)
{
    if (!reserve(b, n))
        return NULL;
    uint8_t *at = b->p + b->n;
    b->n += n;
    b->p[b->n] = 0;
    return at;
}

void wd_buf_json(wd_buf *b, wd_span s)
{
    static const char hex[] = "0123456789abcdef";
    wd_buf_char(b, '"');
    for (size_t i = 0, n; i < s.n; i += n) {
        const uint32_t cp = wd_utf8_next(s, i, &n);
        if (cp == '"' || cp == '\\') {
            const char two[2] = { '\\', (char)cp };
            wd_buf_put(b, two, 2);
        } else if (cp == '\n') {
            wd_buf_str(b, "\\n");
        } else if (cp < 0x20 || cp == 0x7F) {
            const char esc[6] = { '\\', 'u', '0', '0', hex[cp >> 4], hex[cp & 15] };
            wd_buf_put(b, esc, 6);
        } else {
            uint8_t u[4];
            wd_buf_put(b, u, wd_utf8_put(cp, u));
        }
    }
    wd_buf_char(b, '"');
}

wd_status wd_buf_check(const wd_buf *b, const char *what, wd_err *err)
{
    if (!b->failed)
        return WD_OK;
    if (b->max && b->n + 1 >= b->max)
        return WD_FAIL(err, WD_E_LIMIT, "%s: more than %zu bytes", what, b->max);
    return WD_FAIL(err, WD_E_NOMEM, "%s: no memory", what);
}

void wd_buf_clear(wd_buf *b)
{
    b->n = 0;
    b->failed = false;
}

void wd_buf_wipe(wd_buf *b)
{
    wd_wipe(b->p, b->cap);
    wd_buf_free(b);
}

void wd_buf_free(wd_buf *b)
{
    wd_free(b->p);
    *b = (wd_buf){ .max = b->max };
}
