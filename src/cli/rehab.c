/* ward rehab: an exercise video becomes measurements and advice. */
#include "care/rehab.h"
#include "care/video_file.h"

#include <string.h>

#include "cli/ask.h"
#include "cli/data.h"
#include "cli/show.h"

typedef struct options {
    wd_model_args m;
    wd_ask_args a;
    const char *exercise, *view, *pose, *pose_model, *watch, *out;
    double samples, confidence;
    int64_t max_samples, width;
    bool json;
} options;

#define AT(field) offsetof(options, field)
/* clang-format off */
static const wd_opt opts[] = {
    WD_MODEL_OPTS(options, m),
    { "exercise", 'e', WD_OPT_STR, AT(exercise), NULL, 0, 0,
      "squat, wall_sit, straight_leg_raise, knee_extension, shoulder_abduction" },
    { "view", 0, WD_OPT_STR, AT(view), "auto", 0, 0, "where the camera stands: side, oblique, front, or auto" },
    { "pose", 0, WD_OPT_STR, AT(pose), NULL, 0, 0, "joints per frame from another estimator (docs/rehab.md)" },
    { "pose-model", 0, WD_OPT_STR, AT(pose_model), NULL, 0, 0, "another checkpoint that points at the joints" },
    { "samples", 0, WD_OPT_NUM, AT(samples), "5", 0.5, 60, "pictures per second that are looked at" },
    { "max-samples", 0, WD_OPT_INT, AT(max_samples), "600", 2, WD_REHAB_SAMPLES_MAX, "of a video" },
    { "width", 0, WD_OPT_INT, AT(width), "192", 32, 4096, "pixels of a picture's width as the model sees it" },
    { "min-confidence", 0, WD_OPT_NUM, AT(confidence), "0.3", 0, 1, "joints below it count as not seen" },
    { "watch", 'w', WD_OPT_STR, AT(watch), NULL, 0, 0, "what to look at in particular" },
    { "out", 'o', WD_OPT_STR, AT(out), NULL, 0, 0, "directory for rehab.json and rehab.md" },
    WD_ASK_OPTS(options, a, "rehab", "en", "en or zh", "1500"),
    { "json", 0, WD_OPT_BOOL, AT(json), "false", 0, 0, "the JSON on standard output instead of Markdown" },
};
/* clang-format on */

typedef struct job {
    wd_cli *cli;
    const options *o;
    wd_rehab_measure_opts measure;
    const char *video;        /* or NULL */
    wd_runtime *words, *eyes; /* NULL: none; may be the same */
    wd_progress progress;
    wd_pose_model model;
} job;

static wd_status check(job *j, const wd_opt_list *rest, wd_err *err)
{
    const options *o = j->o;
    if (!o->exercise)
        return WD_FAIL(err, WD_E_USAGE, "rehab needs the exercise: --exercise squat");
    j->measure = (wd_rehab_measure_opts){ .kind = wd_exercise_of(o->exercise),
                                          .min_confidence = o->confidence };
    if (j->measure.kind == WD_N_EXERCISE)
        return WD_FAIL(err, WD_E_USAGE,
                       "--exercise: \"%s\", expected squat, wall_sit, straight_leg_raise, "
                       "knee_extension or shoulder_abduction",
                       o->exercise);
    if (!wd_view_of(o->view, &j->measure.view))
        return WD_FAIL(err, WD_E_USAGE, "--view: \"%s\", expected side, oblique, front or auto", o->view);
    WD_TRY(wd_cli_language(o->a.language, err));
    if (o->pose ? rest->n > 1 : rest->n != 1)
        return WD_FAIL(err, WD_E_USAGE, "rehab takes one video, got %zu", rest->n);
    if (o->pose && o->pose_model)
        return WD_FAIL(err, WD_E_USAGE, "rehab: --pose and --pose-model both say where the joints come from");
    if (!o->pose && !o->m.model && !o->pose_model)
        return WD_FAIL(err, WD_E_USAGE, "rehab needs a model (-m) to find the joints, or --pose FILE");
    j->video = rest->n ? rest->v[0] : NULL;
    return WD_OK;
}

static void on_progress(void *self, uint64_t done, uint64_t total)
{
    wd_progress_at(&((job *)self)->progress, done, total);
}

static wd_status open_models(job *j, wd_err *err)
{
    if (j->o->m.model)
        WD_TRY(wd_runtime_open(j->cli, &j->o->m, &j->words, err));
    if (j->o->pose)
        return WD_OK;
    if (!j->o->pose_model) {
        j->eyes = j->words;
        return WD_OK;
    }
    wd_model_args m = j->o->m;
    m.model = j->o->pose_model;
    m.lora = (wd_opt_list){ 0 };
    return wd_runtime_open(j->cli, &m, &j->eyes, err);
}

