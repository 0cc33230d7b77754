/* The server behind the guard: who gets in, and what the audit holds afterwards. */
#include "support/test.h"

#include <stdio.h>

#include "serve/client.h"
#include "serve/keys.h"
#include "serve/serve.h"
#include "support/scripted.h"

#define CHAT "/v1/chat/completions"
#define HELLO "{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]"

static wd_server *start(scripted *engine, const test_keys *k)
{
    wd_serve_opts o = WD_SERVE_OPTS_DEFAULT;
    wd_server *s;
    static const char *const reply[] = { "good day" }; /* the engine reads it as long as it lives */
    scripted_init(engine, reply, 1);
    o.engine = &engine->engine;
    o.guard = k->guard;
    o.model = "scripted";
    o.version = "0";
    o.port = 0;
    assert_ok(wd_serve_start(&o, &s, &err));
    return s;
}

static answer get(wd_server *s, const char *authorization, const char *path, const char *body)
{
    answer a;
    char headers[160];
    snprintf(headers, sizeof headers, "Connection: close\r\n%s%s%s", authorization ? "Authorization: " : "",
             authorization ? authorization : "", authorization ? "\r\n" : "");
    const int fd = dial(wd_serve_port(s));
    ask_with(fd, *body ? "POST" : "GET", path, headers, body);
    hear(fd, &a);
    return a;
}

static void expect(wd_server *s, const char *authorization, const char *path, const char *body, int status)
{
    answer a = get(s, authorization, path, body);
    if (a.status != status)
        fail_msg("%s as %.16s: %s", path, authorization ? authorization : "nobody", (char *)a.raw.p);
    answer_free(&a);
}

static void only_those_who_may_are_served_and_each_request_is_recorded(void **state)
{
    (void)state;
    static scripted engine;
    test_keys k;
    test_keys_make(&k);
    wd_server *s = start(&engine, &k);
    expect(s, NULL, "/health", "", 200);
    expect(s, NULL, "/v1/models", "", 401);
    expect(s, NULL, CHAT, HELLO "}", 401);
    expect(s, "Bearer ward_nonsense", CHAT, HELLO "}", 401);
    expect(s, k.auditor, CHAT, HELLO "}", 403);
    assert_int_equal(engine.n_asked, 0);
    expect(s, k.clinician, "/v1/models", "", 200);
    expect(s, k.clinician, CHAT, HELLO "}", 200);
    expect(s, k.clinician, CHAT, HELLO ",\"stream\":true}", 200);
    expect(s, k.clinician, CHAT, HELLO ",\"temperature\":\"hot\"}", 400);
    assert_int_equal(engine.n_asked, 2);
    wd_serve_stop(s);
    assert_int_equal(test_keys_end(&k, "chat.create", "done"), 2);
}

static void what_is_refused_and_what_is_wrong_is_recorded(void **state)
{
    (void)state;
    static scripted engine;
    test_keys k;
    test_keys_make(&k);
    wd_server *s = start(&engine, &k);
    expect(s, k.auditor, CHAT, HELLO "}", 403);
    expect(s, k.clinician, CHAT, HELLO ",\"n\":0}", 400);
    expect(s, k.clinician, CHAT, "{", 400);
    wd_serve_stop(s);
    assert_int_equal(test_keys_end(&k, "chat.create", "invalid"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_those_who_may_are_served_and_each_request_is_recorded),
        cmocka_unit_test(what_is_refused_and_what_is_wrong_is_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
