/* What `ward user`, `key`, `tenant`, `audit` and `serve` share: the data directory, and who sits at the machine. */
#ifndef WD_CLI_TRUST_H
#define WD_CLI_TRUST_H

#include "cli/cli.h"
#include "guard/guard.h"

/* Help of the option "data", the same in every command. */
#define WD_TRUST_DATA_HELP \
    "directory of accounts, keys and audit; else /var/lib/ward where that is, else ~/.local/share/ward"

/* The data directory: as given, or the usual one. It need not exist. */
WD_MUST_CHECK wd_status wd_trust_dir(wd_cli *cli, const char *given, const char **out, wd_err *err);
/* Opens it beside a server that may be running. make: a directory that is not there is made. */
WD_MUST_CHECK wd_status wd_trust_open(wd_cli *cli, const char *given, bool make, wd_guard **out, wd_err *err);
/* "local:NAME" of the user who runs the program. */
void wd_trust_me(wd_account_role role, wd_identity *out);

/* One line: from the terminal, twice and unseen, or else from standard input. In *out, which the caller wipes. */
WD_MUST_CHECK wd_status wd_trust_password(wd_buf *out, wd_err *err);

/* "90d", "12h", "30m", "45s", "0" or "never" as seconds. */
WD_MUST_CHECK wd_status wd_trust_duration(const char *text, int64_t *out, wd_err *err);

/* The objects as a table with these members as columns, or as JSON. Takes the list over. */
WD_MUST_CHECK wd_status wd_trust_print(json_t *list, bool json, const char *const *column, size_t n,
                                       wd_err *err);

#endif
