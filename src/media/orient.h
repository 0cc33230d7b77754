/* The eight ways in which a camera can have been held. */
#ifndef WD_MEDIA_ORIENT_H
#define WD_MEDIA_ORIENT_H

#include "base/image.h"

/* Turns *im upright: what EXIF calls orientation 1..8 of the stored picture. 1 does nothing. On failure (no memory)
 * *im is as before. */
WD_MUST_CHECK wd_status wd_orient(wd_image *im, uint32_t orientation, wd_err *err);

#endif
