#include "model/heads.h"

#include <math.h>

#include "model/tiny.h"
#include "support/test.h"

static void embedding_has_length_one_at_every_size(void **state)
{
    (void)state;
    const float h[4] = { 3, -4, 12, 84 };
    float v[4];
    assert_ok(wd_embedding(h, 4, 4, v, &err));
    assert_float_equal(v[3], 84 / 85.0, 1e-6);
    assert_ok(wd_embedding(h, 4, 2, v, &err)); /* the cut comes first, then the length */
    assert_float_equal(v[0], 0.6, 1e-6);
    assert_float_equal(v[1], -0.8, 1e-6);
    assert_float_equal(v[3], 84 / 85.0, 1e-6); /* beyond dim nothing is written */
}

static void embedding_may_overwrite_its_input(void **state)
{
    (void)state;
    float h[2] = { 3, -4 };
    assert_ok(wd_embedding(h, 2, 2, h, &err));
    assert_float_equal(h[0], 0.6, 1e-6);
}

static void embedding_refuses_sizes_and_values_it_cannot_scale(void **state)
{
    (void)state;
    float h[2] = { 0, 0 }, v[2];
    assert_fails(wd_embedding(h, 2, 3, v, &err), WD_E_INVALID, "3 dimensions");
    assert_fails(wd_embedding(h, 2, 0, v, &err), WD_E_INVALID, "1 to 2");
    assert_fails(wd_embedding(h, 2, 2, v, &err), WD_E_INVALID, "zero");
    h[0] = NAN;
    assert_fails(wd_embedding(h, 2, 2, v, &err), WD_E_INVALID, "not finite");
}

/* The two-row head must say what a softmax over the two logits says. */
static void check_rerank(const char *checkpoint)
{
    tiny t;
    wd_rerank *r;
    tiny_open(&t, checkpoint, NULL);
    const size_t n_embd = t.cfg.text.n_embd, n_vocab = t.cfg.text.n_vocab;
    float *h = test_malloc(n_embd * sizeof *h), *logits = test_malloc(n_vocab * sizeof *logits);
    tiny_values(h, n_embd, 3);
    wd_model_logits(t.model, h, 1, logits);
    assert_ok(wd_rerank_create(t.model, 17, 1999, &r, &err));
    const double want = 1 / (1 + exp((double)logits[1999] - logits[17]));
    assert_float_equal(wd_rerank_score(r, h), want, 1e-5);
    wd_rerank_destroy(r);

    assert_ok(wd_rerank_create(t.model, 5, 5, &r, &err));
    assert_float_equal(wd_rerank_score(r, h), 0.5, 0);
    wd_rerank_destroy(r);
    assert_fails(wd_rerank_create(t.model, 5, 2048, &r, &err), WD_E_INVALID, "token 2048");
    assert_null(r);
    test_free(h);
    test_free(logits);
    tiny_close(&t);
}

static void rerank_equals_the_softmax_of_both_logits_when_tied(void **state)
{
    (void)state;
    check_rerank("vl-tied");
}

static void rerank_equals_the_softmax_of_both_logits_when_untied(void **state)
{
    (void)state;
    check_rerank("text-untied");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embedding_has_length_one_at_every_size),
        cmocka_unit_test(embedding_may_overwrite_its_input),
        cmocka_unit_test(embedding_refuses_sizes_and_values_it_cannot_scale),
        cmocka_unit_test(rerank_equals_the_softmax_of_both_logits_when_tied),
        cmocka_unit_test(rerank_equals_the_softmax_of_both_logits_when_untied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
