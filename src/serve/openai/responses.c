/* /v1/responses. The same generation as /v1/chat/completions; what comes out is a list of items (reasoning, a message,
 * calls), which a stream announces, fills and closes one after another. What is kept, and what comes from it:
 * responses_kept.c. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "serve/openai/responses.h"

typedef struct respond_rq {
    wd_sampling s;
    const json_t *input, *tools, *tool_choice, *text, *reasoning, *include, *metadata, *kwargs, *conversation,
        *prompt;
    wd_span instructions, previous, truncation;
    int64_t max_output_tokens, top_logprobs;
    bool store, background, parallel_tool_calls;
} respond_rq;

#define ROOM ((size_t)64 << 10) /* of a reply, where it is asked before whether it can be kept */

#define AT(field) offsetof(respond_rq, field)
/* clang-format off */
static const wd_field fields[] = {
    WD_SAMPLING_FIELDS(respond_rq, s),
    { "input", WD_FIELD_ANY, AT(input), true, 0, 0, "a text, or items of type message, reasoning, function_call and function_call_output" },
    { "instructions", WD_FIELD_STR, AT(instructions), false, 0, 0, "a system message before the input" },
    { "max_output_tokens", WD_FIELD_INT, AT(max_output_tokens), false, 1, 1 << 24, "of the reply, reasoning included" },
    { "tools", WD_FIELD_ARR, AT(tools), false, 0, 0, "functions that the model may ask for" },
    { "tool_choice", WD_FIELD_ANY, AT(tool_choice), false, 0, 0, "none, auto, required, or {\"type\": \"function\", \"name\": ...}" },
    { "parallel_tool_calls", WD_FIELD_BOOL, AT(parallel_tool_calls), false, 0, 0, "false: only the first call is given" },
    { "text", WD_FIELD_OBJ, AT(text), false, 0, 0, "format: {\"type\": \"text\"}, \"json_object\", or \"json_schema\" with a schema" },
    { "reasoning", WD_FIELD_OBJ, AT(reasoning), false, 0, 0, "effort: none or minimal asks a model that can to answer at once" },
    { "metadata", WD_FIELD_OBJ, AT(metadata), false, 0, 0, "given back as it is" },
    { "include", WD_FIELD_ARR, AT(include), false, 0, 0, "only what is always there" },
    { "chat_template_kwargs", WD_FIELD_OBJ, AT(kwargs), false, 0, 0, "enable_thinking, add_vision_id" },
    { "store", WD_FIELD_BOOL, AT(store), false, 0, 0, "true: kept for its owner, to be read, continued and deleted" },
    { "background", WD_FIELD_BOOL, AT(background), false, 0, 0, "true is refused" },
    { "previous_response_id", WD_FIELD_STR, AT(previous), false, 0, 0, "a response that was kept: what was said up to it comes before the input" },
    { "conversation", WD_FIELD_ANY, AT(conversation), false, 0, 0, "refused: there are none" },
    { "prompt", WD_FIELD_ANY, AT(prompt), false, 0, 0, "refused: there are no stored prompts" },
    { "truncation", WD_FIELD_STR, AT(truncation), false, 0, 0, "disabled; auto is refused" },
    { "top_logprobs", WD_FIELD_INT, AT(top_logprobs), false, 0, 0, "refused: chat completions have them" },
};
/* clang-format on */

typedef enum item_kind { ITEM_NONE, ITEM_REASONING, ITEM_MESSAGE, ITEM_CALL } item_kind;

typedef struct respond {
    wd_req *r;
    respond_rq rq;
    wd_generate generate;
    wd_messages messages;
    json_t *tools; /* in chat's form */
    json_t *own;   /* items of the input */
    json_t *items; /* those of responses before, then own */
    wd_buf asked;  /* "instructions", "tools", ...: what a response repeats of its request, as JSON members */
    bool stream, must_call;
    wd_constraint *constraint;
    char id[48];
    long long created;
    wd_pace pace;
    /* the item's thread, then finish: */
    bool begun;       /* the stream is open */
    uint64_t n_event; /* sequence numbers */
    item_kind open;   /* the item that grows */
    char open_id[48];
    wd_buf open_text; /* of a call: its arguments */
    char call_id[48]; /* of a call */
    wd_buf call_name;
    wd_buf output; /* finished items, with commas between */
    size_t n_output, n_call;
    wd_buf event;
    size_t n_token, n_reasoning; /* the latter: before the answer began */
    bool reasoned, answered, cut_off;
    size_t n_prompt, n_cached, n_reply;
} respond;

