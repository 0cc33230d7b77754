/* Geometry of an exercise. */
#include "care/rehab_measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEG (180 / M_PI)
#define WINDOW_MIN_S 0.3  /* to each side, of smoothing; at least two samples, */
#define WINDOW_MAX_S 0.45 /* but no further than this */
#define JUMP_TRUNKS 0.4   /* a point this far from its course is an error */
#define FRONT_RATIO 0.72  /* shoulders look at least so wide, of what they are, from the front */
#define SIDE_DEG 18.0     /* up to here the view is called a side view */
#define REP_MIN_S 0.4     /* shorter ones are noise */
#define FAULT_MIN_S 0.25  /* past the limit for at least so long */
#define AROUND_S 0.3      /* a posture fault may begin before and end after its repetition */
#define HOLD_DEG 12.0
#define ENOUGH 0.5 /* share of the samples that an angle is needed in */

/* ---- small statistics ---- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of the finite values in v[n], whose order is lost; NAN without any. */
static double quantile(double *v, size_t n, double q)
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(v[i]))
            v[m++] = v[i];
    if (!m)
        return NAN;
    qsort(v, m, sizeof *v, by_value);
    return v[(size_t)(q * (double)(m - 1) + 0.5)];
}

/* ---- smoothing ---- */

typedef struct course {
    const double *t, *v;
    uint8_t *keep;
    size_t n;
    double window_s;
} course;

/* The value at t[i] of the parabola through the values near it (a line or their mean where there are few), leaving out
 * those whose keep[] is 0, and i itself when `without`. NAN where it would be a guess: no neighbours on both sides. */
static double fit(const course *c, size_t i, bool without)
{
    const double *t = c->t, *v = c->v;
    double s[5] = { 0 }, b[3] = { 0 };
    size_t m = 0, before = 0, after = 0, first = i, last;
    const bool has = c->keep[i] && !without;
    while (first > 0 && t[i] - t[first - 1] <= c->window_s)
        first--;
    for (last = first; last < c->n && t[last] - t[i] <= c->window_s; last++) {
        if (!c->keep[last] || (last == i && without))
            continue;
        const double u = (t[last] - t[i]) / c->window_s;
        double p = 1;
        for (int k = 0; k < 5; k++, p *= u) {
            s[k] += p;
            if (k < 3)
                b[k] += p * v[last];
        }
        m++;
        before += last < i;
        after += last > i;
    }
    if (!has && (!before || !after || m < 3))
        return NAN;
    if (m < 4 || (!before || !after)) /* at an end: its own value is worth more than a parabola's tail */
        return has ? v[i] : m ? (b[0] * s[2] - b[1] * s[1]) / (s[0] * s[2] - s[1] * s[1]) : NAN;
    /* Normal equations of a + b u + c u^2, for a, by Cramer's rule. */
    const double det = s[0] * (s[2] * s[4] - s[3] * s[3]) - s[1] * (s[1] * s[4] - s[3] * s[2]) +
                       s[2] * (s[1] * s[3] - s[2] * s[2]);
    const double top = b[0] * (s[2] * s[4] - s[3] * s[3]) - s[1] * (b[1] * s[4] - s[3] * b[2]) +
                       s[2] * (b[1] * s[3] - s[2] * b[2]);
    return fabs(det) > 1e-9 ? top / det : has ? v[i] : NAN;
}

/* keep[i] = 0 for values that do not belong to their course: the worst of each neighbourhood first, again and again.
 * off [n] is scratch. */
