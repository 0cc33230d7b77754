/* ward demo: every story on a synthetic case that no model was trained on, beside what is true of it.
 *
 * Each section is one case of an evaluation suite: made, run and compared by care/eval, so that what is shown here is
 * what `ward eval` measures. demo_judge.c says what agrees, demo_page.c and demo_text.c show it. */
#include "cli/demo/demo.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "care/eval/eval.h"
#include "care/phantom/phantom.h"
#include "care/rehab_pose.h"
#include "care/video_file.h"
#include "cli/ask.h"
#include "cli/data.h"
#include "cli/runtime.h"
#include "cli/study.h"

typedef struct options {
    wd_model_args m;
    const char *text_model, *out, *language;
    wd_opt_list only;
    int64_t seed, max_tokens;
    bool oracle, json;
} options;

#define AT(field) offsetof(options, field)
/* clang-format off */
static const wd_opt opts[] = {
    WD_MODEL_OPTS(options, m),
    { "text-model", 0, WD_OPT_STR, AT(text_model), NULL, 0, 0,
      "checkpoint that reads and writes without pictures; default: models/demo-text" },
    { "out", 'o', WD_OPT_STR, AT(out), "ward-demo", 0, 0, "directory for the cases, demo.json and index.html" },
    { "language", 'l', WD_OPT_STR, AT(language), "en", 0, 0, "en or zh" },
    { "seed", 0, WD_OPT_INT, AT(seed), "115", 0, WD_PHANTOM_TRAIN_SEED - 2, "draws other cases" },
    { "max-tokens", 'n', WD_OPT_INT, AT(max_tokens), "0", 0, 1 << 20, "of every reply; 0: as each story allows" },
    { "only", 0, WD_OPT_LIST, AT(only), NULL, 0, 0, "report, find, rehab, lesson or assist" },
    { "oracle", 0, WD_OPT_BOOL, AT(oracle), "false", 0, 0, "no model: answer with the truth, to which all must agree" },
    { "json", 0, WD_OPT_BOOL, AT(json), "false", 0, 0, "one JSON object on standard output" },
};
/* clang-format on */

#define TRUTH_BYTES_MAX ((size_t)16 << 20)
#define FRAMES_MAX 3

static const char *const notices[][2] = {
    { "Demonstration model, trained on synthetic cases only; not for clinical use.",
      "演示模型，仅用合成病例训练；不得用于临床。" },
    { "Models given by the user on synthetic cases; not for clinical use.",
      "用户自带模型，合成病例；不得用于临床。" },
    { "No model: every answer is the truth itself, to show what agreement looks like; not for clinical use.",
      "无模型：所有回答均为真值本身，仅示意一致时的样子；不得用于临床。" },
};

typedef struct demo {
    wd_cli *cli;
    const options *o;
    wd_runtime *sees, *reads;
    wd_oracle *oracle;
    wd_eval_run run; /* as far as all sections share it */
    wd_engine *eyes, *words;
    const char *eyes_path, *words_path, *eyes_digest, *words_digest;
    bool wanted[WD_DEMO_N];
    wd_progress progress;
    wd_demo d;
} demo;

static wd_status no_memory(wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "demo: no memory");
}

/* ---- options and models ---- */

static wd_status choose_sections(demo *d, wd_err *err)
{
    const wd_opt_list *only = &d->o->only;
    for (int s = 0; s < WD_DEMO_N; s++)
        d->wanted[s] = !only->n;
    for (size_t i = 0; i < only->n; i++) {
        int s = 0;
        while (s < WD_DEMO_N && strcmp(only->v[i], wd_demo_section_name((wd_demo_section)s)) != 0)
            s++;
        if (s == WD_DEMO_N)
            return WD_FAIL(err, WD_E_USAGE, "--only: \"%s\", expected report, find, rehab, lesson or assist",
                           only->v[i]);
        d->wanted[s] = true;
    }
    return WD_OK;
}

