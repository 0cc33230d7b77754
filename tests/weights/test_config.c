/* config.json and generation_config.json: both generations, and the sentence for every value that is not read. */
#include "support/test.h"

#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "support/checkpoint.h"
#include "weights/config.h"

/* As published for Qwen3-VL-8B by the fourth library generation. */
static const char vl_8b[] =
    "{\"architectures\":[\"Qwen3VLForConditionalGeneration\"],\"image_token_id\":151655,\"model_type\":"
    "\"qwen3_vl\","
    "\"text_config\":{\"attention_bias\":false,\"attention_dropout\":0.0,\"bos_token_id\":151643,\"dtype\":"
    "\"bfloat16\","
    "\"eos_token_id\":151645,\"head_dim\":128,\"hidden_act\":\"silu\",\"hidden_size\":4096,\"initializer_"
    "range\":0.02,"
    "\"intermediate_size\":12288,\"max_position_embeddings\":262144,\"model_type\":\"qwen3_vl_text\","
    "\"num_attention_heads\":32,\"num_hidden_layers\":36,\"num_key_value_heads\":8,\"rms_norm_eps\":1e-06,"
    "\"rope_scaling\":{\"mrope_interleaved\":true,\"mrope_section\":[24,20,20],\"rope_type\":\"default\"},"
    "\"rope_theta\":5000000,\"use_cache\":true,\"vocab_size\":151936},"
    "\"tie_word_embeddings\":false,\"transformers_version\":\"4.57.0.dev0\",\"video_token_id\":151656,"
    "\"vision_config\":{\"deepstack_visual_indexes\":[8,16,24],\"depth\":27,\"hidden_act\":\"gelu_pytorch_"
    "tanh\","
    "\"hidden_size\":1152,\"in_channels\":3,\"initializer_range\":0.02,\"intermediate_size\":4304,"
    "\"model_type\":\"qwen3_vl\",\"num_heads\":16,\"num_position_embeddings\":2304,\"out_hidden_size\":4096,"
    "\"patch_size\":16,\"spatial_merge_size\":2,\"temporal_patch_size\":2},"
    "\"vision_end_token_id\":151653,\"vision_start_token_id\":151652}";

static const char text_06b[] =
    "{\"architectures\":[\"Qwen3ForCausalLM\"],\"attention_bias\":false,\"attention_dropout\":0.0,"
    "\"bos_token_id\":151643,\"eos_token_id\":151645,\"head_dim\":128,\"hidden_act\":\"silu\",\"hidden_"
    "size\":1024,"
    "\"initializer_range\":0.02,\"intermediate_size\":3072,\"max_position_embeddings\":40960,\"max_window_"
    "layers\":28,"
    "\"model_type\":\"qwen3\",\"num_attention_heads\":16,\"num_hidden_layers\":28,\"num_key_value_heads\":8,"
    "\"rms_norm_eps\":1e-06,\"rope_scaling\":null,\"rope_theta\":1000000,\"sliding_window\":null,"
    "\"tie_word_embeddings\":true,\"torch_dtype\":\"bfloat16\",\"use_cache\":true,\"use_sliding_window\":"
    "false,"
    "\"vocab_size\":151936}";

static const char moe_30b[] =
    "{\"architectures\":[\"Qwen3MoeForCausalLM\"],\"attention_bias\":false,\"bos_token_id\":151643,"
    "\"decoder_sparse_step\":1,\"eos_token_id\":151645,\"head_dim\":128,\"hidden_act\":\"silu\",\"hidden_"
    "size\":2048,"
    "\"intermediate_size\":6144,\"max_position_embeddings\":40960,\"mlp_only_layers\":[],\"model_type\":"
    "\"qwen3_moe\","
    "\"moe_intermediate_size\":768,\"norm_topk_prob\":true,\"num_attention_heads\":32,\"num_experts\":128,"
    "\"num_experts_per_tok\":8,\"num_hidden_layers\":48,\"num_key_value_heads\":4,\"rms_norm_eps\":1e-06,"
    "\"rope_theta\":1000000.0,\"tie_word_embeddings\":false,\"vocab_size\":151936}";

