/* The worker's two passes over a video.
 *
 * Pass 1 reads every packet, notes times and key frames, and decodes until the first picture comes out: what stands
 * before it can never be shown and is not counted. Pass 2 finds each wanted picture by its time: it seeks when a key
 * frame lies between where the decoder is and the picture, and goes on decoding otherwise.
 *
 * A file whose pictures have no times, or not distinct ones, is decoded from the start and counted.
 */
#include <libavutil/avstring.h>
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "media/orient.h"
#include "media/video_inner.h"
#include "media/video_source.h"

#define PART ((size_t)512 << 10)
#define ALIVE_S 1.0
#define FIRST_TRIES 2000 /* packets without a picture before a stream is given up */

typedef struct entry {
    int64_t pts;
    uint8_t key;
} entry;

typedef struct scan {
    entry *list;
    uint64_t n, room;
    bool timed;    /* every packet so far has a time */
    bool shown;    /* the first picture has come out */
    int64_t first; /* its time */
    uint64_t n_discarded;
    bool damaged; /* a packet is not whole */
    wd_video__info info;
} scan;

static wd_status still_alive(wd_emit *out, double *last_s, wd_err *err)
{
    const double now = wd_clock_s();
    if (now - *last_s < ALIVE_S)
        return WD_OK;
    *last_s = now;
    return wd_emit_put(out, WD_VIDEO__ALIVE, (wd_span){ 0 }, err);
}

/* ---- pass 1 ---- */

static int by_pts(const void *a, const void *b)
{
    const int64_t x = ((const entry *)a)->pts, y = ((const entry *)b)->pts;
    return (x > y) - (x < y);
}

static wd_status note_packet(scan *c, const wd_video__source *s, wd_err *err)
{
    const AVPacket *p = s->packet;
    if (p->stream_index != s->stream->index)
        return WD_OK;
    c->n_discarded += (p->flags & AV_PKT_FLAG_DISCARD) != 0;
    c->damaged |= (p->flags & AV_PKT_FLAG_CORRUPT) != 0;
    if (!wd_video__is_shown(s, p))
        return WD_OK;
    if (c->n == WD_VIDEO_FRAMES_MAX)
        return WD_FAIL(err, WD_E_LIMIT, "more than %u frames in the video", WD_VIDEO_FRAMES_MAX);
    if (c->n == c->room) {
        const uint64_t room = c->room ? 2 * c->room : 4096;
        entry *more = wd_realloc(c->list, room, sizeof *more);
        if (!more)
            return WD_FAIL(err, WD_E_NOMEM, "video: no memory for the times of %llu frames",
                           (unsigned long long)room);
        c->list = more;
        c->room = room;
    }
    c->timed &= p->pts != AV_NOPTS_VALUE;
    c->list[c->n++] = (entry){ p->pts, (p->flags & AV_PKT_FLAG_KEY) != 0 };
    return WD_OK;
}

static void note_picture(scan *c, wd_video__source *s)
{
    c->shown = true;
    c->first = s->frame->pts;
    c->info.width = (uint32_t)s->frame->width;
    c->info.height = (uint32_t)s->frame->height;
    av_frame_unref(s->frame);
}

static wd_status read_all(scan *c, wd_video__source *s, wd_emit *out, wd_err *err)
{
    double last_s = wd_clock_s();
    bool more = true;

    for (;;) {
        WD_TRY(wd_video__read(s, &more, err));
        if (!more)
            break;
        wd_status st = note_packet(c, s, err);
        if (!st && !c->shown && s->packet->stream_index == s->stream->index) {
            wd_video__send(s, s->packet);
            if (wd_video__receive(s))
                note_picture(c, s);
            else if (c->n > FIRST_TRIES)
                st = WD_FAIL(err, WD_E_CORRUPT, "none of the first %d pictures of the video can be decoded",
                             FIRST_TRIES);
        }
        av_packet_unref(s->packet);
        if (!st)
            st = still_alive(out, &last_s, err);
        if (st)
            return st;
    }
    if (!c->shown) {
        wd_video__send(s, NULL);
        if (wd_video__receive(s))
            note_picture(c, s);
    }
    if (!c->n || !c->shown)
        return WD_FAIL(err, WD_E_CORRUPT, "no picture of the video can be decoded");
    return WD_OK;
}

