#!/usr/bin/env python3
"""The weights of the golden checkpoints: every parameter random, nothing left at its default.

Writes tests/golden/pool/dense.safetensors (a whole Qwen3-VL dense checkpoint of the size in section 12.1 of the
model specification) and experts.safetensors (the mixture-of-experts layers of the same model, in the published fused
orientation). Every golden checkpoint is derived from these two by derive.py.

Values are bf16 and exact in f16 too (tiny ones are set to zero), so that the F32, F16 and BF16 copies of a
checkpoint hold the same numbers and share one set of expected activations.
"""
import json
import os
import sys
import zlib

import numpy as np
import torch
from safetensors.torch import save_file

import shapes

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "..", "tests", "golden", "pool")
SEED = 20251


def to_bf16(x):
    t = torch.from_numpy(x.astype(np.float32))
    t = torch.where(t.abs() < 2.0**-17, torch.zeros_like(t), t)
    return t.to(torch.bfloat16)


def draw(name, shape):
    rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    n = rng.standard_normal(shape)
    if name.endswith(".bias"):
        return to_bf16(0.1 * n)
    if "norm" in name.split(".")[-2]:
        return to_bf16(1.0 + 0.1 * n)
    if "embed_tokens" in name or "pos_embed" in name:
        return to_bf16(0.5 * n)
    if len(shape) == 3:                      # fused experts [E, in, out]
        fan_in = shape[1]
    else:
        fan_in = int(np.prod(shape[1:]))
    return to_bf16(n / np.sqrt(fan_in))


def main():
    os.makedirs(OUT, exist_ok=True)
    for file, table in (("dense", shapes.vl_dense()), ("experts", shapes.vl_experts())):
        tensors = {name: draw(name, shape) for name, shape in table.items()}
        save_file(tensors, os.path.join(OUT, file + ".safetensors"), metadata={"format": "pt"})
        print(file, sum(t.numel() for t in tensors.values()), "parameters", file=sys.stderr)


if __name__ == "__main__":
    main()
