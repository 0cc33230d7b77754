/* Bytes to patch rows. */
#include "vision/patches.h"

#include "vision/resize.h"
#include "vision/smart_resize.h"

uint32_t wd_patch_row_len(const wd_pixel_format *f)
{
    return 3 * f->temporal_patch_size * f->patch_size * f->patch_size;
}

static wd_status plan(wd_visual *v, const wd_pixel_format *f, uint32_t n_frame, uint32_t width,
                      uint32_t height, wd_err *err)
{
    const uint32_t factor = f->patch_size * f->merge_size;
    if (!n_frame || !width || !height || width % factor || height % factor)
        return WD_FAIL(err, WD_E_INVALID, "%u frames of %u x %u pixels: sides must be multiples of %u",
                       n_frame, width, height, factor);
    *v = (wd_visual){ .n_frame = n_frame, .width = width, .height = height, .format = *f };
    v->grid[0] = n_frame / f->temporal_patch_size + (n_frame % f->temporal_patch_size != 0);
    v->grid[1] = height / f->patch_size;
    v->grid[2] = width / f->patch_size;
    return WD_OK;
}

static wd_status take_room(wd_visual *v, wd_err *err)
{
    size_t n = 0;
    if (wd_mul_size((size_t)v->width * 3, v->height, &n) && wd_mul_size(n, v->n_frame, &n))
        v->rgb = wd_calloc(n, 1);
    if (!v->rgb)
        return WD_FAIL(err, WD_E_NOMEM, "%u frames of %u x %u pixels: no memory", v->n_frame, v->width,
                       v->height);
    return WD_OK;
}

wd_status wd_visual_init(wd_visual *v, const wd_pixel_format *f, uint32_t n_frame, uint32_t width,
                         uint32_t height, wd_err *err)
{
    wd_visual made;
    WD_TRY(plan(&made, f, n_frame, width, height, err));
    WD_TRY(take_room(&made, err));
    *v = made;
    return WD_OK;
}

void wd_visual_drop(wd_visual *v)
{
    wd_free(v->rgb);
    v->rgb = NULL;
}

void wd_visual_free(wd_visual *v)
{
    wd_free(v->rgb);
    *v = (wd_visual){ 0 };
}

wd_status wd_visual_plan_image(const wd_vision_processor *p, const wd_pixel_budget *budget,
                               const wd_image *im, wd_visual *out, wd_err *err)
{
    const wd_pixel_format *f = &p->image;
    wd_size size;
    WD_TRY(wd_smart_resize_image((wd_size){ im->height, im->width }, f->patch_size * f->merge_size,
                                 budget ? *budget : p->image_budget, &size, err));
    return plan(out, f, 1, size.width, size.height, err);
}

wd_status wd_visual_take_image(wd_visual *v, const wd_image *im, wd_err *err)
{
    WD_TRY(take_room(v, err));
    const wd_status st = wd_resize_rgb(im->rgb, im->width, im->height, v->rgb, v->width, v->height, err);
    if (st)
        wd_visual_drop(v);
    return st;
}

wd_status wd_visual_of_image(const wd_vision_processor *p, const wd_pixel_budget *budget, const wd_image *im,
                             wd_visual *out, wd_err *err)
{
    wd_visual v;
    WD_TRY(wd_visual_plan_image(p, budget, im, &v, err));
    WD_TRY(wd_visual_take_image(&v, im, err));
    *out = v;
    return WD_OK;
}

size_t wd_visual_group_rows(const wd_visual *v)
{
    return (size_t)v->grid[1] * v->grid[2];
}

size_t wd_visual_rows(const wd_visual *v)
{
    return v->grid[0] * wd_visual_group_rows(v);
}

size_t wd_visual_tokens(const wd_visual *v)
{
    return wd_visual_rows(v) / ((size_t)v->format.merge_size * v->format.merge_size);
}

/* The value of every byte. As the reference's fused step: mean and deviation are brought to byte scale in f32. */
static void make_table(const wd_pixel_format *f, float table[3][256])
{
    const float scale = (float)(1.0 / f->rescale);
    for (int c = 0; c < 3; c++) {
        const float mean = f->mean[c] * scale, std = f->std[c] * scale;
        for (int b = 0; b < 256; b++)
            table[c][b] = ((float)b - mean) / std;
    }
}

/* One frame's part of a row: [3][patch][patch], channels n_ch floats apart. */
static void fill_patch(float *out, size_t n_ch, const uint8_t *rgb, size_t stride, size_t patch,
                       const float table[3][256])
{
    for (size_t y = 0; y < patch; y++) {
        const uint8_t *p = rgb + y * stride;
        float *r = out + y * patch, *g = r + n_ch, *b = g + n_ch;
        for (size_t x = 0; x < patch; x++, p += 3) {
            r[x] = table[0][p[0]];
            g[x] = table[1][p[1]];
            b[x] = table[2][p[2]];
        }
    }
}

void wd_visual_fill(const wd_visual *v, size_t first, size_t n, float *out)
{
    const wd_pixel_format *f = &v->format;
    const size_t patch = f->patch_size, merge = f->merge_size, area = patch * patch;
    const size_t group = wd_visual_group_rows(v), n_ch = f->temporal_patch_size * area;
    const size_t stride = (size_t)v->width * 3, frame_bytes = stride * v->height;
    const size_t blocks_across = v->grid[2] / merge;
    float table[3][256];

    make_table(f, table);
    for (size_t i = first; i < first + n; i++, out += 3 * n_ch) {
        const size_t block = i % group / (merge * merge), in_block = i % (merge * merge);
        const size_t y = block / blocks_across * merge + in_block / merge;
        const size_t x = block % blocks_across * merge + in_block % merge;
        const uint8_t *at = v->rgb + y * patch * stride + x * patch * 3;
        size_t shown = SIZE_MAX; /* frame of the previous t */
        for (size_t t = 0; t < f->temporal_patch_size; t++) {
            const size_t frame = WD_MIN(i / group * f->temporal_patch_size + t, (size_t)v->n_frame - 1);
            float *part = out + t * area;
            if (frame != shown) {
                fill_patch(part, n_ch, at + frame * frame_bytes, stride, patch, (const float(*)[256])table);
            } else {
                for (size_t c = 0; c < 3; c++)
                    memcpy(part + c * n_ch, part + c * n_ch - area, area * sizeof *part);
            }
            shown = frame;
        }
    }
}
