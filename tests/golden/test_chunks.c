/* A prompt gives the same bits however it is cut up: whole, in chunks that end inside an image, token by token, as two
 * turns, on one thread or several. */
#include "golden/run.h"
#include "support/test.h"
#include "vision/positions.h"

typedef struct cut_case {
    const char *checkpoint, *set;
    wd_precision precision;
} cut_case;

static const cut_case cut_cases[] = {
    { "vl-dense-f32", "vl-dense", WD_PRECISION_EXACT }, { "vl-dense", "vl-dense", WD_PRECISION_FAST },
    { "vl-moe", "vl-moe", WD_PRECISION_FAST },          { "text-moe-f32", "text-moe", WD_PRECISION_EXACT },
    { "text-fp8", "text-fp8", WD_PRECISION_FAST },
};

static float *logits_of(golden_model *g, const golden_prompt *p, size_t chunk)
{
    const size_t n_vocab = g->cfg.text.n_vocab;
    float *v = WD_ALLOC_N(float, p->n *n_vocab);
    assert_non_null(v);
    wd_kv *kv;
    assert_ok(wd_kv_create(g->kv, &kv, &err));
    golden_feed(g, p, kv, 0, p->n, chunk, false, NULL, v, NULL);
    wd_kv_destroy(kv);
    return v;
}

static void check_chunks(const cut_case *c, const char *isa)
{
    static const size_t chunk[] = { 1, 7, 16, 64 };
    gold *want = gold_open(c->set);
    golden_model g;
    golden_open(&g, &(golden_opts){ .checkpoint = c->checkpoint, .isa = isa, .precision = c->precision });
    golden_prompt p;
    golden_prompt_init(&p, &g, want, "main", NULL, NULL);
    float *whole = logits_of(&g, &p, 512);
    for (size_t i = 0; i < WD_COUNT(chunk); i++) {
        float *part = logits_of(&g, &p, chunk[i]);
        if (memcmp(part, whole, p.n * g.cfg.text.n_vocab * sizeof(float)) != 0)
            fail_msg("%s on %s: chunks of %zu give other bits than the whole prompt", c->checkpoint, isa,
                     chunk[i]);
        wd_free(part);
    }
    wd_free(whole);
    golden_prompt_free(&p);
    golden_close(&g);
    gold_close(want);
}

static void chunks_and_single_tokens_equal_the_whole_prompt_bit_for_bit(void **state)
{
    (void)state;
    for (size_t k = 0; golden_isa[k]; k++)
        for (size_t i = 0; golden_has_isa(golden_isa[k]) && i < WD_COUNT(cut_cases); i++)
            check_chunks(&cut_cases[i], golden_isa[k]);
}

static void threads_do_not_change_a_bit(void **state)
{
    (void)state;
    gold *want = gold_open("vl-dense");
    float *first = NULL;
    size_t n = 0;
    for (unsigned n_thread = 1; n_thread <= 3; n_thread++) {
        golden_model g;
        golden_open(&g, &(golden_opts){ .checkpoint = "vl-dense",
                                        .isa = "auto",
                                        .precision = WD_PRECISION_FAST,
                                        .n_thread = n_thread });
        golden_prompt p;
        golden_prompt_init(&p, &g, want, "odd", NULL, NULL);
        n = p.n * g.cfg.text.n_vocab;
        float *v = logits_of(&g, &p, 512);
        if (!first) {
            first = v;
        } else {
            assert_memory_equal(first, v, n * sizeof(float));
            wd_free(v);
        }
        golden_prompt_free(&p);
        golden_close(&g);
    }
    wd_free(first);
    gold_close(want);
}

