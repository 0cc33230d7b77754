/* The port over scripted upstreams: what is asked, what becomes of the answer, who is asked again, and what a hostile one
 * can do. */
#include "upstream.h"

#include "support/test.h"

#include <arpa/inet.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "engine/remote/remote.h"
#include "engine/remote/sse.h"
#include "media/png_write.h"

#define CHUNK(delta, finish) \
    "data: {\"choices\":[{\"index\":0,\"delta\":{" delta "},\"finish_reason\":" finish "}]}\n\n"
#define CONTENT(text) CHUNK("\"content\":\"" text "\"", "null")
#define STOP CHUNK("", "\"stop\"")
#define USAGE                                                                    \
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\"" \
    ":4,\"prompt_tokens_details\":{\"cached_tokens\":3}}}\n\n"
#define DONE "data: [DONE]\n\n"
#define HELLO CONTENT("Hello") STOP USAGE DONE

static wd_status create(wd_remote_opts o, const upstream *const *u, size_t n, wd_engine **e, wd_err *err)
{
    const char *url[WD_UPSTREAMS_MAX];
    for (size_t i = 0; i < n; i++)
        url[i] = u[i]->url;
    o.url = url;
    o.n_url = n;
    o.png = wd_png_write;
    return wd_remote_create(&o, NULL, e, err);
}

static wd_engine *open_one(const upstream *u, wd_remote_opts o)
{
    wd_engine *e = NULL;
    assert_ok(create(o, &u, 1, &e, &err));
    return e;
}

/* What a caller saw of a reply. */
typedef struct seen {
    char text[4096];
    size_t n_event, n_token;
    atomic_bool *raise; /* at the first event */
} seen;

static wd_status on_event(void *self, const wd_parse_event *ev, wd_err *err)
{
    static const char kinds[] = { 'R', 'C', 'W', 'T' };
    seen *s = self;
    const size_t n = strlen(s->text);
    (void)err;
    snprintf(s->text + n, sizeof s->text - n, "%c[%.*s%s%.*s]", kinds[ev->kind], (int)ev->name.n,
             (const char *)ev->name.p, ev->name.n ? " " : "", (int)ev->text.n, (const char *)ev->text.p);
    s->n_event++;
    if (s->raise)
        atomic_store(s->raise, true);
    return WD_OK;
}

static void on_token(void *self, uint32_t id, const wd_token_logprob *lp)
{
    seen *s = self;
    assert_true(id == WD_TOKEN_UNKNOWN && !lp);
    s->n_token++;
}

static const wd_part question = { WD_PART_TEXT, { (const uint8_t *)"Which CRP?", 10 } };
static const wd_message user = { .role = WD_ROLE_USER, .part = &question, .n_part = 1 };

static wd_generate ask(seen *s)
{
    wd_generate rq = { .chat = { .message = &user, .n_message = 1 },
                       .sample = WD_SAMPLE_OPTS_DEFAULT,
                       .max_tokens = 16 };
    rq.sample.temperature = 0;
    if (s) {
        memset(s, 0, sizeof *s);
        rq.watch = (wd_watch){ .event = on_event, .token = on_token, .self = s };
    }
    return rq;
}

static wd_status generate(wd_engine *e, const wd_generate *rq, wd_generated *g, wd_err *err)
{
    return e->generate(e->self, NULL, rq, g, err);
}

/* The content of a reply that must come. */
static void expect(wd_engine *e, const char *want)
{
    const wd_generate rq = ask(NULL);
    wd_generated g;
    assert_ok(generate(e, &rq, &g, &err));
    assert_int_equal(g.reply.content.n, strlen(want));
    assert_memory_equal(g.reply.content.p, want, g.reply.content.n);
    wd_parsed_free(&g.reply);
}

static bool say_hello(upstream *u, int fd, size_t nth)
{
    (void)u, (void)nth;
    upstream_stream(fd);
    upstream_send(fd, HELLO);
    return false;
}

/* --- replies ----------------------------------------------------------------------------------------------- */

static const char *script; /* of the next answers; one test at a time */

static bool say_script(upstream *u, int fd, size_t nth)
{
    (void)u, (void)nth;
    upstream_stream(fd);
    for (const char *p = script; *p; p++) /* the cut must not matter */
        upstream_sendn(fd, p, 1);
    return false;
}

static void a_reply_comes_as_events_with_its_counts(void **state)
{
    (void)state;
    upstream u;
    seen s;
    wd_generated g;
    upstream_start(&u, say_script, NULL);
    wd_engine *e = open_one(&u, WD_REMOTE_OPTS_DEFAULT);
    wd_generate rq = ask(&s);
    script = CHUNK("\"role\":\"assistant\",\"content\":\"\"", "null")
        CHUNK("\"reasoning_content\":\"Hm\"", "null") CHUNK("\"reasoning\":\".\"", "null")
            CONTENT("It was ") ": ping\r\n\r\n" CONTENT("12.") STOP USAGE DONE;
    assert_ok(generate(e, &rq, &g, &err));
    assert_string_equal(s.text, "R[Hm]R[.]C[It was ]C[12.]");
    assert_int_equal(s.n_token, 4);
    assert_true(wd_span_is(wd_buf_view(&g.reply.content), "It was 12."));
    assert_true(wd_span_is(wd_buf_view(&g.reply.reasoning), "Hm."));
    assert_true(g.n_prompt == 9 && g.n_id == 4 && g.n_cached == 3 && !g.id && !g.prompt_id);
    assert_int_equal(g.finish, WD_FINISH_STOP);
    wd_parsed_free(&g.reply);
    /* the model's own tags, and no [DONE] and no usage */
    rq = ask(&s);
    rq.chat.tools.text = WD_SPAN_LIT("[{\"type\":\"function\",\"function\":{\"name\":\"labs\"}}]");
    script = CONTENT("<think>\\nHm\\n</think>\\n\\n<tool_c") CONTENT("all>\\n{\\\"name\\\": \\\"labs\\\", ")
        CONTENT("\\\"arguments\\\": {}}\\n</tool_call>") STOP;
    assert_ok(generate(e, &rq, &g, &err));
    assert_string_equal(s.text, "R[Hm]T[labs {}]");
    assert_int_equal(g.finish, WD_FINISH_TOOL_CALLS);
    assert_int_equal(g.n_id, 3);
    wd_parsed_free(&g.reply);
    /* a server that hands the stop string out, over the border of two pieces */
    const wd_span stop = WD_SPAN_LIT("END");
    rq = ask(&s);
    rq.stop = &stop;
    rq.n_stop = 1;
    script = CONTENT("It was E") CONTENT("NDLESS.") CHUNK("", "\"length\"") USAGE DONE;
    assert_ok(generate(e, &rq, &g, &err));
    assert_true(wd_span_is(wd_buf_view(&g.reply.content), "It was "));
    assert_int_equal(g.finish, WD_FINISH_STOP);
    wd_parsed_free(&g.reply);
    script = CONTENT("It was E") STOP;
    assert_ok(generate(e, &rq, &g, &err));
    assert_true(wd_span_is(wd_buf_view(&g.reply.content), "It was E"));
    wd_parsed_free(&g.reply);
    /* calls that were taken out, in pieces */
    rq = ask(&s);
    rq.chat.tools.text = WD_SPAN_LIT("[{\"type\":\"function\",\"function\":{\"name\":\"labs\"}}]");
    rq.watch.self = &s;
    memset(&s, 0, sizeof s);
    script = CHUNK(
        "\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"labs\",\"arguments\":\"\"}}]",
        "null") CHUNK("\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"t\\\":\"}}]", "null")
        CHUNK("\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"1}\"}}]", "null")
            CHUNK("\"tool_calls\":[{\"index\":1,\"function\":{\"name\":\"meds\"}}]", "null")
                CHUNK("", "\"tool_calls\"") DONE;
    assert_ok(generate(e, &rq, &g, &err));
    assert_string_equal(s.text, "T[labs {\"t\":1}]T[meds {}]");
    assert_int_equal(g.reply.n_call, 2);
    assert_int_equal(g.finish, WD_FINISH_TOOL_CALLS);
    wd_parsed_free(&g.reply);
    wd_engine_destroy(e);
    upstream_stop(&u);
}

