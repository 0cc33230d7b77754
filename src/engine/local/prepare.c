/* From a rendered chat and its media to tokens, pixels and positions. */
#include <string.h>

#include "engine/local/inner.h"
#include "vision/positions.h"

static bool cancelled(const wd_watch *w)
{
    return w->cancel && atomic_load_explicit(w->cancel, memory_order_relaxed);
}

static void free_visual(void *arg)
{
    wd_visual_free(arg);
}

static void digest_visual(wd_local_visual *m)
{
    wd_digester *d = wd_digester_create();
    if (!d) { /* a digest that equals none: nothing is reused */
        m->digest.b[0] ^= 1;
        return;
    }
    const uint32_t size[2] = { m->image ? m->image->width : 0, m->image ? m->image->height : 0 };
    wd_digester_add(d, wd_span_of(m->v.grid, sizeof m->v.grid));
    wd_digester_add(d, wd_span_of(size, sizeof size));
    if (m->image)
        wd_digester_add(d, wd_span_of(m->image->rgb, (size_t)size[0] * size[1] * 3));
    else
        wd_digester_add(d, wd_span_of(m->v.rgb, (size_t)m->v.n_frame * m->v.width * m->v.height * 3));
    wd_digester_end(d, &m->digest);
}

static wd_status of_image(uint32_t i, uint32_t n, wd_status st, const wd_err *why, wd_err *err)
{
    return st ? WD_FAIL(err, st, "image %u of %u: %s", i + 1, n, why->text) : WD_OK;
}

wd_status wd_local__resize(const wd_local_prompt *p, uint32_t i, wd_err *err)
{
    wd_local_visual *m = &p->image[i];
    wd_err why = { 0 };
    if (m->v.rgb)
        return WD_OK;
    return of_image(i, p->n_image, wd_visual_take_image(&m->v, m->image, &why), &why, err);
}

/* Shape and digest: what the prompt is made of. */
static wd_status plan_image(wd_local *e, wd_arena *a, const wd_image *im, const wd_pixel_budget *budget,
                            wd_local_visual *out, wd_err *err)
{
    WD_TRY(wd_visual_plan_image(&e->o.processor, budget, im, &out->v, err));
    if (wd_arena_defer(a, free_visual, &out->v))
        return WD_FAIL(err, WD_E_NOMEM, "no memory");
    out->image = im;
    digest_visual(out);
    return WD_OK;
}

/* All are planned. The first turn's are resized too, on the caller's thread, beside whatever is in the tower now; the
 * others while those before them are in it (see.c). */
static wd_status prepare_images(wd_local *e, wd_arena *a, const wd_media *m, const wd_pixel_budget *budget,
                                const wd_watch *watch, wd_local_prompt *p, wd_err *err)
{
    size_t n_token = 0;
    for (uint32_t i = 0; i < m->n_image; i++) {
        wd_err why = { 0 };
        if (cancelled(watch))
            return WD_FAIL(err, WD_E_CANCELLED, "cancelled while images were prepared");
        WD_TRY(
            of_image(i, m->n_image, plan_image(e, a, &m->image[i], budget, &p->image[i], &why), &why, err));
        n_token += wd_visual_tokens(&p->image[i].v);
        if (i == 0 || n_token <= e->look_tokens)
            WD_TRY(wd_local__resize(p, i, err));
        if (watch->progress)
            watch->progress(watch->self, WD_STAGE_PREPROCESS, i + 1, m->n_image);
    }
    return WD_OK;
}

typedef struct frame_sink {
    wd_clip clip;
    const wd_watch *watch;
    uint32_t n;
} frame_sink;

static wd_status take_frame(void *ctx, uint32_t i, const wd_image *frame, wd_err *err)
{
    frame_sink *s = ctx;
    if (cancelled(s->watch))
        return WD_FAIL(err, WD_E_CANCELLED, "cancelled while frames were read");
    if (s->watch->progress)
        s->watch->progress(s->watch->self, WD_STAGE_PREPROCESS, i, s->n);
    return wd_clip_add(&s->clip, frame, err);
}

static wd_status prepare_video(wd_local *e, wd_arena *a, const wd_video_source *src, const wd_watch *watch,
                               wd_local_visual *out, wd_err *err)
{
    wd_video_plan plan = { 0 };
    frame_sink sink = { .watch = watch };
    wd_status st = wd_video_plan_make(&e->o.processor, &e->o.video, src->n_frame, src->fps,
                                      (wd_size){ src->height, src->width }, &plan, err);
    if (st)
        return st;
    sink.n = plan.n_frame;
    st = wd_clip_begin(&sink.clip, &e->o.processor, &plan, &out->v, err);
    if (!st && wd_arena_defer(a, free_visual, &out->v))
        st = WD_FAIL(err, WD_E_NOMEM, "video: no memory");
    if (!st)
        st = src->frames(src->self, plan.index, plan.n_frame, take_frame, &sink, err);
    if (!st)
        st = wd_clip_end(&sink.clip, err);
    if (!st) {
        double *times = WD_NEW_N(a, double, plan.n_group);
        if (times)
            memcpy(times, plan.group_s, plan.n_group * sizeof *times);
        else
            st = WD_FAIL(err, WD_E_NOMEM, "video: no memory");
        out->group_s = times;
    }
    if (!st)
        digest_visual(out);
    wd_video_plan_free(&plan);
    return st;
}

