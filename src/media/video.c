/* The parent's side of videos: asks the worker, and believes only what it has checked. */
#include "media/video.h"

#include <ctype.h>
#include <math.h>

#include "base/clock.h"
#include "media/video_inner.h"

#define MEMORY_BYTES ((size_t)4 << 30)
#define SILENCE_MS 120000

static wd_status strange(const char *what, wd_err *err)
{
    return WD_FAIL(err, WD_E_CRASHED, "%s: the decoder's answer is not a video", what);
}

static wd_status check_time(const char *what, double deadline_s, wd_err *err)
{
    if (deadline_s > 0 && wd_clock_s() > deadline_s)
        return WD_FAIL(err, WD_E_LIMIT, "%s: decoding the video takes longer than allowed", what);
    return WD_OK;
}

static double deadline_of(const wd_video_limits *l)
{
    const wd_video_limits usual = WD_VIDEO_LIMITS_DEFAULT;
    const uint32_t total = l && l->total_s ? l->total_s : usual.total_s;
    return wd_clock_s() + total;
}

static wd_status ask(const char *what, wd_span opts, int fd, uint64_t output_bytes, const wd_video_limits *l,
                     wd_message_fn fn, void *ctx, wd_err *err)
{
    const wd_sandbox_limits limits = { .memory_bytes = MEMORY_BYTES,
                                       .timeout_ms = SILENCE_MS,
                                       .output_bytes = output_bytes,
                                       .message_bytes = (size_t)WD_VIDEO_PIXELS_MAX * 3 };
    return wd_sandbox_run(WD_DECODER_VIDEO, what, opts, fd, &limits, l ? l->cancel : NULL, fn, ctx, err);
}

/* ---- pass 1 ---- */

/* A name for people: letters, digits and a few marks. */
static bool is_word(const char *s, size_t room)
{
    if (!memchr(s, 0, room))
        return false;
    for (; *s; s++) {
        if (!isalnum((unsigned char)*s) && !strchr("_-. ", *s))
            return false;
    }
    return true;
}

static wd_status take_info(wd_video__probe *p, wd_span bytes, wd_err *err)
{
    static const uint32_t turns[9] = { 0, 0, 0, 2, 2, 3, 1, 1, 3 };
    wd_video__info i;

    if (p->have || bytes.n != sizeof i)
        return strange(p->what, err);
    memcpy(&i, bytes.p, sizeof i);
    if (!i.n_frame || i.n_frame > WD_VIDEO_FRAMES_MAX || !i.width || !i.height ||
        i.width > WD_IMAGE_SIDE_MAX || i.height > WD_IMAGE_SIDE_MAX ||
        (uint64_t)i.width * i.height > WD_VIDEO_PIXELS_MAX || i.orientation < 1 || i.orientation > 8 ||
        !is_word(i.codec, sizeof i.codec) || !is_word(i.container, sizeof i.container))
        return strange(p->what, err);
    p->have = true;
    p->info = (wd_video_info){ .n_frame = i.n_frame,
                               .fps = isfinite(i.fps) && i.fps > 0 && i.fps < 1e6 ? i.fps : 0,
                               .duration_s = isfinite(i.duration_s) && i.duration_s > 0 ? i.duration_s : 0,
                               .width = i.width,
                               .height = i.height,
                               .quarter_turns = turns[i.orientation],
                               .mirrored = i.orientation == 2 || i.orientation == 4 || i.orientation == 5 ||
                                           i.orientation == 7,
                               .seekable = i.seekable != 0 };
    memcpy(p->info.codec, i.codec, sizeof i.codec);
    memcpy(p->info.container, i.container, sizeof i.container);
    if (!p->info.seekable)
        return WD_OK;
    p->info.pts = WD_ALLOC_N(int64_t, p->info.n_frame);
    p->info.key = WD_ALLOC_N(uint8_t, p->info.n_frame);
    if (!p->info.pts || !p->info.key)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for the times of %llu frames", p->what,
                       (unsigned long long)i.n_frame);
    return WD_OK;
}

static wd_status take_table(wd_video__probe *p, void *to, uint64_t *n, size_t size, wd_span bytes,
                            wd_err *err)
{
    const uint64_t count = bytes.n / size;
    if (!to || bytes.n % size || count > p->info.n_frame - *n)
        return strange(p->what, err);
    memcpy((uint8_t *)to + *n * size, bytes.p, bytes.n);
    *n += count;
    return WD_OK;
}

wd_status wd_video__take_probe(void *probe, uint32_t type, wd_span bytes, wd_err *err)
{
    wd_video__probe *p = probe;
    WD_TRY(check_time(p->what, p->deadline_s, err));
    switch (type) {
    case WD_VIDEO__ALIVE:
        return WD_OK;
    case WD_VIDEO__INFO:
        return take_info(p, bytes, err);
    case WD_VIDEO__PTS:
        return take_table(p, p->info.pts, &p->n_pts, sizeof *p->info.pts, bytes, err);
    case WD_VIDEO__KEYS:
        return take_table(p, p->info.key, &p->n_key, sizeof *p->info.key, bytes, err);
    default:
        return strange(p->what, err);
    }
}

