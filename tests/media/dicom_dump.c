/* What our DICOM reader makes of a file, for comparison with another reader (tools/compare/dicom.py): one line of
 * JSON with the number of bytes that follow, then these: the values of all frames.
 *
 *   dicom_dump s FILE      stored values, little-endian int32 (or float32)
 *   dicom_dump v FILE      values after the modality transform, float32
 *   dicom_dump r FILE      what is drawn, 8-bit RGB
 *   dicom_dump t FILE      the Patient's Name as UTF-8, to compare character sets (the program itself never shows it)
 *   dicom_dump             each line of standard input, "KIND FILE", in turn
 */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "media/dicom.h"
#include "media/dicom_charset.h"
#include "media/dicom_parse.h"
#include "media/sandbox.h"

static void put_error(const wd_err *err)
{
    wd_buf line = { 0 };
    wd_buf_str(&line, "{\"error\": ");
    wd_buf_json(&line, wd_span_str(err->text));
    printf("%.*s, \"code\": \"%s\", \"bytes\": 0}\n", (int)line.n, (const char *)line.p,
           wd_status_name(err->code));
    wd_buf_free(&line);
}

static int show_name(const char *path)
{
    wd_err err;
    wd_mapped m;
    wd_dcm d;
    wd_dcm_elem set = { 0 }, name = { 0 };
    wd_buf text = { 0 };

    if (wd_file_map(path, &m, &err)) {
        put_error(&err);
        return 1;
    }
    if (wd_dcm_open(wd_span_of(m.p, m.n), &d, &err)) {
        put_error(&err);
        wd_file_unmap(&m);
        return 1;
    }
    (void)wd_dcm_find(&d.root, WD_TAG(8, 5), &set);
    (void)wd_dcm_find(&d.root, WD_TAG(0x10, 0x10), &name);
    wd_charset_to_utf8(set.value, name.value, true, &text);
    printf("{\"bytes\": %zu}\n", text.n);
    fwrite(text.p, 1, text.n, stdout);
    wd_buf_free(&text);
    wd_dcm_close(&d);
    wd_file_unmap(&m);
    return 0;
}

/* Appends one frame's values. */
static wd_status put_frame(const wd_dicom *d, size_t k, char kind, wd_buf *out, wd_err *err)
{
    const wd_dicom_pixels *p = wd_dicom_pixels_at(d, k);
    const size_t n = (size_t)p->rows * p->cols;
    wd_image im;

    if (kind == 'r') {
        WD_TRY(wd_dicom_render(d, k, NULL, &im, NULL, err));
        wd_buf_put(out, im.rgb, 3 * n);
        wd_image_free(&im);
    } else if (kind == 'v' || !p->stored) {
        wd_buf_put(out, p->value, 4 * n);
    } else {
        wd_buf_put(out, p->stored, 4 * n * p->samples);
    }
    return wd_buf_check(out, "the frames", err);
}

static int show_pixels(const char *path, char kind)
{
    const wd_dicom_want want = { .pixels = true };
    wd_err err;
    wd_dicom *d = NULL;
    wd_buf out = { .max = (size_t)1 << 32 };

    wd_status st = wd_dicom_read_file(path, &want, &d, &err);
    for (size_t k = 0; !st && k < wd_dicom_n_pixels(d); k++)
        st = put_frame(d, k, kind, &out, &err);
    if (st) {
        put_error(&err);
    } else {
        const wd_dicom_info *i = wd_dicom_info_of(d);
        printf(
            "{\"rows\": %u, \"cols\": %u, \"samples\": %u, \"frames\": %zu, \"signed\": %d, \"float\": %d, "
            "\"slope\": %.17g, \"intercept\": %.17g, \"bytes\": %zu}\n",
            i->rows, i->cols, i->samples, wd_dicom_n_pixels(d), i->is_signed, i->is_float,
            wd_dicom_frame_at(d, 0)->slope, wd_dicom_frame_at(d, 0)->intercept, out.n);
        fwrite(out.p, 1, out.n, stdout);
    }
    wd_buf_free(&out);
    wd_dicom_close(d);
    return st != WD_OK;
}

static int show(const char *kind, const char *path)
{
    if (strlen(kind) != 1 || !strchr("svrt", kind[0])) {
        fprintf(stderr, "usage: dicom_dump [s|v|r|t FILE]\n");
        return 2;
    }
    return kind[0] == 't' ? show_name(path) : show_pixels(path, kind[0]);
}

int main(int argc, char **argv)
{
    wd_err err;
    char line[4096];
    int bad = 0;

    if (wd_sandbox_start(&err)) {
        fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    if (argc > 1) {
        bad = show(argv[1], argc == 3 ? argv[2] : "");
    } else {
        while (bad != 2 && fgets(line, sizeof line, stdin)) {
            line[strcspn(line, "\n")] = '\0';
            char *path = strchr(line, ' ');
            if (path)
                *path++ = '\0';
            bad = show(line, path ? path : "");
            fflush(stdout);
        }
        bad = bad == 2 ? 2 : 0; /* a file that cannot be read is an answer */
    }
    wd_sandbox_stop();
    return bad;
}
