/* Keys: "ward_" and 43 characters of base64url, which are 32 bytes from the operating system. Only their BLAKE2b digest is
 * stored: 256 random bits need no slow hash, and looking up by digest tells nothing by its time. */
#include "guard/inner.h"

#include <stdio.h>

#include <sodium.h>

#define PREFIX "ward_"
#define SECRET_BYTES 32
#define SECRET_TEXT 43
#define USED_S 60u /* how exactly it is known when a session was last used */

void wd_guard__token_make(char token[WD_TOKEN_MAX], wd_digest *hash)
{
    uint8_t secret[SECRET_BYTES];

    randombytes_buf(secret, sizeof secret);
    memcpy(token, PREFIX, sizeof PREFIX);
    sodium_bin2base64(token + sizeof PREFIX - 1, SECRET_TEXT + 1, secret, sizeof secret,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    wd_wipe(secret, sizeof secret);
    wd_digest_of(wd_span_str(token), hash);
}

bool wd_guard__token_hash(const char *token, size_t n, wd_digest *hash)
{
    if (n != sizeof PREFIX - 1 + SECRET_TEXT || memcmp(token, PREFIX, sizeof PREFIX - 1) != 0)
        return false;
    wd_digest_of(wd_span_of(token, n), hash);
    return true;
}

static void copy_name(char *out, size_t size, const char *prefix, const char *name)
{
    snprintf(out, size, "%s%s", prefix, name);
}

/* The row found: whose it is, and whether it still counts. */
static wd_status read_bearer(const wd_guard *g, wd_rows *r, wd_bearer *b, wd_err *err)
{
    const int64_t now = wd_guard__now(g), expires = wd_rows_int(r, 5), revoked = wd_rows_int(r, 6);
    const bool has_account = wd_rows_int(r, 7) != 0;
    const int64_t idle_us = (int64_t)g->o.session_idle_s * 1000000;

    copy_name(b->who.key, sizeof b->who.key, "", wd_rows_text(r, 0));
    copy_name(b->who.tenant, sizeof b->who.tenant, "", wd_rows_text(r, 1));
    b->who.scopes = (uint32_t)wd_rows_int(r, 3) & WD_SCOPE_ALL;
    b->per_min_key = (uint32_t)wd_rows_int(r, 4);
    b->who.expires_us = expires;
    b->session = !strcmp(wd_rows_text(r, 14), "session");
    b->used_us = wd_rows_int(r, 15);
    b->who.idle_s = b->session ? g->o.session_idle_s : 0;
    b->who.weight = (uint32_t)wd_rows_int(r, 12);
    b->per_min_tenant = (uint32_t)wd_rows_int(r, 11);
    if (has_account) /* a person's key is what the person is now, not what it was when the key was made */
        copy_name(b->who.subject, sizeof b->who.subject, "user:", wd_rows_text(r, 8));
    else
        copy_name(b->who.subject, sizeof b->who.subject, "key:", b->who.key);
    if (!wd_account_role_parse(wd_rows_text(r, has_account ? 9 : 2), &b->who.role))
        return WD_FAIL(err, WD_E_CORRUPT, "%s: key %s has no role that this program knows",
                       wd_store_path(g->store), b->who.key);
    if (revoked)
        b->found = WD_FOUND_REVOKED;
    else if ((expires && expires <= now) || (b->session && idle_us && b->used_us + idle_us <= now))
        b->found = WD_FOUND_EXPIRED;
    else if ((has_account && !wd_rows_int(r, 10)) || !wd_rows_int(r, 13))
        b->found = WD_FOUND_INACTIVE;
    else
        b->found = WD_FOUND;
    return WD_OK;
}

wd_status wd_guard__find_bearer(wd_guard *g, const wd_digest *hash, wd_bearer *out, wd_err *err)
{
    wd_tx *tx;
    wd_rows *r;
    bool there = false;

    *out = (wd_bearer){ .found = WD_FOUND_NONE };
    WD_TRY(wd_store_begin(g->store, WD_STORE_READ, &tx, err));
    wd_status st = wd_store_query(
        tx, &r, err,
        "SELECT key.id, key.tenant, key.role, key.scopes, key.per_min, key.expires_us, key.revoked_us, "
        "key.account,"
        " account.name, account.role, account.active, tenant.per_min, tenant.weight, tenant.active,"
        " key.kind, key.used_us"
        " FROM key JOIN tenant ON tenant.id = key.tenant LEFT JOIN account ON account.id = key.account"
        " WHERE key.hash = ?",
        "b", wd_span_of(hash->b, sizeof hash->b));
    if (!st)
        st = wd_rows_next(r, &there, err);
    if (!st && there)
        st = read_bearer(g, r, out, err);
    return wd_store_end(tx, st, err);
}

wd_status wd_guard__touch(wd_guard *g, const wd_bearer *b, wd_err *err)
{
    const int64_t now = wd_guard__now(g),
                  lately = (int64_t)WD_MIN(g->o.session_idle_s / 10, USED_S) * 1000000;
    wd_tx *tx;

    if (!b->session || !g->o.session_idle_s || now - b->used_us < lately)
        return WD_OK;
    WD_TRY(wd_store_begin(g->store, WD_STORE_WRITE, &tx, err));
    return wd_store_end(tx,
                        wd_store_run(tx, err, "UPDATE key SET used_us = ? WHERE id = ? AND used_us < ?",
                                     "isi", now, b->who.key, now),
                        err);
}

void wd_guard_csrf(const char *token, char out[WD_CSRF_MAX])
{
    static const char about[] = "ward csrf 1";
    uint8_t digest[(WD_CSRF_MAX - 1) / 2];

    crypto_generichash(digest, sizeof digest, (const uint8_t *)token, strlen(token), (const uint8_t *)about,
                       sizeof about); /* keyed: no digest that is stored anywhere */
    sodium_bin2hex(out, WD_CSRF_MAX, digest, sizeof digest);
}

wd_status wd_guard__insert_key(wd_guard *g, wd_tx *tx, wd_key_row *k, wd_err *err)
{
    uint8_t id[6];
    char hex[13];

    randombytes_buf(id, sizeof id);
    sodium_bin2hex(hex, sizeof hex, id, sizeof id);
    snprintf(k->id, sizeof k->id, "%c-%s", k->kind[0], hex); /* k-3f9a01bc22de, s-...: names, no secrets */
    return wd_store_run(
        tx, err,
        "INSERT INTO key(id, hash, kind, label, tenant, account, role, scopes, per_min, created_us,"
        " expires_us, used_us, revoked_us) VALUES(?, ?, ?, ?, ?, nullif(?, 0), ?, ?, ?, ?, ?, ?, 0)",
        "sbsssisiiiii", k->id, wd_span_of(k->hash.b, sizeof k->hash.b), k->kind, k->label, k->tenant,
        k->account, k->role, (int64_t)k->scopes, (int64_t)k->per_min, wd_guard__now(g), k->expires_us,
        wd_guard__now(g));
}
