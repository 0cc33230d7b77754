/* The story "find": which slices of a series does a sentence speak of? Each slice is ranked by a reranking
 * checkpoint: query the sentence, document the picture, score the yes/no probability (0..1). */
#ifndef WD_CARE_FIND_H
#define WD_CARE_FIND_H

#include "care/slices.h"
#include "engine/engine.h"

typedef struct wd_find_opts {
    wd_slices_opts slices;
    const char *instruction; /* NULL: the story's own, below */
    wd_watch watch;
} wd_find_opts;

#define WD_FIND_INSTRUCTION \
    "Retrieve the image slices that show what the sentence of the radiology report describes."

typedef struct wd_found {
    const wd_slice_picture *picture;
    double score; /* the best of the slice's windows */
} wd_found;

typedef struct wd_find {
    const wd_slices *shown;
    wd_found *slice; /* [n_slice] best first; equal scores in order of position */
    uint32_t n_slice;
    double seconds;
} wd_find;

/* Everything lives in the arena. WD_E_INVALID for an empty sentence. */
WD_MUST_CHECK wd_status wd_find_slices(wd_engine *e, const wd_study *study, const char *sentence,
                                       const wd_find_opts *o, wd_arena *a, wd_find *out, wd_err *err);

#endif
