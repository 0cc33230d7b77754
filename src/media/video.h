/* Videos: what a file holds, and chosen frames of it as RGB. H.264, HEVC, VP9, AV1 and MPEG-4 in MP4, MOV,
 * MKV, WebM and AVI, and whatever else Debian's FFmpeg decodes without a network or other files.
 *
 * Frame i is the i-th picture in order of presentation, counted from 0 over all pictures that can be shown,
 * as the reference loaders count. Two passes, each in the sandbox: wd_video_probe reads every packet's header
 * and decodes only the first picture; wd_video_frames decodes from the nearest key frame before each wanted
 * picture, or goes on decoding where that is shorter. Memory does not depend on the length beyond 9 bytes per
 * frame.
 *
 * Colour: BT.601, BT.709 or BT.2020 and full or limited range as the stream says, BT.601 and limited where it
 * does not say (as FFmpeg and the reference loaders do); swscale's bicubic default, equal to `ffmpeg -i FILE
 * -pix_fmt rgb24`. HDR transfer curves are not mapped. The display matrix is applied, rounded to quarter
 * turns and mirrors. Pixels count as square; interlaced fields stay interlaced.
 */
#ifndef WD_MEDIA_VIDEO_H
#define WD_MEDIA_VIDEO_H

#include "base/image.h"
#include "media/sandbox.h"

/* Most frames that a file may hold (38 hours at 30/s). */
#define WD_VIDEO_FRAMES_MAX (1u << 22)
/* Most pixels of one frame: 8192 x 8192. */
#define WD_VIDEO_PIXELS_MAX (64u * 1024u * 1024u)

typedef struct wd_video_info {
    uint64_t n_frame;       /* >= 1 */
    double fps;             /* average, of the container; by timestamps where it says none; 0: unknown */
    double duration_s;      /* of the pictures; 0: unknown */
    uint32_t width, height; /* as shown: after rotation */
    uint32_t quarter_turns; /* clockwise turns that were needed to show it upright, 0..3 */
    bool mirrored;
    bool seekable; /* every picture has a time of its own */
    char codec[32], container[32];
    /* Time stamps in order of presentation, in the stream's own units, and which are key frames: needed again
     * by wd_video_frames. From the sandbox: trust nothing but their number. */
    int64_t *pts; /* [n_frame] strictly increasing; NULL when not seekable */
    uint8_t *key; /* [n_frame] */
} wd_video_info;

typedef struct wd_video_limits {
    uint32_t total_s;          /* seconds for one pass            default 1800 */
    const atomic_bool *cancel; /* polled; NULL: never             default NULL */
} wd_video_limits;
#define WD_VIDEO_LIMITS_DEFAULT ((wd_video_limits){ .total_s = 1800 })

/* Pass 1 on an open file (not closed here). `what` names it in errors; limits may be NULL: defaults.
 * - WD_E_UNSUPPORTED: not a video, no picture stream, or a codec that is not there
 * - WD_E_CORRUPT: damaged, cut off, or no picture can be decoded
 * - WD_E_LIMIT: more frames, pixels or time than allowed
 * - WD_E_CRASHED, WD_E_CANCELLED, WD_E_IO, WD_E_NOMEM
 * *out is the caller's: wd_video_info_free; untouched on failure. Thread-safe. */
WD_MUST_CHECK wd_status wd_video_probe(const char *what, int fd, const wd_video_limits *limits,
                                       wd_video_info *out, wd_err *err);
void wd_video_info_free(wd_video_info *info); /* accepts {0}, becomes {0} */

/* Gets frame number i of the wanted list (0, 1, ... in order). The image is valid during the call. A status
 * other than WD_OK ends the pass and becomes its result. */
typedef wd_status (*wd_video_frame_fn)(void *ctx, uint32_t i, const wd_image *frame, wd_err *err);

/* Pass 2: the frames index[0 .. n), not decreasing (a repeated index is delivered again), each <
 * info->n_frame.
 * - WD_E_USAGE: indices out of order or out of range
 * - WD_E_CORRUPT: a wanted frame cannot be decoded; says which
 * - others as above */
WD_MUST_CHECK wd_status wd_video_frames(const char *what, int fd, const wd_video_info *info,
                                        const uint64_t *index, uint32_t n, const wd_video_limits *limits,
                                        wd_video_frame_fn on_frame, void *ctx, wd_err *err);

/* The worker's side, for media/decoders.c. */
WD_MUST_CHECK wd_status wd_decode_video(const wd_decode_in *in, wd_emit *out, wd_err *err);

#endif
