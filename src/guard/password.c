/* Passwords and log-ins.
 *
 * An account's states: free -> (lock_after wrong passwords in a row) -> locked until a time -> free. A right password or
 * `ward user unlock` frees the count. While locked no password is computed. Names that do not exist are answered in the same
 * way: the same work is done for them, and a bucket in memory locks them as the database locks accounts. */
#include "guard/inner.h"

#include <sodium.h>

#include "base/utf8.h"
#include "guard/visit.h"

wd_status wd_guard__hash_password(wd_guard *g, wd_span password, char out[WD_PASSWORD_TEXT], wd_err *err)
{
    if (password.n < WD_PASSWORD_MIN || password.n > WD_PASSWORD_MAX)
        return WD_FAIL(err, WD_E_INVALID, "the password has %zu bytes, expected %d to %d", password.n,
                       WD_PASSWORD_MIN, WD_PASSWORD_MAX);
    if (!wd_utf8_valid(password) || memchr(password.p, 0, password.n) || memchr(password.p, '\n', password.n))
        return WD_FAIL(err, WD_E_INVALID, "the password is not one line of UTF-8 text");
    pthread_mutex_lock(&g->password_mu);
    const int rc = crypto_pwhash_str(out, (const char *)password.p, password.n, g->o.pw_ops, g->o.pw_mem);
    pthread_mutex_unlock(&g->password_mu);
    return rc == 0 ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "no memory to hash the password");
}

typedef struct account {
    bool there, active, tenant_active;
    int64_t id, locked_until_us;
    char name[WD_NAME_MAX + 1], tenant[WD_NAME_MAX + 1], password[WD_PASSWORD_TEXT];
    wd_account_role role;
    uint32_t weight;
} account;

static void copy(char *out, size_t size, const char *s)
{
    const size_t n = WD_MIN(strlen(s), size - 1);
    memcpy(out, s, n);
    out[n] = 0;
}

static wd_status find_account(wd_tx *tx, const char *name, account *a, wd_err *err)
{
    wd_rows *r;

    *a = (account){ 0 };
    WD_TRY(wd_store_query(tx, &r, err,
                          "SELECT account.id, name, tenant, role, password, account.active, locked_until_us,"
                          " tenant.active, tenant.weight FROM account JOIN tenant ON tenant.id = tenant"
                          " WHERE name = ?",
                          "s", name));
    const wd_status st = wd_rows_next(r, &a->there, err);
    if (!st && a->there) {
        a->id = wd_rows_int(r, 0);
        copy(a->name, sizeof a->name, wd_rows_text(r, 1));
        copy(a->tenant, sizeof a->tenant, wd_rows_text(r, 2));
        a->there = wd_account_role_parse(wd_rows_text(r, 3), &a->role);
        copy(a->password, sizeof a->password, wd_rows_text(r, 4));
        a->active = wd_rows_int(r, 5) != 0;
        a->locked_until_us = wd_rows_int(r, 6);
        a->tenant_active = wd_rows_int(r, 7) != 0;
        a->weight = (uint32_t)wd_rows_int(r, 8);
    }
    wd_rows_end(r);
    return st;
}

static wd_status busy(uint32_t *retry_after_s, uint32_t s, wd_err *err)
{
    if (retry_after_s)
        *retry_after_s = s;
    return WD_FAIL(err, WD_E_BUSY, "too many wrong passwords: wait %u s", s);
}

/* The same time whether there is such an account or not. */
static bool password_holds(wd_guard *g, const account *a, wd_span password)
{
    char dummy[WD_PASSWORD_TEXT];
    bool ok = false;

    pthread_mutex_lock(&g->password_mu);
    if (a->there && *a->password)
        ok = crypto_pwhash_str_verify(a->password, (const char *)password.p, password.n) == 0;
    else
        (void)(crypto_pwhash_str(dummy, (const char *)password.p, password.n, g->o.pw_ops, g->o.pw_mem) == 0);
    pthread_mutex_unlock(&g->password_mu);
    return ok && a->active && a->tenant_active;
}

