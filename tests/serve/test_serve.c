/* The server on a scripted engine, spoken to through sockets: protocol, limits, what happens when a side goes away. */
#include "support/test.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "serve/client.h"
#include "serve/serve.h"
#include "support/scripted.h"

typedef struct rig {
    scripted engine;
    wd_server *server;
    wd_serve_opts o;
    pthread_mutex_t mu;
    pthread_cond_t changed;
    bool shut;          /* under mu: tokens wait for it to become false */
    size_t n_waiting;   /* under mu: generations that stand before the gate */
    int thinking;       /* under mu: wd_chat's, of the last generation */
    bool vision_id;     /* likewise */
    size_t n_cancelled; /* under mu: of them, those whose flag rose while they stood there */
} rig;

/* A gate before each token, which a raised cancel flag opens. */
static void gate(void *ctx, const wd_generate *rq, size_t i)
{
    rig *r = ctx;
    (void)i;
    pthread_mutex_lock(&r->mu);
    r->thinking = rq->chat.enable_thinking;
    r->vision_id = rq->chat.add_vision_id;
    if (r->shut) {
        r->n_waiting++;
        pthread_cond_broadcast(&r->changed);
        while (r->shut && !atomic_load(rq->watch.cancel)) {
            pthread_mutex_unlock(&r->mu);
            poll(NULL, 0, 1);
            pthread_mutex_lock(&r->mu);
        }
        r->n_waiting--;
        r->n_cancelled += atomic_load(rq->watch.cancel);
        pthread_cond_broadcast(&r->changed);
    }
    pthread_mutex_unlock(&r->mu);
}

static void set_gate(rig *r, bool shut)
{
    pthread_mutex_lock(&r->mu);
    r->shut = shut;
    pthread_mutex_unlock(&r->mu);
}

static void rig_init(rig *r, const char *const *reply, size_t n)
{
    memset(r, 0, sizeof *r);
    scripted_init(&r->engine, reply, n);
    r->engine.ctx = r;
    r->engine.before_token = gate;
    pthread_mutex_init(&r->mu, NULL);
    pthread_cond_init(&r->changed, NULL);
    r->o = WD_SERVE_OPTS_DEFAULT;
    r->o.engine = &r->engine.engine;
    r->o.model = "scripted";
    r->o.version = "0";
    r->o.port = 0;
}

static void rig_start(rig *r)
{
    assert_ok(wd_serve_start(&r->o, &r->server, &err));
    assert_true(wd_serve_port(r->server) > 0);
}

static void rig_stop(rig *r)
{
    set_gate(r, false);
    wd_serve_stop(r->server);
    pthread_mutex_destroy(&r->mu);
    pthread_cond_destroy(&r->changed);
}

/* Waits until so many generations stand before the gate, or were cancelled there. */
static void wait_for(rig *r, const size_t *what, size_t n)
{
    const uint64_t until = wd_clock_ns() + (uint64_t)PATIENCE_MS * 1000000;
    pthread_mutex_lock(&r->mu);
    while (*what != n) {
        pthread_mutex_unlock(&r->mu);
        assert_true(wd_clock_ns() < until);
        poll(NULL, 0, 2);
        pthread_mutex_lock(&r->mu);
    }
    pthread_mutex_unlock(&r->mu);
}

static answer get(const rig *r, const char *path, const char *body)
{
    answer a;
    const int fd = dial(wd_serve_port(r->server));
    ask(fd, path, body);
    hear(fd, &a);
    return a;
}

#define CHAT "/v1/chat/completions"
#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]"

/* --- replies ----------------------------------------------------------------------------------------------- */

static void a_whole_reply_is_what_openai_clients_read(void **state)
{
    (void)state;
    static rig r;
    rig_init(&r, (const char *const[]){ "<think>\nwell\n</think>\n\nGood \"day\"." }, 1);
    rig_start(&r);
    answer a = get(&r, CHAT,
                   "{" USER ",\"model\":\"scripted\",\"unheard_of\":{\"x\":[1]},\"max_tokens\":null}");
    assert_int_equal(a.status, 200);
    assert_non_null(strstr((char *)a.raw.p, "Content-Type: application/json"));
    assert_non_null(strstr((char *)a.raw.p, "X-Request-Id: req-"));
    json_t *v = json_of(&a);
    assert_string_equal(text_at(v, "object"), "chat.completion");
    assert_string_equal(text_at(v, "model"), "scripted");
    assert_string_equal(text_at(v, "choices.0.message.role"), "assistant");
    assert_string_equal(text_at(v, "choices.0.message.content"), "Good \"day\".");
    assert_string_equal(text_at(v, "choices.0.message.reasoning_content"), "well");
    assert_string_equal(text_at(v, "choices.0.finish_reason"), "stop");
    assert_int_equal(json_integer_value(at(v, "usage.prompt_tokens")), 10);
    assert_int_equal(json_integer_value(at(v, "usage.prompt_tokens_details.cached_tokens")), 4);
    assert_int_equal(json_integer_value(at(v, "usage.total_tokens")),
                     10 + json_integer_value(at(v, "usage.completion_tokens")));
    assert_string_equal(r.engine.prompt, "hello");
    json_decref(v);
    answer_free(&a);
    rig_stop(&r);
}

