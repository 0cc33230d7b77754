/* LoRA adapters: what is found by module, how it is scaled, and the sentence for every variant that is refused. */
#include "support/test.h"

#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "support/checkpoint.h"
#include "weights/lora.h"

#define BASE                                                                                             \
    "{\"vocab_size\":32,\"hidden_size\":12,\"intermediate_size\":20,\"num_hidden_layers\":2,"            \
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":8,\"max_position_embeddings\":64," \
    "\"rope_theta\":10000,"

static const char dense[] = BASE "\"model_type\":\"qwen3\"}";
static const char moe[] = BASE "\"model_type\":\"qwen3_moe\",\"num_experts\":4,\"num_experts_per_tok\":2,"
                               "\"moe_intermediate_size\":6,\"mlp_only_layers\":[1]}";

#define P "base_model.model.model.layers."
static const test_tensor good[] = {
    { P "0.self_attn.q_proj.lora_A.weight", "F32", { 4, 12 } },
    { P "0.self_attn.q_proj.lora_B.weight", "F32", { 32, 4 } },
    { "base_model.model.model.language_model.layers.1.mlp.down_proj.lora_B.weight", "BF16", { 12, 2 } },
    { "base_model.model.model.language_model.layers.1.mlp.down_proj.lora_A.weight", "BF16", { 2, 20 } },
    { "base_model.model.language_model.model.layers.0.self_attn.o_proj.lora_A.default.weight",
      "F16",
      { 4, 32 } },
    { "base_model.model.language_model.model.layers.0.self_attn.o_proj.lora_B.default.weight",
      "F16",
      { 12, 4 } },
};
static const char good_config[] =
    "{\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":8,\"bias\":\"none\","
    "\"target_modules\":[\"q_proj\",\"down_proj\",\"o_proj\"],\"use_dora\":false,"
    "\"rank_pattern\":{\"mlp.down_proj\":2},\"alpha_pattern\":{\"layers.1.mlp.down_proj\":1},"
    "\"modules_to_save\":null,\"target_parameters\":null,\"init_lora_weights\":true}";

static char *make_adapter(const char *config, const test_tensor *t, size_t n)
{
    char *dir = test_make_dir();
    test_write_text(dir, "adapter_config.json", config);
    test_write_st(dir, "adapter_model.safetensors", t, n);
    return dir;
}

static void read_base(const char *text, wd_model_config *c)
{
    assert_ok(wd_config_parse(wd_span_str(text), "base", c, &err));
}

static void refuse(const char *config, const char *base, const test_tensor *t, size_t n, wd_status code,
                   const char *part)
{
    wd_model_config c;
    wd_lora *l = NULL;
    char *dir = make_adapter(config, t, n);
    read_base(base, &c);
    assert_fails(wd_lora_open(dir, 1, &c, &l, &err), code, part);
    assert_null(l);
    test_rm_dir(dir);
}

static void adapter_answers_by_normal_module_name(void **state)
{
    (void)state;
    wd_model_config c;
    wd_lora *l;
    wd_lora_pair p;
    const char *name;
    char *dir = make_adapter(good_config, good, WD_COUNT(good));
    read_base(dense, &c);
    assert_ok(wd_lora_open(dir, 0.5, &c, &l, &err));
    assert_int_equal(wd_lora_count(l), 3);
    assert_int_equal(wd_lora_max_rank(l), 4);
    assert_true(wd_lora_find(l, "layers.0.self_attn.q_proj", &p));
    assert_int_equal(p.a.dim[0], 4);
    assert_int_equal(p.a.dim[1], 12);
    assert_int_equal(p.b.dim[0], 32);
    assert_true(p.scale == 0.5f * 8 / 4);
    assert_true(wd_lora_find(l, "layers.1.mlp.down_proj", &p));
    assert_int_equal(p.a.dim[0], 2);
    assert_int_equal(p.a.dtype, WD_DTYPE_BF16);
    assert_true(p.scale == 0.5f * 1 / 2); /* both patterns */
    assert_true(wd_lora_find(l, "layers.0.self_attn.o_proj", &p));
    assert_int_equal(p.a.dtype, WD_DTYPE_F16);
    assert_false(wd_lora_find(l, "layers.1.self_attn.q_proj", &p));
    assert_false(wd_lora_find(l, "layers.0.self_attn.q_proj.weight", &p));
    wd_lora_at(l, 0, &name, &p);
    assert_string_equal(name, "layers.0.self_attn.o_proj"); /* by name */
    assert_int_equal(p.a.dim[1], 32);
    wd_lora_close(l);
    test_rm_dir(dir);
}

