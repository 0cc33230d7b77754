/* config.json and generation_config.json of the family.
 *
 * Both spellings in the wild are read: files of the fourth library generation carry rope_theta and
 * rope_scaling, the fifth merges them into rope_parameters and says num_local_experts for num_experts. A
 * value that would change the numbers and that the forward pass does not know is refused, never skipped.
 */
#include "weights/config.h"

#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

#define CONFIG_MAX ((size_t)4 << 20)
#define WHERE_MAX 400

/* Bounds of what one file may ask for: far above every published model, far below any overflow. */
#define MAX_VOCAB (1 << 24)
#define MAX_EMBD (1 << 16)
#define MAX_FF (1 << 20)
#define MAX_HEADS 1024
#define MAX_HEAD_DIM 1024
#define MAX_POS (1 << 26)
#define MAX_EXPERTS 4096

/* Ends of text of the family, for files that name none: <|im_end|>, <|endoftext|>. */
#define ID_IM_END 151645
#define ID_ENDOFTEXT 151643

static const struct {
    const char *name, *text, *vision[4];
} arch_names[] = {
    [WD_ARCH_QWEN3] = { "qwen3", NULL, { NULL } },
    [WD_ARCH_QWEN3_MOE] = { "qwen3_moe", NULL, { NULL } },
    [WD_ARCH_QWEN3_VL] = { "qwen3_vl", "qwen3_vl_text", { "qwen3_vl", "qwen3_vl_vision" } },
    [WD_ARCH_QWEN3_VL_MOE] = { "qwen3_vl_moe",
                               "qwen3_vl_moe_text",
                               { "qwen3_vl_moe", "qwen3_vl_moe_vision", "qwen3_vl", "qwen3_vl_vision" } },
};

const char *wd_arch_name(wd_arch a)
{
    return arch_names[a].name;
}

static wd_status need_u32(const json_t *o, const char *where, const char *key, int64_t min, int64_t max,
                          uint32_t *out, wd_err *err)
{
    int64_t v;
    WD_TRY(wd_json_need_int(o, where, key, min, max, &v, err));
    *out = (uint32_t)v;
    return WD_OK;
}

static wd_status opt_u32(const json_t *o, const char *where, const char *key, int64_t min, int64_t max,
                         uint32_t def, uint32_t *out, wd_err *err)
{
    int64_t v;
    WD_TRY(wd_json_int(o, where, key, min, max, def, &v, err));
    *out = (uint32_t)v;
    return WD_OK;
}

/* A string that has one value we can compute, which is also what absence means. */
static wd_status only_str(const json_t *o, const char *where, const char *key, const char *only, wd_err *err)
{
    const char *v;
    WD_TRY(wd_json_str(o, where, key, &v, err));
    if (v && strcmp(v, only) != 0)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: %s is \"%.64s\", only \"%s\" is supported", where, key, v,
                       only);
    return WD_OK;
}

static wd_status only_bool(const json_t *o, const char *where, const char *key, bool only, wd_err *err)
{
    bool v;
    WD_TRY(wd_json_bool(o, where, key, only, &v, err));
    if (v != only)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: %s is %s, only %s is supported", where, key,
                       v ? "true" : "false", only ? "true" : "false");
    return WD_OK;
}

