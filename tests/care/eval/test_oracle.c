/* The engine that knows the answers, and its record. */
#include "support/test.h"

#include <stdio.h>

#include "base/file.h"
#include "base/json.h"
#include "care/eval/oracle.h"

static uint8_t red[4 * 2 * 3], blue[3 * 3 * 3];
static const wd_image pictures[] = { { red, 4, 2 }, { blue, 3, 3 } };

static wd_status two_frames(void *self, const uint64_t *index, uint32_t n,
                            wd_status (*on_frame)(void *ctx, uint32_t i, const wd_image *frame, wd_err *e),
                            void *ctx, wd_err *e)
{
    for (uint32_t i = 0; i < n; i++) {
        uint8_t grey[2 * 2 * 3];
        memset(grey, (int)index[i], sizeof grey);
        *(uint64_t *)self += 1;
        WD_TRY(on_frame(ctx, i, &(wd_image){ grey, 2, 2 }, e));
    }
    return WD_OK;
}

static wd_status ask(wd_oracle *o, const json_t *tools, wd_generated *g, wd_err *err)
{
    static const wd_part system = { WD_PART_TEXT, { (const uint8_t *)"You help.", 9 } },
                         user[] = { { WD_PART_TEXT, { (const uint8_t *)"Slice 1: ", 9 } },
                                    { .kind = WD_PART_IMAGE } };
    const wd_message message[] = { { .role = WD_ROLE_SYSTEM, .part = &system, .n_part = 1 },
                                   { .role = WD_ROLE_USER, .part = user, .n_part = 2, .is_list = true } };
    const wd_generate rq = { .chat = { .message = message, .n_message = 2, .tools = { .value = tools } },
                             .media = { .image = pictures, .n_image = 1 } };
    wd_engine *e = wd_oracle_engine(o);
    wd_arena *a = wd_arena_create(1 << 20, false);
    const wd_status st = e->generate(e->self, a, &rq, g, err);
    wd_arena_destroy(a);
    return st;
}

static void it_answers_what_it_was_told_in_order(void **state)
{
    (void)state;
    wd_oracle *o;
    wd_generated g;
    assert_ok(wd_oracle_create(NULL, &o, &err));
    wd_oracle_case(o, "s", "c", 7);
    assert_fails(ask(o, NULL, &g, &err), WD_E_INTERNAL,
                 "asked for a reply, but nothing is expected"); /* nobody told */
    wd_oracle_expect(o, WD_SPAN_LIT("one"));
    wd_oracle_expect(o, WD_SPAN_LIT("two"));
    assert_int_equal(wd_oracle_n_expected(o), 2);
    assert_ok(ask(o, NULL, &g, &err));
    assert_string_equal((char *)g.reply.content.p, "one");
    wd_parsed_free(&g.reply);
    assert_ok(ask(o, NULL, &g, &err));
    assert_string_equal((char *)g.reply.content.p, "two");
    assert_int_equal(g.finish, WD_FINISH_STOP);
    wd_parsed_free(&g.reply);
    wd_oracle_expect_score(o, 1);
    assert_fails(ask(o, NULL, &g, &err), WD_E_INTERNAL, "a score is expected next"); /* a score is no reply */
    wd_oracle_case(o, "s", "d", 8);
    assert_int_equal(wd_oracle_n_expected(o), 0);
    wd_oracle_destroy(o);
}

static void a_tool_call_is_taken_apart_as_an_engine_does(void **state)
{
    (void)state;
    wd_oracle *o;
    wd_generated g;
    assert_ok(wd_oracle_create(NULL, &o, &err));
    const char *call = "<tool_call>\n{\"name\": \"labs\", \"arguments\": {\"n\": 3}}\n</tool_call>";
    json_t *tools = json_pack("[{s:s}]", "type", "function");
    wd_oracle_expect(o, wd_span_str(call));
    assert_ok(ask(o, tools, &g, &err));
    assert_int_equal(g.finish, WD_FINISH_TOOL_CALLS);
    assert_int_equal(g.reply.n_call, 1);
    assert_string_equal(g.reply.call[0].name, "labs");
    assert_string_equal(g.reply.call[0].args, "{\"n\": 3}");
    wd_parsed_free(&g.reply);
    wd_oracle_expect(o, wd_span_str(call));
    assert_ok(ask(o, NULL, &g, &err)); /* without tools it is text */
    assert_int_equal(g.reply.n_call, 0);
    assert_string_equal((char *)g.reply.content.p, call);
    wd_parsed_free(&g.reply);
    json_decref(tools);
    wd_oracle_destroy(o);
}

static json_t *line(wd_span *rest)
{
    const size_t end = wd_span_find(*rest, WD_SPAN_LIT("\n"), 0);
    assert_int_not_equal(end, SIZE_MAX);
    json_t *v;
    assert_ok(wd_json_parse(wd_span_sub(*rest, 0, end), "record", &v, &err));
    *rest = wd_span_sub(*rest, end + 1, rest->n);
    return v;
}

