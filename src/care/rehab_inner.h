/* What the files of the rehab story share. */
#ifndef WD_CARE_REHAB_INNER_H
#define WD_CARE_REHAB_INNER_H

#include "care/rehab.h"

/* A fault kind for people: [0] English, [1] Chinese. */
const char *wd_rehab__fault_title(wd_rehab_fault_kind k, bool zh);
/* The measurement of one kind of fault as a sentence. */
void wd_rehab__plain(const wd_rehab_measured *m, const wd_rehab_issue *i, bool zh, wd_buf *out);
void wd_rehab__plain_summary(const wd_rehab_measured *m, uint32_t n_issue, bool zh, wd_buf *out);

#endif
