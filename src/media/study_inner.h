/* The inside of a study: the study itself, its slices and where they come from. */
#ifndef WD_MEDIA_STUDY_INNER_H
#define WD_MEDIA_STUDY_INNER_H

#include "base/arena.h"
#include "base/map.h"
#include "media/study.h"

#define WD_STUDY__SAME_MM 1e-3 /* positions that differ by less are one */

typedef struct wd_study__source {
    const char *name; /* path, or "archive.zip: entry" */
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
};

static inline wd_study__slice *wd_study__slices(const wd_study__series *one)
{
    return (wd_study__slice *)(void *)one->slices.p;
}

#endif
