/* Many calls at once: nothing but the time depends on who else is there. */
#include "rig.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"

#define N_CALL 32

static const char *const words[] = { "the left sinus is blunted",
                                     "no fracture",
                                     "heart of normal size",
                                     "small nodule",
                                     "left upper lobe",
                                     "compared with last year",
                                     "unchanged",
                                     "no free air",
                                     "the line ends in the vena cava",
                                     "mild scoliosis",
                                     "a small effusion",
                                     "again: no effusion, no effusion" };

/* One call on a thread of its own. */
typedef struct call {
    rig *r;
    wd_arena *arena;
    ask q;
    char text[400];
    const char *texts[1];
    wd_generated g;
    wd_status st;
    wd_err err;
    uint64_t n_row; /* of the engine, at its first token */
    pthread_t thread;
} call;

/* Call i of a mixed crowd: short and long, greedy and drawn, with
 * log-probabilities of reply or prompt, with images. */
static void call_init(call *c, rig *r, size_t i, const wd_image *image)
{
    wd_rand rnd;
    wd_rand_init(&rnd, i);
    *c = (call){ .r = r, .arena = wd_arena_create((size_t)1 << 26, false) };
    assert_non_null(c->arena);
    const size_t n = 1 + wd_rand_below(&rnd, 9);
    for (size_t k = 0; k < n; k++) {
        const size_t at = strlen(c->text);
        snprintf(c->text + at, sizeof c->text - at, "%s. ", words[wd_rand_below(&rnd, WD_COUNT(words))]);
    }
    c->texts[0] = c->text;
    ask_init(&c->q, image, image != NULL, c->texts, 1);
    c->q.rq.max_tokens = 4 + (uint32_t)wd_rand_below(&rnd, 24);
    c->q.rq.logprobs = true;
    c->q.rq.n_top = i % 3;
    c->q.rq.prompt_logprobs = i % 8 == 3;
    c->q.rq.terms.tenant = i % 3;
    if (i % 2) {
        c->q.rq.sample.temperature = 0.9f;
        c->q.rq.sample.top_p = 0.9f;
        c->q.rq.sample.seed = i;
    }
}

static void *call_run(void *arg)
{
    call *c = arg;
    c->st = c->r->engine->generate(c->r->engine->self, c->arena, &c->q.rq, &c->g, &c->err);
    return NULL;
}

static void call_start(call *c)
{
    assert_int_equal(pthread_create(&c->thread, NULL, call_run, c), 0);
}

static void call_end(call *c)
{
    if (c->st == WD_OK)
        wd_parsed_free(&c->g.reply);
    wd_arena_destroy(c->arena);
}

static void assert_same_replies(const call *a, const call *b)
{
    if (a->st || b->st)
        fail_msg("%s %s", a->err.text, b->err.text);
    assert_same_tokens(&a->g, &b->g);
    for (size_t i = 0; i < a->g.n_id; i++)
        assert_true(a->g.logprob[i].logprob == b->g.logprob[i].logprob);
    for (size_t i = 1; a->g.prompt_logprob && i < a->g.n_prompt; i++)
        assert_true(a->g.prompt_logprob[i].logprob == b->g.prompt_logprob[i].logprob);
    assert_int_equal(a->g.finish, b->g.finish);
    assert_int_equal(a->g.reply.content.n, b->g.reply.content.n);
}

static wd_engine_stats stats_of(rig *r)
{
    wd_engine_stats s;
    r->engine->stats(r->engine->self, &s);
    return s;
}

/* Nobody is left, and all pages that are in use are the cache's. */
static void assert_idle(rig *r)
{
    const wd_engine_stats s = stats_of(r);
    assert_int_equal(s.n_running + s.n_waiting, 0);
    assert_int_equal(s.kv_bytes, s.prefix_bytes);
}

/* All of a crowd on one engine, and each alone on one that computes nothing
 * else and reuses nothing. */
static void crowd(const char *name, uint32_t max_rows, wd_local_opts o, wd_engine_stats *after)
{
    static call together[N_CALL], alone[N_CALL];
    rig r, one;
    wd_image im[3];
    rig_open_opts(&r, name, max_rows, o);
    rig_open_opts(
        &one, name, 0,
        (wd_local_opts){ .kv = o.kv, .lookup = WD_LOOKUP_OFF, .prefix_bytes = 1, .image_bytes = 1 });
    for (size_t i = 0; i < WD_COUNT(im); i++)
        noise(&im[i], 64 + 32 * (uint32_t)i, 96, i);
    for (size_t i = 0; i < N_CALL; i++) {
        const wd_image *image = r.cfg.has_vision && i % 4 != 1 ? &im[i % 3] : NULL;
        call_init(&alone[i], &one, i, image);
        call_run(&alone[i]);
        assert_int_equal(alone[i].g.n_cached, 0);
        call_init(&together[i], &r, i, image);
    }
    for (size_t i = 0; i < N_CALL; i++)
        call_start(&together[i]);
    for (size_t i = 0; i < N_CALL; i++)
        assert_int_equal(pthread_join(together[i].thread, NULL), 0);
    for (size_t i = 0; i < N_CALL; i++)
        assert_same_replies(&alone[i], &together[i]);
    assert_idle(&r);
    *after = stats_of(&r);
    for (size_t i = 0; i < N_CALL; i++) {
        call_end(&alone[i]);
        call_end(&together[i]);
    }
    for (size_t i = 0; i < WD_COUNT(im); i++)
        wd_image_free(&im[i]);
    rig_close(&r);
    rig_close(&one);
}

