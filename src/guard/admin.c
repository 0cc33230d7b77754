/* Accounts, keys and tenants. */
#include "guard/admin.h"

#include <stdio.h>
#include <string.h>

#include "guard/inner.h"

#define OBJECT_MAX (WD_NAME_MAX + 16)

void wd_identity_local(const char *name, wd_account_role role, wd_identity *out)
{
    *out = (wd_identity){ .role = role, .scopes = WD_SCOPE_ALL, .weight = 100, .local = true };
    snprintf(out->subject, sizeof out->subject, "local:%s", wd_guard__name_ok(name) ? name : "unknown");
    snprintf(out->tenant, sizeof out->tenant, "main");
}

wd_status wd_guard__permit(const wd_identity *by, const char *action, const char *tenant, const char *what,
                           wd_err *err)
{
    const wd_rule *rule = wd_policy_action(action);
    const wd_reach reach = rule ? wd_policy_reach(rule, by->role, by->scopes) : WD_REACH_NO;

    if (reach == WD_REACH_NO)
        return WD_FAIL(err, WD_E_DENIED, "the role %s may not do %s", wd_account_role_name(by->role), action);
    if (by->local || reach == WD_REACH_ALL || (tenant && !strcmp(tenant, by->tenant)))
        return WD_OK;
    return tenant ? WD_FAIL(err, WD_E_NOT_FOUND, "no such %s", what)
                  : WD_FAIL(err, WD_E_DENIED, "%s reaches over tenants, which this account does not", action);
}

wd_status wd_guard__note(wd_guard *g, wd_tx *tx, const wd_identity *by, const char *action,
                         const char *object, const char *reason, wd_err *err)
{
    const wd_record r = {
        .event = "done", .who = by, .action = action, .object = object, .outcome = "done", .reason = reason
    };

    return wd_guard__append(g, tx, &r, err);
}

/* Ends a write and brings its checkpoint to the anchors. */
static wd_status end_write(wd_guard *g, wd_tx *tx, wd_status st, wd_err *err)
{
    WD_TRY(wd_store_end(tx, st, err));
    return wd_guard__anchor(g, err);
}

static wd_status bad_id(const char *what, wd_err *err)
{
    return WD_FAIL(err, WD_E_INVALID,
                   "the name of %s has 1 to %d of a-z 0-9 . _ @ + - and begins with a letter or digit", what,
                   WD_NAME_MAX);
}

static json_t *time_json(int64_t us)
{
    char text[WD_TIME_TEXT];

    if (us == 0)
        return json_null();
    wd_guard__time_text(us, text);
    return json_string(text);
}

/* One text of a row by its name; *there tells whether the row is. */
static wd_status one_text(wd_tx *tx, const char *sql, const char *arg, char *out, size_t size, bool *there,
                          wd_err *err)
{
    wd_rows *r;

    WD_TRY(wd_store_query(tx, &r, err, sql, "s", arg));
    const wd_status st = wd_rows_next(r, there, err);
    if (!st && *there)
        snprintf(out, size, "%s", wd_rows_text(r, 0));
    wd_rows_end(r);
    return st;
}

/* ---- tenants ---- */

static wd_status need_tenant(wd_tx *tx, const char *id, wd_err *err)
{
    char got[WD_NAME_MAX + 1];
    bool there;

    WD_TRY(one_text(tx, "SELECT id FROM tenant WHERE id = ?", id, got, sizeof got, &there, err));
    return there ? WD_OK : WD_FAIL(err, WD_E_NOT_FOUND, "no such tenant: %s", id);
}

