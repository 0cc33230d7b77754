/* The embedding and reranker heads against the reference, on every instruction set level. */
#include <math.h>
#include <stdio.h>

#include "golden/run.h"
#include "support/test.h"

#define EMBEDDING_LIMIT 5e-5 /* as final_norm */
#define SCORE_LIMIT 1e-5

/* Final-norm hidden state of the last token of sample i. */
static float *last_hidden(golden_model *g, const gold *want, const char *sample)
{
    golden_prompt p;
    golden_prompt_init(&p, g, want, sample, NULL, NULL);
    float *h = WD_ALLOC_N(float, g->cfg.text.n_embd);
    assert_non_null(h);
    wd_kv *kv;
    assert_ok(wd_kv_create(g->kv, &kv, &err));
    golden_feed(g, &p, kv, 0, p.n, 64, true, h, NULL, NULL);
    wd_kv_destroy(kv);
    golden_prompt_free(&p);
    return h;
}

static void check_embeddings(golden_model *g, const gold *want)
{
    static const size_t dims[] = { 96, 64, 17, 1 };
    for (int i = 0; i < 4; i++) {
        char sample[8], name[32];
        snprintf(sample, sizeof(sample), "%d", i);
        float *h = last_hidden(g, want, sample), v[96];
        for (size_t k = 0; k < WD_COUNT(dims); k++) {
            snprintf(name, sizeof(name), "embedding_%zu", dims[k]);
            const gold_tensor t = gold_get(want, sample, name);
            assert_int_equal(t.n, dims[k]);
            assert_ok(wd_embedding(h, g->cfg.text.n_embd, dims[k], v, &err));
            const double error = golden_error(v, t.f, t.n);
            if (!(error <= EMBEDDING_LIMIT))
                fail_msg("%s, sample %d, %zu values: off by %.3g", g->o.isa, i, dims[k], error);
        }
        wd_free(h);
    }
}

static void embeddings_equal_the_reference_at_every_size(void **state)
{
    (void)state;
    gold *want = gold_open("vl-embedding");
    for (size_t k = 0; golden_isa[k]; k++) {
        if (!golden_has_isa(golden_isa[k]))
            continue;
        golden_model g;
        golden_open(&g, &(golden_opts){ .checkpoint = "vl-embedding",
                                        .isa = golden_isa[k],
                                        .precision = WD_PRECISION_EXACT });
        check_embeddings(&g, want);
        golden_close(&g);
    }
    gold_close(want);
}

/* P30: the data tell last-token pooling from the two usual mistakes. */
static void mean_pooling_and_a_missing_end_anchor_would_be_seen(void **state)
{
    (void)state;
    gold *want = gold_open("vl-embedding");
    golden_model g;
    golden_open(
        &g, &(golden_opts){ .checkpoint = "vl-embedding", .isa = "auto", .precision = WD_PRECISION_EXACT });
    golden_prompt p;
    golden_prompt_init(&p, &g, want, "0", NULL, NULL);
    const size_t n_embd = g.cfg.text.n_embd;
    float *h = WD_ALLOC_N(float, p.n *n_embd), *logits = WD_ALLOC_N(float, p.n *g.cfg.text.n_vocab);
    float mean[96] = { 0 }, v[96];
    assert_true(h && logits && n_embd == 96);
    wd_kv *kv;
    assert_ok(wd_kv_create(g.kv, &kv, &err));
    golden_feed(&g, &p, kv, 0, p.n, 512, false, h, logits, NULL);
    const gold_tensor t = gold_get(want, "0", "embedding_96");
    assert_ok(wd_embedding(h + (p.n - 1) * n_embd, n_embd, n_embd, v, &err));
    assert_true(golden_error(v, t.f, t.n) <= EMBEDDING_LIMIT);
    for (size_t i = 0; i < p.n; i++)
        for (size_t k = 0; k < n_embd; k++)
            mean[k] += h[i * n_embd + k];
    assert_ok(wd_embedding(mean, n_embd, n_embd, v, &err));
    assert_true(golden_error(v, t.f, t.n) > 1000 * EMBEDDING_LIMIT);
    assert_ok(
        wd_embedding(h + (p.n - 2) * n_embd, n_embd, n_embd, v, &err)); /* the token before the anchor */
    assert_true(golden_error(v, t.f, t.n) > 1000 * EMBEDDING_LIMIT);
    wd_free(h);
    wd_free(logits);
    wd_kv_destroy(kv);
    golden_prompt_free(&p);
    golden_close(&g);
    gold_close(want);
}

static void scores_equal_the_reference(void **state)
{
    (void)state;
    gold *want = gold_open("vl-reranker");
    const gold_tensor ids = gold_get(want, "", "yes_no");
    for (size_t k = 0; golden_isa[k]; k++) {
        if (!golden_has_isa(golden_isa[k]))
            continue;
        golden_model g;
        golden_open(&g, &(golden_opts){
                            .checkpoint = "vl-tied", .isa = golden_isa[k], .precision = WD_PRECISION_EXACT });
        wd_rerank *r;
        assert_ok(wd_rerank_create(g.m, (uint32_t)ids.i[0], (uint32_t)ids.i[1], &r, &err));
        for (int i = 0; i < 3; i++) {
            char sample[8];
            snprintf(sample, sizeof(sample), "%d", i);
            float *h = last_hidden(&g, want, sample);
            const double score = wd_rerank_score(r, h), right = (double)gold_get(want, sample, "score").f[0];
            if (!(fabs(score - right) <= SCORE_LIMIT))
                fail_msg("%s, pair %d: %.7f, expected %.7f", golden_isa[k], i, score, right);
            wd_free(h);
        }
        wd_rerank_destroy(r);
        golden_close(&g);
    }
    gold_close(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embeddings_equal_the_reference_at_every_size),
        cmocka_unit_test(mean_pooling_and_a_missing_end_anchor_would_be_seen),
        cmocka_unit_test(scores_equal_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
