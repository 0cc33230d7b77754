/* Pictures to H.264 in MP4: swscale, libx264 and the MP4 muxer, over a descriptor of our own. */
#include "media/mp4_write.h"

#include <errno.h>
#include <fcntl.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define IO_BUFFER (64 << 10)
#define SIDE_MIN 16u
#define SIDE_MAX 8192u

struct wd_mp4 {
    char *path, *tmp; /* tmp: until it is finished */
    int fd;           /* -1: none */
    int64_t at;
    int io_errno; /* of the first write that failed */
    uint32_t width, height;
    uint64_t n_added;
    bool has_header, finished;
    AVIOContext *io;
    AVFormatContext *fmt;
    AVStream *stream;
    AVCodecContext *enc;
    AVFrame *frame;
    AVPacket *packet;
    struct SwsContext *sws;
};

/* ---- the file ---- */

static int write_bytes(void *ctx, uint8_t *p, int n)
{
    wd_mp4 *m = ctx;
    for (int done = 0; done < n;) {
        const ssize_t got = pwrite(m->fd, p + done, (size_t)(n - done), (off_t)(m->at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            m->io_errno = m->io_errno ? m->io_errno : got < 0 ? errno : ENOSPC;
            return AVERROR(m->io_errno);
        }
        done += (int)got;
    }
    m->at += n;
    return n;
}

/* The muxer comes back to write the size of what it wrote before. */
static int64_t seek_to(void *ctx, int64_t to, int whence)
{
    wd_mp4 *m = ctx;
    if (whence & AVSEEK_SIZE)
        return AVERROR(ENOSYS);
    if ((whence & ~AVSEEK_FORCE) == SEEK_CUR)
        to += m->at;
    else if ((whence & ~AVSEEK_FORCE) != SEEK_SET)
        return AVERROR(EINVAL);
    if (to < 0)
        return AVERROR(EINVAL);
    m->at = to;
    return to;
}

static wd_status failed(const wd_mp4 *m, const char *what, int code, wd_err *err)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    if (m->io_errno)
        return WD_FAIL(err, WD_E_IO, "%s: cannot write the video: %s", m->path, strerror(m->io_errno));
    if (code == AVERROR(ENOMEM))
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for the video", m->path);
    av_strerror(code, text, sizeof text);
    return WD_FAIL(err, WD_E_INTERNAL, "%s: cannot %s: %s", m->path, what, text);
}

/* ---- starting ---- */

static wd_status check(const char *path, const wd_mp4_opts *o, wd_err *err)
{
    if (o->width < SIDE_MIN || o->width > SIDE_MAX || o->height < SIDE_MIN || o->height > SIDE_MAX ||
        o->width % 2 || o->height % 2)
        return WD_FAIL(err, WD_E_INVALID, "%s: a video of %u x %u pixels, expected even sides from %u to %u",
                       path, o->width, o->height, SIDE_MIN, SIDE_MAX);
    if (!o->fps_num || !o->fps_den || o->fps_num / o->fps_den > 1000 || o->fps_num > 1000000 ||
        o->fps_den > 1000000)
        return WD_FAIL(err, WD_E_INVALID, "%s: a rate of %u/%u pictures per second, expected up to 1000",
                       path, o->fps_num, o->fps_den);
    if (o->crf > 51 || !o->key_every)
        return WD_FAIL(err, WD_E_INVALID,
                       "%s: quality %u, a key frame every %u, expected 0 to 51 and 1 or more", path, o->crf,
                       o->key_every);
    return WD_OK;
}

static wd_status open_file(wd_mp4 *m, const char *path, wd_err *err)
{
    const size_t n = strlen(path) + 8;
    m->path = wd_strdup(path);
    char *tmp = wd_calloc(n, 1);
    if (!m->path || !tmp) {
        wd_free(tmp);
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for the video", path);
    }
    snprintf(tmp, n, "%s.XXXXXX", path);
    m->fd = mkostemp(tmp, O_CLOEXEC);
    if (m->fd < 0) {
        const int e = errno;
        wd_free(tmp);
        return WD_FAIL(err, e == ENOENT ? WD_E_NOT_FOUND : WD_E_IO, "%s: cannot create a file beside it: %s",
                       path, strerror(e));
    }
    m->tmp = tmp;
    return WD_OK;
}

