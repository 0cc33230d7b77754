/* The suite "rehab": exercises are measured, and the words about them checked.
 *
 * A case holds pose.json (care/rehab_pose.h) of any estimator, or a video whose joints the model is asked to point at.
 * Its truth says the exercise, its repetitions and faults and, if known, the main angle of every frame (docs/cases.md).
 *
 *   reps_exact     of cases: as many repetitions as there were
 *   fault_f1       over all faults: same type, and at least half of the shorter one's time in common
 *   angle_mae_deg  mean difference of the main angle, over all frames that were looked at and could be measured
 *   phrase_ok      of cases: the model gave issue, cause and advice for each measured fault and a summary, all of them
 *                  passing the story's checks, and spoke of no other fault
 */
#include <math.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "care/eval/case.h"
#include "care/eval/eval.h"
#include "care/phantom/exercise.h"
#include "care/phantom/exercise_words.h"
#include "care/rehab.h"
#include "care/video_file.h"

#define FAULTS_MAX 1000u
#define MAX_TOKENS 1500u

static wd_status no_memory(wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "evaluation: no memory");
}

/* ---- a case ---- */

static wd_status read_kind(const json_t *truth, const char *where, wd_exercise_kind *out, wd_err *err)
{
    const char *name;
    WD_TRY(wd_json_need_str(truth, where, "exercise", &name, err));
    *out = wd_exercise_of(name);
    if (*out == WD_N_EXERCISE)
        return WD_FAIL(err, WD_E_INVALID, "%s: exercise: no exercise of that name is known", where);
    return WD_OK;
}

/* The pointing model; told the answer first when there is an oracle. */
typedef struct pointing {
    wd_pose inner;
    wd_oracle *oracle;
    const json_t *joints; /* [frame][joint][2] in pixels of the video */
    uint32_t width, height;
} pointing;

static wd_status point(void *self, const wd_image *im, uint64_t frame, wd_pose_point out[WD_N_JOINT],
                       wd_err *err)
{
    const pointing *p = self;
    if (p->oracle) {
        wd_pose_point at[WD_N_JOINT] = { 0 };
        const json_t *now = json_array_get(p->joints, (size_t)frame);
        wd_buf b = { 0 };
        for (size_t j = 0; j < WD_N_JOINT; j++) {
            const json_t *v = json_array_get(now, j);
            if (json_array_size(v) == 2)
                at[j] = (wd_pose_point){ json_number_value(json_array_get(v, 0)) * im->width / p->width,
                                         json_number_value(json_array_get(v, 1)) * im->height / p->height,
                                         1 };
        }
        wd_pose_reply(at, im->width, im->height, &b);
        if (b.failed) {
            wd_buf_free(&b);
            return no_memory(err);
        }
        wd_oracle_expect(p->oracle, wd_buf_view(&b));
        wd_buf_free(&b);
    }
    return p->inner.points(p->inner.self, im, frame, out, err);
}

static wd_status find_points(const wd_eval_run *r, const char *dir, const json_t *truth, wd_arena *a,
                             wd_pose_frame **out, size_t *n, bool *by_model, wd_err *err)
{
    const char *file = wd_path_join(a, dir, "pose.json"), *path = wd_path_join(a, dir, "video.mp4");
    wd_pose_model m = WD_POSE_MODEL_DEFAULT;
    m.engine = r->engine;
    m.max_tokens = r->max_tokens ? r->max_tokens : m.max_tokens;
    m.cancel = r->cancel;
    m.prompt_path = wd_path_join(a, r->prompts_dir, "pose.txt");
    if (!file || !path || !m.prompt_path)
        return no_memory(err);
    *by_model = !wd_file_exists(file);
    if (!*by_model)
        return wd_pose_read(file, a, out, n, err);
    wd_video_source v;
    WD_TRY(wd_video_file_open(path, r->cancel, a, &v, err));
    pointing p = { .inner = wd_pose_of_model(&m),
                   .oracle = r->oracle,
                   .joints = json_object_get(truth, "joints"),
                   .width = v.width,
                   .height = v.height };
    const wd_pose port = { &p, point };
    wd_pose_sampling o = WD_POSE_SAMPLING_DEFAULT;
    o.cancel = r->cancel;
    return wd_pose_video(&v, &port, &o, a, out, n, err);
}

