#include "text/sample.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/rand.h"
#include "support/test.h"

static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

/* As logits_of() in tools/golden/sample.py. */
static float *golden_logits(uint32_t n, uint64_t number, float scale)
{
    float *l = WD_ALLOC_N(float, n);
    for (uint32_t i = 0; i < n; i++)
        l[i] = ((float)(mix(i + 1000003 * number) >> 40) / 16777216.0f - 0.5f) * scale;
    return l;
}

static wd_sampler *sampler(uint32_t n, const wd_sample_opts *o)
{
    wd_sampler *s = NULL;
    assert_ok(wd_sampler_create(n, o, &s, &err));
    return s;
}

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static uint32_t ids_of(const json_t *list, uint32_t *id)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        id[i] = (uint32_t)json_integer_value(json_array_get(list, i));
    return (uint32_t)json_array_size(list);
}

static double golden_case(const json_t *one)
{
    const json_t *o = json_object_get(one, "options"), *prob = json_object_get(one, "prob");
    const json_t *bias = json_object_get(one, "bias");
    const uint32_t n = (uint32_t)number(one, "n");
    wd_logit_bias b[8];
    uint32_t id[64];
    for (size_t i = 0; i < json_array_size(bias); i++)
        b[i] = (wd_logit_bias){ (uint32_t)json_integer_value(json_array_get(json_array_get(bias, i), 0)),
                                (float)json_number_value(json_array_get(json_array_get(bias, i), 1)) };
    const wd_sample_opts opts = {
        .temperature = (float)number(o, "temperature"),
        .top_k = (int32_t)number(o, "top_k"),
        .top_p = (float)number(o, "top_p"),
        .min_p = (float)number(o, "min_p"),
        .repetition_penalty = (float)number(o, "repetition_penalty"),
        .frequency_penalty = (float)number(o, "frequency_penalty"),
        .presence_penalty = (float)number(o, "presence_penalty"),
        .bias = b,
        .n_bias = (uint32_t)json_array_size(bias),
    };
    wd_sampler *s = sampler(n, &opts);
    wd_sampler_add_prompt(s, id, ids_of(json_object_get(one, "prompt"), id));
    for (uint32_t i = 0, n_reply = ids_of(json_object_get(one, "reply"), id); i < n_reply; i++)
        wd_sampler_add_reply(s, id[i]);
    float *logits = golden_logits(n, (uint64_t)number(one, "case"), (float)number(one, "scale"));
    double *p = WD_ALLOC_N(double, n), worst = 0;
    assert_ok(wd_sampler_probs(s, logits, NULL, p, &err));
    for (size_t i = 0; i < json_array_size(prob); i++) {
        const json_t *pair = json_array_get(prob, i);
        const size_t at = (size_t)json_integer_value(json_array_get(pair, 0));
        worst = fmax(worst, fabs(p[at] - json_number_value(json_array_get(pair, 1))));
        if (p[at] == 0)
            worst = 1; /* filtered here, kept there */
        p[at] = 0;
    }
    for (uint32_t i = 0; i < n; i++)
        worst = fmax(worst, p[i]); /* what the reference filtered out */
    wd_free(p);
    wd_free(logits);
    wd_sampler_destroy(s);
    return worst;
}

static void distributions_equal_those_of_transformers(void **state)
{
    (void)state;
    char path[512];
    json_t *doc = NULL;
    double worst = 0;
    snprintf(path, sizeof path, "%s/golden/sample.json", test_data_dir());
    assert_ok(wd_json_read_file(path, 4 << 20, &doc, &err));
    const json_t *list = json_object_get(doc, "cases");
    assert_true(json_array_size(list) >= 40);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const double d = golden_case(one);
        if (d > 1e-6)
            fail_msg("%s: differs by %g", json_string_value(json_object_get(one, "name")), d);
        worst = fmax(worst, d);
    }
    print_message("%zu distributions, largest difference %.2g\n", json_array_size(list), worst);
    json_decref(doc);
}

/* --- a plain reference: sorts everything, in double ------------------------------------------------------------ */

typedef struct ranked {
    double w;
    uint32_t id;
} ranked;

static int by_rank(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return x->w != y->w ? (x->w < y->w ? 1 : -1) : (x->id > y->id) - (x->id < y->id);
}