static wd_status open_encoder(wd_mp4 *m, const wd_mp4_opts *o, wd_err *err)
{
    const AVCodec *codec = avcodec_find_encoder_by_name("libx264");
    if (!codec)
        return WD_FAIL(err, WD_E_UNSUPPORTED,
                       "%s: this FFmpeg has no libx264 encoder, so Ward cannot write videos with it",
                       m->path);
    AVCodecContext *c = m->enc = avcodec_alloc_context3(codec);
    if (!c)
        return failed(m, "start the encoder", AVERROR(ENOMEM), err);
    c->width = (int)o->width;
    c->height = (int)o->height;
    c->pix_fmt = AV_PIX_FMT_YUV420P;
    c->time_base = (AVRational){ (int)o->fps_den, (int)o->fps_num };
    c->framerate = (AVRational){ (int)o->fps_num, (int)o->fps_den };
    c->gop_size = (int)o->key_every;
    c->max_b_frames = 0;
    c->thread_count = 1;
    c->flags |= AV_CODEC_FLAG_BITEXACT | AV_CODEC_FLAG_GLOBAL_HEADER;
    c->color_range = AVCOL_RANGE_MPEG;
    c->colorspace = AVCOL_SPC_SMPTE170M;
    c->color_primaries = AVCOL_PRI_SMPTE170M;
    c->color_trc = AVCOL_TRC_SMPTE170M;
    int r = av_opt_set(c->priv_data, "preset", "veryfast", 0);
    if (r >= 0)
        r = av_opt_set_double(c->priv_data, "crf", o->crf, 0);
    if (r >= 0) /* every kind of processor takes the same decisions */
        r = av_opt_set(c->priv_data, "x264-params", "cpu-independent=1:scenecut=0:threads=1", 0);
    if (r >= 0)
        r = avcodec_open2(c, codec, NULL);
    return r < 0 ? failed(m, "start the encoder", r, err) : WD_OK;
}

static wd_status open_muxer(wd_mp4 *m, wd_err *err)
{
    uint8_t *buffer = av_malloc(IO_BUFFER);
    m->io = buffer ? avio_alloc_context(buffer, IO_BUFFER, 1, m, NULL, write_bytes, seek_to) : NULL;
    if (!m->io) {
        av_free(buffer);
        return failed(m, "start the file", AVERROR(ENOMEM), err);
    }
    int r = avformat_alloc_output_context2(&m->fmt, NULL, "mp4", NULL);
    if (r < 0)
        return failed(m, "start the file", r, err);
    m->fmt->pb = m->io;
    m->fmt->flags |= AVFMT_FLAG_BITEXACT;
    m->stream = avformat_new_stream(m->fmt, NULL);
    if (!m->stream)
        return failed(m, "start the file", AVERROR(ENOMEM), err);
    m->stream->time_base = m->enc->time_base;
    m->stream->avg_frame_rate = m->enc->framerate;
    r = avcodec_parameters_from_context(m->stream->codecpar, m->enc);
    if (r >= 0)
        r = avformat_write_header(m->fmt, NULL);
    if (r < 0)
        return failed(m, "start the file", r, err);
    m->has_header = true;
    return WD_OK;
}

static wd_status open_frames(wd_mp4 *m, wd_err *err)
{
    m->packet = av_packet_alloc();
    m->frame = av_frame_alloc();
    m->sws = sws_getContext(m->enc->width, m->enc->height, AV_PIX_FMT_RGB24, m->enc->width, m->enc->height,
                            AV_PIX_FMT_YUV420P, SWS_BICUBIC | SWS_ACCURATE_RND | SWS_BITEXACT, NULL, NULL,
                            NULL);
    if (!m->packet || !m->frame || !m->sws)
        return failed(m, "start the encoder", AVERROR(ENOMEM), err);
    m->frame->format = AV_PIX_FMT_YUV420P;
    m->frame->width = m->enc->width;
    m->frame->height = m->enc->height;
    const int r = av_frame_get_buffer(m->frame, 0);
    return r < 0 ? failed(m, "start the encoder", r, err) : WD_OK;
}

