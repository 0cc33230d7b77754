/* Images: which format it is, the worker's side, and the parent's.
 *
 * Messages: one HEAD {u32 width, height}, then ROWS with the pixels in order, in parts of at most PART bytes.
 */
#include "media/image.h"

#include <unistd.h>

#include "base/file.h"
#include "media/image_inner.h"
#include "media/orient.h"

#define PART ((size_t)4 << 20)

/* ---- shared by the formats ---- */

wd_status wd_image__check_size(wd_image_kind kind, uint64_t width, uint64_t height, wd_err *err)
{
    if (!width || !height)
        return WD_FAIL(err, WD_E_INVALID, "%s: %llu x %llu pixels: a side is zero", wd_image_kind_name(kind),
                       (unsigned long long)width, (unsigned long long)height);
    if (width > WD_IMAGE_SIDE_MAX || height > WD_IMAGE_SIDE_MAX || width * height > WD_IMAGE_PIXELS_MAX)
        return WD_FAIL(err, WD_E_LIMIT, "%s: %llu x %llu pixels; at most %u a side and %u in all are decoded",
                       wd_image_kind_name(kind), (unsigned long long)width, (unsigned long long)height,
                       WD_IMAGE_SIDE_MAX, WD_IMAGE_PIXELS_MAX);
    return WD_OK;
}

uint32_t wd_image__exif_orientation(wd_span s)
{
    if (s.n >= 6 && memcmp(s.p, "Exif\0\0", 6) == 0)
        s = wd_span_sub(s, 6, s.n);
    if (s.n < 10 || (memcmp(s.p, "II*\0", 4) != 0 && memcmp(s.p, "MM\0*", 4) != 0))
        return 1;
    const bool little = s.p[0] == 'I';
#define U16(at) (little ? wd_le16(s.p + (at)) : (uint16_t)(s.p[at] << 8 | s.p[(at) + 1]))
    const size_t at = little ? wd_le32(s.p + 4) : (size_t)U16(4) << 16 | U16(6);
    if (at > s.n - 2)
        return 1;
    const size_t n = WD_MIN((size_t)U16(at), (s.n - at - 2) / 12);
    for (size_t i = 0; i < n; i++) {
        const size_t entry = at + 2 + 12 * i;
        const uint16_t tag = U16(entry), type = U16(entry + 2);
        if (tag != 0x0112)
            continue;
        const uint32_t v = type == 3   ? U16(entry + 8)
                           : type == 4 ? (uint32_t)U16(entry + (little ? 8 : 10))
                                       : 0;
        return v >= 1 && v <= 8 ? v : 1;
    }
#undef U16
    return 1;
}

void wd_image__fill(wd_image *im, const uint8_t rgb[3])
{
    const size_t row = (size_t)im->width * 3;
    for (size_t x = 0; x < row; x += 3)
        im->rgb[x] = rgb[0], im->rgb[x + 1] = rgb[1], im->rgb[x + 2] = rgb[2];
    for (size_t y = 1; y < im->height; y++)
        memcpy(im->rgb + y * row, im->rgb, row);
}

void wd_image__rgba_to_rgb(uint8_t *p, size_t n)
{
    uint8_t *q = p;
    for (size_t i = 0; i < n; i++, p += 4, q += 3) {
        const uint32_t r = p[0], g = p[1], b = p[2], a = p[3];
        q[0] = wd_image__on_white(r, a);
        q[1] = wd_image__on_white(g, a);
        q[2] = wd_image__on_white(b, a);
    }
}

/* ---- kinds ---- */

static const struct {
    const char *name;
    wd_status (*decode)(wd_span in, wd_image__out *out, wd_err *err);
} kinds[] = {
    [WD_IMAGE_KIND_UNKNOWN] = { "unknown", NULL },  [WD_IMAGE_KIND_JPEG] = { "JPEG", wd_image__jpeg },
    [WD_IMAGE_KIND_PNG] = { "PNG", wd_image__png }, [WD_IMAGE_KIND_WEBP] = { "WebP", wd_image__webp },
    [WD_IMAGE_KIND_BMP] = { "BMP", wd_image__bmp }, [WD_IMAGE_KIND_TIFF] = { "TIFF", wd_image__tiff },
    [WD_IMAGE_KIND_GIF] = { "GIF", wd_image__gif },
};

wd_image_kind wd_image_kind_of(wd_span head)
{
    if (wd_span_starts(head, "\xFF\xD8\xFF"))
        return WD_IMAGE_KIND_JPEG;
    if (wd_span_starts(head, "\x89PNG\r\n\x1a\n"))
        return WD_IMAGE_KIND_PNG;
    if (wd_span_starts(head, "RIFF") && head.n >= 12 && memcmp(head.p + 8, "WEBP", 4) == 0)
        return WD_IMAGE_KIND_WEBP;
    if (wd_span_starts(head, "GIF87a") || wd_span_starts(head, "GIF89a"))
        return WD_IMAGE_KIND_GIF;
    if (head.n >= 4 && (memcmp(head.p, "II*\0", 4) == 0 || memcmp(head.p, "MM\0*", 4) == 0 ||
                        memcmp(head.p, "II+\0", 4) == 0 || memcmp(head.p, "MM\0+", 4) == 0))
        return WD_IMAGE_KIND_TIFF;
    if (wd_span_starts(head, "BM"))
        return WD_IMAGE_KIND_BMP;
    return WD_IMAGE_KIND_UNKNOWN;
}

