"""Writes a checkpoint directory as published ones are: weights in bf16, configuration, tokenizer, template, processors."""
import json
import os
import shutil

from safetensors.torch import save_file

import shape

HERE = os.path.dirname(os.path.abspath(__file__))
COMMON = dict(patch_size=16, temporal_patch_size=2, merge_size=2, image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5],
              rescale_factor=1 / 255, do_rescale=True, do_normalize=True, do_resize=True, do_convert_rgb=True,
              resample=3, processor_class="Qwen3VLProcessor")
IMAGE = dict(size={"shortest_edge": 4096, "longest_edge": shape.PIXELS_MAX},
             image_processor_type="Qwen2VLImageProcessorFast")
VIDEO = dict(size={"shortest_edge": 4096, "longest_edge": 1048576}, fps=2, min_frames=4, max_frames=64,
             do_sample_frames=True, video_processor_type="Qwen3VLVideoProcessor")


def dump(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        json.dump(value, f, indent=2)
        f.write("\n")


def write(folder, model, vocabulary):
    """The directory is complete after this, but for README.md; the weights are replaced in one step."""
    os.makedirs(folder, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if os.path.abspath(vocabulary) != os.path.abspath(folder):
            shutil.copyfile(os.path.join(vocabulary, name), os.path.join(folder, name))
    shutil.copyfile(os.path.join(HERE, "chat_template.jinja"), os.path.join(folder, "chat_template.jinja"))
    ids = shape.ids(model.decoder.embed_tokens.num_embeddings - len(shape.ADDED))
    dump(folder, "config.json", model.config)
    dump(folder, "generation_config.json", {
        "do_sample": False, "eos_token_id": [ids["<|im_end|>"], ids["<|endoftext|>"]],
        "pad_token_id": ids["<|endoftext|>"]})
    if model.tower:
        dump(folder, "preprocessor_config.json", {**COMMON, **IMAGE})
        dump(folder, "video_preprocessor_config.json", {**COMMON, **VIDEO})
    part = os.path.join(folder, "model.safetensors.part")
    save_file(model.checkpoint(), part, metadata={"format": "pt"})
    os.chmod(part, 0o644)
    os.replace(part, os.path.join(folder, "model.safetensors"))
