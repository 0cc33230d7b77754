/* Responses that are kept: read back, continued and deleted by their owner alone, in memory and on disk. */
#include "support/test.h"

#include <stdio.h>

#include "base/file.h"
#include "guard/admin.h"
#include "serve/client.h"
#include "serve/keys.h"
#include "serve/serve.h"
#include "support/scripted.h"

#define PATH "/v1/responses"

typedef struct rig {
    scripted engine;
    char heard[65536]; /* the last request's messages: "U:hello A:good day" */
    size_t n_asked;
    wd_server *server;
    wd_serve_opts o;
    test_keys keys;
    bool guarded;
} rig;

static void listen_to(void *ctx, const wd_generate *rq, size_t i)
{
    rig *r = ctx;
    size_t n = 0;
    if (i)
        return;
    r->heard[0] = 0;
    r->n_asked++;
    for (size_t m = 0; m < rq->chat.n_message; m++) {
        const wd_message *one = &rq->chat.message[m];
        n += (size_t)snprintf(r->heard + n, sizeof r->heard - n, "%s%c:", m ? " " : "", "SUAT"[one->role]);
        for (size_t p = 0; p < one->n_part && n < sizeof r->heard; p++)
            n += (size_t)snprintf(r->heard + n, sizeof r->heard - n, "%.*s", (int)one->part[p].text.n,
                                  (const char *)one->part[p].text.p);
        assert_true(n < sizeof r->heard);
    }
}

static void rig_init(rig *r, bool guarded)
{
    static const char *const replies[] = { "one", "two", "three", "four" };
    memset(r, 0, sizeof *r);
    scripted_init(&r->engine, replies, WD_COUNT(replies));
    r->engine.before_token = listen_to;
    r->engine.ctx = r;
    r->guarded = guarded;
    r->o = WD_SERVE_OPTS_DEFAULT;
    if (guarded) {
        test_keys_make(&r->keys);
        r->o.guard = r->keys.guard;
        r->o.data = r->keys.dir;
    }
    r->o.engine = &r->engine.engine;
    r->o.model = "scripted";
    r->o.version = "0";
    r->o.port = 0;
}

static void rig_start(rig *r)
{
    assert_ok(wd_serve_start(&r->o, &r->server, &err));
}

static answer call(const rig *r, const char *who, const char *method, const char *path, const char *body)
{
    answer a;
    char headers[200];
    snprintf(headers, sizeof headers, "Connection: close\r\n%s%s%s", who ? "Authorization: " : "",
             who ? who : "", who ? "\r\n" : "");
    const int fd = dial(wd_serve_port(r->server));
    ask_with(fd, method, path, headers, body);
    hear(fd, &a);
    return a;
}

/* A response of this body: its id in `id`, its whole text in `text` where that is not NULL. */
static void respond(const rig *r, const char *who, const char *body, char id[64], wd_buf *text)
{
    answer a = call(r, who, "POST", PATH, body);
    if (a.status != 200)
        fail_msg("%s: %s", body, (char *)a.raw.p);
    json_t *v = json_of(&a);
    snprintf(id, 64, "%s", text_at(v, "id"));
    if (text)
        wd_buf_span(text, wd_buf_view(&a.body));
    json_decref(v);
    answer_free(&a);
}

static void a_kept_response_comes_back_as_it_was_to_its_owner_alone(void **state)
{
    (void)state;
    for (int guarded = 0; guarded < 2; guarded++) {
        static rig r;
        char id[64], path[128];
        wd_buf text = { 0 };
        rig_init(&r, guarded);
        rig_start(&r);
        const char *me = guarded ? r.keys.clinician : NULL;
        respond(&r, me, "{\"input\":\"hello\",\"store\":true,\"temperature\":0.6,\"metadata\":{\"a\":\"b\"}}",
                id, &text);
        assert_non_null(strstr((char *)text.p, "\"store\":true"));
        snprintf(path, sizeof path, PATH "/%s", id);
        answer a = call(&r, me, "GET", path, "");
        assert_int_equal(a.status, 200);
        assert_string_equal((char *)a.body.p, (char *)text.p); /* to the byte */
        answer_free(&a);
        expect_answer(call(&r, me, "GET", PATH "/resp_0123456789abcdefghijABCD", ""), 404,
                      "no such response");
        snprintf(path, sizeof path, PATH "/%s?stream=true", id);
        expect_answer(call(&r, me, "GET", path, ""), 400, "\"param\":\"stream\"");
        snprintf(path, sizeof path, PATH "/%s", id);
        if (guarded) {
            char body[160];
            snprintf(body, sizeof body, "{\"input\":\"x\",\"previous_response_id\":\"%s\"}", id);
            expect_answer(call(&r, r.keys.other, "GET", path, ""), 404, "no such response");
            expect_answer(call(&r, r.keys.north, "GET", path, ""), 404, "no such response");
            expect_answer(call(&r, r.keys.other, "DELETE", path, ""), 404, "no such response");
            expect_answer(call(&r, r.keys.other, "POST", PATH, body), 404,
                          "\"param\":\"previous_response_id\"");
            expect_answer(call(&r, r.keys.auditor, "GET", path, ""), 403, "insufficient_permissions");
            assert_int_equal(r.n_asked, 1);
        }
        expect_answer(call(&r, me, "DELETE", path, ""), 200, "\"object\":\"response\",\"deleted\":true");
        expect_answer(call(&r, me, "GET", path, ""), 404, "no such response");
        expect_answer(call(&r, me, "DELETE", path, ""), 404, "no such response");
        wd_serve_stop(r.server);
        if (guarded)
            assert_int_equal(test_keys_end(&r.keys, "response.read", "done"), 1);
        wd_buf_free(&text);
    }
}