static wd_status check_tenant_change(const wd_tenant_change *c, wd_err *err)
{
    if (c->title && (strlen(c->title) > 200 || strpbrk(c->title, "\n\r\t")))
        return WD_FAIL(err, WD_E_INVALID, "a tenant's title is one line of at most 200 bytes");
    if (c->active != WD_KEEP && c->active != 0 && c->active != 1)
        return WD_FAIL(err, WD_E_INVALID, "a tenant is active, 1, or not, 0");
    if (c->per_min < WD_KEEP || c->per_min > 1000000)
        return WD_FAIL(err, WD_E_INVALID, "requests a minute are 0 (no limit) to 1000000");
    if (c->weight != WD_KEEP && (c->weight < 1 || c->weight > 1000))
        return WD_FAIL(err, WD_E_INVALID, "a tenant's weight is 1 to 1000");
    return WD_OK;
}

static wd_status apply_tenant(wd_tx *tx, const char *id, const wd_tenant_change *c, wd_err *err)
{
    return wd_store_run(
        tx, err,
        "UPDATE tenant SET title = coalesce(?, title), active = coalesce(nullif(?, -1), active),"
        " per_min = coalesce(nullif(?, -1), per_min), weight = coalesce(nullif(?, -1), weight)"
        " WHERE id = ?",
        "siiis", c->title, c->active, c->per_min, c->weight, id);
}

static wd_status tenant_add_in(wd_guard *g, wd_tx *tx, const wd_identity *by, const char *id,
                               const wd_tenant_change *set, wd_err *err)
{
    char object[OBJECT_MAX];

    WD_TRY(wd_store_run(tx, err,
                        "INSERT OR IGNORE INTO tenant(id, title, active, per_min, weight, created_us)"
                        " VALUES(?, '', 1, 0, 100, ?)",
                        "si", id, wd_guard__now(g)));
    if (wd_store_changed(tx) == 0)
        return WD_FAIL(err, WD_E_INVALID, "there is a tenant %s already", id);
    WD_TRY(apply_tenant(tx, id, set, err));
    snprintf(object, sizeof object, "tenant:%s", id);
    return wd_guard__note(g, tx, by, "tenant.add", object, NULL, err);
}

wd_status wd_admin_tenant_add(wd_guard *g, const wd_identity *by, const char *id, const wd_tenant_change *set,
                              wd_err *err)
{
    wd_tx *tx;

    WD_TRY(wd_guard__permit(by, "tenant.add", NULL, "tenant", err));
    if (!wd_guard__id_ok(id))
        return bad_id("a tenant", err);
    WD_TRY(check_tenant_change(set, err));
    WD_TRY(wd_store_begin(g->store, WD_STORE_WRITE, &tx, err));
    return end_write(g, tx, tenant_add_in(g, tx, by, id, set, err), err);
}

static wd_status tenant_change_in(wd_guard *g, wd_tx *tx, const wd_identity *by, const char *id,
                                  const wd_tenant_change *set, wd_err *err)
{
    char object[OBJECT_MAX];

    WD_TRY(need_tenant(tx, id, err));
    WD_TRY(apply_tenant(tx, id, set, err));
    snprintf(object, sizeof object, "tenant:%s", id);
    return wd_guard__note(g, tx, by, "tenant.change", object,
                          set->active == 0   ? "disable"
                          : set->active == 1 ? "enable"
                                             : "limits",
                          err);
}

wd_status wd_admin_tenant_change(wd_guard *g, const wd_identity *by, const char *id,
                                 const wd_tenant_change *set, wd_err *err)
{
    wd_tx *tx;

    WD_TRY(wd_guard__permit(by, "tenant.change", NULL, "tenant", err));
    if (!wd_guard__id_ok(id))
        return bad_id("a tenant", err);
    WD_TRY(check_tenant_change(set, err));
    WD_TRY(wd_store_begin(g->store, WD_STORE_WRITE, &tx, err));
    return end_write(g, tx, tenant_change_in(g, tx, by, id, set, err), err);
}

/* ---- lists: read, then the record that they were read ---- */

typedef json_t *(*row_fn)(wd_guard *g, const wd_rows *r);

