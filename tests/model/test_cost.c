/* What is counted from shapes is what a forward pass really asks of its operators. */
#include "model/cost.h"

#include "model/tiny.h"
#include "support/test.h"
#include "tensor/meter.h"
#include "weights/inventory.h"

/* A tiny model whose operators are metered. */
typedef struct metered {
    tiny t;
    wd_meter *meter;
    wd_model *model;
    wd_cost_weights w;
} metered;

static void open_metered(metered *m, const char *name)
{
    tiny_open(&m->t, name, NULL);
    assert_ok(wd_meter_create(m->t.ops, &m->meter, &err));
    assert_ok(wd_model_open(m->t.weights, &m->t.cfg, NULL, wd_meter_ops(m->meter), &m->model, &err));
    wd_cost_weigh(&m->t.cfg, m->t.weights, &m->w);
}

static void close_metered(metered *m)
{
    wd_model_close(m->model);
    wd_meter_destroy(m->meter);
    tiny_close(&m->t);
}

static void assert_is(double is, double want)
{
    if (is != want)
        fail_msg("%.17g, expected %.17g", is, want);
}

static void assert_near(double is, double want)
{
    assert_true(want > 0);
    if (!(is / want > 1 - 1e-12 && is / want < 1 + 1e-12))
        fail_msg("%.17g, expected %.17g", is, want);
}

/* n tokens after `past`, the last n_out of them read out. */
static void check_step(metered *m, size_t past, size_t n, size_t n_out, bool logits)
{
    uint32_t ids[64], row[64];
    const wd_text_config *c = &m->t.cfg.text;
    float *to = test_malloc((n_out + 1) * c->n_vocab * sizeof *to);
    assert_in_range(past + n, 1, 64);
    tiny_tokens(ids, 64, 9);
    wd_kv_truncate(m->t.kv, 0);
    if (past)
        assert_ok(wd_model_step(m->model, &(wd_step){ .ids = ids, .n = past, .kv = m->t.kv }, &err));
    wd_meter_take(m->meter);
    for (size_t i = 0; i < n_out; i++)
        row[i] = (uint32_t)(n - n_out + i);
    assert_ok(wd_model_step(m->model,
                            &(wd_step){ .ids = ids + past,
                                        .n = n,
                                        .kv = m->t.kv,
                                        .out_row = row,
                                        .n_out = n_out,
                                        .hidden = logits ? NULL : to,
                                        .logits = logits ? to : NULL },
                            &err));
    const wd_meter_total did = wd_meter_take(m->meter);
    wd_cost cost = { 0 };
    wd_cost_add_step(&m->t.cfg, &m->w, n, past, n_out, logits, 100, &cost);
    assert_near(cost.linear_ops, did.linear.ops);
    assert_near(cost.attn_ops, did.attn.ops);
    assert_is(cost.kv_bytes, 100.0 * (double)(past + n));
    assert_true(did.linear.seconds > 0 && did.attn.seconds > 0 && did.rest.seconds > 0);
    test_free(to);
}

static void a_step_is_counted_to_the_operation(void **state)
{
    (void)state;
    static const char *const models[] = { "text-untied", "text-tied", "text-moe", "vl-moe" };
    for (size_t i = 0; i < WD_COUNT(models); i++) {
        metered m;
        open_metered(&m, models[i]);
        check_step(&m, 0, 40, 1, true);
        check_step(&m, 0, 7, 7, true);
        check_step(&m, 20, 1, 1, true);
        check_step(&m, 13, 30, 3, false);
        check_step(&m, 3, 5, 0, false);
        close_metered(&m);
    }
}

static void a_batch_is_counted_to_the_operation(void **state)
{
    (void)state;
    enum { SEQS = 3, PAST = 13 };
    static const char *const models[] = { "text-untied", "text-moe" };
    for (size_t i = 0; i < WD_COUNT(models); i++) {
        metered m;
        open_metered(&m, models[i]);
        uint32_t ids[PAST], row[SEQS] = { 0, 1, 2 };
        wd_step_seq seq[SEQS];
        float *logits = test_malloc(SEQS * m.t.cfg.text.n_vocab * sizeof *logits);
        tiny_tokens(ids, PAST, 9);
        for (int k = 0; k < SEQS; k++) {
            seq[k].n = 1;
            assert_ok(wd_kv_create(m.t.pool, &seq[k].kv, &err));
            assert_ok(wd_model_step(m.model, &(wd_step){ .ids = ids, .n = PAST, .kv = seq[k].kv }, &err));
        }
        wd_meter_take(m.meter);
        const wd_step s = {
            .ids = ids, .n = SEQS, .seq = seq, .n_seq = SEQS, .out_row = row, .n_out = SEQS, .logits = logits
        };
        assert_ok(wd_model_step(m.model, &s, &err));
        const wd_meter_total did = wd_meter_take(m.meter);
        wd_cost cost = { 0 };
        wd_cost_add_batch(&m.t.cfg, &m.w, SEQS, PAST, 100, &cost);
        assert_near(cost.linear_ops, did.linear.ops);
        assert_near(cost.attn_ops, did.attn.ops);
        assert_is(cost.kv_bytes, SEQS * 100.0 * (PAST + 1));
        for (int k = 0; k < SEQS; k++)
            wd_kv_destroy(seq[k].kv);
        test_free(logits);
        close_metered(&m);
    }
}

