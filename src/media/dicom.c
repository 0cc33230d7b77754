/* The parent's part of reading DICOM: asks the worker, and believes nothing that it says. Every count is compared
 * with the bytes that came, every text ends, every number is finite, every enum is one. */
#include "media/dicom.h"

#include <math.h>
#include <pthread.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/utf8.h"
#include "media/dicom_image.h"
#include "media/dicom_inner.h"
#include "media/sandbox_inner.h"

enum { MEMORY_HEADER = 256 << 20, MEMORY_PIXELS = 1 << 30 }; /* beside the input itself */

typedef struct reading {
    wd_dicom *d;
    const char *what;
    bool has_info, has_frames, has_more;
    size_t cap; /* of d->pixels */
} reading;

static uint8_t salt[32]; /* of patient keys: written once */
static pthread_once_t salt_once = PTHREAD_ONCE_INIT;

static void make_salt(void)
{
    size_t n = 0;
    while (n < sizeof salt) {
        const ssize_t got = getrandom(salt + n, sizeof salt - n, 0);
        if (got > 0)
            n += (size_t)got;
    }
}

bool wd_patient_same(const wd_patient_key *a, const wd_patient_key *b)
{
    return a->known && b->known && a->by_name == b->by_name &&
           memcmp(a->secret, b->secret, sizeof a->secret) == 0;
}

bool wd_patient_differs(const wd_patient_key *a, const wd_patient_key *b)
{
    return a->known && b->known && a->by_name == b->by_name &&
           memcmp(a->secret, b->secret, sizeof a->secret) != 0;
}

/* ---- distrust ---- */

static wd_status broken_answer(const reading *r, wd_err *err)
{
    return WD_FAIL(err, WD_E_CRASHED, "%s: the decoder's answer about it makes no sense", r->what);
}

static bool is_text(const char *s, size_t size, bool ascii)
{
    const size_t n = strnlen(s, size);
    if (n == size)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7F || (ascii && (unsigned char)s[i] > 0x7F))
            return false;
    return wd_utf8_valid(wd_span_of(s, n));
}

#define IS_CODE(field) is_text(field, sizeof(field), true)
#define IS_TEXT(field) is_text(field, sizeof(field), false)
/* A bool that another process wrote is looked at as a byte. */
#define IS_BOOL(field) (*(const volatile uint8_t *)&(field) <= 1)

static bool is_good_info(const wd_dicom_info *i)
{
    if (!IS_CODE(i->transfer_syntax_uid) || !IS_CODE(i->sop_class_uid) || !IS_CODE(i->sop_instance_uid) ||
        !IS_CODE(i->study_uid) || !IS_CODE(i->series_uid) || !IS_CODE(i->frame_of_reference_uid) ||
        !IS_CODE(i->modality) || !IS_CODE(i->image_type) || !IS_CODE(i->laterality) ||
        !IS_CODE(i->view_position) || !IS_CODE(i->photometric_name))
        return false;
    if (!IS_TEXT(i->body_part) || !IS_TEXT(i->study_description) || !IS_TEXT(i->series_description) ||
        !IS_TEXT(i->protocol_name) || !IS_TEXT(i->contrast_agent))
        return false;
    if (!IS_BOOL(i->patient.known) || !IS_BOOL(i->patient.by_name) || !IS_BOOL(i->is_localizer) ||
        !IS_BOOL(i->has_pixels) || !IS_BOOL(i->is_float) || !IS_BOOL(i->is_signed))
        return false;
    if ((unsigned)i->photometric > WD_PHOTOMETRIC_OTHER)
        return false;
    if (!i->has_pixels)
        return i->n_frame == 0;
    return i->rows >= 1 && i->rows <= 65535 && i->cols >= 1 && i->cols <= 65535 && i->n_frame >= 1 &&
           i->n_frame <= WD_DICOM_FRAMES_MAX && (i->samples == 1 || i->samples == 3) &&
           i->bits_allocated <= 64 && i->bits_stored >= 1 && i->bits_stored <= 64;
}

static bool all_finite(const double *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(v[i]))
            return false;
    return true;
}

static bool is_good_frame(const wd_dicom_frame *f)
{
    if (!all_finite(f->position, 3) || !all_finite(f->orientation, 6) || !all_finite(f->spacing, 2) ||
        !isfinite(f->thickness) || !isfinite(f->spacing_between) || !isfinite(f->slope) ||
        !isfinite(f->intercept))
        return false;
    if (!IS_BOOL(f->has_position) || !IS_BOOL(f->has_orientation) || !IS_BOOL(f->has_spacing) ||
        !IS_BOOL(f->has_thickness) || !IS_BOOL(f->has_spacing_between) || !IS_BOOL(f->has_rescale) ||
        !IS_CODE(f->rescale_type) || f->n_window > WD_DICOM_WINDOWS_MAX)
        return false;
    for (uint32_t i = 0; i < f->n_window; i++) {
        const wd_dicom_window *w = &f->windows[i];
        if (!isfinite(w->w.center) || !isfinite(w->w.width) || w->w.width <= 0 ||
            (unsigned)w->w.fn > WD_WINDOW_SIGMOID || !IS_CODE(w->explanation))
            return false;
    }
    return true;
}

