/* The skeleton: proportions (fractions of stature after Drillis and Contini 1966, each varied), postures by angles,
 * and the camera that sees it. */
#include <math.h>

#include "care/phantom/exercise_inner.h"

#define RAD (M_PI / 180)

static double varied(wd_rand *r, double v, double by)
{
    return v * wd_rand_range(r, 1 - by, 1 + by);
}

void wd_body__draw_size(wd_body__size *s, wd_rand *r)
{
    const double h = wd_rand_range(r, 1.52, 1.9);
    s->height = h;
    s->trunk = varied(r, 0.288 * h, 0.04);
    s->thigh = varied(r, 0.245 * h, 0.04);
    s->shank = varied(r, 0.246 * h, 0.04);
    s->upper_arm = varied(r, 0.186 * h, 0.04);
    s->forearm = varied(r, 0.146 * h, 0.04);
    s->shoulder = varied(r, 0.115 * h, 0.05);
    s->hip = varied(r, 0.075 * h, 0.08);
    s->stance = varied(r, 0.085 * h, 0.2);
    s->ankle = 0.039 * h;
    s->foot = 0.115 * h;
    s->head = varied(r, 0.06 * h, 0.08);
}

static wd_vec3 add(wd_vec3 a, wd_vec3 b)
{
    return (wd_vec3){ a.x + b.x, a.y + b.y, a.z + b.z };
}

static wd_vec3 sub(wd_vec3 a, wd_vec3 b)
{
    return (wd_vec3){ a.x - b.x, a.y - b.y, a.z - b.z };
}

static wd_vec3 mid(wd_vec3 a, wd_vec3 b)
{
    return (wd_vec3){ (a.x + b.x) / 2, (a.y + b.y) / 2, (a.z + b.z) / 2 };
}

/* A step of that length in the plane of walking, at an angle from straight up, forward > 0. */
static wd_vec3 step(double length, double deg)
{
    return (wd_vec3){ length * sin(deg * RAD), length * cos(deg * RAD), 0 };
}

static double side_of(int i)
{
    return i == 0 ? 1 : -1; /* left: +z */
}

/* A hanging arm raised forward by a->arm in the plane of walking; `up` is where the body's up is, degrees. */
static void place_arms(const wd_body__size *s, const wd_body__angles *a, double up, wd_body__points *o)
{
    for (int i = 0; i < 2; i++) {
        const wd_vec3 shoulder = o->p[WD_JOINT_LEFT_SHOULDER + i];
        const double lean = up + 180 - a->arm[i];
        wd_vec3 elbow = add(shoulder, step(s->upper_arm, lean));
        elbow.z += side_of(i) * 0.02 * s->height;
        const wd_vec3 wrist = add(elbow, step(s->forearm, lean - a->elbow));
        o->p[WD_JOINT_LEFT_ELBOW + i] = elbow;
        o->p[WD_JOINT_LEFT_WRIST + i] = wrist;
        o->p[WD_BODY__LEFT_HAND + i] = add(wrist, step(0.04 * s->height, lean - a->elbow));
    }
}

/* Neck and head above the shoulders, the face forward; `up` as above. */
static void place_head(const wd_body__size *s, double up, wd_body__points *o)
{
    const wd_vec3 top = mid(o->p[WD_JOINT_LEFT_SHOULDER], o->p[WD_JOINT_RIGHT_SHOULDER]);
    o->p[WD_BODY__NECK] = top;
    o->p[WD_JOINT_HEAD] = add(top, step(0.052 * s->height + s->head, up * 0.6));
    o->p[WD_BODY__CROWN] = add(o->p[WD_JOINT_HEAD], step(s->head, up * 0.6));
    o->p[WD_BODY__NOSE] = add(o->p[WD_JOINT_HEAD], step(s->head, up * 0.6 + 95));
}

static void place_feet(const wd_body__size *s, double deg, wd_body__points *o)
{
    for (int i = 0; i < 2; i++) {
        wd_vec3 toe = add(o->p[WD_JOINT_LEFT_ANKLE + i], step(s->foot, deg));
        toe.z += side_of(i) * 0.02 * s->height;
        if (deg > 80 && deg < 120)
            toe.y = o->p[WD_JOINT_LEFT_ANKLE + i].y - 0.6 * s->ankle;
        o->p[WD_BODY__LEFT_TOE + i] = toe;
    }
}

/* Squat and wall sit: from the feet up. */
static void stand(const wd_body__size *s, const wd_body__angles *a, wd_body__points *o)
{
    for (int i = 0; i < 2; i++) {
        const double z = side_of(i);
        const wd_vec3 ankle = { 0, s->ankle, z * s->stance };
        wd_vec3 knee = add(ankle, step(s->shank, a->shank));
        wd_vec3 hip = add(knee, step(s->thigh, a->shank - a->knee[i]));
        hip.z = z * s->hip;
        knee.z = z * (s->stance + s->hip) / 2;
        wd_vec3 shoulder = add(hip, step(s->trunk, a->trunk));
        shoulder.z = z * s->shoulder;
        o->p[WD_JOINT_LEFT_ANKLE + i] = ankle;
        o->p[WD_JOINT_LEFT_KNEE + i] = knee;
        o->p[WD_JOINT_LEFT_HIP + i] = hip;
        o->p[WD_JOINT_LEFT_SHOULDER + i] = shoulder;
    }
    place_arms(s, a, a->trunk, o);
    place_head(s, a->trunk, o);
    place_feet(s, 90, o);
}

