/* ward phantom: writes synthetic cases with their truth. */
#include <string.h>

#include "care/phantom/chart.h"
#include "care/phantom/ct.h"
#include "care/phantom/exercise.h"
#include "care/phantom/lesson.h"
#include "cli/cli.h"

typedef struct options {
    const char *out, *seeds;
    int64_t seed, slices, matrix;
    double noise;
    bool json, points;
} options;

#define AT(field) offsetof(options, field)
/* clang-format off */
static const wd_opt opts[] = {
    { "out", 'o', WD_OPT_STR, AT(out), NULL, 0, 0, "folder of the case; of the cases, by seed, with --seeds" },
    { "seed", 's', WD_OPT_INT, AT(seed), "1", 0, 1e15, "what it is drawn from; from 1000000 on: for training" },
    { "seeds", 0, WD_OPT_STR, AT(seeds), NULL, 0, 0, "several, A..B" },
    { "slices", 0, WD_OPT_INT, AT(slices), "12", 8, WD_CT_SLICES_MAX, "ct: slices over 240 mm" },
    { "matrix", 0, WD_OPT_INT, AT(matrix), "256", 64, 512, "ct: pixels of a slice's side" },
    { "points", 0, WD_OPT_BOOL, AT(points), "false", 0, 0, "exercise: pose.json, the joints, instead of the video" },
    { "noise", 0, WD_OPT_NUM, AT(noise), "0", 0, 100, "exercise: deviation of those joints in pixels" },
    { "json", 0, WD_OPT_BOOL, AT(json), "false", 0, 0, "one JSON object on standard output" },
};
/* clang-format on */

#define SEEDS_MAX 1000000 /* of one call */

/* One case into a folder. *says: a line about it for people, in the arena of the command. */
typedef struct kind {
    const char *name;
    wd_status (*write)(wd_cli *cli, const options *o, uint64_t seed, const char *dir, const char **says,
                       wd_err *err);
} kind;

static wd_status write_ct(wd_cli *cli, const options *o, uint64_t seed, const char *dir, const char **says,
                          wd_err *err)
{
    const wd_ct_opts co = { .seed = seed, .n_slice = (uint32_t)o->slices, .matrix = (uint32_t)o->matrix };
    wd_ct *ct = NULL;
    wd_buf b = { 0 };
    WD_TRY(wd_ct_create(&co, &ct, err));
    wd_status st = wd_ct_write(ct, dir, err);
    size_t n;
    const wd_ct_finding *f = wd_ct_findings(ct, &n);
    wd_buf_printf(&b, "%s: %u slices of %u x %u", dir, co.n_slice, co.matrix, co.matrix);
    for (size_t i = 0; i < n; i++) {
        wd_buf_printf(&b, "%s%s (slice", i ? " " : "; ", f[i].text[WD_CT_EN]);
        for (uint32_t k = 0; k < f[i].n_slice; k++)
            wd_buf_printf(&b, " %u", f[i].slice[k]);
        wd_buf_str(&b, ")");
    }
    wd_buf_str(&b, n ? "\n" : "; nothing found in it\n");
    if (!st)
        st = wd_buf_check(&b, "phantom", err);
    *says = st ? NULL : wd_arena_strndup(cli->arena, (const char *)b.p, b.n);
    if (!st && !*says)
        st = WD_FAIL(err, WD_E_NOMEM, "phantom: no memory");
    wd_buf_free(&b);
    wd_ct_destroy(ct);
    return st;
}

static wd_status write_exercise(wd_cli *cli, const options *o, uint64_t seed, const char *dir,
                                const char **says, wd_err *err)
{
    WD_TRY(o->points ? wd_exercise_write_points(dir, seed, o->noise, err)
                     : wd_exercise_write(dir, seed, err));
    wd_arena *a = wd_arena_create(8u << 20, false);
    wd_exercise *x = NULL;
    wd_status st = a ? wd_exercise_plan(seed, a, &x, err) : WD_FAIL(err, WD_E_NOMEM, "phantom: no memory");
    if (!st) {
        const wd_exercise_info *i = wd_exercise_info_of(x);
        *says = wd_arena_printf(cli->arena, "%s: %s, %s view, %u frames, repetitions %u, faults %u\n", dir,
                                wd_rehab_rule_of(i->kind)->title[0], wd_exercise_camera_name(i->camera),
                                i->n_frame, i->n_rep, i->n_fault);
        if (!*says)
            st = WD_FAIL(err, WD_E_NOMEM, "phantom: no memory");
    }
    wd_arena_destroy(a);
    return st;
}

static wd_status write_chart(wd_cli *cli, const options *o, uint64_t seed, const char *dir, const char **says,
                             wd_err *err)
{
    (void)o;
    WD_TRY(wd_phantom_chart_write(dir, seed, err));
    *says = wd_arena_printf(cli->arena, "%s: a chart with %d questions\n", dir, WD_CHART_QUESTIONS);
    return *says ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "phantom: no memory");
}

