/* /v1/responses on a scripted engine: items and events, what input means to the model, what is refused. */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "serve/client.h"
#include "serve/inner.h"
#include "support/scripted.h"

#define PATH "/v1/responses"
#define CALL "<tool_call>\n{\"name\": \"labs\", \"arguments\": {\"test\": \"CRP\"}}\n</tool_call>"
#define TOOL "{\"type\":\"function\",\"name\":\"labs\",\"parameters\":{\"type\":\"object\"}}"

/* What the engine was asked, in words: "S:text U:text,image A(reasoning):text+call(args) T:text". */
typedef struct heard {
    char text[4096];
    bool tools, think_off;
    uint32_t n_image;
} heard;

static void put(heard *h, const char *text, size_t n)
{
    const size_t at = strlen(h->text);
    assert_true(at + n + 2 < sizeof h->text);
    memcpy(h->text + at, text, n);
    h->text[at + n] = 0;
}

static void put_span(heard *h, wd_span s)
{
    put(h, (const char *)s.p, s.n);
}

static void listen_to(void *ctx, const wd_generate *rq, size_t i)
{
    heard *h = ctx;
    if (i)
        return;
    memset(h, 0, sizeof *h);
    h->tools = rq->chat.tools.value != NULL;
    h->think_off = rq->chat.enable_thinking == WD_OFF;
    h->n_image = rq->media.n_image;
    for (size_t m = 0; m < rq->chat.n_message; m++) {
        const wd_message *one = &rq->chat.message[m];
        const char role[] = { ' ', "SUAT"[one->role], 0 };
        put(h, m ? role : role + 1, m ? 2 : 1);
        if (one->has_reasoning) {
            put(h, "(", 1);
            put_span(h, one->reasoning);
            put(h, ")", 1);
        }
        put(h, ":", 1);
        for (size_t p = 0; p < one->n_part; p++) {
            if (p)
                put(h, ",", 1);
            if (one->part[p].kind == WD_PART_TEXT)
                put_span(h, one->part[p].text);
            else
                put(h, "[image]", 7);
        }
        for (size_t c = 0; c < one->n_call; c++) {
            put(h, "+", 1);
            put_span(h, one->call[c].name);
            put_span(h, one->call[c].args.text);
        }
    }
}

typedef struct rig {
    scripted engine;
    heard heard;
    wd_server *server;
} rig;

static void rig_start(rig *r, const char *reply)
{
    static const char *replies[1];
    wd_serve_opts o = WD_SERVE_OPTS_DEFAULT;
    memset(r, 0, sizeof *r);
    replies[0] = reply;
    scripted_init(&r->engine, replies, 1);
    r->engine.before_token = listen_to;
    r->engine.ctx = &r->heard;
    o.engine = &r->engine.engine;
    o.model = "scripted";
    o.version = "0";
    o.port = 0;
    assert_ok(wd_serve_start(&o, &r->server, &err));
}

static answer post(const rig *r, const char *body)
{
    answer a;
    const int fd = dial(wd_serve_port(r->server));
    ask(fd, PATH, body);
    hear(fd, &a);
    return a;
}

static json_t *post_json(const rig *r, const char *body, int status)
{
    answer a = post(r, body);
    if (a.status != status)
        fail_msg("%s: %s", body, (char *)a.raw.p);
    json_t *v = json_of(&a);
    answer_free(&a);
    return v;
}

