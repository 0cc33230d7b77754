/* The structure of a DICOM file: data elements, sequences, fragments (PS3.5 sections 7 and 8, PS3.10 section 7).
 * Inside the worker. Nothing is copied: values are views of the input (or of its inflated form).
 *
 * What real files get wrong and is read all the same, as pydicom reads it: no preamble, no meta header, an implicit
 * dataset under an explicit transfer syntax and the reverse, a missing transfer syntax.
 */
#ifndef WD_MEDIA_DICOM_PARSE_H
#define WD_MEDIA_DICOM_PARSE_H

#include "base/buf.h"

#define WD_TAG(group, element) (((uint32_t)(group) << 16) | (uint32_t)(element))
#define WD_TAG_PIXEL_DATA WD_TAG(0x7FE0, 0x0010)

enum {
    WD_DCM_DEPTH_MAX = 64,        /* items in items */
    WD_DCM_ELEMENTS_MAX = 100000, /* of the dataset itself */
    WD_DCM_INFLATED_MAX = 1 << 30
};

typedef struct wd_dcm_elem {
    uint32_t tag;
    char vr[3]; /* "" when implicit */
    bool
        undefined; /* length: value then ends before the delimiter, or at the end of the file for Pixel Data */
    bool explicit_vr, big; /* how its inside is encoded */
    wd_span value;
} wd_dcm_elem;

/* A dataset or an item of a sequence. */
typedef struct wd_dcm_item {
    wd_span bytes;
    bool explicit_vr, big;
    const wd_dcm_elem *index; /* of the dataset; NULL: the bytes are searched */
    size_t n_index;
} wd_dcm_item;

typedef struct wd_dcm {
    char transfer_syntax[65]; /* as the meta header says; "" without one */
    bool encapsulated;        /* Pixel Data is a sequence of fragments */
    wd_dcm_item root;         /* everything up to Pixel Data */
    bool has_pixels;
    wd_buf index, inflated;
} wd_dcm;

/* WD_E_UNSUPPORTED "not a DICOM file"; WD_E_CORRUPT, WD_E_LIMIT, WD_E_NOMEM. bytes must outlive d. */
WD_MUST_CHECK wd_status wd_dcm_open(wd_span bytes, wd_dcm *d, wd_err *err);
void wd_dcm_close(wd_dcm *d); /* accepts {0} */

bool wd_dcm_find(const wd_dcm_item *it, uint32_t tag, wd_dcm_elem *out);

/* Walks a sequence: *at starts at 0; false at its end. Also the fragments of encapsulated Pixel Data. */
bool wd_dcm_next_item(const wd_dcm_elem *seq, size_t *at, wd_dcm_item *out);
/* The i-th item of the sequence at tag. */
bool wd_dcm_sub(const wd_dcm_item *it, uint32_t tag, uint32_t i, wd_dcm_item *out);

/* The value without padding at both ends; cut to size - 1 bytes. False when absent or empty. */
bool wd_dcm_code(const wd_dcm_item *it, uint32_t tag, char *out, size_t size);
/* The pos-th number, from text (DS, IS) or binary. vr says how to read an element whose VR is implicit: "DS", "US",
 * "SS", "UL", "FD", ... False when absent, not a number or not finite. */
bool wd_dcm_number(const wd_dcm_item *it, uint32_t tag, const char *vr, uint32_t pos, double *out);
uint32_t wd_dcm_n_number(const wd_dcm_item *it, uint32_t tag); /* of text values: backslashes + 1 */

uint16_t wd_dcm_u16(const uint8_t *p, bool big);
uint32_t wd_dcm_u32(const uint8_t *p, bool big);

#endif
