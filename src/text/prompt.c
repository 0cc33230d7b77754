/* Token ids of a rendered chat.
 *
 * Text is handed to the tokenizer in stretches that end where pads begin. A stretch always ends in vision_start and
 * the next begins with vision_end, both special tokens, so that cutting there changes no id. Within a stretch the
 * tokenizer sees all parts at once and joins words over their borders as it would in the whole text. */
#include "text/prompt.h"

#include <math.h>
#include <stdio.h>

#include "text/tokenizer.h"

#define TIME_MAX_S 1e9

typedef struct encoder {
    const wd_tokenizer *tok;
    wd_buf part; /* wd_tok_part after wd_tok_part: the stretch at hand */
    wd_ids ids;
    wd_prompt_place *place;
    uint32_t n_place;
    wd_err *err;
} encoder;

static void put(encoder *e, wd_span text, bool markup)
{
    const wd_tok_part part = { .text = text, .markup = markup };
    wd_buf_put(&e->part, &part, sizeof part);
}

static wd_status flush(encoder *e, unsigned flags)
{
    WD_TRY(wd_buf_check(&e->part, "prompt", e->err));
    const wd_tok_part *part = (const wd_tok_part *)(const void *)e->part.p;
    WD_TRY(wd_tokenizer_encode_parts(e->tok, part, e->part.n / sizeof *part, flags, &e->ids, e->err));
    wd_buf_clear(&e->part);
    return WD_OK;
}

static wd_status pads(encoder *e, wd_prompt_place place)
{
    const char *name = place.video ? "<|video_pad|>" : "<|image_pad|>";
    const uint32_t id = wd_tokenizer_id(e->tok, name);
    if (id == WD_TOKEN_NONE)
        return WD_FAIL(e->err, WD_E_INVALID, "the tokenizer has no %s, which the prompt needs", name);
    if (!place.n)
        return WD_FAIL(e->err, WD_E_INVALID, "prompt: %s %u has no tokens", place.video ? "video" : "image",
                       place.index + 1);
    WD_TRY(flush(e, 0));
    place.first = (uint32_t)e->ids.n;
    for (uint32_t i = 0; i < place.n && !e->ids.failed; i++)
        wd_ids_put(&e->ids, id);
    e->place[e->n_place++] = place;
    return wd_ids_check(&e->ids, "prompt", e->err);
}

static wd_status put_video(encoder *e, const wd_prompt_video *v, uint32_t index)
{
    char time[32];
    for (uint32_t g = 0; g < v->n_group; g++) {
        if (!(v->time_s[g] >= 0 && v->time_s[g] < TIME_MAX_S))
            return WD_FAIL(e->err, WD_E_INVALID,
                           "prompt: video %u has a frame time that is no number of seconds", index + 1);
        snprintf(time, sizeof time, "<%.1f seconds>", v->time_s[g]);
        put(e, wd_span_str(time), false);
        put(e, WD_SPAN_LIT("<|vision_start|>"), true);
        WD_TRY(pads(e, (wd_prompt_place){ .video = true, .index = index, .group = g, .n = v->group_tokens }));
        put(e, WD_SPAN_LIT("<|vision_end|>"), true);
    }
    return WD_OK;
}

static wd_status encode(encoder *e, const wd_chat_text *text, const wd_prompt_media *media, bool end_anchor)
{
    for (size_t i = 0; i < text->n_seg; i++) {
        const wd_seg *seg = &text->seg[i];
        switch (seg->kind) {
        case WD_SEG_TEMPLATE:
        case WD_SEG_GIVEN:
            put(e, wd_span_sub(text->text, seg->at, seg->n), seg->kind == WD_SEG_TEMPLATE);
            break;
        case WD_SEG_IMAGE:
            WD_TRY(pads(e, (wd_prompt_place){ .index = seg->index, .n = media->image_tokens[seg->index] }));
            break;
        case WD_SEG_VIDEO:
            WD_TRY(put_video(e, &media->video[seg->index], seg->index));
            break;
        }
    }
    return flush(e, end_anchor ? WD_TOK_POST : 0);
}

/* *n: runs of pads. */
static wd_status check_media(const wd_chat_text *text, const wd_prompt_media *media, uint32_t *n, wd_err *err)
{
    if (text->n_image != media->n_image || text->n_video != media->n_video)
        return WD_FAIL(err, WD_E_INVALID,
                       "prompt: it has %u images and %u videos, but %u and %u were prepared", text->n_image,
                       text->n_video, media->n_image, media->n_video);
    uint64_t runs = media->n_image;
    for (uint32_t i = 0; i < media->n_video; i++) {
        if (!media->video[i].n_group)
            return WD_FAIL(err, WD_E_INVALID, "prompt: video %u has no frames", i + 1);
        runs += media->video[i].n_group;
    }
    if (runs > INT32_MAX)
        return WD_FAIL(err, WD_E_LIMIT, "prompt: too many video frames");
    *n = (uint32_t)runs;
    return WD_OK;
}

wd_status wd_prompt_encode(wd_arena *a, const struct wd_tokenizer *tok, const wd_chat_text *text,
                           const wd_prompt_media *media, bool end_anchor, uint32_t max_tokens, wd_prompt *out,
                           wd_err *err)
{
    static const wd_prompt_media none = { 0 };
    uint32_t n_place = 0;
    media = media ? media : &none;
    WD_TRY(check_media(text, media, &n_place, err));
    encoder e = { .tok = tok, .err = err, .ids.max = max_tokens };
    e.place = WD_NEW_N(a, wd_prompt_place, n_place ? n_place : 1);
    wd_status st = e.place ? encode(&e, text, media, end_anchor)
                           : WD_FAIL(err, WD_E_NOMEM, "prompt: no memory for %u images and frames", n_place);
    uint32_t *id = NULL;
    if (!st && e.ids.n > INT32_MAX)
        st = WD_FAIL(err, WD_E_LIMIT, "prompt: more than %d tokens", INT32_MAX);
    if (!st && !(id = WD_NEW_N(a, uint32_t, e.ids.n ? e.ids.n : 1)))
        st = WD_FAIL(err, WD_E_NOMEM, "prompt: %zu tokens do not fit in the request's memory", e.ids.n);
    if (!st) {
        if (e.ids.n)
            memcpy(id, e.ids.v, e.ids.n * sizeof *id);
        *out = (wd_prompt){ .id = id, .n_id = (uint32_t)e.ids.n, .place = e.place, .n_place = e.n_place };
    }
    wd_ids_wipe(&e.ids);
    wd_ids_free(&e.ids);
    wd_buf_free(&e.part);
    return st;
}
