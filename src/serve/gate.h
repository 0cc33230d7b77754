/* The server's side of the guard: who asks, may they, and the record of it. NULL for the guard: an open server, where
 * every request passes and nothing is recorded. */
#ifndef WD_SERVE_GATE_H
#define WD_SERVE_GATE_H

#include "guard/guard.h"
#include "serve/fault.h"

typedef struct wd_gate_ask {
    const char *method, *path, *authorization, *from, *session, *csrf;
    wd_origin origin;
} wd_gate_ask;

/* *out is NULL on failure, and for an open server. id [33] gets the visit's, fit for X-Request-Id. allow [64]: see
 * wd_fault 405. */
WD_MUST_CHECK wd_status wd_gate_admit(wd_guard *g, const wd_gate_ask *ask, wd_visit **out, char id[33],
                                      wd_fault *f);
/* A number for its tenant: 0 for an open server. */
uint64_t wd_gate_tenant(const wd_visit *v);
float wd_gate_weight(const wd_visit *v); /* the tenant's share of the engine; 1 for an open server */
/* Whose an object is that is made now: "" for an open server. */
const char *wd_gate_tenant_name(const wd_visit *v);
const char *wd_gate_owner(const wd_visit *v);
/* May an object ("file", "response") be used as by that action? WD_E_INVALID and 404 when not: answered as if it did not exist. An open server has
 * one owner. */
WD_MUST_CHECK wd_status wd_gate_object(wd_visit *v, const char *action, const char *kind, const char *id,
                                       const char *tenant, const char *owner, const char *param, wd_fault *f);
/* wd_visit_login and wd_visit_logout as faults: 401 invalid_credentials, 429 too_many_attempts. */
WD_MUST_CHECK wd_status wd_gate_login(wd_visit *v, const char *name, wd_span password,
                                      char token[WD_TOKEN_MAX], wd_fault *f);
WD_MUST_CHECK wd_status wd_gate_logout(wd_visit *v, wd_fault *f);
/* Before any work: the record that it begins is on disk. input: what was asked, of which a keyed digest is kept; p NULL:
 * none is. */
WD_MUST_CHECK wd_status wd_gate_begin(wd_guard *g, wd_visit *v, const char *model, wd_span input,
                                      wd_fault *f);

typedef struct wd_gate_outcome {
    int http;         /* that is answered; 499: the client went away */
    const char *code; /* of a fault, or NULL */
    size_t n_in, n_out;
} wd_gate_outcome;
/* Before the reply ends: the record that it does is on disk. *v becomes NULL whatever comes back. */
WD_MUST_CHECK wd_status wd_gate_end(wd_visit **v, const wd_gate_outcome *o, wd_fault *f);

#endif
