/* What the worker tells the parent about a DICOM object. Messages in order: INFO, FRAMES, LUT *, PIXELS *, MORE. */
#ifndef WD_MEDIA_DICOM_INNER_H
#define WD_MEDIA_DICOM_INNER_H

#include "media/dicom.h"
#include "media/sandbox.h"

enum {
    WD_DICOM__INFO = 1, /* wd_dicom_info */
    WD_DICOM__FRAMES,   /* wd_dicom_frame [n_frame] */
    WD_DICOM__LUT,      /* wd_dicom__lut, uint16_t [n] */
    WD_DICOM__PIXELS,   /* wd_dicom__block, int32_t or float [rows][cols][samples] */
    WD_DICOM__MORE      /* wd_dicom__more: last */
};

typedef enum wd_dicom__lut_kind {
    WD_DICOM__LUT_MODALITY,
    WD_DICOM__LUT_VOI,
    WD_DICOM__LUT_RED,
    WD_DICOM__LUT_GREEN,
    WD_DICOM__LUT_BLUE
} wd_dicom__lut_kind;

typedef struct wd_dicom__lut {
    uint32_t kind, n, bits;
    int32_t first; /* input value of the first entry */
} wd_dicom__lut;

typedef struct wd_dicom__block {
    uint32_t frame, rows, cols, samples, is_float, zero;
} wd_dicom__block;

typedef struct wd_dicom__more {
    uint32_t colour;    /* wd_photometric of the decoded samples */
    uint32_t is_signed; /* of the decoded samples: a codestream may know better than the header */
    uint32_t has_padding, zero;
    double padding_lo, padding_hi; /* stored values */
} wd_dicom__more;

typedef struct wd_dicom__opts {
    uint32_t pixels, first_frame, n_frame, zero;
    uint8_t salt[32]; /* of patient keys */
} wd_dicom__opts;

enum { WD_DICOM__LUTS_MAX = 16 };

/* The worker. */
void wd_dicom__prepare(void);
WD_MUST_CHECK wd_status wd_decode_dicom(const wd_decode_in *in, wd_emit *out, wd_err *err);

/* Pixels of the frames that o asks for (dicom_pixels.c). */
struct wd_dcm;
WD_MUST_CHECK wd_status wd_dicom__emit_pixels(const struct wd_dcm *d, const wd_dicom_info *info,
                                              const wd_dicom__opts *o, wd_dicom__more *more, wd_emit *out,
                                              wd_err *err);

/* The parent's side in one process, without a sandbox: for fuzzing and failure injection. */
WD_MUST_CHECK wd_status wd_dicom__read_here(wd_span bytes, const wd_dicom_want *want, wd_dicom **out,
                                            wd_err *err);

#endif