/* --- requests ---------------------------------------------------------------------------------------------- */

static json_t *body_of(upstream *u)
{
    static char text[UPSTREAM_BODY_MAX];
    json_t *v = NULL;
    upstream_body(u, text);
    assert_ok(wd_json_parse(wd_span_str(text), "body", &v, &err));
    return v;
}

static json_t *asked(upstream *u, wd_engine *e, const wd_generate *rq)
{
    wd_generated g;
    assert_ok(generate(e, rq, &g, &err));
    wd_parsed_free(&g.reply);
    return body_of(u);
}

static void assert_json(json_t *got, const char *want)
{
    json_t *v = NULL;
    assert_ok(wd_json_parse(wd_span_str(want), "expected", &v, &err));
    if (!json_equal(got, v)) {
        char *text = json_dumps(got, JSON_COMPACT);
        fail_msg("%s\n, expected %s", text ? text : "?", want);
    }
    json_decref(got);
    json_decref(v);
}

static void a_request_says_what_was_asked_for(void **state)
{
    (void)state;
    upstream u;
    wd_remote_opts o = WD_REMOTE_OPTS_DEFAULT;
    upstream_start(&u, say_hello, NULL);
    o.key = "k-1";
    wd_engine *e = open_one(&u, o);
    assert_string_equal(wd_remote_model(e), "m");
    assert_int_equal(e->info.context, 512);
    assert_non_null(strstr(e->info.name, "m at 127.0.0.1:"));
    wd_generate rq = ask(NULL);
    assert_json(asked(&u, e, &rq),
                "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true},"
                "\"messages\":[{\"role\":\"user\",\"content\":\"Which CRP?\"}],"
                "\"temperature\":0.0,\"repetition_penalty\":1.0,\"max_tokens\":16}");
    assert_non_null(strstr(u.head, "POST /v1/chat/completions HTTP/1.1"));
    assert_non_null(strstr(u.head, "Authorization: Bearer k-1"));
    /* what nobody has chosen stays the upstream's */
    rq.sample = e->info.sample;
    rq.max_tokens = 0;
    rq.sample.seed = 7;
    json_t *v = asked(&u, e, &rq);
    assert_null(json_object_get(v, "temperature"));
    assert_null(json_object_get(v, "top_k"));
    assert_null(json_object_get(v, "max_tokens"));
    assert_int_equal(json_integer_value(json_object_get(v, "seed")), 7);
    json_decref(v);
    /* everything at once */
    const wd_part parts[] = { { .kind = WD_PART_IMAGE }, { WD_PART_TEXT, WD_SPAN_LIT("Film?") } };
    const wd_part text = { WD_PART_TEXT, WD_SPAN_LIT("a \"b\"") };
    const wd_tool_call calls[] = { { WD_SPAN_LIT("f"), true, { NULL, WD_SPAN_LIT("{ }") } },
                                   { WD_SPAN_LIT("g"), false, { NULL, WD_SPAN_LIT("{\"x\": 1}") } } };
    const wd_message m[] = {
        { .role = WD_ROLE_SYSTEM, .part = &text, .n_part = 1 },
        { .role = WD_ROLE_USER, .part = parts, .n_part = 2, .is_list = true },
        { .role = WD_ROLE_ASSISTANT,
          .reasoning = WD_SPAN_LIT("r"),
          .has_reasoning = true,
          .call = calls,
          .n_call = 2 },
        { .role = WD_ROLE_TOOL, .part = &text, .n_part = 1 },
        { .role = WD_ROLE_TOOL, .part = &text, .n_part = 1 },
    };
    uint8_t rgb[3] = { 1, 2, 3 };
    const wd_image im = { rgb, 1, 1 };
    const wd_span stop[] = { WD_SPAN_LIT("END"), WD_SPAN_LIT("\n\n") };
    const wd_logit_bias bias[] = { { 5, -100 }, { 6, 1.5f } };
    rq = (wd_generate){ .chat = { .message = m,
                                  .n_message = 5,
                                  .enable_thinking = WD_OFF,
                                  .add_vision_id = true,
                                  .tools.text = WD_SPAN_LIT("[{\"type\":\"function\"}]") },
                        .media = { .image = &im, .n_image = 1 },
                        .sample = { .temperature = 0.5f,
                                    .top_k = 20,
                                    .top_p = 0.75f,
                                    .min_p = 0.25f,
                                    .repetition_penalty = 1.5f,
                                    .frequency_penalty = 0.5f,
                                    .presence_penalty = -1,
                                    .bias = bias,
                                    .n_bias = 2,
                                    .seed = UINT64_MAX },
                        .max_tokens = 8,
                        .stop = stop,
                        .n_stop = 2,
                        .ignore_stop_ids = true };
    v = asked(&u, e, &rq);
    json_t *url = json_object_get(
        json_object_get(
            json_array_get(json_object_get(json_array_get(json_object_get(v, "messages"), 1), "content"), 0),
            "image_url"),
        "url");
    assert_int_equal(strncmp(json_string_value(url), "data:image/png;base64,iVBORw0KGgo", 33), 0);
    json_string_set(url, "data:");
    assert_json(
        v,
        "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"messages\":["
        "{\"role\":\"system\",\"content\":\"a "
        "\\\"b\\\"\"},{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
        "\"image_url\":{\"url\":\"data:\"}},{\"type\":\"text\",\"text\":\"Film?\"}]},{\"role\":\"assistant\","
        "\"content\":null,\"reasoning_content\":\"r\",\"tool_calls\":[{\"id\":\"call_0\",\"type\":"
        "\"function\","
        "\"function\":{\"name\":\"f\",\"arguments\":\"{ "
        "}\"}},{\"id\":\"call_1\",\"type\":\"function\",\"function\":"
        "{\"name\":\"g\",\"arguments\":\"{\\\"x\\\": 1}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"call_0\","
        "\"content\":\"a \\\"b\\\"\"},{\"role\":\"tool\",\"tool_call_id\":\"call_1\",\"content\":\"a "
        "\\\"b\\\"\"}],"
        "\"tools\":[{\"type\":\"function\"}],\"chat_template_kwargs\":{\"enable_thinking\":false,"
        "\"add_vision_id\":true},\"temperature\":0.5,\"top_p\":0.75,\"top_k\":20,\"min_p\":0.25,"
        "\"seed\":9223372036854775807,\"repetition_penalty\":1.5,\"frequency_penalty\":0.5,"
        "\"presence_penalty\":-1.0,\"logit_bias\":{\"5\":-100.0,\"6\":1.5},\"max_tokens\":8,"
        "\"stop\":[\"END\",\"\\n\\n\"],\"ignore_eos\":true}");
    wd_engine_destroy(e);
    upstream_stop(&u);
}

