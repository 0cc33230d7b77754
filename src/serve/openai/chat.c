/* /v1/chat/completions */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "serve/openai/format.h"

typedef struct chat_rq {
    wd_sampling s;
    const json_t *messages, *tools, *tool_choice, *response_format, *structured, *kwargs;
    int64_t max_completion_tokens, top_logprobs, prompt_logprobs;
    bool logprobs, parallel_tool_calls;
} chat_rq;

#define AT(field) offsetof(chat_rq, field)
/* clang-format off */
static const wd_field fields[] = {
    WD_SAMPLING_FIELDS(chat_rq, s),
    { "messages", WD_FIELD_ARR, AT(messages), true, 0, 0, "role and content; content is text, or parts of type text, image_url, video_url and file" },
    { "max_completion_tokens", WD_FIELD_INT, AT(max_completion_tokens), false, 1, 1 << 24, "of the reply, reasoning included" },
    { "logprobs", WD_FIELD_BOOL, AT(logprobs), false, 0, 0, "log-probabilities of the reply's tokens" },
    { "top_logprobs", WD_FIELD_INT, AT(top_logprobs), false, 0, 20, "and of so many alternatives" },
    { "prompt_logprobs", WD_FIELD_INT, AT(prompt_logprobs), false, 0, 20, "the same for the prompt's tokens" },
    { "tools", WD_FIELD_ARR, AT(tools), false, 0, 0, "functions that the model may ask for" },
    { "tool_choice", WD_FIELD_ANY, AT(tool_choice), false, 0, 0, "none, auto, required, or {\"type\": \"function\", \"function\": {\"name\": ...}}" },
    { "parallel_tool_calls", WD_FIELD_BOOL, AT(parallel_tool_calls), false, 0, 0, "false: only the first call is given" },
    { "response_format", WD_FIELD_OBJ, AT(response_format), false, 0, 0, "{\"type\": \"text\"}, \"json_object\", or \"json_schema\" with a schema" },
    { "structured_outputs", WD_FIELD_OBJ, AT(structured), false, 0, 0, "json, regex, choice or json_object, as vLLM has it" },
    { "chat_template_kwargs", WD_FIELD_OBJ, AT(kwargs), false, 0, 0, "enable_thinking, add_vision_id" },
};
/* clang-format on */

typedef struct chat chat;

/* One reply of n. Its item's thread alone touches it until finish. */
typedef struct choice {
    chat *c;
    size_t index;
    wd_pace pace;
    wd_buf chunk;    /* of the stream, while it is written */
    wd_buf logprobs; /* of tokens not handed on yet: JSON, with commas between */
    wd_buf json;     /* whole, when not streamed */
    size_t n_token, n_call;
    bool has_role;
    bool in_call; /* streamed, and not at its end */
} choice;

struct chat {
    wd_req *r;
    chat_rq rq;
    wd_generate generate; /* what all choices share */
    wd_messages messages;
    bool stream, usage;
    bool must_call; /* the reply is held to be a call, as content */
    wd_constraint *constraint;
    char id[48];
    long long created;
    choice *choice; /* [n] */
    size_t n_choice;
    wd_buf prompt_logprobs; /* written by choice 0 */
    pthread_mutex_t mu;     /* under it: */
    size_t n_prompt, n_cached, n_reply;
};

static void release(void *state)
{
    chat *c = state;
    for (size_t i = 0; i < c->n_choice; i++) {
        wd_buf *all[] = { &c->choice[i].chunk, &c->choice[i].logprobs, &c->choice[i].json };
        for (size_t k = 0; k < WD_COUNT(all); k++) {
            wd_buf_wipe(all[k]);
            wd_buf_free(all[k]);
        }
    }
    wd_buf_wipe(&c->prompt_logprobs);
    wd_buf_free(&c->prompt_logprobs);
    wd_constraint_unref(&c->constraint);
    pthread_mutex_destroy(&c->mu);
}

/* --- reading ----------------------------------------------------------------------------------------------- */

