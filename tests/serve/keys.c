#include "serve/keys.h"

#include <stdio.h>

#include "guard/admin.h"
#include "guard/audit.h"
#include "support/test.h"

static void make_key(test_keys *k, const char *tenant, wd_account_role role, const char *label, char out[80])
{
    wd_identity by;
    char token[WD_TOKEN_MAX], id[WD_NAME_MAX + 1];
    wd_identity_local("test", WD_ACCOUNT_ADMIN, &by);
    const wd_key_new key = { .label = label, .tenant = tenant, .role = role, .scopes = WD_SCOPE_ALL };
    assert_ok(wd_admin_key_add(k->guard, &by, &key, token, id, &err));
    snprintf(out, 80, "Bearer %s", token);
}

void test_keys_make(test_keys *k)
{
    wd_guard_opts o = WD_GUARD_OPTS_DEFAULT;
    wd_identity by;
    k->dir = test_make_dir();
    o.dir = k->dir;
    o.serve = true;
    assert_ok(wd_guard_open(&o, &k->guard, &err));
    wd_identity_local("test", WD_ACCOUNT_ADMIN, &by);
    assert_ok(wd_admin_tenant_add(k->guard, &by, "north", &WD_TENANT_CHANGE_NONE, &err));
    make_key(k, "main", WD_ACCOUNT_CLINICIAN, "clinic", k->clinician);
    make_key(k, "main", WD_ACCOUNT_CLINICIAN, "other", k->other);
    make_key(k, "main", WD_ACCOUNT_AUDITOR, "audit", k->auditor);
    make_key(k, "main", WD_ACCOUNT_SERVICE, "watch", k->service);
    make_key(k, "north", WD_ACCOUNT_CLINICIAN, "north", k->north);
}

typedef struct tally {
    const char *action, *outcome;
    unsigned n;
} tally;

static wd_status count(void *ctx, wd_span line, wd_err *err)
{
    tally *t = ctx;
    char want[2][96];
    (void)err;
    snprintf(want[0], sizeof want[0], "\"action\":\"%s\"", t->action);
    snprintf(want[1], sizeof want[1], "\"outcome\":\"%s\"", t->outcome);
    t->n += wd_span_find(line, wd_span_str(want[0]), 0) != SIZE_MAX &&
            wd_span_find(line, wd_span_str(want[1]), 0) != SIZE_MAX;
    return WD_OK;
}

unsigned test_keys_end(test_keys *k, const char *action, const char *outcome)
{
    wd_identity by;
    tally t = { action, outcome, 0 };
    wd_identity_local("test", WD_ACCOUNT_AUDITOR, &by);
    assert_ok(wd_audit_export(k->guard, &by, &(wd_audit_filter){ 0 }, WD_AUDIT_JSON_LINES, count, &t, &err));
    wd_guard_close(k->guard);
    test_rm_dir(k->dir);
    return t.n;
}
