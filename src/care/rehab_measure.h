/* Geometry: from the points of a pose over time to angles, repetitions and faults. Pure: no model, no video, no language.
 *
 * One camera sees one plane well. Exercises are measured from the side (knee, hip, shank, trunk forwards) or from the
 * front (abduction, trunk sideways). How far the camera stands off the side is estimated from how wide the shoulders
 * look against the trunk; lengths across the picture are divided by its cosine. Beyond WD_REHAB_YAW_MAX nothing is
 * measured: nothing is better than a wrong number. From the front no correction is made: 25 degrees off change an
 * abduction of 45 degrees by 3. The picture is taken as upright.
 *
 *   angle               seen from     definition
 *   knee flexion        side          between thigh and shank, 0 straight
 *   hip flexion         side          between thigh and the trunk's axis (mid shoulders to mid hips), 0 in line
 *   trunk lean          side, front   of the trunk's axis from the vertical, 0 .. 180
 *   shank lean          side          of the line ankle to knee from the vertical, > 0 the way the knees point
 *   shoulder abduction  front         between upper arm and the trunk's axis
 *
 * Points are smoothed by a local parabola over 0.9 s, which keeps peaks; a point that jumps away from what its
 * neighbours say is left out, and a gap is bridged only where there are neighbours on both sides.
 */
#ifndef WD_CARE_REHAB_MEASURE_H
#define WD_CARE_REHAB_MEASURE_H

#include "base/arena.h"
#include "care/rehab_rules.h"

#define WD_REHAB_YAW_MAX 50.0
#define WD_REHAB_SAMPLES_MAX 20000u
#define WD_REHAB_REPS_MAX 200u

typedef struct wd_pose_point {
    double x, y;       /* pixels of the video; any unit, the same for both */
    double confidence; /* 0 .. 1; 0: not seen */
} wd_pose_point;

typedef struct wd_pose_frame {
    uint64_t frame; /* number in the video */
    double time_s;
    wd_pose_point joint[WD_N_JOINT];
} wd_pose_frame;

typedef enum wd_view { WD_VIEW_AUTO, WD_VIEW_SIDE, WD_VIEW_OBLIQUE, WD_VIEW_FRONT } wd_view;
const char *wd_view_name(wd_view v); /* "auto", "side", "oblique", "front" */
/* False when there is no such view. */
bool wd_view_of(const char *name, wd_view *out);

typedef struct wd_rehab_measure_opts {
    wd_exercise_kind kind;
    wd_view view;          /* where the camera stands                 default auto: by the points */
    double min_confidence; /* points below it count as not seen       default 0.3 */
} wd_rehab_measure_opts;

/* NAN: could not be measured. [0] left, [1] right; the trunk has the same twice. */
typedef struct wd_rehab_sample {
    uint64_t frame;
    double time_s;
    double angle[WD_N_ANGLE][2];
    double main;
} wd_rehab_sample;

typedef struct wd_rehab_rep {
    double start_s, end_s; /* where the main angle passes the rule's leave_deg */
    double peak_s, peak_deg;
    double range_deg;   /* from the angle before it, at rest, to the peak */
    double hold_s;      /* within 12 degrees of the peak */
    double side_deg[2]; /* each side's own peak; NAN */
} wd_rehab_rep;

typedef struct wd_rehab_fault {
    wd_rehab_fault_kind kind;
    uint32_t rep; /* from 1 */
    double start_s, end_s;
    double worst_deg; /* the angle, or the difference between the sides */
} wd_rehab_fault;

/* Why something was not measured. */
typedef enum wd_rehab_why {
    WD_WHY_MEASURED, /* it was */
    WD_WHY_VIEW,     /* the camera does not see its plane */
    WD_WHY_POINTS,   /* too few of the points it needs */
    WD_WHY_NO_REP    /* there is no repetition to judge */
} wd_rehab_why;

typedef struct wd_rehab_measured {
    wd_exercise_kind kind;
    wd_view view;                                 /* as told or estimated; never auto */
    double yaw_deg;                               /* off the plane of the exercise; NAN: cannot be told */
    int moving;                                   /* 0 left, 1 right; -1: both */
    wd_rehab_why main_why, fault_why[WD_N_FAULT]; /* of faults that this exercise has */
    double coverage;                              /* share of the samples with a main angle */
    double jitter;           /* median distance of points from their smooth course, in trunk lengths; NAN */
    double interval_s;       /* median time between samples */
    wd_rehab_sample *sample; /* [n_sample] */
    uint32_t n_sample;
    wd_rehab_rep *rep; /* [n_rep] */
    uint32_t n_rep;
    wd_rehab_fault *fault; /* [n_fault] by repetition */
    uint32_t n_fault;
} wd_rehab_measured;

/* frame [n], times increasing. Everything lives in the arena. Poor input is no failure: it is said in `why`.
 *   WD_E_INVALID   times do not increase or are not numbers
 *   WD_E_LIMIT     more than WD_REHAB_SAMPLES_MAX samples
 *   WD_E_NOMEM */
WD_MUST_CHECK wd_status wd_rehab_measure(const wd_pose_frame *frame, size_t n, const wd_rehab_measure_opts *o,
                                         wd_arena *a, wd_rehab_measured *out, wd_err *err);

/* "high": 90 % of the samples measured and points within 3 % of a trunk length; "medium": 70 % and 7 %; "low". */
const char *wd_rehab_confidence(const wd_rehab_measured *m);

/* The parts, for tests. */

/* Degrees at b between the lines to a and to c; NAN when two coincide. */
double wd_rehab_angle_at(double ax, double ay, double bx, double by, double cx, double cy);
/* v[n] at time t[n] (NAN: none) by a local parabola; outliers further than `jump` are left out. out may not be v. */
void wd_rehab_smooth(const double *t, const double *v, size_t n, double jump, double *out);
/* Counts rises of v past enter that come back below leave (enter > leave); NANs are skipped. A last one that has not
 * come back counts when it is at least halfway back from its peak, or `hold`. Returns the number, at most max. */
uint32_t wd_rehab_count(const double *t, const double *v, size_t n, double enter, double leave, bool hold,
                        wd_rehab_rep *rep, uint32_t max);

#endif
