/* Geometry: angles that can be worked out by hand, counting, smoothing, faults, views, and the phantom's truth. */
#include "care/rehab_measure.h"

#include <math.h>

#include "base/rand.h"
#include "care/phantom/exercise.h"
#include "support/test.h"

#define NEAR(a, b, within)                                      \
    do {                                                        \
        const double got_ = (a), want_ = (b);                   \
        if (!(fabs(got_ - want_) <= (within)))                  \
            fail_msg("%s is %g, expected %g", #a, got_, want_); \
    } while (0)
#define RAD (M_PI / 180)
#define N 60 /* samples at 5 per second: 12 s */

static wd_arena *arena;
static wd_pose_frame pose[N];

static int start(void **state)
{
    (void)state;
    arena = wd_arena_create(1u << 28, false);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    wd_arena_destroy(arena);
    return 0;
}

static void put(wd_pose_frame *f, int j, double x, double y)
{
    f->joint[j] = (wd_pose_point){ x, y, 1 };
    f->joint[j + 1] = (wd_pose_point){ x, y, 1 };
}

/* A squatter seen from the right: shank 50, thigh 50, trunk 60 pixels; angles in degrees. */
static void squat(wd_pose_frame *f, double knee, double shank, double trunk)
{
    const double kx = 100 + 50 * sin(shank * RAD), ky = 200 - 50 * cos(shank * RAD);
    const double hx = kx + 50 * sin((shank - knee) * RAD), hy = ky - 50 * cos((shank - knee) * RAD);
    put(f, WD_JOINT_LEFT_ANKLE, 100, 200);
    put(f, WD_JOINT_LEFT_KNEE, kx, ky);
    put(f, WD_JOINT_LEFT_HIP, hx, hy);
    put(f, WD_JOINT_LEFT_SHOULDER, hx + 60 * sin(trunk * RAD), hy - 60 * cos(trunk * RAD));
    put(f, WD_JOINT_LEFT_ELBOW, hx + 20, hy - 30);
    put(f, WD_JOINT_LEFT_WRIST, hx + 40, hy - 30);
    f->joint[WD_JOINT_HEAD] = (wd_pose_point){ hx, hy - 80, 1 };
}

/* Three squats of 3 s to `knee` degrees; phase 0..1 of each into *p if given. */
static void three_squats(double knee, double shank, double trunk)
{
    for (int i = 0; i < N; i++) {
        const double t = i / 5.0, u = fmod(t, 4);
        const double p = t < 12 && u > 0.5 && u < 3.5 ? (1 - cos((u - 0.5) / 3 * 2 * M_PI)) / 2 : 0;
        squat(&pose[i], 3 + p * (knee - 3), p * shank, 3 + p * (trunk - 3));
        pose[i].time_s = t;
        pose[i].frame = (uint64_t)i * 3;
    }
}

static wd_rehab_measured measure(wd_exercise_kind k, wd_view v)
{
    const wd_rehab_measure_opts o = { k, v, 0.3 };
    wd_rehab_measured m;
    assert_ok(wd_rehab_measure(pose, N, &o, arena, &m, &err));
    return m;
}

static uint32_t count_faults(const wd_rehab_measured *m, wd_rehab_fault_kind k)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n_fault; i++)
        n += m->fault[i].kind == k;
    return n;
}

static void angles_of_points_are_those_of_the_drawing(void **state)
{
    (void)state;
    NEAR(wd_rehab_angle_at(1, 0, 0, 0, 0, 1), 90, 1e-9);
    NEAR(wd_rehab_angle_at(1, 0, 0, 0, -1, 0), 180, 1e-9);
    NEAR(wd_rehab_angle_at(2, 1, 1, 1, 1 + cos(0.3), 1 + sin(0.3)), 0.3 / RAD, 1e-9);
    assert_true(isnan(wd_rehab_angle_at(1, 1, 1, 1, 2, 2)));
    for (int i = 0; i < N; i++) {
        squat(&pose[i], 70, 20, 30);
        pose[i].time_s = i / 5.0;
    }
    const wd_rehab_measured m = measure(WD_EXERCISE_SQUAT, WD_VIEW_AUTO);
    assert_int_equal(m.view, WD_VIEW_SIDE);
    for (int i = 0; i < N; i++) {
        const wd_rehab_sample *s = &m.sample[i];
        NEAR(s->main, 70, 1e-6);
        NEAR(s->angle[WD_ANGLE_HIP_FLEXION][1], 70 - 20 + 30, 1e-6);
        NEAR(s->angle[WD_ANGLE_TRUNK_LEAN][0], 30, 1e-6);
        NEAR(s->angle[WD_ANGLE_SHANK_LEAN][0], 20, 1e-6);
        assert_true(isnan(s->angle[WD_ANGLE_SHOULDER_ABDUCTION][0])); /* not from the side */
    }
    for (int i = 0; i < N; i++) /* looking to the left: the shank still leans forward */
        for (int j = 0; j < WD_N_JOINT; j++)
            pose[i].joint[j].x = 300 - pose[i].joint[j].x;
    NEAR(measure(WD_EXERCISE_SQUAT, WD_VIEW_AUTO).sample[9].angle[WD_ANGLE_SHANK_LEAN][0], 20, 1e-6);
}