static const char *text_at(const json_t *v, const char *list, size_t i, const char *key)
{
    return json_string_value(json_object_get(json_array_get(json_object_get(v, list), i), key));
}

static void the_record_is_what_was_asked_and_the_bytes_of_its_pictures(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    char path[512];
    snprintf(path, sizeof path, "%s/record", dir);
    memset(red, 200, sizeof red);
    memset(blue, 9, sizeof blue);
    wd_oracle *o;
    wd_generated g;
    assert_ok(wd_oracle_create(path, &o, &err));
    json_t *truth = json_pack("{s:i}", "seed", 7), *tools = json_pack("[{s:s}]", "type", "function");
    wd_oracle_case(o, "report", "c7", 7);
    wd_oracle_truth(o, truth);
    wd_oracle_expect(o, WD_SPAN_LIT("{\"findings\": []}"));
    wd_oracle_expect_score(o, 1);
    assert_ok(ask(o, tools, &g, &err));
    wd_parsed_free(&g.reply);

    const wd_part q = { WD_PART_TEXT, WD_SPAN_LIT("A nodule.") }, d = { .kind = WD_PART_IMAGE };
    const wd_rerank_pair pair = { .query = { .parts = { &q, 1 } },
                                  .document = { .parts = { &d, 1 },
                                                .media = { .image = &pictures[1], .n_image = 1 } },
                                  .instruction = WD_SPAN_LIT("Find.") };
    wd_arena *a = wd_arena_create(1 << 20, false);
    wd_engine *e = wd_oracle_engine(o);
    double score = 0;
    size_t n_token;
    assert_ok(e->rerank(e->self, a, &pair, &score, &n_token, &err));
    assert_true(score == 1);
    uint64_t seen = 0;
    const wd_video_source clip = {
        .n_frame = 100, .fps = 25, .width = 2, .height = 2, .frames = two_frames, .self = &seen
    };
    const wd_part v = { .kind = WD_PART_VIDEO };
    const wd_embed item = { .item = { { &v, 1 }, { .video = &clip, .n_video = 1 } } };
    const float *vector;
    uint32_t dim;
    assert_ok(e->embed(e->self, a, &item, &vector, &dim, &n_token, &err));
    assert_int_equal(seen, 8); /* two of 25 per second for four seconds */
    assert_ok(wd_oracle_flush(o, &err));
    wd_oracle_destroy(o);
    wd_arena_destroy(a);

    wd_buf b = { 0 };
    assert_ok(wd_file_read(path, 1 << 20, &b, &err));
    wd_span rest = wd_buf_view(&b);
    json_t *r = line(&rest);
    assert_string_equal(json_string_value(json_object_get(r, "call")), "generate");
    assert_string_equal(json_string_value(json_object_get(r, "case")), "c7");
    assert_int_equal(json_integer_value(json_object_get(r, "seed")), 7);
    assert_string_equal(text_at(r, "messages", 0, "content"), "You help.");
    const json_t *parts = json_object_get(json_array_get(json_object_get(r, "messages"), 1), "content");
    assert_string_equal(json_string_value(json_object_get(json_array_get(parts, 0), "text")), "Slice 1: ");
    assert_string_equal(json_string_value(json_object_get(json_array_get(parts, 1), "type")), "image");
    assert_string_equal(json_string_value(json_object_get(r, "reply")), "{\"findings\": []}");
    assert_true(json_equal(json_object_get(r, "tools"), tools));
    assert_true(json_equal(json_object_get(r, "truth"), truth));
    assert_memory_equal(rest.p, red, sizeof red);
    rest = wd_span_sub(rest, sizeof red, rest.n);
    json_decref(r);

    r = line(&rest);
    assert_string_equal(json_string_value(json_object_get(r, "call")), "rerank");
    assert_string_equal(json_string_value(json_object_get(r, "instruction")), "Find.");
    assert_string_equal(text_at(r, "query", 0, "text"), "A nodule.");
    assert_string_equal(text_at(r, "document", 0, "type"), "image");
    assert_true(json_number_value(json_object_get(r, "score")) == 1);
    assert_null(json_object_get(r, "truth")); /* once per case */
    assert_memory_equal(rest.p, blue, sizeof blue);
    rest = wd_span_sub(rest, sizeof blue, rest.n);
    json_decref(r);

    r = line(&rest);
    const json_t *video = json_array_get(json_object_get(r, "videos"), 0);
    const json_t *frames = json_object_get(video, "frames");
    assert_int_equal(json_array_size(frames), 8);
    assert_int_equal(json_integer_value(json_array_get(frames, 7)), 99);
    assert_int_equal(rest.n, 8 * 12);
    assert_int_equal(rest.p[rest.n - 1], 99);
    json_decref(r);
    json_decref(truth);
    json_decref(tools);
    wd_buf_free(&b);
    test_rm_dir(dir);
}

