/* ward inspect as a program: what it prints, its JSON, its exit codes. */
#include "support/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "support/checkpoint.h"
#include "support/program.h"
#include "weights/inventory.h"

/* Qwen3-VL-8B as published. */
static const char vl_8b[] =
    "{\"architectures\":[\"Qwen3VLForConditionalGeneration\"],\"image_token_id\":151655,\"model_type\":"
    "\"qwen3_vl\","
    "\"text_config\":{\"attention_bias\":false,\"head_dim\":128,\"hidden_act\":\"silu\",\"hidden_size\":4096,"
    "\"intermediate_size\":12288,\"max_position_embeddings\":262144,\"model_type\":\"qwen3_vl_text\","
    "\"num_attention_heads\":32,\"num_hidden_layers\":36,\"num_key_value_heads\":8,\"rms_norm_eps\":1e-06,"
    "\"rope_scaling\":{\"mrope_interleaved\":true,\"mrope_section\":[24,20,20],\"rope_type\":\"default\"},"
    "\"rope_theta\":5000000,\"vocab_size\":151936},\"tie_word_embeddings\":false,\"video_token_id\":151656,"
    "\"vision_config\":{\"deepstack_visual_indexes\":[8,16,24],\"depth\":27,\"hidden_act\":\"gelu_pytorch_"
    "tanh\","
    "\"hidden_size\":1152,\"in_channels\":3,\"intermediate_size\":4304,\"model_type\":\"qwen3_vl\",\"num_"
    "heads\":16,"
    "\"num_position_embeddings\":2304,\"out_hidden_size\":4096,\"patch_size\":16,\"spatial_merge_size\":2,"
    "\"temporal_patch_size\":2},\"vision_end_token_id\":151653,\"vision_start_token_id\":151652}";

static void inspect(const char *model, const char *more, const char *value, test_output *o)
{
    const char *argv[] = { WARD_PROGRAM, "inspect", model, more, value, NULL };
    test_run(argv, o);
}

static json_t *said(const test_output *o)
{
    json_t *v;
    assert_ok(wd_json_parse(wd_buf_view(&o->out), "stdout", &v, &err)); /* one object, nothing after it */
    return v;
}

static json_int_t int_at(const json_t *v, const char *object, const char *key)
{
    if (object)
        v = json_object_get(v, object);
    const json_t *i = json_object_get(v, key);
    assert_true(json_is_integer(i));
    return json_integer_value(i);
}

static bool has(const wd_buf *b, const char *text)
{
    return strstr((const char *)b->p, text) != NULL;
}

/* All 750 tensors at their real size: a sparse file, its 16 GiB of zeros never written nor read. */
static bool write_sparse_8b(const char *dir, const char *leave_out)
{
    char path[1100];
    wd_model_config c;
    wd_inventory v;
    wd_buf head = { 0 };
    uint64_t at = 0;
    wd_arena *a = wd_arena_create(16u << 20, false);
    assert_ok(wd_config_parse(WD_SPAN_LIT(vl_8b), "c", &c, &err));
    assert_ok(wd_inventory_make(&c, WD_EXPERTS_SEPARATE, a, &v, &err));
    for (int i = 0; i < 8; i++)
        wd_buf_char(&head, 0);
    for (size_t i = 0; i < v.n; i++) {
        uint64_t bytes = 2;
        if (leave_out && !strcmp(v.tensor[i].name, leave_out))
            continue;
        wd_buf_printf(&head, "%s\"model.%s\":{\"dtype\":\"BF16\",\"shape\":[", at ? "," : "{",
                      v.tensor[i].name);
        for (uint32_t k = 0; k < v.tensor[i].n_dim; k++) {
            wd_buf_printf(&head, "%s%zu", k ? "," : "", v.tensor[i].dim[k]);
            bytes *= v.tensor[i].dim[k];
        }
        wd_buf_printf(&head, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at,
                      (unsigned long long)(at + bytes));
        at += bytes;
    }
    wd_buf_char(&head, '}');
    for (int i = 0; i < 8; i++)
        head.p[i] = (uint8_t)((uint64_t)(head.n - 8) >> (8 * i));
    test_write(dir, "model.safetensors", head.p, head.n);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    const bool room = truncate(path, (off_t)(head.n + at)) ==
                      0; /* a file system may have no place for holes */
    wd_buf_free(&head);
    wd_arena_destroy(a);
    return room;
}

static void qwen3_vl_8b_has_8767123696_parameters(void **state)
{
    (void)state;
    test_output o;
    char *dir = test_make_dir();
    test_write_text(dir, "config.json", vl_8b);
    if (!write_sparse_8b(dir, NULL)) {
        test_rm_dir(dir);
        skip();
    }
    inspect(dir, "--context", "32768", &o);
    assert_int_equal(o.exit_code, 0);
    assert_string_equal((char *)o.err.p, "");
    assert_true(has(&o.out, "parameters   8,767,123,696: text 8,190,735,360, vision 576,388,336\n"));
    assert_true(has(&o.out, "tensors      750 (BF16 750)\n"));
    assert_true(has(
        &o.out, "weights 16.33 GiB mapped + keys and values 4.50 GiB at 32768 tokens (bf16) = 20.83 GiB\n"));
    assert_true(has(&o.out, "missing tensors: 0\nextra tensors: 0\n"));
    test_output_free(&o);

    assert_true(write_sparse_8b(dir, "layers.7.mlp.up_proj.weight"));
    inspect(dir, NULL, NULL, &o);
    assert_int_equal(o.exit_code, 3);
    assert_true(has(&o.out, "missing tensors: 1\n  layers.7.mlp.up_proj.weight [12288, 4096]\n"));
    assert_true(has(&o.err, "tensor layers.7.mlp.up_proj.weight is missing"));
    test_output_free(&o);
    test_rm_dir(dir);
}

