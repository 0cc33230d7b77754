/* Calls on threads of their own. */
#include "crowd.h"

#include <stdio.h>

#include "base/rand.h"

const char *const words[N_WORD] = { "the left sinus is blunted",
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

void call_init(call *c, rig *r, size_t i, const wd_image *image)
{
    wd_rand rnd;
    wd_rand_init(&rnd, i);
    *c = (call){ .r = r, .arena = wd_arena_create((size_t)1 << 26, false) };
    assert_non_null(c->arena);
    const size_t n = 1 + wd_rand_below(&rnd, 9);
    for (size_t k = 0; k < n; k++) {
        const size_t at = strlen(c->text);
        snprintf(c->text + at, sizeof c->text - at, "%s. ", words[wd_rand_below(&rnd, N_WORD)]);
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

void *call_run(void *arg)
{
    call *c = arg;
    c->st = c->r->engine->generate(c->r->engine->self, c->arena, &c->q.rq, &c->g, &c->err);
    return NULL;
}

void call_start(call *c)
{
    assert_int_equal(pthread_create(&c->thread, NULL, call_run, c), 0);
}

void call_end(call *c)
{
    if (c->st == WD_OK)
        wd_parsed_free(&c->g.reply);
    wd_arena_destroy(c->arena);
}

void assert_same_replies(const call *a, const call *b)
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

wd_engine_stats stats_of(rig *r)
{
    wd_engine_stats s;
    r->engine->stats(r->engine->self, &s);
    return s;
}

void assert_idle(rig *r)
{
    const wd_engine_stats s = stats_of(r);
    assert_int_equal(s.n_running + s.n_waiting, 0);
    assert_int_equal(s.kv_bytes, s.prefix_bytes);
}
