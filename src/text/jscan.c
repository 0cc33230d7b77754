/* A strict pull reader for JSON. */
#include "text/jscan.h"

#include "base/utf8.h"

void wd_jscan_init(wd_jscan *s, wd_span text, const char *where)
{
    *s = (wd_jscan){ .text = text, .where = where };
}

void wd_jscan_free(wd_jscan *s)
{
    wd_buf_free(&s->scratch);
}

int wd_jscan_peek(wd_jscan *s)
{
    const uint8_t *p = s->text.p;
    size_t i = s->at;

    while (i < s->text.n && (p[i] == ' ' || p[i] == '\n' || p[i] == '\t' || p[i] == '\r'))
        i++;
    s->at = i;
    return i < s->text.n ? p[i] : -1;
}

static wd_status expected(wd_jscan *s, const char *what, wd_err *err)
{
    const int c = wd_jscan_peek(s);

    if (c < 0)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: ends at byte %zu where %s was expected: is it cut off?",
                       s->where, s->at, what);
    return WD_FAIL(err, WD_E_CORRUPT, "%s: byte %zu is '%c' (0x%02x), expected %s", s->where, s->at,
                   c >= 0x20 && c < 0x7F ? c : '?', (unsigned)c, what);
}

wd_status wd_jscan_enter(wd_jscan *s, char open, const char *what, wd_err *err)
{
    const int c = wd_jscan_peek(s);

    if (c == open) {
        s->at++;
        return WD_OK;
    }
    if (c >= 0 && strchr("{[\"tfn-0123456789", c))
        return WD_FAIL(err, WD_E_INVALID, "%s: %s is not an %s", s->where, what,
                       open == '{' ? "object" : "array");
    return expected(s, open == '{' ? "'{'" : "'['", err);
}

wd_status wd_jscan_more(wd_jscan *s, char open, bool first, bool *more, wd_err *err)
{
    const char close = open == '{' ? '}' : ']';
    const int c = wd_jscan_peek(s);

    if (c == close) {
        s->at++;
        *more = false;
        return WD_OK;
    }
    if (!first) {
        if (c != ',')
            return expected(s, open == '{' ? "',' or '}'" : "',' or ']'", err);
        s->at++;
        if (wd_jscan_peek(s) == close)
            return expected(s, "another member after ','", err);
    }
    *more = true;
    return WD_OK;
}

/* Four hexadecimal digits at `at`, or -1. */
static int32_t hex4(wd_span t, size_t at)
{
    int32_t v = 0;

    if (t.n - at < 4)
        return -1;
    for (size_t i = at; i < at + 4; i++) {
        const uint8_t c = t.p[i], lower = c | 0x20;
        if (c >= '0' && c <= '9')
            v = v << 4 | (c - '0');
        else if (lower >= 'a' && lower <= 'f')
            v = v << 4 | (lower - 'a' + 10);
        else
            return -1;
    }
    return v;
}

/* s->at is just behind a backslash. */
static wd_status read_escape(wd_jscan *s, wd_err *err)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const wd_span t = s->text;
    const char *known;
    int32_t cp, low;
    uint8_t utf8[4];

    if (s->at < t.n && t.p[s->at] && (known = strchr(from, t.p[s->at]))) {
        wd_buf_char(&s->scratch, to[known - from]);
        s->at++;
        return WD_OK;
    }
    if (s->at >= t.n || t.p[s->at] != 'u' || (cp = hex4(t, s->at + 1)) < 0)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: byte %zu: unknown escape in a string", s->where, s->at);
    s->at += 5;
    if (cp >= 0xD800 && cp < 0xE000) {
        if (cp >= 0xDC00 || t.n - s->at < 6 || t.p[s->at] != '\\' || t.p[s->at + 1] != 'u' ||
            (low = hex4(t, s->at + 2)) < 0xDC00 || low > 0xDFFF)
            return WD_FAIL(err, WD_E_CORRUPT, "%s: byte %zu: half of a surrogate pair in a string", s->where,
                           s->at);
        cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
        s->at += 6;
    }
    wd_buf_put(&s->scratch, utf8, wd_utf8_put((uint32_t)cp, utf8));
    return WD_OK;
}