/* On the back, the head towards -x. The foot of a bent leg stands on the floor. */
static void lie(const wd_body__size *s, const wd_body__angles *a, wd_body__points *o)
{
    const double lift = 0.06 * s->height;
    for (int i = 0; i < 2; i++) {
        const double z = side_of(i), up = 90 - a->hip[i];
        const wd_vec3 hip = { 0, lift, z * s->hip };
        const wd_vec3 knee = add(hip, step(s->thigh, up));
        o->p[WD_JOINT_LEFT_HIP + i] = hip;
        o->p[WD_JOINT_LEFT_KNEE + i] = knee;
        o->p[WD_JOINT_LEFT_ANKLE + i] = add(knee, step(s->shank, up + a->knee[i]));
        o->p[WD_BODY__LEFT_TOE + i] = add(o->p[WD_JOINT_LEFT_ANKLE + i],
                                          step(0.8 * s->foot, a->knee[i] > 60 ? 92 : up + a->knee[i] - 80));
        o->p[WD_JOINT_LEFT_SHOULDER + i] = (wd_vec3){ -s->trunk, lift, z * s->shoulder };
    }
    place_arms(s, a, -90, o);
    for (int i = 0; i < 2; i++) { /* on the floor beside the body */
        o->p[WD_JOINT_LEFT_ELBOW + i].z += side_of(i) * 0.03 * s->height;
        o->p[WD_JOINT_LEFT_WRIST + i].z += side_of(i) * 0.04 * s->height;
        o->p[WD_BODY__LEFT_HAND + i].z += side_of(i) * 0.04 * s->height;
    }
    const wd_vec3 top = mid(o->p[WD_JOINT_LEFT_SHOULDER], o->p[WD_JOINT_RIGHT_SHOULDER]);
    o->p[WD_BODY__NECK] = top;
    o->p[WD_JOINT_HEAD] = add(top, step(0.05 * s->height + s->head, -86));
    o->p[WD_BODY__CROWN] = add(o->p[WD_JOINT_HEAD], step(s->head, -86));
    o->p[WD_BODY__NOSE] = add(o->p[WD_JOINT_HEAD], step(s->head, 4));
}

static void sit(const wd_body__size *s, const wd_body__angles *a, wd_body__points *o)
{
    const double seat = 0.28 * s->height;
    for (int i = 0; i < 2; i++) {
        const double z = side_of(i);
        const wd_vec3 hip = { 0, seat, z * s->hip };
        const wd_vec3 knee = add(hip, step(s->thigh, 88));
        o->p[WD_JOINT_LEFT_HIP + i] = hip;
        o->p[WD_JOINT_LEFT_KNEE + i] = knee;
        o->p[WD_JOINT_LEFT_ANKLE + i] = add(knee, step(s->shank, 88 + a->knee[i]));
        o->p[WD_BODY__LEFT_TOE + i] = add(o->p[WD_JOINT_LEFT_ANKLE + i], step(s->foot, a->knee[i]));
        wd_vec3 shoulder = add(hip, step(s->trunk, a->trunk));
        shoulder.z = z * s->shoulder;
        o->p[WD_JOINT_LEFT_SHOULDER + i] = shoulder;
    }
    place_arms(s, a, a->trunk, o);
    place_head(s, a->trunk, o);
}

/* Standing, the arms in the frontal plane; the trunk leans to the left in it. */
static void spread(const wd_body__size *s, const wd_body__angles *a, wd_body__points *o)
{
    wd_body__angles legs = *a;
    legs.trunk = 0;
    stand(s, &legs, o);
    const wd_vec3 pelvis = mid(o->p[WD_JOINT_LEFT_HIP], o->p[WD_JOINT_RIGHT_HIP]);
    const double c = cos(a->trunk * RAD), t = sin(a->trunk * RAD);
    for (int i = 0; i < 2; i++) {
        const double z = side_of(i);
        const double arm = a->arm[i] * RAD, fore = (a->arm[i] + a->elbow) * RAD;
        wd_vec3 p[4]; /* shoulder, elbow, wrist, hand over the pelvis, upright */
        p[0] = (wd_vec3){ 0, s->trunk, z * s->shoulder };
        p[1] = add(p[0], (wd_vec3){ 0, -s->upper_arm * cos(arm), z * s->upper_arm * sin(arm) });
        p[2] = add(p[1], (wd_vec3){ 0.02, -s->forearm * cos(fore), z * s->forearm * sin(fore) });
        p[3] = add(p[2], (wd_vec3){ 0.01, -0.04 * s->height * cos(fore), z * 0.04 * s->height * sin(fore) });
        static const int to[4] = { WD_JOINT_LEFT_SHOULDER, WD_JOINT_LEFT_ELBOW, WD_JOINT_LEFT_WRIST,
                                   WD_BODY__LEFT_HAND };
        for (int k = 0; k < 4; k++)
            o->p[to[k] + i] = add(pelvis,
                                  (wd_vec3){ p[k].x, c * p[k].y - t * p[k].z, t * p[k].y + c * p[k].z });
    }
    place_head(s, 0, o);
    static const int head[3] = { WD_JOINT_HEAD, WD_BODY__CROWN, WD_BODY__NOSE };
    for (int k = 0; k < 3; k++)
        o->p[head[k]].z += t * (o->p[head[k]].y - o->p[WD_BODY__NECK].y);
}

