/* What the two sides of the video decoder say to each other, and what the worker's files share. */
#ifndef WD_MEDIA_VIDEO_INNER_H
#define WD_MEDIA_VIDEO_INNER_H

#include "media/video.h"

enum {
    WD_VIDEO__INFO = 1,   /* wd_video__info, once */
    WD_VIDEO__PTS = 2,    /* int64_t[], in parts, when seekable */
    WD_VIDEO__KEYS = 3,   /* uint8_t[], in parts, when seekable */
    WD_VIDEO__FRAME = 4,  /* wd_video__frame, before the pixels */
    WD_VIDEO__PIXELS = 5, /* [height][width][3] */
    WD_VIDEO__ALIVE = 6,  /* nothing: the worker is not stuck */
};

/* Pass 1 has no wanted frames. */
typedef struct wd_video__request {
    uint32_t pass, n_wanted;
    uint32_t seekable, pad;
    /* wd_video__wanted [n_wanted] follow */
} wd_video__request;

typedef struct wd_video__wanted {
    uint64_t index;
    int64_t pts;    /* of the frame, in the stream's units; the rest only when seekable */
    int64_t key;    /* of the nearest key frame at or before it */
    int64_t before; /* of the key frame before that one: where the demuxer lands too late */
} wd_video__wanted;
#define WD_VIDEO__BATCH 1000 /* wanted frames in one run: options are bounded */

typedef struct wd_video__info {
    uint64_t n_frame;
    double fps, duration_s;
    uint32_t width, height; /* as shown */
    uint32_t orientation;   /* EXIF numbering */
    uint32_t seekable;
    char codec[32], container[32];
} wd_video__info;

typedef struct wd_video__frame {
    uint32_t i, width, height, pad;
} wd_video__frame;

/* A display matrix (16.16 fixed point, as in ISO 14496-12, section 6.2.2) as EXIF orientation 1..8, rounded to quarter
 * turns and mirrors. */
uint32_t wd_video__orientation_of(const int32_t m[9]);

/* Silences the library and bounds its allocations. */
void wd_video__prepare(void);
/* In the zygote, once: loads the character set modules that the library asks for, because a worker cannot. */
void wd_video__open_charsets(void);

/* The parent's gathering of pass 1, for tests: messages in, a checked wd_video_info out. */
typedef struct wd_video__probe {
    const char *what;
    double deadline_s;
    bool have;
    wd_video_info info;
    uint64_t n_pts, n_key;
} wd_video__probe;
wd_status wd_video__take_probe(void *probe, uint32_t type, wd_span bytes, wd_err *err);
wd_status wd_video__end_probe(wd_video__probe *p, wd_status st, wd_video_info *out, wd_err *err);

/* The same for pass 2. */
typedef struct wd_video__frames {
    const char *what;
    double deadline_s;
    const uint64_t *index; /* [n] the caller's list, duplicates and all */
    uint32_t n, next;      /* delivered so far */
    uint32_t n_frame;      /* distinct frames seen so far */
    wd_video__frame head;  /* of the pixels that come next; width 0: none */
    wd_video_frame_fn on_frame;
    void *ctx;
} wd_video__frames;
wd_status wd_video__take_frame(void *frames, uint32_t type, wd_span bytes, wd_err *err);

#endif
