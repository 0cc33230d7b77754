/* config.json of the Qwen3 family, read and validated: every number the forward pass needs, in range. */
#ifndef WD_WEIGHTS_CONFIG_H
#define WD_WEIGHTS_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define WD_MAX_LAYERS 256
#define WD_MAX_DEEPSTACK 8
#define WD_MAX_STOP_IDS 16

typedef enum wd_arch { WD_ARCH_QWEN3, WD_ARCH_QWEN3_MOE, WD_ARCH_QWEN3_VL, WD_ARCH_QWEN3_VL_MOE } wd_arch;

typedef struct wd_rope_config {
    double theta;
    bool yarn;
    double yarn_factor, yarn_attention_factor; /* attention_factor resolved: never 0 */
    double yarn_beta_fast, yarn_beta_slow;
    uint32_t yarn_original_max_pos;
    bool yarn_truncate;
    bool mrope;
    uint32_t mrope_section[3]; /* t, h, w; sum = head_dim / 2 */
} wd_rope_config;

typedef struct wd_text_config {
    uint32_t n_vocab, n_embd, n_ff, n_layer, n_head, n_kv_head, head_dim, max_pos;
    float rms_eps;
    bool tied; /* logits use the embedding table */
    bool attention_bias;
    wd_rope_config rope;
    uint32_t n_expert, n_expert_used, n_ff_expert; /* 0 when dense */
    bool norm_topk_prob;
    bool sparse[WD_MAX_LAYERS]; /* layer is a mixture of experts */
} wd_text_config;

typedef struct wd_vision_config {
    uint32_t depth, n_embd, n_head, n_ff, patch_size, temporal_patch_size, merge_size, n_pos, n_out;
    uint32_t n_deepstack, deepstack[WD_MAX_DEEPSTACK]; /* block indices, strictly increasing */
} wd_vision_config;

typedef enum wd_packing { WD_PACKING_NONE, WD_PACKING_GPTQ, WD_PACKING_GPTQ_V2, WD_PACKING_AWQ } wd_packing;
#define WD_PACKED_IN_MAX (1u << 20) /* inputs of a packed matrix: those of the operators */

typedef struct wd_model_config {
    wd_arch arch;
    wd_text_config text;
    bool has_vision;
    wd_vision_config vision;
    uint32_t image_token, video_token, vision_start_token, vision_end_token;
    bool fp8;                           /* quantization_config: fp8, e4m3, blocks of 128 x 128 */
    wd_packing packing;                 /* quantization_config: gptq or awq, see weights/packed.h */
    uint32_t packed_bits, packed_group; /* of it: 4 or 8; inputs that share a scale, 0: all of an output's */
    uint32_t quant_bits; /* quantization_config: ward, docs/quantised.md; 8, 4, or 0: not quantised so */
    /* generation_config.json, where present */
    uint32_t n_stop, stop[WD_MAX_STOP_IDS];
    bool do_sample;
    double temperature, top_p, repetition_penalty;
    uint32_t top_k;
} wd_model_config;

/* Reads DIR/config.json and, when it is there, DIR/generation_config.json. Every value is checked: one that
 * is out of range, contradicts another, or names something that Ward does not compute (model_type, rope type,
 * activation, quantisation) is one sentence with its name. rope_theta must be there: no default holds for the
 * whole family. */
WD_MUST_CHECK wd_status wd_config_read(const char *dir, wd_model_config *out, wd_err *err);
/* The two documents by themselves; `where` names them in messages. The second changes what config.json said.
 */
WD_MUST_CHECK wd_status wd_config_parse(wd_span text, const char *where, wd_model_config *out, wd_err *err);
WD_MUST_CHECK wd_status wd_config_parse_generation(wd_span text, const char *where, wd_model_config *io,
                                                   wd_err *err);
const char *wd_arch_name(wd_arch a); /* "qwen3_vl" */

#endif
