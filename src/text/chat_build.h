/* Inside text/: a rendered chat while it is put together. */
#ifndef WD_TEXT_CHAT_BUILD_H
#define WD_TEXT_CHAT_BUILD_H

#include "text/chat.h"

typedef struct wd_chat__build {
    wd_buf text;
    wd_buf seg; /* wd_seg after wd_seg */
    uint32_t n_image, n_video;
} wd_chat__build;

static inline const wd_seg *wd_chat__segs(const wd_chat__build *b, size_t *n)
{
    *n = b->seg.n / sizeof(wd_seg);
    return (const wd_seg *)(const void *)b->seg.p;
}

void wd_chat__template(wd_chat__build *b, const char *s); /* the template's own words */
void wd_chat__given(wd_chat__build *b, wd_span s);        /* anybody else's; made valid UTF-8 */
/* A placeholder with all that the templates put around it. */
void wd_chat__media(wd_chat__build *b, wd_part_kind kind);
/* Bytes [from, to) of another build, with their kinds; placeholders are counted anew. */
void wd_chat__copy(wd_chat__build *b, const wd_chat__build *src, size_t from, size_t to);

/* WD_E_NOMEM when something did not fit; to be asked before a decision is taken on what a build holds. */
WD_MUST_CHECK wd_status wd_chat__check(const wd_chat__build *b, wd_err *err);
void wd_chat__clear(wd_chat__build *b);
void wd_chat__free(wd_chat__build *b); /* wipes */
/* Moves the result into the arena. Does not free b. */
WD_MUST_CHECK wd_status wd_chat__finish(wd_chat__build *b, wd_arena *a, wd_chat_text *out, wd_err *err);

#endif