/* Joins one string of all chunks' deltas; checks that each chunk parses. */
static void join(const wd_buf *sse, const char *path, size_t index, wd_buf *out, size_t *n_chunk)
{
    *n_chunk = 0;
    for (const char *s = (const char *)sse->p; (s = strstr(s, "data: ")) != NULL;) {
        s += 6;
        const char *end = strstr(s, "\n\n");
        assert_non_null(end);
        if (!strncmp(s, "[DONE]", 6))
            continue;
        json_t *v;
        assert_ok(wd_json_parse(wd_span_of(s, (size_t)(end - s)), "chunk", &v, &err));
        assert_string_equal(text_at(v, "object"), "chat.completion.chunk");
        if (json_integer_value(at(v, "choices.0.index")) == (json_int_t)index && at(v, path))
            wd_buf_str(out, text_at(v, path));
        (*n_chunk)++;
        json_decref(v);
    }
    wd_buf_put(out, "", 0);
}

static void a_stream_joins_to_the_same_reply(void **state)
{
    (void)state;
    static rig r;
    rig_init(&r,
             (const char *const[]){ "<think>\nhm, so\n</think>\n\nLook:\n<tool_call>\n{\"name\": \"labs\", "
                                    "\"arguments\": {\"a\": \"\\\"\"}}\n</tool_call>" },
             1);
    rig_start(&r);
    answer a = get(&r, CHAT,
                   "{" USER
                   ",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"tools\":[{\"type\":"
                   "\"function\",\"function\":{\"name\":\"labs\",\"parameters\":{}}}]}");
    assert_int_equal(a.status, 200);
    assert_non_null(strstr((char *)a.raw.p, "Content-Type: text/event-stream"));
    wd_buf joined[4] = { 0 };
    size_t n;
    join(&a.body, "choices.0.delta.content", 0, &joined[0], &n);
    assert_true(n > 6);
    join(&a.body, "choices.0.delta.reasoning_content", 0, &joined[1], &n);
    join(&a.body, "choices.0.delta.tool_calls.0.function.arguments", 0, &joined[2], &n);
    join(&a.body, "choices.0.finish_reason", 0, &joined[3], &n);
    assert_string_equal((char *)joined[0].p, "Look:");
    assert_string_equal((char *)joined[1].p, "hm, so");
    assert_string_equal((char *)joined[2].p, "{\"a\": \"\\\"\"}");
    assert_non_null(strstr((char *)joined[3].p, "tool_calls"));
    const char *usage = strstr((char *)a.body.p, "\"choices\":[],\"usage\":{\"prompt_tokens\":10,");
    assert_non_null(usage);
    assert_non_null(strstr(usage, "data: [DONE]\n\n"));
    for (size_t i = 0; i < 4; i++)
        wd_buf_free(&joined[i]);
    answer_free(&a);
    rig_stop(&r);
}

static void several_choices_are_all_there(void **state)
{
    (void)state;
    static rig r;
    rig_init(&r, (const char *const[]){ "one", "two", "three" }, 3);
    rig_start(&r);
    answer a = get(&r, CHAT, "{" USER ",\"n\":3}");
    json_t *v = json_of(&a);
    assert_int_equal(json_array_size(at(v, "choices")), 3);
    size_t letters = 0;
    for (size_t i = 0; i < 3; i++) {
        json_t *c = json_array_get(at(v, "choices"), i);
        assert_int_equal(json_integer_value(at(c, "index")), i);
        letters += strlen(text_at(c, "message.content"));
    }
    assert_int_equal(letters, 3 + 3 + 5); /* each reply once, in whatever order they were asked for */
    assert_int_equal(json_integer_value(at(v, "usage.prompt_tokens")), 10);
    json_decref(v);
    answer_free(&a);
    a = get(&r, CHAT, "{" USER ",\"n\":3,\"stream\":true}");
    size_t n;
    for (size_t i = 0; i < 3; i++) {
        wd_buf joined = { 0 };
        join(&a.body, "choices.0.delta.content", i, &joined, &n);
        assert_string_equal((char *)joined.p, "three");
        wd_buf_free(&joined);
    }
    answer_free(&a);
    rig_stop(&r);
}

