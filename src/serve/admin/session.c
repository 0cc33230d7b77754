/* /api/v1/session: people log in by name and password and are then known by a cookie. What a log-in is, when it ends and how
 * often it may fail is the guard's (guard/password.c); here is what browsers see of it:
 *
 *   - the token is in a cookie that no script can read (HttpOnly), that goes to this host alone (__Host-), over TLS alone
 *     (Secure), and along with no request that a page of another site makes (SameSite=Strict);
 *   - what changes something needs this server's own Origin besides, or X-CSRF-Token as it is said here. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "serve/inner.h"

#define ATTRIBUTES "; Path=/; HttpOnly; SameSite=Strict"

typedef struct login {
    wd_span name, password;
    char token[WD_TOKEN_MAX];
} login;

#define AT(field) offsetof(login, field)
static const wd_field fields[] = {
    { "name", WD_FIELD_STR, AT(name), true, 0, 0, "of the account" },
    { "password", WD_FIELD_STR, AT(password), true, 0, 0, "its password" },
};

static wd_status no_accounts(wd_fault *f)
{
    return wd_fault_set(
        f, 501, "unsupported", NULL,
        "this server has no accounts: it was started without --data, for anybody at this machine");
}

static void put_session(const wd_visit *v, const char *token, wd_buf *b)
{
    const wd_identity *who = wd_visit_who(v);
    const char *name = strchr(who->subject, ':');
    char csrf[WD_CSRF_MAX];
    wd_buf_str(b, "{\"object\":\"session\",\"subject\":");
    wd_buf_json(b, wd_span_str(who->subject));
    wd_buf_str(b, ",\"name\":");
    wd_buf_json(b, wd_span_str(name ? name + 1 : who->subject));
    wd_buf_printf(b, ",\"role\":\"%s\",\"tenant\":", wd_account_role_name(who->role));
    wd_buf_json(b, wd_span_str(who->tenant));
    wd_buf_str(b, ",\"scopes\":\"");
    wd_scopes_write(who->scopes, b);
    wd_buf_str(b, "\",\"expires_at\":");
    if (who->expires_us)
        wd_buf_printf(b, "%lld", (long long)(who->expires_us / 1000000));
    else
        wd_buf_str(b, "null");
    wd_buf_str(b, ",\"idle_s\":");
    if (who->idle_s)
        wd_buf_printf(b, "%u", who->idle_s);
    else
        wd_buf_str(b, "null");
    wd_buf_str(b, ",\"csrf\":");
    if (token) {
        wd_guard_csrf(token, csrf);
        wd_buf_printf(b, "\"%s\"}", csrf);
    } else {
        wd_buf_str(b, "null}");
    }
}

/* --- POST -------------------------------------------------------------------------------------------------- */

static void release(void *state)
{
    login *l = state;
    wd_wipe(l->token, sizeof l->token);
}

static wd_status prepare_login(wd_req *r, wd_fault *f)
{
    if (!r->visit)
        return no_accounts(f);
    login *l = WD_NEW(r->arena, login);
    if (!l)
        return wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request");
    r->state = l;
    r->n_item = 1;
    return wd_fields_read(fields, WD_COUNT(fields), r->json, "", l, f);
}

static wd_status item_login(wd_req *r, size_t i, wd_fault *f)
{
    login *l = r->state;
    char name[WD_NAME_MAX + 1] = ""; /* one that is too long is nobody's */
    (void)i;
    if (l->name.n < sizeof name) {
        memcpy(name, l->name.p, l->name.n);
        name[l->name.n] = 0;
    }
    const wd_status st = wd_gate_login(r->visit, name, l->password, l->token, f);
    wd_wipe((uint8_t *)(uintptr_t)l->password.p, l->password.n); /* of the request's JSON */
    if (st)
        return st;
    wd_buf b = { 0 };
    put_session(r->visit, l->token, &b);
    if (b.failed) {
        wd_buf_free(&b);
        return wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request");
    }
    snprintf(r->cookie, sizeof r->cookie, "%s=%s; Max-Age=%lld" ATTRIBUTES "%s", wd_serve__cookie(r->server),
             l->token,
             (long long)WD_MAX(wd_visit_who(r->visit)->expires_us / 1000000 - (int64_t)time(NULL), 1),
             r->server->secure ? "; Secure" : "");
    r->early = b;
    return WD_OK;
}

static void finish_early(wd_req *r)
{
    wd_serve__answer(r, 200, "application/json", &r->early);
}

/* --- GET, DELETE ------------------------------------------------------------------------------------------- */

static void show(wd_req *r)
{
    wd_fault f;
    wd_buf b = { 0 };
    if (!r->visit) {
        no_accounts(&f);
        wd_serve__answer_fault(r, &f);
        return;
    }
    const bool by_cookie = wd_visit_who(r->visit)->by_cookie;
    put_session(r->visit,
                by_cookie ? MHD_lookup_connection_value(r->conn, MHD_COOKIE_KIND, wd_serve__cookie(r->server))
                          : NULL,
                &b);
    wd_serve__answer(r, 200, "application/json", &b);
}

static wd_status prepare_logout(wd_req *r, wd_fault *f)
{
    r->n_item = 1;
    return r->visit ? WD_OK : no_accounts(f);
}

static wd_status item_logout(wd_req *r, size_t i, wd_fault *f)
{
    (void)i;
    WD_TRY(wd_gate_logout(r->visit, f));
    snprintf(r->cookie, sizeof r->cookie, "%s=; Max-Age=0" ATTRIBUTES "%s", wd_serve__cookie(r->server),
             r->server->secure ? "; Secure" : "");
    wd_buf_str(&r->early, "{\"object\":\"session\",\"deleted\":true}");
    return WD_OK;
}

const wd_route wd_route_session_create = {
    .method = "POST",
    .path = "/api/v1/session",
    .brief = "Logs in by name and password: a session as a cookie.",
    .prepare = prepare_login,
    .item = item_login,
    .finish = finish_early,
    .release = release,
    .field = fields,
    .n_field = WD_COUNT(fields),
    .open = true,
    .no_model = true,
    .secret = true,
};
const wd_route wd_route_session = {
    .method = "GET",
    .path = "/api/v1/session",
    .brief = "Who the caller is, until when, and the value of X-CSRF-Token for a session.",
    .now = show,
};
const wd_route wd_route_session_delete = {
    .method = "DELETE",
    .path = "/api/v1/session",
    .brief = "Logs out: the session is over at once.",
    .prepare = prepare_logout,
    .item = item_logout,
    .finish = finish_early,
    .body = WD_BODY_NONE,
    .no_model = true,
};
