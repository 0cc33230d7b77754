/* Batches of the audit, each sent and confirmed; the cursor.
 *
 * Invariants
 *  1. audit_ship holds, for each receiver, the last record and the last checkpoint that it has for certain.
 *  2. It moves only from where this program read it: two programs that ship to one receiver notice each other.
 *  3. No transaction is open while anything waits for the network. */
#include "guard/ship.h"

#include <poll.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "guard/inner.h"
#include "guard/ship_tls.h"
#include "guard/syslog.h"

#define HOST_MAX 253                      /* RFC 1035 */
#define BATCH_BYTES ((size_t)1 << 20)     /* of one connection, about */
#define BATCH_BYTES_MAX ((size_t)4 << 20) /* and with the checkpoints that go with them */
#define BATCH_CHECKPOINTS 1000

typedef struct cursor {
    int64_t seq, checkpoint;
} cursor;

typedef struct shipper {
    wd_guard *g;
    const wd_ship_opts *o;
    wd_ship_report *report;
    char receiver[HOST_MAX + 8]; /* "host:port" */
    char host[256];              /* ours */
    cursor at;                   /* as it stands in the database */
    int64_t until;               /* the last record when it began */
    wd_buf batch, line;
} shipper;

/* ---- reading ---- */

/* MSG-LEN SP SYSLOG-MSG (RFC 5425, section 4.3.1). */
static void put_frame(shipper *s)
{
    wd_buf_printf(&s->batch, "%zu ", s->line.n);
    wd_buf_span(&s->batch, wd_buf_view(&s->line));
    s->batch.failed |= s->line.failed;
    wd_buf_clear(&s->line);
}

static wd_status read_cursor(shipper *s, wd_tx *tx, wd_err *err)
{
    wd_rows *r;
    bool there;

    s->at = (cursor){ 0 };
    WD_TRY(wd_store_query(tx, &r, err, "SELECT seq, checkpoint FROM audit_ship WHERE receiver = ?", "s",
                          s->receiver));
    const wd_status st = wd_rows_next(r, &there, err);
    if (!st && there)
        s->at = (cursor){ wd_rows_int(r, 0), wd_rows_int(r, 1) };
    wd_rows_end(r);
    return st;
}

static wd_status put_record(shipper *s, wd_span body, wd_err *err)
{
    json_t *o = NULL;

    WD_TRY(wd_json_parse(body, "audit record", &o, err));
    wd_syslog_put_record(o, s->host, &s->line);
    json_decref(o);
    put_frame(s);
    return WD_OK;
}

static wd_status read_records(shipper *s, wd_tx *tx, cursor *to, uint64_t *n, wd_err *err)
{
    wd_rows *r;
    bool there;
    wd_status st;

    WD_TRY(wd_store_query(tx, &r, err, "SELECT seq, body FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", "ii",
                          s->at.seq, (int64_t)s->o->batch));
    while (!(st = wd_rows_next(r, &there, err)) && there && s->batch.n < BATCH_BYTES) {
        st = put_record(s, wd_rows_bytes(r, 1), err);
        if (st)
            break;
        to->seq = wd_rows_int(r, 0);
        ++*n;
    }
    wd_rows_end(r);
    return st;
}

/* Those of records that the receiver has, or has with this batch. */
static wd_status read_checkpoints(shipper *s, wd_tx *tx, cursor *to, uint64_t *n, wd_err *err)
{
    wd_rows *r;
    bool there;
    wd_status st;

    WD_TRY(wd_store_query(tx, &r, err,
                          "SELECT seq, hash, time, sig FROM audit_checkpoint WHERE seq > ? AND seq <= ?"
                          " ORDER BY seq LIMIT ?",
                          "iii", s->at.checkpoint, to->seq, (int64_t)BATCH_CHECKPOINTS));
    while (!(st = wd_rows_next(r, &there, err)) && there) {
        to->checkpoint = wd_rows_int(r, 0);
        wd_syslog_put_checkpoint(to->checkpoint, wd_rows_bytes(r, 1), wd_rows_text(r, 2), wd_rows_bytes(r, 3),
                                 s->host, &s->line);
        put_frame(s);
        ++*n;
    }
    wd_rows_end(r);
    return st;
}

typedef struct batch {
    cursor to;
    uint64_t n_record, n_checkpoint;
} batch;

