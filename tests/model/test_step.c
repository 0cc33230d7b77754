#include "model/model.h"

#include "model/tiny.h"
#include "support/test.h"

#define N 41       /* tokens of the test prompt */
#define IMAGE 6    /* where its image begins ... */
#define N_IMAGE 24 /* ... and how many tokens it has: a 12 x 8 grid */

/* A prompt with an image in its middle: text, 24 visual tokens, text. */
typedef struct prompt {
    uint32_t ids[N];
    int32_t pos[3][N], visual[N];
    wd_features features;
} prompt;

static void prompt_make(prompt *p, tiny *t)
{
    static const uint32_t grid[1][3] = { { 1, 12, 8 } };
    float *patches = test_malloc(96 * 1536 * sizeof *patches);
    tiny_values(patches, 96 * 1536, 11);
    assert_ok(wd_model_see(t->model, &(wd_see){ .patches = patches, .grid = grid, .n_grid = 1 }, &p->features,
                           &err));
    test_free(patches);
    assert_int_equal(p->features.n_row, N_IMAGE);

    tiny_tokens(p->ids, N, 5);
    int32_t cur = 0;
    for (int i = 0; i < N; i++) {
        const int at = i - IMAGE;
        p->visual[i] = at >= 0 && at < N_IMAGE ? at : -1;
        p->pos[0][i] = p->visual[i] < 0 ? cur : IMAGE;
        p->pos[1][i] = p->visual[i] < 0 ? cur : IMAGE + at / 4;
        p->pos[2][i] = p->visual[i] < 0 ? cur : IMAGE + at % 4;
        if (p->visual[i] < 0)
            cur++;
        else if (at == N_IMAGE - 1)
            cur = IMAGE + 6; /* the longer side of 6 x 4 */
    }
}

/* Runs tokens first .. first + n - 1 of the prompt; hidden [n][n_embd]. */
static void run(tiny *t, const prompt *p, size_t first, size_t n, float *hidden)
{
    uint32_t rows[N];
    for (uint32_t i = 0; i < N; i++)
        rows[i] = i;
    assert_ok(wd_model_step(t->model,
                            &(wd_step){ .ids = p->ids + first,
                                        .n = n,
                                        .pos = { p->pos[0] + first, p->pos[1] + first, p->pos[2] + first },
                                        .features = &p->features,
                                        .visual = p->visual + first,
                                        .kv = t->kv,
                                        .out_row = rows,
                                        .n_out = n,
                                        .hidden = hidden },
                            &err));
}

static void check_chunks(const char *checkpoint)
{
    tiny t;
    prompt p;
    tiny_open(&t, checkpoint, NULL);
    prompt_make(&p, &t);
    const size_t n_embd = t.cfg.text.n_embd, bytes = N * n_embd * sizeof(float);
    float *whole = test_malloc(bytes), *parts = test_malloc(bytes);
    run(&t, &p, 0, N, whole);

    /* 1: token by token. 10: a border inside the image. 17: another, inside a row of it. */
    static const size_t chunk[] = { 1, 7, 10, 17, 40 };
    for (size_t c = 0; c < WD_COUNT(chunk); c++) {
        wd_kv_truncate(t.kv, 0);
        for (size_t i = 0; i < N; i += chunk[c])
            run(&t, &p, i, WD_MIN(chunk[c], N - i), parts + i * n_embd);
        assert_memory_equal(parts, whole, bytes);
    }
    test_free(whole);
    test_free(parts);
    wd_features_free(&p.features);
    tiny_close(&t);
}

static void a_prompt_in_chunks_gives_the_same_bits_as_a_whole_one(void **state)
{
    (void)state;
    check_chunks("vl-dense-f32");
    check_chunks("vl-moe");
}

