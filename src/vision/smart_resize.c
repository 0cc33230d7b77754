/* Sizes of images and clips. Every expression keeps the reference's order of operations, in double. */
#include "vision/smart_resize.h"

#include <math.h>

#define CAP_SLACK 1.05             /* a frame may always cost so much of the minimum */
#define VENDOR_MIN_TOKENS 128      /* of a frame, in the vendor's utility */
#define VENDOR_TOTAL_TOKENS 115200 /* 0.9 * 128000, of a clip */

static wd_status check_aspect(double h, double w, wd_err *err)
{
    const double ratio = WD_MAX(h, w) / WD_MIN(h, w);
    if (ratio > WD_ASPECT_MAX)
        return WD_FAIL(
            err, WD_E_INVALID,
            "picture of %.0f x %.0f pixels: one side is %.1f times the other, at most %d is accepted", w, h,
            ratio, WD_ASPECT_MAX);
    return WD_OK;
}

/* h and w are the sides to be scaled, n the frames they count for, n_bar the same rounded to whole groups. */
static wd_size fit(double h, double w, double n, double n_bar, double f, wd_pixel_budget b)
{
    double h_bar = rint(h / f) * f, w_bar = rint(w / f) * f;

    if (n_bar * h_bar * w_bar > (double)b.max_pixels) {
        const double beta = sqrt(n * h * w / (double)b.max_pixels);
        h_bar = floor(h / beta / f) * f;
        w_bar = floor(w / beta / f) * f;
    } else if (n_bar * h_bar * w_bar < (double)b.min_pixels) {
        const double beta = sqrt((double)b.min_pixels / (n * h * w));
        h_bar = ceil(h * beta / f) * f;
        w_bar = ceil(w * beta / f) * f;
    }
    /* The reference clamps the first branch alone; elsewhere a side of 0 needs a minimum of next to nothing. */
    h_bar = fmin(fmax(h_bar, f), UINT32_MAX / 2);
    w_bar = fmin(fmax(w_bar, f), UINT32_MAX / 2);
    return (wd_size){ (uint32_t)h_bar, (uint32_t)w_bar };
}

wd_status wd_smart_resize_image(wd_size in, uint32_t factor, wd_pixel_budget budget, wd_size *out,
                                wd_err *err)
{
    if (!in.height || !in.width)
        return WD_FAIL(err, WD_E_INVALID, "picture of %u x %u pixels: a side is zero", in.width, in.height);
    WD_TRY(check_aspect(in.height, in.width, err));
    *out = fit(in.height, in.width, 1, 1, factor, budget);
    return WD_OK;
}

wd_status wd_smart_resize_video(uint32_t n_frame, wd_size in, uint32_t factor, uint32_t temporal_factor,
                                wd_pixel_budget budget, wd_size *out, wd_err *err)
{
    double h = in.height, w = in.width;
    const double f = factor, tf = temporal_factor;

    if (!in.height || !in.width)
        return WD_FAIL(err, WD_E_INVALID, "video frames of %u x %u pixels: a side is zero", in.width,
                       in.height);
    if (!n_frame)
        return WD_FAIL(err, WD_E_INVALID, "a clip without frames");
    const double n = WD_MAX(n_frame, temporal_factor);
    if (h < f || w < f) {
        const double scale = fmax(f / h, f / w);
        h = trunc(h * scale);
        w = trunc(w * scale);
    }
    WD_TRY(check_aspect(h, w, err));
    *out = fit(h, w, n, rint(n / tf) * tf, f, budget);
    return WD_OK;
}

wd_pixel_budget wd_pixel_budget_cap(wd_pixel_budget budget, uint32_t n_frame, uint32_t factor,
                                    uint32_t max_frame_tokens)
{
    const uint64_t cap = (uint64_t)max_frame_tokens * factor * factor;
    const uint64_t share = n_frame ? budget.max_pixels / n_frame : budget.max_pixels;
    const uint64_t least = (uint64_t)((double)budget.min_pixels * CAP_SLACK);
    const uint64_t frame = WD_MAX(WD_MIN(cap, share), least);
    return (wd_pixel_budget){ budget.min_pixels, frame * n_frame };
}

wd_pixel_budget wd_pixel_budget_frame(wd_pixel_budget budget, uint32_t n_frame, uint32_t factor,
                                      uint32_t max_frame_tokens)
{
    const uint64_t token = (uint64_t)factor * factor;
    const uint64_t least = budget.min_pixels ? budget.min_pixels : VENDOR_MIN_TOKENS * token;
    const double total = (double)(budget.max_pixels ? budget.max_pixels : VENDOR_TOTAL_TOKENS * token);
    const double share = fmin((double)(max_frame_tokens * token), total / WD_MAX(n_frame, 1u) * 2);
    const double most = fmax(share, floor((double)least * CAP_SLACK));
    return (wd_pixel_budget){ least, (uint64_t)most };
}
