/* Many calls at once: nothing but the time depends on who else is there. */
#include "crowd.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define N_CALL 32

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
        { "text-untied", 64, { .step_ms = 1 } },
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
        cmocka_unit_test(running_calls_end_at_their_deadline_and_leave_the_others_alone),
        cmocka_unit_test(pairs_with_one_query_compute_it_once),
        cmocka_unit_test(tenants_share_nothing),
        cmocka_unit_test(a_picture_behind_other_words_is_not_looked_at_again),
        cmocka_unit_test(caches_keep_to_their_bytes),
        cmocka_unit_test(replies_go_on_between_the_layers_of_the_tower),
        cmocka_unit_test(tokens_allocate_nothing_once_warm),
        cmocka_unit_test(every_failed_allocation_is_an_error_and_leaves_nothing),
        cmocka_unit_test(memory_is_flat_under_mixed_traffic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