static void deepstack_changes_the_image_and_what_follows_it(void **state)
{
    (void)state;
    tiny t;
    prompt p;
    tiny_open(&t, "vl-dense-f32", NULL);
    prompt_make(&p, &t);
    const size_t n_embd = t.cfg.text.n_embd;
    float *with = test_malloc(N * n_embd * sizeof *with),
          *without = test_malloc(N * n_embd * sizeof *without);
    run(&t, &p, 0, N, with);
    wd_kv_truncate(t.kv, 0);
    const uint32_t n_deepstack = p.features.n_deepstack;
    assert_int_equal(n_deepstack, 3);
    p.features.n_deepstack = 0;
    run(&t, &p, 0, N, without);
    assert_memory_equal(with, without, IMAGE * n_embd * sizeof *with); /* tokens before the image */
    assert_memory_not_equal(with + IMAGE * n_embd, without + IMAGE * n_embd, n_embd * sizeof *with);
    assert_memory_not_equal(with + (N - 1) * n_embd, without + (N - 1) * n_embd, n_embd * sizeof *with);
    p.features.n_deepstack = n_deepstack;
    test_free(with);
    test_free(without);
    wd_features_free(&p.features);
    tiny_close(&t);
}

/* One token after the prompt, at its default position. */
static void step_one(tiny *t, uint32_t id, float *hidden)
{
    assert_ok(wd_model_step(
        t->model,
        &(wd_step){
            .ids = &id, .n = 1, .kv = t->kv, .out_row = &(uint32_t){ 0 }, .n_out = 1, .hidden = hidden },
        &err));
}

static void a_default_position_is_the_index_plus_the_caches_shift(void **state)
{
    (void)state;
    tiny t;
    prompt p;
    float by_delta[96], by_hand[96], unshifted[96];
    static float rows[N * 96];
    tiny_open(&t, "vl-dense-f32", NULL);
    assert_int_equal(t.cfg.text.n_embd, 96);
    prompt_make(&p, &t);
    run(&t, &p, 0, N, rows);
    const int32_t next = p.pos[0][N - 1] + 1;

    wd_kv_set_rope_delta(t.kv, next - N);
    step_one(&t, 9, by_delta);
    wd_kv_truncate(t.kv, N);
    wd_kv_set_rope_delta(t.kv, 0);
    step_one(&t, 9, unshifted);
    wd_kv_truncate(t.kv, N);
    assert_ok(wd_model_step(t.model,
                            &(wd_step){ .ids = &(uint32_t){ 9 },
                                        .n = 1,
                                        .pos = { &next, &next, &next },
                                        .kv = t.kv,
                                        .out_row = &(uint32_t){ 0 },
                                        .n_out = 1,
                                        .hidden = by_hand },
                            &err));
    assert_memory_equal(by_delta, by_hand, sizeof by_hand);
    assert_memory_not_equal(by_delta, unshifted, sizeof by_hand);
    wd_features_free(&p.features);
    tiny_close(&t);
}

static void the_three_axes_matter_each(void **state)
{
    (void)state;
    tiny t;
    prompt p;
    tiny_open(&t, "vl-dense-f32", NULL);
    prompt_make(&p, &t);
    const size_t n_embd = t.cfg.text.n_embd;
    float *want = test_malloc(N * n_embd * sizeof *want), *got = test_malloc(N * n_embd * sizeof *got);
    run(&t, &p, 0, N, want);
    for (int axis = 0; axis < 3; axis++) {
        wd_kv_truncate(t.kv, 0);
        p.pos[axis][IMAGE + 5] += 3;
        run(&t, &p, 0, N, got);
        p.pos[axis][IMAGE + 5] -= 3;
        assert_memory_equal(got, want, (IMAGE + 5) * n_embd * sizeof *got);
        assert_memory_not_equal(got + (N - 1) * n_embd, want + (N - 1) * n_embd, n_embd * sizeof *got);
    }
    test_free(want);
    test_free(got);
    wd_features_free(&p.features);
    tiny_close(&t);
}

static void truncation_takes_a_sequence_back(void **state)
{
    (void)state;
    tiny t;
    uint32_t ids[100];
    float first[96], again[96];
    tiny_open(&t, "text-untied", NULL);
    tiny_tokens(ids, 100, 21);
    for (int i = 0; i < 70; i++)
        step_one(&t, ids[i], first);
    wd_kv_truncate(t.kv, 20);
    for (int i = 0; i < 30; i++)
        step_one(&t, ids[99 - i], again); /* another continuation over the same pages */
    wd_kv_truncate(t.kv, 20);
    for (int i = 20; i < 70; i++)
        step_one(&t, ids[i], again);
    assert_memory_equal(first, again, sizeof first);
    tiny_close(&t);
}

