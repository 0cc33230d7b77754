/* /v1/completions: texts, or tokens, continued as they stand. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "serve/inner.h"

#define PROMPTS_MAX 256

typedef struct text_rq {
    wd_sampling s;
    const json_t *prompt, *suffix;
    int64_t logprobs;
    bool echo;
} text_rq;

#define AT(field) offsetof(text_rq, field)
/* clang-format off */
static const wd_field fields[] = {
    WD_SAMPLING_FIELDS(text_rq, s),
    { "prompt", WD_FIELD_ANY, AT(prompt), true, 0, 0, "a text, or token ids, or an array of either; special tokens are recognised in it" },
    { "logprobs", WD_FIELD_INT, AT(logprobs), false, 0, 20, "log-probabilities of the reply's tokens, with echo of the prompt's too, and of so many alternatives" },
    { "echo", WD_FIELD_BOOL, AT(echo), false, 0, 0, "the prompt before the reply" },
    { "suffix", WD_FIELD_ANY, AT(suffix), false, 0, 0, "not taken" },
};
/* clang-format on */

typedef struct prompt {
    wd_ids ids;
    wd_span text; /* as given, or as decoded: for echo */
    wd_buf decoded;
} prompt;

typedef struct text_job text_job;

/* What stands in each array of log-probabilities, with commas between. */
enum { LP_TOKEN, LP_LOGPROB, LP_TOP, LP_OFFSET, LP_COUNT };

/* One reply. */
typedef struct reply {
    text_job *job;
    size_t index;
    const prompt *prompt;
    wd_pace pace;
    wd_buf chunk; /* of the stream, while it is written; or the whole text */
    wd_buf json;
    wd_buf lp[LP_COUNT]; /* log-probabilities not handed on yet */
    size_t offset;       /* bytes of text before the next token */
} reply;

struct text_job {
    wd_req *r;
    text_rq rq;
    wd_generate generate;
    prompt *prompt; /* [n_prompt] */
    size_t n_prompt;
    reply *reply; /* [n_reply] prompt after prompt */
    size_t n_reply;
    bool usage;
    char id[48];
    long long created;
    pthread_mutex_t mu; /* under it: */
    size_t n_prompt_token, n_cached, n_token;
};

static void free_buf(wd_buf *b)
{
    wd_buf_wipe(b);
    wd_buf_free(b);
}

static void release(void *state)
{
    text_job *j = state;
    for (size_t i = 0; i < j->n_reply; i++) {
        reply *y = &j->reply[i];
        free_buf(&y->chunk);
        free_buf(&y->json);
        for (size_t k = 0; k < LP_COUNT; k++)
            free_buf(&y->lp[k]);
    }
    for (size_t i = 0; i < j->n_prompt; i++) {
        wd_ids_wipe(&j->prompt[i].ids);
        wd_ids_free(&j->prompt[i].ids);
        free_buf(&j->prompt[i].decoded);
    }
    pthread_mutex_destroy(&j->mu);
}

/* --- reading ----------------------------------------------------------------------------------------------- */

static wd_status no_memory(wd_fault *f)
{
    return wd_fault_set(f, 503, "no_memory", "prompt", "no memory for this request");
}

static wd_status read_ids(text_job *j, const json_t *v, prompt *p, wd_fault *f)
{
    const wd_tokenizer *tok = j->r->model->tokenizer;
    const uint32_t n_vocab = wd_tokenizer_n_vocab(tok);
    wd_err err = { 0 };
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *one = json_array_get(v, i);
        const json_int_t id = json_integer_value(one);
        if (!json_is_integer(one) || id < 0 || id >= (json_int_t)n_vocab)
            return wd_fault_set(f, 400, "invalid_value", "prompt", "prompt: token %zu is no id from 0 to %u",
                                i, n_vocab - 1);
        wd_ids_put(&p->ids, (uint32_t)id);
    }
    wd_status st = wd_ids_check(&p->ids, "prompt", &err);
    if (!st && j->rq.echo)
        st = wd_tokenizer_decode(tok, p->ids.v, p->ids.n, false, &p->decoded, &err);
    p->text = wd_buf_view(&p->decoded);
    return st ? wd_fault_of(f, st, "prompt", &err) : WD_OK;
}

