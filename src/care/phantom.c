/* The chest phantom: soft-edged ellipsoids in patient coordinates, sampled slice by slice.
 *
 * Coordinates are millimetres: x to the patient's left, y to the back, z to the head; the origin is the middle of the
 * chest. Later shapes cover earlier ones. An edge is soft over about a pixel, as partial volume makes it.
 */
#include "care/phantom.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/rand.h"
#include "media/dicom_write.h"

#define FIELD_MM 360.0  /* side of a slice */
#define HEIGHT_MM 240.0 /* of the stack */
#define SHAPES_MAX 256

typedef struct shape {
    double c[3], r[3]; /* centre, half axes */
    double hu;
    bool in_lung; /* drawn only where there is lung */
} shape;

typedef struct scene {
    shape shape[SHAPES_MAX];
    size_t n;
    wd_rand rand;
    double wave[3][4]; /* slow texture: kx, ky, kz, phase */
} scene;

static void add(scene *s, const double c[3], const double r[3], double hu, bool in_lung)
{
    if (s->n == SHAPES_MAX)
        return;
    shape *n = &s->shape[s->n++];
    memcpy(n->c, c, sizeof n->c);
    memcpy(n->r, r, sizeof n->r);
    n->hu = hu;
    n->in_lung = in_lung;
}

#define ADD(s, hu, in_lung, cx, cy, cz, rx, ry, rz) \
    add(s, (const double[]){ cx, cy, cz }, (const double[]){ rx, ry, rz }, hu, in_lung)

/* A vessel: beads along a line that branches away from the hilum. */
static void add_vessel(scene *s, double side)
{
    double p[3] = { side * 35, wd_rand_range(&s->rand, -15, 15), wd_rand_range(&s->rand, -20, 30) };
    double d[3] = { side * wd_rand_range(&s->rand, 2, 5), wd_rand_range(&s->rand, -4, 4),
                    wd_rand_range(&s->rand, -6, 6) };
    double r = wd_rand_range(&s->rand, 2.5, 4);
    for (int i = 0; i < 9; i++, r *= 0.88) {
        ADD(s, 45, true, p[0], p[1], p[2], r + 1, r, r + 1);
        for (int k = 0; k < 3; k++)
            p[k] += d[k];
    }
}

static void add_anatomy(scene *s)
{
    const double w = wd_rand_range(&s->rand, 0.94, 1.06);
    ADD(s, -95, false, 0, 0, 0, 162 * w, 112, 400); /* fat under the skin */
    ADD(s, 45, false, 0, 0, 0, 150 * w, 100, 400);  /* muscle */
    for (int side = -1; side <= 1; side += 2) {
        for (int i = 0; i < 9; i++) { /* ribs: rings that the lung then hollows out */
            ADD(s, 320, false, side * 6, 4, -130 + 32 * i + wd_rand_range(&s->rand, -2, 2), 140 * w, 92, 5.5);
        }
    }
    ADD(s, 45, false, 0, 0, 0, 128 * w, 82, 400);
    for (int side = -1; side <= 1; side += 2)
        ADD(s, -850, false, side * 68 * w, 2, -5, 54, 74, 135); /* lungs */
    ADD(s, 40, false, 0, -5, 0, 30, 62, 400);                   /* mediastinum */
    ADD(s, 50, false, 18, -28, -55, 52, 44, 55);                /* heart, towards the left */
    ADD(s, 55, false, 16, 38, 0, 11, 11, 400);                  /* descending aorta */
    ADD(s, -990, false, 0, 8, 90, 9, 8, 75);                    /* trachea */
    ADD(s, 250, false, 0, 64, 0, 22, 17, 400);                  /* vertebral bodies */
    ADD(s, 30, false, 0, 86, 0, 8, 6, 400);                     /* spinal canal */
    ADD(s, 500, false, 0, 98, 0, 4, 8, 400);                    /* spinous processes */
    for (int i = 0; i < 9; i++) {
        add_vessel(s, 1);
        add_vessel(s, -1);
    }
}

static void add_nodule(scene *s, wd_phantom_truth *t)
{
    t->left = wd_rand_unit(&s->rand) < 0.5;
    t->diameter_mm = wd_rand_range(&s->rand, 12, 26);
    const double r = t->diameter_mm / 2, side = t->left ? 1 : -1;
    t->centre_mm[0] = side * wd_rand_range(&s->rand, 62, 88);
    t->centre_mm[1] = wd_rand_range(&s->rand, -25, 30);
    t->centre_mm[2] = wd_rand_range(&s->rand, -60, 70);
    t->lobe = t->centre_mm[2] > 5 ? (t->left ? "left upper lobe" : "right upper lobe")
                                  : (t->left ? "left lower lobe" : "right lower lobe");
    ADD(s, 35, false, t->centre_mm[0], t->centre_mm[1], t->centre_mm[2], r, r, r);
}

/* Signed distance to the surface in mm, to first order (value over gradient); > 0 inside. */
static double inside(const shape *s, const double p[3])
{
    double q = 0, g = 0;
    for (int k = 0; k < 3; k++) {
        const double u = (p[k] - s->c[k]) / s->r[k];
        q += u * u;
        g += u * u / (s->r[k] * s->r[k]);
    }
    const double k0 = sqrt(q);
    return g > 0 ? (1 - k0) * k0 / sqrt(g) : s->r[0];
}