static void only_the_wanted_rows_come_out_and_with_the_same_bits(void **state)
{
    (void)state;
    tiny t;
    uint32_t ids[20], all[20];
    const uint32_t two[2] = { 3, 17 };
    tiny_open(&t, "text-moe", NULL);
    tiny_tokens(ids, 20, 2);
    for (uint32_t i = 0; i < 20; i++)
        all[i] = i;
    const size_t n_vocab = t.cfg.text.n_vocab, n_embd = t.cfg.text.n_embd;
    float *full = test_malloc(20 * n_vocab * sizeof *full), *some = test_malloc(2 * n_vocab * sizeof *some);
    float *hidden = test_malloc(2 * n_embd * sizeof *hidden);
    wd_step s = { .ids = ids, .n = 20, .kv = t.kv, .out_row = all, .n_out = 20, .logits = full };
    assert_ok(wd_model_step(t.model, &s, &err));
    wd_kv_truncate(t.kv, 0);
    s.out_row = two;
    s.n_out = 2;
    s.logits = some;
    s.hidden = hidden;
    assert_ok(wd_model_step(t.model, &s, &err));
    for (int i = 0; i < 2; i++)
        assert_memory_equal(some + i * n_vocab, full + two[i] * n_vocab, n_vocab * sizeof *some);
    test_free(full);
    test_free(some);
    test_free(hidden);
    tiny_close(&t);
}

#define SEQS 5

/* Five sequences in the same steps, prompts of different lengths first, then tokens one by one while some pause: every
 * row of logits as from the sequence alone. */
static void check_together(const char *checkpoint)
{
    static const size_t prompt_n[SEQS] = { 1, 70, 3, 17, 130 };
    tiny t;
    tiny_open(&t, checkpoint, NULL);
    const size_t n_vocab = t.cfg.text.n_vocab;
    const wd_kv_opts o = wd_model_kv_opts(t.model);
    wd_kv_pool *pool;
    wd_kv *alone[SEQS], *both[SEQS];
    float *want = test_malloc(SEQS * n_vocab * sizeof *want),
          *got = test_malloc(SEQS * n_vocab * sizeof *got);
    assert_ok(wd_kv_pool_create(&o, &pool, &err));
    for (int i = 0; i < SEQS; i++) {
        assert_ok(wd_kv_create(pool, &alone[i], &err));
        assert_ok(wd_kv_create(pool, &both[i], &err));
        wd_kv_set_rope_delta(alone[i], i * 2);
        wd_kv_set_rope_delta(both[i], i * 2);
    }
    for (uint32_t turn = 0; turn < 6; turn++) {
        wd_step_seq seq[SEQS];
        uint32_t ids[256], last[SEQS];
        size_t n = 0, n_seq = 0;
        for (uint32_t i = 0; i < SEQS; i++) {
            const size_t own = turn == 0 ? prompt_n[i] : (turn + i) % 3 != 0;
            if (!own)
                continue;
            tiny_tokens(ids + n, own, 100 * turn + i);
            const uint32_t row = (uint32_t)own - 1;
            const wd_step s = { .ids = ids + n,
                                .n = own,
                                .kv = alone[i],
                                .out_row = &row,
                                .n_out = 1,
                                .logits = want + n_seq * n_vocab };
            assert_ok(wd_model_step(t.model, &s, &err));
            seq[n_seq] = (wd_step_seq){ both[i], own };
            n += own;
            last[n_seq++] = (uint32_t)n - 1;
        }
        const wd_step s = {
            .ids = ids, .n = n, .seq = seq, .n_seq = n_seq, .out_row = last, .n_out = n_seq, .logits = got
        };
        assert_ok(wd_model_step(t.model, &s, &err));
        assert_memory_equal(want, got, n_seq * n_vocab * sizeof *got);
        for (int i = 0; i < SEQS; i++)
            assert_int_equal(wd_kv_len(alone[i]), wd_kv_len(both[i]));
    }
    for (int i = 0; i < SEQS; i++) {
        wd_kv_destroy(alone[i]);
        wd_kv_destroy(both[i]);
    }
    wd_kv_pool_destroy(pool);
    test_free(want);
    test_free(got);
    tiny_close(&t);
}

