/* Verifying the chain, from a database or from an export.
 *
 * Records go through check_record in the order in which they stand; their digests are kept (40 bytes each), and what was
 * signed is held against them afterwards. A finding does not end the work: what follows is compared with what stands before
 * it, so that each change is named once or twice, not from there to the end. */
#include "guard/audit.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/file.h"
#include "guard/chain.h"
#include "store/store.h"

typedef struct seen {
    int64_t seq;
    wd_digest hash;
} seen;

typedef struct checker {
    const wd_public_key *key;
    wd_audit_report *r;
    int64_t next;   /* number that the next record should have; 0: any */
    wd_digest prev; /* digest that it should name */
    wd_buf seen;    /* seen[], numbers rising */
} checker;

static void WD_PRINTF(2, 3) finding(checker *c, const char *fmt, ...)
{
    va_list ap;

    if (c->r->n_finding < WD_AUDIT_MAX_FINDINGS) {
        va_start(ap, fmt);
        vsnprintf(c->r->finding[c->r->n_finding], sizeof c->r->finding[0], fmt, ap);
        va_end(ap);
    }
    c->r->n_finding++;
}

static void checker_init(checker *c, const wd_public_key *key, int64_t first, wd_audit_report *r)
{
    *r = (wd_audit_report){ 0 };
    *c = (checker){ .key = key, .r = r, .next = first };
}

/* Number and predecessor as the record itself says them. */
static bool read_body(wd_span body, int64_t *seq, wd_digest *prev)
{
    json_t *o = NULL;

    if (body.n > WD_CHAIN_BODY_MAX || wd_json_parse(body, "record", &o, NULL))
        return false;
    const json_t *n = json_object_get(o, "seq");
    const char *p = json_string_value(json_object_get(o, "prev"));
    const bool ok = json_is_integer(n) && json_integer_value(n) > 0 && p &&
                    wd_unhex(wd_span_str(p), prev->b, sizeof prev->b);
    *seq = ok ? json_integer_value(n) : 0;
    json_decref(o);
    return ok;
}

/* Whether the number is the one expected; says what is missing or moved. */
static void check_number(checker *c, int64_t seq)
{
    if (c->next && seq == c->next + 1)
        finding(c, "record %" PRId64 " is missing", c->next);
    else if (c->next && seq > c->next)
        finding(c, "records %" PRId64 " to %" PRId64 " are missing", c->next, seq - 1);
    else if (seq < c->next)
        finding(c, "record %" PRId64 " stands after record %" PRId64, seq, c->next - 1);
}

/* place: the number in the database, or the line's in an export. */
static void check_record(checker *c, const char *what, int64_t place, bool place_is_number, wd_span body,
                         const wd_digest *stored)
{
    wd_digest hash, prev;
    int64_t seq;

    c->r->n_record++;
    wd_chain_hash(body, &hash);
    if (!read_body(body, &seq, &prev)) {
        finding(c, "%s %" PRId64 " holds no record", what, place);
        seq = place_is_number ? place : c->next;
        prev = c->prev;
    } else if (place_is_number && seq != place) {
        finding(c, "record %" PRId64 " says that it is record %" PRId64, place, seq);
        seq = place; /* where it stands is what follows on it */
    }
    const bool in_order = c->next == 0 || seq == c->next;
    check_number(c, seq);
    if (memcmp(hash.b, stored->b, sizeof hash.b) != 0)
        finding(c, "record %" PRId64 " was changed: its digest is another", seq);
    else if (in_order && c->next != 0 && memcmp(prev.b, c->prev.b, sizeof prev.b) != 0)
        finding(c, "record %" PRId64 " does not follow on the record before it", seq);
    if (c->r->first == 0)
        c->r->first = seq;
    if (seq > c->r->last) {
        c->r->last = seq;
        wd_digest_hex(&hash, c->r->head_hash);
        const seen s = { seq, hash };
        wd_buf_put(&c->seen, &s, sizeof s);
    }
    c->prev = *stored;
    c->next = seq < INT64_MAX ? seq + 1 : seq;
}

