/* Frame choice, clip sizes and times. */
#include "vision/video.h"

#include <math.h>
#include <stdio.h>

#include "vision/resize.h"

#define FRAMES_MAX (1u << 20) /* an explicit count beyond this is a mistake */
#define PAIR 2                /* the vendor's utility keeps frame counts even */

typedef struct range {
    uint64_t first, last; /* inclusive */
} range;

/* A count that came out of floating point: not negative, and small enough for what follows. */
static double bounded(double v)
{
    return v < 0 || isnan(v) ? 0 : fmin(v, 4e15);
}

/* n indices evenly over the range, rounded half to even; the last one exact. As numpy.linspace().round(). */
static void spread(range r, uint32_t n, uint64_t *index)
{
    const double delta = (double)(r.last - r.first), step = n > 1 ? delta / (n - 1) : 0;
    for (uint32_t i = 0; i < n; i++)
        index[i] = r.first + (uint64_t)rint(i * step);
    if (n > 1)
        index[n - 1] = r.last;
}

static uint32_t count_reference(const wd_vision_processor *p, const wd_video_opts *o, uint64_t n_total,
                                double fps)
{
    const double want = trunc(bounded((double)n_total / fps * (o->fps > 0 ? o->fps : p->fps)));
    const double least = o->min_frames ? o->min_frames : p->min_frames;
    const double most = o->max_frames ? o->max_frames : p->max_frames;
    return (uint32_t)fmin(fmin(fmax(want, least), most), (double)n_total);
}

/* The part of the video between two times, as frames. */
static wd_status vendor_range(const wd_video_opts *o, uint64_t n_total, double fps, range *r, wd_err *err)
{
    const double duration = (double)n_total / fps;
    *r = (range){ 0, n_total - 1 };
    if (o->start_s > 0)
        r->first = (uint64_t)ceil(bounded(fmin(o->start_s, duration) * fps));
    if (o->end_s > 0)
        r->last = WD_MIN((uint64_t)floor(bounded(fmin(o->end_s, duration) * fps)), n_total - 1);
    if (r->first > r->last || (r->first == r->last && n_total > 1))
        return WD_FAIL(err, WD_E_INVALID, "video: no frames between %.3f s and %.3f s of %.3f s", o->start_s,
                       o->end_s > 0 ? o->end_s : duration, duration);
    return WD_OK;
}

static wd_status count_vendor(const wd_vision_processor *p, const wd_video_opts *o, uint64_t n_part,
                              double fps, uint32_t *n, wd_err *err)
{
    double count;
    if (o->n_frame) {
        count = rint((double)o->n_frame / PAIR) * PAIR;
    } else {
        const double least = ceil((double)(o->min_frames ? o->min_frames : p->min_frames) / PAIR) * PAIR;
        const double top = o->max_frames ? o->max_frames : fmin(p->max_frames, (double)n_part);
        const double most = floor(top / PAIR) * PAIR;
        const double want = bounded((double)n_part / fps * (o->fps > 0 ? o->fps : p->fps));
        count = floor(fmin(fmin(fmax(want, least), most), (double)n_part) / PAIR) * PAIR;
    }
    if (count < PAIR || count > (double)n_part)
        return WD_FAIL(err, WD_E_INVALID,
                       "video: %.0f frames asked of a part that holds %llu, at least %d needed", count,
                       (unsigned long long)n_part, PAIR);
    *n = (uint32_t)count;
    return WD_OK;
}

wd_status wd_video_sample(const wd_vision_processor *p, const wd_video_opts *opts, uint64_t n_total,
                          double fps, uint64_t **index, uint32_t *n, wd_err *err)
{
    static const wd_video_opts none = { 0 };
    const wd_video_opts *o = opts ? opts : &none;
    uint32_t count = 0;

    if (o->fps > 0 && o->n_frame)
        return WD_FAIL(err, WD_E_USAGE, "video: frames per second and a number of frames exclude each other");
    if (!n_total || n_total > (uint64_t)1 << 40)
        return WD_FAIL(err, WD_E_INVALID, "video: %llu frames", (unsigned long long)n_total);
    if (o->n_frame > FRAMES_MAX)
        return WD_FAIL(err, WD_E_INVALID, "video: %u frames asked for, at most %u", o->n_frame, FRAMES_MAX);
    if (!(fps > 0) || !isfinite(fps))
        fps = WD_VIDEO_FPS_UNKNOWN;
    range r = { 0, n_total - 1 };
    if (o->sampling == WD_SAMPLING_VENDOR) {
        WD_TRY(vendor_range(o, n_total, fps, &r, err));
        WD_TRY(count_vendor(p, o, r.last - r.first + 1, fps, &count, err));
    } else {
        count = o->n_frame ? o->n_frame : count_reference(p, o, n_total, fps);
    }
    uint64_t *list = WD_ALLOC_N(uint64_t, count);
    if (!list)
        return WD_FAIL(err, WD_E_NOMEM, "video: no memory for %u frame numbers", count);
    spread(r, count, list);
    *index = list;
    *n = count;
    return WD_OK;
}