#define ITEMS                                                                                             \
    "[{\"role\":\"user\",\"content\":\"one?\"},{\"id\":\"msg_a\",\"role\":\"assistant\",\"content\":"     \
    "\"one\"},"                                                                                           \
    "{\"type\":\"function_call\",\"id\":\"fc_a\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"}," \
    "{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"12\"},{\"id\":\"msg_a\",\"role\":" \
    "\"user\","                                                                                           \
    "\"content\":[{\"type\":\"input_text\",\"text\":\"and?\"}]}]"

/* Page by page until there is no more: ids one after another. */
static size_t list_input(const rig *r, const char *me, const char *id, const char *query, char ids[1024])
{
    char path[256], after[80] = "";
    size_t n = 0, used = 0;
    ids[0] = 0;
    for (bool more = true; more;) {
        snprintf(path, sizeof path, PATH "/%s/input_items?%s%s%s", id, query, *after ? "&after=" : "", after);
        answer a = call(r, me, "GET", path, "");
        assert_int_equal(a.status, 200);
        json_t *v = json_of(&a), *data = at(v, "data");
        answer_free(&a);
        for (size_t i = 0; i < json_array_size(data); i++, n++)
            used += (size_t)snprintf(ids + used, 1024 - used, "%s ", text_at(json_array_get(data, i), "id"));
        assert_string_equal(text_at(v, "object"), "list");
        assert_string_equal(text_at(v, "first_id"), text_at(v, "data.0.id"));
        snprintf(after, sizeof after, "%s", text_at(v, "last_id"));
        more = json_is_true(at(v, "has_more"));
        json_decref(v);
        assert_true(n < 100);
    }
    return n;
}

static void its_input_is_listed_page_by_page(void **state)
{
    (void)state;
    for (int guarded = 0; guarded < 2; guarded++) {
        static rig r;
        char id[64], path[160], ids[1024], up[256], down[256], body[160];
        rig_init(&r, guarded);
        rig_start(&r);
        const char *me = guarded ? r.keys.clinician : NULL, *own = id + 5;
        respond(&r, me, "{\"store\":true,\"input\":" ITEMS "}", id, NULL);
        /* the second msg_a gets another name: a list cannot go on after an id that is there twice */
        snprintf(up, sizeof up, "msg_%s_0 msg_a fc_a fco_%s_3 msg_%s_4 ", own, own, own);
        snprintf(down, sizeof down, "msg_%s_4 fco_%s_3 fc_a msg_a msg_%s_0 ", own, own, own);
        for (int limit = 1; limit < 7; limit++) {
            snprintf(body, sizeof body, "limit=%d&order=asc", limit);
            assert_int_equal(list_input(&r, me, id, body, ids), 5);
            assert_string_equal(ids, up);
            body[strcspn(body, "&")] = 0; /* not said: the newest first */
            assert_int_equal(list_input(&r, me, id, body, ids), 5);
            assert_string_equal(ids, down);
        }
        snprintf(path, sizeof path, PATH "/%s/input_items?order=asc", id);
        answer a = call(&r, me, "GET", path, "");
        json_t *v = json_of(&a);
        assert_string_equal(text_at(v, "data.0.type"), "message");
        assert_string_equal(text_at(v, "data.0.status"), "completed");
        assert_string_equal(text_at(v, "data.0.content.0.type"), "input_text");
        assert_string_equal(text_at(v, "data.0.content.0.text"), "one?");
        assert_string_equal(text_at(v, "data.1.content.0.type"), "output_text");
        assert_string_equal(text_at(v, "data.3.output"), "12");
        assert_string_equal(text_at(v, "data.4.content.0.text"), "and?");
        json_decref(v);
        answer_free(&a);
        static const char *const bad[] = { "limit=0", "limit=101", "limit=x", "order=up" };
        for (size_t i = 0; i < WD_COUNT(bad); i++) {
            snprintf(path, sizeof path, PATH "/%s/input_items?%s", id, bad[i]);
            snprintf(body, sizeof body, "\"param\":\"%.5s\"", bad[i]);
            expect_answer(call(&r, me, "GET", path, ""), 400, body);
        }
        snprintf(path, sizeof path, PATH "/%s/input_items?after=msg_b", id);
        expect_answer(call(&r, me, "GET", path, ""), 404, "\"param\":\"after\"");
        snprintf(path, sizeof path, PATH "/%s/input_items", id);
        if (guarded) {
            expect_answer(call(&r, r.keys.other, "GET", path, ""), 404, "no such response");
            expect_answer(call(&r, r.keys.north, "GET", path, ""), 404, "no such response");
        }
        /* what went before is the input of the one before */
        snprintf(body, sizeof body, "{\"store\":true,\"input\":\"so\",\"previous_response_id\":\"%s\"}", id);
        respond(&r, me, body, id, NULL);
        assert_int_equal(list_input(&r, me, id, "order=asc", ids), 1);
        wd_serve_stop(r.server);
        if (guarded)
            assert_true(test_keys_end(&r.keys, "response.input", "done") > 20);
    }
}

static void what_was_not_to_be_kept_is_not(void **state)
{
    (void)state;
    for (int by_default = 0; by_default < 2; by_default++) {
        static rig r;
        char id[64], path[128];
        rig_init(&r, false);
        r.o.store_responses = by_default;
        rig_start(&r);
        respond(&r, NULL, "{\"input\":\"hello\",\"store\":false}", id, NULL);
        snprintf(path, sizeof path, PATH "/%s", id);
        expect_answer(call(&r, NULL, "GET", path, ""), 404, "no such response");
        respond(&r, NULL, "{\"input\":\"hello\"}", id, NULL);
        snprintf(path, sizeof path, PATH "/%s", id);
        if (by_default)
            expect_answer(call(&r, NULL, "GET", path, ""), 200, "\"store\":true");
        else
            expect_answer(call(&r, NULL, "GET", path, ""), 404, "no such response");
        r.engine.fail = WD_E_LIMIT; /* nothing was said: nothing is kept */
        expect_answer(call(&r, NULL, "POST", PATH, "{\"input\":\"x\",\"store\":true}"), 400,
                      "context_length_exceeded");
        wd_serve_stop(r.server);
    }
}

static void what_was_said_before_comes_before_the_input(void **state)
{
    (void)state;
    for (int guarded = 0; guarded < 2; guarded++) {
        static rig r;
        char a[64], b[64], c[64], body[256], path[128];
        rig_init(&r, guarded);
        rig_start(&r);
        const char *me = guarded ? r.keys.clinician : NULL;
        respond(&r, me, "{\"input\":\"hello\",\"instructions\":\"Be brief.\",\"store\":true}", a, NULL);
        assert_string_equal(r.heard, "S:Be brief. U:hello");
        if (guarded) { /* on disk it outlives the server */
            wd_serve_stop(r.server);
            rig_start(&r);
        }
        snprintf(body, sizeof body,
                 "{\"input\":[{\"role\":\"user\",\"content\":\"and?\"}],\"store\":true,"
                 "\"previous_response_id\":\"%s\"}",
                 a);
        respond(&r, me, body, b, NULL);
        assert_string_equal(r.heard, "U:hello A:one U:and?"); /* instructions are each request's own */
        snprintf(body, sizeof body,
                 "{\"input\":\"so\",\"stream\":true,\"store\":true,\"previous_response_id\":\"%s\"}", b);
        answer s = call(&r, me, "POST", PATH, body);
        assert_int_equal(s.status, 200);
        assert_string_equal(r.heard, "U:hello A:one U:and? A:two U:so");
        const char *at_id = strstr((char *)s.body.p, "\"id\":\"resp_");
        assert_non_null(at_id);
        snprintf(c, sizeof c, "%.29s", at_id + 6);
        answer_free(&s);
        snprintf(path, sizeof path, PATH "/%s", c);
        snprintf(body, sizeof body, "\"previous_response_id\":\"%s\"", b);
        expect_answer(call(&r, me, "GET", path, ""), 200, body);
        snprintf(path, sizeof path, PATH "/%s", a);
        expect_answer(call(&r, me, "DELETE", path, ""), 200, "deleted");
        snprintf(body, sizeof body, "{\"input\":\"x\",\"previous_response_id\":\"%s\"}", c);
        expect_answer(call(&r, me, "POST", PATH, body), 404, "a response that it continues is not there");
        wd_serve_stop(r.server);
        if (guarded)
            assert_int_equal(test_keys_end(&r.keys, "response.create", "done"), 3);
    }
}

/* Whoever reads the directory without the key sees none of it. */
static void on_disk_they_are_sealed(void **state)
{
    (void)state;
    static rig r;
    char id[64], path[600];
    wd_buf b = { 0 };
    rig_init(&r, true);
    rig_start(&r);
    respond(&r, r.keys.clinician, "{\"input\":\"Invented Patient coughs\",\"store\":true}", id, NULL);
    snprintf(path, sizeof path, "%s/responses/%s", r.keys.dir, id);
    assert_ok(wd_file_read(path, 1 << 20, &b, &err));
    assert_true(b.n > 100);
    assert_true(wd_span_find(wd_buf_view(&b), WD_SPAN_LIT("Invented"), 0) == SIZE_MAX);
    assert_true(wd_span_find(wd_buf_view(&b), WD_SPAN_LIT("output"), 0) == SIZE_MAX);
    /* and what was changed there is not handed out */
    b.p[b.n - 20] ^= 1;
    char name[128], body[160];
    FILE *f = fopen(path, "r+b");
    assert_true(f && fwrite(b.p, 1, b.n, f) == b.n && fclose(f) == 0);
    snprintf(name, sizeof name, PATH "/%s", id);
    expect_answer(call(&r, r.keys.clinician, "GET", name, ""), 500, "changed since it was kept");
    snprintf(body, sizeof body, "{\"input\":\"x\",\"previous_response_id\":\"%s\"}", id);
    expect_answer(call(&r, r.keys.clinician, "POST", PATH, body), 500, "changed since it was kept");
    expect_answer(call(&r, r.keys.clinician, "DELETE", name, ""), 200, "deleted");
    wd_buf_free(&b);
    wd_serve_stop(r.server);
    assert_int_equal(test_keys_end(&r.keys, "response.create", "done"), 1);
}

static void a_full_store_is_said_before_anything_is_computed(void **state)
{
    (void)state;
    static rig r;
    char id[64], path[128];
    rig_init(&r, false);
    r.o.responses_bytes = (uint64_t)66 << 10; /* a small one, and the room that one more must find */
    rig_start(&r);
    respond(&r, NULL, "{\"input\":\"hello\",\"store\":true}", id, NULL);
    char big[4096];
    snprintf(big, sizeof big, "{\"input\":\"%03000d\",\"store\":true}", 0);
    const size_t n = r.n_asked;
    expect_answer(call(&r, NULL, "POST", PATH, big), 507, "storage_full");
    assert_int_equal(r.n_asked, n);
    expect_answer(call(&r, NULL, "POST", PATH, "{\"input\":\"hello\"}"), 200, "\"store\":false");
    snprintf(path, sizeof path, PATH "/%s", id);
    expect_answer(call(&r, NULL, "GET", path, ""), 200, "completed"); /* nothing was pushed out */
    wd_serve_stop(r.server);
}

/* What was said before counts as the body that it would have been. */
static void a_chain_has_the_bytes_of_a_body_at_most(void **state)
{
    (void)state;
    static rig r;
    char id[64] = "", body[2400];
    int status = 200;
    size_t n = 0;
    rig_init(&r, false);
    r.o.body_bytes = 8192;
    rig_start(&r);
    for (; status == 200 && n < 20; n++) {
        snprintf(body, sizeof body, "{\"input\":\"%02000d\",\"store\":true%s%s%s}", 0,
                 *id ? ",\"previous_response_id\":\"" : "", id, *id ? "\"" : "");
        answer a = call(&r, NULL, "POST", PATH, body);
        json_t *v = json_of(&a);
        status = a.status;
        snprintf(id, sizeof id, "%s", text_at(v, "id"));
        if (status != 200)
            assert_string_equal(text_at(v, "error.code"), "limit_exceeded");
        json_decref(v);
        answer_free(&a);
    }
    assert_true(n >= 3 && n < 6);
    assert_int_equal(status, 400);
    wd_serve_stop(r.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kept_response_comes_back_as_it_was_to_its_owner_alone),
        cmocka_unit_test(its_input_is_listed_page_by_page),
        cmocka_unit_test(what_was_not_to_be_kept_is_not),
        cmocka_unit_test(what_was_said_before_comes_before_the_input),
        cmocka_unit_test(on_disk_they_are_sealed),
        cmocka_unit_test(a_full_store_is_said_before_anything_is_computed),
        cmocka_unit_test(a_chain_has_the_bytes_of_a_body_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
