/* JSON as Python prints it, from jansson values and from text. */
#include "text/jsontext.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/utf8.h"

/* --- printing ---------------------------------------------------------------------------------------------- */

static void put_quoted(wd_buf *out, wd_span s)
{
    static const char hex[] = "0123456789abcdef";
    size_t from = 0;
    wd_buf_char(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        const uint8_t c = s.p[i];
        char esc[6] = { '\\', 'u', '0', '0', 0, 0 };
        size_t n = 2;
        switch (c) {
        case '"':
        case '\\':
            esc[1] = (char)c;
            break;
        case '\b':
            esc[1] = 'b';
            break;
        case '\f':
            esc[1] = 'f';
            break;
        case '\n':
            esc[1] = 'n';
            break;
        case '\r':
            esc[1] = 'r';
            break;
        case '\t':
            esc[1] = 't';
            break;
        default:
            if (c >= 0x20)
                continue; /* DEL and all of UTF-8 stay as they are */
            esc[4] = hex[c >> 4];
            esc[5] = hex[c & 15];
            n = 6;
        }
        wd_buf_put(out, s.p + from, i - from);
        wd_buf_put(out, esc, n);
        from = i + 1;
    }
    wd_buf_put(out, s.p + from, s.n - from);
    wd_buf_char(out, '"');
}

/* The shortest decimal digits that read back as v (finite, > 0), and the power of ten of the first one.
 *
 * "%.*e" gives the nearest decimal of p digits. It is the shortest for the smallest p that reads back, but for one
 * case: below a power of two doubles lie twice as dense as above it, so that the nearest decimal may fall just out
 * of reach below while its neighbour above still reads back. */
static int shortest_digits(double v, char digits[20], int *exp10)
{
    int unused;
    const bool power_of_two = frexp(v, &unused) == 0.5;
    for (int p = 1; p <= 17; p++) {
        char text[40];
        snprintf(text, sizeof text, "%.*e", p - 1, v);
        if (power_of_two && strtod(text, NULL) < v) {
            char *last = strchr(text, 'e') - 1;
            if (*last >= '0' && *last < '9') {
                (*last)++;
                if (strtod(text, NULL) != v)
                    (*last)--;
            }
        }
        if (p < 17 && strtod(text, NULL) != v)
            continue;
        int n = 0;
        const char *c = text;
        for (; *c != 'e'; c++)
            if (*c != '.')
                digits[n++] = *c;
        *exp10 = (int)strtol(c + 1, NULL, 10);
        while (n > 1 && digits[n - 1] == '0')
            n--;
        digits[n] = 0;
        return n;
    }
    return 0; /* not reached: 17 digits always do */
}

void wd_jsontext_float(double v, wd_buf *out)
{
    if (isnan(v)) {
        wd_buf_str(out, "NaN");
        return;
    }
    if (signbit(v))
        wd_buf_char(out, '-');
    v = fabs(v);
    if (isinf(v)) {
        wd_buf_str(out, "Infinity");
        return;
    }
    if (v == 0) {
        wd_buf_str(out, "0.0");
        return;
    }
    char d[20];
    int e;
    const int n = shortest_digits(v, d, &e);
    if (e < -4 || e >= 16) {
        wd_buf_char(out, d[0]);
        if (n > 1) {
            wd_buf_char(out, '.');
            wd_buf_put(out, d + 1, (size_t)n - 1);
        }
        wd_buf_printf(out, "e%c%02d", e < 0 ? '-' : '+', abs(e));
    } else if (e < 0) {
        wd_buf_str(out, "0.");
        for (int i = e + 1; i < 0; i++)
            wd_buf_char(out, '0');
        wd_buf_put(out, d, (size_t)n);
    } else {
        for (int i = 0; i <= e; i++)
            wd_buf_char(out, i < n ? d[i] : '0');
        wd_buf_char(out, '.');
        if (n > e + 1)
            wd_buf_put(out, d + e + 1, (size_t)(n - e - 1));
        else
            wd_buf_char(out, '0');
    }
}

