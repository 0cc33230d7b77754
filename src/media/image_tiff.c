/* TIFF through libtiff: strips or tiles are taken decompressed and turned into RGB here, so that every sample format
 * has one stated rule. Only YCbCr that is not JPEG goes through the library's own conversion.
 */
#include <stdio.h>
#include <tiffio.h>

#include "media/image_inner.h"

#define CHANNELS_MAX 16
#define PIECE_MAX ((tmsize_t)1 << 30) /* bytes of one strip or tile, unpacked */

typedef struct job {
    wd_span in;
    size_t at;
    TIFF *t;
    wd_err *err;
    uint32_t width, height;
    uint16_t bits, channels, photometric, planar, compression;
    bool alpha, premultiplied; /* of the channel after the colours */
    uint16_t n_colour;         /* channels of colour: 1, 3 or 4 */
    bool tiled;
    uint32_t piece_w, piece_h; /* of a strip or tile */
    uint8_t *piece[5];         /* [1] or, when planes are separate, one each */
    uint8_t *line;             /* [piece_w][n_colour + alpha] as bytes */
    uint16_t *map[3];          /* palette; the library's memory */
    wd_image image;
    char text[200];
} job;

/* ---- the file, for libtiff ---- */

static tmsize_t read_bytes(thandle_t h, void *to, tmsize_t n)
{
    job *j = h;
    if (n < 0 || j->at >= j->in.n)
        return 0;
    const size_t got = WD_MIN((size_t)n, j->in.n - j->at);
    memcpy(to, j->in.p + j->at, got);
    j->at += got;
    return (tmsize_t)got;
}

static tmsize_t write_bytes(thandle_t h, void *from, tmsize_t n)
{
    (void)h, (void)from, (void)n;
    return 0;
}

static toff_t seek(thandle_t h, toff_t to, int whence)
{
    job *j = h;
    j->at = (size_t)(whence == SEEK_CUR ? j->at + to : whence == SEEK_END ? j->in.n + to : to);
    return j->at;
}

static toff_t size_of(thandle_t h)
{
    return ((const job *)h)->in.n;
}

static int close_none(thandle_t h)
{
    (void)h;
    return 0;
}

static int map(thandle_t h, void **p, toff_t *n)
{
    const job *j = h;
    *p = (void *)(uintptr_t)j->in.p;
    *n = j->in.n;
    return 1;
}

static void unmap(thandle_t h, void *p, toff_t n)
{
    (void)h, (void)p, (void)n;
}

/* Keeps the first error's sentence: later ones are its consequences. */
static int keep_text(TIFF *t, void *ctx, const char *module, const char *fmt, va_list ap)
{
    job *j = ctx;
    (void)t, (void)module;
    if (!j->text[0])
        vsnprintf(j->text, sizeof j->text, fmt, ap);
    return 1;
}

static int ignore(TIFF *t, void *ctx, const char *module, const char *fmt, va_list ap)
{
    (void)t, (void)ctx, (void)module, (void)fmt, (void)ap;
    return 1;
}

static wd_status damaged(const job *j)
{
    return WD_FAIL(j->err, WD_E_CORRUPT, "TIFF: %s", j->text[0] ? j->text : "the data is damaged or cut off");
}

static wd_status open_file(job *j)
{
    TIFFOpenOptions *o = TIFFOpenOptionsAlloc();
    if (!o)
        return WD_FAIL(j->err, WD_E_NOMEM, "TIFF: no memory");
    TIFFOpenOptionsSetErrorHandlerExtR(o, keep_text, j);
    TIFFOpenOptionsSetWarningHandlerExtR(o, ignore, j);
    j->t = TIFFClientOpenExt("file", "r", j, read_bytes, write_bytes, seek, close_none, size_of, map, unmap,
                             o);
    TIFFOpenOptionsFree(o);
    return j->t ? WD_OK : damaged(j);
}

/* ---- what kind of picture it is ---- */

static const char *photometric_name(uint16_t p)
{
    switch (p) {
    case PHOTOMETRIC_CIELAB:
    case PHOTOMETRIC_ICCLAB:
    case PHOTOMETRIC_ITULAB:
        return "CIE L*a*b*";
    case PHOTOMETRIC_LOGL:
    case PHOTOMETRIC_LOGLUV:
        return "logarithmic";
    case PHOTOMETRIC_CFA:
        return "raw sensor";
    case PHOTOMETRIC_MASK:
        return "mask";
    default:
        return "unknown";
    }
}