/* base with the member at "a.b.c" set to the JSON text `value`, or removed when it is NULL. Caller frees. */
static void edit(const char *base, const char *path, const char *value, wd_buf *out)
{
    json_t *doc, *v = NULL;
    char key[64];
    assert_ok(wd_json_parse(wd_span_str(base), "base", &doc, &err));
    json_t *o = doc;
    for (const char *dot; (dot = strchr(path, '.')); path = dot + 1) {
        snprintf(key, sizeof key, "%.*s", (int)(dot - path), path);
        if (!json_is_object(json_object_get(o, key)))
            assert_int_equal(json_object_set_new(o, key, json_object()), 0);
        o = json_object_get(o, key);
    }
    if (value)
        assert_ok(wd_json_parse(wd_span_str(value), "value", &v, &err));
    assert_int_equal(value ? json_object_set_new(o, path, v) : json_object_del(o, path), 0);
    assert_ok(wd_json_write(doc, JSON_COMPACT, out, &err));
    json_decref(doc);
}

static void read_edited(const char *base, const char *path, const char *value, wd_model_config *c)
{
    wd_buf b = { 0 };
    edit(base, path, value, &b);
    assert_ok(wd_config_parse(wd_buf_view(&b), "c", c, &err));
    wd_buf_free(&b);
}

static void refuse(const char *base, const char *path, const char *value, wd_status code, const char *part)
{
    wd_buf b = { 0 };
    wd_model_config c, before;
    memset(&c, 0x5a, sizeof c);
    before = c;
    edit(base, path, value, &b);
    assert_fails(wd_config_parse(wd_buf_view(&b), "config.json", &c, &err), code, part);
    assert_memory_equal(&c, &before, sizeof c); /* untouched on failure */
    wd_buf_free(&b);
}

static void published_vl_file_is_read_whole(void **state)
{
    (void)state;
    wd_model_config c;
    assert_ok(wd_config_parse(WD_SPAN_LIT(vl_8b), "c", &c, &err));
    assert_int_equal(c.arch, WD_ARCH_QWEN3_VL);
    assert_string_equal(wd_arch_name(c.arch), "qwen3_vl");
    assert_int_equal(c.text.n_vocab, 151936);
    assert_int_equal(c.text.n_embd, 4096);
    assert_int_equal(c.text.n_ff, 12288);
    assert_int_equal(c.text.n_layer, 36);
    assert_int_equal(c.text.n_head, 32);
    assert_int_equal(c.text.n_kv_head, 8);
    assert_int_equal(c.text.head_dim, 128);
    assert_int_equal(c.text.max_pos, 262144);
    assert_true(c.text.rms_eps == 1e-6f);
    assert_false(c.text.tied);
    assert_true(c.text.rope.theta == 5e6);
    assert_false(c.text.rope.yarn);
    assert_true(c.text.rope.mrope);
    assert_int_equal(c.text.rope.mrope_section[0], 24);
    assert_int_equal(c.text.rope.mrope_section[2], 20);
    assert_int_equal(c.text.n_expert, 0);
    assert_true(c.has_vision);
    assert_int_equal(c.vision.depth, 27);
    assert_int_equal(c.vision.n_embd, 1152);
    assert_int_equal(c.vision.n_head, 16);
    assert_int_equal(c.vision.n_ff, 4304);
    assert_int_equal(c.vision.n_pos, 2304);
    assert_int_equal(c.vision.n_out, 4096);
    assert_int_equal(c.vision.n_deepstack, 3);
    assert_int_equal(c.vision.deepstack[2], 24);
    assert_int_equal(c.image_token, 151655);
    assert_int_equal(c.vision_end_token, 151653);
    assert_false(c.fp8);
    assert_int_equal(c.n_stop, 2); /* <|im_end|> and <|endoftext|> even without generation_config.json */
    assert_int_equal(c.stop[0], 151645);
    assert_int_equal(c.stop[1], 151643);
}