static void drop_jumps(const course *c, double jump, double *off)
{
    for (int round = 0; round < 4; round++) {
        bool dropped = false;
        for (size_t i = 0; i < c->n; i++) {
            off[i] = c->keep[i] ? fabs(c->v[i] - fit(c, i, true)) : 0;
            if (!isfinite(off[i]))
                off[i] = 0;
        }
        for (size_t i = 0; i < c->n; i++) {
            bool worst = off[i] > jump;
            for (size_t k = i; worst && k-- > 0 && c->t[i] - c->t[k] <= c->window_s;)
                worst = off[k] <= off[i];
            for (size_t k = i + 1; worst && k < c->n && c->t[k] - c->t[i] <= c->window_s; k++)
                worst = off[k] < off[i];
            if (worst)
                c->keep[i] = 0;
            dropped |= worst;
        }
        if (!dropped)
            return;
    }
}

static double window_of(double interval_s)
{
    return fmin(fmax(WINDOW_MIN_S, 2.2 * interval_s), WINDOW_MAX_S);
}

void wd_rehab_smooth(const double *t, const double *v, size_t n, double jump, double *out)
{
    course c = { t, v, WD_ALLOC_N(uint8_t, n ? n : 1), n,
                 window_of(n > 1 ? (t[n - 1] - t[0]) / (double)(n - 1) : 0) };
    for (size_t i = 0; c.keep && i < n; i++)
        c.keep[i] = isfinite(v[i]);
    if (c.keep && isfinite(jump))
        drop_jumps(&c, jump, out);
    for (size_t i = 0; i < n; i++)
        out[i] = c.keep ? fit(&c, i, false) : v[i];
    wd_free(c.keep);
}

/* ---- the work ---- */

typedef struct track {
    double *x, *y; /* [n] smooth, NAN where there is none */
} track;

typedef struct work {
    const wd_rehab_rule *rule;
    const wd_pose_frame *frame;
    size_t n;
    double *t;          /* [n] */
    double *scratch[2]; /* [n] */
    uint8_t *keep;      /* [n] */
    track joint[WD_N_JOINT];
    double trunk;  /* length in pixels; NAN */
    double across; /* lengths across the picture are multiplied by it */
    double facing; /* +1: forward is to the right of the picture */
    wd_rehab_measured *m;
} work;

static wd_status begin(work *w, wd_arena *a, wd_err *err)
{
    w->t = WD_NEW_N(a, double, w->n);
    w->keep = WD_NEW_N(a, uint8_t, w->n);
    bool good = w->t && w->keep;
    for (int k = 0; k < 2; k++)
        good &= (w->scratch[k] = WD_NEW_N(a, double, w->n)) != NULL;
    for (int j = 0; j < WD_N_JOINT; j++) {
        w->joint[j].x = WD_NEW_N(a, double, w->n);
        w->joint[j].y = WD_NEW_N(a, double, w->n);
        good &= w->joint[j].x && w->joint[j].y;
    }
    w->m->sample = WD_NEW_N(a, wd_rehab_sample, w->n);
    w->m->rep = WD_NEW_N(a, wd_rehab_rep, WD_REHAB_REPS_MAX);
    w->m->fault = WD_NEW_N(a, wd_rehab_fault, WD_REHAB_REPS_MAX * WD_N_FAULT);
    if (!good || !w->m->sample || !w->m->rep || !w->m->fault)
        return WD_FAIL(err, WD_E_NOMEM, "pose: no memory for %zu samples", w->n);
    for (size_t i = 0; i < w->n; i++) {
        w->t[i] = w->frame[i].time_s;
        if (!isfinite(w->t[i]) || (i && w->t[i] <= w->t[i - 1]))
            return WD_FAIL(err, WD_E_INVALID, "pose: the time of sample %zu is %g s, expected more than %g s",
                           i + 1, w->t[i], i ? w->t[i - 1] : 0.0);
    }
    return WD_OK;
}

/* (left + right) / 2 of a pair; the one that is there when the other is not. */
static wd_pose_point middle(const work *w, wd_joint left, size_t i)
{
    const track *l = &w->joint[left], *r = &w->joint[left + 1];
    if (isnan(l->x[i]))
        return (wd_pose_point){ r->x[i], r->y[i], 1 };
    if (isnan(r->x[i]))
        return (wd_pose_point){ l->x[i], l->y[i], 1 };
    return (wd_pose_point){ (l->x[i] + r->x[i]) / 2, (l->y[i] + r->y[i]) / 2, 1 };
}

