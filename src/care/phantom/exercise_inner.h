/* What exercise.c (motion and truth), exercise_body.c (skeleton and camera) and exercise_draw.c share. */
#ifndef WD_CARE_PHANTOM_EXERCISE_INNER_H
#define WD_CARE_PHANTOM_EXERCISE_INNER_H

#include "base/rand.h"
#include "care/phantom/exercise.h"

/* Metres. Of the body: x forward, y up, z to its left. Of the world: x to the right of the picture, y up, z to the
 * camera. */
typedef struct wd_vec3 {
    double x, y, z;
} wd_vec3;

/* What besides the joints has a place. */
enum {
    WD_BODY__NECK = WD_N_JOINT,
    WD_BODY__CROWN,
    WD_BODY__NOSE,
    WD_BODY__LEFT_TOE,
    WD_BODY__RIGHT_TOE,
    WD_BODY__LEFT_HAND,
    WD_BODY__RIGHT_HAND,
    WD_BODY__N
};

typedef struct wd_body__points {
    wd_vec3 p[WD_BODY__N];
} wd_body__points;

/* Lengths in metres. */
typedef struct wd_body__size {
    double height, trunk, thigh, shank, upper_arm, forearm, shoulder, hip; /* shoulder, hip: half the width */
    double stance, ankle, foot, head;                                      /* stance: half; head: radius */
} wd_body__size;

/* One moment, in degrees; [0] left, [1] right. */
typedef struct wd_body__angles {
    double knee[2], shank, trunk; /* shank: lean; trunk: lean forward, for the abduction to the left */
    double hip[2];                /* lying: of each leg */
    double arm[2];                /* raised forward, or sideways for the abduction */
    double elbow;
} wd_body__angles;

typedef struct wd_camera__pose {
    double yaw;                    /* of the person, degrees: 0 looks to the right, 90 into the camera */
    double distance, height, tilt; /* m, m, degrees downwards */
    double focal, cx, cy;          /* pixels */
} wd_camera__pose;

void wd_body__draw_size(wd_body__size *s, wd_rand *r);
/* Places every point, in the body's own coordinates. */
void wd_body__pose(const wd_body__size *s, wd_exercise_kind kind, const wd_body__angles *a,
                   wd_body__points *out);
/* The lean of the shank that keeps the hips at the wall, as for hold_knee and hold_shank (degrees) at that knee. */
double wd_body__wall_shank(const wd_body__size *s, double hold_knee, double hold_shank, double knee);
/* Angles in space. */
void wd_body__measure(const wd_body__points *b, double angle[WD_N_ANGLE][2]);

wd_vec3 wd_camera__to_world(const wd_camera__pose *c, wd_vec3 body);
/* *scale: pixels per metre there. */
wd_point wd_camera__project(const wd_camera__pose *c, wd_vec3 world, double *scale);

typedef struct wd_exercise__look {
    wd_rgb skin, hair, shirt, trousers, shoes;
    wd_rgb wall[2], floor[2], trim, thing[4];
    bool long_sleeves, long_trousers, mat, skirting;
    int kind[3];     /* furniture, 0: none */
    double place[3]; /* 0..1 along the wall */
} wd_exercise__look;

struct wd_exercise {
    wd_exercise_info info;
    uint64_t seed;
    wd_body__size size;
    wd_camera__pose camera;
    wd_exercise__look look;
    wd_body__points *body; /* [n_frame] in the body's coordinates */
};

void wd_exercise__draw_look(wd_exercise__look *l, wd_rand *r);
/* The figure alone, over what im shows. */
void wd_exercise__draw_figure(const wd_exercise *x, uint32_t i, wd_image *im);

#endif