static wd_status open_one(demo *d, const char *path, wd_runtime **rt, const char **digest, wd_err *err)
{
    wd_model_args m = d->o->m;
    m.model = path;
    if (rt == &d->reads) { /* these are for the model with eyes */
        m.lora = (wd_opt_list){ 0 };
        m.mmproj = NULL;
    }
    WD_TRY(wd_runtime_open(d->cli, &m, rt, err));
    return wd_runtime_digest(*rt, d->cli->arena, digest, err);
}

static wd_status open_models(demo *d, wd_err *err)
{
    if (d->o->oracle) {
        WD_TRY(wd_oracle_create(NULL, &d->oracle, err));
        d->run.oracle = d->oracle;
        d->eyes = d->words = wd_oracle_engine(d->oracle);
        return WD_OK;
    }
    d->eyes_path = d->o->m.model;
    d->words_path = d->o->text_model;
    if (!d->eyes_path)
        WD_TRY(wd_data_find(d->cli, "models/demo", &d->eyes_path, err));
    wd_err unused;
    if (!d->words_path && wd_data_find(d->cli, "models/demo-text", &d->words_path, &unused))
        d->words_path = NULL;
    WD_TRY(open_one(d, d->eyes_path, &d->sees, &d->eyes_digest, err));
    d->eyes = wd_runtime_engine(d->sees);
    if (!d->eyes->info.sees)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s takes no pictures: the demo needs a vision model (-m)",
                       d->eyes_path);
    if (!d->words_path)
        return WD_OK;
    WD_TRY(open_one(d, d->words_path, &d->reads, &d->words_digest, err));
    d->words = wd_runtime_engine(d->reads);
    return WD_OK;
}

/* ---- one section ---- */

static const char *folder_of(wd_demo_section s)
{
    static const char *const names[] = { "ct", "ct", "exercise", "lesson", "chart" };
    return names[s];
}

/* The lesson's language goes by its seed. */
static uint64_t seed_of(const demo *d, wd_demo_section s)
{
    const uint64_t seed = (uint64_t)d->o->seed;
    return s == WD_DEMO_LESSON && (seed % 2 == 0) != d->d.zh ? seed + 1 : seed;
}

static wd_eval_run run_of(const demo *d, wd_demo_section s)
{
    wd_eval_run r = d->run;
    r.engine = s == WD_DEMO_ASSIST ? d->words : d->eyes;
    r.model_digest = s == WD_DEMO_ASSIST ? d->words_digest : d->eyes_digest;
    r.words = d->words;
    r.plain_words = !d->words;
    return r;
}

static wd_status run_case(demo *d, wd_demo_section s, const char *dir, json_t *section, wd_err *err)
{
    const wd_eval_suite *suite = wd_eval_find_suite(wd_demo_section_name(s));
    const char *path = wd_path_join(d->cli->arena, dir, "truth.json");
    const uint64_t seed = seed_of(d, s);
    double start = wd_clock_s();
    json_t *result = NULL, *metrics = NULL;
    if (!path)
        return no_memory(err);
    if (s != WD_DEMO_FIND || !d->wanted[WD_DEMO_REPORT])
        WD_TRY(suite->make(dir, seed, err));
    const double made_s = wd_clock_s() - start;
    WD_TRY(wd_json_read_file(path, TRUTH_BYTES_MAX, &d->d.truth[s], err));
    if (d->oracle)
        wd_oracle_case(d->oracle, suite->name, folder_of(s), seed);
    const wd_eval_run r = run_of(d, s);
    start = wd_clock_s();
    wd_status st = suite->run(&r, dir, d->d.truth[s], d->cli->arena, &result, err);
    const double seconds = wd_clock_s() - start;
    if (!st && json_object_set_new(result, "language", json_string(r.language)))
        st = no_memory(err);
    if (!st && !(metrics = json_object()))
        st = no_memory(err);
    if (!st)
        st = suite->score(&result, 1, metrics, err);
    if (!st) {
        json_object_del(metrics, "by");
        if (json_object_set_new(section, "made_s", json_real(made_s)) ||
            json_object_set_new(section, "seconds", json_real(seconds)) ||
            json_object_set(section, "metrics", metrics) || json_object_set(section, "result", result))
            st = no_memory(err);
    }
    json_decref(result);
    json_decref(metrics);
    return st ? st : wd_demo_judge(section, s, d->d.truth[s], r.language, err);
}