static double trunk_length(const work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        const wd_pose_point s = middle(w, WD_JOINT_LEFT_SHOULDER, i), h = middle(w, WD_JOINT_LEFT_HIP, i);
        w->scratch[0][i] = hypot(s.x - h.x, s.y - h.y);
    }
    return quantile(w->scratch[0], w->n, 0.9);
}

static void take_raw(work *w, double min_confidence)
{
    for (int j = 0; j < WD_N_JOINT; j++) {
        for (size_t i = 0; i < w->n; i++) {
            const wd_pose_point *p = &w->frame[i].joint[j];
            const bool seen = isfinite(p->x) && isfinite(p->y) && p->confidence > 0 &&
                              p->confidence >= min_confidence;
            w->joint[j].x[i] = seen ? p->x : NAN;
            w->joint[j].y[i] = seen ? p->y : NAN;
        }
    }
}

/* Both coordinates of each joint; a jump in one takes the other with it. */
static void smooth_all(work *w)
{
    const double jump = JUMP_TRUNKS * w->trunk;
    size_t n_off = 0;
    double total = 0;
    for (int j = 0; j < WD_N_JOINT; j++) {
        track *k = &w->joint[j];
        const course x = { w->t, k->x, w->keep, w->n, window_of(w->m->interval_s) },
                     y = { w->t, k->y, w->keep, w->n, x.window_s };
        for (size_t i = 0; i < w->n; i++)
            w->keep[i] = isfinite(k->x[i]);
        if (isfinite(jump)) {
            drop_jumps(&x, jump, w->scratch[0]);
            drop_jumps(&y, jump, w->scratch[0]);
        }
        for (size_t i = 0; i < w->n; i++) {
            w->scratch[0][i] = fit(&x, i, false);
            w->scratch[1][i] = fit(&y, i, false);
        }
        double off = 0;
        size_t n = 0;
        for (size_t i = 0; i < w->n; i++) {
            if (isfinite(k->x[i]) && isfinite(w->scratch[0][i])) {
                const double d = hypot(k->x[i] - w->scratch[0][i], k->y[i] - w->scratch[1][i]);
                off += fmin(d, w->trunk);
                n++;
            }
        }
        memcpy(k->x, w->scratch[0], w->n * sizeof *k->x);
        memcpy(k->y, w->scratch[1], w->n * sizeof *k->y);
        if (n) {
            total += off / (double)n;
            n_off++;
        }
    }
    w->m->jitter = n_off ? total / (double)n_off / w->trunk : NAN;
}

/* ---- the view ---- */

static void estimate_view(work *w, wd_view told)
{
    wd_rehab_measured *m = w->m;
    for (size_t i = 0; i < w->n; i++)
        w->scratch[0][i] = w->joint[WD_JOINT_LEFT_SHOULDER].x[i] - w->joint[WD_JOINT_RIGHT_SHOULDER].x[i];
    const double wide = fabs(quantile(w->scratch[0], w->n, 0.5)) / (WD_BODY_SHOULDERS_PER_TRUNK * w->trunk);
    w->across = 1;
    w->facing = 1;
    m->yaw_deg = NAN;
    if (isfinite(wide)) /* lying, the trunk is as foreshortened as the legs are */
        m->yaw_deg = (w->rule->lying ? atan(wide) : asin(fmin(wide, 1))) * DEG;
    if (w->rule->frontal) {
        m->view = told != WD_VIEW_AUTO     ? told
                  : !(wide >= FRONT_RATIO) ? WD_VIEW_SIDE
                  : wide >= 0.93           ? WD_VIEW_FRONT
                                           : WD_VIEW_OBLIQUE;
        m->yaw_deg = 90 - m->yaw_deg;
        if (m->view == WD_VIEW_SIDE || (m->view == WD_VIEW_OBLIQUE && !(wide >= FRONT_RATIO)))
            m->main_why = isfinite(wide) || told == WD_VIEW_SIDE ? WD_WHY_VIEW : WD_WHY_POINTS;
        return;
    }
    if (told == WD_VIEW_SIDE)
        m->yaw_deg = 0;
    m->view = told != WD_VIEW_AUTO             ? told
              : !(m->yaw_deg > SIDE_DEG)       ? WD_VIEW_SIDE
              : m->yaw_deg <= WD_REHAB_YAW_MAX ? WD_VIEW_OBLIQUE
                                               : WD_VIEW_FRONT;
    if (m->view == WD_VIEW_FRONT || m->yaw_deg > WD_REHAB_YAW_MAX)
        m->main_why = WD_WHY_VIEW;
    else if (isfinite(m->yaw_deg))
        w->across = 1 / cos(m->yaw_deg / DEG);
}

