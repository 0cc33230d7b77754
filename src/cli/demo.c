/* ward demo: the whole way from a synthetic CT series to a draft, with the bundled checkpoint. */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "care/find.h"
#include "care/phantom/ct.h"
#include "care/report.h"
#include "cli/data.h"
#include "cli/runtime.h"
#include "cli/show.h"
#include "cli/study.h"
#include "media/png_write.h"

typedef struct options {
    wd_model_args m;
    const char *out, *language;
    int64_t seed, slices, max_tokens;
    bool json;
} options;

#define AT(field) offsetof(options, field)
/* clang-format off */
static const wd_opt opts[] = {
    WD_MODEL_OPTS(options, m),
    { "out", 'o', WD_OPT_STR, AT(out), "ward-demo", 0, 0, "directory for the series, the draft and the key image" },
    { "language", 'l', WD_OPT_STR, AT(language), "en", 0, 0, "en or zh" },
    { "seed", 0, WD_OPT_INT, AT(seed), "1", 0, 1e9, "draws another phantom" },
    { "slices", 0, WD_OPT_INT, AT(slices), "12", 8, 400, "of the series" },
    { "max-tokens", 'n', WD_OPT_INT, AT(max_tokens), "96", 1, 1 << 20, "of the draft" },
    { "json", 0, WD_OPT_BOOL, AT(json), "false", 0, 0, "one JSON object on standard output" },
};
/* clang-format on */

#define PICTURE_COLUMNS 64

typedef struct demo {
    wd_cli *cli;
    const options *o;
    wd_ct *ct;
    const char *sentence, *series_dir;
    wd_study *study;
    wd_runtime *rt;
    wd_find find;
    wd_report report;
    double seconds;
} demo;

static wd_status no_memory(wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "demo: no memory");
}

static wd_status make_series(demo *d, wd_err *err)
{
    const wd_ct_opts co = { .seed = (uint64_t)d->o->seed, .n_slice = (uint32_t)d->o->slices, .matrix = 256 };
    size_t n;
    d->series_dir = wd_path_join(d->cli->arena, d->o->out, "series");
    if (!d->series_dir)
        return no_memory(err);
    WD_TRY(wd_ct_create(&co, &d->ct, err));
    WD_TRY(wd_ct_write(d->ct, d->o->out, err));
    const wd_ct_finding *f = wd_ct_findings(d->ct, &n);
    d->sentence = n ? f->text[strcmp(d->o->language, "zh") ? WD_CT_EN : WD_CT_ZH] : "The lungs are clear.";
    return wd_cli_study(d->cli, &d->series_dir, 1, &d->study, err);
}

static wd_status run_stories(demo *d, wd_err *err)
{
    wd_show show;
    wd_show_begin(&show, true);
    const wd_find_opts fo = { .slices = { .windows = "lung", .cancel = &wd_cli_cancelled },
                              .watch = wd_show_watch(&show) };
    wd_status st = wd_find_slices(wd_runtime_engine(d->rt), d->study, d->sentence, &fo, d->cli->arena,
                                  &d->find, err);
    wd_digest digest;
    char hex[65], *kept = NULL;
    if (!st)
        st = wd_weights_digest(wd_runtime_weights(d->rt), &digest, err);
    if (!st) {
        wd_digest_hex(&digest, hex);
        kept = wd_arena_strndup(d->cli->arena, hex, 64);
    }
    wd_report_opts ro = { .slices = { .n_slice = 6, .windows = "lung", .cancel = &wd_cli_cancelled },
                          .language = d->o->language,
                          .question = "nodule?",
                          .max_tokens = (uint32_t)d->o->max_tokens,
                          .model_digest = kept,
                          .watch = wd_show_watch(&show) };
    const char *name = wd_arena_printf(d->cli->arena, "prompts/report.%s.txt", d->o->language);
    if (!st && !name)
        st = no_memory(err);
    if (!st)
        st = wd_data_find(d->cli, name, &ro.prompt_path, err);
    if (!st)
        st = wd_report_make(wd_runtime_engine(d->rt), d->study, &ro, d->cli->arena, &d->report, err);
    wd_show_end(&show);
    return st;
}

/* The picture as rows of half blocks: two pixels per character, in 24-bit grey. Plain characters elsewhere. */
static void draw(const wd_image *im, bool colour, wd_buf *b)
{
    static const char ramp[] = " .:-=+*#%@";
    const uint32_t n = PICTURE_COLUMNS;
    for (uint32_t row = 0; row < n / 2; row++) {
        for (uint32_t col = 0; col < n; col++) {
            const uint32_t x = col * im->width / n, top = 2 * row * im->height / n,
                           bottom = (2 * row + 1) * im->height / n;
            const unsigned up = im->rgb[((size_t)top * im->width + x) * 3],
                           low = im->rgb[((size_t)bottom * im->width + x) * 3];
            if (colour)
                wd_buf_printf(b, "\033[38;2;%u;%u;%um\033[48;2;%u;%u;%um\xE2\x96\x80", up, up, up, low, low,
                              low);
            else
                wd_buf_char(b, ramp[(up + low) / 2 * (sizeof ramp - 2) / 255]);
        }
        wd_buf_str(b, colour ? "\033[0m\n" : "\n");
    }
}