static wd_status note_failure_in(wd_guard *g, wd_tx *tx, const wd_visit *v, const account *a, wd_err *err)
{
    char object[WD_NAME_MAX + 8] = "user:";

    WD_TRY(wd_store_run(tx, err,
                        "UPDATE account SET failures = failures + 1, locked_until_us ="
                        " CASE WHEN failures + 1 >= ? THEN ? ELSE locked_until_us END WHERE id = ?",
                        "iii", (int64_t)g->o.lock_after, wd_guard__now(g) + (int64_t)g->o.lock_s * 1000000,
                        a->id));
    WD_TRY(wd_store_run(tx, err, "UPDATE account SET failures = 0 WHERE id = ? AND failures >= ?", "ii",
                        a->id, (int64_t)g->o.lock_after));
    if (wd_store_changed(tx) == 0)
        return WD_OK;
    copy(object + 5, sizeof object - 5, a->name);
    const wd_record locked = { .event = "refused",
                               .visit = v->id,
                               .from = v->from,
                               .action = v->rule->action,
                               .object = object,
                               .outcome = "refused",
                               .reason = "account_locked" };
    return wd_guard__append(g, tx, &locked, err);
}

static wd_status note_failure(wd_guard *g, const wd_visit *v, const account *a, const char *name, wd_err *err)
{
    const wd_limit as_locked = { 'n', name, (double)g->o.lock_after / g->o.lock_s, g->o.lock_after };
    uint32_t retry;
    bool first;
    wd_tx *tx;

    if (!a->there) {
        (void)wd_limits_take(g->limits, &as_locked, 1, wd_guard__now(g), &retry, &first);
        return WD_OK;
    }
    WD_TRY(wd_store_begin(g->store, WD_STORE_WRITE, &tx, err));
    WD_TRY(wd_store_end(tx, note_failure_in(g, tx, v, a, err), err));
    return wd_guard__anchor(g, err);
}

static wd_status start_session_in(wd_guard *g, wd_tx *tx, const account *a, const char *new_hash,
                                  wd_key_row *k, wd_err *err)
{
    account now;

    WD_TRY(find_account(tx, a->name, &now, err)); /* it may have been shut while the password was computed */
    const bool same = now.there && now.active && now.tenant_active && !strcmp(now.password, a->password);
    wd_wipe(&now.password, sizeof now.password);
    if (!same)
        return WD_FAIL(err, WD_E_AUTH, "wrong name or password");
    WD_TRY(wd_store_run(tx, err, "UPDATE account SET failures = 0, locked_until_us = 0 WHERE id = ?", "i",
                        a->id));
    if (new_hash)
        WD_TRY(wd_store_run(tx, err, "UPDATE account SET password = ? WHERE id = ?", "si", new_hash, a->id));
    /* Old sessions go a day after their end, so that the table does not grow with the years. */
    WD_TRY(wd_store_run(tx, err, "DELETE FROM key WHERE kind = 'session' AND account = ? AND expires_us < ?",
                        "ii", a->id, wd_guard__now(g) - (int64_t)86400 * 1000000));
    return wd_guard__insert_key(g, tx, k, err);
}

/* What the account's password is stored as from now on, when the settings became stronger; NULL: as it is. */
static const char *stronger(wd_guard *g, const account *a, wd_span password, char out[WD_PASSWORD_TEXT])
{
    if (crypto_pwhash_str_needs_rehash(a->password, g->o.pw_ops, g->o.pw_mem) == 0)
        return NULL;
    return wd_guard__hash_password(g, password, out, NULL) == WD_OK ? out : NULL;
}

