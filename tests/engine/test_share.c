/* Engines of one process: turns, and memory that adds up. */
#include "rig.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

/* ---- the budget ---- */

static void memory_is_given_until_it_is_gone_and_comes_back(void **state)
{
    (void)state;
    wd_share *s;
    const size_t mib = (size_t)1 << 20;
    const wd_share_need a = { .weights = 30 * mib, .kv = 20 * mib, .images = 5 * mib, .work = 5 * mib },
                        b = { .weights = 41 * mib }, c = { .kv = 40 * mib };
    assert_ok(wd_share_create(100 * mib, &s, &err));
    assert_int_equal(wd_share_max(s), 100 * mib);
    assert_ok(wd_share_reserve(s, "a", &a, &err));
    assert_fails(wd_share_reserve(s, "b", &b, &err), WD_E_LIMIT,
                 "b needs 41 MiB (weights 41, keys and values 0, images 0, work 0), and of the 100 MiB for "
                 "models 40 are left");
    assert_int_equal(wd_share_used(s), 60 * mib); /* nothing was taken */
    assert_ok(wd_share_reserve(s, "c", &c, &err));
    assert_int_equal(wd_share_used(s), 100 * mib);
    wd_share_give_back(s, &a);
    assert_ok(wd_share_reserve(s, "b", &b, &err));
    wd_share_give_back(s, &b);
    wd_share_give_back(s, &c);
    const wd_share_need huge = { .weights = SIZE_MAX - 5, .kv = SIZE_MAX - 5 }; /* sums do not wrap */
    assert_fails(wd_share_reserve(s, "huge", &huge, &err), WD_E_LIMIT, "huge needs");
    assert_int_equal(wd_share_used(s), 0);
    wd_share_destroy(s);
    assert_ok(wd_share_create(0, &s, &err));
    assert_ok(wd_share_reserve(s, "huge", &huge, &err)); /* no limit */
    wd_share_give_back(s, &huge);
    wd_share_destroy(s);
    wd_share_destroy(NULL);
    wd_share_begin_turn(NULL);
    wd_share_end_turn(NULL);
    wd_inject_failure(1);
    assert_fails(wd_share_create(0, &s, &err), WD_E_NOMEM, "no memory");
    wd_inject_failure(0);
}

/* ---- turns ---- */

typedef struct taker {
    wd_share *s;
    atomic_int *inside;
    atomic_uint *n_turn, *n_asking;
    unsigned place; /* of its turn: 0, 1, ... */
    bool alone;
    pthread_t thread;
} taker;

static void *take_turn(void *arg)
{
    taker *t = arg;
    atomic_fetch_add(t->n_asking, 1);
    wd_share_begin_turn(t->s);
    t->alone = atomic_fetch_add(t->inside, 1) == 0;
    t->place = atomic_fetch_add(t->n_turn, 1);
    usleep(200);
    atomic_fetch_sub(t->inside, 1);
    wd_share_end_turn(t->s);
    return NULL;
}

static void turns_come_one_at_a_time_in_the_order_of_asking(void **state)
{
    (void)state;
    static taker t[8];
    atomic_int inside = 0;
    atomic_uint n_turn = 0, n_asking = 0;
    wd_share *s;
    assert_ok(wd_share_create(0, &s, &err));
    wd_share_begin_turn(s); /* all of them wait for this one */
    for (unsigned i = 0; i < WD_COUNT(t); i++) {
        t[i] = (taker){ .s = s, .inside = &inside, .n_turn = &n_turn, .n_asking = &n_asking };
        assert_int_equal(pthread_create(&t[i].thread, NULL, take_turn, &t[i]), 0);
        while (atomic_load(&n_asking) <= i)
            usleep(100);
        usleep(20000); /* it has its ticket, but for a very busy machine */
    }
    assert_int_equal(atomic_load(&n_turn), 0);
    wd_share_end_turn(s);
    for (unsigned i = 0; i < WD_COUNT(t); i++) {
        assert_int_equal(pthread_join(t[i].thread, NULL), 0);
        assert_true(t[i].alone);
        assert_int_equal(t[i].place, i);
    }
    wd_share_destroy(s);
}

/* ---- two engines on the same operators ---- */

typedef struct caller {
    wd_engine *engine;
    const char *const *text;
    wd_generated want;
    size_t n_wrong;
    pthread_t thread;
} caller;

static void *call_again_and_again(void *arg)
{
    caller *c = arg;
    for (int i = 0; i < 12; i++) {
        wd_arena *a = wd_arena_create((size_t)1 << 26, false);
        wd_generated g;
        ask q;
        ask_init(&q, NULL, 0, c->text, 1);
        q.rq.max_tokens = 24;
        q.rq.terms.tenant = (uint64_t)i % 3;
        const wd_status st = c->engine->generate(c->engine->self, a, &q.rq, &g, NULL);
        c->n_wrong += st || g.n_id != c->want.n_id || memcmp(g.id, c->want.id, g.n_id * sizeof *g.id) != 0;
        if (!st)
            wd_parsed_free(&g.reply);
        wd_arena_destroy(a);
    }
    return NULL;
}