static bool is_container(const wd_video__source *s, const char *name)
{
    return av_match_name(name, s->fmt->iformat->name);
}

/* A recording whose end is missing is refused as a whole. */
static wd_status check_whole(const scan *c, const wd_video__source *s, wd_err *err)
{
    const uint64_t got = c->n + c->n_discarded;
    const int in_index = is_container(s, "mov") ? avformat_index_get_entries_count(s->stream) : 0;
    if (in_index > 0 && (uint64_t)in_index > got)
        return WD_FAIL(err, WD_E_CORRUPT, "the video is cut off: %llu of %d frames are there",
                       (unsigned long long)got, in_index);
    if (c->damaged && !is_container(s, "mpegts"))
        return WD_FAIL(err, WD_E_CORRUPT, "the video is damaged or cut off: a packet is not whole");
    return WD_OK;
}

/* In order of presentation, from the first picture that can be shown; not seekable when times are not distinct. */
static void put_in_order(scan *c)
{
    if (!c->timed || c->first == AV_NOPTS_VALUE) {
        c->timed = false;
        return;
    }
    qsort(c->list, c->n, sizeof *c->list, by_pts);
    uint64_t skip = 0;
    while (skip < c->n && c->list[skip].pts < c->first)
        skip++;
    for (uint64_t i = skip; i + 1 < c->n; i++)
        c->timed &= c->list[i].pts < c->list[i + 1].pts;
    if (!c->timed || skip == c->n || c->list[skip].pts != c->first) {
        c->timed = false;
        return;
    }
    c->n -= skip;
    memmove(c->list, c->list + skip, c->n * sizeof *c->list);
}

static double rate_of(const scan *c, const wd_video__source *s, double span_s)
{
    const AVRational *r[] = { &s->stream->avg_frame_rate, &s->stream->r_frame_rate };
    for (size_t i = 0; i < 2; i++) {
        if (r[i]->num > 0 && r[i]->den > 0)
            return av_q2d(*r[i]);
    }
    return span_s > 0 ? (double)(c->n - 1) / span_s : 0;
}

static void fill_info(scan *c, const wd_video__source *s)
{
    wd_video__info *o = &c->info;
    const double tb = av_q2d(s->stream->time_base);
    const double span_s = c->timed ? (double)(c->list[c->n - 1].pts - c->list[0].pts) * tb : 0;

    o->n_frame = c->n;
    o->seekable = c->timed;
    o->fps = rate_of(c, s, span_s);
    o->duration_s = c->timed     ? span_s + (o->fps > 0 ? 1 / o->fps : 0)
                    : o->fps > 0 ? (double)c->n / o->fps
                                 : 0;
    o->orientation = wd_video__orientation(s);
    if (o->orientation >= 5) {
        const uint32_t w = o->width;
        o->width = o->height;
        o->height = w;
    }
    av_strlcpy(o->codec, avcodec_get_name(s->stream->codecpar->codec_id), sizeof o->codec);
    av_strlcpy(o->container, s->fmt->iformat->name, sizeof o->container);
    o->container[strcspn(o->container, ",")] = 0;
}