void wd_video_group_times(const uint64_t *index, uint32_t n, double fps, uint32_t temporal_patch,
                          double *group_s)
{
    for (uint32_t i = 0; i < n; i += temporal_patch) {
        const uint32_t last = n - i < temporal_patch ? n - 1 : i + temporal_patch - 1;
        *group_s++ = ((double)index[i] / fps + (double)index[last] / fps) / 2;
    }
}

size_t wd_video_time_text(double group_s, char out[WD_VIDEO_TIME_TEXT_MAX])
{
    const int n = snprintf(out, WD_VIDEO_TIME_TEXT_MAX, "<%.1f seconds>", fmin(fmax(group_s, 0), 1e15));
    return n > 0 ? (size_t)n : 0;
}

static wd_status clip_size(const wd_vision_processor *p, const wd_video_opts *o, uint32_t n, wd_size in,
                           wd_size *out, wd_err *err)
{
    const uint32_t factor = p->video.patch_size * p->video.merge_size;
    wd_pixel_budget b = o && o->budget.max_pixels ? o->budget : p->video_budget;

    if (o && o->frame_budget) {
        b = wd_pixel_budget_frame(o->budget, n, factor, p->max_frame_tokens);
        return wd_smart_resize_image(in, factor, b, out, err);
    }
    if (p->cap_frame_pixels || (o && o->cap_frame_pixels))
        b = wd_pixel_budget_cap(b, n, factor, p->max_frame_tokens);
    return wd_smart_resize_video(n, in, factor, p->video.temporal_patch_size, b, out, err);
}

wd_status wd_video_plan_make(const wd_vision_processor *p, const wd_video_opts *opts, uint64_t n_total,
                             double fps, wd_size in, wd_video_plan *out, wd_err *err)
{
    const uint32_t group = p->video.temporal_patch_size;
    wd_video_plan plan = { .fps = fps > 0 && isfinite(fps) ? fps : WD_VIDEO_FPS_UNKNOWN };

    wd_status st = wd_video_sample(p, opts, n_total, plan.fps, &plan.index, &plan.n_frame, err);
    if (st)
        goto out;
    st = clip_size(p, opts, plan.n_frame, in, &plan.size, err);
    if (st)
        goto out;
    plan.n_group = plan.n_frame / group + (plan.n_frame % group != 0);
    plan.group_s = WD_ALLOC_N(double, plan.n_group);
    if (!plan.group_s) {
        st = WD_FAIL(err, WD_E_NOMEM, "video: no memory for %u times", plan.n_group);
        goto out;
    }
    wd_video_group_times(plan.index, plan.n_frame, plan.fps, group, plan.group_s);
    *out = plan;
    plan = (wd_video_plan){ 0 };
out:
    wd_video_plan_free(&plan);
    return st;
}

void wd_video_plan_free(wd_video_plan *plan)
{
    wd_free(plan->index);
    wd_free(plan->group_s);
    *plan = (wd_video_plan){ 0 };
}

wd_status wd_clip_begin(wd_clip *c, const wd_vision_processor *p, const wd_video_plan *plan, wd_visual *v,
                        wd_err *err)
{
    WD_TRY(wd_visual_init(v, &p->video, plan->n_frame, plan->size.width, plan->size.height, err));
    *c = (wd_clip){ v, 0 };
    return WD_OK;
}

wd_status wd_clip_add(wd_clip *c, const wd_image *frame, wd_err *err)
{
    if (c->n_added == c->v->n_frame)
        return WD_FAIL(err, WD_E_INVALID, "clip: more than the %u frames chosen", c->v->n_frame);
    uint8_t *to = c->v->rgb + (size_t)c->n_added * c->v->height * c->v->width * 3;
    WD_TRY(wd_resize_rgb(frame->rgb, frame->width, frame->height, to, c->v->width, c->v->height, err));
    c->n_added++;
    return WD_OK;
}

wd_status wd_clip_end(const wd_clip *c, wd_err *err)
{
    if (c->n_added != c->v->n_frame)
        return WD_FAIL(err, WD_E_INVALID, "clip: %u of %u chosen frames", c->n_added, c->v->n_frame);
    return WD_OK;
}