/* Knees point forward: they are ahead of the line from hip to ankle. */
static void estimate_facing(work *w)
{
    double sum = 0;
    for (int s = 0; s < 2; s++) {
        for (size_t i = 0; i < w->n; i++) {
            const double ahead = w->joint[WD_JOINT_LEFT_KNEE + s].x[i] -
                                 (w->joint[WD_JOINT_LEFT_HIP + s].x[i] +
                                  w->joint[WD_JOINT_LEFT_ANKLE + s].x[i]) /
                                     2;
            sum += isfinite(ahead) ? ahead : 0;
        }
    }
    w->facing = sum < 0 ? -1 : 1;
}

/* ---- angles ---- */

double wd_rehab_angle_at(double ax, double ay, double bx, double by, double cx, double cy)
{
    const double ux = ax - bx, uy = ay - by, vx = cx - bx, vy = cy - by;
    const double len = hypot(ux, uy) * hypot(vx, vy);
    return len > 1e-9 ? atan2(fabs(ux * vy - uy * vx), ux * vx + uy * vy) * DEG : NAN;
}

static void measure_angles(work *w)
{
    const bool frontal = w->rule->frontal;
    const double k = w->across;
    for (size_t i = 0; i < w->n; i++) {
        wd_rehab_sample *s = &w->m->sample[i];
        *s = (wd_rehab_sample){ .frame = w->frame[i].frame, .time_s = w->t[i], .main = NAN };
        const wd_pose_point top = middle(w, WD_JOINT_LEFT_SHOULDER, i), low = middle(w, WD_JOINT_LEFT_HIP, i);
        for (int e = 0; e < 2; e++) {
#define AT(j) w->joint[WD_JOINT_LEFT_##j + e]
            const double hx = AT(HIP).x[i], hy = AT(HIP).y[i], kx = AT(KNEE).x[i], ky = AT(KNEE).y[i];
            const double ax = AT(ANKLE).x[i], ay = AT(ANKLE).y[i], sx = AT(SHOULDER).x[i],
                         sy = AT(SHOULDER).y[i];
            const double ex = AT(ELBOW).x[i], ey = AT(ELBOW).y[i];
#undef AT
            const double dx = k * (top.x - low.x), dy = top.y - low.y; /* the trunk's axis, upwards */
            for (int g = 0; g < WD_N_ANGLE; g++)
                s->angle[g][e] = NAN;
            s->angle[WD_ANGLE_TRUNK_LEAN][e] = wd_rehab_angle_at(dx, dy, 0, 0, 0, -1);
            if (frontal) {
                s->angle[WD_ANGLE_SHOULDER_ABDUCTION][e] = wd_rehab_angle_at(ex - sx, ey - sy, 0, 0, -dx,
                                                                             -dy);
            } else {
                s->angle[WD_ANGLE_KNEE_FLEXION][e] = 180 -
                                                     wd_rehab_angle_at(k * hx, hy, k * kx, ky, k * ax, ay);
                s->angle[WD_ANGLE_HIP_FLEXION][e] = 180 -
                                                    wd_rehab_angle_at(k * (kx - hx), ky - hy, 0, 0, dx, dy);
                s->angle[WD_ANGLE_SHANK_LEAN][e] = atan2(w->facing * k * (kx - ax), ay - ky) * DEG;
            }
        }
    }
}

