/* Findings as plain values: what is true of a case, what a report claims, and which belongs to which. */
#ifndef WD_CARE_EVAL_CLAIMS_H
#define WD_CARE_EVAL_CLAIMS_H

#include <jansson.h>

#include "base/arena.h"
#include "care/eval/lexicon.h"

typedef struct wd_claim {
    wd_lex_type type;
    unsigned side; /* 0: not said */
    wd_lex_lobe lobe;
    double size_mm; /* 0: not said */
    wd_lex_density density;
    wd_lex_margin margin;
    wd_lex_grade grade;
    const uint32_t *slice; /* [n_slice] numbers from 1 */
    uint32_t n_slice;
    const char *text; /* its sentence in the language of the case, or NULL */
    size_t sentence;  /* of a report's claim: which of its findings */
    int match;        /* index on the other side, -1: none */
} wd_claim;

/* The array truth["findings"] (docs/evaluation.md). where names the file in messages.
 *   WD_E_INVALID   a field of the wrong kind, an unknown type, side, lobe, density, margin or grade, a lobe that is not
 *                  on the side, a size or slice out of range; the sentence names finding and field */
WD_MUST_CHECK wd_status wd_eval__truth(const json_t *truth, const char *where, const char *language,
                                       wd_arena *a, wd_claim **out, size_t *n, wd_err *err);

/* Pairs claims with truths of the same type, the best pairs first, each at most once; sets match on both sides. Two may
 * belong together when they share a slice or the lobe: neither a wrong side nor a wrong lobe keeps apart what the
 * slices put together. Where lobe or slices are not said (or the truth has no lobe), sides that do not differ suffice.
 *   WD_E_NOMEM */
WD_MUST_CHECK wd_status wd_eval__match(wd_claim *said, size_t n_said, wd_claim *truth, size_t n_truth,
                                       wd_arena *a, wd_err *err);

/* {"type", "side", "lobe", "size_mm", "density", "margin", "grade", "slices", "text", "match"}: truth's form again. */
json_t *wd_eval__claim_json(const wd_claim *c);

#endif
