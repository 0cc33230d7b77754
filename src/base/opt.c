/* Options: one table read from the command line and from an INI file. */
#include "base/opt.h"

#include <errno.h>
#include <ini.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"

#define CONFIG_BYTES_MAX (1u << 20)

/* Where a value came from: later sources win, and only the command line may repeat a list. */
typedef enum source { FROM_DEFAULT, FROM_WARD_SECTION, FROM_COMMAND_SECTION, FROM_LINE } source;

typedef struct parse {
    const wd_opt_table *t;
    wd_arena *arena;
    void *target;
    source *from; /* [t->n] */
    wd_err *err;
    /* while reading the config file */
    const char *config_path;
    wd_status config_status;
} parse;

const char *wd_env(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

static wd_status bad_value(const parse *p, const wd_opt *o, const char *text, const char *want)
{
    return WD_FAIL(p->err, WD_E_USAGE, "--%s: \"%s\", expected %s", o->name, text, want);
}

static wd_status set_int(parse *p, const wd_opt *o, const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    const long long v = strtoll(text, &end, 10);
    const bool limited = o->min != 0 || o->max != 0;
    if (end == text || *end || errno || (limited && ((double)v < o->min || (double)v > o->max))) {
        char want[96];
        if (limited)
            snprintf(want, sizeof want, "an integer from %.0f to %.0f", o->min, o->max);
        else
            snprintf(want, sizeof want, "an integer");
        return bad_value(p, o, text, want);
    }
    *out = v;
    return WD_OK;
}

static wd_status set_num(parse *p, const wd_opt *o, const char *text, double *out)
{
    char *end;
    const double v = strtod(text, &end);
    const bool limited = o->min != 0 || o->max != 0;
    if (end == text || *end || !isfinite(v) || (limited && (v < o->min || v > o->max))) {
        char want[96];
        if (limited)
            snprintf(want, sizeof want, "a number from %g to %g", o->min, o->max);
        else
            snprintf(want, sizeof want, "a number");
        return bad_value(p, o, text, want);
    }
    *out = v;
    return WD_OK;
}

static wd_status set_bool(parse *p, const wd_opt *o, const char *text, bool *out)
{
    static const char *const yes[] = { "true", "yes", "on", "1" }, *const no[] = { "false", "no", "off",
                                                                                   "0" };
    for (size_t i = 0; i < WD_COUNT(yes); i++) {
        if (!strcmp(text, yes[i]) || !strcmp(text, no[i])) {
            *out = !strcmp(text, yes[i]);
            return WD_OK;
        }
    }
    return bad_value(p, o, text, "true or false");
}

static wd_status set_tri(parse *p, const wd_opt *o, const char *text, wd_opt_tri *out)
{
    bool yes;
    WD_TRY(set_bool(p, o, text, &yes));
    *out = yes ? WD_OPT_YES : WD_OPT_NO;
    return WD_OK;
}

static bool is_switch(const wd_opt *o)
{
    return o->type == WD_OPT_BOOL || o->type == WD_OPT_TRI;
}

static wd_status no_memory(const parse *p)
{
    return WD_FAIL(p->err, WD_E_NOMEM, "options: no memory");
}

static wd_status add_to_list(parse *p, wd_opt_list *list, const char *text)
{
    const char **v = WD_NEW_N(p->arena, const char *, list->n + 1);
    if (!v)
        return no_memory(p);
    if (list->n)
        memcpy(v, list->v, list->n * sizeof *v);
    v[list->n] = text;
    *list = (wd_opt_list){ v, list->n + 1 };
    return WD_OK;
}

static wd_status set(parse *p, size_t i, const char *text, source from)
{
    const wd_opt *o = &p->t->opts[i];
    if (from < p->from[i])
        return WD_OK;
    const char *copy = wd_arena_strndup(p->arena, text, strlen(text));
    if (!copy)
        return no_memory(p);
    const bool first = p->from[i] != from;
    p->from[i] = from;
    void *field = (char *)p->target + o->offset;
    switch (o->type) {
    case WD_OPT_STR:
        *(const char **)field = copy;
        return WD_OK;
    case WD_OPT_INT:
        return set_int(p, o, copy, field);
    case WD_OPT_NUM:
        return set_num(p, o, copy, field);
    case WD_OPT_BOOL:
        return set_bool(p, o, copy, field);
    case WD_OPT_TRI:
        return set_tri(p, o, copy, field);
    case WD_OPT_LIST:
        if (first)
            *(wd_opt_list *)field = (wd_opt_list){ 0 };
        return add_to_list(p, field, copy);
    }
    return WD_FAIL(p->err, WD_E_INTERNAL, "option table: bad type of %s", o->name);
}

static size_t find_name(const wd_opt_table *t, const char *name, size_t n)
{
    for (size_t i = 0; i < t->n; i++)
        if (strlen(t->opts[i].name) == n && !memcmp(t->opts[i].name, name, n))
            return i;
    return SIZE_MAX;
}

/* Levenshtein distance, for words of up to 31 letters; more when longer. */
static unsigned distance(const char *a, size_t n, const char *b)
{
    unsigned row[32];
    const size_t m = strlen(b);
    if (n > 31 || m > 31)
        return 99;
    for (unsigned j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        unsigned diag = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            const unsigned up = row[j], cost = diag + (a[i - 1] != b[j - 1]);
            diag = up;
            row[j] = WD_MIN(cost, WD_MIN(up, row[j - 1]) + 1);
        }
    }
    return row[m];
}

