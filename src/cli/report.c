/* ward report: a report draft from a study. */
#include "base/file.h"
#include "base/rand.h"
#include "care/report.h"
#include "cli/ask.h"
#include "cli/show.h"
#include "cli/study.h"

#define EARLIER_MAX ((size_t)1 << 20)

typedef struct options {
    wd_model_args m;
    wd_study_args s;
    wd_ask_args a;
    const char *question, *earlier, *out;
    bool json;
} options;

#define AT(field) offsetof(options, field)
/* clang-format off */
static const wd_opt opts[] = {
    WD_MODEL_OPTS(options, m),
    WD_STUDY_OPTS(options, s, "12"),
    { "question", 'q', WD_OPT_STR, AT(question), NULL, 0, 0, "the clinical question" },
    { "earlier", 0, WD_OPT_STR, AT(earlier), NULL, 0, 0, "text file with an earlier report" },
    { "out", 'o', WD_OPT_STR, AT(out), NULL, 0, 0, "directory for report.json and report.md" },
    WD_ASK_OPTS(options, a, "report", "en", "en or zh", "2048"),
    { "json", 0, WD_OPT_BOOL, AT(json), "false", 0, 0, "the JSON on standard output instead of Markdown" },
};
/* clang-format on */

static wd_status write_out(const options *o, const wd_report *r, wd_err *err)
{
    if (o->out)
        WD_TRY(wd_report_save(r, o->out, err));
    wd_buf b = { 0 };
    wd_status st = wd_report_text(r, o->json, &b, err);
    if (!st)
        st = wd_cli_print(wd_buf_view(&b), err);
    wd_buf_wipe(&b);
    return st;
}

static wd_status make(wd_cli *cli, const options *o, const wd_study *study, wd_runtime *rt, wd_err *err)
{
    wd_report_opts ro = { .slices = wd_cli_slices(&o->s), .question = o->question };
    WD_TRY(wd_cli_ask(cli, &o->a, "report", rt, &ro.ask, err));
    wd_buf earlier = { 0 };
    if (o->earlier) {
        WD_TRY(wd_file_read(o->earlier, EARLIER_MAX, &earlier, err));
        ro.earlier = wd_arena_strndup(cli->arena, (const char *)earlier.p, earlier.n);
        wd_buf_wipe(&earlier);
    }

    wd_show show;
    wd_show_begin(&show, true);
    ro.ask.watch = wd_show_watch(&show);
    wd_report r;
    wd_status st = wd_report_make(wd_runtime_engine(rt), study, &ro, cli->arena, &r, err);
    wd_show_end(&show);
    return st ? st : write_out(o, &r, err);
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    options o = { 0 };
    wd_opt_list rest;
    WD_TRY(wd_cli_options(cli, &wd_cmd_report, argc, argv, &o, &rest, err));
    if (!rest.n)
        return WD_FAIL(err, WD_E_USAGE, "report needs a study: a directory, a ZIP file, or files");
    WD_TRY(wd_cli_language(o.a.language, err));
    wd_study *study;
    WD_TRY(wd_cli_study(cli, rest.v, rest.n, &study, err));
    wd_runtime *rt = NULL;
    wd_status st = wd_runtime_open(cli, &o.m, &rt, err);
    if (!st)
        st = make(cli, &o, study, rt, err);
    wd_runtime_close(rt);
    return st;
}

const wd_command wd_cmd_report = {
    .name = "report",
    .brief = "draft a radiology report from a DICOM study",
    .operands = "STUDY...",
    .about = "Picks a series and slices of the study (a directory, a ZIP file, or files), draws them through "
             "the usual\n"
             "windows, and asks the model for a report: findings with the slices that show them, and an "
             "impression.\n"
             "The result is a DRAFT: nothing for clinical use until a radiologist has checked and signed it.",
    .examples = "  ward report -m Qwen3-VL-8B-Instruct CT/ -q \"cough for 3 weeks\" -o draft/\n"
                "  ward report -m Qwen3-VL-8B-Instruct study.zip -l zh --slices 24 --window lung,mediastinum "
                "--json\n",
    .options = { "report", opts, WD_COUNT(opts) },
    .run = run,
};
