/* FFmpeg's libraries, kept to one descriptor, one thread and no voice. */
#include "media/video_source.h"

#include <errno.h>
#include <iconv.h>
#include <libavutil/display.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
#include <stdio.h>
#include <unistd.h>

#include "media/video_inner.h"

#define IO_BUFFER (256 << 10)
#define ALLOC_MAX ((size_t)1 << 30)
#define STREAMS_MAX 64
#define VECTOR_BYTES 128u /* what swscale may write past the last pixel: whole vectors; 24 bytes were seen */

/* Containers that need no other file. */
static const char containers[] = "mov,matroska,avi,mpegts,mpeg,asf,flv,ogg,ivf,mxf,dv,h264,hevc,m4v,obu";

/* ---- the file ---- */

static int read_bytes(void *ctx, uint8_t *to, int n)
{
    wd_video__source *s = ctx;
    ssize_t got;

    if (s->at >= s->size)
        return AVERROR_EOF;
    do
        got = pread(s->fd, to, (size_t)n, (off_t)s->at);
    while (got < 0 && errno == EINTR);
    if (got < 0) {
        s->io_failed = true;
        return AVERROR(EIO);
    }
    s->at += (uint64_t)got;
    return got ? (int)got : AVERROR_EOF;
}

static int64_t seek_to(void *ctx, int64_t to, int whence)
{
    wd_video__source *s = ctx;
    if (whence & AVSEEK_SIZE)
        return (int64_t)s->size;
    switch (whence & ~AVSEEK_FORCE) {
    case SEEK_CUR:
        to += (int64_t)s->at;
        break;
    case SEEK_END:
        to += (int64_t)s->size;
        break;
    }
    if (to < 0)
        return AVERROR(EINVAL);
    s->at = (uint64_t)to;
    return to;
}

/* A playlist or a reference to another file. */
static int open_nothing(AVFormatContext *f, AVIOContext **io, const char *url, int flags, AVDictionary **o)
{
    (void)f, (void)io, (void)url, (void)flags, (void)o;
    return AVERROR(EPERM);
}

static void say_nothing(void *ctx, int level, const char *fmt, va_list ap)
{
    (void)ctx, (void)level, (void)fmt, (void)ap;
}

void wd_video__prepare(void)
{
    av_log_set_callback(say_nothing);
    av_max_alloc(ALLOC_MAX);
}

void wd_video__open_charsets(void)
{
    /* Names of programmes in transport streams (EN 300 468, annex A). */
    static const char *const names[] = { "ISO6937",     "ISO-8859-1",  "ISO-8859-2",  "ISO-8859-3",
                                         "ISO-8859-4",  "ISO-8859-5",  "ISO-8859-6",  "ISO-8859-7",
                                         "ISO-8859-8",  "ISO-8859-9",  "ISO-8859-10", "ISO-8859-11",
                                         "ISO-8859-13", "ISO-8859-14", "ISO-8859-15", "UTF-16BE",
                                         "EUC-KR",      "KSC_5601",    "GB2312",      "BIG5" };
    for (size_t i = 0; i < WD_COUNT(names); i++)
        (void)iconv_open("UTF-8", names[i]); /* never closed: the loaded module is what counts */
}

/* Does it begin like a container that we read? Tells "damaged" from "no video". */
static bool looks_like_video(const uint8_t *p, size_t n)
{
    if (n < 12)
        return false;
    return memcmp(p + 4, "ftyp", 4) == 0 || memcmp(p + 4, "moov", 4) == 0 || memcmp(p + 4, "mdat", 4) == 0 ||
           memcmp(p, "\x1A\x45\xDF\xA3", 4) == 0 ||
           (memcmp(p, "RIFF", 4) == 0 && memcmp(p + 8, "AVI ", 4) == 0) || memcmp(p, "FLV\1", 4) == 0 ||
           memcmp(p, "OggS", 4) == 0 || memcmp(p, "DKIF", 4) == 0;
}

static wd_status no_memory(wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "video: no memory");
}

static wd_status explain_open(const wd_video__source *s, int code, wd_err *err)
{
    uint8_t head[12];
    if (s->io_failed)
        return WD_FAIL(err, WD_E_IO, "the file cannot be read");
    if (code == AVERROR(ENOMEM))
        return no_memory(err);
    const ssize_t n = pread(s->fd, head, sizeof head, 0);
    if (n > 0 && looks_like_video(head, (size_t)n))
        return WD_FAIL(err, WD_E_CORRUPT,
                       "the video is damaged or cut off: its table of contents cannot be read");
    return WD_FAIL(err, WD_E_UNSUPPORTED,
                   "not a video that is read here: MP4, MOV, MKV, WebM, AVI and a few more");
}

