/* A DICOM object in the parent: shared by reading (dicom.c) and drawing (dicom_image.c). */
#ifndef WD_MEDIA_DICOM_IMAGE_H
#define WD_MEDIA_DICOM_IMAGE_H

#include "media/dicom_inner.h"

typedef struct wd_dicom_lut {
    wd_dicom__lut head;
    uint16_t *v; /* [head.n] */
} wd_dicom_lut;

struct wd_dicom {
    wd_dicom_info info;
    wd_dicom__more more;
    wd_dicom_frame *frames; /* [info.n_frame] */
    wd_dicom_pixels *pixels;
    size_t n_pixels;
    wd_dicom_lut luts[WD_DICOM__LUTS_MAX];
    size_t n_lut;
};

/* Fills value and padding of every decoded frame. */
WD_MUST_CHECK wd_status wd_dicom__to_values(wd_dicom *d, const char *what, wd_err *err);

#endif
