/* The port over scripted upstreams: what is asked, and what becomes of the answer. */
#include "remote_rig.h"

#include "base/json.h"
#include "engine/remote/sse.h"

/* --- replies ----------------------------------------------------------------------------------------------- */

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
    wd_engine_destroy(e);
    upstream_stop(&u);
}

#define PIECE(i, rest) CHUNK("\"tool_calls\":[{\"index\":" i ",\"function\":{" rest "}}]", "null")
#define ARGS(i, text) PIECE(i, "\"arguments\":\"" text "\"")

static void calls_are_told_of_while_they_grow(void **state)
{
    (void)state;
    static const struct {
        const char *script, *seen, *content, *calls[2];
        wd_finish finish;
    } of[] = {
        /* as servers stream them; one without arguments */
        { PIECE("0", "\"name\":\"labs\",\"arguments\":\"\"") ARGS("0", "{\\\"t\\\":") ARGS("0", "1}")
              PIECE("1", "\"name\":\"meds\"") CHUNK("", "\"tool_calls\"") DONE,
          "N[labs ]A[{\"t\":]A[1}]T[labs {\"t\":1}]N[meds ]A[{}]T[meds {}]",
          "",
          { "{\"t\":1}", "{}" },
          WD_FINISH_TOOL_CALLS },
        /* at once, and two in one chunk */
        { CHUNK("\"content\":\"Look.\",\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"a\","
                "\"arguments\":\"{}\"}},{\"index\":1,\"function\":{\"name\":\"b\",\"arguments\":\"{ }\"}}]",
                "null") STOP DONE,
          "C[Look.]N[a ]A[{}]T[a {}]N[b ]A[{ }]T[b { }]",
          "Look.",
          { "{}", "{ }" },
          WD_FINISH_TOOL_CALLS },
        /* cut within escapes, a pair of surrogates among them: what is told is whole */
        { PIECE("0", "\"name\":\"f\"") ARGS("0", "{\\\"t\\\":\\\"a\\\\") ARGS("0", "n\\\\u00")
              ARGS("0", "e9\\\\ud83d") ARGS("0", "\\\\ude00</tool_call>\\\"") ARGS("0", "}") STOP DONE,
          "N[f ]A[{\"t\":\"a]A[\\n]A[\\u00e9]A[\\ud83d\\ude00</tool_call>\"]A[}]"
          "T[f {\"t\":\"a\\n\\u00e9\\ud83d\\ude00</tool_call>\"}]",
          "",
          { "{\"t\":\"a\\n\\u00e9\\ud83d\\ude00</tool_call>\"}", NULL },
          WD_FINISH_TOOL_CALLS },
        /* the limit of tokens ends the second: a whole reply has it as what the model wrote */
        { PIECE("0", "\"name\":\"f\",\"arguments\":\"{}\"") PIECE("1", "\"name\":\"g\"")
              ARGS("1", "{\\\"t\\\":\\\"12") CHUNK("", "\"length\"") DONE,
          "N[f ]A[{}]T[f {}]N[g ]A[{\"t\":\"12]C[<tool_call>]C[\n{\"name\": \"g\", \"arguments\": "
          "{\"t\":\"12]",
          "<tool_call>\n{\"name\": \"g\", \"arguments\": {\"t\":\"12",
          { "{}", NULL },
          WD_FINISH_LENGTH },
    };
    upstream u;
    seen s;
    upstream_start(&u, say_script, NULL);
    wd_engine *e = open_one(&u, WD_REMOTE_OPTS_DEFAULT);
    for (size_t i = 0; i < WD_COUNT(of); i++) {
        wd_generated g;
        wd_generate rq = ask(&s);
        rq.chat.tools.text = WD_SPAN_LIT("[{\"type\":\"function\",\"function\":{\"name\":\"labs\"}}]");
        script = of[i].script;
        assert_ok(generate(e, &rq, &g, &err));
        assert_string_equal(s.text, of[i].seen);
        assert_true(wd_span_is(wd_buf_view(&g.reply.content), of[i].content));
        assert_int_equal(g.reply.n_call, (size_t)1 + (of[i].calls[1] != NULL));
        for (size_t k = 0; k < g.reply.n_call; k++)
            assert_string_equal(g.reply.call[k].args, of[i].calls[k]);
        assert_int_equal(g.finish, of[i].finish);
        wd_parsed_free(&g.reply);
    }
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
    test_host_send(
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
        cmocka_unit_test(calls_are_told_of_while_they_grow),
        cmocka_unit_test(a_request_says_what_was_asked_for),
        cmocka_unit_test(tokens_are_continued_as_they_stand),
        cmocka_unit_test(what_an_upstream_has_no_field_for_is_refused_by_name),
        cmocka_unit_test(a_constraint_is_sent_and_checked),
        cmocka_unit_test(vectors_and_scores_are_checked),
        cmocka_unit_test(what_cannot_be_an_upstream_is_refused),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
