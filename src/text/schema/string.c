/* One byte of a string: UTF-8, the escapes of JSON in their one spelling, and the automaton or the count behind them. */
#include <string.h>

#include "text/schema/inner.h"

static const char short_from[] = "\"\\bfnrt";
static const uint8_t short_to[] = { '"', '\\', '\b', '\f', '\n', '\r', '\t' };

/* The state after one more character; false when it may not come. */
static bool after(const wd_thread *t, uint32_t cp, wd_thread *to)
{
    const wd_str_shape *s = t->shape;
    *to = *t;
    to->phase = WD_PH_TEXT;
    to->x = 0;
    if (!s) /* any name */
        return cp != 0;
    if (s->dfa) {
        to->q = wd_dfa_next(s->dfa, t->q, cp);
        return to->q != WD_DFA_DEAD;
    }
    if (s->max != UINT32_MAX || t->n < s->min)
        to->n++;
    return cp != 0 && t->n < s->max;
}

static bool can(const wd_thread *t, uint32_t cp)
{
    wd_thread to;
    return after(t, cp, &to);
}

static bool can_some(const wd_thread *t, uint32_t lo, uint32_t hi)
{
    const wd_str_shape *s = t->shape;
    return s && s->dfa ? wd_dfa_any(s->dfa, t->q, lo, hi) : can(t, lo);
}

/* Control characters without a short escape. */
static bool is_long(uint32_t cp)
{
    return cp < 0x20 && cp && !memchr(short_to, (int)cp, sizeof short_to);
}

static bool can_long(const wd_thread *t, uint32_t lo, uint32_t hi)
{
    for (uint32_t cp = lo; cp <= hi; cp++)
        if (is_long(cp) && can(t, cp))
            return true;
    return false;
}

static bool can_escape(const wd_thread *t)
{
    for (size_t i = 0; i < sizeof short_to; i++)
        if (can(t, short_to[i]))
            return true;
    return can_long(t, 1, 0x1F);
}

static bool ends(const wd_thread *t)
{
    const wd_str_shape *s = t->shape;
    return !s || (s->dfa ? s->dfa->accept[t->q] : t->n >= s->min);
}

static int on(wd_thread *t, uint8_t phase, uint32_t x, bool good)
{
    if (!good)
        return WD_STR_DEAD;
    t->phase = phase;
    t->x = x;
    return WD_STR_ON;
}

static int character(wd_thread *t, uint32_t cp)
{
    wd_thread to;
    if (!after(t, cp, &to))
        return WD_STR_DEAD;
    *t = to;
    return WD_STR_ON;
}

static int text_byte(wd_thread *t, uint8_t b)
{
    const wd_str_shape *s = t->shape;
    const bool raw = s && s->raw;
    if (b < 0x80) {
        if (raw || (b >= 0x20 && b != '"' && b != '\\'))
            return character(t, b);
        if (b == '"')
            return ends(t) ? WD_STR_CLOSED : WD_STR_DEAD;
        return on(t, WD_PH_ESCAPE, 0, b == '\\' && can_escape(t));
    }
    if (b >= 0xC2 && b < 0xE0)
        return on(t, WD_PH_1, b & 0x1Fu, can_some(t, (b & 0x1Fu) << 6, (b & 0x1Fu) << 6 | 0x3F));
    if (b >= 0xE0 && b < 0xF0) {
        const uint32_t lo = (b & 0xFu) << 12;
        return on(t, WD_PH_2, b & 0xFu, can_some(t, WD_MAX(lo, 0x800u), lo | 0xFFF));
    }
    if (b >= 0xF0 && b < 0xF5) {
        const uint32_t lo = (b & 7u) << 18;
        return on(t, WD_PH_3, b & 7u, can_some(t, WD_MAX(lo, 0x10000u), WD_MIN(lo | 0x3FFFF, 0x10FFFFu)));
    }
    return WD_STR_DEAD;
}

static int further_byte(wd_thread *t, uint8_t b)
{
    if ((b & 0xC0) != 0x80)
        return WD_STR_DEAD;
    const uint32_t x = t->x << 6 | (b & 0x3Fu);
    switch (t->phase) {
    case WD_PH_3: /* not overlong, not beyond the last code point */
        return on(t, WD_PH_2, x, x >= 0x10 && x <= 0x10F && can_some(t, x << 12, x << 12 | 0xFFF));
    case WD_PH_2: /* not overlong, no surrogate */
        return on(t, WD_PH_1, x, x >= 0x20 && x >> 5 != 0xD800u >> 11 && can_some(t, x << 6, x << 6 | 0x3F));
    default:
        return character(t, x);
    }
}

static int escape_byte(wd_thread *t, uint8_t b)
{
    const char *at = b ? strchr(short_from, b) : NULL;
    if (at)
        return character(t, short_to[at - short_from]);
    return on(t, WD_PH_U, 0, b == 'u' && can_long(t, 1, 0x1F));
}

static int last_digit(wd_thread *t, uint8_t b)
{
    const int v = b >= '0' && b <= '9' ? b - '0' : b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
    const uint32_t cp = t->x << 4 | (uint32_t)v;
    return v >= 0 && is_long(cp) ? character(t, cp) : WD_STR_DEAD;
}

int wd_string_step(wd_thread *t, uint8_t b)
{
    switch (t->phase) {
    case WD_PH_QUOTE:
        return on(t, WD_PH_TEXT, 0, b == '"');
    case WD_PH_TEXT:
        return text_byte(t, b);
    case WD_PH_ESCAPE:
        return escape_byte(t, b);
    case WD_PH_U:
        return on(t, WD_PH_U0, 0, b == '0');
    case WD_PH_U0:
        return on(t, WD_PH_U00, 0, b == '0');
    case WD_PH_U00: /* 0 or 1 */
        return on(t, WD_PH_U00X, b & 1u,
                  b == '0' ? can_long(t, 1, 0xF) : b == '1' && can_long(t, 0x10, 0x1F));
    case WD_PH_U00X:
        return last_digit(t, b);
    default:
        return further_byte(t, b);
    }
}
