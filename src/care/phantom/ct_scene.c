/* The anatomy of the CT phantom, and the geometry that findings are placed by.
 *
 * No libm function beyond sqrt, fabs and floor is used: these are exact by IEEE 754, so a scene has the same bits
 * everywhere (and the build forbids fused multiply-adds).
 */
#include <math.h>
#include <string.h>

#include "care/phantom/ct_inner.h"

#define HILUM_X 34.0
#define HILUM_Y 4.0
#define HILUM_Z 2.0

/* sin and cos of 15, 30, .. 150 degrees: the way of a rib from the spine to the front. */
static const double rib_way[10][2] = {
    { 0.25882, 0.96593 },  { 0.5, 0.86603 },  { 0.70711, 0.70711 },  { 0.86603, 0.5 },
    { 0.96593, 0.25882 },  { 1, 0 },          { 0.96593, -0.25882 }, { 0.86603, -0.5 },
    { 0.70711, -0.70711 }, { 0.5, -0.86603 },
};

double ct__slice_z(const wd_ct *ct, uint32_t slice)
{
    return -CT_HEIGHT_MM / 2 + (slice - 0.5) * ct->step_mm;
}

void ct__add(wd_ct *ct, const ct_shape *s)
{
    if (ct->n_shape == ct->cap) {
        const size_t cap = ct->cap ? 2 * ct->cap : 1024;
        ct_shape *more = wd_realloc(ct->shape, cap, sizeof *more);
        if (!more) {
            ct->failed = true;
            return;
        }
        ct->shape = more;
        ct->cap = cap;
    }
    ct->shape[ct->n_shape++] = *s;
}

void ct__tube(wd_ct *ct, const double a[3], const double b[3], double ra, double rb, float hu, bool in_lung)
{
    ct_shape s = { .kind = CT_TUBE, .in_lung = in_lung, .hu = hu, .tube = { .ra = ra, .rb = rb } };
    memcpy(s.tube.a, a, sizeof s.tube.a);
    memcpy(s.tube.b, b, sizeof s.tube.b);
    ct__add(ct, &s);
}

void ct__ball(wd_ct *ct, const double c[3], double r, float hu, float soft_mm, bool in_lung)
{
    ct_shape s = {
        .kind = CT_TUBE, .in_lung = in_lung, .hu = hu, .soft_mm = soft_mm, .tube = { .ra = r, .rb = r }
    };
    memcpy(s.tube.a, c, sizeof s.tube.a);
    memcpy(s.tube.b, c, sizeof s.tube.b);
    ct__add(ct, &s);
}

static ct_shape *solid(wd_ct *ct, float hu, const double c[3], const double r[3], double square)
{
    ct_shape s = { .kind = CT_SOLID,
                   .hu = hu,
                   .solid = { .square = square, .z_min = -CT_FAR, .z_max = CT_FAR } };
    memcpy(s.solid.c, c, sizeof s.solid.c);
    memcpy(s.solid.r, r, sizeof s.solid.r);
    ct__add(ct, &s);
    return ct->failed ? &ct->nowhere : &ct->shape[ct->n_shape - 1];
}

#define P(x, y, z) ((const double[3]){ x, y, z })

double ct__solid_depth(const ct_solid *s, const double p[3])
{
    const double w = (p[2] - s->c[2]) / s->r[2], k2 = 1 - w * w;
    if (k2 <= 0 || p[2] < s->z_min || p[2] > s->z_max)
        return -CT_FAR;
    const double k = sqrt(k2), a = s->r[0] * k, b = s->r[1] * k, u = (p[0] - s->c[0]) / a,
                 v = (p[1] - s->c[1]) / b;
    /* beyond the sides the squarish form turns back on itself: the ellipse is near enough there */
    const double square = u * u < 1 && v * v < 1 ? s->square : 0,
                 f = sqrt(u * u + v * v - square * u * u * v * v), gx = 2 * u * (1 - square * v * v) / a,
                 gy = 2 * v * (1 - square * u * u) / b, g = sqrt(gx * gx + gy * gy);
    return f < 1e-6 || g < 1e-12 ? fmin(a, b) : (1 - f) * 2 * f / g;
}