static void a_call_gives_the_same_alone_and_among_31_others(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t max_rows;
        wd_local_opts o;
    } cases[] = {
        { "text-untied", 64, { 0 } },
        { "text-untied", 40, { .lookup = WD_LOOKUP_ALWAYS } },
        { "text-moe", 16, { .max_seqs = 8, .mixed_rows = 4 } },
        { "vl-dense", 64, { .kv = WD_KV_INT8 } },
        { "vl-dense", 33, { .image_bytes = 1, .prefix_bytes = 1 } },
    };
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        wd_engine_stats s;
        crowd(cases[i].name, cases[i].max_rows, cases[i].o, &s);
        print_message("%s: %llu steps of %.1f tokens, %llu of %llu prompt tokens cached\n", cases[i].name,
                      (unsigned long long)s.n_step, (double)s.n_step_row / (double)s.n_step,
                      (unsigned long long)s.n_cached, (unsigned long long)s.n_prompt);
        assert_true(s.n_step_row > 2 * s.n_step); /* they did run together */
    }
}

/* A pool for two or three of them: whoever is pushed out comes back and says
 * the same. */
static void calls_that_give_up_their_pages_say_the_same(void **state)
{
    (void)state;
    rig r;
    wd_engine_stats s;
    rig_open(&r, "text-untied", 0);
    wd_kv_opts kv = *wd_local_kv(r.engine);
    rig_close(&r);
    const size_t page = wd_kv_page_bytes(&kv);
    size_t n_preempted = 0;
    for (size_t n = 5; n <= 9; n += 2) {
        crowd("text-untied", 48, (wd_local_opts){ .kv_bytes = n * page }, &s);
        assert_true(s.kv_bytes <= n * page);
        n_preempted += s.n_preempted;
    }
    print_message("%zu gave up their pages\n", n_preempted);
    assert_true(n_preempted > 0);
}

/* ---- how calls end ---- */

typedef struct stopper {
    atomic_bool cancel;
    uint64_t after; /* tokens */
} stopper;

static void stop_after(void *self, wd_stage stage, uint64_t done, uint64_t total)
{
    stopper *s = self;
    (void)total;
    if (stage == WD_STAGE_DECODE && done >= s->after)
        atomic_store(&s->cancel, true);
}

static void cancelled_calls_leave_the_others_alone(void **state)
{
    (void)state;
    static call c[12], alone[12];
    static stopper stop[12];
    rig r, one;
    rig_open_opts(&r, "text-untied", 32, (wd_local_opts){ .max_seqs = 8 });
    rig_open_opts(&one, "text-untied", 0, (wd_local_opts){ .lookup = WD_LOOKUP_OFF, .prefix_bytes = 1 });
    for (size_t i = 0; i < WD_COUNT(c); i++) {
        call_init(&c[i], &r, i, NULL);
        call_init(&alone[i], &one, i, NULL);
        c[i].q.rq.max_tokens = alone[i].q.rq.max_tokens = 30;
        if (i % 3 == 0) { /* of one before its first token, of the others in the reply */
            atomic_init(&stop[i].cancel, i == 0);
            stop[i].after = i;
            c[i].q.rq.watch = (wd_watch){ .cancel = &stop[i].cancel,
                                          .progress = stop_after,
                                          .self = &stop[i] };
        } else {
            call_run(&alone[i]);
        }
        call_start(&c[i]);
    }
    for (size_t i = 0; i < WD_COUNT(c); i++) {
        assert_int_equal(pthread_join(c[i].thread, NULL), 0);
        if (i % 3 == 0)
            assert_int_equal(c[i].st, WD_E_CANCELLED);
        else
            assert_same_replies(&alone[i], &c[i]);
    }
    assert_idle(&r);
    for (size_t i = 0; i < WD_COUNT(c); i++) {
        call_end(&c[i]);
        if (i % 3)
            call_end(&alone[i]);
        else
            wd_arena_destroy(alone[i].arena);
    }
    rig_close(&r);
    rig_close(&one);
}

/* A call that stays in its callback until told, or until too long. */
typedef struct gate {
    pthread_mutex_t mu;
    pthread_cond_t cond;
    bool reached, open;
} gate;

static void gate_init(gate *g)
{
    pthread_mutex_init(&g->mu, NULL);
    pthread_cond_init(&g->cond, NULL);
    g->reached = g->open = false;
}

static void gate_set(gate *g, bool *what)
{
    pthread_mutex_lock(&g->mu);
    *what = true;
    pthread_cond_broadcast(&g->cond);
    pthread_mutex_unlock(&g->mu);
}

static void gate_wait(gate *g, const bool *what)
{
    pthread_mutex_lock(&g->mu);
    while (!*what)
        pthread_cond_wait(&g->cond, &g->mu);
    pthread_mutex_unlock(&g->mu);
}

static void gate_destroy(gate *g)
{
    pthread_cond_destroy(&g->cond);
    pthread_mutex_destroy(&g->mu);
}

static void stay(void *self, uint32_t id, const wd_token_logprob *lp)
{
    gate *g = self;
    (void)id, (void)lp;
    gate_set(g, &g->reached);
    gate_wait(g, &g->open);
}

static void a_slow_reader_does_not_hold_the_others(void **state)
{
    (void)state;
    static call c[8], alone[8];
    gate g;
    rig r, one;
    gate_init(&g);
    rig_open_opts(&r, "text-untied", 32, (wd_local_opts){ .lookup = WD_LOOKUP_ALWAYS });
    rig_open_opts(&one, "text-untied", 0, (wd_local_opts){ .lookup = WD_LOOKUP_OFF, .prefix_bytes = 1 });
    for (size_t i = 0; i < WD_COUNT(c); i++) {
        call_init(&c[i], &r, i, NULL);
        call_init(&alone[i], &one, i, NULL);
        call_run(&alone[i]);
    }
    c[0].q.rq.watch = (wd_watch){ .token = stay, .self = &g };
    call_start(&c[0]);
    gate_wait(&g, &g.reached);
    for (size_t i = 1; i < WD_COUNT(c); i++)
        call_start(&c[i]);
    for (size_t i = 1; i < WD_COUNT(c); i++) { /* they end while the first stands still */
        assert_int_equal(pthread_join(c[i].thread, NULL), 0);
        assert_same_replies(&alone[i], &c[i]);
    }
    assert_int_equal(stats_of(&r).n_running, 1);
    gate_set(&g, &g.open);
    assert_int_equal(pthread_join(c[0].thread, NULL), 0);
    assert_same_replies(&alone[0], &c[0]);
    assert_idle(&r);
    for (size_t i = 0; i < WD_COUNT(c); i++) {
        call_end(&c[i]);
        call_end(&alone[i]);
    }
    rig_close(&r);
    rig_close(&one);
    gate_destroy(&g);
}

