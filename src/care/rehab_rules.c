/* Names and limits. */
#include "care/rehab_rules.h"

#include <stddef.h>

#include "base/compiler.h"

static const char *const joint_names[WD_N_JOINT] = {
    "head",     "left shoulder", "right shoulder", "left elbow", "right elbow", "left wrist",  "right wrist",
    "left hip", "right hip",     "left knee",      "right knee", "left ankle",  "right ankle",
};

static const char *const fault_names[WD_N_FAULT] = { "knees_past_toes", "trunk_lean", "insufficient_depth",
                                                     "asymmetry", "knee_bent" };

static const char *const angle_names[WD_N_ANGLE] = { "knee_flexion", "hip_flexion", "shoulder_abduction",
                                                     "trunk_lean", "shank_lean" };

/* A shank that leans 33 degrees puts the knee 0.55 shank lengths before the ankle: about where the toes end. */
static const wd_rehab_rule rules[WD_N_EXERCISE] = {
    [WD_EXERCISE_SQUAT] = { .name = "squat",
                            .title = { "squat", "深蹲" },
                            .main = WD_ANGLE_KNEE_FLEXION,
                            .sides = WD_SIDES_MEAN,
                            .rises = true,
                            .enter_deg = 38,
                            .leave_deg = 22,
                            .limit_deg = { [WD_FAULT_KNEES_PAST_TOES] = 33,
                                           [WD_FAULT_TRUNK_LEAN] = 45,
                                           [WD_FAULT_INSUFFICIENT_DEPTH] = 80 } },
    [WD_EXERCISE_WALL_SIT] = { .name = "wall_sit",
                               .title = { "wall sit", "靠墙静蹲" },
                               .main = WD_ANGLE_KNEE_FLEXION,
                               .sides = WD_SIDES_MEAN,
                               .rises = true,
                               .hold = true,
                               .enter_deg = 42,
                               .leave_deg = 30,
                               .limit_deg = { [WD_FAULT_KNEES_PAST_TOES] = 25,
                                              [WD_FAULT_TRUNK_LEAN] = 15,
                                              [WD_FAULT_INSUFFICIENT_DEPTH] = 75 } },
    [WD_EXERCISE_STRAIGHT_LEG_RAISE] = { .name = "straight_leg_raise",
                                         .title = { "straight-leg raise", "直腿抬高" },
                                         .main = WD_ANGLE_HIP_FLEXION,
                                         .sides = WD_SIDES_MOVING,
                                         .rises = true,
                                         .lying = true,
                                         .enter_deg = 18,
                                         .leave_deg = 11,
                                         .limit_deg = { [WD_FAULT_INSUFFICIENT_DEPTH] = 42,
                                                        [WD_FAULT_KNEE_BENT] = 20 } },
    [WD_EXERCISE_KNEE_EXTENSION] = { .name = "knee_extension",
                                     .title = { "seated knee extension", "坐位伸膝" },
                                     .main = WD_ANGLE_KNEE_FLEXION,
                                     .sides = WD_SIDES_BEST,
                                     .enter_deg = 58,
                                     .leave_deg = 70,
                                     .limit_deg = { [WD_FAULT_TRUNK_LEAN] = 18,
                                                    [WD_FAULT_INSUFFICIENT_DEPTH] = 18,
                                                    [WD_FAULT_ASYMMETRY] = 16 } },
    [WD_EXERCISE_SHOULDER_ABDUCTION] = { .name = "shoulder_abduction",
                                         .title = { "shoulder abduction", "肩外展" },
                                         .main = WD_ANGLE_SHOULDER_ABDUCTION,
                                         .sides = WD_SIDES_BEST,
                                         .rises = true,
                                         .frontal = true,
                                         .enter_deg = 36,
                                         .leave_deg = 25,
                                         .limit_deg = { [WD_FAULT_TRUNK_LEAN] = 10,
                                                        [WD_FAULT_INSUFFICIENT_DEPTH] = 76,
                                                        [WD_FAULT_ASYMMETRY] = 16 } },
};

/* Equal but for case and for ' ', '-', '_'. */
static bool same_name(const char *a, const char *b)
{
    for (;; a++, b++) {
        char x = *a, y = *b;
        if (x >= 'A' && x <= 'Z')
            x = (char)(x - 'A' + 'a');
        if (x == '-' || x == ' ')
            x = '_';
        if (y == '-' || y == ' ')
            y = '_';
        if (x != y)
            return false;
        if (!x)
            return true;
    }
}

static size_t find(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (same_name(name, names[i]))
            return i;
    return n;
}

const char *wd_joint_name(wd_joint j)
{
    return joint_names[j];
}

wd_joint wd_joint_of(const char *name)
{
    return same_name(name, "nose") ? WD_JOINT_HEAD : (wd_joint)find(joint_names, WD_N_JOINT, name);
}

const wd_rehab_rule *wd_rehab_rule_of(wd_exercise_kind k)
{
    return &rules[k];
}

wd_exercise_kind wd_exercise_of(const char *name)
{
    for (size_t i = 0; i < WD_N_EXERCISE; i++)
        if (same_name(name, rules[i].name))
            return (wd_exercise_kind)i;
    return WD_N_EXERCISE;
}

const char *wd_rehab_fault_name(wd_rehab_fault_kind f)
{
    return fault_names[f];
}

wd_rehab_fault_kind wd_rehab_fault_of(const char *name)
{
    return (wd_rehab_fault_kind)find(fault_names, WD_N_FAULT, name);
}

const char *wd_rehab_angle_name(wd_rehab_angle a)
{
    return angle_names[a];
}