static wd_status put_value(const json_t *v, const char *what, unsigned depth, wd_buf *out, wd_err *err)
{
    if (depth > WD_JSONTEXT_DEPTH)
        return WD_FAIL(err, WD_E_LIMIT, "%s: JSON nested deeper than %d", what, WD_JSONTEXT_DEPTH);
    const char *between = "";
    switch (json_typeof(v)) {
    case JSON_OBJECT: {
        const char *key;
        size_t key_n;
        json_t *member;
        wd_buf_char(out, '{');
        json_object_keylen_foreach((json_t *)v, key, key_n, member)
        {
            wd_buf_str(out, between);
            put_quoted(out, wd_span_of(key, key_n));
            wd_buf_str(out, ": ");
            WD_TRY(put_value(member, what, depth + 1, out, err));
            between = ", ";
        }
        wd_buf_char(out, '}');
        return WD_OK;
    }
    case JSON_ARRAY:
        wd_buf_char(out, '[');
        for (size_t i = 0; i < json_array_size(v); i++) {
            wd_buf_str(out, between);
            WD_TRY(put_value(json_array_get(v, i), what, depth + 1, out, err));
            between = ", ";
        }
        wd_buf_char(out, ']');
        return WD_OK;
    case JSON_STRING:
        put_quoted(out, wd_span_of(json_string_value(v), json_string_length(v)));
        return WD_OK;
    case JSON_INTEGER:
        wd_buf_printf(out, "%lld", (long long)json_integer_value(v));
        return WD_OK;
    case JSON_REAL:
        wd_jsontext_float(json_real_value(v), out);
        return WD_OK;
    case JSON_TRUE:
        wd_buf_str(out, "true");
        return WD_OK;
    case JSON_FALSE:
        wd_buf_str(out, "false");
        return WD_OK;
    case JSON_NULL:
        break;
    }
    wd_buf_str(out, "null");
    return WD_OK;
}

wd_status wd_jsontext_value(const json_t *v, const char *what, wd_buf *out, wd_err *err)
{
    WD_TRY(put_value(v, what, 1, out, err));
    return wd_buf_check(out, what, err);
}

/* --- reading ----------------------------------------------------------------------------------------------- */

/* One pass over a text, printing what it reads. Open objects and arrays are on an explicit stack. */
typedef struct scan {
    wd_span s;
    size_t at;
    wd_buf *out;     /* NULL: only check */
    wd_buf raw, key; /* a decoded string; object number and decoded key */
    wd_map *keys;    /* every key of every object, to find doubled ones; made when the first key comes */
    uint32_t n_object;
    unsigned depth;
    struct level {
        bool object;
        bool begun; /* has a member or element */
        uint32_t number;
    } level[WD_JSONTEXT_DEPTH];
    const char *what;
    wd_err *err;
} scan;

static wd_status bad(scan *c, const char *expected)
{
    if (c->at >= c->s.n)
        return WD_FAIL(c->err, WD_E_INVALID, "%s: JSON ends early, expected %s", c->what, expected);
    return WD_FAIL(c->err, WD_E_INVALID, "%s: not JSON at byte %zu, expected %s", c->what, c->at, expected);
}

static void emit(scan *c, const void *p, size_t n)
{
    if (c->out)
        wd_buf_put(c->out, p, n);
}

static int peek(const scan *c)
{
    return c->at < c->s.n ? c->s.p[c->at] : -1;
}

static void skip_space(scan *c)
{
    for (int ch = peek(c); ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r'; ch = peek(c))
        c->at++;
}

static int hex4(const scan *c, size_t at)
{
    int v = 0;
    for (size_t i = at; i < at + 4; i++) {
        const int ch = i < c->s.n ? c->s.p[i] : -1;
        if (ch >= '0' && ch <= '9')
            v = v * 16 + ch - '0';
        else if ((ch | 32) >= 'a' && (ch | 32) <= 'f')
            v = v * 16 + (ch | 32) - 'a' + 10;
        else
            return -1;
    }
    return v;
}

/* At the backslash. */
static wd_status read_escape(scan *c, wd_buf *into)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const int ch = c->at + 1 < c->s.n ? c->s.p[c->at + 1] : -1;
    if (ch != 'u') {
        const char *hit = ch > 0 ? strchr(from, ch) : NULL;
        if (!hit)
            return bad(c, "an escape sequence");
        wd_buf_char(into, to[hit - from]);
        c->at += 2;
        return WD_OK;
    }
    int cp = hex4(c, c->at + 2);
    size_t n = 6;
    if (cp >= 0xD800 && cp < 0xDC00 && c->at + 7 < c->s.n && c->s.p[c->at + 6] == '\\' &&
        c->s.p[c->at + 7] == 'u') {
        const int low = hex4(c, c->at + 8);
        if (low >= 0xDC00 && low < 0xE000) {
            cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
            n = 12;
        }
    }
    if (cp < 0 || (cp >= 0xD800 && cp < 0xE000))
        return bad(c, "a character after \\u");
    uint8_t utf8[4];
    wd_buf_put(into, utf8, wd_utf8_put((uint32_t)cp, utf8));
    c->at += n;
    return WD_OK;
}