static wd_status find_points(job *j, wd_pose_frame **frame, size_t *n, wd_err *err)
{
    if (j->o->pose)
        return wd_pose_read(j->o->pose, j->cli->arena, frame, n, err);
    j->model = WD_POSE_MODEL_DEFAULT;
    j->model.engine = wd_runtime_engine(j->eyes);
    j->model.cancel = &wd_cli_cancelled;
    if (!j->model.engine->info.sees)
        return WD_FAIL(err, WD_E_UNSUPPORTED,
                       "%s takes no pictures: give a vision model (--pose-model) or --pose FILE",
                       j->o->pose_model ? j->o->pose_model : j->o->m.model);
    WD_TRY(wd_data_find(j->cli, "prompts/pose.txt", &j->model.prompt_path, err));
    wd_video_source v;
    WD_TRY(wd_video_file_open(j->video, &wd_cli_cancelled, j->cli->arena, &v, err));
    const wd_pose port = wd_pose_of_model(&j->model);
    wd_pose_sampling s = WD_POSE_SAMPLING_DEFAULT;
    s.fps = j->o->samples;
    s.max_samples = (uint32_t)j->o->max_samples;
    s.max_width = (uint32_t)j->o->width;
    s.cancel = &wd_cli_cancelled;
    s.progress = on_progress;
    s.self = j;
    wd_progress_begin(&j->progress, "joints", "pictures");
    const wd_status st = wd_pose_video(&v, &port, &s, j->cli->arena, frame, n, err);
    wd_progress_end(&j->progress);
    return st;
}

static wd_status phrase(job *j, const wd_rehab_measured *m, wd_rehab *out, wd_err *err)
{
    wd_rehab_opts ro = { .watch_for = j->o->watch };
    WD_TRY(wd_cli_ask(j->cli, &j->o->a, "rehab", j->words, &ro.ask, err));
    wd_show show;
    wd_show_begin(&show, true);
    ro.ask.watch = wd_show_watch(&show);
    const wd_status st = wd_rehab_phrase(j->words ? wd_runtime_engine(j->words) : NULL, m, &ro, j->cli->arena,
                                         out, err);
    wd_show_end(&show);
    return st;
}

static wd_status work(job *j, wd_err *err)
{
    wd_pose_frame *frame = NULL;
    size_t n = 0;
    wd_rehab_measured m;
    wd_rehab r;
    WD_TRY(open_models(j, err));
    WD_TRY(find_points(j, &frame, &n, err));
    WD_TRY(wd_rehab_measure(frame, n, &j->measure, j->cli->arena, &m, err));
    WD_TRY(phrase(j, &m, &r, err));
    r.pose_source = j->o->pose ? "file" : "model";
    r.n_pose_asked = j->model.n_asked;
    r.n_pose_unread = j->model.n_unread;
    if (j->o->out)
        WD_TRY(wd_rehab_save(&r, j->o->out, err));
    wd_buf b = { 0 };
    wd_status st = wd_rehab_text(&r, j->o->json, &b, err);
    if (!st)
        st = wd_cli_print(wd_buf_view(&b), err);
    wd_buf_wipe(&b);
    return st;
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    options o = { 0 };
    wd_opt_list rest;
    WD_TRY(wd_cli_options(cli, &wd_cmd_rehab, argc, argv, &o, &rest, err));
    job j = { .cli = cli, .o = &o };
    WD_TRY(check(&j, &rest, err));
    const wd_status st = work(&j, err);
    if (j.eyes != j.words)
        wd_runtime_close(j.eyes);
    wd_runtime_close(j.words);
    return st;
}

const wd_command wd_cmd_rehab = {
    .name = "rehab",
    .brief = "measure an exercise in a video: angles, repetitions, faults, advice",
    .operands = "VIDEO",
    .about = "Finds the joints in a few pictures per second (a vision model points at them, or --pose gives "
             "those of\n"
             "another estimator), measures angles, repetitions and faults by geometry, and lets the model "
             "put the\n"
             "measurements into words. Numbers that were not measured are not let through. Film from the "
             "side, for\n"
             "the shoulder from the front. Without -m, --pose is measured and told in plain sentences.\n"
             "The result is a DRAFT: nothing for treatment until a physiotherapist has checked it.",
    .examples = "  ward rehab -m Qwen3-VL-8B-Instruct squat.mp4 --exercise squat\n"
                "  ward rehab -m Qwen3-4B --pose joints.json --exercise wall_sit -l zh --json\n",
    .options = { "rehab", opts, WD_COUNT(opts) },
    .run = run,
};
