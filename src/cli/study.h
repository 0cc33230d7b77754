/* Options of the commands that read a study, and its opening. */
#ifndef WD_CLI_STUDY_H
#define WD_CLI_STUDY_H

#include "care/slices.h"
#include "cli/cli.h"

typedef struct wd_study_args {
    const char *series, *rule, *windows;
    int64_t n_slice;
} wd_study_args;

#define WD_STUDY_OPT_(T, m, name, type, field, def, min, max, help)                         \
    {                                                                                       \
        name, 0, type, offsetof(T, m) + offsetof(wd_study_args, field), def, min, max, help \
    }
/* clang-format off */
#define WD_STUDY_OPTS(T, m, n_default)                                                                                 \
    WD_STUDY_OPT_(T, m, "series", WD_OPT_STR, series, "auto", 0, 0, "series number or UID; auto: most slices"),        \
    WD_STUDY_OPT_(T, m, "rule", WD_OPT_STR, rule, "even", 0, 0, "which slices: even, all, or a range such as 10-20"),  \
    WD_STUDY_OPT_(T, m, "slices", WD_OPT_INT, n_slice, n_default, 0, 100000, "most slices; 0: no limit"),              \
    WD_STUDY_OPT_(T, m, "window", WD_OPT_STR, windows, "auto", 0, 0,                                                   \
                  "windows, e.g. lung,mediastinum or -600/1500; auto: by body part; file: the file's")
/* clang-format on */

/* Opens with progress; closed with the program's arena. What was skipped is said on stderr. */
WD_MUST_CHECK wd_status wd_cli_study(wd_cli *cli, const char *const *paths, size_t n, wd_study **out,
                                     wd_err *err);
wd_slices_opts wd_cli_slices(const wd_study_args *m);

#endif