/* One runs and stays; one waits for its place; a third is turned away. The one
 * that waits gives up in time. */
static void calls_beyond_the_queue_are_turned_away_and_waiting_ones_keep_their_deadline(void **state)
{
    (void)state;
    static call c[3];
    gate g;
    rig r;
    gate_init(&g);
    rig_open_opts(&r, "text-untied", 0, (wd_local_opts){ .max_seqs = 1, .max_waiting = 1 });
    for (size_t i = 0; i < WD_COUNT(c); i++) {
        call_init(&c[i], &r, i, NULL);
        c[i].q.rq.terms = (wd_terms){ .priority = -(int32_t)i }; /* nobody may push the first out */
    }
    c[0].q.rq.watch = (wd_watch){ .token = stay, .self = &g };
    call_start(&c[0]);
    gate_wait(&g, &g.reached);
    c[1].q.rq.terms.deadline_ns = wd_clock_ns() + 200000000;
    call_start(&c[1]);
    while (stats_of(&r).n_running + stats_of(&r).n_waiting < 2)
        usleep(1000);
    call_run(&c[2]);
    assert_int_equal(c[2].st, WD_E_BUSY);
    assert_int_equal(pthread_join(c[1].thread, NULL), 0);
    assert_int_equal(c[1].st, WD_E_DEADLINE);
    assert_true(wd_clock_ns() >= c[1].q.rq.terms.deadline_ns);
    gate_set(&g, &g.open);
    assert_int_equal(pthread_join(c[0].thread, NULL), 0);
    assert_int_equal(c[0].st, WD_OK);
    assert_idle(&r);
    for (size_t i = 0; i < WD_COUNT(c); i++)
        call_end(&c[i]);
    rig_close(&r);
    gate_destroy(&g);
}

/* Stays in a callback until its deadline has passed. */
typedef struct sleeper {
    uint64_t until_ns;
    size_t n_token, sleep_at; /* sleep_at: tokens, 0: in the prompt */
} sleeper;

static void sleep_over(const sleeper *s)
{
    while (wd_clock_ns() < s->until_ns)
        usleep(1000);
}

static void sleep_in_the_prompt(void *self, wd_stage stage, uint64_t done, uint64_t total)
{
    const sleeper *s = self;
    if (s->sleep_at == 0 && stage == WD_STAGE_PREFILL && done < total)
        sleep_over(s);
}

static void sleep_at_a_token(void *self, uint32_t id, const wd_token_logprob *lp)
{
    sleeper *s = self;
    (void)id, (void)lp;
    if (++s->n_token == s->sleep_at)
        sleep_over(s);
}

/* One is late in its prompt, one in its reply among others: both end with the next step, and the others do not notice. */
static void running_calls_end_at_their_deadline_and_leave_the_others_alone(void **state)
{
    (void)state;
    static call c[6], alone[6];
    static sleeper late[2];
    uint32_t prompt[100];
    rig r, one;
    rig_open_opts(&r, "text-untied", 16, (wd_local_opts){ .mixed_rows = 8, .prefix_bytes = 1 });
    rig_open_opts(&one, "text-untied", 0, (wd_local_opts){ .lookup = WD_LOOKUP_OFF, .prefix_bytes = 1 });
    for (size_t i = 0; i < WD_COUNT(c); i++) {
        call_init(&c[i], &r, i, NULL);
        call_init(&alone[i], &one, i, NULL);
        c[i].q.rq.max_tokens = alone[i].q.rq.max_tokens = 40;
        c[i].q.rq.prompt_logprobs = alone[i].q.rq.prompt_logprobs = false;
        if (i >= WD_COUNT(late))
            call_run(&alone[i]);
    }
    for (size_t i = 0; i < WD_COUNT(late); i++) {
        late[i] = (sleeper){ .until_ns = wd_clock_ns() + 150000000, .sleep_at = 3 * i };
        c[i].q.rq.terms.deadline_ns = late[i].until_ns;
        c[i].q.rq.watch = (wd_watch){ .progress = sleep_in_the_prompt,
                                      .token = sleep_at_a_token,
                                      .self = &late[i] };
    }
    for (size_t i = 0; i < WD_COUNT(prompt); i++)
        prompt[i] = (uint32_t)i;
    c[0].q.rq.prompt = prompt;
    c[0].q.rq.n_prompt = WD_COUNT(prompt);
    for (size_t i = 1; i < WD_COUNT(c); i++)
        call_start(&c[i]);
    for (size_t i = 1; i < WD_COUNT(c); i++)
        assert_int_equal(pthread_join(c[i].thread, NULL), 0);
    late[0].until_ns = c[0].q.rq.terms.deadline_ns = wd_clock_ns() + 50000000;
    const uint64_t before = stats_of(&r).n_step_row;
    call_run(&c[0]); /* alone: it hears of each step of its prompt */
    assert_int_equal(c[0].st, WD_E_DEADLINE);
    assert_int_equal(late[0].n_token, 0);
    assert_true(stats_of(&r).n_step_row - before < WD_COUNT(prompt));
    assert_int_equal(c[1].st, WD_E_DEADLINE);
    assert_true(late[1].n_token <= 4); /* one more may have been on its way */
    assert_non_null(strstr(c[1].err.text, "deadline"));
    for (size_t i = WD_COUNT(late); i < WD_COUNT(c); i++)
        assert_same_replies(&alone[i], &c[i]);
    assert_idle(&r);
    for (size_t i = 0; i < WD_COUNT(c); i++) {
        call_end(&c[i]);
        if (i >= WD_COUNT(late))
            call_end(&alone[i]);
        else
            wd_arena_destroy(alone[i].arena);
    }
    rig_close(&r);
    rig_close(&one);
}

