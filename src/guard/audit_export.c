/* The audit for people and for other systems: lists, exports, a checkpoint on demand. */
#include "guard/audit.h"

#include "guard/chain.h"
#include "guard/inner.h"
#include "guard/syslog.h"

#define LIST_MAX 100000 /* records that a list holds; an export has no end */

static wd_status note(wd_guard *g, const wd_identity *by, const char *action, wd_err *err)
{
    wd_tx *tx;

    WD_TRY(wd_guard__permit(by, action, NULL, "audit", err));
    WD_TRY(wd_store_begin(g->store, WD_STORE_WRITE, &tx, err));
    WD_TRY(wd_store_end(tx, wd_guard__note(g, tx, by, action, NULL, NULL, err), err));
    return wd_guard__anchor(g, err);
}

/* A date or a time of day, as they stand in records: digits and "-T:.Z" only, so that comparing texts compares times. */
static wd_status check_time(const char *s, const char *what, wd_err *err)
{
    const size_t n = s ? strlen(s) : 0;

    if (s && (n < 10 || n > 27 || strspn(s, "0123456789-T:.Z") != n || s[4] != '-' || s[7] != '-'))
        return WD_FAIL(err, WD_E_USAGE,
                       "%s: expected a date such as 2026-01-31 or a time such as 2026-01-31T12:00:00Z", what);
    return WD_OK;
}

static bool whole(const wd_audit_filter *f)
{
    return !f->subject && !f->action && !f->tenant && !f->outcome && !f->visit && !f->since && !f->until &&
           !f->last;
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static bool wanted(const wd_audit_filter *f, const json_t *o)
{
    const char *time = text_of(o, "time");

    return (!f->subject || !strcmp(f->subject, text_of(o, "subject"))) &&
           (!f->action || !strcmp(f->action, text_of(o, "action"))) &&
           (!f->tenant || !strcmp(f->tenant, text_of(o, "tenant"))) &&
           (!f->outcome || !strcmp(f->outcome, text_of(o, "outcome"))) &&
           (!f->visit || !strcmp(f->visit, text_of(o, "visit"))) &&
           (!f->since || strcmp(time, f->since) >= 0) && (!f->until || strcmp(time, f->until) < 0);
}

/* What is done with each wanted record. */
typedef wd_status (*record_fn)(void *ctx, const json_t *o, wd_span body, wd_span hash, wd_err *err);

static wd_status one(wd_rows *r, const wd_audit_filter *f, record_fn fn, void *ctx, bool *taken, wd_err *err)
{
    json_t *o = NULL;
    const wd_span body = wd_rows_bytes(r, 1);
    wd_status st = wd_json_parse(body, "audit record", &o, err);

    *taken = !st && wanted(f, o);
    if (*taken)
        st = fn(ctx, o, body, wd_rows_bytes(r, 2), err);
    json_decref(o);
    return st;
}

/* The number before the newest f->last wanted ones, or f->after. */
static wd_status find_start(wd_tx *tx, const wd_audit_filter *f, int64_t *after, wd_err *err)
{
    wd_rows *r;
    bool there;
    wd_status st;
    uint64_t left = f->last;
    json_t *o;

    *after = f->after;
    if (!f->last)
        return WD_OK;
    WD_TRY(wd_store_query(tx, &r, err, "SELECT seq, body FROM audit WHERE seq > ? ORDER BY seq DESC", "i",
                          f->after));
    while (left && !(st = wd_rows_next(r, &there, err)) && there) {
        st = wd_json_parse(wd_rows_bytes(r, 1), "audit record", &o, err);
        if (st)
            break;
        if (wanted(f, o) && --left == 0)
            *after = wd_rows_int(r, 0) - 1;
        json_decref(o);
    }
    wd_rows_end(r);
    return left ? st : WD_OK;
}

static wd_status each(wd_tx *tx, const wd_audit_filter *f, record_fn fn, void *ctx, wd_err *err)
{
    wd_rows *r;
    bool there, taken;
    wd_status st;
    int64_t after;

    WD_TRY(find_start(tx, f, &after, err));
    WD_TRY(wd_store_query(tx, &r, err, "SELECT seq, body, hash FROM audit WHERE seq > ? ORDER BY seq", "i",
                          after));
    while (!(st = wd_rows_next(r, &there, err)) && there && !(st = one(r, f, fn, ctx, &taken, err)))
        ;
    wd_rows_end(r);
    return st;
}

/* ---- lines ---- */

typedef struct sink {
    wd_audit_form form;
    wd_audit_line_fn fn;
    void *ctx;
    wd_buf line;
    char host[256];
} sink;

static wd_status put_line(sink *s, wd_err *err)
{
    WD_TRY(wd_buf_check(&s->line, "audit line", err));
    const wd_status st = s->fn(s->ctx, wd_buf_view(&s->line), err);
    wd_buf_clear(&s->line);
    return st;
}

static wd_status put_record(void *ctx, const json_t *o, wd_span body, wd_span hash, wd_err *err)
{
    sink *s = ctx;

    if (s->form == WD_AUDIT_RFC5424)
        wd_syslog_put_record(o, s->host, &s->line);
    else
        wd_chain_put_record(body, hash, &s->line);
    return put_line(s, err);
}

static wd_status put_signed(sink *s, wd_tx *tx, wd_err *err)
{
    wd_rows *r;
    bool there;
    wd_status st;

    WD_TRY(wd_store_query(tx, &r, err, "SELECT seq, hash, time, sig FROM audit_checkpoint ORDER BY seq", ""));
    while (!(st = wd_rows_next(r, &there, err)) && there) {
        wd_chain_put_checkpoint(wd_rows_int(r, 0), wd_rows_bytes(r, 1), wd_rows_text(r, 2),
                                wd_rows_bytes(r, 3), &s->line);
        st = put_line(s, err);
        if (st)
            break;
    }
    wd_rows_end(r);
    if (st)
        return st;
    WD_TRY(wd_store_query(tx, &r, err, "SELECT seq, hash, sig FROM audit_head", ""));
    st = wd_rows_next(r, &there, err);
    if (!st && there) {
        wd_chain_put_head(wd_rows_int(r, 0), wd_rows_bytes(r, 1), wd_rows_bytes(r, 2), &s->line);
        st = put_line(s, err);
    }
    wd_rows_end(r);
    return st;
}

wd_status wd_audit_export(wd_guard *g, const wd_identity *by, const wd_audit_filter *filter,
                          wd_audit_form form, wd_audit_line_fn fn, void *ctx, wd_err *err)
{
    sink s = { .form = form, .fn = fn, .ctx = ctx };
    wd_tx *tx;

    WD_TRY(check_time(filter->since, "since", err));
    WD_TRY(check_time(filter->until, "until", err));
    WD_TRY(note(g, by, "audit.export", err));
    wd_syslog_host(s.host);
    WD_TRY(wd_store_begin(g->store, WD_STORE_READ, &tx, err));
    wd_status st = each(tx, filter, put_record, &s, err);
    if (!st && form == WD_AUDIT_JSON_LINES && whole(filter))
        st = put_signed(&s, tx, err);
    st = wd_store_end(tx, st, err);
    wd_buf_free(&s.line);
    return st;
}

/* ---- lists, checkpoints, digests ---- */

typedef struct collected {
    json_t *list;
    size_t n;
} collected;

static wd_status collect(void *ctx, const json_t *o, wd_span body, wd_span hash, wd_err *err)
{
    collected *c = ctx;
    (void)body, (void)hash;

    if (c->n++ == LIST_MAX)
        return WD_FAIL(err, WD_E_LIMIT, "more than %d records: narrow the list, or export", LIST_MAX);
    wd_json_append(&c->list, json_incref((json_t *)(uintptr_t)o));
    return c->list ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "no memory for a list of records");
}

