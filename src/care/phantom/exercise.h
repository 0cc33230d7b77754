/* Synthetic exercise videos: a jointed figure that squats, sits against a wall, raises a straight leg, extends its knees
 * or raises its arms, with faults, filmed from one side, obliquely or from the front.
 *
 * A skeleton in metres moves by angles drawn from the seed; a pin-hole camera projects it; limbs are drawn over a room.
 * The truth is what was drawn: points in pixels, joint angles in space, repetitions, and the times at which an angle is
 * past the limit of care/rehab_rules.h. Nobody is depicted. docs/cases.md has the tables.
 */
#ifndef WD_CARE_PHANTOM_EXERCISE_H
#define WD_CARE_PHANTOM_EXERCISE_H

#include <jansson.h>

#include "base/arena.h"
#include "care/phantom/canvas.h"
#include "care/rehab_rules.h"

#define WD_EXERCISE_WIDTH 320u
#define WD_EXERCISE_HEIGHT 240u
#define WD_EXERCISE_FPS 15u
#define WD_EXERCISE_REPS_MAX 6u
#define WD_EXERCISE_FAULTS_MAX 24u

typedef enum wd_exercise_camera { WD_CAMERA_SIDE, WD_CAMERA_OBLIQUE, WD_CAMERA_FRONT } wd_exercise_camera;

/* In pixels and degrees; [0] left, [1] right (equal for the trunk). */
typedef struct wd_exercise_frame {
    wd_point joint[WD_N_JOINT];
    double angle[WD_N_ANGLE][2];
    double main; /* the exercise's main angle, its sides joined as the rule says */
} wd_exercise_frame;

typedef struct wd_exercise_rep {
    double start_s, end_s, peak_deg; /* peak of the main angle: its lowest where exertion makes it fall */
} wd_exercise_rep;

typedef struct wd_exercise_fault {
    wd_rehab_fault_kind kind;
    uint32_t rep; /* from 1 */
    double start_s, end_s;
    double worst_deg; /* the angle, or the difference between the sides, at its worst */
} wd_exercise_fault;

typedef struct wd_exercise wd_exercise;

typedef struct wd_exercise_info {
    wd_exercise_kind kind;
    wd_exercise_camera camera;
    double yaw_deg; /* of the camera from the plane in which the exercise is measured */
    uint32_t n_frame, n_rep, n_fault;
    const wd_exercise_frame *frame;                  /* [n_frame] */
    wd_exercise_rep rep[WD_EXERCISE_REPS_MAX];       /* [n_rep] */
    wd_exercise_fault fault[WD_EXERCISE_FAULTS_MAX]; /* [n_fault] by repetition */
} wd_exercise_info;

/* Plans the video of that seed. Lives in the arena. WD_E_NOMEM. */
WD_MUST_CHECK wd_status wd_exercise_plan(uint64_t seed, wd_arena *a, wd_exercise **out, wd_err *err);
const wd_exercise_info *wd_exercise_info_of(const wd_exercise *x);
const char *wd_exercise_camera_name(wd_exercise_camera c); /* "side", "oblique", "front" */

/* Draws frame i over im, WD_EXERCISE_WIDTH x WD_EXERCISE_HEIGHT. The background alone for i = n_frame. */
void wd_exercise_draw(const wd_exercise *x, uint32_t i, wd_image *im);

/* truth.json (docs/cases.md). NULL: no memory. */
json_t *wd_exercise_truth(const wd_exercise *x);

/* dir/video.mp4 and dir/truth.json; dir is created. */
WD_MUST_CHECK wd_status wd_exercise_write(const char *dir, uint64_t seed, wd_err *err);

/* dir/pose.json and dir/truth.json without the video: the points as an estimator would give them, 5 times a second,
 * each off by a normal deviate of noise_px in x and y (care/rehab_pose.h). For what needs no pictures. */
WD_MUST_CHECK wd_status wd_exercise_write_points(const char *dir, uint64_t seed, double noise_px,
                                                 wd_err *err);

#endif
