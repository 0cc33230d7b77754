/* Opening and closing: the directory, the tables, the key, and the end of the chain. */
#include "guard/inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "guard/audit.h"
#include "guard/chain.h"

static const char *const schema[] = {
    "CREATE TABLE guard_meta(name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;"
    "CREATE TABLE tenant(id TEXT PRIMARY KEY, title TEXT NOT NULL, active INTEGER NOT NULL,"
    " per_min INTEGER NOT NULL, weight INTEGER NOT NULL, created_us INTEGER NOT NULL) STRICT;"
    "CREATE TABLE account(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " tenant TEXT NOT NULL REFERENCES tenant(id), role TEXT NOT NULL, password TEXT, active INTEGER NOT NULL,"
    " failures INTEGER NOT NULL, locked_until_us INTEGER NOT NULL, created_us INTEGER NOT NULL) STRICT;"
    "CREATE TABLE key(id TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, kind TEXT NOT NULL, label TEXT NOT "
    "NULL,"
    " tenant TEXT NOT NULL REFERENCES tenant(id), account INTEGER REFERENCES account(id), role TEXT,"
    " scopes INTEGER NOT NULL, per_min INTEGER NOT NULL, created_us INTEGER NOT NULL,"
    " expires_us INTEGER NOT NULL, revoked_us INTEGER NOT NULL) STRICT;"
    "CREATE INDEX key_by_account ON key(account);"
    "CREATE TABLE audit(seq INTEGER PRIMARY KEY, body BLOB NOT NULL, hash BLOB NOT NULL) STRICT;"
    "CREATE TABLE audit_head(one INTEGER PRIMARY KEY CHECK(one = 1), seq INTEGER NOT NULL, hash BLOB NOT "
    "NULL,"
    " sig BLOB NOT NULL) STRICT;"
    "CREATE TABLE audit_checkpoint(seq INTEGER PRIMARY KEY, hash BLOB NOT NULL, time TEXT NOT NULL,"
    " time_us INTEGER NOT NULL, sig BLOB NOT NULL) STRICT;"
    "CREATE TABLE audit_open(visit TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT;"
    /* Against slips, not against an attacker: who can write the file can drop them, and then the chain tells. */
    "CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'the audit is "
    "append-only'); END;"
    "CREATE TRIGGER audit_keeps BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'the audit is "
    "append-only'); END;",
    /* What each log server has for certain (ship.c). */
    "CREATE TABLE audit_ship(receiver TEXT PRIMARY KEY, seq INTEGER NOT NULL, checkpoint INTEGER NOT NULL,"
    " changed_us INTEGER NOT NULL) STRICT;",
    /* When a session was last used. */
    "ALTER TABLE key ADD COLUMN used_us INTEGER NOT NULL DEFAULT 0;"
    "UPDATE key SET used_us = created_us;",
};