static const wd_digest *hash_of(const checker *c, int64_t seq)
{
    const seen *v = (const seen *)(const void *)c->seen.p;
    size_t lo = 0, hi = c->seen.n / sizeof *v;

    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (v[mid].seq < seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < c->seen.n / sizeof *v && v[lo].seq == seq ? &v[lo].hash : NULL;
}

/* A signed end or checkpoint against the records; `what` names it. */
static void check_signed(checker *c, const char *what, wd_signed_kind kind, const wd_anchor *a)
{
    if (!wd_sign_verify(c->key, kind, a->seq, &a->hash, a->time, &a->sig)) {
        finding(c, "the %s of record %" PRId64 " was not signed with this key", what, a->seq);
        return;
    }
    const wd_digest *h = hash_of(c, a->seq);
    if (a->seq > c->r->last)
        finding(
            c, "the last records are missing: the %s is of record %" PRId64 ", the last one here is %" PRId64,
            what, a->seq, c->r->last);
    else if (!h)
        finding(c, "record %" PRId64 ", of which there is a %s, is missing", a->seq, what);
    else if (memcmp(h->b, a->hash.b, sizeof h->b) != 0)
        finding(c, "record %" PRId64 " is not the one that its %s was made of", a->seq, what);
}

static void check_head(checker *c, const wd_anchor *a)
{
    c->r->head = true;
    check_signed(c, "signed end", WD_SIGNED_HEAD, a);
    if (a->seq < c->r->last)
        finding(c, "records after %" PRId64 " were added without being signed", a->seq);
}

static void check_end(checker *c)
{
    if (c->r->n_record == 0)
        finding(c, "there are no records");
    if (!c->r->head)
        finding(c, "there is no signed end");
}

static wd_status checker_end(checker *c, wd_err *err)
{
    const wd_status st = wd_buf_check(&c->seen, "digests of the audit", err);
    wd_buf_free(&c->seen);
    return st;
}

/* The next line of text from *at on, without its newline; false at the end. */
static bool next_line(wd_span text, size_t *at, wd_span *line)
{
    if (*at >= text.n)
        return false;
    const uint8_t *end = memchr(text.p + *at, '\n', text.n - *at);
    const size_t n = end ? (size_t)(end - text.p) - *at : text.n - *at;
    *line = wd_span_of(text.p + *at, n);
    *at += n + 1;
    return true;
}

/* A line that is no checkpoint may be one that was cut off when the machine stopped; only a whole one can accuse. */
static void check_anchors(checker *c, wd_span text)
{
    size_t at = 0;
    wd_span line;
    wd_signed_kind kind;
    wd_anchor a;

    while (next_line(text, &at, &line)) {
        if (line.n == 0)
            continue;
        if (!wd_chain_get_signed(line, &kind, &a) || kind != WD_SIGNED_CHECKPOINT) {
            c->r->n_torn++;
            continue;
        }
        if (a.seq < c->r->first)
            continue; /* of records that an export left out */
        c->r->n_anchor++;
        check_signed(c, "anchored checkpoint", kind, &a);
    }
}

/* ---- an export ---- */

static void check_line(checker *c, int64_t number, wd_span line)
{
    wd_span body;
    wd_digest stored;
    wd_signed_kind kind;
    wd_anchor a;

    if (wd_chain_get_record(line, &body, &stored)) {
        check_record(c, "line", number, false, body, &stored);
    } else if (!wd_chain_get_signed(line, &kind, &a)) {
        finding(c, "line %" PRId64 " is none of an audit's export", number);
    } else if (kind == WD_SIGNED_HEAD) {
        check_head(c, &a);
    } else if (a.seq >= c->r->first) {
        c->r->n_checkpoint++;
        check_signed(c, "checkpoint", kind, &a);
    }
}

wd_status wd_audit_verify_lines(wd_span text, const wd_public_key *key, wd_span anchors, wd_audit_report *out,
                                wd_err *err)
{
    checker c;
    size_t at = 0;
    wd_span line;

    checker_init(&c, key, 0, out);
    for (int64_t number = 1; next_line(text, &at, &line); number++)
        check_line(&c, number, line);
    check_end(&c);
    check_anchors(&c, anchors);
    return checker_end(&c, err);
}

/* ---- a database ---- */

static bool to_digest(wd_span s, wd_digest *out)
{
    *out = (wd_digest){ 0 };
    if (s.n != sizeof out->b)
        return false;
    memcpy(out->b, s.p, s.n);
    return true;
}

static wd_status check_records_in(checker *c, wd_tx *tx, wd_err *err)
{
    wd_rows *r;
    bool there;
    wd_status st;
    wd_digest stored;

    WD_TRY(wd_store_query(tx, &r, err, "SELECT seq, body, hash FROM audit ORDER BY seq", ""));
    while (!(st = wd_rows_next(r, &there, err)) && there) {
        (void)to_digest(wd_rows_bytes(r, 2), &stored); /* of another length: zeros, which no record has */
        check_record(c, "record", wd_rows_int(r, 0), true, wd_rows_bytes(r, 1), &stored);
    }
    wd_rows_end(r);
    return st;
}

static void to_anchor(const wd_rows *r, wd_anchor *a)
{
    const wd_span sig = wd_rows_bytes(r, 2);

    *a = (wd_anchor){ .seq = wd_rows_int(r, 0) };
    (void)to_digest(wd_rows_bytes(r, 1), &a->hash);
    if (sig.n == sizeof a->sig.b)
        memcpy(a->sig.b, sig.p, sig.n);
    snprintf(a->time, sizeof a->time, "%s", wd_rows_text(r, 3));
}

static wd_status check_signed_in(checker *c, wd_tx *tx, wd_err *err)
{
    wd_rows *r;
    bool there;
    wd_status st;
    wd_anchor a;

    WD_TRY(wd_store_query(tx, &r, err, "SELECT seq, hash, sig, '' FROM audit_head", ""));
    while (!(st = wd_rows_next(r, &there, err)) && there) {
        to_anchor(r, &a);
        check_head(c, &a);
    }
    wd_rows_end(r);
    if (st)
        return st;
    WD_TRY(wd_store_query(tx, &r, err, "SELECT seq, hash, sig, time FROM audit_checkpoint ORDER BY seq", ""));
    while (!(st = wd_rows_next(r, &there, err)) && there) {
        to_anchor(r, &a);
        c->r->n_checkpoint++;
        check_signed(c, "checkpoint", WD_SIGNED_CHECKPOINT, &a);
    }
    wd_rows_end(r);
    return st;
}

static wd_status check_database(checker *c, wd_store *s, wd_err *err)
{
    wd_tx *tx;

    WD_TRY(wd_store_check(s, err));
    WD_TRY(wd_store_begin(s, WD_STORE_READ, &tx, err));
    wd_status st = check_records_in(c, tx, err);
    if (!st)
        st = check_signed_in(c, tx, err);
    st = wd_store_end(tx, st, err);
    check_end(c);
    return st;
}

wd_status wd_audit_verify(const char *db_path, const wd_public_key *key, const char *anchors,
                          wd_audit_report *out, wd_err *err)
{
    wd_store_opts o = WD_STORE_OPTS_DEFAULT;
    wd_store *s = NULL;
    wd_buf lines = { .max = WD_ANCHORS_BYTES_MAX + 1 };
    wd_status st = WD_OK;
    checker c;

    o.read_only = true;
    o.check_max = 0; /* wd_store_check does it */
    checker_init(&c, key, 1, out);
    /* Anchors before the database: what is written between is then newer than they are, not older. */
    if (anchors && wd_file_exists(anchors))
        st = wd_file_read(anchors, WD_ANCHORS_BYTES_MAX, &lines, err);
    if (!st)
        st = wd_store_open(db_path, &o, &s, err);
    if (!st)
        st = check_database(&c, s, err);
    if (!st)
        check_anchors(&c, wd_buf_view(&lines));
    const wd_status ended = checker_end(&c, st ? NULL : err);
    wd_store_close(s);
    wd_buf_free(&lines);
    return st ? st : ended;
}
