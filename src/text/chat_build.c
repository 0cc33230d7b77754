/* Segments of a rendered chat: appended, merged with their like, sliced. */
#include "text/chat_build.h"

#include "base/utf8.h"

static const char image_text[] = "<|image_pad|>";
static const char video_text[] = "<|vision_start|><|video_pad|><|vision_end|>";

static void put(wd_chat__build *b, wd_seg_kind kind, wd_span s)
{
    const bool words = kind == WD_SEG_TEMPLATE || kind == WD_SEG_GIVEN;
    size_t n;
    wd_seg *last = (wd_seg *)(void *)b->seg.p;
    wd_chat__segs(b, &n);
    last = n ? last + n - 1 : NULL;
    if (!s.n)
        return;
    if (words && last && last->kind == kind) {
        last->n += s.n;
    } else {
        const wd_seg seg = {
            .kind = kind,
            .index = kind == WD_SEG_IMAGE   ? b->n_image
                     : kind == WD_SEG_VIDEO ? b->n_video
                                            : 0,
            .at = b->text.n,
            .n = s.n,
        };
        wd_buf_put(&b->seg, &seg, sizeof seg);
    }
    b->n_image += kind == WD_SEG_IMAGE;
    b->n_video += kind == WD_SEG_VIDEO;
    wd_buf_span(&b->text, s);
}

void wd_chat__template(wd_chat__build *b, const char *s)
{
    put(b, WD_SEG_TEMPLATE, wd_span_str(s));
}

void wd_chat__given(wd_chat__build *b, wd_span s)
{
    if (wd_utf8_valid(s)) {
        put(b, WD_SEG_GIVEN, s);
        return;
    }
    wd_buf clean = { 0 };
    wd_utf8_sanitize(s, &clean);
    put(b, WD_SEG_GIVEN, wd_buf_view(&clean));
    b->text.failed |= clean.failed;
    wd_buf_wipe(&clean);
}

void wd_chat__media(wd_chat__build *b, wd_part_kind kind)
{
    if (kind == WD_PART_VIDEO) {
        put(b, WD_SEG_VIDEO, wd_span_str(video_text));
        return;
    }
    wd_chat__template(b, "<|vision_start|>");
    put(b, WD_SEG_IMAGE, wd_span_str(image_text));
    wd_chat__template(b, "<|vision_end|>");
}

void wd_chat__copy(wd_chat__build *b, const wd_chat__build *src, size_t from, size_t to)
{
    size_t n;
    const wd_seg *seg = wd_chat__segs(src, &n);
    for (size_t i = 0; i < n; i++) {
        const size_t lo = WD_MAX(seg[i].at, from), hi = WD_MIN(seg[i].at + seg[i].n, to);
        if (lo < hi)
            put(b, seg[i].kind, wd_span_sub(wd_buf_view(&src->text), lo, hi - lo));
    }
}

wd_status wd_chat__check(const wd_chat__build *b, wd_err *err)
{
    if (b->text.failed || b->seg.failed)
        return WD_FAIL(err, WD_E_NOMEM, "chat: no memory for the prompt");
    return WD_OK;
}

void wd_chat__clear(wd_chat__build *b)
{
    wd_buf_clear(&b->text);
    wd_buf_clear(&b->seg);
    b->n_image = b->n_video = 0;
}

void wd_chat__free(wd_chat__build *b)
{
    wd_buf_wipe(&b->text);
    wd_buf_free(&b->seg);
}

wd_status wd_chat__finish(wd_chat__build *b, wd_arena *a, wd_chat_text *out, wd_err *err)
{
    size_t n;
    const wd_seg *seg = wd_chat__segs(b, &n);
    WD_TRY(wd_chat__check(b, err));
    char *text = wd_arena_strndup(a, b->text.n ? (const char *)b->text.p : "", b->text.n);
    wd_seg *copy = WD_NEW_N(a, wd_seg, n ? n : 1);
    if (!text || !copy)
        return WD_FAIL(err, WD_E_NOMEM, "chat: a prompt of %zu bytes does not fit in the request's memory",
                       b->text.n);
    if (n)
        memcpy(copy, seg, n * sizeof *seg);
    *out = (wd_chat_text){
        .text = wd_span_of(text, b->text.n),
        .seg = copy,
        .n_seg = n,
        .n_image = b->n_image,
        .n_video = b->n_video,
    };
    return WD_OK;
}
