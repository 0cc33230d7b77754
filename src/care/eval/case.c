/* What the suites share. */
#include "care/eval/case.h"

#include "base/file.h"
#include "care/phantom/ct.h"

wd_status wd_eval__make_ct(const char *dir, uint64_t seed, wd_err *err)
{
    wd_ct_opts o = WD_CT_OPTS_DEFAULT;
    o.seed = seed;
    wd_ct *ct = NULL;
    WD_TRY(wd_ct_create(&o, &ct, err));
    const wd_status st = wd_ct_write(ct, dir, err);
    wd_ct_destroy(ct);
    return st;
}

wd_status wd_eval__ask(const wd_eval_run *r, const char *story, uint32_t max_tokens, wd_arena *a,
                       wd_ask_opts *out, wd_err *err)
{
    *out = (wd_ask_opts){ .prompt_path = wd_arena_printf(a, "%s/%s.%s.txt", r->prompts_dir, story,
                                                         r->language),
                          .language = r->language,
                          .max_tokens = r->max_tokens ? r->max_tokens : max_tokens,
                          .model_digest = r->model_digest,
                          .watch = { .cancel = r->cancel } };
    return out->prompt_path ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "evaluation: no memory");
}

static void close_study(void *arg)
{
    wd_study_close(arg);
}

wd_status wd_eval__study(const char *dir, const atomic_bool *cancel, wd_arena *a, wd_study **out, wd_err *err)
{
    const char *series = wd_path_join(a, dir, "series");
    if (!series)
        return WD_FAIL(err, WD_E_NOMEM, "evaluation: no memory");
    wd_study_opts so = WD_STUDY_OPTS_DEFAULT;
    so.cancel = cancel;
    WD_TRY(wd_study_open(&series, 1, &so, out, err));
    return wd_arena_defer(a, close_study, *out) ? WD_FAIL(err, WD_E_NOMEM, "evaluation: no memory") : WD_OK;
}
