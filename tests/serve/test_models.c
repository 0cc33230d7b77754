/* Several models behind one server: chosen by name, and coming and going while requests run. */
#include "support/test.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "serve/client.h"
#include "serve/serve.h"
#include "support/scripted.h"

#define CHAT "/v1/chat/completions"
#define HELLO "{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]"

static const char *const alpha_says[] = { "I am alpha." }, *const beta_says[] = { "I am beta." };

/* A model, and how often it was closed. */
typedef struct one {
    scripted engine;
    atomic_uint n_closed;
    atomic_bool shut;      /* its generations stand before their first token until it becomes false */
    atomic_uint n_waiting; /* that stand there */
} one;

static void count_close(void *self)
{
    one *o = self;
    atomic_fetch_add(&o->n_closed, 1);
}

static void gate(void *ctx, const wd_generate *rq, size_t i)
{
    one *o = ctx;
    (void)rq;
    if (i)
        return;
    atomic_fetch_add(&o->n_waiting, 1);
    while (atomic_load(&o->shut))
        poll(NULL, 0, 1);
    atomic_fetch_sub(&o->n_waiting, 1);
}

static double half(void *ctx, const wd_rerank_pair *pair)
{
    (void)ctx;
    (void)pair;
    return 0.5;
}

static void one_init(one *o, const char *const *reply)
{
    memset(o, 0, sizeof *o);
    scripted_init(&o->engine, reply, 1);
    o->engine.score = half;
    o->engine.ctx = o;
    o->engine.before_token = gate;
}

static wd_served_opts opts_of(one *o, const char *name)
{
    return (wd_served_opts){ .name = name, .engine = &o->engine.engine, .close = count_close, .self = o };
}

/* ---- the list ---- */

static void what_was_taken_out_is_closed_once_when_nobody_holds_it(void **state)
{
    (void)state;
    static one a, b;
    wd_models *m;
    size_t n_held;
    one_init(&a, alpha_says);
    one_init(&b, beta_says);
    assert_ok(wd_models_create(&m, &err));
    const wd_served_opts oa = opts_of(&a, "alpha"), ob = opts_of(&b, "beta");
    assert_ok(wd_models_add(m, &oa, false, &err));
    assert_ok(wd_models_add(m, &ob, false, &err));
    const wd_served *first = wd_models_hold(m, (wd_span){ 0 }, WD_MODEL_CHAT),
                    *again = wd_models_hold(m, wd_span_str("alpha"), WD_MODEL_CHAT);
    assert_ptr_equal(first, again);
    assert_string_equal(first->name, "alpha");
    assert_null(wd_models_hold(m, wd_span_str("alph"), WD_MODEL_CHAT));
    assert_true(wd_models_remove(m, "alpha", &n_held));
    assert_int_equal(n_held, 2);
    assert_null(wd_models_hold(m, wd_span_str("alpha"), WD_MODEL_CHAT));
    assert_false(wd_models_remove(m, "alpha", &n_held));
    wd_models_release(m, first);
    assert_int_equal(atomic_load(&a.n_closed), 0);
    wd_models_release(m, again);
    assert_int_equal(atomic_load(&a.n_closed), 1);
    first = wd_models_hold(m, (wd_span){ 0 }, WD_MODEL_CHAT);
    assert_string_equal(first->name, "beta"); /* the first there is */
    wd_models_release(m, first);
    assert_true(wd_models_remove(m, "beta", &n_held));
    assert_int_equal(n_held, 0);
    assert_int_equal(atomic_load(&b.n_closed), 1);
    assert_null(wd_models_hold(m, (wd_span){ 0 }, WD_MODEL_CHAT));
    wd_models_destroy(m);
    assert_int_equal(atomic_load(&a.n_closed) + atomic_load(&b.n_closed), 2);
}

static void one_of_the_same_name_takes_the_place_only_when_told_to(void **state)
{
    (void)state;
    static one old, next;
    wd_models *m;
    one_init(&old, alpha_says);
    one_init(&next, alpha_says);
    assert_ok(wd_models_create(&m, &err));
    const wd_served_opts o = opts_of(&old, "alpha"), n = opts_of(&next, "alpha");
    assert_ok(wd_models_add(m, &o, false, &err));
    const wd_served *held = wd_models_hold(m, wd_span_str("alpha"), WD_MODEL_CHAT);
    assert_fails(wd_models_add(m, &n, false, &err), WD_E_BUSY, "a model of that name");
    assert_ok(wd_models_add(m, &n, true, &err));
    const wd_served *now = wd_models_hold(m, wd_span_str("alpha"), WD_MODEL_CHAT);
    assert_ptr_equal(now->engine, &next.engine.engine);
    assert_ptr_equal(held->engine, &old.engine.engine);
    wd_models_release(m, now);
    wd_models_release(m, held);
    assert_int_equal(atomic_load(&old.n_closed), 1);
    assert_int_equal(atomic_load(&next.n_closed), 0);
    wd_models_destroy(m);
    assert_int_equal(atomic_load(&next.n_closed), 1);
}

