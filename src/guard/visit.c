/* One request: admitted, begun, ended.
 *
 *   admitted --wd_visit_begin--> begun --wd_visit_end--> gone
 *   admitted ------------------------- wd_visit_end--> gone      refused on the way, or recorded once
 *
 * A record that stands in audit_open has been begun and not ended: it is put there and taken out in the transactions that
 * write the two records. */
#include "guard/visit.h"

#include <stdio.h>
#include <strings.h>

#include <sodium.h>

#include "base/log.h"

static const char *const outcome_names[] = { "done", "invalid", "refused", "cancelled", "failed" };

wd_limit wd_guard__address(const wd_guard *g, const char *from)
{
    return (wd_limit){ 'a', from, g->o.bad_per_min / 60.0, g->o.bad_per_min };
}

/* An address as it came, or "-": nothing else gets into records through this field. */
static void copy_from(const char *from, char out[WD_GUARD__FROM_MAX])
{
    const size_t n = from ? strlen(from) : 0;
    const bool ok = n > 0 && n < WD_GUARD__FROM_MAX && strspn(from, "0123456789abcdefABCDEF.:%") == n;
    snprintf(out, WD_GUARD__FROM_MAX, "%s", ok ? from : "-");
}

static void refusal(wd_refusal *no, int http, const char *code, uint32_t retry_after_s)
{
    no->http = http;
    no->code = code;
    no->retry_after_s = retry_after_s;
}

static wd_status store_failed(wd_refusal *no, wd_status st)
{
    refusal(no, 503, "audit_unavailable", 5);
    return st;
}

/* Writes down a refusal. It stands whether that can be done or not. */
static void record_refusal(const wd_visit *v, const char *reason, int http)
{
    wd_err err;
    const wd_record r = { .event = "refused",
                          .visit = v->id,
                          .who = &v->who,
                          .from = v->from,
                          .action = v->rule->action,
                          .outcome = "refused",
                          .reason = reason,
                          .http = http };

    if (wd_guard__record(v->g, &r, &err))
        wd_log(WD_LOG_ERROR, "guard", "a refusal could not be recorded: %s", err.text);
}

/* An address that has shown too many bad credentials: 429, recorded when it begins. */
static wd_status address_waits(wd_visit *v, bool first, uint32_t retry, wd_refusal *no, wd_err *err)
{
    refusal(no, 429, "rate_limit_exceeded", retry);
    if (first)
        record_refusal(v, "address_waits", 429);
    return WD_FAIL(err, WD_E_BUSY, "too many credentials from this address did not count: wait %u s", retry);
}

/* Bad credentials: 401 and a record, as long as the address has not shown too many. Good keys are never made to wait for
 * bad ones of the same address, which may be a proxy's or a whole hospital's: 256 random bits are not guessed, and only
 * the audit needs to be kept from a flood. */
static wd_status bad_credentials(wd_visit *v, const char *reason, wd_refusal *no, wd_err *err)
{
    const wd_limit address = wd_guard__address(v->g, v->from);
    uint32_t retry;
    bool first;

    if (!wd_limits_take(v->g->limits, &address, 1, wd_guard__now(v->g), &retry, &first))
        return address_waits(v, first, retry, no, err);
    refusal(no, 401, "invalid_api_key", 0);
    record_refusal(v, reason, 401);
    return WD_FAIL(err, WD_E_AUTH, "a key that counts is needed: Authorization: Bearer KEY");
}

/* A page of another site makes the browser ask (CSRF). Who is known is named; else it counts as a bad credential of the
 * address, so that nobody fills the audit with it. */
static wd_status other_site(wd_visit *v, wd_refusal *no, wd_err *err)
{
    const wd_limit address = wd_guard__address(v->g, v->from);
    uint32_t retry;
    bool first;

    if (v->who.role == WD_N_ACCOUNT_ROLE &&
        !wd_limits_take(v->g->limits, &address, 1, wd_guard__now(v->g), &retry, &first))
        return address_waits(v, first, retry, no, err);
    refusal(no, 403, "origin_refused", 0);
    record_refusal(v, "other_site", 403);
    return WD_FAIL(err, WD_E_DENIED,
                   "a session is used by pages of this server: its own Origin, or X-CSRF-Token, is needed");
}