/* The right words about what was measured. */
static wd_status right_reply(const wd_rehab_measured *m, wd_arena *a, bool zh, wd_buf *out, wd_err *err)
{
    wd_rehab_issue issue[WD_N_FAULT];
    uint32_t n;
    if (!wd_rehab_issues(m, a, issue, &n))
        return no_memory(err);
    json_t *faults = json_array();
    for (uint32_t i = 0; i < n; i++) {
        wd_exercise_said s = {
            .exercise = m->kind, .kind = issue[i].kind, .zh = zh, .worst_deg = issue[i].worst_deg
        };
        wd_exercise_phrase p;
        for (uint32_t k = 0; k < issue[i].n_rep && k < WD_EXERCISE_SAID_REPS; k++)
            s.rep[s.n_rep++] = issue[i].rep[k];
        wd_exercise_say(&s, &p);
        json_array_append_new(faults, json_pack("{s:s, s:s, s:s, s:s}", "type", wd_rehab_fault_name(s.kind),
                                                "issue", p.issue, "cause", p.cause, "advice", p.advice));
    }
    char summary[320];
    wd_exercise_sum_up(m->kind, zh, m->n_rep, m->n_rep ? m->rep[0].hold_s : 0, n, summary);
    json_t *v = json_pack("{s:o, s:s}", "faults", faults, "summary", summary);
    const wd_status st = v ? wd_json_write(v, 0, out, err) : no_memory(err);
    json_decref(v);
    return st ? st : wd_buf_check(out, "reply", err);
}

static json_t *faults_json(const wd_rehab_measured *m)
{
    json_t *a = json_array();
    for (uint32_t i = 0; i < m->n_fault; i++)
        json_array_append_new(a, json_pack("{s:s, s:f, s:f}", "type", wd_rehab_fault_name(m->fault[i].kind),
                                           "start_s", m->fault[i].start_s, "end_s", m->fault[i].end_s));
    return a;
}

/* [{"type", "start_s", "end_s"}] of the truth, checked. */
static wd_status true_faults(const json_t *truth, const char *where, json_t **out, wd_err *err)
{
    json_t *list, *kept;
    WD_TRY(wd_json_arr(truth, where, "faults", &list, err));
    if (json_array_size(list) > FAULTS_MAX)
        return WD_FAIL(err, WD_E_LIMIT, "%s: faults: more than %u", where, FAULTS_MAX);
    if (!(kept = json_array()))
        return no_memory(err);
    wd_status st = WD_OK;
    for (size_t i = 0; !st && i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        const char *type;
        double from, to;
        st = wd_json_need_str(v, where, "type", &type, err);
        if (!st)
            st = wd_json_num(v, where, "start_s", 0, 1e6, -1, &from, err);
        if (!st)
            st = wd_json_num(v, where, "end_s", 0, 1e6, -1, &to, err);
        if (!st && (wd_rehab_fault_of(type) == WD_N_FAULT || from < 0 || to < from))
            st = WD_FAIL(err, WD_E_INVALID,
                         "%s: faults[%zu]: expected a known type, start_s and a later end_s", where, i);
        if (!st)
            json_array_append_new(kept,
                                  json_pack("{s:s, s:f, s:f}", "type", type, "start_s", from, "end_s", to));
    }
    if (st)
        json_decref(kept);
    else
        *out = kept;
    return st;
}

/* [[true, measured or null]] of the frames looked at, as far as the truth knows the main angle. */
static json_t *angles_json(const wd_rehab_measured *m, const json_t *truth)
{
    const json_t *main = json_object_get(json_object_get(truth, "angles"), "main");
    json_t *a = json_array();
    for (uint32_t i = 0; i < m->n_sample; i++) {
        const json_t *v = json_array_get(main, (size_t)m->sample[i].frame);
        if (json_is_number(v))
            json_array_append_new(
                a, json_pack("[f, o]", json_number_value(v),
                             isfinite(m->sample[i].main) ? json_real(m->sample[i].main) : json_null()));
    }
    return a;
}

