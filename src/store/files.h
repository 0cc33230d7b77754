/* Files that people send, and responses: kept sealed in a directory, or in memory, until they are deleted or their time is
 * over. A store holds one kind; what is said here of files and file- is responses and resp_ in the other.
 *
 * On disk each is one file, DIR/files/ID, with what is known about it: written beside, synced, renamed into place, so that
 * after wd_files_put it is there whole and before it is not there at all. Both halves are sealed (XChaCha20-Poly1305,
 * with the id as additional data) under DIR/files.key (0600): what lies on the disk, and a copy of DIR without that key,
 * shows sizes and times and nothing else, and a file that was changed or put in another's place is refused.
 *
 * Who may see which file is not decided here: every file names its tenant and owner, and the caller asks.
 * Thread-safe. Errors name ids, never names of files.
 */
#ifndef WD_STORE_FILES_H
#define WD_STORE_FILES_H

#include "base/buf.h"

#define WD_FILE_ID_MAX 40
#define WD_FILE_NAME_MAX 255
#define WD_FILE_PURPOSE_MAX 32

typedef struct wd_kept {
    char id[WD_FILE_ID_MAX]; /* "file-...", "resp_..." */
    char tenant[72], owner[80];
    char name[WD_FILE_NAME_MAX + 1], purpose[WD_FILE_PURPOSE_MAX + 1], kind[16];
    uint64_t bytes;
    int64_t created, expires; /* seconds since 1970 */
} wd_kept;

typedef enum wd_files_kind { WD_FILES_UPLOADS, WD_FILES_RESPONSES } wd_files_kind;

typedef struct wd_files_opts {
    wd_files_kind kind;
    const char *dir;               /* the data directory, which exists; NULL: in memory */
    uint64_t max_bytes;            /* of all contents             default 4 GiB  */
    uint64_t owner_bytes;          /* of one owner's              default 1 GiB  */
    uint32_t max_files;            /*                             default 10000  */
    int64_t (*now_s)(void *clock); /* for tests */
    void *clock;
} wd_files_opts;
#define WD_FILES_OPTS_DEFAULT \
    ((wd_files_opts){ .max_bytes = (uint64_t)4 << 30, .owner_bytes = (uint64_t)1 << 30, .max_files = 10000 })

typedef struct wd_files wd_files;

/* Reads what is there. A file that cannot be read is left alone and logged; half-written ones go.
 *   WD_E_DENIED    others may read files.key     WD_E_CORRUPT   it is no key */
WD_MUST_CHECK wd_status wd_files_open(const wd_files_opts *o, wd_files **out, wd_err *err);
void wd_files_close(wd_files *f);             /* accepts NULL */
const char *wd_files_noun(const wd_files *f); /* "file", "response" */

/* One more; k: all but bytes and created, which are filled in; expires counts from then. Its id is a new one where it is empty,
 * else the caller's: prefix and 24 random letters and digits. Durable when it returns.
 *   WD_E_LIMIT   no room, by bytes or number     WD_E_IO   the disk is full or broken: nothing is kept */
WD_MUST_CHECK wd_status wd_files_put(wd_files *f, wd_kept *k, wd_span content, wd_err *err);
/* Would there be room for so many bytes more of this owner? WD_E_LIMIT as wd_files_put. */
WD_MUST_CHECK wd_status wd_files_room(wd_files *f, const char *tenant, const char *owner, uint64_t bytes,
                                      wd_err *err);
/* WD_E_NOT_FOUND: no such file, or its time is over. */
WD_MUST_CHECK wd_status wd_files_find(wd_files *f, const char *id, wd_kept *out, wd_err *err);
/* Appends its content. WD_E_CORRUPT: it is not what was put there. */
WD_MUST_CHECK wd_status wd_files_read(wd_files *f, const char *id, wd_buf *out, wd_err *err);
/* Gone from memory and directory, durably, when it returns WD_OK. */
WD_MUST_CHECK wd_status wd_files_delete(wd_files *f, const char *id, wd_err *err);

/* Shows each to fn, oldest first, until it says false. Nothing is added or removed meanwhile: fn must be quick. */
void wd_files_each(wd_files *f, bool (*fn)(void *ctx, const wd_kept *k), void *ctx);
/* Deletes those whose time is over; how many. */
size_t wd_files_sweep(wd_files *f);

#endif