static wd_status read_batch_in(shipper *s, wd_tx *tx, batch *b, wd_err *err)
{
    WD_TRY(read_cursor(s, tx, err));
    b->to = s->at;
    WD_TRY(read_records(s, tx, &b->to, &b->n_record, err));
    WD_TRY(read_checkpoints(s, tx, &b->to, &b->n_checkpoint, err));
    return wd_buf_check(&s->batch, "batch of records", err);
}

static wd_status read_batch(shipper *s, batch *b, wd_err *err)
{
    wd_tx *tx;

    *b = (batch){ 0 };
    wd_buf_clear(&s->batch);
    wd_buf_clear(&s->line);
    s->batch.failed = s->line.failed = false;
    WD_TRY(wd_store_begin(s->g->store, WD_STORE_READ, &tx, err));
    return wd_store_end(tx, read_batch_in(s, tx, b, err), err);
}

/* ---- sending ---- */

static wd_status move_cursor_in(const shipper *s, wd_tx *tx, const batch *b, wd_err *err)
{
    WD_TRY(wd_store_run(
        tx, err,
        "INSERT INTO audit_ship(receiver, seq, checkpoint, changed_us) VALUES(?, ?, ?, ?)"
        " ON CONFLICT(receiver) DO UPDATE SET seq = excluded.seq, checkpoint = excluded.checkpoint,"
        " changed_us = excluded.changed_us WHERE seq = ? AND checkpoint = ?",
        "siiiii", s->receiver, b->to.seq, b->to.checkpoint, wd_guard__now(s->g), s->at.seq,
        s->at.checkpoint));
    return wd_store_changed(tx) == 1 ? WD_OK
                                     : WD_FAIL(err, WD_E_BUSY, "another program ships to %s", s->receiver);
}

static wd_status move_cursor(shipper *s, const batch *b, wd_err *err)
{
    wd_tx *tx;

    WD_TRY(wd_store_begin(s->g->store, WD_STORE_WRITE, &tx, err));
    WD_TRY(wd_store_end(tx, move_cursor_in(s, tx, b, err), err));
    s->at = b->to;
    s->report->seq = b->to.seq;
    s->report->n_record += b->n_record;
    s->report->n_checkpoint += b->n_checkpoint;
    return WD_OK;
}

static wd_status send_batch(shipper *s, bool *trouble, wd_err *err)
{
    wd_tls_out *t;

    s->report->n_connection++;
    wd_status st = wd_tls_out_open(s->o, &t, trouble, err);
    if (!st)
        st = wd_tls_out_write(t, wd_buf_view(&s->batch), err);
    if (!st)
        st = wd_tls_out_finish(t, err);
    wd_tls_out_close(t);
    s->report->n_failed += st != WD_OK;
    *trouble = *trouble && (st == WD_E_IO || st == WD_E_AUTH || st == WD_E_DEADLINE);
    return st;
}

/* *sent: something was. *trouble: of a kind that may pass. */
static wd_status ship_batch(shipper *s, bool *sent, bool *trouble, wd_err *err)
{
    batch b;

    *sent = *trouble = false;
    WD_TRY(read_batch(s, &b, err));
    s->report->seq = s->at.seq;
    if (s->batch.n == 0)
        return WD_OK;
    WD_TRY(send_batch(s, trouble, err));
    *trouble = false;
    *sent = true;
    return move_cursor(s, &b, err);
}

/* ---- the loop ---- */

static bool cancelled(const shipper *s)
{
    return s->o->cancel && atomic_load(s->o->cancel);
}

static void pause_ms(const shipper *s, uint32_t ms)
{
    for (const uint64_t until = wd_clock_ns() + (uint64_t)ms * 1000000;
         !cancelled(s) && wd_clock_ns() < until;)
        poll(NULL, 0, (int)WD_MIN(ms, 100u));
}

/* Sends what there was when it began: records may come faster than they are sent. */
static wd_status ship_all(shipper *s, wd_err *err)
{
    bool sent = true, trouble;

    while (sent && s->at.seq < s->until) {
        if (cancelled(s))
            return WD_FAIL(err, WD_E_CANCELLED, "interrupted");
        WD_TRY(ship_batch(s, &sent, &trouble, err));
    }
    return WD_OK;
}

/* Sends what there is and will be. Pauses double from poll_ms to retry_ms while the receiver is away; each new length is
 * logged once. */
