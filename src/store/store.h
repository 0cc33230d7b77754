/* Records on disk: a small interface over SQL, today SQLite's.
 *
 * A file in WAL mode with synchronous=FULL: when wd_store_end says WD_OK for a write, it has been synced. Two
 * connections: writes one at a time (also between processes), reads beside them. All SQL stands in the caller as string
 * literals; values travel as bound parameters only.
 *
 *     wd_tx *tx;
 *     WD_TRY(wd_store_begin(s, WD_STORE_WRITE, &tx, err));
 *     wd_status st = do_things(tx, err);
 *     return wd_store_end(tx, st, err);        commits when st is WD_OK, else takes everything back
 *
 * Errors are one sentence with the file's name: "the disk is full", "locked by another program", "damaged".
 *   WD_E_BUSY      another program holds the lock for longer than opts.busy_ms
 *   WD_E_CORRUPT   damaged, or no database of Ward's
 *   WD_E_IO        full disk, read or write error, no permission
 *   WD_E_NOMEM     no memory
 *
 * Thread-safe: a transaction belongs to the thread that began it, and a thread has at most one.
 */
#ifndef WD_STORE_STORE_H
#define WD_STORE_STORE_H

#include "base/buf.h"

typedef struct wd_store wd_store;
typedef struct wd_tx wd_tx;
typedef struct wd_rows wd_rows;

typedef struct wd_store_opts {
    bool read_only;     /* it must exist; a copy that nobody has open is read without writing beside it */
    uint32_t busy_ms;   /* how long to wait for another program's lock   default 5000 */
    uint64_t check_max; /* files up to this size are checked whole when opened  default 64 MiB */
    const char *vfs;    /* SQLite's file layer by name, for tests; NULL: its own */
} wd_store_opts;
#define WD_STORE_OPTS_DEFAULT ((wd_store_opts){ .busy_ms = 5000, .check_max = (uint64_t)64 << 20 })

/* Opens or makes the file (mode 0600). A file that is no database, or another program's, is refused untouched. */
WD_MUST_CHECK wd_status wd_store_open(const char *path, const wd_store_opts *opts, wd_store **out,
                                      wd_err *err);
void wd_store_close(wd_store *s); /* accepts NULL; no transaction may be open */
const char *wd_store_path(const wd_store *s);

/* Whole-file check of structure, for any size. WD_E_CORRUPT says what is wrong first. */
WD_MUST_CHECK wd_status wd_store_check(wd_store *s, wd_err *err);

/* Brings the tables of one owner to the newest version: step[i] takes them from version i to i + 1, each a list of
 * statements. All in one transaction: an interrupted change has not happened.
 *   WD_E_UNSUPPORTED   the file has a newer version than n: made by a newer Ward
 */
WD_MUST_CHECK wd_status wd_store_migrate(wd_store *s, const char *owner, const char *const *step, size_t n,
                                         wd_err *err);
/* The owner's version in the file; 0 when it has no tables there. */
WD_MUST_CHECK wd_status wd_store_version(wd_store *s, const char *owner, int64_t *out, wd_err *err);

typedef enum wd_store_mode { WD_STORE_READ, WD_STORE_WRITE } wd_store_mode;
/* READ sees one state of the file until its end. WRITE waits for its turn. */
WD_MUST_CHECK wd_status wd_store_begin(wd_store *s, wd_store_mode mode, wd_tx **out, wd_err *err);
/* Ends it: st WD_OK commits; else rolls back and gives st back with *err as it was. */
WD_MUST_CHECK wd_status wd_store_end(wd_tx *tx, wd_status st, wd_err *err);

/* A statement with its parameters, one letter of types for each '?': 'i' int64_t, 's' const char * (NULL: null),
 * 'b' wd_span of bytes, 'n' null without an argument. Texts and bytes are copied.
 *
 *     wd_rows *r;
 *     WD_TRY(wd_store_query(tx, &r, err, "SELECT name, role FROM account WHERE tenant = ?", "s", tenant));
 *     while (!(st = wd_rows_next(r, &there, err)) && there) ... wd_rows_text(r, 0) ...
 *     wd_rows_end(r);
 *
 * sql must be a literal: the prepared statement is kept under its address. One query of the same sql at a time. */
WD_MUST_CHECK wd_status wd_store_query(wd_tx *tx, wd_rows **out, wd_err *err, const char *sql,
                                       const char *types, ...);
/* The same for statements without rows. */
WD_MUST_CHECK wd_status wd_store_run(wd_tx *tx, wd_err *err, const char *sql, const char *types, ...);
/* Rows changed by the last wd_store_run. */
int64_t wd_store_changed(const wd_tx *tx);

WD_MUST_CHECK wd_status wd_rows_next(wd_rows *r, bool *there, wd_err *err);
int64_t wd_rows_int(const wd_rows *r, int column);      /* 0 for null */
wd_span wd_rows_bytes(const wd_rows *r, int column);    /* until the next wd_rows_next; n 0 for null */
const char *wd_rows_text(const wd_rows *r, int column); /* until the next wd_rows_next; "" for null */
void wd_rows_end(wd_rows *r);                           /* accepts NULL */

#endif
