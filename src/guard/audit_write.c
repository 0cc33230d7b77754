/* The chain's writing end.
 *
 * Invariants
 *  1. Records are numbered 1, 2, 3, ...; audit_head holds the last one's number and digest, signed. Both change in one
 *     transaction, together with whatever change the record speaks of.
 *  2. audit_checkpoint holds signed copies of earlier ends and is only added to.
 *  3. The anchors file holds lines that were checkpoints when they were written. It may lack the newest ones (the process
 *     died between commit and append), which the next append brings.
 */
#include "guard/inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "guard/chain.h"

static void put_text(wd_buf *b, const char *key, const char *value)
{
    if (!value || !*value)
        return;
    wd_buf_printf(b, ",\"%s\":", key);
    wd_buf_json(b, wd_span_str(value));
}

static void put_digest(wd_buf *b, const char *key, const wd_digest *d)
{
    char hex[65];

    if (!d)
        return;
    wd_digest_hex(d, hex);
    wd_buf_printf(b, ",\"%s\":\"%s\"", key, hex);
}

/* The line. Members stand in this order always; readers may rely on the first three. */
static wd_status write_body(const wd_record *r, int64_t seq, const wd_digest *prev, const char *time,
                            wd_buf *b, wd_err *err)
{
    char hex[65];

    wd_digest_hex(prev, hex);
    wd_buf_printf(b, "{\"seq\":%lld,\"prev\":\"%s\",\"time\":\"%s\"", (long long)seq, hex, time);
    put_text(b, "event", r->event);
    put_text(b, "visit", r->visit);
    put_text(b, "subject", r->who && *r->who->subject ? r->who->subject : "-");
    if (r->who && *r->who->tenant) {
        put_text(b, "role", wd_account_role_name(r->who->role));
        put_text(b, "tenant", r->who->tenant);
        put_text(b, "key", r->who->key);
    }
    put_text(b, "from", r->from);
    put_text(b, "action", r->action);
    put_text(b, "object", r->object);
    put_text(b, "outcome", r->outcome);
    put_text(b, "reason", r->reason);
    if (r->http)
        wd_buf_printf(b, ",\"http\":%d", r->http);
    put_text(b, "model", r->model);
    put_digest(b, "model_digest", r->model_digest);
    put_digest(b, "input_digest", r->input_digest);
    put_digest(b, "output_digest", r->output_digest);
    if (r->counted)
        wd_buf_printf(b, ",\"tokens_in\":%llu,\"tokens_out\":%llu", (unsigned long long)r->tokens_in,
                      (unsigned long long)r->tokens_out);
    wd_buf_char(b, '}');
    return wd_buf_check(b, "audit record", err);
}

static wd_status bad_head(const wd_guard *g, wd_err *err)
{
    return WD_FAIL(err, WD_E_CORRUPT, "%s: the audit's end is damaged; see ward audit verify",
                   wd_store_path(g->store));
}

/* The last record's number and digest; 0 and zeros for an empty chain. */
static wd_status read_head(wd_guard *g, wd_tx *tx, int64_t *seq, wd_digest *hash, wd_err *err)
{
    wd_rows *r;
    bool there;

    *seq = 0;
    *hash = (wd_digest){ 0 };
    WD_TRY(wd_store_query(tx, &r, err, "SELECT seq, hash FROM audit_head", ""));
    wd_status st = wd_rows_next(r, &there, err);
    if (!st && there) {
        const wd_span h = wd_rows_bytes(r, 1);
        *seq = wd_rows_int(r, 0);
        if (h.n == sizeof hash->b)
            memcpy(hash->b, h.p, h.n);
        else
            st = bad_head(g, err);
    }
    wd_rows_end(r);
    return st;
}

static wd_status write_head(wd_guard *g, wd_tx *tx, int64_t seq, const wd_digest *hash, wd_err *err)
{
    wd_signature sig;

    wd_sign(&g->signer, WD_SIGNED_HEAD, seq, hash, "", &sig);
    return wd_store_run(tx, err, "INSERT OR REPLACE INTO audit_head(one, seq, hash, sig) VALUES(1, ?, ?, ?)",
                        "ibb", seq, wd_span_of(hash->b, sizeof hash->b), wd_span_of(sig.b, sizeof sig.b));
}

static wd_status last_checkpoint(wd_tx *tx, int64_t *seq, int64_t *time_us, wd_err *err)
{
    wd_rows *r;
    bool there;

    *seq = *time_us = 0;
    WD_TRY(wd_store_query(tx, &r, err, "SELECT seq, time_us FROM audit_checkpoint ORDER BY seq DESC LIMIT 1",
                          ""));
    const wd_status st = wd_rows_next(r, &there, err);
    if (!st && there) {
        *seq = wd_rows_int(r, 0);
        *time_us = wd_rows_int(r, 1);
    }
    wd_rows_end(r);
    return st;
}

static wd_status write_checkpoint(wd_guard *g, wd_tx *tx, int64_t seq, const wd_digest *hash, wd_err *err)
{
    const int64_t now = wd_guard__now(g);
    char time[WD_TIME_TEXT];
    wd_signature sig;

    wd_guard__time_text(now, time);
    wd_sign(&g->signer, WD_SIGNED_CHECKPOINT, seq, hash, time, &sig);
    WD_TRY(wd_store_run(
        tx, err, "INSERT INTO audit_checkpoint(seq, hash, time, time_us, sig) VALUES(?, ?, ?, ?, ?)", "ibsib",
        seq, wd_span_of(hash->b, sizeof hash->b), time, now, wd_span_of(sig.b, sizeof sig.b)));
    atomic_store(&g->checkpointed,
                 seq); /* too early when the commit fails: then the anchors find nothing new */
    return WD_OK;
}