static void names_that_would_not_stand_in_a_path_or_a_label_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "/x", "x/", "a b", "a\"b", "a\nb", "\xC3\xA4", "a{b}", "x?y" };
    static const char *const good[] = { "a", "Qwen/Qwen3-VL-2B", "demo_text.v1:8+lora" };
    static one o;
    char much[WD_MODEL_NAME_MAX + 2];
    wd_models *m;
    one_init(&o, alpha_says);
    assert_ok(wd_models_create(&m, &err));
    memset(much, 'x', sizeof much);
    much[sizeof much - 1] = 0;
    for (size_t i = 0; i <= WD_COUNT(bad); i++) {
        const wd_served_opts so = opts_of(&o, i < WD_COUNT(bad) ? bad[i] : much);
        assert_fails(wd_models_add(m, &so, false, &err), WD_E_INVALID, "name of a model");
    }
    for (size_t i = 0; i < WD_COUNT(good); i++) {
        const wd_served_opts so = opts_of(&o, good[i]);
        assert_ok(wd_models_add(m, &so, false, &err));
    }
    for (size_t i = WD_COUNT(good); i < WD_MODELS_MAX; i++) {
        snprintf(much, sizeof much, "m%zu", i);
        const wd_served_opts so = opts_of(&o, much);
        assert_ok(wd_models_add(m, &so, false, &err));
    }
    const wd_served_opts more = opts_of(&o, "more");
    assert_fails(wd_models_add(m, &more, false, &err), WD_E_BUSY, "as many as may be");
    wd_models_destroy(m);
    assert_int_equal(atomic_load(&o.n_closed), WD_MODELS_MAX);
}

static void every_failed_allocation_leaves_the_list_as_it_was(void **state)
{
    (void)state;
    static one o;
    wd_models *m;
    wd_err e;
    one_init(&o, alpha_says);
    assert_ok(wd_models_create(&m, &err));
    wd_served_opts so = opts_of(&o, "alpha");
    so.base = "base";
    uint64_t n_failed = 0;
    for (uint64_t nth = 1;; nth++) {
        wd_inject_failure(nth);
        const wd_status st = wd_models_add(m, &so, false, &e);
        wd_inject_failure(0);
        if (st == WD_OK)
            break;
        assert_int_equal(st, WD_E_NOMEM);
        assert_null(wd_models_hold(m, wd_span_str("alpha"), WD_MODEL_CHAT));
        n_failed++;
    }
    assert_true(n_failed >= 4);
    assert_int_equal(atomic_load(&o.n_closed), 0);
    wd_models_destroy(m);
    assert_int_equal(atomic_load(&o.n_closed), 1);
}

/* Threads that take what is there, use it, and let it go, while models come and go: nobody uses a closed one. */
typedef struct churn {
    wd_models *m;
    atomic_bool *stop;
    pthread_t thread;
    size_t n, n_dead;
} churn;

static void *use_models(void *arg)
{
    churn *c = arg;
    while (!atomic_load(c->stop)) {
        const wd_served *s = wd_models_hold(c->m, wd_span_str("alpha"), WD_MODEL_CHAT);
        if (!s)
            continue;
        const one *o = s->engine->self;
        c->n++;
        c->n_dead += atomic_load(&o->n_closed) != 0;
        wd_models_release(c->m, s);
    }
    return NULL;
}

static void nobody_is_left_with_a_closed_model(void **state)
{
    (void)state;
    enum { N = 400 };
    static one o[N];
    static churn c[3];
    atomic_bool stop = false;
    wd_models *m;
    assert_ok(wd_models_create(&m, &err));
    for (size_t i = 0; i < N; i++) {
        one_init(&o[i], alpha_says);
        o[i].engine.engine.self = &o[i];
    }
    for (size_t i = 0; i < WD_COUNT(c); i++) {
        c[i] = (churn){ .m = m, .stop = &stop };
        assert_int_equal(pthread_create(&c[i].thread, NULL, use_models, &c[i]), 0);
    }
    for (size_t i = 0; i < N; i++) {
        const wd_served_opts so = opts_of(&o[i], "alpha");
        size_t n_held;
        assert_ok(wd_models_add(m, &so, true, &err));
        if (i % 5 == 4)
            assert_true(wd_models_remove(m, "alpha", &n_held));
        if (i % 16 == 0)
            poll(NULL, 0, 1);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < WD_COUNT(c); i++) {
        assert_int_equal(pthread_join(c[i].thread, NULL), 0);
        assert_int_equal(c[i].n_dead, 0);
        assert_true(c[i].n > 0);
    }
    wd_models_destroy(m);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(atomic_load(&o[i].n_closed), 1);
}