static wd_status parse_yarn(const json_t *o, const char *where, uint32_t max_pos, wd_rope_config *r,
                            wd_err *err)
{
    double mscale, mscale_all;
    if (!json_is_number(json_object_get(o, "factor")))
        return WD_FAIL(err, WD_E_INVALID, "%s: YaRN needs a number for factor", where);
    WD_TRY(wd_json_num(o, where, "factor", 1, 1024, 1, &r->yarn_factor, err));
    WD_TRY(opt_u32(o, where, "original_max_position_embeddings", 1, MAX_POS, max_pos,
                   &r->yarn_original_max_pos, err));
    WD_TRY(wd_json_num(o, where, "beta_fast", 1e-6, 1e6, 32, &r->yarn_beta_fast, err));
    WD_TRY(wd_json_num(o, where, "beta_slow", 1e-6, 1e6, 1, &r->yarn_beta_slow, err));
    if (r->yarn_beta_fast < r->yarn_beta_slow)
        return WD_FAIL(err, WD_E_INVALID, "%s: beta_fast %g is below beta_slow %g", where, r->yarn_beta_fast,
                       r->yarn_beta_slow);
    WD_TRY(wd_json_bool(o, where, "truncate", true, &r->yarn_truncate, err));
    WD_TRY(wd_json_num(o, where, "mscale", 0, 100, 0, &mscale, err));
    WD_TRY(wd_json_num(o, where, "mscale_all_dim", 0, 100, 0, &mscale_all, err));
    const double log_factor = log(r->yarn_factor); /* 0 when the factor is 1: no scaling either */
    const double def = mscale > 0 && mscale_all > 0
                           ? (0.1 * mscale * log_factor + 1) / (0.1 * mscale_all * log_factor + 1)
                           : 0.1 * log_factor + 1;
    WD_TRY(wd_json_num(o, where, "attention_factor", 1e-6, 100, def, &r->yarn_attention_factor, err));
    r->yarn = true;

    const double implied = (double)max_pos / r->yarn_original_max_pos;
    if (fabs(implied - r->yarn_factor) > 1e-6 && r->yarn_original_max_pos != max_pos)
        wd_log(WD_LOG_WARN, "config",
               "YaRN factor=%g differs from max/original positions=%g, using the factor", r->yarn_factor,
               implied);
    return WD_OK;
}

static wd_status parse_mrope(const json_t *o, const char *where, uint32_t head_dim, wd_rope_config *r,
                             wd_err *err)
{
    static const uint32_t family[3] = { 24, 20, 20 };
    json_t *section = NULL;
    r->mrope = true;
    memcpy(r->mrope_section, family, sizeof family);
    if (o) {
        WD_TRY(wd_json_arr(o, where, "mrope_section", &section, err));
        WD_TRY(only_bool(o, where, "mrope_interleaved", true, err));
    }
    if (section && json_array_size(section) != 3)
        return WD_FAIL(err, WD_E_INVALID, "%s: mrope_section has %zu numbers, expected 3", where,
                       json_array_size(section));
    uint32_t sum = 0;
    for (size_t i = 0; i < 3; i++) {
        const json_t *v = section ? json_array_get(section, i) : NULL;
        if (section &&
            (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > MAX_HEAD_DIM))
            return WD_FAIL(err, WD_E_INVALID, "%s: mrope_section[%zu] is not an integer from 0 to %d", where,
                           i, MAX_HEAD_DIM);
        if (section)
            r->mrope_section[i] = (uint32_t)json_integer_value(v);
        sum += r->mrope_section[i];
    }
    if (sum != head_dim / 2)
        return WD_FAIL(err, WD_E_INVALID, "%s: mrope_section [%u, %u, %u] must add up to half of head_dim %u",
                       where, r->mrope_section[0], r->mrope_section[1], r->mrope_section[2], head_dim);
    return WD_OK;
}

static wd_status parse_rope(const json_t *o, const char *where, bool mrope, wd_text_config *t, wd_err *err)
{
    json_t *merged, *scaling;
    const char *type = NULL;
    double partial;
    char at[WHERE_MAX + 20];
    WD_TRY(wd_json_obj(o, where, "rope_parameters", &merged, err));
    WD_TRY(wd_json_obj(o, where, "rope_scaling", &scaling, err));
    const json_t *r = merged ? merged : scaling;
    snprintf(at, sizeof at, "%s: %s", where, merged ? "rope_parameters" : "rope_scaling");

    const bool inside = merged && json_object_get(merged, "rope_theta");
    const json_t *theta_in = inside ? merged : o;
    const json_t *theta = json_object_get(theta_in, "rope_theta");
    if (!theta || json_is_null(theta)) /* library defaults differ between generations: never guess */
        return WD_FAIL(err, WD_E_INVALID, "%s: rope_theta is missing", where);
    WD_TRY(wd_json_num(theta_in, inside ? at : where, "rope_theta", 2, 1e15, 0, &t->rope.theta, err));
    if (r) {
        WD_TRY(wd_json_str(r, at, "rope_type", &type, err));
        if (!type)
            WD_TRY(wd_json_str(r, at, "type", &type, err));
        WD_TRY(wd_json_num(r, at, "partial_rotary_factor", 0, 1, 1, &partial, err));
        if (partial != 1)
            return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: partial_rotary_factor is %g, only 1 is supported", at,
                           partial);
    }
    if (type && !strcmp(type, "yarn"))
        WD_TRY(parse_yarn(r, at, t->max_pos, &t->rope, err));
    else if (type && strcmp(type, "default") != 0)
        return WD_FAIL(err, WD_E_UNSUPPORTED,
                       "%s: rope type \"%.64s\" is unknown, expected \"default\" or \"yarn\"", at, type);
    return mrope ? parse_mrope(r, at, t->head_dim, &t->rope, err) : WD_OK;
}