static wd_status follow(shipper *s, wd_err *err)
{
    bool sent, trouble;
    uint32_t retry_ms = 0;

    while (!cancelled(s)) {
        const wd_status st = ship_batch(s, &sent, &trouble, err);
        if (st == WD_E_CANCELLED)
            break;
        if (st && !trouble)
            return st;
        if (st) {
            const uint32_t next = WD_MIN(WD_MAX(s->o->poll_ms, retry_ms * 2), s->o->retry_ms);
            if (next != retry_ms)
                wd_log(WD_LOG_WARN, "ship", "%s; tried again every retry_ms=%u", err->text, next);
            retry_ms = next;
            pause_ms(s, retry_ms);
        } else if (sent && retry_ms) {
            wd_log(WD_LOG_WARN, "ship", "%s takes records again seq=%lld", s->receiver, (long long)s->at.seq);
            retry_ms = 0;
        } else if (!sent) {
            pause_ms(s, s->o->poll_ms);
        }
    }
    return WD_OK;
}

/* ---- options ---- */

static wd_status check(const wd_ship_opts *o, wd_err *err)
{
    static const char names[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-_";
    uint8_t fingerprint[WD_FINGERPRINT_BYTES];
    const size_t n = strlen(o->host), n_port = strlen(o->port);

    if (n == 0 || n > HOST_MAX || strspn(o->host, names) != n)
        return WD_FAIL(err, WD_E_USAGE, "the receiver is a name or a numeric address, such as log.example");
    if (n_port == 0 || n_port > 5 || strspn(o->port, "0123456789") != n_port ||
        strtoul(o->port, NULL, 10) > 65535)
        return WD_FAIL(err, WD_E_USAGE, "the receiver's port is a number up to 65535, such as 6514");
    if (!o->cert != !o->key)
        return WD_FAIL(err, WD_E_USAGE, "a certificate and its key go together");
    if (o->fingerprint && !wd_fingerprint_parse(o->fingerprint, fingerprint))
        return WD_FAIL(
            err, WD_E_USAGE,
            "a fingerprint is \"sha-256:\" and 32 pairs of hexadecimal digits with ':' between them");
    if (o->fingerprint && (o->ca || o->name))
        return WD_FAIL(err, WD_E_USAGE,
                       "a fingerprint stands in place of authorities and names: give one or the "
                       "other");
    if (!o->batch || !o->timeout_ms || !o->poll_ms)
        return WD_FAIL(err, WD_E_USAGE, "batches, times and pauses are greater than 0");
    return WD_OK;
}

static wd_status begin_in(shipper *s, wd_tx *tx, const wd_identity *by, wd_err *err)
{
    char object[HOST_MAX + 16];
    wd_rows *r;
    bool there;

    snprintf(object, sizeof object, "syslog:%s", s->receiver);
    WD_TRY(wd_guard__note(s->g, tx, by, "audit.ship", object, NULL, err));
    WD_TRY(wd_store_query(tx, &r, err, "SELECT seq FROM audit_head", ""));
    const wd_status st = wd_rows_next(r, &there, err);
    if (!st && there)
        s->until = wd_rows_int(r, 0);
    wd_rows_end(r);
    return st ? st : read_cursor(s, tx, err);
}

static wd_status begin(shipper *s, const wd_identity *by, wd_err *err)
{
    wd_tx *tx;

    WD_TRY(wd_store_begin(s->g->store, WD_STORE_WRITE, &tx, err));
    WD_TRY(wd_store_end(tx, begin_in(s, tx, by, err), err));
    s->report->seq = s->at.seq;
    return wd_guard__anchor(s->g, err);
}

wd_status wd_audit_ship(wd_guard *g, const wd_identity *by, const wd_ship_opts *o, wd_ship_report *report,
                        wd_err *err)
{
    shipper s = { .g = g, .o = o, .report = report, .batch.max = BATCH_BYTES_MAX };
    wd_err own; /* following logs failures even for a caller that wants none */

    *report = (wd_ship_report){ 0 };
    WD_TRY(wd_guard__permit(by, "audit.ship", NULL, "audit", err));
    WD_TRY(check(o, err));
    snprintf(s.receiver, sizeof s.receiver, "%s:%s", o->host, o->port);
    wd_syslog_host(s.host);
    wd_status st = begin(&s, by, err);
    if (!st)
        st = o->follow ? follow(&s, err ? err : &own) : ship_all(&s, err);
    wd_buf_free(&s.batch);
    wd_buf_free(&s.line);
    return st;
}
