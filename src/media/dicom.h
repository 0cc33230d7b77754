/* DICOM objects: headers, pixels and what they mean. Files are parsed in the sandbox (DCMTK and OpenJPEG decode); what is
 * read here are plain arrays that were checked against their own limits.
 *
 *   read header ->  wd_dicom (info, frames)         no pixel is decoded
 *   read pixels ->  the same, and one wd_dicom_pixels per frame asked for
 *   render      ->  8-bit RGB through a window, a VOI LUT, a palette or a colour transform
 *
 * Text is UTF-8 whatever the file's character set. Names, numbers and dates of patients are not kept: only a key
 * that tells whether two objects are of one patient.
 */
#ifndef WD_MEDIA_DICOM_H
#define WD_MEDIA_DICOM_H

#include <stdatomic.h>

#include "base/image.h"
#include "media/window.h"

/* PHI. It has no format and is only compared. The digest is salted anew in each run of the program: it cannot be
 * looked up in a list, stored, or linked to another run. */
typedef struct wd_patient_key {
    uint8_t secret[32];
    bool known;   /* false: the object has neither Patient ID nor Patient's Name */
    bool by_name; /* there was no Patient ID (with its issuer), only a name */
} wd_patient_key;

/* Both known, by the same attributes, and equal; or different. Both are false when that cannot be told. */
bool wd_patient_same(const wd_patient_key *a, const wd_patient_key *b);
bool wd_patient_differs(const wd_patient_key *a, const wd_patient_key *b);

enum {
    WD_DICOM_UID_MAX = 64,    /* PS3.5 table 6.2-1 */
    WD_DICOM_TEXT_MAX = 255,  /* bytes of UTF-8 that are kept of a text, cut at a character */
    WD_DICOM_WINDOWS_MAX = 8, /* windows and VOI LUTs that are kept of a frame */
    WD_DICOM_FRAMES_MAX = 65536
};

typedef enum wd_photometric {
    WD_PHOTOMETRIC_MONOCHROME1, /* 0 is white */
    WD_PHOTOMETRIC_MONOCHROME2,
    WD_PHOTOMETRIC_PALETTE,
    WD_PHOTOMETRIC_RGB,
    WD_PHOTOMETRIC_YBR_FULL, /* also YBR_FULL_422: already upsampled */
    WD_PHOTOMETRIC_YBR_RCT,  /* only as a name: decoding JPEG 2000 gives RGB */
    WD_PHOTOMETRIC_YBR_ICT,
    WD_PHOTOMETRIC_OTHER
} wd_photometric;

typedef struct wd_dicom_info {
    char transfer_syntax_uid[WD_DICOM_UID_MAX + 1];
    char sop_class_uid[WD_DICOM_UID_MAX + 1];
    char sop_instance_uid[WD_DICOM_UID_MAX + 1];
    char study_uid[WD_DICOM_UID_MAX + 1];
    char series_uid[WD_DICOM_UID_MAX + 1];
    char frame_of_reference_uid[WD_DICOM_UID_MAX + 1];
    char modality[17];                      /* "CT", "MR", ...; empty when absent, as all texts */
    char image_type[WD_DICOM_TEXT_MAX + 1]; /* ORIGINAL\PRIMARY\AXIAL */
    char laterality[17];                    /* Image Laterality, else Laterality: L, R, B, U */
    char view_position[17];                 /* PA, AP, LL, CC, MLO, ... */
    char body_part[WD_DICOM_TEXT_MAX + 1];
    char study_description[WD_DICOM_TEXT_MAX + 1];
    char series_description[WD_DICOM_TEXT_MAX + 1];
    char protocol_name[WD_DICOM_TEXT_MAX + 1];
    char contrast_agent[WD_DICOM_TEXT_MAX + 1];
    wd_patient_key patient;
    int32_t series_number, acquisition_number, instance_number; /* INT32_MIN when absent */
    bool is_localizer;                                          /* Image Type says LOCALIZER (or SCOUT) */
    bool has_pixels; /* false: a report, a presentation state, a structure set, ... */
    bool is_float;   /* Float or Double Float Pixel Data */
    bool is_signed;
    uint32_t rows, cols, n_frame; /* 0 without pixels */
    uint32_t samples;             /* per pixel: 1 or 3 */
    uint32_t bits_allocated, bits_stored;
    wd_photometric photometric;
    char photometric_name[17]; /* as the file says */
} wd_dicom_info;

