/* What happens in an exercise video, when, and the truth about it. */
#include "care/phantom/exercise.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "care/phantom/exercise_inner.h"
#include "care/phantom/exercise_words.h"
#include "media/mp4_write.h"

#define SECONDS_MIN 6.0
#define SECONDS_MAX 14.8
#define FRAMES_MAX (15u * WD_EXERCISE_FPS + 1)
#define MARGIN 12.0 /* pixels that stay free around the figure */

/* What one repetition is like; angles at its peak. */
typedef struct rep {
    double start_s, up_s, hold_s, down_s;
    double main[2], shank, trunk, bend; /* bend: of the raised leg's knee */
    bool fault[WD_N_FAULT];
} rep;

typedef struct motion {
    wd_exercise_kind kind;
    rep rep[WD_EXERCISE_REPS_MAX];
    uint32_t n_rep;
    int moving; /* straight-leg raise: 0 left, 1 right */
    double rest_main, rest_shank, rest_trunk;
    double rest_hip, rest_knee;       /* straight-leg raise: of the leg that rests */
    double arm_rest, arm_peak, elbow; /* raised forward with the repetition */
    double sway[2], sway_hz, seconds;
} motion;

static double draw(wd_rand *r, double lo, double hi)
{
    return wd_rand_range(r, lo, hi);
}

/* ---- what is drawn ---- */

/* A share of the videos is faultless; the others have one or two kinds of fault, each in all or some repetitions. */
static void draw_faults(motion *m, wd_rand *r)
{
    const wd_rehab_rule *rule = wd_rehab_rule_of(m->kind);
    wd_rehab_fault_kind has[WD_N_FAULT];
    uint32_t n = 0;
    for (uint32_t f = 0; f < WD_N_FAULT; f++)
        if (rule->limit_deg[f] > 0)
            has[n++] = (wd_rehab_fault_kind)f;
    const double u = wd_rand_unit(r);
    const uint32_t want = u < 0.3 ? 0 : u < 0.75 ? 1 : 2;
    for (uint32_t k = 0; k < want && n; k++) {
        const uint64_t at = wd_rand_below(r, n);
        const wd_rehab_fault_kind f = has[at];
        has[at] = has[--n];
        const bool all = wd_rand_unit(r) < 0.5;
        bool any = false;
        for (uint32_t i = 0; i < m->n_rep; i++) {
            m->rep[i].fault[f] = all || wd_rand_unit(r) < 0.5;
            any |= m->rep[i].fault[f];
        }
        if (!any)
            m->rep[wd_rand_below(r, m->n_rep)].fault[f] = true;
    }
}

/* Angles keep at least 6 degrees from the limit they are judged by: truth is never a matter of rounding. */
static void draw_peak(const motion *m, rep *p, wd_rand *r)
{
    const bool *f = p->fault;
    const bool shallow = f[WD_FAULT_INSUFFICIENT_DEPTH], lean = f[WD_FAULT_TRUNK_LEAN];
    double peak = 0, lag = draw(r, 0, 3);
    const uint64_t weak = wd_rand_below(r, 2);
    switch (m->kind) {
    case WD_EXERCISE_SQUAT:
        peak = shallow ? draw(r, 56, 71) : draw(r, 91, 114);
        p->shank = f[WD_FAULT_KNEES_PAST_TOES] ? draw(r, 41, 46) : draw(r, 15, 25);
        p->trunk = lean ? draw(r, 56, 66) : draw(r, 20, 35);
        break;
    case WD_EXERCISE_WALL_SIT:
        peak = shallow ? draw(r, 52, 65) : draw(r, 85, 96);
        p->shank = f[WD_FAULT_KNEES_PAST_TOES] ? draw(r, 33, 38) : draw(r, -3, 12);
        p->trunk = lean ? draw(r, 24, 32) : draw(r, 0, 4);
        break;
    case WD_EXERCISE_STRAIGHT_LEG_RAISE:
        peak = shallow ? draw(r, 25, 34) : draw(r, 52, 74);
        p->bend = f[WD_FAULT_KNEE_BENT] ? draw(r, 30, 44) : draw(r, 0, 7);
        break;
    case WD_EXERCISE_KNEE_EXTENSION:
        peak = shallow ? draw(r, 28, 40) : draw(r, 1, 9);
        p->trunk = lean ? -draw(r, 27, 35) : -draw(r, 1, 8);
        break;
    default:
        peak = shallow ? draw(r, 50, 65) : draw(r, 86, 138);
        p->trunk = (wd_rand_unit(r) < 0.5 ? -1 : 1) * (lean ? draw(r, 17, 24) : draw(r, 0, 2));
    }
    if (f[WD_FAULT_ASYMMETRY])
        lag = shallow && m->kind == WD_EXERCISE_SHOULDER_ABDUCTION ? draw(r, 24, 27) : draw(r, 26, 36);
    const bool one_lags = wd_rehab_rule_of(m->kind)->sides == WD_SIDES_BEST;
    p->main[0] = p->main[1] = peak;
    if (one_lags)
        p->main[weak] += wd_rehab_rule_of(m->kind)->rises ? -lag : lag;
}

