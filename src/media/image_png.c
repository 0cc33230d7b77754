/* PNG through libpng. As with JPEG, the library's longjmp is caught in one function that owns nothing. */
#include <png.h>
#include <stdio.h>

#include "media/image_inner.h"

#define CHUNK_MAX (8u << 20) /* one ancillary chunk, unpacked */
#define CHUNKS_MAX 1000

typedef struct job {
    png_structp png;
    png_infop info;
    wd_span in;
    size_t at;
    wd_image image;
    uint8_t *pixels; /* [height][width][4] or [3], shrunk to image.rgb at the end */
    png_bytep *rows; /* [height] */
    uint32_t orientation;
    wd_status code; /* of what failed outside the library */
    wd_err *err;
    char text[200];
} job;

static void fail(png_structp png, png_const_charp text)
{
    job *j = png_get_error_ptr(png);
    snprintf(j->text, sizeof j->text, "%s", text);
    png_longjmp(png, 1);
}

static void ignore(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void read_bytes(png_structp png, png_bytep to, size_t n)
{
    job *j = png_get_io_ptr(png);
    if (n > j->in.n - j->at)
        png_error(png, "the file is cut off");
    memcpy(to, j->in.p + j->at, n);
    j->at += n;
}

static png_voidp take(png_structp png, png_alloc_size_t n)
{
    (void)png;
    return wd_calloc(n, 1);
}

static void give(png_structp png, png_voidp p)
{
    (void)png;
    wd_free(p);
}

/* Everything to 8-bit RGB or RGBA. True when there is alpha. */
static bool set_transforms(job *j)
{
    png_structp png = j->png;
    const int type = png_get_color_type(png, j->info), depth = png_get_bit_depth(png, j->info);
    const bool clear = png_get_valid(png, j->info, PNG_INFO_tRNS) != 0;

    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    if (type == PNG_COLOR_TYPE_GRAY && depth < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    if (clear)
        png_set_tRNS_to_alpha(png);
    if (depth == 16)
        png_set_strip_16(png); /* the high byte */
    if (!(type & PNG_COLOR_MASK_COLOR))
        png_set_gray_to_rgb(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, j->info);
    return clear || (type & PNG_COLOR_MASK_ALPHA);
}

static wd_status take_memory(job *j, size_t channels)
{
    const uint32_t w = j->image.width, h = j->image.height;
    if (png_get_rowbytes(j->png, j->info) != w * channels)
        return WD_FAIL(j->err, WD_E_INTERNAL, "PNG: rows of %zu bytes", png_get_rowbytes(j->png, j->info));
    j->pixels = wd_calloc((size_t)w * h, channels);
    j->rows = WD_ALLOC_N(png_bytep, h);
    if (!j->pixels || !j->rows)
        return WD_FAIL(j->err, WD_E_NOMEM, "PNG: no memory for %u x %u pixels", w, h);
    for (uint32_t y = 0; y < h; y++)
        j->rows[y] = j->pixels + (size_t)y * w * channels;
    return WD_OK;
}

/* An index that the palette does not have is no colour. */
static wd_status check_palette(job *j)
{
    png_colorp colors;
    int n = 0;
    if (!png_get_PLTE(j->png, j->info, &colors, &n) ||
        png_get_color_type(j->png, j->info) != PNG_COLOR_TYPE_PALETTE)
        return WD_OK;
    if (png_get_palette_max(j->png, j->info) >= n)
        return WD_FAIL(j->err, WD_E_CORRUPT, "PNG: a pixel of colour %d in a palette of %d",
                       png_get_palette_max(j->png, j->info), n);
    return WD_OK;
}

/* False: j->code says why, or j->text when it is WD_OK. */
static bool decode(job *j)
{
    png_bytep exif;
    png_uint_32 n_exif;

    if (setjmp(png_jmpbuf(j->png)))
        return false;
    png_set_read_fn(j->png, j, read_bytes);
    png_set_user_limits(j->png, WD_IMAGE_SIDE_MAX, WD_IMAGE_SIDE_MAX);
    png_set_chunk_malloc_max(j->png, CHUNK_MAX);
    png_set_chunk_cache_max(j->png, CHUNKS_MAX);
    png_set_keep_unknown_chunks(j->png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
    png_set_check_for_invalid_index(j->png, 1);
    png_read_info(j->png, j->info);
    j->image.width = png_get_image_width(j->png, j->info);
    j->image.height = png_get_image_height(j->png, j->info);
    if ((j->code = wd_image__check_size(WD_IMAGE_KIND_PNG, j->image.width, j->image.height, j->err)))
        return false;
    const bool palette = png_get_color_type(j->png, j->info) == PNG_COLOR_TYPE_PALETTE;
    const bool alpha = set_transforms(j);
    if ((j->code = take_memory(j, alpha ? 4 : 3)))
        return false;
    png_read_image(j->png, j->rows);
    png_read_end(j->png, j->info);
    if (palette && (j->code = check_palette(j)))
        return false;
    if (alpha)
        wd_image__rgba_to_rgb(j->pixels, (size_t)j->image.width * j->image.height);
    if (png_get_eXIf_1(j->png, j->info, &n_exif, &exif))
        j->orientation = wd_image__exif_orientation(wd_span_of(exif, n_exif));
    return true;
}

/* The width and height that the header claims, before the library sees them: its own refusal does not name them. */
static wd_status check_header(wd_span in, wd_err *err)
{
    if (in.n < 33)
        return WD_FAIL(err, WD_E_CORRUPT, "PNG: %zu bytes; the header alone has 33", in.n);
    uint32_t side[2];
    for (size_t i = 0; i < 2; i++) {
        const uint8_t *p = in.p + 16 + 4 * i;
        side[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    }
    return wd_image__check_size(WD_IMAGE_KIND_PNG, side[0], side[1], err);
}

wd_status wd_image__png(wd_span in, wd_image__out *out, wd_err *err)
{
    wd_status st;
    WD_TRY(check_header(in, err));
    job *j = WD_ALLOC(job);
    if (!j)
        return WD_FAIL(err, WD_E_NOMEM, "PNG: no memory");
    *j = (job){ .in = in, .orientation = 1, .err = err };
    j->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, j, fail, ignore, NULL, take, give);
    j->info = j->png ? png_create_info_struct(j->png) : NULL;
    if (!j->info) {
        st = WD_FAIL(err, WD_E_NOMEM, "PNG: no memory");
        goto out;
    }
    st = WD_OK;
    if (!decode(j)) {
        st = j->code;
        if (!st)
            st = WD_FAIL(err, strstr(j->text, "memory") ? WD_E_NOMEM : WD_E_CORRUPT, "PNG: %s", j->text);
        goto out;
    }
    const size_t n = (size_t)j->image.width * j->image.height * 3;
    uint8_t *rgb = wd_realloc(j->pixels, n, 1); /* gives back the room of alpha; a refusal changes nothing */
    j->image.rgb = rgb ? rgb : j->pixels;
    j->pixels = NULL;
    *out = (wd_image__out){ j->image, j->orientation };
out:
    png_destroy_read_struct(&j->png, &j->info, NULL);
    wd_free(j->pixels);
    wd_free(j->rows);
    wd_free(j);
    return st;
}