int64_t wd_guard__now(const wd_guard *g)
{
    struct timespec t;

    if (g->o.now_us)
        return g->o.now_us(g->o.clock);
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void wd_guard__time_text(int64_t us, char out[WD_TIME_TEXT])
{
    const time_t s = (time_t)(us / 1000000);
    struct tm tm;

    gmtime_r(&s, &tm);
    const size_t n = strftime(out, WD_TIME_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, WD_TIME_TEXT - n, ".%06dZ", (int)(us % 1000000));
}

bool wd_guard__name_ok(const char *s)
{
    const size_t n = strlen(s);
    return n >= 1 && n <= WD_NAME_MAX &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@+-") == n;
}

bool wd_guard__id_ok(const char *s)
{
    return wd_guard__name_ok(s) && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789._@+-") == strlen(s) &&
           !strchr("._@+-", *s);
}

void wd_guard_digest(const wd_guard *g, wd_span content, wd_digest *out)
{
    crypto_generichash(out->b, sizeof out->b, content.p, content.n, g->signer.digest_key,
                       sizeof g->signer.digest_key);
}

/* ---- the key and the first record ---- */

static wd_status read_public(wd_tx *tx, wd_public_key *out, bool *there, wd_err *err)
{
    wd_rows *r;

    WD_TRY(wd_store_query(tx, &r, err, "SELECT value FROM guard_meta WHERE name = 'audit.pub'", ""));
    const wd_status st = wd_rows_next(r, there, err);
    if (!st && *there) {
        const wd_span v = wd_rows_bytes(r, 0);
        *out = (wd_public_key){ 0 };
        if (v.n == sizeof out->b)
            memcpy(out->b, v.p, v.n);
    }
    wd_rows_end(r);
    return st;
}

/* In one write: the key's public half, the tenant that everything belongs to until there are others, record 1. */
static wd_status install_in(wd_guard *g, wd_tx *tx, wd_err *err)
{
    wd_public_key pub;
    bool there;

    WD_TRY(read_public(tx, &pub, &there, err)); /* another process may have been first */
    if (there)
        return wd_signer_open(g->dir, false, &g->signer, err);
    WD_TRY(wd_signer_open(g->dir, true, &g->signer, err));
    WD_TRY(wd_store_run(tx, err, "INSERT INTO guard_meta(name, value) VALUES('audit.pub', ?)", "b",
                        wd_span_of(g->signer.pub.b, sizeof g->signer.pub.b)));
    WD_TRY(wd_store_run(tx, err,
                        "INSERT INTO tenant(id, title, active, per_min, weight, created_us)"
                        " VALUES('main', '', 1, 0, 100, ?)",
                        "i", wd_guard__now(g)));
    const wd_record first = { .event = "done", .action = "audit.start", .outcome = "done" };
    return wd_guard__append(g, tx, &first, err);
}

static wd_status check_key(wd_guard *g, wd_err *err)
{
    wd_tx *tx;
    wd_public_key pub = { 0 };
    bool there = false;

    WD_TRY(wd_store_begin(g->store, WD_STORE_READ, &tx, err));
    WD_TRY(wd_store_end(tx, read_public(tx, &pub, &there, err), err));
    if (!there) {
        WD_TRY(wd_store_begin(g->store, WD_STORE_WRITE, &tx, err));
        WD_TRY(wd_store_end(tx, install_in(g, tx, err), err));
        return wd_guard__anchor(g, err);
    }
    WD_TRY(wd_signer_open(g->dir, false, &g->signer, err));
    if (memcmp(pub.b, g->signer.pub.b, sizeof pub.b) != 0)
        return WD_FAIL(err, WD_E_CORRUPT, "%s/audit.key: is not the key that the audit was begun with",
                       g->dir);
    return WD_OK;
}

/* ---- the end of the chain, at every start ---- */

static wd_status bad_end(const wd_guard *g, const char *what, wd_err *err)
{
    return WD_FAIL(err, WD_E_CORRUPT, "%s: the audit %s; see ward audit verify", wd_store_path(g->store),
                   what);
}

/* The digest of the record seq, from its line; false when there is none. */
static wd_status record_hash(wd_tx *tx, int64_t seq, wd_digest *out, bool *there, wd_err *err)
{
    wd_rows *r;

    WD_TRY(wd_store_query(tx, &r, err, "SELECT body FROM audit WHERE seq = ?", "i", seq));
    const wd_status st = wd_rows_next(r, there, err);
    if (!st && *there)
        wd_chain_hash(wd_rows_bytes(r, 0), out);
    wd_rows_end(r);
    return st;
}

typedef struct chain_end {
    int64_t last, seq, checkpoint; /* of the records, of the signed head, of the checkpoints */
    wd_digest hash;
    wd_signature sig;
} chain_end;

static wd_status read_end(wd_tx *tx, chain_end *e, wd_err *err)
{
    wd_rows *r;
    bool there;

    *e = (chain_end){ 0 };
    WD_TRY(
        wd_store_query(tx, &r, err,
                       "SELECT (SELECT max(seq) FROM audit), (SELECT seq FROM audit_head), (SELECT hash FROM"
                       " audit_head), (SELECT sig FROM audit_head), (SELECT max(seq) FROM audit_checkpoint)",
                       ""));
    const wd_status st = wd_rows_next(r, &there, err);
    if (!st && there) {
        const wd_span h = wd_rows_bytes(r, 2), sig = wd_rows_bytes(r, 3);
        e->last = wd_rows_int(r, 0);
        e->seq = wd_rows_int(r, 1);
        e->checkpoint = wd_rows_int(r, 4);
        if (h.n == sizeof e->hash.b && sig.n == sizeof e->sig.b) {
            memcpy(e->hash.b, h.p, h.n);
            memcpy(e->sig.b, sig.p, sig.n);
        }
    }
    wd_rows_end(r);
    return st;
}

static wd_status check_end_in(wd_guard *g, wd_tx *tx, const wd_anchor *newest, wd_err *err)
{
    chain_end e;
    wd_digest hash = { 0 };
    bool there = false;

    WD_TRY(read_end(tx, &e, err));
    if (e.last != e.seq)
        return bad_end(g, e.last < e.seq ? "has lost its last records" : "has records that were not signed",
                       err);
    WD_TRY(record_hash(tx, e.seq, &hash, &there, err));
    if (!there || memcmp(hash.b, e.hash.b, sizeof hash.b) != 0 ||
        !wd_sign_verify(&g->signer.pub, WD_SIGNED_HEAD, e.seq, &e.hash, "", &e.sig))
        return bad_end(g, "does not end as it was signed", err);
    atomic_store(&g->checkpointed, e.checkpoint);
    g->anchored = newest->seq;
    if (newest->seq > e.seq)
        return bad_end(
            g,
            "ends before a checkpoint that was anchored: records were removed, or an older copy was put "
            "in its place",
            err);
    if (newest->seq > 0) {
        WD_TRY(record_hash(tx, newest->seq, &hash, &there, err));
        if (!there || memcmp(hash.b, newest->hash.b, sizeof hash.b) != 0)
            return bad_end(g, "is another one than what was anchored", err);
    }
    return WD_OK;
}

static wd_status check_end(wd_guard *g, wd_err *err)
{
    wd_tx *tx;
    wd_anchor newest;

    WD_TRY(wd_anchors_newest(g->anchors, &g->signer.pub, &newest, err));
    WD_TRY(wd_store_begin(g->store, WD_STORE_READ, &tx, err));
    return wd_store_end(tx, check_end_in(g, tx, &newest, err), err);
}

/* ---- what a server that died left open ---- */

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static wd_status close_one(wd_guard *g, wd_tx *tx, const char *visit, wd_span body, wd_err *err)
{
    json_t *o = NULL;
    wd_identity who = { 0 };

    WD_TRY(wd_json_parse(body, "audit record", &o, err));
    snprintf(who.subject, sizeof who.subject, "%s", text_of(o, "subject"));
    snprintf(who.tenant, sizeof who.tenant, "%s", text_of(o, "tenant"));
    snprintf(who.key, sizeof who.key, "%s", text_of(o, "key"));
    if (!wd_account_role_parse(text_of(o, "role"), &who.role))
        who.role = WD_N_ACCOUNT_ROLE;
    const wd_record end = { .event = "end",
                            .visit = visit,
                            .who = &who,
                            .from = text_of(o, "from"),
                            .action = text_of(o, "action"),
                            .object = text_of(o, "object"),
                            .model = text_of(o, "model"),
                            .outcome = "interrupted" };
    const wd_status st = wd_guard__append(g, tx, &end, err);
    json_decref(o);
    return st;
}

static wd_status close_open_in(wd_guard *g, wd_tx *tx, uint64_t *n, wd_err *err)
{
    wd_rows *r;
    bool there;
    wd_status st;

    WD_TRY(wd_store_query(
        tx, &r, err, "SELECT visit, body FROM audit_open JOIN audit USING(seq) ORDER BY audit_open.seq", ""));
    while (!(st = wd_rows_next(r, &there, err)) && there) {
        st = close_one(g, tx, wd_rows_text(r, 0), wd_rows_bytes(r, 1), err);
        if (st)
            break;
        ++*n;
    }
    wd_rows_end(r);
    return st ? st : wd_store_run(tx, err, "DELETE FROM audit_open", "");
}

static wd_status close_open(wd_guard *g, wd_err *err)
{
    wd_tx *tx;
    uint64_t n = 0;

    WD_TRY(wd_store_begin(g->store, WD_STORE_WRITE, &tx, err));
    WD_TRY(wd_store_end(tx, close_open_in(g, tx, &n, err), err));
    if (n)
        wd_log(WD_LOG_WARN, "guard", "closed records of requests that were interrupted n=%llu",
               (unsigned long long)n);
    return wd_guard__anchor(g, err);
}

/* ---- the directory ---- */

static wd_status make_dir(wd_guard *g, wd_err *err)
{
    struct stat info;

    if (stat(g->dir, &info) == 0) {
        if (!S_ISDIR(info.st_mode))
            return WD_FAIL(err, WD_E_INVALID, "%s: is not a directory", g->dir);
        return WD_OK;
    }
    if (g->o.must_exist)
        return WD_FAIL(err, WD_E_NOT_FOUND, "%s: there is no such data directory", g->dir);
    WD_TRY(wd_file_mkdirs(g->dir, err));
    if (chmod(g->dir, 0700) < 0)
        return WD_FAIL(err, WD_E_IO, "%s: cannot set the mode: %s", g->dir, strerror(errno));
    return WD_OK;
}

static wd_status take_lock(wd_guard *g, wd_err *err)
{
    char path[4096];

    if (snprintf(path, sizeof path, "%s/serve.lock", g->dir) >= (int)sizeof path)
        return WD_FAIL(err, WD_E_INVALID, "%s: the path is too long", g->dir);
    g->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (g->lock_fd < 0)
        return WD_FAIL(err, WD_E_IO, "%s: cannot open: %s", path, strerror(errno));
    if (flock(g->lock_fd, LOCK_EX | LOCK_NB) <
        0) /* the kernel lets go of it when the process dies, however */
        return WD_FAIL(err, WD_E_BUSY, "%s: another server uses this directory", path);
    return WD_OK;
}

static wd_status open_all(wd_guard *g, wd_err *err)
{
    char path[4096];
    wd_store_opts o = WD_STORE_OPTS_DEFAULT;

    o.vfs = g->o.vfs;
    WD_TRY(make_dir(g, err));
    if (snprintf(path, sizeof path, "%s/ward.db", g->dir) >= (int)sizeof path)
        return WD_FAIL(err, WD_E_INVALID, "%s: the path is too long", g->dir);
    if (g->o.must_exist && !wd_file_exists(path))
        return WD_FAIL(err, WD_E_NOT_FOUND, "%s: holds no ward.db", g->dir);
    if (g->o.serve)
        WD_TRY(take_lock(g, err));
    WD_TRY(wd_store_open(path, &o, &g->store, err));
    WD_TRY(wd_store_migrate(g->store, WD_GUARD__OWNER, schema, WD_COUNT(schema), err));
    WD_TRY(check_key(g, err));
    WD_TRY(check_end(g, err));
    if (g->o.serve)
        WD_TRY(close_open(g, err));
    return wd_guard__anchor(g, err);
}

static void release(wd_guard *g)
{
    wd_store_close(g->store);
    if (g->lock_fd >= 0)
        close(g->lock_fd);
    wd_limits_destroy(g->limits);
    wd_signer_wipe(&g->signer);
    pthread_mutex_destroy(&g->password_mu);
    pthread_mutex_destroy(&g->anchor_mu);
    wd_free(g->dir);
    wd_free(g->anchors);
    wd_free(g);
}

wd_status wd_guard_open(const wd_guard_opts *opts, wd_guard **out, wd_err *err)
{
    *out = NULL;
    wd_guard *g = WD_ALLOC(wd_guard);
    if (!g)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory to open it", opts->dir);
    g->o = *opts;
    g->lock_fd = -1;
    pthread_mutex_init(&g->password_mu, NULL);
    pthread_mutex_init(&g->anchor_mu, NULL);
    wd_buf anchors = { 0 };
    wd_buf_printf(&anchors, "%s%s", opts->anchors ? opts->anchors : opts->dir,
                  opts->anchors ? "" : "/audit.anchors");
    g->dir = wd_strdup(opts->dir);
    g->anchors = anchors.failed ? NULL : wd_strdup((char *)anchors.p);
    wd_buf_free(&anchors);
    g->limits = wd_limits_create();
    wd_status st = g->dir && g->anchors && g->limits
                       ? open_all(g, err)
                       : WD_FAIL(err, WD_E_NOMEM, "%s: no memory to open it", opts->dir);
    if (st) {
        release(g);
        return st;
    }
    *out = g;
    return WD_OK;
}

void wd_guard_close(wd_guard *g)
{
    wd_tx *tx;
    wd_err err;

    if (!g)
        return;
    WD_BUG_IF(atomic_load(&g->n_visit) != 0);
    if (g->o.serve) { /* the end of what this server did, for the anchors */
        wd_status st = wd_store_begin(g->store, WD_STORE_WRITE, &tx, &err);
        if (!st)
            st = wd_store_end(tx, wd_guard__checkpoint(g, tx, &err), &err);
        if (!st)
            st = wd_guard__anchor(g, &err);
        if (st) /* the next start writes it */
            wd_log(WD_LOG_WARN, "guard", "no last checkpoint: %s", err.text);
    }
    release(g);
}
