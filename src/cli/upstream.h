/* -m URL[,URL...]: the model is another server's. */
#ifndef WD_CLI_UPSTREAM_H
#define WD_CLI_UPSTREAM_H

#include "cli/runtime.h"

/* Whether -m names a server and no file. */
bool wd_cli_is_upstream(const char *model);
/* The engine over the servers that m->model names. WD_E_USAGE for an option that is only for an engine in this process. */
WD_MUST_CHECK wd_status wd_cli_open_upstream(wd_cli *cli, const wd_model_args *m, wd_engine **out,
                                             wd_err *err);

#endif
