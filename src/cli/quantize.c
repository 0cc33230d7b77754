/* ward quantize: a checkpoint with its weights in 8 or 4 bits, in a directory of its own. */
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/cli.h"
#include "weights/packed.h"
#include "weights/quantise.h"

#define FILE_MAX ((size_t)256 << 20)

typedef struct options {
    const char *type;
    int64_t group, threads;
    bool json;
} options;

#define AT(field) offsetof(options, field)
/* clang-format off */
static const wd_opt opts[] = {
    { "type", 't', WD_OPT_STR, AT(type), "w8", 0, 0, "w8: 8 bits for each weight; w4: 4 bits (the head has 8)" },
    { "group", 0, WD_OPT_INT, AT(group), "0", 0, 128, "32, 64 or 128 inputs share a scale; 0: the type's own" },
    { "threads", 0, WD_OPT_INT, AT(threads), "0", 0, 1024, "threads; 0: one per physical core" },
    { "json", 0, WD_OPT_BOOL, AT(json), "false", 0, 0, "one JSON object on standard output" },
};
/* clang-format on */

/* What stands beside the weights in a Hugging Face directory. config.json is written anew. */
static const char *const beside[] = {
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "processor_config.json",
    "1_Pooling/config.json",
    "config_sentence_transformers.json",
    "modules.json",
    "LICENSE",
    "README.md",
};

typedef struct job {
    wd_cli *cli;
    const options *o;
    const char *from, *to;
    wd_dtype type;
    wd_model_config cfg;
    wd_weights *w;
    wd_pool *pool;
    wd_quantised done;
} job;

static wd_status copy_file(const job *j, const char *name, wd_err *err)
{
    wd_buf b = { 0 };
    const char *from = wd_path_join(j->cli->arena, j->from, name);
    const char *to = wd_path_join(j->cli->arena, j->to, name);
    if (!from || !to)
        return WD_FAIL(err, WD_E_NOMEM, "quantize: no memory");
    if (!wd_file_exists(from))
        return WD_OK;
    wd_status st = WD_OK;
    if (strchr(name, '/')) {
        const char *dir = wd_arena_strndup(j->cli->arena, to, (size_t)(wd_path_base(to) - to));
        st = dir ? wd_file_mkdirs(dir, err) : WD_FAIL(err, WD_E_NOMEM, "quantize: no memory");
    }
    if (!st)
        st = wd_file_read(from, FILE_MAX, &b, err);
    if (!st)
        st = wd_file_write(to, wd_buf_view(&b), err);
    wd_buf_free(&b);
    return st;
}

/* The model's own config.json and what was done to its weights. */
static wd_status write_config(const job *j, wd_err *err)
{
    json_t *config = NULL;
    wd_buf b = { 0 };
    const char *from = wd_path_join(j->cli->arena, j->from, "config.json");
    const char *to = wd_path_join(j->cli->arena, j->to, "config.json");
    if (!from || !to)
        return WD_FAIL(err, WD_E_NOMEM, "quantize: no memory");
    WD_TRY(wd_json_read_file(from, FILE_MAX, &config, err));
    json_t *text = json_object_get(config, "text_config");
    if (text)
        json_object_del(text, "quantization_config"); /* of FP8, where there was one */
    json_t *q = json_pack("{s:s, s:i, s:i, s:s}", "quant_method", "ward", "version", 1, "bits",
                          j->type == WD_DTYPE_W4 ? 4 : 8, "layout", "docs/quantised.md of Ward");
    wd_status st = !q || json_object_set_new(config, "quantization_config", q)
                       ? WD_FAIL(err, WD_E_NOMEM, "quantize: no memory")
                       : wd_json_write(config, JSON_INDENT(2), &b, err);
    wd_buf_char(&b, '\n');
    if (!st)
        st = wd_buf_check(&b, "config.json", err);
    if (!st)
        st = wd_file_write(to, wd_buf_view(&b), err);
    wd_buf_free(&b);
    json_decref(config);
    return st;
}

/* The directory is made, or is there and empty: nothing is written over. */
static wd_status make_dir(const job *j, wd_err *err)
{
    char **names;
    size_t n;
    WD_TRY(wd_file_mkdirs(j->to, err));
    WD_TRY(wd_file_list(j->cli->arena, j->to, &names, &n, err));
    if (n)
        return WD_FAIL(err, WD_E_INVALID, "%s: expected a new or an empty directory, it holds %s", j->to,
                       names[0]);
    return WD_OK;
}

