/* Positions of text, images and video groups on the three axes. */
#include "vision/positions.h"

/* The next image, or the next group of the current video. */
typedef struct source {
    const char *name;
    const uint32_t (*grid)[3];
    size_t n, i;    /* grids and the current one */
    uint32_t group; /* temporal group within it */
} source;

static wd_status next_segment(source *s, uint32_t merge, size_t at, uint32_t *h, uint32_t *w, wd_err *err)
{
    if (s->i == s->n)
        return WD_FAIL(err, WD_E_INVALID, "prompt: a %s placeholder at token %zu, but only %zu %ss are given",
                       s->name, at, s->n, s->name);
    const uint32_t *g = s->grid[s->i];
    if (!g[0] || !g[1] || !g[2] || g[1] % merge || g[2] % merge)
        return WD_FAIL(err, WD_E_INVALID, "%s %zu: a grid of %u x %u x %u patches does not merge by %u",
                       s->name, s->i, g[0], g[1], g[2], merge);
    *h = g[1] / merge;
    *w = g[2] / merge;
    if (++s->group == g[0])
        s->group = 0, s->i++;
    return WD_OK;
}

static wd_status check_done(const source *s, wd_err *err)
{
    if (s->i < s->n)
        return WD_FAIL(err, WD_E_INVALID, "prompt: placeholders for %zu of %zu %ss", s->i, s->n, s->name);
    return WD_OK;
}

static void put(const wd_positions_out *out, size_t i, int64_t t, int64_t h, int64_t w, int64_t visual)
{
    out->pos[0][i] = (int32_t)t;
    out->pos[1][i] = (int32_t)h;
    out->pos[2][i] = (int32_t)w;
    if (out->visual)
        out->visual[i] = (int32_t)visual;
}

/* The h * w placeholders that begin at ids[i]. */
static wd_status put_segment(const wd_positions_in *in, const wd_positions_out *out, const source *s,
                             size_t i, int64_t cur, uint32_t h, uint32_t w, int64_t visual, wd_err *err)
{
    const uint32_t token = in->ids[i];
    const uint64_t n = (uint64_t)h * w;
    for (uint64_t k = 0; k < n; k++) {
        if (i + k >= in->n || in->ids[i + k] != token)
            return WD_FAIL(err, WD_E_INVALID,
                           "prompt: %llu %s placeholders at token %zu where %llu are expected",
                           (unsigned long long)k, s->name, i, (unsigned long long)n);
        put(out, i + k, cur, cur + (int64_t)(k / w), cur + (int64_t)(k % w), visual + (int64_t)k);
    }
    return WD_OK;
}

wd_status wd_positions(const wd_positions_in *in, wd_positions_out *out, wd_err *err)
{
    source image = { "image", in->image_grid, in->n_image, 0, 0 };
    source video = { "video", in->video_grid, in->n_video, 0, 0 };
    int64_t cur = (int64_t)in->n_past + in->rope_delta, n_visual = 0;

    for (size_t i = 0; i < in->n_image; i++) {
        if (in->image_grid[i][0] != 1)
            return WD_FAIL(err, WD_E_INVALID, "image %zu: %u temporal groups, an image has 1", i,
                           in->image_grid[i][0]);
    }
    if (cur < 0 || in->n > INT32_MAX || cur > INT32_MAX - (int64_t)in->n)
        return WD_FAIL(err, WD_E_LIMIT, "prompt: %zu tokens from position %lld do not fit in 31 bits", in->n,
                       (long long)cur);
    /* A segment of n tokens moves cur by no more than n, so that no position overflows from here on. */
    for (size_t i = 0; i < in->n;) {
        const uint32_t id = in->ids[i];
        source *s = id == in->image_token ? &image : id == in->video_token ? &video : NULL;
        if (!s) {
            put(out, i++, cur, cur, cur, -1);
            cur++;
            continue;
        }
        uint32_t h = 1, w = 1;
        WD_TRY(next_segment(s, in->merge_size, i, &h, &w, err));
        WD_TRY(put_segment(in, out, s, i, cur, h, w, n_visual, err));
        i += (size_t)h * w;
        n_visual += (int64_t)h * w;
        cur += WD_MAX(h, w);
    }
    WD_TRY(check_done(&image, err));
    WD_TRY(check_done(&video, err));
    out->rope_delta = (int32_t)(cur - (int64_t)(in->n_past + in->n));
    return WD_OK;
}