static wd_status save_all(demo *d, wd_err *err)
{
    WD_TRY(wd_report_save(&d->report, d->o->out, err));
    const char *path = wd_path_join(d->cli->arena, d->o->out, "key-image.png");
    if (!path)
        return no_memory(err);
    wd_buf b = { 0 };
    wd_status st = wd_png_write(&d->find.slice[0].picture->image, &b, err);
    if (!st)
        st = wd_file_write(path, wd_buf_view(&b), err);
    wd_buf_free(&b);
    return st;
}

static wd_status show_text(demo *d, wd_err *err)
{
    wd_buf b = { 0 };
    const wd_found *best = &d->find.slice[0];
    wd_buf_printf(&b,
                  "Ward demo: a synthetic chest CT of %u slices (seed %lld), written as DICOM to %s/\n"
                  "What was drawn is in %s/truth.json.\n"
                  "The bundled checkpoint has RANDOM weights: this shows that every part works, not that it "
                  "is right.\n\n"
                  "find \"%s\"\n",
                  (unsigned)d->o->slices, (long long)d->o->seed, d->series_dir, d->o->out, d->sentence);
    for (uint32_t i = 0; i < 3 && i < d->find.n_slice; i++)
        wd_buf_printf(&b, "  %.4f  slice %u\n", d->find.slice[i].score, d->find.slice[i].picture->slice + 1);
    wd_buf_printf(&b, "\nkey image: slice %u, lung window (%s/key-image.png)\n\n", best->picture->slice + 1,
                  d->o->out);
    draw(&best->picture->image, isatty(STDOUT_FILENO) == 1, &b);
    wd_buf_str(&b, "\n");
    wd_report_markdown(&d->report, &b);
    wd_buf_printf(&b, "\nDone in %.1f s. Draft: %s/report.md and report.json.\n", d->seconds, d->o->out);
    wd_status st = wd_buf_check(&b, "demo", err);
    if (!st)
        st = wd_cli_print(wd_buf_view(&b), err);
    wd_buf_free(&b);
    return st;
}

static wd_status show_json(demo *d, wd_err *err)
{
    json_t *truth = wd_ct_truth(d->ct);
    json_t *found = json_array();
    for (uint32_t i = 0; found && i < d->find.n_slice; i++)
        json_array_append_new(found,
                              json_pack("{s:i, s:f}", "slice", (int)d->find.slice[i].picture->slice + 1,
                                        "score", d->find.slice[i].score));
    return wd_cli_print_json(json_pack("{s:s, s:o, s:s, s:o, s:o, s:f}", "out", d->o->out, "truth", truth,
                                       "sentence", d->sentence, "find", found, "report",
                                       wd_report_json(&d->report), "seconds", d->seconds),
                             err);
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    options o = { 0 };
    wd_opt_list rest;
    WD_TRY(wd_cli_options(cli, &wd_cmd_demo, argc, argv, &o, &rest, err));
    if (rest.n)
        return WD_FAIL(err, WD_E_USAGE, "demo takes no operand, got \"%s\"", rest.v[0]);
    if (strcmp(o.language, "en") != 0 && strcmp(o.language, "zh") != 0)
        return WD_FAIL(err, WD_E_USAGE, "--language: \"%s\", expected en or zh", o.language);
    if (!o.m.model)
        WD_TRY(wd_data_find(cli, "models/demo", &o.m.model, err));
    demo d = { .cli = cli, .o = &o };
    const double start = wd_clock_s();
    wd_status st = make_series(&d, err);
    if (!st)
        st = wd_runtime_open(cli, &o.m, &d.rt, err);
    if (!st)
        st = run_stories(&d, err);
    if (!st)
        st = save_all(&d, err);
    d.seconds = wd_clock_s() - start;
    if (!st)
        st = o.json ? show_json(&d, err) : show_text(&d, err);
    wd_runtime_close(d.rt);
    wd_ct_destroy(d.ct);
    return st;
}

const wd_command wd_cmd_demo = {
    .name = "demo",
    .brief = "a synthetic CT series, find and report on it, with the bundled model",
    .operands = "",
    .about = "Draws a synthetic chest CT series (body, lungs, vessels, spine, findings) from a seed, "
             "writes it as\n"
             "DICOM, ranks its slices by a sentence, drafts a report, and shows both with one key image. The "
             "bundled\n"
             "checkpoint is random: it exercises every part and knows nothing.",
    .examples = "  ward demo\n  ward demo --seed 7 -l zh -o /tmp/demo --json\n",
    .options = { "demo", opts, WD_COUNT(opts) },
    .run = run,
};
