/* Chunks to events. */
#include "engine/remote/reply.h"

#include "base/json.h"
#include "engine/remote/sse.h"
#include "text/jsontext.h"
#include "text/stop.h"

#define EVENT_BYTES_MAX ((size_t)4 << 20)
#define REPLY_BYTES_MAX ((size_t)32 << 20) /* of reasoning, content and calls */
#define CALL_BYTES_MAX ((size_t)1 << 20)   /* of arguments */
#define NAME_BYTES_MAX 256
#define CALL_HEAD_MAX 4096 /* what stands around them, a name in escapes included */
#define CALLS_MAX 128
#define CHUNK_VALUES_MAX 200000 /* of JSON: each takes memory */

typedef struct call {
    bool open;
    wd_buf name, args;
    wd_parse *parse; /* tells of it; NULL: its arguments have not begun */
} call;

struct wd_reply {
    wd_reply_opts o;
    wd_sse sse;
    wd_parse *parse; /* NULL: no content yet */
    wd_stop *stop;   /* NULL: none was asked for */
    wd_buf passed;   /* what came past it */
    bool stopped;
    call call;                    /* the last that began */
    size_t n_call, n_parsed_call; /* begun; told, those in the content included */
    size_t n_bytes, n_piece;
    bool reasoned, finished, has_usage, done;
    wd_reply_end end;
};

static const char *name_of(const wd_reply *r)
{
    return *r->o.name ? *r->o.name : "upstream";
}

static wd_status corrupt(const wd_reply *r, const char *what, wd_err *err)
{
    return WD_FAIL(err, WD_E_CORRUPT, "%s: a chunk of its reply is not what the API says: %s", name_of(r),
                   what);
}

static wd_status count(wd_reply *r, size_t n, wd_err *err)
{
    r->n_bytes += n;
    if (r->n_bytes > REPLY_BYTES_MAX)
        return WD_FAIL(err, WD_E_LIMIT, "%s: a reply of more than %zu bytes", name_of(r), REPLY_BYTES_MAX);
    return WD_OK;
}

/* A member that is a string; absent or null: empty. */
static wd_status text_of(const wd_reply *r, const json_t *o, const char *key, wd_span *out, wd_err *err)
{
    const json_t *v = json_object_get(o, key);
    *out = (wd_span){ 0 };
    if (!v || json_is_null(v))
        return WD_OK;
    if (!json_is_string(v))
        return corrupt(r, "a text is no string", err);
    *out = wd_span_of(json_string_value(v), json_string_length(v));
    return WD_OK;
}

/* --- content ----------------------------------------------------------------------------------------------- */

/* Events of text/parse.h, of the content or of a call that the upstream took out: all calls are counted together. */
static wd_status on_parsed(void *arg, const wd_parse_event *ev, wd_err *err)
{
    wd_reply *r = arg;
    wd_parse_event mine = *ev;
    mine.index = (uint32_t)r->n_parsed_call;
    r->n_parsed_call += ev->kind == WD_PARSE_TOOL_CALL;
    return r->o.event(r->o.self, &mine, err);
}

static wd_status put_passed(wd_reply *r, wd_span text, wd_err *err)
{
    if (!text.n)
        return WD_OK;
    if (!r->parse) { /* the first, or what was held back */
        /* reasoning was taken out: what looks like its end is what the model says */
        const wd_parse_opts o = { .plain = r->o.plain || (r->reasoned && !r->o.tools),
                                  .no_tools = !r->o.tools };
        WD_TRY(wd_parse_create(&o, on_parsed, r, &r->parse, err));
    }
    return wd_parse_feed(r->parse, text, err);
}

static wd_status put_content(wd_reply *r, wd_span text, wd_err *err)
{
    if (!r->stop)
        return put_passed(r, text, err);
    if (r->stopped)
        return WD_OK;
    wd_buf_clear(&r->passed);
    r->stopped = wd_stop_feed(r->stop, text, &r->passed, NULL);
    WD_TRY(wd_buf_check(&r->passed, "reply", err));
    return put_passed(r, wd_buf_view(&r->passed), err);
}

static wd_status end_content(wd_reply *r, wd_err *err)
{
    if (r->stop && !r->stopped) {
        wd_buf_clear(&r->passed);
        wd_stop_end(r->stop, &r->passed);
        WD_TRY(wd_buf_check(&r->passed, "reply", err));
        WD_TRY(put_passed(r, wd_buf_view(&r->passed), err));
    }
    const wd_status st = r->parse ? wd_parse_end(r->parse, err) : WD_OK;
    wd_parse_destroy(r->parse);
    r->parse = NULL;
    return st;
}

/* --- calls ------------------------------------------------------------------------------------------------- */

