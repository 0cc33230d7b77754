/* The size an image or a clip is given before it is cut into patches: a multiple of patch * merge on both
 * sides, with a bounded number of pixels and about the same shape. Exact integers of the reference
 * processors: halves round to even, everything else is double arithmetic in the reference's order.
 */
#ifndef WD_VISION_SMART_RESIZE_H
#define WD_VISION_SMART_RESIZE_H

#include "vision/config.h"

typedef struct wd_size {
    uint32_t height, width;
} wd_size;

/* Longest side over shortest side at most. */
#define WD_ASPECT_MAX 200

/* An image. factor = patch_size * merge_size. Sides shorter than factor are enlarged, never 0.
 * - WD_E_INVALID: a zero side, or an aspect ratio beyond WD_ASPECT_MAX */
WD_MUST_CHECK wd_status wd_smart_resize_image(wd_size in, uint32_t factor, wd_pixel_budget budget,
                                              wd_size *out, wd_err *err);

/* A clip of n_frame frames, all of one size; the budget bounds frames * height * width together. A clip of a
 * single frame counts as the temporal_factor frames that it becomes by repetition.
 * - WD_E_INVALID: as above, or no frame */
WD_MUST_CHECK wd_status wd_smart_resize_video(uint32_t n_frame, wd_size in, uint32_t factor,
                                              uint32_t temporal_factor, wd_pixel_budget budget, wd_size *out,
                                              wd_err *err);

/* The budget with its maximum lowered so that no frame costs more than max_frame_tokens tokens (and none has
 * to go below 1.05 times the minimum): the rule of the vendor's utility, optional in the reference. */
wd_pixel_budget wd_pixel_budget_cap(wd_pixel_budget budget, uint32_t n_frame, uint32_t factor,
                                    uint32_t max_frame_tokens);

/* The vendor's utility (and its embedding and reranking wrappers) sizes each frame like an image, within bounds that
 * depend on the number of frames. budget: min_pixels of one frame, max_pixels of the whole clip; both 0: the
 * utility's own, 128 tokens and 0.9 * 128000 tokens. Returns the bounds of one frame for wd_smart_resize_image. */
wd_pixel_budget wd_pixel_budget_frame(wd_pixel_budget budget, uint32_t n_frame, uint32_t factor,
                                      uint32_t max_frame_tokens);

#endif