static void published_text_files_are_read(void **state)
{
    (void)state;
    wd_model_config c;
    assert_ok(wd_config_parse(WD_SPAN_LIT(text_06b), "c", &c, &err));
    assert_int_equal(c.arch, WD_ARCH_QWEN3);
    assert_int_equal(c.text.head_dim, 128); /* and not 1024 / 16 */
    assert_true(c.text.tied);
    assert_false(c.text.rope.mrope);
    assert_false(c.has_vision);
    assert_ok(wd_config_parse(WD_SPAN_LIT(moe_30b), "c", &c, &err));
    assert_int_equal(c.arch, WD_ARCH_QWEN3_MOE);
    assert_int_equal(c.text.n_expert, 128);
    assert_int_equal(c.text.n_expert_used, 8);
    assert_int_equal(c.text.n_ff_expert, 768);
    assert_true(c.text.norm_topk_prob);
    assert_true(c.text.sparse[0] && c.text.sparse[47]);
}

static void fifth_generation_spelling_means_the_same(void **state)
{
    (void)state;
    wd_model_config c;
    wd_buf b = { 0 };
    edit(vl_8b, "text_config.rope_theta", NULL, &b);
    wd_buf more = { 0 };
    edit((const char *)b.p, "text_config.rope_scaling", NULL, &more);
    wd_buf_clear(&b);
    edit((const char *)more.p, "text_config.rope_parameters",
         "{\"rope_theta\":4000000,\"rope_type\":\"default\",\"mrope_section\":[32,16,16],\"mrope_"
         "interleaved\":true}",
         &b);
    wd_buf_clear(&more);
    edit((const char *)b.p, "vision_config.rope_parameters",
         "{\"rope_theta\":10000.0,\"rope_type\":\"axial\"}", &more);
    wd_buf_clear(&b);
    edit((const char *)more.p, "vision_config.model_type", "\"qwen3_vl_vision\"", &b);
    assert_ok(wd_config_parse(wd_buf_view(&b), "c", &c, &err));
    assert_true(c.text.rope.theta == 4e6);
    assert_int_equal(c.text.rope.mrope_section[0], 32);
    wd_buf_free(&b);
    wd_buf_free(&more);

    read_edited(text_06b, "rope_parameters", "{\"rope_theta\":2e6,\"rope_type\":\"default\"}", &c);
    assert_true(c.text.rope.theta == 2e6); /* the merged object rules */
    edit(moe_30b, "num_local_experts", "64", &b);
    read_edited((const char *)b.p, "num_experts", NULL, &c);
    assert_int_equal(c.text.n_expert, 64);
    wd_buf_free(&b);
}

static void tied_head_follows_the_top_level(void **state)
{
    (void)state;
    wd_model_config c;
    read_edited(vl_8b, "text_config.tie_word_embeddings", "true", &c);
    assert_false(c.text.tied);
    read_edited(vl_8b, "tie_word_embeddings", "true", &c);
    assert_true(c.text.tied);
    wd_buf b = { 0 };
    edit(vl_8b, "text_config.tie_word_embeddings", "true", &b);
    read_edited((const char *)b.p, "tie_word_embeddings", NULL, &c);
    assert_true(c.text.tied); /* nothing above: its own word counts */
    wd_buf_free(&b);
    read_edited(text_06b, "tie_word_embeddings", NULL, &c);
    assert_false(c.text.tied);
}