static wd_status choose_colours(job *j)
{
    switch (j->photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK:
    case PHOTOMETRIC_PALETTE:
        j->n_colour = 1;
        break;
    case PHOTOMETRIC_RGB:
    case PHOTOMETRIC_YCBCR:
        j->n_colour = 3;
        break;
    case PHOTOMETRIC_SEPARATED:
        j->n_colour = 4;
        break;
    default:
        return WD_FAIL(j->err, WD_E_UNSUPPORTED, "TIFF: %s pixels (photometric %u)",
                       photometric_name(j->photometric), j->photometric);
    }
    if (j->channels < j->n_colour || j->channels > CHANNELS_MAX)
        return WD_FAIL(j->err, WD_E_UNSUPPORTED, "TIFF: %u channels where %u are expected", j->channels,
                       j->n_colour);
    return WD_OK;
}

static void choose_alpha(job *j)
{
    uint16_t n = 0, *kinds = NULL;
    if (j->channels == j->n_colour || j->n_colour == 4 || j->photometric == PHOTOMETRIC_PALETTE)
        return;
    if (!TIFFGetField(j->t, TIFFTAG_EXTRASAMPLES, &n, &kinds) || !n) {
        j->alpha = j->photometric == PHOTOMETRIC_RGB && j->channels == 4; /* written by careless programs */
        return;
    }
    j->alpha = kinds[0] == EXTRASAMPLE_ASSOCALPHA || kinds[0] == EXTRASAMPLE_UNASSALPHA;
    j->premultiplied = kinds[0] == EXTRASAMPLE_ASSOCALPHA;
}

static wd_status check_samples(job *j)
{
    uint16_t format = SAMPLEFORMAT_UINT;
    TIFFGetFieldDefaulted(j->t, TIFFTAG_SAMPLEFORMAT, &format);
    if (format != SAMPLEFORMAT_UINT && format != SAMPLEFORMAT_VOID)
        return WD_FAIL(j->err, WD_E_UNSUPPORTED,
                       "TIFF: %u-bit %s samples; unsigned ones of 1 to 16 bits are read", j->bits,
                       format == SAMPLEFORMAT_INT ? "signed" : "floating-point");
    const bool small = j->bits == 1 || j->bits == 2 || j->bits == 4;
    if (j->bits != 8 && j->bits != 16 && !(small && j->n_colour == 1))
        return WD_FAIL(j->err, WD_E_UNSUPPORTED, "TIFF: %u bits per sample", j->bits);
    if (j->photometric == PHOTOMETRIC_PALETTE) {
        if (j->bits > 8)
            return WD_FAIL(j->err, WD_E_UNSUPPORTED, "TIFF: a palette of %u bits", j->bits);
        if (!TIFFGetField(j->t, TIFFTAG_COLORMAP, &j->map[0], &j->map[1], &j->map[2]))
            return WD_FAIL(j->err, WD_E_CORRUPT, "TIFF: a palette picture without a palette");
    }
    return WD_OK;
}

static wd_status read_head(job *j)
{
    TIFF *t = j->t;
    if (!TIFFGetField(t, TIFFTAG_IMAGEWIDTH, &j->width) || !TIFFGetField(t, TIFFTAG_IMAGELENGTH, &j->height))
        return damaged(j);
    WD_TRY(wd_image__check_size(WD_IMAGE_KIND_TIFF, j->width, j->height, j->err));
    TIFFGetFieldDefaulted(t, TIFFTAG_BITSPERSAMPLE, &j->bits);
    TIFFGetFieldDefaulted(t, TIFFTAG_SAMPLESPERPIXEL, &j->channels);
    TIFFGetFieldDefaulted(t, TIFFTAG_PLANARCONFIG, &j->planar);
    TIFFGetFieldDefaulted(t, TIFFTAG_COMPRESSION, &j->compression);
    if (!TIFFGetField(t, TIFFTAG_PHOTOMETRIC, &j->photometric))
        return WD_FAIL(j->err, WD_E_CORRUPT,
                       "TIFF: the file does not say what its samples mean (no photometric tag)");
    if (j->compression == COMPRESSION_OJPEG)
        return WD_FAIL(j->err, WD_E_UNSUPPORTED, "TIFF: old-style JPEG compression");
    if (!TIFFIsCODECConfigured(j->compression))
        return WD_FAIL(j->err, WD_E_UNSUPPORTED, "TIFF: compression %u", j->compression);
    if (j->planar != PLANARCONFIG_CONTIG && j->planar != PLANARCONFIG_SEPARATE)
        return WD_FAIL(j->err, WD_E_CORRUPT, "TIFF: planar configuration %u", j->planar);
    WD_TRY(choose_colours(j));
    choose_alpha(j);
    return check_samples(j);
}

/* ---- pixels ---- */