static void replies_are_held_to_what_was_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *asked;
        bool satisfied; /* by {"n": 3} */
    } cases[] = {
        { "\"response_format\":{\"type\":\"json_object\"}", true },
        { "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\",\"schema\":{"
          "\"type\":\"object\","
          "\"properties\":{\"n\":{\"type\":\"integer\"}}}}}",
          true },
        { "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{\"type\":\"string\"}}}",
          false },
        { "\"structured_outputs\":{\"regex\":\"[^a]+3}\"}", true },
        { "\"structured_outputs\":{\"regex\":\"a\"}", false },
        { "\"structured_outputs\":{\"choice\":[\"yes\",\"{\\\"n\\\": 3}\"]}", true },
        { "\"structured_outputs\":{\"json\":{\"required\":[\"m\"]}}", false },
    };
    static rig r;
    rig_init(&r, (const char *const[]){ "{\"n\": 3}" }, 1);
    rig_start(&r);
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        wd_buf body = { 0 };
        wd_buf_printf(&body, "{" USER ",%s}", cases[i].asked);
        answer a = get(&r, CHAT, (char *)body.p);
        if (a.status != 200 || !r.engine.held || r.engine.satisfied != cases[i].satisfied)
            fail_msg("%s: %s", cases[i].asked, (char *)a.body.p);
        answer_free(&a);
        wd_buf_free(&body);
    }
    /* what was compiled is kept */
    answer a = get(&r, CHAT, "{" USER ",\"structured_outputs\":{\"regex\":\"a\"}}");
    assert_true(r.engine.held && !r.engine.satisfied);
    answer_free(&a);
    a = get(&r, "/metrics", "");
    assert_non_null(
        strstr((char *)a.body.p, "ward:constraint_cache_hits_total{model_name=\"scripted\"} 1\n"));
    answer_free(&a);
    rig_stop(&r);
}

/* The second function's parameters refer into their own document. */
#define TWO_TOOLS                                                                                            \
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},{\"type\":\"function\",\"function\":{" \
    "\"name\":"                                                                                              \
    "\"labs\",\"parameters\":{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/"                \
    "t\"}},\"$defs\":{\"t\":{\"type\":"                                                                      \
    "\"string\"}}}}}]"

static void a_call_that_is_demanded_comes_as_one(void **state)
{
    (void)state;
    static const char *const choices[] = { "\"required\"",
                                           "{\"type\":\"function\",\"function\":{\"name\":\"labs\"}}" };
    static rig r;
    rig_init(&r, (const char *const[]){ "{\"name\": \"labs\", \"arguments\": {\"a\": \"x\"}}" }, 1);
    rig_start(&r);
    for (size_t i = 0; i < WD_COUNT(choices); i++) {
        wd_buf body = { 0 }, joined = { 0 };
        size_t n;
        wd_buf_printf(&body, "{" USER "," TWO_TOOLS ",\"tool_choice\":%s}", choices[i]);
        answer a = get(&r, CHAT, (char *)body.p);
        json_t *v = json_of(&a);
        assert_true(r.engine.held && r.engine.satisfied);
        assert_string_equal(text_at(v, "choices.0.message.tool_calls.0.function.name"), "labs");
        assert_string_equal(text_at(v, "choices.0.message.tool_calls.0.function.arguments"),
                            "{\"a\": \"x\"}");
        assert_string_equal(text_at(v, "choices.0.finish_reason"), "tool_calls");
        assert_true(json_is_null(at(v, "choices.0.message.content")));
        json_decref(v);
        answer_free(&a);
        body.n--;
        wd_buf_str(&body, ",\"stream\":true}");
        a = get(&r, CHAT, (char *)body.p);
        join(&a.body, "choices.0.delta.tool_calls.0.function.arguments", 0, &joined, &n);
        assert_string_equal((char *)joined.p, "{\"a\": \"x\"}");
        assert_null(strstr((char *)a.body.p, "\"content\":\"{"));
        wd_buf_free(&joined);
        answer_free(&a);
        wd_buf_free(&body);
    }
    rig_stop(&r);
}

/* An engine that holds calls is given the schemas of the tools. */
static void calls_are_held_to_the_tools(void **state)
{
    (void)state;
#define ODD_TOOL(strict)                                                                  \
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"odd\",\"strict\":" strict \
    ",\"parameters\":{\"type\":\"object\",\"properties\":{\"n\":{\"multipleOf\":2}}}}}]"
    static const struct {
        const char *asked;
        int status;
        bool held, must, one;
    } cases[] = {
        { TWO_TOOLS, 200, true, false, false },
        { TWO_TOOLS ",\"tool_choice\":\"auto\",\"parallel_tool_calls\":false", 200, true, false, true },
        { TWO_TOOLS ",\"tool_choice\":\"none\"", 200, false, false, false },
        { TWO_TOOLS ",\"tool_choice\":\"required\"", 200, true, true, false },
        { TWO_TOOLS ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"labs\"}}", 200, true,
          true, true },
        { "\"tools\":[]", 200, false, false, false },
        { ODD_TOOL("false"), 200, true, false, false },
        { ODD_TOOL("true"), 400, false, false, false },
        { ODD_TOOL("false") ",\"tool_choice\":\"required\"", 400, false, false, false },
    };
    static rig r;
    rig_init(&r,
             (const char *const[]){
                 "<tool_call>\n{\"name\": \"labs\", \"arguments\": {\"a\": \"x\"}}\n</tool_call>" },
             1);
    r.engine.engine.info.holds_calls = true;
    rig_start(&r);
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        wd_buf body = { 0 };
        wd_buf_printf(&body, "{" USER ",%s}", cases[i].asked);
        r.engine.call_held = r.engine.must_call = r.engine.one_call = false;
        answer a = get(&r, CHAT, (char *)body.p);
        assert_int_equal(a.status, cases[i].status);
        if (a.status == 400)
            assert_non_null(strstr((char *)a.body.p, "multipleOf"));
        assert_int_equal(r.engine.call_held, cases[i].held);
        assert_int_equal(r.engine.must_call, cases[i].must);
        assert_int_equal(r.engine.one_call, cases[i].one);
        assert_false(a.status == 200 && r.engine.held);
        answer_free(&a);
        wd_buf_free(&body);
    }
    rig_stop(&r);
}

