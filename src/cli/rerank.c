/* ward rerank: how well does each document answer the query? */
#include <stdlib.h>
#include <string.h>

#include "cli/inputs.h"
#include "cli/runtime.h"

typedef struct options {
    wd_model_args m;
    wd_opt_list image;
    const char *instruction, *window;
    int64_t slices;
    bool json;
} options;

#define AT(field) offsetof(options, field)
/* clang-format off */
static const wd_opt opts[] = {
    WD_MODEL_OPTS(options, m),
    { "image", 'i', WD_OPT_LIST, AT(image), NULL, 0, 0, "a document that is a picture, DICOM file, folder or ZIP" },
    { "window", 0, WD_OPT_STR, AT(window), "file", 0, 0, "for DICOM: lung, mediastinum, ..., 40/400, file" },
    { "slices", 0, WD_OPT_INT, AT(slices), "8", 1, 1000, "most slices taken from a DICOM folder" },
    { "instruction", 0, WD_OPT_STR, AT(instruction), NULL, 0, 0, "what counts as relevant; default: the model's own" },
    { "json", 0, WD_OPT_BOOL, AT(json), "false", 0, 0, "one JSON object on standard output" },
};
/* clang-format on */

typedef struct result {
    size_t index;
    const char *source; /* the text, or where the picture came from */
    double score;
} result;

static int by_score(const void *a, const void *b)
{
    const result *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return x->index < y->index ? -1 : 1;
}

static wd_status score_one(wd_engine *e, const options *o, const char *query, const char *text,
                           const wd_image *im, double *score, wd_err *err)
{
    const wd_part q = { WD_PART_TEXT, wd_span_str(query) };
    const wd_part d = im ? (wd_part){ .kind = WD_PART_IMAGE } : (wd_part){ WD_PART_TEXT, wd_span_str(text) };
    const wd_rerank_pair pair = { .query = { .parts = { &q, 1 } },
                                  .document = { .parts = { &d, 1 },
                                                .media = { .image = im, .n_image = im != NULL } },
                                  .instruction = wd_span_str(o->instruction),
                                  .watch = { .cancel = &wd_cli_cancelled } };
    wd_arena *a = wd_arena_create((size_t)1 << 30, true);
    if (!a)
        return WD_FAIL(err, WD_E_NOMEM, "rerank: no memory");
    size_t n_token;
    const wd_status st = e->rerank(e->self, a, &pair, score, &n_token, err);
    wd_arena_destroy(a);
    return st;
}

static wd_status print(const options *o, const result *r, size_t n, wd_err *err)
{
    if (o->json) {
        json_t *a = json_array();
        for (size_t i = 0; a && i < n; i++)
            json_array_append_new(a, json_pack("{s:I, s:s, s:f}", "index", (json_int_t)r[i].index, "source",
                                               r[i].source, "score", r[i].score));
        return wd_cli_print_json(json_pack("{s:o}", "results", a), err);
    }
    wd_buf b = { 0 };
    for (size_t i = 0; i < n; i++)
        wd_buf_printf(&b, "%.4f  %zu  %s\n", r[i].score, r[i].index, r[i].source);
    wd_status st = wd_buf_check(&b, "results", err);
    if (!st)
        st = wd_cli_print(wd_buf_view(&b), err);
    wd_buf_free(&b);
    return st;
}

static wd_status rerank(wd_cli *cli, const options *o, const wd_opt_list *rest, wd_runtime *rt, wd_err *err)
{
    wd_inputs in;
    const wd_opt_list no_videos = { 0 };
    WD_TRY(wd_inputs_open(cli, &o->image, &no_videos, o->window, (uint32_t)o->slices, &in, err));
    const size_t n_text = rest->n - 1, n = n_text + in.media.n_image;
    result *r = WD_NEW_N(cli->arena, result, n);
    if (!r)
        return WD_FAIL(err, WD_E_NOMEM, "rerank: no memory");
    wd_progress p;
    wd_progress_begin(&p, "ranking", "documents");
    wd_status st = WD_OK;
    for (size_t i = 0; !st && i < n; i++) {
        wd_progress_at(&p, i, n);
        const wd_image *im = i < n_text ? NULL : &in.media.image[i - n_text];
        const char *text = i < n_text ? rest->v[i + 1] : NULL;
        r[i] = (result){ .index = i, .source = text ? text : in.image_name[i - n_text] };
        st = score_one(wd_runtime_engine(rt), o, rest->v[0], text, im, &r[i].score, err);
    }
    wd_progress_end(&p);
    if (st)
        return st;
    qsort(r, n, sizeof *r, by_score);
    return print(o, r, n, err);
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    options o = { 0 };
    wd_opt_list rest;
    WD_TRY(wd_cli_options(cli, &wd_cmd_rerank, argc, argv, &o, &rest, err));
    if (rest.n < 1 || (rest.n < 2 && !o.image.n))
        return WD_FAIL(err, WD_E_USAGE, "rerank needs a query and at least one document (text, or -i)");
    wd_runtime *rt = NULL;
    wd_status st = wd_runtime_open(cli, &o.m, &rt, err);
    if (!st)
        st = rerank(cli, &o, &rest, rt, err);
    wd_runtime_close(rt);
    return st;
}

const wd_command wd_cmd_rerank = {
    .name = "rerank",
    .brief = "score documents against a query",
    .operands = "QUERY [DOCUMENT...]",
    .about =
        "Prints documents (texts, and pictures given with -i) by relevance to the query, 0 to 1, from a\n"
        "Qwen3-Reranker or Qwen3-VL-Reranker checkpoint. index counts the texts first, then the pictures.",
    .examples = "  ward rerank -m Qwen3-VL-Reranker-2B \"pleural effusion\" \"The left sinus is blunted.\" "
                "\"No fracture.\"\n"
                "  ward rerank -m Qwen3-VL-Reranker-2B \"nodule\" -i CT/ --window lung --json\n",
    .options = { "rerank", opts, WD_COUNT(opts) },
    .run = run,
};
