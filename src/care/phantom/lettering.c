/* FreeType, one glyph after another: no shaping, no kerning, which Latin and Chinese titles do not need. */
#include "care/phantom/lettering.h"

#include <ft2build.h>
#include <math.h>
#include <stdio.h>
#include FT_FREETYPE_H
#include FT_OUTLINE_H

#include "base/file.h"
#include "base/opt.h"
#include "base/utf8.h"

#define FONTS (WD_LETTERS_N + 1) /* the last one is the Chinese font */
#define HAN WD_LETTERS_N
#define SIZE_MIN 6u
#define SIZE_MAX_PX 400u

typedef struct place {
    const char *path, *package;
} place;

/* For each font, where it may be, best first. */
static const place places[FONTS][3] = {
    [WD_LETTERS_SANS] = { { "/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf", "fonts-dejavu-core" } },
    [WD_LETTERS_SERIF] = { { "/usr/share/fonts/truetype/dejavu/DejaVuSerif-Bold.ttf", "fonts-dejavu-core" } },
    [WD_LETTERS_MONO] = { { "/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf",
                            "fonts-dejavu-core" } },
    [HAN] = { { "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc", "fonts-wqy-microhei" },
              { "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf", "fonts-droid-fallback" } },
};

struct wd_lettering {
    FT_Library library;
    FT_Face face[FONTS];
};

static wd_status open_font(wd_lettering *l, int font, const char *dir, wd_err *err)
{
    for (const place *p = places[font]; p < places[font] + WD_COUNT(places[font]) && p->path; p++) {
        char path[4096];
        if (snprintf(path, sizeof path, "%s%s%s", dir ? dir : "", dir ? "/" : "",
                     dir ? wd_path_base(p->path) : p->path) >= (int)sizeof path)
            return WD_FAIL(err, WD_E_INVALID, "%s: the path is too long", dir);
        if (!wd_file_exists(path))
            continue;
        if (FT_New_Face(l->library, path, 0, &l->face[font]) != 0)
            return WD_FAIL(err, WD_E_CORRUPT, "%s: not a font that FreeType reads", path);
        return WD_OK;
    }
    const place *p = &places[font][0];
    return WD_FAIL(err, WD_E_NOT_FOUND, "%s%s%s: the font is not there; Debian's package %s has it",
                   dir ? dir : "", dir ? "/" : "", dir ? wd_path_base(p->path) : p->path, p->package);
}

wd_status wd_lettering_open(const char *dir, wd_lettering **out, wd_err *err)
{
    *out = NULL;
    dir = dir ? dir : wd_env("WARD_FONTS");
    wd_lettering *l = WD_ALLOC(wd_lettering);
    if (!l)
        return WD_FAIL(err, WD_E_NOMEM, "lettering: no memory");
    wd_status st = FT_Init_FreeType(&l->library) ? WD_FAIL(err, WD_E_NOMEM, "lettering: no memory") : WD_OK;
    for (int i = 0; !st && i < FONTS; i++)
        st = open_font(l, i, dir, err);
    if (st)
        wd_lettering_close(l);
    else
        *out = l;
    return st;
}

void wd_lettering_close(wd_lettering *l)
{
    if (!l)
        return;
    for (int i = 0; i < FONTS; i++)
        if (l->face[i])
            FT_Done_Face(l->face[i]);
    if (l->library)
        FT_Done_FreeType(l->library);
    wd_free(l);
}

/* The character's outline is loaded in the face that is returned; NULL with *err when none has it. */
static FT_Face load(wd_lettering *l, const wd_pen *pen, uint32_t cp, wd_err *err)
{
    const int order[2] = { (int)pen->letters, HAN };
    for (int i = 0; i < 2; i++) {
        FT_Face f = l->face[order[i]];
        const FT_UInt glyph = FT_Get_Char_Index(f, cp);
        if (!glyph)
            continue;
        if (FT_Set_Pixel_Sizes(f, 0, pen->size_px) != 0 ||
            FT_Load_Glyph(f, glyph, FT_LOAD_NO_HINTING | FT_LOAD_NO_BITMAP) != 0 ||
            f->glyph->format != FT_GLYPH_FORMAT_OUTLINE) {
            (void)WD_FAIL(err, WD_E_CORRUPT, "lettering: the font cannot draw U+%04X", (unsigned)cp);
            return NULL;
        }
        return f;
    }
    (void)WD_FAIL(err, WD_E_UNSUPPORTED, "lettering: no font has the character U+%04X", (unsigned)cp);
    return NULL;
}

static wd_status check(const wd_pen *pen, wd_err *err)
{
    if (pen->size_px < SIZE_MIN || pen->size_px > SIZE_MAX_PX || (unsigned)pen->letters >= WD_LETTERS_N)
        return WD_FAIL(err, WD_E_USAGE, "lettering: %u pixels, expected %u to %u", pen->size_px, SIZE_MIN,
                       SIZE_MAX_PX);
    return WD_OK;
}

static double advance(FT_Face f)
{
    return (double)f->glyph->linearHoriAdvance / 65536.0;
}

wd_status wd_lettering_width(wd_lettering *l, const wd_pen *pen, wd_span text, double *width, wd_err *err)
{
    double w = 0;
    size_t n;
    WD_TRY(check(pen, err));
    for (size_t at = 0; at < text.n; at += n) {
        FT_Face f = load(l, pen, wd_utf8_next(text, at, &n), err);
        if (!f)
            return err ? err->code : WD_E_UNSUPPORTED;
        w += advance(f);
    }
    *width = w;
    return WD_OK;
}

/* The glyph's bitmap with its top left corner at (left, top). */
static void paint(wd_image *im, const FT_Bitmap *b, int64_t left, int64_t top, const uint8_t rgb[3])
{
    for (uint32_t j = 0; j < b->rows; j++) {
        const int64_t y = top + j;
        for (uint32_t i = 0; y >= 0 && y < im->height && i < b->width; i++) {
            const int64_t x = left + i;
            if (x < 0 || x >= im->width)
                continue;
            const uint32_t a = b->buffer[(size_t)j * (size_t)b->pitch + i];
            uint8_t *p = im->rgb + 3 * ((size_t)y * im->width + (size_t)x);
            for (int k = 0; k < 3; k++)
                p[k] = (uint8_t)((p[k] * (255 - a) + rgb[k] * a + 127) / 255);
        }
    }
}

wd_status wd_lettering_draw(wd_lettering *l, wd_image *im, double x, double y, const wd_pen *pen,
                            wd_span text, wd_err *err)
{
    size_t n;
    WD_TRY(check(pen, err));
    for (size_t at = 0; at < text.n; at += n) {
        FT_Face f = load(l, pen, wd_utf8_next(text, at, &n), err);
        if (!f)
            return err ? err->code : WD_E_UNSUPPORTED;
        const double w = advance(f);
        if (f == l->face[HAN]) /* the one Chinese weight is light beside bold Latin */
            FT_Outline_Embolden(&f->glyph->outline, (FT_Pos)(pen->size_px * 64 / 26));
        if (FT_Render_Glyph(f->glyph, FT_RENDER_MODE_NORMAL) != 0)
            return WD_FAIL(err, WD_E_NOMEM, "lettering: a character cannot be drawn");
        paint(im, &f->glyph->bitmap, (int64_t)floor(x + 0.5) + f->glyph->bitmap_left,
              (int64_t)floor(y + 0.5) - f->glyph->bitmap_top, pen->rgb);
        x += w;
    }
    return WD_OK;
}