static wd_status list_in(wd_guard *g, wd_tx *tx, const char *sql, const char *tenant, row_fn row,
                         json_t **out, wd_err *err)
{
    wd_rows *r;
    bool there;
    wd_status st;

    *out = json_array();
    WD_TRY(wd_store_query(tx, &r, err, sql, "ss", tenant, tenant));
    while (!(st = wd_rows_next(r, &there, err)) && there)
        wd_json_append(out, row(g, r));
    wd_rows_end(r);
    if (!st && !*out)
        st = WD_FAIL(err, WD_E_NOMEM, "no memory for a list");
    return st;
}

/* sql takes the tenant twice; NULL is every one. */
static wd_status list(wd_guard *g, const wd_identity *by, const char *action, const char *sql, row_fn row,
                      json_t **out, wd_err *err)
{
    wd_tx *tx;
    json_t *v = NULL;
    const bool all = by->local ||
                     wd_policy_reach(wd_policy_action(action), by->role, by->scopes) == WD_REACH_ALL;

    *out = NULL;
    WD_TRY(wd_guard__permit(by, action, by->tenant, "tenant", err));
    WD_TRY(wd_store_begin(g->store, WD_STORE_WRITE, &tx, err));
    wd_status st = list_in(g, tx, sql, all ? NULL : by->tenant, row, &v, err);
    if (!st)
        st = wd_guard__note(g, tx, by, action, NULL, NULL, err);
    st = end_write(g, tx, st, err);
    if (st) {
        json_decref(v);
        return st;
    }
    *out = v;
    return WD_OK;
}

static json_t *tenant_row(wd_guard *g, const wd_rows *r)
{
    (void)g;
    return json_pack("{s:s, s:s, s:b, s:I, s:I, s:o}", "id", wd_rows_text(r, 0), "title", wd_rows_text(r, 1),
                     "active", (int)wd_rows_int(r, 2), "per_min", wd_rows_int(r, 3), "weight",
                     wd_rows_int(r, 4), "created", time_json(wd_rows_int(r, 5)));
}

wd_status wd_admin_tenant_list(wd_guard *g, const wd_identity *by, json_t **out, wd_err *err)
{
    return list(g, by, "tenant.list",
                "SELECT id, title, active, per_min, weight, created_us FROM tenant WHERE id = ? OR ? IS NULL "
                "ORDER BY id",
                tenant_row, out, err);
}

/* ---- accounts ---- */

static wd_status user_add_in(wd_guard *g, wd_tx *tx, const wd_identity *by, const char *tenant,
                             const char *name, wd_account_role role, const char *hash, wd_err *err)
{
    char object[OBJECT_MAX];

    WD_TRY(need_tenant(tx, tenant, err));
    WD_TRY(wd_store_run(tx, err,
                        "INSERT OR IGNORE INTO account(name, tenant, role, password, active, failures,"
                        " locked_until_us, created_us) VALUES(?, ?, ?, ?, 1, 0, 0, ?)",
                        "ssssi", name, tenant, wd_account_role_name(role), hash, wd_guard__now(g)));
    if (wd_store_changed(tx) == 0)
        return WD_FAIL(err, WD_E_INVALID, "there is an account %s already", name);
    snprintf(object, sizeof object, "user:%s", name);
    return wd_guard__note(g, tx, by, "user.add", object, wd_account_role_name(role), err);
}

wd_status wd_admin_user_add(wd_guard *g, const wd_identity *by, const char *tenant, const char *name,
                            wd_account_role role, wd_span password, wd_err *err)
{
    char hash[WD_PASSWORD_TEXT];
    wd_tx *tx;

    WD_TRY(wd_guard__permit(by, "user.add", tenant, "tenant", err));
    if (!wd_guard__id_ok(name))
        return bad_id("an account", err);
    if (!wd_guard__id_ok(tenant))
        return bad_id("a tenant", err);
    if ((unsigned)role >= WD_N_ACCOUNT_ROLE)
        return WD_FAIL(err, WD_E_INVALID, "an account needs a role");
    if (password.n)
        WD_TRY(wd_guard__hash_password(g, password, hash, err));
    WD_TRY(wd_store_begin(g->store, WD_STORE_WRITE, &tx, err));
    return end_write(g, tx, user_add_in(g, tx, by, tenant, name, role, password.n ? hash : NULL, err), err);
}