/* ---- who goes first ---- */

typedef struct starter {
    atomic_size_t *next;
    size_t place; /* 1 based: in the order of first tokens */
} starter;

static void note_start(void *self, uint32_t id, const wd_token_logprob *lp)
{
    starter *s = self;
    (void)id, (void)lp;
    if (!s->place)
        s->place = atomic_fetch_add(s->next, 1) + 1;
}

/* They wait while one runs and stays; then come by priority, whatever their tenants were served, and among equals by
 * arrival. */
static void waiting_calls_start_by_priority_then_by_arrival(void **state)
{
    (void)state;
    static const int32_t priority[] = { 0, 5, -3, 5, 0, 7 };
    static const size_t place[] = { 4, 2, 6, 3, 5, 1 };
    static call first, c[WD_COUNT(priority)];
    static starter s[WD_COUNT(priority)];
    atomic_size_t next = 0;
    gate g;
    rig r;
    gate_init(&g);
    rig_open_opts(&r, "text-untied", 0, (wd_local_opts){ .max_seqs = 1 });
    call_init(&first, &r, 1, NULL);
    first.q.rq.terms = (wd_terms){ .tenant = 1, .priority = 100 };
    first.q.rq.watch = (wd_watch){ .token = stay, .self = &g };
    call_start(&first);
    gate_wait(&g, &g.reached);
    for (size_t i = 0; i < WD_COUNT(c); i++) {
        call_init(&c[i], &r, i, NULL);
        s[i] = (starter){ &next, 0 };
        /* the least urgent is of a tenant that was not served yet */
        c[i].q.rq.terms = (wd_terms){ .tenant = priority[i] < 0 ? 2 : 1, .priority = priority[i] };
        c[i].q.rq.watch = (wd_watch){ .token = note_start, .self = &s[i] };
        call_start(&c[i]);
        while (stats_of(&r).n_waiting < i + 1)
            usleep(500);
    }
    gate_set(&g, &g.open);
    assert_int_equal(pthread_join(first.thread, NULL), 0);
    assert_int_equal(first.st, WD_OK);
    for (size_t i = 0; i < WD_COUNT(c); i++) {
        assert_int_equal(pthread_join(c[i].thread, NULL), 0);
        assert_int_equal(c[i].st, WD_OK);
        assert_int_equal(s[i].place, place[i]);
        call_end(&c[i]);
    }
    assert_idle(&r);
    call_end(&first);
    rig_close(&r);
    gate_destroy(&g);
}

static void *call_run_and_tell(void *arg)
{
    call *c = arg;
    call_run(c);
    c->n_row = stats_of(c->r).n_step_row;
    return NULL;
}

/* One place. Whoever is more urgent gets it at once; who was there goes on afterwards as if nothing had been. */
static void a_more_urgent_call_takes_the_place_of_a_running_one(void **state)
{
    (void)state;
    static call low, high, alone;
    uint64_t n_preempted = 0;
    for (int attempt = 0; attempt < 8 && !n_preempted;
         attempt++) { /* the first may be done before the other is there */
        rig r;
        rig_open_opts(&r, "text-untied", 0, (wd_local_opts){ .max_seqs = 1, .lookup = WD_LOOKUP_OFF });
        call_init(&low, &r, 4, NULL);
        call_init(&high, &r, 6, NULL);
        call_init(&alone, &r, 4, NULL);
        low.q.rq.max_tokens = alone.q.rq.max_tokens = 400;
        low.q.rq.terms.tenant = high.q.rq.terms.tenant = 1;
        high.q.rq.terms.priority = 1;
        assert_int_equal(pthread_create(&low.thread, NULL, call_run_and_tell, &low), 0);
        while (stats_of(&r).n_step_row < 60)
            usleep(50);
        assert_int_equal(pthread_create(&high.thread, NULL, call_run_and_tell, &high), 0);
        assert_int_equal(pthread_join(low.thread, NULL), 0);
        assert_int_equal(pthread_join(high.thread, NULL), 0);
        n_preempted = stats_of(&r).n_preempted;
        assert_int_equal(high.st, WD_OK);
        if (n_preempted)
            assert_true(high.n_row < low.n_row);
        call_run(&alone);
        assert_same_replies(&alone, &low);
        assert_idle(&r);
        call_end(&low);
        call_end(&high);
        call_end(&alone);
        rig_close(&r);
    }
    assert_int_equal(n_preempted, 1);
}

/* ---- what is shared ---- */

typedef struct pair {
    rig *r;
    wd_arena *arena;
    wd_part query, document;
    char text[80];
    double score;
    size_t n;
    wd_status st;
    pthread_t thread;
} pair;

static void *pair_run(void *arg)
{
    pair *p = arg;
    const wd_rerank_pair rq = { .query = { .parts = { &p->query, 1 } },
                                .document = { .parts = { &p->document, 1 } } };
    p->st = p->r->engine->rerank(p->r->engine->self, p->arena, &rq, &p->score, &p->n, NULL);
    return NULL;
}

