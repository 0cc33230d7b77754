/* From pixels to the rows that the vision tower reads.
 *
 * A wd_visual is one image or clip after resizing: bytes, a few MB to 75 MB at the published budgets. Its
 * rows of floats, eight times as much, are made on demand for any range, so that no caller ever needs them
 * all at once.
 *
 *   rows are ordered   temporal group, block row, block column, row in block, column in block
 *   a row is ordered   channel (R, G, B), frame in the group, y, x
 *
 * where a block is merge_size x merge_size patches: the patches of one token are adjacent (spec 5.1).
 */
#ifndef WD_VISION_PATCHES_H
#define WD_VISION_PATCHES_H

#include "base/image.h"
#include "vision/config.h"

typedef struct wd_visual {
    uint8_t *rgb;           /* [n_frame][height][width][3] */
    uint32_t n_frame;       /* frames held; the last one stands for those missing in the last group */
    uint32_t width, height; /* multiples of patch_size * merge_size */
    uint32_t grid[3];       /* t, h, w in patches */
    wd_pixel_format format;
} wd_visual;

/* Empty (zeroed) frames of the given size, to be filled through rgb; grid computed.
 * - WD_E_INVALID: a side that is no multiple of patch_size * merge_size, or no frame
 * - WD_E_NOMEM */
WD_MUST_CHECK wd_status wd_visual_init(wd_visual *v, const wd_pixel_format *f, uint32_t n_frame,
                                       uint32_t width, uint32_t height, wd_err *err);
void wd_visual_free(wd_visual *v); /* accepts {0}, becomes {0} */

/* One still image: smart_resize within the budget (NULL: the processor's), bicubic. *out is the caller's. */
WD_MUST_CHECK wd_status wd_visual_of_image(const wd_vision_processor *p, const wd_pixel_budget *budget,
                                           const wd_image *im, wd_visual *out, wd_err *err);

/* The same in two steps, for who wants the shapes of many before the pixels of any: all but rgb, which stays NULL; then the
 * pixels of one that has none. */
WD_MUST_CHECK wd_status wd_visual_plan_image(const wd_vision_processor *p, const wd_pixel_budget *budget,
                                             const wd_image *im, wd_visual *out, wd_err *err);
WD_MUST_CHECK wd_status wd_visual_take_image(wd_visual *v, const wd_image *im, wd_err *err);
void wd_visual_drop(wd_visual *v); /* its pixels; the shape stays */

size_t wd_visual_rows(const wd_visual *v);       /* t * h * w */
size_t wd_visual_group_rows(const wd_visual *v); /* h * w: rows of one temporal group */
size_t wd_visual_tokens(const wd_visual *v);     /* rows / merge_size^2 */

/* Rows [first, first + n) of wd_visual_rows() into out [n][wd_patch_row_len]. Value (p * rescale - mean) /
 * std in f32, as the reference's fused step. Cannot fail; threads may fill different ranges at once. */
void wd_visual_fill(const wd_visual *v, size_t first, size_t n, float *out);

#endif