static wd_status run_section(demo *d, wd_demo_section s, wd_err *err)
{
    const char *dir = wd_path_join(d->cli->arena, d->o->out, folder_of(s)), *skipped = NULL;
    if (!dir)
        return no_memory(err);
    if (s == WD_DEMO_ASSIST && !d->words)
        skipped = d->d.zh ? "缺少文本模型 (models/demo-text)，本节略过；可用 --text-model 指定。"
                          : "Skipped: there is no text model (models/demo-text); give one with --text-model.";
    json_t *section = json_pack("{s:s, s:I, s:s?, s:n}", "case", folder_of(s), "seed",
                                (json_int_t)seed_of(d, s), "skipped", skipped, "agrees");
    if (json_object_set_new(json_object_get(d->d.all, "sections"), wd_demo_section_name(s), section))
        return no_memory(err);
    return skipped ? WD_OK : run_case(d, s, dir, section, err);
}

static wd_status run_sections(demo *d, wd_err *err)
{
    uint64_t n = 0, done = 0;
    for (int s = 0; s < WD_DEMO_N; s++)
        n += d->wanted[s];
    wd_progress_begin(&d->progress, "demo", "sections");
    wd_status st = WD_OK;
    for (int s = 0; s < WD_DEMO_N && !st; s++) {
        if (!d->wanted[s])
            continue;
        wd_progress_at(&d->progress, done++, n);
        st = run_section(d, (wd_demo_section)s, err);
    }
    wd_progress_end(&d->progress);
    return st;
}

/* ---- pictures ---- */

/* The slices as the model saw them. */
static wd_status take_slices(demo *d, wd_err *err)
{
    const char *series = wd_arena_printf(d->cli->arena, "%s/ct/series", d->o->out);
    const wd_slices_opts so = { .n_slice = d->run.n_slice,
                                .windows = d->run.windows,
                                .cancel = &wd_cli_cancelled };
    wd_study *study;
    if (!series)
        return no_memory(err);
    WD_TRY(wd_cli_study(d->cli, &series, 1, &study, err));
    return wd_slices_pick(study, &so, d->cli->arena, &d->d.slices, err);
}

typedef struct taking {
    wd_demo_frame *frame;
    wd_arena *arena;
} taking;

static wd_status take_frame(void *ctx, uint32_t i, const wd_image *im, wd_err *err)
{
    const taking *t = ctx;
    const size_t n = (size_t)im->width * im->height * 3;
    wd_image *to = &t->frame[i].image;
    *to = (wd_image){ WD_NEW_N(t->arena, uint8_t, n), im->width, im->height };
    if (!to->rgb)
        return no_memory(err);
    memcpy(to->rgb, im->rgb, n);
    return WD_OK;
}

/* Pictures of the video at frame[].time_s, which do not decrease. */
static wd_status take_frames(demo *d, wd_demo_section s, wd_demo_frame *frame, size_t n, wd_err *err)
{
    const char *path = wd_arena_printf(d->cli->arena, "%s/%s/video.mp4", d->o->out, folder_of(s));
    uint64_t *index = WD_NEW_N(d->cli->arena, uint64_t, n);
    wd_video_source v;
    if (!path || !index)
        return no_memory(err);
    WD_TRY(wd_video_file_open(path, &wd_cli_cancelled, d->cli->arena, &v, err));
    for (size_t i = 0; i < n; i++)
        index[i] = (uint64_t)fmin(fmax(frame[i].time_s * v.fps, 0), (double)v.n_frame - 1);
    taking t = { frame, d->cli->arena };
    return v.frames(v.self, index, (uint32_t)n, take_frame, &t, err);
}

