/* WebP through libwebp; the first frame of an animation through libwebpdemux. */
#include <webp/decode.h>
#include <webp/demux.h>

#include "media/image_inner.h"

static wd_status explain(VP8StatusCode code, wd_err *err)
{
    switch (code) {
    case VP8_STATUS_OUT_OF_MEMORY:
        return WD_FAIL(err, WD_E_NOMEM, "WebP: no memory");
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return WD_FAIL(err, WD_E_UNSUPPORTED, "WebP: a feature that libwebp does not read");
    case VP8_STATUS_NOT_ENOUGH_DATA:
        return WD_FAIL(err, WD_E_CORRUPT, "WebP: the file is cut off");
    default:
        return WD_FAIL(err, WD_E_CORRUPT, "WebP: the data is damaged");
    }
}

static uint32_t orientation_of(wd_span in)
{
    const WebPData data = { in.p, in.n };
    WebPChunkIterator chunk;
    uint32_t orientation = 1;
    WebPDemuxer *d = WebPDemux(&data);
    if (d && WebPDemuxGetChunk(d, "EXIF", 1, &chunk)) {
        orientation = wd_image__exif_orientation(wd_span_of(chunk.chunk.bytes, chunk.chunk.size));
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    WebPDemuxDelete(d);
    return orientation;
}

static wd_status still(wd_span in, bool alpha, uint8_t *pixels, uint32_t w, uint32_t h, wd_err *err)
{
    WebPDecoderConfig c;
    if (!WebPInitDecoderConfig(&c))
        return WD_FAIL(err, WD_E_INTERNAL,
                       "WebP: another version of libwebp than this program was built for");
    c.output.colorspace = alpha ? MODE_RGBA : MODE_RGB;
    c.output.is_external_memory = 1;
    c.output.u.RGBA.rgba = pixels;
    c.output.u.RGBA.stride = (int)(w * (alpha ? 4 : 3));
    c.output.u.RGBA.size = (size_t)w * h * (alpha ? 4 : 3);
    const VP8StatusCode code = WebPDecode(in.p, in.n, &c);
    WebPFreeDecBuffer(&c.output);
    return code == VP8_STATUS_OK ? WD_OK : explain(code, err);
}

static wd_status first_frame(wd_span in, uint8_t *rgba, uint32_t w, uint32_t h, wd_err *err)
{
    const WebPData data = { in.p, in.n };
    WebPAnimDecoderOptions o;
    WebPAnimInfo info;
    uint8_t *canvas;
    int time;

    if (!WebPAnimDecoderOptionsInit(&o))
        return WD_FAIL(err, WD_E_INTERNAL,
                       "WebP: another version of libwebpdemux than this program was built for");
    o.color_mode = MODE_RGBA;
    o.use_threads = 0;
    WebPAnimDecoder *d = WebPAnimDecoderNew(&data, &o);
    if (!d)
        return WD_FAIL(err, WD_E_CORRUPT,
                       "WebP: the animation is damaged, cut off, or needs too much memory");
    wd_status st = WD_OK;
    if (!WebPAnimDecoderGetInfo(d, &info) || info.canvas_width != w || info.canvas_height != h ||
        !WebPAnimDecoderGetNext(d, &canvas, &time))
        st = WD_FAIL(err, WD_E_CORRUPT, "WebP: the first frame of the animation is damaged");
    else
        memcpy(rgba, canvas, (size_t)w * h * 4);
    WebPAnimDecoderDelete(d);
    return st;
}

/* The canvas that an extended file claims: the library's own refusal would not name it. */
static wd_status check_canvas(wd_span in, wd_err *err)
{
    if (in.n < 30 || memcmp(in.p + 12, "VP8X", 4) != 0)
        return WD_OK;
    const uint8_t *p = in.p + 24;
    const uint32_t w = 1 + (p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16);
    const uint32_t h = 1 + (p[3] | (uint32_t)p[4] << 8 | (uint32_t)p[5] << 16);
    return wd_image__check_size(WD_IMAGE_KIND_WEBP, w, h, err);
}

wd_status wd_image__webp(wd_span in, wd_image__out *out, wd_err *err)
{
    WebPBitstreamFeatures f;

    WD_TRY(check_canvas(in, err));
    const VP8StatusCode code = WebPGetFeatures(in.p, in.n, &f);
    if (code != VP8_STATUS_OK)
        return explain(code, err);
    if (f.width <= 0 || f.height <= 0)
        return WD_FAIL(err, WD_E_CORRUPT, "WebP: the data is damaged");
    const uint32_t w = (uint32_t)f.width, h = (uint32_t)f.height;
    WD_TRY(wd_image__check_size(WD_IMAGE_KIND_WEBP, w, h, err));
    const bool alpha = f.has_alpha || f.has_animation;
    uint8_t *pixels = wd_calloc((size_t)w * h, alpha ? 4 : 3);
    if (!pixels)
        return WD_FAIL(err, WD_E_NOMEM, "WebP: no memory for %u x %u pixels", w, h);
    wd_status st = f.has_animation ? first_frame(in, pixels, w, h, err) : still(in, alpha, pixels, w, h, err);
    if (st) {
        wd_free(pixels);
        return st;
    }
    if (alpha)
        wd_image__rgba_to_rgb(pixels, (size_t)w * h);
    uint8_t *rgb = wd_realloc(pixels, (size_t)w * h * 3, 1);
    *out = (wd_image__out){ { rgb ? rgb : pixels, w, h }, orientation_of(in) };
    return WD_OK;
}