static bool complete(upstream *u, int fd, size_t nth)
{
    (void)u, (void)nth;
    upstream_stream(fd);
    upstream_send(
        fd,
        "data: {\"choices\":[{\"index\":0,\"text\":\"<think>\"}]}\n\n"
        "data: {\"choices\":[{\"index\":0,\"text\":\" on\",\"finish_reason\":\"length\"}]}\n\n" USAGE DONE);
    return false;
}

static void tokens_are_continued_as_they_stand(void **state)
{
    (void)state;
    upstream u;
    seen s;
    const uint32_t ids[] = { 3, 1, 2 };
    wd_generated g;
    upstream_start(&u, complete, NULL);
    wd_engine *e = open_one(&u, WD_REMOTE_OPTS_DEFAULT);
    wd_generate rq = ask(&s);
    rq.prompt = ids;
    rq.n_prompt = 3;
    assert_ok(generate(e, &rq, &g, &err));
    assert_true(wd_span_is(wd_buf_view(&g.reply.content), "<think> on")); /* tags, too */
    assert_int_equal(g.finish, WD_FINISH_LENGTH);
    wd_parsed_free(&g.reply);
    json_t *v = body_of(&u);
    assert_non_null(strstr(u.head, "POST /v1/completions"));
    assert_int_equal(json_array_size(json_object_get(v, "prompt")), 3);
    json_decref(v);
    rq.max_tokens = 0;
    assert_fails(generate(e, &rq, &g, &err), WD_E_UNSUPPORTED, "how many tokens");
    wd_engine_destroy(e);
    upstream_stop(&u);
}

static void what_an_upstream_has_no_field_for_is_refused_by_name(void **state)
{
    (void)state;
    upstream u;
    wd_remote_opts o = WD_REMOTE_OPTS_DEFAULT;
    wd_generated g;
    wd_constraint *re, *choice;
    const float *vec;
    uint32_t dim;
    size_t n_token;
    assert_ok(wd_constraint_regex(WD_SPAN_LIT("a+"), &re, &err));
    assert_ok(
        wd_constraint_choice((const wd_span[]){ WD_SPAN_LIT("Hello"), WD_SPAN_LIT("no") }, 2, &choice, &err));
    upstream_start(&u, say_hello, UPSTREAM_MODELS("somebody"));
    wd_engine *e = open_one(&u, o);
    wd_generate rq = ask(NULL);
#define REFUSED(field, value, part)                                        \
    do {                                                                   \
        wd_generate one = ask(NULL);                                       \
        one.sample.temperature = 1;                                        \
        one.field = value;                                                 \
        assert_fails(generate(e, &one, &g, &err), WD_E_UNSUPPORTED, part); \
    } while (0)
    REFUSED(logprobs, true, "log-probabilities");
    REFUSED(prompt_logprobs, true, "log-probabilities");
    REFUSED(media.n_video, 1, "videos");
    REFUSED(chat.no_generation_prompt, true, "opens the assistant's turn");
    REFUSED(sample.top_k, 20, "top_k: an upstream of kind openai");
    REFUSED(sample.min_p, 0.1f, "min_p");
    REFUSED(sample.repetition_penalty, 1.1f, "repetition_penalty");
    REFUSED(ignore_stop_ids, true, "end token");
    REFUSED(constraint, re, "regular expression");
    REFUSED(constraint, choice, "one of some texts");
    const wd_embed em = { .item = { .parts = { &question, 1 } }, .instruction = WD_SPAN_LIT("x") };
    wd_arena *a = wd_arena_create(1 << 20, false);
    assert_fails(e->embed(e->self, a, &em, &vec, &dim, &n_token, &err), WD_E_UNSUPPORTED, "an instruction");
    wd_arena_destroy(a);
    assert_int_equal(u.n_post, 0); /* none of it was sent */
    wd_engine_destroy(e);
    /* where there is a field it is used; tenants do not share vLLM's cache */
    o.kind = WD_UPSTREAM_VLLM;
    e = open_one(&u, o);
    rq.constraint = choice;
    rq.terms.tenant = 1;
    json_t *one = asked(&u, e, &rq);
    rq.terms.tenant = 2;
    json_t *two = asked(&u, e, &rq);
    rq.terms.tenant = 1;
    json_t *same = asked(&u, e, &rq);
    const char *salt = json_string_value(json_object_get(one, "cache_salt"));
    assert_int_equal(strlen(salt), 32);
    assert_string_not_equal(salt, json_string_value(json_object_get(two, "cache_salt")));
    assert_string_equal(salt, json_string_value(json_object_get(same, "cache_salt")));
    assert_json(json_incref(json_object_get(one, "structured_outputs")), "{\"choice\":[\"Hello\",\"no\"]}");
    json_decref(one);
    json_decref(two);
    json_decref(same);
    wd_engine_destroy(e);
    upstream_stop(&u);
    wd_constraint_unref(&re);
    wd_constraint_unref(&choice);
}