static double sided(const work *w, size_t i, wd_rehab_angle g, wd_rehab_sides how)
{
    const double l = w->m->sample[i].angle[g][0], r = w->m->sample[i].angle[g][1];
    if (how == WD_SIDES_MOVING)
        return w->m->moving == 1 ? r : l;
    if (isnan(l) || isnan(r))
        return isnan(l) ? r : l;
    if (how == WD_SIDES_BEST)
        return w->rule->rises ? fmax(l, r) : fmin(l, r);
    return (l + r) / 2;
}

static void find_main(work *w)
{
    wd_rehab_measured *m = w->m;
    m->moving = -1;
    if (w->rule->sides == WD_SIDES_MOVING) {
        double range[2];
        for (int e = 0; e < 2; e++) {
            double q[2];
            for (int k = 0; k < 2; k++) {
                for (size_t i = 0; i < w->n; i++)
                    w->scratch[0][i] = m->sample[i].angle[w->rule->main][e];
                q[k] = quantile(w->scratch[0], w->n, k ? 0.95 : 0.05);
            }
            range[e] = isfinite(q[0]) ? q[1] - q[0] : -1;
        }
        m->moving = range[1] > range[0];
    }
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++) {
        m->sample[i].main = sided(w, i, w->rule->main, w->rule->sides);
        n += isfinite(m->sample[i].main);
    }
    m->coverage = w->n ? (double)n / (double)w->n : 0;
    if (m->coverage < ENOUGH)
        m->main_why = WD_WHY_POINTS;
}

/* ---- repetitions ---- */

static double crossing(const double *t, const double *v, size_t from, size_t to, double level)
{
    return v[to] == v[from] ? t[to] : t[from] + (level - v[from]) / (v[to] - v[from]) * (t[to] - t[from]);
}

/* Times before and after the peak between which v stays within HOLD_DEG of it. */
static double held(const double *t, const double *v, size_t first, size_t last, double peak)
{
    double from = NAN, to = NAN;
    for (size_t i = first; i <= last; i++) {
        if (isfinite(v[i]) && v[i] >= peak - HOLD_DEG) {
            from = isnan(from) ? t[i] : from;
            to = t[i];
        }
    }
    return isnan(from) ? 0 : to - from;
}

uint32_t wd_rehab_count(const double *t, const double *v, size_t n, double enter, double leave, bool hold,
                        wd_rehab_rep *rep, uint32_t max)
{
    enum { REST, ON_THE_WAY, IN } state = REST;
    uint32_t n_rep = 0;
    size_t last = SIZE_MAX, begin_i = 0;
    double rest = INFINITY;
    wd_rehab_rep now = { 0 };
    for (size_t i = 0; i < n && n_rep < max; i++) {
        if (!isfinite(v[i]))
            continue;
        if (state == REST && v[i] > leave) {
            now = (wd_rehab_rep){ .start_s = last == SIZE_MAX ? t[i] : crossing(t, v, last, i, leave),
                                  .peak_deg = -INFINITY,
                                  .range_deg = isfinite(rest) ? rest : leave };
            begin_i = i;
            state = ON_THE_WAY;
        }
        if (state != REST && v[i] > now.peak_deg) {
            now.peak_deg = v[i];
            now.peak_s = t[i];
        }
        if (state == ON_THE_WAY && v[i] >= enter)
            state = IN;
        if (state != REST && v[i] <= leave) {
            now.end_s = crossing(t, v, last, i, leave);
            now.hold_s = held(t, v, begin_i, i, now.peak_deg);
            now.range_deg = now.peak_deg - now.range_deg;
            if (state == IN && now.end_s - now.start_s >= REP_MIN_S)
                rep[n_rep++] = now;
            rest = INFINITY;
            state = REST;
        }
        if (state == REST)
            rest = fmin(rest, v[i]);
        last = i;
    }
    if (state == IN && n_rep < max && (hold || v[last] <= (now.peak_deg + leave) / 2)) {
        now.end_s = t[last];
        now.hold_s = held(t, v, begin_i, last, now.peak_deg);
        now.range_deg = now.peak_deg - now.range_deg;
        if (now.end_s - now.start_s >= REP_MIN_S)
            rep[n_rep++] = now;
    }
    return n_rep;
}

