/* PNG through libpng's simplified interface: no long jumps here. */
#include "media/png_write.h"

#include <png.h>

wd_status wd_png_write(const wd_image *im, wd_buf *out, wd_err *err)
{
    png_image p = {
        .version = PNG_IMAGE_VERSION, .width = im->width, .height = im->height, .format = PNG_FORMAT_RGB
    };
    png_alloc_size_t n = PNG_IMAGE_PNG_SIZE_MAX(p);
    const size_t before = out->n;
    uint8_t *to = wd_buf_grow(out, n);
    if (!to)
        return WD_FAIL(err, WD_E_NOMEM, "PNG: no memory for %u x %u pixels", im->width, im->height);
    if (!png_image_write_to_memory(&p, to, &n, 0, im->rgb, 0, NULL)) {
        out->n = before;
        return WD_FAIL(err, WD_E_INTERNAL, "PNG: %.60s", p.message);
    }
    out->n = before + n;
    return WD_OK;
}
