/* Numbers between bounds, as text: an automaton over the characters of a JSON number.
 *
 * Spellings. Whole numbers have up to 19 digits and lie within 64 bits; numbers with a fraction have up to 15 digits in
 * all, so that different texts are different doubles; without bounds an exponent of up to two digits may follow. A whole
 * number of type "integer" has no fraction. "-0" does not occur, but "-0.0" may. So what is written always parses, in
 * range, everywhere.
 */
#ifndef WD_TEXT_SCHEMA_NUMBER_H
#define WD_TEXT_SCHEMA_NUMBER_H

#include <jansson.h>

#include "base/arena.h"

#define WD_DEC_INT 20  /* digits before the point */
#define WD_DEC_FRAC 20 /* and behind it */

/* A decimal number: digits as values 0..9, without zeros at the outer ends (but one before the point). */
typedef struct wd_dec {
    bool neg;
    bool cut;  /* further digits, not all zero, were left out behind the last */
    bool huge; /* more digits before the point than fit: beyond all that can be written */
    uint8_t n_int, n_frac;
    uint8_t i[WD_DEC_INT], f[WD_DEC_FRAC];
} wd_dec;

wd_dec wd_dec_of(const json_t *number);
int wd_dec_compare(const wd_dec *a,
                   const wd_dec *b); /* < 0, 0, > 0; those cut count as slightly farther from 0 */

typedef enum wd_num_kind { WD_NUM_ANY, WD_NUM_INT, WD_NUM_BROKEN /* not whole */ } wd_num_kind;

typedef struct wd_num_range {
    wd_num_kind kind;
    bool has_lo, has_hi, lo_open, hi_open; /* open: the bound itself is left out */
    wd_dec lo, hi;
} wd_num_range;

/* Narrows *r to what other holds too; false when nothing is left for sure. */
bool wd_num_meet(wd_num_range *r, const wd_num_range *other);
/* What r holds and other does not: up to three ranges; returns how many. */
size_t wd_num_without(const wd_num_range *r, const wd_num_range *other, wd_num_range out[3]);

#define WD_NUM_DEAD UINT16_MAX
#define WD_NUM_CLASSES 14 /* 0..9, '-', '.', 'e' and 'E', '+' */
typedef struct wd_num {
    uint32_t n_state; /* 0: no number can be written */
    const uint16_t (*next)[WD_NUM_CLASSES];
    const uint8_t *accept;
} wd_num;

/* The class of a byte, or -1. */
static inline int wd_num_class(uint8_t c)
{
    return c >= '0' && c <= '9'     ? c - '0'
           : c == '-'               ? 10
           : c == '.'               ? 11
           : (c == 'e' || c == 'E') ? 12
           : c == '+'               ? 13
                                    : -1;
}

WD_MUST_CHECK wd_status wd_num_create(wd_arena *a, const wd_num_range *r, const wd_num **out, wd_err *err);

#endif
