/* The fixed table of decoders that a worker of the sandbox can run. */
#ifndef WD_MEDIA_DECODERS_H
#define WD_MEDIA_DECODERS_H

#include "media/sandbox.h"

typedef struct wd_decoder {
    const char *name; /* as sentences call it: "DICOM" */
    /* Runs once in the zygote, before any untrusted byte: opens every file that the libraries would open
     * later (dictionaries, character set modules), because a worker cannot. May be NULL. */
    void (*prepare)(void);
    wd_decode_fn decode; /* NULL: not built */
} wd_decoder;

/* NULL for an unknown id. */
const wd_decoder *wd_decoder_get(uint32_t id);

#endif
