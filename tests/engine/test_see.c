/* Several images in one call: in the tower turn by turn, the next ones made ready meanwhile. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "crowd.h"

enum { N = 5 };

static const char *const text[] = { "Compare them." };

typedef struct pictures {
    wd_image v[N];
} pictures;

static void take(pictures *p)
{
    static const uint32_t size[N][2] = { { 96, 64 }, { 64, 64 }, { 64, 128 }, { 200, 150 }, { 96, 96 } };
    for (uint64_t i = 0; i < N; i++)
        noise(&p->v[i], size[i][0], size[i][1], 40 + i);
}

static void give(pictures *p)
{
    for (size_t i = 0; i < N; i++)
        wd_image_free(&p->v[i]);
}

/* tokens: of a turn; nothing of earlier calls is used again. */
static void open_with(rig *r, uint32_t tokens)
{
    rig_open_opts(r, "vl-dense", 0,
                  (wd_local_opts){
                      .lookup = WD_LOOKUP_OFF, .look_tokens = tokens, .prefix_bytes = 1, .image_bytes = 1 });
}

static void ask_all(ask *q, const wd_image *image)
{
    ask_init(q, image, N, text, 1);
    q->rq.logprobs = true;
}

static void assert_same_bits(const wd_generated *a, const wd_generated *b)
{
    assert_same_tokens(a, b);
    for (size_t i = 0; i < a->n_id; i++)
        assert_memory_equal(&a->logprob[i].logprob, &b->logprob[i].logprob, sizeof(float));
}

/* An engine that looks at one image a turn, a call with all pictures, and what it gave. max_tokens 0: as ask_all has it. */
typedef struct one_by_one {
    rig r;
    ask q;
    pictures p;
    wd_generated want;
} one_by_one;

static wd_generated go_all(one_by_one *o, uint32_t max_tokens)
{
    ask_all(&o->q, o->p.v);
    if (max_tokens)
        o->q.rq.max_tokens = max_tokens;
    return go(&o->r, &o->q);
}

static void begin(one_by_one *o, uint32_t max_tokens)
{
    take(&o->p);
    open_with(&o->r, 1);
    o->want = go_all(o, max_tokens);
}

/* The same call goes as it went before. */
static void end(one_by_one *o, uint32_t max_tokens)
{
    const wd_generated after = go_all(o, max_tokens);
    assert_same_bits(&o->want, &after);
    give(&o->p);
    rig_close(&o->r);
}

static void images_in_turns_give_the_bits_of_all_at_once(void **state)
{
    (void)state;
    static const uint32_t tokens[] = { 1, 6, 13, 20 };
    rig whole;
    ask q;
    pictures p;
    take(&p);
    open_with(&whole, 0);
    ask_all(&q, p.v);
    const wd_generated want = go(&whole, &q);
    assert_int_equal(stats_of(&whole).n_image, N);
    for (size_t t = 0; t < WD_COUNT(tokens); t++) {
        rig r;
        open_with(&r, tokens[t]);
        const wd_generated got = go(&r, &q);
        assert_same_bits(&want, &got);
        assert_int_equal(stats_of(&r).n_image, N);
        rig_close(&r);
    }
    /* Were two of them taken for each other, it would show. */
    wd_image swapped[N];
    memcpy(swapped, p.v, sizeof swapped);
    swapped[2] = p.v[4];
    swapped[4] = p.v[2];
    ask_all(&q, swapped);
    const wd_generated other = go(&whole, &q);
    assert_memory_not_equal(&want.logprob[0].logprob, &other.logprob[0].logprob, sizeof(float));
    give(&p);
    rig_close(&whole);
}

static void the_same_image_twice_is_seen_once_in_turns_too(void **state)
{
    (void)state;
    rig r, whole;
    ask q;
    pictures p;
    take(&p);
    open_with(&r, 1);
    open_with(&whole, 0);
    const wd_image again[N] = { p.v[0], p.v[1], p.v[0], p.v[3], p.v[1] };
    ask_all(&q, again);
    const wd_generated want = go(&whole, &q), got = go(&r, &q);
    assert_same_bits(&want, &got);
    const wd_engine_stats s = stats_of(&r);
    assert_int_equal(s.n_image - s.n_image_cached, 3);
    give(&p);
    rig_close(&r);
    rig_close(&whole);
}