static void arms_are_measured_against_the_trunk(void **state)
{
    (void)state;
    for (int i = 0; i < N;
         i++) { /* from the front: trunk 60, shoulders 48 wide, the trunk 10 degrees to one side */
        const double c = cos(10 * RAD), s = sin(10 * RAD);
        const double up[2] = { 60 * s, -60 * c };
        for (int e = 0; e < 2; e++) {
            const double w = e ? -24 : 24, arm = (e ? -70 : 50) * RAD; /* left 50, right 70 from the trunk */
            const double x = 150 + up[0] + w * c, y = 150 + up[1] + w * s;
            const double ux = sin(arm), uy = cos(arm); /* down the upright trunk, then to the side */
            pose[i].joint[WD_JOINT_LEFT_HIP + e] = (wd_pose_point){ 150 + w * 0.6, 150, 1 };
            pose[i].joint[WD_JOINT_LEFT_SHOULDER + e] = (wd_pose_point){ x, y, 1 };
            pose[i].joint[WD_JOINT_LEFT_ELBOW + e] = (wd_pose_point){ x + 40 * (ux * c - uy * s),
                                                                      y + 40 * (ux * s + uy * c), 1 };
        }
        pose[i].time_s = i / 5.0;
    }
    const wd_rehab_measured m = measure(WD_EXERCISE_SHOULDER_ABDUCTION, WD_VIEW_AUTO);
    assert_int_equal(m.main_why, WD_WHY_MEASURED);
    NEAR(m.sample[7].angle[WD_ANGLE_SHOULDER_ABDUCTION][0], 50, 0.5);
    NEAR(m.sample[7].angle[WD_ANGLE_SHOULDER_ABDUCTION][1], 70, 0.5);
    NEAR(m.sample[7].main, 70, 0.5); /* the better side */
    NEAR(m.sample[7].angle[WD_ANGLE_TRUNK_LEAN][0], 10, 0.5);
}

static void repetitions_have_their_times_and_peaks(void **state)
{
    (void)state;
    three_squats(100, 20, 30);
    const wd_rehab_measured m = measure(WD_EXERCISE_SQUAT, WD_VIEW_AUTO);
    assert_int_equal(m.n_rep, 3);
    assert_int_equal(m.n_fault, 0);
    assert_string_equal(wd_rehab_confidence(&m), "high");
    for (uint32_t r = 0; r < 3; r++) {
        NEAR(m.rep[r].peak_s, 4 * r + 2, 0.11);
        NEAR(m.rep[r].peak_deg, 100, 3);
        NEAR(m.rep[r].range_deg, 97, 4);
        /* 3 + 97 p = 22 at p = 0.196: 0.44 s after the start, and as much before the end */
        NEAR(m.rep[r].start_s, 4 * r + 0.5 + 0.44, 0.1);
        NEAR(m.rep[r].end_s, 4 * r + 3.5 - 0.44, 0.1);
    }
}

static void faults_are_found_with_their_times(void **state)
{
    (void)state;
    three_squats(60, 20, 30);
    wd_rehab_measured m = measure(WD_EXERCISE_SQUAT, WD_VIEW_AUTO);
    assert_int_equal(count_faults(&m, WD_FAULT_INSUFFICIENT_DEPTH), 3);
    assert_int_equal(m.n_fault, 3);
    three_squats(100, 44, 62);
    m = measure(WD_EXERCISE_SQUAT, WD_VIEW_AUTO);
    assert_int_equal(count_faults(&m, WD_FAULT_KNEES_PAST_TOES), 3);
    assert_int_equal(count_faults(&m, WD_FAULT_TRUNK_LEAN), 3);
    assert_int_equal(m.n_fault, 6);
    for (uint32_t i = 0; i < m.n_fault; i++) {
        const wd_rehab_fault *f = &m.fault[i];
        assert_int_equal(f->rep, i / 2 + 1);
        /* lean over 33 of 44 at p = 0.75: from 1 s after the start to 1 s before the end of the 3 s */
        if (f->kind == WD_FAULT_KNEES_PAST_TOES) {
            NEAR(f->start_s, 4 * (f->rep - 1) + 1.5, 0.21);
            NEAR(f->end_s, 4 * (f->rep - 1) + 2.5, 0.21);
            NEAR(f->worst_deg, 44, 2);
        }
    }
}

