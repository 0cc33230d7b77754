#!/usr/bin/env python3
"""A clip from its frames to the answer: frame choice, timestamps, prompt expansion, tower, decoder, on vl-dense.

Writes tests/golden/expected/vl-video.safetensors. The clip is 41 frames of 96 x 64 at 12.5 frames/s; byte i of frame t,
counted over rows, columns and colours, is the top byte of mix(t * 1000003 + i). Its sides are
multiples of 32, so that no resampling comes between.
"""
import os
import tempfile

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor
from transformers.video_utils import VideoMetadata

import derive
import reference as ref

N, W, H, FPS = 41, 96, 64, 12.5
PROMPT = "<|im_start|>user\n{video}What does the video show?<|im_end|>\n<|im_start|>assistant\n"


def frame(t):
    x = np.arange(W * H * 3, dtype=np.uint64) + np.uint64(t * 1000003)
    return (ref.mix((x & 0xffffffff).astype(np.uint32)) >> 24).astype(np.uint8).reshape(H, W, 3)


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    clip = torch.from_numpy(np.stack([frame(t) for t in range(N)])).permute(0, 3, 1, 2)
    with tempfile.TemporaryDirectory() as tmp:
        derive.derive(tmp, ["vl-dense"])
        base = os.path.join(tmp, "vl-dense")
        model, module = ref.load(base)
        got = Qwen3VLVideoProcessor.from_pretrained(base)(
            videos=[clip], video_metadata=[VideoMetadata(total_num_frames=N, fps=FPS)], return_metadata=True,
            return_tensors="pt")
        rows, grid = got["pixel_values_videos"], tuple(got["video_grid_thw"][0].tolist())
        index = list(map(int, got["video_metadata"][0].frames_indices))
        times = Qwen3VLProcessor._calculate_timestamps(None, list(index), FPS, 2)
        one = "<|vision_start|>" + "<|video_pad|>" * (grid[1] * grid[2] // 4) + "<|vision_end|>"
        text = PROMPT.format(video="".join(f"<{t:.1f} seconds>" + one for t in times))
        tok = Tokenizer.from_file(os.path.join(base, "tokenizer.json"))
        out = {"video.frames": torch.tensor(index, dtype=torch.int32),
               "video.pixel_rows": rows[::32].clone(),
               "video.pixel_rows.rows": torch.arange(0, len(rows), 32, dtype=torch.int32)}
        sample = ref.Sample([])
        sample.ids, sample.videos, sample.n_rows = torch.tensor(tok.encode(text).ids), [grid], [0, len(rows)]
        sample.pixel_rows = rows
        gap = ref.run(model, module, "video", sample, "end", out)
        ref.provenance("vl-video", out, "tools/golden/video.py",
                       {"timestamps": [f"{t:.1f}" for t in times], "smallest_greedy_gap": gap})


if __name__ == "__main__":
    main()
