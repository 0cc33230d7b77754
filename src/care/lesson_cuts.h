/* Where a video cuts from one shot to the next: measured, in plain C, from frames a fraction of a second apart.
 *
 * Each frame becomes a small grid of mean colours, so that noise and small movements vanish. The change from one
 * sample to the next (0 .. 255, the mean over all cells) is followed with hysteresis: a run of samples above a low mark
 * is a transition if the pictures before and after it differ, whatever it looked like on the way. So a hard cut is a
 * run of one, a dissolve or a fade through black a short run, and a flash or flicker, after which the picture is the
 * one from before, is none. In a long run something moves, or the camera does: there only a change that stands out
 * among its neighbours is a cut. The low mark rises with the video's own unrest.
 */
#ifndef WD_CARE_LESSON_CUTS_H
#define WD_CARE_LESSON_CUTS_H

#include "base/arena.h"
#include "base/image.h"

#define WD_CUTS_COLUMNS 32u
#define WD_CUTS_ROWS 18u
#define WD_CUTS_CELLS (WD_CUTS_COLUMNS * WD_CUTS_ROWS * 3)

typedef struct wd_cuts_opts {
    double change;     /* least difference of two shots            default 2.5 */
    double fade_s;     /* a longer transition is a movement        default 1.7 */
    double min_shot_s; /* shorter ones join the shot before        default 1.0 */
    double long_s;     /* a longer take is cut into equal parts    default 20  */
} wd_cuts_opts;
#define WD_CUTS_OPTS_DEFAULT ((wd_cuts_opts){ .change = 2.5, .fade_s = 1.7, .min_shot_s = 1.0, .long_s = 20 })

typedef struct wd_shot {
    double start_s, end_s;
    uint32_t key; /* the sample that shows it: calm, and near the middle */
    bool is_take; /* a part of a long take: it starts where the one before ends without a cut */
} wd_shot;

/* The frame as a grid, of any size. */
void wd_cuts_grid(const wd_image *frame, uint8_t grid[WD_CUTS_CELLS]);

/* The shots of n >= 1 samples at increasing times, in order, without gaps from time_s[0] to end_s. A cut lies half way
 * between two samples, that of a fade where it is half done.
 *   WD_E_NOMEM   the arena is full
 * Deterministic. */
WD_MUST_CHECK wd_status wd_cuts_find(const uint8_t (*grid)[WD_CUTS_CELLS], const double *time_s, uint32_t n,
                                     double end_s, const wd_cuts_opts *o, wd_arena *a, wd_shot **out,
                                     uint32_t *n_out, wd_err *err);

#endif