static void reference(const float *logits, const uint64_t *mask, uint32_t n, const wd_sample_opts *o,
                      double *prob)
{
    ranked *r = WD_ALLOC_N(ranked, n);
    size_t m = 0;
    memset(prob, 0, n * sizeof *prob);
    for (uint32_t i = 0; i < n; i++)
        if (logits[i] > -INFINITY && (!mask || mask[i / 64] >> i % 64 & 1))
            r[m++] = (ranked){ logits[i], i };
    qsort(r, m, sizeof *r, by_rank);
    if (o->top_k && (size_t)o->top_k < m)
        m = (size_t)o->top_k;
    double sum = 0, so_far = 0;
    const double best = r[0].w;
    for (size_t i = 0; i < m; i++)
        sum += exp((r[i].w - best) / o->temperature);
    size_t kept = 0;
    for (; kept < m && (kept == 0 || so_far < o->top_p * sum); kept++)
        so_far += exp((r[kept].w - best) / o->temperature);
    m = o->top_p < 1 ? kept : m;
    sum = 0;
    for (size_t i = 0; i < m; i++) {
        const double e = exp((r[i].w - best) / o->temperature);
        if (e >= o->min_p)
            sum += prob[r[i].id] = e;
    }
    for (uint32_t i = 0; i < n; i++)
        prob[i] /= sum;
    wd_free(r);
}

static void distributions_equal_a_sorting_reference_with_ties_and_masks(void **state)
{
    (void)state;
    enum { N = 1501 }; /* 24 blocks of 64, the last one not full */
    static const float ps[] = { 1, 0.95f, 0.5f, 0.01f, 0 };
    wd_rand rnd;
    wd_rand_init(&rnd, 5);
    for (int round = 0; round < 1500; round++) {
        static float logits[N];
        uint64_t mask[(N + 63) / 64];
        static double want[N], got[N];
        const double grain = round % 3 ? 0.25 : 1e-6; /* two of three rounds are full of ties */
        for (uint32_t i = 0; i < N; i++)
            logits[i] = (float)(rint((wd_rand_normal(&rnd) * 3) / grain) * grain);
        for (size_t i = 0; i < WD_COUNT(mask); i++)
            mask[i] = wd_rand_u64(&rnd) & wd_rand_u64(&rnd);
        logits[wd_rand_below(&rnd, N)] = -INFINITY;
        mask[1] |= 4;
        logits[66] = 1;
        const wd_sample_opts o = {
            .temperature = (float)wd_rand_range(&rnd, 0.05, 3),
            .top_k = (int32_t)wd_rand_below(&rnd, (uint64_t[]){ 1, 24, 80, N + 20 }[wd_rand_below(&rnd, 4)]),
            .top_p = ps[wd_rand_below(&rnd, WD_COUNT(ps))],
            .min_p = round % 4 ? 0 : (float)wd_rand_unit(&rnd),
            .repetition_penalty = 1,
        };
        wd_sampler *s = sampler(N, &o);
        const uint64_t *m = round % 2 ? mask : NULL;
        assert_ok(wd_sampler_probs(s, logits, m, got, &err));
        reference(logits, m, N, &o, want);
        for (uint32_t i = 0; i < N; i++)
            if (fabs(got[i] - want[i]) > 1e-12)
                fail_msg("round %d token %u: %.17g, wanted %.17g", round, i, got[i], want[i]);
        wd_sampler_destroy(s);
    }
}

static void draws_follow_the_distribution(void **state)
{
    (void)state;
    enum { N = 50, DRAWS = 200000 };
    const wd_sample_opts o = {
        .temperature = 1.3f, .top_k = 20, .top_p = 0.9f, .repetition_penalty = 1, .seed = 11
    };
    float *logits = golden_logits(N, 3, 6);
    double p[N];
    uint32_t hits[N] = { 0 };
    wd_sampler *s = sampler(N, &o);
    assert_ok(wd_sampler_probs(s, logits, NULL, p, &err));
    for (int i = 0; i < DRAWS; i++) {
        wd_sampled t;
        assert_ok(wd_sampler_next(s, logits, NULL, false, 0, &t, &err));
        hits[t.id]++;
    }
    for (uint32_t i = 0; i < N; i++) {
        const double expected = p[i] * DRAWS, deviation = sqrt(p[i] * (1 - p[i]) * DRAWS);
        assert_true(p[i] > 0 || hits[i] == 0);
        assert_true(fabs(hits[i] - expected) <= 5 * deviation + 1e-9);
    }
    wd_sampler_destroy(s);
    wd_free(logits);
}