/* ---- going on ---- */

/* Sends the frame (NULL: the end) and writes what the encoder has ready. */
static wd_status encode(wd_mp4 *m, const AVFrame *f, wd_err *err)
{
    int r = avcodec_send_frame(m->enc, f);
    while (r >= 0) {
        r = avcodec_receive_packet(m->enc, m->packet);
        if (r < 0)
            break;
        m->packet->duration = 1;
        av_packet_rescale_ts(m->packet, m->enc->time_base, m->stream->time_base);
        m->packet->stream_index = m->stream->index;
        r = av_interleaved_write_frame(m->fmt, m->packet);
    }
    return r < 0 && r != AVERROR(EAGAIN) && r != AVERROR_EOF ? failed(m, "encode a picture", r, err) : WD_OK;
}

wd_status wd_mp4_add(wd_mp4 *m, const wd_image *im, wd_err *err)
{
    if (im->width != m->width || im->height != m->height)
        return WD_FAIL(err, WD_E_INVALID, "%s: a picture of %u x %u in a video of %u x %u", m->path,
                       im->width, im->height, m->width, m->height);
    const int r = av_frame_make_writable(m->frame);
    if (r < 0)
        return failed(m, "encode a picture", r, err);
    const uint8_t *const row[1] = { im->rgb };
    const int stride[1] = { (int)(3 * im->width) };
    sws_scale(m->sws, row, stride, 0, (int)im->height, m->frame->data, m->frame->linesize);
    m->frame->pts = (int64_t)m->n_added++;
    return encode(m, m->frame, err);
}

wd_status wd_mp4_finish(wd_mp4 *m, wd_err *err)
{
    if (!m->n_added)
        return WD_FAIL(err, WD_E_INVALID, "%s: a video without a picture", m->path);
    WD_TRY(encode(m, NULL, err));
    const int r = av_write_trailer(m->fmt);
    m->has_header = false;
    avio_flush(m->io);
    if (r < 0 || m->io_errno)
        return failed(m, "end the file", r, err);
    const bool bad = fchmod(m->fd, 0644) < 0 || close(m->fd) < 0;
    m->fd = -1;
    if (bad || rename(m->tmp, m->path) < 0) {
        m->io_errno = errno;
        return failed(m, "end the file", 0, err);
    }
    m->finished = true;
    return WD_OK;
}

void wd_mp4_destroy(wd_mp4 *m)
{
    if (!m)
        return;
    sws_freeContext(m->sws);
    av_frame_free(&m->frame);
    av_packet_free(&m->packet);
    avcodec_free_context(&m->enc);
    avformat_free_context(m->fmt);
    if (m->io)
        av_freep(&m->io->buffer);
    avio_context_free(&m->io);
    if (m->fd >= 0)
        close(m->fd);
    if (m->tmp && !m->finished)
        unlink(m->tmp);
    wd_free(m->tmp);
    wd_free(m->path);
    wd_free(m);
}

wd_status wd_mp4_create(const char *path, const wd_mp4_opts *o, wd_mp4 **out, wd_err *err)
{
    WD_TRY(check(path, o, err));
    wd_mp4 *m = WD_ALLOC(wd_mp4);
    if (!m)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for the video", path);
    m->fd = -1;
    m->width = o->width;
    m->height = o->height;
    av_log_set_level(AV_LOG_QUIET);
    wd_status st = open_file(m, path, err);
    if (!st)
        st = open_encoder(m, o, err);
    if (!st)
        st = open_muxer(m, err);
    if (!st)
        st = open_frames(m, err);
    if (st)
        wd_mp4_destroy(m);
    else
        *out = m;
    return st;
}
