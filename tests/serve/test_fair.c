/* Tenants beside each other: a flood of one leaves another a worker and a place in the queue. */
#include "support/test.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "serve/client.h"
#include "serve/keys.h"
#include "serve/serve.h"
#include "support/scripted.h"

#define CHAT "/v1/chat/completions"

/* Generations stand before their first token until it opens, and are counted in the order in which they came. */
typedef struct rig {
    scripted engine;
    test_keys keys;
    wd_server *server;
    atomic_bool shut;
    atomic_uint n_there; /* that came */
    atomic_uint let;     /* so many may pass though it is shut */
    atomic_uint n_passed;
    char who[64]; /* [n_there] first letter of the prompt: under mu */
    pthread_mutex_t mu;
} rig;

static void gate(void *ctx, const wd_generate *rq, size_t i)
{
    rig *r = ctx;
    if (i)
        return;
    const wd_message *m = &rq->chat.message[0];
    pthread_mutex_lock(&r->mu);
    const unsigned place = atomic_load(&r->n_there);
    assert_true(place < sizeof r->who);
    r->who[place] = (char)m->part[0].text.p[0];
    atomic_fetch_add(&r->n_there, 1); /* whoever sees it sees the letter */
    pthread_mutex_unlock(&r->mu);
    while (atomic_load(&r->shut) && place >= atomic_load(&r->let) && !atomic_load(rq->watch.cancel))
        poll(NULL, 0, 1);
    atomic_fetch_add(&r->n_passed, 1);
}

static void rig_start(rig *r, uint32_t max_running, uint32_t max_waiting)
{
    static const char *const reply[] = { "good day" };
    wd_serve_opts o = WD_SERVE_OPTS_DEFAULT;
    memset(r, 0, sizeof *r);
    pthread_mutex_init(&r->mu, NULL);
    scripted_init(&r->engine, reply, 1);
    r->engine.ctx = r;
    r->engine.before_token = gate;
    atomic_store(&r->shut, true);
    test_keys_make(&r->keys);
    o.engine = &r->engine.engine;
    o.guard = r->keys.guard;
    o.model = "scripted";
    o.version = "0";
    o.port = 0;
    o.max_running = max_running;
    o.max_waiting = max_waiting;
    assert_ok(wd_serve_start(&o, &r->server, &err));
}

static void rig_stop(rig *r, unsigned n_done)
{
    wd_serve_stop(r->server);
    assert_int_equal(test_keys_end(&r->keys, "chat.create", "done"), n_done);
    pthread_mutex_destroy(&r->mu);
}

/* A request whose prompt is one letter. */
static int send_one(const rig *r, const char *key, char letter)
{
    char headers[160], body[128];
    const int fd = dial(wd_serve_port(r->server));
    snprintf(headers, sizeof headers, "Connection: close\r\nAuthorization: %s\r\n", key);
    snprintf(body, sizeof body, "{\"messages\":[{\"role\":\"user\",\"content\":\"%c\"}]}", letter);
    ask_with(fd, "POST", CHAT, headers, body);
    return fd;
}

static void expect(int fd, int status)
{
    answer a;
    hear(fd, &a);
    if (a.status != status)
        fail_msg("%d expected: %s", status, (char *)a.raw.p);
    answer_free(&a);
}

static void wait_until(const atomic_uint *what, unsigned n)
{
    const uint64_t until = wd_clock_ns() + (uint64_t)PATIENCE_MS * 1000000;
    while (atomic_load(what) < n) {
        assert_true(wd_clock_ns() < until);
        poll(NULL, 0, 1);
    }
}

static void wait_for_metric(const rig *r, const char *line)
{
    const uint64_t until = wd_clock_ns() + (uint64_t)PATIENCE_MS * 1000000;
    char headers[160];
    for (bool found = false; !found;) {
        answer a;
        assert_true(wd_clock_ns() < until);
        const int fd = dial(wd_serve_port(r->server));
        snprintf(headers, sizeof headers, "Connection: close\r\nAuthorization: %s\r\n", r->keys.service);
        ask_with(fd, "GET", "/metrics", headers, "");
        hear(fd, &a);
        assert_int_equal(a.status, 200);
        found = strstr((char *)a.body.p, line) != NULL;
        answer_free(&a);
    }
}

static void whoever_comes_beside_a_flood_finds_a_worker(void **state)
{
    (void)state;
    static rig r;
    int fd[12];
    rig_start(&r, 3, 100);
    for (size_t i = 0; i < 9; i++)
        fd[i] = send_one(&r, r.keys.clinician, 'a');
    wait_until(&r.n_there, 3); /* no more of that tenant run */
    wait_for_metric(&r, "vllm:num_requests_waiting{model_name=\"scripted\"} 6\n");
    assert_int_equal(atomic_load(&r.n_there), 3);
    fd[9] = send_one(&r, r.keys.north, 'n');
    wait_until(&r.n_there, 4); /* though the others' callers still wait */
    assert_int_equal(r.who[3], 'n');
    /* with all workers taken, the next free one is for the tenant with fewer */
    fd[10] = send_one(&r, r.keys.north, 'm');
    wait_for_metric(&r, "vllm:num_requests_waiting{model_name=\"scripted\"} 7\n");
    atomic_store(&r.let, 1);
    wait_until(&r.n_there, 5);
    assert_int_equal(r.who[4], 'm');
    atomic_store(&r.shut, false);
    for (size_t i = 0; i < 11; i++)
        expect(fd[i], 200);
    rig_stop(&r, 11);
}

static void a_flood_does_not_fill_the_queue(void **state)
{
    (void)state;
    static rig r;
    int fd[16];
    size_t n = 0;
    rig_start(&r, 1, 8);
    fd[n++] = send_one(&r, r.keys.clinician, 'a');
    wait_until(&r.n_there, 1);
    for (size_t i = 0; i < 6; i++) /* three quarters */
        fd[n++] = send_one(&r, r.keys.clinician, 'a');
    wait_for_metric(&r, "vllm:num_requests_waiting{model_name=\"scripted\"} 6\n");
    expect(send_one(&r, r.keys.clinician, 'a'), 429);
    fd[n++] = send_one(&r, r.keys.north, 'n');
    wait_until(&r.n_there, 2);
    for (size_t i = 0; i < 2; i++)
        fd[n++] = send_one(&r, r.keys.north, 'n');
    wait_for_metric(&r, "vllm:num_requests_waiting{model_name=\"scripted\"} 8\n");
    expect(send_one(&r, r.keys.north, 'n'), 429); /* now it is full */
    atomic_store(&r.shut, false);
    for (size_t i = 0; i < n; i++)
        expect(fd[i], 200);
    rig_stop(&r, (unsigned)n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_comes_beside_a_flood_finds_a_worker),
        cmocka_unit_test(a_flood_does_not_fill_the_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
