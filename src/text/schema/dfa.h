/* Deterministic automata over code points: what a string may be. Built once, then read only.
 *
 * U+0000 and the surrogates lead nowhere in any of them: parsers end a string at the one, and the others are not text.
 * From every state an accepting one can be reached, so whoever follows the transitions never runs into a dead end.
 */
#ifndef WD_TEXT_SCHEMA_DFA_H
#define WD_TEXT_SCHEMA_DFA_H

#include "base/arena.h"
#include "base/buf.h"

#define WD_DFA_DEAD UINT32_MAX
#define WD_DFA_STATES_MAX 40000u
#define WD_DFA_CELLS_MAX ((size_t)4 << 20) /* states times classes */

typedef struct wd_dfa {
    uint32_t n_state; /* 0: nothing is accepted; the first one is 0 */
    uint32_t n_class; /* code points that no state tells apart */
    uint32_t n_range;
    const uint32_t *lo;    /* [n_range] first code point of each range, rising from 0 */
    const uint16_t *cls;   /* [n_range] */
    uint16_t ascii[128];   /* class of each */
    const uint32_t *next;  /* [n_state][n_class] */
    const uint8_t *accept; /* [n_state] */
} wd_dfa;

/* What a regular expression matches: the whole string, or (search) any part of it. ECMA-262 with the u flag, without
 * look-around, back-references, word borders and \p. `what` names the expression in messages ("pattern").
 *
 *   WD_E_INVALID      not a regular expression; the sentence names the byte
 *   WD_E_UNSUPPORTED  look-around and the like, named
 *   WD_E_LIMIT        the automaton would be too large
 */
WD_MUST_CHECK wd_status wd_dfa_regex(wd_arena *a, wd_span re, bool search, const char *what,
                                     const wd_dfa **out, wd_err *err);
/* Exactly these texts (UTF-8). */
WD_MUST_CHECK wd_status wd_dfa_literals(wd_arena *a, const wd_span *text, size_t n, const wd_dfa **out,
                                        wd_err *err);
/* Any text of min to max characters; max UINT32_MAX: no limit. */
WD_MUST_CHECK wd_status wd_dfa_length(wd_arena *a, uint32_t min, uint32_t max, const wd_dfa **out,
                                      wd_err *err);
/* What x accepts and y does too, or (without) does not. */
WD_MUST_CHECK wd_status wd_dfa_product(wd_arena *a, const wd_dfa *x, const wd_dfa *y, bool without,
                                       const wd_dfa **out, wd_err *err);

/* The index of the range that holds cp. */
uint32_t wd_dfa_range(const wd_dfa *d, uint32_t cp);

static inline uint32_t wd_dfa_next(const wd_dfa *d, uint32_t q, uint32_t cp)
{
    const uint32_t c = cp < 128 ? d->ascii[cp] : d->cls[wd_dfa_range(d, cp)];
    return d->next[(size_t)q * d->n_class + c];
}

/* Whether some code point of [lo, hi] leads on from q. */
bool wd_dfa_any(const wd_dfa *d, uint32_t q, uint32_t lo, uint32_t hi);
bool wd_dfa_accepts(const wd_dfa *d, wd_span text); /* text must be UTF-8 */

/* --- for regex.c and dfa.c --------------------------------------------------------------------------------------- */

/* An automaton in the making: rows are added with next states that may be known later only. */
typedef struct wd_dfa_build {
    uint32_t n_state, cap, n_class, n_range;
    uint32_t *lo;
    uint16_t *cls;
    uint32_t *next;
    uint8_t *accept;
} wd_dfa_build;

/* cuts [n]: where classes may change, sorted and unique, without 0 and the surrogates, which are added. Afterwards every
 * range is a class of its own. */
WD_MUST_CHECK wd_status wd_dfa__begin(wd_dfa_build *b, const uint32_t *cuts, size_t n, wd_err *err);
/* One more state, all of whose transitions are WD_DFA_DEAD. */
WD_MUST_CHECK wd_status wd_dfa__state(wd_dfa_build *b, bool accept, uint32_t *q, wd_err *err);
/* Leaves out states that lead nowhere, merges classes that no state tells apart, and moves all into the arena. */
WD_MUST_CHECK wd_status wd_dfa__finish(wd_dfa_build *b, wd_arena *a, const wd_dfa **out, wd_err *err);
void wd_dfa__free(wd_dfa_build *b);

#endif
