/* The first frame of a GIF: the file's blocks up to it, and the LZW codes of its pixels (GIF89a, appendix F). */
#include "media/image_inner.h"

#define CODES 4096
#define NO_COLOUR 256u /* no transparent colour */

typedef struct reader {
    wd_span in;
    size_t at;
} reader;

typedef struct gif {
    reader r;
    uint32_t width, height; /* of the canvas */
    uint32_t x, y, w, h;    /* of the frame on it */
    bool interlaced;
    uint32_t transparent; /* colour, or NO_COLOUR */
    uint8_t colours[256][3];
    uint32_t n_colour; /* 0: none given, and pixels are grey levels */
} gif;

/* A string of pixels is a shorter string and one more pixel. */
typedef struct lzw {
    uint16_t prefix[CODES];
    uint8_t last[CODES];
    uint8_t first[CODES];
    uint16_t length[CODES];
    uint32_t next, bits, root_bits;
    uint64_t hold; /* bits read and not used */
    uint32_t n_hold;
    size_t block_left;
} lzw;

static wd_status cut_off(wd_err *err)
{
    return WD_FAIL(err, WD_E_CORRUPT, "GIF: the file is cut off");
}

static bool get(reader *r, size_t n, const uint8_t **p)
{
    if (n > r->in.n - r->at)
        return false;
    *p = r->in.p + r->at;
    r->at += n;
    return true;
}

static wd_status skip_blocks(reader *r, wd_err *err)
{
    const uint8_t *p;
    for (;;) {
        if (!get(r, 1, &p))
            return cut_off(err);
        if (!*p)
            return WD_OK;
        if (!get(r, *p, &p))
            return cut_off(err);
    }
}

static wd_status read_colours(gif *g, uint32_t flags, wd_err *err)
{
    const uint8_t *p;
    if (!(flags & 0x80))
        return WD_OK;
    g->n_colour = 2u << (flags & 7);
    if (!get(&g->r, g->n_colour * 3, &p))
        return cut_off(err);
    memcpy(g->colours, p, g->n_colour * 3);
    return WD_OK;
}

static wd_status read_extension(gif *g, wd_err *err)
{
    const uint8_t *p;
    if (!get(&g->r, 1, &p))
        return cut_off(err);
    if (*p == 0xF9 && g->r.in.n - g->r.at >= 5 && g->r.in.p[g->r.at] >= 4) { /* graphic control */
        const uint8_t *c = g->r.in.p + g->r.at + 1;
        g->transparent = c[0] & 1 ? c[3] : NO_COLOUR;
    }
    return skip_blocks(&g->r, err);
}

/* From the signature to the first frame's pixel data. */
static wd_status read_head(gif *g, wd_err *err)
{
    const uint8_t *p;
    if (!get(&g->r, 13, &p))
        return cut_off(err);
    g->width = wd_le16(p + 6);
    g->height = wd_le16(p + 8);
    WD_TRY(read_colours(g, p[10], err));
    for (;;) {
        if (!get(&g->r, 1, &p))
            return cut_off(err);
        if (*p == '!') {
            WD_TRY(read_extension(g, err));
        } else if (*p == ';') {
            return WD_FAIL(err, WD_E_CORRUPT, "GIF: no picture in the file");
        } else if (*p == ',') {
            break;
        } else {
            return WD_FAIL(err, WD_E_CORRUPT, "GIF: byte 0x%02x where a block should begin", *p);
        }
    }
    if (!get(&g->r, 9, &p))
        return cut_off(err);
    g->x = wd_le16(p), g->y = wd_le16(p + 2), g->w = wd_le16(p + 4), g->h = wd_le16(p + 6);
    g->interlaced = p[8] & 0x40;
    WD_TRY(read_colours(g, p[8], err));
    WD_TRY(wd_image__check_size(WD_IMAGE_KIND_GIF, g->w, g->h, err));
    g->width = WD_MAX(g->width, g->x + g->w); /* a frame may reach beyond the canvas that the file states */
    g->height = WD_MAX(g->height, g->y + g->h);
    return wd_image__check_size(WD_IMAGE_KIND_GIF, g->width, g->height, err);
}

static void lzw_clear(lzw *z)
{
    z->next = (1u << z->root_bits) + 2;
    z->bits = z->root_bits + 1;
}

static wd_status lzw_code(lzw *z, reader *r, uint32_t *code, wd_err *err)
{
    const uint8_t *p;
    while (z->n_hold < z->bits) {
        if (!get(r, 1, &p))
            return cut_off(err);
        if (z->block_left == 0) {
            z->block_left = *p;
            if (!*p)
                return WD_FAIL(err, WD_E_CORRUPT, "GIF: the pixel data ends before the last pixel");
            continue;
        }
        z->hold |= (uint64_t)*p << z->n_hold;
        z->n_hold += 8;
        z->block_left--;
    }
    *code = (uint32_t)z->hold & ((1u << z->bits) - 1);
    z->hold >>= z->bits;
    z->n_hold -= z->bits;
    return WD_OK;
}