static wd_status read_prompt(text_job *j, const json_t *v, prompt *p, wd_fault *f)
{
    wd_err err = { 0 };
    if (json_is_array(v))
        return read_ids(j, v, p, f);
    if (!json_is_string(v))
        return wd_fault_set(f, 400, "invalid_type", "prompt",
                            "prompt is %s, expected a string, token ids, or an array of either",
                            wd_json_kind(v));
    p->text = wd_json_span(v);
    const wd_status st = wd_tokenizer_encode(j->r->model->tokenizer, p->text, WD_TOK_SPECIAL, &p->ids, &err);
    if (st)
        return wd_fault_of(f, st, "prompt", &err);
    if (!p->ids.n)
        return wd_fault_set(f, 400, "invalid_value", "prompt", "prompt is empty");
    return WD_OK;
}

static wd_status read_prompts(text_job *j, wd_fault *f)
{
    const json_t *v = j->rq.prompt;
    /* [1, 2] is one prompt, ["a"] and [[1, 2]] are lists of them */
    const bool list = json_is_array(v) && !json_is_integer(json_array_get(v, 0));
    const size_t n = list ? json_array_size(v) : 1;
    if (n == 0 || n > PROMPTS_MAX)
        return wd_fault_set(f, 400, "invalid_value", "prompt", "prompt has %zu members, expected 1 to %d", n,
                            PROMPTS_MAX);
    j->prompt = WD_NEW_N(j->r->arena, prompt, n);
    if (!j->prompt)
        return no_memory(f);
    j->n_prompt = n;
    for (size_t i = 0; i < n; i++)
        WD_TRY(read_prompt(j, list ? json_array_get(v, i) : v, &j->prompt[i], f));
    return WD_OK;
}

static wd_status prepare(wd_req *r, wd_fault *f)
{
    text_job *j = WD_NEW(r->arena, text_job);
    if (!j)
        return no_memory(f);
    j->r = r;
    j->created = (long long)time(NULL);
    j->rq = (text_rq){ .s = wd_sampling_default, .logprobs = -1 };
    j->rq.s.max_tokens = 16; /* the API's default */
    wd_serve__new_id("cmpl-", j->id);
    pthread_mutex_init(&j->mu, NULL);
    r->state = j;
    WD_TRY(wd_fields_read(fields, WD_COUNT(fields), r->json, "", &j->rq, f));
    WD_TRY(wd_serve__sampling(r, &j->rq.s, &j->generate, f));
    WD_TRY(wd_serve__include_usage(&j->rq.s, &j->usage, f));
    WD_TRY(wd_serve__need_tokenizer(r, "prompt", f));
    if (json_string_length(j->rq.suffix) || (j->rq.suffix && !json_is_string(j->rq.suffix)))
        return wd_fault_set(f, 400, "unsupported", "suffix", "suffix is not taken");
    j->generate.logprobs = j->rq.logprobs >= 0;
    j->generate.prompt_logprobs = j->rq.echo && j->rq.logprobs >= 0;
    if (j->generate.prompt_logprobs && j->rq.s.stream)
        return wd_fault_set(f, 400, "unsupported", "logprobs",
                            "logprobs of an echoed prompt are not streamed");
    j->generate.n_top = (uint32_t)WD_MAX(j->rq.logprobs, 0);
    WD_TRY(read_prompts(j, f));
    const size_t n = j->n_prompt * (size_t)j->rq.s.n;
    j->reply = WD_NEW_N(r->arena, reply, n);
    if (!j->reply)
        return no_memory(f);
    for (size_t i = 0; i < n; i++) {
        const prompt *p = &j->prompt[i / (size_t)j->rq.s.n];
        j->reply[i] = (reply){
            .job = j, .index = i, .prompt = p, .pace = { .r = r }, .offset = j->rq.echo ? p->text.n : 0
        };
    }
    j->n_reply = r->n_item = n;
    return WD_OK;
}

/* --- log-probabilities ------------------------------------------------------------------------------------- */

