#!/usr/bin/env python3
"""Holds net.py equal to transformers on random weights: check.py. Prints the largest difference; exit 1 over 1e-4."""
import sys
import tempfile

import torch
from transformers import AutoConfig, Qwen3VLForConditionalGeneration

import net
import places
import shape

VOCAB = 600


def main():
    torch.manual_seed(1)
    config = shape.sees(VOCAB)
    mine = net.Net(config)
    for p in mine.parameters():
        p.data += 0.02 * torch.randn_like(p)
        p.data = p.data.bfloat16().float()
    with tempfile.TemporaryDirectory() as folder:
        import json
        with open(folder + "/config.json", "w", encoding="utf-8") as f:
            json.dump(config, f)
        theirs = Qwen3VLForConditionalGeneration(AutoConfig.from_pretrained(folder)).float().eval()
    missing, unexpected = theirs.load_state_dict({k: v.float() for k, v in mine.checkpoint().items()}, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    theirs.tie_weights()
    image = shape.ids(VOCAB - len(shape.ADDED))["<|image_pad|>"]
    ids = torch.tensor([[5, 6, *[image] * 36, 7, 8, 9, *[image] * 36, 10, 11]])
    grey = torch.randint(0, 256, (2, 192, 192), dtype=torch.uint8)
    colour = grey[..., None].expand(-1, -1, -1, 3).contiguous()
    x, _ = mine.tower.patches(colour)
    packed = x.view(2 * 144, 3, 1, 16, 16).expand(-1, -1, 2, -1, -1).reshape(2 * 144, -1)
    grid = torch.tensor([[1, 12, 12], [1, 12, 12]])
    worst = 0
    with torch.no_grad():
        want = theirs(input_ids=ids, pixel_values=packed, image_grid_thw=grid,
                      mm_token_type_ids=(ids == image).int()).logits
        for pictures in (grey, colour):
            f, deep = mine.tower(pictures)
            at = (ids.flatten() == image).nonzero().flatten()
            where = torch.from_numpy(places.of(ids[0].numpy(), image, [(6, 6), (6, 6)]))[:, None]
            got = mine.logits(mine.decoder(ids, where, at, f.flatten(0, 1), [d.flatten(0, 1) for d in deep]))
            worst = max(worst, float((got - want).abs().max() / want.abs().max()))
    print(f"largest difference {worst:.2e} of the largest logit")
    return worst > 1e-4


if __name__ == "__main__":
    sys.exit(main())
