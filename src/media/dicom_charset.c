/* See dicom_charset.h. Japanese, Korean and Chinese sets of ISO 2022 are two bytes in G0 or G1; iconv knows them as
 * their EUC forms, which is the same code with the high bits set (and 0x8F before JIS X 0212). */
#include "media/dicom_charset.h"

#include <iconv.h>

#include "base/utf8.h"

typedef enum shape {
    SHAPE_SINGLE,  /* one byte a character, iconv's table */
    SHAPE_WHOLE,   /* multi-byte without escapes: the text is converted as a whole */
    SHAPE_G1_PAIR, /* two bytes with high bits set, in G1: as they are */
    SHAPE_G0_PAIR, /* two bytes of 7 bits, in G0: high bits are added */
    SHAPE_G0_PAIR3 /* the same with 0x8F before them */
} shape;

typedef struct charset {
    const char *term;      /* without "ISO_IR " or "ISO 2022 IR " */
    const char *escape;    /* after ESC; NULL: none */
    const char *escape_g0; /* a second escape sequence of the same set, for its 7-bit half */
    const char *iconv_name;
    shape shape;
} charset;

/* PS3.3 tables C.12-2 to C.12-5. */
static const charset sets[] = {
    { "6", NULL, "(B", "ASCII", SHAPE_SINGLE },         { "100", "-A", NULL, "ISO-8859-1", SHAPE_SINGLE },
    { "101", "-B", NULL, "ISO-8859-2", SHAPE_SINGLE },  { "109", "-C", NULL, "ISO-8859-3", SHAPE_SINGLE },
    { "110", "-D", NULL, "ISO-8859-4", SHAPE_SINGLE },  { "144", "-L", NULL, "ISO-8859-5", SHAPE_SINGLE },
    { "127", "-G", NULL, "ISO-8859-6", SHAPE_SINGLE },  { "126", "-F", NULL, "ISO-8859-7", SHAPE_SINGLE },
    { "138", "-H", NULL, "ISO-8859-8", SHAPE_SINGLE },  { "148", "-M", NULL, "ISO-8859-9", SHAPE_SINGLE },
    { "203", "-b", NULL, "ISO-8859-15", SHAPE_SINGLE }, { "166", "-T", NULL, "TIS-620", SHAPE_SINGLE },
    { "13", ")I", "(J", "SHIFT_JIS", SHAPE_SINGLE }, /* JIS X 0201: its bytes are the single ones of Shift JIS */
    { "87", NULL, "$B", "EUC-JP", SHAPE_G0_PAIR },      { "159", NULL, "$(D", "EUC-JP", SHAPE_G0_PAIR3 },
    { "149", "$)C", NULL, "EUC-KR", SHAPE_G1_PAIR },    { "58", "$)A", NULL, "GB2312", SHAPE_G1_PAIR },
    { "192", NULL, NULL, "UTF-8", SHAPE_WHOLE },        { "GB18030", NULL, NULL, "GB18030", SHAPE_WHOLE },
    { "GBK", NULL, NULL, "GBK", SHAPE_WHOLE },
};

/* Converters, opened once and kept: closing the last user of a table unloads it. Written by prepare alone. */
static iconv_t converters[WD_COUNT(sets)];
static bool prepared;

void wd_charset_prepare(void)
{
    if (prepared)
        return;
    prepared = true;
    for (size_t i = 0; i < WD_COUNT(sets); i++) {
        char in[] = "a", out[8], *pi = in, *po = out;
        size_t ni = 1, no = sizeof out;
        converters[i] = iconv_open("UTF-8", sets[i].iconv_name);
        if (converters[i] != (iconv_t)-1)
            (void)iconv(converters[i], &pi, &ni, &po, &no);
    }
}

static void put_bad(wd_buf *out)
{
    wd_buf_put(out, "\xef\xbf\xbd", 3);
}

/* Converts what it can; each byte that it cannot is one U+FFFD. */
static void convert(const charset *cs, wd_span s, wd_buf *out)
{
    const iconv_t cd = converters[cs - sets];
    if (cs->shape == SHAPE_WHOLE && strcmp(cs->iconv_name, "UTF-8") == 0) {
        wd_utf8_sanitize(s, out);
        return;
    }
    if (cd == (iconv_t)-1) {
        for (size_t i = 0; i < s.n; i++)
            put_bad(out);
        return;
    }
    (void)iconv(cd, NULL, NULL, NULL, NULL);
    char *in = (char *)(uintptr_t)s.p;
    size_t left = s.n;
    while (left > 0) {
        char tmp[256], *to = tmp;
        size_t room = sizeof tmp;
        const size_t before = left;
        const size_t r = iconv(cd, &in, &left, &to, &room);
        wd_buf_put(out, tmp, sizeof tmp - room);
        if (r != (size_t)-1 || left == 0)
            continue;
        if (room > sizeof tmp - 8 || left == before || room >= 8) { /* not for want of room: a bad byte */
            put_bad(out);
            in++;
            left--;
        }
    }
}