static wd_status quantise(job *j, wd_err *err)
{
    wd_progress progress;
    WD_TRY(wd_config_read(j->from, &j->cfg, err));
    WD_TRY(wd_weights_open(j->from, &j->w, err));
    WD_TRY(wd_pool_create((unsigned)j->o->threads, &j->pool, err));
    WD_TRY(wd_weights_unpack(j->w, &j->cfg, j->pool, err)); /* which is then refused in its own words */
    WD_TRY(make_dir(j, err));
    wd_progress_begin(&progress, "quantising", "weights");
    const wd_quantise_opts o = { .type = j->type,
                                 .group = (uint32_t)j->o->group,
                                 .pool = j->pool,
                                 .cancel = &wd_cli_cancelled,
                                 .progress = wd_cli_progress,
                                 .progress_self = &progress };
    const wd_status st = wd_weights_quantise(j->w, &j->cfg, &o, &j->done, err);
    wd_progress_end(&progress);
    if (st)
        return st;
    if (j->done.n_matrix == 0)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: no matrix of it can be quantised", j->from);
    WD_TRY(wd_weights_save(j->w, j->to, err));
    for (size_t i = 0; i < WD_COUNT(beside); i++)
        WD_TRY(copy_file(j, beside[i], err));
    return write_config(j, err); /* last: without it, the directory is no model */
}

static wd_status print(const job *j, double seconds, wd_err *err)
{
    const wd_quantised *d = &j->done;
    const double bits = 8.0 * (double)d->after / (double)d->n_weight;
    if (j->o->json)
        return wd_cli_print_json(json_pack("{s:s, s:s, s:I, s:I, s:f, s:I, s:I, s:I, s:f}", "out", j->to,
                                           "type", j->o->type, "matrices", (json_int_t)d->n_matrix, "weights",
                                           (json_int_t)d->n_weight, "bits_per_weight", bits, "bytes_before",
                                           (json_int_t)d->before, "bytes", (json_int_t)d->after,
                                           "left_as_stored", (json_int_t)d->n_left, "seconds", seconds),
                                 err);
    wd_buf b = { 0 };
    wd_buf_printf(&b, "%s: %zu matrices in %.3f bits for each weight, %.1f MB instead of %.1f MB, %.1f s\n",
                  j->to, d->n_matrix, bits, (double)d->after * 1e-6, (double)d->before * 1e-6, seconds);
    if (d->n_left)
        wd_buf_printf(&b, "%zu tensors of the decoder stay as stored: their shape does not fit\n", d->n_left);
    wd_status st = wd_buf_check(&b, "quantize", err);
    if (!st)
        st = wd_cli_print(wd_buf_view(&b), err);
    wd_buf_free(&b);
    return st;
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    options o = { 0 };
    wd_opt_list rest;
    WD_TRY(wd_cli_options(cli, &wd_cmd_quantize, argc, argv, &o, &rest, err));
    if (rest.n != 2)
        return WD_FAIL(err, WD_E_USAGE, "ward quantize takes two directories, IN and OUT, got %zu", rest.n);
    if (strcmp(o.type, "w8") != 0 && strcmp(o.type, "w4") != 0)
        return WD_FAIL(err, WD_E_USAGE, "--type: \"%s\", expected w8 or w4", o.type);
    if (o.group != 0 && o.group != 32 && o.group != 64 && o.group != 128)
        return WD_FAIL(err, WD_E_USAGE, "--group: %d, expected 32, 64 or 128", (int)o.group);
    job j = { .cli = cli, .o = &o, .from = rest.v[0], .to = rest.v[1] };
    j.type = o.type[1] == '8' ? WD_DTYPE_W8 : WD_DTYPE_W4;
    const double start = wd_clock_s();
    wd_status st = quantise(&j, err);
    if (!st)
        st = print(&j, wd_clock_s() - start, err);
    wd_pool_destroy(j.pool);
    wd_weights_close(j.w);
    return st;
}

const wd_command wd_cmd_quantize = {
    .name = "quantize",
    .brief = "write a checkpoint with weights in 8 or 4 bits",
    .operands = "IN OUT",
    .about =
        "Writes the checkpoint in the directory IN to the new directory OUT with the decoder's matrices and "
        "the head\n"
        "in groups of 8 or 4 bits; the head always has 8. The vision tower, norms and routers stay as they "
        "are. OUT\n"
        "opens like any other checkpoint, in place and without a second copy in memory (docs/quantised.md).",
    .examples = "  ward quantize models/qwen3-vl-2b qwen3-vl-2b-w8\n"
                "  ward quantize models/qwen3-vl-2b qwen3-vl-2b-w4 --type w4 --json\n",
    .options = { "quantize", opts, WD_COUNT(opts) },
    .run = run,
};