static void a_whole_response_has_an_item_for_each_thing_said(void **state)
{
    (void)state;
    static rig r;
    rig_start(&r, "<think>\nwell, well, well\n</think>\n\nGood \"day\".\n" CALL);
    json_t *v = post_json(&r,
                          "{\"input\":\"hello\",\"instructions\":\"Be brief.\",\"tools\":[" TOOL
                          "],\"metadata\":{\"a\":\"b\"},\"store\":false,\"unheard_of\":1}",
                          200);
    assert_string_equal(text_at(v, "object"), "response");
    assert_string_equal(text_at(v, "status"), "completed");
    assert_string_equal(text_at(v, "output.0.type"), "reasoning");
    assert_string_equal(text_at(v, "output.0.content.0.text"), "well, well, well");
    assert_string_equal(text_at(v, "output.1.type"), "message");
    assert_string_equal(text_at(v, "output.1.content.0.type"), "output_text");
    assert_string_equal(text_at(v, "output.1.content.0.text"), "Good \"day\".");
    assert_string_equal(text_at(v, "output.2.type"), "function_call");
    assert_string_equal(text_at(v, "output.2.name"), "labs");
    assert_string_equal(text_at(v, "output.2.arguments"), "{\"test\": \"CRP\"}");
    assert_int_equal(json_array_size(at(v, "output")), 3);
    assert_string_equal(text_at(v, "metadata.a"), "b");
    assert_string_equal(text_at(v, "tools.0.name"), "labs");
    assert_string_equal(text_at(v, "instructions"), "Be brief.");
    assert_true(json_is_false(at(v, "store")));
    assert_int_equal(json_integer_value(at(v, "usage.input_tokens")), 10);
    assert_int_equal(json_integer_value(at(v, "usage.input_tokens_details.cached_tokens")), 4);
    const json_int_t all = json_integer_value(at(v, "usage.output_tokens")),
                     thought = json_integer_value(at(v, "usage.output_tokens_details.reasoning_tokens"));
    assert_true(thought >= 4 && thought < all - 4);
    assert_string_equal(r.heard.text, "S:Be brief. U:hello");
    assert_true(r.heard.tools);
    json_decref(v);
    wd_serve_stop(r.server);
}

/* Walks the events: numbers go up by one, every item that is added is done before the next, what the deltas join to is
 * what the item says and what the last response says. Returns the last event's type. */
static void walk(const answer *a, wd_buf *names, char last[64])
{
    wd_buf joined = { 0 };
    json_t *response = NULL;
    json_int_t n = 0;
    size_t n_done = 0;
    json_t *items = json_array();
    for (const char *s = (const char *)a->body.p; (s = strstr(s, "event: ")) != NULL;) {
        char name[64];
        s += 7;
        const size_t len = strcspn(s, "\n");
        snprintf(name, sizeof name, "%.*s", (int)len, s);
        s += len + 1;
        assert_memory_equal(s, "data: ", 6);
        s += 6;
        const char *end = strstr(s, "\n\n");
        assert_non_null(end);
        json_t *v;
        assert_ok(wd_json_parse(wd_span_of(s, (size_t)(end - s)), "event", &v, &err));
        assert_string_equal(text_at(v, "type"), name);
        assert_int_equal(json_integer_value(at(v, "sequence_number")), n++);
        wd_buf_printf(names, "%s ", name + strlen("response."));
        snprintf(last, 64, "%s", name);
        if (!strcmp(name, "response.output_item.added")) {
            assert_int_equal(json_integer_value(at(v, "output_index")), n_done);
            wd_buf_clear(&joined);
            wd_buf_str(&joined, "");
        } else if (strstr(name, ".delta")) {
            assert_int_equal(json_integer_value(at(v, "output_index")), n_done);
            wd_buf_str(&joined, text_at(v, "delta"));
        } else if (!strcmp(name, "response.output_item.done")) {
            const bool call = !strcmp(text_at(v, "item.type"), "function_call");
            wd_buf_char(&joined, 0);
            assert_string_equal(text_at(v, call ? "item.arguments" : "item.content.0.text"),
                                (char *)joined.p);
            json_array_append(items, at(v, "item"));
            n_done++;
        } else if (at(v, "response")) {
            json_decref(response);
            response = json_incref(at(v, "response"));
        }
        json_decref(v);
    }
    assert_non_null(response);
    if (!json_equal(at(response, "output"), items))
        fail_msg("the last response does not have the items that were streamed: %s", (char *)a->body.p);
    json_decref(response);
    json_decref(items);
    wd_buf_free(&joined);
}