static wd_status apply_user(wd_guard *g, wd_tx *tx, const char *name, const wd_user_change *set,
                            const char *hash, wd_err *err)
{
    if (set->set_role)
        WD_TRY(wd_store_run(tx, err, "UPDATE account SET role = ? WHERE name = ?", "ss",
                            wd_account_role_name(set->role), name));
    if (set->set_password)
        WD_TRY(wd_store_run(tx, err, "UPDATE account SET password = ? WHERE name = ?", "ss", hash, name));
    if (set->active != WD_KEEP)
        WD_TRY(
            wd_store_run(tx, err, "UPDATE account SET active = ? WHERE name = ?", "is", set->active, name));
    if (set->unlock || set->set_password)
        WD_TRY(wd_store_run(tx, err, "UPDATE account SET failures = 0, locked_until_us = 0 WHERE name = ?",
                            "s", name));
    if (set->set_role || set->set_password || set->active == 0)
        WD_TRY(wd_store_run(
            tx, err,
            "UPDATE key SET revoked_us = ? WHERE kind = 'session' AND revoked_us = 0 AND account ="
            " (SELECT id FROM account WHERE name = ?)",
            "is", wd_guard__now(g), name));
    return WD_OK;
}

static wd_status user_change_in(wd_guard *g, wd_tx *tx, const wd_identity *by, const char *name,
                                const wd_user_change *set, const char *hash, wd_err *err)
{
    char tenant[WD_NAME_MAX + 1], object[OBJECT_MAX];
    bool there;
    const char *what = set->set_role       ? wd_account_role_name(set->role)
                       : set->set_password ? "password"
                       : set->active == 0  ? "disable"
                       : set->active == 1  ? "enable"
                                           : "unlock";

    WD_TRY(
        one_text(tx, "SELECT tenant FROM account WHERE name = ?", name, tenant, sizeof tenant, &there, err));
    if (!there)
        return WD_FAIL(err, WD_E_NOT_FOUND, "no such account");
    WD_TRY(wd_guard__permit(by, "user.change", tenant, "account", err));
    WD_TRY(apply_user(g, tx, name, set, hash, err));
    snprintf(object, sizeof object, "user:%s", name);
    return wd_guard__note(g, tx, by, "user.change", object, what, err);
}

wd_status wd_admin_user_change(wd_guard *g, const wd_identity *by, const char *name,
                               const wd_user_change *set, wd_err *err)
{
    char hash[WD_PASSWORD_TEXT];
    wd_tx *tx;

    WD_TRY(wd_guard__permit(by, "user.change", by->tenant, "account", err));
    if (!wd_guard__id_ok(name))
        return bad_id("an account", err);
    if (set->set_role && (unsigned)set->role >= WD_N_ACCOUNT_ROLE)
        return WD_FAIL(err, WD_E_INVALID, "an account needs a role");
    if (set->set_password && set->password.n)
        WD_TRY(wd_guard__hash_password(g, set->password, hash, err));
    WD_TRY(wd_store_begin(g->store, WD_STORE_WRITE, &tx, err));
    return end_write(g, tx, user_change_in(g, tx, by, name, set, set->password.n ? hash : NULL, err), err);
}

static json_t *user_row(wd_guard *g, const wd_rows *r)
{
    const int64_t locked = wd_rows_int(r, 5);

    return json_pack("{s:s, s:s, s:s, s:b, s:b, s:o, s:o}", "name", wd_rows_text(r, 0), "tenant",
                     wd_rows_text(r, 1), "role", wd_rows_text(r, 2), "active", (int)wd_rows_int(r, 3),
                     "password", (int)wd_rows_int(r, 4), "locked_until",
                     time_json(locked > wd_guard__now(g) ? locked : 0), "created",
                     time_json(wd_rows_int(r, 6)));
}

