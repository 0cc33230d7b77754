/* Who is asking, may they, and the record of it.
 *
 * The guard owns the data directory: accounts, keys, tenants and the audit in DIR/ward.db, the signing key in
 * DIR/audit.key (0600), the public one in DIR/audit.pub, signed checkpoints in DIR/audit.anchors (better: a path on
 * another machine). One process may serve from a directory (DIR/serve.lock); `ward user`, `key`, `tenant` and `audit` work
 * beside it, and what they revoke is refused from the next request on.
 *
 * One request, in the server's words:
 *
 *     wd_visit *v;
 *     if (wd_guard_admit(guard, &ask, &v, &no, &err))          headers are in, the body is not
 *         return reply(no.http, no.code, err.text, no.retry_after_s);
 *     ... read and check the body ...
 *     st = wd_visit_begin(v, &work, &err);                     durable before any work is done
 *     if (!st) ... run the engine, stream pieces ...
 *     st = wd_visit_end(&v, &outcome, &err);                   durable before the reply ends
 *     if (st) ... the client must not see the end of the reply: 503, or the connection closed without the last piece
 *
 * Every visit is ended exactly once, on every path; ending it is also how its memory is given back. What would be easy
 * to forget fails loudly instead: a visit of an action that is recorded twice cannot end well without having begun.
 *
 * The audit holds names of actions, ids, counts and digests. Nothing of what was asked or answered goes in: the text
 * fields of this interface take short names of letters, digits and "._:/@+-" and refuse the rest.
 *
 * Thread-safe, but a visit belongs to one thread at a time. Calls that write wait for the disk (a few milliseconds).
 */
#ifndef WD_GUARD_GUARD_H
#define WD_GUARD_GUARD_H

#include "base/digest.h"
#include "guard/policy.h"

#define WD_NAME_MAX 64  /* tenants, accounts, keys, objects, models: bytes */
#define WD_TOKEN_MAX 64 /* a key's secret with its NUL */

typedef struct wd_guard wd_guard;

typedef struct wd_guard_opts {
    const char *dir;           /* made with mode 0700 when it is not there          required */
    const char *anchors;       /* where signed checkpoints go            default DIR/audit.anchors */
    bool serve;                /* take DIR/serve.lock, and close what a server that died left open */
    bool must_exist;           /* WD_E_NOT_FOUND instead of a new directory */
    uint32_t checkpoint_every; /* records                          default 256 */
    uint32_t checkpoint_s;     /* seconds: with the first record after them   default 300 */
    uint32_t bad_per_min;      /* refused credentials from one address, then it waits   default 20 */
    uint32_t lock_after;       /* wrong passwords in a row, then the account waits  default 8 */
    uint32_t lock_s;           /* how long                         default 900 */
    uint32_t session_s;        /* life of a log-in                 default 36000 */
    uint32_t session_idle_s;   /* ... that nobody uses; 0: as long default 1800 */
    uint64_t pw_ops, pw_mem;   /* Argon2id passes and bytes        default 3, 64 MiB */
    /* for tests */
    const char *vfs;                /* SQLite's file layer, by name */
    int64_t (*now_us)(void *clock); /* microseconds since 1970 */
    void *clock;
} wd_guard_opts;
#define WD_GUARD_OPTS_DEFAULT                  \
    ((wd_guard_opts){ .checkpoint_every = 256, \
                      .checkpoint_s = 300,     \
                      .bad_per_min = 20,       \
                      .lock_after = 8,         \
                      .lock_s = 900,           \
                      .session_s = 36000,      \
                      .session_idle_s = 1800,  \
                      .pw_ops = 3,             \
                      .pw_mem = (uint64_t)64 << 20 })

/* Opens or makes the directory; brings the database to this program's version; checks it and the end of the audit.
 *   WD_E_CORRUPT       the database is damaged, or the audit's end is not the one that was signed
 *   WD_E_UNSUPPORTED   written by a newer Ward
 *   WD_E_BUSY          another server has the directory, or another program has the database locked
 *   WD_E_IO            not readable or writable, or the disk is full: nothing is half made
 */
WD_MUST_CHECK wd_status wd_guard_open(const wd_guard_opts *opts, wd_guard **out, wd_err *err);
/* Writes a last checkpoint. No visit may be open. Accepts NULL. */
void wd_guard_close(wd_guard *g);

/* ---- who ---- */

typedef struct wd_identity {
    wd_account_role role;
    uint32_t scopes;               /* wd_scope bits */
    char subject[WD_NAME_MAX + 8]; /* "user:alice", "key:k-3f9a01bc", "local:root"; "-" before a log-in */
    char tenant[WD_NAME_MAX + 1];
    char key[WD_NAME_MAX + 1]; /* the key or session it came with; "" on the command line */
    uint32_t weight;           /* the tenant's share of the engine, 1 to 1000; 100 is one */
    int64_t expires_us;        /* of the key or session, since 1970; 0: never */
    uint32_t idle_s;           /* of a session: it ends when it is not used for so long; 0: of none */
    bool by_cookie;
    bool local; /* at the machine itself (command line): what its role may, it may in every tenant */
} wd_identity;

/* ---- one request ---- */

/* The header Origin: browsers say there whose page makes a request. */
typedef enum wd_origin { WD_ORIGIN_NONE, WD_ORIGIN_OWN, WD_ORIGIN_OTHER } wd_origin;