/* Of each true step, half way. */
static wd_status take_lesson(demo *d, wd_err *err)
{
    const json_t *steps = json_object_get(d->d.truth[WD_DEMO_LESSON], "steps");
    const size_t n = json_array_size(steps);
    wd_demo_frame *f = WD_NEW_N(d->cli->arena, wd_demo_frame, n);
    if (!f)
        return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        const json_t *step = json_array_get(steps, i);
        f[i].sample = i;
        f[i].time_s = (wd_demo_num(step, "start_s") + wd_demo_num(step, "end_s")) / 2;
    }
    WD_TRY(take_frames(d, WD_DEMO_LESSON, f, n, err));
    d->d.lesson = f;
    d->d.n_lesson = n;
    return WD_OK;
}

static size_t nearest_sample(const json_t *times, double t)
{
    size_t best = 0;
    for (size_t i = 0; i < json_array_size(times); i++)
        if (fabs(json_number_value(json_array_get(times, i)) - t) <
            fabs(json_number_value(json_array_get(times, best)) - t))
            best = i;
    return best;
}

/* At rest, then in the middle of the first true repetitions: pictures that were looked at. */
static wd_status take_exercise(demo *d, wd_err *err)
{
    const json_t *result = json_object_get(wd_demo_at(&d->d, WD_DEMO_REHAB), "result"),
                 *draft = json_object_get(result, "draft"),
                 *times = json_object_get(json_object_get(draft, "angles"), "time_s"),
                 *reps = json_object_get(d->d.truth[WD_DEMO_REHAB], "repetitions");
    wd_demo_frame *f = WD_NEW_N(d->cli->arena, wd_demo_frame, FRAMES_MAX);
    size_t n = 0;
    if (!f)
        return no_memory(err);
    for (size_t i = 0; i < FRAMES_MAX && i <= json_array_size(reps) && json_array_size(times); i++) {
        const json_t *rep = json_array_get(reps, i - 1);
        const double t = i ? (wd_demo_num(rep, "start_s") + wd_demo_num(rep, "end_s")) / 2 : 0;
        const size_t sample = nearest_sample(times, t);
        if (n && f[n - 1].sample >= sample)
            continue;
        f[n].sample = sample;
        f[n++].time_s = json_number_value(json_array_get(times, sample));
    }
    if (n)
        WD_TRY(take_frames(d, WD_DEMO_REHAB, f, n, err));
    d->d.exercise = f;
    d->d.n_exercise = n;
    return WD_OK;
}

static wd_status take_pictures(demo *d, wd_err *err)
{
    if (d->wanted[WD_DEMO_REPORT] || d->wanted[WD_DEMO_FIND])
        WD_TRY(take_slices(d, err));
    if (d->wanted[WD_DEMO_REHAB])
        WD_TRY(take_exercise(d, err));
    return d->wanted[WD_DEMO_LESSON] ? take_lesson(d, err) : WD_OK;
}

/* ---- all ---- */

static json_t *engine_json(const wd_engine *e, const char *path, const char *digest)
{
    return e ? json_pack("{s:s?, s:s, s:s?}", "model", path, "name", e->info.name, "digest", digest)
             : json_null();
}

static wd_status begin(demo *d, wd_err *err)
{
    const options *o = d->o;
    const int notice = o->oracle ? 2 : o->m.model || o->text_model ? 1 : 0;
    const char *page = wd_path_join(d->cli->arena, o->out, "index.html");
    WD_TRY(wd_data_find(d->cli, "prompts", &d->run.prompts_dir, err));
    WD_TRY(open_models(d, err));
    json_t *engines = json_pack("{s:o, s:o}", "sees", engine_json(d->eyes, d->eyes_path, d->eyes_digest),
                                "reads", engine_json(d->words, d->words_path, d->words_digest));
    d->d.all = json_pack("{s:I, s:s, s:s, s:s, s:s?, s:o, s:f, s:{}}", "seed", (json_int_t)o->seed,
                         "language", o->language, "notice", notices[notice][d->d.zh], "out", o->out, "page",
                         page, "engine", engines, "seconds", 0.0, "sections");
    return d->d.all && page ? wd_file_mkdirs(o->out, err) : no_memory(err);
}