static void a_view_that_does_not_see_it_is_said(void **state)
{
    (void)state;
    three_squats(100, 20, 30);
    for (int i = 0; i < N; i++) { /* shoulders as wide as from the front */
        pose[i].joint[WD_JOINT_LEFT_SHOULDER].x += 24;
        pose[i].joint[WD_JOINT_RIGHT_SHOULDER].x -= 24;
    }
    wd_rehab_measured m = measure(WD_EXERCISE_SQUAT, WD_VIEW_AUTO);
    assert_int_equal(m.main_why, WD_WHY_VIEW);
    assert_int_equal(m.n_rep, 0);
    assert_int_equal(m.fault_why[WD_FAULT_TRUNK_LEAN], WD_WHY_VIEW);
    assert_true(isnan(m.sample[3].main));
    assert_string_equal(wd_rehab_confidence(&m), "low");
    assert_int_equal(measure(WD_EXERCISE_SQUAT, WD_VIEW_SIDE).n_rep, 3); /* the user knows better */
    three_squats(100, 20, 30);
    assert_int_equal(measure(WD_EXERCISE_SQUAT, WD_VIEW_FRONT).main_why, WD_WHY_VIEW);
    assert_int_equal(measure(WD_EXERCISE_SHOULDER_ABDUCTION, WD_VIEW_AUTO).main_why, WD_WHY_VIEW);
}

static void an_oblique_view_is_corrected(void **state)
{
    (void)state;
    three_squats(100, 20, 30);
    for (int i = 0; i < N;
         i++) { /* 35 degrees off: across the picture everything shrinks, the shoulders part */
        for (int j = 0; j < WD_N_JOINT; j++)
            pose[i].joint[j].x *= cos(35 * RAD);
        const double half = 24 * sin(35 * RAD); /* shoulders 48 wide on a trunk of 60 */
        pose[i].joint[WD_JOINT_LEFT_SHOULDER].x += half;
        pose[i].joint[WD_JOINT_RIGHT_SHOULDER].x -= half;
    }
    const wd_rehab_measured m = measure(WD_EXERCISE_SQUAT, WD_VIEW_AUTO);
    assert_int_equal(m.view, WD_VIEW_OBLIQUE);
    NEAR(m.yaw_deg, 35, 2);
    assert_int_equal(m.n_rep, 3);
    NEAR(m.rep[1].peak_deg, 100, 4);
    NEAR(m.sample[10].angle[WD_ANGLE_SHANK_LEAN][0], 20, 1.5);
}

static void missing_points_are_bridged_or_said(void **state)
{
    (void)state;
    three_squats(100, 20, 30);
    pose[10].joint[WD_JOINT_LEFT_KNEE].confidence = 0; /* at the bottom, both knees: bridged */
    pose[10].joint[WD_JOINT_RIGHT_KNEE].confidence = 0.1;
    pose[30].joint[WD_JOINT_LEFT_HIP] = (wd_pose_point){ 290, 10, 1 }; /* an error: left out */
    pose[31].joint[WD_JOINT_HEAD].x = NAN;
    wd_rehab_measured m = measure(WD_EXERCISE_SQUAT, WD_VIEW_AUTO);
    assert_int_equal(m.n_rep, 3);
    NEAR(m.coverage, 1, 1e-9);
    NEAR(m.sample[10].main, 100, 6);
    NEAR(m.sample[30].main, 100, 6);
    for (int i = 0; i < N; i++) /* no ankles at all */
        pose[i].joint[WD_JOINT_LEFT_ANKLE].confidence = pose[i].joint[WD_JOINT_RIGHT_ANKLE].confidence = 0;
    m = measure(WD_EXERCISE_SQUAT, WD_VIEW_AUTO);
    assert_int_equal(m.main_why, WD_WHY_POINTS);
    NEAR(m.coverage, 0, 1e-9);
    assert_int_equal(m.n_rep, 0);
    for (int i = 0; i < N; i++) /* one side alone is enough */
        pose[i].joint[WD_JOINT_RIGHT_ANKLE].confidence = 1;
    assert_int_equal(measure(WD_EXERCISE_SQUAT, WD_VIEW_AUTO).n_rep, 3);
}

