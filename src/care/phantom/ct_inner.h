/* Inside of the CT phantom: the scene that is drawn, and what its parts ask of each other. */
#ifndef WD_CARE_PHANTOM_CT_INNER_H
#define WD_CARE_PHANTOM_CT_INNER_H

#include "base/rand.h"
#include "care/phantom/ct.h"

#define CT_FIELD_MM 360.0
#define CT_HEIGHT_MM 240.0
#define CT_THICKNESS_MM 1.25
#define CT_LUNG_HU (-835.0f)
#define CT_FAR 1e9

/* An ellipsoid whose sections may be squarish: u2 + v2 - square u2 v2 = 1 (square 0: ellipse, 1: rectangle). */
typedef struct ct_solid {
    double c[3], r[3], square;
    double z_min, z_max;
} ct_solid;

/* A tapering tube with round ends; both ends alike make a ball. */
typedef struct ct_tube {
    double a[3], b[3], ra, rb;
} ct_tube;

/* A soft-edged rough patch (consolidation): an ellipsoid turned about z, its edge moved by slow noise. */
typedef struct ct_patch {
    double c[3], r[3], dir[2];
    uint64_t noise;
    wd_ct_lobe lobe;
} ct_patch;

/* Fluid behind a lung: what of the lung is not within the lung moved forwards by the depth at that height. */
typedef struct ct_fluid {
    wd_ct_side side;
    double depth_mm, z_bottom, height_mm;
} ct_fluid;

typedef enum ct_kind { CT_SOLID, CT_LUNG, CT_TUBE, CT_PATCH, CT_FLUID, CT_FISSURES } ct_kind;

typedef struct ct_shape {
    ct_kind kind;
    bool in_lung;      /* drawn only as far as there is lung */
    float hu, soft_mm; /* soft_mm: width of the edge; less than a pixel counts as one */
    union {
        ct_solid solid;
        ct_tube tube;
        ct_patch patch;
        ct_fluid fluid;
    };
} ct_shape;

struct wd_ct {
    wd_ct_opts o;
    double step_mm;
    wd_rand rand;
    ct_shape *shape; /* [n_shape], later ones over earlier ones */
    size_t n_shape, cap;
    bool failed; /* no memory for a shape: `nowhere` takes what is said about it */
    ct_shape nowhere;
    size_t lung[2];           /* shapes of the lungs, by wd_ct_side */
    size_t obstacle, no_more; /* shapes that cut into the lungs: [obstacle, no_more) */
    double width, depth;      /* of the body, about 1 */
    float noise_hu;
    wd_ct_finding finding[WD_CT_FINDINGS_MAX];
    size_t n_finding;
};

double ct__slice_z(const wd_ct *ct, uint32_t slice); /* from 1 */

void ct__add(wd_ct *ct, const ct_shape *s);
void ct__ball(wd_ct *ct, const double c[3], double r, float hu, float soft_mm, bool in_lung);
void ct__tube(wd_ct *ct, const double a[3], const double b[3], double ra, double rb, float hu, bool in_lung);

/* ct_scene.c: everything but findings. */
void ct__anatomy(wd_ct *ct);
void ct__vessels(wd_ct *ct);
/* How deep in the lung of that side a point is, in the plane of its slice; < 0: not in it. */
double ct__lung_room(const wd_ct *ct, wd_ct_side side, const double p[3]);
double ct__fissure_mm(const double p[3]);
double ct__hilum_mm(wd_ct_side side, const double p[3]);
double ct__solid_depth(const ct_solid *s, const double p[3]);
double ct__tube_depth(const ct_tube *t, const double p[3]);
/* 0 .. 1 of the patch at a point, lung and lobe apart. */
double ct__patch_at(const ct_patch *s, const double p[3]);
double ct__fluid_depth(const ct_fluid *f, double z);

/* ct_findings.c: draws the findings and what is known about them, texts apart. */
wd_status ct__findings(wd_ct *ct, wd_err *err);

#endif