static wd_status parse_sparse_layers(const json_t *o, const char *where, wd_text_config *t, bool *any_dense,
                                     wd_err *err)
{
    uint32_t step;
    json_t *dense;
    WD_TRY(opt_u32(o, where, "decoder_sparse_step", 1, WD_MAX_LAYERS, 1, &step, err));
    WD_TRY(wd_json_arr(o, where, "mlp_only_layers", &dense, err));
    for (uint32_t i = 0; i < t->n_layer; i++)
        t->sparse[i] = (i + 1) % step == 0;
    for (size_t i = 0; dense && i < json_array_size(dense); i++) {
        const json_t *v = json_array_get(dense, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0 ||
            json_integer_value(v) >= (json_int_t)t->n_layer)
            return WD_FAIL(err, WD_E_INVALID, "%s: mlp_only_layers[%zu] is not a layer from 0 to %u", where,
                           i, t->n_layer - 1);
        t->sparse[json_integer_value(v)] = false;
    }
    *any_dense = false;
    for (uint32_t i = 0; i < t->n_layer; i++)
        *any_dense |= !t->sparse[i];
    return WD_OK;
}

static wd_status parse_mlp(const json_t *o, const char *where, wd_arch arch, wd_text_config *t, wd_err *err)
{
    if (arch == WD_ARCH_QWEN3 || arch == WD_ARCH_QWEN3_VL)
        return need_u32(o, where, "intermediate_size", 1, MAX_FF, &t->n_ff, err);

    bool any_dense = false;
    const char *key = json_object_get(o, "num_experts") ? "num_experts" : "num_local_experts";
    WD_TRY(need_u32(o, where, key, 1, MAX_EXPERTS, &t->n_expert, err));
    WD_TRY(need_u32(o, where, "num_experts_per_tok", 1, t->n_expert, &t->n_expert_used, err));
    WD_TRY(need_u32(o, where, "moe_intermediate_size", 1, MAX_FF, &t->n_ff_expert, err));
    WD_TRY(wd_json_bool(o, where, "norm_topk_prob", false, &t->norm_topk_prob, err));
    if (arch == WD_ARCH_QWEN3_VL_MOE)
        t->norm_topk_prob = true; /* the reference does it whatever the file says */
    WD_TRY(parse_sparse_layers(o, where, t, &any_dense, err));
    if (any_dense)
        return need_u32(o, where, "intermediate_size", 1, MAX_FF, &t->n_ff, err);
    return opt_u32(o, where, "intermediate_size", 0, MAX_FF, 0, &t->n_ff, err);
}

/* Every layer of the family attends to everything before it. */
static wd_status check_full_attention(const json_t *o, const char *where, wd_err *err)
{
    json_t *types;
    WD_TRY(only_bool(o, where, "use_sliding_window", false, err));
    WD_TRY(wd_json_arr(o, where, "layer_types", &types, err));
    for (size_t i = 0; types && i < json_array_size(types); i++) {
        const char *v = json_string_value(json_array_get(types, i));
        if (!v || strcmp(v, "full_attention") != 0)
            return WD_FAIL(err, WD_E_UNSUPPORTED,
                           "%s: layer_types[%zu] is \"%.64s\", only \"full_attention\" is supported", where,
                           i, v ? v : "(no string)");
    }
    return WD_OK;
}

