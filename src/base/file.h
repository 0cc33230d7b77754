/* Files: read, map, write atomically, list. Every error names the path and what the system said. */
#ifndef WD_BASE_FILE_H
#define WD_BASE_FILE_H

#include "base/arena.h"
#include "base/buf.h"

/* A whole regular file mapped read-only and shared; bytes are paged in on use. An empty file maps to n = 0.
 */
typedef struct wd_mapped {
    const uint8_t *p;
    size_t n;
} wd_mapped;
WD_MUST_CHECK wd_status wd_file_map(const char *path, wd_mapped *out, wd_err *err);
void wd_file_unmap(wd_mapped *m); /* accepts {0}, becomes {0} */
/* All of m will be read, over and over: asks that what is not in memory yet comes in pieces of 2 MiB and is mapped in
 * huge pages. ext4 has them since Linux 6.16, XFS since 5.18; other systems do as before. What the page cache already holds
 * stays as it lies. */
void wd_file_want_huge(const wd_mapped *m);

/* Appends the file's bytes; WD_E_LIMIT when it holds more than max. A directory, FIFO or device is refused.
 */
WD_MUST_CHECK wd_status wd_file_read(const char *path, size_t max, wd_buf *out, wd_err *err);

/* Opens a regular file for reading: a descriptor the caller closes, or -1 with *err filled. */
WD_MUST_CHECK int wd_file_open_read(const char *path, uint64_t *size, wd_err *err);

/* Writes to a temporary file beside path, syncs, renames over it: after a crash or a full disk the old file
 * or the whole new one is there, never a part. */
WD_MUST_CHECK wd_status wd_file_write(const char *path, wd_span bytes, wd_err *err);
/* Readable by the owner only (mode 0600) from its first byte on, and durable when it says WD_OK. When only the directory
 * could not be synced, the new file stands in its place and the status is that failure's. */
WD_MUST_CHECK wd_status wd_file_write_secret(const char *path, wd_span bytes, wd_err *err);
/* wd_file_write of n pieces one after another. */
WD_MUST_CHECK wd_status wd_file_write_parts(const char *path, const wd_span *parts, size_t n, wd_err *err);

/* Makes the names in the directory that holds path durable: what was made, renamed or deleted there. */
WD_MUST_CHECK wd_status wd_file_sync_dir(const char *path, wd_err *err);

bool wd_file_exists(const char *path);
bool wd_file_is_dir(const char *path);
WD_MUST_CHECK wd_status wd_file_mkdirs(const char *path, wd_err *err); /* existing directories are fine */

/* Names in a directory ("." and ".." left out), byte-sorted, NULL-terminated, in the arena. */
WD_MUST_CHECK wd_status wd_file_list(wd_arena *a, const char *dir, char ***names, size_t *n, wd_err *err);

/* "dir/name" in the arena; NULL when out of memory. */
char *wd_path_join(wd_arena *a, const char *dir, const char *name);
/* The part after the last '/'. */
const char *wd_path_base(const char *path);

#endif
