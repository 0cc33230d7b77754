/* Opening a study for a command. */
#include "cli/study.h"

static void close_study(void *arg)
{
    wd_study_close(arg);
}

static void on_file(void *ctx, uint32_t done, uint32_t all)
{
    wd_progress_at(ctx, done, all);
}

static void say_skipped(const wd_study_counts *c)
{
    if (c->n_duplicate)
        fprintf(stderr, "ward: %u duplicate images were skipped\n", c->n_duplicate);
    if (c->n_not_image)
        fprintf(stderr, "ward: %u objects without pixels were skipped\n", c->n_not_image);
    if (c->n_not_dicom)
        fprintf(stderr, "ward: %u files that are no DICOM were skipped\n", c->n_not_dicom);
    if (c->n_broken)
        fprintf(stderr, "ward: %u broken objects were skipped; the first: %s\n", c->n_broken,
                c->first_broken);
}

wd_status wd_cli_study(wd_cli *cli, const char *const *paths, size_t n, wd_study **out, wd_err *err)
{
    wd_progress p;
    wd_progress_begin(&p, "study", "files");
    wd_study_opts o = WD_STUDY_OPTS_DEFAULT;
    o.cancel = &wd_cli_cancelled;
    o.on_progress = on_file;
    o.ctx = &p;
    const wd_status st = wd_study_open(paths, n, &o, out, err);
    wd_progress_end(&p);
    if (st)
        return st;
    say_skipped(wd_study_counts_of(*out));
    if (wd_arena_defer(cli->arena, close_study, *out))
        return WD_FAIL(err, WD_E_NOMEM, "study: no memory");
    return WD_OK;
}

wd_slices_opts wd_cli_slices(const wd_study_args *m)
{
    return (wd_slices_opts){ .series = m->series,
                             .rule = m->rule,
                             .n_slice = (uint32_t)m->n_slice,
                             .windows = m->windows,
                             .cancel = &wd_cli_cancelled };
}
