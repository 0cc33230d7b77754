/* ZIP files, read through libarchive in the sandbox. Entry names are labels: they never touch a file system.
 *
 * Encrypted entries and archives in archives are refused with a sentence; a bomb meets a limit.
 */
#ifndef WD_MEDIA_ARCHIVE_H
#define WD_MEDIA_ARCHIVE_H

#include <stdatomic.h>

#include "base/buf.h"

typedef struct wd_archive_limits {
    uint32_t max_entries;     /* directories included               default 20000   */
    uint64_t max_entry_bytes; /* one entry, unpacked                default 1 GiB   */
    uint64_t max_total_bytes; /* all entries, unpacked              default 8 GiB   */
    uint32_t max_ratio;       /* unpacked : packed, past 64 MiB     default 200     */
    const atomic_bool *cancel;
} wd_archive_limits;
#define WD_ARCHIVE_LIMITS_DEFAULT                               \
    ((wd_archive_limits){ .max_entries = 20000,                 \
                          .max_entry_bytes = (uint64_t)1 << 30, \
                          .max_total_bytes = (uint64_t)8 << 30, \
                          .max_ratio = 200 })

/* True when the first bytes are those of a ZIP file. */
bool wd_archive_is_zip(wd_span head);

/* Gets each regular file in order: its number (as wd_archive_entry takes it), its name (UTF-8, sanitised; only for
 * people) and its bytes, valid during the call. A status other than WD_OK stops the reading and is its result. */
typedef wd_status (*wd_archive_fn)(void *ctx, uint32_t entry, const char *name, wd_span bytes, wd_err *err);

/* limits NULL: the default. Needs wd_sandbox_start(). Thread-safe. */
WD_MUST_CHECK wd_status wd_archive_each(int fd, const char *what, const wd_archive_limits *limits,
                                        wd_archive_fn fn, void *ctx, wd_err *err);

/* The bytes of one entry, appended to *out. */
WD_MUST_CHECK wd_status wd_archive_entry(int fd, const char *what, uint32_t entry,
                                         const wd_archive_limits *limits, wd_buf *out, wd_err *err);

#endif