/* The deltas of one call, joined as clients do: by index, id and name from the first. */
typedef struct streamed_call {
    wd_buf args;
    char id[64], name[64];
    size_t n_piece;
} streamed_call;

static void add_delta(json_t *d, streamed_call *call, size_t most)
{
    const size_t i = (size_t)json_integer_value(at(d, "index"));
    assert_true(i < most);
    streamed_call *c = &call[i];
    if (!c->id[0]) {
        snprintf(c->id, sizeof c->id, "%s", text_at(d, "id"));
        snprintf(c->name, sizeof c->name, "%s", text_at(d, "function.name"));
        assert_string_equal(text_at(d, "type"), "function");
        assert_string_equal(text_at(d, "function.arguments"), "");
        return;
    }
    assert_true(!at(d, "id") && !at(d, "function.name"));
    assert_true(strlen(text_at(d, "function.arguments")) > 0);
    wd_buf_str(&c->args, text_at(d, "function.arguments"));
    c->n_piece++;
}

/* The stream's calls and the rest of it; the last finish_reason. */
static void read_calls(const wd_buf *sse, streamed_call *call, size_t most, wd_buf *content, char finish[32])
{
    for (const char *s = (const char *)sse->p; (s = strstr(s, "data: {")) != NULL; s++) {
        const char *end = strstr(s, "\n\n");
        json_t *v;
        assert_ok(wd_json_parse(wd_span_of(s + 6, (size_t)(end - s) - 6), "chunk", &v, &err));
        for (size_t i = 0; i < json_array_size(at(v, "choices.0.delta.tool_calls")); i++)
            add_delta(json_array_get(at(v, "choices.0.delta.tool_calls"), i), call, most);
        if (at(v, "choices.0.delta.content"))
            wd_buf_str(content, text_at(v, "choices.0.delta.content"));
        if (json_is_string(at(v, "choices.0.finish_reason")))
            snprintf(finish, 32, "%s", text_at(v, "choices.0.finish_reason"));
        json_decref(v);
    }
    wd_buf_char(content, 0);
    for (size_t i = 0; i < most; i++)
        wd_buf_char(&call[i].args, 0);
}

#define NESTED                                                                                              \
    "{\"a\": \"\\\"漢字\\n</tool_call> \\u001f\\\\\", \"b\": {\"c\": [1, {\"d\": \"}]\"}], \"é\": {}}, " \
    "\"e\": -1.5}"

static void held_calls_are_streamed_while_they_grow(void **state)
{
    (void)state;
    static rig r;
    rig_init(&r,
             (const char *const[]){
                 "<think>\nhm\n</think>\n\nLook:\n<tool_call>\n{\"name\": \"labs\", \"arguments\": " NESTED
                 "}\n</tool_call>\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>",
                 "So:\n<tool_call>\n{\"name\": \"labs\", \"arguments\": {\"a\": \"cut o" },
             2);
    r.engine.engine.info.holds_calls = true;
    rig_start(&r);
    for (int cut = 0; cut < 2; cut++) {
        streamed_call call[2] = { 0 };
        wd_buf content = { 0 };
        char finish[32] = "";
        answer a = get(&r, CHAT, "{" USER ",\"stream\":true," TWO_TOOLS "}");
        assert_int_equal(a.status, 200);
        read_calls(&a.body, call, 2, &content, finish);
        assert_string_equal((char *)content.p, cut ? "So:" : "Look:"); /* nothing of a call */
        assert_string_equal(finish, cut ? "stop" : "tool_calls");
        assert_string_equal((char *)call[0].args.p, cut ? "{\"a\": \"cut o" : NESTED);
        assert_string_equal(call[0].name, "labs");
        assert_true(call[0].n_piece > (cut ? 1 : 10));
        assert_string_equal((char *)call[1].args.p, cut ? "" : "{}");
        assert_string_equal(call[1].name, cut ? "" : "f");
        assert_string_not_equal(call[0].id, call[1].id);
        for (size_t i = 0; i < 2; i++)
            wd_buf_free(&call[i].args);
        wd_buf_free(&content);
        answer_free(&a);
    }
    rig_stop(&r);
}