double ct__tube_depth(const ct_tube *t, const double p[3])
{
    double ab[3], ap[3], len2 = 0, along = 0;
    for (int k = 0; k < 3; k++) {
        ab[k] = t->b[k] - t->a[k];
        ap[k] = p[k] - t->a[k];
        len2 += ab[k] * ab[k];
        along += ab[k] * ap[k];
    }
    const double h = len2 > 0 ? fmin(fmax(along / len2, 0), 1) : 0;
    double d2 = 0;
    for (int k = 0; k < 3; k++)
        d2 += (ap[k] - h * ab[k]) * (ap[k] - h * ab[k]);
    return t->ra + h * (t->rb - t->ra) - sqrt(d2);
}

/* Signed distance to the oblique fissure: > 0 above it. */
static double oblique_mm(const double p[3])
{
    return (p[2] - (-20 + p[1] + 0.2 * (fabs(p[0]) - 68))) / sqrt(1 + 1 + 0.2 * 0.2);
}

wd_ct_lobe wd_ct_lobe_at(const double p[3])
{
    if (p[0] > 0)
        return oblique_mm(p) < 0 ? WD_CT_LLL : WD_CT_LUL;
    return oblique_mm(p) < 0 ? WD_CT_RLL : p[2] < 0 ? WD_CT_RML : WD_CT_RUL;
}

double ct__fissure_mm(const double p[3])
{
    const double o = oblique_mm(p);
    return p[0] < 0 && o > -8 ? fmin(fabs(o), fabs(p[2])) : fabs(o);
}

double ct__hilum_mm(wd_ct_side side, const double p[3])
{
    const double x = p[0] - (side == WD_CT_LEFT ? HILUM_X : -HILUM_X), y = p[1] - HILUM_Y, z = p[2] - HILUM_Z;
    return sqrt(x * x + y * y + z * z);
}

double ct__lung_room(const wd_ct *ct, wd_ct_side side, const double p[3])
{
    double room = ct__solid_depth(&ct->shape[ct->lung[side]].solid, p);
    for (size_t i = ct->obstacle; i < ct->no_more && room > 0; i++) {
        const ct_shape *s = &ct->shape[i];
        room = fmin(room, s->kind == CT_TUBE ? -ct__tube_depth(&s->tube, p) : -ct__solid_depth(&s->solid, p));
    }
    return room;
}

double ct__fluid_depth(const ct_fluid *f, double z)
{
    return f->depth_mm * fmin(fmax(1 - (z - f->z_bottom) / f->height_mm, 0), 1);
}

/* Value noise, -1 .. 1: random numbers on a grid of 1, joined smoothly. */
static double lattice(uint64_t key, int x, int y, int z)
{
    uint64_t h = key + (uint64_t)(uint32_t)x * 0x9E3779B97F4A7C15u +
                 (uint64_t)(uint32_t)y * 0xC2B2AE3D27D4EB4Fu + (uint64_t)(uint32_t)z * 0x165667B19E3779F9u;
    h = (h ^ h >> 30) * 0xBF58476D1CE4E5B9u;
    h = (h ^ h >> 27) * 0x94D049BB133111EBu;
    return (double)(h >> 40) * (2.0 / (1 << 24)) - 1;
}

static double value_noise(uint64_t key, double x, double y, double z)
{
    const double p[3] = { x, y, z };
    int at[3];
    double t[3], sum = 0;
    for (int k = 0; k < 3; k++) {
        const double whole = floor(p[k]);
        at[k] = (int)whole;
        t[k] = p[k] - whole;
        t[k] = t[k] * t[k] * (3 - 2 * t[k]);
    }
    for (int i = 0; i < 8; i++) {
        const double w = (i & 1 ? t[0] : 1 - t[0]) * (i & 2 ? t[1] : 1 - t[1]) * (i & 4 ? t[2] : 1 - t[2]);
        sum += w * lattice(key, at[0] + (i & 1), at[1] + (i >> 1 & 1), at[2] + (i >> 2 & 1));
    }
    return sum;
}