static void a_full_disk_ends_it_with_a_sentence(void **state)
{
    (void)state;
    wd_oracle *o;
    assert_fails(wd_oracle_create("/no/such/folder/record", &o, &err), WD_E_IO, "/no/such/folder/record: ");
    assert_null(o);
    if (!wd_file_exists("/dev/full"))
        skip();
    wd_generated g;
    assert_ok(wd_oracle_create("/dev/full", &o, &err));
    wd_oracle_expect(o, WD_SPAN_LIT("x"));
    assert_ok(ask(o, NULL, &g, &err)); /* still in the stream's buffer */
    wd_parsed_free(&g.reply);
    assert_fails(wd_oracle_flush(o, &err), WD_E_IO, "/dev/full: cannot write the record: No space left");
    assert_true(wd_oracle_failed(o));
    wd_oracle_expect(o, WD_SPAN_LIT("x"));
    assert_fails(ask(o, NULL, &g, &err), WD_E_IO, "/dev/full");
    wd_oracle_destroy(o);
}

/* An engine that answers by itself. */
static const uint32_t prompt_ids[] = { 5, 6, 7 }, reply_ids[] = { 8, 9 };

static wd_status inner_generate(void *self, wd_arena *a, const wd_generate *rq, wd_generated *out,
                                wd_err *err)
{
    (void)a, (void)rq;
    if (*(bool *)self)
        return WD_FAIL(err, WD_E_LIMIT, "inner failure");
    *out = (wd_generated){ .prompt_id = prompt_ids, .n_prompt = 3, .id = reply_ids, .n_id = 2 };
    wd_buf_str(&out->reply.content, "its own");
    return WD_OK;
}

static wd_status inner_rerank(void *self, wd_arena *a, const wd_rerank_pair *rq, double *score,
                              size_t *n_token, wd_err *err)
{
    (void)self, (void)a, (void)rq, (void)err;
    *score = 0.25;
    *n_token = 3;
    return WD_OK;
}

static void a_witness_passes_on_and_writes_down(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    char path[512];
    snprintf(path, sizeof path, "%s/record", dir);
    bool fails = false;
    wd_engine inner = { .self = &fails,
                        .info = { .name = "inner", .context = 99 },
                        .generate = inner_generate,
                        .rerank = inner_rerank };
    wd_oracle *o;
    wd_generated g;
    assert_ok(wd_oracle_create_around(&inner, path, &o, &err));
    assert_string_equal(wd_oracle_engine(o)->info.name, "inner");
    wd_oracle_case(o, "report", "c1", 1);
    assert_ok(ask(o, NULL, &g, &err)); /* nothing need be expected */
    assert_string_equal((char *)g.reply.content.p, "its own");
    assert_int_equal(g.n_id, 2);
    wd_parsed_free(&g.reply);
    const wd_part q = { WD_PART_TEXT, WD_SPAN_LIT("A nodule.") };
    const wd_rerank_pair pair = { .query = { .parts = { &q, 1 } }, .document = { .parts = { &q, 1 } } };
    wd_arena *a = wd_arena_create(1 << 20, false);
    double score;
    size_t n_token;
    wd_engine *e = wd_oracle_engine(o);
    assert_ok(e->rerank(e->self, a, &pair, &score, &n_token, &err));
    assert_true(score == 0.25 && n_token == 3);
    fails = true;
    assert_fails(ask(o, NULL, &g, &err), WD_E_LIMIT, "inner failure");
    assert_ok(wd_oracle_flush(o, &err));
    wd_oracle_destroy(o);
    wd_arena_destroy(a);

    wd_buf b = { 0 };
    assert_ok(wd_file_read(path, 1 << 20, &b, &err));
    wd_span rest = wd_buf_view(&b);
    json_t *r = line(&rest);
    assert_string_equal(json_string_value(json_object_get(r, "reply")), "its own");
    assert_string_equal(json_string_value(json_object_get(r, "finish")), "stop");
    assert_int_equal(json_array_size(json_object_get(r, "prompt_ids")), 3);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(r, "reply_ids"), 1)), 9);
    json_decref(r);
    rest = wd_span_sub(rest, sizeof red, rest.n);
    r = line(&rest);
    assert_true(json_number_value(json_object_get(r, "score")) == 0.25);
    assert_int_equal(rest.n, 0); /* what failed is not there */
    json_decref(r);
    wd_buf_free(&b);
    test_rm_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_answers_what_it_was_told_in_order),
        cmocka_unit_test(a_tool_call_is_taken_apart_as_an_engine_does),
        cmocka_unit_test(the_record_is_what_was_asked_and_the_bytes_of_its_pictures),
        cmocka_unit_test(a_witness_passes_on_and_writes_down),
        cmocka_unit_test(a_full_disk_ends_it_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