/* --- refusals ---------------------------------------------------------------------------------------------- */

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int status;
        const char *param;
    } cases[] = {
        { "[]", 400, "(none)" },
        { "{", 400, "(none)" },
        { "{\"a\":1,\"a\":2}", 400, "(none)" },
        { "{}", 400, "messages" },
        { "{\"messages\":{}}", 400, "messages" },
        { "{\"messages\":[]}", 400, "messages" },
        { "{\"messages\":[{\"role\":\"king\",\"content\":\"x\"}]}", 400, "messages[0]" },
        { "{\"messages\":[{\"role\":\"user\"}]}", 400, "messages[0].content" },
        { "{\"messages\":[{\"role\":\"user\",\"content\":7}]}", 400, "messages[0].content" },
        { "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"sound\"}]}]}", 400,
          "messages[0].content[0]" },
        { "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}", 400,
          "messages[0].content[0].text" },
        { "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
          "\"http://169.254.169.254/x\"}}]}]}",
          400, "messages[0].content[0].image_url.url" },
        { "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":"
          "\"file:///etc/passwd\"}]}]}",
          400, "messages[0].content[0].image_url" },
        { "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":"
          "\"data:image/png;base64,!!\"}]}]}",
          400, "messages[0].content[0].image_url" },
        { "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{}}]}]}", 400,
          "messages[0].tool_calls[0]" },
        { "{" USER ",\"model\":\"gpt-9\"}", 404, "model" },
        { "{" USER ",\"temperature\":\"hot\"}", 400, "temperature" },
        { "{" USER ",\"temperature\":2.5}", 400, "temperature" },
        { "{" USER ",\"top_p\":0}", 400, "top_p" },
        { "{" USER ",\"n\":0}", 400, "n" },
        { "{" USER ",\"n\":17}", 400, "n" },
        { "{" USER ",\"max_tokens\":1.5}", 400, "max_tokens" },
        { "{" USER ",\"max_completion_tokens\":-1}", 400, "max_completion_tokens" },
        { "{" USER ",\"stream\":1}", 400, "stream" },
        { "{" USER ",\"stream_options\":{}}", 400, "stream_options" },
        { "{" USER ",\"stream\":true,\"stream_options\":{\"include_usage\":3}}", 400,
          "stream_options.include_usage" },
        { "{" USER ",\"stop\":3}", 400, "stop" },
        { "{" USER ",\"stop\":[\"\"]}", 400, "stop" },
        { "{" USER ",\"logit_bias\":{\"x\":1}}", 400, "logit_bias" },
        { "{" USER ",\"logit_bias\":{\"5\":101}}", 400, "logit_bias" },
        { "{" USER ",\"top_logprobs\":3}", 400, "top_logprobs" },
        { "{" USER ",\"logprobs\":true}", 501, "logprobs" }, /* the scripted engine has no tokens */
        { "{" USER ",\"tools\":[{\"type\":\"retrieval\"}]}", 400, "tools[0]" },
        { "{" USER ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"\"}}]}", 400, "tools[0]" },
        { "{" USER ",\"tool_choice\":\"maybe\"}", 400, "tool_choice" },
        { "{" USER ",\"response_format\":{\"type\":\"json_object_or_so\"}}", 400, "response_format.type" },
        { "{" USER ",\"response_format\":{\"type\":\"json_schema\"}}", 400,
          "response_format.json_schema.schema" },
        { "{" USER
          ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{\"if\":{}}}}}",
          400, "response_format.json_schema.schema" },
        { "{" USER
          ",\"response_format\":{\"type\":\"json_object\"},\"tools\":[{\"type\":\"function\",\"function\":"
          "{\"name\":\"f\"}}]}",
          400, "response_format" },
        { "{" USER ",\"structured_outputs\":{}}", 400, "structured_outputs" },
        { "{" USER ",\"structured_outputs\":{\"regex\":\"(\"}}", 400, "structured_outputs.regex" },
        { "{" USER ",\"structured_outputs\":{\"choice\":[\"\"]}}", 400, "structured_outputs.choice" },
        { "{" USER ",\"tool_choice\":\"required\"}", 400, "tool_choice" },
        { "{" USER
          ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"g\"}},\"tools\":[{\"type\":"
          "\"function\",\"function\":{\"name\":\"f\"}}]}",
          400, "tool_choice" },
        { "{" USER ",\"chat_template_kwargs\":{\"enable_thinking\":\"no\"}}", 400,
          "chat_template_kwargs.enable_thinking" },
    };
    static rig r;
    rig_init(&r, (const char *const[]){ "x" }, 1);
    rig_start(&r);
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        answer a = get(&r, CHAT, cases[i].body);
        json_t *v = json_of(&a);
        if (a.status != cases[i].status || strcmp(text_at(v, "error.param"), cases[i].param) != 0)
            fail_msg("%s: status %d, %s", cases[i].body, a.status, (char *)a.body.p);
        assert_true(strlen(text_at(v, "error.message")) > 8 && strlen(text_at(v, "error.type")) > 8);
        json_decref(v);
        answer_free(&a);
    }
    assert_int_equal(r.engine.n_asked, 0);
    rig_stop(&r);
}