static wd_status parse_text(const json_t *o, const char *where, wd_arch arch, wd_text_config *t, wd_err *err)
{
    double eps;
    WD_TRY(need_u32(o, where, "vocab_size", 1, MAX_VOCAB, &t->n_vocab, err));
    WD_TRY(need_u32(o, where, "hidden_size", 1, MAX_EMBD, &t->n_embd, err));
    WD_TRY(need_u32(o, where, "num_hidden_layers", 1, WD_MAX_LAYERS, &t->n_layer, err));
    WD_TRY(need_u32(o, where, "num_attention_heads", 1, MAX_HEADS, &t->n_head, err));
    WD_TRY(opt_u32(o, where, "num_key_value_heads", 1, MAX_HEADS, t->n_head, &t->n_kv_head, err));
    if (t->n_head % t->n_kv_head != 0)
        return WD_FAIL(err, WD_E_INVALID,
                       "%s: num_attention_heads %u is not a multiple of num_key_value_heads %u", where,
                       t->n_head, t->n_kv_head);
    WD_TRY(opt_u32(o, where, "head_dim", 2, MAX_HEAD_DIM, 128, &t->head_dim, err));
    if (t->head_dim % 2 != 0)
        return WD_FAIL(err, WD_E_INVALID, "%s: head_dim %u is odd", where, t->head_dim);
    WD_TRY(need_u32(o, where, "max_position_embeddings", 1, MAX_POS, &t->max_pos, err));
    WD_TRY(wd_json_num(o, where, "rms_norm_eps", 1e-12, 0.1, 1e-6, &eps, err));
    t->rms_eps = (float)eps;
    WD_TRY(only_str(o, where, "hidden_act", "silu", err));
    WD_TRY(wd_json_bool(o, where, "attention_bias", false, &t->attention_bias, err));
    WD_TRY(check_full_attention(o, where, err));
    WD_TRY(parse_mlp(o, where, arch, t, err));
    return parse_rope(o, where, arch == WD_ARCH_QWEN3_VL || arch == WD_ARCH_QWEN3_VL_MOE, t, err);
}

static wd_status parse_deepstack(const json_t *o, const char *where, wd_vision_config *v, wd_err *err)
{
    json_t *list;
    WD_TRY(wd_json_arr(o, where, "deepstack_visual_indexes", &list, err));
    if (!list)
        return WD_FAIL(err, WD_E_INVALID, "%s: deepstack_visual_indexes is missing", where);
    const size_t n = json_array_size(list);
    if (n > WD_MAX_DEEPSTACK)
        return WD_FAIL(err, WD_E_INVALID,
                       "%s: deepstack_visual_indexes has %zu entries, at most %d are supported", where, n,
                       WD_MAX_DEEPSTACK);
    json_int_t last = -1;
    for (size_t i = 0; i < n; i++) {
        const json_t *e = json_array_get(list, i);
        if (!json_is_integer(e) || json_integer_value(e) <= last ||
            json_integer_value(e) >= (json_int_t)v->depth)
            return WD_FAIL(
                err, WD_E_INVALID,
                "%s: deepstack_visual_indexes[%zu] must be a block below depth %u and above the one before",
                where, i, v->depth);
        last = json_integer_value(e);
        v->deepstack[i] = (uint32_t)last;
    }
    v->n_deepstack = (uint32_t)n;
    return WD_OK;
}

/* Fixed in the reference's code, but newer files may spell them out. */
static wd_status check_vision_constants(const json_t *o, const char *where, wd_err *err)
{
    json_t *rope;
    int64_t channels;
    double theta;
    WD_TRY(only_str(o, where, "hidden_act", "gelu_pytorch_tanh", err));
    WD_TRY(only_str(o, where, "interpolation_mode", "bilinear", err));
    WD_TRY(only_bool(o, where, "interpolation_align_corners", true, err));
    WD_TRY(wd_json_int(o, where, "in_channels", 1, 64, 3, &channels, err));
    if (channels != 3)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: in_channels is %lld, only 3 is supported", where,
                       (long long)channels);
    WD_TRY(wd_json_obj(o, where, "rope_parameters", &rope, err));
    if (!rope)
        return WD_OK;
    WD_TRY(only_str(rope, where, "rope_type", "axial", err));
    WD_TRY(wd_json_num(rope, where, "rope_theta", 1, 1e15, 10000, &theta, err));
    if (theta != 10000)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: rope_theta is %g, only 10000 is supported", where, theta);
    return WD_OK;
}

