/* Inside the guard: its state, the record as the writer takes it, and what the files share. */
#ifndef WD_GUARD_INNER_H
#define WD_GUARD_INNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "guard/guard.h"
#include "guard/limits.h"
#include "guard/sign.h"
#include "store/store.h"

#define WD_GUARD__OWNER "guard"
#define WD_GUARD__FROM_MAX 64 /* bytes of an address */
#define WD_GUARD__VISIT_ID 32 /* hexadecimal digits */

struct wd_guard {
    wd_guard_opts o;
    char *dir, *anchors;
    wd_store *store;
    wd_signer signer;
    int lock_fd; /* serve.lock, or -1 */
    wd_limits *limits;
    atomic_uint n_visit;
    pthread_mutex_t password_mu; /* one Argon2id at a time */
    pthread_mutex_t anchor_mu;
    int64_t anchored;             /* under anchor_mu: newest checkpoint in the anchors file */
    _Atomic int64_t checkpointed; /* newest checkpoint in the database, as far as this process knows */
};

int64_t wd_guard__now(const wd_guard *g); /* microseconds since 1970 */
#define WD_TIME_TEXT 28
void wd_guard__time_text(int64_t us, char out[WD_TIME_TEXT]); /* 2026-01-31T23:59:59.000000Z */

/* 1 to WD_NAME_MAX bytes of letters, digits and "._:/@+-". */
bool wd_guard__name_ok(const char *s);
/* The same, lower case, beginning with a letter or digit, and without ':' and '/': tenants, accounts. */
bool wd_guard__id_ok(const char *s);

/* ---- audit_write.c ---- */

/* One record. NULL, 0: left out. Strings are checked names. */
typedef struct wd_record {
    const char *event; /* "begin", "end", "done", "refused" */
    const char *visit;
    const wd_identity *who; /* NULL: nobody yet */
    const char *from, *action, *object, *outcome, *reason, *model;
    const wd_digest *model_digest, *input_digest, *output_digest;
    int http;
    bool counted; /* tokens_in and tokens_out are meant */
    uint64_t tokens_in, tokens_out;
} wd_record;

/* Adds it to the chain within tx, with the signed head and, when due, a checkpoint. */
WD_MUST_CHECK wd_status wd_guard__append(wd_guard *g, wd_tx *tx, const wd_record *r, wd_err *err);
/* A checkpoint at the end of the chain, unless there is one. */
WD_MUST_CHECK wd_status wd_guard__checkpoint(wd_guard *g, wd_tx *tx, wd_err *err);
/* After the commit: new checkpoints go to the anchors file. */
WD_MUST_CHECK wd_status wd_guard__anchor(wd_guard *g, wd_err *err);
/* begin, append, end, anchor. */
WD_MUST_CHECK wd_status wd_guard__record(wd_guard *g, const wd_record *r, wd_err *err);

/* ---- keys.c ---- */

/* A new secret and its digest as it is stored. */
void wd_guard__token_make(char token[WD_TOKEN_MAX], wd_digest *hash);
/* Takes a bearer apart; false when it cannot be one of ours. */
bool wd_guard__token_hash(const char *token, size_t n, wd_digest *hash);

typedef enum wd_found {
    WD_FOUND,
    WD_FOUND_NONE,
    WD_FOUND_EXPIRED,
    WD_FOUND_REVOKED,
    WD_FOUND_INACTIVE
} wd_found;
typedef struct wd_bearer {
    wd_found found;
    wd_identity who; /* filled for every found kind but NONE, so that a refusal can name the key */
    uint32_t per_min_key, per_min_tenant;
    bool session;    /* a log-in, no key */
    int64_t used_us; /* of a session, to about a minute */
} wd_bearer;
WD_MUST_CHECK wd_status wd_guard__find_bearer(wd_guard *g, const wd_digest *hash, wd_bearer *out,
                                              wd_err *err);

/* Notes that a session is used, when that was not noted lately. */
WD_MUST_CHECK wd_status wd_guard__touch(wd_guard *g, const wd_bearer *b, wd_err *err);

/* Inserts a key. account 0: none, then role is the key's own. */
typedef struct wd_key_row {
    char id[WD_NAME_MAX + 1];
    wd_digest hash;
    const char *kind, *label, *tenant, *role; /* kind: "key", "session" */
    int64_t account;
    uint32_t scopes, per_min;
    int64_t expires_us; /* 0: never */
} wd_key_row;
WD_MUST_CHECK wd_status wd_guard__insert_key(wd_guard *g, wd_tx *tx, wd_key_row *k, wd_err *err);

/* ---- admin.c ---- */

/* May `by` do the action on something of this tenant (NULL: on no tenant's)? *rule (may be NULL) is the action's.
 *   WD_E_DENIED, or WD_E_NOT_FOUND "no such WHAT" when the tenant is out of reach */
WD_MUST_CHECK wd_status wd_guard__permit(const wd_identity *by, const char *action, const char *tenant,
                                         const char *what, wd_err *err);
/* The record of something done by somebody who is no visit. object: "user:alice" or NULL. */
WD_MUST_CHECK wd_status wd_guard__note(wd_guard *g, wd_tx *tx, const wd_identity *by, const char *action,
                                       const char *object, const char *reason, wd_err *err);

/* ---- password.c ---- */

#define WD_PASSWORD_MIN 12
#define WD_PASSWORD_MAX 1024
#define WD_PASSWORD_TEXT 128 /* libsodium's crypto_pwhash_STRBYTES */
WD_MUST_CHECK wd_status wd_guard__hash_password(wd_guard *g, wd_span password, char out[WD_PASSWORD_TEXT],
                                                wd_err *err);

#endif