/* *yes: it is the text of a JSON object. */
static wd_status is_object(const wd_reply *r, wd_span json, bool *yes, wd_err *err)
{
    wd_buf ignored = { 0 };
    wd_err why;
    char kind = 0;
    const wd_status st = wd_jsontext_text(json, "arguments", &kind, &ignored, &why);
    wd_buf_wipe(&ignored);
    wd_buf_free(&ignored);
    *yes = !st && kind == '{';
    return st == WD_E_NOMEM ? WD_FAIL(err, st, "%s: no memory for its reply", name_of(r)) : WD_OK;
}

/* The open call goes through text/parse.h as the model would have written it, which tells of it while it grows: between
 * characters and escapes, wherever the upstream cut it. */
static wd_status begin_telling(wd_reply *r, wd_err *err)
{
    const wd_parse_opts o = { .sure_calls = true, .max_call_bytes = CALL_BYTES_MAX + CALL_HEAD_MAX };
    wd_buf head = { 0 };
    wd_buf_str(&head, "<tool_call>\n{\"name\": ");
    wd_buf_json(&head, wd_buf_view(&r->call.name));
    wd_buf_str(&head, ", \"arguments\": ");
    wd_status st = wd_buf_check(&head, "reply", err);
    if (!st)
        st = wd_parse_create(&o, on_parsed, r, &r->call.parse, err);
    if (!st)
        st = wd_parse_feed(r->call.parse, wd_buf_view(&head), err);
    wd_buf_wipe(&head);
    wd_buf_free(&head);
    return st;
}

static wd_status tell_args(wd_reply *r, wd_span args, wd_err *err)
{
    if (!args.n)
        return WD_OK;
    if (!r->call.parse)
        WD_TRY(begin_telling(r, err));
    return wd_parse_feed(r->call.parse, args, err);
}

/* Empties it for the next one. */
static void drop_call(wd_reply *r)
{
    call *c = &r->call;
    wd_parse_destroy(c->parse);
    wd_buf_wipe(&c->name);
    wd_buf_wipe(&c->args);
    wd_buf_free(&c->name);
    wd_buf_free(&c->args);
    *c = (call){ .name.max = NAME_BYTES_MAX + 1, .args.max = CALL_BYTES_MAX + 1 };
}

/* The open call is complete; or the limit of tokens may have cut it off: then it is what the model wrote of it, as in the
 * local engine. */
static wd_status end_call(wd_reply *r, bool may_be_cut, wd_err *err)
{
    static const wd_span none = { (const uint8_t *)"{}",
                                  2 }; /* what is meant where a function has no parameters */
    call *c = &r->call;
    bool object = false;
    if (!c->open)
        return WD_OK;
    WD_TRY(is_object(r, c->args.n ? wd_buf_view(&c->args) : none, &object, err));
    const bool whole = object && c->name.n;
    if (!whole && !may_be_cut)
        return corrupt(r, "a call has no name, or arguments that are no JSON object", err);
    if (!c->args.n)
        WD_TRY(tell_args(r, none, err));
    if (whole)
        WD_TRY(wd_parse_feed(c->parse, WD_SPAN_LIT("}\n</tool_call>"), err));
    WD_TRY(wd_parse_end(c->parse, err));
    drop_call(r);
    return WD_OK;
}

static wd_status put_call(wd_reply *r, const json_t *v, wd_err *err)
{
    const json_t *index = json_object_get(v, "index"), *fn = json_object_get(v, "function");
    wd_span name, args;
    call *c = &r->call;
    const json_int_t i = json_is_integer(index) ? json_integer_value(index) : -1;
    if (i < 0 || i > (json_int_t)r->n_call || i >= CALLS_MAX)
        return corrupt(r, "a call's index is not the next, or too large", err);
    WD_TRY(text_of(r, fn, "name", &name, err));
    WD_TRY(text_of(r, fn, "arguments", &args, err));
    WD_TRY(count(r, name.n + args.n, err));
    if (i == (json_int_t)r->n_call) {
        WD_TRY(end_call(r, false, err)); /* the one before it is complete */
        drop_call(r);
        c->open = true;
        r->n_call++;
    } else if (i + 1 < (json_int_t)r->n_call) {
        return corrupt(r, "a call goes on after the next one began", err);
    }
    if (name.n && c->parse)
        return corrupt(r, "a call's name goes on after its arguments began", err);
    if (c->name.n + name.n > NAME_BYTES_MAX || c->args.n + args.n > CALL_BYTES_MAX)
        return WD_FAIL(err, WD_E_LIMIT, "%s: a call of more than %zu bytes", name_of(r), CALL_BYTES_MAX);
    wd_buf_span(&c->name, name);
    wd_buf_span(&c->args, args);
    WD_TRY(wd_buf_check(&c->name, "reply", err));
    WD_TRY(wd_buf_check(&c->args, "reply", err));
    return tell_args(r, args, err);
}

