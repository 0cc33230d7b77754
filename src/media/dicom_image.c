/* From stored values to what they mean and to what is shown: the modality transform, padding, VOI, palettes and
 * colour (PS3.3 C.11.1, C.11.2, C.7.5.1.1.2, C.7.6.3.1.2). Plain arithmetic on arrays of known size. */
#include "media/dicom_image.h"

#include <math.h>

static const wd_dicom_lut *find_lut(const wd_dicom *d, wd_dicom__lut_kind kind, uint32_t nth)
{
    for (size_t i = 0; i < d->n_lut; i++)
        if (d->luts[i].head.kind == (uint32_t)kind && nth-- == 0)
            return &d->luts[i];
    return NULL;
}

/* Inputs outside the table take its first or last entry. */
static uint16_t look_up(const wd_dicom_lut *l, double x)
{
    const double at = floor(x) - l->head.first;
    if (!(at > 0))
        return l->v[0];
    return at >= l->head.n ? l->v[l->head.n - 1] : l->v[(uint32_t)at];
}

/* A stored value as a number: 32-bit unsigned ones keep their bits in int32_t. */
static double number_of(const wd_dicom *d, int32_t v)
{
    return d->more.is_signed ? (double)v : (double)(uint32_t)v;
}

/* ---- values ---- */

static wd_status mark_padding(const wd_dicom *d, wd_dicom_pixels *p, const char *what, wd_err *err)
{
    const size_t n = (size_t)p->rows * p->cols;
    size_t at = 0;

    if (!d->more.has_padding || !p->stored)
        return WD_OK;
    while (at < n && !(number_of(d, p->stored[at]) >= d->more.padding_lo &&
                       number_of(d, p->stored[at]) <= d->more.padding_hi))
        at++;
    if (at == n)
        return WD_OK;
    p->padding = wd_calloc(n, 1);
    if (!p->padding)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for its padding", what);
    for (; at < n; at++) {
        const double v = number_of(d, p->stored[at]);
        p->padding[at] = v >= d->more.padding_lo && v <= d->more.padding_hi;
    }
    return WD_OK;
}

static wd_status to_values(const wd_dicom *d, wd_dicom_pixels *p, const char *what, wd_err *err)
{
    const size_t n = (size_t)p->rows * p->cols;
    const wd_dicom_frame *f = &d->frames[p->frame];
    const wd_dicom_lut *lut = find_lut(d, WD_DICOM__LUT_MODALITY, 0);

    if (p->samples != 1 || d->more.colour == WD_PHOTOMETRIC_PALETTE)
        return WD_OK;
    if (!p->value) {
        p->value = wd_realloc(NULL, n, sizeof *p->value);
        if (!p->value)
            return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for its values", what);
        for (size_t i = 0; i < n; i++) {
            const double x = number_of(d, p->stored[i]);
            p->value[i] = (float)(lut ? look_up(lut, x) : x * f->slope + f->intercept);
        }
    } else if (f->has_rescale) {
        for (size_t i = 0; i < n; i++)
            p->value[i] = (float)(p->value[i] * f->slope + f->intercept);
    }
    return mark_padding(d, p, what, err);
}

wd_status wd_dicom__to_values(wd_dicom *d, const char *what, wd_err *err)
{
    for (size_t i = 0; i < d->n_pixels; i++)
        WD_TRY(to_values(d, &d->pixels[i], what, err));
    return WD_OK;
}

/* ---- grey ---- */

static wd_window range_of(const wd_dicom_pixels *p)
{
    double lo = INFINITY, hi = -INFINITY;
    const size_t n = (size_t)p->rows * p->cols;

    for (size_t i = 0; i < n; i++) {
        if ((p->padding && p->padding[i]) || !isfinite(p->value[i]))
            continue;
        lo = WD_MIN(lo, (double)p->value[i]);
        hi = WD_MAX(hi, (double)p->value[i]);
    }
    return lo <= hi ? wd_window_of_range(lo, hi) : wd_window_of_range(0, 1);
}

static void apply_voi_lut(const wd_dicom_lut *l, const wd_dicom_pixels *p, bool inverted, uint8_t *out)
{
    const size_t n = (size_t)p->rows * p->cols;
    const double top = (double)((1u << l->head.bits) - 1);

    for (size_t i = 0; i < n; i++) {
        const double y = isnan(p->value[i]) ? 0 : look_up(l, p->value[i]) / top;
        const uint8_t g = (uint8_t)(WD_MIN(y, 1.0) * 255 + 0.5);
        out[i] = inverted ? (uint8_t)(255 - g) : g;
    }
}

/* The view that choice asks for: a LUT, or a window in *w. The LUTs come first in the list of a file's views. */
static wd_status choose(const wd_dicom *d, const wd_dicom_pixels *p, const wd_window_choice *choice,
                        const wd_dicom_lut **lut, wd_window *w, wd_err *err)
{
    const wd_dicom_frame *f = &d->frames[p->frame];
    const uint32_t n_lut = wd_dicom_n_voi_lut(d), n = n_lut + f->n_window;

    *lut = NULL;
    if (choice->kind == WD_WINDOW_BY_NUMBER) {
        *w = choice->w;
        return WD_OK;
    }
    if (choice->kind == WD_WINDOW_BY_FILE && choice->tag_i < n) {
        *lut = find_lut(d, WD_DICOM__LUT_VOI, choice->tag_i);
        if (!*lut)
            *w = f->windows[choice->tag_i - n_lut].w;
        return WD_OK;
    }
    if (choice->kind == WD_WINDOW_BY_FILE && choice->tag_i > 0)
        return WD_FAIL(err, WD_E_INVALID, "view %u was asked for, the file has %u windows and tables",
                       (unsigned)choice->tag_i + 1, (unsigned)n);
    *w = range_of(p);
    return WD_OK;
}