static void yarn_is_read_with_its_defaults(void **state)
{
    (void)state;
    wd_model_config c;
    read_edited(text_06b, "rope_scaling",
                "{\"type\":\"yarn\",\"factor\":4.0,\"original_max_position_embeddings\":32768}", &c);
    const wd_rope_config *r = &c.text.rope;
    assert_true(r->yarn);
    assert_true(r->yarn_factor == 4); /* as written, not 40960 / 32768 */
    assert_int_equal(r->yarn_original_max_pos, 32768);
    assert_true(r->yarn_beta_fast == 32 && r->yarn_beta_slow == 1 && r->yarn_truncate);
    assert_true(fabs(r->yarn_attention_factor - 1.138629436) < 1e-8);
    read_edited(
        vl_8b, "text_config.rope_scaling",
        "{\"rope_type\":\"yarn\",\"factor\":3,\"original_max_position_embeddings\":262144,"
        "\"mrope_section\":[24,20,20],\"mrope_interleaved\":true,\"truncate\":false,\"beta_fast\":16}",
        &c);
    assert_true(r->mrope && r->yarn && !r->yarn_truncate && r->yarn_beta_fast == 16);
    assert_true(fabs(r->yarn_attention_factor - 1.109861229) < 1e-8);
    read_edited(text_06b, "rope_scaling", "{\"rope_type\":\"yarn\",\"factor\":2,\"attention_factor\":1.5}",
                &c);
    assert_int_equal(r->yarn_original_max_pos, 40960);
    assert_true(r->yarn_attention_factor == 1.5);
    read_edited(text_06b, "rope_scaling", "{\"rope_type\":\"yarn\",\"factor\":1}", &c);
    assert_true(r->yarn_attention_factor == 1);
    read_edited(text_06b, "rope_scaling",
                "{\"rope_type\":\"yarn\",\"factor\":4,\"mscale\":0.5,\"mscale_all_dim\":1}", &c);
    assert_true(fabs(r->yarn_attention_factor - (0.05 * log(4) + 1) / (0.1 * log(4) + 1)) < 1e-12);
}

static void sparse_layers_follow_step_and_list(void **state)
{
    (void)state;
    wd_model_config c;
    wd_buf b = { 0 };
    edit(moe_30b, "decoder_sparse_step", "2", &b);
    read_edited((const char *)b.p, "mlp_only_layers", "[1,46]", &c);
    assert_false(c.text.sparse[0]); /* (0 + 1) mod 2 */
    assert_false(c.text.sparse[1]); /* listed */
    assert_true(c.text.sparse[3]);
    assert_true(c.text.sparse[47]);
    wd_buf_free(&b);
    edit(moe_30b, "mlp_only_layers", "[0]", &b);
    refuse((const char *)b.p, "intermediate_size", NULL, WD_E_INVALID, "intermediate_size is missing");
    wd_buf_free(&b);
    read_edited(moe_30b, "intermediate_size", NULL, &c); /* unused: every layer is sparse */
    assert_int_equal(c.text.n_ff, 0);
    read_edited(moe_30b, "norm_topk_prob", "false", &c);
    assert_false(c.text.norm_topk_prob);
}

