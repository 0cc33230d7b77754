/* A call's body, part by part. White space may stand before each. */
#include "text/parse_call.h"

/* NULL: a string, an object. */
static const char *const form[] = { "{", "\"name\"", ":", NULL, ",", "\"arguments\"", ":", NULL, "}" };
enum { NAME = 3, ARGS = 7, DONE = 9 };

/* Within a string or an object; in other parts, how many bytes of them. 0: before it. */
enum { PLAIN = 1, STRING, ESCAPE, DIGITS /* and three more */ };

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static void next_part(wd_call_follow *f)
{
    f->part++;
    f->in = 0;
}

static void in_digits(wd_call_follow *f, uint8_t c)
{
    f->unit = (uint16_t)(f->unit << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10));
    if (f->in++ < DIGITS + 3)
        return;
    f->in = STRING;
    f->half = !f->half && f->unit >= 0xD800 && f->unit < 0xDC00;
}

/* One byte behind a quote; false when it is the closing one. */
static bool in_string(wd_call_follow *f, uint8_t c)
{
    if (f->in >= DIGITS) {
        in_digits(f, c);
        return true;
    }
    if (f->in == ESCAPE) {
        f->in = c == 'u' ? DIGITS : STRING;
        f->half &= c == 'u';
        return true;
    }
    if (c == '\\')
        f->in = ESCAPE;
    else
        f->half = false;
    return c != '"';
}

static void in_name(wd_call_follow *f, uint8_t c)
{
    if (!f->in) {
        f->lost = c != '"';
        f->name = f->at;
        f->in = STRING;
    } else if (!in_string(f, c)) {
        f->name_end = f->at + 1;
        next_part(f);
    }
}

static void in_args(wd_call_follow *f, uint8_t c)
{
    if (!f->in) {
        f->lost = c != '{';
        f->args = f->lost ? 0 : f->at;
        f->depth = 1;
        f->in = PLAIN;
    } else if (f->in != PLAIN) {
        if (!in_string(f, c))
            f->in = PLAIN;
    } else if (c == '"') {
        f->in = STRING;
    } else if (c == '{' || c == '[') {
        f->depth++;
    } else if (c == '}' || c == ']') {
        f->depth--;
    } else if (c == '<') { /* the end tag, perhaps: in no JSON outside of strings */
        f->lost = true;
    }
    if (f->in <= STRING && !f->half)
        f->safe = f->at + 1;
    if (!f->depth)
        next_part(f);
}

static void in_literal(wd_call_follow *f, uint8_t c)
{
    const char *text = form[f->part];
    f->lost = (uint8_t)text[f->in++] != c;
    if (!f->lost && !text[f->in])
        next_part(f);
}

void wd_parse__follow(wd_call_follow *f, wd_span body)
{
    for (; f->at < body.n && f->part < DONE && !f->lost; f->at++) {
        const uint8_t c = body.p[f->at];
        if (!f->in && is_space(c))
            continue;
        if (f->part == NAME)
            in_name(f, c);
        else if (f->part == ARGS)
            in_args(f, c);
        else
            in_literal(f, c);
    }
    if (f->part == DONE)
        f->end = f->at;
}
