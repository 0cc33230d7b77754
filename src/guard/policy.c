/* The policy table and its few readers. */
#include "guard/policy.h"

#include <stdio.h>

enum { _ = WD_REACH_NO, o = WD_REACH_OWN, t = WD_REACH_TENANT, A = WD_REACH_ALL };
#define ONCE WD_RECORD_ONCE
#define TWICE WD_RECORD_TWICE
#define OPEN               \
    true, WD_RECORD_NEVER, \
    {                      \
        0                  \
    }
#define CLI NULL, NULL

/* clang-format off */
static const wd_rule rules[] = {
    { "health.read",      "GET",    "/health",                0, OPEN },
    { "ready.read",       "GET",    "/ready",                 0, OPEN },
    { "api.read",         "GET",    "/api/openapi.json",      0, OPEN },
    { "version.read",     "GET",    "/version",               0, OPEN },
    /* A log-in proves who it is by the password in its body: open, and recorded. */
    { "session.create",   "POST",   "/api/v1/session",        0, true, ONCE, { 0 } },
    /*                                                                                    adm cli rev ana nur aud srv */
    { "session.read",     "GET",    "/api/v1/session",        0, false, WD_RECORD_NEVER, { o,  o,  o,  o,  o,  o,  o } },
    { "session.delete",   "DELETE", "/api/v1/session",        0,                false, ONCE,  { o, o, o, o, o, o, o } },
    { "metrics.read",     "GET",    "/metrics",               WD_SCOPE_METRICS, false, WD_RECORD_NEVER, { A, _, _, A, _, _, A } },
    { "model.list",       "GET",    "/v1/models",             WD_SCOPE_MODELS,  false, ONCE,  { t, t, t, t, t, _, t } },
    { "model.read",       "GET",    "/v1/models/{rest}",      WD_SCOPE_MODELS,  false, ONCE,  { t, t, t, t, t, _, t } },
    { "model.load",       "POST",   "/v1/models/load",        WD_SCOPE_ADMIN,   false, TWICE, { A, _, _, _, _, _, _ } },
    { "model.unload",     "POST",   "/v1/models/unload",      WD_SCOPE_ADMIN,   false, TWICE, { A, _, _, _, _, _, _ } },
    { "text.tokenize",    "POST",   "/tokenize",              WD_SCOPE_MODELS,  false, ONCE,  { _, t, t, t, t, _, t } },
    { "text.detokenize",  "POST",   "/detokenize",            WD_SCOPE_MODELS,  false, ONCE,  { _, t, t, t, t, _, t } },
    { "chat.create",      "POST",   "/v1/chat/completions",   WD_SCOPE_INFER,   false, TWICE, { _, t, t, t, t, _, t } },
    { "completion.create","POST",   "/v1/completions",        WD_SCOPE_INFER,   false, TWICE, { _, t, t, t, _, _, t } },
    { "response.create",  "POST",   "/v1/responses",          WD_SCOPE_INFER,   false, TWICE, { _, t, t, t, t, _, t } },
    { "response.read",    "GET",    "/v1/responses/{id}",     WD_SCOPE_INFER,   false, ONCE,  { _, o, o, o, o, _, o } },
    { "response.input",   "GET",    "/v1/responses/{id}/input_items", WD_SCOPE_INFER, false, ONCE, { _, o, o, o, o, _, o } },
    { "response.delete",  "DELETE", "/v1/responses/{id}",     WD_SCOPE_INFER,   false, TWICE, { _, o, o, o, o, _, o } },
    { "embedding.create", "POST",   "/v1/embeddings",         WD_SCOPE_INFER,   false, TWICE, { _, t, t, t, _, _, t } },
    { "rerank.create",    "POST",   "/v1/rerank",             WD_SCOPE_INFER,   false, TWICE, { _, t, t, t, _, _, t } },
    { "rerank.create",    "POST",   "/v2/rerank",             WD_SCOPE_INFER,   false, TWICE, { _, t, t, t, _, _, t } },
    { "file.create",      "POST",   "/v1/files",              WD_SCOPE_FILES,   false, TWICE, { _, t, t, t, t, _, t } },
    { "file.list",        "GET",    "/v1/files",              WD_SCOPE_FILES,   false, ONCE,  { _, o, o, o, o, _, o } },
    { "file.read",        "GET",    "/v1/files/{id}",         WD_SCOPE_FILES,   false, ONCE,  { _, o, o, o, o, _, o } },
    { "file.content",     "GET",    "/v1/files/{id}/content", WD_SCOPE_FILES,   false, TWICE, { _, o, o, o, o, _, o } },
    { "file.delete",      "DELETE", "/v1/files/{id}",         WD_SCOPE_FILES,   false, TWICE, { t, o, o, o, o, _, o } },
    /* What only the command line does today, on the machine itself. */
    { "tenant.add",       CLI,                                WD_SCOPE_ADMIN,   false, ONCE,  { t, _, _, _, _, _, _ } },
    { "tenant.change",    CLI,                                WD_SCOPE_ADMIN,   false, ONCE,  { t, _, _, _, _, _, _ } },
    { "tenant.list",      CLI,                                WD_SCOPE_ADMIN,   false, ONCE,  { t, _, _, _, _, A, _ } },
    { "user.add",         CLI,                                WD_SCOPE_ADMIN,   false, ONCE,  { t, _, _, _, _, _, _ } },
    { "user.change",      CLI,                                WD_SCOPE_ADMIN,   false, ONCE,  { t, _, _, _, _, _, _ } },
    { "user.list",        CLI,                                WD_SCOPE_ADMIN,   false, ONCE,  { t, _, _, _, _, A, _ } },
    { "key.add",          CLI,                                WD_SCOPE_ADMIN,   false, ONCE,  { t, _, _, _, _, _, _ } },
    { "key.revoke",       CLI,                                WD_SCOPE_ADMIN,   false, ONCE,  { t, _, _, _, _, _, _ } },
    { "key.list",         CLI,                                WD_SCOPE_ADMIN,   false, ONCE,  { t, _, _, _, _, A, _ } },
    { "audit.list",       CLI,                                WD_SCOPE_AUDIT,   false, ONCE,  { _, _, _, _, _, A, _ } },
    { "audit.export",     CLI,                                WD_SCOPE_AUDIT,   false, ONCE,  { _, _, _, _, _, A, _ } },
    { "audit.ship",       CLI,                                WD_SCOPE_AUDIT,   false, ONCE,  { _, _, _, _, _, A, _ } },
    { "audit.checkpoint", CLI,                                WD_SCOPE_AUDIT,   false, ONCE,  { A, _, _, _, _, A, _ } },
    { "audit.digest",     CLI,                                WD_SCOPE_AUDIT,   false, ONCE,  { _, _, _, _, _, A, _ } },
};
/* clang-format on */

