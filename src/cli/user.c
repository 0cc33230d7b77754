/* ward user */
#include <string.h>

#include "cli/cli.h"
#include "cli/trust.h"
#include "guard/admin.h"

typedef struct options {
    const char *data, *role, *tenant;
    bool password, json;
} options;

static const wd_opt opts[] = {
    { "data", 0, WD_OPT_STR, offsetof(options, data), NULL, 0, 0, WD_TRUST_DATA_HELP },
    { "role", 'r', WD_OPT_STR, offsetof(options, role), NULL, 0, 0,
      "admin, clinician, reviewer, analyst, nurse, auditor or service" },
    { "tenant", 't', WD_OPT_STR, offsetof(options, tenant), "main", 0, 0, "tenant of a new account" },
    { "password", 'p', WD_OPT_BOOL, offsetof(options, password), "false", 0, 0,
      "with add: ask for a password; without it the account logs in by keys only" },
    { "json", 0, WD_OPT_BOOL, offsetof(options, json), "false", 0, 0, "machine-readable output" },
};

static wd_status role_of(const char *text, wd_account_role *out, wd_err *err)
{
    if (!text)
        return WD_FAIL(err, WD_E_USAGE, "a role is needed: --role ROLE");
    if (!wd_account_role_parse(text, out))
        return WD_FAIL(
            err, WD_E_USAGE,
            "--role: \"%s\", expected admin, clinician, reviewer, analyst, nurse, auditor or service", text);
    return WD_OK;
}

static wd_status add(wd_guard *g, const wd_identity *me, const options *o, const char *name, wd_err *err)
{
    wd_account_role role;
    wd_buf password = { 0 };
    wd_status st = WD_OK;

    WD_TRY(role_of(o->role, &role, err));
    if (o->password)
        st = wd_trust_password(&password, err);
    if (!st && o->password && password.n == 0)
        st = WD_FAIL(err, WD_E_INVALID, "the password is empty");
    if (!st)
        st = wd_admin_user_add(g, me, o->tenant, name, role, wd_buf_view(&password), err);
    wd_buf_wipe(&password);
    wd_buf_free(&password);
    return st;
}

static wd_status set_password(wd_guard *g, const wd_identity *me, const char *name, wd_err *err)
{
    wd_buf password = { 0 };
    wd_user_change c = { .set_password = true, .active = WD_KEEP };

    wd_status st = wd_trust_password(&password, err);
    c.password = wd_buf_view(&password);
    if (!st && password.n == 0)
        st = WD_FAIL(err, WD_E_INVALID, "the password is empty");
    if (!st)
        st = wd_admin_user_change(g, me, name, &c, err);
    wd_buf_wipe(&password);
    wd_buf_free(&password);
    return st;
}

static wd_status change(wd_guard *g, const wd_identity *me, const options *o, const char *what,
                        const char *name, wd_err *err)
{
    wd_user_change c = { .active = WD_KEEP };

    if (!strcmp(what, "add"))
        return add(g, me, o, name, err);
    if (!strcmp(what, "password"))
        return set_password(g, me, name, err);
    if (!strcmp(what, "role")) {
        c.set_role = true;
        WD_TRY(role_of(o->role, &c.role, err));
    } else if (!strcmp(what, "unlock")) {
        c.unlock = true;
    } else {
        c.active = !strcmp(what, "enable");
    }
    return wd_admin_user_change(g, me, name, &c, err);
}

static wd_status list(wd_guard *g, const wd_identity *me, const options *o, wd_err *err)
{
    static const char *const columns[] = { "name",     "role",         "tenant", "active",
                                           "password", "locked_until", "created" };
    json_t *v;

    WD_TRY(wd_admin_user_list(g, me, &v, err));
    return wd_trust_print(v, o->json, columns, WD_COUNT(columns), err);
}

static wd_status check(const wd_opt_list *rest, wd_err *err)
{
    static const char *const ways[] = { "add", "password", "role", "unlock", "enable", "disable" };

    if (rest->n == 1 && !strcmp(rest->v[0], "list"))
        return WD_OK;
    for (size_t i = 0; i < WD_COUNT(ways) && rest->n == 2; i++)
        if (!strcmp(rest->v[0], ways[i]))
            return WD_OK;
    return WD_FAIL(err, WD_E_USAGE,
                   "ward user takes list, or one of add, password, role, unlock, enable, disable and a name");
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    options o = { 0 };
    wd_opt_list rest;
    wd_guard *g;
    wd_identity me;

    WD_TRY(wd_cli_options(cli, &wd_cmd_user, argc, argv, &o, &rest, err));
    WD_TRY(check(&rest, err));
    WD_TRY(wd_trust_open(cli, o.data, !strcmp(rest.v[0], "add"), &g, err));
    wd_trust_me(WD_ACCOUNT_ADMIN, &me);
    wd_status st = rest.n == 1 ? list(g, &me, &o, err) : change(g, &me, &o, rest.v[0], rest.v[1], err);
    if (!st && rest.n == 2 && o.json)
        st = wd_cli_print_json(json_pack("{s:s, s:s}", "user", rest.v[1], "done", rest.v[0]), err);
    wd_guard_close(g);
    return st;
}

const wd_command wd_cmd_user = {
    .name = "user",
    .brief = "accounts of the server: add, roles, passwords, shut",
    .operands = "list | add NAME | password NAME | role NAME | unlock NAME | enable NAME | disable NAME",
    .about = "Keeps the accounts of ward serve (docs/trust.md). A password is asked for on the terminal, or "
             "read as one line\n"
             "of standard input. A new role, a new password or shutting an account ends its log-ins at once, "
             "also in a server\n"
             "that runs. Each change is recorded in the audit as done by local:YOU.",
    .examples = "  ward user add alice --role clinician --password\n"
                "  ward user role alice --role reviewer\n"
                "  ward user disable alice\n"
                "  ward user list --json\n",
    .options = { "user", opts, WD_COUNT(opts) },
    .run = run,
};
