/* What subcommands share: options, output, progress, interruption. */
#include "cli/cli.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define REDRAW_S 0.1

atomic_bool wd_cli_cancelled;

wd_status wd_cli_options(wd_cli *cli, const wd_command *cmd, int argc, const char *const *argv, void *target,
                         wd_opt_list *rest, wd_err *err)
{
    return wd_opt_parse(&cmd->options, argc, argv, cli->config_path, cli->arena, target, rest, err);
}

wd_status wd_cli_print(wd_span text, wd_err *err)
{
    if (fwrite(text.p, 1, text.n, stdout) != text.n || fflush(stdout) != 0)
        return WD_FAIL(err, WD_E_IO, "standard output: cannot write: %s", strerror(errno));
    return WD_OK;
}

wd_status wd_cli_print_json(json_t *v, wd_err *err)
{
    if (!v)
        return WD_FAIL(err, WD_E_NOMEM, "JSON output: no memory");
    wd_buf b = { 0 };
    wd_status st = wd_json_write(v, JSON_INDENT(2), &b, err);
    json_decref(v);
    wd_buf_char(&b, '\n');
    if (!st)
        st = wd_buf_check(&b, "JSON output", err);
    if (!st)
        st = wd_cli_print(wd_buf_view(&b), err);
    wd_buf_free(&b);
    return st;
}

void wd_progress_begin(wd_progress *p, const char *what, const char *unit)
{
    *p = (wd_progress){
        .on = isatty(STDERR_FILENO) == 1, .what = what, .unit = unit, .start_s = wd_clock_s()
    };
}

void wd_progress_at(wd_progress *p, uint64_t done, uint64_t total)
{
    const double now = wd_clock_s(), spent = now - p->start_s;
    if (!p->on || (p->shown && now - p->last_s < REDRAW_S))
        return;
    p->shown = true;
    p->last_s = now;
    const double rate = spent > 0 ? (double)done / spent : 0;
    if (!total || done > total)
        fprintf(stderr, "\r\033[K%s  %llu %s  %.1f/s", p->what, (unsigned long long)done, p->unit, rate);
    else
        fprintf(stderr, "\r\033[K%s  %3.0f %%  %llu/%llu %s  %.1f/s  %.0f s left", p->what,
                100.0 * (double)done / (double)total, (unsigned long long)done, (unsigned long long)total,
                p->unit, rate, rate > 0 ? (double)(total - done) / rate : 0);
    fflush(stderr);
}

void wd_progress_end(wd_progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
    p->on = p->shown = false;
}

void wd_cli_progress(void *self, uint64_t done, uint64_t total)
{
    wd_progress_at(self, done, total);
}
