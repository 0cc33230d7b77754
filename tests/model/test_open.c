#include "model/tiny.h"

#include "base/mem.h"
#include "support/test.h"

static void check_refused(const char *checkpoint, void (*spoil)(wd_model_config *), wd_status want,
                          const char *part)
{
    wd_model_config c;
    wd_weights *w;
    wd_ops *ops;
    wd_model *m;
    assert_ok(wd_config_read(tiny_dir(checkpoint), &c, &err));
    assert_ok(wd_weights_open(tiny_dir(checkpoint), &w, &err));
    assert_ok(wd_cpu_ops_create(&(wd_cpu_opts){ 0 }, &ops, &err));
    spoil(&c);
    assert_fails(wd_model_open(w, &c, NULL, ops, &m, &err), want, part);
    assert_null(m);
    wd_ops_destroy(ops);
    wd_weights_close(w);
}

static void more_layers(wd_model_config *c)
{
    c->text.n_layer++;
}

static void wider_mlp(wd_model_config *c)
{
    c->text.n_ff++;
}

static void other_heads(wd_model_config *c)
{
    c->text.n_head = 7;
}

static void head_of_hidden_size(wd_model_config *c)
{
    c->text.head_dim = c->text.n_embd / c->text.n_head;
}

static void more_blocks(wd_model_config *c)
{
    c->vision.depth++;
}

static void more_deepstack(wd_model_config *c)
{
    c->vision.deepstack[c->vision.n_deepstack++] = 4;
}

static void other_table(wd_model_config *c)
{
    c->vision.n_pos = 50;
}

static void other_width(wd_model_config *c)
{
    c->vision.n_out = 100;
}

static void more_experts(wd_model_config *c)
{
    c->text.n_expert = 7;
}

static void narrow_experts(wd_model_config *c)
{
    c->text.n_ff_expert = 39;
}

static void wide_heads(wd_model_config *c)
{
    c->text.head_dim = 258;
}

static void large_patches(wd_model_config *c)
{
    c->vision.patch_size = 256;
    c->vision.temporal_patch_size = 16;
}

static void large_groups(wd_model_config *c)
{
    c->vision.merge_size = 16;
    c->vision.n_embd *= 4;
}

static void open_refuses_what_the_operators_cannot_do(void **state)
{
    (void)state;
    check_refused("text-untied", wide_heads, WD_E_UNSUPPORTED,
                  "head_dim 258, expected an even number up to 256");
    check_refused("vl-dense", large_patches, WD_E_UNSUPPORTED, "patches of 3145728 values");
    check_refused("vl-dense", large_groups, WD_E_UNSUPPORTED, "merged rows of 81920");
}

static void open_names_a_missing_tensor(void **state)
{
    (void)state;
    check_refused("text-untied", more_layers, WD_E_NOT_FOUND, "layers.5.input_layernorm.weight");
    check_refused("vl-dense", more_blocks, WD_E_NOT_FOUND, "visual.blocks.5");
    check_refused("vl-dense", more_deepstack, WD_E_NOT_FOUND, "visual.deepstack_merger_list.3");
    check_refused("vl-moe-unfused", more_experts, WD_E_INVALID, "mlp.gate.weight");
}

static void open_names_a_misshaped_tensor(void **state)
{
    (void)state;
    check_refused("text-untied", wider_mlp, WD_E_INVALID, "mlp.gate_proj.weight");
    check_refused("text-untied-sharded", wider_mlp, WD_E_INVALID, "mlp.gate_proj.weight");
    check_refused("text-untied", head_of_hidden_size, WD_E_INVALID, "self_attn.q_proj.weight");
    check_refused("vl-moe", narrow_experts, WD_E_INVALID, "experts.gate_up_proj");
    check_refused("vl-moe-turned", narrow_experts, WD_E_INVALID, "experts.gate_up_proj");
}

static void open_refuses_numbers_that_do_not_fit_each_other(void **state)
{
    (void)state;
    check_refused("text-untied", other_heads, WD_E_INVALID, "7 attention heads");
    check_refused("vl-dense", other_table, WD_E_INVALID, "50 is not a square");
    check_refused("vl-dense", other_width, WD_E_INVALID, "out_hidden_size 100");
}

static void every_tensor_of_every_layout_is_fetched(void **state)
{
    (void)state;
    static const char *const name[] = {
        "text-untied", "text-tied", "text-yarn",  "text-moe",      "text-fp8",       "vl-dense",
        "vl-tied",     "vl-moe",    "vl-moe-f32", "vl-moe-turned", "vl-moe-unfused", "vl-dense-sharded"
    };
    for (size_t i = 0; i < WD_COUNT(name); i++) {
        tiny t;
        tiny_open(&t, name[i], NULL);
        for (size_t k = 0; k < wd_weights_count(t.weights); k++) {
            const char *tensor, *stored, *file;
            wd_tensor view;
            bool fetched;
            wd_weights_at(t.weights, k, &tensor, &stored, &file, &view, &fetched);
            if (!fetched)
                fail_msg("%s: nobody asked for %s", name[i], tensor);
        }
        tiny_close(&t);
    }
}

static void kv_options_follow_the_weights(void **state)
{
    (void)state;
    tiny t;
    tiny_open(&t, "vl-dense-f32", NULL);
    wd_kv_opts o = wd_model_kv_opts(t.model);
    assert_int_equal(o.dtype, WD_DTYPE_F32);
    assert_int_equal(o.n_layer, 5);
    assert_int_equal(o.n_kv_head, 2);
    assert_int_equal(o.head_dim, 32);
    assert_int_equal(o.page_len, 64);
    tiny_close(&t);
    tiny_open(&t, "text-fp8", NULL);
    o = wd_model_kv_opts(t.model);
    assert_int_equal(o.dtype, WD_DTYPE_BF16);
    tiny_close(&t);
}

static void check_every_allocation(const char *checkpoint)
{
    wd_model_config c;
    wd_weights *w;
    wd_ops *ops;
    assert_ok(wd_config_read(tiny_dir(checkpoint), &c, &err));
    assert_ok(wd_weights_open(tiny_dir(checkpoint), &w, &err));
    assert_ok(wd_cpu_ops_create(&(wd_cpu_opts){ 0 }, &ops, &err));
    for (uint64_t n = 1;; n++) {
        wd_model *m = NULL;
        wd_err err = { 0 };
        wd_inject_failure(n);
        const wd_status st = wd_model_open(w, &c, NULL, ops, &m, &err);
        const bool hit = wd_inject_failure(0) >= n;
        wd_model_close(m);
        if (!hit) {
            assert_int_equal(st, WD_OK);
            break;
        }
        assert_int_equal(st, WD_E_NOMEM);
        assert_null(m);
    }
    wd_ops_destroy(ops);
    wd_weights_close(w);
}

static void every_failed_allocation_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    check_every_allocation("text-untied");
    check_every_allocation("vl-moe");
    check_every_allocation("vl-moe-unfused");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_names_a_missing_tensor),
        cmocka_unit_test(open_names_a_misshaped_tensor),
        cmocka_unit_test(open_refuses_numbers_that_do_not_fit_each_other),
        cmocka_unit_test(open_refuses_what_the_operators_cannot_do),
        cmocka_unit_test(every_tensor_of_every_layout_is_fetched),
        cmocka_unit_test(kv_options_follow_the_weights),
        cmocka_unit_test(every_failed_allocation_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