/* ---- messages ---- */

static wd_status take_info(reading *r, wd_span b, wd_err *err)
{
    wd_dicom_info info;
    if (r->has_info || b.n != sizeof info)
        return broken_answer(r, err);
    memcpy(&info, b.p, sizeof info);
    if (!is_good_info(&info))
        return broken_answer(r, err);
    r->d->info = info;
    r->has_info = true;
    return WD_OK;
}

static wd_status take_frames(reading *r, wd_span b, wd_err *err)
{
    wd_dicom *d = r->d;
    if (!r->has_info || r->has_frames || d->info.n_frame == 0 || b.n != d->info.n_frame * sizeof *d->frames)
        return broken_answer(r, err);
    d->frames = WD_ALLOC_N(wd_dicom_frame, d->info.n_frame);
    if (!d->frames)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for %u frames", r->what, (unsigned)d->info.n_frame);
    memcpy(d->frames, b.p, b.n);
    for (uint32_t i = 0; i < d->info.n_frame; i++)
        if (!is_good_frame(&d->frames[i]))
            return broken_answer(r, err);
    r->has_frames = true;
    return WD_OK;
}

static wd_status take_lut(reading *r, wd_span b, wd_err *err)
{
    wd_dicom *d = r->d;
    wd_dicom__lut h;

    if (!r->has_frames || b.n < sizeof h || d->n_lut == WD_DICOM__LUTS_MAX)
        return broken_answer(r, err);
    memcpy(&h, b.p, sizeof h);
    if (h.kind > WD_DICOM__LUT_BLUE || h.n < 1 || h.n > 65536 || h.bits < 1 || h.bits > 16 ||
        b.n - sizeof h != (size_t)h.n * sizeof(uint16_t))
        return broken_answer(r, err);
    uint16_t *v = WD_ALLOC_N(uint16_t, h.n);
    if (!v)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for a look-up table", r->what);
    memcpy(v, b.p + sizeof h, b.n - sizeof h);
    d->luts[d->n_lut++] = (wd_dicom_lut){ .head = h, .v = v };
    return WD_OK;
}

static wd_status take_pixels(reading *r, wd_span b, wd_err *err)
{
    wd_dicom *d = r->d;
    const wd_dicom_info *i = &d->info;
    wd_dicom__block h;

    if (!r->has_frames || b.n < sizeof h)
        return broken_answer(r, err);
    memcpy(&h, b.p, sizeof h);
    const uint64_t n = (uint64_t)h.rows * h.cols * h.samples;
    if (h.rows != i->rows || h.cols != i->cols || h.samples != i->samples || h.frame >= i->n_frame ||
        h.is_float != (i->is_float ? 1u : 0u) || n > WD_IMAGE_PIXELS_MAX || b.n - sizeof h != n * 4 ||
        d->n_pixels >= i->n_frame || (d->n_pixels && d->pixels[d->n_pixels - 1].frame >= h.frame))
        return broken_answer(r, err);
    if (d->n_pixels == r->cap) {
        const size_t cap = r->cap ? r->cap * 2 : 1;
        wd_dicom_pixels *more = wd_realloc(d->pixels, cap, sizeof *more);
        if (!more)
            return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for another frame", r->what);
        d->pixels = more;
        r->cap = cap;
    }
    void *copy = wd_realloc(NULL, (size_t)n, 4);
    if (!copy)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for a frame of %u x %u", r->what, (unsigned)h.cols,
                       (unsigned)h.rows);
    memcpy(copy, b.p + sizeof h, (size_t)n * 4);
    d->pixels[d->n_pixels++] = (wd_dicom_pixels){ .frame = h.frame,
                                                  .rows = h.rows,
                                                  .cols = h.cols,
                                                  .samples = h.samples,
                                                  .stored = h.is_float ? NULL : copy,
                                                  .value = h.is_float ? copy : NULL };
    return WD_OK;
}

static wd_status take_more(reading *r, wd_span b, wd_err *err)
{
    wd_dicom__more m;
    if (!r->has_info || r->has_more || b.n != sizeof m)
        return broken_answer(r, err);
    memcpy(&m, b.p, sizeof m);
    if (m.colour > WD_PHOTOMETRIC_OTHER || m.is_signed > 1 || m.has_padding > 1 || !isfinite(m.padding_lo) ||
        !isfinite(m.padding_hi))
        return broken_answer(r, err);
    r->d->more = m;
    r->has_more = true;
    return WD_OK;
}

static wd_status take(void *ctx, uint32_t type, wd_span bytes, wd_err *err)
{
    reading *r = ctx;
    switch (type) {
    case WD_DICOM__INFO:
        return take_info(r, bytes, err);
    case WD_DICOM__FRAMES:
        return take_frames(r, bytes, err);
    case WD_DICOM__LUT:
        return take_lut(r, bytes, err);
    case WD_DICOM__PIXELS:
        return take_pixels(r, bytes, err);
    case WD_DICOM__MORE:
        return take_more(r, bytes, err);
    default:
        return broken_answer(r, err);
    }
}

