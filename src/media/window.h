/* From stored or Hounsfield values to what a screen shows: DICOM PS3.3, section C.11.2.1. */
#ifndef WD_MEDIA_WINDOW_H
#define WD_MEDIA_WINDOW_H

#include "base/buf.h"

typedef enum wd_window_fn {
    WD_WINDOW_LINEAR,       /* C.11.2.1.2.1: the width counts values, width >= 1 */
    WD_WINDOW_LINEAR_EXACT, /* C.11.2.1.3.2: the width is a length, width > 0 */
    WD_WINDOW_SIGMOID       /* C.11.2.1.3.1: width > 0 */
} wd_window_fn;

typedef struct wd_window {
    double center, width;
    wd_window_fn fn;
} wd_window;

/* A named window. All are for CT, in Hounsfield units. */
typedef struct wd_window_preset {
    const char *name;
    double center, width;
    const char *use; /* one line for help */
} wd_window_preset;

/* The i-th preset, NULL past the last. Sources: at the table in window.c. */
const wd_window_preset *wd_window_preset_at(size_t i);
/* By name, upper or lower case; NULL when there is none. */
const wd_window_preset *wd_window_preset_find(wd_span name);

/* What a user may ask for. */
typedef struct wd_window_choice {
    enum {
        WD_WINDOW_BY_FILE,  /* VOI LUT or window of the file, the tag_i-th; without one: WD_WINDOW_BY_RANGE */
        WD_WINDOW_BY_RANGE, /* from the smallest to the largest value of the image */
        WD_WINDOW_BY_NUMBER, /* w, also for presets */
    } kind;
    uint32_t tag_i; /* several windows in a file are views: 0 is the first */
    wd_window w;
} wd_window_choice;
#define WD_WINDOW_CHOICE_DEFAULT ((wd_window_choice){ .kind = WD_WINDOW_BY_FILE })

/* "lung", "file", "file:2" (the second), "range", "40/400" or "-600/1500" (center/width), each optionally
 * followed by ":exact" or ":sigmoid" for numbers. WD_E_USAGE names the presets. */
WD_MUST_CHECK wd_status wd_window_parse(const char *text, wd_window_choice *out, wd_err *err);

/* The value y in [0, 1] for x. */
double wd_window_at(const wd_window *w, double x);

/* out[i] = round(255 * y(v[i])), or 255 minus it when inverted (MONOCHROME1). NaN gives 0. */
void wd_window_apply(const wd_window *w, const float *v, size_t n, bool inverted, uint8_t *out);

/* The window that shows exactly [lo, hi] from black to white. */
wd_window wd_window_of_range(double lo, double hi);

#endif
