/* UTF-8, after Unicode 15 table 3-7 (well-formed sequences). */
#include "base/utf8.h"

uint32_t wd_utf8_next(wd_span s, size_t at, size_t *n)
{
    const uint8_t *p = s.p + at;
    const size_t left = s.n - at;
    const uint8_t b0 = p[0];
    *n = 1;
    if (b0 < 0x80)
        return b0;

    size_t need;                  /* continuation bytes */
    uint8_t lo = 0x80, hi = 0xBF; /* range of the first of them */
    uint32_t cp;
    if (b0 >= 0xC2 && b0 <= 0xDF) {
        need = 1;
        cp = b0 & 0x1Fu;
    } else if (b0 >= 0xE0 && b0 <= 0xEF) {
        need = 2;
        cp = b0 & 0x0Fu;
        if (b0 == 0xE0)
            lo = 0xA0;
        else if (b0 == 0xED)
            hi = 0x9F; /* no surrogates */
    } else if (b0 >= 0xF0 && b0 <= 0xF4) {
        need = 3;
        cp = b0 & 0x07u;
        if (b0 == 0xF0)
            lo = 0x90;
        else if (b0 == 0xF4)
            hi = 0x8F;
    } else {
        return WD_UTF8_BAD;
    }
    for (size_t i = 1; i <= need; i++) {
        if (i >= left || p[i] < lo || p[i] > hi)
            return WD_UTF8_BAD; /* *n = i: the maximal subpart */
        cp = cp << 6 | (p[i] & 0x3Fu);
        lo = 0x80;
        hi = 0xBF;
        *n = i + 1;
    }
    return cp;
}

size_t wd_utf8_put(uint32_t cp, uint8_t out[4])
{
    if (cp < 0x80) {
        out[0] = (uint8_t)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (uint8_t)(0xC0 | cp >> 6);
        out[1] = (uint8_t)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (uint8_t)(0xE0 | cp >> 12);
        out[1] = (uint8_t)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | cp >> 18);
    out[1] = (uint8_t)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (cp & 0x3F));
    return 4;
}

/* An ill-formed part: the bytes were not themselves a written U+FFFD. */
static bool is_bad(wd_span s, size_t at, uint32_t cp, size_t n)
{
    return cp == WD_UTF8_BAD && !(n == 3 && s.p[at] == 0xEF && s.p[at + 1] == 0xBF && s.p[at + 2] == 0xBD);
}

bool wd_utf8_valid(wd_span s)
{
    for (size_t i = 0, n; i < s.n; i += n) {
        const uint32_t cp = wd_utf8_next(s, i, &n);
        if (is_bad(s, i, cp, n))
            return false;
    }
    return true;
}

void wd_utf8_sanitize(wd_span s, wd_buf *out)
{
    size_t from = 0;
    for (size_t i = 0, n; i < s.n; i += n) {
        const uint32_t cp = wd_utf8_next(s, i, &n);
        if (is_bad(s, i, cp, n)) {
            wd_buf_put(out, s.p + from, i - from);
            wd_buf_str(out, "\xEF\xBF\xBD");
            from = i + n;
        }
    }
    if (from < s.n)
        wd_buf_put(out, s.p + from, s.n - from);
}

size_t wd_utf8_partial(wd_span s)
{
    for (size_t back = 1; back <= 3 && back <= s.n; back++) {
        const size_t at = s.n - back;
        if ((s.p[at] & 0xC0) == 0x80)
            continue;
        if (s.p[at] < 0xC0)
            return 0;
        size_t n;
        const uint32_t cp = wd_utf8_next(s, at, &n);
        if (!is_bad(s, at, cp, n) || n < back)
            return 0;
        /* Ill-formed up to the very end: incomplete if one more byte could still continue it. */
        const size_t whole = s.p[at] >= 0xF0 ? 4 : s.p[at] >= 0xE0 ? 3 : 2;
        return s.p[at] >= 0xC2 && s.p[at] <= 0xF4 && back < whole ? back : 0;
    }
    return 0;
}
