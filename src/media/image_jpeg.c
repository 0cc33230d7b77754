/* JPEG through libjpeg-turbo. The library leaves a failed call by longjmp alone: it is caught in two functions here,
 * which hold no resources of their own, and goes no further.
 */
#include <stdio.h> /* jpeglib.h wants FILE */

#include <jpeglib.h>
#include <jerror.h> /* its numbers depend on what jpeglib.h defines */
#include <setjmp.h>

#include "media/image_inner.h"

#define EXIF_HEAD "Exif\0" /* and the literal's own NUL */
#define MEMORY_MAX (1500L << 20)
/* A progressive picture has some ten scans; each one costs a pass over all coefficients. */
#define SCANS_MAX 500

typedef struct job {
    struct jpeg_decompress_struct c;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    char text[JMSG_LENGTH_MAX];
    wd_status code;
    uint8_t *rgb; /* [height][width][3], filled by decode */
    uint32_t orientation;
    uint8_t *line; /* [width][4] of a CMYK picture */
} job;

static void leave(j_common_ptr c)
{
    job *j = c->client_data;
    switch (c->err->msg_code) {
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_ARITH_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
        j->code = WD_E_UNSUPPORTED;
        break;
    case JERR_OUT_OF_MEMORY:
    case JERR_NO_BACKING_STORE:
        j->code = WD_E_NOMEM;
        break;
    case JERR_IMAGE_TOO_BIG:
        j->code = WD_E_LIMIT;
        break;
    default:
        j->code = WD_E_CORRUPT;
    }
    c->err->format_message(c, j->text);
    longjmp(j->escape, 1);
}

/* Warnings that mean missing or wrong pixels are failures; odd markers between them are not. */
static void warn(j_common_ptr c, int level)
{
    if (level >= 0)
        return;
    switch (c->err->msg_code) {
    case JWRN_ARITH_BAD_CODE:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
    case JWRN_NOT_SEQUENTIAL:
        leave(c);
    }
}

static void count_scans(j_common_ptr c)
{
    const struct jpeg_decompress_struct *d = (const struct jpeg_decompress_struct *)c;
    if (d->input_scan_number <= SCANS_MAX)
        return;
    job *j = c->client_data;
    j->code = WD_E_LIMIT;
    snprintf(j->text, sizeof j->text, "more than %d scans", SCANS_MAX);
    longjmp(j->escape, 1);
}

static void keep_quiet(j_common_ptr c)
{
    (void)c;
}

static uint32_t orientation_of(const struct jpeg_decompress_struct *c)
{
    for (const struct jpeg_marker_struct *m = c->marker_list; m; m = m->next) {
        const wd_span s = { m->data, m->data_length };
        if (m->marker == JPEG_APP0 + 1 && s.n > sizeof EXIF_HEAD &&
            memcmp(s.p, EXIF_HEAD, sizeof EXIF_HEAD) == 0)
            return wd_image__exif_orientation(s);
    }
    return 1;
}

/* False after a longjmp: j->code and j->text say why. */
static bool read_head(job *j, wd_span in)
{
    if (setjmp(j->escape))
        return false;
    jpeg_create_decompress(&j->c);
    j->c.client_data = j; /* cleared by create */
    j->c.mem->max_memory_to_use = MEMORY_MAX;
    j->progress.progress_monitor = count_scans;
    j->c.progress = &j->progress;
    jpeg_mem_src(&j->c, in.p, in.n);
    jpeg_save_markers(&j->c, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(&j->c, TRUE);
    j->orientation = orientation_of(&j->c);
    return true;
}

static bool decode(job *j)
{
    struct jpeg_decompress_struct *c = &j->c;
    const size_t width = c->image_width;

    if (setjmp(j->escape))
        return false;
    c->out_color_space = c->num_components == 1 ? JCS_GRAYSCALE : c->num_components == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_start_decompress(c);
    while (c->output_scanline < c->output_height) {
        uint8_t *row = j->rgb + c->output_scanline * width * 3;
        JSAMPROW target = c->num_components == 4 ? j->line : row;
        if (jpeg_read_scanlines(c, &target, 1) != 1)
            continue;
        if (c->num_components == 1) {
            for (size_t x = width; x-- > 0;)
                row[3 * x] = row[3 * x + 1] = row[3 * x + 2] = row[x];
        } else if (c->num_components == 4) { /* inverted, by Adobe's convention */
            for (size_t x = 0; x < width * 4; x++)
                j->line[x] = (uint8_t)(255 - j->line[x]);
            for (size_t x = 0; x < width; x++)
                wd_image__cmyk_to_rgb(j->line + 4 * x, row + 3 * x);
        }
    }
    jpeg_finish_decompress(c);
    return true;
}

wd_status wd_image__jpeg(wd_span in, wd_image__out *out, wd_err *err)
{
    wd_status st = WD_OK;
    wd_image im = { 0 };
    job *j = WD_ALLOC(job);

    if (!j)
        return WD_FAIL(err, WD_E_NOMEM, "JPEG: no memory");
    j->c.err = jpeg_std_error(&j->errors);
    j->c.client_data = j;
    j->errors.error_exit = leave;
    j->errors.emit_message = warn;
    j->errors.output_message = keep_quiet;
    if (!read_head(j, in))
        goto failed;
    st = wd_image__check_size(WD_IMAGE_KIND_JPEG, j->c.image_width, j->c.image_height, err);
    if (st)
        goto out;
    if (j->c.num_components != 1 && j->c.num_components != 3 && j->c.num_components != 4) {
        st = WD_FAIL(err, WD_E_UNSUPPORTED, "JPEG: %d colour components; 1, 3 or 4 are read",
                     j->c.num_components);
        goto out;
    }
    st = wd_image_init(&im, j->c.image_width, j->c.image_height, err);
    if (st)
        goto out;
    j->rgb = im.rgb;
    j->line = wd_calloc(im.width, 4);
    if (!j->line) {
        st = WD_FAIL(err, WD_E_NOMEM, "JPEG: no memory for a line of %u pixels", im.width);
        goto out;
    }
    if (!decode(j))
        goto failed;
    *out = (wd_image__out){ im, j->orientation };
    im = (wd_image){ 0 };
    goto out;
failed:
    st = WD_FAIL(err, j->code, "JPEG: %s", j->text);
out:
    jpeg_destroy_decompress(&j->c);
    wd_image_free(&im);
    wd_free(j->line);
    wd_free(j);
    return st;
}