double ct__patch_at(const ct_patch *s, const double p[3])
{
    const double x = p[0] - s->c[0], y = p[1] - s->c[1], u = (x * s->dir[0] + y * s->dir[1]) / s->r[0],
                 v = (y * s->dir[0] - x * s->dir[1]) / s->r[1], w = (p[2] - s->c[2]) / s->r[2],
                 f = sqrt(u * u + v * v + w * w);
    if (f > 1.3)
        return 0;
    const double rough = 0.16 * value_noise(s->noise, p[0] / 11, p[1] / 11, p[2] / 11) +
                         0.08 * value_noise(s->noise + 1, p[0] / 4, p[1] / 4, p[2] / 4);
    return fmin(fmax((1 - f + rough) / 0.22 + 0.5, 0), 1);
}

static void add_wall(wd_ct *ct)
{
    wd_rand *r = &ct->rand;
    const double w = ct->width, d = ct->depth, fat = wd_rand_range(r, 5, 18);
    const double muscle[3] = { 146 * w, 100 * d, CT_FAR };

    solid(ct, 60, P(0, 100 * d + fat + 12, 0), P(190, 5, CT_FAR), 0.9); /* the table's top */
    solid(ct, -420, P(0, 100 * d + fat + 12, 0), P(187, 3.4, CT_FAR), 0.9);
    solid(ct, 20, P(0, 0, 0), P(muscle[0] + fat + 1.6, muscle[1] + fat + 1.6, CT_FAR), 0.45); /* skin */
    solid(ct, -100, P(0, 0, 0), P(muscle[0] + fat, muscle[1] + fat, CT_FAR), 0.45);
    solid(ct, 45, P(0, 0, 0), muscle, 0.45);
    for (int side = -1; side <= 1; side += 2) { /* a layer of fat between the muscles, the shoulder blades */
        solid(ct, -80, P(side * 84 * w, 88 * d, 120), P(34, 5, 70), 0.3);
        for (int i = 0; i < 15; i++) {
            const double x = side * (58 + 3.2 * i) * w, y = (96 - 1.4 * i) * d;
            ct__tube(ct, P(x, y, 34 + 2.0 * i), P(x, y, 200), 3.0, 3.0, i == 14 ? 520 : 330, false);
        }
    }
}

static void add_ribs(wd_ct *ct)
{
    const double w = ct->width, d = ct->depth, shift = wd_rand_range(&ct->rand, -8, 8);
    for (int pass = 0; pass < 2; pass++) { /* cortex, then marrow */
        for (int side = -1; side <= 1; side += 2) {
            for (int i = 0; i < 14; i++) {
                double a[3] = { side * 20.0, 74 * d, 168 - 22 * i + shift };
                for (int k = 0; k < 10; k++) {
                    const double b[3] = { side * 129 * w * rib_way[k][0], 89 * d * rib_way[k][1],
                                          168 - 22 * i + shift - 5.2 * (k + 1) };
                    const double r = pass ? 2.4 : 4.4;
                    ct__tube(ct, a, b, r, r, k == 9 ? 110 : pass ? 230 : 560, false);
                    memcpy(a, b, sizeof a);
                }
            }
        }
    }
    ct_shape *s = solid(ct, 420, P(0, -90 * d, 20), P(19, 6.5, CT_FAR), 0.7); /* sternum */
    s->solid.z_min = -60;
    s = solid(ct, 150, P(0, -90 * d, 20), P(16.5, 4.2, CT_FAR), 0.7);
    s->solid.z_min = -58;
}

static void add_spine(wd_ct *ct)
{
    const double d = ct->depth;
    solid(ct, 480, P(0, 63 * d, 0), P(20, 16.5, CT_FAR), 0.2);
    solid(ct, 190, P(0, 63 * d, 0), P(18, 14.6, CT_FAR), 0.2);
    solid(ct, 450, P(0, 84 * d, 0), P(12.5, 9.5, CT_FAR), 0.1);
    solid(ct, 25, P(0, 83 * d, 0), P(8.6, 7, CT_FAR), 0);
    for (int i = 0; i < 12; i++) { /* processes, vertebra by vertebra */
        const double z = -125 + 22.0 * i;
        ct__tube(ct, P(0, 91 * d, z), P(0, 104 * d, z - 12), 3.6, 3, 430, false);
        for (int side = -1; side <= 1; side += 2)
            ct__tube(ct, P(side * 11, 82 * d, z), P(side * 30, 88 * d, z), 4.2, 3.2, 380, false);
    }
}

