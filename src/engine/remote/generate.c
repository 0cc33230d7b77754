/* Generation by an upstream. */
#include "base/clock.h"
#include "base/json.h"
#include "engine/remote/inner.h"
#include "engine/remote/reply.h"

#define STREAM_BYTES_MAX ((size_t)1 << 30) /* chunks are many times longer than what they say */

typedef struct generation {
    const wd_remote *r;
    const wd_generate *rq;
    wd_remote__call call;
    wd_reply *reply;
    wd_generated out;
    size_t n_piece;
    double first_s; /* when the first piece came; 0: none has */
} generation;

static wd_status on_event(void *self, const wd_parse_event *ev, wd_err *err)
{
    generation *g = self;
    const wd_watch *w = &g->rq->watch;
    if (!g->n_piece++)
        g->first_s = wd_clock_s();
    if (w->token)
        w->token(w->self, WD_TOKEN_UNKNOWN, NULL);
    if (w->progress)
        w->progress(w->self, WD_STAGE_DECODE, g->n_piece, g->rq->max_tokens);
    WD_TRY(wd_parsed_collect(&g->out.reply, ev, err));
    return w->event ? w->event(w->self, ev, err) : WD_OK;
}

static wd_status write_body(void *self, wd_upstream_kind kind, wd_buf *out, wd_err *err)
{
    const generation *g = self;
    return wd_remote__write_generate(g->r, g->rq, kind, out, err);
}

static wd_status on_data(void *self, wd_span bytes, wd_err *err)
{
    generation *g = self;
    return wd_reply_feed(g->reply, bytes, err);
}

/* As another server spells JSON: white space and escapes are its own. */
static bool satisfies(const wd_constraint *c, wd_span text)
{
    wd_err ignored;
    json_t *v = NULL;
    wd_buf plain = { 0 };
    if (wd_constraint_accepts(c, text))
        return true;
    bool good = wd_constraint_source_of(c)->kind <= WD_CONSTRAINT_OBJECT &&
                !wd_json_parse(text, "reply", &v, &ignored) &&
                !wd_json_write(v, JSON_COMPACT, &plain, &ignored) &&
                wd_constraint_accepts(c, wd_buf_view(&plain));
    json_decref(v);
    wd_buf_wipe(&plain);
    wd_buf_free(&plain);
    return good;
}

static wd_status end(generation *g, wd_err *err)
{
    wd_reply_end e;
    WD_TRY(wd_reply_finish(g->reply, &e, err));
    g->out.finish = e.finish;
    g->out.n_prompt = e.n_prompt;
    g->out.n_cached = e.n_cached;
    g->out.n_id = e.n_reply;
    if (g->rq->constraint && e.finish != WD_FINISH_LENGTH &&
        !satisfies(g->rq->constraint, wd_buf_view(&g->out.reply.content)))
        return WD_FAIL(err, WD_E_CORRUPT,
                       "%s: the reply does not satisfy what it was to be held to (the server may not know "
                       "response_format or structured_outputs)",
                       g->call.name);
    return WD_OK;
}

static void account(wd_remote *r, const wd_generated *g)
{
    pthread_mutex_lock(&r->mu);
    r->stats.n_prompt += g->n_prompt;
    r->stats.n_cached += g->n_cached;
    r->stats.n_reply += g->n_id;
    pthread_mutex_unlock(&r->mu);
}

wd_status wd_remote__generate(void *self, wd_arena *a, const wd_generate *rq, wd_generated *out, wd_err *err)
{
    wd_remote *r = self;
    const double start = wd_clock_s();
    (void)a; /* what the reply takes is the caller's own */
    generation g = { .r = r,
                     .rq = rq,
                     .call = { .path = rq->prompt ? "/completions" : "/chat/completions",
                               .body = write_body,
                               .data = on_data,
                               .events = true,
                               .max_bytes = STREAM_BYTES_MAX,
                               .watch = &rq->watch,
                               .terms = &rq->terms } };
    const wd_reply_opts o = { .name = &g.call.name,
                              .plain = rq->prompt != NULL,
                              .tools = !rq->constraint && (rq->chat.tools.value || rq->chat.tools.text.n),
                              .stop = rq->stop,
                              .n_stop = rq->n_stop,
                              .event = on_event,
                              .self = &g };
    g.call.self = &g;
    WD_TRY(wd_remote__check_generate(r, rq, err));
    WD_TRY(wd_reply_create(&o, &g.reply, err));
    wd_status st = wd_remote__do(r, &g.call, err);
    if (!st)
        st = end(&g, err);
    const double now = wd_clock_s();
    g.out.timings.prefill_s = (g.n_piece ? g.first_s : now) - start;
    g.out.timings.decode_s = g.n_piece ? now - g.first_s : 0;
    if (st) {
        wd_parsed_free(&g.out.reply);
    } else {
        account(r, &g.out);
        *out = g.out;
    }
    wd_reply_destroy(g.reply);
    return st;
}