static wd_status prepare_media(wd_local *e, wd_arena *a, const wd_media *m, const wd_pixel_budget *budget,
                               const wd_watch *watch, wd_local_prompt *p, wd_err *err)
{
    if ((m->n_image || m->n_video) && !e->engine.info.sees)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "this model (%s) takes no images or videos",
                       e->engine.info.name);
    p->image = WD_NEW_N(a, wd_local_visual, m->n_image);
    p->video = WD_NEW_N(a, wd_local_visual, m->n_video);
    if (!p->image || !p->video)
        return WD_FAIL(err, WD_E_NOMEM, "media: no memory");
    p->n_image = m->n_image;
    p->n_video = m->n_video;
    WD_TRY(prepare_images(e, a, m, budget, watch, p, err));
    for (uint32_t i = 0; i < m->n_video; i++)
        WD_TRY(prepare_video(e, a, &m->video[i], watch, &p->video[i], err));
    return WD_OK;
}

static wd_status encode(wd_local *e, wd_arena *a, const wd_chat_text *text, bool end_anchor,
                        wd_local_prompt *p, wd_err *err)
{
    uint32_t *image_tokens = WD_NEW_N(a, uint32_t, p->n_image);
    wd_prompt_video *videos = WD_NEW_N(a, wd_prompt_video, p->n_video);
    if (!image_tokens || !videos)
        return WD_FAIL(err, WD_E_NOMEM, "prompt: no memory");
    for (uint32_t i = 0; i < p->n_image; i++)
        image_tokens[i] = (uint32_t)wd_visual_tokens(&p->image[i].v);
    for (uint32_t i = 0; i < p->n_video; i++) {
        const wd_visual *v = &p->video[i].v;
        videos[i] = (wd_prompt_video){ .n_group = v->grid[0],
                                       .group_tokens = (uint32_t)(wd_visual_tokens(v) / v->grid[0]),
                                       .time_s = p->video[i].group_s };
    }
    const wd_prompt_media media = { image_tokens, p->n_image, videos, p->n_video };
    WD_TRY(wd_prompt_encode(a, e->o.tokenizer, text, &media, end_anchor, 0, &p->text, err));
    p->id = (const uint32_t *)p->text.id;
    p->n = p->text.n_id;
    if (p->n == 0)
        return WD_FAIL(err, WD_E_INVALID, "prompt: no token");
    return WD_OK;
}

static wd_status find_positions(wd_local *e, wd_arena *a, wd_local_prompt *p, wd_err *err)
{
    uint32_t(*grids)[3] = wd_arena_alloc(a, p->n_image + p->n_video, sizeof *grids);
    for (int k = 0; k < 3; k++)
        p->pos[k] = WD_NEW_N(a, int32_t, p->n);
    p->visual = WD_NEW_N(a, int32_t, p->n);
    if (!grids || !p->pos[0] || !p->pos[1] || !p->pos[2] || !p->visual)
        return WD_FAIL(err, WD_E_NOMEM, "prompt: no memory for %zu tokens", p->n);
    for (uint32_t i = 0; i < p->n_image; i++)
        memcpy(grids[i], p->image[i].v.grid, sizeof grids[i]);
    for (uint32_t i = 0; i < p->n_video; i++)
        memcpy(grids[p->n_image + i], p->video[i].v.grid, sizeof grids[i]);

    const bool sees = e->engine.info.sees;
    wd_positions_in in = { .ids = p->id,
                           .n = p->n,
                           .image_token = sees ? e->cfg->image_token : WD_TOKEN_NONE,
                           .video_token = sees ? e->cfg->video_token : WD_TOKEN_NONE,
                           .merge_size = sees ? e->cfg->vision.merge_size : 1,
                           .image_grid = (const uint32_t(*)[3])grids,
                           .n_image = p->n_image,
                           .video_grid = (const uint32_t(*)[3])(grids + p->n_image),
                           .n_video = p->n_video };
    wd_positions_out out = { .pos = { p->pos[0], p->pos[1], p->pos[2] }, .visual = p->visual };
    WD_TRY(wd_positions(&in, &out, err));
    p->rope_delta = out.rope_delta;
    for (size_t i = 0; i < p->n; i++)
        p->n_visual += p->visual[i] >= 0;
    return WD_OK;
}

wd_status wd_local__prepare(wd_local *e, wd_arena *a, const wd_chat_text *text, const wd_media *media,
                            const wd_pixel_budget *budget, bool end_anchor, const wd_watch *watch,
                            wd_local_prompt *out, wd_err *err)
{
    *out = (wd_local_prompt){ .opens_thinking = text->opens_thinking };
    WD_TRY(prepare_media(e, a, media, budget, watch, out, err));
    WD_TRY(encode(e, a, text, end_anchor, out, err));
    return find_positions(e, a, out, err);
}

wd_status wd_local__prepare_ids(wd_local *e, wd_arena *a, const uint32_t *id, size_t n, wd_local_prompt *out,
                                wd_err *err)
{
    *out = (wd_local_prompt){ 0 };
    if (n == 0)
        return WD_FAIL(err, WD_E_INVALID, "prompt: no token");
    if (n > e->context) /* before room is taken for it */
        return WD_FAIL(err, WD_E_LIMIT, "the prompt has %zu tokens, the context %u", n, e->context);
    for (size_t i = 0; i < n; i++)
        if (id[i] >= e->cfg->text.n_vocab)
            return WD_FAIL(err, WD_E_INVALID, "prompt: token %zu is %u, the vocabulary has %u", i, id[i],
                           e->cfg->text.n_vocab);
    out->text = (wd_prompt){ .id = WD_NEW_N(a, uint32_t, n), .n_id = (uint32_t)n };
    if (!out->text.id)
        return WD_FAIL(err, WD_E_NOMEM, "prompt: no memory for %zu tokens", n);
    memcpy(out->text.id, id, n * sizeof *id);
    out->id = out->text.id;
    out->n = n;
    return find_positions(e, a, out, err);
}
