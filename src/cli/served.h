/* The models of `ward serve`: those of the command line, and those that are loaded while it runs. */
#ifndef WD_CLI_SERVED_H
#define WD_CLI_SERVED_H

#include "cli/runtime.h"
#include "serve/serve.h"

typedef struct wd_cli_served wd_cli_served;

typedef struct wd_cli_served_opts {
    const wd_model_args
        *args; /* of every model, but for model, and for lora and mmproj: those are the first one's */
    const wd_opt_list *model;   /* "PATH" or "NAME=PATH" */
    const wd_opt_list *adapter; /* of the first model: "NAME=DIR" */
    const wd_opt_list *role;    /* "ROLE=NAME" (serve/models.h), of models above */
    const char *served_name;    /* of the first model; NULL: as its path says */
    const char *dir;            /* where models are that may be loaded by name; NULL: none may */
    size_t memory_bytes;        /* for all of them together; 0: 90 % of what this process may have */
} wd_cli_served_opts;

/* Opens them. What the options point at must live until wd_cli_served_close. */
WD_MUST_CHECK wd_status wd_cli_served_open(wd_cli *cli, const wd_cli_served_opts *o, wd_cli_served **out,
                                           wd_err *err);
void wd_cli_served_close(wd_cli_served *s); /* accepts NULL; the server has stopped */

/* The models, and how more are loaded. */
void wd_cli_served_use(wd_cli_served *s, wd_serve_opts *so);
const char *wd_cli_served_name(const wd_cli_served *s); /* of the first */

#endif