static void sequences_in_one_step_have_the_bits_that_they_have_alone(void **state)
{
    (void)state;
    check_together("text-untied");
    check_together("text-tied");
    check_together("text-moe");
    check_together("vl-dense-f32");
}

static void a_failed_step_leaves_every_sequence_as_it_was(void **state)
{
    (void)state;
    tiny t;
    tiny_open(&t, "text-untied", NULL);
    wd_kv_opts o = wd_model_kv_opts(t.model);
    wd_kv_pool *pool, *others;
    wd_kv *a, *b, *c;
    o.max_bytes = 2 * wd_kv_page_bytes(&o);
    assert_ok(wd_kv_pool_create(&o, &pool, &err));
    o.dtype = WD_DTYPE_F32;
    o.max_bytes = 0;
    assert_ok(wd_kv_pool_create(&o, &others, &err));
    assert_ok(wd_kv_create(pool, &a, &err));
    assert_ok(wd_kv_create(pool, &b, &err));
    assert_ok(wd_kv_create(others, &c, &err));
    uint32_t ids[150];
    tiny_tokens(ids, 150, 1);
    wd_step_seq seq[2] = { { a, 70 }, { b, 70 } }; /* two pages each, of which there are two */
    wd_step s = { .ids = ids, .n = 140, .seq = seq, .n_seq = 2 };
    assert_fails(wd_model_step(t.model, &s, &err), WD_E_LIMIT, "");
    assert_int_equal(wd_kv_len(a) + wd_kv_len(b), 0);
    seq[0].n = seq[1].n = 60;
    assert_fails(wd_model_step(t.model, &s, &err), WD_E_INTERNAL, "120 tokens of 140");
    s.n = 100;
    assert_fails(wd_model_step(t.model, &s, &err), WD_E_INTERNAL, "sequence 1 has 60 tokens of 100");
    s.n = 120;
    seq[1].kv = a;
    assert_fails(wd_model_step(t.model, &s, &err), WD_E_INTERNAL, "sequences 0 and 1 are one");
    seq[1].kv = c;
    assert_fails(wd_model_step(t.model, &s, &err), WD_E_INTERNAL, "other pages");
    seq[1].kv = b;
    assert_ok(wd_model_step(t.model, &s, &err)); /* the failed steps have given their pages back */
    assert_int_equal(wd_kv_len(a), 60);
    assert_int_equal(wd_kv_len(b), 60);
    wd_kv_destroy(a);
    wd_kv_destroy(b);
    wd_kv_destroy(c);
    wd_kv_pool_destroy(pool);
    wd_kv_pool_destroy(others);
    tiny_close(&t);
}

static void stop_at_layer_2(void *self, const char *stage, size_t n_row, size_t n_col, const float *data)
{
    (void)n_row, (void)n_col, (void)data;
    assert_string_not_equal(stage, "layer_2_attn");
    if (strcmp(stage, "layer_1_out") == 0)
        atomic_store((atomic_bool *)self, true);
}

static void cancel_ends_a_step_between_layers_and_leaves_the_cache_as_it_was(void **state)
{
    (void)state;
    tiny t;
    uint32_t ids[80];
    float want[96], got[96];
    atomic_bool cancel = false;
    const wd_trace trace = { stop_at_layer_2, &cancel };
    tiny_open(&t, "text-untied", NULL);
    tiny_tokens(ids, 80, 8);
    const wd_step s = { .ids = ids, .n = 80, .kv = t.kv, .cancel = &cancel, .trace = &trace };
    assert_fails(wd_model_step(t.model, &s, &err), WD_E_CANCELLED, "cancelled");
    assert_int_equal(wd_kv_len(t.kv), 0);

    step_one(&t, ids[0], got);
    wd_kv_truncate(t.kv, 0);
    step_one(&t, ids[0], want);
    assert_memory_equal(want, got, sizeof want);
    tiny_close(&t);
}

