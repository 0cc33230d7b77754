/* Windows and OS/2 bitmaps: 1, 4, 8, 16, 24 and 32 bits, plain, run-length coded or with channel masks. */
#include "media/image_inner.h"

enum { RAW = 0, RLE8 = 1, RLE4 = 2, MASKS = 3, JPEG = 4, PNG = 5, ALPHA_MASKS = 6 };

typedef struct bmp {
    wd_span in;
    uint32_t width, height, bits, compression;
    bool top_down;
    size_t pixels_at;
    uint32_t mask[4]; /* R, G, B, A; 0: absent */
    uint32_t n_colour;
    uint8_t colours[256][3]; /* RGB */
} bmp;

static wd_status cut_off(wd_err *err)
{
    return WD_FAIL(err, WD_E_CORRUPT, "BMP: the file is cut off");
}

static wd_status read_size(bmp *b, const uint8_t *h, uint32_t head_bytes, wd_err *err)
{
    int64_t height;
    if (head_bytes == 12) {
        b->width = wd_le16(h + 4);
        height = (int16_t)wd_le16(h + 6);
        b->bits = wd_le16(h + 10);
        b->compression = RAW;
    } else {
        const int64_t width = (int32_t)wd_le32(h + 4);
        if (width < 0)
            return WD_FAIL(err, WD_E_CORRUPT, "BMP: a width of %lld", (long long)width);
        b->width = (uint32_t)width;
        height = (int32_t)wd_le32(h + 8);
        b->bits = wd_le16(h + 14);
        b->compression = wd_le32(h + 16);
        b->n_colour = wd_le32(h + 32);
    }
    b->top_down = height < 0;
    height = height < 0 ? -height : height;
    WD_TRY(wd_image__check_size(WD_IMAGE_KIND_BMP, b->width, (uint64_t)height, err));
    b->height = (uint32_t)height;
    return WD_OK;
}

static bool is_one_of(uint32_t v, const uint32_t *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i] == v)
            return true;
    }
    return false;
}

static wd_status check_kind(const bmp *b, wd_err *err)
{
    static const uint32_t depths[] = { 1, 4, 8, 16, 24, 32 };
    if (b->compression == JPEG || b->compression == PNG)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "BMP: a %s inside a bitmap",
                       b->compression == JPEG ? "JPEG" : "PNG");
    if (!is_one_of(b->bits, depths, WD_COUNT(depths)))
        return WD_FAIL(err, WD_E_UNSUPPORTED, "BMP: %u bits per pixel", b->bits);
    if (b->compression > ALPHA_MASKS || (b->compression == RLE8 && b->bits != 8) ||
        (b->compression == RLE4 && b->bits != 4) ||
        ((b->compression == MASKS || b->compression == ALPHA_MASKS) && b->bits < 16))
        return WD_FAIL(err, WD_E_UNSUPPORTED, "BMP: compression %u with %u bits per pixel", b->compression,
                       b->bits);
    return WD_OK;
}

static wd_status read_masks(bmp *b, uint32_t head_bytes, size_t *after, wd_err *err)
{
    static const uint32_t of16[4] = { 0x7C00, 0x3E0, 0x1F, 0 }, of32[4] = { 0xFF0000, 0xFF00, 0xFF, 0 };
    memcpy(b->mask, b->bits == 16 ? of16 : of32, sizeof b->mask);
    if (b->compression != MASKS && b->compression != ALPHA_MASKS)
        return WD_OK;
    const size_t n = head_bytes >= 56 || b->compression == ALPHA_MASKS ? 4 : 3, at = 14 + 40;
    if (b->in.n < at + 4 * n)
        return cut_off(err);
    for (size_t i = 0; i < 4; i++)
        b->mask[i] = i < n ? wd_le32(b->in.p + at + 4 * i) : 0;
    if (head_bytes == 40)
        *after += 4 * n;
    if (!b->mask[0] && !b->mask[1] && !b->mask[2])
        return WD_FAIL(err, WD_E_CORRUPT, "BMP: the channel masks are all zero");
    for (size_t i = 0; i < 4; i++) {
        const uint32_t m = b->mask[i];
        const uint32_t run = m ? m >> WD_CTZ(m) : 0;
        if ((run & (run + 1)) || (b->bits == 16 && m > 0xFFFF))
            return WD_FAIL(err, WD_E_CORRUPT, "BMP: 0x%08x is no channel mask", m);
    }
    return WD_OK;
}

