/* Three-dimensional positions of the tokens of a prompt (MRoPE, spec 4.2).
 *
 * Text counts up on all three axes together. An image keeps t and lays h and w over its merged grid; then all
 * three go on from the largest. A video is one such segment per temporal group: time is told by the text
 * between them.
 */
#ifndef WD_VISION_POSITIONS_H
#define WD_VISION_POSITIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct wd_positions_in {
    const uint32_t *ids; /* [n] the expanded prompt: one placeholder per visual token */
    size_t n;
    uint32_t image_token, video_token;
    uint32_t merge_size;
    const uint32_t (*image_grid)[3]; /* [n_image] t, h, w in patches; t = 1; in order of appearance */
    size_t n_image;
    const uint32_t (*video_grid)[3]; /* [n_video] */
    size_t n_video;
    size_t n_past;      /* tokens already in the cache before ids[0] */
    int32_t rope_delta; /* of those: the first new token stands at n_past + rope_delta */
} wd_positions_in;

typedef struct wd_positions_out {
    int32_t *pos[3]; /* [n] each: t, h, w; the caller's memory */
    int32_t *visual; /* [n] or NULL: running number of the visual token in order of appearance, -1 for text */
    int32_t rope_delta; /* token number i after these (counted from the start of the cache) stands at i +
                           rope_delta */
} wd_positions_out;

/* - WD_E_INVALID: placeholders and grids do not match in number or length, a grid that merge_size does not
 *   divide, an image with t != 1
 * - WD_E_LIMIT: positions that pass 2^31 - 1
 * On failure the arrays hold unspecified values and rope_delta is untouched. */
WD_MUST_CHECK wd_status wd_positions(const wd_positions_in *in, wd_positions_out *out, wd_err *err);

#endif