static void text_values_are_checked(void **state)
{
    (void)state;
    refuse(text_06b, "model_type", "\"llama\"", WD_E_UNSUPPORTED,
           "config.json: model_type \"llama\" is unknown");
    refuse(text_06b, "model_type", NULL, WD_E_INVALID, "config.json: model_type is missing");
    refuse(text_06b, "vocab_size", NULL, WD_E_INVALID, "vocab_size is missing");
    refuse(text_06b, "vocab_size", "0", WD_E_INVALID, "vocab_size is 0, expected 1 to");
    refuse(text_06b, "hidden_size", "-1024", WD_E_INVALID, "hidden_size is -1024");
    refuse(text_06b, "hidden_size", "1e3", WD_E_INVALID, "hidden_size is a number, expected an integer");
    refuse(text_06b, "num_hidden_layers", "257", WD_E_INVALID, "num_hidden_layers is 257, expected 1 to 256");
    refuse(text_06b, "num_attention_heads", "4294967312", WD_E_INVALID, "num_attention_heads is 4294967312");
    refuse(text_06b, "num_key_value_heads", "3", WD_E_INVALID,
           "num_attention_heads 16 is not a multiple of num_key_value_heads 3");
    refuse(text_06b, "num_key_value_heads", "0", WD_E_INVALID, "num_key_value_heads is 0");
    refuse(text_06b, "head_dim", "127", WD_E_INVALID, "head_dim 127 is odd");
    refuse(text_06b, "intermediate_size", "\"big\"", WD_E_INVALID, "intermediate_size is a string");
    refuse(text_06b, "max_position_embeddings", "0", WD_E_INVALID, "max_position_embeddings is 0");
    refuse(text_06b, "rms_norm_eps", "0", WD_E_INVALID, "rms_norm_eps is 0");
    refuse(text_06b, "hidden_act", "\"gelu\"", WD_E_UNSUPPORTED, "hidden_act is \"gelu\", only \"silu\"");
    refuse(text_06b, "use_sliding_window", "true", WD_E_UNSUPPORTED, "use_sliding_window is true");
    refuse(text_06b, "layer_types", "[\"full_attention\",\"sliding_attention\"]", WD_E_UNSUPPORTED,
           "layer_types[1] is \"sliding_attention\"");
    refuse(text_06b, "tie_word_embeddings", "1", WD_E_INVALID, "tie_word_embeddings is an integer");
    refuse(text_06b, "eos_token_id", "151936", WD_E_INVALID,
           "eos_token_id must be token ids from 0 to 151935");
    refuse(moe_30b, "num_experts", NULL, WD_E_INVALID, "num_local_experts is missing");
    refuse(moe_30b, "num_experts_per_tok", "129", WD_E_INVALID,
           "num_experts_per_tok is 129, expected 1 to 128");
    refuse(moe_30b, "moe_intermediate_size", "0", WD_E_INVALID, "moe_intermediate_size is 0");
    refuse(moe_30b, "decoder_sparse_step", "0", WD_E_INVALID, "decoder_sparse_step is 0");
    refuse(moe_30b, "mlp_only_layers", "[48]", WD_E_INVALID,
           "mlp_only_layers[0] is not a layer from 0 to 47");
}

static void rope_values_are_checked(void **state)
{
    (void)state;
    refuse(text_06b, "rope_theta", NULL, WD_E_INVALID, "config.json: rope_theta is missing");
    refuse(vl_8b, "text_config.rope_theta", NULL, WD_E_INVALID,
           "config.json: text_config: rope_theta is missing");
    refuse(text_06b, "rope_theta", "1", WD_E_INVALID, "rope_theta is 1, expected 2 to");
    refuse(text_06b, "rope_theta", "\"1e6\"", WD_E_INVALID, "rope_theta is a string, expected a number");
    refuse(text_06b, "rope_scaling", "{\"type\":\"dynamic\",\"factor\":2}", WD_E_UNSUPPORTED,
           "config.json: rope_scaling: rope type \"dynamic\" is unknown, expected \"default\" or \"yarn\"");
    refuse(text_06b, "rope_scaling", "[]", WD_E_INVALID, "rope_scaling is an array");
    refuse(text_06b, "rope_scaling", "{\"partial_rotary_factor\":0.5}", WD_E_UNSUPPORTED,
           "partial_rotary_factor is 0.5");
    refuse(text_06b, "rope_scaling", "{\"type\":\"yarn\"}", WD_E_INVALID, "YaRN needs a number for factor");
    refuse(text_06b, "rope_scaling", "{\"type\":\"yarn\",\"factor\":0.5}", WD_E_INVALID, "factor is 0.5");
    refuse(text_06b, "rope_scaling", "{\"type\":\"yarn\",\"factor\":2,\"attention_factor\":0}", WD_E_INVALID,
           "attention_factor is 0");
    refuse(text_06b, "rope_scaling", "{\"type\":\"yarn\",\"factor\":2,\"beta_fast\":0.5}", WD_E_INVALID,
           "beta_fast 0.5 is below beta_slow 1");
    refuse(text_06b, "rope_scaling",
           "{\"type\":\"yarn\",\"factor\":2,\"original_max_position_embeddings\":0}", WD_E_INVALID,
           "original_max_position_embeddings is 0");
    refuse(vl_8b, "text_config.rope_scaling.mrope_section", "[24,20]", WD_E_INVALID,
           "mrope_section has 2 numbers");
    refuse(vl_8b, "text_config.rope_scaling.mrope_section", "[24,20,21]", WD_E_INVALID,
           "mrope_section [24, 20, 21] must add up to half of head_dim 128");
    refuse(vl_8b, "text_config.rope_scaling.mrope_section", "[84,-20,0]", WD_E_INVALID,
           "mrope_section[1] is not");
    refuse(vl_8b, "text_config.rope_scaling.mrope_interleaved", "false", WD_E_UNSUPPORTED,
           "mrope_interleaved is false");
    refuse(vl_8b, "text_config.head_dim", "64", WD_E_INVALID, "must add up to half of head_dim 64");
}

