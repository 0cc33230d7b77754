/* ward report: a report draft from a study. */
#include <string.h>

#include "base/file.h"
#include "base/rand.h"
#include "care/report.h"
#include "cli/data.h"
#include "cli/runtime.h"
#include "cli/show.h"
#include "cli/study.h"

#define EARLIER_MAX ((size_t)1 << 20)

typedef struct options {
    wd_model_args m;
    wd_study_args s;
    const char *question, *earlier, *language, *prompt, *out;
    int64_t max_tokens, seed;
    double temperature;
    bool json;
} options;

#define AT(field) offsetof(options, field)
/* clang-format off */
static const wd_opt opts[] = {
    WD_MODEL_OPTS(options, m),
    WD_STUDY_OPTS(options, s, "12"),
    { "question", 'q', WD_OPT_STR, AT(question), NULL, 0, 0, "the clinical question" },
    { "earlier", 0, WD_OPT_STR, AT(earlier), NULL, 0, 0, "text file with an earlier report" },
    { "language", 'l', WD_OPT_STR, AT(language), "en", 0, 0, "en or zh" },
    { "prompt", 0, WD_OPT_STR, AT(prompt), NULL, 0, 0, "prompt template; default: prompts/report.LANGUAGE.txt" },
    { "out", 'o', WD_OPT_STR, AT(out), NULL, 0, 0, "directory for report.json and report.md" },
    { "max-tokens", 'n', WD_OPT_INT, AT(max_tokens), "2048", 1, 1 << 24, "of the draft" },
    { "temperature", 't', WD_OPT_NUM, AT(temperature), "0", -1, 100, "0: greedy; -1: the model's" },
    { "seed", 0, WD_OPT_INT, AT(seed), "0", 0, 0x1p62, "for a temperature above 0" },
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
    wd_report_opts ro = { .slices = wd_cli_slices(&o->s),
                          .prompt_path = o->prompt,
                          .language = o->language,
                          .question = o->question,
                          .max_tokens = (uint32_t)o->max_tokens,
                          .temperature = o->temperature,
                          .seed = (uint64_t)o->seed };
    if (!o->prompt) {
        const char *name = wd_arena_printf(cli->arena, "prompts/report.%s.txt", o->language);
        if (!name)
            return WD_FAIL(err, WD_E_NOMEM, "report: no memory");
        WD_TRY(wd_data_find(cli, name, &ro.prompt_path, err));
    }
    wd_buf earlier = { 0 };
    if (o->earlier) {
        WD_TRY(wd_file_read(o->earlier, EARLIER_MAX, &earlier, err));
        ro.earlier = wd_arena_strndup(cli->arena, (const char *)earlier.p, earlier.n);
        wd_buf_wipe(&earlier);
    }
    wd_digest d;
    char hex[65];
    WD_TRY(wd_weights_digest(wd_runtime_weights(rt), &d, err));
    wd_digest_hex(&d, hex);
    ro.model_digest = hex;

    wd_show show;
    wd_show_begin(&show, true);
    ro.watch = wd_show_watch(&show);
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
    if (strcmp(o.language, "en") != 0 && strcmp(o.language, "zh") != 0)
        return WD_FAIL(err, WD_E_USAGE, "--language: \"%s\", expected en or zh", o.language);
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
