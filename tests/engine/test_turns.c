/* Who waits, who goes first, and how much each tenant gets. */
#include "crowd.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"

/* ---- waiting ---- */

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
    /* On a busy machine the second may give up before the third is there, which then waits in its place: with more time,
     * again. */
    for (uint64_t wait_ns = 200000000;; wait_ns *= 2) {
        const uint64_t deadline_ns = wd_clock_ns() + wait_ns;
        c[1].q.rq.terms.deadline_ns = c[2].q.rq.terms.deadline_ns = deadline_ns;
        call_start(&c[1]);
        while (stats_of(&r).n_waiting < 1 && wd_clock_ns() < deadline_ns)
            usleep(1000);
        call_run(&c[2]);
        assert_int_equal(pthread_join(c[1].thread, NULL), 0);
        assert_int_equal(c[1].st, WD_E_DEADLINE);
        assert_true(wd_clock_ns() >= deadline_ns);
        if (c[2].st == WD_E_BUSY)
            break;
        assert_int_equal(c[2].st, WD_E_DEADLINE);
        assert_true(wait_ns < (uint64_t)60000000000);
    }
    gate_set(&g, &g.open);
    assert_int_equal(pthread_join(c[0].thread, NULL), 0);
    assert_int_equal(c[0].st, WD_OK);
    assert_idle(&r);
    for (size_t i = 0; i < WD_COUNT(c); i++)
        call_end(&c[i]);
    rig_close(&r);
    gate_destroy(&g);
}

/* ---- who goes first ---- */

/* They wait while one runs and stays; then come by priority, whatever their tenants were served, and among equals by
 * arrival. When each began is the engine's word: a caller hears of it when its thread comes to run. */
static void waiting_calls_start_by_priority_then_by_arrival(void **state)
{
    (void)state;
    static const int32_t priority[] = { 0, 5, -3, 5, 0, 7 };
    static const size_t order[] = { 5, 1, 3, 0, 4, 2 };
    static call first, c[WD_COUNT(priority)];
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
        /* the least urgent is of a tenant that was not served yet */
        c[i].q.rq.terms = (wd_terms){ .tenant = priority[i] < 0 ? 2 : 1, .priority = priority[i] };
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
    }
    for (size_t i = 1; i < WD_COUNT(c); i++)
        assert_true(c[order[i - 1]].g.timings.began_s < c[order[i]].g.timings.began_s);
    assert_idle(&r);
    for (size_t i = 0; i < WD_COUNT(c); i++)
        call_end(&c[i]);
    call_end(&first);
    rig_close(&r);
    gate_destroy(&g);
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
        call_start(&low);
        while (stats_of(&r).n_step_row < 60)
            usleep(50);
        call_start(&high);
        assert_int_equal(pthread_join(low.thread, NULL), 0);
        assert_int_equal(pthread_join(high.thread, NULL), 0);
        n_preempted = stats_of(&r).n_preempted;
        assert_int_equal(high.st, WD_OK);
        if (n_preempted)
            assert_true(low.g.timings.began_s < high.g.timings.began_s);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_reader_does_not_hold_the_others),
        cmocka_unit_test(calls_beyond_the_queue_are_turned_away_and_waiting_ones_keep_their_deadline),
        cmocka_unit_test(waiting_calls_start_by_priority_then_by_arrival),
        cmocka_unit_test(a_more_urgent_call_takes_the_place_of_a_running_one),
        cmocka_unit_test(a_flood_of_one_tenant_leaves_another_its_time_to_the_first_token),
        cmocka_unit_test(tenants_that_both_want_all_get_like_amounts),
        cmocka_unit_test(a_tenants_weight_is_its_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
