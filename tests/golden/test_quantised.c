/* What quantised weights cost: logits of the golden checkpoints and the likelihood of held-out replies on the text
 * demonstration model, against limits; and that a saved checkpoint is the one in memory, bit for bit.
 *
 *   test_quantised                    the test
 *   test_quantised --table DIR IDS    perplexity of DIR on IDS as stored and quantised, as a Markdown table
 *
 * A line of IDS is a number n and token ids: the likelihood is that of the ids from the n-th on. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "golden/run.h"
#include "support/test.h"
#include "weights/quantise.h"

/* ---- logits ---- */

static const struct {
    const char *checkpoint, *set;
    bool routed; /* a row that goes to another expert is another number altogether */
} logit_cases[] = {
    { "text-untied", "text-untied", false }, { "text-tied", "text-tied", false },
    { "text-moe", "text-moe", true },        { "text-fp8", "text-fp8", false },
    { "vl-dense", "vl-dense", false },       { "vl-moe", "vl-moe", true },
    { "vl-moe-turned", "vl-moe", true },     { "vl-moe-unfused", "vl-moe", true },
};

static float *logits_of(golden_model *g, const char *set, size_t chunk, size_t *n)
{
    gold *want = gold_open(set);
    golden_prompt p;
    wd_kv *kv;
    golden_prompt_init(&p, g, want, "main", NULL, NULL);
    *n = p.n * g->cfg.text.n_vocab;
    float *v = WD_ALLOC_N(float, *n);
    assert_non_null(v);
    assert_ok(wd_kv_create(g->kv, &kv, &err));
    golden_feed(g, &p, kv, 0, p.n, chunk, false, NULL, v, NULL);
    wd_kv_destroy(kv);
    golden_prompt_free(&p);
    gold_close(want);
    return v;
}

static float *run(const char *checkpoint, const char *set, int bits, uint32_t group, wd_precision precision,
                  size_t *n)
{
    golden_model g;
    golden_open(&g, &(golden_opts){ .checkpoint = checkpoint,
                                    .isa = "auto",
                                    .precision = precision,
                                    .weight_bits = bits,
                                    .weight_group = group });
    float *v = logits_of(&g, set, 512, n);
    golden_close(&g);
    return v;
}

/* Weights alone (EXACT) and with activations in 8 bits (FAST), relative L2 against the f32 products of what is stored.
 * Random weights hold no redundancy that would hide an error. */
static void logits_stay_within_what_the_bits_allow(void **state)
{
    (void)state;
    static const double limit[2][2][2] = { { { 0.025, 0.033 },
                                             { 0.29, 0.29 } }, /* [routed][8, 4 bits][EXACT, FAST] */
                                           { { 0.05, 0.11 }, { 0.31, 0.31 } } };
    int n_bad = 0;
    for (size_t c = 0; c < WD_COUNT(logit_cases); c++) {
        size_t n, same;
        float *want = run(logit_cases[c].checkpoint, logit_cases[c].set, 0, 0, WD_PRECISION_EXACT, &n);
        for (int bits = 8; bits >= 4; bits -= 4) {
            for (int fast = 0; fast < 2; fast++) {
                float *got = run(logit_cases[c].checkpoint, logit_cases[c].set, bits, 0,
                                 fast ? WD_PRECISION_FAST : WD_PRECISION_EXACT, &same);
                assert_int_equal(same, n);
                const double error = golden_l2(got, want, n),
                             most = limit[logit_cases[c].routed][bits == 4][fast];
                if (!(error <= most) || !(error >= most / 10)) { /* too much, or nothing was quantised */
                    print_error("%s w%d %s: off by %.4f, limit %.4f\n", logit_cases[c].checkpoint, bits,
                                fast ? "fast" : "exact", error, most);
                    n_bad++;
                }
                wd_free(got);
            }
        }
        wd_free(want);
    }
    assert_int_equal(n_bad, 0);
}

/* Larger groups where the shapes allow them. */
static void groups_of_any_size_work(void **state)
{
    (void)state;
    size_t n;
    float *want = run("text-untied", "text-untied", 0, 0, WD_PRECISION_EXACT, &n);
    for (int bits = 4; bits <= 8; bits += 4) {
        for (uint32_t group = 32; group <= 128; group *= 2) {
            float *got = run("text-untied", "text-untied", bits, group, WD_PRECISION_FAST, &n);
            assert_true(golden_l2(got, want, n) < (bits == 4 ? 0.33 : 0.035));
            wd_free(got);
        }
    }
    wd_free(want);
}