/* ---- behind the server ---- */

typedef struct rig {
    one alpha, beta;
    wd_models *models;
    wd_server *server;
} rig;

static void rig_start(rig *r)
{
    wd_serve_opts o = WD_SERVE_OPTS_DEFAULT;
    one_init(&r->alpha, alpha_says);
    one_init(&r->beta, beta_says);
    r->beta.engine.engine.info.context = 512;
    assert_ok(wd_models_create(&r->models, &err));
    const wd_served_opts a = opts_of(&r->alpha, "alpha");
    wd_served_opts b = opts_of(&r->beta, "beta");
    b.base = "alpha";
    assert_ok(wd_models_add(r->models, &a, false, &err));
    assert_ok(wd_models_add(r->models, &b, false, &err));
    o.models = r->models;
    o.version = "0";
    o.port = 0;
    assert_ok(wd_serve_start(&o, &r->server, &err));
}

static void rig_stop(rig *r)
{
    wd_serve_stop(r->server);
    wd_models_destroy(r->models);
    assert_int_equal(atomic_load(&r->alpha.n_closed), 1);
    assert_int_equal(atomic_load(&r->beta.n_closed), 1);
}

static answer get(const rig *r, const char *path, const char *body)
{
    answer a;
    const int fd = dial(wd_serve_port(r->server));
    ask(fd, path, body);
    hear(fd, &a);
    return a;
}

/* Of a chat request with these further members: the status, and what the reply has. */
static void expect(const rig *r, const char *more, int status, const char *has)
{
    char body[256];
    snprintf(body, sizeof body, HELLO "%s}", more);
    answer a = get(r, CHAT, body);
    if (a.status != status || !strstr((char *)a.raw.p, has))
        fail_msg("%s: %s", more, (char *)a.raw.p);
    answer_free(&a);
}

static void requests_choose_by_name_and_the_first_answers_those_that_name_none(void **state)
{
    (void)state;
    static rig r;
    rig_start(&r);
    expect(&r, "", 200, "I am alpha.");
    expect(&r, ",\"model\":\"\"", 200, "\"model\":\"alpha\"");
    expect(&r, ",\"model\":\"alpha\"", 200, "I am alpha.");
    expect(&r, ",\"model\":\"beta\"", 200, "I am beta.");
    expect(&r, ",\"model\":\"beta\"", 200, "\"model\":\"beta\"");
    expect(&r, ",\"model\":\"beta\",\"stream\":true", 200, "\"model\":\"beta\"");
    expect(&r, ",\"model\":\"gamma\"", 404, "model_not_found");
    expect(&r, ",\"model\":7", 400, "invalid_type");
    answer a = get(&r, "/v1/models", "");
    json_t *v = json_of(&a);
    assert_int_equal(json_array_size(at(v, "data")), 2);
    assert_string_equal(text_at(v, "data.0.id"), "alpha");
    assert_true(json_is_null(at(v, "data.0.parent")));
    assert_string_equal(text_at(v, "data.1.id"), "beta");
    assert_string_equal(text_at(v, "data.1.parent"), "alpha");
    assert_int_equal(json_integer_value(at(v, "data.1.max_model_len")), 512);
    json_decref(v);
    answer_free(&a);
    a = get(&r, "/v1/models/beta", "");
    assert_int_equal(a.status, 200);
    answer_free(&a);
    a = get(&r, "/metrics", "");
    static const char *const lines[] = {
        "vllm:request_success_total{model_name=\"alpha\",finished_reason=\"stop\"} 3\n",
        "vllm:request_success_total{model_name=\"beta\",finished_reason=\"stop\"} 3\n",
        "vllm:time_to_first_token_seconds_count{model_name=\"beta\"} 3\n",
        "vllm:num_requests_running{model_name=\"beta\"} 0\n", "vllm:num_requests_waiting 0\n"
    };
    for (size_t i = 0; i < WD_COUNT(lines); i++)
        if (!strstr((char *)a.body.p, lines[i]))
            fail_msg("%s is not in %s", lines[i], (char *)a.body.p);
    answer_free(&a);
    rig_stop(&r);
}