static void an_image_that_cannot_be_resized_is_named_and_leaves_nothing(void **state)
{
    (void)state;
    one_by_one o;
    begin(&o, 0);
    wd_image bad[N], thin;
    noise(&thin, 1, 400, 9);
    memcpy(bad, o.p.v, sizeof bad);
    bad[2] = thin;
    ask_all(&o.q, bad);
    wd_generated g;
    assert_fails(o.r.engine->generate(o.r.engine->self, o.r.arena, &o.q.rq, &g, &err), WD_E_INVALID,
                 "image 3 of 5");
    assert_idle(&o.r);
    wd_image_free(&thin);
    end(&o, 0);
}

/* Which allocation is the nth depends on two threads: the sweep is repeated until a later image was without memory. */
static void no_memory_for_a_later_image_is_an_error_that_names_it(void **state)
{
    (void)state;
    one_by_one o;
    begin(&o, 1);
    bool named = false;
    for (int sweep = 0; sweep < 20 && !named; sweep++) {
        for (uint64_t nth = 1;; nth++) {
            wd_generated g;
            wd_err e = { 0 };
            unsigned i = 0;
            wd_inject_failure(nth);
            const wd_status st = o.r.engine->generate(o.r.engine->self, o.r.arena, &o.q.rq, &g, &e);
            const bool all = wd_inject_failure(0) < nth;
            if (st == WD_OK) {
                assert_same_tokens(&o.want, &g);
                wd_parsed_free(&g.reply);
            } else {
                assert_int_equal(st, WD_E_NOMEM);
                assert_true(e.text[0]);
                named = named || (sscanf(e.text, "image %u of 5", &i) == 1 && i > 1);
            }
            assert_idle(&o.r);
            if (all)
                break;
        }
    }
    assert_true(named);
    end(&o, 1);
}

typedef struct stopper {
    uint64_t at;
    atomic_bool cancel;
} stopper;

static void stop_at(void *self, wd_stage stage, uint64_t done, uint64_t total)
{
    stopper *s = self;
    (void)total;
    if (stage == WD_STAGE_VISION && done >= s->at)
        atomic_store(&s->cancel, true);
}

static void a_call_is_cancelled_between_its_images_and_goes_well_again(void **state)
{
    (void)state;
    one_by_one o;
    begin(&o, 0);
    for (uint64_t at = 0; at < o.want.n_visual; at += 5) {
        stopper s = { .at = at };
        wd_generated g;
        const uint64_t seen = stats_of(&o.r).n_image;
        ask_all(&o.q, o.p.v);
        o.q.rq.watch = (wd_watch){ .cancel = &s.cancel, .progress = stop_at, .self = &s };
        assert_fails(o.r.engine->generate(o.r.engine->self, o.r.arena, &o.q.rq, &g, &err), WD_E_CANCELLED,
                     "cancel");
        assert_idle(&o.r);
        assert_true(stats_of(&o.r).n_image - seen < N);
    }
    end(&o, 0);
}

/* Calls with one image each and calls with several take turns; each has the bits that it has alone. */
static void calls_with_many_images_and_with_one_go_together(void **state)
{
    (void)state;
    enum { CALLS = 4 };
    rig r, one;
    pictures p;
    static call c[CALLS], alone[CALLS];
    take(&p);
    open_with(&r, 7);
    open_with(&one, 0);
    for (size_t i = 0; i < CALLS; i++) {
        call *both[] = { &c[i], &alone[i] };
        for (size_t k = 0; k < 2; k++) {
            call_init(both[k], k ? &one : &r, i, &p.v[i]);
            if (i % 2)
                ask_all(&both[k]->q, p.v);
        }
        call_run(&alone[i]);
    }
    for (size_t i = 0; i < CALLS; i++)
        call_start(&c[i]);
    for (size_t i = 0; i < CALLS; i++) {
        pthread_join(c[i].thread, NULL);
        assert_int_equal(c[i].st, WD_OK);
        assert_same_replies(&alone[i], &c[i]);
    }
    assert_idle(&r);
    for (size_t i = 0; i < CALLS; i++) {
        call_end(&c[i]);
        call_end(&alone[i]);
    }
    give(&p);
    rig_close(&r);
    rig_close(&one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_in_turns_give_the_bits_of_all_at_once),
        cmocka_unit_test(the_same_image_twice_is_seen_once_in_turns_too),
        cmocka_unit_test(an_image_that_cannot_be_resized_is_named_and_leaves_nothing),
        cmocka_unit_test(no_memory_for_a_later_image_is_an_error_that_names_it),
        cmocka_unit_test(a_call_is_cancelled_between_its_images_and_goes_well_again),
        cmocka_unit_test(calls_with_many_images_and_with_one_go_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