static void rslora_divides_by_the_root_of_the_rank(void **state)
{
    (void)state;
    wd_model_config c;
    wd_lora *l;
    wd_lora_pair p;
    char *dir = make_adapter("{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":3,\"use_rslora\":true}",
                             good + 2, 2);
    read_base(dense, &c);
    assert_ok(wd_lora_open(dir, 1, &c, &l, &err));
    assert_true(wd_lora_find(l, "layers.1.mlp.down_proj", &p));
    assert_true(fabsf(p.scale - 3 / sqrtf(2)) < 1e-6f);
    wd_lora_close(l);
    test_rm_dir(dir);
}

static void several_adapters_are_open_at_once(void **state)
{
    (void)state;
    wd_model_config c;
    wd_lora *x, *y;
    wd_lora_pair p, q;
    char *one = make_adapter(good_config, good, 2), *two = make_adapter(good_config, good, 4);
    read_base(dense, &c);
    assert_ok(wd_lora_open(one, 1, &c, &x, &err));
    assert_ok(wd_lora_open(two, -2, &c, &y, &err));
    assert_true(wd_lora_find(x, "layers.0.self_attn.q_proj", &p));
    assert_true(wd_lora_find(y, "layers.0.self_attn.q_proj", &q));
    assert_true(p.scale == 2 && q.scale == -4);
    assert_ptr_not_equal(p.a.data, q.a.data);
    const float first = wd_tensor_get(&q.a, 5);
    wd_lora_close(x);
    assert_true(wd_tensor_get(&q.a, 5) == first); /* y's bytes are still mapped */
    wd_lora_close(y);
    test_rm_dir(one);
    test_rm_dir(two);
}

static void variants_that_a_and_b_do_not_describe_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *member, *part;
        wd_status code;
    } rows[] = {
        { "\"use_dora\":true", "use_dora is set: DoRA cannot be applied", WD_E_UNSUPPORTED },
        { "\"fan_in_fan_out\":true", "fan_in_fan_out is set", WD_E_UNSUPPORTED },
        { "\"lora_bias\":true", "lora_bias is set", WD_E_UNSUPPORTED },
        { "\"modules_to_save\":[\"lm_head\"]", "modules_to_save is set: replaced modules", WD_E_UNSUPPORTED },
        { "\"target_parameters\":[\"experts.down_proj\"]", "target_parameters is set", WD_E_UNSUPPORTED },
        { "\"trainable_token_indices\":[1]", "trainable_token_indices is set", WD_E_UNSUPPORTED },
        { "\"layer_replication\":[[0,2]]", "layer_replication is set", WD_E_UNSUPPORTED },
        { "\"alora_invocation_tokens\":[5]", "alora_invocation_tokens is set", WD_E_UNSUPPORTED },
        { "\"bias\":\"lora_only\"", "bias is \"lora_only\", only \"none\"", WD_E_UNSUPPORTED },
        { "\"init_lora_weights\":\"pissa_niter_16\"", "init_lora_weights \"pissa_niter_16\" also changed",
          WD_E_UNSUPPORTED },
        { "\"rank_pattern\":{\".*q_proj\":4}", "rank_pattern key \".*q_proj\" is a regular expression",
          WD_E_UNSUPPORTED },
        { "\"alpha_pattern\":{\"q_proj\":\"x\"}", "alpha_pattern of \"q_proj\" is not a number",
          WD_E_INVALID },
        { "\"rank_pattern\":{\"q_proj\":8}", "has rank 4, but adapter_config.json says 8", WD_E_INVALID },
        { "\"rank_pattern\":[]", "rank_pattern is an array", WD_E_INVALID },
    };
    char config[300];
    for (size_t i = 0; i < WD_COUNT(rows); i++) {
        snprintf(config, sizeof config, "{\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":8,%s}",
                 rows[i].member);
        refuse(config, dense, good, 2, rows[i].code, rows[i].part);
    }
    refuse("{\"peft_type\":\"IA3\",\"r\":4,\"lora_alpha\":8}", dense, good, 2, WD_E_UNSUPPORTED,
           "peft_type is \"IA3\"");
    refuse("{\"r\":4,\"lora_alpha\":8}", dense, good, 2, WD_E_INVALID, "peft_type is missing");
    refuse("{\"peft_type\":\"LORA\",\"lora_alpha\":8}", dense, good, 2, WD_E_INVALID, "r is missing");
    refuse("{\"peft_type\":\"LORA\",\"r\":0,\"lora_alpha\":8}", dense, good, 2, WD_E_INVALID, "r is 0");
    refuse("{\"peft_type\":\"LORA\",\"r\":4}", dense, good, 2, WD_E_INVALID, "lora_alpha is not a number");
    refuse("{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":8}", dense, good, 2, WD_E_INVALID,
           "layers.0.self_attn.q_proj has rank 4, but adapter_config.json says 2");
    refuse("[]", dense, good, 2, WD_E_CORRUPT, "adapter_config.json: not a JSON object");
}