static void bad_times_are_refused_and_nothing_is_not(void **state)
{
    (void)state;
    const wd_rehab_measure_opts o = { WD_EXERCISE_SQUAT, WD_VIEW_AUTO, 0.3 };
    wd_rehab_measured m;
    three_squats(100, 20, 30);
    pose[7].time_s = pose[6].time_s;
    assert_fails(wd_rehab_measure(pose, N, &o, arena, &m, &err), WD_E_INVALID, "sample 8 is 1.2 s");
    pose[7].time_s = NAN;
    assert_fails(wd_rehab_measure(pose, N, &o, arena, &m, &err), WD_E_INVALID, "sample 8");
    assert_fails(wd_rehab_measure(pose, WD_REHAB_SAMPLES_MAX + 1, &o, arena, &m, &err), WD_E_LIMIT, "20001");
    for (size_t n = 0; n < 4; n++) {
        assert_ok(wd_rehab_measure(pose, n, &o, arena, &m, &err));
        assert_int_equal(m.n_rep, 0);
    }
    wd_arena *small = wd_arena_create(1000, false);
    three_squats(100, 20, 30);
    assert_fails(wd_rehab_measure(pose, N, &o, small, &m, &err), WD_E_NOMEM, "no memory");
    wd_arena_destroy(small);
}

static uint32_t count(const double *v, size_t n, bool hold, wd_rehab_rep *rep)
{
    double t[100];
    for (size_t i = 0; i < n; i++)
        t[i] = 0.2 * (double)i;
    return wd_rehab_count(t, v, n, 40, 20, hold, rep, 8);
}

static void the_counter_has_hysteresis(void **state)
{
    (void)state;
    wd_rehab_rep r[8];
    static const double twice[] = { 0, 10, 30, 60, 90, 60, 30, 10, 0, 30, 70, 90, 70, 30, 5 };
    assert_int_equal(count(twice, WD_COUNT(twice), false, r), 2);
    NEAR(r[0].start_s, 0.3, 1e-9); /* halfway from 10 to 30 */
    NEAR(r[0].end_s, 1.3, 1e-9);
    NEAR(r[0].peak_deg, 90, 1e-9);
    NEAR(r[0].peak_s, 0.8, 1e-9);
    NEAR(r[0].range_deg, 90, 1e-9);
    static const double shiver[] = { 0, 30, 39, 25, 38, 21, 60, 41, 39, 42, 30, 45, 19, 0 };
    assert_int_equal(count(shiver, WD_COUNT(shiver), false, r), 1);
    static const double low[] = { 0, 30, 39, 30, 0, 39, 0 };
    assert_int_equal(count(low, WD_COUNT(low), false, r), 0);
    static const double spike[] = { 0, 0, 90, 0, 0 }; /* 0.31 s over 20 */
    assert_int_equal(count(spike, WD_COUNT(spike), false, r), 0);
    static const double gap[] = { 0, 30, NAN, 90, NAN, NAN, 30, 0, NAN };
    assert_int_equal(count(gap, WD_COUNT(gap), false, r), 1);
    static const double open[] = { 0, 30, 60, 90, 80 }; /* cut at the top */
    assert_int_equal(count(open, WD_COUNT(open), false, r), 0);
    assert_int_equal(count(open, WD_COUNT(open), true, r), 1);
    static const double half[] = { 0, 30, 60, 90, 70, 50 }; /* more than half back */
    assert_int_equal(count(half, WD_COUNT(half), false, r), 1);
    assert_int_equal(count(half, 0, false, r), 0);
}

static void counting_stands_noise(void **state)
{
    (void)state;
    wd_rand rand;
    wd_rand_init(&rand, 5);
    for (int round = 0; round < 50; round++) {
        const uint32_t n_rep = 1 + (uint32_t)wd_rand_below(&rand, 6);
        double t[100], v[100], s[100];
        wd_rehab_rep r[8];
        const size_t n = 15 * n_rep + 5; /* 3 s each */
        for (size_t i = 0; i < n; i++) {
            t[i] = 0.2 * (double)i + wd_rand_range(&rand, -0.03, 0.03);
            const double u = t[i] / 3;
            v[i] = 5 + (u < n_rep ? 90 * pow(sin(M_PI * u), 2) : 0) + 7 * wd_rand_normal(&rand);
        }
        wd_rehab_smooth(t, v, n, INFINITY, s);
        assert_int_equal(wd_rehab_count(t, s, n, 38, 22, false, r, 8), n_rep);
    }
}