static wd_status unknown(const parse *p, const char *name, size_t n)
{
    const char *near = NULL;
    unsigned best = 3;
    for (size_t i = 0; i < p->t->n; i++) {
        const unsigned d = distance(name, n, p->t->opts[i].name);
        if (d < best) {
            best = d;
            near = p->t->opts[i].name;
        }
    }
    if (near)
        return WD_FAIL(p->err, WD_E_USAGE, "ward %s has no option --%.*s; did you mean --%s?", p->t->command,
                       (int)n, name, near);
    return WD_FAIL(p->err, WD_E_USAGE, "ward %s has no option --%.*s; see ward help %s", p->t->command,
                   (int)n, name, p->t->command);
}

/* argv[*at] is "--name", "--name=value" or "--no-name". Moves *at over a value taken from the next argument.
 */
static wd_status long_option(parse *p, int argc, const char *const *argv, int *at)
{
    const char *arg = argv[*at] + 2, *eq = strchr(arg, '=');
    const size_t n = eq ? (size_t)(eq - arg) : strlen(arg);
    size_t i = find_name(p->t, arg, n);
    if (i == SIZE_MAX && n > 3 && !eq && !strncmp(arg, "no-", 3)) {
        i = find_name(p->t, arg + 3, n - 3);
        if (i != SIZE_MAX && is_switch(&p->t->opts[i]))
            return set(p, i, "false", FROM_LINE);
        i = SIZE_MAX;
    }
    if (i == SIZE_MAX)
        return unknown(p, arg, n);
    if (eq)
        return set(p, i, eq + 1, FROM_LINE);
    if (is_switch(&p->t->opts[i]))
        return set(p, i, "true", FROM_LINE);
    if (*at + 1 >= argc)
        return WD_FAIL(p->err, WD_E_USAGE, "--%s needs a value", p->t->opts[i].name);
    return set(p, i, argv[++*at], FROM_LINE);
}

/* argv[*at] is "-x", "-xVALUE", or several boolean letters. */
static wd_status short_options(parse *p, int argc, const char *const *argv, int *at)
{
    for (const char *c = argv[*at] + 1; *c; c++) {
        size_t i = 0;
        while (i < p->t->n && p->t->opts[i].flag != *c)
            i++;
        if (i == p->t->n)
            return WD_FAIL(p->err, WD_E_USAGE, "ward %s has no option -%c; see ward help %s", p->t->command,
                           *c, p->t->command);
        if (is_switch(&p->t->opts[i])) {
            WD_TRY(set(p, i, "true", FROM_LINE));
            continue;
        }
        if (c[1])
            return set(p, i, c + 1, FROM_LINE);
        if (*at + 1 >= argc)
            return WD_FAIL(p->err, WD_E_USAGE, "-%c needs a value", *c);
        return set(p, i, argv[++*at], FROM_LINE);
    }
    return WD_OK;
}