static void draw_times(motion *m, wd_rand *r)
{
    const bool hold = wd_rehab_rule_of(m->kind)->hold;
    double at = draw(r, 0.6, 1.1);
    if (hold) {
        m->n_rep = 1;
        m->rep[0] = (rep){
            .start_s = at, .up_s = draw(r, 1, 1.6), .hold_s = draw(r, 3.2, 8.5), .down_s = draw(r, 1, 1.5)
        };
        at += m->rep[0].up_s + m->rep[0].hold_s + m->rep[0].down_s;
    } else {
        m->n_rep = 2 + (uint32_t)wd_rand_below(r, WD_EXERCISE_REPS_MAX - 1);
        const double most = (SECONDS_MAX - 1.8) / m->n_rep;
        const double period = draw(r, 1.95, fmin(3.4, most));
        for (uint32_t i = 0; i < m->n_rep; i++) {
            const double pace = period * draw(r, 0.95, 1.0), up = draw(r, 0.36, 0.42),
                         down = draw(r, 0.36, 0.42);
            m->rep[i] = (rep){
                .start_s = at, .up_s = up * pace, .down_s = down * pace, .hold_s = (0.94 - up - down) * pace
            };
            at += pace;
        }
    }
    m->seconds = fmin(fmax(at + draw(r, 0.5, 0.9), SECONDS_MIN), SECONDS_MAX);
}

static void draw_motion(motion *m, const wd_body__size *s, uint64_t seed, wd_rand *r)
{
    m->kind = (wd_exercise_kind)(seed % WD_N_EXERCISE); /* the same share of each */
    m->moving = (int)wd_rand_below(r, 2);
    draw_times(m, r);
    draw_faults(m, r);
    for (uint32_t i = 0; i < m->n_rep; i++)
        draw_peak(m, &m->rep[i], r);
    m->rest_main = draw(r, 1, 6);
    m->rest_shank = draw(r, 0, 2);
    m->rest_trunk = draw(r, 0, 4);
    m->arm_rest = draw(r, -4, 6);
    m->elbow = draw(r, 4, 20);
    switch (m->kind) {
    case WD_EXERCISE_SQUAT:
        m->arm_peak = wd_rand_unit(r) < 0.7 ? draw(r, 70, 100) : m->arm_rest;
        break;
    case WD_EXERCISE_KNEE_EXTENSION:
        m->rest_main = draw(r, 83, 94);
        m->rest_trunk = -m->rest_trunk;
        m->arm_rest = m->arm_peak = draw(r, 10, 30); /* hands on the thighs */
        m->elbow = draw(r, 25, 45);
        break;
    case WD_EXERCISE_STRAIGHT_LEG_RAISE:
        m->rest_main = draw(r, 0, 3);
        m->arm_rest = m->arm_peak = 0;
        m->elbow = draw(r, 0, 8);
        if (wd_rand_unit(r) < 0.5) {
            m->rest_hip = draw(r, 38, 48);
            const double high = 0.06 * s->height + s->thigh * sin(m->rest_hip * M_PI / 180) - s->ankle;
            m->rest_knee = m->rest_hip + asin(fmin(high / s->shank, 1)) * 180 / M_PI;
        }
        break;
    case WD_EXERCISE_SHOULDER_ABDUCTION:
        m->rest_main = draw(r, 5, 13);
        m->rest_trunk = 0;
        m->elbow = draw(r, -2, 10);
        break;
    default:
        m->arm_peak = m->arm_rest;
    }
    m->sway[0] = draw(r, 0, 0.7);
    m->sway[1] = draw(r, 0, 6.28);
    m->sway_hz = draw(r, 0.2, 0.5);
}