/* One line of a strip or tile as bytes [n][n_colour + alpha]; samples below 8 bits keep their value. */
static void unpack(const job *j, uint32_t y, uint32_t n)
{
    const uint32_t used = j->n_colour + j->alpha;
    const bool separate = j->planar == PLANARCONFIG_SEPARATE;
    const size_t stride = separate ? 1 : j->channels; /* samples from pixel to pixel */
    const size_t row_bytes = ((size_t)j->piece_w * stride * j->bits + 7) / 8;

    for (uint32_t c = 0; c < used; c++) {
        const uint8_t *row = j->piece[separate ? c : 0] + y * row_bytes;
        uint8_t *q = j->line + c;
        size_t i = separate ? 0 : c;
        for (uint32_t x = 0; x < n; x++, i += stride, q += used) {
            if (j->bits == 8) {
                *q = row[i];
            } else if (j->bits == 16) {
                uint16_t v;
                memcpy(&v, row + 2 * i, 2); /* native order by now */
                *q = (uint8_t)(v >> 8);
            } else {
                const size_t bit = i * j->bits;
                *q = (uint8_t)(row[bit / 8] >> (8 - j->bits - bit % 8) & ((1u << j->bits) - 1));
            }
        }
    }
}

static void grey(const job *j, const uint8_t *s, uint8_t *rgb)
{
    const uint32_t most = j->bits >= 8 ? 255 : (1u << j->bits) - 1;
    const uint32_t v = s[0] * (255 / most); /* 255 is a multiple of 1, 3, 15 and 255 */
    memset(rgb, (int)(j->photometric == PHOTOMETRIC_MINISWHITE ? 255 - v : v), 3);
}

static void put_pixel(const job *j, const uint8_t *s, uint8_t *rgb)
{
    switch (j->photometric) {
    case PHOTOMETRIC_PALETTE:
        for (size_t c = 0; c < 3; c++)
            rgb[c] = (uint8_t)(j->map[c][s[0]] >> 8);
        return;
    case PHOTOMETRIC_SEPARATED:
        wd_image__cmyk_to_rgb(s, rgb);
        return;
    case PHOTOMETRIC_RGB:
    case PHOTOMETRIC_YCBCR: /* JPEG: the codec has made it RGB */
        memcpy(rgb, s, 3);
        break;
    default:
        grey(j, s, rgb);
    }
    if (!j->alpha)
        return;
    const uint32_t a = s[j->n_colour];
    for (size_t c = 0; c < 3; c++) {
        uint32_t v = rgb[c];
        if (j->premultiplied)
            v = a ? WD_MIN(v * 255 / a, 255) : 0; /* back to plain alpha first: as Pillow */
        rgb[c] = wd_image__on_white(v, a);
    }
}

/* Decompresses the piece whose first pixel is at x, y. rows: how many of it are wanted. */
static wd_status load_piece(job *j, uint32_t x, uint32_t y, uint32_t rows)
{
    const bool separate = j->planar == PLANARCONFIG_SEPARATE;
    for (uint16_t c = 0; c < (separate ? j->n_colour + j->alpha : 1); c++) {
        tmsize_t want, got;
        if (j->tiled) {
            want = TIFFTileSize(j->t);
            got = TIFFReadEncodedTile(j->t, TIFFComputeTile(j->t, x, y, 0, c), j->piece[c], want);
        } else {
            want = TIFFVStripSize(j->t, rows);
            got = TIFFReadEncodedStrip(j->t, TIFFComputeStrip(j->t, y, c), j->piece[c], want);
        }
        if (got < want)
            return damaged(j);
    }
    return WD_OK;
}

static wd_status take_memory(job *j)
{
    const bool separate = j->planar == PLANARCONFIG_SEPARATE;
    const tmsize_t bytes = j->tiled ? TIFFTileSize(j->t) : TIFFStripSize(j->t);
    const size_t stride = separate ? 1 : j->channels;

    if (bytes <= 0 || !j->piece_w || !j->piece_h)
        return damaged(j);
    if (bytes > PIECE_MAX)
        return WD_FAIL(j->err, WD_E_LIMIT, "TIFF: strips or tiles of %lld bytes, at most %lld",
                       (long long)bytes, (long long)PIECE_MAX);
    /* What unpack() will read must be what the library fills. */
    const uint64_t row = ((uint64_t)j->piece_w * stride * j->bits + 7) / 8;
    if (row * WD_MIN(j->piece_h, j->tiled ? UINT32_MAX : j->height) > (uint64_t)bytes)
        return damaged(j);
    for (uint16_t c = 0; c < (separate ? j->n_colour + j->alpha : 1); c++) {
        j->piece[c] = wd_calloc((size_t)bytes, 1);
        if (!j->piece[c])
            return WD_FAIL(j->err, WD_E_NOMEM, "TIFF: no memory for a strip of %lld bytes", (long long)bytes);
    }
    j->line = wd_calloc(j->piece_w, (size_t)j->n_colour + j->alpha);
    if (!j->line)
        return WD_FAIL(j->err, WD_E_NOMEM, "TIFF: no memory for a line of %u pixels", j->piece_w);
    return wd_image_init(&j->image, j->width, j->height, j->err);
}