static void vision_values_are_checked(void **state)
{
    (void)state;
    refuse(vl_8b, "vision_config", NULL, WD_E_INVALID, "config.json: vision_config is missing");
    refuse(vl_8b, "text_config", "null", WD_E_INVALID, "config.json: text_config is missing");
    refuse(vl_8b, "text_config.model_type", "\"qwen2\"", WD_E_UNSUPPORTED,
           "text_config: model_type \"qwen2\" is unknown, expected \"qwen3_vl_text\"");
    refuse(vl_8b, "vision_config.model_type", "\"clip\"", WD_E_UNSUPPORTED,
           "vision_config: model_type \"clip\"");
    refuse(vl_8b, "vision_config.depth", "0", WD_E_INVALID, "vision_config: depth is 0");
    refuse(vl_8b, "vision_config.num_heads", "17", WD_E_INVALID,
           "hidden_size 1152 is not num_heads 17 times");
    refuse(vl_8b, "vision_config.num_heads", "192", WD_E_INVALID, "times a multiple of 4");
    refuse(vl_8b, "vision_config.hidden_act", "\"gelu\"", WD_E_UNSUPPORTED, "hidden_act is \"gelu\"");
    refuse(vl_8b, "vision_config.in_channels", "1", WD_E_UNSUPPORTED, "in_channels is 1");
    refuse(vl_8b, "vision_config.num_position_embeddings", "2305", WD_E_INVALID, "2305 is not a square");
    refuse(vl_8b, "vision_config.out_hidden_size", "3584", WD_E_INVALID,
           "out_hidden_size 3584 differs from the text hidden_size 4096");
    refuse(vl_8b, "vision_config.deepstack_visual_indexes", NULL, WD_E_INVALID,
           "deepstack_visual_indexes is missing");
    refuse(vl_8b, "vision_config.deepstack_visual_indexes", "[8,8]", WD_E_INVALID,
           "deepstack_visual_indexes[1] must be");
    refuse(vl_8b, "vision_config.deepstack_visual_indexes", "[27]", WD_E_INVALID,
           "deepstack_visual_indexes[0] must be");
    refuse(vl_8b, "vision_config.deepstack_visual_indexes", "[0,1,2,3,4,5,6,7,8]", WD_E_INVALID,
           "has 9 entries");
    refuse(vl_8b, "vision_config.interpolation_align_corners", "false", WD_E_UNSUPPORTED,
           "interpolation_align_corners");
    refuse(vl_8b, "vision_config.rope_parameters", "{\"rope_theta\":5000}", WD_E_UNSUPPORTED,
           "rope_theta is 5000");
    refuse(vl_8b, "image_token_id", "151936", WD_E_INVALID, "image_token_id is 151936, expected 0 to 151935");
    refuse(vl_8b, "image_token_id", "151656", WD_E_INVALID,
           "image_token_id and video_token_id are both 151656");
    refuse(vl_8b, "vision_start_token_id", NULL, WD_E_INVALID, "vision_start_token_id is missing");
}

