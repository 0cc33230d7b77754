/* Every stage of every golden checkpoint on every instruction set level of this machine, within section 12.4.
 *
 *   test_golden             the test
 *   test_golden --table     the same as a Markdown table: error and limit per checkpoint and stage, one column per level
 */
#include <math.h>
#include <stdio.h>

#include "golden/run.h"
#include "support/test.h"

typedef struct golden_case {
    const char *checkpoint, *set, *sample;
    const char *lora[2];
    double lora_scale;
    bool fast; /* run with bf16 activations too */
} golden_case;

static const golden_case cases[] = {
    { "text-untied-f32", "text-untied", "main", { 0 }, 0, false },
    { "text-untied", "text-untied", "main", { 0 }, 0, true },
    { "text-untied-f16", "text-untied", "main", { 0 }, 0, true },
    { "text-untied-sharded", "text-untied", "main", { 0 }, 0, false },
    { "text-tied-f32", "text-tied", "main", { 0 }, 0, false },
    { "text-tied", "text-tied", "main", { 0 }, 0, true },
    { "text-yarn-f32", "text-yarn", "main", { 0 }, 0, false },
    { "text-yarn", "text-yarn", "main", { 0 }, 0, true },
    { "text-huge", "text-huge", "main", { 0 }, 0, true },
    { "text-moe-f32", "text-moe", "main", { 0 }, 0, false },
    { "text-moe", "text-moe", "main", { 0 }, 0, true },
    { "text-fp8", "text-fp8", "main", { 0 }, 0, true },
    { "text-fp8-as-f32", "text-fp8", "main", { 0 }, 0, false },
    { "text-untied", "text-lora", "a", { "a" }, 1, true },
    { "text-untied", "text-lora", "half", { "a" }, 0.5, false },
    { "text-untied-f32", "text-lora", "both", { "a", "b" }, 1, false },
    { "vl-dense-f32", "vl-dense", "main", { 0 }, 0, false },
    { "vl-dense-f32", "vl-dense", "odd", { 0 }, 0, false },
    { "vl-dense-f32", "vl-dense", "text", { 0 }, 0, false },
    { "vl-dense", "vl-dense", "main", { 0 }, 0, true },
    { "vl-dense", "vl-dense", "odd", { 0 }, 0, true },
    { "vl-dense-f16", "vl-dense", "main", { 0 }, 0, true },
    { "vl-dense-sharded", "vl-dense", "main", { 0 }, 0, false },
    { "vl-tied-f32", "vl-tied", "main", { 0 }, 0, false },
    { "vl-tied", "vl-tied", "main", { 0 }, 0, true },
    { "vl-moe-f32", "vl-moe", "main", { 0 }, 0, false },
    { "vl-moe", "vl-moe", "main", { 0 }, 0, true },
    { "vl-moe-turned", "vl-moe", "main", { 0 }, 0, true },
    { "vl-moe-unfused", "vl-moe", "main", { 0 }, 0, true },
};

static void run_case(const golden_case *c, const char *isa, wd_precision precision, golden_report *r)
{
    const golden_opts o = { .checkpoint = c->checkpoint,
                            .isa = isa,
                            .precision = precision,
                            .lora = { c->lora[0], c->lora[1] },
                            .lora_scale = c->lora_scale };
    golden_check(&o, c->set, c->sample, r);
}

static void check_level(void **state)
{
    const char *isa = *state;
    if (!golden_has_isa(isa)) {
        print_message("this machine has no %s\n", isa);
        skip();
    }
    int n_bad = 0;
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        for (int fast = 0; fast <= cases[i].fast; fast++) {
            golden_report r = { .n = 0 };
            run_case(&cases[i], isa, fast ? WD_PRECISION_FAST : WD_PRECISION_EXACT, &r);
            assert_true(r.n >= 2);
            for (size_t k = 0; k < r.n; k++) {
                if (r.row[k].error <= r.row[k].limit)
                    continue;
                print_error("%s %s %s %s: %s is off by %.3g, limit %.3g\n", isa, cases[i].checkpoint,
                            cases[i].sample, fast ? "fast" : "exact", r.row[k].stage, r.row[k].error,
                            r.row[k].limit);
                n_bad++;
            }
        }
    }
    assert_int_equal(n_bad, 0);
}