/* A base and an adapter of it use the same weights, operators and scratch memory: in turns, so that each says what it says
 * alone. */
static void a_base_and_its_adapter_do_not_disturb_each_other(void **state)
{
    (void)state;
    static const char *const text[] = { "The left sinus is blunted, no fracture, heart of normal size." };
    rig r;
    char dir[1024];
    wd_share *s;
    wd_lora *lora;
    wd_model *model;
    wd_engine *adapted;
    ask q;
    assert_ok(wd_share_create(0, &s, &err));
    rig_open_opts(&r, "text-untied", 16, (wd_local_opts){ .share = s });
    snprintf(dir, sizeof dir, "%s/golden/lora/a", test_data_dir());
    assert_ok(wd_lora_open(dir, 1, &r.cfg, &lora, &err));
    const wd_model_opts mo = { .max_rows = 16, .lora = &lora, .n_lora = 1 };
    assert_ok(wd_model_open(r.weights, &r.cfg, &mo, r.ops, &model, &err));
    const wd_local_opts o = {
        .model = model, .tokenizer = r.tok, .backend = r.ops->name, .chat_kind = WD_CHAT_QWEN3, .share = s
    };
    assert_ok(wd_local_create(&o, &adapted, &err));
    ask_init(&q, NULL, 0, text, 1);
    q.rq.max_tokens = 24;
    caller c[4];
    for (size_t i = 0; i < WD_COUNT(c); i++) {
        c[i] = (caller){ .engine = i % 2 ? adapted : r.engine, .text = text };
        assert_ok(c[i].engine->generate(c[i].engine->self, r.arena, &q.rq, &c[i].want, &err));
        wd_parsed_free(&c[i].want.reply);
    }
    assert_true(memcmp(c[0].want.id, c[1].want.id, c[0].want.n_id * sizeof(uint32_t)) != 0);
    for (size_t i = 0; i < WD_COUNT(c); i++)
        assert_int_equal(pthread_create(&c[i].thread, NULL, call_again_and_again, &c[i]), 0);
    for (size_t i = 0; i < WD_COUNT(c); i++) {
        assert_int_equal(pthread_join(c[i].thread, NULL), 0);
        assert_int_equal(c[i].n_wrong, 0);
    }
    wd_engine_destroy(adapted);
    wd_model_close(model);
    wd_lora_close(lora);
    rig_close(&r);
    wd_share_destroy(s);
}

/* What an engine says it needs is what its options allow, and what it offers fits into it. */
static void needs_are_the_sum_of_the_limits(void **state)
{
    (void)state;
    rig r;
    wd_engine_stats st;
    rig_open(&r, "vl-dense", 0);
    const size_t page = wd_kv_page_bytes(wd_local_kv(r.engine)), page_len = wd_local_kv(r.engine)->page_len;
    assert_int_equal(wd_local_need(r.engine).kv, 0); /* no limit */
    rig_close(&r);
    rig_open_opts(&r, "vl-dense", 0, (wd_local_opts){ .kv_bytes = 6 * page, .image_bytes = 70000 });
    wd_share_need n = wd_local_need(r.engine);
    assert_int_equal(n.kv, 6 * page);
    assert_int_equal(n.images, 70000);
    assert_true(n.work > (size_t)r.cfg.text.n_vocab * sizeof(float) && n.weights == 0);
    assert_int_equal(r.engine->info.context, 4 * page_len); /* what can be held is what is offered */
    rig_close(&r);
    rig_open_opts(&r, "vl-dense", 0,
                  (wd_local_opts){ .kv_auto_bytes = 6 * page + 5, .prefix_bytes = 100 * page });
    assert_int_equal(wd_local_need(r.engine).kv, 6 * page); /* whole pages */
    r.engine->stats(r.engine->self, &st);
    assert_int_equal(st.kv_max_bytes, 6 * page);
    assert_int_equal(st.prefix_max_bytes, 6 * page);
    rig_close(&r);
    rig_open_opts(
        &r, "vl-dense", 0,
        (wd_local_opts){ .kv_auto_bytes = SIZE_MAX, .context = 2 * (uint32_t)page_len, .max_seqs = 3 });
    assert_int_equal(wd_local_need(r.engine).kv, 3 * (2 + 2) * page); /* not more than all of them can use */
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_given_until_it_is_gone_and_comes_back),
        cmocka_unit_test(turns_come_one_at_a_time_in_the_order_of_asking),
        cmocka_unit_test(a_base_and_its_adapter_do_not_disturb_each_other),
        cmocka_unit_test(needs_are_the_sum_of_the_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