static void a_constraint_is_sent_and_checked(void **state)
{
    (void)state;
    upstream u;
    wd_constraint *c;
    wd_generated g;
    upstream_start(&u, say_script, NULL);
    wd_engine *e = open_one(&u, WD_REMOTE_OPTS_DEFAULT);
    assert_ok(wd_constraint_schema(
        WD_SPAN_LIT("{\"type\":\"object\",\"properties\":{\"a\":{\"enum\":[\"\\u00e9\"]},"
                    "\"b\":{\"type\":\"integer\"}},\"required\":[\"a\"]}"),
        WD_SPACE_BOUNDED, &c, &err));
    wd_generate rq = ask(NULL);
    rq.constraint = c;
    rq.chat.tools.text = WD_SPAN_LIT("[]");
    script = CONTENT("{  \\\"a\\\":\\n\\n \\\"\\\\u00e9\\\" , \\\"b\\\" : 2 }")
        STOP DONE; /* another spelling of it */
    json_t *v = asked(&u, e, &rq);
    assert_json(
        json_incref(json_object_get(v, "response_format")),
        "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"reply\",\"strict\":true,\"schema\":{\"type\":"
        "\"object\",\"properties\":{\"a\":{\"enum\":[\"\\u00e9\"]},\"b\":{\"type\":\"integer\"}},"
        "\"required\":"
        "[\"a\"]}}}");
    assert_string_equal(json_string_value(json_object_get(v, "tool_choice")), "none");
    json_decref(v);
    script = CONTENT("{\\\"a\\\":\\\"SECRET\\\"}") STOP DONE; /* a server that does not know the field */
    assert_fails(generate(e, &rq, &g, &err), WD_E_CORRUPT, "does not satisfy");
    script = CONTENT("{\\\"a\\\":") CHUNK("", "\"length\"") DONE; /* the beginning of one */
    assert_ok(generate(e, &rq, &g, &err));
    wd_parsed_free(&g.reply);
    wd_constraint_unref(&c);
    wd_engine_destroy(e);
    upstream_stop(&u);
}

/* --- again, and elsewhere ---------------------------------------------------------------------------------- */

static bool break_off(upstream *u, int fd, size_t nth)
{
    (void)u, (void)nth;
    upstream_reset(fd);
    return false;
}

static bool no_room(upstream *u, int fd, size_t nth)
{
    (void)u, (void)nth;
    upstream_reply(fd, 503, "", "{}");
    return true;
}

static void what_cannot_be_reached_is_asked_elsewhere(void **state)
{
    (void)state;
    upstream bad, good, gone;
    wd_engine *e;
    wd_remote_opts o = WD_REMOTE_OPTS_DEFAULT;
    const upstream_fn ways[] = { break_off, no_room };
    for (size_t i = 0; i < WD_COUNT(ways); i++) {
        upstream_start(&bad, ways[i], NULL);
        upstream_start(&good, say_hello, NULL);
        assert_ok(create(o, (const upstream *const[]){ &bad, &good }, 2, &e, &err));
        expect(e, "Hello");
        const size_t n =
            bad.n_post; /* libcurl itself tries once more when an open connection turns out dead */
        assert_true(n == 1 || n == 2);
        assert_int_equal(good.n_post, 1);
        expect(e, "Hello"); /* and is not asked first again */
        assert_int_equal(bad.n_post, n);
        wd_engine_destroy(e);
        upstream_stop(&bad);
        upstream_stop(&good);
    }
    upstream_start(&gone, say_hello, NULL);
    upstream_start(&good, say_hello, NULL);
    upstream_stop(&gone); /* nobody listens there */
    assert_ok(create(o, (const upstream *const[]){ &gone, &good }, 2, &e, &err));
    expect(e, "Hello");
    wd_engine_destroy(e);
    upstream_stop(&good);
    assert_fails(create(o, (const upstream *const[]){ &gone, &good }, 2, &e, &err), WD_E_IO, "127.0.0.1:");
    assert_null(e);
}

static bool break_off_in_the_middle(upstream *u, int fd, size_t nth)
{
    (void)u, (void)nth;
    upstream_stream(fd);
    upstream_send(fd, CONTENT("Hel"));
    poll(NULL, 0, 30); /* it has been read */
    upstream_reset(fd);
    return false;
}

static void nothing_is_repeated_once_a_piece_has_come(void **state)
{
    (void)state;
    upstream u, other;
    seen s;
    wd_engine *e;
    wd_generated g;
    upstream_start(&u, break_off_in_the_middle, NULL);
    upstream_start(&other, break_off_in_the_middle, NULL);
    assert_ok(create(WD_REMOTE_OPTS_DEFAULT, (const upstream *const[]){ &u, &other }, 2, &e, &err));
    const wd_generate rq = ask(&s);
    assert_fails(generate(e, &rq, &g, &err), WD_E_IO, "broke off");
    assert_true(s.n_event > 0 && strstr(s.text, "el]"));
    assert_int_equal(u.n_post + other.n_post, 1);
    wd_engine_destroy(e);
    upstream_stop(&u);
    upstream_stop(&other);
}

static bool room_in_a_second(upstream *u, int fd, size_t nth)
{
    if (nth)
        return say_hello(u, fd, nth);
    upstream_reply(fd, 429, "Retry-After: 1\r\n", "{}");
    return true;
}

static bool room_tomorrow(upstream *u, int fd, size_t nth)
{
    (void)u, (void)nth;
    upstream_reply(fd, 429, "retry-after:86400\r\n", "{\"error\":{\"message\":\"SECRET\"}}");
    return true;
}

static void it_waits_as_long_as_it_is_asked_to(void **state)
{
    (void)state;
    upstream u;
    wd_generated g;
    upstream_start(&u, room_in_a_second, NULL);
    wd_engine *e = open_one(&u, WD_REMOTE_OPTS_DEFAULT);
    double start = wd_clock_s();
    expect(e, "Hello");
    assert_true(wd_clock_s() - start >= 1);
    assert_int_equal(u.n_post, 2);
    wd_engine_destroy(e);
    upstream_stop(&u);
    /* not longer than it may */
    upstream_start(&u, room_tomorrow, NULL);
    e = open_one(&u, WD_REMOTE_OPTS_DEFAULT);
    start = wd_clock_s();
    const wd_generate rq = ask(NULL);
    assert_fails(generate(e, &rq, &g, &err), WD_E_BUSY, "status 429");
    assert_true(wd_clock_s() - start < 5);
    assert_int_equal(u.n_post, 1);
    wd_engine_destroy(e);
    upstream_stop(&u);
}

static atomic_bool hold;

static bool hello_when_let_go(upstream *u, int fd, size_t nth)
{
    while (atomic_load(&hold) && !atomic_load(&u->ending))
        poll(NULL, 0, 1);
    return say_hello(u, fd, nth);
}

static void *expect_hello(void *e)
{
    expect(e, "Hello");
    return NULL;
}

static void calls_go_where_the_fewest_are_under_way(void **state)
{
    (void)state;
    upstream u[3];
    wd_engine *e;
    pthread_t t[9];
    wd_engine_stats now;
    for (size_t i = 0; i < 3; i++)
        upstream_start(&u[i], hello_when_let_go, NULL);
    assert_ok(create(WD_REMOTE_OPTS_DEFAULT, (const upstream *const[]){ &u[0], &u[1], &u[2] }, 3, &e, &err));
    atomic_store(&hold, true);
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(pthread_create(&t[i], NULL, expect_hello, e), 0);
    for (int waited = 0; waited < 20000 && u[0].n_post + u[1].n_post + u[2].n_post < 9; waited++)
        poll(NULL, 0, 1);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(u[i].n_post, 3);
    e->stats(e->self, &now);
    assert_int_equal(now.n_running, 9);
    atomic_store(&hold, false);
    for (size_t i = 0; i < 9; i++)
        pthread_join(t[i], NULL);
    e->stats(e->self, &now);
    assert_true(now.n_running == 0 && now.n_prompt == 81 && now.n_reply == 36 && now.n_cached == 27);
    wd_engine_destroy(e);
    for (size_t i = 0; i < 3; i++)
        upstream_stop(&u[i]);
}