static wd_status check_tools(const json_t *tools, wd_fault *f)
{
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *t = json_array_get(tools, i), *fn = json_object_get(t, "function");
        const char *type = json_string_value(json_object_get(t, "type"));
        char param[64];
        snprintf(param, sizeof param, "tools[%zu]", i);
        if (!type || strcmp(type, "function") != 0)
            return wd_fault_set(f, 400, "invalid_value", param, "%s.type: expected \"function\"", param);
        const json_t *name = json_object_get(fn, "name"), *p = json_object_get(fn, "parameters");
        if (!json_is_string(name) || !json_string_length(name) || json_string_length(name) > 64)
            return wd_fault_set(f, 400, "invalid_value", param,
                                "%s.function.name: expected 1 to 64 characters", param);
        if (p && !json_is_null(p) && !json_is_object(p))
            return wd_fault_set(f, 400, "invalid_type", param,
                                "%s.function.parameters is %s, expected an object", param, wd_json_kind(p));
    }
    return WD_OK;
}

static wd_status read_tool_choice(chat *c, wd_fault *f)
{
    const json_t *v = c->rq.tool_choice;
    const char *how = json_string_value(v), *name = NULL;
    const bool open = !v || (how && !strcmp(how, "auto"));
    if (how && !strcmp(how, "none"))
        return WD_OK;
    if (json_is_object(v)) {
        const char *type = json_string_value(json_object_get(v, "type"));
        name = json_string_value(json_object_get(json_object_get(v, "function"), "name"));
        if (!type || strcmp(type, "function") != 0)
            name = NULL;
    }
    if (!open && !name && !(how && !strcmp(how, "required")))
        return wd_fault_set(f, 400, "invalid_value", "tool_choice",
                            "tool_choice: expected none, auto, required, or a function by its name");
    if (!json_array_size(c->rq.tools))
        return open ? WD_OK
                    : wd_fault_set(f, 400, "invalid_value", "tool_choice", "tool_choice: there are no tools");
    const wd_call_choice asked = { .name = name, .must = !open, .one = !c->rq.parallel_tool_calls };
    return wd_format_calls(c->r, c->rq.tools, &asked, &c->generate, &c->must_call, &c->constraint, f);
}

static wd_status read_tools(chat *c, wd_fault *f)
{
    const char *how = json_string_value(c->rq.tool_choice);
    if (c->rq.tools)
        WD_TRY(check_tools(c->rq.tools, f));
    WD_TRY(read_tool_choice(c, f));
    if (json_array_size(c->rq.tools) && !(how && !strcmp(how, "none")))
        c->generate.chat.tools = (wd_chat_json){ .value = c->rq.tools };
    return WD_OK;
}

/* A reply that is held to something else than a call cannot be one. */
static wd_status read_format(chat *c, wd_fault *f)
{
    wd_constraint *held = NULL;
    WD_TRY(wd_format_read(c->r, c->rq.response_format, &held, f));
    const bool twice = held && c->rq.structured;
    if (!held)
        WD_TRY(wd_format_read_structured(c->r, c->rq.structured, &held, f));
    if (!held)
        return WD_OK;
    const bool calls = c->generate.chat.tools.value != NULL;
    if (twice || calls) {
        wd_constraint_unref(&held);
        return wd_fault_set(f, 400, "unsupported", "response_format",
                            calls ? "response_format does not go together with tools; set tool_choice to none"
                                  : "response_format and structured_outputs: one of them");
    }
    c->constraint = held;
    c->generate.constraint = held;
    return WD_OK;
}

static wd_status read_logprobs(chat *c, wd_fault *f)
{
    const chat_rq *q = &c->rq;
    if (q->top_logprobs > 0 && !q->logprobs)
        return wd_fault_set(f, 400, "invalid_value", "top_logprobs", "top_logprobs needs logprobs: true");
    if (q->logprobs || q->prompt_logprobs >= 0)
        WD_TRY(wd_serve__need_tokenizer(c->r, "logprobs", f));
    if (q->prompt_logprobs >= 0 && q->s.stream)
        return wd_fault_set(f, 400, "unsupported", "prompt_logprobs", "prompt_logprobs are not streamed");
    c->generate.logprobs = q->logprobs;
    c->generate.prompt_logprobs = q->prompt_logprobs >= 0;
    c->generate.n_top = (uint32_t)WD_MAX(WD_MAX(q->top_logprobs, q->prompt_logprobs), 0);
    return WD_OK;
}

