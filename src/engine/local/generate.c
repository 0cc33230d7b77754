/* Generation: prefill, then token by token through the sampler, the detokenizer, the stop strings and the parser. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/local/inner.h"
#include "text/stop.h"

typedef struct generation {
    wd_local *e;
    wd_arena *arena;
    const wd_generate *rq;
    wd_sampler *sampler;
    wd_constrained *held; /* NULL: no constraint */
    wd_stop *stop;
    wd_parse *parse;
    wd_detok detok;
    wd_local_job job;
    wd_local_lookup lookup;
    wd_buf text, passed; /* decoded, of one token; past the stop strings, of one step */
    uint32_t *id;        /* [max] */
    wd_token_logprob *logprob;
    wd_token_logprob *prompt_logprob;
    const wd_local_prompt *prompt;
    size_t piece_end[1 + WD_LOCAL_LOOKUP]; /* in passed, of each token of the step */
    size_t n, n_told, max;                 /* tokens; of them reported */
    bool over, stopped;                    /* over: no further token; stopped: by a stop string */
    bool listens;                          /* the caller's own code runs between steps */
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

/* Rows of the prompt's logits: row i tells of token first_row + i + 1. */
static wd_status prompt_rows(generation *g, wd_err *err)
{
    const wd_local_job *j = &g->job;
    const uint32_t n_vocab = g->e->cfg->text.n_vocab;
    wd_sampled s;
    for (size_t i = 0; i < j->n_row && j->first_row + i + 1 < g->prompt->n; i++) {
        const size_t at = j->first_row + i + 1;
        WD_TRY(wd_logprobs(j->row + i * n_vocab, n_vocab, g->prompt->id[at], g->rq->n_top, &s, err));
        WD_TRY(keep_logprob(g, &s, &g->prompt_logprob[at], err));
    }
    return WD_OK;
}

static wd_status open_generation(generation *g, wd_err *err)
{
    const wd_generate *rq = g->rq;
    const size_t most = WD_MIN(g->e->context, g->e->capacity);
    if (g->prompt->n >= most)
        return WD_FAIL(err, WD_E_LIMIT, "the prompt has %zu tokens and fills the context of %zu",
                       g->prompt->n, most);
    const size_t room = most - g->prompt->n;
    g->max = rq->max_tokens && rq->max_tokens < room ? rq->max_tokens : room;
    g->listens = rq->watch.event || rq->watch.progress || rq->watch.token;
    WD_TRY(wd_local__job(g->e, g->arena, g->prompt, g->max + WD_LOCAL_LOOKUP,
                         rq->prompt_logprobs ? WD_LOCAL_EVERY : WD_LOCAL_LOGITS, &rq->terms, &rq->watch,
                         &g->job, err));
    if (g->listens) {
        g->job.own = wd_alloc_aligned((size_t)(1 + WD_LOCAL_LOOKUP) * g->e->cfg->text.n_vocab, sizeof(float));
        if (!g->job.own)
            return WD_FAIL(err, WD_E_NOMEM, "generation: no memory for its logits");
    }
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
                               .no_tools = !rq->chat.tools.value && !rq->chat.tools.text.n,
                               .sure_calls = rq->call && !rq->constraint };
    WD_TRY(wd_parse_create(&po, on_piece, g, &g->parse, err));
    wd_detok_init(&g->detok, g->e->o.tokenizer, true);
    return WD_OK;
}

/* The vocabulary's trie, made by whoever needs it first. */
static wd_status lexicon_of(wd_local *e, wd_lexicon **out, wd_err *err)
{
    wd_lexicon *made, *before = NULL;
    *out = atomic_load(&e->lexicon);
    if (*out)
        return WD_OK;
    WD_TRY(wd_lexicon_create(e->o.tokenizer, e->cfg->text.n_vocab, &made, err));
    if (!atomic_compare_exchange_strong(&e->lexicon, &before, made))
        wd_lexicon_destroy(made);
    *out = before ? before : made;
    return WD_OK;
}

static wd_status open_constraint(generation *g, wd_err *err)
{
    const wd_generate *rq = g->rq;
    if (!rq->constraint && !rq->call)
        return WD_OK;
    if (rq->ignore_stop_ids && (rq->constraint || rq->must_call))
        return WD_FAIL(err, WD_E_USAGE, "a constrained reply ends: end tokens cannot be ignored");
    wd_constrain_opts o = { .constraint = rq->constraint,
                            .call = rq->constraint ? NULL : rq->call,
                            .must_call = rq->must_call,
                            .one_call = rq->one_call,
                            .tokenizer = g->e->o.tokenizer,
                            .end = g->e->stop,
                            .n_end = g->e->n_stop,
                            .thinking = g->prompt->opens_thinking,
                            .may_think = !rq->prompt && g->e->o.chat_kind == WD_CHAT_QWEN3 &&
                                         rq->chat.enable_thinking != WD_OFF };
    WD_TRY(lexicon_of(g->e, &o.lexicon, err));
    return wd_constrained_create(&o, &g->held, err);
}

static bool is_end(const generation *g, uint32_t id)
{
    for (uint32_t i = 0; i < g->e->n_stop && !g->rq->ignore_stop_ids; i++)
        if (g->e->stop[i] == id)
            return true;
    return false;
}

