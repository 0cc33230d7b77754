/* JPEG 2000 (codestream or JP2 file) through OpenJPEG, inside the worker. */
#ifndef WD_MEDIA_J2K_H
#define WD_MEDIA_J2K_H

#include "base/buf.h"

typedef struct wd_j2k {
    uint32_t width, height, n_comp;
    uint32_t precision; /* bits of each component, 1..32 */
    bool is_signed;
} wd_j2k;

/* Decodes data into out[height][width][n_comp]; the inverse multi-component transform of the codestream is applied.
 * want: the size the caller has room for; another one is WD_E_CORRUPT, found before anything is decoded. Components of
 * different size or precision: WD_E_UNSUPPORTED. */
WD_MUST_CHECK wd_status wd_j2k_decode(wd_span data, const wd_j2k *want, int32_t *out, wd_j2k *got,
                                      wd_err *err);

#endif
