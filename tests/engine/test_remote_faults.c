/* The port over upstreams that break off, have no room, stay silent or mean harm: who is asked again, how long, and what
 * becomes of it. */
#include "remote_rig.h"

#include <arpa/inet.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

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
    test_host_send(fd, CONTENT("Hel"));
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
    while (atomic_load(&hold) && !atomic_load(&u->host.stop))
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
    atomic_fetch_add(&hung_up, test_host_hung_up(&u->host, fd, 20000));
    return false;
}

static bool stop_in_the_middle(upstream *u, int fd, size_t nth)
{
    (void)nth;
    upstream_stream(fd);
    test_host_send(fd, CONTENT("Hel"));
    atomic_fetch_add(&hung_up, test_host_hung_up(&u->host, fd, 20000));
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
    test_host_send(fd, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 100000 && !test_host_hung_up(&u->host, fd, 0); i++)
        test_host_send(fd, "X-A: SECRET\r\n");
    return false;
}

static bool endless_continue(upstream *u, int fd, size_t nth)
{
    (void)nth;
    for (int i = 0; i < 100000 && !test_host_hung_up(&u->host, fd, 0); i++)
        test_host_send(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    return false;
}

static bool long_line(upstream *u, int fd, size_t nth)
{
    char some[4096];
    (void)nth;
    memset(some, 'x', sizeof some);
    upstream_stream(fd);
    for (int i = 0; i < 10000 && !test_host_hung_up(&u->host, fd, 0); i++)
        test_host_sendn(fd, some, sizeof some);
    return false;
}

static bool endless_error(upstream *u, int fd, size_t nth)
{
    char some[4096];
    (void)nth;
    memset(some, 'x', sizeof some);
    test_host_send(fd, "HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\n\r\n");
    for (int i = 0; i < 10000 && !test_host_hung_up(&u->host, fd, 0); i++)
        test_host_sendn(fd, some, sizeof some);
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
    test_host_send(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\nSECRET");
    return true;
}

static bool no_http(upstream *u, int fd, size_t nth)
{
    (void)u, (void)nth;
    test_host_send(fd, "SECRET\r\n\r\n");
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
          CHUNK("\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]", "null")
              CHUNK("\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"SECRET\"}}]", "null"),
          WD_E_CORRUPT, "name goes on" },
        { NULL,
          CHUNK("\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\"}},{\"index\":1}]", "null")
              CHUNK("\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"SECRET\"}}]", "null"),
          WD_E_CORRUPT, "after the next one began" },
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_reached_is_asked_elsewhere),
        cmocka_unit_test(nothing_is_repeated_once_a_piece_has_come),
        cmocka_unit_test(it_waits_as_long_as_it_is_asked_to),
        cmocka_unit_test(calls_go_where_the_fewest_are_under_way),
        cmocka_unit_test(an_upstream_that_is_ill_is_left_alone_until_it_is_well),
        cmocka_unit_test(a_cancelled_call_ends_within_100_ms_and_hangs_up),
        cmocka_unit_test(silence_has_its_limits),
        cmocka_unit_test(a_hostile_upstream_gets_nowhere),
        cmocka_unit_test(a_refusal_becomes_one_sentence_without_its_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