static void a_stream_announces_fills_and_closes_items(void **state)
{
    (void)state;
    static rig r;
    wd_buf names = { 0 };
    char last[64];
    rig_start(&r, "<think>\nhm\n</think>\n\nA moment.\n" CALL "\n" CALL);
    answer a = post(&r, "{\"input\":\"x\",\"stream\":true,\"tools\":[" TOOL "]}");
    assert_int_equal(a.status, 200);
    walk(&a, &names, last);
    assert_string_equal(last, "response.completed");
    assert_memory_equal(names.p,
                        "created in_progress output_item.added content_part.added reasoning_text.delta ", 78);
    assert_non_null(strstr((char *)names.p,
                           "reasoning_text.done content_part.done output_item.done output_item.added "
                           "content_part.added output_text.delta "));
    assert_non_null(
        strstr((char *)names.p,
               "output_item.done output_item.added function_call_arguments.delta "
               "function_call_arguments.done output_item.done output_item.added function_call_arguments."
               "delta function_call_arguments.done output_item.done completed "));
    answer_free(&a);
    wd_buf_clear(&names);
    a = post(&r, "{\"input\":\"x\",\"stream\":true,\"parallel_tool_calls\":false,\"tools\":[" TOOL "]}");
    walk(&a, &names, last);
    const char *first = strstr((char *)names.p, "arguments.done");
    assert_true(first && !strstr(first + 1, "arguments.done"));
    answer_free(&a);
    wd_buf_free(&names);
    wd_serve_stop(r.server);
}

static size_t count(const char *in, const char *what)
{
    size_t n = 0;
    while ((in = strstr(in, what)) != NULL) {
        n++;
        in++;
    }
    return n;
}

/* walk() compares what was streamed with the items. */
static void held_calls_are_streamed_while_they_grow(void **state)
{
    (void)state;
    static rig r;
    wd_buf names = { 0 };
    char last[64];
    rig_start(&r, "<think>\nhm\n</think>\n\nA moment.\n" CALL "\n" CALL);
    r.engine.engine.info.holds_calls = true;
    answer a = post(&r, "{\"input\":\"x\",\"stream\":true,\"tools\":[" TOOL "]}");
    assert_int_equal(a.status, 200);
    walk(&a, &names, last);
    assert_string_equal(last, "response.completed");
    assert_int_equal(count((char *)names.p, "function_call_arguments.done"), 2);
    assert_true(count((char *)names.p, "function_call_arguments.delta function_call_arguments.delta") > 2);
    answer_free(&a);
    wd_buf_clear(&names);
    a = post(&r, "{\"input\":\"x\",\"stream\":true,\"parallel_tool_calls\":false,\"tools\":[" TOOL "]}");
    walk(&a, &names, last);
    assert_int_equal(count((char *)names.p, "function_call_arguments.done"), 1);
    answer_free(&a);
    wd_buf_clear(&names);
    wd_serve_stop(r.server);

    rig_start(&r, "So:\n<tool_call>\n{\"name\": \"labs\", \"arguments\": {\"test\": \"CR");
    r.engine.engine.info.holds_calls = true;
    a = post(&r, "{\"input\":\"x\",\"stream\":true,\"tools\":[" TOOL "]}");
    walk(&a, &names, last);
    assert_int_equal(count((char *)names.p, "function_call_arguments.done"), 0);
    assert_non_null(strstr((char *)a.body.p, "\"type\":\"function_call\",\"status\":\"incomplete\""));
    assert_null(strstr((char *)a.body.p, "<tool_call>"));
    answer_free(&a);
    json_t *v = post_json(
        &r,
        "{\"input\":[{\"role\":\"user\",\"content\":\"x\"},{\"type\":\"function_call\",\"status\":"
        "\"incomplete\",\"call_id\":\"1\",\"name\":\"labs\",\"arguments\":\"{\\\"te\"},"
        "{\"role\":\"user\",\"content\":\"y\"}]}",
        200);
    assert_string_equal(r.heard.text, "U:x U:y");
    json_decref(v);
    wd_buf_free(&names);
    wd_serve_stop(r.server);
}

static void an_empty_reply_is_a_message(void **state)
{
    (void)state;
    static rig r;
    wd_buf names = { 0 };
    char last[64];
    rig_start(&r, "");
    json_t *v = post_json(&r, "{\"input\":\"x\"}", 200);
    assert_string_equal(text_at(v, "output.0.content.0.text"), "");
    json_decref(v);
    answer a = post(&r, "{\"input\":\"x\",\"stream\":true}");
    walk(&a, &names, last);
    assert_string_equal(last, "response.completed");
    answer_free(&a);
    wd_buf_free(&names);
    wd_serve_stop(r.server);
}