static void release(void *state)
{
    respond *c = state;
    wd_buf *all[] = { &c->asked, &c->open_text, &c->call_name, &c->output, &c->event };
    for (size_t i = 0; i < WD_COUNT(all); i++) {
        wd_buf_wipe(all[i]);
        wd_buf_free(all[i]);
    }
    json_decref(c->tools);
    json_decref(c->own);
    json_decref(c->items);
    wd_constraint_unref(&c->constraint);
}

/* --- reading ----------------------------------------------------------------------------------------------- */

static wd_status refuse_what_is_not_here(const respond_rq *q, wd_fault *f)
{
    const struct {
        bool asked;
        const char *param, *why;
    } no[] = {
        { q->conversation, "conversation",
          "conversation: there are none here; send previous_response_id, or what was said before as input" },
        { q->prompt, "prompt", "prompt: this server keeps no prompts; send instructions and input" },
        { q->background, "background", "background: a response comes while the client waits" },
        { q->truncation.n && !wd_span_is(q->truncation, "disabled"), "truncation",
          "truncation: expected disabled; an input that is too long is refused" },
        { q->top_logprobs, "top_logprobs", "top_logprobs: ask /v1/chat/completions" },
        { q->s.n != 1, "n", "n: a response is one reply" },
    };
    for (size_t i = 0; i < WD_COUNT(no); i++)
        if (no[i].asked)
            return wd_fault_set(f, 400, "unsupported", no[i].param, "%s", no[i].why);
    return WD_OK;
}

static wd_status read_tool_choice(respond *c, wd_fault *f)
{
    const json_t *v = c->rq.tool_choice;
    const char *how = json_string_value(v), *name = NULL;
    const bool open = !v || (how && !strcmp(how, "auto"));
    if (how && !strcmp(how, "none"))
        return WD_OK;
    const char *type = json_string_value(json_object_get(v, "type"));
    if (type && !strcmp(type, "function"))
        name = json_string_value(json_object_get(v, "name"));
    if (!open && !name && !(how && !strcmp(how, "required")))
        return wd_fault_set(f, 400, "invalid_value", "tool_choice",
                            "tool_choice: expected none, auto, required, or a function by its name");
    if (!c->tools)
        return open ? WD_OK
                    : wd_fault_set(f, 400, "invalid_value", "tool_choice", "tool_choice: there are no tools");
    const wd_call_choice asked = { .name = name, .must = !open, .one = !c->rq.parallel_tool_calls };
    return wd_format_calls(c->r, c->tools, &asked, &c->generate, &c->must_call, &c->constraint, f);
}

static wd_status read_tools_and_format(respond *c, wd_fault *f)
{
    const char *how = json_string_value(c->rq.tool_choice);
    wd_constraint *held = NULL;
    WD_TRY(wd_responses_tools(c->rq.tools, &c->tools, f));
    WD_TRY(read_tool_choice(c, f));
    if (c->tools && !(how && !strcmp(how, "none")))
        c->generate.chat.tools = (wd_chat_json){ .value = c->tools };
    WD_TRY(wd_responses_format(c->r, c->rq.text, &held, f));
    if (held && c->generate.chat.tools.value) {
        wd_constraint_unref(&held);
        return wd_fault_set(f, 400, "unsupported", "text.format",
                            "text.format does not go together with tools; set tool_choice to none");
    }
    if (held)
        c->generate.constraint = c->constraint = held;
    return WD_OK;
}

static wd_status read_effort(respond *c, wd_fault *f)
{
    const json_t *effort = json_object_get(c->rq.reasoning, "effort");
    const char *how = json_string_value(effort);
    if (effort && !json_is_null(effort) && !how)
        return wd_fault_set(f, 400, "invalid_type", "reasoning.effort",
                            "reasoning.effort is %s, expected a string", wd_json_kind(effort));
    if (how && (!strcmp(how, "none") || !strcmp(how, "minimal")))
        c->generate.chat.enable_thinking = WD_OFF;
    return WD_OK;
}