static wd_status prepare(wd_req *r, wd_fault *f)
{
    chat *c = WD_NEW(r->arena, chat);
    if (!c)
        return wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request");
    c->r = r;
    c->created = (long long)time(NULL);
    c->rq = (chat_rq){ .s = wd_sampling_default, .parallel_tool_calls = true, .prompt_logprobs = -1 };
    wd_serve__new_id("chatcmpl-", c->id);
    pthread_mutex_init(&c->mu, NULL);
    r->state = c;
    WD_TRY(wd_fields_read(fields, WD_COUNT(fields), r->json, "", &c->rq, f));
    WD_TRY(wd_serve__sampling(r, &c->rq.s, &c->generate, f));
    if (c->rq.max_completion_tokens)
        c->generate.max_tokens = (uint32_t)c->rq.max_completion_tokens;
    c->stream = c->rq.s.stream;
    WD_TRY(wd_serve__include_usage(&c->rq.s, &c->usage, f));
    WD_TRY(read_logprobs(c, f));
    WD_TRY(read_tools(c, f));
    WD_TRY(read_format(c, f));
    WD_TRY(wd_serve__template_kwargs(c->rq.kwargs, &c->generate.chat, f));
    WD_TRY(wd_serve__messages(r, c->rq.messages, &c->messages, f));
    c->generate.chat.message = c->messages.message;
    c->generate.chat.n_message = c->messages.n;
    c->generate.media = wd_shown_media(&c->messages.shown);
    c->choice = WD_NEW_N(r->arena, choice, (size_t)c->rq.s.n);
    if (!c->choice)
        return wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request");
    for (size_t i = 0; i < (size_t)c->rq.s.n; i++)
        c->choice[i] = (choice){ .c = c, .index = i, .pace = { .r = r } };
    c->n_choice = r->n_item = (size_t)c->rq.s.n;
    return WD_OK;
}

/* --- log-probabilities ------------------------------------------------------------------------------------- */

/* "token": ..., "logprob": ..., "bytes": [...] */
static void put_token(const wd_tokenizer *tok, uint32_t id, float lp, wd_buf *out)
{
    const wd_span bytes = wd_tokenizer_bytes(tok, id);
    wd_buf_str(out, "{\"token\":");
    wd_serve__token_text(tok, id, out);
    wd_buf_str(out, ",\"logprob\":");
    wd_serve__logprob(out, lp);
    wd_buf_str(out, ",\"bytes\":[");
    for (size_t i = 0; i < bytes.n; i++)
        wd_buf_printf(out, "%s%u", i ? "," : "", bytes.p[i]);
    wd_buf_char(out, ']');
}

static void on_token(void *self, uint32_t id, const wd_token_logprob *lp)
{
    choice *ch = self;
    const wd_tokenizer *tok = ch->c->r->model->tokenizer;
    wd_buf *out = &ch->logprobs;
    wd_pace_token(&ch->pace);
    if (!lp || wd_tokenizer_is_special(tok, id)) /* an end token is no part of the reply */
        return;
    if (out->n)
        wd_buf_char(out, ',');
    put_token(tok, id, lp->logprob, out);
    wd_buf_str(out, ",\"top_logprobs\":[");
    const uint32_t n = WD_MIN(lp->n_top, (uint32_t)ch->c->rq.top_logprobs);
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            wd_buf_char(out, ',');
        put_token(tok, lp->top[i].id, lp->top[i].logprob, out);
        wd_buf_char(out, '}');
    }
    wd_buf_str(out, "]}");
}

/* As vLLM gives them: null, then for each token an object by token id. */
static void put_prompt_logprobs(chat *c, const wd_generated *g, wd_buf *out)
{
    const wd_tokenizer *tok = c->r->model->tokenizer;
    wd_buf_str(out, "[null");
    for (size_t i = 1; i < g->n_prompt; i++) {
        const wd_token_logprob *lp = &g->prompt_logprob[i];
        bool listed = false;
        wd_buf_str(out, ",{");
        const uint32_t n = WD_MIN(lp->n_top, (uint32_t)c->rq.prompt_logprobs);
        for (uint32_t k = 0; k < n; k++) {
            listed |= (uint32_t)lp->top[k].id == g->prompt_id[i];
            wd_buf_printf(out, "%s\"%u\":{\"logprob\":", k ? "," : "", (unsigned)lp->top[k].id);
            wd_serve__logprob(out, lp->top[k].logprob);
            wd_buf_printf(out, ",\"rank\":%u,\"decoded_token\":", k + 1);
            wd_serve__token_text(tok, (uint32_t)lp->top[k].id, out);
            wd_buf_char(out, '}');
        }
        if (!listed) {
            wd_buf_printf(out, "%s\"%u\":{\"logprob\":", n ? "," : "", g->prompt_id[i]);
            wd_serve__logprob(out, lp->logprob);
            wd_buf_str(out, ",\"rank\":null,\"decoded_token\":");
            wd_serve__token_text(tok, g->prompt_id[i], out);
            wd_buf_char(out, '}');
        }
        wd_buf_char(out, '}');
    }
    wd_buf_char(out, ']');
}