/* The text of one more token through the stop strings, behind g->passed. */
static wd_status take_text(generation *g, uint32_t id, wd_err *err)
{
    wd_buf_clear(&g->text);
    WD_TRY(wd_detok_push(&g->detok, id, &g->text, err));
    g->stopped = wd_stop_feed(g->stop, wd_buf_view(&g->text), &g->passed, NULL);
    return wd_buf_check(&g->passed, "reply", err);
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

/* Draws from the results: a token, and more while guesses turn out right. Nothing here waits for anybody: the next step
 * does so for us. *n_right: of the guesses. */
static wd_status draw(generation *g, size_t *n_right, wd_err *err)
{
    const wd_local_job *j = &g->job;
    const size_t n_vocab = g->e->cfg->text.n_vocab,
                 first = g->job.want == WD_LOCAL_EVERY && g->n == 0 ? j->n_row - 1 : 0;
    wd_sampled s;
    *n_right = 0;
    for (size_t row = first;; row++) {
        const uint64_t *mask = NULL;
        if (g->held)
            WD_TRY(wd_constrained_mask(g->held, &mask, err));
        WD_TRY(wd_sampler_next(g->sampler, j->row + row * n_vocab, mask, g->rq->logprobs,
                               g->rq->logprobs ? g->rq->n_top : 0, &s, err));
        if (g->held)
            WD_TRY(wd_constrained_advance(g->held, s.id, err));
        if (g->rq->logprobs)
            WD_TRY(keep_logprob(g, &s, &g->logprob[g->n], err));
        g->id[g->n++] = s.id;
        const bool end = is_end(g, s.id);
        if (!end)
            WD_TRY(take_text(g, s.id, err));
        g->piece_end[g->n - 1 - g->n_told] = g->passed.n;
        if (end || g->stopped)
            g->out->finish = WD_FINISH_STOP;
        g->over = end || g->stopped || g->n == g->max;
        if (g->over || row + 1 == j->n_row || j->id[j->n_sure + row] != s.id)
            return WD_OK;
        ++*n_right;
    }
}

/* What is known is handed on; this may take the caller's time. */
static wd_status tell(generation *g, wd_err *err)
{
    const wd_watch *w = &g->rq->watch;
    size_t at = 0;
    for (size_t i = 0; g->n_told < g->n; i++, g->n_told++) {
        if (w->token)
            w->token(w->self, g->id[g->n_told], g->rq->logprobs ? &g->logprob[g->n_told] : NULL);
        if (w->progress)
            w->progress(w->self, WD_STAGE_DECODE, g->n_told + 1, g->max);
        WD_TRY(wd_parse_feed(g->parse, wd_span_sub(wd_buf_view(&g->passed), at, g->piece_end[i] - at), err));
        at = g->piece_end[i];
    }
    wd_buf_clear(&g->passed);
    return WD_OK;
}

/* The last tokens drawn go into the next step, with a guess of what follows them. */
static void go_on(generation *g, size_t n_right)
{
    wd_local_job *j = &g->job;
    const size_t at = j->n_sure + n_right;
    if (g->n > 1)
        wd_local__judge(&g->lookup, j, n_right);
    j->id[at] = g->id[g->n - 1];
    const size_t left = g->max - g->n - 1;
    size_t n = 0;
    if (g->held) /* what the constraint leaves no choice about is a guess that comes true */
        n = wd_constrained_ahead(g->held, wd_local__room(g->e, at + 1, left), j->id + at + 1);
    g->lookup.known = n > 0;
    if (!n)
        n = wd_local__guess(g->e, &g->lookup, j, at + 1, left);
    wd_local__go_on(g->e, j, n_right, 1 + n, n, !g->listens);
}

/* The prompt's own logits, as far as they are wanted; then j has the results after its last token. */
static wd_status prefill(generation *g, wd_err *err)
{
    wd_local_job *j = &g->job;
    WD_TRY(wd_local__enter(g->e, j, err));
    WD_TRY(wd_local__wait(g->e, j, err));
    while (j->want == WD_LOCAL_EVERY) {
        WD_TRY(prompt_rows(g, err));
        if (j->first_row + j->n_row == g->prompt->n)
            break;
        wd_local__go_on(g->e, j, 0, 0, 0, true);
        WD_TRY(wd_local__wait(g->e, j, err));
    }
    return WD_OK;
}

static wd_status run(generation *g, wd_err *err)
{
    g->out->finish = WD_FINISH_LENGTH;
    for (;;) {
        size_t n_right;
        WD_TRY(draw(g, &n_right, err));
        if (g->over) {
            g->lookup.n_guess += g->n > 1 + n_right ? g->job.n_row - 1 : 0;
            g->lookup.n_right += n_right;
            wd_local__leave(g->e, &g->job, n_right);
        } else {
            go_on(g, n_right);
        }
        WD_TRY(tell(g, err));
        if (g->over)
            break;
        WD_TRY(wd_local__wait(g->e, &g->job, err));
    }
    WD_TRY(flush(g, g->stopped, err));
    if (g->out->reply.n_call && g->out->finish == WD_FINISH_STOP)
        g->out->finish = WD_FINISH_TOOL_CALLS;
    return WD_OK;
}

static void close_generation(generation *g)
{
    wd_local__leave(g->e, &g->job, 0);
    wd_free(g->job.own);
    wd_constrained_destroy(g->held);
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
        st = open_constraint(&g, err);
    if (!st)
        st = prefill(&g, err);
    start = wd_clock_s();
    r.n_cached = g.job.n_cached;
    r.timings.queue_s = g.job.admitted_at - g.job.queued_at;
    r.timings.began_s = g.job.admitted_at;
    r.timings.vision_s = g.job.vision_s;
    r.timings.prefill_s = start - g.job.admitted_at - g.job.vision_s;
    if (!st)
        st = run(&g, err);
    r.timings.decode_s = wd_clock_s() - start;
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