static wd_status parse_vision(const json_t *o, const char *where, const wd_text_config *t,
                              wd_vision_config *v, wd_err *err)
{
    WD_TRY(need_u32(o, where, "depth", 1, WD_MAX_LAYERS, &v->depth, err));
    WD_TRY(need_u32(o, where, "hidden_size", 1, MAX_EMBD, &v->n_embd, err));
    WD_TRY(need_u32(o, where, "num_heads", 1, MAX_HEADS, &v->n_head, err));
    if (v->n_embd % v->n_head != 0 || v->n_embd / v->n_head % 4 != 0)
        return WD_FAIL(err, WD_E_INVALID, "%s: hidden_size %u is not num_heads %u times a multiple of 4",
                       where, v->n_embd, v->n_head);
    WD_TRY(need_u32(o, where, "intermediate_size", 1, MAX_FF, &v->n_ff, err));
    WD_TRY(need_u32(o, where, "patch_size", 1, 256, &v->patch_size, err));
    WD_TRY(need_u32(o, where, "temporal_patch_size", 1, 16, &v->temporal_patch_size, err));
    WD_TRY(need_u32(o, where, "spatial_merge_size", 1, 16, &v->merge_size, err));
    WD_TRY(need_u32(o, where, "num_position_embeddings", 1, MAX_VOCAB, &v->n_pos, err));
    const uint32_t side = (uint32_t)(sqrt((double)v->n_pos) + 0.5);
    if (side * side != v->n_pos)
        return WD_FAIL(err, WD_E_INVALID, "%s: num_position_embeddings %u is not a square", where, v->n_pos);
    WD_TRY(need_u32(o, where, "out_hidden_size", 1, MAX_EMBD, &v->n_out, err));
    if (v->n_out != t->n_embd)
        return WD_FAIL(err, WD_E_INVALID, "%s: out_hidden_size %u differs from the text hidden_size %u",
                       where, v->n_out, t->n_embd);
    WD_TRY(parse_deepstack(o, where, v, err));
    if (v->n_deepstack > t->n_layer)
        return WD_FAIL(err, WD_E_INVALID, "%s: %u deepstack features for %u text layers", where,
                       v->n_deepstack, t->n_layer);
    return check_vision_constants(o, where, err);
}

static wd_status parse_vl_tokens(const json_t *o, const char *where, wd_model_config *c, wd_err *err)
{
    const int64_t max = (int64_t)c->text.n_vocab - 1;
    WD_TRY(need_u32(o, where, "image_token_id", 0, max, &c->image_token, err));
    WD_TRY(need_u32(o, where, "video_token_id", 0, max, &c->video_token, err));
    WD_TRY(need_u32(o, where, "vision_start_token_id", 0, max, &c->vision_start_token, err));
    WD_TRY(need_u32(o, where, "vision_end_token_id", 0, max, &c->vision_end_token, err));
    if (c->image_token == c->video_token)
        return WD_FAIL(err, WD_E_INVALID, "%s: image_token_id and video_token_id are both %u", where,
                       c->image_token);
    return WD_OK;
}

/* What each tensor is, its own parts say (weights.h): here only the version of the layout is looked at. */
static wd_status parse_own_quantization(const json_t *q, const char *at, wd_model_config *c, wd_err *err)
{
    int64_t version;
    WD_TRY(wd_json_need_int(q, at, "version", 1, 1000000, &version, err));
    if (version != 1)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: version %lld of the layout, only 1 is known", at,
                       (long long)version);
    WD_TRY(need_u32(q, at, "bits", 4, 8, &c->quant_bits, err));
    if (c->quant_bits != 4 && c->quant_bits != 8)
        return WD_FAIL(err, WD_E_INVALID, "%s: bits is %u, expected 4 or 8", at, c->quant_bits);
    return WD_OK;
}

