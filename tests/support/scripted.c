/* A scripted engine. */
#include "support/scripted.h"

#include <stdio.h>
#include <string.h>

static void note(scripted *s, const wd_generate *rq)
{
    size_t at = 0;
    s->prompt[0] = 0;
    s->n_image = rq->media.n_image;
    for (size_t m = 0; m < rq->chat.n_message; m++) {
        for (size_t i = 0; i < rq->chat.message[m].n_part; i++) {
            const wd_part *p = &rq->chat.message[m].part[i];
            const char *text = p->kind == WD_PART_TEXT ? (const char *)p->text.p : "[image]";
            const size_t n = p->kind == WD_PART_TEXT ? p->text.n : 7;
            if (at + n + 2 < sizeof s->prompt && n) {
                memcpy(s->prompt + at, text, n);
                at += n;
                s->prompt[at] = 0;
            }
        }
    }
}

static wd_status generate(void *self, wd_arena *a, const wd_generate *rq, wd_generated *out, wd_err *err)
{
    scripted *s = self;
    (void)a;
    if (s->fail)
        return WD_FAIL(err, s->fail, "scripted failure");
    note(s, rq);
    const char *text = s->reply[s->n_asked < s->n_reply ? s->n_asked : s->n_reply - 1];
    s->n_asked++;
    wd_generated g = { .finish = WD_FINISH_STOP, .n_prompt = 10, .n_id = 5 };
    WD_TRY(wd_parse_text(wd_span_str(text), NULL, &g.reply, err));
    if (g.reply.n_call)
        g.finish = WD_FINISH_TOOL_CALLS;
    *out = g;
    return WD_OK;
}

static wd_status rerank(void *self, wd_arena *a, const wd_rerank_pair *rq, double *score, size_t *n_token,
                        wd_err *err)
{
    scripted *s = self;
    (void)a;
    if (s->fail)
        return WD_FAIL(err, s->fail, "scripted failure");
    s->n_asked++;
    *score = s->score(s->ctx, rq);
    *n_token = 10;
    return WD_OK;
}

static void destroy(void *self)
{
    (void)self;
}

void scripted_init(scripted *s, const char *const *reply, size_t n_reply)
{
    memset(s, 0, sizeof *s);
    s->reply = reply;
    s->n_reply = n_reply;
    s->engine.self = s;
    s->engine.generate = generate;
    s->engine.rerank = rerank;
    s->engine.destroy = destroy;
    s->engine.info = (wd_engine_info){ .name = "scripted",
                                       .chat_kind = "qwen3-vl-instruct",
                                       .sees = true,
                                       .n_embd = 8,
                                       .context = 4096,
                                       .sample = WD_SAMPLE_OPTS_DEFAULT };
}