/* May a session's cookie speak for this request? */
static bool is_own_page(const wd_visit *v, const wd_ask *ask)
{
    char csrf[WD_CSRF_MAX];

    if (ask->origin != WD_ORIGIN_NONE)
        return ask->origin == WD_ORIGIN_OWN;
    if (!strcmp(v->rule->method, "GET"))
        return true;
    wd_guard_csrf(ask->session, csrf);
    return ask->csrf && strlen(ask->csrf) == sizeof csrf - 1 &&
           sodium_memcmp(ask->csrf, csrf, sizeof csrf - 1) == 0;
}

/* The token of "Bearer TOKEN" (RFC 6750; the scheme's case does not count), or an empty span. */
static wd_span bearer_of(const char *header)
{
    if (!header || strncasecmp(header, "Bearer ", 7) != 0)
        return (wd_span){ 0 };
    header += 7 + strspn(header + 7, " ");
    const char *end = header + strcspn(header, " ");
    return *end ? (wd_span){ 0 } : wd_span_of(header, (size_t)(end - header));
}

static wd_status check_rate(wd_visit *v, char kind, const char *name, uint32_t per_min, wd_refusal *no,
                            wd_err *err)
{
    /* A sixth of a minute's worth may come at once. */
    const wd_limit limit = { kind, name, per_min / 60.0, WD_MAX(per_min / 6.0, 1.0) };
    uint32_t retry;
    bool first;

    if (per_min == 0 || wd_limits_take(v->g->limits, &limit, 1, wd_guard__now(v->g), &retry, &first))
        return WD_OK;
    refusal(no, 429, "rate_limit_exceeded", retry);
    if (first)
        record_refusal(v, kind == 'k' ? "key_rate" : "tenant_rate", 429);
    return WD_FAIL(err, WD_E_BUSY, "this %s may make %u requests a minute", kind == 'k' ? "key" : "tenant",
                   per_min);
}

static wd_status identify(wd_visit *v, const wd_ask *ask, wd_bearer *b, wd_refusal *no, wd_err *err)
{
    static const char *const reasons[] = {
        [WD_FOUND_NONE] = "unknown_key",
        [WD_FOUND_EXPIRED] = "expired_key",
        [WD_FOUND_REVOKED] = "revoked_key",
        [WD_FOUND_INACTIVE] = "inactive_account",
    };
    const wd_limit address = wd_guard__address(v->g, v->from);
    const bool by_cookie = !ask->authorization && ask->session;
    const wd_span token = by_cookie ? wd_span_str(ask->session) : bearer_of(ask->authorization);
    wd_digest hash;
    uint32_t retry;
    bool first;

    if (v->rule->open && ask->origin == WD_ORIGIN_OTHER)
        return other_site(v, no, err);
    if (v->rule->open) /* a log-in: here the address does wait, good password or not */
        return wd_limits_take(v->g->limits, &address, 0, wd_guard__now(v->g), &retry, &first)
                   ? WD_OK
                   : address_waits(v, first, retry, no, err);
    if (!ask->authorization && !by_cookie)
        return bad_credentials(v, "no_key", no, err);
    if (!wd_guard__token_hash((const char *)token.p, token.n, &hash))
        return bad_credentials(v, "unknown_key", no, err);
    const wd_status st = wd_guard__find_bearer(v->g, &hash, b, err);
    if (st)
        return store_failed(no, st);
    if (by_cookie && b->found == WD_FOUND && !b->session) /* keys are for headers */
        b->found = WD_FOUND_NONE;
    if (b->found == WD_FOUND) {
        v->who = b->who;
        v->who.by_cookie = by_cookie;
        return by_cookie && !is_own_page(v, ask) ? other_site(v, no, err) : WD_OK;
    }
    if (b->found != WD_FOUND_NONE)
        v->who = b->who;
    return bad_credentials(v, reasons[b->found], no, err);
}

