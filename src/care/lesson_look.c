/* From a video file to cards: two passes over the file, one for the cuts and one for the pictures. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "care/lesson.h"
#include "media/video.h"

#define SAMPLES_MAX 40000u /* more are not needed to find the cuts; 70 MB of grids */
#define FPS_UNKNOWN 25.0

typedef struct look {
    const char *path;
    const wd_lesson_opts *o;
    wd_arena *a;
    int fd;
    wd_video_info info;
    double *time_s;  /* [n] of the samples */
    uint64_t *index; /* [n] of the samples, frames of the video */
    uint32_t n;
    uint8_t (*grid)[WD_CUTS_CELLS]; /* [n] */
    wd_shot *shot;
    uint32_t n_shot;
    wd_lesson_cards cards;
} look;

static wd_status no_memory(const look *k, wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for the lesson", k->path);
}

static double rate(const look *k)
{
    return k->info.fps > 0 ? k->info.fps : FPS_UNKNOWN;
}

/* By its time stamp where there is one, so that a video of uneven pace keeps its times. */
static double time_of(const look *k, uint64_t i)
{
    const wd_video_info *v = &k->info;
    const double even = (double)i / rate(k);
    if (!v->seekable || v->n_frame < 2)
        return even;
    const double all = (double)v->pts[v->n_frame - 1] - (double)v->pts[0];
    return ((double)v->pts[i] - (double)v->pts[0]) / all * ((double)(v->n_frame - 1) / rate(k));
}

static wd_status choose_samples(look *k, wd_err *err)
{
    const uint64_t n_frame = k->info.n_frame;
    k->cards.duration_s = time_of(k, n_frame - 1) + 1 / rate(k);
    const double gap_s = fmax(1 / k->o->sample_fps, k->cards.duration_s / (SAMPLES_MAX - 1));
    const uint64_t room = (uint64_t)WD_MIN((double)n_frame, 2 * k->cards.duration_s / gap_s + 2);
    k->index = WD_NEW_N(k->a, uint64_t, room);
    k->time_s = WD_NEW_N(k->a, double, room);
    if (!k->index || !k->time_s)
        return no_memory(k, err);
    double next = 0;
    for (uint64_t i = 0; i < n_frame && k->n < room; i++) {
        const double t = time_of(k, i);
        if (t + 1e-6 < next)
            continue;
        k->index[k->n] = i;
        k->time_s[k->n++] = t;
        next = fmax(next + gap_s, t + gap_s / 2);
    }
    k->grid = wd_arena_alloc(k->a, k->n, WD_CUTS_CELLS);
    return k->grid ? WD_OK : no_memory(k, err);
}

static wd_status take_sample(void *ctx, uint32_t i, const wd_image *frame, wd_err *err)
{
    look *k = ctx;
    (void)err;
    wd_cuts_grid(frame, k->grid[i]);
    if (k->o->ask.watch.progress)
        k->o->ask.watch.progress(k->o->ask.watch.self, WD_STAGE_PREPROCESS, i + 1, k->n);
    return WD_OK;
}

/* Pixel column or row i of n, from `from` of the source. */
static uint32_t part(uint32_t i, uint32_t n, uint32_t from)
{
    return (uint32_t)((uint64_t)i * from / n);
}

/* Smaller by the mean of what falls on each pixel; never larger. */
static wd_status shrink(const look *k, const wd_image *in, wd_image *out, wd_err *err)
{
    const double scale = fmin(1, sqrt((double)k->o->picture_pixels / ((double)in->width * in->height)));
    const uint32_t w = WD_MAX((uint32_t)(in->width * scale + 1e-9), 1),
                   h = WD_MAX((uint32_t)(in->height * scale + 1e-9), 1);
    uint8_t *p = wd_arena_alloc(k->a, (size_t)w * h, 3);
    if (!p)
        return no_memory(k, err);
    *out = (wd_image){ p, w, h };
    for (uint32_t y = 0; y < h; y++) {
        const uint32_t y0 = part(y, h, in->height), y1 = part(y + 1, h, in->height);
        for (uint32_t x = 0; x < w; x++) {
            const uint32_t x0 = part(x, w, in->width), x1 = part(x + 1, w, in->width);
            const uint64_t n = (uint64_t)(x1 - x0) * (y1 - y0);
            uint64_t sum[3] = { 0, 0, 0 };
            for (uint32_t j = y0; j < y1; j++)
                for (uint32_t i = x0; i < x1; i++)
                    for (int c = 0; c < 3; c++)
                        sum[c] += in->rgb[3 * ((size_t)j * in->width + i) + (size_t)c];
            for (int c = 0; c < 3; c++)
                *p++ = (uint8_t)((sum[c] + n / 2) / n);
        }
    }
    return WD_OK;
}