wd_status wd_video__end_probe(wd_video__probe *p, wd_status st, wd_video_info *out, wd_err *err)
{
    const wd_video_info *i = &p->info;
    if (!st && (!p->have || (i->seekable && (p->n_pts != i->n_frame || p->n_key != i->n_frame))))
        st = strange(p->what, err);
    for (uint64_t k = 1; !st && i->seekable && k < i->n_frame; k++) {
        if (i->pts[k - 1] >= i->pts[k])
            st = strange(p->what, err);
    }
    if (st) {
        wd_video_info_free(&p->info);
        return st;
    }
    *out = p->info;
    return WD_OK;
}

wd_status wd_video_probe(const char *what, int fd, const wd_video_limits *limits, wd_video_info *out,
                         wd_err *err)
{
    const wd_video__request q = { .pass = 1 };
    wd_video__probe p = { .what = what, .deadline_s = deadline_of(limits) };
    const wd_status st = ask(what, wd_span_of(&q, sizeof q), fd, (uint64_t)1 << 30, limits,
                             wd_video__take_probe, &p, err);
    return wd_video__end_probe(&p, st, out, err);
}

void wd_video_info_free(wd_video_info *info)
{
    wd_free(info->pts);
    wd_free(info->key);
    *info = (wd_video_info){ 0 };
}

/* ---- pass 2 ---- */

wd_status wd_video__take_frame(void *frames, uint32_t type, wd_span bytes, wd_err *err)
{
    wd_video__frames *f = frames;
    WD_TRY(check_time(f->what, f->deadline_s, err));
    if (type == WD_VIDEO__ALIVE)
        return WD_OK;
    if (type == WD_VIDEO__FRAME && !f->head.width && bytes.n == sizeof f->head) {
        wd_video__frame h;
        memcpy(&h, bytes.p, sizeof h);
        if (f->next == f->n || h.i != f->n_frame || !h.width || !h.height || h.width > WD_IMAGE_SIDE_MAX ||
            h.height > WD_IMAGE_SIDE_MAX || (uint64_t)h.width * h.height > WD_VIDEO_PIXELS_MAX)
            return strange(f->what, err);
        f->head = h;
        return WD_OK;
    }
    if (type != WD_VIDEO__PIXELS || !f->head.width || bytes.n != (size_t)f->head.width * f->head.height * 3)
        return strange(f->what, err);
    const wd_image im = { (uint8_t *)(uintptr_t)bytes.p, f->head.width, f->head.height };
    f->head = (wd_video__frame){ 0 };
    f->n_frame++;
    const uint64_t index = f->index[f->next];
    do
        WD_TRY(f->on_frame(f->ctx, f->next++, &im, err));
    while (f->next < f->n && f->index[f->next] == index);
    return WD_OK;
}

static void fill_wanted(const wd_video_info *info, uint64_t index, wd_video__wanted *w)
{
    *w = (wd_video__wanted){ .index = index };
    if (!info->seekable)
        return;
    uint64_t k = index;
    while (k > 0 && !info->key[k])
        k--;
    w->pts = info->pts[index];
    w->key = info->pts[k];
    while (k > 0 && !info->key[--k]) {
    }
    w->before = info->pts[k];
}

/* As many of the frames from f->next on as one run takes. */
static wd_status run_batch(wd_video__frames *f, int fd, const wd_video_info *info,
                           const wd_video_limits *limits, wd_err *err)
{
    wd_video__request q = { .pass = 2, .seekable = info->seekable };
    wd_buf opts = { 0 };
    uint32_t end = f->next;

    wd_buf_put(&opts, &q, sizeof q);
    for (; end < f->n && q.n_wanted < WD_VIDEO__BATCH; end++) {
        wd_video__wanted w;
        if (end > f->next && f->index[end] == f->index[end - 1])
            continue;
        fill_wanted(info, f->index[end], &w);
        wd_buf_put(&opts, &w, sizeof w);
        q.n_wanted++;
    }
    while (end < f->n && f->index[end] == f->index[end - 1])
        end++; /* what is left of the last one's repetitions */
    wd_status st = wd_buf_check(&opts, f->what, err);
    if (!st) {
        memcpy(opts.p, &q, sizeof q);
        const uint32_t all = f->n;
        f->n = end;
        f->n_frame = 0;
        const uint64_t each = (uint64_t)info->width * info->height * 12 +
                              (1 << 20); /* sizes may change within */
        st = ask(f->what, wd_buf_view(&opts), fd, each * q.n_wanted, limits, wd_video__take_frame, f, err);
        if (!st && f->next != end)
            st = strange(f->what, err);
        f->n = all;
    }
    wd_buf_free(&opts);
    return st;
}

wd_status wd_video_frames(const char *what, int fd, const wd_video_info *info, const uint64_t *index,
                          uint32_t n, const wd_video_limits *limits, wd_video_frame_fn on_frame, void *ctx,
                          wd_err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        if (index[i] >= info->n_frame || (i && index[i] < index[i - 1]))
            return WD_FAIL(err, WD_E_USAGE, "%s: frame numbers must not decrease and be less than %llu", what,
                           (unsigned long long)info->n_frame);
    }
    wd_video__frames f = { .what = what,
                           .deadline_s = deadline_of(limits),
                           .index = index,
                           .n = n,
                           .on_frame = on_frame,
                           .ctx = ctx };
    while (f.next < n)
        WD_TRY(run_batch(&f, fd, info, limits, err));
    return WD_OK;
}
