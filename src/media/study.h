/* A study: the DICOM objects of a directory, a ZIP file or a list of files, as series of slices in order.
 *
 * wd_study_open reads headers only; pixels are decoded slice by slice and belong to the caller, so memory does not
 * grow with the study. Where there is no DICOM object at all but plain pictures (media/image.h), those are one series
 * in the order of their names.
 *
 * A series holds the objects of one Series Instance UID in one Study Instance UID; its localizers are a series of
 * their own. Slices are sorted by orientation (in order of appearance), by Image Position projected on the normal
 * of the image plane, then by instance number, then by frame. A multi-frame object gives one slice per frame. Of
 * objects with the same SOP Instance UID the first is kept.
 */
#ifndef WD_MEDIA_STUDY_H
#define WD_MEDIA_STUDY_H

#include "media/dicom.h"

typedef struct wd_study wd_study;

typedef struct wd_study_opts {
    uint32_t max_files;      /* files or ZIP entries looked at    default 20000  */
    uint32_t max_slices;     /*                                   default 200000 */
    uint32_t max_depth;      /* of directories                    default 12     */
    uint64_t max_file_bytes; /* a larger file is an error         default 4 GiB  */
    const atomic_bool *cancel;
    void (*on_progress)(void *ctx, uint32_t n_done, uint32_t n_all); /* after each file; may be NULL */
    void *ctx;
} wd_study_opts;
#define WD_STUDY_OPTS_DEFAULT \
    ((wd_study_opts){         \
        .max_files = 20000, .max_slices = 200000, .max_depth = 12, .max_file_bytes = (uint64_t)4 << 30 })

/* What was found, for the user. */
typedef struct wd_study_counts {
    uint32_t n_file;      /* looked at */
    uint32_t n_image;     /* DICOM images that are in a series */
    uint32_t n_slice;     /* their frames */
    uint32_t n_localizer; /* images among n_image that are localizers */
    uint32_t n_duplicate; /* same SOP Instance UID: skipped */
    uint32_t n_not_image; /* DICOM without pixels (reports, structure sets, DICOMDIR, ...): skipped */
    uint32_t n_not_dicom; /* other files: skipped */
    uint32_t n_broken;    /* DICOM that could not be read: skipped */
    char first_broken[WD_ERR_TEXT_MAX]; /* the sentence about the first of them */
} wd_study_counts;

typedef struct wd_series {
    char study_uid[WD_DICOM_UID_MAX + 1], series_uid[WD_DICOM_UID_MAX + 1];
    char modality[17];
    char description[WD_DICOM_TEXT_MAX + 1]; /* Series Description, else Protocol Name */
    char body_part[WD_DICOM_TEXT_MAX + 1];
    int32_t number; /* INT32_MIN when absent */
    uint32_t n_slice;
    uint32_t rows, cols;    /* of the first slice */
    uint32_t n_orientation; /* different image planes; 1 in a plain stack */
    bool is_localizer;
    bool is_colour;
    bool is_plain;     /* pictures, not DICOM: no modality, no geometry */
    bool by_position;  /* false: some slice has no position; instance numbers alone gave the order */
    double spacing_mm; /* median distance of neighbours along the normal; 0 when not by position */
    bool is_even;      /* no neighbour distance differs from spacing_mm by more than 10 % (none is missing) */
} wd_series;

typedef struct wd_slice {
    const char *source; /* file name, or "archive.zip: entry" */
    char sop_instance_uid[WD_DICOM_UID_MAX + 1];
    int32_t instance_number;
    uint32_t frame, n_frame; /* of the object */
    uint32_t rows, cols;
    bool has_position, has_orientation, has_spacing;
    double position[3], orientation[6], spacing[2];
    double along_mm;     /* position along the normal, 0 without one */
    double thickness_mm; /* 0 when unknown */
} wd_slice;

/* paths: n of directories, ZIP files and files, in any mix.
 *
 *   WD_E_NOT_FOUND   a path does not exist; or nothing in them is an image ("... holds no DICOM image")
 *   WD_E_INVALID     images of more than one patient (who is not said)
 *   WD_E_LIMIT       a limit of opts, or of the archive
 *
 * Files that are no DICOM or are broken are counted and skipped, except a file named by itself: that is an error. */
WD_MUST_CHECK wd_status wd_study_open(const char *const *paths, size_t n, const wd_study_opts *opts,
                                      wd_study **out, wd_err *err);
/* The same of one open DICOM object or ZIP file, which may lie in memory alone; `what` names it in errors. fd is not closed
 * here and must stay open and unchanged as long as the study. */
WD_MUST_CHECK wd_status wd_study_open_fd(const char *what, int fd, const wd_study_opts *opts, wd_study **out,
                                         wd_err *err);
void wd_study_close(wd_study *s); /* accepts NULL */

const wd_study_counts *wd_study_counts_of(const wd_study *s);
size_t wd_study_n_series(const wd_study *s);
/* By series number, then in order of appearance; localizers last. */
const wd_series *wd_study_series(const wd_study *s, size_t series);
const wd_slice *wd_study_slice(const wd_study *s, size_t series, size_t slice);

/* Header and pixels of one slice's frame (wd_dicom_pixels_at(d, 0)); draw it with wd_dicom_render(d, 0, ...).
 * Plain pictures come as RGB. Thread-safe. */
WD_MUST_CHECK wd_status wd_study_load_slice(const wd_study *s, size_t series, size_t slice, wd_dicom **out,
                                            wd_err *err);

#endif
