/* A scripted engine. */
#include "support/scripted.h"

#include <pthread.h>
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

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER; /* guards what the engine remembers */

typedef struct telling {
    const wd_generate *rq;
    wd_parsed *reply;
} telling;

static wd_status tell(void *arg, const wd_parse_event *ev, wd_err *err)
{
    telling *t = arg;
    WD_TRY(wd_parsed_collect(t->reply, ev, err));
    return t->rq->watch.event ? t->rq->watch.event(t->rq->watch.self, ev, err) : WD_OK;
}

#define PIECE 5 /* bytes of a token, and what a character takes beyond */

static size_t piece_at(wd_span text, size_t at)
{
    size_t n = WD_MIN(text.n - at, PIECE);
    while (at + n < text.n && (text.p[at + n] & 0xC0) == 0x80)
        n++;
    return n;
}

static wd_status feed(const scripted *s, const wd_generate *rq, wd_span text, wd_parse *p, size_t *n_token,
                      wd_err *err)
{
    static const wd_token_logprob lp = { .logprob = -0.5f };
    const wd_watch *w = &rq->watch;
    for (size_t round = 0; round < (s->repeat ? s->repeat : 1); round++) {
        for (size_t at = 0, n; at < text.n; at += n, (*n_token)++) {
            n = piece_at(text, at);
            if (s->before_token)
                s->before_token(s->ctx, rq, *n_token);
            if (w->cancel && atomic_load(w->cancel))
                return WD_FAIL(err, WD_E_CANCELLED, "cancelled");
            if (w->token)
                w->token(w->self, (uint32_t)*n_token, rq->logprobs ? &lp : NULL);
            WD_TRY(wd_parse_feed(p, wd_span_sub(text, at, n), err));
        }
    }
    return wd_parse_end(p, err);
}

static wd_status generate(void *self, wd_arena *a, const wd_generate *rq, wd_generated *out, wd_err *err)
{
    scripted *s = self;
    (void)a;
    if (s->fail)
        return WD_FAIL(err, s->fail, "scripted failure");
    pthread_mutex_lock(&mu);
    note(s, rq);
    const char *text = s->reply[s->n_asked < s->n_reply ? s->n_asked : s->n_reply - 1];
    s->n_asked++;
    s->held = rq->constraint != NULL;
    s->call_held = rq->call != NULL;
    s->must_call = rq->must_call;
    s->one_call = rq->one_call;
    s->satisfied = s->held && wd_constraint_accepts(rq->constraint, wd_span_str(text));
    pthread_mutex_unlock(&mu);
    wd_generated g = { .finish = WD_FINISH_STOP, .n_prompt = 10, .n_cached = 4 };
    telling t = { rq, &g.reply };
    wd_parse *p;
    WD_TRY(wd_parse_create(&(wd_parse_opts){ .plain = rq->prompt != NULL, .sure_calls = rq->call != NULL },
                           tell, &t, &p, err));
    const wd_status st = feed(s, rq, wd_span_str(text), p, &g.n_id, err);
    wd_parse_destroy(p);
    if (st) {
        wd_parsed_free(&g.reply);
        return st;
    }
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
    pthread_mutex_lock(&mu);
    s->n_asked++;
    pthread_mutex_unlock(&mu);
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