static wd_status write_lesson(wd_cli *cli, const options *o, uint64_t seed, const char *dir,
                              const char **says, wd_err *err)
{
    (void)o;
    WD_TRY(wd_phantom_lesson(dir, seed, err));
    *says = wd_arena_printf(cli->arena, "%s: a teaching video in %s\n", dir,
                            seed % 2 ? "English" : "Chinese");
    return *says ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "phantom: no memory");
}

static const kind kinds[] = {
    { "ct", write_ct },
    { "exercise", write_exercise },
    { "chart", write_chart },
    { "lesson", write_lesson },
};

static wd_status find_kind(const wd_opt_list *rest, const kind **out, wd_err *err)
{
    for (size_t i = 0; rest->n == 1 && i < WD_COUNT(kinds); i++)
        if (!strcmp(kinds[i].name, rest->v[0])) {
            *out = &kinds[i];
            return WD_OK;
        }
    if (rest->n == 1)
        return WD_FAIL(err, WD_E_USAGE, "phantom: no kind \"%s\"; ward help phantom lists them", rest->v[0]);
    return WD_FAIL(err, WD_E_USAGE, "phantom takes one operand, the kind of case, got %zu", rest->n);
}

static wd_status read_seeds(const options *o, uint64_t *from, uint64_t *to, wd_err *err)
{
    unsigned long long a, b;
    int used = 0;
    *from = *to = (uint64_t)o->seed;
    if (!o->seeds)
        return WD_OK;
    if (strspn(o->seeds, "0123456789.") != strlen(o->seeds) || strlen(o->seeds) > 34 ||
        sscanf(o->seeds, "%15llu..%15llu%n", &a, &b, &used) != 2 || o->seeds[used] || b < a ||
        b - a >= SEEDS_MAX)
        return WD_FAIL(err, WD_E_USAGE, "--seeds: \"%s\", expected A..B, at most %d seeds", o->seeds,
                       SEEDS_MAX);
    *from = a;
    *to = b;
    return WD_OK;
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    options o = { 0 };
    wd_opt_list rest;
    const kind *k = NULL;
    uint64_t from, to;
    WD_TRY(wd_cli_options(cli, &wd_cmd_phantom, argc, argv, &o, &rest, err));
    WD_TRY(find_kind(&rest, &k, err));
    WD_TRY(read_seeds(&o, &from, &to, err));
    if (!o.out)
        return WD_FAIL(err, WD_E_USAGE, "ward phantom needs a folder to write to: -o DIRECTORY");
    json_t *cases = json_array();
    wd_progress p;
    wd_status st = cases ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "phantom: no memory");
    wd_progress_begin(&p, "phantom", "cases");
    for (uint64_t seed = from; !st && seed <= to; seed++) {
        const char *says,
            *dir = o.seeds ? wd_arena_printf(cli->arena, "%s/%llu", o.out, (unsigned long long)seed) : o.out;
        if (atomic_load(&wd_cli_cancelled))
            st = WD_FAIL(err, WD_E_CANCELLED, "cancelled after %llu cases",
                         (unsigned long long)(seed - from));
        else if (!dir)
            st = WD_FAIL(err, WD_E_NOMEM, "phantom: no memory");
        if (!st)
            st = k->write(cli, &o, seed, dir, &says, err);
        if (!st && !o.json) {
            wd_progress_end(&p);
            st = wd_cli_print(wd_span_str(says), err);
        }
        if (!st && o.json &&
            json_array_append_new(cases, json_pack("{s:I, s:s}", "seed", (json_int_t)seed, "dir", dir)))
            st = WD_FAIL(err, WD_E_NOMEM, "phantom: no memory");
        wd_progress_at(&p, seed - from + 1, to - from + 1);
    }
    wd_progress_end(&p);
    if (!st && o.json)
        return wd_cli_print_json(json_pack("{s:s, s:o}", "kind", k->name, "cases", cases), err);
    json_decref(cases);
    return st;
}

const wd_command wd_cmd_phantom = {
    .name = "phantom",
    .brief = "synthetic cases with their truth, drawn from seeds",
    .operands = "KIND",
    .about =
        "Writes a synthetic case and truth.json beside it, for demonstrations, tests and evaluation. The\n"
        "same seed gives the same bytes. Nobody is depicted.\n\n"
        "  ct        a chest CT series (DICOM): nodules, consolidation, effusion, emphysema or nothing\n"
        "  exercise  a video of an exercise (MP4): squat, wall sit, straight-leg raise, knee extension,\n"
        "            shoulder abduction, with repetitions and faults\n"
        "  chart     a patient's records (FHIR), with questions, the tool calls and the answers they need\n"
        "  lesson    a teaching video (MP4): title, steps, terms; odd seeds English, even ones Chinese",
    .examples = "  ward phantom ct --seed 7 -o case\n  ward phantom ct --seeds 1..200 -o cases --json\n",
    .options = { "phantom", opts, WD_COUNT(opts) },
    .run = run,
};