static wd_status read_pieces(job *j)
{
    const uint32_t used = j->n_colour + j->alpha;
    j->tiled = TIFFIsTiled(j->t);
    if (j->tiled) {
        TIFFGetField(j->t, TIFFTAG_TILEWIDTH, &j->piece_w);
        TIFFGetField(j->t, TIFFTAG_TILELENGTH, &j->piece_h);
    } else {
        j->piece_w = j->width;
        TIFFGetFieldDefaulted(j->t, TIFFTAG_ROWSPERSTRIP, &j->piece_h);
        j->piece_h = WD_MIN(j->piece_h, j->height);
    }
    WD_TRY(take_memory(j));
    for (uint32_t y0 = 0; y0 < j->height; y0 += WD_MIN(j->piece_h, j->height - y0)) {
        const uint32_t rows = WD_MIN(j->piece_h, j->height - y0);
        for (uint32_t x0 = 0; x0 < j->width; x0 += WD_MIN(j->piece_w, j->width - x0)) {
            const uint32_t n = WD_MIN(j->piece_w, j->width - x0);
            WD_TRY(load_piece(j, x0, y0, rows));
            for (uint32_t y = 0; y < rows; y++) {
                uint8_t *q = j->image.rgb + ((size_t)(y0 + y) * j->width + x0) * 3;
                unpack(j, y, n);
                for (uint32_t x = 0; x < n; x++)
                    put_pixel(j, j->line + (size_t)x * used, q + 3 * (size_t)x);
            }
        }
    }
    return WD_OK;
}

/* YCbCr with its own subsampling: libtiff's conversion. */
static wd_status read_ycbcr(job *j)
{
    const size_t n = (size_t)j->width * j->height;
    uint32_t *raster = WD_ALLOC_N(uint32_t, n);
    if (!raster)
        return WD_FAIL(j->err, WD_E_NOMEM, "TIFF: no memory for %u x %u pixels", j->width, j->height);
    wd_status st = wd_image_init(&j->image, j->width, j->height, j->err);
    if (!st && (!TIFFSetField(j->t, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT) ||
                !TIFFReadRGBAImageOriented(j->t, j->width, j->height, raster, ORIENTATION_TOPLEFT, 1)))
        st = damaged(j);
    for (size_t i = 0; !st && i < n; i++) {
        j->image.rgb[3 * i] = TIFFGetR(raster[i]);
        j->image.rgb[3 * i + 1] = TIFFGetG(raster[i]);
        j->image.rgb[3 * i + 2] = TIFFGetB(raster[i]);
    }
    wd_free(raster);
    return st;
}

static wd_status decode(job *j)
{
    uint16_t orientation = 1;
    WD_TRY(open_file(j));
    WD_TRY(read_head(j));
    TIFFGetField(j->t, TIFFTAG_ORIENTATION, &orientation);
    if (j->photometric != PHOTOMETRIC_YCBCR) {
        WD_TRY(read_pieces(j));
    } else if (j->compression == COMPRESSION_JPEG && j->planar == PLANARCONFIG_CONTIG) {
        if (!TIFFSetField(j->t, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB))
            return damaged(j);
        WD_TRY(read_pieces(j));
    } else {
        WD_TRY(read_ycbcr(j));
    }
    j->at = orientation >= 1 && orientation <= 8 ? orientation : 1;
    return WD_OK;
}

wd_status wd_image__tiff(wd_span in, wd_image__out *out, wd_err *err)
{
    job *j = WD_ALLOC(job);
    if (!j)
        return WD_FAIL(err, WD_E_NOMEM, "TIFF: no memory");
    j->in = in;
    j->err = err;
    const wd_status st = decode(j);
    if (!st) {
        *out = (wd_image__out){ j->image, (uint32_t)j->at };
        j->image = (wd_image){ 0 };
    }
    if (j->t)
        TIFFClose(j->t);
    for (size_t c = 0; c < WD_COUNT(j->piece); c++)
        wd_free(j->piece[c]);
    wd_free(j->line);
    wd_image_free(&j->image);
    wd_free(j);
    return st;
}