static void pairs_with_one_query_compute_it_once(void **state)
{
    (void)state;
    static pair pairs[12];
    static const char query[] = "Which of these says that the effusion has grown "
                                "since the last film of the chest?";
    rig r, one;
    size_t n_token = 0, n_longest = 0;
    rig_open_opts(&r, "vl-tied", 64, (wd_local_opts){ 0 });
    rig_open_opts(&one, "vl-tied", 64, (wd_local_opts){ .prefix_bytes = 1 });
    for (size_t i = 0; i < WD_COUNT(pairs); i++) {
        pair *p = &pairs[i];
        *p = (pair){ .r = &r, .arena = wd_arena_create((size_t)1 << 24, false) };
        p->query = (wd_part){ WD_PART_TEXT, WD_SPAN_LIT(query) };
        snprintf(p->text, sizeof p->text, "%zu. %s", i, words[i]);
        p->document = (wd_part){ WD_PART_TEXT, wd_span_str(p->text) };
        assert_int_equal(pthread_create(&p->thread, NULL, pair_run, p), 0);
    }
    for (size_t i = 0; i < WD_COUNT(pairs); i++) {
        pair *p = &pairs[i], alone;
        assert_int_equal(pthread_join(p->thread, NULL), 0);
        assert_int_equal(p->st, WD_OK);
        alone = *p;
        alone.r = &one;
        pair_run(&alone);
        assert_int_equal(alone.st, WD_OK);
        assert_true(alone.score == p->score);
        n_token += p->n;
        n_longest = WD_MAX(n_longest, p->n);
        wd_arena_destroy(p->arena);
    }
    const wd_engine_stats s = stats_of(&r);
    print_message("%zu tokens in %zu pairs, %llu computed\n", n_token, WD_COUNT(pairs),
                  (unsigned long long)s.n_step_row);
    assert_int_equal(s.n_step_row + s.n_cached, n_token);
    assert_int_equal(stats_of(&one).n_cached, 0);
    /* the query once, and what differs of each: the number, the words and the end
   */
    assert_true(s.n_step_row < n_longest + (WD_COUNT(pairs) - 1) * 45);
    assert_true(s.n_cached > n_token / 2);
    rig_close(&r);
    rig_close(&one);
}

static void tenants_share_nothing(void **state)
{
    (void)state;
    rig r;
    ask q;
    wd_image im;
    noise(&im, 96, 64, 1);
    rig_open(&r, "vl-dense", 0);
    const char *const text[] = { "Describe it." };
    for (uint64_t tenant = 0; tenant < 3; tenant++)
        for (int again = 0; again < 2; again++) {
            ask_init(&q, &im, 1, text, 1);
            q.rq.terms.tenant = tenant;
            const wd_generated g = go(&r, &q);
            assert_int_equal(g.n_cached, again ? g.n_prompt - 1 : 0);
        }
    assert_int_equal(stats_of(&r).n_image, 3);
    assert_int_equal(stats_of(&r).n_image_cached, 0);
    wd_image_free(&im);
    rig_close(&r);
}

/* Behind other words a picture has other keys and values, but the same
 * features. */
static void a_picture_behind_other_words_is_not_looked_at_again(void **state)
{
    (void)state;
    rig r, fresh;
    ask q;
    wd_image im[2];
    noise(&im[0], 96, 64, 1);
    noise(&im[1], 64, 64, 2);
    rig_open(&r, "vl-dense", 0);
    rig_open(&fresh, "vl-dense", 0);
    const char *const text[] = { "Describe it." };
    ask_init(&q, im, 1, text, 1);
    go(&r, &q);
    const wd_image swapped[] = { im[1], im[0], im[0] };
    ask_init(&q, swapped, 3, text, 1);
    const wd_generated g = go(&r, &q), alone = go(&fresh, &q);
    assert_same_tokens(&g, &alone);
    const wd_engine_stats s = stats_of(&r), f = stats_of(&fresh);
    assert_int_equal(s.n_image - s.n_image_cached, 2);
    assert_int_equal(f.n_image - f.n_image_cached, 2); /* the third is the second */
    assert_true(s.image_bytes > 0);
    for (int i = 0; i < 2; i++)
        wd_image_free(&im[i]);
    rig_close(&r);
    rig_close(&fresh);
}

static void caches_keep_to_their_bytes(void **state)
{
    (void)state;
    rig r;
    ask q;
    rig_open(&r, "vl-dense", 0);
    const size_t page = wd_kv_page_bytes(wd_local_kv(r.engine)), room = 4 * page, features = 40000;
    rig_close(&r);
    rig_open_opts(&r, "vl-dense", 0, (wd_local_opts){ .prefix_bytes = room, .image_bytes = features });
    for (uint64_t i = 0; i < 12; i++) {
        wd_image im;
        noise(&im, 96, 64, i);
        const char *const text[] = { words[i] };
        ask_init(&q, &im, 1, text, 1);
        q.rq.terms.tenant = i % 5;
        go(&r, &q);
        const wd_engine_stats s = stats_of(&r);
        assert_true(s.prefix_bytes <= room && s.image_bytes <= features);
        assert_true(s.prefix_bytes > 0 && s.image_bytes > 0);
        const wd_generated again = go(&r, &q); /* the latest is there */
        assert_int_equal(again.n_cached, again.n_prompt - 1);
        wd_image_free(&im);
    }
    assert_idle(&r);
    rig_close(&r);
}

