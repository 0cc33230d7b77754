/* A synthetic chest CT series, drawn from a seed: body, lungs with vessels, heart, spine, ribs, trachea, noise, and one
 * nodule. Geometry only, for demonstrations and tests: it stands for nobody. */
#ifndef WD_CARE_PHANTOM_H
#define WD_CARE_PHANTOM_H

#include "base/buf.h"

typedef struct wd_phantom_opts {
    uint64_t seed;
    uint32_t n_slice; /* 8 .. 400, default 24 */
    uint32_t side;    /* pixels of a slice's side, 64 .. 512, default 256 */
} wd_phantom_opts;
#define WD_PHANTOM_OPTS_DEFAULT ((wd_phantom_opts){ .seed = 1, .n_slice = 24, .side = 256 })

/* What was drawn: the truth to compare with. */
typedef struct wd_phantom_truth {
    bool left; /* the patient's left: on the right side of the picture */
    double diameter_mm;
    double centre_mm[3]; /* patient coordinates x (to the left), y (to the back), z (to the head) */
    uint32_t first_slice, last_slice; /* numbers from 1, in order of position, that it touches */
    const char *lobe;                 /* "left upper lobe", ... by height alone */
} wd_phantom_truth;

/* Writes the slices as DICOM files dir/slice-001.dcm .. (dir is created). */
WD_MUST_CHECK wd_status wd_phantom_write(const char *dir, const wd_phantom_opts *o, wd_phantom_truth *truth,
                                         wd_err *err);

#endif
