#!/usr/bin/env python3
"""A block-scaled FP8 checkpoint: a tiny Qwen3 with both matrix dimensions above 128, quantised by blocks of 128 x 128.

Writes tests/golden/pool/fp8.safetensors and fp8.json (its config.json). Decoder projections are F8_E4M3 with a scale
per block (F32 for attention, BF16 for the MLP: both occur); embeddings, norms and the head stay BF16.
"""
import json
import os

import torch
from safetensors.torch import save_file

import derive
import pool
import shapes

TEXT = dict(shapes.TEXT, vocab_size=160, hidden_size=160, intermediate_size=200, num_hidden_layers=2,
            max_position_embeddings=512, bos_token_id=None, eos_token_id=150)


def quantise(w, scale_dtype):
    rows, cols = w.shape
    nr, nc = -(-rows // 128), -(-cols // 128)
    scale = torch.zeros(nr, nc)
    q = torch.zeros(rows, cols)
    for i in range(nr):
        for j in range(nc):
            block = w[i * 128:(i + 1) * 128, j * 128:(j + 1) * 128].float()
            scale[i, j] = (block.abs().max() / 440).to(scale_dtype).float()  # a little below 448: bf16 scales round
            q[i * 128:(i + 1) * 128, j * 128:(j + 1) * 128] = block / scale[i, j]
    return q.to(torch.float8_e4m3fn), scale.to(scale_dtype)


def main():
    out = {}
    for name, shape in shapes.decoder("model.", TEXT).items():
        w = pool.draw("fp8." + name, shape)
        if "_proj." in name:
            w = w * (1 + torch.arange(shape[0]) // 64)[:, None]     # blocks of different scale
            dtype = torch.float32 if "self_attn" in name else torch.bfloat16
            out[name], out[name + "_scale_inv"] = quantise(w, dtype)
        else:
            out[name] = w
    save_file(out, os.path.join(derive.POOL, "fp8.safetensors"), metadata={"format": "pt"})
    config = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", **TEXT, "rope_theta": 1000000.0,
              "tie_word_embeddings": False,
              "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
                                      "weight_block_size": [128, 128],
                                      "modules_to_not_convert": ["lm_head", "model.embed_tokens"]}}
    derive.dump(derive.POOL, "fp8.json", config)


if __name__ == "__main__":
    main()