typedef struct wd_dicom_window {
    wd_window w;
    char explanation[65];
} wd_dicom_window;

/* What may differ from frame to frame (the functional groups of an enhanced object), in mm. */
typedef struct wd_dicom_frame {
    double position[3];    /* of the centre of the first pixel, patient coordinates */
    double orientation[6]; /* direction of a row, then of a column */
    double spacing[2];     /* between rows, between columns; Imager Pixel Spacing when there is no other */
    double thickness, spacing_between;
    double slope, intercept; /* modality transform; 1, 0 when there is none */
    char rescale_type[17];   /* "HU", "US", ... */
    uint32_t n_window;
    wd_dicom_window windows[WD_DICOM_WINDOWS_MAX];
    bool has_position, has_orientation, has_spacing, has_thickness, has_spacing_between, has_rescale;
} wd_dicom_frame;

/* One decoded frame. */
typedef struct wd_dicom_pixels {
    uint32_t frame; /* from 0 */
    uint32_t rows, cols, samples;
    /* [rows][cols][samples] the values in the file: sign-extended from bits_stored, colours interleaved and
     * upsampled, colour space as the file's. Unsigned 32-bit values keep their bits. NULL for float pixels. */
    int32_t *stored;
    /* [rows][cols] after the modality transform (rescale or LUT): Hounsfield units in CT. NULL for colour. */
    float *value;
    /* [rows][cols] 1 where Pixel Padding Value (or its range) says that nothing was measured; NULL for nowhere. */
    uint8_t *padding;
} wd_dicom_pixels;

typedef struct wd_dicom wd_dicom;

/* Where the bytes are: an open descriptor (not closed), or fd < 0 and memory. `what` names them in errors. */
typedef struct wd_dicom_source {
    const char *what;
    int fd;
    wd_span bytes;
} wd_dicom_source;

typedef struct wd_dicom_want {
    bool pixels; /* decode n_frame frames from first_frame; n_frame 0: all from there */
    uint32_t first_frame, n_frame;
    const atomic_bool *cancel; /* may be NULL */
} wd_dicom_want;

/* Reads one object. want NULL: the header only.
 *
 *   WD_E_UNSUPPORTED  not a DICOM object; or pixels in a transfer syntax or shape that Ward does not read
 *   WD_E_CORRUPT      broken structure; pixels that do not fill their frames
 *   WD_E_INVALID      a value that makes no sense (Rows 0, no such frame, pixels asked of an object without)
 *   WD_E_LIMIT        nesting, sizes, time, memory
 *
 * Needs wd_sandbox_start(). Thread-safe. Close with wd_dicom_close. */
WD_MUST_CHECK wd_status wd_dicom_read(const wd_dicom_source *src, const wd_dicom_want *want, wd_dicom **out,
                                      wd_err *err);
WD_MUST_CHECK wd_status wd_dicom_read_file(const char *path, const wd_dicom_want *want, wd_dicom **out,
                                           wd_err *err);
void wd_dicom_close(wd_dicom *d); /* accepts NULL */

const wd_dicom_info *wd_dicom_info_of(const wd_dicom *d);
const wd_dicom_frame *wd_dicom_frame_at(const wd_dicom *d, uint32_t frame); /* NULL past n_frame */
uint32_t wd_dicom_n_voi_lut(const wd_dicom *d);                             /* VOI LUTs of the first frame */

/* The frames that were decoded, in order. */
size_t wd_dicom_n_pixels(const wd_dicom *d);
const wd_dicom_pixels *wd_dicom_pixels_at(const wd_dicom *d, size_t i); /* NULL past the last */

/* Draws the i-th decoded frame. choice NULL: as the file says (its first VOI LUT or window, else the range of
 * its values). Colour and palette images ignore it. Padding is black. *used (may be NULL) tells the window taken;
 * width 0 when a LUT or no window was. *out is released with wd_image_free. */
WD_MUST_CHECK wd_status wd_dicom_render(const wd_dicom *d, size_t i, const wd_window_choice *choice,
                                        wd_image *out, wd_window *used, wd_err *err);

#endif
