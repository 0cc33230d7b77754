/* The Qwen pre-tokenizer as a scanner. Every function takes and gives pointers into the text; `end` is its end. */
#include "text/pretok.h"

#define WORD (WD_UC_LETTER | WD_UC_NUMBER)

static inline unsigned class_at(const wd_unicode *u, const uint8_t *p, size_t *n)
{
    return u->of[wd_unicode_next(p, n)];
}

static const uint8_t *skip_letters(const wd_unicode *u, const uint8_t *p, const uint8_t *end)
{
    size_t n;

    while (p < end && class_at(u, p, &n) & WD_UC_LETTER)
        p += n;
    return p;
}

/* [^\s\p{L}\p{N}]*[\r\n]* */
static const uint8_t *skip_signs(const wd_unicode *u, const uint8_t *p, const uint8_t *end)
{
    size_t n;

    while (p < end && !(class_at(u, p, &n) & (WORD | WD_UC_SPACE)))
        p += n;
    while (p < end && (*p == '\r' || *p == '\n'))
        p++;
    return p;
}

/* Length of the contraction that begins at the apostrophe p, or 0. Case is folded as Unicode does: the long s
 * (U+017F) is an s. */
static size_t contraction(const uint8_t *p, const uint8_t *end)
{
    const size_t left = (size_t)(end - p);

    if (left < 2)
        return 0;
    const uint8_t a = p[1] | 0x20, b = left > 2 ? p[2] | 0x20 : 0;
    if (p[1] < 0x80 && (a == 's' || a == 't' || a == 'm' || a == 'd'))
        return 2;
    if (left < 3)
        return 0;
    if (p[1] == 0xC5 && p[2] == 0xBF)
        return 3;
    if (p[1] < 0x80 && p[2] < 0x80 &&
        ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')))
        return 3;
    return 0;
}

/* p is white space that no other alternative takes. Up to and with the last line end of the run, if it has one;
 * else the run, without its last character when something follows it (unless that is all there is). */
static const uint8_t *skip_space(const wd_unicode *u, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *line_end = NULL, *last = p, *q = p;
    size_t n;

    while (q < end && class_at(u, q, &n) & WD_UC_SPACE) {
        last = q;
        q += n;
        if (*last == '\r' || *last == '\n')
            line_end = q;
    }
    if (line_end)
        return line_end;
    return q == end || last == p ? q : last;
}

static const uint8_t *skip_piece(const wd_unicode *u, const uint8_t *p, const uint8_t *end)
{
    size_t n, n2;
    const unsigned class = class_at(u, p, &n);

    if (class & WD_UC_LETTER)
        return skip_letters(u, p + n, end);
    if (class & WD_UC_NUMBER)
        return p + n;
    if (*p == '\'') {
        const size_t k = contraction(p, end);
        if (k)
            return p + k;
    }
    const uint8_t *next = p + n;
    if (next < end && *p != '\r' && *p != '\n') {
        const unsigned class2 = class_at(u, next, &n2);
        if (class2 & WD_UC_LETTER)
            return skip_letters(u, next + n2, end);
        if (*p == ' ' && !(class2 & (WORD | WD_UC_SPACE)))
            return skip_signs(u, next + n2, end);
    }
    if (class & WD_UC_SPACE)
        return skip_space(u, p, end);
    return skip_signs(u, next, end);
}

size_t wd_pretok_next(const wd_unicode *u, wd_span text, size_t at)
{
    return (size_t)(skip_piece(u, text.p + at, text.p + text.n) - text.p);
}