#define PLAIN "{\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":8}"

static void refuse_tensors(const char *base, const char *a_name, const size_t a[2], const char *b_name,
                           const size_t b[2], wd_status code, const char *part)
{
    const test_tensor t[] = { { a_name, "F32", { a[0], a[1] } }, { b_name, "F32", { b[0], b[1] } } };
    refuse(PLAIN, base, t, 2, code, part);
}

#define D2(x, y)     \
    (const size_t[]) \
    {                \
        x, y         \
    }
#define MODULE(m) P m ".lora_A.weight", D2(4, 12), P m ".lora_B.weight", D2(32, 4)

static void modules_are_checked_against_the_base(void **state)
{
    (void)state;
    refuse_tensors(dense, MODULE("2.self_attn.q_proj"), WD_E_INVALID,
                   "it adapts layers.2.self_attn.q_proj, which this qwen3 of 2 layers does not have");
    refuse_tensors(dense, MODULE("00.self_attn.q_proj"), WD_E_INVALID,
                   "it adapts layers.00.self_attn.q_proj");
    refuse_tensors(dense, MODULE("0.self_attn.z_proj"), WD_E_INVALID, "it adapts layers.0.self_attn.z_proj");
    refuse_tensors(dense, MODULE("99999999999.self_attn.q_proj"), WD_E_INVALID, "does not have");
    refuse_tensors(moe, MODULE("0.mlp.up_proj"), WD_E_INVALID,
                   "it adapts layers.0.mlp.up_proj"); /* sparse there */
    refuse_tensors(moe, MODULE("0.mlp.gate"), WD_E_UNSUPPORTED,
                   "it adapts layers.0.mlp.gate; only q, k, v, o");
    refuse_tensors(moe, MODULE("0.mlp.experts.1.up_proj"), WD_E_UNSUPPORTED,
                   "only q, k, v, o, gate, up and down");
    refuse_tensors(dense, "base_model.model.model.visual.blocks.0.attn.qkv.lora_A.weight", D2(4, 12),
                   "base_model.model.model.visual.blocks.0.attn.qkv.lora_B.weight", D2(36, 4),
                   WD_E_UNSUPPORTED, "it adapts visual.blocks.0.attn.qkv; only");
    refuse_tensors(dense, "base_model.model.lm_head.lora_A.weight", D2(4, 12),
                   "base_model.model.lm_head.lora_B.weight", D2(32, 4), WD_E_UNSUPPORTED,
                   "it adapts lm_head; only");
}

#define Q_A P "0.self_attn.q_proj.lora_A.weight"
#define Q_B P "0.self_attn.q_proj.lora_B.weight"

static void tensors_are_checked_against_the_base(void **state)
{
    (void)state;
    static const test_tensor vector[] = { { Q_A, "F32", { 4 } } };
    static const test_tensor ints[] = { { Q_A, "I32", { 4, 12 } } };
    refuse_tensors(dense, Q_A, D2(4, 13), Q_B, D2(32, 4), WD_E_INVALID,
                   "has lora_A F32[4, 13] and lora_B F32[32, 4], expected [r, 12] and [32, r]");
    refuse_tensors(dense, Q_A, D2(4, 12), Q_B, D2(31, 4), WD_E_INVALID, "lora_B F32[31, 4], expected");
    refuse_tensors(dense, Q_A, D2(4, 12), Q_B, D2(32, 5), WD_E_INVALID, "lora_B F32[32, 5], expected");
    refuse(PLAIN, dense, good, 1, WD_E_CORRUPT, "layers.0.self_attn.q_proj has lora_A and no lora_B");
    refuse(PLAIN, dense, good + 1, 1, WD_E_CORRUPT, "layers.0.self_attn.q_proj has lora_B and no lora_A");
    refuse(PLAIN, dense, good, 0, WD_E_INVALID, "no tensors, so nothing to adapt");
    refuse(PLAIN, dense, vector, 1, WD_E_INVALID, "is F32[4], expected an F32, F16 or BF16 matrix");
    refuse(PLAIN, dense, ints, 1, WD_E_INVALID, "is I32[4, 12], expected an F32, F16 or BF16 matrix");
    refuse_tensors(dense, Q_A, D2(4, 12), P "0.self_attn.q_proj.lora_A.default.weight", D2(4, 12),
                   WD_E_CORRUPT, "layers.0.self_attn.q_proj has more than one lora_A");
    refuse_tensors(dense, Q_A, D2(4, 12), "base_model.model.lm_head.weight", D2(32, 12), WD_E_UNSUPPORTED,
                   "tensor base_model.model.lm_head.weight is no lora_A or lora_B weight");
    refuse_tensors(dense, Q_A, D2(4, 12), P "0.self_attn.q_proj.lora_magnitude_vector.weight", D2(4, 12),
                   WD_E_UNSUPPORTED, "is no lora_A or lora_B weight");
}

