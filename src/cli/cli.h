/* The command line: what a subcommand is, and what the program gives it.
 *
 * One file per subcommand exports one wd_command; main.c lists them. A command parses its arguments with its own
 * option table, does its work, writes its result to stdout and returns a status: the program turns that into the
 * exit code and, once, into a sentence on stderr (or an "error" object on stdout with --json).
 */
#ifndef WD_CLI_CLI_H
#define WD_CLI_CLI_H

#include <stdatomic.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/opt.h"

typedef struct wd_cli {
    wd_arena *arena;         /* for this run of the program */
    const char *config_path; /* --config, NULL: the usual places */
    bool json;               /* --json was given anywhere: errors are objects too */
    bool printed;            /* the command's own JSON holds the error: print no second object */
} wd_cli;

typedef struct wd_command {
    const char *name;     /* "chat" */
    const char *brief;    /* one line, lower case */
    const char *operands; /* "STUDY", "[TEXT...]" or "" */
    const char *about;    /* one paragraph or more for the help page */
    const char *examples; /* lines "  ward chat ..." */
    wd_opt_table options; /* must hold WD_CLI_JSON_OPT-like "json" for machine output */
    wd_status (*run)(wd_cli *cli, int argc, const char *const *argv, wd_err *err);
} wd_command;

extern const wd_command wd_cmd_audit, wd_cmd_key, wd_cmd_models, wd_cmd_tenant, wd_cmd_user;
extern const wd_command wd_cmd_assist, wd_cmd_chat, wd_cmd_report, wd_cmd_find, wd_cmd_lesson, wd_cmd_rehab,
    wd_cmd_bench, wd_cmd_embed, wd_cmd_rerank, wd_cmd_demo, wd_cmd_eval, wd_cmd_inspect, wd_cmd_phantom,
    wd_cmd_quantize, wd_cmd_serve, wd_cmd_tokenize, wd_cmd_version;

/* Parses argv with the command's table into *target. */
WD_MUST_CHECK wd_status wd_cli_options(wd_cli *cli, const wd_command *cmd, int argc, const char *const *argv,
                                       void *target, wd_opt_list *rest, wd_err *err);

/* True once the user pressed Ctrl-C (or SIGTERM came): long work looks at it. A second one ends at once. */
extern atomic_bool wd_cli_cancelled;

/* Writes the value as indented JSON and a newline to stdout, and gives the reference up. v NULL: no memory.
 * WD_E_IO when stdout cannot take it (full disk, closed pipe). */
WD_MUST_CHECK wd_status wd_cli_print_json(json_t *v, wd_err *err);
/* Bytes to stdout, flushed. */
WD_MUST_CHECK wd_status wd_cli_print(wd_span text, wd_err *err);

/* A line of progress on stderr with rate and remaining time, when stderr is a terminal; otherwise silent.
 *   prefill  62 %  1240/2000 tokens  83/s  9 s left */
typedef struct wd_progress {
    bool on, shown;
    const char *what, *unit;
    double start_s, last_s;
} wd_progress;
void wd_progress_begin(wd_progress *p, const char *what, const char *unit);
void wd_progress_at(wd_progress *p, uint64_t done, uint64_t total); /* total 0: unknown */
void wd_progress_end(wd_progress *p);                               /* clears the line */
/* wd_progress_at as a callback: self is the wd_progress. */
void wd_cli_progress(void *self, uint64_t done, uint64_t total);

#endif
