/* ward key */
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/trust.h"
#include "guard/admin.h"

typedef struct options {
    const char *data, *user, *role, *tenant, *scope, *expires;
    int64_t rate;
    bool json;
} options;

static const wd_opt opts[] = {
    { "data", 0, WD_OPT_STR, offsetof(options, data), NULL, 0, 0, WD_TRUST_DATA_HELP },
    { "user", 'u', WD_OPT_STR, offsetof(options, user), NULL, 0, 0,
      "account that the key belongs to: its role and tenant" },
    { "role", 'r', WD_OPT_STR, offsetof(options, role), NULL, 0, 0,
      "without --user: the key's own role, such as service" },
    { "tenant", 't', WD_OPT_STR, offsetof(options, tenant), NULL, 0, 0,
      "without --user: the key's tenant; else main" },
    { "scope", 's', WD_OPT_STR, offsetof(options, scope), "all", 0, 0,
      "narrows it: some of models,infer,files,metrics,admin,audit" },
    { "expires", 'e', WD_OPT_STR, offsetof(options, expires), "never", 0, 0, "90d, 12h, 30m, 45s or never" },
    { "rate", 0, WD_OPT_INT, offsetof(options, rate), "0", 0, 1000000,
      "requests a minute, 0: no limit of its own" },
    { "json", 0, WD_OPT_BOOL, offsetof(options, json), "false", 0, 0, "machine-readable output" },
};

static wd_status print_key(const options *o, const char *id, const char *token, wd_err *err)
{
    wd_buf b = { 0 };

    if (o->json)
        return wd_cli_print_json(json_pack("{s:s, s:s}", "id", id, "key", token), err);
    if (isatty(STDOUT_FILENO) == 1)
        fprintf(stderr, "%s, shown this once:\n", id);
    wd_buf_printf(&b, "%s\n", token);
    wd_status st = wd_buf_check(&b, "key", err);
    if (!st)
        st = wd_cli_print(wd_buf_view(&b), err);
    wd_buf_wipe(&b);
    wd_buf_free(&b);
    return st;
}

static wd_status add(wd_guard *g, const wd_identity *me, const options *o, const char *label, wd_err *err)
{
    wd_key_new k = { .label = label,
                     .user = o->user,
                     .tenant = o->tenant ? o->tenant : "main",
                     .role = WD_N_ACCOUNT_ROLE,
                     .per_min = (uint32_t)o->rate };
    char token[WD_TOKEN_MAX], id[WD_NAME_MAX + 1];

    if (!o->user == !o->role || (o->user && o->tenant))
        return WD_FAIL(err, WD_E_USAGE,
                       "a key belongs to an account (--user) or has a role (--role, --tenant) of its own");
    if (o->role && !wd_account_role_parse(o->role, &k.role))
        return WD_FAIL(
            err, WD_E_USAGE,
            "--role: \"%s\", expected admin, clinician, reviewer, analyst, nurse, auditor or service",
            o->role);
    WD_TRY(wd_scopes_parse(o->scope, &k.scopes, err));
    WD_TRY(wd_trust_duration(o->expires, &k.expires_s, err));
    WD_TRY(wd_admin_key_add(g, me, &k, token, id, err));
    wd_status st = print_key(o, id, token, err);
    wd_wipe(token, sizeof token);
    if (st) { /* nobody has seen it, so nobody shall have it */
        wd_err ignored;
        const wd_status gone = wd_admin_key_revoke(g, me, id, &ignored);
        (void)gone; /* the failure to print is what is said */
    }
    return st;
}

static wd_status list(wd_guard *g, const wd_identity *me, const options *o, wd_err *err)
{
    static const char *const columns[] = { "id",     "label", "subject", "role",   "tenant",
                                           "scopes", "state", "expires", "created" };
    json_t *v;

    WD_TRY(wd_admin_key_list(g, me, &v, err));
    return wd_trust_print(v, o->json, columns, WD_COUNT(columns), err);
}

static wd_status revoke_key(wd_guard *g, const wd_identity *me, const options *o, const char *id, wd_err *err)
{
    WD_TRY(wd_admin_key_revoke(g, me, id, err));
    return o->json ? wd_cli_print_json(json_pack("{s:s, s:s}", "key", id, "done", "revoke"), err) : WD_OK;
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    options o = { 0 };
    wd_opt_list rest;
    wd_guard *g;
    wd_identity me;

    WD_TRY(wd_cli_options(cli, &wd_cmd_key, argc, argv, &o, &rest, err));
    const char *what = rest.n ? rest.v[0] : "";
    const bool is_list = !strcmp(what, "list"), is_add = !strcmp(what, "add");
    if (rest.n != (is_list ? 1u : 2u) || (!is_list && !is_add && strcmp(what, "revoke") != 0))
        return WD_FAIL(err, WD_E_USAGE, "ward key takes list, add LABEL or revoke ID");
    WD_TRY(wd_trust_open(cli, o.data, is_add, &g, err));
    wd_trust_me(WD_ACCOUNT_ADMIN, &me);
    const wd_status st = is_list  ? list(g, &me, &o, err)
                         : is_add ? add(g, &me, &o, rest.v[1], err)
                                  : revoke_key(g, &me, &o, rest.v[1], err);
    wd_guard_close(g);
    return st;
}

const wd_command wd_cmd_key = {
    .name = "key",
    .brief = "keys of the server's API: add, list, revoke",
    .operands = "list | add LABEL | revoke ID",
    .about = "Keeps the keys that clients of ward serve send as \"Authorization: Bearer KEY\" "
             "(docs/trust.md). A key is printed\n"
             "once and stored as a digest. One that belongs to an account is what the account is at each "
             "request; one with a\n"
             "role of its own stands for another system. Revoking counts from the next request on, also in a "
             "server that runs.",
    .examples = "  ward key add pacs --role service --scope infer,files --expires 365d\n"
                "  ward key add laptop --user alice\n"
                "  ward key revoke k-3f9a01bc22de\n",
    .options = { "key", opts, WD_COUNT(opts) },
    .run = run,
};
