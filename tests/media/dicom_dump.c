/* What our DICOM reader makes of a file, for comparison with another reader (tools/compare/dicom.py): one line of
 * JSON, then the stored values of all frames as little-endian int32 (or float32).
 *
 *   dicom_dump FILE        pixels of all frames
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

static int show_pixels(const char *path)
{
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
    for (size_t k = 0; k < wd_dicom_n_pixels(d); k++) {
        const wd_dicom_pixels *p = wd_dicom_pixels_at(d, k);
        const void *v = p->stored ? (const void *)p->stored : (const void *)p->value;
        fwrite(v, 4, (size_t)p->rows * p->cols * p->samples, stdout);
    }
    wd_dicom_close(d);
    wd_sandbox_stop();
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "-t") == 0)
        return show_name(argv[2]);
    if (argc != 2) {
        fprintf(stderr, "usage: dicom_dump [-t] FILE\n");
        return 2;
    }
    return show_pixels(argv[1]);
}