static void find_reps(work *w)
{
    wd_rehab_measured *m = w->m;
    const double sign = w->rule->rises ? 1 : -1;
    for (size_t i = 0; i < w->n; i++)
        w->scratch[0][i] = sign * m->sample[i].main;
    m->n_rep = wd_rehab_count(w->t, w->scratch[0], w->n, sign * w->rule->enter_deg, sign * w->rule->leave_deg,
                              w->rule->hold, m->rep, WD_REHAB_REPS_MAX);
    for (uint32_t r = 0; r < m->n_rep; r++) {
        wd_rehab_rep *p = &m->rep[r];
        p->peak_deg *= sign;
        for (int e = 0; e < 2; e++) {
            p->side_deg[e] = NAN;
            for (size_t i = 0; i < w->n; i++) {
                const double v = m->sample[i].angle[w->rule->main][e];
                if (w->t[i] >= p->start_s && w->t[i] <= p->end_s && isfinite(v))
                    p->side_deg[e] = isnan(p->side_deg[e]) ? v : sign * fmax(sign * p->side_deg[e], sign * v);
            }
        }
    }
}

/* ---- faults ---- */

static double judged(const work *w, size_t i, wd_rehab_fault_kind k)
{
    switch (k) {
    case WD_FAULT_KNEES_PAST_TOES:
        return sided(w, i, WD_ANGLE_SHANK_LEAN, WD_SIDES_MEAN);
    case WD_FAULT_TRUNK_LEAN:
        return w->m->sample[i].angle[WD_ANGLE_TRUNK_LEAN][0];
    case WD_FAULT_KNEE_BENT:
        return sided(w, i, WD_ANGLE_KNEE_FLEXION, WD_SIDES_MOVING);
    default:
        return w->m->sample[i].main;
    }
}

static bool judge_rep(const work *w, wd_rehab_fault_kind k, const wd_rehab_rep *p, wd_rehab_fault *f)
{
    const double limit = w->rule->limit_deg[k];
    f->start_s = p->start_s;
    f->end_s = p->end_s;
    if (k == WD_FAULT_INSUFFICIENT_DEPTH) {
        f->worst_deg = p->peak_deg;
        return w->rule->rises ? p->peak_deg < limit : p->peak_deg > limit;
    }
    if (k == WD_FAULT_ASYMMETRY) {
        f->worst_deg = fabs(p->side_deg[0] - p->side_deg[1]);
        return f->worst_deg > limit;
    }
    size_t n_over = 0, first = 0, last = 0;
    f->worst_deg = 0;
    for (size_t i = 0; i < w->n; i++) {
        const double v = judged(w, i, k);
        if (w->t[i] < p->start_s - AROUND_S || w->t[i] > p->end_s + AROUND_S || !(v > limit))
            continue;
        first = n_over++ ? first : i;
        last = i;
        f->worst_deg = fmax(f->worst_deg, v);
    }
    if ((double)n_over * w->m->interval_s < FAULT_MIN_S)
        return false;
    f->start_s = fmax(w->t[first] - w->m->interval_s / 2, w->t[0]);
    f->end_s = fmin(w->t[last] + w->m->interval_s / 2, w->t[w->n - 1]);
    return true;
}