static wd_status read_colours(bmp *b, uint32_t head_bytes, size_t at, wd_err *err)
{
    const size_t entry = head_bytes == 12 ? 3 : 4;
    if (b->bits > 8)
        return WD_OK;
    if (!b->n_colour || b->n_colour > 1u << b->bits)
        b->n_colour = 1u << b->bits;
    /* OS/2 writers cut the table where the pixels begin. */
    if (b->pixels_at > at && b->pixels_at - at < b->n_colour * entry)
        b->n_colour = (uint32_t)((b->pixels_at - at) / entry);
    if (at > b->in.n || b->in.n - at < b->n_colour * entry)
        return cut_off(err);
    for (uint32_t i = 0; i < b->n_colour; i++) {
        const uint8_t *p = b->in.p + at + i * entry;
        b->colours[i][0] = p[2], b->colours[i][1] = p[1], b->colours[i][2] = p[0];
    }
    return WD_OK;
}

static wd_status read_head(bmp *b, wd_err *err)
{
    static const uint32_t heads[] = { 12, 40, 52, 56, 64, 108, 124 };
    if (b->in.n < 26)
        return cut_off(err);
    const uint32_t head_bytes = wd_le32(b->in.p + 14);
    if (!is_one_of(head_bytes, heads, WD_COUNT(heads)))
        return WD_FAIL(err, WD_E_UNSUPPORTED, "BMP: a header of %u bytes", head_bytes);
    size_t at = 14 + head_bytes;
    if (b->in.n < at)
        return cut_off(err);
    WD_TRY(read_size(b, b->in.p + 14, head_bytes, err));
    if (head_bytes == 64 && b->compression > RLE4)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "BMP: an OS/2 bitmap with compression %u", b->compression);
    WD_TRY(check_kind(b, err));
    b->pixels_at = wd_le32(b->in.p + 10);
    WD_TRY(read_masks(b, head_bytes, &at, err));
    WD_TRY(read_colours(b, head_bytes, at, err));
    if (b->pixels_at < at || b->pixels_at > b->in.n)
        return WD_FAIL(err, WD_E_CORRUPT, "BMP: the pixels are said to begin at byte %zu of %zu",
                       b->pixels_at, b->in.n);
    return WD_OK;
}

static uint8_t *row_of(const bmp *b, const wd_image *im, uint32_t i)
{
    return im->rgb + (size_t)(b->top_down ? i : b->height - 1 - i) * b->width * 3;
}

static wd_status put_index(const bmp *b, uint8_t *q, uint32_t index, wd_err *err)
{
    if (index >= b->n_colour)
        return WD_FAIL(err, WD_E_CORRUPT, "BMP: a pixel of colour %u in a palette of %u", index, b->n_colour);
    memcpy(q, b->colours[index], 3);
    return WD_OK;
}

/* A channel brought to 8 bits, fractions cut off: as Pillow. */
static uint32_t channel(uint32_t v, uint32_t mask)
{
    if (!mask)
        return 0;
    const uint32_t shift = WD_CTZ(mask), most = mask >> shift;
    return (uint32_t)((uint64_t)((v & mask) >> shift) * 255 / most);
}

static void put_masked(const bmp *b, uint8_t *q, uint32_t v)
{
    const uint32_t a = b->mask[3] ? channel(v, b->mask[3]) : 255;
    for (size_t c = 0; c < 3; c++)
        q[c] = wd_image__on_white(channel(v, b->mask[c]), a);
}