/* A variable-length size of EBML (RFC 8794, section 4) at p[*at]; false for the reserved "unknown". */
static bool ebml_size(const uint8_t *p, size_t n, size_t *at, uint64_t *size)
{
    if (*at >= n || !p[*at])
        return false;
    size_t length = 1;
    while (!(p[*at] & (0x80u >> (length - 1))))
        length++;
    if (length > n - *at)
        return false;
    uint64_t v = p[*at] & (0xFFu >> length);
    for (size_t k = 1; k < length; k++)
        v = v << 8 | p[*at + k];
    *at += length;
    *size = v;
    return v != (UINT64_C(1) << (7 * length)) - 1;
}

/* Bytes that the outermost element says the file has; 0 when it does not say. */
static uint64_t promised_bytes(int fd)
{
    uint8_t p[256];
    const ssize_t got = pread(fd, p, sizeof p, 0);
    const size_t n = got > 0 ? (size_t)got : 0;
    uint64_t size;
    size_t at = 4;

    if (n > 12 && memcmp(p, "RIFF", 4) == 0 && memcmp(p + 8, "AVI ", 4) == 0)
        return (uint64_t)wd_le32(p + 4) + 8;
    if (n < 4 || memcmp(p, "\x1A\x45\xDF\xA3", 4) != 0 || !ebml_size(p, n, &at, &size) || size > n - at)
        return 0;
    at += (size_t)size;
    if (n - at < 4 || memcmp(p + at, "\x18\x53\x80\x67", 4) != 0)
        return 0;
    at += 4;
    return ebml_size(p, n, &at, &size) ? at + size : 0;
}

static wd_status open_container(wd_video__source *s, wd_err *err)
{
    AVDictionary *o = NULL;
    uint8_t *buffer = av_malloc(IO_BUFFER);

    s->io = buffer ? avio_alloc_context(buffer, IO_BUFFER, 0, s, read_bytes, NULL, seek_to) : NULL;
    if (!s->io) {
        av_free(buffer);
        return no_memory(err);
    }
    s->fmt = avformat_alloc_context();
    if (!s->fmt)
        return no_memory(err);
    s->fmt->pb = s->io;
    s->fmt->io_open = open_nothing;
    s->fmt->max_streams = STREAMS_MAX;
    av_dict_set(&o, "format_whitelist", containers, 0);
    av_dict_set(&o, "protocol_whitelist", "none", 0);
    const int code = avformat_open_input(&s->fmt, "", NULL, &o); /* frees and clears fmt when it fails */
    av_dict_free(&o);
    return code < 0 ? explain_open(s, code, err) : WD_OK;
}

/* The library looks into the first packets, with decoders that obey our bound. */
static wd_status look_inside(wd_video__source *s, wd_err *err)
{
    AVDictionary *o[STREAMS_MAX] = { NULL };
    const unsigned n = WD_MIN(s->fmt->nb_streams, STREAMS_MAX);
    for (unsigned i = 0; i < n; i++) {
        av_dict_set_int(&o[i], "max_pixels", WD_VIDEO_PIXELS_MAX, 0);
        av_dict_set_int(&o[i], "threads", 1, 0);
    }
    const int code = avformat_find_stream_info(s->fmt, n ? o : NULL);
    for (unsigned i = 0; i < n; i++)
        av_dict_free(&o[i]);
    return code < 0 ? explain_open(s, code, err) : WD_OK;
}

