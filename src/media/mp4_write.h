/* Writes pictures as a video: H.264 in MP4, through FFmpeg's libx264.
 *
 * The same pictures and options give the same bytes: one thread, fixed settings, no dates, no version of the muxer, and
 * an encoder that does not look at the kind of processor. Another version of libx264 may give other bytes. Colour is
 * BT.601, limited range, and said so in the stream.
 *
 * For pictures that Ward drew or decoded itself: nothing here reads bytes from outside. Not thread-safe.
 */
#ifndef WD_MEDIA_MP4_WRITE_H
#define WD_MEDIA_MP4_WRITE_H

#include "base/image.h"

typedef struct wd_mp4_opts {
    uint32_t width, height;    /* of every picture: even, 16 .. 8192      required     */
    uint32_t fps_num, fps_den; /* pictures per second                     default 15/1 */
    uint32_t crf;              /* libx264's quality, 0 (lossless) .. 51   default 20   */
    uint32_t key_every;        /* most pictures from key frame to key frame  default 30 */
} wd_mp4_opts;
#define WD_MP4_OPTS_DEFAULT ((wd_mp4_opts){ .fps_num = 15, .fps_den = 1, .crf = 20, .key_every = 30 })

typedef struct wd_mp4 wd_mp4;

/* Starts the file: beside `path` under another name, until wd_mp4_finish gives it its own.
 *   WD_E_INVALID      a side that is odd or out of range, a rate or quality that is none
 *   WD_E_UNSUPPORTED  this FFmpeg was built without libx264
 *   WD_E_IO, WD_E_NOMEM */
WD_MUST_CHECK wd_status wd_mp4_create(const char *path, const wd_mp4_opts *o, wd_mp4 **out, wd_err *err);

/* The next picture. WD_E_INVALID for one of another size. */
WD_MUST_CHECK wd_status wd_mp4_add(wd_mp4 *m, const wd_image *im, wd_err *err);

/* Ends the file and gives it its name. WD_E_INVALID when no picture was added. Only wd_mp4_destroy may follow. */
WD_MUST_CHECK wd_status wd_mp4_finish(wd_mp4 *m, wd_err *err);

void wd_mp4_destroy(wd_mp4 *m); /* accepts NULL; an unfinished file is removed */

#endif
