/* Calls may come from many threads. An engine without a model: it gives prepared replies and scores, and remembers what it was asked. */
#ifndef WD_TESTS_SUPPORT_SCRIPTED_H
#define WD_TESTS_SUPPORT_SCRIPTED_H

#include "engine/engine.h"

typedef struct scripted {
    wd_engine engine;
    const char *const
        *reply; /* [n_reply] raw texts in turn, tool calls marked up; the last one again when they
                                 run out */
    size_t n_reply, n_asked;
    double (*score)(void *ctx, const wd_rerank_pair *pair); /* for rerank */
    void *ctx;
    /* generate hands the reply on as an engine does, a few bytes per token, and looks at its cancel flag */
    size_t repeat; /* the reply so many times over; 0: once */
    void (*before_token)(void *ctx, const wd_generate *rq, size_t i); /* may wait; NULL: nothing */
    wd_status fail; /* other than WD_OK: every call fails with it */
    /* of the last generate call */
    char prompt[65536]; /* the user's text parts, images as [image] */
    uint32_t n_image;
    bool held, satisfied;                /* there was a constraint; the reply satisfies it */
    bool call_held, must_call, one_call; /* as asked for */
} scripted;

void scripted_init(scripted *s, const char *const *reply, size_t n_reply);

#endif