static void quantisation_is_of_a_known_kind_or_an_error(void **state)
{
    (void)state;
    wd_model_config c;
    read_edited(vl_8b, "quantization_config",
                "{\"quant_method\":\"fp8\",\"fmt\":\"e4m3\",\"activation_scheme\":\"dynamic\","
                "\"weight_block_size\":[128,128],\"modules_to_not_convert\":[\"lm_head\"]}",
                &c);
    assert_true(c.fp8);
    assert_true(c.packing == WD_PACKING_NONE && c.quant_bits == 0);
    read_edited(text_06b, "quantization_config",
                "{\"quant_method\":\"gptq\",\"bits\":8,\"group_size\":-1,\"desc_act\":true}", &c);
    assert_true(c.packing == WD_PACKING_GPTQ && c.packed_bits == 8 && c.packed_group == 0);
    read_edited(text_06b, "quantization_config",
                "{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":128,\"checkpoint_format\":\"gptq_v2\"}",
                &c);
    assert_true(c.packing == WD_PACKING_GPTQ_V2 && c.packed_bits == 4 && c.packed_group == 128);
    read_edited(text_06b, "quantization_config",
                "{\"quant_method\":\"awq\",\"bits\":4,\"group_size\":64,\"version\":\"gemm\"}", &c);
    assert_true(c.packing == WD_PACKING_AWQ && c.packed_group == 64);
    read_edited(text_06b, "quantization_config", "{\"quant_method\":\"ward\",\"version\":1,\"bits\":4}", &c);
    assert_true(c.quant_bits == 4 && c.packing == WD_PACKING_NONE);
    static const struct {
        const char *value;
        wd_status code;
        const char *part;
    } bad[] = {
        { "{\"quant_method\":\"bitnet\"}", WD_E_UNSUPPORTED,
          "config.json: quantization_config: quant_method \"bitnet\" is unknown, expected \"fp8\"" },
        { "{\"quant_method\":\"gptq\",\"bits\":4}", WD_E_INVALID, "group_size is missing" },
        { "{\"quant_method\":\"gptq\",\"bits\":5,\"group_size\":128}", WD_E_UNSUPPORTED, "bits is 5" },
        { "{\"quant_method\":\"awq\",\"bits\":8,\"group_size\":128}", WD_E_UNSUPPORTED,
          "bits is 8, expected 4" },
        { "{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":0}", WD_E_UNSUPPORTED, "group_size is 0" },
        { "{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":128,\"checkpoint_format\":\"marlin\"}",
          WD_E_UNSUPPORTED, "\"marlin\" is unknown" },
        { "{\"quant_method\":\"awq\",\"bits\":4,\"group_size\":128,\"version\":\"gemv\"}", WD_E_UNSUPPORTED,
          "\"gemv\" is unknown" },
        { "{\"quant_method\":\"ward\",\"version\":2,\"bits\":8}", WD_E_UNSUPPORTED, "version 2" },
        { "{\"quant_method\":\"ward\",\"version\":1,\"bits\":6}", WD_E_INVALID,
          "bits is 6, expected 4 or 8" },
        { "{\"quant_method\":\"ward\",\"bits\":8}", WD_E_INVALID, "version is missing" },
    };
    for (size_t i = 0; i < WD_COUNT(bad); i++)
        refuse(text_06b, "quantization_config", bad[i].value, bad[i].code, bad[i].part);
    refuse(text_06b, "quantization_config", "{}", WD_E_INVALID, "quant_method is missing");
    refuse(text_06b, "quantization_config", "{\"quant_method\":\"fp8\"}", WD_E_UNSUPPORTED,
           "weight_block_size must be");
    refuse(text_06b, "quantization_config", "{\"quant_method\":\"fp8\",\"weight_block_size\":[64,128]}",
           WD_E_UNSUPPORTED, "weight_block_size must be [128, 128]");
    refuse(text_06b, "quantization_config",
           "{\"quant_method\":\"fp8\",\"fmt\":\"e5m2\",\"weight_block_size\":[128,128]}", WD_E_UNSUPPORTED,
           "fmt is \"e5m2\"");
}

static wd_status generation(const char *text, wd_model_config *c, wd_err *err)
{
    WD_TRY(wd_config_parse(WD_SPAN_LIT(text_06b), "c", c, err));
    return wd_config_parse_generation(wd_span_str(text), "generation_config.json", c, err);
}