static void draw_camera(wd_exercise *x, const motion *m, wd_rand *r)
{
    wd_exercise_info *i = &x->info;
    const bool frontal = wd_rehab_rule_of(m->kind)->frontal;
    const double off = draw(r, -7, 7), more = frontal ? draw(r, 14, 24) : draw(r, 22, 36);
    const bool oblique = wd_rand_unit(r) < 0.42, mirrored = wd_rand_unit(r) < 0.5;
    i->camera = oblique ? WD_CAMERA_OBLIQUE : frontal ? WD_CAMERA_FRONT : WD_CAMERA_SIDE;
    i->yaw_deg = oblique ? more : off;
    const double from = frontal ? 90 + (mirrored ? -i->yaw_deg : i->yaw_deg)
                                : (mirrored ? 180 - i->yaw_deg : i->yaw_deg);
    x->camera = (wd_camera__pose){ .yaw = from,
                                   .distance = draw(r, 4.8, 7.5),
                                   .height = draw(r, 0.8, 1.25),
                                   .tilt = draw(r, 0, 4),
                                   .focal = 1 };
}

/* ---- how it moves ---- */

static double smooth(double u)
{
    u = fmin(fmax(u, 0), 1);
    return u * u * (3 - 2 * u);
}

/* 0 at rest .. 1 at the peak. */
static double phase(const rep *p, double t)
{
    const double u = t - p->start_s;
    if (u < p->up_s)
        return smooth(u / p->up_s);
    return 1 - smooth((u - p->up_s - p->hold_s) / p->down_s);
}

static const rep *rep_at(const motion *m, double t)
{
    const rep *now = &m->rep[0];
    for (uint32_t i = 1; i < m->n_rep; i++)
        if (t >= m->rep[i].start_s)
            now = &m->rep[i];
    return now;
}

static double mix(double a, double b, double p)
{
    return a + (b - a) * p;
}

static void angles_at(const motion *m, const wd_body__size *s, double t, wd_body__angles *a)
{
    const rep *r = rep_at(m, t);
    const double p = phase(r, t), sway = m->sway[0] * sin(6.2831853 * m->sway_hz * t + m->sway[1]);
    *a = (wd_body__angles){ .trunk = mix(m->rest_trunk, r->trunk, p) + sway, .elbow = m->elbow };
    a->arm[0] = a->arm[1] = mix(m->arm_rest, m->arm_peak, p);
    const double main[2] = { mix(m->rest_main, r->main[0], p), mix(m->rest_main, r->main[1], p) };
    switch (m->kind) {
    case WD_EXERCISE_SHOULDER_ABDUCTION:
        memcpy(a->arm, main, sizeof main);
        a->knee[0] = a->knee[1] = 2;
        a->shank = 1;
        break;
    case WD_EXERCISE_STRAIGHT_LEG_RAISE:
        a->hip[m->moving] = main[0];
        a->knee[m->moving] = mix(1, r->bend, p);
        a->hip[!m->moving] = m->rest_hip;
        a->knee[!m->moving] = m->rest_knee;
        break;
    case WD_EXERCISE_WALL_SIT:
        memcpy(a->knee, main, sizeof main);
        a->shank = wd_body__wall_shank(s, r->main[0], r->shank, main[0]);
        break;
    default:
        memcpy(a->knee, main, sizeof main);
        a->shank = mix(m->rest_shank, r->shank, p);
    }
}

/* ---- the truth ---- */