static void paths_methods_hosts_and_origins_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path, *headers;
        int status;
        const char *has;
    } cases[] = {
        { "GET", "/", "", 404, "unknown_path" },
        { "GET", "/v1/chat/completions/", "", 404, "unknown_path" },
        { "GET", CHAT, "", 405, "Allow: POST" },
        { "POST", "/health", "", 405, "Allow: GET" },
        { "GET", "/health", "", 200, "ok" },
        { "HEAD", "/health", "", 200, "X-Request-Id" },
        { "GET", "/ready", "", 200, "ready" },
        { "GET", "/version", "", 200, "\"version\":\"0\"" },
        { "GET", "/v1/models", "", 200, "\"max_model_len\":4096" },
        { "GET", "/v1/models/scripted", "", 200, "\"id\":\"scripted\"" },
        { "GET", "/v1/models/other", "", 404, "model_not_found" },
        { "GET", "/v1/models", "Origin: http://localhost:3000\r\n", 200, "scripted" },
        { "GET", "/v1/models", "Origin: http://localhost.evil.example\r\n", 403, "origin_refused" },
        { "GET", "/v1/models", "Origin: null\r\n", 403, "origin_refused" },
        { "GET", "/metrics", "", 200, "vllm:num_requests_running{model_name=\"scripted\"} 0\n" },
    };
    static rig r;
    rig_init(&r, (const char *const[]){ "x" }, 1);
    rig_start(&r);
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        answer a;
        wd_buf headers = { 0 };
        const int fd = dial(wd_serve_port(r.server));
        wd_buf_printf(&headers, "Connection: close\r\n%s", cases[i].headers);
        ask_with(fd, cases[i].method, cases[i].path, (char *)headers.p, "");
        hear(fd, &a);
        if (a.status != cases[i].status || !strstr((char *)a.raw.p, cases[i].has))
            fail_msg("%s %s: %s", cases[i].method, cases[i].path, (char *)a.raw.p);
        wd_buf_free(&headers);
        answer_free(&a);
    }
    const int fd = dial(wd_serve_port(r.server));
    const char *strange = "GET /v1/models HTTP/1.1\r\nHost: ward.evil.example\r\nConnection: close\r\n\r\n";
    say(fd, strange, strlen(strange));
    answer a;
    hear(fd, &a);
    assert_int_equal(a.status, 403);
    answer_free(&a);
    a = get(&r, "/api/openapi.json", "");
    json_t *v = json_of(&a);
    json_t *paths = json_object_get(v, "paths");
    const json_t *chat = json_object_get(paths, CHAT);
    assert_non_null(at((json_t *)(uintptr_t)chat,
                       "post.requestBody.content.application/json.schema.properties.temperature.maximum"));
    json_t *files = json_object_get(paths, "/v1/files"),
           *input = json_object_get(paths, "/v1/responses/{id}/input_items");
    assert_string_equal(text_at(files, "get.parameters.2.name"), "after");
    assert_string_equal(
        text_at(files, "post.requestBody.content.multipart/form-data.schema.properties.purpose.type"),
        "string");
    assert_string_equal(text_at(input, "get.parameters.0.in"), "path");
    assert_int_equal(json_integer_value(at(input, "get.parameters.1.schema.maximum")), 100);
    assert_null(json_object_get(v, "security")); /* nobody is asked who it is */
    assert_null(at(v, "components.securitySchemes"));
    json_decref(v);
    answer_free(&a);
    rig_stop(&r);
}

static void template_kwargs_reach_the_template(void **state)
{
    (void)state;
    static const struct {
        const char *path, *body;
        int thinking;
        bool vision_id;
    } of[] = {
        { CHAT, "{" USER "}", WD_UNSET, false },
        { CHAT, "{" USER ",\"chat_template_kwargs\":{\"enable_thinking\":false}}", WD_OFF, false },
        { CHAT, "{" USER ",\"chat_template_kwargs\":{\"enable_thinking\":true,\"add_vision_id\":true}}",
          WD_ON, true },
        { "/v1/responses", "{\"input\":\"x\",\"chat_template_kwargs\":{\"enable_thinking\":false}}", WD_OFF,
          false },
        { "/v1/responses", "{\"input\":\"x\",\"reasoning\":{\"effort\":\"minimal\"}}", WD_OFF, false },
        { "/v1/responses", "{\"input\":\"x\",\"reasoning\":{\"effort\":\"high\"}}", WD_UNSET, false },
    };
    static rig r;
    rig_init(&r, (const char *const[]){ "x" }, 1);
    rig_start(&r);
    for (size_t i = 0; i < WD_COUNT(of); i++) {
        answer a = get(&r, of[i].path, of[i].body);
        assert_int_equal(a.status, 200);
        answer_free(&a);
        pthread_mutex_lock(&r.mu);
        assert_int_equal(r.thinking, of[i].thinking);
        assert_int_equal(r.vision_id, of[i].vision_id);
        pthread_mutex_unlock(&r.mu);
    }
    rig_stop(&r);
}

