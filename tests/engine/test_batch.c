/* Many calls at once: nothing but the time depends on who else is there. */
#include "rig.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
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
    pthread_t thread;
} call;

/* Call i of a mixed crowd: short and long, greedy and drawn, with log-probabilities of reply or prompt, with images. */
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

/* All of a crowd on one engine, and each alone on one that computes nothing else and reuses nothing. */
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

/* A pool for two or three of them: whoever is pushed out comes back and says the same. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_gives_the_same_alone_and_among_31_others),
        cmocka_unit_test(calls_that_give_up_their_pages_say_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
