/* ward tenant */
#include <string.h>

#include "cli/cli.h"
#include "cli/trust.h"
#include "guard/admin.h"

typedef struct options {
    const char *data, *title;
    int64_t rate, weight;
    bool json;
} options;

static const wd_opt opts[] = {
    { "data", 0, WD_OPT_STR, offsetof(options, data), NULL, 0, 0, WD_TRUST_DATA_HELP },
    { "title", 0, WD_OPT_STR, offsetof(options, title), NULL, 0, 0, "what people call it" },
    { "rate", 0, WD_OPT_INT, offsetof(options, rate), "-1", -1, 1000000,
      "requests a minute of all its keys, 0: no limit, -1: as it is" },
    { "weight", 'w', WD_OPT_INT, offsetof(options, weight), "-1", -1, 1000,
      "share of the engine beside others, 1 to 1000 (100 is one), -1: as it is" },
    { "json", 0, WD_OPT_BOOL, offsetof(options, json), "false", 0, 0, "machine-readable output" },
};

static wd_status list(wd_guard *g, const wd_identity *me, const options *o, wd_err *err)
{
    static const char *const columns[] = { "id", "title", "active", "per_min", "weight", "created" };
    json_t *v;

    WD_TRY(wd_admin_tenant_list(g, me, &v, err));
    return wd_trust_print(v, o->json, columns, WD_COUNT(columns), err);
}

static wd_status change(wd_guard *g, const wd_identity *me, const options *o, const char *what,
                        const char *id, wd_err *err)
{
    wd_tenant_change c = { o->title, WD_KEEP, o->rate, o->weight };

    if (!strcmp(what, "enable") || !strcmp(what, "disable"))
        c.active = !strcmp(what, "enable");
    WD_TRY(!strcmp(what, "add") ? wd_admin_tenant_add(g, me, id, &c, err)
                                : wd_admin_tenant_change(g, me, id, &c, err));
    return o->json ? wd_cli_print_json(json_pack("{s:s, s:s}", "tenant", id, "done", what), err) : WD_OK;
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    static const char *const ways[] = { "add", "set", "enable", "disable" };
    options o = { 0 };
    wd_opt_list rest;
    wd_guard *g;
    wd_identity me;
    size_t way = 0;

    WD_TRY(wd_cli_options(cli, &wd_cmd_tenant, argc, argv, &o, &rest, err));
    const bool is_list = rest.n == 1 && !strcmp(rest.v[0], "list");
    while (rest.n == 2 && way < WD_COUNT(ways) && strcmp(rest.v[0], ways[way]) != 0)
        way++;
    if (!is_list && (rest.n != 2 || way == WD_COUNT(ways)))
        return WD_FAIL(err, WD_E_USAGE,
                       "ward tenant takes list, or one of add, set, enable, disable and a name");
    WD_TRY(wd_trust_open(cli, o.data, !is_list && way == 0, &g, err));
    wd_trust_me(WD_ACCOUNT_ADMIN, &me);
    const wd_status st = is_list ? list(g, &me, &o, err) : change(g, &me, &o, rest.v[0], rest.v[1], err);
    wd_guard_close(g);
    return st;
}

const wd_command wd_cmd_tenant = {
    .name = "tenant",
    .brief = "tenants of the server: whose accounts, files and caches are apart",
    .operands = "list | add NAME | set NAME | enable NAME | disable NAME",
    .about = "Keeps the tenants of ward serve (docs/trust.md): departments or hospitals that share the "
             "machine and see nothing of\n"
             "each other. There is one, main, from the beginning. A tenant that is shut keeps everything, "
             "and none of its keys\n"
             "counts.",
    .examples = "  ward tenant add north --title \"North clinic\" --rate 600 --weight 50\n"
                "  ward tenant set north --weight 200\n"
                "  ward tenant list\n",
    .options = { "tenant", opts, WD_COUNT(opts) },
    .run = run,
};