static void generation_config_changes_the_defaults(void **state)
{
    (void)state;
    wd_model_config c;
    assert_ok(
        generation("{\"bos_token_id\":151643,\"do_sample\":true,\"eos_token_id\":[151645,151643,151645],"
                   "\"pad_token_id\":151643,\"temperature\":0.6,\"top_k\":20,\"top_p\":0.95,"
                   "\"repetition_penalty\":1.05,\"transformers_version\":\"4.51.0\"}",
                   &c, &err));
    assert_true(c.do_sample);
    assert_true(c.temperature == 0.6 && c.top_p == 0.95 && c.top_k == 20 && c.repetition_penalty == 1.05);
    assert_int_equal(c.n_stop, 2);
    assert_ok(generation("{\"eos_token_id\":7}", &c, &err));
    assert_int_equal(c.n_stop, 1);
    assert_int_equal(c.stop[0], 7);
    assert_ok(generation("{}", &c, &err));
    assert_int_equal(c.n_stop, 2);
    assert_false(c.do_sample);
    assert_fails(generation("[]", &c, &err), WD_E_CORRUPT, "generation_config.json: not a JSON object");
    assert_fails(generation("{\"temperature\":-1}", &c, &err), WD_E_INVALID, "temperature is -1");
    assert_fails(generation("{\"top_p\":1.5}", &c, &err), WD_E_INVALID, "top_p is 1.5");
    assert_fails(generation("{\"top_k\":-1}", &c, &err), WD_E_INVALID, "top_k is -1");
    assert_fails(generation("{\"eos_token_id\":[\"x\"]}", &c, &err), WD_E_INVALID,
                 "eos_token_id must be token ids");
    assert_fails(generation("{\"eos_token_id\":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}", &c, &err),
                 WD_E_LIMIT, "eos_token_id has more than 16 ids");
}

static void files_are_read_from_the_directory(void **state)
{
    (void)state;
    wd_model_config c;
    char *dir = test_make_dir();
    assert_fails(wd_config_read(dir, &c, &err), WD_E_NOT_FOUND, "config.json: cannot open");
    test_write(dir, "config.json", "", 0);
    assert_fails(wd_config_read(dir, &c, &err), WD_E_CORRUPT, "config.json: not valid JSON");
    test_write(dir, "config.json", "[]", 2);
    assert_fails(wd_config_read(dir, &c, &err), WD_E_CORRUPT, "config.json: not a JSON object");
    test_write(dir, "config.json", text_06b, strlen(text_06b));
    assert_ok(wd_config_read(dir, &c, &err));
    assert_true(c.temperature == 1);
    test_write(dir, "generation_config.json", "{\"temperature\":0.5}", 19);
    assert_ok(wd_config_read(dir, &c, &err));
    assert_true(c.temperature == 0.5);
    test_write(dir, "generation_config.json", "{", 1);
    assert_fails(wd_config_read(dir, &c, &err), WD_E_CORRUPT, "generation_config.json: not valid JSON");
    test_rm_dir(dir);
}

static void reading_survives_every_failure(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    test_write(dir, "config.json", vl_8b, strlen(vl_8b));
    test_write_text(dir, "generation_config.json", "{\"eos_token_id\":[151645,151643]}");
    for (uint64_t n = 1;; n++) {
        wd_model_config c;
        wd_err err = { 0 };
        wd_inject_failure(n);
        const wd_status st = wd_config_read(dir, &c, &err);
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
        cmocka_unit_test(published_vl_file_is_read_whole),
        cmocka_unit_test(published_text_files_are_read),
        cmocka_unit_test(fifth_generation_spelling_means_the_same),
        cmocka_unit_test(tied_head_follows_the_top_level),
        cmocka_unit_test(yarn_is_read_with_its_defaults),
        cmocka_unit_test(sparse_layers_follow_step_and_list),
        cmocka_unit_test(text_values_are_checked),
        cmocka_unit_test(rope_values_are_checked),
        cmocka_unit_test(vision_values_are_checked),
        cmocka_unit_test(quantisation_is_of_a_known_kind_or_an_error),
        cmocka_unit_test(generation_config_changes_the_defaults),
        cmocka_unit_test(files_are_read_from_the_directory),
        cmocka_unit_test(reading_survives_every_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
