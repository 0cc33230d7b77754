/* Generation: prefill, then token by token through the sampler, the detokenizer, the stop strings and the parser. */
#include <string.h>

#include "base/clock.h"
#include "engine/local/inner.h"
#include "text/stop.h"

typedef struct generation {
    wd_local *e;
    wd_arena *arena;
    const wd_generate *rq;
    wd_sampler *sampler;
    wd_stop *stop;
    wd_parse *parse;
    wd_detok detok;
    wd_local_lookup lookup;
    wd_buf text, passed; /* of one token: decoded; past the stop strings */
    uint32_t *id;        /* [max] */
    wd_token_logprob *logprob;
    wd_token_logprob *prompt_logprob;
    const wd_local_prompt *prompt;
    size_t n, max;
    wd_generated *out;
} generation;

/* Collects the reply and hands each piece on. */
static wd_status on_piece(void *arg, const wd_parse_event *ev, wd_err *err)
{
    generation *g = arg;
    WD_TRY(wd_parsed_collect(&g->out->reply, ev, err));
    return g->rq->watch.event ? g->rq->watch.event(g->rq->watch.self, ev, err) : WD_OK;
}

static wd_status keep_logprob(generation *g, const wd_sampled *s, wd_token_logprob *to, wd_err *err)
{
    wd_logprob *top = WD_NEW_N(g->arena, wd_logprob, s->n_top);
    if (!top)
        return WD_FAIL(err, WD_E_NOMEM, "log-probabilities: no memory");
    memcpy(top, s->top, s->n_top * sizeof *top);
    *to = (wd_token_logprob){ s->logprob, s->n_top, top };
    return WD_OK;
}

/* Row i of the logits tells of token first + i + 1. */
static wd_status prompt_rows(void *ctx, size_t first, size_t n, const float *logits, wd_err *err)
{
    generation *g = ctx;
    const uint32_t n_vocab = g->e->cfg->text.n_vocab;
    wd_sampled s;
    for (size_t i = 0; i < n && first + i + 1 < g->prompt->n; i++) {
        const int32_t next = (int32_t)g->prompt->id[first + i + 1];
        WD_TRY(wd_logprobs(logits + i * n_vocab, n_vocab, next, g->rq->n_top, &s, err));
        WD_TRY(keep_logprob(g, &s, &g->prompt_logprob[first + i + 1], err));
    }
    return WD_OK;
}

static wd_status open_generation(generation *g, wd_err *err)
{
    const wd_generate *rq = g->rq;
    const size_t room = g->e->context - g->prompt->n;
    if (room == 0)
        return WD_FAIL(err, WD_E_LIMIT, "the prompt has %zu tokens and fills the context of %u", g->prompt->n,
                       g->e->context);
    g->max = rq->max_tokens && rq->max_tokens < room ? rq->max_tokens : room;
    g->id = WD_NEW_N(g->arena, uint32_t, g->max);
    if (rq->logprobs)
        g->logprob = WD_NEW_N(g->arena, wd_token_logprob, g->max);
    if (rq->prompt_logprobs)
        g->prompt_logprob = WD_NEW_N(g->arena, wd_token_logprob, g->prompt->n);
    if (!g->id || (rq->logprobs && !g->logprob) || (rq->prompt_logprobs && !g->prompt_logprob))
        return WD_FAIL(err, WD_E_NOMEM, "generation: no memory for %zu tokens", g->max);
    wd_sample_opts sample = rq->sample;
    sample.bf16 = g->e->bf16;
    WD_TRY(wd_sampler_create(g->e->cfg->text.n_vocab, &sample, &g->sampler, err));
    wd_sampler_add_prompt(g->sampler, g->prompt->text.id, g->prompt->n);
    WD_TRY(wd_stop_create(rq->stop, rq->n_stop, &g->stop, err));
    const wd_parse_opts po = { .opens_thinking = g->prompt->opens_thinking,
                               .plain = rq->prompt != NULL,
                               .no_tools = !rq->chat.tools.value && !rq->chat.tools.text.n };
    WD_TRY(wd_parse_create(&po, on_piece, g, &g->parse, err));
    wd_detok_init(&g->detok, g->e->o.tokenizer, true);
    return WD_OK;
}

static bool is_end(const generation *g, uint32_t id)
{
    for (uint32_t i = 0; i < g->e->n_stop && !g->rq->ignore_stop_ids; i++)
        if (g->e->stop[i] == id)
            return true;
    return false;
}

/* The text of one more token through stop strings and parser. *done: a stop string is complete. */
static wd_status emit(generation *g, uint32_t id, bool *done, wd_err *err)
{
    wd_buf_clear(&g->text);
    wd_buf_clear(&g->passed);
    WD_TRY(wd_detok_push(&g->detok, id, &g->text, err));
    *done = wd_stop_feed(g->stop, wd_buf_view(&g->text), &g->passed, NULL);
    WD_TRY(wd_buf_check(&g->passed, "reply", err));
    return wd_parse_feed(g->parse, wd_buf_view(&g->passed), err);
}