/* What cuts into the lungs. */
static void add_middle(wd_ct *ct)
{
    wd_rand *r = &ct->rand;
    const double w = ct->width, d = ct->depth, heart = wd_rand_range(r, 0.9, 1.1),
                 arch = wd_rand_range(r, 44, 54);

    ct->obstacle = ct->n_shape;
    solid(ct, -85, P(2, -8 * d, 0), P(29, 68 * d, CT_FAR), 0.35); /* mediastinal fat */
    ct_shape *s = solid(ct, 45, P(15, -27 * d, -54), P(54 * heart * w, 46 * heart * d, 62), 0.1);
    s->solid.z_max = 4;
    for (int side = -1; side <= 1; side += 2) /* diaphragm: liver, stomach and spleen */
        solid(ct, side < 0 ? 58 : 42, P(side * 62 * w, 4 * d, side < 0 ? -150 : -156),
              P(52 * w, 66 * d, wd_rand_range(r, 46, 56)), 0.2);
    solid(ct, 190, P(0, 63 * d, 0), P(18, 14.6, CT_FAR), 0.2); /* the vertebral bodies stand into the chest */
    ct__tube(ct, P(16, 44 * d, -200), P(15, 40 * d, arch), 10.5, 11.5, 48, false); /* descending aorta */
    ct__tube(ct, P(15, 38 * d, arch), P(2, -4 * d, arch + 4), 12, 13, 48, false);
    ct__tube(ct, P(2, -4 * d, arch + 4), P(-9, -26 * d, arch - 12), 13, 14, 48, false);
    ct__tube(ct, P(-9, -26 * d, arch - 12), P(-4, -24 * d, -20), 14.5, 15.5, 48, false);
    ct__tube(ct, P(-25, -20 * d, 130), P(-25, -16 * d, -10), 7.5, 8.5, 48, false); /* superior vena cava */
    ct__tube(ct, P(12, -30 * d, -10), P(13, -18 * d, 20), 12.5, 12.5, 48, false);  /* pulmonary trunk */
    ct__tube(ct, P(13, -18 * d, 20), P(34, 4 * d, 12), 10.5, 7.5, 48, false);      /* and its branches */
    ct__tube(ct, P(11, -14 * d, 14), P(-34, 2 * d, 6), 10, 7.5, 48, false);
    for (int side = -1; side <= 1; side += 2) /* arteries of arms and head */
        ct__tube(ct, P(side * 9, -6 * d, arch + 6), P(side * 17, -2 * d, 150), 5.5, 4.5, 48, false);
    ct__tube(ct, P(4, 34 * d, 150), P(4, 36 * d, -150), 6.5, 6.5, 40, false); /* oesophagus */
    const double carina = wd_rand_range(r, 22, 30);
    ct__tube(ct, P(0, 12 * d, 150), P(0, 14 * d, carina), 8.6, 8.6, -985, false);
    for (int side = -1; side <= 1; side += 2)
        ct__tube(ct, P(side * 2, 14 * d, carina), P(side * 35, 9 * d, -4), 6.6, 4.8, -980, false);
    ct->no_more = ct->n_shape;
}

static void add_lungs(wd_ct *ct)
{
    const double w = ct->width, d = ct->depth;
    double high[2];
    for (int side = WD_CT_RIGHT; side <= WD_CT_LEFT; side++) { /* the fat between ribs and lung */
        high[side] = wd_rand_range(&ct->rand, 148, 160);
        solid(ct, -100, P((side == WD_CT_LEFT ? 63 : -63) * w, 1 * d, -26),
              P(59 * w + 2.4, 79 * d + 2.4, high[side] + 2.4), 0.25);
    }
    for (int side = WD_CT_RIGHT; side <= WD_CT_LEFT; side++) {
        ct->lung[side] = ct->n_shape;
        ct_shape *s = solid(ct, CT_LUNG_HU, P((side == WD_CT_LEFT ? 63 : -63) * w, 1 * d, -26),
                            P(59 * w, 79 * d, high[side]), 0.25);
        s->kind = CT_LUNG;
    }
}