static wd_status admit(wd_visit *v, const wd_ask *ask, wd_refusal *no, wd_err *err)
{
    wd_bearer b = { 0 };

    /* Health and its like ask nobody and cost nothing. */
    if (v->rule->open && v->rule->recorded == WD_RECORD_NEVER)
        return WD_OK;
    WD_TRY(identify(v, ask, &b, no, err));
    v->reach = wd_policy_reach(v->rule, v->who.role, v->who.scopes);
    if (v->rule->open)
        return WD_OK;
    WD_TRY(check_rate(v, 'k', v->who.key, b.per_min_key, no, err));
    WD_TRY(check_rate(v, 't', v->who.tenant, b.per_min_tenant, no, err));
    if (v->reach == WD_REACH_NO) {
        const bool scope = wd_policy_reach(v->rule, v->who.role, WD_SCOPE_ALL) != WD_REACH_NO;
        refusal(no, 403, "insufficient_permissions", 0);
        record_refusal(v, scope ? "scope" : "role", 403);
        return scope ? WD_FAIL(err, WD_E_DENIED, "this key's scope does not hold %s", v->rule->action)
                     : WD_FAIL(err, WD_E_DENIED, "the role %s may not do %s",
                               wd_account_role_name(v->who.role), v->rule->action);
    }
    if (v->rule->recorded == WD_RECORD_NEVER) /* asking who one is is no use of a session */
        return WD_OK;
    const wd_status st = wd_guard__touch(v->g, &b, err);
    return st ? store_failed(no, st) : WD_OK;
}

wd_status wd_guard_admit(wd_guard *g, const wd_ask *ask, wd_visit **out, wd_refusal *no, wd_err *err)
{
    const wd_rule *rule;
    uint8_t id[WD_GUARD__VISIT_ID / 2];

    *out = NULL;
    *no = (wd_refusal){ 0 };
    wd_status st = wd_policy_find(ask->method, ask->path, &rule, no->allow, err);
    if (st) {
        refusal(no, st == WD_E_NOT_FOUND ? 404 : 405,
                st == WD_E_NOT_FOUND ? "not_found" : "method_not_allowed", 0);
        return st;
    }
    wd_visit *v = WD_ALLOC(wd_visit);
    if (!v)
        return store_failed(no, WD_FAIL(err, WD_E_NOMEM, "no memory for a request"));
    v->g = g;
    v->rule = rule;
    v->who.subject[0] = '-';
    v->who.role = WD_N_ACCOUNT_ROLE;
    copy_from(ask->from, v->from);
    randombytes_buf(id, sizeof id);
    sodium_bin2hex(v->id, sizeof v->id, id, sizeof id);
    st = admit(v, ask, no, err);
    if (st) {
        wd_free(v);
        return st;
    }
    atomic_fetch_add(&g->n_visit, 1);
    *out = v;
    return WD_OK;
}

const wd_identity *wd_visit_who(const wd_visit *v)
{
    return &v->who;
}

const wd_rule *wd_visit_rule(const wd_visit *v)
{
    return v->rule;
}

const char *wd_visit_id(const wd_visit *v)
{
    return v->id;
}

static wd_status check_object(wd_visit *v, wd_reach reach, const char *kind, const char *id,
                              const char *tenant, const char *owner, wd_err *err)
{
    const bool same_tenant = !strcmp(tenant, v->who.tenant),
               own = same_tenant && !strcmp(owner, v->who.subject);

    if (!wd_guard__name_ok(kind) || strlen(kind) > 16 || !wd_guard__name_ok(id))
        return WD_FAIL(err, WD_E_INTERNAL, "an object's kind and id are names of at most %d bytes",
                       WD_NAME_MAX);
    snprintf(v->object, sizeof v->object, "%s:%s", kind, id);
    if (reach == WD_REACH_ALL || (reach == WD_REACH_TENANT && same_tenant) || (reach == WD_REACH_OWN && own))
        return WD_OK;
    return WD_FAIL(err, WD_E_NOT_FOUND, "no such %s", kind);
}

wd_status wd_visit_object(wd_visit *v, const char *kind, const char *id, const char *tenant,
                          const char *owner, wd_err *err)
{
    return check_object(v, v->reach, kind, id, tenant, owner, err);
}

wd_status wd_visit_object_for(wd_visit *v, const char *action, const char *kind, const char *id,
                              const char *tenant, const char *owner, wd_err *err)
{
    const wd_rule *rule = wd_policy_action(action);
    const wd_reach reach = rule ? wd_policy_reach(rule, v->who.role, v->who.scopes) : WD_REACH_NO;
    return check_object(v, reach, kind, id, tenant, owner, err);
}

