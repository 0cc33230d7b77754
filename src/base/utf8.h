/* UTF-8. One policy for invalid input everywhere: each maximal ill-formed part (Unicode 15, section 3.9,
 * "substitution of maximal subparts") counts as one U+FFFD. */
#ifndef WD_BASE_UTF8_H
#define WD_BASE_UTF8_H

#include "base/buf.h"

#define WD_UTF8_BAD 0xFFFDu

/* Decodes the character at s.p[at], at < s.n. Returns its code point (WD_UTF8_BAD for an ill-formed part) and
 * sets *n to the bytes taken, >= 1. */
uint32_t wd_utf8_next(wd_span s, size_t at, size_t *n);

/* Bytes written for cp, 1..4; cp must be a scalar value. */
size_t wd_utf8_put(uint32_t cp, uint8_t out[4]);

bool wd_utf8_valid(wd_span s);

/* Appends s with every ill-formed part replaced by U+FFFD. */
void wd_utf8_sanitize(wd_span s, wd_buf *out);

/* How many bytes at the end of s are the beginning of a character that is not complete yet: 0..3. */
size_t wd_utf8_partial(wd_span s);

#endif