static void a_seed_decides_the_tokens(void **state)
{
    (void)state;
    enum { N = 1000 };
    float *logits = golden_logits(N, 4, 3);
    uint32_t first[64], differ = 0;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        const wd_sample_opts o = {
            .temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = seed == 3 ? 1 : seed
        };
        wd_sampler *s = sampler(N, &o);
        for (int i = 0; i < 64; i++) {
            wd_sampled t;
            assert_ok(wd_sampler_next(s, logits, NULL, false, 0, &t, &err));
            if (seed == 1)
                first[i] = t.id;
            else if (seed == 2)
                differ += t.id != first[i];
            else
                assert_int_equal(t.id, first[i]);
        }
        wd_sampler_destroy(s);
    }
    assert_true(differ > 50);
    wd_free(logits);
}

static void greedy_takes_the_lowest_id_among_equals(void **state)
{
    (void)state;
    const float logits[] = { -1, 2, 5, 5, -0.0f, 5 }, zeros[] = { -0.0f, 0.0f, -INFINITY };
    const uint64_t mask = 1 << 1 | 1 << 3 | 1 << 5;
    wd_sample_opts o = { .temperature = 0, .top_k = 1, .top_p = 0.1f, .repetition_penalty = 1 };
    wd_sampler *s = sampler(6, &o);
    wd_sampled t;
    assert_ok(wd_sampler_next(s, logits, NULL, false, 0, &t, &err));
    assert_int_equal(t.id, 2);
    assert_ok(wd_sampler_next(s, logits, &mask, false, 0, &t, &err));
    assert_int_equal(t.id, 3);
    wd_sampler_destroy(s);

    /* 20.07 and 20.125 are one number in bf16, which has steps of 1/8 here; 20.06 is below, 20.19 above */
    const float near[] = { 20.06f, -21, 20.07f, 20.125f }, above[] = { -3, 20.12f, 20.19f, 20.06f };
    o = (wd_sample_opts){ .temperature = 0, .repetition_penalty = 1, .top_p = 1, .bf16 = true };
    s = sampler(4, &o);
    assert_ok(wd_sampler_next(s, near, NULL, true, 2, &t, &err));
    assert_int_equal(t.id, 2);
    assert_int_equal(t.rank, 2); /* of the raw logits, as ever */
    assert_int_equal(t.top[0].id, 3);
    assert_ok(wd_sampler_next(s, above, NULL, false, 0, &t, &err));
    assert_int_equal(t.id, 2);
    wd_sampler_destroy(s);
    o.bf16 = false;
    s = sampler(4, &o);
    assert_ok(wd_sampler_next(s, near, NULL, false, 0, &t, &err));
    assert_int_equal(t.id, 3);
    wd_sampler_destroy(s);

    o = (wd_sample_opts){ .temperature = 1, .top_k = 1, .top_p = 1, .repetition_penalty = 1 };
    s = sampler(3, &o); /* -0 and 0 are equal: the lower id stays */
    double p[3];
    assert_ok(wd_sampler_probs(s, zeros, NULL, p, &err));
    assert_true(p[0] == 1 && p[1] == 0 && p[2] == 0);
    wd_sampler_destroy(s);
}

static void penalties_look_at_what_was_said(void **state)
{
    (void)state;
    const float logits[] = { 4, -4, 3, 2.5f };
    const uint32_t prompt[] = { 0, 1, 77, UINT32_MAX };
    double p[4];
    wd_sample_opts o = { .temperature = 1,
                         .top_p = 1,
                         .repetition_penalty = 2,
                         .frequency_penalty = 0.5f,
                         .presence_penalty = 0.25f };
    wd_sampler *s = sampler(4, &o);
    wd_sampler_add_prompt(s, prompt, 4);
    wd_sampler_add_reply(s, 2);
    wd_sampler_add_reply(s, 2);
    wd_sampler_add_reply(s, 99);
    assert_ok(wd_sampler_probs(s, logits, NULL, p, &err));
    const double e[4] = { exp(2), exp(-8), exp(1.5 - 1.0 - 0.25), exp(2.5) }, sum = e[0] + e[1] + e[2] + e[3];
    for (int i = 0; i < 4; i++)
        assert_true(fabs(p[i] - e[i] / sum) < 1e-7);
    wd_sampler_destroy(s);

    o = (wd_sample_opts){ .temperature = 0, .top_p = 1, .repetition_penalty = 1, .presence_penalty = 2 };
    s = sampler(4, &o); /* next() counts the tokens that it returns */
    static const uint32_t order[] = { 0, 2, 3, 0 };
    for (int i = 0; i < 4; i++) {
        wd_sampled t;
        assert_ok(wd_sampler_next(s, logits, NULL, false, 0, &t, &err));
        assert_int_equal(t.id, order[i]);
    }
    wd_sampler_destroy(s);
}

