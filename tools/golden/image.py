#!/usr/bin/env python3
"""A real image from its file to the answer: PNG, resize, patches, prompt, tower, decoder, on vl-dense.

Writes tests/golden/image/phantom.png and tests/golden/expected/vl-image.safetensors.
"""
import os
import tempfile

import numpy as np
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

import derive
import reference as ref

PNG = os.path.join(derive.HERE, "..", "..", "tests", "golden", "image", "phantom.png")
PROMPT = ("<|im_start|>system\nYou are a radiologist.<|im_end|>\n<|im_start|>user\n<|vision_start|><|image_pad|>"
          "<|vision_end|>Describe this image. 请描述这张图像。<|im_end|>\n<|im_start|>assistant\n")


def picture():
    """Body, two lungs and a nodule, in colour, with a fixed pinch of noise: 213 x 157."""
    y, x = np.mgrid[0:157, 0:213]
    v = np.full((157, 213, 3), 8.0)
    v[((x - 106) / 98) ** 2 + ((y - 78) / 72) ** 2 < 1] = (150, 140, 130)
    for cx in (62, 150):
        v[((x - cx) / 34) ** 2 + ((y - 76) / 48) ** 2 < 1] = (40, 44, 52)
    v[(x - 52) ** 2 + (y - 60) ** 2 < 30] = (210, 200, 190)
    v += np.random.default_rng(3).integers(-3, 4, v.shape)
    return Image.fromarray(np.clip(v, 0, 255).astype(np.uint8))


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    os.makedirs(os.path.dirname(PNG), exist_ok=True)
    picture().save(PNG, optimize=True)
    with tempfile.TemporaryDirectory() as tmp:
        derive.derive(tmp, ["vl-dense"])
        base = os.path.join(tmp, "vl-dense")
        model, module = ref.load(base)
        got = Qwen2VLImageProcessorPil.from_pretrained(base)(images=[Image.open(PNG)], return_tensors="pt")
        rows, grid = got["pixel_values"], tuple(got["image_grid_thw"][0].tolist())
        tok = Tokenizer.from_file(os.path.join(base, "tokenizer.json"))
        ids = tok.encode(PROMPT).ids
        at = ids.index(ref.IMG)
        ids[at:at + 1] = [ref.IMG] * ref.merged(grid)
        out = {"image.pixel_rows": rows[::16].clone(), "image.pixel_rows.rows": torch.arange(0, len(rows), 16,
                                                                                           dtype=torch.int32)}
        sample = ref.Sample([])
        sample.ids, sample.images, sample.n_rows = torch.tensor(ids), [grid], [len(rows), 0]
        sample.pixel_rows = rows
        gap = ref.run(model, module, "image", sample, "end", out)
        ref.provenance("vl-image", out, "tools/golden/image.py", {"prompt": PROMPT, "smallest_greedy_gap": gap,
                                                                  "png_blake2b": ref.digest(PNG)})


if __name__ == "__main__":
    main()
