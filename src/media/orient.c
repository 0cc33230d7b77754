/* Turning and mirroring. */
#include "media/orient.h"

/* Where row 0 and column 0 of the stored picture are to be shown, as in the EXIF standard. */
typedef struct way {
    bool swap;   /* stored columns become rows */
    bool flip_x; /* of the stored picture */
    bool flip_y;
} way;

static const way ways[9] = {
    [1] = { false, false, false }, [2] = { false, true, false }, [3] = { false, true, true },
    [4] = { false, false, true },  [5] = { true, false, false }, [6] = { true, false, true },
    [7] = { true, true, true },    [8] = { true, true, false },
};

wd_status wd_orient(wd_image *im, uint32_t orientation, wd_err *err)
{
    if (orientation < 2 || orientation > 8)
        return WD_OK;
    const way v = ways[orientation];
    const ptrdiff_t w = im->width, h = im->height;
    wd_image to = { 0 };
    WD_TRY(wd_image_init(&to, v.swap ? im->height : im->width, v.swap ? im->width : im->height, err));

    /* Steps through the stored picture, in pixels, for one step right and one step down in the shown one. */
    const ptrdiff_t step_x = v.flip_x ? -1 : 1, step_y = v.flip_y ? -w : w;
    const ptrdiff_t right = v.swap ? step_y : step_x, down = v.swap ? step_x : step_y;
    const uint8_t *row = im->rgb + 3 * ((v.flip_x ? w - 1 : 0) + (v.flip_y ? (h - 1) * w : 0));
    uint8_t *q = to.rgb;
    for (uint32_t y = 0; y < to.height; y++) {
        ptrdiff_t at = (ptrdiff_t)y * down;
        for (uint32_t x = 0; x < to.width; x++, at += right, q += 3)
            memcpy(q, row + 3 * at, 3);
    }
    wd_image_free(im);
    *im = to;
    return WD_OK;
}