/* --- streaming --------------------------------------------------------------------------------------------- */

static void chunk_begin(choice *ch)
{
    const chat *c = ch->c;
    wd_buf_clear(&ch->chunk);
    wd_buf_printf(&ch->chunk,
                  "data: {\"id\":\"%s\",\"object\":\"chat.completion.chunk\",\"created\":%lld,\"model\":",
                  c->id, c->created);
    wd_buf_json(&ch->chunk, wd_span_str(c->r->model->name));
    wd_buf_printf(&ch->chunk, ",\"choices\":[{\"index\":%zu,\"delta\":{", ch->index);
}

/* finish NULL: more follows. */
static wd_status chunk_end(choice *ch, const char *finish, wd_err *err)
{
    wd_buf *b = &ch->chunk;
    wd_buf_str(b, "},\"logprobs\":");
    if (ch->logprobs.n) {
        wd_buf_str(b, "{\"content\":[");
        wd_buf_span(b, wd_buf_view(&ch->logprobs));
        wd_buf_str(b, "]}");
        wd_buf_clear(&ch->logprobs);
    } else {
        wd_buf_str(b, "null");
    }
    if (finish)
        wd_buf_printf(b, ",\"finish_reason\":\"%s\"}]", finish);
    else
        wd_buf_str(b, ",\"finish_reason\":null}]");
    wd_buf_str(b, ch->c->usage ? ",\"usage\":null}\n\n" : "}\n\n");
    WD_TRY(wd_buf_check(b, "chunk", err));
    if (wd_serve__stream_put(ch->c->r, wd_buf_view(b)))
        return WD_FAIL(err, WD_E_CANCELLED, "the client has gone or reads too slowly");
    return WD_OK;
}

/* The first of a choice; from here on the status is 200. */
static wd_status put_role(choice *ch, wd_err *err)
{
    if (ch->has_role)
        return WD_OK;
    ch->has_role = true;
    wd_serve__stream_open(ch->c->r);
    wd_buf held = ch->logprobs; /* of the token that comes with the next chunk */
    ch->logprobs = (wd_buf){ 0 };
    chunk_begin(ch);
    wd_buf_str(&ch->chunk, "\"role\":\"assistant\",\"content\":\"\"");
    const wd_status st = chunk_end(ch, NULL, err);
    ch->logprobs = held;
    return st;
}

static wd_status put_text(choice *ch, const char *key, wd_span text, wd_err *err)
{
    if (!text.n)
        return WD_OK;
    chunk_begin(ch);
    wd_buf_printf(&ch->chunk, "\"%s\":", key);
    wd_buf_json(&ch->chunk, text);
    return chunk_end(ch, NULL, err);
}

/* Name first, then the arguments: clients join the latter. */
static wd_status begin_call(choice *ch, const wd_parse_event *ev, wd_err *err)
{
    char id[48];
    if (ev->index > 0 && !ch->c->rq.parallel_tool_calls)
        return WD_OK;
    wd_serve__new_id("call_", id);
    chunk_begin(ch);
    wd_buf_printf(&ch->chunk,
                  "\"tool_calls\":[{\"index\":%u,\"id\":\"%s\",\"type\":\"function\",\"function\":{\"name\":",
                  ev->index, id);
    wd_buf_json(&ch->chunk, ev->name);
    wd_buf_str(&ch->chunk, ",\"arguments\":\"\"}}]");
    return chunk_end(ch, NULL, err);
}

static wd_status put_args(choice *ch, const wd_parse_event *ev, wd_err *err)
{
    if (ev->index > 0 && !ch->c->rq.parallel_tool_calls)
        return WD_OK;
    chunk_begin(ch);
    wd_buf_printf(&ch->chunk, "\"tool_calls\":[{\"index\":%u,\"function\":{\"arguments\":", ev->index);
    wd_buf_json(&ch->chunk, ev->text);
    wd_buf_str(&ch->chunk, "}}]");
    return chunk_end(ch, NULL, err);
}

