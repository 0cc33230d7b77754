/* Bicubic resampling with antialiasing, bit-equal to Pillow's Image.resize(size, BICUBIC): horizontal pass,
 * then vertical; Keys' cubic with a = -0.5, widened by the scale when shrinking; weights of 22 fractional
 * bits; each pass rounds and clamps to bytes; a pass whose size does not change is left out.
 */
#ifndef WD_VISION_RESIZE_H
#define WD_VISION_RESIZE_H

#include "base/image.h"

/* src [src_h][src_w][3] to dst [dst_h][dst_w][3], both packed RGB, not overlapping; sides 1 ..
 * WD_IMAGE_SIDE_MAX. Takes scratch of one horizontally resized copy: src_h * dst_w * 3 bytes at most.
 * - WD_E_INVALID: a side out of range
 * - WD_E_NOMEM */
WD_MUST_CHECK wd_status wd_resize_rgb(const uint8_t *src, uint32_t src_w, uint32_t src_h, uint8_t *dst,
                                      uint32_t dst_w, uint32_t dst_h, wd_err *err);

/* The same on images: *out is new and the caller's. */
WD_MUST_CHECK wd_status wd_resize_image(const wd_image *in, uint32_t width, uint32_t height, wd_image *out,
                                        wd_err *err);

#endif