/* A member whose value is what the client sent, or `otherwise`. */
static void repeat(respond *c, const char *key, const json_t *v, const char *otherwise)
{
    wd_err err = { 0 };
    wd_buf_printf(&c->asked, ",\"%s\":", key);
    if (!v)
        wd_buf_str(&c->asked, otherwise);
    else if (wd_json_write(v, JSON_COMPACT | JSON_ENCODE_ANY, &c->asked, &err))
        c->asked.failed = true;
}

static void put_number(wd_buf *b, const char *key, float v)
{
    if (isnan(v)) /* the engine's to say */
        wd_buf_printf(b, ",\"%s\":null", key);
    else
        wd_buf_printf(b, ",\"%s\":%.9g", key, (double)v);
}

static void put_asked(respond *c)
{
    const respond_rq *q = &c->rq;
    const wd_sample_opts *s = &c->generate.sample;
    wd_buf *b = &c->asked;
    put_number(b, "temperature", s->temperature);
    put_number(b, "top_p", s->top_p);
    wd_buf_str(b, ",\"max_output_tokens\":");
    if (q->max_output_tokens)
        wd_buf_printf(b, "%lld", (long long)q->max_output_tokens);
    else
        wd_buf_str(b, "null");
    wd_buf_printf(b, ",\"parallel_tool_calls\":%s", q->parallel_tool_calls ? "true" : "false");
    repeat(c, "tool_choice", q->tool_choice, "\"auto\"");
    repeat(c, "reasoning", q->reasoning, "{\"effort\":null,\"summary\":null}");
    repeat(c, "text", q->text, "{\"format\":{\"type\":\"text\"}}");
    repeat(c, "metadata", q->metadata, "{}");
    repeat(c, "tools", q->tools, "[]");
    wd_buf_str(b, ",\"instructions\":");
    if (q->instructions.p)
        wd_buf_json(b, q->instructions);
    else
        wd_buf_str(b, "null");
    wd_buf_str(b, ",\"previous_response_id\":");
    if (q->previous.n)
        wd_buf_json(b, q->previous);
    else
        wd_buf_str(b, "null");
    wd_buf_printf(b, ",\"background\":false,\"store\":%s,\"truncation\":\"disabled\"",
                  q->store ? "true" : "false");
}

/* What was said before, and now. */
static wd_status read_input(respond *c, wd_fault *f)
{
    wd_req *r = c->r;
    size_t n_before = 0;
    WD_TRY(wd_responses_items(c->rq.input, &c->own, f));
    if (c->rq.previous.n) {
        WD_TRY(wd_responses_before(r, c->rq.previous, &c->items, f));
        n_before = json_array_size(c->items);
    } else {
        c->items = json_array();
    }
    if (!c->items || json_array_extend(c->items, c->own) < 0)
        return wd_fault_set(f, 503, "no_memory", "input", "no memory for this request");
    return wd_responses_input(r, c->items, n_before, c->rq.instructions, &c->messages, f);
}

static wd_status prepare(wd_req *r, wd_fault *f)
{
    respond *c = WD_NEW(r->arena, respond);
    if (!c)
        return wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request");
    c->r = r;
    c->pace.r = r;
    c->created = (long long)time(NULL);
    c->rq = (respond_rq){ .s = wd_sampling_default,
                          .parallel_tool_calls = true,
                          .store = r->server->o.store_responses };
    wd_serve__new_id("resp_", c->id);
    r->state = c;
    WD_TRY(wd_fields_read(fields, WD_COUNT(fields), r->json, "", &c->rq, f));
    WD_TRY(refuse_what_is_not_here(&c->rq, f));
    WD_TRY(wd_serve__sampling(r, &c->rq.s, &c->generate, f));
    if (c->rq.max_output_tokens)
        c->generate.max_tokens = (uint32_t)c->rq.max_output_tokens;
    c->stream = c->rq.s.stream;
    WD_TRY(read_tools_and_format(c, f));
    WD_TRY(read_effort(c, f));
    WD_TRY(wd_serve__template_kwargs(c->rq.kwargs, &c->generate.chat, f));
    WD_TRY(read_input(c, f));
    c->generate.chat.message = c->messages.message;
    c->generate.chat.n_message = c->messages.n;
    c->generate.media = wd_shown_media(&c->messages.shown);
    put_asked(c);
    if (c->asked.failed)
        return wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request");
    if (c->stream && c->asked.n > r->server->o.stream_bytes / 8) /* it would come three times */
        return wd_fault_set(f, 400, "limit_exceeded", "tools",
                            "instructions, tools and text have more than %zu bytes: too much for a stream",
                            r->server->o.stream_bytes / 8);
    r->n_item = 1;
    return c->rq.store ? wd_responses_room(r, r->body.n + ROOM, f) : WD_OK;
}