wd_status wd_jscan_string(wd_jscan *s, wd_span *out, wd_err *err)
{
    const uint8_t *p = s->text.p;
    bool escaped = false;

    if (wd_jscan_peek(s) != '"')
        return expected(s, "a string", err);
    size_t from = ++s->at; /* what has not been copied to scratch yet */
    for (;;) {
        while (s->at < s->text.n && p[s->at] != '"' && p[s->at] != '\\' && p[s->at] >= 0x20)
            s->at++;
        if (s->at == s->text.n)
            return expected(s, "the end of a string", err);
        if (p[s->at] < 0x20)
            return WD_FAIL(err, WD_E_CORRUPT, "%s: byte %zu: control character in a string", s->where, s->at);
        if (!escaped && p[s->at] == '"') {
            *out = wd_span_sub(s->text, from, s->at - from);
            s->at++;
            return WD_OK;
        }
        if (!escaped)
            wd_buf_clear(&s->scratch);
        escaped = true;
        wd_buf_put(&s->scratch, p + from, s->at - from);
        if (p[s->at++] == '"')
            break;
        WD_TRY(read_escape(s, err));
        from = s->at;
    }
    WD_TRY(wd_buf_check(&s->scratch, s->where, err));
    *out = wd_buf_view(&s->scratch);
    return WD_OK;
}

wd_status wd_jscan_key(wd_jscan *s, wd_span *out, wd_err *err)
{
    WD_TRY(wd_jscan_string(s, out, err));
    if (wd_jscan_peek(s) != ':')
        return expected(s, "':' after a name", err);
    s->at++;
    return WD_OK;
}

wd_status wd_jscan_uint(wd_jscan *s, uint64_t max, const char *what, uint64_t *out, wd_err *err)
{
    const uint8_t *p = s->text.p;
    const int c = wd_jscan_peek(s);
    const size_t from = s->at;
    uint64_t v = 0;

    while (s->at < s->text.n && p[s->at] >= '0' && p[s->at] <= '9') {
        const unsigned digit = p[s->at++] - '0';
        if (v > (UINT64_MAX - digit) / 10 || (v = v * 10 + digit) > max)
            return WD_FAIL(err, WD_E_LIMIT, "%s: byte %zu: %s is over %llu", s->where, from, what,
                           (unsigned long long)max);
    }
    const bool number = s->at > from && !(p[from] == '0' && s->at > from + 1);
    if (!number || (s->at < s->text.n && memchr(".eE", p[s->at], 3))) {
        if (c < 0)
            return expected(s, what, err);
        return WD_FAIL(err, WD_E_INVALID, "%s: byte %zu: %s is not a whole number from 0 to %llu", s->where,
                       from, what, (unsigned long long)max);
    }
    *out = v;
    return WD_OK;
}

/* s->at is on a quote; ends behind the closing one. */
static wd_status skip_string(wd_jscan *s, wd_err *err)
{
    const uint8_t *p = s->text.p;
    size_t i = s->at + 1;

    while (i < s->text.n && p[i] != '"')
        i += p[i] == '\\' ? 2 : 1;
    s->at = WD_MIN(i, s->text.n);
    if (s->at == s->text.n)
        return expected(s, "the end of a string", err);
    s->at++;
    return WD_OK;
}

wd_status wd_jscan_skip(wd_jscan *s, wd_span *out, wd_err *err)
{
    size_t depth = 0;
    const int first = wd_jscan_peek(s);
    const size_t from = s->at;

    if (first < 0 || strchr(",:]}", first))
        return expected(s, "a value", err);
    do {
        if (s->at == s->text.n)
            return expected(s, "the end of a value", err);
        const uint8_t c = s->text.p[s->at];
        if (c == '"') {
            WD_TRY(skip_string(s, err));
            continue;
        }
        if (depth == 0 && c != '{' && c != '[') { /* a number or a word */
            while (s->at < s->text.n && !memchr(",]} \t\r\n", s->text.p[s->at], 7))
                s->at++;
            break;
        }
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        s->at++;
    } while (depth > 0);
    *out = wd_span_sub(s->text, from, s->at - from);
    return WD_OK;
}

wd_status wd_jscan_end(wd_jscan *s, wd_err *err)
{
    if (wd_jscan_peek(s) >= 0)
        return expected(s, "the end of the file", err);
    return WD_OK;
}