static void the_tower_is_counted_to_the_operation(void **state)
{
    (void)state;
    static const uint32_t grid[2][3] = { { 1, 12, 8 }, { 2, 4, 6 } };
    metered m;
    open_metered(&m, "vl-dense");
    const wd_vision_config *v = &m.t.cfg.vision;
    const size_t n = 96 + 48, row = (size_t)3 * v->temporal_patch_size * v->patch_size * v->patch_size;
    float *patches = test_malloc(n * row * sizeof *patches);
    wd_features f;
    tiny_values(patches, n * row, 4);
    wd_meter_take(m.meter);
    assert_ok(wd_model_see(m.model, &(wd_see){ .patches = patches, .grid = grid, .n_grid = 2 }, &f, &err));
    const wd_meter_total did = wd_meter_take(m.meter);
    wd_cost cost = { 0 };
    wd_cost_add_see(&m.t.cfg, &m.w, grid, 2, &cost);
    assert_near(cost.linear_ops, did.linear.ops);
    assert_near(cost.attn_ops, did.attn.ops);
    assert_is(cost.weight_bytes, m.w.vision);
    wd_features_free(&f);
    test_free(patches);
    close_metered(&m);
}

static void bytes_are_those_of_the_parts(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        wd_dtype dtype;
        double each; /* bytes */
    } models[] = { { "text-untied", WD_DTYPE_BF16, 2 },
                   { "text-untied-f32", WD_DTYPE_F32, 4 },
                   { "text-tied", WD_DTYPE_BF16, 2 },
                   { "text-moe", WD_DTYPE_BF16, 2 },
                   { "vl-dense-sharded", WD_DTYPE_BF16, 2 } };
    for (size_t i = 0; i < WD_COUNT(models); i++) {
        tiny t;
        wd_inventory v;
        wd_cost_weights w;
        wd_arena *a = wd_arena_create((size_t)1 << 24, false);
        tiny_open(&t, models[i].name, NULL);
        const wd_text_config *c = &t.cfg.text;
        assert_ok(wd_inventory_make(&t.cfg, wd_expert_form_of(&t.cfg, t.weights), a, &v, &err));
        wd_cost_weigh(&t.cfg, t.weights, &w);
        const double each = models[i].each, table = each * c->n_vocab * c->n_embd;
        double experts = 0;
        for (uint32_t l = 0; l < c->n_layer; l++)
            experts += c->sparse[l] ? each * 3 * c->n_expert * c->n_embd * c->n_ff_expert : 0;
        assert_is(w.embd_row, each * c->n_embd);
        assert_is(w.head, table);
        assert_is(w.experts, experts);
        assert_is(w.layers, each * (double)v.text_params - experts - (c->tied ? 1 : 2) * table);
        assert_is(w.vision, each * (double)v.vision_params);
        assert_int_equal(w.layer_dtype, models[i].dtype);
        tiny_close(&t);
        wd_arena_destroy(a);
    }
    tiny t;
    wd_cost_weights w;
    tiny_open(&t, "text-fp8", NULL);
    wd_cost_weigh(&t.cfg, t.weights, &w);
    assert_int_equal(w.layer_dtype, WD_DTYPE_F8_E4M3);
    tiny_close(&t);
}

static void a_step_reads_every_layer_once_and_the_experts_it_may_touch(void **state)
{
    (void)state;
    tiny t;
    wd_cost_weights w;
    tiny_open(&t, "text-moe", NULL);
    wd_cost_weigh(&t.cfg, t.weights, &w);
    const double used = (double)t.cfg.text.n_expert_used / t.cfg.text.n_expert;
    wd_cost one = { 0 }, many = { 0 }, silent = { 0 };
    wd_cost_add_step(&t.cfg, &w, 1, 10, 1, true, 0, &one);
    assert_near(one.weight_bytes, w.layers + w.head + w.embd_row + used * w.experts);
    wd_cost_add_step(&t.cfg, &w, 5000, 0, 1, true, 0, &many);
    assert_near(many.weight_bytes, w.layers + w.head + 5000 * w.embd_row + w.experts);
    wd_cost_add_step(&t.cfg, &w, 1, 10, 1, false, 0, &silent);
    assert_near(one.weight_bytes - silent.weight_bytes, w.head);
    tiny_close(&t);
}

static void a_metered_model_gives_the_same_bits(void **state)
{
    (void)state;
    metered m;
    float plain[96], measured[96];
    uint32_t ids[20];
    open_metered(&m, "text-untied");
    assert_int_equal(m.t.cfg.text.n_embd, 96);
    tiny_tokens(ids, 20, 1);
    wd_step s = {
        .ids = ids, .n = 20, .kv = m.t.kv, .out_row = &(uint32_t){ 19 }, .n_out = 1, .hidden = plain
    };
    assert_ok(wd_model_step(m.t.model, &s, &err));
    wd_kv_truncate(m.t.kv, 0);
    s.hidden = measured;
    assert_ok(wd_model_step(m.model, &s, &err));
    assert_memory_equal(plain, measured, sizeof plain);
    const wd_meter_total first = wd_meter_take(m.meter), then = wd_meter_take(m.meter);
    assert_true(first.linear.n_call > 0 && first.attn.n_call > 0 && first.rest.n_call > 0);
    assert_true(then.linear.n_call == 0 && then.linear.ops == 0 && then.rest.seconds == 0);
    close_metered(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_is_counted_to_the_operation),
        cmocka_unit_test(a_batch_is_counted_to_the_operation),
        cmocka_unit_test(the_tower_is_counted_to_the_operation),
        cmocka_unit_test(bytes_are_those_of_the_parts),
        cmocka_unit_test(a_step_reads_every_layer_once_and_the_experts_it_may_touch),
        cmocka_unit_test(a_metered_model_gives_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