/* A reply goes on while an image of another call is in the tower, to the same tokens; and so does the image's. */
static void replies_go_on_between_the_layers_of_the_tower(void **state)
{
    (void)state;
    static call talk[3], look[6], alone[WD_COUNT(talk) + WD_COUNT(look)];
    rig r, one;
    wd_image im[WD_COUNT(look)];
    rig_open_opts(&r, "vl-dense", 64, (wd_local_opts){ .lookup = WD_LOOKUP_OFF, .image_bytes = 1 });
    rig_open_opts(&one, "vl-dense", 0,
                  (wd_local_opts){ .lookup = WD_LOOKUP_OFF, .prefix_bytes = 1, .image_bytes = 1 });
    for (size_t i = 0; i < WD_COUNT(alone); i++) {
        const bool looks = i >= WD_COUNT(talk);
        const wd_image *image = looks ? &im[i - WD_COUNT(talk)] : NULL;
        if (looks)
            noise(&im[i - WD_COUNT(talk)], 160, 128, 50 + i);
        call *c = looks ? &look[i - WD_COUNT(talk)] : &talk[i];
        call_init(c, &r, i, image);
        call_init(&alone[i], &one, i, image);
        c->q.rq.max_tokens = alone[i].q.rq.max_tokens = looks ? 6 : 150;
        c->q.rq.prompt_logprobs = alone[i].q.rq.prompt_logprobs = false;
        call_run(&alone[i]);
    }
    for (size_t i = 0; i < WD_COUNT(talk); i++)
        call_start(&talk[i]);
    while (stats_of(&r).n_reply < 6)
        usleep(100);
    for (size_t i = 0; i < WD_COUNT(look); i++)
        call_start(&look[i]);
    for (size_t i = 0; i < WD_COUNT(alone); i++) {
        call *c = i < WD_COUNT(talk) ? &talk[i] : &look[i - WD_COUNT(talk)];
        assert_int_equal(pthread_join(c->thread, NULL), 0);
        assert_same_replies(&alone[i], c);
        call_end(c);
        call_end(&alone[i]);
    }
    const wd_engine_stats s = stats_of(&r);
    print_message("%llu of %llu steps between layers of the tower\n", (unsigned long long)s.n_step_between,
                  (unsigned long long)s.n_step);
    assert_true(s.n_step_between > 0);
    assert_idle(&r);
    for (size_t i = 0; i < WD_COUNT(im); i++)
        wd_image_free(&im[i]);
    rig_close(&r);
    rig_close(&one);
}

/* ---- fairness ---- */

static void note_step(void *self, uint32_t id, const wd_token_logprob *lp)
{
    call *c = self;
    (void)id, (void)lp;
    if (c->n_row == 0)
        c->n_row = stats_of(c->r).n_step_row;
}

/* A prompt of n tokens that begins like no other. */
static void call_init_long(call *c, rig *r, uint64_t seed, uint64_t tenant, uint32_t *id, size_t n)
{
    wd_rand rnd;
    wd_rand_init(&rnd, seed);
    for (size_t i = 0; i < n; i++)
        id[i] = (uint32_t)wd_rand_below(&rnd, 256);
    call_init(c, r, 2, NULL);
    c->q.rq.prompt = id;
    c->q.rq.n_prompt = n;
    c->q.rq.terms.tenant = tenant;
}

#define SHORT 100 /* tokens */
#define LONG 200

/* Tokens computed for anybody between a call and its first token: the time, on any machine. */
static uint64_t tokens_until_the_first(rig *r, uint64_t seed)
{
    static call c;
    uint32_t id[SHORT];
    const uint64_t before = stats_of(r).n_step_row;
    call_init_long(&c, r, seed, 9, id, SHORT);
    c.q.rq.max_tokens = 1;
    c.q.rq.watch = (wd_watch){ .token = note_step, .self = &c };
    call_run(&c);
    assert_int_equal(c.st, WD_OK);
    const uint64_t n = c.n_row - before;
    call_end(&c);
    return n;
}

/* Calls of one tenant, one after the other, until told. */
typedef struct tenant_load {
    rig *r;
    uint64_t tenant, seed;
    atomic_bool *stop;
    atomic_ullong *served;
    float weight;
    pthread_t thread;
} tenant_load;