/* A turn after images goes on from the cache's rope_delta: its positions are those of the conversation as a whole. */
static void a_second_turn_continues_the_positions_of_the_first(void **state)
{
    (void)state;
    gold *want = gold_open("vl-dense");
    golden_model g;
    golden_open(
        &g, &(golden_opts){ .checkpoint = "vl-dense-f32", .isa = "auto", .precision = WD_PRECISION_EXACT });
    golden_prompt p;
    golden_prompt_init(&p, &g, want, "main", NULL, NULL);
    const size_t first = 14; /* 5 text, vision_start, 6 image tokens, vision_end, 1 text */
    const size_t n = p.n - first;
    int32_t *pos[3];
    for (int a = 0; a < 3; a++)
        assert_non_null(pos[a] = WD_ALLOC_N(int32_t, p.n));

    wd_positions_in in = { .ids = p.ids,
                           .n = first,
                           .image_token = g.cfg.image_token,
                           .video_token = g.cfg.video_token,
                           .merge_size = 2,
                           .image_grid = (const uint32_t(*)[3])p.grid,
                           .n_image = 1 };
    wd_positions_out turn1 = { .pos = { pos[0], pos[1], pos[2] } };
    assert_ok(wd_positions(&in, &turn1, &err));
    assert_int_equal(turn1.rope_delta, 3 - 6); /* the image advances by max(2, 3) instead of 6 */

    in = (wd_positions_in){ .ids = p.ids + first,
                            .n = n,
                            .image_token = g.cfg.image_token,
                            .video_token = g.cfg.video_token,
                            .merge_size = 2,
                            .image_grid = (const uint32_t(*)[3])(p.grid + 1),
                            .n_image = 1,
                            .video_grid = (const uint32_t(*)[3])(p.grid + 2),
                            .n_video = 1,
                            .n_past = first,
                            .rope_delta = turn1.rope_delta };
    wd_positions_out turn2 = { .pos = { pos[0] + first, pos[1] + first, pos[2] + first } };
    assert_ok(wd_positions(&in, &turn2, &err));
    for (int a = 0; a < 3; a++)
        assert_memory_equal(pos[a], p.pos[a], p.n * sizeof(int32_t));
    assert_int_equal(turn2.rope_delta, p.rope_delta);

    for (int a = 0; a < 3; a++)
        wd_free(pos[a]);
    golden_prompt_free(&p);
    golden_close(&g);
    gold_close(want);
}

/* Without positions of its own a step counts on from the cache: text after the images, as decoding does. */
static void text_after_images_needs_no_positions_when_the_cache_has_the_delta(void **state)
{
    (void)state;
    gold *want = gold_open("vl-dense");
    golden_model g;
    golden_open(
        &g, &(golden_opts){ .checkpoint = "vl-dense-f32", .isa = "auto", .precision = WD_PRECISION_EXACT });
    golden_prompt p;
    golden_prompt_init(&p, &g, want, "main", NULL, NULL);
    const size_t n_vocab = g.cfg.text.n_vocab, tail = 6; /* the text that follows the video */
    float *whole = logits_of(&g, &p, 512), *v = WD_ALLOC_N(float, tail *n_vocab);
    assert_non_null(v);
    wd_kv *kv;
    assert_ok(wd_kv_create(g.kv, &kv, &err));
    golden_feed(&g, &p, kv, 0, p.n - tail, 512, true, NULL, NULL, NULL);
    const uint32_t row[6] = { 0, 1, 2, 3, 4, 5 };
    const wd_step s = {
        .ids = p.ids + p.n - tail, .n = tail, .kv = kv, .out_row = row, .n_out = tail, .logits = v
    };
    assert_ok(wd_model_step(g.m, &s, &err));
    assert_memory_equal(v, whole + (p.n - tail) * n_vocab, tail * n_vocab * sizeof(float));

    wd_kv_truncate(kv, p.n - tail); /* and with a delta of 0 (pitfall P2) it is far from it */
    wd_kv_set_rope_delta(kv, 0);
    assert_ok(wd_model_step(g.m, &s, &err));
    assert_true(golden_error(v, whole + (p.n - tail) * n_vocab, tail * n_vocab) >
                100 * golden_limit("logits", WD_PRECISION_EXACT));
    wd_free(whole);
    wd_free(v);
    wd_kv_destroy(kv);
    golden_prompt_free(&p);
    golden_close(&g);
    gold_close(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_and_single_tokens_equal_the_whole_prompt_bit_for_bit),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(a_second_turn_continues_the_positions_of_the_first),
        cmocka_unit_test(text_after_images_needs_no_positions_when_the_cache_has_the_delta),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