/* Group sizes below 16 are in no checkpoint; -1 is one group for all inputs. */
static wd_status parse_packing(const json_t *q, const char *at, const char *method, wd_model_config *c,
                               wd_err *err)
{
    int64_t group;
    const char *format;
    const bool awq = strcmp(method, "awq") == 0;
    WD_TRY(need_u32(q, at, "bits", 4, 8, &c->packed_bits, err));
    if (c->packed_bits != 4 && (awq || c->packed_bits != 8))
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: bits is %u, expected 4%s", at, c->packed_bits,
                       awq ? "" : " or 8");
    WD_TRY(wd_json_need_int(q, at, "group_size", -1, WD_PACKED_IN_MAX, &group, err));
    if (group != -1 && group < 16)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: group_size is %lld, expected -1 or at least 16", at,
                       (long long)group);
    c->packed_group = group > 0 ? (uint32_t)group : 0;
    WD_TRY(wd_json_str(q, at, awq ? "version" : "checkpoint_format", &format, err));
    const char *const known = awq ? "gemm" : "gptq";
    if (format && strcmp(format, known) != 0 && (awq || strcmp(format, "gptq_v2") != 0))
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: the format \"%.64s\" is unknown, expected \"%s\"%s", at,
                       format, known, awq ? "" : " or \"gptq_v2\"");
    c->packing = awq                                    ? WD_PACKING_AWQ
                 : format && strcmp(format, known) != 0 ? WD_PACKING_GPTQ_V2
                                                        : WD_PACKING_GPTQ;
    return WD_OK;
}

static wd_status parse_quantization(const json_t *o, const char *where, wd_model_config *c, wd_err *err)
{
    json_t *q, *block;
    const char *method, *fmt;
    char at[WHERE_MAX + 30];
    WD_TRY(wd_json_obj(o, where, "quantization_config", &q, err));
    if (!q)
        return WD_OK;
    snprintf(at, sizeof at, "%s: quantization_config", where);
    WD_TRY(wd_json_need_str(q, at, "quant_method", &method, err));
    if (strcmp(method, "ward") == 0)
        return parse_own_quantization(q, at, c, err);
    if (strcmp(method, "gptq") == 0 || strcmp(method, "awq") == 0)
        return parse_packing(q, at, method, c, err);
    if (strcmp(method, "fp8") != 0)
        return WD_FAIL(
            err, WD_E_UNSUPPORTED,
            "%s: quant_method \"%.64s\" is unknown, expected \"fp8\", \"gptq\", \"awq\" or \"ward\"", at,
            method);
    WD_TRY(wd_json_str(q, at, "fmt", &fmt, err));
    if (fmt && strcmp(fmt, "e4m3") != 0 && strcmp(fmt, "float8_e4m3fn") != 0)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: fmt is \"%.64s\", only \"e4m3\" is supported", at, fmt);
    WD_TRY(wd_json_arr(q, at, "weight_block_size", &block, err));
    if (!block || json_array_size(block) != 2 || json_integer_value(json_array_get(block, 0)) != 128 ||
        json_integer_value(json_array_get(block, 1)) != 128)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: weight_block_size must be [128, 128]", at);
    c->fp8 = true;
    return WD_OK;
}

static wd_status add_stop(wd_model_config *c, const json_t *v, const char *where, const char *key,
                          wd_err *err)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0 ||
        json_integer_value(v) >= (json_int_t)c->text.n_vocab)
        return WD_FAIL(err, WD_E_INVALID, "%s: %s must be token ids from 0 to %u", where, key,
                       c->text.n_vocab - 1);
    const uint32_t id = (uint32_t)json_integer_value(v);
    for (uint32_t i = 0; i < c->n_stop; i++)
        if (c->stop[i] == id)
            return WD_OK;
    if (c->n_stop == WD_MAX_STOP_IDS)
        return WD_FAIL(err, WD_E_LIMIT, "%s: %s has more than %d ids", where, key, WD_MAX_STOP_IDS);
    c->stop[c->n_stop++] = id;
    return WD_OK;
}

