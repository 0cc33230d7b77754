/* PEFT LoRA adapters: low-rank additions to the decoder's linear layers, applied beside the base weights.
 *
 *     y = x W^T + sum over adapters of  scale * ((x A^T) B^T)
 *
 * Each adapter is one handle; several are used together by asking each. An adapter on anything but q, k, v, o, gate,
 * up and down of dense layers (attention of every layer) is refused, and so is every PEFT variant whose numbers this
 * formula does not give: DoRA, trained biases, replaced modules, fused expert parameters, initialisations that change
 * the base.
 */
#ifndef WD_WEIGHTS_LORA_H
#define WD_WEIGHTS_LORA_H

#include "base/arena.h"
#include "tensor/tensor.h"
#include "weights/config.h"

typedef struct wd_lora wd_lora;

typedef struct wd_lora_pair {
    wd_tensor a; /* [rank][in]  */
    wd_tensor b; /* [out][rank] */
    float scale; /* alpha / rank, or alpha / sqrt(rank) for rsLoRA, times the user's */
} wd_lora_pair;

/* Opens DIR/adapter_config.json and DIR/adapter_model.safetensors for a model of configuration `base`.
 *
 * user_scale   factor on top of the adapter's own, finite; 1 = as trained
 *
 * Refused with one sentence: a module that the model does not have or that cannot be adapted, an A without its B, a
 * shape that does not fit the base's linear, a rank that contradicts the configuration, an unsupported variant. */
WD_MUST_CHECK wd_status wd_lora_open(const char *dir, double user_scale, const wd_model_config *base,
                                     wd_lora **out, wd_err *err);
void wd_lora_close(wd_lora *l); /* accepts NULL; every pair's data dies */

/* The pair of a module by its normal name, "layers.0.self_attn.q_proj"; false when the adapter leaves it alone.
 * Thread-safe: nothing changes after open. */
bool wd_lora_find(const wd_lora *l, const char *module, wd_lora_pair *out);

size_t wd_lora_count(const wd_lora *l);
void wd_lora_at(const wd_lora *l, size_t i, const char **module, wd_lora_pair *out); /* i < count, by name */
uint32_t wd_lora_max_rank(const wd_lora *l);                                         /* for workspaces */

/* "DIR" or "DIR=0.5" of the command line; *dir lives in the arena. WD_E_USAGE for a scale that is no number. */
WD_MUST_CHECK wd_status wd_lora_parse_arg(const char *arg, wd_arena *a, const char **dir, double *scale,
                                          wd_err *err);

#endif