static int16_t hu_at(scene *s, const double p[3], double soft_mm)
{
    double hu = -1000, lung = 0;
    for (size_t i = 0; i < s->n; i++) {
        const double d = inside(&s->shape[i], p);
        if (d <= -soft_mm || (s->shape[i].in_lung && lung < 0.5))
            continue;
        const double a = d >= soft_mm ? 1 : 0.5 + 0.5 * d / soft_mm;
        hu += a * (s->shape[i].hu - hu);
        lung = s->shape[i].hu == -850 ? fmax(lung, a) : s->shape[i].in_lung ? lung : lung * (1 - a);
    }
    double texture = 0;
    for (int i = 0; i < 3; i++)
        texture += sin(s->wave[i][0] * p[0] + s->wave[i][1] * p[1] + s->wave[i][2] * p[2] + s->wave[i][3]);
    hu += texture * (lung > 0.5 ? 12 : 4) + wd_rand_normal(&s->rand) * 14;
    return (int16_t)lround(fmin(fmax(hu, -1024), 3000));
}

/* A UID under 2.25 (PS3.5 annex B.2) from the seed: the same series is the same object. */
static void make_uid(char out[65], uint64_t seed, unsigned part, unsigned index)
{
    wd_rand r;
    wd_rand_init(&r, seed * 1000003 + part);
    snprintf(out, 65, "2.25.%llu.%u.%u", (unsigned long long)(wd_rand_u64(&r) >> 1), part, index + 1);
}

static wd_status write_slice(const char *dir, scene *s, const wd_phantom_opts *o, uint32_t i, int16_t *hu,
                             wd_err *err)
{
    const double pixel = FIELD_MM / o->side, step = HEIGHT_MM / o->n_slice;
    const double z = -HEIGHT_MM / 2 + (i + 0.5) * step;
    for (uint32_t y = 0; y < o->side; y++)
        for (uint32_t x = 0; x < o->side; x++)
            hu[y * o->side + x] = hu_at(
                s, (const double[]){ (x + 0.5) * pixel - FIELD_MM / 2, (y + 0.5) * pixel - FIELD_MM / 2, z },
                pixel);

    char uid[4][65];
    for (unsigned k = 0; k < 4; k++)
        make_uid(uid[k], o->seed, k, k == 2 ? i : 0);
    char path[4096];
    if (snprintf(path, sizeof path, "%s/slice-%03u.dcm", dir, i + 1) >= (int)sizeof path)
        return WD_FAIL(err, WD_E_INVALID, "%s: the path is too long", dir);
    const wd_dicom_ct ct = { .study_uid = uid[0],
                             .series_uid = uid[1],
                             .sop_instance_uid = uid[2],
                             .frame_of_reference_uid = uid[3],
                             .patient_name = "Phantom^Synthetic",
                             .patient_id = "PHANTOM",
                             .study_description = "Synthetic chest phantom",
                             .series_description = "Axial phantom",
                             .date = "20260101",
                             .time = "120000",
                             .body_part = "CHEST",
                             .series_number = 1,
                             .instance_number = (int32_t)i + 1,
                             .rows = o->side,
                             .cols = o->side,
                             .hu = hu,
                             .position = { 0.5 * pixel - FIELD_MM / 2, 0.5 * pixel - FIELD_MM / 2, z },
                             .orientation = { 1, 0, 0, 0, 1, 0 },
                             .spacing = { pixel, pixel },
                             .thickness = step,
                             .window_center = -600,
                             .window_width = 1500 };
    wd_buf b = { 0 };
    wd_status st = wd_dicom_write_ct(&ct, &b, err);
    if (!st)
        st = wd_file_write(path, wd_buf_view(&b), err);
    wd_buf_free(&b);
    return st;
}

wd_status wd_phantom_write(const char *dir, const wd_phantom_opts *o, wd_phantom_truth *truth, wd_err *err)
{
    if (o->n_slice < 8 || o->n_slice > 400 || o->side < 64 || o->side > 512)
        return WD_FAIL(err, WD_E_USAGE, "phantom: %u slices of %u pixels, expected 8 to 400 of 64 to 512",
                       o->n_slice, o->side);
    WD_TRY(wd_file_mkdirs(dir, err));
    scene *s = WD_ALLOC(scene);
    int16_t *hu = WD_ALLOC_N(int16_t, (size_t)o->side * o->side);
    wd_status st = s && hu ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "phantom: no memory");
    if (!st) {
        wd_phantom_truth t = { 0 };
        wd_rand_init(&s->rand, o->seed);
        for (int i = 0; i < 3; i++)
            for (int k = 0; k < 4; k++)
                s->wave[i][k] = wd_rand_range(&s->rand, k == 3 ? 0 : 0.05, k == 3 ? 6.28 : 0.3);
        add_anatomy(s);
        add_nodule(s, &t);
        const double step = HEIGHT_MM / o->n_slice, r = t.diameter_mm / 2;
        t.first_slice = (uint32_t)floor((t.centre_mm[2] - r + HEIGHT_MM / 2) / step) + 1;
        t.last_slice = (uint32_t)floor((t.centre_mm[2] + r + HEIGHT_MM / 2) / step) + 1;
        *truth = t;
    }
    for (uint32_t i = 0; !st && i < o->n_slice; i++)
        st = write_slice(dir, s, o, i, hu, err);
    wd_free(hu);
    wd_free(s);
    return st;
}