/* --- the response as JSON ---------------------------------------------------------------------------------- */

static void put_usage(const respond *c, wd_buf *b)
{
    wd_buf_printf(
        b,
        "{\"input_tokens\":%zu,\"input_tokens_details\":{\"cached_tokens\":%zu},\"output_tokens\":%zu,"
        "\"output_tokens_details\":{\"reasoning_tokens\":%zu},\"total_tokens\":%zu}",
        c->n_prompt, c->n_cached, c->n_reply, c->n_reasoning, c->n_prompt + c->n_reply);
}

/* status: in_progress, completed, incomplete or failed; fault of the last. */
static void put_response(const respond *c, const char *status, const wd_fault *fault, wd_buf *b)
{
    const bool ended = strcmp(status, "in_progress") != 0;
    wd_buf_printf(
        b, "{\"id\":\"%s\",\"object\":\"response\",\"created_at\":%lld,\"status\":\"%s\",\"model\":", c->id,
        c->created, status);
    wd_buf_json(b, wd_span_str(c->r->model->name));
    wd_buf_str(b, ",\"error\":");
    if (fault) {
        wd_buf_str(b, "{\"code\":");
        wd_buf_json(b, wd_span_str(fault->code ? fault->code : "server_error"));
        wd_buf_str(b, ",\"message\":");
        wd_buf_json(b, wd_span_str(fault->text));
        wd_buf_char(b, '}');
    } else {
        wd_buf_str(b, "null");
    }
    wd_buf_printf(b, ",\"incomplete_details\":%s",
                  c->cut_off ? "{\"reason\":\"max_output_tokens\"}" : "null");
    wd_buf_span(b, wd_buf_view(&c->asked));
    wd_buf_str(b, ",\"output\":[");
    wd_buf_span(b, wd_buf_view(&c->output));
    wd_buf_str(b, "],\"usage\":");
    if (ended && !fault)
        put_usage(c, b);
    else
        wd_buf_str(b, "null");
    wd_buf_char(b, '}');
}

static const char *end_status(const respond *c)
{
    return c->cut_off ? "incomplete" : "completed";
}

/* --- events ------------------------------------------------------------------------------------------------ */

static void event_begin(respond *c, const char *name)
{
    wd_buf_printf(&c->event, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%llu", name, name,
                  (unsigned long long)c->n_event++);
}

static void event_end(respond *c)
{
    wd_buf_str(&c->event, "}\n\n");
}

/* Hands the events on that were written. Where nothing is streamed there are none. */
static wd_status flush(respond *c, wd_err *err)
{
    if (!c->stream)
        wd_buf_clear(&c->event);
    WD_TRY(wd_buf_check(&c->event, "event", err));
    if (c->event.n && wd_serve__stream_put(c->r, wd_buf_view(&c->event)))
        return WD_FAIL(err, WD_E_CANCELLED, "the client has gone or reads too slowly");
    wd_buf_clear(&c->event);
    return WD_OK;
}

/* The first of the stream; from here on the status is 200. */
static wd_status begin_stream(respond *c, wd_err *err)
{
    static const char *const names[] = { "response.created", "response.in_progress" };
    if (!c->stream || c->begun)
        return WD_OK;
    c->begun = true;
    wd_serve__stream_open(c->r);
    for (size_t i = 0; i < WD_COUNT(names); i++) {
        event_begin(c, names[i]);
        wd_buf_str(&c->event, ",\"response\":");
        put_response(c, "in_progress", NULL, &c->event);
        event_end(c);
    }
    return flush(c, err);
}

/* ,"item_id":...,"output_index":... of the open item, and its part's index */
static void put_place(respond *c, bool part)
{
    wd_buf_printf(&c->event, ",\"item_id\":\"%s\",\"output_index\":%zu", c->open_id, c->n_output);
    if (part)
        wd_buf_str(&c->event, ",\"content_index\":0");
}

/* --- items ------------------------------------------------------------------------------------------------- */

static void put_part(const respond *c, wd_span text, wd_buf *b)
{
    wd_buf_printf(b,
                  "{\"type\":\"%s\",\"text\":", c->open == ITEM_MESSAGE ? "output_text" : "reasoning_text");
    wd_buf_json(b, text);
    wd_buf_str(b, c->open == ITEM_MESSAGE ? ",\"annotations\":[],\"logprobs\":[]}" : "}");
}