static void items_of_one_turn_are_one_message(void **state)
{
    (void)state;
    static rig r;
    rig_start(&r, "ok");
    json_decref(post_json(
        &r,
        "{\"input\":[{\"role\":\"developer\",\"content\":\"d\"},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"a\"},{\"type\":\"input_text\","
        "\"text\":"
        "\"b\"}]},"
        "{\"type\":\"reasoning\",\"summary\":[],\"content\":[{\"type\":\"reasoning_text\",\"text\":\"hm\"}]},"
        "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"c\"}]"
        "},"
        "{\"type\":\"function_call\",\"call_id\":\"1\",\"name\":\"f\",\"arguments\":\"{}\"},"
        "{\"type\":\"function_call\",\"call_id\":\"2\",\"name\":\"g\",\"arguments\":\"{\\\"x\\\":1}\"},"
        "{\"type\":\"function_call_output\",\"call_id\":\"1\",\"output\":\"one\"},"
        "{\"type\":\"function_call_output\",\"call_id\":\"2\",\"output\":[{\"type\":\"input_text\",\"text\":"
        "\"two\"}]},"
        "{\"type\":\"function_call\",\"call_id\":\"3\",\"name\":\"h\",\"arguments\":\"{}\"},"
        "{\"type\":\"function_call_output\",\"call_id\":\"3\",\"output\":\"three\"}],"
        "\"reasoning\":{\"effort\":\"none\"}}",
        200));
    assert_string_equal(r.heard.text, "S:d U:a,b A(hm):c+f{}+g{\"x\":1} T:one T:two A:+h{} T:three");
    assert_true(r.heard.think_off);
    assert_false(r.heard.tools);
    wd_serve_stop(r.server);
}

static void formats_and_choices_hold_the_reply(void **state)
{
    (void)state;
    static rig r;
    rig_start(&r, "{\"name\": \"labs\", \"arguments\": {\"test\": \"CRP\"}}");
    json_decref(post_json(
        &r,
        "{\"input\":\"x\",\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\",\"schema\":{"
        "\"type\":\"object\",\"required\":[\"name\"]}}}}",
        200));
    assert_true(r.engine.held && r.engine.satisfied);
    for (int stream = 0; stream < 2; stream++) {
        char body[512], last[64];
        wd_buf names = { 0 };
        snprintf(body, sizeof body,
                 "{\"input\":\"x\",\"stream\":%s,\"tools\":[" TOOL
                 "],\"tool_choice\":{\"type\":\"function\",\"name\":\"labs\"}}",
                 stream ? "true" : "false");
        answer a = post(&r, body);
        assert_int_equal(a.status, 200);
        if (stream) {
            walk(&a, &names, last);
            assert_non_null(strstr((char *)names.p, "function_call_arguments.done"));
            assert_null(strstr((char *)names.p, "output_text"));
        } else {
            json_t *v = json_of(&a);
            assert_string_equal(text_at(v, "output.0.type"), "function_call");
            assert_string_equal(text_at(v, "output.0.arguments"), "{\"test\": \"CRP\"}");
            json_decref(v);
        }
        answer_free(&a);
        wd_buf_free(&names);
    }
    wd_serve_stop(r.server);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *body, *param;
    } bad[] = {
        { "{}", "input" },
        { "{\"input\":7}", "input" },
        { "{\"input\":[]}", "input" },
        { "{\"input\":[7]}", "input[0]" },
        { "{\"input\":[{\"role\":\"tool\",\"content\":\"x\"}]}", "input[0].role" },
        { "{\"input\":[{\"role\":\"user\"}]}", "input[0].content" },
        { "{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"audio\"}]}]}", "input[0].content[0]" },
        { "{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\"}]}]}",
          "input[0].content[0].text" },
        { "{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"image_url\":\"https://a/"
          "b\"}]}]}",
          "input[0].content[0].image_url" },
        { "{\"input\":[{\"type\":\"item_reference\",\"id\":\"x\"}]}", "input[0].type" },
        { "{\"input\":[{\"type\":\"function_call\",\"name\":\"f\"}]}", "input[0].arguments" },
        { "{\"input\":[{\"type\":\"function_call_output\",\"call_id\":\"1\"}]}", "input[0].output" },
        { "{\"input\":[{\"type\":\"reasoning\",\"summary\":[{\"text\":1}]}]}", "input[0].summary[0].text" },
        { "{\"input\":[{\"type\":\"reasoning\",\"summary\":[]}]}", "input" },
        { "{\"input\":\"x\",\"store\":\"yes\"}", "store" },
        { "{\"input\":\"x\",\"previous_response_id\":\"resp_1\"}", "previous_response_id" },
        { "{\"input\":\"x\",\"previous_response_id\":\"../resp_1\"}", "previous_response_id" },
        { "{\"input\":\"x\",\"previous_response_id\":7}", "previous_response_id" },
        { "{\"input\":\"x\",\"background\":true}", "background" },
        { "{\"input\":\"x\",\"conversation\":\"c\"}", "conversation" },
        { "{\"input\":\"x\",\"prompt\":{\"id\":\"p\"}}", "prompt" },
        { "{\"input\":\"x\",\"truncation\":\"auto\"}", "truncation" },
        { "{\"input\":\"x\",\"n\":2}", "n" },
        { "{\"input\":\"x\",\"tools\":[{\"type\":\"web_search\"}]}", "tools[0]" },
        { "{\"input\":\"x\",\"tools\":[{\"type\":\"function\"}]}", "tools[0]" },
        { "{\"input\":\"x\",\"tool_choice\":\"required\"}", "tool_choice" },
        { "{\"input\":\"x\",\"text\":{\"format\":{\"type\":\"xml\"}}}", "text.format.type" },
        { "{\"input\":\"x\",\"text\":{\"format\":{\"type\":\"json_schema\",\"schema\":{\"not\":{}}}}}",
          "text.format.schema" },
        { "{\"input\":\"x\",\"text\":{\"format\":{\"type\":\"json_object\"}},\"tools\":[" TOOL "]}",
          "text.format" },
        { "{\"input\":\"x\",\"reasoning\":{\"effort\":3}}", "reasoning.effort" },
        { "{\"input\":\"x\",\"model\":\"gpt\"}", "model" },
    };
    static rig r;
    rig_start(&r, "ok");
    for (size_t i = 0; i < WD_COUNT(bad); i++) {
        answer a = post(&r, bad[i].body);
        json_t *v = json_of(&a);
        if (a.status < 400 || strcmp(text_at(v, "error.param"), bad[i].param) != 0)
            fail_msg("%s: wanted %s, got %s", bad[i].body, bad[i].param, (char *)a.body.p);
        json_decref(v);
        answer_free(&a);
    }
    assert_int_equal(r.engine.n_asked, 0);
    wd_serve_stop(r.server);
}

