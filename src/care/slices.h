/* Choosing a series of a study and slices of it, and drawing them for a model. */
#ifndef WD_CARE_SLICES_H
#define WD_CARE_SLICES_H

#include <stdatomic.h>

#include "base/arena.h"
#include "media/study.h"

typedef struct wd_slices_opts {
    const char
        *series; /* NULL or "auto": the one with most slices that is no localizer; else a series number or
                            Series Instance UID */
    const char *rule; /* "even": evenly spaced; "all"; "A-B": numbers A to B, from 1, in order of position */
    uint32_t n_slice; /* most slices; 0: no limit */
    const char *windows; /* comma-separated (media/window.h); "auto": by modality and body part */
    const atomic_bool *cancel;
    void (*progress)(void *self, uint64_t done, uint64_t total); /* NULL: none */
    void *progress_self;
} wd_slices_opts;

typedef struct wd_slice_picture {
    wd_image image;
    uint32_t slice;     /* index in the series, from 0 in order of position */
    const char *window; /* as asked: "lung", "40/400"; "file" for what the file says; "" for colour */
    const wd_slice *info;
} wd_slice_picture;

typedef struct wd_slices {
    const wd_series *series;
    size_t series_i;
    wd_slice_picture *picture; /* [n_picture]: slice by slice, window by window */
    uint32_t n_picture, n_slice, n_window;
} wd_slices;

/* Index of the wanted series. WD_E_NOT_FOUND names the series that there are. */
WD_MUST_CHECK wd_status wd_slices_series(const wd_study *s, const char *want, size_t *out, wd_err *err);

/* Chooses, decodes and draws. Pictures live until the arena is reset; `info` as long as the study.
 *   WD_E_USAGE      a rule, range or window that cannot be read
 *   WD_E_CANCELLED  *cancel became true */
WD_MUST_CHECK wd_status wd_slices_pick(const wd_study *s, const wd_slices_opts *o, wd_arena *a,
                                       wd_slices *out, wd_err *err);

#endif