static wd_status write_file(demo *d, const char *name, const wd_buf *b, wd_err *err)
{
    const char *path = wd_path_join(d->cli->arena, d->o->out, name);
    WD_TRY(wd_buf_check(b, name, err));
    return path ? wd_file_write(path, wd_buf_view(b), err) : no_memory(err);
}

static wd_status save(demo *d, wd_err *err)
{
    wd_buf b = { 0 };
    wd_status st = wd_json_write(d->d.all, JSON_INDENT(1), &b, err);
    wd_buf_char(&b, '\n');
    if (!st)
        st = write_file(d, "demo.json", &b, err);
    wd_buf_clear(&b);
    if (!st)
        st = wd_demo_page(&d->d, &b, err);
    if (!st)
        st = write_file(d, "index.html", &b, err);
    wd_buf_free(&b);
    return st;
}

static wd_status show(demo *d, wd_err *err)
{
    if (d->o->json)
        return wd_cli_print_json(json_incref(d->d.all), err);
    wd_buf b = { 0 };
    wd_status st = wd_demo_text(&d->d, isatty(STDOUT_FILENO) == 1, &b, err);
    if (!st)
        st = wd_cli_print(wd_buf_view(&b), err);
    wd_buf_free(&b);
    return st;
}

static wd_status work(demo *d, wd_err *err)
{
    const double start = wd_clock_s();
    WD_TRY(begin(d, err));
    WD_TRY(run_sections(d, err));
    WD_TRY(take_pictures(d, err));
    if (json_object_set_new(d->d.all, "seconds", json_real(wd_clock_s() - start)))
        return no_memory(err);
    WD_TRY(save(d, err));
    return show(d, err);
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    options o = { 0 };
    wd_opt_list rest;
    WD_TRY(wd_cli_options(cli, &wd_cmd_demo, argc, argv, &o, &rest, err));
    if (rest.n)
        return WD_FAIL(err, WD_E_USAGE, "demo takes no operand, got \"%s\"", rest.v[0]);
    WD_TRY(wd_cli_language(o.language, err));
    if (o.oracle && (o.m.model || o.text_model))
        return WD_FAIL(err, WD_E_USAGE, "demo: --oracle asks no model; leave -m and --text-model out");
    demo d = { .cli = cli, .o = &o, .run = WD_EVAL_RUN_DEFAULT, .d.zh = !strcmp(o.language, "zh") };
    d.run.language = o.language;
    d.run.detail = true;
    d.run.max_tokens = (uint32_t)o.max_tokens;
    d.run.cancel = &wd_cli_cancelled;
    WD_TRY(choose_sections(&d, err));
    const wd_status st = work(&d, err);
    wd_runtime_close(d.sees);
    wd_runtime_close(d.reads);
    wd_oracle_destroy(d.oracle);
    for (int s = 0; s < WD_DEMO_N; s++)
        json_decref(d.d.truth[s]);
    json_decref(d.d.all);
    return st;
}

const wd_command wd_cmd_demo = {
    .name = "demo",
    .brief = "every story on a synthetic case, beside what is true of it",
    .operands = "",
    .about = "Draws cases that no model was trained on (a chest CT, an exercise video, a teaching video, a "
             "chart),\n"
             "runs the stories on them, and shows what came out beside the truth: in the terminal and as one "
             "HTML\n"
             "page, OUT/index.html. What agrees is decided by the comparison that `ward eval` measures "
             "with.\n"
             "The bundled models are demonstration models, trained on synthetic cases only; not for clinical "
             "use.",
    .examples = "  ward demo\n  ward demo --seed 7 -l zh -o /tmp/demo --json\n"
                "  ward demo --only report --only find -m Qwen3-VL-8B-Instruct\n",
    .options = { "demo", opts, WD_COUNT(opts) },
    .run = run,
};