static const char *const role_names[WD_N_ACCOUNT_ROLE] = { "admin", "clinician", "reviewer", "analyst",
                                                           "nurse", "auditor",   "service" };

static const struct {
    wd_scope bit;
    const char *name;
} scope_names[] = {
    { WD_SCOPE_MODELS, "models" },   { WD_SCOPE_INFER, "infer" }, { WD_SCOPE_FILES, "files" },
    { WD_SCOPE_METRICS, "metrics" }, { WD_SCOPE_ADMIN, "admin" }, { WD_SCOPE_AUDIT, "audit" },
};

const wd_rule *wd_policy_rules(size_t *n)
{
    *n = WD_COUNT(rules);
    return rules;
}

static bool path_matches(const char *pattern, const char *path)
{
    while (*pattern && *path) {
        if (*pattern == '{') {
            const size_t n = strncmp(pattern, "{rest}", 6) ? strcspn(path, "/") : strlen(path);
            if (n == 0)
                return false;
            pattern = strchr(pattern, '}') + 1;
            path += n;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return !*pattern && !*path;
}

wd_status wd_policy_find(const char *method, const char *path, const wd_rule **out, char allow[64],
                         wd_err *err)
{
    char methods[64] = "";
    size_t used = 0;

    *out = NULL;
    if (allow)
        *allow = 0;
    for (size_t i = 0; i < WD_COUNT(rules); i++) {
        if (!rules[i].path || !path_matches(rules[i].path, path))
            continue;
        if (!strcmp(rules[i].method, method)) {
            *out = &rules[i];
            return WD_OK;
        }
        const int n = snprintf(methods + used, sizeof methods - used, "%s%s", used ? ", " : "",
                               rules[i].method);
        used = WD_MIN(used + (size_t)n, sizeof methods - 1);
    }
    if (!used) /* the path is the client's and may hold anything: it is not repeated */
        return WD_FAIL(err, WD_E_NOT_FOUND, "no such route");
    if (allow)
        memcpy(allow, methods, sizeof methods);
    return WD_FAIL(err, WD_E_UNSUPPORTED, "this route takes %s only", methods);
}

const wd_rule *wd_policy_action(const char *action)
{
    for (size_t i = 0; i < WD_COUNT(rules); i++)
        if (!strcmp(rules[i].action, action))
            return &rules[i];
    return NULL;
}

wd_reach wd_policy_reach(const wd_rule *r, wd_account_role role, uint32_t scopes)
{
    if (r->open)
        return WD_REACH_ALL;
    if ((unsigned)role >= WD_N_ACCOUNT_ROLE || (scopes & (uint32_t)r->scope) != (uint32_t)r->scope)
        return WD_REACH_NO;
    return (wd_reach)r->reach[role];
}

const char *wd_account_role_name(wd_account_role role)
{
    return (unsigned)role < WD_N_ACCOUNT_ROLE ? role_names[role] : "-";
}

bool wd_account_role_parse(const char *s, wd_account_role *out)
{
    for (unsigned i = 0; i < WD_N_ACCOUNT_ROLE; i++) {
        if (!strcmp(s, role_names[i])) {
            *out = (wd_account_role)i;
            return true;
        }
    }
    return false;
}

void wd_scopes_write(uint32_t scopes, wd_buf *out)
{
    const char *between = "";

    if (scopes == WD_SCOPE_ALL) {
        wd_buf_str(out, "all");
        return;
    }
    for (size_t i = 0; i < WD_COUNT(scope_names); i++) {
        if (!(scopes & (uint32_t)scope_names[i].bit))
            continue;
        wd_buf_printf(out, "%s%s", between, scope_names[i].name);
        between = ",";
    }
}

wd_status wd_scopes_parse(const char *s, uint32_t *out, wd_err *err)
{
    uint32_t got = 0;

    if (!strcmp(s, "all")) {
        *out = WD_SCOPE_ALL;
        return WD_OK;
    }
    for (const char *p = s;;) {
        const size_t n = strcspn(p, ",");
        size_t i = 0;
        while (i < WD_COUNT(scope_names) && !wd_span_is(wd_span_of(p, n), scope_names[i].name))
            i++;
        if (i == WD_COUNT(scope_names))
            return WD_FAIL(err, WD_E_INVALID,
                           "scope \"%.*s\", expected all, or some of models,infer,files,metrics,admin,audit",
                           (int)WD_MIN(n, (size_t)40), p);
        got |= (uint32_t)scope_names[i].bit;
        if (!p[n])
            break;
        p += n + 1;
    }
    *out = got;
    return WD_OK;
}

void wd_policy_write(wd_buf *out)
{
    static const char *const reach[] = { "-", "own", "tenant", "all" };
    static const char *const recorded[] = { "no", "once", "twice" };

    wd_buf_str(out, "| action | route | scope | recorded |");
    for (unsigned k = 0; k < WD_N_ACCOUNT_ROLE; k++)
        wd_buf_printf(out, " %s |", role_names[k]);
    wd_buf_str(out, "\n|---|---|---|---|");
    for (unsigned k = 0; k < WD_N_ACCOUNT_ROLE; k++)
        wd_buf_str(out, "---|");
    for (size_t i = 0; i < WD_COUNT(rules); i++) {
        const wd_rule *r = &rules[i];
        wd_buf_printf(out, "\n| %s | %s%s%s | ", r->action, r->method ? r->method : "command line",
                      r->path ? " " : "", r->path ? r->path : "");
        if (r->scope)
            wd_scopes_write((uint32_t)r->scope, out);
        wd_buf_printf(out, " | %s |", recorded[r->recorded]);
        for (unsigned k = 0; k < WD_N_ACCOUNT_ROLE; k++)
            wd_buf_printf(out, " %s |", r->open ? "anyone" : reach[r->reach[k]]);
    }
    wd_buf_char(out, '\n');
}