void wd_body__pose(const wd_body__size *s, wd_exercise_kind kind, const wd_body__angles *a,
                   wd_body__points *out)
{
    switch (kind) {
    case WD_EXERCISE_STRAIGHT_LEG_RAISE:
        lie(s, a, out);
        break;
    case WD_EXERCISE_KNEE_EXTENSION:
        sit(s, a, out);
        break;
    case WD_EXERCISE_SHOULDER_ABDUCTION:
        spread(s, a, out);
        break;
    default:
        stand(s, a, out);
    }
}

double wd_body__wall_shank(const wd_body__size *s, double hold_knee, double hold_shank, double knee)
{
    /* How far the hip is behind the ankle; falls as the shank leans forward. */
#define BEHIND(k, lean) (s->thigh * sin(((k) - (lean)) * RAD) - s->shank * sin((lean)*RAD))
    const double want = BEHIND(hold_knee, hold_shank);
    double lo = -60, hi = 60;
    for (int i = 0; i < 40; i++) {
        const double lean = (lo + hi) / 2;
        if (BEHIND(knee, lean) > want)
            lo = lean;
        else
            hi = lean;
    }
#undef BEHIND
    return (lo + hi) / 2;
}

static double dot(wd_vec3 a, wd_vec3 b)
{
    return a.x * b.x + a.y * b.y + a.z * b.z;
}

static double between(wd_vec3 a, wd_vec3 b)
{
    return acos(fmax(-1, fmin(1, dot(a, b) / sqrt(dot(a, a) * dot(b, b))))) / RAD;
}

void wd_body__measure(const wd_body__points *b, double angle[WD_N_ANGLE][2])
{
    const wd_vec3 *p = b->p;
    const wd_vec3 trunk = sub(mid(p[WD_JOINT_LEFT_SHOULDER], p[WD_JOINT_RIGHT_SHOULDER]),
                              mid(p[WD_JOINT_LEFT_HIP], p[WD_JOINT_RIGHT_HIP]));
    const wd_vec3 down = { -trunk.x, -trunk.y, -trunk.z };
    for (int i = 0; i < 2; i++) {
        const wd_vec3 thigh = sub(p[WD_JOINT_LEFT_KNEE + i], p[WD_JOINT_LEFT_HIP + i]),
                      shank = sub(p[WD_JOINT_LEFT_ANKLE + i], p[WD_JOINT_LEFT_KNEE + i]),
                      arm = sub(p[WD_JOINT_LEFT_ELBOW + i], p[WD_JOINT_LEFT_SHOULDER + i]);
        angle[WD_ANGLE_KNEE_FLEXION][i] = between(thigh, shank);
        angle[WD_ANGLE_HIP_FLEXION][i] = between(thigh, down);
        angle[WD_ANGLE_SHOULDER_ABDUCTION][i] = between(arm, down);
        angle[WD_ANGLE_TRUNK_LEAN][i] = between(trunk, (wd_vec3){ 0, 1, 0 });
        angle[WD_ANGLE_SHANK_LEAN][i] = atan2(-shank.x, -shank.y) / RAD;
    }
}

wd_vec3 wd_camera__to_world(const wd_camera__pose *c, wd_vec3 b)
{
    const double s = sin(c->yaw * RAD), k = cos(c->yaw * RAD);
    /* Forward is (k, 0, s); left of it, with y up, is (s, 0, -k). */
    return (wd_vec3){ b.x * k + b.z * s, b.y, b.x * s - b.z * k };
}

wd_point wd_camera__project(const wd_camera__pose *c, wd_vec3 w, double *scale)
{
    const double s = sin(c->tilt * RAD), k = cos(c->tilt * RAD);
    const double y = w.y - c->height, z = c->distance - w.z;
    const double depth = z * k - y * s, up = y * k + z * s;
    if (scale)
        *scale = c->focal / depth;
    return (wd_point){ c->cx + c->focal * w.x / depth, c->cy - c->focal * up / depth };
}
