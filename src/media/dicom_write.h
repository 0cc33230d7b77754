/* Writes a CT Image Storage object, explicit VR little endian: for synthetic series (the demo's phantom, tests).
 * The patient is invented by the caller; dates and times are fixed or the caller's, so that files repeat. */
#ifndef WD_MEDIA_DICOM_WRITE_H
#define WD_MEDIA_DICOM_WRITE_H

#include "base/buf.h"

typedef struct wd_dicom_ct {
    const char *study_uid, *series_uid, *sop_instance_uid, *frame_of_reference_uid; /* required */
    const char *patient_name, *patient_id;              /* invented; required, ASCII or UTF-8 */
    const char *study_description, *series_description; /* may be NULL */
    const char *date, *time;                            /* "20260131", "120000"; required */
    const char *body_part;                              /* "CHEST"; may be NULL */
    int32_t series_number, instance_number;
    uint32_t rows, cols;
    const int16_t *hu;                  /* [rows][cols] Hounsfield units, >= -1024 */
    double position[3];                 /* mm */
    double orientation[6];              /* axial: 1 0 0 0 1 0 */
    double spacing[2];                  /* between rows, between columns, mm */
    double thickness;                   /* mm */
    double window_center, window_width; /* width 0: none */
} wd_dicom_ct;

/* Appends the whole file to *out. */
WD_MUST_CHECK wd_status wd_dicom_write_ct(const wd_dicom_ct *ct, wd_buf *out, wd_err *err);

#endif
