#!/usr/bin/env python3
"""Writes tests/golden/gguf/blocks.bin: random blocks of every element type that Ward decodes from GGUF files, and what the
gguf package's dequantize makes of them.

    .oracle/bin/pip install gguf==0.19.0; .oracle/bin/python tools/golden/gguf_blocks.py

A record for each type: its number, the count of blocks, the count of values (32 bits each), the blocks, the values (f32).
Scales are any finite f16, subnormal and negative ones too; everything else is any bits.
"""
import os
import struct

import gguf
import numpy as np

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden", "gguf", "blocks.bin")
# bytes of a block where an f16 begins
SCALES = {"F16": [0], "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "IQ4_NL": [0], "Q4_K": [0, 2],
          "Q5_K": [0, 2], "Q6_K": [208]}


def finite(block, at):
    """Clears the lowest bit of the exponent where all its bits are set."""
    if (block[at + 1] & 0x7c) == 0x7c:
        block[at + 1] &= 0xfb


def main():
    r = np.random.default_rng(20260821)
    out = b""
    for name in ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL"]:
        kind = gguf.GGMLQuantizationType[name]
        length, size = gguf.GGML_QUANT_SIZES[kind]
        n = {1: 64, 32: 8, 256: 3}[length]
        blocks = r.integers(0, 256, (n, size), np.uint8)
        if name in ("F32", "BF16"):    # finite numbers of every size
            v = np.ldexp(r.standard_normal(n), r.integers(-140, 120, n)).astype(np.float32)
            blocks = v.view(np.uint8).reshape(n, 4)[:, 4 - size:].copy()
        for block in blocks:
            for at in SCALES.get(name, []):
                finite(block, at)
        values = np.ascontiguousarray(gguf.quants.dequantize(blocks.reshape(1, -1), kind), np.float32)
        assert values.size == n * length and np.isfinite(values).all()
        out += struct.pack("<III", int(kind), n, values.size) + blocks.tobytes() + values.tobytes()
    os.makedirs(os.path.dirname(OUT), exist_ok=True)
    with open(OUT, "wb") as f:
        f.write(out)


if __name__ == "__main__":
    main()