static wd_status open_decoder(wd_video__source *s, wd_err *err)
{
    const int i = av_find_best_stream(s->fmt, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    if (i < 0 || (s->fmt->streams[i]->disposition & AV_DISPOSITION_ATTACHED_PIC))
        return WD_FAIL(err, WD_E_UNSUPPORTED, "there are no moving pictures in the file");
    s->stream = s->fmt->streams[i];
    const AVCodecParameters *par = s->stream->codecpar;
    const AVCodec *codec = avcodec_find_decoder(par->codec_id);
    if (!codec)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "the video's codec, %s, is not one that this FFmpeg decodes",
                       avcodec_get_name(par->codec_id));
    if (par->width > 0 && par->height > 0 &&
        ((uint64_t)par->width * (uint64_t)par->height > WD_VIDEO_PIXELS_MAX ||
         WD_MAX(par->width, par->height) > (int)WD_IMAGE_SIDE_MAX))
        return WD_FAIL(err, WD_E_LIMIT, "video of %d x %d pixels; at most %u in all are decoded", par->width,
                       par->height, WD_VIDEO_PIXELS_MAX);
    s->dec = avcodec_alloc_context3(codec);
    s->packet = av_packet_alloc();
    s->frame = av_frame_alloc();
    if (!s->dec || !s->packet || !s->frame || avcodec_parameters_to_context(s->dec, par) < 0)
        return no_memory(err);
    s->dec->thread_count = 1;
    s->dec->max_pixels = WD_VIDEO_PIXELS_MAX;
    s->dec->pkt_timebase = s->stream->time_base;
    if (avcodec_open2(s->dec, codec, NULL) < 0)
        return WD_FAIL(err, WD_E_CORRUPT, "the %s decoder refuses the video's header", codec->name);
    return WD_OK;
}

wd_status wd_video__open(wd_video__source *s, const wd_decode_in *in, wd_err *err)
{
    s->fd = in->fd;
    s->size = in->size;
    if (!in->size)
        return WD_FAIL(err, WD_E_CORRUPT, "the file is empty");
    const uint64_t bytes = promised_bytes(s->fd);
    if (bytes > s->size)
        return WD_FAIL(err, WD_E_CORRUPT, "the video is cut off: %llu of %llu bytes are there",
                       (unsigned long long)s->size, (unsigned long long)bytes);
    wd_video__prepare();
    WD_TRY(open_container(s, err));
    WD_TRY(look_inside(s, err));
    return open_decoder(s, err);
}

void wd_video__close(wd_video__source *s)
{
    sws_freeContext(s->sws);
    av_frame_free(&s->frame);
    av_packet_free(&s->packet);
    avcodec_free_context(&s->dec);
    avformat_close_input(&s->fmt);
    if (s->io)
        av_freep(&s->io->buffer);
    avio_context_free(&s->io);
    *s = (wd_video__source){ 0 };
}

/* ---- packets and frames ---- */

wd_status wd_video__read(wd_video__source *s, bool *more, wd_err *err)
{
    const int code = av_read_frame(s->fmt, s->packet);
    *more = code >= 0;
    if (s->io_failed)
        return WD_FAIL(err, WD_E_IO, "the file cannot be read");
    if (code == AVERROR(ENOMEM))
        return no_memory(err);
    if (code < 0 && code != AVERROR_EOF && s->at < s->size)
        return WD_FAIL(err, WD_E_CORRUPT, "the video is damaged near byte %llu", (unsigned long long)s->at);
    return WD_OK;
}

bool wd_video__is_shown(const wd_video__source *s, const AVPacket *p)
{
    if (p->stream_index != s->stream->index || p->size <= 0 || (p->flags & AV_PKT_FLAG_DISCARD))
        return false;
    /* VP8 sends reference pictures that are never shown as packets of their own (RFC 6386, section 9.1). */
    return s->stream->codecpar->codec_id != AV_CODEC_ID_VP8 || (p->data[0] & 0x10);
}

void wd_video__send(wd_video__source *s, const AVPacket *p)
{
    (void)avcodec_send_packet(s->dec, p);
    s->draining = !p;
}

bool wd_video__receive(wd_video__source *s)
{
    for (;;) {
        const int code = avcodec_receive_frame(s->dec, s->frame);
        if (code >= 0)
            return true;
        if (code == AVERROR(EAGAIN) || code == AVERROR_EOF || !s->draining)
            return false;
    }
}

bool wd_video__seek(wd_video__source *s, int64_t pts)
{
    if (avformat_seek_file(s->fmt, s->stream->index, INT64_MIN, pts, pts, 0) < 0)
        return false;
    avcodec_flush_buffers(s->dec);
    s->draining = false;
    return true;
}

/* ---- colour ---- */