/* What was held back comes out: the end of a character, of a possible stop string, of a tag. */
static wd_status flush(generation *g, bool stopped, wd_err *err)
{
    if (!stopped) {
        wd_buf_clear(&g->text);
        wd_buf_clear(&g->passed);
        WD_TRY(wd_detok_flush(&g->detok, &g->text, err));
        if (!wd_stop_feed(g->stop, wd_buf_view(&g->text), &g->passed, NULL))
            wd_stop_end(g->stop, &g->passed);
        WD_TRY(wd_buf_check(&g->passed, "reply", err));
        WD_TRY(wd_parse_feed(g->parse, wd_buf_view(&g->passed), err));
    }
    return wd_parse_end(g->parse, err);
}

static wd_status run(generation *g, wd_err *err)
{
    const wd_watch *w = &g->rq->watch;
    g->out->finish = WD_FINISH_LENGTH;
    bool stopped = false;
    const float *logits = g->e->logits;
    while (g->n < g->max) {
        wd_sampled s;
        WD_TRY(wd_sampler_next(g->sampler, logits, NULL, g->rq->logprobs, g->rq->logprobs ? g->rq->n_top : 0,
                               &s, err));
        const uint32_t id = (uint32_t)s.id;
        if (g->rq->logprobs)
            WD_TRY(keep_logprob(g, &s, &g->logprob[g->n], err));
        if (w->token)
            w->token(w->self, id, g->rq->logprobs ? &g->logprob[g->n] : NULL);
        g->id[g->n++] = id;
        if (w->progress)
            w->progress(w->self, WD_STAGE_DECODE, g->n, g->max);
        const bool end = is_end(g, id);
        if (!end)
            WD_TRY(emit(g, id, &stopped, err));
        if (end || stopped) {
            g->out->finish = WD_FINISH_STOP;
            break;
        }
        if (g->n < g->max)
            WD_TRY(wd_local__next(g->e, &g->lookup, id, g->max - g->n - 1, w, &logits, err));
    }
    WD_TRY(flush(g, stopped, err));
    if (g->out->reply.n_call && g->out->finish == WD_FINISH_STOP)
        g->out->finish = WD_FINISH_TOOL_CALLS;
    return WD_OK;
}

static void close_generation(generation *g)
{
    wd_sampler_destroy(g->sampler);
    wd_stop_destroy(g->stop);
    wd_parse_destroy(g->parse);
    wd_buf_wipe(&g->text);
    wd_buf_wipe(&g->passed);
}

static wd_status prepare(wd_local *e, wd_arena *a, const wd_generate *rq, wd_local_prompt *out, wd_err *err)
{
    if (rq->prompt)
        return wd_local__prepare_ids(e, a, rq->prompt, rq->n_prompt, out, err);
    wd_chat chat = rq->chat;
    chat.kind = e->o.chat_kind;
    wd_chat_text text;
    WD_TRY(wd_chat_render(a, &chat, &text, err));
    return wd_local__prepare(e, a, &text, &rq->media, NULL, false, &rq->watch, out, err);
}

wd_status wd_local__generate(void *self, wd_arena *a, const wd_generate *rq, wd_generated *out, wd_err *err)
{
    wd_local *e = self;
    if (rq->n_top > WD_SAMPLE_TOP_MAX)
        return WD_FAIL(err, WD_E_USAGE, "log-probabilities: %u alternatives, expected at most %d", rq->n_top,
                       WD_SAMPLE_TOP_MAX);
    wd_generated r = { 0 };
    wd_local_prompt prompt;
    generation g = { .e = e, .arena = a, .rq = rq, .prompt = &prompt, .out = &r };
    double start = wd_clock_s();

    wd_status st = prepare(e, a, rq, &prompt, err);
    r.timings.preprocess_s = wd_clock_s() - start;
    if (!st)
        st = open_generation(&g, err);
    if (!st)
        st = wd_local__prefill(e, a, &prompt, &rq->watch, NULL, e->logits,
                               rq->prompt_logprobs ? prompt_rows : NULL, &g, &r.n_cached, &r.timings, err);
    start = wd_clock_s();
    if (!st)
        st = run(&g, err);
    r.timings.decode_s = wd_clock_s() - start;
    wd_local__lookup_end(e, &g.lookup);
    r.n_guess = g.lookup.n_guess;
    r.n_guess_right = g.lookup.n_right;
    if (!st) {
        r.prompt_id = prompt.id;
        r.n_prompt = prompt.n;
        r.n_visual = prompt.n_visual;
        r.id = g.id;
        r.n_id = g.n;
        r.logprob = g.logprob;
        r.prompt_logprob = g.prompt_logprob;
        *out = r;
    } else {
        wd_parsed_free(&r.reply);
    }
    close_generation(&g);
    return st;
}
