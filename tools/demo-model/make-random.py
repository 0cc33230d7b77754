#!/usr/bin/env python3
"""The bundled demo checkpoint with random weights: a whole Qwen3-VL in about two megabytes.

    make-random.py [OUT]        default: models/demo

It has everything a published checkpoint has (configuration, tokenizer, template, processors), so that every command
runs on it; what it writes means nothing. Needs the environment of tools/golden/requirements.txt.
"""
import os
import shutil
import sys

import torch
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "golden"))
import derive  # noqa: E402
import pool  # noqa: E402
import shapes  # noqa: E402
import tokenizer  # noqa: E402

VOCAB = 4096
# Order of the published tokenizer: <|endoftext|>, <|im_start|>, <|im_end|>, ..., <think>, </think>.
ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
         "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>",
         "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>",
         "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>",
         "</tool_response>", "<think>", "</think>"]
N_BASE = VOCAB - len(ADDED)
ID = {t: N_BASE + i for i, t in enumerate(ADDED)}

TEXT = dict(model_type="qwen3_vl_text", vocab_size=VOCAB, hidden_size=64, intermediate_size=160, num_hidden_layers=4,
            num_attention_heads=4, num_key_value_heads=2, head_dim=32, rms_norm_eps=1e-6, max_position_embeddings=8192,
            hidden_act="silu", attention_bias=False, attention_dropout=0.0, initializer_range=0.02, use_cache=True,
            dtype="bfloat16", bos_token_id=ID["<|endoftext|>"], eos_token_id=ID["<|im_end|>"], rope_theta=5000000.0,
            rope_scaling={"rope_type": "default", "mrope_section": [8, 4, 4], "mrope_interleaved": True},
            tie_word_embeddings=True)
VISION = dict(model_type="qwen3_vl", depth=4, hidden_size=48, num_heads=4, intermediate_size=128, in_channels=3,
              patch_size=16, temporal_patch_size=2, spatial_merge_size=2, out_hidden_size=64,
              num_position_embeddings=256, deepstack_visual_indexes=[0, 1, 2], hidden_act="gelu_pytorch_tanh",
              initializer_range=0.02)
# Every image becomes at most 64 tokens: a study of 24 slices still answers in seconds on one core.
IMAGE = dict(size={"shortest_edge": 4096, "longest_edge": 65536}, image_processor_type="Qwen2VLImageProcessorFast")
VIDEO = dict(size={"shortest_edge": 4096, "longest_edge": 1048576}, fps=2, min_frames=4, max_frames=64,
             do_sample_frames=True, video_processor_type="Qwen3VLVideoProcessor")
COMMON = dict(patch_size=16, temporal_patch_size=2, merge_size=2, image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5],
              rescale_factor=1 / 255, do_rescale=True, do_normalize=True, do_resize=True, do_convert_rgb=True,
              resample=3, processor_class="Qwen3VLProcessor")


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "..", "models", "demo")
    os.makedirs(out, exist_ok=True)
    torch.set_num_threads(1)
    table = {**shapes.decoder("model.language_model.", TEXT, head=False), **shapes.tower("model.visual.", VISION)}
    path = os.path.join(out, "model.safetensors")
    save_file({k: pool.draw("demo." + k, s) for k, s in table.items()}, path, metadata={"format": "pt"})
    os.chmod(path, 0o644)
    tokenizer.build(os.path.join(out, "tokenizer.json"), N_BASE, ADDED, 20000, seed=2)
    derive.dump(out, "tokenizer_config.json", {
        "add_bos_token": False, "add_prefix_space": False, "bos_token": None, "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>", "unk_token": None, "errors": "replace", "model_max_length": 8192,
        "clean_up_tokenization_spaces": False, "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer"})
    derive.dump(out, "config.json", {
        "architectures": ["Qwen3VLForConditionalGeneration"], "model_type": "qwen3_vl", "tie_word_embeddings": True,
        "image_token_id": ID["<|image_pad|>"], "video_token_id": ID["<|video_pad|>"],
        "vision_start_token_id": ID["<|vision_start|>"], "vision_end_token_id": ID["<|vision_end|>"],
        "text_config": TEXT, "vision_config": VISION})
    derive.dump(out, "generation_config.json", {
        "do_sample": True, "eos_token_id": [ID["<|im_end|>"], ID["<|endoftext|>"]],
        "pad_token_id": ID["<|endoftext|>"], "temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.0})
    derive.dump(out, "preprocessor_config.json", {**COMMON, **IMAGE})
    derive.dump(out, "video_preprocessor_config.json", {**COMMON, **VIDEO})
    shutil.copyfile(os.path.join(derive.POOL, "chat_template.jinja"), os.path.join(out, "chat_template.jinja"))
    print(sum(os.path.getsize(os.path.join(out, f)) for f in os.listdir(out)), "bytes in", out, file=sys.stderr)


if __name__ == "__main__":
    main()
