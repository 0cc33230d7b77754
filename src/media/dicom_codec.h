/* DCMTK behind a C face: no exception and no C++ type crosses this header. Its decoders for JPEG and JPEG-LS run in the
 * worker. */
#ifndef WD_MEDIA_DICOM_CODEC_H
#define WD_MEDIA_DICOM_CODEC_H

#ifdef __cplusplus
extern "C" {
#endif

#include "base/buf.h"

typedef struct wd_codec_frame {
    const char *transfer_syntax; /* UID */
    const char *photometric;     /* as the file says */
    uint32_t rows, cols, samples, bits_allocated, bits_stored;
    bool is_signed;
    wd_span data; /* the fragments of one frame, joined */
} wd_codec_frame;

/* Registers the decoders and loads the dictionary, so that nothing is opened later. Idempotent. */
void wd_codec_prepare(void);

/* Decodes one frame into buf. Colours come as they are coded (no transform) and interleaved. Samples are 8 or 16 bits
 * wide, as the codestream's precision asks, in host order. WD_E_CORRUPT, WD_E_UNSUPPORTED, WD_E_NOMEM. */
WD_MUST_CHECK wd_status wd_codec_decode(const wd_codec_frame *f, void *buf, size_t buf_bytes, wd_err *err);

#ifdef __cplusplus
}
#endif

#endif
