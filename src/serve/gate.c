/* Requests and the guard. */
#include "serve/gate.h"

#include <stdio.h>

wd_status wd_gate_admit(wd_guard *g, const wd_gate_ask *ask, wd_visit **out, char id[33], wd_fault *f)
{
    wd_refusal no = { 0 };
    wd_err err = { 0 };
    *out = NULL;
    if (!g)
        return WD_OK;
    const wd_ask a = { .method = ask->method,
                       .path = ask->path,
                       .authorization = ask->authorization,
                       .from = ask->from,
                       .session = ask->session,
                       .csrf = ask->csrf,
                       .origin = ask->origin };
    if (wd_guard_admit(g, &a, out, &no, &err)) {
        wd_fault_set(f, no.http ? no.http : 503, no.code, NULL, "%s", err.text);
        f->retry_s = no.retry_after_s;
        return WD_E_INVALID;
    }
    snprintf(id, 33, "%s", wd_visit_id(*out));
    return WD_OK;
}

uint64_t wd_gate_tenant(const wd_visit *v)
{
    wd_digest d;
    if (!v)
        return 0;
    wd_digest_of(wd_span_str(wd_visit_who(v)->tenant), &d);
    return wd_le64(d.b);
}

float wd_gate_weight(const wd_visit *v)
{
    return v ? (float)wd_visit_who(v)->weight / 100 : 1;
}

const char *wd_gate_tenant_name(const wd_visit *v)
{
    return v ? wd_visit_who(v)->tenant : "";
}

const char *wd_gate_owner(const wd_visit *v)
{
    return v ? wd_visit_who(v)->subject : "";
}

wd_status wd_gate_object(wd_visit *v, const char *action, const char *kind, const char *id,
                         const char *tenant, const char *owner, const char *param, wd_fault *f)
{
    wd_err err = { 0 };
    const wd_status st = v                   ? wd_visit_object_for(v, action, kind, id, tenant, owner, &err)
                         : *tenant || *owner ? WD_E_NOT_FOUND
                                             : WD_OK;
    if (!st)
        return WD_OK;
    wd_fault_set(f, st == WD_E_NOT_FOUND ? 404 : 500, st == WD_E_NOT_FOUND ? "not_found" : "internal", param,
                 "no such %s", kind);
    return WD_E_INVALID;
}

wd_status wd_gate_login(wd_visit *v, const char *name, wd_span password, char token[WD_TOKEN_MAX],
                        wd_fault *f)
{
    wd_err err = { 0 };
    uint32_t retry_s = 0;
    const wd_status st = wd_visit_login(v, name, password, token, &retry_s, &err);
    if (st)
        wd_fault_of(f, st, NULL, &err);
    if (st == WD_E_AUTH)
        f->code = "invalid_credentials";
    if (st == WD_E_BUSY) {
        f->code = "too_many_attempts";
        f->retry_s = retry_s;
    }
    return st;
}

wd_status wd_gate_logout(wd_visit *v, wd_fault *f)
{
    wd_err err = { 0 };
    const wd_status st = wd_visit_logout(v, &err);
    return st ? wd_fault_of(f, st, NULL, &err) : WD_OK;
}

wd_status wd_gate_begin(wd_guard *g, wd_visit *v, const char *model, wd_span input, wd_fault *f)
{
    wd_digest d;
    wd_err err = { 0 };
    if (!v)
        return WD_OK;
    if (input.p)
        wd_guard_digest(g, input, &d);
    if (wd_visit_begin(v, &(wd_work){ .model = model, .input_digest = input.p ? &d : NULL }, &err) == WD_OK)
        return WD_OK;
    wd_fault_set(f, 503, "audit_unavailable", NULL, "the audit could not be written: nothing was done");
    f->retry_s = 5;
    return WD_E_INVALID;
}

static wd_outcome_kind kind_of(int http)
{
    if (http < 400)
        return WD_OUTCOME_DONE;
    if (http == 499)
        return WD_OUTCOME_CANCELLED;
    if (http == 401 || http == 403 || http == 429)
        return WD_OUTCOME_REFUSED;
    return http < 500 ? WD_OUTCOME_INVALID : WD_OUTCOME_FAILED;
}

wd_status wd_gate_end(wd_visit **v, const wd_gate_outcome *o, wd_fault *f)
{
    wd_err err = { 0 };
    if (!*v)
        return WD_OK;
    const wd_outcome out = { .kind = kind_of(o->http),
                             .http = o->http,
                             .reason = o->code,
                             .tokens_in = o->n_in,
                             .tokens_out = o->n_out };
    if (wd_visit_end(v, &out, &err) == WD_OK)
        return WD_OK;
    wd_fault_set(f, 503, "audit_unavailable", NULL, "the audit could not be written: the reply is withheld");
    f->retry_s = 5;
    return WD_E_INVALID;
}
