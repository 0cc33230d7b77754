/* A look at the stages of a forward pass, for golden tests and debugging.
 *
 * Stage names (spec section 12.3). The tower: "patch_embed", "pos_embed_interp", "vis_in", "vis_norm1_0",
 * "vis_q_rope_0", "vis_k_rope_0", "vis_attn_out_0" (before its projection), "vis_block_J", "merger_out",
 * "deepstack_K". The decoder: "inputs_embeds", "text_cos", "text_sin", "l0_q_norm", "l0_k_norm", "l0_q_rope",
 * "l0_k_rope", "l0_v", "l0_attn_out" (before its projection), "layer_L_attn" and "layer_L_mlp" (after that
 * residual addition), "layer_L_out" (after the DeepStack addition), "router_probs_L" (before the top-k),
 * "router_weights_L" and "router_ids_L" [n][n_expert_used], "final_norm" and "logits" (the rows that were
 * asked for).
 *
 * A stage comes in one or more calls, its rows in order. data is valid during the call. Heads lie side by
 * side: l0_q_norm has n_head * head_dim columns.
 */
#ifndef WD_MODEL_TRACE_H
#define WD_MODEL_TRACE_H

#include <stddef.h>

typedef struct wd_trace {
    void (*fn)(void *self, const char *stage, size_t n_row, size_t n_col, const float *data);
    void *self;
} wd_trace;

#endif
