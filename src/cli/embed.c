/* ward embed: one item as a vector. */
#include <math.h>
#include <string.h>

#include "cli/inputs.h"
#include "cli/runtime.h"
#include "cli/show.h"

typedef struct options {
    wd_model_args m;
    wd_opt_list image, video;
    const char *instruction, *window;
    int64_t dim, slices;
    bool json;
} options;

#define AT(field) offsetof(options, field)
/* clang-format off */
static const wd_opt opts[] = {
    WD_MODEL_OPTS(options, m),
    { "image", 'i', WD_OPT_LIST, AT(image), NULL, 0, 0, "a picture, DICOM file, folder or ZIP" },
    { "video", 'v', WD_OPT_LIST, AT(video), NULL, 0, 0, "a video" },
    { "window", 0, WD_OPT_STR, AT(window), "file", 0, 0, "for DICOM: lung, mediastinum, ..., 40/400, file" },
    { "slices", 0, WD_OPT_INT, AT(slices), "8", 1, 1000, "most slices taken from a DICOM folder" },
    { "instruction", 0, WD_OPT_STR, AT(instruction), NULL, 0, 0, "what the vector is for; default: the model's own" },
    { "dim", 'd', WD_OPT_INT, AT(dim), "0", 0, 1 << 20, "keep the first so many values (MRL); 0: all" },
    { "json", 0, WD_OPT_BOOL, AT(json), "false", 0, 0, "one JSON object on standard output" },
};
/* clang-format on */

static wd_status print(const options *o, const float *v, uint32_t dim, size_t n_token, wd_err *err)
{
    if (!o->json) {
        wd_buf b = { 0 };
        for (uint32_t i = 0; i < dim; i++)
            wd_buf_printf(&b, "%.8g\n", (double)v[i]);
        wd_status st = wd_buf_check(&b, "embedding", err);
        if (!st)
            st = wd_cli_print(wd_buf_view(&b), err);
        wd_buf_free(&b);
        return st;
    }
    json_t *a = json_array();
    for (uint32_t i = 0; a && i < dim; i++)
        json_array_append_new(a, json_real((double)v[i]));
    return wd_cli_print_json(json_pack("{s:o, s:i, s:{s:I}}", "embedding", a, "dim", (int)dim, "usage",
                                       "prompt_tokens", (json_int_t)n_token),
                             err);
}

static wd_status embed(wd_cli *cli, const options *o, const wd_opt_list *rest, wd_runtime *rt, wd_err *err)
{
    wd_inputs in;
    WD_TRY(wd_inputs_open(cli, &o->image, &o->video, o->window, (uint32_t)o->slices, &in, err));
    const uint32_t n_media = in.media.n_image + in.media.n_video;
    wd_part *part = WD_NEW_N(cli->arena, wd_part, n_media + rest->n);
    if (!part)
        return WD_FAIL(err, WD_E_NOMEM, "embed: no memory");
    for (uint32_t i = 0; i < n_media; i++)
        part[i].kind = i < in.media.n_image ? WD_PART_IMAGE : WD_PART_VIDEO;
    for (size_t i = 0; i < rest->n; i++)
        part[n_media + i] = (wd_part){ WD_PART_TEXT, wd_span_str(rest->v[i]) };

    wd_show show;
    wd_show_begin(&show, true);
    const wd_embed rq = { .item = { { part, n_media + rest->n }, in.media },
                          .instruction = wd_span_str(o->instruction),
                          .dim = (uint32_t)o->dim,
                          .watch = wd_show_watch(&show) };
    wd_engine *e = wd_runtime_engine(rt);
    const float *v;
    uint32_t dim;
    size_t n_token;
    const wd_status st = e->embed(e->self, cli->arena, &rq, &v, &dim, &n_token, err);
    wd_show_end(&show);
    return st ? st : print(o, v, dim, n_token, err);
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    options o = { 0 };
    wd_opt_list rest;
    WD_TRY(wd_cli_options(cli, &wd_cmd_embed, argc, argv, &o, &rest, err));
    if (!rest.n && !o.image.n && !o.video.n)
        return WD_FAIL(err, WD_E_USAGE, "nothing to embed: give a text, -i or -v");
    wd_runtime *rt = NULL;
    wd_status st = wd_runtime_open(cli, &o.m, &rt, err);
    if (!st)
        st = embed(cli, &o, &rest, rt, err);
    wd_runtime_close(rt);
    return st;
}

const wd_command wd_cmd_embed = {
    .name = "embed",
    .brief = "turn a text, pictures or a video into a vector",
    .operands = "[TEXT...]",
    .about =
        "Prints the embedding of one item (all texts, pictures and videos given are parts of it) from a\n"
        "Qwen3-Embedding or Qwen3-VL-Embedding checkpoint: the last token's state, scaled to length 1.",
    .examples = "  ward embed -m Qwen3-VL-Embedding-2B \"a spiculated nodule\" --json\n"
                "  ward embed -m Qwen3-VL-Embedding-2B -i film.png -d 512\n",
    .options = { "embed", opts, WD_COUNT(opts) },
    .run = run,
};