static void step_refuses_what_it_cannot_compute(void **state)
{
    (void)state;
    tiny t;
    uint32_t ids[3] = { 1, 2, 2048 };
    const int32_t back[3] = { 0, -1, 2 };
    tiny_open(&t, "text-untied", &(wd_model_opts){ .max_rows = 4 });
    wd_step s = { .ids = ids, .n = 3, .kv = t.kv };
    assert_fails(wd_model_step(t.model, &s, &err), WD_E_INVALID, "token 2048");
    ids[2] = 3;
    s.pos[0] = s.pos[1] = s.pos[2] = back;
    assert_fails(wd_model_step(t.model, &s, &err), WD_E_INVALID, "position -1");
    s.pos[0] = s.pos[1] = s.pos[2] = NULL;
    s.visual = (int32_t[3]){ -1, 0, -1 };
    assert_fails(wd_model_step(t.model, &s, &err), WD_E_INVALID, "features");
    s.visual = NULL;
    s.n = 5;
    assert_fails(wd_model_step(t.model, &s, &err), WD_E_INTERNAL, "1 to 4");
    s.n = 3;
    s.out_row = (uint32_t[2]){ 2, 1 };
    s.n_out = 2;
    assert_fails(wd_model_step(t.model, &s, &err), WD_E_INTERNAL, "not in order");
    s.n_out = 0;
    wd_kv_set_rope_delta(t.kv, -1);
    assert_fails(wd_model_step(t.model, &s, &err), WD_E_INVALID, "-1");
    wd_kv_set_rope_delta(t.kv, 0);
    assert_int_equal(wd_kv_len(t.kv), 0);
    assert_ok(wd_model_step(t.model, &s, &err));
    assert_int_equal(wd_kv_len(t.kv), 3);
    tiny_close(&t);
}

static void step_refuses_a_full_context(void **state)
{
    (void)state;
    tiny t;
    uint32_t ids[16] = { 0 };
    tiny_open(&t, "text-untied", NULL);
    wd_kv_opts o = wd_model_kv_opts(t.model);
    assert_int_equal(o.max_len, t.cfg.text.max_pos);
    assert_int_equal(o.dtype, WD_DTYPE_BF16);
    o.max_len = 20;
    wd_kv_pool *pool;
    wd_kv *kv;
    assert_ok(wd_kv_pool_create(&o, &pool, &err));
    assert_ok(wd_kv_create(pool, &kv, &err));
    const wd_step s = { .ids = ids, .n = 16, .kv = kv };
    assert_ok(wd_model_step(t.model, &s, &err));
    assert_fails(wd_model_step(t.model, &s, &err), WD_E_LIMIT, "at most 20");
    assert_int_equal(wd_kv_len(kv), 16);
    wd_kv_destroy(kv);
    wd_kv_pool_destroy(pool);
    tiny_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prompt_in_chunks_gives_the_same_bits_as_a_whole_one),
        cmocka_unit_test(deepstack_changes_the_image_and_what_follows_it),
        cmocka_unit_test(a_default_position_is_the_index_plus_the_caches_shift),
        cmocka_unit_test(the_three_axes_matter_each),
        cmocka_unit_test(truncation_takes_a_sequence_back),
        cmocka_unit_test(only_the_wanted_rows_come_out_and_with_the_same_bits),
        cmocka_unit_test(sequences_in_one_step_have_the_bits_that_they_have_alone),
        cmocka_unit_test(a_failed_step_leaves_every_sequence_as_it_was),
        cmocka_unit_test(cancel_ends_a_step_between_layers_and_leaves_the_cache_as_it_was),
        cmocka_unit_test(step_refuses_what_it_cannot_compute),
        cmocka_unit_test(step_refuses_a_full_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