static double joined(const motion *m, const double angle[2])
{
    const wd_rehab_rule *rule = wd_rehab_rule_of(m->kind);
    switch (rule->sides) {
    case WD_SIDES_MOVING:
        return angle[m->moving];
    case WD_SIDES_BEST:
        return rule->rises ? fmax(angle[0], angle[1]) : fmin(angle[0], angle[1]);
    default:
        return (angle[0] + angle[1]) / 2;
    }
}

/* The quantity a posture fault is judged by. */
static double judged(const motion *m, const wd_exercise_frame *f, wd_rehab_fault_kind k)
{
    switch (k) {
    case WD_FAULT_KNEES_PAST_TOES:
        return (f->angle[WD_ANGLE_SHANK_LEAN][0] + f->angle[WD_ANGLE_SHANK_LEAN][1]) / 2;
    case WD_FAULT_TRUNK_LEAN:
        return f->angle[WD_ANGLE_TRUNK_LEAN][0];
    case WD_FAULT_ASYMMETRY: {
        const double *a = f->angle[wd_rehab_rule_of(m->kind)->main];
        return fabs(a[0] - a[1]);
    }
    default:
        return f->angle[WD_ANGLE_KNEE_FLEXION][m->moving];
    }
}

static void note_fault(wd_exercise_info *x, const motion *m, uint32_t rep_i, wd_rehab_fault_kind k)
{
    const wd_rehab_rule *rule = wd_rehab_rule_of(m->kind);
    const wd_exercise_rep *p = &x->rep[rep_i];
    wd_exercise_fault f = { .kind = k, .rep = rep_i + 1, .start_s = p->start_s, .end_s = p->end_s };
    if (k == WD_FAULT_INSUFFICIENT_DEPTH) {
        f.worst_deg = p->peak_deg;
    } else {
        double first = -1, last = -1;
        for (uint32_t i = 0; i < x->n_frame; i++) {
            const double t = (double)i / WD_EXERCISE_FPS, v = judged(m, &x->frame[i], k);
            if (t < p->start_s || t > p->end_s)
                continue;
            f.worst_deg = fmax(f.worst_deg, v);
            if (v > rule->limit_deg[k]) {
                first = first < 0 ? t : first;
                last = t;
            }
        }
        if (k != WD_FAULT_ASYMMETRY && first >= 0) { /* the asymmetry is of the repetition as a whole */
            f.start_s = first;
            f.end_s = last;
        }
    }
    if (x->n_fault < WD_EXERCISE_FAULTS_MAX)
        x->fault[x->n_fault++] = f;
}

static void note_reps(wd_exercise_info *x, const motion *m)
{
    const bool rises = wd_rehab_rule_of(m->kind)->rises;
    x->n_rep = m->n_rep;
    for (uint32_t i = 0; i < m->n_rep; i++) {
        const rep *p = &m->rep[i];
        wd_exercise_rep *q = &x->rep[i];
        *q = (wd_exercise_rep){ p->start_s, p->start_s + p->up_s + p->hold_s + p->down_s, rises ? 0 : 180 };
        for (uint32_t k = 0; k < x->n_frame; k++) {
            const double t = (double)k / WD_EXERCISE_FPS, v = x->frame[k].main;
            if (t >= q->start_s && t <= q->end_s)
                q->peak_deg = rises ? fmax(q->peak_deg, v) : fmin(q->peak_deg, v);
        }
        for (uint32_t k = 0; k < WD_N_FAULT; k++)
            if (p->fault[k])
                note_fault(x, m, i, (wd_rehab_fault_kind)k);
    }
}