/* The open item, with its text or still without. */
static void put_open(const respond *c, const char *status, bool with_text, wd_buf *b)
{
    if (c->open == ITEM_MESSAGE)
        wd_buf_printf(
            b, "{\"id\":\"%s\",\"type\":\"message\",\"role\":\"assistant\",\"status\":\"%s\",\"content\":[",
            c->open_id, status);
    else
        wd_buf_printf(b,
                      "{\"id\":\"%s\",\"type\":\"reasoning\",\"status\":\"%s\",\"summary\":[],\"content\":[",
                      c->open_id, status);
    if (with_text)
        put_part(c, wd_buf_view(&c->open_text), b);
    wd_buf_str(b, "]}");
}

static const char *delta_name(const respond *c, bool done)
{
    if (c->open == ITEM_MESSAGE)
        return done ? "response.output_text.done" : "response.output_text.delta";
    return done ? "response.reasoning_text.done" : "response.reasoning_text.delta";
}

/* An item of its own id joins the output. */
static void output_begin(respond *c)
{
    if (c->n_output)
        wd_buf_char(&c->output, ',');
}

/* The open call, with its arguments or still without. */
static void put_call(const respond *c, const char *status, bool with_args, wd_buf *b)
{
    wd_buf_printf(b,
                  "{\"id\":\"%s\",\"type\":\"function_call\",\"status\":\"%s\",\"call_id\":\"%s\",\"name\":",
                  c->open_id, status, c->call_id);
    wd_buf_json(b, wd_buf_view(&c->call_name));
    wd_buf_str(b, ",\"arguments\":");
    wd_buf_json(b, with_args ? wd_buf_view(&c->open_text) : (wd_span){ 0 });
    wd_buf_char(b, '}');
}

static void close_item(respond *c)
{
    c->n_output++;
    c->open = ITEM_NONE;
    wd_buf_wipe(&c->open_text);
    wd_buf_clear(&c->open_text);
}

/* status: completed, or incomplete: the output ended within the call. */
static void close_call(respond *c, const char *status)
{
    if (!strcmp(status, "completed")) {
        event_begin(c, "response.function_call_arguments.done");
        put_place(c, false);
        wd_buf_str(&c->event, ",\"name\":");
        wd_buf_json(&c->event, wd_buf_view(&c->call_name));
        wd_buf_str(&c->event, ",\"arguments\":");
        wd_buf_json(&c->event, wd_buf_view(&c->open_text));
        event_end(c);
    }
    event_begin(c, "response.output_item.done");
    wd_buf_printf(&c->event, ",\"output_index\":%zu,\"item\":", c->n_output);
    put_call(c, status, true, &c->event);
    event_end(c);
    output_begin(c);
    put_call(c, status, true, &c->output);
    close_item(c);
}

static void close_open(respond *c, const char *status)
{
    if (c->open == ITEM_NONE)
        return;
    if (c->open == ITEM_CALL) {
        close_call(c, "incomplete");
        return;
    }
    event_begin(c, delta_name(c, true));
    put_place(c, true);
    wd_buf_str(&c->event, ",\"text\":");
    wd_buf_json(&c->event, wd_buf_view(&c->open_text));
    if (c->open == ITEM_MESSAGE)
        wd_buf_str(&c->event, ",\"logprobs\":[]");
    event_end(c);
    event_begin(c, "response.content_part.done");
    put_place(c, true);
    wd_buf_str(&c->event, ",\"part\":");
    put_part(c, wd_buf_view(&c->open_text), &c->event);
    event_end(c);
    event_begin(c, "response.output_item.done");
    wd_buf_printf(&c->event, ",\"output_index\":%zu,\"item\":", c->n_output);
    put_open(c, status, true, &c->event);
    event_end(c);
    output_begin(c);
    put_open(c, status, true, &c->output);
    close_item(c);
}

static void open_item(respond *c, item_kind kind)
{
    if (c->open == kind)
        return;
    close_open(c, "completed");
    c->open = kind;
    wd_serve__new_id(kind == ITEM_MESSAGE ? "msg_" : "rs_", c->open_id);
    event_begin(c, "response.output_item.added");
    wd_buf_printf(&c->event, ",\"output_index\":%zu,\"item\":", c->n_output);
    put_open(c, "in_progress", false, &c->event);
    event_end(c);
    event_begin(c, "response.content_part.added");
    put_place(c, true);
    wd_buf_str(&c->event, ",\"part\":");
    put_part(c, (wd_span){ 0 }, &c->event);
    event_end(c);
}