wd_status wd_admin_user_list(wd_guard *g, const wd_identity *by, json_t **out, wd_err *err)
{
    return list(
        g, by, "user.list",
        "SELECT name, tenant, role, active, password IS NOT NULL, locked_until_us, created_us FROM account"
        " WHERE tenant = ? OR ? IS NULL ORDER BY name",
        user_row, out, err);
}

/* ---- keys ---- */

static wd_status find_owner(wd_tx *tx, const char *user, int64_t *account, char tenant[WD_NAME_MAX + 1],
                            wd_err *err)
{
    wd_rows *r;
    bool there;

    WD_TRY(wd_store_query(tx, &r, err, "SELECT id, tenant FROM account WHERE name = ?", "s", user));
    const wd_status st = wd_rows_next(r, &there, err);
    if (!st && there) {
        *account = wd_rows_int(r, 0);
        snprintf(tenant, WD_NAME_MAX + 1, "%s", wd_rows_text(r, 1));
    }
    wd_rows_end(r);
    if (st)
        return st;
    return there ? WD_OK : WD_FAIL(err, WD_E_NOT_FOUND, "no such account");
}

static wd_status key_add_in(wd_guard *g, wd_tx *tx, const wd_identity *by, const wd_key_new *k,
                            wd_key_row *row, wd_err *err)
{
    char tenant[WD_NAME_MAX + 1], object[OBJECT_MAX];

    if (k->user) {
        WD_TRY(find_owner(tx, k->user, &row->account, tenant, err));
    } else {
        WD_TRY(need_tenant(tx, k->tenant, err));
        snprintf(tenant, sizeof tenant, "%s", k->tenant);
        row->role = wd_account_role_name(k->role);
    }
    WD_TRY(wd_guard__permit(by, "key.add", tenant, k->user ? "account" : "tenant", err));
    row->tenant = tenant;
    WD_TRY(wd_guard__insert_key(g, tx, row, err));
    snprintf(object, sizeof object, "key:%s", row->id);
    return wd_guard__note(g, tx, by, "key.add", object, k->user ? k->user : row->role, err);
}

static wd_status check_key(const wd_key_new *k, wd_err *err)
{
    if (!k->label || !wd_guard__name_ok(k->label))
        return WD_FAIL(err, WD_E_INVALID, "a key's label has 1 to %d letters, digits and ._:/@+-",
                       WD_NAME_MAX);
    if (k->user ? !wd_guard__id_ok(k->user) : !k->tenant || !wd_guard__id_ok(k->tenant))
        return bad_id(k->user ? "an account" : "a tenant", err);
    if (!k->user && (unsigned)k->role >= WD_N_ACCOUNT_ROLE)
        return WD_FAIL(err, WD_E_INVALID, "a key without an account needs a role");
    if (k->scopes == 0 || k->scopes > WD_SCOPE_ALL)
        return WD_FAIL(err, WD_E_INVALID, "a key needs a scope");
    if (k->per_min > 1000000)
        return WD_FAIL(err, WD_E_INVALID, "requests a minute are 0 (no limit) to 1000000");
    if (k->expires_s < 0 || k->expires_s > (int64_t)100 * 366 * 86400)
        return WD_FAIL(err, WD_E_INVALID, "a key expires within 100 years, or never (0)");
    return WD_OK;
}