static void the_engines_failures_become_statuses(void **state)
{
    (void)state;
    static const struct {
        wd_status st;
        int status;
        const char *code;
    } cases[] = { { WD_E_LIMIT, 400, "context_length_exceeded" },
                  { WD_E_UNSUPPORTED, 400, "unsupported" },
                  { WD_E_NOMEM, 503, "no_memory" },
                  { WD_E_INTERNAL, 500, "internal" } };
    static rig r;
    rig_init(&r, (const char *const[]){ "x" }, 1);
    rig_start(&r);
    for (size_t i = 0; i < WD_COUNT(cases) * 2; i++) { /* streamed or not: nothing was sent yet */
        r.engine.fail = cases[i / 2].st;
        answer a = get(&r, CHAT, i % 2 ? "{" USER ",\"stream\":true}" : "{" USER "}");
        json_t *v = json_of(&a);
        assert_int_equal(a.status, cases[i / 2].status);
        assert_string_equal(text_at(v, "error.code"), cases[i / 2].code);
        json_decref(v);
        answer_free(&a);
    }
    rig_stop(&r);
}

static void a_body_beyond_the_limit_is_refused_and_read_to_its_end(void **state)
{
    (void)state;
    static rig r;
    rig_init(&r, (const char *const[]){ "x" }, 1);
    r.o.body_bytes = 4096;
    rig_start(&r);
    wd_buf body = { 0 };
    wd_buf_str(&body, "{" USER ",\"x\":\"");
    while (body.n < 9000)
        wd_buf_char(&body, 'x');
    wd_buf_str(&body, "\"}");
    answer a = get(&r, CHAT, (char *)body.p);
    assert_int_equal(a.status, 413);
    answer_free(&a);
    const int fd = dial(wd_serve_port(r.server)); /* its length is not known beforehand */
    wd_buf chunked = { 0 };
    wd_buf_printf(&chunked,
                  "POST " CHAT
                  " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "%zx\r\n%s\r\n0\r\n\r\n",
                  body.n, (char *)body.p);
    say(fd, (char *)chunked.p, chunked.n);
    hear(fd, &a);
    assert_int_equal(a.status, 413);
    answer_free(&a);
    wd_buf_free(&chunked);
    wd_buf_free(&body);
    /* the server goes on */
    a = get(&r, CHAT, "{" USER "}");
    assert_int_equal(a.status, 200);
    answer_free(&a);
    rig_stop(&r);
}

static void only_loopback_is_listened_on(void **state)
{
    (void)state;
    static const char *const bad[] = { "0.0.0.0", "::", "10.0.0.1", "localhost", "" };
    static rig r;
    rig_init(&r, (const char *const[]){ "x" }, 1);
    for (size_t i = 0; i < WD_COUNT(bad); i++) {
        r.o.address = bad[i];
        assert_fails(wd_serve_start(&r.o, &r.server, &err), WD_E_USAGE, bad[i]);
        assert_null(r.server);
    }
    r.o.address = "127.0.0.1";
    rig_start(&r);
    wd_serve_opts taken = r.o;
    wd_server *second;
    taken.port = wd_serve_port(r.server);
    assert_fails(wd_serve_start(&taken, &second, &err), WD_E_IO, "cannot listen");
    rig_stop(&r);
}

/* --- many, slow and vanished clients ----------------------------------------------------------------------- */

static void a_full_queue_refuses_with_429_and_the_others_are_served(void **state)
{
    (void)state;
    static rig r;
    rig_init(&r, (const char *const[]){ "x" }, 1);
    r.o.max_running = 1;
    r.o.max_waiting = 1;
    r.shut = true;
    rig_start(&r);
    const int first = dial(wd_serve_port(r.server));
    ask(first, CHAT, "{" USER "}");
    wait_for(&r, &r.n_waiting, 1);
    const int second = dial(wd_serve_port(r.server));
    ask(second, CHAT, "{" USER "}");
    int n_refused = 0;
    answer a;
    for (uint64_t until = wd_clock_ns() + (uint64_t)PATIENCE_MS * 1000000; !n_refused;) {
        assert_true(wd_clock_ns() <
                    until); /* the second may be on its way still: then this one waits in its place */
        a = get(&r, "/metrics", "");
        const bool full = strstr((char *)a.body.p,
                                 "vllm:num_requests_waiting{model_name=\"scripted\"} 1\n") != NULL;
        answer_free(&a);
        if (!full)
            continue;
        a = get(&r, CHAT, "{" USER "}");
        assert_int_equal(a.status, 429);
        assert_non_null(strstr((char *)a.raw.p, "Retry-After: 1\r\n"));
        answer_free(&a);
        n_refused++;
    }
    set_gate(&r, false);
    hear(first, &a);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    hear(second, &a);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    a = get(&r, "/metrics", "");
    assert_non_null(strstr((char *)a.body.p,
                           "ward:requests_refused_total{model_name=\"scripted\",reason=\"queue_full\"} 1\n"));
    assert_non_null(
        strstr((char *)a.body.p,
               "vllm:request_success_total{model_name=\"scripted\",finished_reason=\"stop\"} 2\n"));
    answer_free(&a);
    rig_stop(&r);
}

