/* Pixel views. */
#include "base/image.h"

wd_status wd_image_init(wd_image *im, uint32_t width, uint32_t height, wd_err *err)
{
    if (!width || !height)
        return WD_FAIL(err, WD_E_INVALID, "image of %u x %u pixels: a side is zero", width, height);
    if (width > WD_IMAGE_SIDE_MAX || height > WD_IMAGE_SIDE_MAX ||
        (uint64_t)width * height > WD_IMAGE_PIXELS_MAX)
        return WD_FAIL(err, WD_E_LIMIT, "image of %u x %u pixels: at most %u a side and %u in all", width,
                       height, WD_IMAGE_SIDE_MAX, WD_IMAGE_PIXELS_MAX);
    uint8_t *rgb = wd_calloc((size_t)width * height, 3);
    if (!rgb)
        return WD_FAIL(err, WD_E_NOMEM, "image of %u x %u pixels: no memory", width, height);
    *im = (wd_image){ rgb, width, height };
    return WD_OK;
}

void wd_image_free(wd_image *im)
{
    wd_free(im->rgb);
    *im = (wd_image){ 0 };
}
