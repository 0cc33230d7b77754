/* Kinds of files by their first bytes. */
#include "support/test.h"

#include <stdio.h>

#include "base/file.h"
#include "media/kind.h"

static void kind_is_told_by_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        wd_media_kind kind;
    } all[] = {
        { "", 0, WD_MEDIA_UNKNOWN },
        { "\x89PNG\r\n\x1a\n", 8, WD_MEDIA_IMAGE },
        { "RIFF\0\0\0\0WEBP", 12, WD_MEDIA_IMAGE },
        { "RIFF\0\0\0\0AVI ", 12, WD_MEDIA_VIDEO },
        { "RIFF\0\0\0\0WAVE", 12, WD_MEDIA_UNKNOWN },
        { "\0\0\0\x18"
          "ftypmp42",
          12, WD_MEDIA_VIDEO },
        { "\0\0\0\x18"
          "fty",
          7, WD_MEDIA_UNKNOWN },
        { "\x1a\x45\xdf\xa3", 4, WD_MEDIA_VIDEO },
        { "\0\0\1\xba", 4, WD_MEDIA_VIDEO },
        { "PK\3\4", 4, WD_MEDIA_ZIP },
        { "%PDF-1.7", 8, WD_MEDIA_UNKNOWN },
        { "G", 1, WD_MEDIA_UNKNOWN },
    };
    for (size_t i = 0; i < WD_COUNT(all); i++)
        assert_int_equal(wd_media_kind_of(wd_span_of(all[i].bytes, all[i].n)), all[i].kind);
}

/* DICOM objects of both sorts: with an empty preamble, and one whose preamble is that of a TIFF file. */
static void dicom_is_told_behind_its_preamble(void **state)
{
    (void)state;
    uint8_t head[132] = { 0 };
    char path[512];
    wd_buf file = { 0 };
    memcpy(head + 128, "DICM", 4);
    assert_int_equal(wd_media_kind_of(wd_span_of(head, 132)), WD_MEDIA_DICOM);
    assert_int_equal(wd_media_kind_of(wd_span_of(head, 131)), WD_MEDIA_UNKNOWN);
    memcpy(head, "II*\0", 4);
    assert_int_equal(wd_media_kind_of(wd_span_of(head, 132)), WD_MEDIA_DICOM);
    assert_int_equal(wd_media_kind_of(wd_span_of(head, 131)), WD_MEDIA_IMAGE);
    snprintf(path, sizeof path, "%s/golden/dicom/plain.dcm", test_data_dir());
    assert_ok(wd_file_read(path, 1 << 24, &file, &err));
    assert_int_equal(wd_media_kind_of(wd_buf_view(&file)), WD_MEDIA_DICOM);
    assert_string_equal(wd_media_kind_name(WD_MEDIA_DICOM), "dicom");
    wd_buf_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kind_is_told_by_bytes),
        cmocka_unit_test(dicom_is_told_behind_its_preamble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
