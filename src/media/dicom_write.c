/* See dicom_write.h. Elements are put in the order of their tags, as PS3.5 section 7.1 asks; what the CT Image IOD
 * (PS3.3 A.3) requires but nobody knows of a synthetic image is there and empty. */
#include "media/dicom_write.h"

#include <math.h>
#include <stdio.h>

#define TAG(group, element) (((uint32_t)(group) << 16) | (uint32_t)(element))
#define CT_IMAGE_STORAGE "1.2.840.10008.5.1.4.1.1.2"
#define EXPLICIT_LITTLE_ENDIAN "1.2.840.10008.1.2.1"
#define OUR_IMPLEMENTATION "2.25.319588022490092265891882928630296428881"

enum { INTERCEPT = -1024, NUMBER_MAX = 16 /* bytes of a DS */ };

static void put16(wd_buf *b, uint32_t v)
{
    const uint8_t p[2] = { (uint8_t)v, (uint8_t)(v >> 8) };
    wd_buf_put(b, p, sizeof p);
}

static void put32(wd_buf *b, uint32_t v)
{
    put16(b, v);
    put16(b, v >> 16);
}

static void put_head(wd_buf *b, uint32_t tag, const char *vr, size_t n)
{
    put16(b, tag >> 16);
    put16(b, tag);
    wd_buf_put(b, vr, 2);
    if (vr[0] == 'O') {
        put16(b, 0);
        put32(b, (uint32_t)n);
    } else {
        put16(b, (uint32_t)n);
    }
}

/* Text, padded to an even length: UIDs with a zero byte, others with a space. NULL is an empty value. */
static void put_text(wd_buf *b, uint32_t tag, const char *vr, const char *s)
{
    const size_t n = s ? strlen(s) : 0;
    put_head(b, tag, vr, n + n % 2);
    wd_buf_put(b, s, n);
    if (n % 2)
        wd_buf_char(b, strcmp(vr, "UI") == 0 ? '\0' : ' ');
}

static void put_optional(wd_buf *b, uint32_t tag, const char *vr, const char *s)
{
    if (s && *s)
        put_text(b, tag, vr, s);
}

static void put_us(wd_buf *b, uint32_t tag, uint32_t v)
{
    put_head(b, tag, "US", 2);
    put16(b, v);
}

static void put_int(wd_buf *b, uint32_t tag, int32_t v)
{
    char text[16];
    snprintf(text, sizeof text, "%d", (int)v);
    put_text(b, tag, "IS", text);
}

/* Numbers as a DS: the shortest text of at most 16 bytes that keeps most of the value. */
static void put_numbers(wd_buf *b, uint32_t tag, const double *v, size_t n)
{
    char text[6 * (NUMBER_MAX + 1) + 1], one[40];
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        int digits = 12;
        do
            snprintf(one, sizeof one, "%.*g", digits, v[i] == 0 ? 0.0 : v[i]);
        while (strlen(one) > NUMBER_MAX && --digits > 0);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", i ? "\\" : "", one);
    }
    put_text(b, tag, "DS", text);
}

static wd_status check_uid(const char *name, const char *uid, wd_err *err)
{
    if (!uid || !*uid || strlen(uid) > 64 || strspn(uid, "0123456789.") != strlen(uid))
        return WD_FAIL(err, WD_E_INVALID, "%s: a UID of digits and dots, at most 64, was expected", name);
    return WD_OK;
}

static wd_status check(const wd_dicom_ct *ct, wd_err *err)
{
    WD_TRY(check_uid("Study Instance UID", ct->study_uid, err));
    WD_TRY(check_uid("Series Instance UID", ct->series_uid, err));
    WD_TRY(check_uid("SOP Instance UID", ct->sop_instance_uid, err));
    WD_TRY(check_uid("Frame of Reference UID", ct->frame_of_reference_uid, err));
    if (!ct->patient_name || !ct->patient_id || !ct->date || !ct->time || !ct->hu)
        return WD_FAIL(err, WD_E_INVALID, "a CT image needs a patient, a date, a time and pixels");
    if (ct->rows < 1 || ct->rows > 65535 || ct->cols < 1 || ct->cols > 65535)
        return WD_FAIL(err, WD_E_INVALID, "a CT image of %u x %u pixels: expected 1 to 65535",
                       (unsigned)ct->cols, (unsigned)ct->rows);
    if ((uint64_t)ct->rows * ct->cols > 0x7FFFFFF0u)
        return WD_FAIL(err, WD_E_LIMIT, "a CT image of %u x %u pixels is too large", (unsigned)ct->cols,
                       (unsigned)ct->rows);
    if (!(ct->spacing[0] > 0 && ct->spacing[1] > 0 && ct->thickness > 0))
        return WD_FAIL(err, WD_E_INVALID, "a CT image needs a pixel spacing and a thickness above 0");
    for (int i = 0; i < 6; i++)
        if (!isfinite(ct->orientation[i]) || !isfinite(ct->position[i % 3]))
            return WD_FAIL(err, WD_E_INVALID, "a CT image needs a finite position and orientation");
    return WD_OK;
}

