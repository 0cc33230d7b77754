/* The inside of a study: shared by DICOM (study.c) and plain pictures (study_plain.c). */
#ifndef WD_MEDIA_STUDY_INNER_H
#define WD_MEDIA_STUDY_INNER_H

#include "base/arena.h"
#include "base/map.h"
#include "media/study.h"

#define WD_STUDY__SAME_MM 1e-3 /* positions that differ by less are one */

typedef struct wd_study__source {
    const char *name; /* path, or "archive.zip: entry" */
    int fd;           /* an object that was given open, or -1 */
    int32_t zip;      /* index of the archive, or -1 */
    uint32_t entry;
} wd_study__source;

typedef struct wd_study__slice {
    wd_slice pub;
    wd_study__source src;
    uint32_t plane, order;
} wd_study__slice;

typedef struct wd_study__series {
    wd_series pub;
    wd_buf slices; /* wd_study__slice [] */
    uint32_t order;
} wd_study__series;

struct wd_study {
    wd_study_opts opts;
    wd_arena *arena;
    const char *what; /* the first path, for sentences about the whole */
    wd_study_counts counts;
    wd_patient_key by_id, by_name; /* of the objects so far */
    wd_map *by_uid;                /* study, series, localizer -> index in series */
    wd_map *objects;               /* SOP Instance UIDs */
    wd_study__series *series;
    size_t n_series;
    int *zips;
    size_t n_zip;
    wd_buf plain; /* wd_study__source []: pictures met so far */
};

static inline wd_study__slice *wd_study__slices(const wd_study__series *one)
{
    return (wd_study__slice *)(void *)one->slices.p;
}

/* Remembers a file that is no DICOM if its first bytes are those of a picture; *kept says whether. */
WD_MUST_CHECK wd_status wd_study__keep_plain(wd_study *s, const wd_study__source *src, wd_span head,
                                             bool *kept, wd_err *err);
/* No DICOM was found: makes a series of the pictures, if there are any. */
WD_MUST_CHECK wd_status wd_study__use_plain(wd_study *s, wd_err *err);
WD_MUST_CHECK wd_status wd_study__load_plain(const wd_study *s, const wd_study__slice *sl, wd_dicom **out,
                                             wd_err *err);

/* Appends an entry of one of the study's archives. */
WD_MUST_CHECK wd_status wd_study__unzip(const wd_study *s, const wd_study__source *src, wd_buf *out,
                                        wd_err *err);

#endif
