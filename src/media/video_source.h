/* A video in the worker: the file opened through callbacks, its picture stream, packets, decoded frames, RGB. */
#ifndef WD_MEDIA_VIDEO_SOURCE_H
#define WD_MEDIA_VIDEO_SOURCE_H

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

#include "base/image.h"
#include "media/sandbox.h"

typedef struct wd_video__source {
    int fd;
    uint64_t size, at;
    bool io_failed; /* the file could not be read: not its fault */
    AVIOContext *io;
    AVFormatContext *fmt;
    AVStream *stream;
    AVCodecContext *dec;
    AVPacket *packet;
    AVFrame *frame;
    bool draining; /* no packets left: the decoder is being emptied */
    struct SwsContext *sws;
    uint64_t sws_key; /* what sws was made for */
} wd_video__source;

/* Opens the file, finds the picture stream and its decoder. *s starts as {0}; close it whatever the outcome. */
WD_MUST_CHECK wd_status wd_video__open(wd_video__source *s, const wd_decode_in *in, wd_err *err);
void wd_video__close(wd_video__source *s);

/* The next packet of any stream into s->packet (the caller unrefs it); *more false at the end of the file. */
WD_MUST_CHECK wd_status wd_video__read(wd_video__source *s, bool *more, wd_err *err);
/* Is the packet a picture that will be shown? */
bool wd_video__is_shown(const wd_video__source *s, const AVPacket *p);

/* Gives the packet (NULL: the end) to the decoder. A damaged packet is no failure: its frame will be missing. */
void wd_video__send(wd_video__source *s, const AVPacket *p);
/* The next decoded frame into s->frame, if there is one. */
bool wd_video__receive(wd_video__source *s);
/* To the key frame at or before pts. False when the demuxer cannot. */
bool wd_video__seek(wd_video__source *s, int64_t pts);

/* s->frame as stored (not turned) in RGB; *out is new. */
WD_MUST_CHECK wd_status wd_video__to_rgb(wd_video__source *s, wd_image *out, wd_err *err);

/* What EXIF would call the stream's display matrix, 1..8. */
uint32_t wd_video__orientation(const wd_video__source *s);

#endif