wd_status wd_guard__checkpoint(wd_guard *g, wd_tx *tx, wd_err *err)
{
    int64_t seq, cp_seq, cp_us;
    wd_digest hash;

    WD_TRY(read_head(g, tx, &seq, &hash, err));
    WD_TRY(last_checkpoint(tx, &cp_seq, &cp_us, err));
    return seq > cp_seq ? write_checkpoint(g, tx, seq, &hash, err) : WD_OK;
}

wd_status wd_guard__append(wd_guard *g, wd_tx *tx, const wd_record *r, wd_err *err)
{
    const int64_t now = wd_guard__now(g);
    char time[WD_TIME_TEXT];
    int64_t seq, cp_seq, cp_us;
    wd_digest hash;
    wd_buf body = { .max = WD_CHAIN_BODY_MAX };

    WD_TRY(read_head(g, tx, &seq, &hash, err));
    seq++;
    wd_guard__time_text(now, time);
    wd_status st = write_body(r, seq, &hash, time, &body, err);
    if (!st) {
        wd_chain_hash(wd_buf_view(&body), &hash);
        st = wd_store_run(tx, err, "INSERT INTO audit(seq, body, hash) VALUES(?, ?, ?)", "ibb", seq,
                          wd_buf_view(&body), wd_span_of(hash.b, sizeof hash.b));
    }
    wd_buf_free(&body);
    if (!st)
        st = write_head(g, tx, seq, &hash, err);
    if (!st)
        st = last_checkpoint(tx, &cp_seq, &cp_us, err);
    if (!st && (seq - cp_seq >= (int64_t)g->o.checkpoint_every ||
                now - cp_us >= (int64_t)g->o.checkpoint_s * 1000000))
        st = write_checkpoint(g, tx, seq, &hash, err);
    return st;
}

/* ---- the anchors file ---- */

static wd_status fail_anchors(const wd_guard *g, const char *doing, int e, wd_err *err)
{
    return WD_FAIL(err, WD_E_IO, "%s: cannot %s: %s", g->anchors, doing,
                   e == ENOSPC || e == EDQUOT ? "the disk is full" : strerror(e));
}

/* A line cut off by a crash is ended first, so that it spoils no other. */
static wd_status append_lines(const wd_guard *g, wd_span lines, wd_err *err)
{
    char last = '\n';
    struct stat info;
    const int fd = wd_inject_here() ? (errno = EACCES, -1)
                                    : open(g->anchors, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        return fail_anchors(g, "open", errno, err);
    wd_status st = WD_OK;
    if (fstat(fd, &info) < 0 || (info.st_size > 0 && pread(fd, &last, 1, info.st_size - 1) != 1))
        st = fail_anchors(g, "read", errno, err);
    if (!st && last != '\n' && (wd_inject_here() ? (errno = ENOSPC, -1) : write(fd, "\n", 1)) != 1)
        st = fail_anchors(g, "write", errno, err);
    for (size_t done = 0; !st && done < lines.n;) {
        const ssize_t n = wd_inject_here() ? (errno = ENOSPC, -1) : write(fd, lines.p + done, lines.n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            st = fail_anchors(g, "write", errno, err);
        else
            done += (size_t)n;
    }
    if (!st && (wd_inject_here() ? (errno = EIO, -1) : fsync(fd)) < 0)
        st = fail_anchors(g, "sync", errno, err);
    close(fd);
    return st;
}

static wd_status collect(wd_guard *g, wd_tx *tx, int64_t *newest, wd_buf *lines, wd_err *err)
{
    wd_rows *r;
    bool there;
    wd_status st;

    WD_TRY(wd_store_query(tx, &r, err,
                          "SELECT seq, hash, time, sig FROM audit_checkpoint WHERE seq > ? ORDER BY seq", "i",
                          g->anchored));
    while (!(st = wd_rows_next(r, &there, err)) && there) {
        *newest = wd_rows_int(r, 0);
        wd_chain_put_checkpoint(*newest, wd_rows_bytes(r, 1), wd_rows_text(r, 2), wd_rows_bytes(r, 3), lines);
        wd_buf_char(lines, '\n');
    }
    wd_rows_end(r);
    return st ? st : wd_buf_check(lines, "checkpoints", err);
}

wd_status wd_guard__anchor(wd_guard *g, wd_err *err)
{
    wd_tx *tx;
    wd_buf lines = { 0 };
    wd_status st = WD_OK;

    pthread_mutex_lock(&g->anchor_mu);
    if (atomic_load(&g->checkpointed) > g->anchored) {
        int64_t newest = g->anchored;
        st = wd_store_begin(g->store, WD_STORE_READ, &tx, err);
        if (!st)
            st = wd_store_end(tx, collect(g, tx, &newest, &lines, err), err);
        if (!st && lines.n)
            st = append_lines(g, wd_buf_view(&lines), err);
        if (!st)
            g->anchored = newest;
    }
    pthread_mutex_unlock(&g->anchor_mu);
    wd_buf_free(&lines);
    return st;
}

wd_status wd_guard__record(wd_guard *g, const wd_record *r, wd_err *err)
{
    wd_tx *tx;

    WD_TRY(wd_store_begin(g->store, WD_STORE_WRITE, &tx, err));
    WD_TRY(wd_store_end(tx, wd_guard__append(g, tx, r, err), err));
    return wd_guard__anchor(g, err);
}