static void logprobs_are_those_of_the_raw_logits(void **state)
{
    (void)state;
    enum { N = 5000 };
    float *logits = golden_logits(N, 9, 30);
    logits[7] = logits[8]; /* a tie */
    logits[20] = -INFINITY;
    double sum = 0;
    for (uint32_t i = 0; i < N; i++)
        sum += exp((double)logits[i]);
    const wd_logit_bias bias = { 20, 5 };
    const wd_sample_opts o = {
        .temperature = 0.2f, .top_p = 0.5f, .repetition_penalty = 1.7f, .bias = &bias, .n_bias = 1
    };
    wd_sampler *s = sampler(N, &o);
    for (int round = 0; round < 5; round++) {
        wd_sampled t;
        assert_ok(wd_sampler_next(s, logits, NULL, true, 20, &t, &err));
        assert_true(fabs(t.logprob - (logits[t.id] - log(sum))) < 2e-6);
        assert_int_equal(t.n_top, 20);
        for (uint32_t i = 0; i < t.n_top; i++) {
            assert_true(fabs(t.top[i].logprob - (logits[t.top[i].id] - log(sum))) < 2e-6);
            assert_true(i == 0 || logits[t.top[i - 1].id] > logits[t.top[i].id] ||
                        (logits[t.top[i - 1].id] == logits[t.top[i].id] && t.top[i - 1].id < t.top[i].id));
        }
        if (t.rank <= 20)
            assert_int_equal(t.top[t.rank - 1].id, t.id);
    }
    wd_sampler_destroy(s);
    wd_sampled t;
    for (uint32_t id = 0; id < 40; id++) {
        uint32_t rank = 1;
        for (uint32_t i = 0; i < N; i++)
            rank += logits[i] > logits[id] || (logits[i] == logits[id] && i < id);
        assert_ok(wd_logprobs(logits, N, id, id % 3, &t, &err));
        assert_int_equal(t.id, id);
        assert_int_equal(t.rank, rank);
        assert_int_equal(t.n_top, id % 3);
    }
    assert_ok(wd_logprobs(logits, 3, 0, WD_SAMPLE_TOP_MAX, &t, &err));
    assert_int_equal(t.n_top, 3);
    assert_ok(wd_logprobs(logits, N, 20, 0, &t, &err));
    assert_true(t.logprob == -INFINITY && t.rank == N);
    assert_fails(wd_logprobs(logits, N, N, 0, &t, &err), WD_E_USAGE, "token 5000");
    assert_fails(wd_logprobs(logits, N, 0, WD_SAMPLE_TOP_MAX + 1, &t, &err), WD_E_USAGE, "at most 64");
    wd_free(logits);
}

static void impossible_logits_are_errors_not_tokens(void **state)
{
    (void)state;
    const wd_sample_opts o = WD_SAMPLE_OPTS_DEFAULT;
    wd_sampler *s = sampler(4, &o);
    float l[4] = { 0, 1, NAN, 2 };
    const uint64_t none = 0, only_last = 8;
    wd_sampled t;
    assert_fails(wd_sampler_next(s, l, NULL, false, 0, &t, &err), WD_E_INVALID, "token 2 is not a number");
    assert_fails(wd_logprobs(l, 4, 0, 0, &t, &err), WD_E_INVALID, "token 2 is not a number");
    l[2] = INFINITY;
    assert_fails(wd_sampler_next(s, l, NULL, false, 0, &t, &err), WD_E_INVALID, "token 2 is infinite");
    l[2] = -INFINITY;
    assert_ok(wd_sampler_next(s, l, &only_last, false, 0, &t, &err));
    assert_int_equal(t.id, 3);
    assert_fails(wd_sampler_next(s, l, &none, false, 0, &t, &err), WD_E_INVALID, "no token is possible");
    for (int i = 0; i < 4; i++)
        l[i] = -INFINITY;
    assert_fails(wd_sampler_next(s, l, NULL, false, 0, &t, &err), WD_E_INVALID, "no token is possible");
    assert_fails(wd_logprobs(l, 4, 0, 0, &t, &err), WD_E_INVALID, "-inf");
    assert_fails(wd_sampler_next(s, l, NULL, false, 65, &t, &err), WD_E_USAGE, "at most 64");
    wd_sampler_destroy(s);
}