static wd_status take_picture(void *ctx, uint32_t i, const wd_image *frame, wd_err *err)
{
    look *k = ctx;
    return shrink(k, frame, &k->cards.card[i].picture, err);
}

/* Longest first; of equals the earlier one. */
static int by_length(const void *a, const void *b)
{
    const wd_shot *x = *(const wd_shot *const *)a, *y = *(const wd_shot *const *)b;
    const double dx = x->end_s - x->start_s, dy = y->end_s - y->start_s;
    if (fabs(dx - dy) > 1e-6)
        return dx > dy ? -1 : 1;
    return (x > y) - (x < y);
}

static int by_place(const void *a, const void *b)
{
    const wd_shot *x = *(const wd_shot *const *)a, *y = *(const wd_shot *const *)b;
    return (x > y) - (x < y);
}

/* The longest shots, in order of time. */
static wd_status choose_cards(look *k, uint64_t **key, wd_err *err)
{
    const wd_shot **pick = WD_NEW_N(k->a, const wd_shot *, k->n_shot);
    wd_lesson_cards *c = &k->cards;
    c->n_card = WD_MIN(k->n_shot, k->o->max_cards);
    c->n_left_out = k->n_shot - c->n_card;
    c->card = WD_NEW_N(k->a, wd_lesson_card, c->n_card);
    *key = WD_NEW_N(k->a, uint64_t, c->n_card);
    if (!pick || !c->card || !*key)
        return no_memory(k, err);
    for (uint32_t i = 0; i < k->n_shot; i++)
        pick[i] = &k->shot[i];
    qsort(pick, k->n_shot, sizeof *pick, by_length);
    qsort(pick, c->n_card, sizeof *pick, by_place);
    for (uint32_t i = 0; i < c->n_card; i++) {
        c->card[i] = (wd_lesson_card){ .start_s = pick[i]->start_s,
                                       .end_s = pick[i]->end_s,
                                       .key_s = k->time_s[pick[i]->key],
                                       .is_take = pick[i]->is_take && i && pick[i - 1] == pick[i] - 1 };
        (*key)[i] = k->index[pick[i]->key];
    }
    return WD_OK;
}

static wd_status find_cards(look *k, wd_err *err)
{
    wd_video_limits limits = WD_VIDEO_LIMITS_DEFAULT;
    limits.cancel = k->o->ask.watch.cancel;
    WD_TRY(wd_video_probe(k->path, k->fd, &limits, &k->info, err));
    WD_TRY(choose_samples(k, err));
    WD_TRY(wd_video_frames(k->path, k->fd, &k->info, k->index, k->n, &limits, take_sample, k, err));
    wd_cuts_opts cuts = k->o->cuts;
    cuts.long_s = fmax(cuts.long_s, k->cards.duration_s / k->o->max_cards);
    WD_TRY(wd_cuts_find((const uint8_t(*)[WD_CUTS_CELLS])k->grid, k->time_s, k->n, k->cards.duration_s, &cuts,
                        k->a, &k->shot, &k->n_shot, err));
    uint64_t *key;
    WD_TRY(choose_cards(k, &key, err));
    WD_TRY(wd_video_frames(k->path, k->fd, &k->info, key, k->cards.n_card, &limits, take_picture, k, err));
    k->cards.width = k->info.width;
    k->cards.height = k->info.height;
    k->cards.fps = k->info.fps;
    k->cards.codec = wd_arena_strndup(k->a, k->info.codec, strlen(k->info.codec));
    return k->cards.codec ? WD_OK : no_memory(k, err);
}

wd_status wd_lesson_look(const char *path, const wd_lesson_opts *o, wd_arena *a, wd_lesson_cards *out,
                         wd_err *err)
{
    if (!(o->sample_fps > 0) || o->sample_fps > 1000 || !o->max_cards || o->max_cards > WD_LESSON_CARDS_MAX ||
        o->picture_pixels < 1 || !(o->cuts.long_s > 0))
        return WD_FAIL(err, WD_E_USAGE, "lesson: expected 1 to %u cards, some pixels and a sampling rate",
                       WD_LESSON_CARDS_MAX);
    look *k = WD_NEW(a, look);
    if (!k)
        return WD_FAIL(err, WD_E_NOMEM, "lesson: no memory");
    uint64_t size;
    *k = (look){ .path = path, .o = o, .a = a };
    k->fd = wd_file_open_read(path, &size, err);
    if (k->fd < 0)
        return err ? err->code : WD_E_IO;
    const wd_status st = find_cards(k, err);
    wd_video_info_free(&k->info);
    close(k->fd);
    if (!st)
        *out = k->cards;
    return st;
}
