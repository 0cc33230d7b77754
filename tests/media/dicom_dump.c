/* What our DICOM reader makes of a file, for comparison with another reader (tools/compare/dicom.py): one line of
 * JSON, then the stored values of all frames as little-endian int32 (or float32).
 *
 *   dicom_dump FILE        stored values of all frames
 *   dicom_dump -v FILE     values after the modality transform, float32
 *   dicom_dump -r FILE     what is drawn, 8-bit RGB
 *   dicom_dump -t FILE     the Patient's Name as UTF-8, to compare character sets (the program itself never shows it)
 */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "media/dicom.h"
#include "media/dicom_charset.h"
#include "media/dicom_parse.h"
#include "media/sandbox.h"

static int show_name(const char *path)
{
    wd_err err;
    wd_mapped m;
    wd_dcm d;
    wd_dcm_elem set = { 0 }, name = { 0 };
    wd_buf text = { 0 };

    if (wd_file_map(path, &m, &err) || wd_dcm_open(wd_span_of(m.p, m.n), &d, &err)) {
        printf("%s\n", err.text);
        return 1;
    }
    (void)wd_dcm_find(&d.root, WD_TAG(8, 5), &set);
    (void)wd_dcm_find(&d.root, WD_TAG(0x10, 0x10), &name);
    wd_charset_to_utf8(set.value, name.value, true, &text);
    fwrite(text.p, 1, text.n, stdout);
    wd_buf_free(&text);
    wd_dcm_close(&d);
    wd_file_unmap(&m);
    return 0;
}

static int put_frame(const wd_dicom *d, size_t k, char kind)
{
    const wd_dicom_pixels *p = wd_dicom_pixels_at(d, k);
    const size_t n = (size_t)p->rows * p->cols;
    wd_image im;
    wd_err err;

    if (kind == 'r') {
        if (wd_dicom_render(d, k, NULL, &im, NULL, &err))
            return 1;
        fwrite(im.rgb, 3, n, stdout);
        wd_image_free(&im);
    } else if (kind == 'v' || !p->stored) {
        fwrite(p->value, 4, n, stdout);
    } else {
        fwrite(p->stored, 4, n * p->samples, stdout);
    }
    return 0;
}

static int show_pixels(const char *path, char kind)
{
    int bad = 0;
    const wd_dicom_want want = { .pixels = true };
    wd_err err;
    wd_dicom *d = NULL;
    wd_buf line = { 0 };

    if (wd_sandbox_start(&err) || wd_dicom_read_file(path, &want, &d, &err)) {
        wd_buf_str(&line, "{\"error\": ");
        wd_buf_json(&line, wd_span_str(err.text));
        printf("%s, \"code\": \"%s\"}\n", (const char *)line.p, wd_status_name(err.code));
        wd_buf_free(&line);
        return 1;
    }
    const wd_dicom_info *i = wd_dicom_info_of(d);
    printf("{\"rows\": %u, \"cols\": %u, \"samples\": %u, \"frames\": %zu, \"signed\": %d, \"float\": %d, "
           "\"slope\": %.17g, \"intercept\": %.17g}\n",
           i->rows, i->cols, i->samples, wd_dicom_n_pixels(d), i->is_signed, i->is_float,
           wd_dicom_frame_at(d, 0)->slope, wd_dicom_frame_at(d, 0)->intercept);
    for (size_t k = 0; k < wd_dicom_n_pixels(d) && !bad; k++)
        bad = put_frame(d, k, kind);
    wd_dicom_close(d);
    wd_sandbox_stop();
    return bad;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "-t") == 0)
        return show_name(argv[2]);
    if (argc == 3 && (strcmp(argv[1], "-v") == 0 || strcmp(argv[1], "-r") == 0))
        return show_pixels(argv[2], argv[1][1]);
    if (argc == 2)
        return show_pixels(argv[1], 's');
    fprintf(stderr, "usage: dicom_dump [-t | -v | -r] FILE\n");
    return 2;
}
