"""The tiny model of section 12.1 of the specification: its configuration, tensor names and shapes. Standard library only."""

TEXT = dict(vocab_size=2048, hidden_size=96, intermediate_size=160, num_hidden_layers=5, num_attention_heads=6,
            num_key_value_heads=2, head_dim=32, rms_norm_eps=1e-6, max_position_embeddings=4096, hidden_act="silu",
            attention_bias=False, attention_dropout=0.0, initializer_range=0.02, use_cache=True, dtype="bfloat16",
            bos_token_id=1990, eos_token_id=1992)
VISION = dict(model_type="qwen3_vl", depth=5, hidden_size=80, num_heads=4, intermediate_size=132, in_channels=3,
              patch_size=16, temporal_patch_size=2, spatial_merge_size=2, out_hidden_size=96,
              num_position_embeddings=49, deepstack_visual_indexes=[0, 2, 3], hidden_act="gelu_pytorch_tanh",
              initializer_range=0.02)
MOE = dict(num_experts=6, num_experts_per_tok=2, moe_intermediate_size=40, decoder_sparse_step=1, norm_topk_prob=True,
           mlp_only_layers=[])
IDS = dict(image_token_id=2001, video_token_id=2002, vision_start_token_id=2003, vision_end_token_id=2004)

# Where the added tokens of the tiny tokenizer sit: the four above where the configuration wants them.
N_BASE = 1990
ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
         "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_pad|>", "<|fim_pad|>",
         "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<tool_call>", "</tool_call>",
         "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>",
         "</tool_response>", "<think>", "</think>"]
# In the published tokenizer these are not flagged special: they survive skip_special_tokens.
NOT_SPECIAL = {"<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
               "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>"}


def attention(prefix, c):
    h, d = c["hidden_size"], c["head_dim"]
    q, kv = c["num_attention_heads"] * d, c["num_key_value_heads"] * d
    return {
        prefix + "input_layernorm.weight": [h],
        prefix + "self_attn.q_proj.weight": [q, h],
        prefix + "self_attn.k_proj.weight": [kv, h],
        prefix + "self_attn.v_proj.weight": [kv, h],
        prefix + "self_attn.o_proj.weight": [h, q],
        prefix + "self_attn.q_norm.weight": [d],
        prefix + "self_attn.k_norm.weight": [d],
        prefix + "post_attention_layernorm.weight": [h],
    }


def decoder(prefix, c, head=True):
    h, ff = c["hidden_size"], c["intermediate_size"]
    t = {prefix + "embed_tokens.weight": [c["vocab_size"], h]}
    for i in range(c["num_hidden_layers"]):
        p = f"{prefix}layers.{i}."
        t.update(attention(p, c))
        t.update({p + "mlp.gate_proj.weight": [ff, h], p + "mlp.up_proj.weight": [ff, h],
                  p + "mlp.down_proj.weight": [h, ff]})
    t[prefix + "norm.weight"] = [h]
    if head:
        t["lm_head.weight"] = [c["vocab_size"], h]
    return t


def tower(prefix, v):
    h, ff, out, m = v["hidden_size"], v["intermediate_size"], v["out_hidden_size"], v["spatial_merge_size"] ** 2
    t = {}

    def linear(name, n_out, n_in):
        t[prefix + name + ".weight"] = [n_out, n_in]
        t[prefix + name + ".bias"] = [n_out]

    def norm(name, n):
        t[prefix + name + ".weight"] = [n]
        t[prefix + name + ".bias"] = [n]

    t[prefix + "patch_embed.proj.weight"] = [h, v["in_channels"], v["temporal_patch_size"], v["patch_size"],
                                             v["patch_size"]]
    t[prefix + "patch_embed.proj.bias"] = [h]
    t[prefix + "pos_embed.weight"] = [v["num_position_embeddings"], h]
    for j in range(v["depth"]):
        norm(f"blocks.{j}.norm1", h)
        linear(f"blocks.{j}.attn.qkv", 3 * h, h)
        linear(f"blocks.{j}.attn.proj", h, h)
        norm(f"blocks.{j}.norm2", h)
        linear(f"blocks.{j}.mlp.linear_fc1", ff, h)
        linear(f"blocks.{j}.mlp.linear_fc2", h, ff)
    mergers = [("merger", h)] + [(f"deepstack_merger_list.{k}", m * h)
                                 for k in range(len(v["deepstack_visual_indexes"]))]
    for name, n in mergers:
        norm(name + ".norm", n)
        linear(name + ".linear_fc1", m * h, m * h)
        linear(name + ".linear_fc2", out, m * h)
    return t


def vl_dense():
    return {**decoder("model.language_model.", TEXT), **tower("model.visual.", VISION)}


def vl_experts():
    h, e, im = TEXT["hidden_size"], MOE["num_experts"], MOE["moe_intermediate_size"]
    t = {}
    for i in range(TEXT["num_hidden_layers"]):
        p = f"model.language_model.layers.{i}.mlp."
        t[p + "gate.weight"] = [e, h]
        t[p + "experts.gate_up_proj"] = [e, h, 2 * im]
        t[p + "experts.down_proj"] = [e, im, h]
    return t