/* ---- the table ---- */

static void print_case(const golden_case *c, wd_precision precision, const char *const *isa, size_t n_isa,
                       int *n_bad)
{
    golden_report *r = WD_ALLOC_N(golden_report, n_isa);
    assert_non_null(r);
    for (size_t k = 0; k < n_isa; k++)
        run_case(c, isa[k], precision, &r[k]);
    for (size_t i = 0; i < r[0].n; i++) {
        printf("| %s%s%s%s | %s | %s | %s |", c->checkpoint, c->lora[0] ? " + " : "",
               c->lora[0] ? c->lora[0] : "", c->lora[1] ? " + b" : "", c->sample,
               precision == WD_PRECISION_EXACT ? "f32" : "bf16", r[0].row[i].stage);
        for (size_t k = 0; k < n_isa; k++) {
            printf(" %.1e |", r[k].row[i].error);
            *n_bad += !(r[k].row[i].error <= r[k].row[i].limit);
        }
        printf(" %.0e |\n", r[0].row[i].limit);
    }
    wd_free(r);
}

static int print_table(void)
{
    const char *isa[8];
    size_t n_isa = 0;
    for (size_t i = 0; golden_isa[i]; i++)
        if (golden_has_isa(golden_isa[i]))
            isa[n_isa++] = golden_isa[i];
    printf("Compute f32: largest difference over largest value. bf16: relative L2. *_differs: count.\n\n");
    printf("| checkpoint | sample | compute | stage |");
    for (size_t k = 0; k < n_isa; k++)
        printf(" %s |", isa[k]);
    printf(" limit |\n|---|---|---|---|");
    for (size_t k = 0; k <= n_isa; k++)
        printf("---|");
    printf("\n");
    int n_bad = 0;
    for (size_t i = 0; i < WD_COUNT(cases); i++)
        for (int fast = 0; fast <= cases[i].fast; fast++)
            print_case(&cases[i], fast ? WD_PRECISION_FAST : WD_PRECISION_EXACT, isa, n_isa, &n_bad);
    printf("\n%d over the limit\n", n_bad);
    return n_bad != 0;
}

/* Keys and values in 8 bits: the last stages only, within a limit of their own. */
static void keys_and_values_in_8_bits_stay_near(void **state)
{
    (void)state;
    int n_bad = 0, n = 0;
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        if (!cases[i].fast || cases[i].lora[0])
            continue;
        const golden_opts o = {
            .checkpoint = cases[i].checkpoint, .isa = "auto", .precision = WD_PRECISION_FAST, .kv8 = true
        };
        golden_report r = { .n = 0 };
        golden_check(&o, cases[i].set, cases[i].sample, &r);
        for (size_t k = 0; k < r.n; k++) {
            if (strcmp(r.row[k].stage, "logits") != 0)
                continue;
            print_message("%s %s: logits off by %.2g\n", cases[i].checkpoint, cases[i].sample,
                          r.row[k].error);
            n_bad += !(r.row[k].error <= 4e-2);
            n++;
        }
    }
    assert_true(n >= 5);
    assert_int_equal(n_bad, 0);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--table") == 0)
        return print_table();
    const struct CMUnitTest tests[] = {
        { "stages_equal_the_reference_on_ref", check_level, NULL, NULL, (void *)"ref" },
        { "stages_equal_the_reference_on_avx2", check_level, NULL, NULL, (void *)"avx2" },
        { "stages_equal_the_reference_on_avx512", check_level, NULL, NULL, (void *)"avx512" },
        { "stages_equal_the_reference_on_avx512vnni", check_level, NULL, NULL, (void *)"avx512vnni" },
        { "stages_equal_the_reference_on_avx512bf16", check_level, NULL, NULL, (void *)"avx512bf16" },
        { "stages_equal_the_reference_on_amx", check_level, NULL, NULL, (void *)"amx" },
        cmocka_unit_test(keys_and_values_in_8_bits_stay_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