static void lzw_add(lzw *z, uint32_t prefix, uint8_t last)
{
    if (z->next == CODES)
        return; /* full: the codes stay as they are until the next clear */
    z->prefix[z->next] = (uint16_t)prefix;
    z->last[z->next] = last;
    z->first[z->next] = z->first[prefix];
    z->length[z->next] = (uint16_t)(z->length[prefix] + 1);
    z->next++;
    if (z->next == 1u << z->bits && z->bits < 12)
        z->bits++;
}

/* The n pixels of the frame, in the order of the file. */
static wd_status lzw_decode(lzw *z, reader *r, uint8_t *to, size_t n, wd_err *err)
{
    const uint32_t clear = 1u << z->root_bits, end = clear + 1;
    uint32_t before = end; /* none */
    size_t at = 0;

    for (uint32_t i = 0; i < clear; i++) {
        z->first[i] = z->last[i] = (uint8_t)i;
        z->length[i] = 1;
    }
    lzw_clear(z);
    while (at < n) {
        uint32_t code = end;
        WD_TRY(lzw_code(z, r, &code, err));
        if (code == clear) {
            lzw_clear(z);
            before = end;
            continue;
        }
        if (code == end)
            return WD_FAIL(err, WD_E_CORRUPT, "GIF: the pixel data ends before the last pixel");
        if (code > z->next || (code == z->next && (before == end || z->next == CODES)) ||
            (before == end && code > clear))
            return WD_FAIL(err, WD_E_CORRUPT, "GIF: the pixel data is damaged");
        if (before != end)
            lzw_add(z, before, z->first[code == z->next ? before : code]);
        const size_t length = z->length[code];
        uint32_t c = code;
        for (size_t k = length; k-- > 0; c = z->prefix[c]) {
            if (at + k < n)
                to[at + k] = z->last[c];
        }
        at += length;
        before = code;
    }
    return WD_OK;
}

static wd_status read_pixels(gif *g, uint8_t *index, wd_err *err)
{
    const uint8_t *p;
    if (!get(&g->r, 1, &p))
        return cut_off(err);
    if (*p < 1 || *p > 8)
        return WD_FAIL(err, WD_E_CORRUPT, "GIF: codes of %u bits; 1 to 8 expected", *p);
    lzw *z = WD_ALLOC(lzw);
    if (!z)
        return WD_FAIL(err, WD_E_NOMEM, "GIF: no memory");
    z->root_bits = *p;
    const wd_status st = lzw_decode(z, &g->r, index, (size_t)g->w * g->h, err);
    wd_free(z);
    return st;
}

/* Row of the frame that the i-th row of the file is. */
static uint32_t row_of(const gif *g, uint32_t i)
{
    static const uint32_t first[] = { 0, 4, 2, 1 }, step[] = { 8, 8, 4, 2 };
    if (!g->interlaced)
        return i;
    for (size_t pass = 0; pass < 3; pass++) {
        const uint32_t n = g->h > first[pass] ? (g->h - first[pass] + step[pass] - 1) / step[pass] : 0;
        if (i < n)
            return first[pass] + i * step[pass];
        i -= n;
    }
    return first[3] + i * step[3];
}

static wd_status paint(const gif *g, const uint8_t *index, wd_image *im, wd_err *err)
{
    static const uint8_t white[3] = { 255, 255, 255 };
    const uint8_t *around = g->transparent != NO_COLOUR ? white : g->colours[0];

    if (g->w != g->width || g->h != g->height)
        wd_image__fill(im, around);
    for (uint32_t i = 0; i < g->h; i++) {
        uint8_t *q = im->rgb + ((size_t)(g->y + row_of(g, i)) * g->width + g->x) * 3;
        const uint8_t *p = index + (size_t)i * g->w;
        for (uint32_t x = 0; x < g->w; x++, q += 3) {
            if (p[x] >= g->n_colour)
                return WD_FAIL(err, WD_E_CORRUPT, "GIF: a pixel of colour %u in a palette of %u", p[x],
                               g->n_colour);
            memcpy(q, p[x] == g->transparent ? white : g->colours[p[x]], 3);
        }
    }
    return WD_OK;
}

wd_status wd_image__gif(wd_span in, wd_image__out *out, wd_err *err)
{
    gif g = { .r = { in, 0 }, .transparent = NO_COLOUR };
    wd_image im = { 0 };

    WD_TRY(read_head(&g, err));
    if (!g.n_colour) {
        g.n_colour = 256;
        for (size_t i = 0; i < 256; i++)
            memset(g.colours[i], (int)i, 3);
    }
    uint8_t *index = wd_calloc(g.w, g.h);
    if (!index)
        return WD_FAIL(err, WD_E_NOMEM, "GIF: no memory for %u x %u pixels", g.w, g.h);
    wd_status st = read_pixels(&g, index, err);
    if (!st)
        st = wd_image_init(&im, g.width, g.height, err);
    if (!st)
        st = paint(&g, index, &im, err);
    wd_free(index);
    if (st) {
        wd_image_free(&im);
        return st;
    }
    *out = (wd_image__out){ im, 1 };
    return WD_OK;
}