static wd_status draw_grey(const wd_dicom *d, const wd_dicom_pixels *p, const wd_window_choice *choice,
                           wd_image *im, wd_window *used, wd_err *err)
{
    const size_t n = (size_t)p->rows * p->cols;
    const bool inverted = d->more.colour == WD_PHOTOMETRIC_MONOCHROME1;
    const wd_dicom_lut *lut;
    wd_window w = { 0 };
    uint8_t *grey = im->rgb; /* the first third, spread out from its end */

    WD_TRY(choose(d, p, choice, &lut, &w, err));
    if (lut)
        apply_voi_lut(lut, p, inverted, grey);
    else
        wd_window_apply(&w, p->value, n, inverted, grey);
    for (size_t i = n; i-- > 0;) {
        const uint8_t g = p->padding && p->padding[i] ? 0 : grey[i];
        im->rgb[3 * i] = im->rgb[3 * i + 1] = im->rgb[3 * i + 2] = g;
    }
    *used = w;
    return WD_OK;
}

/* ---- colour ---- */

static uint8_t to_byte(double v)
{
    return v <= 0 ? 0 : v >= 255 ? 255 : (uint8_t)(v + 0.5);
}

/* Samples of more than 8 bits keep their high ones; of fewer, they are spread over 8. */
static double to_255(const wd_dicom *d, int32_t v)
{
    const uint32_t bits = d->info.bits_stored;
    if (bits == 8)
        return v;
    return bits > 8 ? (double)((uint32_t)v >> (bits - 8)) : v * 255.0 / ((1u << bits) - 1);
}

static void draw_colour(const wd_dicom *d, const wd_dicom_pixels *p, wd_image *im)
{
    const size_t n = (size_t)p->rows * p->cols;
    const bool is_ybr = d->more.colour == WD_PHOTOMETRIC_YBR_FULL;

    for (size_t i = 0; i < n; i++) {
        const double a = to_255(d, p->stored[3 * i]), b = to_255(d, p->stored[3 * i + 1]),
                     c = to_255(d, p->stored[3 * i + 2]);
        uint8_t *o = im->rgb + 3 * i;
        o[0] = to_byte(is_ybr ? a + 1.402 * (c - 128) : a);
        o[1] = to_byte(is_ybr ? a - 0.344136 * (b - 128) - 0.714136 * (c - 128) : b);
        o[2] = to_byte(is_ybr ? a + 1.772 * (b - 128) : c);
    }
}

static wd_status draw_palette(const wd_dicom *d, const wd_dicom_pixels *p, wd_image *im, wd_err *err)
{
    const size_t n = (size_t)p->rows * p->cols;

    for (int c = 0; c < 3; c++) {
        const wd_dicom_lut *l = find_lut(d, (wd_dicom__lut_kind)(WD_DICOM__LUT_RED + c), 0);
        uint32_t top = 0;
        if (!l)
            return WD_FAIL(err, WD_E_INVALID, "PALETTE COLOR without a palette");
        /* The descriptor says 16 bits where many files have 8 in each entry. */
        for (uint32_t i = 0; i < l->head.n; i++)
            top = WD_MAX(top, l->v[i]);
        const uint32_t down = top > 255 ? 8 : 0;
        for (size_t i = 0; i < n; i++)
            im->rgb[3 * i + (size_t)c] = (uint8_t)(look_up(l, number_of(d, p->stored[i])) >> down);
    }
    return WD_OK;
}

wd_status wd_dicom_render(const wd_dicom *d, size_t i, const wd_window_choice *choice, wd_image *out,
                          wd_window *used, wd_err *err)
{
    const wd_window_choice usual = WD_WINDOW_CHOICE_DEFAULT;
    wd_window w = { 0 };
    wd_image im = { 0 };
    wd_status st = WD_OK;

    if (i >= d->n_pixels)
        return WD_FAIL(err, WD_E_INVALID, "frame %zu was not decoded", i + 1);
    const wd_dicom_pixels *p = &d->pixels[i];
    if (d->more.colour == WD_PHOTOMETRIC_OTHER && !d->info.is_float)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "Photometric Interpretation %s is not one that Ward draws",
                       *d->info.photometric_name ? d->info.photometric_name : "(none)");
    WD_TRY(wd_image_init(&im, p->cols, p->rows, err));
    if (p->value)
        st = draw_grey(d, p, choice ? choice : &usual, &im, &w, err);
    else if (p->samples == 3)
        draw_colour(d, p, &im);
    else
        st = draw_palette(d, p, &im, err);
    if (st) {
        wd_image_free(&im);
        return st;
    }
    *out = im;
    if (used)
        *used = w;
    return WD_OK;
}