static void a_failure_before_the_first_event_has_its_status(void **state)
{
    (void)state;
    static rig r;
    rig_start(&r, "ok");
    r.engine.fail = WD_E_LIMIT;
    json_t *v = post_json(&r, "{\"input\":\"x\",\"stream\":true}", 400);
    assert_string_equal(text_at(v, "error.code"), "context_length_exceeded");
    json_decref(v);
    wd_serve_stop(r.server);
}

static void end_it(void *ctx, const wd_generate *rq, size_t i)
{
    wd_server *const *s = ctx;
    (void)rq;
    if (i == 3)
        wd_watch_cancel_all((*s)->watcher, "shutdown");
}

static void a_failure_in_the_middle_is_an_event(void **state)
{
    (void)state;
    static rig r;
    rig_start(&r, "one two three four five six seven");
    r.engine.before_token = end_it;
    r.engine.ctx = &r.server;
    answer a = post(&r, "{\"input\":\"x\",\"stream\":true}");
    assert_int_equal(a.status, 200);
    const char *failed = strstr((char *)a.body.p, "event: response.failed\n");
    assert_non_null(failed);
    assert_non_null(
        strstr(failed, "\"status\":\"failed\",\"model\":\"scripted\",\"error\":{\"code\":\"cancelled\""));
    answer_free(&a);
    wd_serve_stop(r.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_response_has_an_item_for_each_thing_said),
        cmocka_unit_test(a_stream_announces_fills_and_closes_items),
        cmocka_unit_test(held_calls_are_streamed_while_they_grow),
        cmocka_unit_test(an_empty_reply_is_a_message),
        cmocka_unit_test(items_of_one_turn_are_one_message),
        cmocka_unit_test(formats_and_choices_hold_the_reply),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(a_failure_before_the_first_event_has_its_status),
        cmocka_unit_test(a_failure_in_the_middle_is_an_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