wd_status wd_admin_key_add(wd_guard *g, const wd_identity *by, const wd_key_new *k, char token[WD_TOKEN_MAX],
                           char id[WD_NAME_MAX + 1], wd_err *err)
{
    wd_tx *tx;
    wd_key_row row = { .kind = "key", .label = k->label, .scopes = k->scopes, .per_min = k->per_min };

    memset(token, 0, WD_TOKEN_MAX);
    WD_TRY(wd_guard__permit(by, "key.add", by->tenant, "tenant", err));
    WD_TRY(check_key(k, err));
    if (k->expires_s)
        row.expires_us = wd_guard__now(g) + k->expires_s * 1000000;
    WD_TRY(wd_store_begin(g->store, WD_STORE_WRITE, &tx, err));
    wd_guard__token_make(token, &row.hash);
    const wd_status st = end_write(g, tx, key_add_in(g, tx, by, k, &row, err), err);
    if (st)
        wd_wipe(token, WD_TOKEN_MAX);
    else
        memcpy(id, row.id, sizeof row.id);
    return st;
}

static wd_status key_revoke_in(wd_guard *g, wd_tx *tx, const wd_identity *by, const char *id, wd_err *err)
{
    char tenant[WD_NAME_MAX + 1], object[OBJECT_MAX];
    bool there;

    WD_TRY(one_text(tx, "SELECT tenant FROM key WHERE id = ?", id, tenant, sizeof tenant, &there, err));
    if (!there)
        return WD_FAIL(err, WD_E_NOT_FOUND, "no such key");
    WD_TRY(wd_guard__permit(by, "key.revoke", tenant, "key", err));
    WD_TRY(wd_store_run(tx, err, "UPDATE key SET revoked_us = ? WHERE id = ? AND revoked_us = 0", "is",
                        wd_guard__now(g), id));
    snprintf(object, sizeof object, "key:%s", id);
    return wd_guard__note(g, tx, by, "key.revoke", object, NULL, err);
}

wd_status wd_admin_key_revoke(wd_guard *g, const wd_identity *by, const char *id, wd_err *err)
{
    wd_tx *tx;

    WD_TRY(wd_guard__permit(by, "key.revoke", by->tenant, "key", err));
    if (!wd_guard__name_ok(id))
        return WD_FAIL(err, WD_E_NOT_FOUND, "no such key");
    WD_TRY(wd_store_begin(g->store, WD_STORE_WRITE, &tx, err));
    return end_write(g, tx, key_revoke_in(g, tx, by, id, err), err);
}

static json_t *key_row(wd_guard *g, const wd_rows *r)
{
    const int64_t expires = wd_rows_int(r, 8), revoked = wd_rows_int(r, 9);
    const char *state = revoked ? "revoked" : expires && expires <= wd_guard__now(g) ? "expired" : "active";
    char subject[WD_NAME_MAX + 8];
    wd_buf scopes = { 0 };

    snprintf(subject, sizeof subject, "%s:%s", *wd_rows_text(r, 3) ? "user" : "key",
             wd_rows_text(r, *wd_rows_text(r, 3) ? 3 : 0));
    wd_scopes_write((uint32_t)wd_rows_int(r, 6) & WD_SCOPE_ALL, &scopes);
    json_t *o = scopes.failed
                    ? NULL
                    : json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:o, s:s}", "id",
                                wd_rows_text(r, 0), "kind", wd_rows_text(r, 1), "label", wd_rows_text(r, 2),
                                "subject", subject, "tenant", wd_rows_text(r, 4), "role", wd_rows_text(r, 5),
                                "scopes", scopes.n ? (char *)scopes.p : "", "per_min", wd_rows_int(r, 10),
                                "created", time_json(wd_rows_int(r, 7)), "expires", time_json(expires),
                                "state", state);
    wd_buf_free(&scopes);
    return o;
}

wd_status wd_admin_key_list(wd_guard *g, const wd_identity *by, json_t **out, wd_err *err)
{
    return list(
        g, by, "key.list",
        "SELECT key.id, kind, label, account.name, key.tenant, coalesce(account.role, key.role), scopes,"
        " key.created_us, expires_us, revoked_us, per_min FROM key LEFT JOIN account ON account.id = account"
        " WHERE key.tenant = ? OR ? IS NULL ORDER BY key.created_us, key.id",
        key_row, out, err);
}