/* Chooses focal length and centre so that the whole motion is in the picture. */
static void fit_camera(wd_exercise *x, wd_rand *r)
{
    double lo[2] = { INFINITY, INFINITY }, hi[2] = { -INFINITY, -INFINITY };
    for (uint32_t i = 0; i < x->info.n_frame; i++) {
        for (int k = 0; k < WD_BODY__N; k++) {
            const wd_point p = wd_camera__project(&x->camera,
                                                  wd_camera__to_world(&x->camera, x->body[i].p[k]), NULL);
            lo[0] = fmin(lo[0], p.x), hi[0] = fmax(hi[0], p.x);
            lo[1] = fmin(lo[1], p.y), hi[1] = fmax(hi[1], p.y);
        }
    }
    const double room[2] = { WD_EXERCISE_WIDTH - 2 * MARGIN, WD_EXERCISE_HEIGHT - 2 * MARGIN };
    const double size[2] = { hi[0] - lo[0], hi[1] - lo[1] };
    x->camera.focal = fmin(room[0] / size[0], room[1] / size[1]) * draw(r, 0.82, 1);
    for (int k = 0; k < 2; k++) {
        const double spare = room[k] - size[k] * x->camera.focal, at = MARGIN + spare * draw(r, 0.2, 0.8);
        const double c = at - lo[k] * x->camera.focal;
        *(k == 0 ? &x->camera.cx : &x->camera.cy) = c;
    }
}

wd_status wd_exercise_plan(uint64_t seed, wd_arena *a, wd_exercise **out, wd_err *err)
{
    wd_exercise *x = WD_NEW(a, wd_exercise);
    motion *m = WD_NEW(a, motion);
    wd_exercise_frame *frame = WD_NEW_N(a, wd_exercise_frame, FRAMES_MAX);
    wd_body__points *body = WD_NEW_N(a, wd_body__points, FRAMES_MAX);
    if (!x || !m || !frame || !body)
        return WD_FAIL(err, WD_E_NOMEM, "exercise: no memory");
    wd_rand r;
    wd_rand_init(&r, seed ^ 0x657865726369ull);
    x->seed = seed;
    wd_body__draw_size(&x->size, &r);
    draw_motion(m, &x->size, seed, &r);
    draw_camera(x, m, &r);
    wd_exercise__draw_look(&x->look, &r);
    x->info.kind = m->kind;
    x->info.n_frame = (uint32_t)(m->seconds * WD_EXERCISE_FPS);
    x->info.frame = frame;
    x->body = body;
    for (uint32_t i = 0; i < x->info.n_frame; i++) {
        wd_body__angles at;
        angles_at(m, &x->size, (double)i / WD_EXERCISE_FPS, &at);
        wd_body__pose(&x->size, m->kind, &at, &body[i]);
        wd_body__measure(&body[i], frame[i].angle);
        frame[i].main = joined(m, frame[i].angle[wd_rehab_rule_of(m->kind)->main]);
    }
    fit_camera(x, &r);
    for (uint32_t i = 0; i < x->info.n_frame; i++)
        for (int k = 0; k < WD_N_JOINT; k++)
            frame[i].joint[k] = wd_camera__project(&x->camera, wd_camera__to_world(&x->camera, body[i].p[k]),
                                                   NULL);
    note_reps(&x->info, m);
    *out = x;
    return WD_OK;
}

const wd_exercise_info *wd_exercise_info_of(const wd_exercise *x)
{
    return &x->info;
}

const char *wd_exercise_camera_name(wd_exercise_camera c)
{
    static const char *const names[] = { "side", "oblique", "front" };
    return names[c];
}

/* ---- truth.json ---- */

static json_t *tenth(double v)
{
    return json_real(round(v * 10) / 10);
}

static json_t *hundredth(double v)
{
    return json_real(round(v * 100) / 100);
}

static json_t *points_json(const wd_exercise_info *x)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < x->n_frame; i++) {
        json_t *one = json_array();
        for (int k = 0; k < WD_N_JOINT; k++)
            json_array_append_new(
                one, json_pack("[o, o]", tenth(x->frame[i].joint[k].x), tenth(x->frame[i].joint[k].y)));
        json_array_append_new(all, one);
    }
    return all;
}

