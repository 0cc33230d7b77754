/* See j2k.h. */
#include "media/j2k.h"

#include <openjpeg.h>

typedef struct reader {
    wd_span s;
    size_t at;
} reader;

static OPJ_SIZE_T read_some(void *buf, OPJ_SIZE_T n, void *ctx)
{
    reader *r = ctx;
    const size_t left = r->s.n - r->at;
    if (left == 0)
        return (OPJ_SIZE_T)-1;
    n = WD_MIN(n, left);
    memcpy(buf, r->s.p + r->at, n);
    r->at += n;
    return n;
}

static OPJ_OFF_T skip_some(OPJ_OFF_T n, void *ctx)
{
    reader *r = ctx;
    if (n < 0)
        return -1;
    const size_t left = r->s.n - r->at;
    r->at += WD_MIN((size_t)n, left);
    return (size_t)n <= left ? n : (OPJ_OFF_T)left;
}

static OPJ_BOOL seek_to(OPJ_OFF_T at, void *ctx)
{
    reader *r = ctx;
    if (at < 0 || (size_t)at > r->s.n)
        return OPJ_FALSE;
    r->at = (size_t)at;
    return OPJ_TRUE;
}

static void silent(const char *text, void *ctx)
{
    (void)text, (void)ctx;
}

static wd_status check_shape(const opj_image_t *im, const wd_j2k *want, wd_j2k *got, wd_err *err)
{
    const uint32_t w = im->x1 - im->x0, h = im->y1 - im->y0;

    if (im->x1 <= im->x0 || im->y1 <= im->y0 || w != want->width || h != want->height)
        return WD_FAIL(err, WD_E_CORRUPT, "the JPEG 2000 image is %u x %u, the header says %u x %u",
                       (unsigned)w, (unsigned)h, (unsigned)want->width, (unsigned)want->height);
    if (im->numcomps != want->n_comp)
        return WD_FAIL(err, WD_E_CORRUPT, "the JPEG 2000 image has %u components, the header says %u",
                       (unsigned)im->numcomps, (unsigned)want->n_comp);
    for (uint32_t i = 0; i < im->numcomps; i++) {
        const opj_image_comp_t *c = &im->comps[i];
        if (c->dx != 1 || c->dy != 1 || c->w != w || c->h != h || c->prec != im->comps[0].prec ||
            c->sgnd != im->comps[0].sgnd)
            return WD_FAIL(err, WD_E_UNSUPPORTED, "JPEG 2000 components of different size or precision");
        if (c->prec < 1 || c->prec > 32)
            return WD_FAIL(err, WD_E_UNSUPPORTED, "JPEG 2000 with %u bits", (unsigned)c->prec);
    }
    *got = (wd_j2k){ .width = w,
                     .height = h,
                     .n_comp = im->numcomps,
                     .precision = im->comps[0].prec,
                     .is_signed = im->comps[0].sgnd != 0 };
    return WD_OK;
}

static wd_status decode(opj_codec_t *codec, opj_stream_t *stream, const wd_j2k *want, opj_image_t **im,
                        wd_j2k *got, wd_err *err)
{
    opj_dparameters_t params;

    opj_set_default_decoder_parameters(&params);
    opj_set_error_handler(codec, silent, NULL);
    opj_set_warning_handler(codec, silent, NULL);
    opj_set_info_handler(codec, silent, NULL);
    if (!opj_setup_decoder(codec, &params) || !opj_read_header(stream, codec, im) || !*im)
        return WD_FAIL(err, WD_E_CORRUPT, "the JPEG 2000 header is damaged");
    WD_TRY(check_shape(*im, want, got, err));
    if (!opj_decode(codec, stream, *im) || !opj_end_decompress(codec, stream))
        return WD_FAIL(err, WD_E_CORRUPT, "the JPEG 2000 image is damaged or cut off");
    WD_TRY(check_shape(*im, want, got, err));
    for (uint32_t i = 0; i < (*im)->numcomps; i++)
        if (!(*im)->comps[i].data)
            return WD_FAIL(err, WD_E_CORRUPT, "a component of the JPEG 2000 image is missing");
    return WD_OK;
}

wd_status wd_j2k_decode(wd_span data, const wd_j2k *want, int32_t *out, wd_j2k *got, wd_err *err)
{
    static const uint8_t soc[] = { 0xFF, 0x4F, 0xFF, 0x51 };
    reader r = { .s = data };
    opj_image_t *im = NULL;
    const bool raw = data.n >= sizeof soc && memcmp(data.p, soc, sizeof soc) == 0;
    opj_codec_t *codec = opj_create_decompress(raw ? OPJ_CODEC_J2K : OPJ_CODEC_JP2);
    opj_stream_t *stream = opj_stream_default_create(OPJ_TRUE);
    wd_status st;

    if (!codec || !stream) {
        st = WD_FAIL(err, WD_E_NOMEM, "no memory to decode JPEG 2000");
        goto out;
    }
    opj_stream_set_user_data(stream, &r, NULL);
    opj_stream_set_user_data_length(stream, data.n);
    opj_stream_set_read_function(stream, read_some);
    opj_stream_set_skip_function(stream, skip_some);
    opj_stream_set_seek_function(stream, seek_to);
    st = decode(codec, stream, want, &im, got, err);
    if (st)
        goto out;
    const size_t n = (size_t)got->width * got->height;
    for (uint32_t c = 0; c < got->n_comp; c++)
        for (size_t i = 0; i < n; i++)
            out[i * got->n_comp + c] = im->comps[c].data[i];
out:
    if (im)
        opj_image_destroy(im);
    if (stream)
        opj_stream_destroy(stream);
    if (codec)
        opj_destroy_codec(codec);
    return st;
}