static wd_status make_converter(wd_video__source *s, wd_err *err)
{
    const AVFrame *f = s->frame;
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(f->format);
    const int *table_in, *table_out;
    int full_in, full_out, brightness, contrast, saturation;

    sws_freeContext(s->sws);
    s->sws = d ? sws_alloc_context() : NULL;
    if (!s->sws)
        return no_memory(err);
    av_opt_set_int(s->sws, "srcw", f->width, 0);
    av_opt_set_int(s->sws, "srch", f->height, 0);
    av_opt_set_int(s->sws, "dstw", f->width, 0);
    av_opt_set_int(s->sws, "dsth", f->height, 0);
    av_opt_set_int(s->sws, "src_format", f->format, 0);
    av_opt_set_int(s->sws, "dst_format", AV_PIX_FMT_RGB24, 0);
    av_opt_set_int(s->sws, "sws_flags", SWS_BICUBIC, 0);
    if (d->log2_chroma_h == 1) /* as FFmpeg's scale filter places 4:2:0 chroma */
        av_opt_set_int(s->sws, "src_v_chr_pos", 128, 0);
    if (sws_init_context(s->sws, NULL, NULL) < 0)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "the video's pixel format, %s, cannot be turned into RGB",
                       d->name);
    if (sws_getColorspaceDetails(s->sws, (int **)(uintptr_t)&table_in, &full_in,
                                 (int **)(uintptr_t)&table_out, &full_out, &brightness, &contrast,
                                 &saturation) >= 0) {
        const int space = f->colorspace == AVCOL_SPC_UNSPECIFIED ? SWS_CS_DEFAULT : (int)f->colorspace;
        table_in = sws_getCoefficients(space);
        if (f->color_range != AVCOL_RANGE_UNSPECIFIED)
            full_in = f->color_range == AVCOL_RANGE_JPEG;
        (void)sws_setColorspaceDetails(s->sws, table_in, full_in, table_out, full_out, brightness, contrast,
                                       saturation);
    }
    return WD_OK;
}

/* Pixels with room behind them for swscale. */
static wd_status init_rgb(wd_image *im, int width, int height, wd_err *err)
{
    if (WD_MAX(width, height) > (int)WD_IMAGE_SIDE_MAX)
        return WD_FAIL(err, WD_E_LIMIT, "a frame of %d x %d pixels; at most %u a side are decoded", width,
                       height, WD_IMAGE_SIDE_MAX);
    uint8_t *rgb = wd_calloc((size_t)width * (size_t)height * 3 + VECTOR_BYTES, 1);
    if (!rgb)
        return no_memory(err);
    *im = (wd_image){ rgb, (uint32_t)width, (uint32_t)height };
    return WD_OK;
}

wd_status wd_video__to_rgb(wd_video__source *s, wd_image *out, wd_err *err)
{
    const AVFrame *f = s->frame;
    if (f->width <= 0 || f->height <= 0 || (uint64_t)f->width * (uint64_t)f->height > WD_VIDEO_PIXELS_MAX)
        return WD_FAIL(err, WD_E_LIMIT, "a frame of %d x %d pixels; at most %u in all are decoded", f->width,
                       f->height, WD_VIDEO_PIXELS_MAX);
    const uint64_t key = (uint64_t)f->width << 48 | (uint64_t)f->height << 32 |
                         (uint64_t)(f->format & 0xFFFF) << 16 | (uint64_t)(f->colorspace & 0xFF) << 8 |
                         (uint64_t)(f->color_range & 0xFF);
    if (!s->sws || s->sws_key != key) {
        WD_TRY(make_converter(s, err));
        s->sws_key = key;
    }
    wd_image im = { 0 };
    WD_TRY(init_rgb(&im, f->width, f->height, err));
    uint8_t *rows[4] = { im.rgb };
    const int strides[4] = { f->width * 3 };
    if (sws_scale(s->sws, (const uint8_t *const *)f->data, f->linesize, 0, f->height, rows, strides) !=
        f->height) {
        wd_image_free(&im);
        return WD_FAIL(err, WD_E_INTERNAL, "a frame could not be turned into RGB");
    }
    *out = im;
    return WD_OK;
}

uint32_t wd_video__orientation_of(const int32_t m[9])
{
    static const uint32_t straight[2][2] = { { 1, 4 }, { 2, 3 } }, swapped[2][2] = { { 5, 6 }, { 8, 7 } };
    /* x' = a x + c y, y' = b x + d y; the larger pair tells whether the axes change places. */
    const int64_t a = m[0], b = m[1], c = m[3], d = m[4];
    if (llabs(a) + llabs(d) >= llabs(b) + llabs(c))
        return straight[a < 0][d < 0];
    return swapped[b < 0][c < 0];
}

uint32_t wd_video__orientation(const wd_video__source *s)
{
    size_t n = 0;
    const uint8_t *raw = av_stream_get_side_data(s->stream, AV_PKT_DATA_DISPLAYMATRIX, &n);
    int32_t m[9];

    if (!raw || n < sizeof m)
        return 1;
    memcpy(m, raw, sizeof m);
    return wd_video__orientation_of(m);
}