static void add_text(respond *c, item_kind kind, wd_span text)
{
    if (!text.n)
        return;
    open_item(c, kind);
    wd_buf_span(&c->open_text, text);
    event_begin(c, delta_name(c, false));
    put_place(c, true);
    wd_buf_str(&c->event, ",\"delta\":");
    wd_buf_json(&c->event, text);
    if (kind == ITEM_MESSAGE)
        wd_buf_str(&c->event, ",\"logprobs\":[]");
    event_end(c);
}

static void open_call(respond *c, wd_span name)
{
    close_open(c, "completed");
    c->open = ITEM_CALL;
    wd_serve__new_id("fc_", c->open_id);
    wd_serve__new_id("call_", c->call_id);
    wd_buf_clear(&c->call_name);
    wd_buf_span(&c->call_name, name);
    event_begin(c, "response.output_item.added");
    wd_buf_printf(&c->event, ",\"output_index\":%zu,\"item\":", c->n_output);
    put_call(c, "in_progress", false, &c->event);
    event_end(c);
}

static void add_args(respond *c, wd_span args)
{
    wd_buf_span(&c->open_text, args);
    event_begin(c, "response.function_call_arguments.delta");
    put_place(c, false);
    wd_buf_str(&c->event, ",\"delta\":");
    wd_buf_json(&c->event, args);
    event_end(c);
}

/* A call that is complete, or the end of the open one. */
static void add_call(respond *c, wd_span name, wd_span args)
{
    if (c->n_call++ && !c->rq.parallel_tool_calls)
        return;
    if (c->open != ITEM_CALL) {
        open_call(c, name);
        add_args(c, args);
    }
    close_call(c, "completed");
}

/* --- the engine's side ------------------------------------------------------------------------------------- */

static void on_token(void *self, uint32_t id, const wd_token_logprob *lp)
{
    respond *c = self;
    (void)id;
    (void)lp;
    c->n_token++;
    wd_pace_token(&c->pace);
}

/* Tokens of reasoning are those before the one that the answer begins with. */
static void count_reasoning(respond *c, wd_parse_kind kind)
{
    if (kind == WD_PARSE_REASONING || kind == WD_PARSE_WAS_REASONING)
        c->reasoned = true;
    else if (!c->answered && c->reasoned)
        c->n_reasoning = c->n_token ? c->n_token - 1 : 0;
    c->answered |= kind != WD_PARSE_REASONING && kind != WD_PARSE_WAS_REASONING;
}

static wd_status on_event(void *self, const wd_parse_event *ev, wd_err *err)
{
    respond *c = self;
    count_reasoning(c, ev->kind);
    if (!c->stream || (c->must_call && ev->kind == WD_PARSE_CONTENT))
        return WD_OK; /* at the end, when it is complete */
    if (ev->kind == WD_PARSE_CONTENT && c->open == ITEM_CALL)
        return WD_OK; /* the output ended within the call: the item says so */
    WD_TRY(begin_stream(c, err));
    switch (ev->kind) {
    case WD_PARSE_REASONING:
        add_text(c, ITEM_REASONING, ev->text);
        break;
    case WD_PARSE_CONTENT:
        add_text(c, ITEM_MESSAGE, ev->text);
        break;
    case WD_PARSE_CALL:
        if (!c->n_call || c->rq.parallel_tool_calls)
            open_call(c, ev->name);
        break;
    case WD_PARSE_ARGS:
        if (c->open == ITEM_CALL)
            add_args(c, ev->text);
        break;
    case WD_PARSE_TOOL_CALL:
        add_call(c, ev->name, ev->text);
        break;
    case WD_PARSE_WAS_REASONING: /* what was sent cannot be taken back */
        break;
    }
    return flush(c, err);
}