/* A call that is complete, or its end. */
static wd_status put_call(choice *ch, const wd_parse_event *ev, wd_err *err)
{
    const bool told = ch->in_call;
    ch->in_call = false;
    if (told)
        return WD_OK;
    WD_TRY(begin_call(ch, ev, err));
    return put_args(ch, ev, err);
}

static wd_status on_event(void *self, const wd_parse_event *ev, wd_err *err)
{
    choice *ch = self;
    WD_TRY(put_role(ch, err));
    if (ch->c->must_call && ev->kind == WD_PARSE_CONTENT)
        return WD_OK; /* the call goes out when it is complete */
    switch (ev->kind) {
    case WD_PARSE_REASONING:
        return put_text(ch, "reasoning_content", ev->text, err);
    case WD_PARSE_CONTENT: /* within a call: the output ended there, and went out as a call */
        return ch->in_call ? WD_OK : put_text(ch, "content", ev->text, err);
    case WD_PARSE_CALL:
        ch->in_call = true;
        return begin_call(ch, ev, err);
    case WD_PARSE_ARGS:
        return put_args(ch, ev, err);
    case WD_PARSE_TOOL_CALL:
        return put_call(ch, ev, err);
    case WD_PARSE_WAS_REASONING: /* what was sent cannot be taken back */
        break;
    }
    return WD_OK;
}

/* --- a whole reply ----------------------------------------------------------------------------------------- */

static void put_calls(const choice *ch, const wd_parsed *p, wd_buf *out)
{
    const size_t n = ch->c->rq.parallel_tool_calls ? p->n_call : WD_MIN(p->n_call, 1);
    if (!n)
        return;
    wd_buf_str(out, ",\"tool_calls\":[");
    for (size_t i = 0; i < n; i++) {
        char id[48];
        wd_serve__new_id("call_", id);
        wd_buf_printf(out, "%s{\"id\":\"%s\",\"type\":\"function\",\"function\":{\"name\":", i ? "," : "",
                      id);
        wd_buf_json(out, wd_span_str(p->call[i].name));
        wd_buf_str(out, ",\"arguments\":");
        wd_buf_json(out, wd_span_str(p->call[i].args));
        wd_buf_str(out, "}}");
    }
    wd_buf_char(out, ']');
}

static void put_choice(choice *ch, const wd_generated *g)
{
    wd_buf *out = &ch->json;
    wd_buf_printf(out, "{\"index\":%zu,\"message\":{\"role\":\"assistant\",\"content\":", ch->index);
    if (g->reply.content.n || !g->reply.n_call)
        wd_buf_json(out, wd_buf_view(&g->reply.content));
    else
        wd_buf_str(out, "null");
    wd_buf_str(out, ",\"refusal\":null");
    if (g->reply.reasoning.n) {
        wd_buf_str(out, ",\"reasoning_content\":");
        wd_buf_json(out, wd_buf_view(&g->reply.reasoning));
    }
    put_calls(ch, &g->reply, out);
    wd_buf_str(out, "},\"logprobs\":");
    if (ch->c->rq.logprobs) {
        wd_buf_str(out, "{\"content\":[");
        wd_buf_span(out, wd_buf_view(&ch->logprobs));
        wd_buf_str(out, "]}");
    } else {
        wd_buf_str(out, "null");
    }
    wd_buf_printf(out, ",\"finish_reason\":\"%s\"}", wd_finish_name(g->finish));
}

/* --- items and the end ------------------------------------------------------------------------------------- */

/* A reply that was held to be a call becomes one. What was cut off stays text. */
static wd_status take_call(choice *ch, wd_generated *g, wd_err *err)
{
    wd_err cut_off = { 0 };
    const wd_status st = wd_format_take_call(&g->reply, &cut_off);
    if (st == WD_E_INVALID || st == WD_E_LIMIT)
        return ch->c->stream ? put_text(ch, "content", wd_buf_view(&g->reply.content), err) : WD_OK;
    if (st) {
        *err = cut_off;
        return st;
    }
    if (g->finish == WD_FINISH_STOP)
        g->finish = WD_FINISH_TOOL_CALLS;
    const wd_parsed_call *call = &g->reply.call[0];
    const wd_parse_event ev = { WD_PARSE_TOOL_CALL, wd_span_str(call->args), wd_span_str(call->name), 0 };
    return ch->c->stream ? put_call(ch, &ev, err) : WD_OK;
}