static bool phrases_hold(const wd_rehab *r)
{
    bool good = r->asked && r->parsed && r->summary_by_model && !r->n_invented;
    for (uint32_t i = 0; i < r->n_issue; i++)
        good &= r->issue[i].by_model && r->issue[i].cause && r->issue[i].advice;
    return good;
}

/* ---- scoring ---- */

typedef struct tally {
    size_t n, exact, asked, phrased;
    size_t hit, said, truth; /* faults */
    double off;
    size_t n_off;
} tally;

static double num(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static const char *str(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static bool same_fault(const json_t *a, const json_t *b)
{
    const double both = fmin(num(a, "end_s"), num(b, "end_s")) - fmax(num(a, "start_s"), num(b, "start_s"));
    const double shorter = fmin(num(a, "end_s") - num(a, "start_s"), num(b, "end_s") - num(b, "start_s"));
    return !strcmp(str(a, "type"), str(b, "type")) && both >= 0.5 * shorter && both >= 0;
}

static int set_match(json_t *fault, size_t other)
{
    return json_object_set_new(fault, "match", json_integer((json_int_t)other));
}

/* Pairs them off in order; each counts once. bad not NULL: sets "match" of both, *bad when out of memory. */
static size_t match_faults(const json_t *truth, const json_t *said, bool *bad)
{
    bool used[FAULTS_MAX] = { false };
    size_t hit = 0;
    for (size_t i = 0; i < json_array_size(truth); i++) {
        for (size_t k = 0; k < json_array_size(said) && k < FAULTS_MAX; k++) {
            if (!used[k] && same_fault(json_array_get(truth, i), json_array_get(said, k))) {
                used[k] = true;
                hit++;
                if (bad && (set_match(json_array_get(truth, i), k) || set_match(json_array_get(said, k), i)))
                    *bad = true;
                break;
            }
        }
    }
    return hit;
}

/* [[[x, y] or null of each joint]] of the frames looked at, in pixels of the video. */
static json_t *joints_json(const wd_pose_frame *frame, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *now = json_array();
        for (size_t j = 0; j < WD_N_JOINT; j++) {
            const wd_pose_point *p = &frame[i].joint[j];
            json_array_append_new(now, p->confidence > 0 ? json_pack("[f, f]", p->x, p->y) : json_null());
        }
        json_array_append_new(a, now);
    }
    return a;
}

/* "match" of each fault, said or true: the number of its partner on the other side, null without one. */
static wd_status mark_matches(const json_t *result, wd_err *err)
{
    const json_t *truth = json_object_get(result, "faults_true"), *said = json_object_get(result, "faults");
    bool bad = false;
    for (size_t k = 0; k < json_array_size(said); k++)
        bad |= json_object_set_new(json_array_get(said, k), "match", json_null()) != 0;
    for (size_t i = 0; i < json_array_size(truth); i++)
        bad |= json_object_set_new(json_array_get(truth, i), "match", json_null()) != 0;
    match_faults(truth, said, &bad);
    return bad ? no_memory(err) : WD_OK;
}

static wd_status run(const wd_eval_run *r, const char *dir, const json_t *truth, wd_arena *a, json_t **out,
                     wd_err *err)
{
    const char *where = wd_path_join(a, dir, "truth.json");
    wd_rehab_opts o = { 0 };
    wd_rehab_measure_opts mo = { .view = WD_VIEW_AUTO, .min_confidence = 0.3 };
    json_t *reps, *faults = NULL;
    if (!where)
        return no_memory(err);
    WD_TRY(wd_eval__ask(r, "rehab", MAX_TOKENS, a, &o.ask, err));
    WD_TRY(read_kind(truth, where, &mo.kind, err));
    WD_TRY(wd_json_arr(truth, where, "repetitions", &reps, err));
    if (!reps)
        return WD_FAIL(err, WD_E_INVALID, "%s: repetitions is missing", where);
    wd_pose_frame *frame = NULL;
    size_t n;
    bool by_model = false;
    WD_TRY(find_points(r, dir, truth, a, &frame, &n, &by_model, err));
    wd_rehab_measured m;
    WD_TRY(wd_rehab_measure(frame, n, &mo, a, &m, err));
    if (r->oracle && !r->plain_words && !m.main_why) {
        wd_buf b = { 0 };
        const wd_status st = right_reply(&m, a, !strcmp(r->language, "zh"), &b, err);
        if (!st)
            wd_oracle_expect(r->oracle, wd_buf_view(&b));
        wd_buf_free(&b);
        WD_TRY(st);
    }
    wd_rehab rehab;
    wd_engine *words = r->plain_words ? NULL : r->words ? r->words : r->engine;
    WD_TRY(wd_rehab_phrase(words, &m, &o, a, &rehab, err));
    WD_TRY(true_faults(truth, where, &faults, err));
    *out = json_pack("{s:s, s:s, s:s, s:i, s:i, s:o, s:o, s:o, s:b, s:b, s:s, s:s}", "exercise",
                     wd_rehab_rule_of(m.kind)->name, "points", by_model ? "model" : "file", "view",
                     wd_view_name(m.view), "reps_true", (int)json_array_size(reps), "reps", (int)m.n_rep,
                     "faults_true", faults, "faults", faults_json(&m), "angles", angles_json(&m, truth),
                     "asked", rehab.asked, "phrase_ok", phrases_hold(&rehab), "confidence",
                     wd_rehab_confidence(&m), "reply", rehab.raw);
    if (!*out)
        return no_memory(err);
    rehab.pose_source = by_model ? "model" : "file";
    wd_status st = mark_matches(*out, err);
    if (!st && r->detail &&
        (json_object_set_new(*out, "draft", wd_rehab_json(&rehab)) ||
         json_object_set_new(*out, "joints", joints_json(frame, n))))
        st = no_memory(err);
    if (st) {
        json_decref(*out);
        *out = NULL;
    }
    return st;
}

static wd_status make(const char *dir, uint64_t seed, wd_err *err)
{
    return wd_exercise_write(dir, seed, err);
}

static void add_case(tally *t, const json_t *r)
{
    const json_t *truth = json_object_get(r, "faults_true"), *said = json_object_get(r, "faults"),
                 *angles = json_object_get(r, "angles");
    t->n++;
    t->exact += num(r, "reps") == num(r, "reps_true");
    t->asked += json_is_true(json_object_get(r, "asked"));
    t->phrased += json_is_true(json_object_get(r, "phrase_ok"));
    t->hit += match_faults(truth, said, NULL);
    t->said += json_array_size(said);
    t->truth += json_array_size(truth);
    for (size_t i = 0; i < json_array_size(angles); i++) {
        const json_t *v = json_array_get(angles, i), *got = json_array_get(v, 1);
        if (json_is_number(got)) {
            t->off += fabs(json_number_value(got) - json_number_value(json_array_get(v, 0)));
            t->n_off++;
        }
    }
}

static double share(size_t part, size_t of)
{
    return of ? (double)part / (double)of : 0;
}

static wd_status set_all(const tally *t, json_t *metrics, bool phrases, wd_err *err)
{
    const size_t either = t->said + t->truth;
    WD_TRY(wd_eval_set(metrics, "reps_exact", share(t->exact, t->n), t->n, err));
    WD_TRY(wd_eval_set(metrics, "fault_f1", share(2 * t->hit, either), either, err));
    WD_TRY(wd_eval_set(metrics, "angle_mae_deg", t->n_off ? t->off / (double)t->n_off : 0, t->n_off, err));
    return wd_eval_set(metrics, "phrase_ok", share(t->phrased, t->n), phrases ? t->n : 0, err);
}

static wd_status score(json_t *const *result, size_t n, json_t *metrics, wd_err *err)
{
    tally all = { 0 };
    json_t *by = json_object();
    if (!by || json_object_set_new(metrics, "by", by))
        return no_memory(err);
    for (size_t i = 0; i < n; i++)
        add_case(&all, result[i]);
    for (int k = 0; k < WD_N_EXERCISE; k++) {
        const char *name = wd_rehab_rule_of((wd_exercise_kind)k)->name;
        tally one = { 0 };
        for (size_t i = 0; i < n; i++)
            if (!strcmp(str(result[i], "exercise"), name))
                add_case(&one, result[i]);
        json_t *o = json_object();
        if (!o)
            return no_memory(err);
        wd_status st = set_all(&one, o, true, err);
        if (!st && one.n && json_object_set(by, name, o))
            st = no_memory(err);
        json_decref(o);
        WD_TRY(st);
    }
    return set_all(&all, metrics, true, err);
}

/* ---- the blind baseline ---- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of all true angles: the one answer with the least mean error. */
static double median_angle(json_t *const *result, size_t n, wd_err *err, wd_status *st)
{
    size_t count = 0, at = 0;
    for (size_t i = 0; i < n; i++)
        count += json_array_size(json_object_get(result[i], "angles"));
    double *v = WD_ALLOC_N(double, count ? count : 1), median = 0;
    *st = v ? WD_OK : no_memory(err);
    for (size_t i = 0; v && i < n; i++) {
        const json_t *a = json_object_get(result[i], "angles");
        for (size_t k = 0; k < json_array_size(a); k++)
            v[at++] = json_number_value(json_array_get(json_array_get(a, k), 0));
    }
    if (v && count) {
        qsort(v, count, sizeof *v, by_value);
        median = v[count / 2];
    }
    wd_free(v);
    return median;
}

/* Always the most frequent number of repetitions, the most frequent fault from start to end, the median angle. */
static wd_status blind(json_t *const *result, size_t n, json_t *metrics, wd_err *err)
{
    size_t n_reps[64] = { 0 }, n_kind[WD_N_FAULT] = { 0 }, reps = 0, kind = 0;
    tally t = { 0 };
    wd_status st;
    const double angle = median_angle(result, n, err, &st);
    WD_TRY(st);
    for (size_t i = 0; i < n; i++) {
        const json_t *f = json_object_get(result[i], "faults_true");
        bool has[WD_N_FAULT + 1] = { false };
        n_reps[(size_t)fmin(fmax(num(result[i], "reps_true"), 0), 63)]++;
        for (size_t k = 0; k < json_array_size(f); k++)
            has[wd_rehab_fault_of(str(json_array_get(f, k), "type"))] = true;
        for (size_t k = 0; k < WD_N_FAULT; k++)
            n_kind[k] += has[k];
    }
    for (size_t i = 1; i < WD_COUNT(n_reps); i++)
        reps = n_reps[i] > n_reps[reps] ? i : reps;
    for (size_t k = 1; k < WD_N_FAULT; k++)
        kind = n_kind[k] > n_kind[kind] ? k : kind;
    for (size_t i = 0; i < n; i++) {
        json_t *said = json_pack("[{s:s, s:f, s:f}]", "type", wd_rehab_fault_name((wd_rehab_fault_kind)kind),
                                 "start_s", 0.0, "end_s", 1e6);
        if (!said)
            return no_memory(err);
        const json_t *truth = json_object_get(result[i], "faults_true"),
                     *a = json_object_get(result[i], "angles");
        t.n++;
        t.exact += num(result[i], "reps_true") == (double)reps;
        t.hit += match_faults(truth, said, NULL);
        t.said++;
        t.truth += json_array_size(truth);
        for (size_t k = 0; k < json_array_size(a); k++, t.n_off++)
            t.off += fabs(json_number_value(json_array_get(json_array_get(a, k), 0)) - angle);
        json_decref(said);
    }
    return set_all(&t, metrics, false, err);
}

static const wd_eval_target targets[] = {
    { "reps_exact", "", NAN, false },
    { "fault_f1", "", NAN, false },
    { "angle_mae_deg", "deg", NAN, true },
    { "phrase_ok", "", NAN, false },
};

const wd_eval_suite wd_eval_rehab = {
    .name = "rehab",
    .brief = "exercises: repetitions, faults, angles, and words that hold to the measurements",
    .target = targets,
    .n_target = WD_COUNT(targets),
    .make = make,
    .run = run,
    .score = score,
    .blind = blind,
};
