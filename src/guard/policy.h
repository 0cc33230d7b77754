/* The one table that decides who may do what.
 *
 * A rule is one action: its route (or none: the command line alone), the scope a key must have, whether it is recorded,
 * and for each role how far it reaches. What has no rule is refused. docs/trust.md shows the table; a test holds the two
 * together, another walks every role over every rule.
 */
#ifndef WD_GUARD_POLICY_H
#define WD_GUARD_POLICY_H

#include "base/buf.h"

typedef enum wd_account_role {
    WD_ACCOUNT_ADMIN,     /* accounts, keys, tenants; no patients' content */
    WD_ACCOUNT_CLINICIAN, /* asks the models, reads and deletes own files */
    WD_ACCOUNT_REVIEWER,  /* a clinician who also releases what others drafted */
    WD_ACCOUNT_ANALYST,   /* evaluates: models and metrics */
    WD_ACCOUNT_NURSE,     /* conversations and own files */
    WD_ACCOUNT_AUDITOR,   /* reads and verifies the audit, nothing else */
    WD_ACCOUNT_SERVICE,   /* another system of the hospital */
    WD_N_ACCOUNT_ROLE
} wd_account_role;

/* How far an allowed action reaches; each includes the one before. An action on no object needs OWN or more. */
typedef enum wd_reach {
    WD_REACH_NO,
    WD_REACH_OWN,    /* objects that the caller made */
    WD_REACH_TENANT, /* objects of the caller's tenant */
    WD_REACH_ALL
} wd_reach;

/* What a key may be narrowed to. A key's rights are its role's and its scopes': both must allow. */
typedef enum wd_scope {
    WD_SCOPE_MODELS = 1,  /* names of models, token counts */
    WD_SCOPE_INFER = 2,   /* chat, completions, responses, embeddings, rerank */
    WD_SCOPE_FILES = 4,   /* uploads */
    WD_SCOPE_METRICS = 8, /* /metrics */
    WD_SCOPE_ADMIN = 16,  /* accounts, keys, tenants */
    WD_SCOPE_AUDIT = 32,  /* the audit */
    WD_SCOPE_ALL = 63
} wd_scope;

typedef enum wd_recorded {
    WD_RECORD_NEVER, /* health and the like: no identity, no content */
    WD_RECORD_ONCE,  /* one record, written before the reply leaves */
    WD_RECORD_TWICE  /* one before the work begins and one before the reply ends */
} wd_recorded;

typedef struct wd_rule {
    const char *action; /* "chat.create": the name in the audit */
    const char *method; /* "POST"; NULL: the command line alone */
    const char *path;   /* "/v1/files/{id}": {id} stands for one segment, {rest} for all that follows */
    wd_scope scope;     /* 0: any key */
    bool open;          /* no credentials needed; role columns are not looked at */
    wd_recorded recorded;
    uint8_t reach[WD_N_ACCOUNT_ROLE]; /* wd_reach */
} wd_rule;

/* All rules; *n their number. */
const wd_rule *wd_policy_rules(size_t *n);

/* The rule of a route. path: as the client sent it (not percent-decoded), up to '?'. Fixed segments match byte for byte.
 *   WD_E_NOT_FOUND     no rule has this path
 *   WD_E_UNSUPPORTED   one has, with another method; *allow (may be NULL) names the methods: "GET, DELETE"
 */
WD_MUST_CHECK wd_status wd_policy_find(const char *method, const char *path, const wd_rule **out,
                                       char allow[64], wd_err *err);
/* The rule of an action by name, or NULL. */
const wd_rule *wd_policy_action(const char *action);

/* How far a role with these scopes reaches under the rule. */
wd_reach wd_policy_reach(const wd_rule *r, wd_account_role role, uint32_t scopes);

const char *wd_account_role_name(wd_account_role role); /* "clinician" */
WD_MUST_CHECK bool wd_account_role_parse(const char *s, wd_account_role *out);
/* "infer,files", or "all". */
void wd_scopes_write(uint32_t scopes, wd_buf *out);
WD_MUST_CHECK wd_status wd_scopes_parse(const char *s, uint32_t *out, wd_err *err);

/* The table as Markdown. */
void wd_policy_write(wd_buf *out);

#endif
