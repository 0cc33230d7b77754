"""The shapes of the two demonstration models and what else a checkpoint directory holds."""

# Order of the published tokenizer: <|endoftext|>, <|im_start|>, <|im_end|>, ..., <think>, </think>.
ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
         "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>",
         "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>",
         "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>",
         "</tool_response>", "<think>", "</think>"]
NOT_SPECIAL = {"<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>",
               "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"}
PIXELS_MAX = 192 * 192   # of a picture: 36 tokens


def ids(n_base):
    return {t: n_base + i for i, t in enumerate(ADDED)}


def text(vocab):
    i = ids(vocab - len(ADDED))
    return dict(model_type="qwen3_vl_text", vocab_size=vocab, hidden_size=192, intermediate_size=512,
                num_hidden_layers=5, num_attention_heads=6, num_key_value_heads=2, head_dim=32, rms_norm_eps=1e-6,
                max_position_embeddings=8192, hidden_act="silu", attention_bias=False, attention_dropout=0.0,
                initializer_range=0.02, use_cache=True, dtype="bfloat16", bos_token_id=i["<|endoftext|>"],
                eos_token_id=i["<|im_end|>"], rope_theta=10000.0,
                rope_scaling={"rope_type": "default", "mrope_section": [6, 5, 5], "mrope_interleaved": True},
                tie_word_embeddings=True)


def vision():
    return dict(model_type="qwen3_vl", depth=6, hidden_size=128, num_heads=4, intermediate_size=512, in_channels=3,
                patch_size=16, temporal_patch_size=2, spatial_merge_size=2, out_hidden_size=192,
                num_position_embeddings=256, deepstack_visual_indexes=[1, 2, 4], hidden_act="gelu_pytorch_tanh",
                initializer_range=0.02)


def sees(vocab):
    """config.json of the model that reads pictures."""
    i = ids(vocab - len(ADDED))
    return {"architectures": ["Qwen3VLForConditionalGeneration"], "model_type": "qwen3_vl", "tie_word_embeddings": True,
            "image_token_id": i["<|image_pad|>"], "video_token_id": i["<|video_pad|>"],
            "vision_start_token_id": i["<|vision_start|>"], "vision_end_token_id": i["<|vision_end|>"],
            "text_config": text(vocab), "vision_config": vision()}


def reads(vocab):
    """config.json of the model that reads text alone: the decoder of the other, without the picture positions."""
    c = text(vocab)
    c.pop("rope_scaling")
    return {**c, "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}