/* ---- the records ---- */

static wd_record record_of(const wd_visit *v, const char *event)
{
    return (wd_record){ .event = event,
                        .visit = v->id,
                        .who = &v->who,
                        .from = v->from,
                        .action = v->rule->action,
                        .object = v->object,
                        .model = v->model,
                        .model_digest = v->has_model_digest ? &v->model_digest : NULL,
                        .input_digest = v->has_input_digest ? &v->input_digest : NULL };
}

static wd_status write_begin_in(wd_visit *v, wd_tx *tx, wd_err *err)
{
    const wd_record r = record_of(v, "begin");

    WD_TRY(wd_guard__append(v->g, tx, &r, err));
    return wd_store_run(tx, err, "INSERT INTO audit_open(visit, seq) SELECT ?, seq FROM audit_head", "s",
                        v->id);
}

wd_status wd_visit_begin(wd_visit *v, const wd_work *work, wd_err *err)
{
    wd_tx *tx;

    if (v->begun)
        return WD_FAIL(err, WD_E_INTERNAL, "%s: begun twice", v->rule->action);
    if (work->model && !wd_guard__name_ok(work->model))
        return WD_FAIL(err, WD_E_INTERNAL,
                       "%s: a model's name in the audit has 1 to %d letters, digits and ._:/@+-",
                       v->rule->action, WD_NAME_MAX);
    if (work->model)
        memcpy(v->model, work->model, strlen(work->model) + 1);
    v->has_model_digest = work->model_digest != NULL;
    v->has_input_digest = work->input_digest != NULL;
    if (work->model_digest)
        v->model_digest = *work->model_digest;
    if (work->input_digest)
        v->input_digest = *work->input_digest;
    if (v->rule->recorded != WD_RECORD_TWICE) {
        v->begun = true;
        return WD_OK;
    }
    WD_TRY(wd_store_begin(v->g->store, WD_STORE_WRITE, &tx, err));
    WD_TRY(wd_store_end(tx, write_begin_in(v, tx, err), err));
    v->begun = true;
    return wd_guard__anchor(v->g, err);
}

static wd_status write_end_in(wd_visit *v, wd_tx *tx, const wd_record *r, wd_err *err)
{
    WD_TRY(wd_guard__append(v->g, tx, r, err));
    return wd_store_run(tx, err, "DELETE FROM audit_open WHERE visit = ?", "s", v->id);
}

static wd_status write_end(wd_visit *v, const wd_outcome *o, wd_err *err)
{
    const bool twice = v->rule->recorded == WD_RECORD_TWICE,
               forgot = twice && !v->begun && o->kind == WD_OUTCOME_DONE;
    const bool bad_reason = o->reason && !wd_guard__name_ok(o->reason);
    wd_record r = record_of(v, twice ? "end" : "done");
    wd_tx *tx;

    r.outcome = forgot ? "failed" : outcome_names[o->kind];
    r.reason = forgot ? "not_begun" : bad_reason ? "bad_reason" : o->reason;
    r.http = o->http;
    r.output_digest = o->output_digest;
    r.counted = o->tokens_in || o->tokens_out;
    r.tokens_in = o->tokens_in;
    r.tokens_out = o->tokens_out;
    WD_TRY(wd_store_begin(v->g->store, WD_STORE_WRITE, &tx, err));
    WD_TRY(wd_store_end(tx, write_end_in(v, tx, &r, err), err));
    WD_TRY(wd_guard__anchor(v->g, err));
    if (forgot)
        return WD_FAIL(err, WD_E_INTERNAL, "%s: ended well without having begun", v->rule->action);
    return bad_reason
               ? WD_FAIL(err, WD_E_INTERNAL, "%s: the reason of an outcome is no name", v->rule->action)
               : WD_OK;
}

wd_status wd_visit_end(wd_visit **visit, const wd_outcome *outcome, wd_err *err)
{
    wd_visit *v = *visit;
    const wd_status st = v->rule->recorded == WD_RECORD_NEVER ? WD_OK : write_end(v, outcome, err);

    *visit = NULL;
    atomic_fetch_sub(&v->g->n_visit, 1);
    wd_free(v);
    return st;
}