/* lp NULL: the first token of all, which nothing predicts. */
static void put_token(wd_buf to[LP_COUNT], const wd_tokenizer *tok, uint32_t id, const wd_token_logprob *lp,
                      size_t offset)
{
    for (size_t k = 0; to[LP_TOKEN].n && k < LP_COUNT; k++)
        wd_buf_char(&to[k], ',');
    wd_serve__token_text(tok, id, &to[LP_TOKEN]);
    wd_buf_printf(&to[LP_OFFSET], "%zu", offset);
    if (!lp) {
        wd_buf_str(&to[LP_LOGPROB], "null");
        wd_buf_str(&to[LP_TOP], "null");
        return;
    }
    wd_serve__logprob(&to[LP_LOGPROB], lp->logprob);
    wd_buf_char(&to[LP_TOP], '{');
    for (uint32_t i = 0; i < lp->n_top; i++) {
        if (i)
            wd_buf_char(&to[LP_TOP], ',');
        wd_serve__token_text(tok, (uint32_t)lp->top[i].id, &to[LP_TOP]);
        wd_buf_char(&to[LP_TOP], ':');
        wd_serve__logprob(&to[LP_TOP], lp->top[i].logprob);
    }
    wd_buf_char(&to[LP_TOP], '}');
}

static void on_token(void *self, uint32_t id, const wd_token_logprob *lp)
{
    reply *y = self;
    const wd_tokenizer *tok = y->job->r->model->tokenizer;
    wd_pace_token(&y->pace);
    if (!lp || wd_tokenizer_is_special(tok, id))
        return;
    put_token(y->lp, tok, id, lp, y->offset);
    y->offset += wd_tokenizer_bytes(tok, id).n;
}

/* The prompt's tokens before the reply's. */
static void put_prompt_first(reply *y, const wd_generated *g)
{
    const wd_tokenizer *tok = y->job->r->model->tokenizer;
    wd_buf all[LP_COUNT] = { 0 };
    size_t offset = 0;
    for (size_t i = 0; i < g->n_prompt; i++) {
        put_token(all, tok, g->prompt_id[i], i ? &g->prompt_logprob[i] : NULL, offset);
        offset += wd_tokenizer_bytes(tok, g->prompt_id[i]).n;
    }
    for (size_t k = 0; k < LP_COUNT; k++) {
        if (y->lp[k].n)
            wd_buf_char(&all[k], ',');
        wd_buf_span(&all[k], wd_buf_view(&y->lp[k]));
        all[k].failed |= y->lp[k].failed;
        free_buf(&y->lp[k]);
        y->lp[k] = all[k];
    }
}

static void put_logprobs(reply *y, wd_buf *out)
{
    static const char *const names[] = { "tokens", "token_logprobs", "top_logprobs", "text_offset" };
    if (!y->lp[LP_TOKEN].n) {
        wd_buf_str(out, "null");
        return;
    }
    for (size_t k = 0; k < LP_COUNT; k++) {
        wd_buf_printf(out, "%s\"%s\":[", k ? "," : "{", names[k]);
        wd_buf_span(out, wd_buf_view(&y->lp[k]));
        wd_buf_char(out, ']');
        out->failed |= y->lp[k].failed;
        wd_buf_clear(&y->lp[k]);
    }
    wd_buf_char(out, '}');
}

/* --- replies ----------------------------------------------------------------------------------------------- */

/* {"index": ..., "text": ..., "logprobs": ..., "finish_reason": ...} */
static void put_choice(reply *y, wd_span text, const char *finish, wd_buf *out)
{
    wd_buf_printf(out, "{\"index\":%zu,\"text\":", y->index);
    wd_buf_json(out, text);
    wd_buf_str(out, ",\"logprobs\":");
    put_logprobs(y, out);
    if (finish)
        wd_buf_printf(out, ",\"finish_reason\":\"%s\"}", finish);
    else
        wd_buf_str(out, ",\"finish_reason\":null}");
}

static void put_head(const text_job *j, wd_buf *out)
{
    wd_buf_printf(out, "{\"id\":\"%s\",\"object\":\"text_completion\",\"created\":%lld,\"model\":", j->id,
                  j->created);
    wd_buf_json(out, wd_span_str(j->r->model->name));
}

static wd_status put_chunk(reply *y, wd_span text, const char *finish, wd_err *err)
{
    wd_buf *b = &y->chunk;
    wd_buf_clear(b);
    wd_buf_str(b, "data: ");
    put_head(y->job, b);
    wd_buf_str(b, ",\"choices\":[");
    put_choice(y, text, finish, b);
    wd_buf_str(b, y->job->usage ? "],\"usage\":null}\n\n" : "]}\n\n");
    WD_TRY(wd_buf_check(b, "chunk", err));
    wd_serve__stream_open(y->job->r);
    if (wd_serve__stream_put(y->job->r, wd_buf_view(b)))
        return WD_FAIL(err, WD_E_CANCELLED, "the client has gone or reads too slowly");
    return WD_OK;
}

