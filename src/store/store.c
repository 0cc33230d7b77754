/* The store over SQLite.
 *
 * Invariants
 *  1. A connection's mutex is held from wd_store_begin to wd_store_end, and nothing touches the connection without it.
 *  2. Every statement is reset before its transaction ends: wd_rows_end is called on all paths, and wd_store_end resets
 *     what is left.
 *  3. A commit that failed has been rolled back: the next transaction starts from what is on disk.
 */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#define APPLICATION_ID 0x57415244 /* "WARD", in the file's header */
#define MAX_STATEMENTS 96

struct wd_rows {
    wd_tx *tx;
    const char *sql;
    sqlite3_stmt *stmt;
    bool in_use;
};

struct wd_tx {
    wd_store *store;
    sqlite3 *db;
    pthread_mutex_t mu;
    int64_t changed;              /* under mu */
    wd_rows kept[MAX_STATEMENTS]; /* under mu; [n_kept] prepared statements */
    size_t n_kept;
};

struct wd_store {
    char *path;
    bool read_only;
    uint32_t busy_ms;
    wd_tx conn[2]; /* by wd_store_mode; a read-only store has the first alone */
};

/* SQLite's answer as our status and sentence. */
static wd_status fail_sqlite(const wd_store *s, sqlite3 *db, int rc, const char *doing, wd_err *err)
{
    const int sys = db ? sqlite3_system_errno(db) : 0;

    switch (rc & 0xff) {
    case SQLITE_FULL:
        return WD_FAIL(err, WD_E_IO, "%s: cannot %s: the disk is full", s->path, doing);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return WD_FAIL(err, WD_E_BUSY, "%s: cannot %s: another program has kept it locked for %u ms", s->path,
                       doing, s->busy_ms);
    case SQLITE_CORRUPT:
        return WD_FAIL(err, WD_E_CORRUPT, "%s: cannot %s: the file is damaged; restore it from a backup",
                       s->path, doing);
    case SQLITE_NOTADB:
        return WD_FAIL(err, WD_E_CORRUPT, "%s: is not an SQLite database", s->path);
    case SQLITE_NOMEM:
        return WD_FAIL(err, WD_E_NOMEM, "%s: cannot %s: no memory", s->path, doing);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return WD_FAIL(err, WD_E_IO, "%s: cannot %s: no permission to write", s->path, doing);
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
        if (sys == ENOSPC || sys == EDQUOT)
            return WD_FAIL(err, WD_E_IO, "%s: cannot %s: the disk is full", s->path, doing);
        return WD_FAIL(err, sys == ENOENT ? WD_E_NOT_FOUND : WD_E_IO, "%s: cannot %s: %s", s->path, doing,
                       sys ? strerror(sys) : sqlite3_errstr(rc));
    default: /* never the statement's values: messages of SQLite name tables and columns only */
        return WD_FAIL(err, WD_E_INTERNAL, "%s: cannot %s: %s", s->path, doing,
                       db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
    }
}

static wd_status exec(wd_tx *tx, const char *sql, const char *doing, wd_err *err)
{
    const int rc = sqlite3_exec(tx->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? WD_OK : fail_sqlite(tx->store, tx->db, rc, doing, err);
}

/* One number of a pragma or a query. */
static wd_status scalar(wd_tx *tx, const char *sql, int64_t *out, wd_err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(tx->db, sql, -1, &q, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    *out = rc == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
    const int fin = sqlite3_finalize(q);
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        rc = fin;
    return rc == SQLITE_OK ? WD_OK : fail_sqlite(tx->store, tx->db, rc, "read", err);
}

/* The first line of quick_check or integrity_check; "ok" is none. */
static wd_status check(wd_tx *tx, const char *pragma, wd_err *err)
{
    sqlite3_stmt *q = NULL;
    wd_status st = WD_OK;
    int rc = sqlite3_prepare_v2(tx->db, pragma, -1, &q, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    if (rc != SQLITE_ROW) {
        st = fail_sqlite(tx->store, tx->db, rc, "check", err);
    } else {
        const char *said = (const char *)sqlite3_column_text(q, 0);
        if (!said || strcmp(said, "ok") != 0)
            st = WD_FAIL(err, WD_E_CORRUPT, "%s: the file is damaged; restore it from a backup (%.120s)",
                         tx->store->path, said ? said : "no answer");
    }
    sqlite3_finalize(q);
    return st;
}

/* Ours, or empty: anything else is left alone. */
static wd_status check_owner(wd_tx *tx, bool *is_new, wd_err *err)
{
    int64_t id, n;

    WD_TRY(scalar(tx, "PRAGMA application_id", &id, err));
    WD_TRY(scalar(tx, "SELECT count(*) FROM sqlite_master", &n, err));
    *is_new = n == 0 && id == 0;
    if (id != APPLICATION_ID && !*is_new)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: is a database, but not one of Ward's", tx->store->path);
    return WD_OK;
}

static wd_status connect(wd_store *s, wd_tx *tx, const wd_store_opts *o, const char *name, wd_err *err)
{
    /* NOMUTEX: our mutex does it. */
    const int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI |
                      (s->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);

    tx->store = s;
    const int rc = sqlite3_open_v2(name, &tx->db, flags, o->vfs);
    if (rc != SQLITE_OK)
        return fail_sqlite(s, tx->db, rc, "open", err);
    sqlite3_extended_result_codes(tx->db, 1);
    sqlite3_busy_timeout(tx->db, (int)s->busy_ms);
    /* What a hostile file could use against us is off; its triggers are ours or the file is refused. */
    sqlite3_db_config(tx->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(tx->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(tx->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    return exec(tx, "PRAGMA cell_size_check = ON; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY",
                "set up", err);
}

static wd_status set_up(wd_store *s, wd_err *err)
{
    bool is_new;
    int64_t wal;
    wd_tx *w = &s->conn[WD_STORE_WRITE];

    WD_TRY(check_owner(w, &is_new, err));
    if (is_new) /* two processes may both see a new file: the second says the same again */
        WD_TRY(exec(w, "PRAGMA application_id = 0x57415244", "set up", err));
    WD_TRY(exec(w, "PRAGMA journal_mode = WAL", "set up", err));
    /* The answer is a row, and "no" is not an error: ask the file. */
    WD_TRY(scalar(w, "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'wal'", &wal, err));
    if (!wal)
        return WD_FAIL(err, WD_E_IO, "%s: this file system cannot keep a write-ahead log", s->path);
    return exec(w, "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 1000", "set up", err);
}

/* The file itself is made here: nobody else may read it from its first byte on. */
static wd_status make_private(const wd_store *s, uint64_t *bytes, wd_err *err)
{
    struct stat st;
    const int flags = s->read_only ? O_RDONLY : O_RDWR | O_CREAT;
    const int fd = open(s->path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

    if (fd < 0 || fstat(fd, &st) < 0) {
        const int e = errno;
        if (fd >= 0)
            close(fd);
        return WD_FAIL(err, e == ENOENT ? WD_E_NOT_FOUND : WD_E_IO, "%s: cannot open: %s", s->path,
                       e == ENOSPC ? "the disk is full" : strerror(e));
    }
    close(fd);
    if (!S_ISREG(st.st_mode))
        return WD_FAIL(err, WD_E_INVALID, "%s: is not a regular file", s->path);
    *bytes = (uint64_t)st.st_size;
    return WD_OK;
}

/* "file:PATH?..." with what SQLite would take as syntax escaped. */
static wd_status uri_of(const wd_store *s, const char *query, wd_buf *out, wd_err *err)
{
    wd_buf_str(out, "file:");
    for (const char *p = s->path; *p; p++) {
        if (strchr("%?#", *p))
            wd_buf_printf(out, "%%%02x", (unsigned char)*p);
        else
            wd_buf_char(out, *p);
    }
    wd_buf_str(out, query);
    return wd_buf_check(out, s->path, err);
}

static wd_status open_all(wd_store *s, const wd_store_opts *o, wd_err *err)
{
    uint64_t bytes = 0;
    bool is_new;
    wd_buf uri = { 0 }, wal = { 0 };
    struct stat info;

    WD_TRY(make_private(s, &bytes, err));
    /* Read-only and no log beside it: nobody has it open, and a copy on a medium that cannot be written is read too. */
    wd_buf_printf(&wal, "%s-wal", s->path);
    const bool still = s->read_only && !wal.failed && stat((char *)wal.p, &info) < 0;
    wd_buf_free(&wal);
    wd_status st = uri_of(s, still ? "?immutable=1" : "", &uri, err);
    if (!st)
        st = connect(s, &s->conn[WD_STORE_READ], o, (char *)uri.p, err);
    if (!st && !s->read_only)
        st = connect(s, &s->conn[WD_STORE_WRITE], o, (char *)uri.p, err);
    wd_buf_free(&uri);
    if (!st && !s->read_only)
        st = set_up(s, err);
    if (!st && s->read_only)
        st = check_owner(&s->conn[WD_STORE_READ], &is_new, err);
    if (!st && bytes <= o->check_max)
        st = check(&s->conn[WD_STORE_READ], "PRAGMA quick_check(1)", err);
    return st;
}

wd_status wd_store_open(const char *path, const wd_store_opts *opts, wd_store **out, wd_err *err)
{
    *out = NULL;
    wd_store *s = WD_ALLOC(wd_store);
    if (!s || !(s->path = wd_strdup(path))) {
        wd_free(s);
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory to open it", path);
    }
    s->read_only = opts->read_only;
    s->busy_ms = opts->busy_ms;
    for (size_t i = 0; i < WD_COUNT(s->conn); i++)
        pthread_mutex_init(&s->conn[i].mu, NULL);
    const wd_status st = open_all(s, opts, err);
    if (st) {
        wd_store_close(s);
        return st;
    }
    *out = s;
    return WD_OK;
}

void wd_store_close(wd_store *s)
{
    if (!s)
        return;
    /* The last one to close folds the log into the file. */
    for (size_t i = WD_COUNT(s->conn); i-- > 0;) {
        for (size_t k = 0; k < s->conn[i].n_kept; k++)
            sqlite3_finalize(s->conn[i].kept[k].stmt);
        sqlite3_close(s->conn[i].db);
        pthread_mutex_destroy(&s->conn[i].mu);
    }
    wd_free(s->path);
    wd_free(s);
}

const char *wd_store_path(const wd_store *s)
{
    return s->path;
}

wd_status wd_store_check(wd_store *s, wd_err *err)
{
    wd_tx *tx = &s->conn[WD_STORE_READ];

    pthread_mutex_lock(&tx->mu);
    const wd_status st = check(tx, "PRAGMA integrity_check(1)", err);
    pthread_mutex_unlock(&tx->mu);
    return st;
}

wd_status wd_store_begin(wd_store *s, wd_store_mode mode, wd_tx **out, wd_err *err)
{
    wd_tx *tx = &s->conn[mode];

    *out = NULL;
    if (mode == WD_STORE_WRITE && s->read_only)
        return WD_FAIL(err, WD_E_INTERNAL, "%s: opened for reading only", s->path);
    pthread_mutex_lock(&tx->mu);
    /* IMMEDIATE: the lock is had at once or not at all, so that no transaction fails in its middle for want of it. */
    const wd_status st = exec(tx, mode == WD_STORE_WRITE ? "BEGIN IMMEDIATE" : "BEGIN", "begin", err);
    if (st) {
        pthread_mutex_unlock(&tx->mu);
        return st;
    }
    *out = tx;
    return WD_OK;
}

wd_status wd_store_end(wd_tx *tx, wd_status st, wd_err *err)
{
    for (size_t i = 0; i < tx->n_kept; i++)
        wd_rows_end(&tx->kept[i]);
    if (!st)
        st = exec(tx, "COMMIT", "write", err);
    if (!sqlite3_get_autocommit(tx->db)) { /* failed, and SQLite did not roll back by itself */
        wd_err ignored;
        const wd_status undone = exec(tx, "ROLLBACK", "take back", &ignored);
        (void)undone; /* st is a failure already, and says why */
    }
    pthread_mutex_unlock(&tx->mu);
    return st;
}

/* A statement from the kept ones, or prepared now. */
static wd_status take(wd_tx *tx, const char *sql, wd_rows **out, wd_err *err)
{
    for (size_t i = 0; i < tx->n_kept; i++) {
        if (tx->kept[i].sql == sql) {
            if (tx->kept[i].in_use)
                return WD_FAIL(err, WD_E_INTERNAL, "%s: a statement is used twice at once", tx->store->path);
            *out = &tx->kept[i];
            return WD_OK;
        }
    }
    if (tx->n_kept == MAX_STATEMENTS)
        return WD_FAIL(err, WD_E_INTERNAL, "%s: more than %d statements", tx->store->path, MAX_STATEMENTS);
    wd_rows *r = &tx->kept[tx->n_kept];
    *r = (wd_rows){ .tx = tx, .sql = sql };
    const int rc = sqlite3_prepare_v3(tx->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &r->stmt, NULL);
    if (rc != SQLITE_OK)
        return fail_sqlite(tx->store, tx->db, rc, "prepare a statement", err);
    tx->n_kept++;
    *out = r;
    return WD_OK;
}

static int bind(wd_rows *r, const char *types, va_list ap)
{
    int rc = SQLITE_OK;

    for (int i = 1; *types && rc == SQLITE_OK; types++, i++) {
        if (*types == 'i') {
            rc = sqlite3_bind_int64(r->stmt, i, va_arg(ap, int64_t));
        } else if (*types == 's') {
            rc = sqlite3_bind_text(r->stmt, i, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
        } else if (*types == 'b') {
            const wd_span s = va_arg(ap, wd_span);
            rc = s.n ? sqlite3_bind_blob64(r->stmt, i, s.p, s.n, SQLITE_TRANSIENT)
                     : sqlite3_bind_zeroblob(r->stmt, i, 0);
        } else {
            rc = sqlite3_bind_null(r->stmt, i);
        }
    }
    return rc;
}

static wd_status query(wd_tx *tx, wd_rows **out, wd_err *err, const char *sql, const char *types, va_list ap)
{
    wd_rows *r = NULL;

    *out = NULL;
    WD_TRY(take(tx, sql, &r, err));
    r->in_use = true;
    const int rc = (size_t)sqlite3_bind_parameter_count(r->stmt) == strlen(types) ? bind(r, types, ap)
                                                                                  : SQLITE_MISUSE;
    if (rc != SQLITE_OK) {
        wd_rows_end(r);
        return fail_sqlite(tx->store, tx->db, rc, "bind values", err);
    }
    *out = r;
    return WD_OK;
}

wd_status wd_store_query(wd_tx *tx, wd_rows **out, wd_err *err, const char *sql, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    const wd_status st = query(tx, out, err, sql, types, ap);
    va_end(ap);
    return st;
}

wd_status wd_store_run(wd_tx *tx, wd_err *err, const char *sql, const char *types, ...)
{
    wd_rows *r = NULL;
    bool there;
    va_list ap;

    va_start(ap, types);
    wd_status st = query(tx, &r, err, sql, types, ap);
    va_end(ap);
    if (!st)
        st = wd_rows_next(r, &there, err);
    if (!st)
        tx->changed = sqlite3_changes(tx->db);
    wd_rows_end(r);
    return st;
}

int64_t wd_store_changed(const wd_tx *tx)
{
    return tx->changed;
}

wd_status wd_rows_next(wd_rows *r, bool *there, wd_err *err)
{
    const int rc = sqlite3_step(r->stmt);

    *there = rc == SQLITE_ROW;
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        return WD_OK;
    return fail_sqlite(r->tx->store, r->tx->db, rc, sqlite3_stmt_readonly(r->stmt) ? "read" : "write", err);
}

int64_t wd_rows_int(const wd_rows *r, int column)
{
    return sqlite3_column_int64(r->stmt, column);
}

wd_span wd_rows_bytes(const wd_rows *r, int column)
{
    const void *p = sqlite3_column_blob(r->stmt, column);
    return wd_span_of(p, p ? (size_t)sqlite3_column_bytes(r->stmt, column) : 0);
}

const char *wd_rows_text(const wd_rows *r, int column)
{
    const char *s = (const char *)sqlite3_column_text(r->stmt, column);
    return s ? s : "";
}

void wd_rows_end(wd_rows *r)
{
    if (!r || !r->in_use)
        return;
    sqlite3_reset(r->stmt);
    sqlite3_clear_bindings(r->stmt);
    r->in_use = false;
}

static wd_status version_in(wd_tx *tx, const char *owner, int64_t *out, wd_err *err)
{
    wd_rows *r;
    bool there;

    *out = 0;
    WD_TRY(wd_store_query(tx, &r, err,
                          "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'ward_schema'", ""));
    wd_status st = wd_rows_next(r, &there, err);
    wd_rows_end(r);
    if (st || !there)
        return st;
    WD_TRY(wd_store_query(tx, &r, err, "SELECT version FROM ward_schema WHERE owner = ?", "s", owner));
    st = wd_rows_next(r, &there, err);
    if (!st && there)
        *out = wd_rows_int(r, 0);
    wd_rows_end(r);
    return st;
}

static wd_status write_version(wd_tx *tx, const char *owner, int64_t version, wd_err *err)
{
    WD_TRY(exec(
        tx, "CREATE TABLE IF NOT EXISTS ward_schema(owner TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT",
        "migrate", err));
    return wd_store_run(tx, err, "INSERT OR REPLACE INTO ward_schema(owner, version) VALUES(?, ?)", "si",
                        owner, version);
}

static wd_status migrate_in(wd_tx *tx, const char *owner, const char *const *step, size_t n, wd_err *err)
{
    int64_t have;

    WD_TRY(version_in(tx, owner, &have, err));
    if (have < 0 || (uint64_t)have > n)
        return WD_FAIL(
            err, WD_E_UNSUPPORTED,
            "%s: the tables of \"%s\" have version %lld, this program knows up to %zu: made by a newer Ward",
            tx->store->path, owner, (long long)have, n);
    for (size_t i = (size_t)have; i < n; i++)
        WD_TRY(exec(tx, step[i], "migrate", err));
    return (size_t)have < n ? write_version(tx, owner, (int64_t)n, err) : WD_OK;
}

wd_status wd_store_migrate(wd_store *s, const char *owner, const char *const *step, size_t n, wd_err *err)
{
    int64_t have;
    wd_tx *tx;

    WD_TRY(wd_store_version(s, owner, &have, err));
    if (have == (int64_t)n) /* the usual start writes nothing */
        return WD_OK;
    WD_TRY(wd_store_begin(s, WD_STORE_WRITE, &tx, err));
    return wd_store_end(tx, migrate_in(tx, owner, step, n, err), err);
}

wd_status wd_store_version(wd_store *s, const char *owner, int64_t *out, wd_err *err)
{
    wd_tx *tx;

    WD_TRY(wd_store_begin(s, WD_STORE_READ, &tx, err));
    return wd_store_end(tx, version_in(tx, owner, out, err), err);
}