static wd_status log_in(wd_visit *v, account *a, wd_span password, char token[WD_TOKEN_MAX], wd_err *err)
{
    wd_guard *g = v->g;
    char again[WD_PASSWORD_TEXT];
    wd_key_row k = { .kind = "session",
                     .label = "log-in",
                     .tenant = a->tenant,
                     .account = a->id,
                     .scopes = WD_SCOPE_ALL,
                     .expires_us = wd_guard__now(g) + (int64_t)g->o.session_s * 1000000 };
    wd_tx *tx;

    const char *new_hash = stronger(g, a, password, again);
    wd_guard__token_make(token, &k.hash);
    wd_status st = wd_store_begin(g->store, WD_STORE_WRITE, &tx, err);
    if (!st)
        st = wd_store_end(tx, start_session_in(g, tx, a, new_hash, &k, err), err);
    if (st) {
        wd_wipe(token, WD_TOKEN_MAX);
        return st;
    }
    v->who = (wd_identity){ .role = a->role,
                            .scopes = WD_SCOPE_ALL,
                            .weight = a->weight,
                            .expires_us = k.expires_us,
                            .idle_s = g->o.session_idle_s };
    memcpy(v->who.subject, "user:", 5);
    copy(v->who.subject + 5, sizeof v->who.subject - 5, a->name);
    copy(v->who.tenant, sizeof v->who.tenant, a->tenant);
    copy(v->who.key, sizeof v->who.key, k.id);
    return WD_OK;
}

static wd_status check_and_log_in(wd_visit *v, const char *name, account *a, wd_span password,
                                  char token[WD_TOKEN_MAX], uint32_t *retry_after_s, wd_err *err)
{
    wd_guard *g = v->g;
    const int64_t now = wd_guard__now(g);
    const wd_limit as_locked = { 'n', name, (double)g->o.lock_after / g->o.lock_s, g->o.lock_after };
    const wd_limit address = wd_guard__address(g, v->from);
    uint32_t retry;
    bool first;

    if (a->there && a->locked_until_us > now)
        return busy(retry_after_s, (uint32_t)((a->locked_until_us - now) / 1000000 + 1), err);
    if (!a->there && !wd_limits_take(g->limits, &as_locked, 0, now, &retry, &first))
        return busy(retry_after_s, retry, err);
    if (password_holds(g, a, password))
        return log_in(v, a, password, token, err);
    (void)wd_limits_take(g->limits, &address, 1, now, &retry, &first);
    if (a->there) { /* an account that exists is named; what else was typed may be a password in the wrong field */
        memcpy(v->object, "user:", 5);
        copy(v->object + 5, sizeof v->object - 5, a->name);
    }
    WD_TRY(note_failure(g, v, a, name, err));
    return WD_FAIL(err, WD_E_AUTH, "wrong name or password");
}

wd_status wd_visit_login(wd_visit *v, const char *name, wd_span password, char token[WD_TOKEN_MAX],
                         uint32_t *retry_after_s, wd_err *err)
{
    account a = { 0 };
    wd_tx *tx;

    memset(token, 0, WD_TOKEN_MAX);
    if (retry_after_s)
        *retry_after_s = 0;
    if (strcmp(v->rule->action, "session.create") != 0)
        return WD_FAIL(err, WD_E_INTERNAL, "a log-in within %s", v->rule->action);
    if (!wd_guard__id_ok(name) || password.n == 0 || password.n > WD_PASSWORD_MAX)
        return WD_FAIL(err, WD_E_AUTH, "wrong name or password");
    WD_TRY(wd_store_begin(v->g->store, WD_STORE_READ, &tx, err));
    WD_TRY(wd_store_end(tx, find_account(tx, name, &a, err), err));
    const wd_status st = check_and_log_in(v, name, &a, password, token, retry_after_s, err);
    wd_wipe(a.password, sizeof a.password);
    return st;
}

wd_status wd_visit_logout(wd_visit *v, wd_err *err)
{
    wd_tx *tx;

    if (strcmp(v->rule->action, "session.delete") != 0)
        return WD_FAIL(err, WD_E_INTERNAL, "a log-out within %s", v->rule->action);
    WD_TRY(wd_store_begin(v->g->store, WD_STORE_WRITE, &tx, err));
    wd_status st = wd_store_run(
        tx, err, "UPDATE key SET revoked_us = ? WHERE id = ? AND kind = 'session' AND revoked_us = 0", "is",
        wd_guard__now(v->g), v->who.key);
    if (!st && wd_store_changed(tx) == 0)
        st = WD_FAIL(err, WD_E_INVALID, "the request came with a key: there is no log-in to end");
    return wd_store_end(tx, st, err);
}
