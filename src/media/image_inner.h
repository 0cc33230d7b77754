/* What the files of the image decoder share: one function per format, and the few steps that all of them need. */
#ifndef WD_MEDIA_IMAGE_INNER_H
#define WD_MEDIA_IMAGE_INNER_H

#include "media/image.h"

/* A decoder's answer. On failure nothing is left to free. */
typedef struct wd_image__out {
    wd_image image;
    uint32_t orientation; /* EXIF 1..8; 1 when the file does not say */
} wd_image__out;

WD_MUST_CHECK wd_status wd_image__jpeg(wd_span in, wd_image__out *out, wd_err *err);
WD_MUST_CHECK wd_status wd_image__png(wd_span in, wd_image__out *out, wd_err *err);
WD_MUST_CHECK wd_status wd_image__webp(wd_span in, wd_image__out *out, wd_err *err);
WD_MUST_CHECK wd_status wd_image__bmp(wd_span in, wd_image__out *out, wd_err *err);
WD_MUST_CHECK wd_status wd_image__tiff(wd_span in, wd_image__out *out, wd_err *err);
WD_MUST_CHECK wd_status wd_image__gif(wd_span in, wd_image__out *out, wd_err *err);

/* WD_E_INVALID for a zero side, WD_E_LIMIT beyond the limits of base/image.h; before any memory is taken. */
WD_MUST_CHECK wd_status wd_image__check_size(wd_image_kind kind, uint64_t width, uint64_t height,
                                             wd_err *err);

/* Orientation of a TIFF structure (the content of an EXIF block, with or without "Exif\0\0" before it); 1 when it
 * does not say, or says nonsense. */
uint32_t wd_image__exif_orientation(wd_span exif);

/* Every pixel becomes rgb. */
void wd_image__fill(wd_image *im, const uint8_t rgb[3]);

/* In place: n pixels of RGBA become n pixels of RGB on white. */
void wd_image__rgba_to_rgb(uint8_t *p, size_t n);

/* The parent's side: what the worker's messages are gathered into, and their checks. */
typedef struct wd_image__receiver {
    const char *what;
    wd_image image;
    size_t n, total; /* bytes received and expected */
} wd_image__receiver;
enum { WD_IMAGE__HEAD = 1, WD_IMAGE__ROWS = 2 };
wd_status wd_image__receive(void *receiver, uint32_t type, wd_span bytes, wd_err *err);
/* st: how the call ended. Hands the image over when it is whole, frees it otherwise. */
wd_status wd_image__finish(wd_image__receiver *r, wd_status st, wd_image *out, wd_err *err);

/* round(x / 255) for x <= 255 * 255. */
static inline uint32_t wd_image__div255(uint32_t x)
{
    x += 128;
    return (x + (x >> 8)) >> 8;
}

/* c over white at opacity a. */
static inline uint8_t wd_image__on_white(uint32_t c, uint32_t a)
{
    return (uint8_t)wd_image__div255(c * a + 255 * (255 - a));
}

/* Ink (0 = none) to light, without a colour profile: as Pillow. */
static inline void wd_image__cmyk_to_rgb(const uint8_t cmyk[4], uint8_t rgb[3])
{
    const uint32_t light = 255u - cmyk[3];
    for (int c = 0; c < 3; c++)
        rgb[c] = (uint8_t)(light - wd_image__div255(cmyk[c] * light)); /* never negative: c * l / 255 <= l */
}

#endif