const char *wd_image_kind_name(wd_image_kind k)
{
    return (size_t)k < WD_COUNT(kinds) ? kinds[k].name : "unknown";
}

/* ---- decoding, in the worker ---- */

wd_status wd_image_decode_here(wd_span bytes, bool keep_orientation, wd_image *out, wd_err *err)
{
    wd_image__out got = { 0 };
    const wd_image_kind k = wd_image_kind_of(bytes);

    if (!bytes.n)
        return WD_FAIL(err, WD_E_CORRUPT, "the file is empty");
    if (!kinds[k].decode)
        return WD_FAIL(err, WD_E_UNSUPPORTED,
                       "not an image that is read here: JPEG, PNG, WebP, BMP, TIFF or GIF");
    WD_TRY(kinds[k].decode(bytes, &got, err));
    const wd_status st = keep_orientation ? WD_OK : wd_orient(&got.image, got.orientation, err);
    if (st) {
        wd_image_free(&got.image);
        return st;
    }
    *out = got.image;
    return WD_OK;
}

wd_status wd_decode_image(const wd_decode_in *in, wd_emit *out, wd_err *err)
{
    wd_span bytes;
    wd_image im = { 0 };

    if (in->opts.n != 1)
        return WD_FAIL(err, WD_E_INTERNAL, "image decoder: %zu bytes of options", in->opts.n);
    WD_TRY(wd_decode_input(in, &bytes, err));
    WD_TRY(wd_image_decode_here(bytes, in->opts.p[0] != 0, &im, err));
    const uint32_t head[2] = { im.width, im.height };
    wd_status st = wd_emit_put(out, WD_IMAGE__HEAD, wd_span_of(head, sizeof head), err);
    const wd_span all = wd_span_of(im.rgb, (size_t)im.width * im.height * 3);
    for (size_t at = 0; !st && at < all.n; at += PART)
        st = wd_emit_put(out, WD_IMAGE__ROWS, wd_span_sub(all, at, PART), err);
    wd_image_free(&im);
    return st;
}

/* ---- the parent ---- */

static wd_status strange(const wd_image__receiver *r, wd_err *err)
{
    return WD_FAIL(err, WD_E_CRASHED, "%s: the decoder's answer is not an image", r->what);
}

wd_status wd_image__receive(void *ctx, uint32_t type, wd_span bytes, wd_err *err)
{
    wd_image__receiver *r = ctx;
    uint32_t head[2];

    if (type == WD_IMAGE__HEAD && !r->image.rgb && bytes.n == sizeof head) {
        memcpy(head, bytes.p, sizeof head);
        WD_TRY(wd_image_init(&r->image, head[0], head[1], err));
        r->total = (size_t)head[0] * head[1] * 3;
        return WD_OK;
    }
    if (type != WD_IMAGE__ROWS || !r->image.rgb || bytes.n > r->total - r->n)
        return strange(r, err);
    memcpy(r->image.rgb + r->n, bytes.p, bytes.n);
    r->n += bytes.n;
    return WD_OK;
}

wd_status wd_image__finish(wd_image__receiver *r, wd_status st, wd_image *out, wd_err *err)
{
    if (!st && (!r->image.rgb || r->n != r->total))
        st = strange(r, err);
    if (st) {
        wd_image_free(&r->image);
        return st;
    }
    *out = r->image;
    return WD_OK;
}

wd_status wd_image_open(const char *path, const wd_image_opts *opts, wd_image *out, wd_err *err)
{
    const uint8_t keep = opts && opts->keep_orientation;
    wd_image__receiver r = { .what = path };
    wd_err local;
    uint64_t size;

    if (!err)
        err = &local;
    const int fd = wd_file_open_read(path, &size, err);
    if (fd < 0)
        return err->code;
    const wd_status st = wd_sandbox_run(WD_DECODER_IMAGE, path, wd_span_of(&keep, 1), fd, NULL,
                                        opts ? opts->cancel : NULL, wd_image__receive, &r, err);
    close(fd);
    return wd_image__finish(&r, st, out, err);
}

wd_status wd_image_decode(const char *what, wd_span bytes, const wd_image_opts *opts, wd_image *out,
                          wd_err *err)
{
    const uint8_t keep = opts && opts->keep_orientation;
    wd_image__receiver r = { .what = what };
    const wd_status st = wd_sandbox_run_bytes(WD_DECODER_IMAGE, what, wd_span_of(&keep, 1), bytes, NULL,
                                              opts ? opts->cancel : NULL, wd_image__receive, &r, err);
    return wd_image__finish(&r, st, out, err);
}