static void options_out_of_range_are_named(void **state)
{
    (void)state;
    const wd_logit_bias far = { 10, 1 }, big = { 1, 101 };
    const struct {
        wd_sample_opts o;
        const char *part;
    } bad[] = {
        { { .temperature = -1, .top_p = 1, .repetition_penalty = 1 },
          "temperature is -1, expected 0 to 100" },
        { { .temperature = NAN, .top_p = 1, .repetition_penalty = 1 }, "temperature is" },
        { { .top_p = 1.5f, .repetition_penalty = 1 }, "top_p is 1.5, expected 0 to 1" },
        { { .top_k = -1, .top_p = 1, .repetition_penalty = 1 }, "top_k is -1" },
        { { .min_p = 2, .top_p = 1, .repetition_penalty = 1 }, "min_p is 2" },
        { { .top_p = 1 }, "repetition_penalty is 0" },
        { { .top_p = 1, .repetition_penalty = 1, .frequency_penalty = INFINITY },
          "frequency_penalty is inf" },
        { { .top_p = 1, .repetition_penalty = 1, .presence_penalty = -101 }, "presence_penalty is -101" },
        { { .top_p = 1, .repetition_penalty = 1, .bias = &far, .n_bias = 1 },
          "logit_bias names token 10, expected 0 to 9" },
        { { .top_p = 1, .repetition_penalty = 1, .bias = &big, .n_bias = 1 }, "logit_bias is 101" },
    };
    for (size_t i = 0; i < WD_COUNT(bad); i++) {
        wd_sampler *s = (wd_sampler *)&far;
        assert_fails(wd_sampler_create(10, &bad[i].o, &s, &err), WD_E_USAGE, bad[i].part);
        assert_null(s);
    }
    wd_sampler *s;
    assert_fails(wd_sampler_create(0, &bad[0].o, &s, &err), WD_E_USAGE, "no tokens");
}

static void a_token_takes_no_memory(void **state)
{
    (void)state;
    enum { N = 2000 };
    const wd_sample_opts o = {
        .temperature = 0.7f, .top_k = 20, .top_p = 0.8f, .min_p = 0.01f, .repetition_penalty = 1.1f
    };
    float *logits = golden_logits(N, 1, 20);
    wd_sampler *s = sampler(N, &o);
    wd_sampled t;
    wd_inject_failure(0);
    for (int i = 0; i < 100; i++)
        assert_ok(wd_sampler_next(s, logits, NULL, true, 5, &t, &err));
    assert_int_equal(wd_inject_failure(0), 0);
    wd_sampler_destroy(s);
    wd_free(logits);
}

static void every_failing_allocation_is_reported(void **state)
{
    (void)state;
    const wd_sample_opts o = WD_SAMPLE_OPTS_DEFAULT;
    bool passed = false;
    for (uint64_t nth = 1; !passed; nth++) {
        wd_sampler *s;
        wd_err err;
        wd_inject_failure(nth);
        const wd_status st = wd_sampler_create(100, &o, &s, &err);
        passed = wd_inject_failure(0) < nth;
        assert_int_equal(st, passed ? WD_OK : WD_E_NOMEM);
        assert_true(passed == (s != NULL));
        wd_sampler_destroy(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distributions_equal_those_of_transformers),
        cmocka_unit_test(distributions_equal_a_sorting_reference_with_ties_and_masks),
        cmocka_unit_test(draws_follow_the_distribution),
        cmocka_unit_test(a_seed_decides_the_tokens),
        cmocka_unit_test(greedy_takes_the_lowest_id_among_equals),
        cmocka_unit_test(penalties_look_at_what_was_said),
        cmocka_unit_test(logprobs_are_those_of_the_raw_logits),
        cmocka_unit_test(impossible_logits_are_errors_not_tokens),
        cmocka_unit_test(options_out_of_range_are_named),
        cmocka_unit_test(a_token_takes_no_memory),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