/* An id or a list of ids; absent and null add nothing. */
static wd_status add_stops(wd_model_config *c, const json_t *o, const char *where, const char *key,
                           wd_err *err)
{
    const json_t *v = json_object_get(o, key);
    if (!v || json_is_null(v))
        return WD_OK;
    if (!json_is_array(v))
        return add_stop(c, v, where, key, err);
    for (size_t i = 0; i < json_array_size(v); i++)
        WD_TRY(add_stop(c, json_array_get(v, i), where, key, err));
    return WD_OK;
}

/* What holds until generation_config.json says otherwise. config.json names only one end; the family also
 * ends with <|endoftext|>, which those files call bos_token_id. */
static wd_status parse_stop_defaults(const json_t *top, const json_t *text, const char *where,
                                     wd_model_config *c, wd_err *err)
{
    const json_t *o = json_object_get(text, "eos_token_id") ? text : top;
    WD_TRY(add_stops(c, o, where, "eos_token_id", err));
    if (c->n_stop > 0)
        WD_TRY(add_stops(c, o, where, "bos_token_id", err));
    if (c->n_stop == 0 && c->text.n_vocab > ID_IM_END) {
        c->stop[c->n_stop++] = ID_IM_END;
        c->stop[c->n_stop++] = ID_ENDOFTEXT;
    }
    c->temperature = c->top_p = c->repetition_penalty = 1;
    c->top_k = WD_MIN(50, c->text.n_vocab); /* the reference's own default */
    return WD_OK;
}

static wd_status check_sub_type(const json_t *o, const char *where, const char *const *names, size_t n,
                                wd_err *err)
{
    const char *type;
    WD_TRY(wd_json_str(o, where, "model_type", &type, err));
    if (!type)
        return WD_OK;
    for (size_t i = 0; i < n; i++)
        if (names[i] && !strcmp(type, names[i]))
            return WD_OK;
    return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: model_type \"%.64s\" is unknown, expected \"%s\"", where, type,
                   names[0]);
}

static wd_status parse_vl(const json_t *o, const char *where, wd_model_config *c, wd_err *err)
{
    json_t *text, *vision;
    char at[WHERE_MAX];
    WD_TRY(wd_json_obj(o, where, "text_config", &text, err));
    WD_TRY(wd_json_obj(o, where, "vision_config", &vision, err));
    if (!text || !vision)
        return WD_FAIL(err, WD_E_INVALID, "%s: %s is missing", where, text ? "vision_config" : "text_config");
    snprintf(at, sizeof at, "%s: text_config", where);
    WD_TRY(check_sub_type(text, at, &arch_names[c->arch].text, 1, err));
    WD_TRY(parse_text(text, at, c->arch, &c->text, err));
    WD_TRY(wd_json_bool(text, at, "tie_word_embeddings", false, &c->text.tied, err));
    WD_TRY(wd_json_bool(o, where, "tie_word_embeddings", c->text.tied, &c->text.tied,
                        err)); /* the top level rules */
    snprintf(at, sizeof at, "%s: vision_config", where);
    WD_TRY(check_sub_type(vision, at, arch_names[c->arch].vision, WD_COUNT(arch_names[c->arch].vision), err));
    WD_TRY(parse_vision(vision, at, &c->text, &c->vision, err));
    c->has_vision = true;
    WD_TRY(parse_vl_tokens(o, where, c, err));
    WD_TRY(parse_quantization(json_object_get(o, "quantization_config") ? o : text, where, c, err));
    return parse_stop_defaults(o, text, where, c, err);
}

static wd_status parse_model(const json_t *o, const char *where, wd_model_config *c, wd_err *err)
{
    const char *type;
    size_t i = 0;
    WD_TRY(wd_json_need_str(o, where, "model_type", &type, err));
    while (i < WD_COUNT(arch_names) && strcmp(type, arch_names[i].name) != 0)
        i++;
    if (i == WD_COUNT(arch_names))
        return WD_FAIL(
            err, WD_E_UNSUPPORTED,
            "%s: model_type \"%.64s\" is unknown, expected qwen3, qwen3_moe, qwen3_vl or qwen3_vl_moe", where,
            type);
    c->arch = (wd_arch)i;
    if (c->arch == WD_ARCH_QWEN3_VL || c->arch == WD_ARCH_QWEN3_VL_MOE)
        return parse_vl(o, where, c, err);
    WD_TRY(parse_text(o, where, c->arch, &c->text, err));
    WD_TRY(wd_json_bool(o, where, "tie_word_embeddings", false, &c->text.tied, err));
    WD_TRY(parse_quantization(o, where, c, err));
    return parse_stop_defaults(o, o, where, c, err);
}