static void put_meta(const wd_dicom_ct *ct, wd_buf *out)
{
    static const uint8_t preamble[128], version[2] = { 0, 1 };
    wd_buf meta = { 0 };

    put_head(&meta, TAG(2, 1), "OB", sizeof version);
    wd_buf_put(&meta, version, sizeof version);
    put_text(&meta, TAG(2, 2), "UI", CT_IMAGE_STORAGE);
    put_text(&meta, TAG(2, 3), "UI", ct->sop_instance_uid);
    put_text(&meta, TAG(2, 0x10), "UI", EXPLICIT_LITTLE_ENDIAN);
    put_text(&meta, TAG(2, 0x12), "UI", OUR_IMPLEMENTATION);
    put_text(&meta, TAG(2, 0x13), "SH", "WARD");
    wd_buf_put(out, preamble, sizeof preamble);
    wd_buf_put(out, "DICM", 4);
    put_head(out, TAG(2, 0), "UL", 4);
    put32(out, (uint32_t)meta.n);
    wd_buf_put(out, meta.p, meta.n);
    out->failed |= meta.failed;
    wd_buf_free(&meta);
}

static void put_patient_and_study(const wd_dicom_ct *ct, wd_buf *b)
{
    put_text(b, TAG(0x08, 0x05), "CS", "ISO_IR 192");
    put_text(b, TAG(0x08, 0x08), "CS", "ORIGINAL\\PRIMARY\\AXIAL");
    put_text(b, TAG(0x08, 0x16), "UI", CT_IMAGE_STORAGE);
    put_text(b, TAG(0x08, 0x18), "UI", ct->sop_instance_uid);
    put_text(b, TAG(0x08, 0x20), "DA", ct->date);
    put_text(b, TAG(0x08, 0x23), "DA", ct->date);
    put_text(b, TAG(0x08, 0x30), "TM", ct->time);
    put_text(b, TAG(0x08, 0x33), "TM", ct->time);
    put_text(b, TAG(0x08, 0x50), "SH", NULL);
    put_text(b, TAG(0x08, 0x60), "CS", "CT");
    put_text(b, TAG(0x08, 0x70), "LO", "Ward (synthetic)");
    put_text(b, TAG(0x08, 0x90), "PN", NULL);
    put_optional(b, TAG(0x08, 0x1030), "LO", ct->study_description);
    put_optional(b, TAG(0x08, 0x103E), "LO", ct->series_description);
    put_text(b, TAG(0x10, 0x10), "PN", ct->patient_name);
    put_text(b, TAG(0x10, 0x20), "LO", ct->patient_id);
    put_text(b, TAG(0x10, 0x30), "DA", NULL);
    put_text(b, TAG(0x10, 0x40), "CS", NULL);
    put_optional(b, TAG(0x18, 0x15), "CS", ct->body_part);
    put_numbers(b, TAG(0x18, 0x50), &ct->thickness, 1);
    put_text(b, TAG(0x18, 0x60), "DS", NULL);
    put_text(b, TAG(0x18, 0x5100), "CS", "HFS");
    put_text(b, TAG(0x20, 0x0D), "UI", ct->study_uid);
    put_text(b, TAG(0x20, 0x0E), "UI", ct->series_uid);
    put_text(b, TAG(0x20, 0x10), "SH", "1");
    put_int(b, TAG(0x20, 0x11), ct->series_number);
    put_text(b, TAG(0x20, 0x12), "IS", NULL);
    put_int(b, TAG(0x20, 0x13), ct->instance_number);
    put_numbers(b, TAG(0x20, 0x32), ct->position, 3);
    put_numbers(b, TAG(0x20, 0x37), ct->orientation, 6);
    put_text(b, TAG(0x20, 0x52), "UI", ct->frame_of_reference_uid);
    put_text(b, TAG(0x20, 0x1040), "LO", NULL);
}

static void put_pixels(const wd_dicom_ct *ct, wd_buf *b)
{
    const size_t n = (size_t)ct->rows * ct->cols;
    const double intercept = INTERCEPT, slope = 1;

    put_us(b, TAG(0x28, 0x02), 1);
    put_text(b, TAG(0x28, 0x04), "CS", "MONOCHROME2");
    put_us(b, TAG(0x28, 0x10), ct->rows);
    put_us(b, TAG(0x28, 0x11), ct->cols);
    put_numbers(b, TAG(0x28, 0x30), ct->spacing, 2);
    put_us(b, TAG(0x28, 0x100), 16);
    put_us(b, TAG(0x28, 0x101), 16);
    put_us(b, TAG(0x28, 0x102), 15);
    put_us(b, TAG(0x28, 0x103), 0);
    if (ct->window_width > 0) {
        put_numbers(b, TAG(0x28, 0x1050), &ct->window_center, 1);
        put_numbers(b, TAG(0x28, 0x1051), &ct->window_width, 1);
    }
    put_numbers(b, TAG(0x28, 0x1052), &intercept, 1);
    put_numbers(b, TAG(0x28, 0x1053), &slope, 1);
    put_text(b, TAG(0x28, 0x1054), "LO", "HU");
    put_head(b, TAG(0x7FE0, 0x10), "OW", n * 2);
    uint8_t *p = wd_buf_grow(b, n * 2);
    for (size_t i = 0; p && i < n; i++) {
        const uint32_t v = (uint32_t)(ct->hu[i] - INTERCEPT);
        p[2 * i] = (uint8_t)v;
        p[2 * i + 1] = (uint8_t)(v >> 8);
    }
}

wd_status wd_dicom_write_ct(const wd_dicom_ct *ct, wd_buf *out, wd_err *err)
{
    WD_TRY(check(ct, err));
    for (size_t i = 0; i < (size_t)ct->rows * ct->cols; i++)
        if (ct->hu[i] < INTERCEPT)
            return WD_FAIL(err, WD_E_INVALID, "%d HU cannot be written, expected %d or more", ct->hu[i],
                           INTERCEPT);
    put_meta(ct, out);
    put_patient_and_study(ct, out);
    put_pixels(ct, out);
    return wd_buf_check(out, "CT image", err);
}