static void smoothing_keeps_peaks_and_drops_jumps(void **state)
{
    (void)state;
    double t[50], v[50], s[50];
    for (int i = 0; i < 50; i++) {
        t[i] = 0.2 * i;
        v[i] = 50 * sin(2 * M_PI * t[i] / 3);
    }
    wd_rehab_smooth(t, v, 50, 30, s);
    for (int i = 0; i < 50; i++)
        NEAR(s[i], v[i], 1.5); /* 50 high, one turn in 3 s */
    const double was = v[20], two[2] = { v[33], v[34] };
    v[20] = 400;
    v[33] = NAN;
    v[34] = -300;
    wd_rehab_smooth(t, v, 50, 30, s);
    NEAR(s[20], was, 6);
    NEAR(s[33], two[0], 15);
    NEAR(s[34], two[1], 15);
    for (int i = 10; i < 20; i++)
        v[i] = NAN;
    wd_rehab_smooth(t, v, 50, 30, s);
    assert_true(isnan(s[15])); /* too long a gap is none of our guesses */
    wd_rehab_smooth(t, v, 0, 30, s);
}

/* The phantom's true points, as a good estimator would give them: every repetition, every fault. */
static void the_phantom_is_measured_as_it_was_drawn(void **state)
{
    (void)state;
    double off = 0, n_off = 0;
    uint32_t n_fault = 0, n_found = 0, n_right = 0;
    static wd_pose_frame f[100];
    for (uint64_t seed = 1; seed <= 200; seed++) {
        wd_arena *a = wd_arena_create(32u << 20, false);
        wd_exercise *x;
        assert_ok(wd_exercise_plan(seed, a, &x, &err));
        const wd_exercise_info *i = wd_exercise_info_of(x);
        size_t n = 0;
        for (uint32_t k = 0; k < i->n_frame; k += 3, n++) {
            f[n] = (wd_pose_frame){ .frame = k, .time_s = (double)k / WD_EXERCISE_FPS };
            for (int j = 0; j < WD_N_JOINT; j++)
                f[n].joint[j] = (wd_pose_point){ i->frame[k].joint[j].x, i->frame[k].joint[j].y, 1 };
        }
        const wd_rehab_measure_opts o = { i->kind, WD_VIEW_AUTO, 0.3 };
        wd_rehab_measured m;
        assert_ok(wd_rehab_measure(f, n, &o, a, &m, &err));
        if (m.n_rep != i->n_rep)
            fail_msg("seed %u: %u repetitions, expected %u", (unsigned)seed, m.n_rep, i->n_rep);
        for (uint32_t k = 0; k < m.n_sample; k++, n_off++)
            off += fabs(m.sample[k].main - i->frame[m.sample[k].frame].main);
        for (uint32_t k = 0; k < i->n_fault; k++)
            for (uint32_t p = 0; p < m.n_fault; p++)
                n_right += m.fault[p].kind == i->fault[k].kind && m.fault[p].rep == i->fault[k].rep;
        n_fault += i->n_fault;
        n_found += m.n_fault;
        wd_arena_destroy(a);
    }
    NEAR(off / n_off, 0, 1.2);
    assert_true(2.0 * n_right / (n_fault + n_found) >= 0.99);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(angles_of_points_are_those_of_the_drawing),
        cmocka_unit_test(arms_are_measured_against_the_trunk),
        cmocka_unit_test(repetitions_have_their_times_and_peaks),
        cmocka_unit_test(faults_are_found_with_their_times),
        cmocka_unit_test(a_view_that_does_not_see_it_is_said),
        cmocka_unit_test(an_oblique_view_is_corrected),
        cmocka_unit_test(missing_points_are_bridged_or_said),
        cmocka_unit_test(bad_times_are_refused_and_nothing_is_not),
        cmocka_unit_test(the_counter_has_hysteresis),
        cmocka_unit_test(counting_stands_noise),
        cmocka_unit_test(smoothing_keeps_peaks_and_drops_jumps),
        cmocka_unit_test(the_phantom_is_measured_as_it_was_drawn),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
