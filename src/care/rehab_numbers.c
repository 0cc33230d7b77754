/* Numbers in a text: digits of any width, English words, Chinese numerals where they count something. */
#include <math.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "care/rehab.h"

#define NUMBERS_MAX 512u
#define SAME 1e-6

typedef struct numbers {
    double v[NUMBERS_MAX];
    size_t n;
    bool too_many;
} numbers;

static void add(numbers *l, double v)
{
    if (l->n < NUMBERS_MAX)
        l->v[l->n++] = v;
    else
        l->too_many = true;
}

/* 0..9 of ASCII and of full width; -1: none. */
static int digit(uint32_t c)
{
    if (c >= '0' && c <= '9')
        return (int)(c - '0');
    return c >= 0xFF10 && c <= 0xFF19 ? (int)(c - 0xFF10) : -1;
}

/* Chinese numerals up to the hundreds; -1: none. 10 and 100 multiply. */
static int numeral(uint32_t c)
{
    static const uint32_t list[] = { 0x96F6, 0x4E00, 0x4E8C, 0x4E09, 0x56DB,
                                     0x4E94, 0x516D, 0x4E03, 0x516B, 0x4E5D };
    for (int i = 0; i < 10; i++)
        if (list[i] == c)
            return i;
    return c == 0x4E24 ? 2 : c == 0x5341 ? 10 : c == 0x767E ? 100 : -1;
}

/* What is counted: degrees, times, seconds, minutes, centimetres, sets, weeks, days, percent. */
static bool is_unit(uint32_t c)
{
    static const uint32_t list[] = { 0x5EA6, 0x6B21, 0x79D2, 0x5206, 0x5398, 0x7EC4,
                                     0x5468, 0x5929, 0x56DE, 0x904D, 0x4E2A };
    for (size_t i = 0; i < WD_COUNT(list); i++)
        if (list[i] == c)
            return true;
    return c == '%' || c == 0xB0;
}

static size_t read_digits(wd_span s, size_t at, double *out)
{
    double v = 0, part = 0;
    bool dot = false;
    size_t n;
    while (at < s.n) {
        const uint32_t c = wd_utf8_next(s, at, &n);
        const int d = digit(c);
        if (d >= 0) {
            v = dot ? v + d * part : v * 10 + d;
            part /= 10;
        } else if (c == '.' && !dot && at + 1 < s.n && digit(s.p[at + 1]) >= 0) {
            dot = true;
            part = 0.1;
        } else {
            break;
        }
        at += n;
    }
    *out = v;
    return at;
}

/* A run of numerals counts when it follows U+7B2C (ordinal) or a unit follows it. */
static size_t read_numerals(wd_span s, size_t at, uint32_t before, numbers *l)
{
    int total = 0, digits = 0;
    bool any = false;
    size_t n;
    while (at < s.n) {
        const uint32_t c = wd_utf8_next(s, at, &n);
        const int v = numeral(c);
        if (v < 0) {
            if (before == 0x7B2C || is_unit(c))
                add(l, total + (any ? digits : 0));
            return at;
        }
        if (v >= 10) {
            total += (any ? digits : 1) * v;
            any = false;
            digits = 0;
        } else {
            digits = v;
            any = true;
        }
        if (total > 100000)
            total = 100000;
        at += n;
    }
    if (before == 0x7B2C)
        add(l, total + (any ? digits : 0));
    return at;
}

static bool is_letter(uint32_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "one" is left out: it seldom counts. */
static size_t read_word(wd_span s, size_t at, numbers *l)
{
    static const struct {
        const char *word;
        int v;
    } words[] = { { "two", 2 },       { "three", 3 },    { "four", 4 },     { "five", 5 },
                  { "six", 6 },       { "seven", 7 },    { "eight", 8 },    { "nine", 9 },
                  { "ten", 10 },      { "eleven", 11 },  { "twelve", 12 },  { "thirteen", 13 },
                  { "fourteen", 14 }, { "fifteen", 15 }, { "sixteen", 16 }, { "eighteen", 18 },
                  { "twenty", 20 },   { "thirty", 30 },  { "forty", 40 },   { "fifty", 50 },
                  { "sixty", 60 },    { "seventy", 70 }, { "eighty", 80 },  { "ninety", 90 },
                  { "hundred", 100 }, { "twice", 2 },    { "thrice", 3 } };
    char word[16];
    size_t n = 0, end = at;
    while (end < s.n && is_letter(s.p[end])) {
        if (n < sizeof word - 1)
            word[n++] = (char)(s.p[end] | 0x20);
        end++;
    }
    word[n] = 0;
    for (size_t i = 0; i < WD_COUNT(words); i++)
        if (!strcmp(word, words[i].word))
            add(l, words[i].v);
    return end;
}

static void read_numbers(wd_span s, numbers *l)
{
    uint32_t before = 0;
    for (size_t at = 0, n; at < s.n;) {
        const uint32_t c = wd_utf8_next(s, at, &n);
        double v;
        if (digit(c) >= 0) {
            at = read_digits(s, at, &v);
            add(l, v);
        } else if (numeral(c) >= 0) {
            at = read_numerals(s, at, before, l);
        } else if (is_letter(c)) {
            at = read_word(s, at, l);
        } else {
            at += n;
        }
        before = c;
    }
}

bool wd_rehab_numbers_hold(wd_span text, wd_span allowed, double *bad)
{
    numbers said = { .n = 0 }, have = { .n = 0 };
    read_numbers(text, &said);
    read_numbers(allowed, &have);
    for (size_t i = 0; i < said.n; i++) {
        bool found = false;
        for (size_t k = 0; k < have.n && !found; k++)
            found = fabs(said.v[i] - have.v[k]) < SAME;
        if (!found) {
            if (bad)
                *bad = said.v[i];
            return false;
        }
    }
    if (said.too_many && bad)
        *bad = NAN;
    return !said.too_many;
}
