/* ward: one program, one file per subcommand. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "base/log.h"
#include "cli/cli.h"
#include "media/sandbox.h"

#define ARENA_MAX ((size_t)1 << 30)

static const wd_command *const commands[] = {
    &wd_cmd_chat,     &wd_cmd_report,   &wd_cmd_find,    &wd_cmd_rehab,  &wd_cmd_lesson,  &wd_cmd_assist,
    &wd_cmd_serve,    &wd_cmd_embed,    &wd_cmd_rerank,  &wd_cmd_demo,   &wd_cmd_eval,    &wd_cmd_phantom,
    &wd_cmd_quantize, &wd_cmd_tokenize, &wd_cmd_inspect, &wd_cmd_bench,  &wd_cmd_version, &wd_cmd_user,
    &wd_cmd_key,      &wd_cmd_tenant,   &wd_cmd_audit,   &wd_cmd_models,
};

/* First signal: ask; second: end now. Only async-signal-safe calls. */
static void on_signal(int sig)
{
    if (atomic_exchange(&wd_cli_cancelled, true))
        _exit(128 + sig);
}

static const wd_command *find_command(const char *name)
{
    for (size_t i = 0; i < WD_COUNT(commands); i++)
        if (!strcmp(commands[i]->name, name))
            return commands[i];
    return NULL;
}

static void overview(wd_buf *b)
{
    wd_buf_str(b, "ward - private clinical AI: Qwen3 and Qwen3-VL inside the hospital\n\n"
                  "usage: ward COMMAND [options] [inputs]\n\n");
    for (size_t i = 0; i < WD_COUNT(commands); i++)
        wd_buf_printf(b, "  %-10s %s\n", commands[i]->name, commands[i]->brief);
    wd_buf_str(b, "\nward help COMMAND shows options and examples; every command takes --json.\n"
                  "Options may also stand in ward.ini (--config FILE), under [ward] or [COMMAND].\n"
                  "Exit code: 0 done, 1 failed, 2 usage, 3 bad input.\n");
}

static void help_page(const wd_command *c, wd_buf *b)
{
    wd_buf_printf(b, "ward %s - %s\n\nusage: ward %s [options] %s\n\n%s\n\noptions\n", c->name, c->brief,
                  c->name, c->operands, c->about);
    wd_opt_help(&c->options, b);
    wd_buf_printf(b,
                  "      --config FILE              read options from this INI file\n"
                  "      --verbose                  log what happens to stderr\n\nexamples\n%s",
                  c->examples);
}

static wd_status help(const char *name, wd_err *err)
{
    wd_buf b = { 0 };
    wd_status st = WD_OK;
    const wd_command *c = name ? find_command(name) : NULL;
    if (name && !c)
        st = WD_FAIL(err, WD_E_USAGE, "ward has no command \"%s\"; ward help lists them", name);
    else if (c)
        help_page(c, &b);
    else
        overview(&b);
    if (!st)
        st = wd_cli_print(wd_buf_view(&b), err);
    wd_buf_free(&b);
    return st;
}

/* Takes the program's own options out of argv (up to "--"): --config, --verbose; notes --json and --help. */
static wd_status own_options(wd_cli *cli, int *argc, const char **argv, bool *want_help, wd_err *err)
{
    int n = 0;
    for (int i = 0; i < *argc; i++) {
        const char *a = argv[i];
        if (!strcmp(a, "--")) {
            while (i < *argc)
                argv[n++] = argv[i++];
        } else if (!strcmp(a, "--config")) {
            if (++i == *argc)
                return WD_FAIL(err, WD_E_USAGE, "--config needs a value");
            cli->config_path = argv[i];
        } else if (!strncmp(a, "--config=", 9)) {
            cli->config_path = a + 9;
        } else if (!strcmp(a, "--verbose")) {
            wd_log_set_level(WD_LOG_INFO);
        } else if (!strcmp(a, "--help") || !strcmp(a, "-h")) {
            *want_help = true;
        } else {
            cli->json |= !strcmp(a, "--json");
            argv[n++] = a;
        }
    }
    *argc = n;
    return WD_OK;
}

static wd_status run(wd_cli *cli, int argc, const char **argv, wd_err *err)
{
    bool want_help = false;
    WD_TRY(own_options(cli, &argc, argv, &want_help, err));
    const char *name = argc ? argv[0] : NULL;
    if (name && !strcmp(name, "--version"))
        name = "version";
    if (!name || !strcmp(name, "help"))
        return help(argc > 1 ? argv[1] : NULL, err);
    if (want_help)
        return help(name, err);
    const wd_command *c = find_command(name);
    if (!c)
        return WD_FAIL(err, WD_E_USAGE, "ward has no command \"%s\"; ward help lists them", name);
    return c->run(cli, argc - 1, argv + 1, err);
}

static void report(const wd_cli *cli, wd_status st, const wd_err *err)
{
    fprintf(stderr, "ward: %s\n", err->text);
    if (!cli->json || cli->printed)
        return;
    wd_err ignored;
    const wd_status printed = wd_cli_print_json(
        json_pack("{s:{s:s, s:s}}", "error", "code", wd_status_name(st), "message", err->text), &ignored);
    (void)printed; /* the sentence is on stderr already */
}

int main(int argc, char **argv)
{
    wd_err err = { 0 };
    wd_json_use_our_memory();
    if (sodium_init() < 0) {
        fprintf(stderr, "ward: libsodium cannot start\n");
        return 1;
    }
    if (wd_sandbox_start(&err)) { /* before any thread, and before anything secret is in memory */
        fprintf(stderr, "ward: %s\n", err.text);
        return 1;
    }
    const struct sigaction act = { .sa_handler = on_signal };
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on files is an error of the write that meets it, as a full disk is */

    wd_cli cli = { .arena = wd_arena_create(ARENA_MAX, true) };
    if (!cli.arena) {
        fprintf(stderr, "ward: no memory\n");
        return 1;
    }
    const char **args = WD_NEW_N(cli.arena, const char *, (size_t)argc + 1);
    for (int i = 1; args && i < argc; i++)
        args[i - 1] = argv[i];
    wd_status st = args ? run(&cli, WD_MAX(argc - 1, 0), args, &err) : WD_FAIL(&err, WD_E_NOMEM, "no memory");
    if (st)
        report(&cli, st, &err);
    wd_arena_destroy(cli.arena);
    return wd_status_exit(st);
}