typedef struct wd_ask {
    const char *method;        /* "POST" (for HEAD: "GET") */
    const char *path;          /* as sent, up to '?' */
    const char *authorization; /* the header's value, or NULL */
    const char *from;          /* the peer's address without port: "10.2.0.7", "::1" */
    const char *session; /* the value of a session's cookie, or NULL: counts where authorization is NULL */
    const char *csrf;    /* the value of X-CSRF-Token, or NULL */
    wd_origin origin;    /* of the page that asks */
} wd_ask;

/* What goes along with a session's requests in X-CSRF-Token: a digest of its token, for pages of this server alone. */
#define WD_CSRF_MAX 65
void wd_guard_csrf(const char *token, char out[WD_CSRF_MAX]);

/* Why not, for the reply. */
typedef struct wd_refusal {
    int http; /* 401, 403, 404, 405, 429, 503 */
    const char
        *code; /* OpenAI's: "invalid_api_key", "insufficient_permissions", "rate_limit_exceeded", ... */
    uint32_t retry_after_s; /* 0: no such header */
    char allow[64];         /* with 405 */
} wd_refusal;

typedef struct wd_visit wd_visit;

/* Finds the rule of the route, who the bearer is, whether limits, role and scopes allow it. A refusal is recorded.
 * *out is NULL on failure, with *no filled:
 *   WD_E_NOT_FOUND, WD_E_UNSUPPORTED   no such route, or not with this method           404, 405
 *   WD_E_AUTH      no, unknown, expired or revoked credentials: one answer              401
 *   WD_E_DENIED    this role or key may not                                             403
 *                  a session's cookie came with another Origin, or with none and without its X-CSRF-Token where something
 *                  is changed; a log-in with another Origin
 *   WD_E_BUSY      a rate limit, or one more of too many bad credentials from there     429
 *   other          the store failed                                                     503
 */
WD_MUST_CHECK wd_status wd_guard_admit(wd_guard *g, const wd_ask *ask, wd_visit **out, wd_refusal *no,
                                       wd_err *err);
const wd_identity *wd_visit_who(const wd_visit *v);
const wd_rule *wd_visit_rule(const wd_visit *v);
/* 32 hexadecimal digits, in both records: fit for x-request-id. */
const char *wd_visit_id(const wd_visit *v);

/* May this visit touch that object? Call it before using an object that a request names. kind "file", id: Ward's own id,
 * owner: a subject, both as found in Ward's own tables, never as sent. The record names the last object asked about.
 *   WD_E_NOT_FOUND   not within reach: answered as if it did not exist
 */
WD_MUST_CHECK wd_status wd_visit_object(wd_visit *v, const char *kind, const char *id, const char *tenant,
                                        const char *owner, wd_err *err);

/* The same where the work needs more than the route's own action: an object that is used as by that one (a file shown to a
 * model is read: "file.content"). The caller must reach it by that action's rule. */
WD_MUST_CHECK wd_status wd_visit_object_for(wd_visit *v, const char *action, const char *kind, const char *id,
                                            const char *tenant, const char *owner, wd_err *err);

/* What the work is made of; {0} is fine. */
typedef struct wd_work {
    const char *model;             /* its configured name */
    const wd_digest *model_digest; /* of the weights */
    const wd_digest *input_digest; /* of the prompt or upload: wd_guard_digest, not a plain digest */
} wd_work;
/* Writes the first record of an action that is recorded twice, and notes the work of any other.
 * On failure nothing may be done and the visit still must be ended. */
WD_MUST_CHECK wd_status wd_visit_begin(wd_visit *v, const wd_work *work, wd_err *err);

typedef enum wd_outcome_kind {
    WD_OUTCOME_DONE,
    WD_OUTCOME_INVALID,   /* the request was at fault */
    WD_OUTCOME_REFUSED,   /* by a rule, a limit, an object out of reach */
    WD_OUTCOME_CANCELLED, /* the client went away */
    WD_OUTCOME_FAILED     /* we were at fault */
} wd_outcome_kind;

typedef struct wd_outcome {
    wd_outcome_kind kind;
    int http;           /* 0: none was sent */
    const char *reason; /* an error code of ours such as "context_length_exceeded", or NULL */
    uint64_t tokens_in, tokens_out;
    const wd_digest *output_digest; /* by wd_guard_digest, or NULL */
} wd_outcome;
/* Writes the last record and releases the visit, whatever comes back; *v becomes NULL. On failure the client must not get
 * the end of its reply; the record stays open and the next start of the server closes it as interrupted. */
WD_MUST_CHECK wd_status wd_visit_end(wd_visit **v, const wd_outcome *outcome, wd_err *err);

/* A digest of content for the audit, keyed with a secret of this installation: who has the directory can check whether a
 * known text was the one, nobody else can guess it. */
void wd_guard_digest(const wd_guard *g, wd_span content, wd_digest *out);

/* ---- log-in: within a visit of session.create or session.delete ---- */

/* Checks a password; token: a new key of the account's, living opts.session_s. One answer for unknown names and wrong
 * passwords, in the same time. Argon2id takes 64 MiB and about 0.1 s: one log-in is computed at a time.
 *   WD_E_AUTH   no     WD_E_BUSY   too many wrong ones: *retry_after_s (may be NULL) says for how long
 */
WD_MUST_CHECK wd_status wd_visit_login(wd_visit *v, const char *name, wd_span password,
                                       char token[WD_TOKEN_MAX], uint32_t *retry_after_s, wd_err *err);
/* Revokes the session that the visit came with. WD_E_INVALID: it came with a key. */
WD_MUST_CHECK wd_status wd_visit_logout(wd_visit *v, wd_err *err);

#endif