static json_t *angles_json(const wd_exercise_info *x)
{
    static const char *const sides[2] = { "left", "right" };
    json_t *o = json_object();
    for (int a = 0; a < WD_N_ANGLE; a++) {
        for (int s = 0; s < (a == WD_ANGLE_TRUNK_LEAN ? 1 : 2); s++) {
            char name[48];
            json_t *v = json_array();
            if (a == WD_ANGLE_TRUNK_LEAN)
                snprintf(name, sizeof name, "%s", wd_rehab_angle_name((wd_rehab_angle)a));
            else
                snprintf(name, sizeof name, "%s_%s", sides[s], wd_rehab_angle_name((wd_rehab_angle)a));
            for (uint32_t i = 0; i < x->n_frame; i++)
                json_array_append_new(v, tenth(x->frame[i].angle[a][s]));
            json_object_set_new(o, name, v);
        }
    }
    json_t *v = json_array();
    for (uint32_t i = 0; i < x->n_frame; i++)
        json_array_append_new(v, tenth(x->frame[i].main));
    json_object_set_new(o, "main", v);
    return o;
}

static json_t *reps_json(const wd_exercise_info *x)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < x->n_rep; i++)
        json_array_append_new(all,
                              json_pack("{s:o, s:o, s:o}", "start_s", hundredth(x->rep[i].start_s), "end_s",
                                        hundredth(x->rep[i].end_s), "peak_angle", tenth(x->rep[i].peak_deg)));
    return all;
}

static json_t *faults_json(const wd_exercise_info *x)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < x->n_fault; i++) {
        const wd_exercise_fault *f = &x->fault[i];
        json_array_append_new(all, json_pack("{s:s, s:i, s:o, s:o, s:o, s:f}", "type",
                                             wd_rehab_fault_name(f->kind), "repetition", (int)f->rep,
                                             "start_s", hundredth(f->start_s), "end_s", hundredth(f->end_s),
                                             "worst_deg", tenth(f->worst_deg), "limit_deg",
                                             wd_rehab_rule_of(x->kind)->limit_deg[f->kind]));
    }
    return all;
}

/* The repetitions of each kind of fault, with the worst of its angles. */
static json_t *advice_json(const wd_exercise_info *x, bool zh)
{
    json_t *all = json_array();
    for (int k = 0; k < WD_N_FAULT; k++) {
        wd_exercise_said s = { .exercise = x->kind, .kind = (wd_rehab_fault_kind)k, .zh = zh };
        for (uint32_t i = 0; i < x->n_fault; i++) {
            const wd_exercise_fault *f = &x->fault[i];
            if ((int)f->kind != k)
                continue;
            const bool deep = k == WD_FAULT_INSUFFICIENT_DEPTH && wd_rehab_rule_of(x->kind)->rises;
            s.worst_deg = !s.n_rep ? f->worst_deg
                          : deep   ? fmin(s.worst_deg, f->worst_deg)
                                   : fmax(s.worst_deg, f->worst_deg);
            s.rep[s.n_rep++] = f->rep;
        }
        if (!s.n_rep)
            continue;
        wd_exercise_phrase p;
        wd_exercise_say(&s, &p);
        json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:s}", "type", wd_rehab_fault_name(s.kind),
                                             "issue", p.issue, "cause", p.cause, "advice", p.advice));
    }
    return all;
}

json_t *wd_exercise_truth(const wd_exercise *x)
{
    const wd_exercise_info *i = &x->info;
    const wd_rehab_rule *rule = wd_rehab_rule_of(i->kind);
    json_t *names = json_array();
    for (int k = 0; k < WD_N_JOINT; k++)
        json_array_append_new(names, json_string(wd_joint_name((wd_joint)k)));
    return json_pack(
        "{s:s, s:I, s:s, s:s, s:o, s:i, s:i, s:i, s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:{s:o, s:o}}", "kind",
        "exercise", "seed", (json_int_t)x->seed, "exercise", rule->name, "camera",
        wd_exercise_camera_name(i->camera), "yaw_deg", tenth(i->yaw_deg), "fps", WD_EXERCISE_FPS, "n_frame",
        (int)i->n_frame, "width", WD_EXERCISE_WIDTH, "height", WD_EXERCISE_HEIGHT, "main_angle",
        wd_rehab_angle_name(rule->main), "repetitions", reps_json(i), "faults", faults_json(i), "joint_names",
        names, "joints", points_json(i), "angles", angles_json(i), "advice", "en", advice_json(i, false),
        "zh", advice_json(i, true));
}

/* ---- the files ---- */

