/* Where Ward's own data files are: prompts, the bundled demo model. */
#ifndef WD_CLI_DATA_H
#define WD_CLI_DATA_H

#include "cli/cli.h"

/* The file or directory `name` ("prompts/report.en.txt") under the first of these that has it: $WARD_DATA, share/ward
 * beside the program's bin/, the source tree it was built from. WD_E_NOT_FOUND names where it looked. */
WD_MUST_CHECK wd_status wd_data_find(wd_cli *cli, const char *name, const char **out, wd_err *err);

#endif