/* At the opening quote; appends what the string spells. */
static wd_status read_string(scan *c, wd_buf *into)
{
    if (peek(c) != '"')
        return bad(c, "a string");
    size_t from = ++c->at;
    for (;;) {
        const int ch = peek(c);
        if (ch < 0x20)
            return bad(c, "the end of a string");
        if (ch != '"' && ch != '\\') {
            c->at++;
            continue;
        }
        const wd_span plain = wd_span_sub(c->s, from, c->at - from);
        if (!wd_utf8_valid(plain))
            return bad(c, "UTF-8 before it");
        wd_buf_span(into, plain);
        if (ch == '"')
            break;
        WD_TRY(read_escape(c, into));
        from = c->at;
    }
    c->at++;
    return wd_buf_check(into, c->what, c->err);
}

static size_t read_digits(scan *c)
{
    const size_t from = c->at;
    while (peek(c) >= '0' && peek(c) <= '9')
        c->at++;
    return c->at - from;
}

static wd_status read_number(scan *c)
{
    const size_t from = c->at;
    bool real = false;
    if (peek(c) == '-')
        c->at++;
    const bool zero = peek(c) == '0';
    const size_t n_int = read_digits(c);
    if (!n_int || (zero && n_int > 1))
        return bad(c, "a number without leading zeros");
    if (peek(c) == '.') {
        real = true;
        c->at++;
        if (!read_digits(c))
            return bad(c, "a digit");
    }
    if (peek(c) == 'e' || peek(c) == 'E') {
        real = true;
        c->at++;
        if (peek(c) == '+' || peek(c) == '-')
            c->at++;
        if (!read_digits(c))
            return bad(c, "a digit");
    }
    if (!c->out)
        return WD_OK;
    const wd_span text = wd_span_sub(c->s, from, c->at - from);
    if (!real) {
        if (n_int > WD_JSONTEXT_DIGITS)
            return WD_FAIL(c->err, WD_E_LIMIT, "%s: an integer of more than %d digits", c->what,
                           WD_JSONTEXT_DIGITS);
        if (wd_span_is(text, "-0"))
            emit(c, "0", 1); /* Python's int has no -0 */
        else
            emit(c, text.p, text.n);
        return WD_OK;
    }
    wd_buf_clear(&c->raw);
    wd_buf_span(&c->raw, text); /* strtod wants an end */
    WD_TRY(wd_buf_check(&c->raw, c->what, c->err));
    wd_jsontext_float(strtod((const char *)c->raw.p, NULL), c->out);
    return WD_OK;
}

static wd_status read_word(scan *c, const char *word)
{
    const size_t n = strlen(word);
    if (!wd_span_eq(wd_span_sub(c->s, c->at, n), wd_span_of(word, n)))
        return bad(c, "a value");
    emit(c, word, n);
    c->at += n;
    return WD_OK;
}

/* At a key of the innermost object: reads it and its colon. */
static wd_status read_key(scan *c)
{
    struct level *top = &c->level[c->depth - 1];
    if (!c->keys && !(c->keys = wd_map_create(16)))
        return WD_FAIL(c->err, WD_E_NOMEM, "%s: no memory", c->what);
    wd_buf_clear(&c->key);
    wd_buf_put(&c->key, &top->number, sizeof top->number);
    WD_TRY(read_string(c, &c->key));
    bool was;
    if (wd_map_put(c->keys, wd_buf_view(&c->key), 0, &was))
        return WD_FAIL(c->err, WD_E_NOMEM, "%s: no memory", c->what);
    if (was)
        return WD_FAIL(c->err, WD_E_INVALID, "%s: a key stands twice in one object, before byte %zu", c->what,
                       c->at);
    if (c->out)
        put_quoted(c->out, wd_span_sub(wd_buf_view(&c->key), sizeof top->number, SIZE_MAX));
    skip_space(c);
    if (peek(c) != ':')
        return bad(c, "':'");
    c->at++;
    emit(c, ": ", 2);
    return WD_OK;
}

static wd_status open_level(scan *c, bool object)
{
    if (c->depth == WD_JSONTEXT_DEPTH)
        return WD_FAIL(c->err, WD_E_LIMIT, "%s: JSON nested deeper than %d", c->what, WD_JSONTEXT_DEPTH);
    c->level[c->depth++] = (struct level){ .object = object, .number = c->n_object };
    c->n_object += object;
    c->at++;
    emit(c, object ? "{" : "[", 1);
    return WD_OK;
}

