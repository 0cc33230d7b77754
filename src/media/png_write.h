/* Writes an RGB picture as PNG (libpng). */
#ifndef WD_MEDIA_PNG_WRITE_H
#define WD_MEDIA_PNG_WRITE_H

#include "base/image.h"

/* Appends the file to *out. */
WD_MUST_CHECK wd_status wd_png_write(const wd_image *im, wd_buf *out, wd_err *err);

#endif