static wd_status emit_table(const scan *c, wd_emit *out, wd_err *err)
{
    int64_t *pts = WD_ALLOC_N(int64_t, c->n);
    uint8_t *key = WD_ALLOC_N(uint8_t, c->n);
    wd_status st = WD_OK;

    if (!pts || !key)
        st = WD_FAIL(err, WD_E_NOMEM, "video: no memory for the times of %llu frames",
                     (unsigned long long)c->n);
    for (uint64_t i = 0; !st && i < c->n; i++) {
        pts[i] = c->list[i].pts;
        key[i] = c->list[i].key;
    }
    const wd_span p = wd_span_of(pts, c->n * sizeof *pts), k = wd_span_of(key, c->n);
    for (size_t at = 0; !st && at < p.n; at += PART)
        st = wd_emit_put(out, WD_VIDEO__PTS, wd_span_sub(p, at, PART), err);
    for (size_t at = 0; !st && at < k.n; at += PART)
        st = wd_emit_put(out, WD_VIDEO__KEYS, wd_span_sub(k, at, PART), err);
    wd_free(pts);
    wd_free(key);
    return st;
}

static wd_status probe(wd_video__source *s, wd_emit *out, wd_err *err)
{
    scan c = { .timed = true };
    wd_status st = read_all(&c, s, out, err);
    if (!st)
        st = check_whole(&c, s, err);
    if (!st) {
        put_in_order(&c);
        fill_info(&c, s);
        st = wd_emit_put(out, WD_VIDEO__INFO, wd_span_of(&c.info, sizeof c.info), err);
    }
    if (!st && c.timed)
        st = emit_table(&c, out, err);
    wd_free(c.list);
    return st;
}

/* ---- pass 2 ---- */

typedef struct run {
    wd_video__source *s;
    wd_emit *out;
    wd_err *err;
    const wd_video__wanted *want;
    uint32_t n, next; /* the wanted frame that comes next */
    bool seekable;
    uint32_t orientation;
    uint64_t counted; /* frames decoded, when not seekable */
    bool placed;      /* the decoder stands somewhere after the start */
    int64_t last;     /* time of the newest frame decoded since the last seek */
    double alive_s;
} run;

static wd_status missing(const run *r)
{
    return WD_FAIL(r->err, WD_E_CORRUPT, "frame %llu of the video cannot be decoded: the file is damaged",
                   (unsigned long long)r->want[r->next].index);
}

static wd_status deliver(run *r)
{
    wd_image im = { 0 };
    const AVFrame *f = r->s->frame;
    if ((f->flags & AV_FRAME_FLAG_CORRUPT) || f->decode_error_flags)
        return missing(r);
    WD_TRY(wd_video__to_rgb(r->s, &im, r->err));
    wd_status st = wd_orient(&im, r->orientation, r->err);
    const wd_video__frame head = { r->next, im.width, im.height, 0 };
    if (!st)
        st = wd_emit_put(r->out, WD_VIDEO__FRAME, wd_span_of(&head, sizeof head), r->err);
    if (!st)
        st = wd_emit_put(r->out, WD_VIDEO__PIXELS, wd_span_of(im.rgb, (size_t)im.width * im.height * 3),
                         r->err);
    wd_image_free(&im);
    r->next++;
    r->alive_s = wd_clock_s();
    return st;
}

/* Pictures that nothing refers to and nobody wants need not be decoded. */
static void choose_effort(const run *r)
{
    const AVPacket *p = r->s->packet;
    const bool wanted = !r->seekable || p->pts == AV_NOPTS_VALUE || p->pts == r->want[r->next].pts ||
                        (r->next + 1 < r->n && p->pts >= r->want[r->next + 1].pts);
    r->s->dec->skip_frame = wanted ? AVDISCARD_DEFAULT : AVDISCARD_NONREF;
}

/* Reads on until a frame has been decoded; *got false at the end of the video. */
static wd_status next_frame(run *r, bool *got)
{
    wd_video__source *s = r->s;
    for (;;) {
        bool more;
        *got = wd_video__receive(s);
        if (*got || s->draining)
            return WD_OK;
        WD_TRY(still_alive(r->out, &r->alive_s, r->err));
        WD_TRY(wd_video__read(s, &more, r->err));
        if (!more) {
            wd_video__send(s, NULL);
            continue;
        }
        if (s->packet->stream_index == s->stream->index) {
            choose_effort(r);
            wd_video__send(s, s->packet);
        }
        av_packet_unref(s->packet);
    }
}