wd_status wd_audit_list(wd_guard *g, const wd_identity *by, const wd_audit_filter *filter, json_t **out,
                        wd_err *err)
{
    collected c = { 0 };
    wd_tx *tx;

    *out = NULL;
    WD_TRY(check_time(filter->since, "since", err));
    WD_TRY(check_time(filter->until, "until", err));
    WD_TRY(note(g, by, "audit.list", err));
    c.list = json_array();
    WD_TRY(wd_store_begin(g->store, WD_STORE_READ, &tx, err));
    const wd_status st = wd_store_end(tx, each(tx, filter, collect, &c, err), err);
    if (st || !c.list) {
        json_decref(c.list);
        return st ? st : WD_FAIL(err, WD_E_NOMEM, "no memory for a list of records");
    }
    *out = c.list;
    return WD_OK;
}

static wd_status checkpoint_in(wd_guard *g, wd_tx *tx, const wd_identity *by, wd_buf *line, wd_err *err)
{
    wd_rows *r;
    bool there;

    WD_TRY(wd_guard__note(g, tx, by, "audit.checkpoint", NULL, NULL, err));
    WD_TRY(wd_guard__checkpoint(g, tx, err));
    WD_TRY(wd_store_query(tx, &r, err,
                          "SELECT seq, hash, time, sig FROM audit_checkpoint ORDER BY seq DESC LIMIT 1", ""));
    const wd_status st = wd_rows_next(r, &there, err);
    if (!st && there)
        wd_chain_put_checkpoint(wd_rows_int(r, 0), wd_rows_bytes(r, 1), wd_rows_text(r, 2),
                                wd_rows_bytes(r, 3), line);
    wd_rows_end(r);
    return st ? st : wd_buf_check(line, "checkpoint", err);
}

wd_status wd_audit_checkpoint(wd_guard *g, const wd_identity *by, json_t **out, wd_err *err)
{
    wd_tx *tx;
    wd_buf line = { 0 };

    *out = NULL;
    WD_TRY(wd_guard__permit(by, "audit.checkpoint", NULL, "audit", err));
    WD_TRY(wd_store_begin(g->store, WD_STORE_WRITE, &tx, err));
    wd_status st = wd_store_end(tx, checkpoint_in(g, tx, by, &line, err), err);
    if (!st)
        st = wd_guard__anchor(g, err);
    if (!st)
        st = wd_json_parse(wd_buf_view(&line), "checkpoint", out, err);
    wd_buf_free(&line);
    return st;
}

wd_status wd_audit_digest(wd_guard *g, const wd_identity *by, wd_span content, wd_digest *out, wd_err *err)
{
    WD_TRY(note(g, by, "audit.digest", err));
    wd_guard_digest(g, content, out);
    return WD_OK;
}