void ct__anatomy(wd_ct *ct)
{
    ct->width = wd_rand_range(&ct->rand, 0.92, 1.05);
    ct->depth = wd_rand_range(&ct->rand, 0.93, 1.07);
    ct->noise_hu = (float)wd_rand_range(&ct->rand, 10, 18);
    add_wall(ct);
    add_ribs(ct);
    add_spine(ct);
    solid(ct, 45, P(0, 0, 0), P(123 * ct->width, 82 * ct->depth, CT_FAR),
          0.35); /* what lines the ribs inside */
    solid(ct, 480, P(0, 63 * ct->depth, 0), P(20, 16.5, CT_FAR), 0.2);
    solid(ct, 190, P(0, 63 * ct->depth, 0), P(18, 14.6, CT_FAR), 0.2);
    add_lungs(ct);
    add_middle(ct);
}

/* The radius of a vessel at a distance from the hilum: big ones at the hilum only. */
static double vessel_mm(double from_hilum)
{
    return from_hilum < 36 ? 4.2 - from_hilum / 36 * 3.2 : fmax(1 - (from_hilum - 36) * 0.005, 0.62);
}

/* A bent tube from a to b in steps; leaves its points. scale: of the radius. */
enum { VESSEL_STEPS = 6 };
static void add_vessel(wd_ct *ct, wd_ct_side side, const double a[3], const double b[3], double scale,
                       double at[VESSEL_STEPS + 1][3])
{
    double bend[3];
    for (int k = 0; k < 3; k++)
        bend[k] = wd_rand_range(&ct->rand, -9, 9);
    for (int i = 0; i <= VESSEL_STEPS; i++) {
        const double t = (double)i / VESSEL_STEPS;
        for (int k = 0; k < 3; k++)
            at[i][k] = a[k] + t * (b[k] - a[k]) + 4 * t * (1 - t) * bend[k] +
                       (i && i < VESSEL_STEPS ? wd_rand_range(&ct->rand, -1.2, 1.2) : 0);
        if (i) {
            const double ra = vessel_mm(ct__hilum_mm(side, at[i - 1])) * scale,
                         rb = vessel_mm(ct__hilum_mm(side, at[i])) * scale;
            ct__tube(ct, at[i - 1], at[i], ra, i == VESSEL_STEPS ? 0.4 : rb, 42, true);
        }
    }
}

/* A point in the lung at least near .. far from `from`. */
static bool some_point(wd_ct *ct, wd_ct_side side, const double from[3], double near, double far,
                       double out[3])
{
    for (int i = 0; i < 200; i++) {
        double d2 = 0;
        for (int k = 0; k < 3; k++) {
            out[k] = from[k] + wd_rand_range(&ct->rand, -far, far);
            d2 += (out[k] - from[k]) * (out[k] - from[k]);
        }
        if (d2 >= near * near && d2 <= far * far && ct__lung_room(ct, side, out) > 4)
            return true;
    }
    return false;
}

void ct__vessels(wd_ct *ct)
{
    for (wd_ct_side side = WD_CT_RIGHT; side <= WD_CT_LEFT; side++) {
        const double hilum[3] = { side == WD_CT_LEFT ? HILUM_X : -HILUM_X, HILUM_Y, HILUM_Z };
        for (int i = 0; i < 22; i++) {
            double end[3], twig[3], at[VESSEL_STEPS + 1][3], rest[VESSEL_STEPS + 1][3];
            if (!some_point(ct, side, hilum, i % 2 ? 85 : 50, 130, end))
                continue;
            add_vessel(ct, side, hilum, end, 1, at);
            for (int k = 2; k < VESSEL_STEPS; k++)
                if (some_point(ct, side, at[k], 18, 46, twig))
                    add_vessel(ct, side, at[k], twig, 0.85, rest);
        }
    }
}
