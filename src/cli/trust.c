/* The data directory and what its commands share. */
#include "cli/trust.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/file.h"
#include "base/utf8.h"
#include "guard/admin.h"

#define SYSTEM_DIR "/var/lib/ward"
#define LINE_MAX_BYTES 4096

wd_status wd_trust_dir(wd_cli *cli, const char *given, const char **out, wd_err *err)
{
    const char *home = wd_env("HOME");

    if (given)
        *out = given;
    else if (wd_file_is_dir(SYSTEM_DIR))
        *out = SYSTEM_DIR;
    else if (!home)
        return WD_FAIL(err, WD_E_USAGE, "no data directory: give --data DIR");
    else if (!(*out = wd_path_join(cli->arena, home, ".local/share/ward")))
        return WD_FAIL(err, WD_E_NOMEM, "no memory for the data directory's name");
    return WD_OK;
}

wd_status wd_trust_open(wd_cli *cli, const char *given, bool make, wd_guard **out, wd_err *err)
{
    wd_guard_opts o = WD_GUARD_OPTS_DEFAULT;

    *out = NULL;
    WD_TRY(wd_trust_dir(cli, given, &o.dir, err));
    o.must_exist = !make;
    return wd_guard_open(&o, out, err);
}

void wd_trust_me(wd_account_role role, wd_identity *out)
{
    struct passwd pw, *found = NULL;
    char text[4096];

    if (getpwuid_r(getuid(), &pw, text, sizeof text, &found) != 0)
        found = NULL;
    wd_identity_local(found ? pw.pw_name : "unknown", role, out);
}

/* A line of standard input without its end. */
static wd_status read_line(wd_buf *out, wd_err *err)
{
    int c;

    out->max = LINE_MAX_BYTES;
    while ((c = getchar()) != EOF && c != '\n')
        wd_buf_char(out, (char)c);
    if (ferror(stdin))
        return WD_FAIL(err, WD_E_IO, "standard input: cannot read: %s", strerror(errno));
    return wd_buf_check(out, "password", err);
}

static wd_status ask_unseen(const char *what, wd_buf *out, wd_err *err)
{
    struct termios before, unseen;

    if (tcgetattr(STDIN_FILENO, &before) < 0)
        return WD_FAIL(err, WD_E_IO, "the terminal cannot be asked: %s", strerror(errno));
    unseen = before;
    unseen.c_lflag &= (tcflag_t)~ECHO;
    fputs(what, stderr);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &unseen);
    const wd_status st = read_line(out, err);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    fputc('\n', stderr);
    return st;
}

wd_status wd_trust_password(wd_buf *out, wd_err *err)
{
    wd_buf again = { 0 };

    if (isatty(STDIN_FILENO) != 1)
        return read_line(out, err);
    wd_status st = ask_unseen("Password: ", out, err);
    if (!st)
        st = ask_unseen("Once more: ", &again, err);
    if (!st && !wd_span_eq(wd_buf_view(out), wd_buf_view(&again)))
        st = WD_FAIL(err, WD_E_INVALID, "the two passwords are not the same");
    wd_buf_wipe(&again);
    wd_buf_free(&again);
    return st;
}

wd_status wd_trust_duration(const char *text, int64_t *out, wd_err *err)
{
    static const struct {
        char unit;
        int64_t s;
    } units[] = { { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };
    char *end;

    if (!strcmp(text, "never") || !strcmp(text, "0")) {
        *out = 0;
        return WD_OK;
    }
    errno = 0;
    const long long n = strtoll(text, &end, 10);
    for (size_t i = 0; i < WD_COUNT(units); i++) {
        if (end != text && !errno && n > 0 && n <= 1000000000 && end[0] == units[i].unit && !end[1]) {
            *out = n * units[i].s;
            return WD_OK;
        }
    }
    return WD_FAIL(err, WD_E_USAGE, "\"%s\" is no time: expected 90d, 12h, 30m, 45s or never", text);
}

static void put_value(wd_buf *b, const json_t *v)
{
    if (json_is_string(v))
        wd_buf_str(b, *json_string_value(v) ? json_string_value(v) : "-");
    else if (json_is_integer(v))
        wd_buf_printf(b, "%lld", (long long)json_integer_value(v));
    else
        wd_buf_str(b, json_is_true(v) ? "yes" : json_is_false(v) ? "no" : "-");
}

/* Widths in characters: titles may be Chinese, where a column is then ragged by what such letters take more. */
static size_t width_of(wd_span s)
{
    size_t n = 0, step;

    for (size_t at = 0; at < s.n; at += step, n++)
        wd_utf8_next(s, at, &step);
    return n;
}

static void put_table(const json_t *list, const char *const *column, size_t n, wd_buf *out)
{
    size_t width[16] = { 0 }, i;
    const json_t *o;
    wd_buf cell = { 0 };

    for (size_t k = 0; k < n; k++) {
        width[k] = strlen(column[k]);
        json_array_foreach(list, i, o)
        {
            wd_buf_clear(&cell);
            put_value(&cell, json_object_get(o, column[k]));
            width[k] = WD_MAX(width[k], width_of(wd_buf_view(&cell)));
        }
    }
    for (size_t k = 0; k < n; k++)
        wd_buf_printf(out, "%-*s%s", k + 1 < n ? (int)width[k] : 0, column[k], k + 1 < n ? "  " : "\n");
    json_array_foreach(list, i, o)
    {
        for (size_t k = 0; k < n; k++) {
            wd_buf_clear(&cell);
            put_value(&cell, json_object_get(o, column[k]));
            wd_buf_span(out, wd_buf_view(&cell));
            for (size_t pad = width_of(wd_buf_view(&cell)); k + 1 < n && pad < width[k] + 2; pad++)
                wd_buf_char(out, ' ');
        }
        wd_buf_char(out, '\n');
    }
    out->failed |= cell.failed;
    wd_buf_free(&cell);
}

wd_status wd_trust_print(json_t *list, bool json, const char *const *column, size_t n, wd_err *err)
{
    wd_buf b = { 0 };

    if (json)
        return wd_cli_print_json(list, err);
    put_table(list, column, WD_MIN(n, (size_t)16), &b);
    json_decref(list);
    wd_status st = wd_buf_check(&b, "table", err);
    if (!st)
        st = wd_cli_print(wd_buf_view(&b), err);
    wd_buf_free(&b);
    return st;
}
