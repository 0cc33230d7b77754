/* ward find: the slices that a sentence speaks of. */
#include "care/find.h"
#include "cli/runtime.h"
#include "cli/show.h"
#include "cli/study.h"

typedef struct options {
    wd_model_args m;
    wd_study_args s;
    const char *instruction;
    int64_t top;
    bool json;
} options;

#define AT(field) offsetof(options, field)
/* clang-format off */
static const wd_opt opts[] = {
    WD_MODEL_OPTS(options, m),
    WD_STUDY_OPTS(options, s, "0"),
    { "instruction", 0, WD_OPT_STR, AT(instruction), WD_FIND_INSTRUCTION, 0, 0, "what counts as relevant" },
    { "top", 0, WD_OPT_INT, AT(top), "0", 0, 100000, "print so many; 0: all" },
    { "json", 0, WD_OPT_BOOL, AT(json), "false", 0, 0, "one JSON object on standard output" },
};
/* clang-format on */

static wd_status print(const options *o, const wd_find *f, wd_err *err)
{
    const uint32_t n = o->top && (uint64_t)o->top < f->n_slice ? (uint32_t)o->top : f->n_slice;
    json_t *a = json_array();
    wd_buf b = { 0 };
    for (uint32_t i = 0; i < n; i++) {
        const wd_slice_picture *p = f->slice[i].picture;
        if (o->json)
            json_array_append_new(a, json_pack("{s:i, s:i, s:s, s:f, s:s, s:s}", "index", (int)p->slice,
                                               "slice", (int)p->slice + 1, "source", p->info->source, "score",
                                               f->slice[i].score, "window", p->window, "sop_instance_uid",
                                               p->info->sop_instance_uid));
        else
            wd_buf_printf(&b, "%.4f  slice %u  %s  %s\n", f->slice[i].score, p->slice + 1, p->window,
                          p->info->source);
    }
    wd_status st;
    if (o->json) {
        st = wd_cli_print_json(json_pack("{s:O, s:s, s:f}", "results", a, "series_uid",
                                         f->shown->series->series_uid, "seconds", f->seconds),
                               err);
    } else {
        st = wd_buf_check(&b, "results", err);
        if (!st)
            st = wd_cli_print(wd_buf_view(&b), err);
    }
    json_decref(a);
    wd_buf_free(&b);
    return st;
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    options o = { 0 };
    wd_opt_list rest;
    WD_TRY(wd_cli_options(cli, &wd_cmd_find, argc, argv, &o, &rest, err));
    if (rest.n < 2)
        return WD_FAIL(err, WD_E_USAGE, "find needs a sentence and a study");
    wd_study *study;
    WD_TRY(wd_cli_study(cli, rest.v + 1, rest.n - 1, &study, err));
    wd_runtime *rt = NULL;
    wd_status st = wd_runtime_open(cli, &o.m, &rt, err);
    if (!st) {
        wd_show show;
        wd_show_begin(&show, true);
        const wd_find_opts fo = { .slices = wd_cli_slices(&o.s),
                                  .instruction = o.instruction,
                                  .watch = wd_show_watch(&show) };
        wd_find f;
        st = wd_find_slices(wd_runtime_engine(rt), study, rest.v[0], &fo, cli->arena, &f, err);
        wd_show_end(&show);
        if (!st)
            st = print(&o, &f, err);
    }
    wd_runtime_close(rt);
    return st;
}

const wd_command wd_cmd_find = {
    .name = "find",
    .brief = "rank the slices of a series by what a sentence says",
    .operands = "SENTENCE STUDY...",
    .about = "Scores every slice of a series against a sentence of a report with a reranking checkpoint\n"
             "(Qwen3-VL-Reranker), best first, 0 to 1. index counts slices from 0 in order of position.",
    .examples = "  ward find -m Qwen3-VL-Reranker-2B \"A nodule in the left upper lobe.\" CT/\n"
                "  ward find -m Qwen3-VL-Reranker-2B \"左侧胸腔积液\" study.zip --window mediastinum --top 3 "
                "--json\n",
    .options = { "find", opts, WD_COUNT(opts) },
    .run = run,
};
