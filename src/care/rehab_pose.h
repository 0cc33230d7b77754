/* Where the joints are: from a vision model that points at them, or from a file of another estimator.
 *
 * A model is shown one picture at a time and asked for JSON with coordinates from 0 to 1000 across the picture's sides,
 * as Qwen3-VL grounds; read are
 *   {"head": [x, y], "left shoulder": [x, y], ...}                    what the prompt asks for: it is short
 *   [{"point_2d": [x, y], "label": "left knee"}, ...]                 what the models were taught
 * also inside ``` fences or words. What is no such point is left out: a joint that is missing is a joint not seen.
 *
 * A pose file is JSON, in pixels of the video:
 *   {"width": 320, "height": 240, "fps": 30,
 *    "frames": [{"frame": 0, "time_s": 0.0, "points": {"left knee": [x, y, confidence], ...}}, ...]}
 * width and height may be left out, confidence too (1), time_s where there is fps (then frame / fps), frame where there
 * is time_s (then its place in the list). Names are those of care/rehab_rules.h; other names are skipped.
 */
#ifndef WD_CARE_REHAB_POSE_H
#define WD_CARE_REHAB_POSE_H

#include "base/image.h"
#include "care/ask.h"
#include "care/rehab_measure.h"

#define WD_POSE_WIDTH 192u /* pixels: a picture is made so narrow before it is shown */

/* The port. The picture is valid during the call; points are in its pixels, confidence 0 where there is none. */
typedef struct wd_pose {
    void *self;
    wd_status (*points)(void *self, const wd_image *im, uint64_t frame, wd_pose_point out[WD_N_JOINT],
                        wd_err *err);
} wd_pose;

/* A model that points. Set before use; borrowed by the port. */
typedef struct wd_pose_model {
    wd_engine *engine;
    const char *prompt_path; /* template: prompts/pose.txt */
    uint32_t max_tokens;     /* of a reply, default 400 */
    const atomic_bool *cancel;
    /* counted by the port */
    uint32_t n_asked, n_unread; /* replies without one point */
    uint32_t n_joint;           /* points read in all */
} wd_pose_model;
#define WD_POSE_MODEL_DEFAULT ((wd_pose_model){ .max_tokens = 400 })

/* Fails as the engine does; never because a reply is nonsense. */
wd_pose wd_pose_of_model(wd_pose_model *m);

/* The points of a reply about a picture of that size. Returns how many were found; all others get confidence 0. */
uint32_t wd_pose_parse(wd_span reply, uint32_t width, uint32_t height, wd_pose_point out[WD_N_JOINT]);
/* The reply that the prompt asks for, for points in a picture of that size: a right answer. */
void wd_pose_reply(const wd_pose_point p[WD_N_JOINT], uint32_t width, uint32_t height, wd_buf *out);

/* The picture, no wider than WD_POSE_WIDTH; *out is new. */
WD_MUST_CHECK wd_status wd_pose_shrink(const wd_image *im, uint32_t max_width, wd_image *out, wd_err *err);

/* Points over a video: `fps` samples per second, at most max_samples, each shown at most max_width pixels wide. In the
 * arena, in pixels of the video.
 *   WD_E_INVALID  a video without a frame rate, or too short for one sample */
typedef struct wd_pose_sampling {
    double fps;                      /* default 5 */
    uint32_t max_samples, max_width; /* default 600, WD_POSE_WIDTH */
    const atomic_bool *cancel;
    void (*progress)(void *self, uint64_t done, uint64_t total); /* may be NULL */
    void *self;
} wd_pose_sampling;
#define WD_POSE_SAMPLING_DEFAULT \
    ((wd_pose_sampling){ .fps = 5, .max_samples = 600, .max_width = WD_POSE_WIDTH })
WD_MUST_CHECK wd_status wd_pose_video(const wd_video_source *v, const wd_pose *p, const wd_pose_sampling *o,
                                      wd_arena *a, wd_pose_frame **out, size_t *n, wd_err *err);

/* A pose file; *out [*n] in the arena. Every error names the file and the frame. */
WD_MUST_CHECK wd_status wd_pose_read(const char *path, wd_arena *a, wd_pose_frame **out, size_t *n,
                                     wd_err *err);

#endif
