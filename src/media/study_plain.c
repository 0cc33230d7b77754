/* A series of plain pictures: what a study is when nothing in it is DICOM. */
#include <stdio.h>
#include <stdlib.h>

#include "media/dicom_image.h"
#include "media/image.h"
#include "media/study_inner.h"

wd_status wd_study__keep_plain(wd_study *s, const wd_study__source *src, wd_span head, bool *kept,
                               wd_err *err)
{
    *kept = wd_image_kind_of(head) != WD_IMAGE_KIND_UNKNOWN;
    if (*kept)
        wd_buf_put(&s->plain, src, sizeof *src);
    return wd_buf_check(&s->plain, s->what, err);
}

static wd_status decode(const wd_study *s, const wd_study__source *src, wd_image *out, wd_err *err)
{
    const wd_image_opts opts = { .cancel = s->opts.cancel };
    wd_buf bytes = { 0 };

    if (src->zip < 0)
        return wd_image_open(src->name, &opts, out, err);
    wd_status st = wd_study__unzip(s, src, &bytes, err);
    if (st == WD_OK)
        st = wd_image_decode(src->name, wd_buf_view(&bytes), &opts, out, err);
    wd_buf_wipe(&bytes);
    wd_buf_free(&bytes);
    return st;
}

static int by_name(const void *pa, const void *pb)
{
    const wd_study__source *a = pa, *b = pb;
    const int c = strverscmp(a->name, b->name); /* 2 before 10 */
    return c ? c : (a->entry > b->entry) - (a->entry < b->entry);
}

/* One picture as a slice; a damaged one is counted. */
static wd_status add_picture(wd_study *s, const wd_study__source *src, wd_study__series *one, wd_err *err)
{
    wd_image im = { 0 };
    wd_err why = { 0 };
    const wd_status st = decode(s, src, &im, &why);

    s->counts.n_not_dicom--;
    if (st == WD_E_CANCELLED || st == WD_E_NOMEM || st == WD_E_INTERNAL || st == WD_E_IO) {
        if (err)
            *err = why;
        return st;
    }
    if (st) {
        if (s->counts.n_broken++ == 0)
            memcpy(s->counts.first_broken, why.text, sizeof s->counts.first_broken);
        return WD_OK;
    }
    const wd_study__slice sl = { .src = *src,
                                 .order = s->counts.n_slice,
                                 .pub = { .source = src->name,
                                          .instance_number = (int32_t)s->counts.n_slice + 1,
                                          .n_frame = 1,
                                          .rows = im.height,
                                          .cols = im.width } };
    wd_image_free(&im);
    wd_buf_put(&one->slices, &sl, sizeof sl);
    s->counts.n_image++;
    s->counts.n_slice++;
    return wd_buf_check(&one->slices, s->what, err);
}

wd_status wd_study__use_plain(wd_study *s, wd_err *err)
{
    wd_study__source *v = (wd_study__source *)(void *)s->plain.p;
    const size_t n = s->plain.n / sizeof *v;

    if (n == 0 || s->counts.n_not_image > 0) /* a study of reports with a logo is no series of pictures */
        return WD_OK;
    s->series = WD_ALLOC(wd_study__series);
    if (!s->series)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for its series", s->what);
    s->n_series = 1;
    s->series->pub = (wd_series){ .number = INT32_MIN, .is_plain = true, .is_colour = true };
    qsort(v, n, sizeof *v, by_name);
    for (size_t i = 0; i < n; i++)
        WD_TRY(add_picture(s, &v[i], s->series, err));
    if (s->counts.n_slice == 0) {
        wd_buf_free(&s->series->slices);
        s->n_series = 0;
    }
    return WD_OK;
}

/* The picture as an RGB object with one frame. */
static wd_status wrap(const wd_study__slice *sl, const wd_image *im, wd_dicom *d, wd_err *err)
{
    const size_t n = (size_t)im->width * im->height * 3;

    d->info = (wd_dicom_info){ .has_pixels = true,
                               .rows = im->height,
                               .cols = im->width,
                               .n_frame = 1,
                               .samples = 3,
                               .bits_allocated = 8,
                               .bits_stored = 8,
                               .photometric = WD_PHOTOMETRIC_RGB,
                               .photometric_name = "RGB",
                               .series_number = INT32_MIN,
                               .acquisition_number = INT32_MIN,
                               .instance_number = sl->pub.instance_number };
    d->more.colour = WD_PHOTOMETRIC_RGB;
    d->frames = WD_ALLOC(wd_dicom_frame);
    d->pixels = WD_ALLOC(wd_dicom_pixels);
    if (!d->frames || !d->pixels)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory", sl->src.name);
    d->frames->slope = 1;
    d->n_pixels = 1;
    *d->pixels = (wd_dicom_pixels){ .rows = im->height, .cols = im->width, .samples = 3 };
    d->pixels->stored = WD_ALLOC_N(int32_t, n);
    if (!d->pixels->stored)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for %u x %u pixels", sl->src.name, (unsigned)im->width,
                       (unsigned)im->height);
    for (size_t i = 0; i < n; i++)
        d->pixels->stored[i] = im->rgb[i];
    return WD_OK;
}

wd_status wd_study__load_plain(const wd_study *s, const wd_study__slice *sl, wd_dicom **out, wd_err *err)
{
    wd_image im = { 0 };
    wd_dicom *d;
    wd_status st;

    WD_TRY(decode(s, &sl->src, &im, err));
    d = WD_ALLOC(wd_dicom);
    st = d ? wrap(sl, &im, d, err) : WD_FAIL(err, WD_E_NOMEM, "%s: no memory", sl->src.name);
    if (st == WD_OK && (im.width != sl->pub.cols || im.height != sl->pub.rows))
        st = WD_FAIL(err, WD_E_CORRUPT, "%s: it is another picture than when the study was opened",
                     sl->src.name);
    wd_image_free(&im);
    if (st)
        wd_dicom_close(d);
    else
        *out = d;
    return st;
}
