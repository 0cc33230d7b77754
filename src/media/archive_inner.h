/* What the worker tells the parent about an archive: for each regular file NAME, DATA *, DONE. */
#ifndef WD_MEDIA_ARCHIVE_INNER_H
#define WD_MEDIA_ARCHIVE_INNER_H

#include "media/archive.h"
#include "media/sandbox.h"

enum {
    WD_ARCHIVE__NAME = 1, /* uint32_t entry, then the name */
    WD_ARCHIVE__DATA,     /* bytes */
    WD_ARCHIVE__DONE,     /* empty */
    WD_ARCHIVE__PART = 1 << 20,
    WD_ARCHIVE__NAME_MAX = 4096
};

typedef struct wd_archive__opts {
    uint64_t max_entry_bytes, max_total_bytes;
    uint32_t max_entries, max_ratio;
    uint32_t only; /* one entry, or UINT32_MAX */
    uint32_t zero;
} wd_archive__opts;

void wd_archive__prepare(void);
WD_MUST_CHECK wd_status wd_decode_archive(const wd_decode_in *in, wd_emit *out, wd_err *err);

/* Without a sandbox, in this process: for fuzzing. */
WD_MUST_CHECK wd_status wd_archive__each_here(wd_span bytes, const wd_archive_limits *limits,
                                              wd_archive_fn fn, void *ctx, wd_err *err);

#endif