static wd_status parse_object(wd_span text, const char *where, json_t **out, wd_err *err)
{
    WD_TRY(wd_json_parse(text, where, out, err));
    if (json_is_object(*out))
        return WD_OK;
    json_decref(*out);
    *out = NULL;
    return WD_FAIL(err, WD_E_CORRUPT, "%s: not a JSON object", where);
}

/* Messages repeat `where` inside fixed buffers; the end of a path says more than its beginning. */
static const char *short_where(const char *where)
{
    const size_t n = strlen(where);
    return n < WHERE_MAX - 40 ? where : wd_path_base(where);
}

wd_status wd_config_parse(wd_span text, const char *where, wd_model_config *out, wd_err *err)
{
    json_t *o;
    wd_model_config c = { 0 };
    where = short_where(where);
    WD_TRY(parse_object(text, where, &o, err));
    const wd_status st = parse_model(o, where, &c, err);
    json_decref(o);
    if (st == WD_OK)
        *out = c;
    return st;
}

static wd_status parse_generation(const json_t *o, const char *where, wd_model_config *c, wd_err *err)
{
    const json_t *eos = json_object_get(o, "eos_token_id");
    if (eos && !json_is_null(eos))
        c->n_stop = 0;
    WD_TRY(add_stops(c, o, where, "eos_token_id", err));
    WD_TRY(wd_json_bool(o, where, "do_sample", false, &c->do_sample, err));
    WD_TRY(wd_json_num(o, where, "temperature", 0, 100, c->temperature, &c->temperature, err));
    WD_TRY(wd_json_num(o, where, "top_p", 1e-6, 1, c->top_p, &c->top_p, err));
    WD_TRY(wd_json_num(o, where, "repetition_penalty", 1e-3, 1e3, c->repetition_penalty,
                       &c->repetition_penalty, err));
    return opt_u32(o, where, "top_k", 0, MAX_VOCAB, c->top_k, &c->top_k, err);
}

wd_status wd_config_parse_generation(wd_span text, const char *where, wd_model_config *io, wd_err *err)
{
    json_t *o;
    wd_model_config c = *io;
    where = short_where(where);
    WD_TRY(parse_object(text, where, &o, err));
    const wd_status st = parse_generation(o, where, &c, err);
    json_decref(o);
    if (st == WD_OK)
        *io = c;
    return st;
}

static wd_status read_part(const char *path,
                           wd_status (*parse)(wd_span, const char *, wd_model_config *, wd_err *),
                           wd_model_config *c, wd_err *err)
{
    wd_buf text = { 0 };
    wd_status st = wd_file_read(path, CONFIG_MAX, &text, err);
    if (st == WD_OK)
        st = parse(wd_buf_view(&text), path, c, err);
    wd_buf_free(&text);
    return st;
}

wd_status wd_config_read(const char *dir, wd_model_config *out, wd_err *err)
{
    wd_model_config c = { 0 };
    wd_status st = WD_OK;
    wd_arena *a = wd_arena_create(1 << 20, false);
    const char *config = a ? wd_path_join(a, dir, "config.json") : NULL;
    const char *generation = a ? wd_path_join(a, dir, "generation_config.json") : NULL;
    if (!config || !generation)
        st = WD_FAIL(err, WD_E_NOMEM, "%s: no memory to read config.json", dir);
    if (st == WD_OK)
        st = read_part(config, wd_config_parse, &c, err);
    if (st == WD_OK && wd_file_exists(generation))
        st = read_part(generation, wd_config_parse_generation, &c, err);
    wd_arena_destroy(a);
    if (st == WD_OK)
        *out = c;
    return st;
}