/* --- chunks ------------------------------------------------------------------------------------------------ */

static wd_status read_delta(wd_reply *r, const json_t *d, wd_err *err)
{
    wd_span reasoning, other, content;
    const json_t *calls = json_object_get(d, "tool_calls");
    WD_TRY(text_of(r, d, "reasoning_content", &reasoning, err));
    WD_TRY(text_of(r, d, "reasoning", &other, err));
    WD_TRY(text_of(r, d, "content", &content, err));
    if (!reasoning.n)
        reasoning = other;
    WD_TRY(count(r, reasoning.n + content.n, err));
    if (calls && !json_is_null(calls) && !json_is_array(calls))
        return corrupt(r, "tool_calls are no array", err);
    if (r->finished && (reasoning.n || content.n || json_array_size(calls)))
        return corrupt(r, "it goes on after its end", err);
    r->n_piece += reasoning.n || content.n || json_array_size(calls);
    if (reasoning.n) {
        const wd_parse_event ev = { .kind = WD_PARSE_REASONING, .text = reasoning };
        r->reasoned = true;
        WD_TRY(r->o.event(r->o.self, &ev, err));
    }
    WD_TRY(put_content(r, content, err));
    for (size_t i = 0; i < json_array_size(calls); i++)
        WD_TRY(put_call(r, json_array_get(calls, i), err));
    return WD_OK;
}

static wd_status read_finish(wd_reply *r, const json_t *v, wd_err *err)
{
    static const wd_finish all[] = { WD_FINISH_STOP, WD_FINISH_LENGTH, WD_FINISH_TOOL_CALLS };
    const char *s = json_string_value(v);
    if (!v || json_is_null(v))
        return WD_OK;
    for (size_t i = 0; s && i < WD_COUNT(all); i++) {
        if (!strcmp(s, wd_finish_name(all[i]))) {
            r->end.finish = all[i];
            r->finished = true;
            return WD_OK;
        }
    }
    if (s && !strcmp(s, "abort"))
        return WD_FAIL(err, WD_E_IO, "%s: it gave the reply up", name_of(r));
    return corrupt(r, "finish_reason is none of stop, length and tool_calls", err);
}

static wd_status read_count(const wd_reply *r, const json_t *o, const char *key, size_t *out, wd_err *err)
{
    const json_t *v = json_object_get(o, key);
    if (!v || json_is_null(v))
        return WD_OK;
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
        return corrupt(r, "a number of tokens is none", err);
    *out = (size_t)json_integer_value(v);
    return WD_OK;
}

static wd_status read_usage(wd_reply *r, const json_t *u, wd_err *err)
{
    if (!json_is_object(u))
        return WD_OK;
    r->has_usage = true;
    WD_TRY(read_count(r, u, "prompt_tokens", &r->end.n_prompt, err));
    WD_TRY(read_count(r, u, "completion_tokens", &r->end.n_reply, err));
    WD_TRY(
        read_count(r, json_object_get(u, "prompt_tokens_details"), "cached_tokens", &r->end.n_cached, err));
    r->end.n_cached = WD_MIN(r->end.n_cached, r->end.n_prompt);
    return WD_OK;
}

/* An error in the place of a chunk. Its message may hold the prompt. */
static wd_status read_error(const wd_reply *r, const json_t *e, wd_err *err)
{
    const char *code = json_string_value(json_object_get(e, "code"));
    const json_int_t status = json_integer_value(json_object_get(e, "code"));
    if (code && !strcmp(code, "context_length_exceeded"))
        return WD_FAIL(err, WD_E_LIMIT, "%s: the prompt is longer than the context there", name_of(r));
    if (status == 429 || status == 503)
        return WD_FAIL(err, WD_E_BUSY, "%s: it gave the reply up, no room now", name_of(r));
    return WD_FAIL(err, WD_E_IO, "%s: the stream of its reply ends in an error", name_of(r));
}

static wd_status read_choice(wd_reply *r, const json_t *c, wd_err *err)
{
    const json_t *index = json_object_get(c, "index"), *d = json_object_get(c, "delta");
    if (!json_is_object(c) || (index && !json_is_null(index) && json_integer_value(index) != 0))
        return corrupt(r, "a choice is no object, or another than the first", err);
    if (r->o.plain) {
        wd_span text;
        WD_TRY(text_of(r, c, "text", &text, err));
        WD_TRY(count(r, text.n, err));
        if (r->finished && text.n)
            return corrupt(r, "it goes on after its end", err);
        r->n_piece += text.n > 0;
        WD_TRY(put_content(r, text, err));
    } else if (d && !json_is_null(d)) {
        if (!json_is_object(d))
            return corrupt(r, "delta is no object", err);
        WD_TRY(read_delta(r, d, err));
    }
    return read_finish(r, json_object_get(c, "finish_reason"), err);
}

