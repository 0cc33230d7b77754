/* A growable array of token ids. */
#ifndef WD_TEXT_IDS_H
#define WD_TEXT_IDS_H

#include "base/err.h"
#include "base/mem.h"

/* {0} is a valid empty array with no limit; set max before use to bound it. After a failed append the
 * contents are as before and failed stays true, so that a run of appends can be checked once at its end. */
typedef struct wd_ids {
    uint32_t *v;
    size_t n, cap;
    size_t max; /* most ids, 0 = no limit */
    bool failed;
} wd_ids;

void wd_ids_put(wd_ids *ids, uint32_t id);
void wd_ids_add(wd_ids *ids, const uint32_t *v, size_t n);
/* WD_OK, or WD_E_NOMEM / WD_E_LIMIT with "WHAT: ..." when an append failed. */
WD_MUST_CHECK wd_status wd_ids_check(const wd_ids *ids, const char *what, wd_err *err);
void wd_ids_clear(wd_ids *ids); /* keeps the memory */
void wd_ids_wipe(wd_ids *ids);  /* overwrites with zeros, then clears: prompts are patient data */
void wd_ids_free(wd_ids *ids);  /* becomes {0} with the same max */

#endif
