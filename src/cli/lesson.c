/* ward lesson: the steps of a teaching video, as JSON, Markdown and subtitles. */
#include "care/lesson.h"
#include "cli/ask.h"
#include "cli/show.h"

typedef struct options {
    wd_model_args m;
    wd_ask_args a;
    const char *out;
    int64_t cards, picture_pixels;
    double long_s;
    bool json, vtt;
} options;

#define AT(field) offsetof(options, field)
/* clang-format off */
static const wd_opt opts[] = {
    WD_MODEL_OPTS(options, m),
    { "out", 'o', WD_OPT_STR, AT(out), NULL, 0, 0,
      "directory for lesson.json, lesson.md, lesson.vtt and the cards' pictures" },
    { "cards", 0, WD_OPT_INT, AT(cards), "12", 1, WD_LESSON_CARDS_MAX, "most pictures that the model is shown" },
    { "picture-pixels", 0, WD_OPT_INT, AT(picture_pixels), "36864", 1024, 1 << 24,
      "most pixels of each; 36864 is 256 x 144" },
    { "long-take", 0, WD_OPT_NUM, AT(long_s), "20", 1, 86400, "seconds; a longer shot becomes several cards" },
    WD_ASK_OPTS(options, a, "lesson", "en", "en or zh", "1024"),
    { "vtt", 0, WD_OPT_BOOL, AT(vtt), "false", 0, 0, "the subtitles on standard output instead of Markdown" },
    { "json", 0, WD_OPT_BOOL, AT(json), "false", 0, 0, "the JSON on standard output instead of Markdown" },
};
/* clang-format on */

static wd_status write_out(const options *o, const wd_lesson *l, wd_err *err)
{
    if (o->out)
        WD_TRY(wd_lesson_save(l, o->out, err));
    wd_buf b = { 0 };
    wd_status st = wd_lesson_text(l,
                                  o->json  ? WD_LESSON_JSON
                                  : o->vtt ? WD_LESSON_VTT
                                           : WD_LESSON_MARKDOWN,
                                  &b, err);
    if (!st)
        st = wd_cli_print(wd_buf_view(&b), err);
    wd_buf_wipe(&b);
    return st;
}

/* The cuts first: a video that cannot be read is known before the model is opened. */
static wd_status make(wd_cli *cli, const options *o, const char *video, wd_err *err)
{
    wd_lesson_opts lo = WD_LESSON_OPTS_DEFAULT;
    lo.cuts.long_s = o->long_s;
    lo.max_cards = (uint32_t)o->cards;
    lo.picture_pixels = (uint32_t)o->picture_pixels;

    wd_lesson_cards cards;
    wd_lesson l;
    wd_show show;
    wd_runtime *rt = NULL;
    wd_show_begin(&show, true);
    lo.ask.watch = wd_show_watch(&show);
    wd_status st = wd_lesson_look(video, &lo, cli->arena, &cards, err);
    if (!st)
        st = wd_runtime_open(cli, &o->m, &rt, err);
    if (!st)
        st = wd_cli_ask(cli, &o->a, "lesson", rt, &lo.ask, err);
    lo.ask.watch = wd_show_watch(&show);
    if (!st)
        st = wd_lesson_ask(wd_runtime_engine(rt), &cards, &lo, cli->arena, &l, err);
    wd_show_end(&show);
    if (!st)
        st = write_out(o, &l, err);
    wd_runtime_close(rt);
    return st;
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    options o = { 0 };
    wd_opt_list rest;
    WD_TRY(wd_cli_options(cli, &wd_cmd_lesson, argc, argv, &o, &rest, err));
    if (rest.n != 1)
        return WD_FAIL(err, WD_E_USAGE, "lesson needs one video, got %zu operands", rest.n);
    WD_TRY(wd_cli_language(o.a.language, err));
    if (o.json && o.vtt)
        return WD_FAIL(err, WD_E_USAGE, "--json and --vtt exclude each other");
    return make(cli, &o, rest.v[0], err);
}

const wd_command wd_cmd_lesson = {
    .name = "lesson",
    .brief = "steps, subtitles and summary of a teaching video",
    .operands = "VIDEO",
    .about =
        "Finds the shots of the video (by measuring, not by the model), shows the model one picture of each, "
        "and\n"
        "asks for the steps; their times are those of the shots. Pictures only: speech is not heard, and "
        "the\n"
        "video itself is not changed - faces in it are not hidden. The result is a DRAFT for the editor.",
    .examples = "  ward lesson -m Qwen3-VL-8B-Instruct inhaler.mp4 -o draft/\n"
                "  ward lesson -m Qwen3-VL-8B-Instruct 洗手.mp4 -l zh --vtt > 洗手.vtt\n"
                "  ward lesson -m Qwen3-VL-8B-Instruct talk.mkv --cards 24 --picture-pixels 230400 --json\n",
    .options = { "lesson", opts, WD_COUNT(opts) },
    .run = run,
};