static void json_is_one_object_good_or_bad(void **state)
{
    (void)state;
    test_output o;
    inspect(GOLDEN_CHECKPOINTS "/vl-moe", "--json", "--digest", &o);
    assert_int_equal(o.exit_code, 0);
    json_t *v = said(&o);
    assert_string_equal(json_string_value(json_object_get(v, "architecture")), "qwen3_vl_moe");
    assert_int_equal(int_at(v, NULL, "tensors"), 145);
    assert_int_equal(int_at(v, "text", "layers"), 5);
    assert_int_equal(int_at(v, "vision", "blocks"), 5);
    assert_int_equal(int_at(v, "memory", "kv_bytes"), int_at(v, "memory", "context") * 5 * 2 * 32 * 2 * 2);
    assert_int_equal(json_string_length(json_object_get(v, "digest")), 64);
    assert_int_equal(json_array_size(json_object_get(v, "missing")), 0);
    assert_null(json_object_get(v, "error"));
    json_decref(v);
    test_output_free(&o);

    char *dir = test_make_dir(); /* the sharded copy's configuration over other tensors */
    static const test_tensor t[] = { { "model.norm.weight", "F32", { 95 } },
                                     { "model.odd.weight", "F32", { 2 } } };
    wd_buf config = { 0 };
    assert_ok(wd_file_read(GOLDEN_CHECKPOINTS "/text-untied/config.json", 1 << 20, &config, &err));
    test_write(dir, "config.json", config.p, config.n);
    wd_buf_free(&config);
    test_write_st(dir, "model.safetensors", t, 2);
    inspect(dir, "--json", NULL, &o);
    assert_int_equal(o.exit_code, 3);
    v = said(&o);
    assert_int_equal(json_array_size(json_object_get(v, "missing")), 57);
    assert_int_equal(json_array_size(json_object_get(v, "misshaped")), 1);
    assert_string_equal(json_string_value(json_array_get(json_object_get(v, "extra"), 0)),
                        "model.odd.weight");
    assert_non_null(
        strstr(json_string_value(json_object_get(json_object_get(v, "error"), "message")), "is missing"));
    json_decref(v);
    test_output_free(&o);
    test_rm_dir(dir);
}

static void fp8_without_scales_cannot_be_run(void **state)
{
    (void)state;
    static const char config[] =
        "{\"model_type\":\"qwen3\",\"vocab_size\":4,\"hidden_size\":4,\"intermediate_size\":4,"
        "\"num_hidden_layers\":1,\"num_attention_heads\":1,\"num_key_value_heads\":1,"
        "\"head_dim\":4,\"rope_theta\":1e4,\"max_position_embeddings\":8,"
        "\"tie_word_embeddings\":true}";
    test_tensor t[16] = { 0 };
    test_output o;
    wd_model_config c;
    wd_inventory v;
    wd_arena *a = wd_arena_create(1u << 20, false);
    char *dir = test_make_dir();
    assert_ok(wd_config_parse(WD_SPAN_LIT(config), "c", &c, &err));
    assert_ok(wd_inventory_make(&c, WD_EXPERTS_SEPARATE, a, &v, &err));
    assert_true(v.n <= WD_COUNT(t));
    for (size_t i = 0; i < v.n; i++) {
        t[i].name = v.tensor[i].name;
        t[i].dtype = strstr(t[i].name, "gate_proj") ? "F8_E4M3" : "BF16";
        memcpy(t[i].dim, v.tensor[i].dim, sizeof t[i].dim);
    }
    test_write_text(dir, "config.json", config);
    test_write_st(dir, "model.safetensors", t, v.n);
    inspect(dir, NULL, NULL, &o);
    assert_int_equal(o.exit_code, 3);
    assert_true(has(&o.err, "tensor layers.0.mlp.gate_proj.weight is F8_E4M3 and has no "
                            "layers.0.mlp.gate_proj.weight_scale_inv"));
    test_output_free(&o);
    wd_arena_destroy(a);
    test_rm_dir(dir);
}

static void bad_input_is_one_sentence_and_exit_3(void **state)
{
    (void)state;
    test_output o;
    inspect("/nonexistent/model", NULL, NULL, &o);
    assert_int_equal(o.exit_code, 3);
    assert_true(has(&o.err, "ward: /nonexistent/model/config.json: cannot open"));
    assert_string_equal((char *)o.out.p, "");
    test_output_free(&o);
    inspect("/nonexistent/model", "--json", NULL, &o);
    assert_int_equal(o.exit_code, 3);
    json_t *v = said(&o);
    assert_string_equal(json_string_value(json_object_get(json_object_get(v, "error"), "code")), "not_found");
    json_decref(v);
    test_output_free(&o);
    inspect("a", "b", NULL, &o);
    assert_int_equal(o.exit_code, 2);
    test_output_free(&o);
    inspect(GOLDEN_CHECKPOINTS "/text-tied", "--lora", "/nonexistent/adapter", &o);
    assert_int_equal(o.exit_code, 3);
    assert_true(has(&o.err, "expected a directory with a LoRA adapter, there is none"));
    test_output_free(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qwen3_vl_8b_has_8767123696_parameters),
        cmocka_unit_test(json_is_one_object_good_or_bad),
        cmocka_unit_test(fp8_without_scales_cannot_be_run),
        cmocka_unit_test(bad_input_is_one_sentence_and_exit_3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
