/* What the tokenizer needs of Unicode: letters, numbers, white space, and normalisation form C.
 *
 * The tables are those of the reference tokenizer, of whatever Unicode version the machine's libraries are: see
 * unicode_ranges.inc. Its regular expressions know a newer Unicode than its normaliser, so "unknown to NFC" and
 * "not a letter" are separate questions. utf8proc composes and decomposes; it is only ever given characters that
 * the reference's normaliser knows too, about which no later version of Unicode may change its mind.
 */
#ifndef WD_TEXT_UNICODE_H
#define WD_TEXT_UNICODE_H

#include "base/buf.h"

#define WD_UNICODE_END 0x110000u

enum {
    WD_UC_LETTER = 1,    /* \p{L} */
    WD_UC_NUMBER = 2,    /* \p{N} */
    WD_UC_SPACE = 4,     /* White_Space */
    WD_UC_NFC_CARE = 8,  /* may change, or change place, in NFC; all others end a run that NFC looks at */
    WD_UC_NFC_FIRST = 16 /* it, or what it decomposes into, may compose with what follows */
};

typedef struct wd_unicode {
    uint8_t of[WD_UNICODE_END]; /* bits above, by code point */
} wd_unicode;

/* About 1 MiB, mostly untouched. NULL when out of memory; release with wd_free. */
WD_MUST_CHECK wd_unicode *wd_unicode_create(void);

/* The character at p, which must begin a well-formed one, and its length. */
static inline uint32_t wd_unicode_next(const uint8_t *p, size_t *n)
{
    if (p[0] < 0x80) {
        *n = 1;
        return p[0];
    }
    if (p[0] < 0xE0) {
        *n = 2;
        return (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu);
    }
    if (p[0] < 0xF0) {
        *n = 3;
        return (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
    }
    *n = 4;
    return (p[0] & 0x07u) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu);
}

/* How many bytes of well-formed text are in NFC whatever follows them: text.n when all of it is. The rest begins
 * where a character that may change, or the one before it, begins. One pass, no memory. */
size_t wd_unicode_nfc_prefix(const wd_unicode *u, wd_span text);

/* Appends the NFC of well-formed text. Linear in text.n, also for endless combining marks. Fails only for memory
 * or out->max. */
WD_MUST_CHECK wd_status wd_unicode_nfc(const wd_unicode *u, wd_span text, wd_buf *out, wd_err *err);

#endif
