#!/usr/bin/env python3
"""First part: the tower learns to see what the truth says about each token (chest.py), without any text.

    train-tower.py --data DIR --out STATE.pt --minutes N [--resume]
"""
import argparse
import json
import os
import time

import numpy as np
import torch

import chest
import net
import optim
import shape
import studies as shards

VOCAB = 2560


def worth(cases, n_slice, rng, n):
    """n slices of the batch: those that show something first, then others."""
    shown = [c["targets"][..., [chest.NODULE, *range(chest.A0, chest.WIDTH)]].max((1, 2)) > 0 for c in cases]
    order = np.concatenate(shown) + rng.random(len(cases) * n_slice) * np.where(rng.random(len(cases) * n_slice) < 0.2, 3, 1)
    return torch.from_numpy(np.argsort(-order)[:n].copy())


def whole(studies, rng, a):
    pictures, cases = studies.draw(rng, a.batch)
    keep = worth(cases, pictures.shape[1], rng, a.pictures)
    return (torch.from_numpy(pictures).flatten(0, 1)[keep],
            torch.from_numpy(np.stack([c["targets"] for c in cases])).flatten(0, 1)[keep])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--minutes", type=float, required=True)
    p.add_argument("--level", type=float, default=0.6, help="share of the time at full rates")
    p.add_argument("--rate", type=float, default=0.01)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--batch", type=int, default=10)
    p.add_argument("--pictures", type=int, default=60, help="of the batch's slices")
    p.add_argument("--windows", type=float, default=0.7,
                   help="share of the time on windows around findings: a quarter of the work a picture")
    p.add_argument("--log", default="tower.log")
    p.add_argument("--resume", action="store_true")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    rng = np.random.default_rng(int(time.time()) if a.resume else 1)
    tower = net.Net(shape.sees(VOCAB)).tower
    reader = chest.Reader(192)
    deep = torch.nn.ModuleList(chest.Reader(192) for _ in tower.deep)
    both = torch.nn.ModuleDict({"tower": tower, "reader": reader, "deep": deep})
    opt = optim.Optimizer(both, lr=a.rate)
    steps, before = 0, 0.0
    if a.resume and os.path.exists(a.out):
        s = torch.load(a.out, weights_only=True)
        both.load_state_dict(s["both"])
        opt.load(s["opt"])
        steps, before = s["steps"], s.get("minutes", 22.0)
    net.compile_parts(tower)
    studies = shards.Studies(a.data)
    start, saved, seen, mean = time.time(), time.time(), 0, {}
    while (spent := (time.time() - start) / 60) < a.minutes:
        scale = min(1, (steps + 1) / 50, max(0.02, 1.0 if spent < a.level * a.minutes else
                                             (a.minutes - spent) / ((1 - a.level) * a.minutes)))
        if spent < a.windows * a.minutes:
            pictures, t = studies.windows(rng, 3 * a.pictures, 96)
            x, t = torch.from_numpy(pictures), torch.from_numpy(t)
        else:
            x, t = whole(studies, rng, a)
        with torch.autocast("cpu", torch.bfloat16):
            tokens, layers = tower(x)
        loss, watch = reader(tokens, t)
        total = loss + 0.2 * sum(r(d, t)[0] for r, d in zip(deep, layers))
        total.backward()
        opt.step(scale)
        steps, seen = steps + 1, seen + len(x)
        for k, v in {"loss": loss.detach(), **{n: v.detach() for n, v in watch.items()}}.items():
            mean.setdefault(k, []).append(float(v))
        if steps % 25 == 0:
            line = {"steps": steps, "minutes": round(before + spent, 2), "pictures": seen, "cases": len(studies.at),
                    **{k: round(float(np.nanmean(v)), 4) for k, v in mean.items()}}
            mean = {}
            with open(a.log, "a", encoding="utf-8") as f:
                f.write(json.dumps(line) + "\n")
            studies.look()
        if time.time() - saved > 120:
            torch.save({"both": both.state_dict(), "opt": opt.save(), "steps": steps, "minutes": before + spent}, a.out + ".part")
            os.replace(a.out + ".part", a.out)
            saved = time.time()
    torch.save({"both": both.state_dict(), "opt": opt.save(), "steps": steps, "minutes": before + spent}, a.out + ".part")
    os.replace(a.out + ".part", a.out)


if __name__ == "__main__":
    main()