static wd_status read_chunk(wd_reply *r, const json_t *v, wd_err *err)
{
    const json_t *error = json_object_get(v, "error"), *choices = json_object_get(v, "choices");
    if (!json_is_object(v))
        return corrupt(r, "it is no object", err);
    if (error && !json_is_null(error))
        return read_error(r, error, err);
    if (choices && !json_is_array(choices))
        return corrupt(r, "choices are no array", err);
    if (!choices && !json_is_object(json_object_get(v, "usage")))
        return corrupt(r, "it has neither choices nor usage", err);
    for (size_t i = 0; i < json_array_size(choices); i++)
        WD_TRY(read_choice(r, json_array_get(choices, i), err));
    return read_usage(r, json_object_get(v, "usage"), err);
}

static wd_status on_data(void *self, wd_span data, wd_err *err)
{
    wd_reply *r = self;
    wd_err ignored;
    json_t *v = NULL;
    size_t n_value = 0;
    if (r->done)
        return WD_OK;
    r->done = wd_span_is(data, "[DONE]");
    if (r->done)
        return WD_OK;
    for (size_t i = 0; i < data.n; i++)
        n_value += data.p[i] == ',' || data.p[i] == '[' || data.p[i] == '{';
    if (n_value > CHUNK_VALUES_MAX)
        return WD_FAIL(err, WD_E_LIMIT, "%s: a chunk of more than %d JSON values", name_of(r),
                       CHUNK_VALUES_MAX);
    const wd_status parsed = wd_json_parse(data, "chunk", &v,
                                           &ignored); /* its sentence may quote the reply */
    if (parsed)
        return parsed == WD_E_NOMEM ? WD_FAIL(err, WD_E_NOMEM, "%s: no memory for its reply", name_of(r))
                                    : corrupt(r, "it is not JSON in UTF-8", err);
    const wd_status st = read_chunk(r, v, err);
    json_decref(v);
    return st;
}

/* --- the whole --------------------------------------------------------------------------------------------- */

wd_status wd_reply_create(const wd_reply_opts *o, wd_reply **out, wd_err *err)
{
    *out = WD_ALLOC(wd_reply);
    if (!*out)
        return WD_FAIL(err, WD_E_NOMEM, "remote: no memory");
    (*out)->o = *o;
    wd_sse_init(&(*out)->sse, EVENT_BYTES_MAX, on_data, *out);
    const wd_status st = o->n_stop ? wd_stop_create(o->stop, o->n_stop, &(*out)->stop, err) : WD_OK;
    if (st) {
        wd_reply_destroy(*out);
        *out = NULL;
    }
    return st;
}

void wd_reply_destroy(wd_reply *r)
{
    if (!r)
        return;
    drop_call(r);
    wd_parse_destroy(r->parse);
    wd_stop_destroy(r->stop);
    wd_buf_wipe(&r->passed);
    wd_buf_free(&r->passed);
    wd_sse_deinit(&r->sse);
    wd_free(r);
}

wd_status wd_reply_feed(wd_reply *r, wd_span bytes, wd_err *err)
{
    const wd_status st = wd_sse_feed(&r->sse, bytes, err);
    if (!r->sse.over)
        return st;
    return WD_FAIL(err, WD_E_LIMIT, "%s: its reply has a line or an event of more than %zu bytes", name_of(r),
                   EVENT_BYTES_MAX);
}

wd_status wd_reply_finish(wd_reply *r, wd_reply_end *out, wd_err *err)
{
    if (!r->finished)
        return WD_FAIL(err, WD_E_IO, "%s: the stream ended before the reply did", name_of(r));
    WD_TRY(end_content(r, err));
    WD_TRY(end_call(r, r->end.finish == WD_FINISH_LENGTH, err));
    *out = r->end;
    if (!r->has_usage)
        out->n_reply = r->n_piece;
    if (r->stopped && out->finish == WD_FINISH_LENGTH)
        out->finish = WD_FINISH_STOP;
    if (r->n_parsed_call && out->finish == WD_FINISH_STOP)
        out->finish = WD_FINISH_TOOL_CALLS;
    if (!r->n_parsed_call && out->finish == WD_FINISH_TOOL_CALLS)
        out->finish = WD_FINISH_STOP; /* the calls were none that were asked for */
    return WD_OK;
}
