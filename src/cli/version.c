/* ward version */
#include "cli/cli.h"

typedef struct options {
    bool json;
} options;

static const wd_opt opts[] = {
    { "json", 0, WD_OPT_BOOL, offsetof(options, json), "false", 0, 0, "machine-readable output" },
};

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    options o = { 0 };
    wd_opt_list rest;
    WD_TRY(wd_cli_options(cli, &wd_cmd_version, argc, argv, &o, &rest, err));
    if (rest.n)
        return WD_FAIL(err, WD_E_USAGE, "ward version takes no operand, got \"%s\"", rest.v[0]);
    if (o.json)
        return wd_cli_print_json(json_pack("{s:s, s:s}", "name", "ward", "version", WARD_VERSION), err);
    return wd_cli_print(WD_SPAN_LIT("ward " WARD_VERSION "\n"), err);
}

const wd_command wd_cmd_version = {
    .name = "version",
    .brief = "print the version",
    .operands = "",
    .about = "Prints the program's version.",
    .examples = "  ward version\n  ward version --json\n",
    .options = { "version", opts, WD_COUNT(opts) },
    .run = run,
};