/* A role is a name: its model may go and another one come under it. */
static void roles_choose_where_no_model_is_named(void **state)
{
    (void)state;
    static rig r;
    size_t n_held;
    static const char *const rank = "{\"query\":\"a\",\"documents\":[\"b\"]}";
    rig_start(&r);
    r.alpha.engine.fail = WD_E_UNSUPPORTED; /* what it is asked fails, so that it shows who was asked */
    answer a = get(&r, "/v1/rerank", rank);
    assert_int_equal(a.status, 400);
    answer_free(&a);
    assert_fails(wd_models_assign(r.models, WD_MODEL_RERANK, "no name", &err), WD_E_INVALID,
                 "expected the name");
    assert_ok(wd_models_assign(r.models, WD_MODEL_RERANK, "beta", &err));
    a = get(&r, "/v1/rerank", rank);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr((char *)a.body.p, "\"model\":\"beta\""));
    answer_free(&a);
    a = get(&r, "/v1/rerank", "{\"model\":\"alpha\",\"query\":\"a\",\"documents\":[\"b\"]}");
    assert_int_equal(a.status, 400); /* who is named is asked */
    answer_free(&a);
    a = get(&r, "/v1/models", "");
    json_t *v = json_of(&a);
    assert_string_equal(text_at(v, "data.0.roles.0"), "chat");
    assert_string_equal(text_at(v, "data.0.roles.1"), "embed");
    assert_int_equal(json_array_size(at(v, "data.0.roles")), 2);
    assert_string_equal(text_at(v, "data.1.roles.0"), "rerank");
    json_decref(v);
    answer_free(&a);
    a = get(&r, "/v1/models/beta", "");
    assert_non_null(strstr((char *)a.body.p, "\"roles\":[\"rerank\"]"));
    answer_free(&a);
    assert_true(wd_models_remove(r.models, "beta", &n_held));
    a = get(&r, "/v1/rerank", rank); /* not another one's scores */
    assert_int_equal(a.status, 404);
    assert_non_null(strstr((char *)a.body.p, "the model for rerank is not loaded"));
    answer_free(&a);
    wd_served_opts again = opts_of(&r.beta, "beta");
    again.close = NULL;
    assert_ok(wd_models_add(r.models, &again, false, &err));
    a = get(&r, "/v1/rerank", rank);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    rig_stop(&r);
}

static void a_request_ends_on_the_model_that_it_began_with(void **state)
{
    (void)state;
    static rig r;
    answer a;
    size_t n_held;
    rig_start(&r);
    atomic_store(&r.beta.shut, true);
    const int fd = dial(wd_serve_port(r.server));
    ask(fd, CHAT, HELLO ",\"model\":\"beta\"}");
    const uint64_t until = wd_clock_ns() + (uint64_t)PATIENCE_MS * 1000000;
    while (atomic_load(&r.beta.n_waiting) == 0 && wd_clock_ns() < until)
        poll(NULL, 0, 1);
    assert_true(wd_models_remove(r.models, "beta", &n_held));
    assert_int_equal(n_held, 1);
    expect(&r, ",\"model\":\"beta\"", 404, "model_not_found");
    expect(&r, "", 200, "I am alpha.");
    assert_int_equal(atomic_load(&r.beta.n_closed), 0);
    atomic_store(&r.beta.shut, false);
    hear(fd, &a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr((char *)a.body.p, "I am beta."));
    answer_free(&a);
    while (atomic_load(&r.beta.n_closed) == 0 && wd_clock_ns() < until)
        poll(NULL, 0, 1);
    assert_int_equal(atomic_load(&r.beta.n_closed), 1);
    assert_true(wd_models_remove(r.models, "alpha", &n_held));
    expect(&r, "", 404, "model_not_found"); /* none is left */
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_taken_out_is_closed_once_when_nobody_holds_it),
        cmocka_unit_test(one_of_the_same_name_takes_the_place_only_when_told_to),
        cmocka_unit_test(names_that_would_not_stand_in_a_path_or_a_label_are_refused),
        cmocka_unit_test(every_failed_allocation_leaves_the_list_as_it_was),
        cmocka_unit_test(nobody_is_left_with_a_closed_model),
        cmocka_unit_test(requests_choose_by_name_and_the_first_answers_those_that_name_none),
        cmocka_unit_test(roles_choose_where_no_model_is_named),
        cmocka_unit_test(a_request_ends_on_the_model_that_it_began_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