/* Gives the reference up. */
static wd_status write_json(json_t *v, const char *path, wd_err *err)
{
    if (!v)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory", path);
    wd_buf b = { 0 };
    wd_status st = wd_json_write(v, JSON_COMPACT | JSON_REAL_PRECISION(6), &b, err);
    json_decref(v);
    if (!st) {
        wd_buf_char(&b, '\n');
        st = wd_buf_check(&b, path, err);
    }
    if (!st)
        st = wd_file_write(path, wd_buf_view(&b), err);
    wd_buf_free(&b);
    return st;
}

static json_t *pose_json(const wd_exercise *x, double noise_px)
{
    wd_rand r;
    wd_rand_init(&r, x->seed ^ 0x706f7365ull);
    json_t *frames = json_array();
    for (uint32_t i = 0; i < x->info.n_frame; i += WD_EXERCISE_FPS / 5) {
        json_t *points = json_object();
        for (int j = 0; j < WD_N_JOINT; j++) {
            const wd_point p = x->info.frame[i].joint[j];
            const double dx = noise_px * wd_rand_normal(&r), dy = noise_px * wd_rand_normal(&r);
            json_object_set_new(points, wd_joint_name((wd_joint)j),
                                json_pack("[o, o]", tenth(p.x + dx), tenth(p.y + dy)));
        }
        json_array_append_new(frames, json_pack("{s:i, s:o}", "frame", (int)i, "points", points));
    }
    return json_pack("{s:i, s:i, s:i, s:o}", "width", WD_EXERCISE_WIDTH, "height", WD_EXERCISE_HEIGHT, "fps",
                     WD_EXERCISE_FPS, "frames", frames);
}

static wd_status write_video(const wd_exercise *x, const char *path, wd_err *err)
{
    wd_mp4_opts o = WD_MP4_OPTS_DEFAULT;
    wd_image room = { 0 }, im = { 0 };
    wd_mp4 *m = NULL;
    o.width = WD_EXERCISE_WIDTH;
    o.height = WD_EXERCISE_HEIGHT;
    o.fps_num = WD_EXERCISE_FPS;
    wd_status st = wd_image_init(&room, o.width, o.height, err);
    if (!st)
        st = wd_image_init(&im, o.width, o.height, err);
    if (!st)
        st = wd_mp4_create(path, &o, &m, err);
    if (!st)
        wd_exercise_draw(x, x->info.n_frame, &room);
    for (uint32_t i = 0; !st && i < x->info.n_frame; i++) {
        memcpy(im.rgb, room.rgb, (size_t)o.width * o.height * 3);
        wd_exercise__draw_figure(x, i, &im);
        st = wd_mp4_add(m, &im, err);
    }
    if (!st)
        st = wd_mp4_finish(m, err);
    wd_mp4_destroy(m);
    wd_image_free(&im);
    wd_image_free(&room);
    return st;
}

/* The video, or the points alone. */
static wd_status write_case(const char *dir, uint64_t seed, bool points, double noise_px, wd_err *err)
{
    wd_arena *a = wd_arena_create(8u << 20, false);
    wd_exercise *x = NULL;
    wd_status st = a ? wd_exercise_plan(seed, a, &x, err) : WD_FAIL(err, WD_E_NOMEM, "exercise: no memory");
    if (!st)
        st = wd_file_mkdirs(dir, err);
    const char *what = st ? NULL : wd_path_join(a, dir, points ? "pose.json" : "video.mp4");
    const char *truth = st ? NULL : wd_path_join(a, dir, "truth.json");
    if (!st && (!what || !truth))
        st = WD_FAIL(err, WD_E_NOMEM, "exercise: no memory");
    if (!st)
        st = points ? write_json(pose_json(x, noise_px), what, err) : write_video(x, what, err);
    if (!st)
        st = write_json(wd_exercise_truth(x), truth, err);
    wd_arena_destroy(a);
    return st;
}

wd_status wd_exercise_write(const char *dir, uint64_t seed, wd_err *err)
{
    return write_case(dir, seed, false, 0, err);
}

wd_status wd_exercise_write_points(const char *dir, uint64_t seed, double noise_px, wd_err *err)
{
    return write_case(dir, seed, true, noise_px, err);
}
