/* Accounts, keys and tenants. Each change and its audit record are one transaction: both are there or none.
 *
 * `by` is checked against the policy's rule of the same name ("user.add"): an administrator over the network reaches its own
 * tenant, one at the machine (by->local) all. What is not within reach does not exist for the caller.
 *
 *   WD_E_DENIED      the role or scope may not
 *   WD_E_NOT_FOUND   no such tenant, account or key
 *   WD_E_INVALID     a name, role or number that cannot be, or one that is taken
 *
 * Names of tenants and accounts: 1 to 64 of a-z 0-9 . _ @ + -, beginning with a letter or digit. Thread-safe.
 */
#ifndef WD_GUARD_ADMIN_H
#define WD_GUARD_ADMIN_H

#include "base/json.h"
#include "guard/guard.h"

/* Somebody at the machine: subject "local:NAME". */
void wd_identity_local(const char *name, wd_account_role role, wd_identity *out);

#define WD_KEEP (-1) /* a number that is not to change */

typedef struct wd_tenant_change {
    const char *title; /* NULL: as it is */
    int64_t active;    /* 0, 1 or WD_KEEP */
    int64_t per_min;   /* requests a minute, 0: no limit; or WD_KEEP */
    int64_t weight;    /* 1 to 1000 or WD_KEEP */
} wd_tenant_change;
#define WD_TENANT_CHANGE_NONE ((wd_tenant_change){ NULL, WD_KEEP, WD_KEEP, WD_KEEP })

WD_MUST_CHECK wd_status wd_admin_tenant_add(wd_guard *g, const wd_identity *by, const char *id,
                                            const wd_tenant_change *set, wd_err *err);
WD_MUST_CHECK wd_status wd_admin_tenant_change(wd_guard *g, const wd_identity *by, const char *id,
                                               const wd_tenant_change *set, wd_err *err);
/* [{"id", "title", "active", "per_min", "weight", "created"}] */
WD_MUST_CHECK wd_status wd_admin_tenant_list(wd_guard *g, const wd_identity *by, json_t **out, wd_err *err);

typedef struct wd_user_change {
    bool set_role, set_password, unlock;
    wd_account_role role;
    wd_span password; /* 12 to 1024 bytes, one line of UTF-8; empty: no log-in by password any more */
    int64_t active;   /* 0, 1 or WD_KEEP */
} wd_user_change;

/* password: empty for an account that has keys only. */
WD_MUST_CHECK wd_status wd_admin_user_add(wd_guard *g, const wd_identity *by, const char *tenant,
                                          const char *name, wd_account_role role, wd_span password,
                                          wd_err *err);
/* A new password, a shut account or another role ends the account's sessions; its keys follow the role. */
WD_MUST_CHECK wd_status wd_admin_user_change(wd_guard *g, const wd_identity *by, const char *name,
                                             const wd_user_change *set, wd_err *err);
/* [{"name", "tenant", "role", "active", "password", "locked_until", "created"}]; password: whether there is one. */
WD_MUST_CHECK wd_status wd_admin_user_list(wd_guard *g, const wd_identity *by, json_t **out, wd_err *err);

typedef struct wd_key_new {
    const char *label;  /* a name: what it is for */
    const char *user;   /* whose it is: tenant and role are the account's; or NULL, and then */
    const char *tenant; /* ... both are the key's own */
    wd_account_role role;
    uint32_t scopes;   /* at least one bit */
    uint32_t per_min;  /* requests a minute, 0: no limit of its own */
    int64_t expires_s; /* from now, 0: never */
} wd_key_new;

/* token: the only time it is seen. id: its name from then on. */
WD_MUST_CHECK wd_status wd_admin_key_add(wd_guard *g, const wd_identity *by, const wd_key_new *k,
                                         char token[WD_TOKEN_MAX], char id[WD_NAME_MAX + 1], wd_err *err);
/* From the next request on. */
WD_MUST_CHECK wd_status wd_admin_key_revoke(wd_guard *g, const wd_identity *by, const char *id, wd_err *err);
/* [{"id", "kind", "label", "subject", "tenant", "role", "scopes", "per_min", "created", "expires", "state"}] */
WD_MUST_CHECK wd_status wd_admin_key_list(wd_guard *g, const wd_identity *by, json_t **out, wd_err *err);

#endif