static void bits_depend_neither_on_chunks_nor_on_the_instruction_set(void **state)
{
    (void)state;
    static const char *const names[] = { "text-untied", "vl-moe" };
    for (size_t c = 0; c < WD_COUNT(names); c++) {
        for (size_t k = 0; golden_isa[k]; k++) {
            if (!golden_has_isa(golden_isa[k]))
                continue;
            golden_model g;
            size_t n;
            golden_open(&g, &(golden_opts){ .checkpoint = names[c],
                                            .isa = golden_isa[k],
                                            .precision = WD_PRECISION_FAST,
                                            .weight_bits = 4,
                                            .n_thread = 2 });
            float *whole = logits_of(&g, names[c], 512, &n), *one = logits_of(&g, names[c], 1, &n);
            float *some = logits_of(&g, names[c], 17, &n);
            assert_memory_equal(whole, one, n * sizeof *whole);
            assert_memory_equal(whole, some, n * sizeof *whole);
            wd_free(whole);
            wd_free(one);
            wd_free(some);
            golden_close(&g);
        }
    }
}

static void a_saved_checkpoint_is_the_one_in_memory(void **state)
{
    (void)state;
    static const char *const names[] = { "text-tied", "text-fp8", "vl-moe", "vl-moe-unfused" };
    static const char *const sets[] = { "text-tied", "text-fp8", "vl-moe", "vl-moe" };
    for (size_t c = 0; c < WD_COUNT(names) * 2; c++) {
        const golden_opts o = { .checkpoint = names[c / 2],
                                .isa = "auto",
                                .precision = WD_PRECISION_FAST,
                                .weight_bits = c % 2 ? 4 : 8 };
        char *dir = test_make_dir();
        golden_model g;
        size_t n, same;
        golden_open(&g, &o);
        float *want = logits_of(&g, sets[c / 2], 512, &n);
        assert_ok(wd_weights_save(g.w, dir, &err));
        golden_close(&g);
        golden_opts saved = o;
        saved.weight_bits = 0;
        saved.weights_dir = dir;
        golden_open(&g, &saved);
        float *got = logits_of(&g, sets[c / 2], 512, &same);
        assert_int_equal(same, n);
        assert_memory_equal(want, got, n * sizeof *want);
        golden_close(&g);
        wd_free(want);
        wd_free(got);
        test_rm_dir(dir);
    }
}

/* ---- likelihood ---- */

typedef struct texts {
    uint32_t *id[512];
    size_t n[512], from[512], n_text;
} texts;

static void read_texts(texts *t, const char *path)
{
    wd_buf b = { 0 };
    assert_ok(wd_file_read(path, (size_t)64 << 20, &b, &err));
    memset(t, 0, sizeof *t);
    char *at = (char *)b.p;
    while (*at && t->n_text < WD_COUNT(t->id)) {
        char *end = strchr(at, '\n'), *next;
        assert_non_null(end);
        uint32_t *id = WD_ALLOC_N(uint32_t, (size_t)(end - at));
        const size_t i = t->n_text++;
        assert_non_null(id);
        t->id[i] = id;
        t->from[i] = strtoul(at, &next, 10);
        for (at = next; at < end; at = next)
            id[t->n[i]++] = (uint32_t)strtoul(at, &next, 10);
        at = end + 1;
        assert_true(t->from[i] > 0 && t->from[i] < t->n[i]);
    }
    wd_buf_free(&b);
}

static void free_texts(texts *t)
{
    for (size_t i = 0; i < t->n_text; i++)
        wd_free(t->id[i]);
}

static double log_probability(const float *logits, size_t n_vocab, uint32_t id)
{
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < n_vocab; i++)
        max = fmax(max, (double)logits[i]);
    for (size_t i = 0; i < n_vocab; i++)
        sum += exp(logits[i] - max);
    return logits[id] - max - log(sum);
}

typedef struct likelihood {
    double nll;        /* per token */
    size_t n, n_agree; /* tokens; where the best one is the text's */
} likelihood;

static likelihood likelihood_of(golden_model *g, const texts *t)
{
    likelihood r = { 0 };
    const size_t n_vocab = g->cfg.text.n_vocab;
    for (size_t i = 0; i < t->n_text; i++) {
        wd_kv *kv;
        assert_ok(wd_kv_create(g->kv, &kv, &err));
        for (size_t at = 0; at < t->n[i] - 1;) {
            const size_t end = at < t->from[i] - 1 ? t->from[i] - 1 : t->n[i] - 1,
                         n = WD_MIN(end - at, (size_t)256);
            const bool wanted = at >= t->from[i] - 1;
            uint32_t row[256];
            for (size_t k = 0; k < n; k++)
                row[k] = (uint32_t)k;
            float *logits = wanted ? WD_ALLOC_N(float, n *n_vocab) : NULL;
            const wd_step s = { .ids = t->id[i] + at,
                                .n = n,
                                .kv = kv,
                                .out_row = row,
                                .n_out = wanted ? n : 0,
                                .logits = logits };
            assert_ok(wd_model_step(g->m, &s, &err));
            for (size_t k = 0; wanted && k < n; k++) {
                const uint32_t next = t->id[i][at + k + 1];
                r.nll -= log_probability(logits + k * n_vocab, n_vocab, next);
                r.n_agree += golden_argmax(logits + k * n_vocab, n_vocab) == next;
                r.n++;
            }
            wd_free(logits);
            at += n;
        }
        wd_kv_destroy(kv);
    }
    r.nll /= (double)r.n;
    return r;
}