/* Decodes on to the wanted frame. *found false when the decoder has passed it or the video has ended. */
static wd_status decode_to(run *r, bool *found)
{
    const wd_video__wanted *w = &r->want[r->next];
    *found = false;
    for (;;) {
        bool got;
        WD_TRY(next_frame(r, &got));
        if (!got)
            return WD_OK;
        const int64_t pts = r->s->frame->pts;
        const uint64_t number = r->counted++;
        if (r->seekable ? pts == w->pts : number == w->index)
            *found = true;
        if (pts != AV_NOPTS_VALUE && (!r->placed || pts > r->last))
            r->last = pts;
        r->placed = true;
        const bool passed = r->seekable ? pts > w->pts : number > w->index;
        if (*found || passed) {
            const wd_status st = *found ? deliver(r) : WD_OK;
            av_frame_unref(r->s->frame);
            return st;
        }
        av_frame_unref(r->s->frame);
    }
}

/* From nearest to farthest: where the decoder stands, the key frame, the one before, the very start. */
static wd_status fetch(run *r)
{
    const wd_video__wanted *w = &r->want[r->next];
    bool found;

    if (!r->placed || r->last < w->pts) {
        const bool ahead = r->placed ? w->key > r->last : w->key > w->before;
        if (ahead && wd_video__seek(r->s, w->key))
            r->placed = false;
        WD_TRY(decode_to(r, &found));
        if (found)
            return WD_OK;
    }
    const int64_t from[] = { w->before, INT64_MIN };
    for (size_t i = 0; i < WD_COUNT(from); i++) {
        const int64_t start = r->s->stream->start_time != AV_NOPTS_VALUE ? r->s->stream->start_time : 0;
        if (!wd_video__seek(r->s, from[i] == INT64_MIN ? WD_MIN(start, w->before) : from[i]))
            continue;
        r->placed = false;
        WD_TRY(decode_to(r, &found));
        if (found)
            return WD_OK;
    }
    return missing(r);
}

static wd_status frames(run *r)
{
    while (r->next < r->n) {
        bool found;
        if (r->seekable) {
            WD_TRY(fetch(r));
            continue;
        }
        WD_TRY(decode_to(r, &found));
        if (!found)
            return missing(r);
    }
    return WD_OK;
}

wd_status wd_decode_video(const wd_decode_in *in, wd_emit *out, wd_err *err)
{
    wd_video__request q;
    wd_video__source s = { 0 };
    wd_video__wanted *want = NULL;

    if (in->opts.n < sizeof q)
        return WD_FAIL(err, WD_E_INTERNAL, "video decoder: %zu bytes of options", in->opts.n);
    memcpy(&q, in->opts.p, sizeof q);
    if (q.n_wanted > WD_VIDEO__BATCH || in->opts.n != sizeof q + q.n_wanted * sizeof *want ||
        (q.pass == 2) != (q.n_wanted > 0))
        return WD_FAIL(err, WD_E_INTERNAL, "video decoder: options of another form");
    wd_status st = wd_video__open(&s, in, err);
    if (!st && q.pass == 1)
        st = probe(&s, out, err);
    if (!st && q.pass == 2) {
        want = WD_ALLOC_N(wd_video__wanted, q.n_wanted);
        if (want) {
            memcpy(want, in->opts.p + sizeof q, q.n_wanted * sizeof *want);
            run r = { .s = &s,
                      .out = out,
                      .err = err,
                      .want = want,
                      .n = q.n_wanted,
                      .seekable = q.seekable,
                      .orientation = wd_video__orientation(&s),
                      .alive_s = wd_clock_s() };
            st = frames(&r);
        } else {
            st = WD_FAIL(err, WD_E_NOMEM, "video: no memory for %u frame numbers", q.n_wanted);
        }
    }
    wd_free(want);
    wd_video__close(&s);
    return st;
}