static void an_upstream_that_is_ill_is_left_alone_until_it_is_well(void **state)
{
    (void)state;
    upstream u[2];
    wd_engine *e;
    wd_remote_opts o = WD_REMOTE_OPTS_DEFAULT;
    o.health_ms = 20;
    for (size_t i = 0; i < 2; i++)
        upstream_start(&u[i], say_hello, NULL);
    assert_ok(create(o, (const upstream *const[]){ &u[0], &u[1] }, 2, &e, &err));
    atomic_store(&u[0].models_status, 500);
    const size_t looked = u[0].n_get;
    while (u[0].n_get < looked + 3) /* the first may have been on its way */
        poll(NULL, 0, 1);
    const size_t before = u[0].n_post;
    for (int i = 0; i < 6; i++)
        expect(e, "Hello");
    assert_int_equal(u[0].n_post, before);
    atomic_store(&u[0].models_status, 200);
    const size_t again = u[0].n_get;
    while (u[0].n_get < again + 3)
        poll(NULL, 0, 1);
    for (int i = 0; i < 6; i++)
        expect(e, "Hello");
    assert_int_equal(u[0].n_post, before + 3);
    wd_engine_destroy(e);
    for (size_t i = 0; i < 2; i++)
        upstream_stop(&u[i]);
}

/* --- clocks ------------------------------------------------------------------------------------------------ */

static atomic_int hung_up;

static bool say_nothing(upstream *u, int fd, size_t nth)
{
    (void)nth;
    atomic_fetch_add(&hung_up, upstream_hung_up(u, fd, 20000));
    return false;
}

static bool stop_in_the_middle(upstream *u, int fd, size_t nth)
{
    (void)nth;
    upstream_stream(fd);
    upstream_send(fd, CONTENT("Hel"));
    atomic_fetch_add(&hung_up, upstream_hung_up(u, fd, 20000));
    return false;
}

typedef struct alarm {
    atomic_bool flag;
    uint64_t raised_ns;
} alarm_;

static void *raise_soon(void *arg)
{
    alarm_ *a = arg;
    poll(NULL, 0, 60);
    a->raised_ns = wd_clock_ns();
    atomic_store(&a->flag, true);
    return NULL;
}

/* From the flag to the call's end. */
static double cancel_ms(wd_engine *e)
{
    seen s;
    wd_generated g;
    pthread_t t;
    alarm_ a = { 0 };
    wd_generate rq = ask(&s);
    rq.watch.cancel = &a.flag;
    assert_int_equal(pthread_create(&t, NULL, raise_soon, &a), 0);
    assert_fails(generate(e, &rq, &g, &err), WD_E_CANCELLED, "cancelled");
    const uint64_t now = wd_clock_ns();
    pthread_join(t, NULL);
    return (double)(now - a.raised_ns) / 1e6;
}

static void a_cancelled_call_ends_within_100_ms_and_hangs_up(void **state)
{
    (void)state;
    const upstream_fn ways[] = { say_nothing, stop_in_the_middle, room_in_a_second };
    for (size_t i = 0; i < WD_COUNT(ways); i++) {
        upstream u;
        int n = 0;
        double best = INFINITY; /* of five: the machine may have other things to do */
        upstream_start(&u, ways[i], NULL);
        wd_engine *e = open_one(&u, WD_REMOTE_OPTS_DEFAULT);
        atomic_store(&hung_up, 0);
        for (; n < 5 && best >= 100; n++) {
            atomic_store(&u.n_post, 0);
            best = fmin(best, cancel_ms(e));
        }
        if (best >= 100)
            fail_msg("way %zu: %.0f ms", i, best);
        for (int waited = 0; i < 2 && waited < 20000 && atomic_load(&hung_up) < n; waited++)
            poll(NULL, 0, 1);
        assert_int_equal(atomic_load(&hung_up), i < 2 ? n : 0);
        wd_engine_destroy(e);
        upstream_stop(&u);
    }
}

static void silence_has_its_limits(void **state)
{
    (void)state;
    upstream u;
    wd_generated g;
    wd_remote_opts o = WD_REMOTE_OPTS_DEFAULT;
    o.connect_ms = 100;
    o.first_byte_ms = 100;
    o.idle_ms = 100;
    wd_generate rq = ask(NULL);
    upstream_start(&u, say_nothing, NULL);
    wd_engine *e = open_one(&u, o);
    assert_fails(generate(e, &rq, &g, &err), WD_E_IO, "no reply within");
    assert_int_equal(u.n_post, 1);
    rq.terms.deadline_ns = wd_clock_ns() + 50000000;
    assert_fails(generate(e, &rq, &g, &err), WD_E_DEADLINE, "deadline");
    rq.terms.deadline_ns = 0;
    u.answer = stop_in_the_middle;
    assert_fails(generate(e, &rq, &g, &err), WD_E_IO, "in the middle of a reply");
    wd_engine_destroy(e);
    upstream_stop(&u);
    /* a full backlog: connections never stand */
    const struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_in a = any;
    socklen_t n = sizeof a;
    int fd[8];
    fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(bind(fd[0], (struct sockaddr *)&a, sizeof a) == 0 && listen(fd[0], 0) == 0 &&
                getsockname(fd[0], (struct sockaddr *)&a, &n) == 0);
    for (int i = 1; i < 8; i++) {
        fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(fd[i], (struct sockaddr *)&a, sizeof a);
    }
    upstream full = { 0 };
    snprintf(full.url, sizeof full.url, "http://127.0.0.1:%u/v1", ntohs(a.sin_port));
    const double start = wd_clock_s();
    assert_fails(create(o, (const upstream *const[]){ &full }, 1, &e, &err), WD_E_IO, "127.0.0.1:");
    assert_true(wd_clock_s() - start < 10);
    for (int i = 0; i < 8; i++)
        close(fd[i]);
}

/* --- hostile upstreams ------------------------------------------------------------------------------------- */

static bool endless_headers(upstream *u, int fd, size_t nth)
{
    (void)nth;
    upstream_send(fd, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 100000 && !upstream_hung_up(u, fd, 0); i++)
        upstream_send(fd, "X-A: SECRET\r\n");
    return false;
}