static likelihood likelihood_with(const char *dir, const texts *t, int bits, uint32_t group,
                                  wd_precision precision, const char *isa)
{
    golden_model g;
    golden_open(&g, &(golden_opts){ .dir = dir,
                                    .isa = isa,
                                    .precision = precision,
                                    .weight_bits = bits,
                                    .weight_group = group,
                                    .n_thread = 2 });
    const likelihood r = likelihood_of(&g, t);
    golden_close(&g);
    return r;
}

static const char *demo_text(void)
{
    static char dir[512];
    snprintf(dir, sizeof dir, "%s/../models/demo-text", test_data_dir());
    return dir;
}

static void replies_are_as_likely_as_with_the_stored_weights(void **state)
{
    (void)state;
    static texts t;
    char path[512];
    snprintf(path, sizeof path, "%s/golden/quantised/demo-text.ids", test_data_dir());
    if (!wd_file_is_dir(demo_text())) {
        print_message("models/demo-text is not here\n");
        skip();
    }
    read_texts(&t, path);
    const likelihood stored = likelihood_with(demo_text(), &t, 0, 0, WD_PRECISION_FAST, "auto");
    const likelihood w8 = likelihood_with(demo_text(), &t, 8, 0, WD_PRECISION_FAST, "auto");
    const likelihood w4 = likelihood_with(demo_text(), &t, 4, 0, WD_PRECISION_FAST, "auto");
    free_texts(&t);
    print_message("%zu tokens, perplexity %.5f, in 8 bits x %.5f, in 4 bits x %.5f\n", stored.n,
                  exp(stored.nll), exp(w8.nll - stored.nll), exp(w4.nll - stored.nll));
    assert_true(stored.n > 500 && exp(stored.nll) < 1.5); /* the model knows these replies */
    assert_true(exp(w8.nll - stored.nll) <= 1.005);
    assert_true(exp(w4.nll - stored.nll) <= 1.05);
}

static int print_table(const char *dir, const char *ids)
{
    static const struct {
        const char *name;
        int bits;
        uint32_t group;
        wd_precision precision;
    } rows[] = {
        { "as stored, f32 products", 0, 0, WD_PRECISION_EXACT },
        { "as stored", 0, 0, WD_PRECISION_FAST },
        { "w8, weights alone", 8, 32, WD_PRECISION_EXACT },
        { "w8 in groups of 32", 8, 32, WD_PRECISION_FAST },
        { "w8 in groups of 64", 8, 64, WD_PRECISION_FAST },
        { "w8 in groups of 128", 8, 128, WD_PRECISION_FAST },
        { "w4, weights alone", 4, 32, WD_PRECISION_EXACT },
        { "w4 in groups of 32", 4, 32, WD_PRECISION_FAST },
        { "w4 in groups of 64", 4, 64, WD_PRECISION_FAST },
        { "w4 in groups of 128", 4, 128, WD_PRECISION_FAST },
    };
    static texts t;
    double first = 0;
    read_texts(&t, ids);
    printf("| weights | perplexity | ratio | best token is the text's |\n|---|---|---|---|\n");
    for (size_t i = 0; i < WD_COUNT(rows); i++) {
        const likelihood r = likelihood_with(dir, &t, rows[i].bits, rows[i].group, rows[i].precision, "auto");
        first = i ? first : r.nll;
        printf("| %s | %.5f | %.5f | %.3f %% of %zu |\n", rows[i].name, exp(r.nll), exp(r.nll - first),
               100.0 * (double)r.n_agree / (double)r.n, r.n);
        fflush(stdout);
    }
    free_texts(&t);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--table") == 0)
        return print_table(argv[2], argv[3]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_stay_within_what_the_bits_allow),
        cmocka_unit_test(groups_of_any_size_work),
        cmocka_unit_test(bits_depend_neither_on_chunks_nor_on_the_instruction_set),
        cmocka_unit_test(a_saved_checkpoint_is_the_one_in_memory),
        cmocka_unit_test(replies_are_as_likely_as_with_the_stored_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