static void *load_run(void *arg)
{
    tenant_load *t = arg;
    for (uint64_t k = 0; !atomic_load(t->stop); k++) {
        call *c = WD_ALLOC(call);
        uint32_t id[LONG];
        call_init_long(c, t->r, t->seed * 1000 + k, t->tenant, id, LONG);
        c->q.rq.max_tokens = 8;
        c->q.rq.terms.weight = t->weight;
        call_run(c);
        if (c->st == WD_OK && !atomic_load(t->stop))
            atomic_fetch_add(t->served, c->g.n_prompt + c->g.n_id);
        call_end(c);
        wd_free(c);
    }
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void a_flood_of_one_tenant_leaves_another_its_time_to_the_first_token(void **state)
{
    (void)state;
    static tenant_load flood[24];
    atomic_bool stop = false;
    atomic_ullong served = 0;
    uint64_t loaded[5];
    rig r;
    rig_open_opts(&r, "text-untied", 32,
                  (wd_local_opts){ .mixed_rows = 24, .max_seqs = 8, .prefix_bytes = 1 });
    const uint64_t unloaded = tokens_until_the_first(&r, 1);
    assert_int_equal(unloaded, SHORT);
    for (size_t i = 0; i < WD_COUNT(flood); i++) {
        flood[i] = (tenant_load){ .r = &r, .tenant = 7, .seed = i, .stop = &stop, .served = &served };
        assert_int_equal(pthread_create(&flood[i].thread, NULL, load_run, &flood[i]), 0);
    }
    while (stats_of(&r).n_step_row < unloaded + 5 * LONG)
        usleep(100);
    /* the middle one counts: a caller may hear of its token late when the machine is busy */
    for (uint64_t i = 0; i < WD_COUNT(loaded); i++)
        loaded[i] = tokens_until_the_first(&r, 2 + i);
    qsort(loaded, WD_COUNT(loaded), sizeof *loaded, by_size);
    const uint64_t most = loaded[WD_COUNT(loaded) / 2];
    const wd_engine_stats s = stats_of(&r);
    assert_true(s.n_waiting > 0); /* the flood is still there */
    print_message("%llu tokens until the first alone, %llu in a flood\n", (unsigned long long)unloaded,
                  (unsigned long long)most);
    assert_true(most <= 2 * unloaded);
    atomic_store(&stop, true);
    for (size_t i = 0; i < WD_COUNT(flood); i++)
        assert_int_equal(pthread_join(flood[i].thread, NULL), 0);
    rig_close(&r);
}

/* Of two tenants that both keep the engine busy, neither gets much more than the other, though one has six calls to the
 * other's two at any time. */
static void tenants_that_both_want_all_get_like_amounts(void **state)
{
    (void)state;
    static tenant_load load[8];
    atomic_bool stop = false;
    atomic_ullong served[2] = { 0, 0 };
    rig r;
    rig_open_opts(&r, "text-untied", 32, (wd_local_opts){ .max_seqs = 4, .prefix_bytes = 1 });
    for (size_t i = 0; i < WD_COUNT(load); i++) {
        const uint64_t tenant = i >= 6;
        load[i] = (tenant_load){
            .r = &r, .tenant = 20 + tenant, .seed = i, .stop = &stop, .served = &served[tenant]
        };
        assert_int_equal(pthread_create(&load[i].thread, NULL, load_run, &load[i]), 0);
    }
    while (stats_of(&r).n_step_row < 60 * LONG)
        usleep(200);
    atomic_store(&stop, true);
    for (size_t i = 0; i < WD_COUNT(load); i++)
        assert_int_equal(pthread_join(load[i].thread, NULL), 0);
    const double many = (double)atomic_load(&served[0]), few = (double)atomic_load(&served[1]);
    print_message("%.0f tokens for six callers of one tenant, %.0f for two of the other\n", many, few);
    assert_true(few > 0.6 * many && few < 1.7 * many);
    assert_idle(&r);
    rig_close(&r);
}

/* Of two tenants that both want all, the one with three times the weight gets about three times as much. */
static void a_tenants_weight_is_its_share(void **state)
{
    (void)state;
    static tenant_load load[8];
    atomic_bool stop = false;
    atomic_ullong served[2] = { 0, 0 };
    rig r;
    rig_open_opts(&r, "text-untied", 32, (wd_local_opts){ .max_seqs = 4, .prefix_bytes = 1 });
    for (size_t i = 0; i < WD_COUNT(load); i++) {
        const uint64_t tenant = i % 2;
        load[i] = (tenant_load){ .r = &r,
                                 .tenant = 30 + tenant,
                                 .seed = i,
                                 .stop = &stop,
                                 .served = &served[tenant],
                                 .weight = tenant ? 1.5f : 0.5f };
        assert_int_equal(pthread_create(&load[i].thread, NULL, load_run, &load[i]), 0);
    }
    while (stats_of(&r).n_step_row < 80 * LONG)
        usleep(200);
    atomic_store(&stop, true);
    for (size_t i = 0; i < WD_COUNT(load); i++)
        assert_int_equal(pthread_join(load[i].thread, NULL), 0);
    const double light = (double)atomic_load(&served[0]), heavy = (double)atomic_load(&served[1]);
    print_message("%.0f tokens for the light tenant, %.0f for the heavy one\n", light, heavy);
    assert_true(heavy > 2 * light && heavy < 4.5 * light);
    assert_idle(&r);
    rig_close(&r);
}

/* ---- memory ---- */

static uint64_t allocations(rig *r, uint32_t n_token)
{
    static call c;
    call_init(&c, r, 2, NULL);
    c.q.rq.max_tokens = n_token;
    c.q.rq.logprobs = c.q.rq.prompt_logprobs = false;
    c.q.rq.n_top = 0;
    c.q.rq.terms.tenant = 0;
    wd_inject_failure(UINT64_MAX); /* only counts */
    call_run(&c);
    const uint64_t n = wd_inject_failure(0);
    assert_int_equal(c.st, WD_OK);
    assert_int_equal(c.g.n_id, n_token);
    call_end(&c);
    return n;
}

static void tokens_allocate_nothing_once_warm(void **state)
{
    (void)state;
    rig r;
    rig_open(&r, "text-untied", 0);
    allocations(&r, 400); /* warm: pages and nodes are there */
    const uint64_t few = allocations(&r, 50), many = allocations(&r, 400);
    print_message("%llu allocations for 50 tokens, %llu for 400\n", (unsigned long long)few,
                  (unsigned long long)many);
    assert_true(many <= few + 24); /* buffers of the text double, pages are tabled */
    rig_close(&r);
}

/* Whichever allocation of a call fails: an error, nothing left behind, and the
 * next call as if nothing had been. */
static void every_failed_allocation_is_an_error_and_leaves_nothing(void **state)
{
    (void)state;
    rig r;
    ask q;
    wd_image im;
    noise(&im, 64, 64, 1);
    rig_open_opts(&r, "vl-dense", 0, (wd_local_opts){ .prefix_bytes = 1, .image_bytes = 1 });
    const char *const text[] = { "Is there a nodule?" };
    ask_init(&q, &im, 1, text, 1);
    q.rq.max_tokens = 3;
    const wd_generated want = go(&r, &q);
    size_t n_failed = 0;
    for (uint64_t nth = 1;; nth++) {
        wd_generated g;
        wd_err e = { 0 };
        wd_inject_failure(nth);
        const wd_status st = r.engine->generate(r.engine->self, r.arena, &q.rq, &g, &e);
        const bool all = wd_inject_failure(0) < nth;
        if (st == WD_OK) {
            assert_same_tokens(&want, &g);
            wd_parsed_free(&g.reply);
        } else {
            assert_int_equal(st, WD_E_NOMEM);
            assert_true(e.text[0]);
            n_failed++;
        }
        assert_idle(&r);
        if (all)
            break;
    }
    assert_true(n_failed > 20);
    const wd_generated after = go(&r, &q);
    assert_same_tokens(&want, &after);
    wd_image_free(&im);
    rig_close(&r);
}

/* Traffic of all kinds from some threads, with calls that are cancelled; memory
 * is what it was half way. */
typedef struct traffic {
    rig *r;
    size_t first, n;
    const wd_image *im;
    pthread_t thread;
    size_t n_ok, n_cancelled;
} traffic;

static void *traffic_run(void *arg)
{
    traffic *t = arg;
    static const char *const embed_text = "a spiculated nodule";
    for (size_t i = t->first; i < t->first + t->n; i++) {
        if (i % 7 == 3) {
            wd_arena *a = wd_arena_create((size_t)1 << 24, false);
            const wd_part part = { WD_PART_TEXT, wd_span_str(embed_text) };
            const wd_embed rq = { .item = { .parts = { &part, 1 } }, .terms = { .tenant = i % 4 } };
            const float *v;
            uint32_t dim;
            size_t n;
            t->n_ok += t->r->engine->embed(t->r->engine->self, a, &rq, &v, &dim, &n, NULL) == WD_OK;
            wd_arena_destroy(a);
            continue;
        }
        call *c = WD_ALLOC(call);
        stopper stop = { .after = i % 9 };
        call_init(c, t->r, i, i % 3 ? &t->im[i % 3] : NULL);
        c->q.rq.terms.tenant = i % 4;
        c->q.rq.terms.priority = (int32_t)(i % 2);
        if (i % 5 == 0)
            c->q.rq.watch = (wd_watch){ .cancel = &stop.cancel, .progress = stop_after, .self = &stop };
        call_run(c);
        t->n_ok += c->st == WD_OK;
        t->n_cancelled += c->st == WD_E_CANCELLED;
        call_end(c);
        wd_free(c);
    }
    return NULL;
}

static size_t resident(void)
{
    size_t total, here = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%zu %zu", &total, &here), 2);
    fclose(f);
    return here * (size_t)sysconf(_SC_PAGESIZE);
}

/* $WARD_SOAK calls in each half. */
static void memory_is_flat_under_mixed_traffic(void **state)
{
    (void)state;
    enum { N_THREAD = 8 };
    static traffic t[N_THREAD];
    const char *asked = getenv("WARD_SOAK");
    const size_t n = asked ? strtoul(asked, NULL, 10) : 240;
    rig r;
    wd_image im[3];
    size_t held[2], mallocs[2];
    for (size_t i = 0; i < WD_COUNT(im); i++)
        noise(&im[i], 64 + 32 * (uint32_t)i, 96, i);
    rig_open(&r, "vl-dense", 0);
    const size_t page = wd_kv_page_bytes(wd_local_kv(r.engine));
    rig_close(&r);
    rig_open_opts(
        &r, "vl-dense", 32,
        (wd_local_opts){
            .kv_bytes = 24 * page, .prefix_bytes = 12 * page, .image_bytes = 60000, .max_seqs = 6 });
    for (int half = 0; half < 2; half++) {
        size_t n_ok = 0, n_cancelled = 0;
        for (size_t i = 0; i < N_THREAD; i++) {
            t[i] = (traffic){
                .r = &r, .first = i * n / N_THREAD, .n = (i + 1) * n / N_THREAD - i * n / N_THREAD, .im = im
            };
            assert_int_equal(pthread_create(&t[i].thread, NULL, traffic_run, &t[i]), 0);
        }
        for (size_t i = 0; i < N_THREAD; i++) {
            assert_int_equal(pthread_join(t[i].thread, NULL), 0);
            n_ok += t[i].n_ok;
            n_cancelled += t[i].n_cancelled;
        }
        assert_int_equal(n_ok + n_cancelled, n);
        assert_true(n_cancelled > n / 20);
        assert_idle(&r);
        const wd_engine_stats s = stats_of(&r);
        assert_true(s.prefix_bytes <= 12 * page && s.image_bytes <= 60000);
        held[half] = resident();
        mallocs[half] = mallinfo2().uordblks + mallinfo2().hblkhd;
    }
    const wd_engine_stats s = stats_of(&r);
    print_message("%zu calls: %zu and %zu KiB in use, %zu and %zu KiB resident, "
                  "%llu gave up pages\n",
                  2 * n, mallocs[0] / 1024, mallocs[1] / 1024, held[0] / 1024, held[1] / 1024,
                  (unsigned long long)s.n_preempted);
    /* pools of the tokenizer and of pages grow with how many happen to run at once */
    assert_true(mallocs[1] < mallocs[0] + (1 << 20));
    for (size_t i = 0; i < WD_COUNT(im); i++)
        wd_image_free(&im[i]);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_gives_the_same_alone_and_among_31_others),
        cmocka_unit_test(calls_that_give_up_their_pages_say_the_same),
        cmocka_unit_test(cancelled_calls_leave_the_others_alone),
        cmocka_unit_test(a_slow_reader_does_not_hold_the_others),
        cmocka_unit_test(calls_beyond_the_queue_are_turned_away_and_waiting_ones_keep_their_deadline),
        cmocka_unit_test(running_calls_end_at_their_deadline_and_leave_the_others_alone),
        cmocka_unit_test(waiting_calls_start_by_priority_then_by_arrival),
        cmocka_unit_test(a_more_urgent_call_takes_the_place_of_a_running_one),
        cmocka_unit_test(pairs_with_one_query_compute_it_once),
        cmocka_unit_test(tenants_share_nothing),
        cmocka_unit_test(a_picture_behind_other_words_is_not_looked_at_again),
        cmocka_unit_test(caches_keep_to_their_bytes),
        cmocka_unit_test(replies_go_on_between_the_layers_of_the_tower),
        cmocka_unit_test(a_flood_of_one_tenant_leaves_another_its_time_to_the_first_token),
        cmocka_unit_test(tenants_that_both_want_all_get_like_amounts),
        cmocka_unit_test(a_tenants_weight_is_its_share),
        cmocka_unit_test(tokens_allocate_nothing_once_warm),
        cmocka_unit_test(every_failed_allocation_is_an_error_and_leaves_nothing),
        cmocka_unit_test(memory_is_flat_under_mixed_traffic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