static bool endless_continue(upstream *u, int fd, size_t nth)
{
    (void)nth;
    for (int i = 0; i < 100000 && !upstream_hung_up(u, fd, 0); i++)
        upstream_send(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    return false;
}

static bool long_line(upstream *u, int fd, size_t nth)
{
    char some[4096];
    (void)nth;
    memset(some, 'x', sizeof some);
    upstream_stream(fd);
    for (int i = 0; i < 10000 && !upstream_hung_up(u, fd, 0); i++)
        upstream_sendn(fd, some, sizeof some);
    return false;
}

static bool endless_error(upstream *u, int fd, size_t nth)
{
    char some[4096];
    (void)nth;
    memset(some, 'x', sizeof some);
    upstream_send(fd, "HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\n\r\n");
    for (int i = 0; i < 10000 && !upstream_hung_up(u, fd, 0); i++)
        upstream_sendn(fd, some, sizeof some);
    return false;
}

static bool redirect(upstream *u, int fd, size_t nth)
{
    (void)u, (void)nth;
    upstream_reply(fd, 307, "Location: http://127.0.0.1:1/SECRET\r\n", "");
    return true;
}

static bool web_page(upstream *u, int fd, size_t nth)
{
    (void)u, (void)nth;
    upstream_send(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\nSECRET");
    return true;
}

static bool no_http(upstream *u, int fd, size_t nth)
{
    (void)u, (void)nth;
    upstream_send(fd, "SECRET\r\n\r\n");
    return false;
}

static void a_hostile_upstream_gets_nowhere(void **state)
{
    (void)state;
    static const struct {
        upstream_fn answer;
        const char *script;
        wd_status st;
        const char *part;
    } t[] = {
        { endless_headers, NULL, WD_E_LIMIT, "headers" },
        { endless_continue, NULL, WD_E_LIMIT, "headers" },
        { long_line, NULL, WD_E_LIMIT, "a line or an event of more than" },
        { endless_error, NULL, WD_E_INVALID, "status 400" },
        { redirect, NULL, WD_E_CORRUPT, "redirect" },
        { web_page, NULL, WD_E_CORRUPT, "no event stream" },
        { no_http, NULL, WD_E_IO, "127.0.0.1:" },
        { NULL, "", WD_E_IO, "ended before the reply did" },
        { NULL, CONTENT("SECRET"), WD_E_IO, "ended before the reply did" },
        { NULL, DONE, WD_E_IO, "ended before the reply did" },
        { NULL, "data: {\"SECRET\n\n", WD_E_CORRUPT, "not JSON" },
        { NULL, CONTENT("SECRET\xC3(\xFF") STOP, WD_E_CORRUPT, "UTF-8" },
        { NULL, CONTENT("\\ud800") STOP, WD_E_CORRUPT, "UTF-8" },
        { NULL, "data: [\"SECRET\"]\n\n", WD_E_CORRUPT, "no object" },
        { NULL, "data: {}\n\n", WD_E_CORRUPT, "neither choices nor usage" },
        { NULL, "data: {\"choices\":{}}\n\n", WD_E_CORRUPT, "no array" },
        { NULL, "data: {\"choices\":[1]}\n\n", WD_E_CORRUPT, "a choice is no object" },
        { NULL, "data: {\"choices\":[{\"index\":1}]}\n\n", WD_E_CORRUPT, "another than the first" },
        { NULL, "data: {\"choices\":[{\"delta\":\"SECRET\"}]}\n\n", WD_E_CORRUPT, "delta" },
        { NULL, CHUNK("\"content\":{\"SECRET\":1}", "null"), WD_E_CORRUPT, "no string" },
        { NULL, CHUNK("\"tool_calls\":{\"SECRET\":1}", "null"), WD_E_CORRUPT, "tool_calls" },
        { NULL, CHUNK("\"tool_calls\":[{\"index\":7}]", "null"), WD_E_CORRUPT, "index" },
        { NULL, CHUNK("\"tool_calls\":[{\"index\":-1}]", "null"), WD_E_CORRUPT, "index" },
        { NULL,
          CHUNK("\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"SECRET\"}}]",
                "null") STOP,
          WD_E_CORRUPT, "no JSON object" },
        { NULL, CHUNK("\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{}\"}}]", "null") STOP,
          WD_E_CORRUPT, "no name" },
        { NULL, CHUNK("", "\"SECRET\""), WD_E_CORRUPT, "finish_reason" },
        { NULL, CHUNK("", "\"abort\""), WD_E_IO, "gave the reply up" },
        { NULL, STOP CONTENT("SECRET"), WD_E_CORRUPT, "goes on" },
        { NULL, STOP "data: {\"usage\":{\"prompt_tokens\":-1}}\n\n", WD_E_CORRUPT, "number of tokens" },
        { NULL, "data: {\"error\":{\"message\":\"SECRET\",\"code\":\"SECRET\"}}\n\n", WD_E_IO,
          "ends in an error" },
        { NULL, "data: {\"error\":\"SECRET\"}\n\n", WD_E_IO, "ends in an error" },
        { NULL, "data: {\"error\":{\"code\":503}}\n\n", WD_E_BUSY, "no room" },
        { NULL, "data: {\"error\":{\"code\":\"context_length_exceeded\"}}\n\n", WD_E_LIMIT, "context" },
    };
    for (size_t i = 0; i < WD_COUNT(t); i++) {
        upstream u;
        wd_generated g;
        wd_remote_opts o = WD_REMOTE_OPTS_DEFAULT;
        wd_err err = { 0 };
        o.retry_ms = 0;
        script = t[i].script;
        upstream_start(&u, t[i].answer ? t[i].answer : say_script, NULL);
        wd_engine *e = open_one(&u, o);
        const wd_generate rq = ask(NULL);
        const wd_status st = generate(e, &rq, &g, &err);
        if (st != t[i].st || !strstr(err.text, t[i].part) || strstr(err.text, "SECRET"))
            fail_msg("row %zu: %s: %s", i, wd_status_name(st), err.text);
        assert_non_null(strstr(err.text, "127.0.0.1:"));
        assert_int_equal(u.n_post, 1);
        wd_engine_destroy(e);
        upstream_stop(&u);
    }
}

static int refusal;
static const char *refusal_body;

static bool refuse(upstream *u, int fd, size_t nth)
{
    (void)u, (void)nth;
    upstream_reply(fd, refusal, "", refusal_body);
    return true;
}

static void a_refusal_becomes_one_sentence_without_its_words(void **state)
{
    (void)state;
    static const struct {
        int http;
        const char *body;
        wd_status st;
        const char *part;
    } t[] = {
        { 400,
          "{\"error\":{\"message\":\"SECRET\",\"type\":\"BadRequestError\",\"param\":\"messages[0]\","
          "\"code\":400}}",
          WD_E_INVALID, "status 400, BadRequestError, param messages[0]" },
        { 400, "{\"error\":{\"message\":\"SECRET\",\"code\":\"SECRET, Jane\"}}", WD_E_INVALID, "status 400" },
        { 400, "{\"error\":{\"message\":\"This model's maximum context length is 8\"}}", WD_E_LIMIT,
          "longer" },
        { 400, "{\"error\":{\"code\":\"context_length_exceeded\"}}", WD_E_LIMIT, "longer" },
        { 400, "{\"error\":{\"type\":\"exceed_context_size_error\"}}", WD_E_LIMIT, "longer" },
        { 422, "{\"detail\":\"SECRET\"}", WD_E_INVALID, "status 422" },
        { 400, "SECRET", WD_E_INVALID, "status 400" },
        { 401, "{}", WD_E_IO, "the key is missing or not accepted" },
        { 403, "{}", WD_E_IO, "may not" },
        { 404, "{}", WD_E_UNSUPPORTED, "no such route or model" },
        { 500, "{\"error\":{\"message\":\"SECRET\"}}", WD_E_IO, "status 500" },
        { 504, "", WD_E_IO, "status 504" },
        { 204, "", WD_E_IO, "status 204" },
        { 503, "{}", WD_E_BUSY, "no room" },
    };
    upstream u;
    wd_remote_opts o = WD_REMOTE_OPTS_DEFAULT;
    o.retry_ms = 0;
    upstream_start(&u, refuse, NULL);
    wd_engine *e = open_one(&u, o);
    for (size_t i = 0; i < WD_COUNT(t); i++) {
        wd_generated g;
        wd_err err = { 0 };
        refusal = t[i].http;
        refusal_body = t[i].body;
        const wd_generate rq = ask(NULL);
        const wd_status st = generate(e, &rq, &g, &err);
        if (st != t[i].st || !strstr(err.text, t[i].part) || strstr(err.text, "SECRET"))
            fail_msg("row %zu: %s: %s", i, wd_status_name(st), err.text);
        assert_non_null(strstr(err.text, "127.0.0.1:"));
    }
    wd_engine_destroy(e);
    upstream_stop(&u);
}

/* --- scores ------------------------------------------------------------------------------------------------ */

static bool say_json(upstream *u, int fd, size_t nth)
{
    (void)u, (void)nth;
    upstream_reply(fd, 200, "", script);
    return true;
}

static void vectors_and_scores_are_checked(void **state)
{
    (void)state;
    upstream u;
    wd_arena *a = wd_arena_create(1 << 20, false);
    const float *v;
    uint32_t dim;
    size_t n;
    double score;
    upstream_start(&u, say_json, NULL);
    wd_engine *e = open_one(&u, WD_REMOTE_OPTS_DEFAULT);
    wd_embed em = { .item = { .parts = { &question, 1 } }, .instruction = WD_SPAN_LIT("find it"), .dim = 2 };
    script = "{\"data\":[{\"embedding\":[0.6,-0.8]}],\"usage\":{\"prompt_tokens\":5}}";
    assert_ok(e->embed(e->self, a, &em, &v, &dim, &n, &err));
    assert_true(dim == 2 && n == 5 && v[0] == 0.6f && v[1] == -0.8f);
    assert_json(body_of(&u), "{\"model\":\"m\",\"encoding_format\":\"float\",\"input\":\"Which CRP?\","
                             "\"instruction\":\"find it\",\"dimensions\":2}");
    script = "{\"data\":[{\"embedding\":[3,4]}]}";
    assert_ok(e->embed(e->self, a, &em, &v, &dim, &n, &err));
    assert_true(n == 0 && v[0] == 0.6f && v[1] == 0.8f);
    static const char *const bad[] = { "{}",
                                       "{\"data\":[]}",
                                       "{\"data\":[{\"embedding\":[0,0]}]}",
                                       "{\"data\":[{\"embedding\":[1,\"SECRET\"]}]}",
                                       "{\"data\":[{\"embedding\":[1]}]}",
                                       "{\"data\":[{\"embedding\":[1e300,1]}]}",
                                       "[1",
                                       "{\"data\":{\"embedding\":[1,0]}}" };
    for (size_t i = 0; i < WD_COUNT(bad); i++) {
        script = bad[i];
        assert_fails(e->embed(e->self, a, &em, &v, &dim, &n, &err), WD_E_CORRUPT, "127.0.0.1:");
    }
    const wd_rerank_pair pair = { .query = { .parts = { &question, 1 } },
                                  .document = { .parts = { &question, 1 } } };
    script = "{\"results\":[{\"index\":0,\"relevance_score\":0.25}],\"usage\":{\"total_tokens\":7}}";
    assert_ok(e->rerank(e->self, a, &pair, &score, &n, &err));
    assert_true(score > 0.24 && score < 0.26 && n == 7);
    assert_json(body_of(&u),
                "{\"model\":\"m\",\"query\":\"Which CRP?\",\"documents\":[\"Which CRP?\"],\"top_n\":1,"
                "\"return_documents\":false}");
    script = "[{\"score\":1.0,\"index\":0}]";
    assert_ok(e->rerank(e->self, a, &pair, &score, &n, &err));
    static const char *const off[] = { "{\"results\":[]}",
                                       "{\"results\":[{\"relevance_score\":-7.5}]}",
                                       "{\"results\":[{\"relevance_score\":\"SECRET\"}]}",
                                       "{\"results\":[{\"score\":0},{\"score\":1}]}",
                                       "{}",
                                       "null" };
    for (size_t i = 0; i < WD_COUNT(off); i++) {
        script = off[i];
        assert_fails(e->rerank(e->self, a, &pair, &score, &n, &err), WD_E_CORRUPT, "127.0.0.1:");
    }
    wd_engine_destroy(e);
    upstream_stop(&u);
    wd_arena_destroy(a);
}

/* --- creation and memory ----------------------------------------------------------------------------------- */

static void what_cannot_be_an_upstream_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *url, *key;
        wd_status st;
        const char *part;
    } t[] = {
        { "ftp://127.0.0.1/v1", NULL, WD_E_USAGE, "" },
        { "127.0.0.1:8000", NULL, WD_E_USAGE, "" },
        { "", NULL, WD_E_USAGE, "expected one like" },
        { "http://127.0.0.1:99999/v1", NULL, WD_E_USAGE, "expected one like" },
        { "http://name:SECRET@127.0.0.1/v1", NULL, WD_E_USAGE, "without name" },
        { "http://127.0.0.1/v1?key=SECRET", NULL, WD_E_USAGE, "without name" },
        { "http://127.0.0.1/v1#x", NULL, WD_E_USAGE, "expected one like" },
        { "http://10.1.2.3:8000/v1", NULL, WD_E_USAGE, "unencrypted" },
        { "http://127.0.0.1.example.org/v1", NULL, WD_E_USAGE, "unencrypted" },
        { "http://[::2]/v1", NULL, WD_E_USAGE, "unencrypted" },
        { "http://127.0.0.1:1/v1", "a\r\nX: b", WD_E_USAGE, "header" },
    };
    wd_engine *e = NULL;
    for (size_t i = 0; i < WD_COUNT(t); i++) {
        wd_remote_opts o = WD_REMOTE_OPTS_DEFAULT;
        wd_err err = { 0 };
        o.url = &t[i].url;
        o.n_url = 1;
        o.key = t[i].key;
        const wd_status st = wd_remote_create(&o, NULL, &e, &err);
        if (st != t[i].st || !strstr(err.text, t[i].part) || strstr(err.text, "SECRET") || e)
            fail_msg("row %zu: %s: %s", i, wd_status_name(st), err.text);
    }
    static const struct {
        const char *models;
        wd_status st;
        const char *part;
    } lists[] = {
        { "{\"data\":[]}", WD_E_NOT_FOUND, "lists no model" },
        { "{\"data\":[{\"id\":\"a\"},{\"id\":\"b\"}]}", WD_E_USAGE, "2 models" },
        { "{\"data\":[{\"id\":\"a\\nb\"}]}", WD_E_CORRUPT, "name of its model" },
        { "{\"data\":[{\"id\":7}]}", WD_E_CORRUPT, "name of its model" },
        { "{\"data\":7}", WD_E_CORRUPT, "no array" },
        { "<html>SECRET", WD_E_CORRUPT, "not JSON" },
    };
    for (size_t i = 0; i < WD_COUNT(lists); i++) {
        upstream u;
        upstream_start(&u, say_hello, lists[i].models);
        assert_fails(create(WD_REMOTE_OPTS_DEFAULT, (const upstream *const[]){ &u }, 1, &e, &err),
                     lists[i].st, lists[i].part);
        upstream_stop(&u);
    }
    upstream u; /* a name that was given is taken, listed or not */
    wd_remote_opts o = WD_REMOTE_OPTS_DEFAULT;
    o.model = "b";
    upstream_start(&u, say_hello, lists[1].models);
    e = open_one(&u, o);
    assert_string_equal(wd_remote_model(e), "b");
    wd_engine_destroy(e);
    upstream_stop(&u);
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    upstream u;
    upstream_start(&u, say_script, NULL);
    wd_engine *e = open_one(&u, WD_REMOTE_OPTS_DEFAULT);
    wd_generate rq = ask(NULL);
    rq.chat.tools.text = WD_SPAN_LIT("[{\"type\":\"function\",\"function\":{\"name\":\"labs\"}}]");
    script = CONTENT("<think>a</think>b")
        CHUNK("\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"labs\","
              "\"arguments\":\"{}\"}}]",
              "\"tool_calls\"") USAGE DONE;
    bool good = false;
    for (uint64_t nth = 1; !good; nth++) {
        wd_generated g;
        wd_err err = { 0 };
        wd_inject_failure(nth);
        const wd_status st = generate(e, &rq, &g, &err);
        const uint64_t passed = wd_inject_failure(0);
        if (st != WD_OK && st != WD_E_NOMEM)
            fail_msg("allocation %u: %s: %s", (unsigned)nth, wd_status_name(st), err.text);
        if (st == WD_OK) {
            assert_int_equal(g.reply.n_call, 1);
            wd_parsed_free(&g.reply);
            good = passed < nth;
        }
        assert_true(nth < 2000);
    }
    wd_engine_destroy(e);
    upstream_stop(&u);
}