static wd_status read_line(parse *p, int argc, const char *const *argv, wd_opt_list *rest)
{
    for (int at = 0; at < argc; at++) {
        const char *arg = argv[at];
        if (!strcmp(arg, "--")) {
            while (++at < argc)
                WD_TRY(add_to_list(p, rest, argv[at]));
        } else if (!strncmp(arg, "--", 2)) {
            WD_TRY(long_option(p, argc, argv, &at));
        } else if (arg[0] == '-' && arg[1]) {
            WD_TRY(short_options(p, argc, argv, &at));
        } else {
            WD_TRY(add_to_list(p, rest, arg));
        }
    }
    return WD_OK;
}

/* inih's handler: 1 to go on, 0 to stop. */
static int config_value(void *arg, const char *section, const char *name, const char *value)
{
    parse *p = arg;
    if (p->config_status)
        return 0;
    const bool own = !strcmp(section, p->t->command);
    if (!own && strcmp(section, "ward") != 0)
        return 1;
    const size_t i = find_name(p->t, name, strlen(name));
    if (i == SIZE_MAX) {
        if (own) /* in [ward] it may be another command's option */
            p->config_status = WD_FAIL(p->err, WD_E_USAGE, "%s: [%s] has no key \"%.64s\"", p->config_path,
                                       section, name);
    } else {
        p->config_status = set(p, i, value ? value : "", own ? FROM_COMMAND_SECTION : FROM_WARD_SECTION);
    }
    return p->config_status == WD_OK;
}

static wd_status read_config(parse *p, const char *path)
{
    wd_buf text = { 0 };
    wd_status st = wd_file_read(path, CONFIG_BYTES_MAX, &text, p->err);
    if (!st && memchr(text.p, 0, text.n))
        st = WD_FAIL(p->err, WD_E_CORRUPT, "%s: a NUL byte in a text file", path);
    if (!st) {
        p->config_path = path;
        const int line = ini_parse_string((const char *)text.p, config_value, p);
        st = p->config_status;
        if (!st && line)
            st = WD_FAIL(p->err, WD_E_CORRUPT, "%s: line %d is neither [section] nor key = value", path,
                         line);
    }
    wd_buf_free(&text);
    return st;
}

static wd_status find_config(parse *p, const char *given)
{
    if (!given)
        given = wd_env("WARD_CONFIG");
    if (given)
        return read_config(p, given);
    if (wd_file_exists("ward.ini"))
        return read_config(p, "ward.ini");
    const char *home = wd_env("HOME");
    const char *path = home ? wd_arena_printf(p->arena, "%s/.config/ward/ward.ini", home) : NULL;
    return path && wd_file_exists(path) ? read_config(p, path) : WD_OK;
}

wd_status wd_opt_parse(const wd_opt_table *t, int argc, const char *const *argv, const char *config_path,
                       wd_arena *a, void *target, wd_opt_list *rest, wd_err *err)
{
    parse p = { .t = t, .arena = a, .target = target, .err = err };
    p.from = WD_NEW_N(a, source, t->n + 1);
    if (!p.from)
        return no_memory(&p);
    *rest = (wd_opt_list){ 0 };
    for (size_t i = 0; i < t->n; i++)
        if (t->opts[i].def)
            WD_TRY(set(&p, i, t->opts[i].def, FROM_DEFAULT));
    WD_TRY(find_config(&p, config_path));
    return read_line(&p, argc, argv, rest);
}

void wd_opt_help(const wd_opt_table *t, wd_buf *out)
{
    static const char *const value[] = { " TEXT", " N", " X", "", "", " TEXT" };
    for (size_t i = 0; i < t->n; i++) {
        const wd_opt *o = &t->opts[i];
        char left[64];
        const bool both = o->type == WD_OPT_TRI || (o->type == WD_OPT_BOOL && o->def && *o->def == 't');
        snprintf(left, sizeof left, "--%s%s%s", both ? "[no-]" : "", o->name, value[o->type]);
        if (o->flag)
            wd_buf_printf(out, "  -%c, %-26s %s", o->flag, left, o->help);
        else
            wd_buf_printf(out, "      %-26s %s", left, o->help);
        if (o->type == WD_OPT_LIST)
            wd_buf_str(out, "; may be repeated");
        if (o->def && !is_switch(o))
            wd_buf_printf(out, " (%s)", o->def);
        wd_buf_char(out, '\n');
    }
}
