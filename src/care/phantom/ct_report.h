/* The sentences about a synthetic chest CT, English and Chinese, from a small grammar with many wordings. */
#ifndef WD_CARE_PHANTOM_CT_REPORT_H
#define WD_CARE_PHANTOM_CT_REPORT_H

#include "base/rand.h"
#include "care/phantom/ct.h"

/* Fills f->text in both languages. The words depend on the finding and on r alone; r NULL: the first wording. */
void wd_ct_report__sentence(wd_ct_finding *f, wd_rand *r);

/* {"findings": [{"text", "place", "size_mm", "slices"}], "impression": [...]} in one language; NULL: no memory.
 * One finding per wd_ct_finding in their order, then one or two sentences about what is absent (place and size_mm
 * null, no slices). The impression names at most four findings, by this order: spiculated nodule, large effusion or
 * consolidation, part-solid nodule, lobulated nodule, moderate effusion, ground-glass nodule, solid nodule, small
 * effusion, emphysema, calcified nodule; nodules of one rank by size. r NULL: the first wording of everything but the
 * findings' own sentences, and one sentence about what is absent. */
json_t *wd_ct_report__json(const wd_ct_finding *f, size_t n, wd_ct_lang lang, wd_rand *r);

#endif