static void directory_is_checked(void **state)
{
    (void)state;
    wd_model_config c;
    wd_lora *l;
    char path[1100];
    char *dir = test_make_dir();
    read_base(dense, &c);
    assert_fails(wd_lora_open(dir, 1, &c, &l, &err), WD_E_NOT_FOUND, "adapter_config.json: cannot open");
    test_write_text(dir, "adapter_config.json", PLAIN);
    assert_fails(wd_lora_open(dir, 1, &c, &l, &err), WD_E_NOT_FOUND,
                 "adapter_model.safetensors: cannot open");
    test_write_text(dir, "adapter_model.bin", "x");
    assert_fails(wd_lora_open(dir, 1, &c, &l, &err), WD_E_UNSUPPORTED,
                 "adapter_model.bin: a pickle is not read");
    test_write_text(dir, "adapter_model.safetensors", "x");
    assert_fails(wd_lora_open(dir, 1, &c, &l, &err), WD_E_CORRUPT, "adapter_model.safetensors: 1 bytes");
    snprintf(path, sizeof path, "%s/nowhere", dir);
    assert_fails(wd_lora_open(path, 1, &c, &l, &err), WD_E_NOT_FOUND,
                 "expected a directory with a LoRA adapter");
    assert_fails(wd_lora_open(dir, (double)NAN, &c, &l, &err), WD_E_USAGE, "must be a finite number");
    test_rm_dir(dir);
}

static void argument_is_a_directory_and_perhaps_a_scale(void **state)
{
    (void)state;
    const char *dir;
    double scale;
    wd_arena *a = wd_arena_create(1 << 16, false);
    assert_ok(wd_lora_parse_arg("some/dir", a, &dir, &scale, &err));
    assert_string_equal(dir, "some/dir");
    assert_true(scale == 1);
    assert_ok(wd_lora_parse_arg("some/dir=-0.25", a, &dir, &scale, &err));
    assert_string_equal(dir, "some/dir");
    assert_true(scale == -0.25);
    assert_fails(wd_lora_parse_arg("d=x", a, &dir, &scale, &err), WD_E_USAGE, "\"x\" is not a scale");
    assert_fails(wd_lora_parse_arg("d=1x", a, &dir, &scale, &err), WD_E_USAGE, "is not a scale");
    assert_fails(wd_lora_parse_arg("d=", a, &dir, &scale, &err), WD_E_USAGE, "is not a scale");
    assert_fails(wd_lora_parse_arg("d=inf", a, &dir, &scale, &err), WD_E_USAGE, "is not a scale");
    assert_fails(wd_lora_parse_arg("=2", a, &dir, &scale, &err), WD_E_USAGE, "the directory is missing");
    wd_arena_destroy(a);
}

static void open_survives_every_failure(void **state)
{
    (void)state;
    wd_model_config c;
    char *dir = make_adapter(good_config, good, WD_COUNT(good));
    read_base(dense, &c);
    for (uint64_t n = 1;; n++) {
        wd_lora *l = NULL;
        wd_err err = { 0 };
        wd_inject_failure(n);
        const wd_status st = wd_lora_open(dir, 1, &c, &l, &err);
        wd_lora_close(l);
        if (wd_inject_failure(0) < n) {
            assert_int_equal(st, WD_OK);
            assert_true(n > 50);
            break;
        }
        assert_int_not_equal(st, WD_OK);
        assert_true(err.text[0] != 0);
    }
    test_rm_dir(dir);
}

int main(void)
{
    wd_json_use_our_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adapter_answers_by_normal_module_name),
        cmocka_unit_test(rslora_divides_by_the_root_of_the_rank),
        cmocka_unit_test(several_adapters_are_open_at_once),
        cmocka_unit_test(variants_that_a_and_b_do_not_describe_are_refused),
        cmocka_unit_test(modules_are_checked_against_the_base),
        cmocka_unit_test(tensors_are_checked_against_the_base),
        cmocka_unit_test(directory_is_checked),
        cmocka_unit_test(argument_is_a_directory_and_perhaps_a_scale),
        cmocka_unit_test(open_survives_every_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
