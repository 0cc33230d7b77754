/* The exercises that Ward measures, the points it measures them with, and the limits it judges them by.
 *
 * One table (wd_rehab_rule) holds every number; docs/cases.md and docs/rehab.md repeat it for readers. The limits are
 * ordinary teaching values, not a prescription: a physiotherapist may want others.
 */
#ifndef WD_CARE_REHAB_RULES_H
#define WD_CARE_REHAB_RULES_H

#include <stdbool.h>
#include <stdint.h>

/* The points of a pose. Left and right are the person's own. */
typedef enum wd_joint {
    WD_JOINT_HEAD,
    WD_JOINT_LEFT_SHOULDER,
    WD_JOINT_RIGHT_SHOULDER,
    WD_JOINT_LEFT_ELBOW,
    WD_JOINT_RIGHT_ELBOW,
    WD_JOINT_LEFT_WRIST,
    WD_JOINT_RIGHT_WRIST,
    WD_JOINT_LEFT_HIP,
    WD_JOINT_RIGHT_HIP,
    WD_JOINT_LEFT_KNEE,
    WD_JOINT_RIGHT_KNEE,
    WD_JOINT_LEFT_ANKLE,
    WD_JOINT_RIGHT_ANKLE,
    WD_N_JOINT
} wd_joint;

/* "left knee": in prompts, replies and pose files. */
const char *wd_joint_name(wd_joint j);
/* By that name, also with '_' for the space; case does not matter; "nose" is the head. WD_N_JOINT: unknown. */
wd_joint wd_joint_of(const char *name);

typedef enum wd_exercise_kind {
    WD_EXERCISE_SQUAT,
    WD_EXERCISE_WALL_SIT,
    WD_EXERCISE_STRAIGHT_LEG_RAISE,
    WD_EXERCISE_KNEE_EXTENSION,
    WD_EXERCISE_SHOULDER_ABDUCTION,
    WD_N_EXERCISE
} wd_exercise_kind;

typedef enum wd_rehab_fault_kind {
    WD_FAULT_KNEES_PAST_TOES,    /* the shank leans forward: the knee is over or past the toes */
    WD_FAULT_TRUNK_LEAN,         /* the trunk leaves the vertical, whichever way */
    WD_FAULT_INSUFFICIENT_DEPTH, /* a repetition's peak does not reach the target */
    WD_FAULT_ASYMMETRY,          /* left and right differ at the peak */
    WD_FAULT_KNEE_BENT,          /* the knee of the raised leg bends */
    WD_N_FAULT
} wd_rehab_fault_kind;

/* The angle that counts the repetitions. All in degrees. */
typedef enum wd_rehab_angle {
    WD_ANGLE_KNEE_FLEXION,       /* 0: straight; from hip, knee, ankle */
    WD_ANGLE_HIP_FLEXION,        /* 0: thigh in line with the trunk; from shoulder, hip, knee */
    WD_ANGLE_SHOULDER_ABDUCTION, /* 0: arm along the trunk; upper arm against the trunk's axis */
    WD_ANGLE_TRUNK_LEAN,         /* of the line from mid hip to mid shoulder from the vertical, >= 0 */
    WD_ANGLE_SHANK_LEAN,         /* of the line from ankle to knee from the vertical, > 0: forward */
    WD_N_ANGLE
} wd_rehab_angle;

/* How the sides make one main angle. */
typedef enum wd_rehab_sides {
    WD_SIDES_MEAN,  /* both do the same: their mean */
    WD_SIDES_BEST,  /* both move: the one that is further */
    WD_SIDES_MOVING /* one moves: the one with the larger range over the video */
} wd_rehab_sides;

typedef struct wd_rehab_rule {
    const char *name;     /* "squat" */
    const char *title[2]; /* for people: [0] English, [1] Chinese */
    wd_rehab_angle main;
    wd_rehab_sides sides;
    bool rises;   /* exertion makes the main angle larger */
    bool hold;    /* one hold, not repetitions */
    bool frontal; /* seen from the front; otherwise from the side */
    bool lying;
    double enter_deg, leave_deg; /* a repetition begins past the one and ends before the other */
    double limit_deg
        [WD_N_FAULT]; /* 0: the fault does not exist here. Depth: the peak must reach it; others: more is
                                     a fault */
} wd_rehab_rule;

const wd_rehab_rule *wd_rehab_rule_of(wd_exercise_kind k);
/* By name, also with '-' or ' ' for '_'. WD_N_EXERCISE: unknown. */
wd_exercise_kind wd_exercise_of(const char *name);

const char *wd_rehab_fault_name(wd_rehab_fault_kind f);  /* "trunk_lean" */
wd_rehab_fault_kind wd_rehab_fault_of(const char *name); /* WD_N_FAULT: unknown */
const char *wd_rehab_angle_name(wd_rehab_angle a);       /* "knee_flexion" */

/* Proportions that views are estimated by (shoulder joints' distance over the trunk's length, shoulder to hip). */
#define WD_BODY_SHOULDERS_PER_TRUNK 0.80

#endif