/* What was not handed on while it came. */
static wd_status add_rest(respond *c, wd_generated *g, wd_err *err)
{
    wd_err cut_off = { 0 };
    if (c->must_call) {
        const wd_status st = wd_format_take_call(&g->reply, &cut_off);
        if (st && st != WD_E_INVALID && st != WD_E_LIMIT) {
            *err = cut_off;
            return st;
        }
    }
    if (!c->stream)
        add_text(c, ITEM_REASONING, wd_buf_view(&g->reply.reasoning));
    if (!c->stream || c->must_call) {
        add_text(c, ITEM_MESSAGE, wd_buf_view(&g->reply.content));
        for (size_t i = 0; i < g->reply.n_call; i++)
            add_call(c, wd_span_str(g->reply.call[i].name), wd_span_str(g->reply.call[i].args));
    }
    return WD_OK;
}

static wd_status end_reply(respond *c, wd_generated *g, wd_err *err)
{
    WD_TRY(begin_stream(c, err));
    WD_TRY(add_rest(c, g, err));
    if (!c->n_output && c->open == ITEM_NONE)
        open_item(c, ITEM_MESSAGE); /* an empty reply is a message all the same */
    c->cut_off = g->finish == WD_FINISH_LENGTH;
    close_open(c, end_status(c));
    c->n_prompt = g->n_prompt;
    c->n_cached = g->n_cached;
    c->n_reply = g->n_id;
    if (c->reasoned && !c->answered)
        c->n_reasoning = g->n_id;
    WD_TRY(flush(c, err));
    return wd_buf_check(&c->output, "output", err);
}

/* Before the end of the reply leaves: what says that it is kept is. */
static wd_status keep(respond *c, wd_fault *f)
{
    wd_buf b = { 0 };
    put_response(c, end_status(c), NULL, &b);
    const wd_status st = b.failed ? wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request")
                                  : wd_responses_keep(c->r, c->id, wd_buf_view(&b), c->own, f);
    wd_buf_wipe(&b);
    wd_buf_free(&b);
    return st;
}

static wd_status item(wd_req *r, size_t i, wd_fault *f)
{
    respond *c = r->state;
    const wd_engine *e = r->model->engine;
    wd_err err = { 0 };
    wd_generated g;
    (void)i;
    wd_arena *a = wd_arena_create((size_t)1 << 31, true);
    if (!a)
        return wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request");
    wd_generate rq = c->generate;
    rq.terms = wd_serve__terms(r);
    rq.watch = (wd_watch){ .cancel = &r->cancel, .event = on_event, .token = on_token, .self = c };
    wd_status st = e->generate(e->self, a, &rq, &g, &err);
    wd_serve__account(r, st, &g, true);
    if (!st) {
        st = end_reply(c, &g, &err);
        wd_parsed_free(&g.reply);
    }
    wd_arena_destroy(a);
    if (!st)
        return c->rq.store ? keep(c, f) : WD_OK;
    wd_fault_of(f, st, st == WD_E_LIMIT || st == WD_E_INVALID ? "input" : NULL, &err);
    if (st == WD_E_LIMIT)
        f->code = "context_length_exceeded";
    return st;
}

static void put_last_event(respond *c, const char *status, const wd_fault *fault, wd_buf *out)
{
    char name[48];
    snprintf(name, sizeof name, "response.%s", status);
    wd_buf_clear(&c->event);
    event_begin(c, name);
    wd_buf_str(&c->event, ",\"response\":");
    put_response(c, status, fault, &c->event);
    event_end(c);
    wd_buf_span(out, wd_buf_view(&c->event));
    out->failed |= c->event.failed;
}

static void stream_fault(wd_req *r, const wd_fault *f, wd_buf *out)
{
    put_last_event(r->state, "failed", f, out);
}

static void finish(wd_req *r)
{
    respond *c = r->state;
    wd_buf b = { 0 };
    if (!c->stream) {
        put_response(c, end_status(c), NULL, &b);
        wd_serve__answer(r, 200, "application/json", &b);
        return;
    }
    put_last_event(c, end_status(c), NULL, &b);
    if (b.failed || wd_serve__stream_put(r, wd_buf_view(&b)))
        wd_serve__cancel(r, "vanished");
    wd_buf_wipe(&b);
    wd_buf_free(&b);
    wd_serve__stream_end(r);
}

const wd_route wd_route_responses = {
    .method = "POST",
    .path = "/v1/responses",
    .brief = "A reply as a list of items, whole or as server-sent events. Kept where store asks for it.",
    .prepare = prepare,
    .item = item,
    .finish = finish,
    .release = release,
    .stream_fault = stream_fault,
    .field = fields,
    .n_field = WD_COUNT(fields),
};