static wd_status end_choice(choice *ch, wd_generated *g, wd_err *err)
{
    chat *c = ch->c;
    if (c->stream)
        WD_TRY(put_role(ch, err)); /* an empty reply */
    if (c->must_call)
        WD_TRY(take_call(ch, g, err));
    pthread_mutex_lock(&c->mu);
    c->n_prompt = g->n_prompt;
    if (ch->index == 0)
        c->n_cached = g->n_cached;
    c->n_reply += g->n_id;
    pthread_mutex_unlock(&c->mu);
    if (!c->stream) {
        put_choice(ch, g);
        if (ch->index == 0 && g->prompt_logprob)
            put_prompt_logprobs(c, g, &c->prompt_logprobs);
        return wd_buf_check(&ch->json, "reply", err);
    }
    chunk_begin(ch);
    return chunk_end(ch, wd_finish_name(g->finish), err);
}

static const char *param_of(wd_status st)
{
    return st == WD_E_LIMIT || st == WD_E_INVALID ? "messages" : NULL;
}

static wd_status item(wd_req *r, size_t i, wd_fault *f)
{
    chat *c = r->state;
    choice *ch = &c->choice[i];
    wd_err err = { 0 };
    const wd_engine *e = r->model->engine;
    wd_generated g;
    wd_arena *a = wd_arena_create((size_t)1 << 31, true);
    if (!a)
        return wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request");
    wd_generate rq = c->generate;
    rq.sample.seed += i;
    rq.prompt_logprobs &= i == 0;
    rq.terms = wd_serve__terms(r);
    rq.watch = (wd_watch){
        .cancel = &r->cancel, .event = c->stream ? on_event : NULL, .token = on_token, .self = ch
    };
    wd_status st = e->generate(e->self, a, &rq, &g, &err);
    wd_serve__account(r, st, &g, i == 0);
    if (!st) {
        st = end_choice(ch, &g, &err);
        wd_parsed_free(&g.reply);
    }
    wd_arena_destroy(a);
    if (!st)
        return WD_OK;
    wd_fault_of(f, st, param_of(st), &err);
    if (st == WD_E_LIMIT)
        f->code = "context_length_exceeded";
    return st;
}

static void finish_stream(chat *c)
{
    wd_buf b = { 0 };
    if (c->usage) {
        wd_buf_printf(&b,
                      "data: {\"id\":\"%s\",\"object\":\"chat.completion.chunk\",\"created\":%lld,\"model\":",
                      c->id, c->created);
        wd_buf_json(&b, wd_span_str(c->r->model->name));
        wd_buf_str(&b, ",\"choices\":[],\"usage\":");
        wd_serve__usage(&b, c->n_prompt, c->n_cached, c->n_reply);
        wd_buf_str(&b, "}\n\n");
    }
    wd_buf_str(&b, "data: [DONE]\n\n");
    if (b.failed || wd_serve__stream_put(c->r, wd_buf_view(&b)))
        wd_serve__cancel(c->r, "vanished");
    wd_buf_free(&b);
    wd_serve__stream_end(c->r);
}

static void finish(wd_req *r)
{
    chat *c = r->state;
    wd_buf b = { 0 };
    if (c->stream) {
        finish_stream(c);
        return;
    }
    wd_buf_printf(&b, "{\"id\":\"%s\",\"object\":\"chat.completion\",\"created\":%lld,\"model\":", c->id,
                  c->created);
    wd_buf_json(&b, wd_span_str(r->model->name));
    wd_buf_str(&b, ",\"choices\":[");
    for (size_t i = 0; i < c->n_choice; i++) {
        if (i)
            wd_buf_char(&b, ',');
        wd_buf_span(&b, wd_buf_view(&c->choice[i].json));
    }
    wd_buf_str(&b, "],\"usage\":");
    wd_serve__usage(&b, c->n_prompt, c->n_cached, c->n_reply);
    if (c->prompt_logprobs.n) {
        wd_buf_str(&b, ",\"prompt_logprobs\":");
        wd_buf_span(&b, wd_buf_view(&c->prompt_logprobs));
    }
    wd_buf_char(&b, '}');
    wd_serve__answer(r, 200, "application/json", &b);
}

const wd_route wd_route_chat = {
    .method = "POST",
    .path = "/v1/chat/completions",
    .brief = "A reply to a conversation, whole or as server-sent events.",
    .prepare = prepare,
    .item = item,
    .finish = finish,
    .release = release,
    .field = fields,
    .n_field = WD_COUNT(fields),
};
