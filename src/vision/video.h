/* Which frames of a video are looked at, at what size, and at what times they stand.
 *
 * media/video.h says how many frames there are; wd_video_plan_make() chooses; media/video.h delivers the
 * chosen ones in order; wd_clip_add() resizes each as it comes. Memory is the resized clip, whatever the
 * length of the video.
 */
#ifndef WD_VISION_VIDEO_H
#define WD_VISION_VIDEO_H

#include "vision/patches.h"
#include "vision/smart_resize.h"

typedef enum wd_sampling {
    WD_SAMPLING_REFERENCE, /* the reference library's video processor */
    WD_SAMPLING_VENDOR     /* the vendor's utility package: always an even count, and start_s .. end_s */
} wd_sampling;

typedef struct wd_video_opts {
    wd_sampling sampling;
    double fps;                      /* frames per second to sample             0: the processor's */
    uint32_t n_frame;                /* exactly so many instead                 0: by fps          */
    uint32_t min_frames, max_frames; /* 0: the processor's */
    double start_s, end_s;           /* VENDOR: the part to sample; end_s 0: to the end            */
    wd_pixel_budget budget;          /* of the whole clip                       max 0: the processor's */
    bool cap_frame_pixels;           /* also bound each frame; or-ed with the processor's          */
    bool frame_budget;               /* size frames as images, see wd_pixel_budget_frame           */
} wd_video_opts;

/* The rate that the reference assumes when a video does not tell. */
#define WD_VIDEO_FPS_UNKNOWN 24.0

typedef struct wd_video_plan {
    uint32_t n_frame; /* chosen; no padding */
    uint64_t *index;  /* [n_frame] into the video's frames, not decreasing */
    uint32_t n_group; /* temporal groups */
    double *group_s;  /* [n_group] time of each group in seconds, as the prompt tells it */
    double fps;       /* rate that the times were computed with */
    wd_size size;     /* of every frame after resizing */
} wd_video_plan;

/* n_total frames of size `in` at `fps` frames per second (0 or not finite: unknown, WD_VIDEO_FPS_UNKNOWN).
 * opts may be NULL. fps and n_frame of opts exclude each other.
 * - WD_E_USAGE: both given
 * - WD_E_INVALID: no frame, an empty part, an aspect ratio beyond WD_ASPECT_MAX
 * *out is the caller's: wd_video_plan_free. */
WD_MUST_CHECK wd_status wd_video_plan_make(const wd_vision_processor *p, const wd_video_opts *opts,
                                           uint64_t n_total, double fps, wd_size in, wd_video_plan *out,
                                           wd_err *err);
void wd_video_plan_free(wd_video_plan *plan); /* accepts {0}, becomes {0} */

/* The chosen indices alone: *index (wd_free) and *n. */
WD_MUST_CHECK wd_status wd_video_sample(const wd_vision_processor *p, const wd_video_opts *opts,
                                        uint64_t n_total, double fps, uint64_t **index, uint32_t *n,
                                        wd_err *err);

/* Times of the groups: the mean of the first and last index of each group of temporal_patch frames over fps;
 * the last index fills an incomplete group. group_s [ceil(n / temporal_patch)]. */
void wd_video_group_times(const uint64_t *index, uint32_t n, double fps, uint32_t temporal_patch,
                          double *group_s);

/* "<1.5 seconds>" as the prompt wants it: one decimal, ties of the binary value to even. Returns the length.
 */
#define WD_VIDEO_TIME_TEXT_MAX 64
size_t wd_video_time_text(double group_s, char out[WD_VIDEO_TIME_TEXT_MAX]);

/* Fills *v (wd_visual_init done here) frame by frame. */
typedef struct wd_clip {
    wd_visual *v;
    uint32_t n_added;
} wd_clip;
WD_MUST_CHECK wd_status wd_clip_begin(wd_clip *c, const wd_vision_processor *p, const wd_video_plan *plan,
                                      wd_visual *v, wd_err *err);
/* The next chosen frame, of any size. WD_E_INVALID when the clip is full already. */
WD_MUST_CHECK wd_status wd_clip_add(wd_clip *c, const wd_image *frame, wd_err *err);
/* WD_E_INVALID unless every chosen frame has come. */
WD_MUST_CHECK wd_status wd_clip_end(const wd_clip *c, wd_err *err);

#endif