static void a_vanished_client_cancels_its_request(void **state)
{
    (void)state;
    static rig r;
    rig_init(&r, (const char *const[]){ "some words" }, 1);
    r.shut = true;
    rig_start(&r);
    for (int stream = 0; stream < 2; stream++) {
        const int fd = dial(wd_serve_port(r.server));
        ask(fd, CHAT, stream ? "{" USER ",\"stream\":true}" : "{" USER "}");
        wait_for(&r, &r.n_waiting, 1);
        close(fd);
        wait_for(&r, &r.n_cancelled, (size_t)stream + 1);
    }
    set_gate(&r, false);
    answer a = get(&r, CHAT, "{" USER "}"); /* the server goes on */
    assert_int_equal(a.status, 200);
    answer_free(&a);
    rig_stop(&r);
}

static void a_slow_reader_loses_its_request_and_nobody_elses(void **state)
{
    (void)state;
    static rig r;
    rig_init(&r, (const char *const[]){ "nothing but many, many words " }, 1);
    r.engine.repeat = 1 << 20; /* gigabytes, were they all written */
    r.o.stream_bytes = 1 << 16;
    r.o.idle_s = 2;
    rig_start(&r);
    const int fd = dial(wd_serve_port(r.server));
    ask(fd, CHAT, "{" USER ",\"stream\":true}");
    answer a;
    for (uint64_t until = wd_clock_ns() + (uint64_t)PATIENCE_MS * 1000000;;) { /* nothing is read from fd */
        assert_true(wd_clock_ns() < until);
        a = get(&r, "/metrics", "");
        const bool idle = strstr((char *)a.body.p,
                                 "vllm:num_requests_running{model_name=\"scripted\"} 0\n") != NULL &&
                          strstr((char *)a.body.p, "finished_reason=\"abort\"} 1\n") != NULL;
        answer_free(&a);
        if (idle)
            break;
    }
    r.engine.repeat = 0;
    a = get(&r, CHAT, "{" USER "}");
    assert_int_equal(a.status, 200);
    answer_free(&a);
    hear(fd, &a); /* what was sent before, and then the end, without a last chunk */
    assert_true(a.raw.n > 1000);
    assert_null(strstr((char *)a.raw.p, "[DONE]"));
    answer_free(&a);
    rig_stop(&r);
}

static void time_that_is_over_ends_a_request(void **state)
{
    (void)state;
    static rig r;
    rig_init(&r, (const char *const[]){ "x" }, 1);
    r.o.request_s = 1;
    r.shut = true;
    rig_start(&r);
    answer a = get(&r, CHAT, "{" USER "}");
    assert_int_equal(a.status, 504);
    answer_free(&a);
    rig_stop(&r);
}

typedef struct drainer {
    rig *r;
    uint32_t timeout_ms;
    bool all_done;
} drainer;

static void *drain(void *arg)
{
    drainer *d = arg;
    d->all_done = wd_serve_drain(d->r->server, d->timeout_ms);
    return NULL;
}

static void draining_refuses_the_new_and_finishes_the_running(void **state)
{
    (void)state;
    for (int patient = 0; patient < 2; patient++) {
        static rig r;
        rig_init(&r, (const char *const[]){ "x" }, 1);
        r.shut = true;
        rig_start(&r);
        const int fd = dial(wd_serve_port(r.server));
        ask(fd, CHAT, "{" USER "}");
        wait_for(&r, &r.n_waiting, 1);
        drainer d = { &r, patient ? PATIENCE_MS : 50, !patient };
        pthread_t t;
        assert_int_equal(pthread_create(&t, NULL, drain, &d), 0);
        answer a;
        for (int status = 200; status != 503;) { /* soon */
            a = get(&r, "/ready", "");
            status = a.status;
            answer_free(&a);
        }
        if (patient) {
            a = get(&r, CHAT, "{" USER "}");
            assert_int_equal(a.status, 503);
            answer_free(&a);
            set_gate(&r, false);
        }
        hear(fd, &a);
        assert_int_equal(a.status, patient ? 200 : 503);
        answer_free(&a);
        pthread_join(t, NULL);
        assert_int_equal(d.all_done, patient);
        rig_stop(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_reply_is_what_openai_clients_read),
        cmocka_unit_test(a_stream_joins_to_the_same_reply),
        cmocka_unit_test(several_choices_are_all_there),
        cmocka_unit_test(replies_are_held_to_what_was_asked_for),
        cmocka_unit_test(calls_are_held_to_the_tools),
        cmocka_unit_test(held_calls_are_streamed_while_they_grow),
        cmocka_unit_test(a_call_that_is_demanded_comes_as_one),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(paths_methods_hosts_and_origins_are_checked),
        cmocka_unit_test(template_kwargs_reach_the_template),
        cmocka_unit_test(the_engines_failures_become_statuses),
        cmocka_unit_test(a_body_beyond_the_limit_is_refused_and_read_to_its_end),
        cmocka_unit_test(only_loopback_is_listened_on),
        cmocka_unit_test(a_full_queue_refuses_with_429_and_the_others_are_served),
        cmocka_unit_test(a_vanished_client_cancels_its_request),
        cmocka_unit_test(a_slow_reader_loses_its_request_and_nobody_elses),
        cmocka_unit_test(time_that_is_over_ends_a_request),
        cmocka_unit_test(draining_refuses_the_new_and_finishes_the_running),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