/* --- events of a stream -------------------------------------------------------------------------------------- */

static wd_status join(void *self, wd_span data, wd_err *err)
{
    (void)err;
    wd_buf_char(self, '<');
    wd_buf_span(self, data);
    wd_buf_char(self, '>');
    return WD_OK;
}

static void events_are_read_wherever_the_stream_is_cut(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } t[] = {
        { "data: a\n\n", "<a>" },
        { "data:a\r\n\r\ndata:  b\r\rdata: c\n\r\n", "<a>< b><c>" },
        { "\xEF\xBB\xBF"
          "data: a\n\ndata\n\ndata: \n\n",
          "<a><><>" },
        { ": x\nevent: y\nid: 1\ndata: a\ndata: b\nretry: 5\n\n", "<a\nb>" },
        { "data: a\n", "" },
        { "dataset: a\n\n\n\n\xEF\xBB\xBF"
          "data: b\n\n",
          "" },
    };
    for (size_t i = 0; i < WD_COUNT(t); i++) {
        const wd_span in = wd_span_str(t[i].in);
        for (size_t step = 1; step <= in.n; step++) {
            wd_buf got = { 0 };
            wd_sse s;
            wd_sse_init(&s, 64, join, &got);
            for (size_t at = 0; at < in.n; at += step)
                assert_ok(wd_sse_feed(&s, wd_span_sub(in, at, step), &err));
            if (!wd_span_is(wd_buf_view(&got), t[i].out))
                fail_msg("row %zu in steps of %zu: %.*s", i, step, (int)got.n, (const char *)got.p);
            wd_sse_deinit(&s);
            wd_buf_free(&got);
        }
    }
    wd_sse s;
    wd_buf got = { 0 };
    wd_sse_init(&s, 8, join, &got);
    assert_fails(wd_sse_feed(&s, WD_SPAN_LIT("data: much too long"), &err), WD_E_LIMIT,
                 "a line of more than 8");
    wd_sse_deinit(&s);
    wd_sse_init(&s, 8, join, &got);
    assert_fails(wd_sse_feed(&s, WD_SPAN_LIT("data:abc\ndata:def\ndata:ghi\n"), &err), WD_E_LIMIT,
                 "an event");
    wd_sse_deinit(&s);
    wd_buf_free(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_read_wherever_the_stream_is_cut),
        cmocka_unit_test(a_reply_comes_as_events_with_its_counts),
        cmocka_unit_test(a_request_says_what_was_asked_for),
        cmocka_unit_test(tokens_are_continued_as_they_stand),
        cmocka_unit_test(what_an_upstream_has_no_field_for_is_refused_by_name),
        cmocka_unit_test(a_constraint_is_sent_and_checked),
        cmocka_unit_test(what_cannot_be_reached_is_asked_elsewhere),
        cmocka_unit_test(nothing_is_repeated_once_a_piece_has_come),
        cmocka_unit_test(it_waits_as_long_as_it_is_asked_to),
        cmocka_unit_test(calls_go_where_the_fewest_are_under_way),
        cmocka_unit_test(an_upstream_that_is_ill_is_left_alone_until_it_is_well),
        cmocka_unit_test(a_cancelled_call_ends_within_100_ms_and_hangs_up),
        cmocka_unit_test(silence_has_its_limits),
        cmocka_unit_test(a_hostile_upstream_gets_nowhere),
        cmocka_unit_test(a_refusal_becomes_one_sentence_without_its_words),
        cmocka_unit_test(vectors_and_scores_are_checked),
        cmocka_unit_test(what_cannot_be_an_upstream_is_refused),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
