/* Boxes that a model draws in words.
 *
 * Qwen3-VL writes them as JSON, [{"bbox_2d": [x1, y1, x2, y2], "label": "nodule"}], with coordinates from 0 to 1000 across
 * the width and the height of the picture as it was given, whatever size it was shown at (spec section 11, P17).
 */
#ifndef WD_CARE_BOXES_H
#define WD_CARE_BOXES_H

#include <jansson.h>

#include "base/arena.h"
#include "base/buf.h"

typedef struct wd_box {
    const char *label;     /* "" when there is none */
    double x1, y1, x2, y2; /* pixels of the picture: 0 <= x1 <= x2 <= width, 0 <= y1 <= y2 <= height */
} wd_box;

/* The boxes of a reply about one picture of that size, in order, in the arena. A reply without any gives n 0. Boxes that
 * are none (not four numbers, outside 0 .. 1000, corners exchanged) are left out and counted in *n_bad.
 *   WD_E_NOMEM   the arena is full */
WD_MUST_CHECK wd_status wd_boxes_read(wd_span reply, uint32_t width, uint32_t height, wd_arena *a,
                                      wd_box **out, size_t *n, size_t *n_bad, wd_err *err);

#endif