/* ---- reading ---- */

static wd_dicom__opts options(const wd_dicom_want *want)
{
    wd_dicom__opts o = { 0 };
    pthread_once(&salt_once, make_salt);
    memcpy(o.salt, salt, sizeof o.salt);
    if (want) {
        o.pixels = want->pixels;
        o.first_frame = want->first_frame;
        o.n_frame = want->n_frame;
    }
    return o;
}

static wd_status run(const wd_dicom_source *src, const wd_dicom_want *want, reading *r, wd_err *err)
{
    const wd_dicom__opts o = options(want);
    const wd_span opts = wd_span_of(&o, sizeof o);
    const atomic_bool *cancel = want ? want->cancel : NULL;
    wd_sandbox_limits limits = WD_SANDBOX_LIMITS_DEFAULT;
    uint64_t size = src->bytes.n;

    struct stat file;
    if (src->fd >= 0)
        size = fstat(src->fd, &file) == 0 && file.st_size > 0 ? (uint64_t)file.st_size : 0;
    limits.memory_bytes = (size_t)(o.pixels ? MEMORY_PIXELS + size : MEMORY_HEADER) + (size_t)size;
    limits.message_bytes = ((size_t)WD_IMAGE_PIXELS_MAX + 16) * 4;
    if (src->fd >= 0)
        return wd_sandbox_run(WD_DECODER_DICOM, src->what, opts, src->fd, &limits, cancel, take, r, err);
    return wd_sandbox_run_bytes(WD_DECODER_DICOM, src->what, opts, src->bytes, &limits, cancel, take, r, err);
}

static wd_status finish(reading *r, const wd_dicom_want *want, wd_err *err)
{
    if (!r->has_info || !r->has_more || (r->d->info.has_pixels && !r->has_frames) ||
        (want && want->pixels && r->d->n_pixels == 0))
        return broken_answer(r, err);
    r->d->info.is_signed = r->d->more.is_signed;
    return wd_dicom__to_values(r->d, r->what, err);
}

wd_status wd_dicom_read(const wd_dicom_source *src, const wd_dicom_want *want, wd_dicom **out, wd_err *err)
{
    reading r = { .d = WD_ALLOC(wd_dicom), .what = src->what };

    *out = NULL;
    if (!r.d)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory", src->what);
    wd_status st = run(src, want, &r, err);
    if (st == WD_OK)
        st = finish(&r, want, err);
    if (st == WD_OK)
        *out = r.d;
    else
        wd_dicom_close(r.d);
    return st;
}

wd_status wd_dicom__read_here(wd_span bytes, const wd_dicom_want *want, wd_dicom **out, wd_err *err)
{
    const wd_dicom__opts o = options(want);
    reading r = { .d = WD_ALLOC(wd_dicom), .what = "input" };

    *out = NULL;
    if (!r.d)
        return WD_FAIL(err, WD_E_NOMEM, "no memory");
    wd_status st = wd_sandbox__run_here(wd_decode_dicom, wd_span_of(&o, sizeof o), bytes, take, &r, err);
    if (st == WD_OK)
        st = finish(&r, want, err);
    if (st == WD_OK)
        *out = r.d;
    else
        wd_dicom_close(r.d);
    return st;
}

wd_status wd_dicom_read_file(const char *path, const wd_dicom_want *want, wd_dicom **out, wd_err *err)
{
    uint64_t size;
    const int fd = wd_file_open_read(path, &size, err);

    *out = NULL;
    if (fd < 0)
        return err ? err->code : WD_E_IO;
    const wd_dicom_source src = { .what = path, .fd = fd };
    const wd_status st = wd_dicom_read(&src, want, out, err);
    close(fd);
    return st;
}

void wd_dicom_close(wd_dicom *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n_pixels; i++) {
        wd_free(d->pixels[i].stored);
        wd_free(d->pixels[i].value);
        wd_free(d->pixels[i].padding);
    }
    for (size_t i = 0; i < d->n_lut; i++)
        wd_free(d->luts[i].v);
    wd_free(d->pixels);
    wd_free(d->frames);
    wd_free(d);
}

const wd_dicom_info *wd_dicom_info_of(const wd_dicom *d)
{
    return &d->info;
}

const wd_dicom_frame *wd_dicom_frame_at(const wd_dicom *d, uint32_t frame)
{
    return frame < d->info.n_frame ? &d->frames[frame] : NULL;
}

uint32_t wd_dicom_n_voi_lut(const wd_dicom *d)
{
    uint32_t n = 0;
    for (size_t i = 0; i < d->n_lut; i++)
        n += d->luts[i].head.kind == WD_DICOM__LUT_VOI;
    return n;
}

size_t wd_dicom_n_pixels(const wd_dicom *d)
{
    return d->n_pixels;
}

const wd_dicom_pixels *wd_dicom_pixels_at(const wd_dicom *d, size_t i)
{
    return i < d->n_pixels ? &d->pixels[i] : NULL;
}
