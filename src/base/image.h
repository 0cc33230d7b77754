/* Pixel views that travel between media, vision and care. */
#ifndef WD_BASE_IMAGE_H
#define WD_BASE_IMAGE_H

#include "base/buf.h"

/* 8-bit RGB, rows top to bottom, width * 3 bytes each, no padding. */
typedef struct wd_image {
    uint8_t *rgb; /* [height][width][3] */
    uint32_t width, height;
} wd_image;

/* Longest side and most pixels any decoder may produce. */
#define WD_IMAGE_SIDE_MAX 65535u
#define WD_IMAGE_PIXELS_MAX (256u * 1024u * 1024u)

/* Zeroed pixels. WD_E_LIMIT beyond the limits above, WD_E_INVALID for a zero side. */
WD_MUST_CHECK wd_status wd_image_init(wd_image *im, uint32_t width, uint32_t height, wd_err *err);
void wd_image_free(wd_image *im); /* accepts {0}, becomes {0} */

#endif