static wd_status on_event(void *self, const wd_parse_event *ev, wd_err *err)
{
    return put_chunk(self, ev->text, NULL, err);
}

static wd_status end_reply(reply *y, const wd_generated *g, wd_err *err)
{
    text_job *j = y->job;
    const bool first = y->index % (size_t)j->rq.s.n == 0;
    pthread_mutex_lock(&j->mu);
    if (first) {
        j->n_prompt_token += g->n_prompt;
        j->n_cached += g->n_cached;
    }
    j->n_token += g->n_id;
    pthread_mutex_unlock(&j->mu);
    if (j->rq.s.stream)
        return put_chunk(y, (wd_span){ 0 }, wd_finish_name(g->finish), err);
    if (j->rq.echo)
        wd_buf_span(&y->chunk, y->prompt->text);
    if (g->prompt_logprob)
        put_prompt_first(y, g);
    wd_buf_span(&y->chunk, wd_buf_view(&g->reply.content));
    WD_TRY(wd_buf_check(&y->chunk, "reply", err));
    put_choice(y, wd_buf_view(&y->chunk), wd_finish_name(g->finish), &y->json);
    return wd_buf_check(&y->json, "reply", err);
}

static wd_status item(wd_req *r, size_t i, wd_fault *f)
{
    text_job *j = r->state;
    reply *y = &j->reply[i];
    wd_err err = { 0 };
    const wd_engine *e = r->model->engine;
    wd_generated g;
    wd_arena *a = wd_arena_create((size_t)1 << 31, true);
    if (!a)
        return no_memory(f);
    wd_generate rq = j->generate;
    rq.prompt = y->prompt->ids.v;
    rq.n_prompt = y->prompt->ids.n;
    rq.terms = wd_serve__terms(r);
    rq.sample.seed += i % (size_t)j->rq.s.n;
    rq.watch = (wd_watch){
        .cancel = &r->cancel, .event = j->rq.s.stream ? on_event : NULL, .token = on_token, .self = y
    };
    wd_status st = WD_OK;
    if (j->rq.s.stream && j->rq.echo)
        st = put_chunk(y, y->prompt->text, NULL, &err);
    if (!st)
        st = e->generate(e->self, a, &rq, &g, &err);
    wd_serve__account(r, st, &g, i == 0);
    if (!st) {
        st = end_reply(y, &g, &err);
        wd_parsed_free(&g.reply);
    }
    wd_arena_destroy(a);
    if (!st)
        return WD_OK;
    wd_fault_of(f, st, st == WD_E_LIMIT || st == WD_E_INVALID ? "prompt" : NULL, &err);
    if (st == WD_E_LIMIT)
        f->code = "context_length_exceeded";
    return st;
}

static void finish(wd_req *r)
{
    text_job *j = r->state;
    wd_buf b = { 0 };
    if (!j->rq.s.stream) {
        put_head(j, &b);
        wd_buf_str(&b, ",\"choices\":[");
        for (size_t i = 0; i < j->n_reply; i++) {
            if (i)
                wd_buf_char(&b, ',');
            wd_buf_span(&b, wd_buf_view(&j->reply[i].json));
        }
        wd_buf_str(&b, "],\"usage\":");
        wd_serve__usage(&b, j->n_prompt_token, j->n_cached, j->n_token);
        wd_buf_char(&b, '}');
        wd_serve__answer(r, 200, "application/json", &b);
        return;
    }
    if (j->usage) {
        wd_buf_str(&b, "data: ");
        put_head(j, &b);
        wd_buf_str(&b, ",\"choices\":[],\"usage\":");
        wd_serve__usage(&b, j->n_prompt_token, j->n_cached, j->n_token);
        wd_buf_str(&b, "}\n\n");
    }
    wd_buf_str(&b, "data: [DONE]\n\n");
    if (b.failed || wd_serve__stream_put(r, wd_buf_view(&b)))
        wd_serve__cancel(r, "vanished");
    wd_buf_free(&b);
    wd_serve__stream_end(r);
}

const wd_route wd_route_completions = {
    .method = "POST",
    .path = "/v1/completions",
    .brief = "Texts continued as they stand.",
    .prepare = prepare,
    .item = item,
    .finish = finish,
    .release = release,
    .field = fields,
    .n_field = WD_COUNT(fields),
};
