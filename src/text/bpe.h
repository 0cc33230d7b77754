/* Byte-pair merging: the piece's bytes become tokens, then the adjacent pair of the lowest rank is joined, the
 * leftmost of equal ones first, until no pair has a rank.
 */
#ifndef WD_TEXT_BPE_H
#define WD_TEXT_BPE_H

#include "text/ids.h"

typedef struct wd_bpe_merge {
    uint32_t left, right, id; /* tokens; id is their union */
} wd_bpe_merge;

typedef struct wd_bpe_slot {
    uint64_t pair; /* left << 32 | right, UINT64_MAX = empty */
    uint32_t rank, id;
} wd_bpe_slot;

typedef struct wd_bpe {
    uint32_t byte_id[256];
    wd_bpe_slot *slot; /* [n_slot] a power of two, at least twice the merges */
    size_t n_slot;
    uint64_t seed;
} wd_bpe;

/* merge [n], best first. byte_id is the caller's to fill. A pair that comes twice is WD_E_INVALID "WHERE: ...". */
WD_MUST_CHECK wd_status wd_bpe_init(wd_bpe *b, const wd_bpe_merge *merge, size_t n, const char *where,
                                    wd_err *err);
void wd_bpe_free(wd_bpe *b); /* accepts {0} */

/* One encoder's memory: pieces met lately with their ids (512 KiB, whatever the text), and room for the piece in
 * hand. Holds text: wiped when it is destroyed. For one thread at a time; belongs to one wd_bpe. */
typedef struct wd_bpe_work wd_bpe_work;
WD_MUST_CHECK wd_bpe_work *wd_bpe_work_create(void);
void wd_bpe_work_destroy(wd_bpe_work *w); /* accepts NULL */
/* Gives back what an unusually long piece took. */
void wd_bpe_work_trim(wd_bpe_work *w);

/* Appends the ids of the piece p[n], n >= 1. Time n log n, memory 40 bytes per byte of the piece. WD_E_NOMEM; or
 * ids->failed, which the caller checks. */
WD_MUST_CHECK wd_status wd_bpe_encode(const wd_bpe *b, wd_bpe_work *w, const uint8_t *p, size_t n,
                                      wd_ids *ids, wd_err *err);

#endif