static wd_status read_plain(const bmp *b, wd_image *im, wd_err *err)
{
    const size_t stride = ((size_t)b->width * b->bits + 31) / 32 * 4;
    const size_t used = ((size_t)b->width * b->bits + 7) / 8; /* the last row may lack its padding */
    if (b->in.n - b->pixels_at < stride * (b->height - 1) + used)
        return cut_off(err);
    for (uint32_t i = 0; i < b->height; i++) {
        const uint8_t *p = b->in.p + b->pixels_at + i * stride;
        uint8_t *q = row_of(b, im, i);
        for (uint32_t x = 0; x < b->width; x++, q += 3) {
            switch (b->bits) {
            case 16:
                put_masked(b, q, wd_le16(p + 2 * (size_t)x));
                break;
            case 24:
                q[0] = p[3 * x + 2], q[1] = p[3 * x + 1], q[2] = p[3 * x];
                break;
            case 32:
                put_masked(b, q, wd_le32(p + 4 * (size_t)x));
                break;
            default: {
                const uint32_t first_bit = x * b->bits;
                const uint32_t v = p[first_bit / 8] >> (8 - b->bits - first_bit % 8) & ((1u << b->bits) - 1);
                WD_TRY(put_index(b, q, v, err));
            }
            }
        }
    }
    return WD_OK;
}

typedef struct rle {
    const bmp *b;
    wd_image *im;
    const uint8_t *p, *end;
    uint32_t x, y; /* y counts rows of the file */
} rle;

static wd_status rle_put(rle *r, uint32_t index, wd_err *err)
{
    if (r->x >= r->b->width || r->y >= r->b->height)
        return WD_FAIL(err, WD_E_CORRUPT, "BMP: a run leaves the picture in row %u", r->y);
    return put_index(r->b, row_of(r->b, r->im, r->y) + 3 * (size_t)r->x++, index, err);
}

static wd_status rle_literal(rle *r, uint32_t n, wd_err *err)
{
    const bool four = r->b->compression == RLE4;
    const size_t bytes = four ? (n + 1) / 2 : n, padded = (bytes + 1) & ~(size_t)1;
    if ((size_t)(r->end - r->p) < bytes)
        return cut_off(err);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t v = four ? r->p[i / 2] >> (i % 2 ? 0 : 4) & 15 : r->p[i];
        WD_TRY(rle_put(r, v, err));
    }
    r->p += WD_MIN(padded, (size_t)(r->end - r->p));
    return WD_OK;
}

static wd_status read_runs(const bmp *b, wd_image *im, wd_err *err)
{
    rle r = { b, im, b->in.p + b->pixels_at, b->in.p + b->in.n, 0, 0 };

    wd_image__fill(im, b->colours[0]); /* pixels that no run names */
    while (r.y < b->height) {
        if (r.y == b->height - 1 && r.x == b->width)
            return WD_OK; /* all there: an end mark may lack */
        if (r.end - r.p < 2)
            return cut_off(err);
        const uint32_t n = r.p[0], v = r.p[1];
        r.p += 2;
        for (uint32_t i = 0; i < n; i++)
            WD_TRY(rle_put(&r, b->compression == RLE8 ? v : v >> (i % 2 ? 0 : 4) & 15, err));
        if (n)
            continue;
        if (v == 0) {
            r.x = 0, r.y++;
        } else if (v == 1) {
            return WD_OK;
        } else if (v == 2) {
            if (r.end - r.p < 2)
                return cut_off(err);
            r.x += r.p[0], r.y += r.p[1];
            r.p += 2;
        } else {
            WD_TRY(rle_literal(&r, v, err));
        }
    }
    return WD_OK;
}

wd_status wd_image__bmp(wd_span in, wd_image__out *out, wd_err *err)
{
    bmp b = { .in = in };
    wd_image im = { 0 };

    WD_TRY(read_head(&b, err));
    if (b.compression != RLE8 && b.compression != RLE4 &&
        (uint64_t)b.width * b.bits / 8 * b.height >
            in.n) /* before memory is taken for what cannot be there */
        return cut_off(err);
    WD_TRY(wd_image_init(&im, b.width, b.height, err));
    wd_status st = b.compression == RLE8 || b.compression == RLE4 ? read_runs(&b, &im, err)
                                                                  : read_plain(&b, &im, err);
    if (st) {
        wd_image_free(&im);
        return st;
    }
    *out = (wd_image__out){ im, 1 };
    return WD_OK;
}
