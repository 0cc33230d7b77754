/* A synthetic chest CT series drawn from a seed, and the truth about it.
 *
 * Axial slices over 240 mm of chest, 360 mm field of view. By default 12 of them, 1.25 mm thick, 20 mm apart: an
 * interval protocol. Coordinates are the patient's: x to the left, y to the back, z to the head, in mm, the origin in
 * the middle of the chest. Slices are numbered from 1 by position, from the feet to the head: the product's numbers.
 *
 * What is found, over seeds:
 *
 *   none            15 % of the cases
 *   nodules         62 %, of these one in 55 %, two in 28 %, three in 17 %; a lobe is drawn first, all five alike
 *     diameter      whole mm, uniform in 4 .. 30 (a place is sought up to a limit, so the largest are a little rarer)
 *     density       solid 45 %, part-solid 20 % (from 10 mm), ground-glass 20 % (from 8 mm), calcified 15 %
 *     margin        smooth, lobulated, spiculated alike from 8 mm on (a calcified one is never spiculated); smooth below
 *   effusion        22 %, left or right; small, moderate or large alike
 *   consolidation   22 %, longest extent in a slice 30 .. 60 mm, one lobe, with air bronchogram
 *   emphysema       16 %, both sides, upper lobes more than the rest
 *
 * Lobes are cut by planes that are the same in every case (x measured away from the midline):
 *
 *   oblique fissure      z = -20 + y + 0.2 (|x| - 68)    below and behind: lower lobe
 *   horizontal fissure   z = 0, right lung only          above: upper lobe, below: middle lobe
 *
 * A nodule's centre is at least 8 mm from them and its radius + 2 mm (6 mm at least) inside the lung, more than 36 mm
 * from the hilum, outside effusion and consolidation, and at most 20 % of its radius off the plane of a slice.
 * Nodules that a slice or its neighbour shows are at least 45 mm apart in the plane. Vessels away from the hilum are
 * 2 mm thick or less.
 */
#ifndef WD_CARE_PHANTOM_CT_H
#define WD_CARE_PHANTOM_CT_H

#include <jansson.h>

#include "base/buf.h"
#include "care/phantom/phantom.h"

#define WD_CT_FINDINGS_MAX 8
#define WD_CT_SLICES_MAX 400
#define WD_CT_TEXT_MAX 240

typedef struct wd_ct wd_ct;

typedef struct wd_ct_opts {
    uint64_t seed;
    uint32_t n_slice; /* 8 .. 400, default 12 */
    uint32_t matrix;  /* pixels of a slice's side, 64 .. 512, default 256 */
} wd_ct_opts;
#define WD_CT_OPTS_DEFAULT ((wd_ct_opts){ .seed = 1, .n_slice = 12, .matrix = 256 })

typedef enum wd_ct_type { WD_CT_NODULE, WD_CT_CONSOLIDATION, WD_CT_EFFUSION, WD_CT_EMPHYSEMA } wd_ct_type;
typedef enum wd_ct_side { WD_CT_RIGHT, WD_CT_LEFT, WD_CT_BOTH } wd_ct_side;
typedef enum wd_ct_lobe { WD_CT_RUL, WD_CT_RML, WD_CT_RLL, WD_CT_LUL, WD_CT_LLL, WD_CT_NO_LOBE } wd_ct_lobe;
typedef enum wd_ct_density {
    WD_CT_SOLID,
    WD_CT_PART_SOLID,
    WD_CT_GROUND_GLASS,
    WD_CT_CALCIFIED
} wd_ct_density;
typedef enum wd_ct_margin { WD_CT_SMOOTH, WD_CT_LOBULATED, WD_CT_SPICULATED } wd_ct_margin;
typedef enum wd_ct_grade { WD_CT_SMALL, WD_CT_MODERATE, WD_CT_LARGE } wd_ct_grade;
typedef enum wd_ct_lang { WD_CT_EN, WD_CT_ZH, WD_CT_N_LANG } wd_ct_lang;

typedef struct wd_ct_box {
    uint32_t slice;  /* from 1 */
    double mm[4];    /* x0, y0, x1, y1 in the patient */
    double area_mm2; /* of what is seen there */
} wd_ct_box;

typedef struct wd_ct_finding {
    wd_ct_type type;
    wd_ct_side side;
    wd_ct_lobe lobe;       /* nodule, consolidation */
    wd_ct_density density; /* nodule */
    wd_ct_margin margin;   /* nodule */
    wd_ct_grade grade;     /* effusion */
    double size_mm;        /* nodule: diameter without spicules; consolidation: longest extent; else 0 */
    double depth_mm;       /* effusion, at its deepest */
    double centre_mm[3];
    /* Where it is really seen, in order of slices. A nodule: the section's radius is at least 1.5 mm and half its
     * radius. Effusion and consolidation: 2 cm2 at least, and a quarter of the largest section. Emphysema: four holes
     * at least, and a third of the largest sum of areas; one box a side. */
    wd_ct_box *box; /* [n_box] */
    uint32_t n_box;
    uint32_t *slice; /* [n_slice] ascending */
    uint32_t n_slice;
    uint32_t shown[3]; /* [n_shown] ascending: those a report names, where most is seen */
    uint32_t n_shown;
    char text[WD_CT_N_LANG][WD_CT_TEXT_MAX]; /* one sentence, without slice numbers */
} wd_ct_finding;

/* Decides everything about the case; no pixel is drawn yet (well under a millisecond). WD_E_USAGE: options. */
WD_MUST_CHECK wd_status wd_ct_create(const wd_ct_opts *o, wd_ct **out, wd_err *err);
void wd_ct_destroy(wd_ct *ct); /* accepts NULL */

/* Nodules by falling size, then consolidation, effusion, emphysema. */
const wd_ct_finding *wd_ct_findings(const wd_ct *ct, size_t *n);

/* One slice (from 1) in Hounsfield units, [matrix][matrix]. */
WD_MUST_CHECK wd_status wd_ct_draw(const wd_ct *ct, uint32_t slice, int16_t *hu, wd_err *err);

/* Of a point: the lobe by the planes above, and whether it is x > 0. */
wd_ct_lobe wd_ct_lobe_at(const double p[3]);
/* "nodule", "right", "right upper lobe", "part-solid", "spiculated", "large" as the truth says them. */
const char *wd_ct_type_name(wd_ct_type t);
const char *wd_ct_side_name(wd_ct_side s);
const char *wd_ct_lobe_name(wd_ct_lobe l); /* NULL for WD_CT_NO_LOBE */
const char *wd_ct_density_name(wd_ct_density d);
const char *wd_ct_margin_name(wd_ct_margin m);
const char *wd_ct_grade_name(wd_ct_grade g);

/* The truth as truth.json holds it (docs/evaluation.md); NULL: no memory. */
json_t *wd_ct_truth(const wd_ct *ct);

/* Writes dir/series/slice-001.dcm .. and dir/truth.json (folders are made). */
WD_MUST_CHECK wd_status wd_ct_write(const wd_ct *ct, const char *dir, wd_err *err);
/* wd_ct_create and wd_ct_write in one. */
WD_MUST_CHECK wd_status wd_ct_make(const char *dir, const wd_ct_opts *o, wd_err *err);

#endif
