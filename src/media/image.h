/* Still images: JPEG, PNG, WebP, BMP, TIFF and GIF, recognised by their bytes and never by their name.
 *
 * Pixels equal Pillow's `.convert("RGB")`, with these rules on top:
 * - Orientation (EXIF, TIFF tag 274) is applied, as a viewer would; keep_orientation leaves the stored order.
 * - Alpha is composited on white, c' = round((c * a + 255 * (255 - a)) / 255), as the vendor's utility does;
 * also transparent palette entries and colours. Pixels that a GIF's or WebP's first frame does not cover are
 * white where the file has transparency.
 * - 16-bit samples keep their high byte (v >> 8), grey or colour. Pillow does so for colour only.
 * - Of an animation or a file with several pages, the first.
 * - ICC profiles, gamma and chromaticity are not applied.
 * A file that ends early or whose data is damaged is refused: never half an image.
 */
#ifndef WD_MEDIA_IMAGE_H
#define WD_MEDIA_IMAGE_H

#include "base/image.h"
#include "media/sandbox.h"

typedef enum wd_image_kind {
    WD_IMAGE_KIND_UNKNOWN,
    WD_IMAGE_KIND_JPEG,
    WD_IMAGE_KIND_PNG,
    WD_IMAGE_KIND_WEBP,
    WD_IMAGE_KIND_BMP,
    WD_IMAGE_KIND_TIFF,
    WD_IMAGE_KIND_GIF
} wd_image_kind;

/* By the first bytes; 16 are enough. */
wd_image_kind wd_image_kind_of(wd_span head);
const char *wd_image_kind_name(wd_image_kind k); /* "JPEG"; "unknown" */

typedef struct wd_image_opts {
    bool keep_orientation;     /* default false: apply it        */
    const atomic_bool *cancel; /* default NULL: never cancelled  */
} wd_image_opts;

/* Decodes a file, or bytes in memory, in the sandbox. `what` names the input in errors; opts may be NULL.
 * - WD_E_UNSUPPORTED: not one of the six formats, or a variant of one that is not read; the sentence says
 * which
 * - WD_E_CORRUPT: damaged or cut off
 * - WD_E_LIMIT: a side beyond WD_IMAGE_SIDE_MAX or more than WD_IMAGE_PIXELS_MAX pixels (found before memory
 * is taken), or a limit of the sandbox
 * - WD_E_CRASHED, WD_E_CANCELLED, WD_E_NOT_FOUND, WD_E_IO, WD_E_NOMEM
 * *out is the caller's (wd_image_free); untouched on failure. Thread-safe. */
WD_MUST_CHECK wd_status wd_image_open(const char *path, const wd_image_opts *opts, wd_image *out,
                                      wd_err *err);
WD_MUST_CHECK wd_status wd_image_decode(const char *what, wd_span bytes, const wd_image_opts *opts,
                                        wd_image *out, wd_err *err);

/* The worker's side, for media/decoders.c. */
WD_MUST_CHECK wd_status wd_decode_image(const wd_decode_in *in, wd_emit *out, wd_err *err);

/* Without a sandbox, in this process: for the worker, tests and fuzzing. Never for bytes from outside. */
WD_MUST_CHECK wd_status wd_image_decode_here(wd_span bytes, bool keep_orientation, wd_image *out,
                                             wd_err *err);

#endif