static void find_faults(work *w)
{
    wd_rehab_measured *m = w->m;
    for (int k = 0; k < WD_N_FAULT; k++) {
        if (w->rule->limit_deg[k] <= 0)
            continue;
        size_t n = 0;
        for (size_t i = 0; i < w->n; i++) {
            const double *s = m->sample[i].angle[w->rule->main];
            n += isfinite(k == WD_FAULT_ASYMMETRY ? s[0] - s[1] : judged(w, i, (wd_rehab_fault_kind)k));
        }
        m->fault_why[k] = m->main_why                         ? m->main_why
                          : (double)n < ENOUGH * (double)w->n ? WD_WHY_POINTS
                          : !m->n_rep                         ? WD_WHY_NO_REP
                                                              : WD_WHY_MEASURED;
    }
    for (uint32_t r = 0; r < m->n_rep; r++) {
        for (int k = 0; k < WD_N_FAULT; k++) {
            wd_rehab_fault f = { .kind = (wd_rehab_fault_kind)k, .rep = r + 1 };
            if (w->rule->limit_deg[k] > 0 && !m->fault_why[k] && judge_rep(w, f.kind, &m->rep[r], &f))
                m->fault[m->n_fault++] = f;
        }
    }
}

/* ---- public ---- */

wd_status wd_rehab_measure(const wd_pose_frame *frame, size_t n, const wd_rehab_measure_opts *o, wd_arena *a,
                           wd_rehab_measured *out, wd_err *err)
{
    if (n > WD_REHAB_SAMPLES_MAX)
        return WD_FAIL(err, WD_E_LIMIT, "pose: %zu samples, at most %u", n, WD_REHAB_SAMPLES_MAX);
    wd_rehab_measured m = {
        .kind = o->kind, .yaw_deg = NAN, .jitter = NAN, .n_sample = (uint32_t)n, .moving = -1
    };
    work w = { .rule = wd_rehab_rule_of(o->kind), .frame = frame, .n = n, .m = &m };
    WD_TRY(begin(&w, a, err));
    for (size_t i = 1; i < n; i++)
        w.scratch[0][i - 1] = w.t[i] - w.t[i - 1];
    m.interval_s = n > 1 ? quantile(w.scratch[0], n - 1, 0.5) : 0;
    take_raw(&w, o->min_confidence);
    w.trunk = trunk_length(&w);
    smooth_all(&w);
    w.trunk = trunk_length(&w);
    estimate_view(&w, o->view);
    if (!m.main_why) {
        estimate_facing(&w);
        measure_angles(&w);
        find_main(&w);
    } else {
        for (size_t i = 0; i < n; i++) {
            m.sample[i] = (wd_rehab_sample){ .frame = frame[i].frame, .time_s = w.t[i], .main = NAN };
            for (int g = 0; g < WD_N_ANGLE; g++)
                m.sample[i].angle[g][0] = m.sample[i].angle[g][1] = NAN;
        }
    }
    if (!m.main_why)
        find_reps(&w);
    find_faults(&w);
    *out = m;
    return WD_OK;
}

const char *wd_rehab_confidence(const wd_rehab_measured *m)
{
    if (m->main_why)
        return "low";
    if (m->coverage >= 0.9 && m->jitter <= 0.03)
        return "high";
    return m->coverage >= 0.7 && m->jitter <= 0.07 ? "medium" : "low";
}

static const char *const view_names[] = { "auto", "side", "oblique", "front" };

const char *wd_view_name(wd_view v)
{
    return view_names[v];
}

bool wd_view_of(const char *name, wd_view *out)
{
    for (size_t i = 0; i < WD_COUNT(view_names); i++) {
        if (!strcmp(name, view_names[i])) {
            *out = (wd_view)i;
            return true;
        }
    }
    return false;
}