static const charset *find_set(wd_span term)
{
    if (wd_span_starts(term, "ISO 2022 IR "))
        term = wd_span_sub(term, 12, term.n);
    else if (wd_span_starts(term, "ISO_IR ") || wd_span_starts(term, "ISO-IR ") ||
             wd_span_starts(term, "ISO IR "))
        term = wd_span_sub(term, 7, term.n);
    if (term.n == 0)
        return &sets[0];
    for (size_t i = 0; i < WD_COUNT(sets); i++)
        if (wd_span_is(term, sets[i].term))
            return &sets[i];
    return NULL;
}

static wd_span trim(wd_span s)
{
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == 0))
        s.n--;
    while (s.n > 0 && s.p[0] == ' ')
        s = wd_span_sub(s, 1, s.n);
    return s;
}

/* Code extensions: which sets are in the lower and the upper half of the code table. */
typedef struct state {
    const charset *first;   /* value 1 of the attribute: at the start, and after each delimiter */
    const charset *g0, *g1; /* g1 NULL: nothing known there */
} state;

static void reset(state *s)
{
    s->g0 = s->first && s->first->shape == SHAPE_G0_PAIR ? s->first : &sets[0];
    s->g1 = s->first && s->first->escape ? s->first : NULL;
    if (s->first && strcmp(s->first->term, "13") == 0)
        s->g0 = s->first;
}

/* Takes an escape sequence at s.p[at] (an ESC); returns its bytes, or 0 when it is not one that we know. */
static size_t escape(state *st, wd_span s, size_t at)
{
    const wd_span rest = wd_span_sub(s, at + 1, s.n);
    for (size_t i = 0; i < WD_COUNT(sets); i++) {
        if (sets[i].escape && wd_span_starts(rest, sets[i].escape)) {
            st->g1 = &sets[i];
            return 1 + strlen(sets[i].escape);
        }
        if (sets[i].escape_g0 && wd_span_starts(rest, sets[i].escape_g0)) {
            st->g0 = &sets[i];
            return 1 + strlen(sets[i].escape_g0);
        }
    }
    return 0;
}

static bool is_delimiter(uint8_t c, bool is_name)
{
    return c == '\r' || c == '\n' || c == '\f' || c == '\t' || c == '\\' ||
           (is_name && (c == '^' || c == '='));
}

/* One character at s.p[at]; returns its bytes. */
static size_t one_character(const state *st, wd_span s, size_t at, wd_buf *out)
{
    const uint8_t c = s.p[at];
    const charset *cs = c < 0x80 ? st->g0 : st->g1;
    uint8_t pair[3];

    if (!cs) {
        put_bad(out);
        return 1;
    }
    if (cs->shape == SHAPE_SINGLE) {
        convert(cs, wd_span_sub(s, at, 1), out);
        return 1;
    }
    if (cs->shape == SHAPE_G0_PAIR || cs->shape == SHAPE_G0_PAIR3) {
        if (c <= 0x20) { /* controls and the space are not in these sets */
            wd_buf_put(out, &c, 1);
            return 1;
        }
        if (at + 1 >= s.n) {
            put_bad(out);
            return 1;
        }
        pair[0] = 0x8F;
        pair[1] = c | 0x80;
        pair[2] = s.p[at + 1] | 0x80;
        convert(cs, cs->shape == SHAPE_G0_PAIR3 ? wd_span_of(pair, 3) : wd_span_of(pair + 1, 2), out);
        return 2;
    }
    const size_t n = at + 1 < s.n && s.p[at + 1] >= 0x80 ? 2 : 1;
    convert(cs, wd_span_sub(s, at, n), out);
    return n;
}

void wd_charset_to_utf8(wd_span set, wd_span text, bool is_name, wd_buf *out)
{
    const size_t cut = wd_span_find(set, WD_SPAN_LIT("\\"), 0);
    const charset *first = find_set(trim(wd_span_sub(set, 0, cut == SIZE_MAX ? set.n : cut)));
    state st = { .first = first };

    wd_charset_prepare();
    if (first && first->shape == SHAPE_WHOLE) { /* these do not mix with code extensions */
        convert(first, text, out);
        return;
    }
    reset(&st);
    for (size_t at = 0; at < text.n;) {
        const uint8_t c = text.p[at];
        const size_t n = c == 0x1B ? escape(&st, text, at) : 0;
        if (n > 0) {
            at += n;
            continue;
        }
        /* A backslash or a ^ byte can be half of a two-byte character, but only while such a set is in G0. */
        if (is_delimiter(c, is_name) && st.g0->shape == SHAPE_SINGLE)
            reset(&st);
        at += one_character(&st, text, at, out);
    }
}
