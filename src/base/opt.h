/* One option table is flag, config key, default, limits, help and documentation at once.
 *
 *   static const wd_opt opts[] = {
 *       { "model", 'm', WD_OPT_STR, AT(model), NULL, 0, 0, "model directory" },
 *   };
 *
 * `--name value`, `--name=value`, `-x value`; booleans are `--name` and `--no-name`. Precedence: command
 * line, then the config file's [section] (the command's name, then [ward]), then the default.
 */
#ifndef WD_BASE_OPT_H
#define WD_BASE_OPT_H

#include "base/arena.h"
#include "base/buf.h"

typedef enum wd_opt_type {
    WD_OPT_STR,  /* const char *            */
    WD_OPT_INT,  /* int64_t, min..max       */
    WD_OPT_NUM,  /* double, min..max        */
    WD_OPT_BOOL, /* bool                    */
    WD_OPT_TRI,  /* wd_opt_tri              */
    WD_OPT_LIST  /* wd_opt_list: repeatable */
} wd_opt_type;

/* A boolean that may be left open: --x, --no-x, or neither. */
typedef enum wd_opt_tri { WD_OPT_UNSET, WD_OPT_NO, WD_OPT_YES } wd_opt_tri;

typedef struct wd_opt_list {
    const char **v;
    size_t n;
} wd_opt_list;

typedef struct wd_opt {
    const char *name; /* long flag and config key */
    char flag;        /* short flag or 0 */
    wd_opt_type type;
    size_t offset;   /* of the field in the options struct */
    const char *def; /* as text; NULL: zero / empty */
    double min, max; /* for INT and NUM; both 0: no limits */
    const char *help;
} wd_opt;

typedef struct wd_opt_table {
    const char *command; /* "chat" */
    const wd_opt *opts;
    size_t n;
} wd_opt_table;

/* Fills *target (the struct that the offsets speak of). Operands (arguments that are no options, and all
 * after
 * "--") go to *rest in order. config_path NULL: $WARD_CONFIG, else ./ward.ini, else ~/.config/ward/ward.ini,
 * each only if it exists; a given one must exist. Strings live in the arena. WD_E_USAGE names the option at
 * fault and suggests a near one. argv holds no program name. */
WD_MUST_CHECK wd_status wd_opt_parse(const wd_opt_table *t, int argc, const char *const *argv,
                                     const char *config_path, wd_arena *a, void *target, wd_opt_list *rest,
                                     wd_err *err);

/* The options part of a help page. */
void wd_opt_help(const wd_opt_table *t, wd_buf *out);

/* getenv, at its one place; NULL when unset or empty. */
const char *wd_env(const char *name);

#endif