/* A value begins here; objects and arrays are only opened. */
static wd_status begin_value(scan *c)
{
    skip_space(c);
    const int ch = peek(c);
    switch (ch) {
    case '{':
    case '[':
        return open_level(c, ch == '{');
    case '"':
        wd_buf_clear(&c->raw);
        WD_TRY(read_string(c, &c->raw));
        if (c->out)
            put_quoted(c->out, wd_buf_view(&c->raw));
        return WD_OK;
    case 't':
        return read_word(c, "true");
    case 'f':
        return read_word(c, "false");
    case 'n':
        return read_word(c, "null");
    default:
        return ch == '-' || (ch >= '0' && ch <= '9') ? read_number(c) : bad(c, "a value");
    }
}

/* Inside the innermost level, between values: closes it, or moves on to the next value. */
static wd_status next_in_level(scan *c, bool *value)
{
    struct level *top = &c->level[c->depth - 1];
    const int close = top->object ? '}' : ']';
    skip_space(c);
    *value = false;
    if (peek(c) == close) {
        const char text[1] = { (char)close };
        emit(c, text, 1);
        c->at++;
        c->depth--;
        return WD_OK;
    }
    if (top->begun) {
        if (peek(c) != ',')
            return bad(c, top->object ? "',' or '}'" : "',' or ']'");
        c->at++;
        emit(c, ", ", 2);
        skip_space(c);
    }
    top->begun = true;
    *value = true;
    return top->object ? read_key(c) : WD_OK;
}

/* One whole value from where the scan stands; stops behind it. */
static wd_status whole_value(scan *c)
{
    const unsigned base = c->depth;
    WD_TRY(begin_value(c));
    while (c->depth > base) {
        bool value;
        WD_TRY(next_in_level(c, &value));
        if (value)
            WD_TRY(begin_value(c));
    }
    return c->out ? wd_buf_check(c->out, c->what, c->err) : WD_OK;
}

static void scan_deinit(scan *c)
{
    wd_buf_wipe(&c->raw);
    wd_buf_wipe(&c->key);
    wd_map_destroy(c->keys);
}

wd_status wd_jsontext_text(wd_span json, const char *what, char *kind, wd_buf *out, wd_err *err)
{
    scan c = { .s = json, .out = out, .what = what, .err = err };
    skip_space(&c);
    const int first = peek(&c);
    wd_status st = whole_value(&c);
    skip_space(&c);
    if (!st && c.at < json.n)
        st = bad(&c, "the end");
    if (!st && kind)
        *kind = first == '-' || (first >= '0' && first <= '9') ? '0' : (char)first;
    scan_deinit(&c);
    return st;
}

wd_status wd_jsontext_lines(wd_span json, const char *what, size_t *n, wd_buf *out, wd_err *err)
{
    scan c = { .s = json, .what = what, .err = err };
    *n = 0;
    skip_space(&c);
    wd_status st = peek(&c) == '[' ? open_level(&c, false) : bad(&c, "an array");
    while (!st && c.depth) {
        bool value;
        c.out = NULL;
        st = next_in_level(&c, &value);
        if (st || !value)
            continue;
        wd_buf_char(out, '\n');
        c.out = out;
        st = whole_value(&c);
        (*n)++;
    }
    skip_space(&c);
    if (!st && c.at < json.n)
        st = bad(&c, "the end");
    scan_deinit(&c);
    return st;
}

wd_status wd_jsontext_member(wd_span object, const char *key, wd_span *out, wd_err *err)
{
    scan c = { .s = object, .what = key, .err = err };
    wd_span found = { 0 };
    skip_space(&c);
    wd_status st = peek(&c) == '{' ? open_level(&c, true) : bad(&c, "an object");
    while (!st && c.depth) {
        bool value;
        st = next_in_level(&c, &value);
        if (st || !value)
            continue;
        const wd_span name = wd_span_sub(wd_buf_view(&c.key), sizeof c.level[0].number, SIZE_MAX);
        const bool wanted = wd_span_is(name, key);
        skip_space(&c);
        const size_t from = c.at;
        st = whole_value(&c);
        if (!st && wanted)
            found = wd_span_sub(object, from, c.at - from);
    }
    skip_space(&c);
    if (!st && c.at < object.n)
        st = bad(&c, "the end");
    scan_deinit(&c);
    if (!st)
        *out = found;
    return st;
}

wd_status wd_jsontext_unquote(wd_span json, wd_buf *out, wd_err *err)
{
    scan c = { .s = json, .what = "a JSON string", .err = err };
    skip_space(&c);
    wd_status st = read_string(&c, out);
    skip_space(&c);
    if (!st && c.at < json.n)
        st = bad(&c, "the end");
    scan_deinit(&c);
    return st;
}
