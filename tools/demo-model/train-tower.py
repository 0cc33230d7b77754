#!/usr/bin/env python3
"""First part: the tower learns to see what the truth says about each token (chest.py), without any text.

    train-tower.py --data DIR --out STATE.pt --minutes N [--resume]
"""
import os

import numpy as np
import torch
from safetensors.torch import load_file

import cards
import chest
import net
import optim
import poses
import run
import shape
import studies as shards
import team
import vocabulary


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


class Trainer:
    def __init__(self, a):
        self.a, self.v = a, vocabulary.Vocabulary(a.vocabulary)
        model = net.Net(shape.sees(self.v.n))
        if a.start:
            model.take(load_file(os.path.join(a.start, "model.safetensors")))
        self.tower = model.tower
        width = shape.vision()["out_hidden_size"]
        self.chest, self.card, self.pose = (torch.nn.ModuleList(make() for _ in range(1 + len(self.tower.deep)))
                                            for make in (lambda: chest.Reader(width),
                                                         lambda: cards.Reader(width, self.v.n),
                                                         lambda: poses.Reader(width)))
        self.all = torch.nn.ModuleDict({"tower": self.tower, "chest": self.chest, "card": self.card, "pose": self.pose})
        self.studies = shards.Studies(a.data, a.rank, a.processes)
        self.lessons, self.videos = (shards.Calls(a.data, s, a.rank, a.processes) for s in ("lesson", "rehab"))

    def draw(self, task, rng):
        """The task's readers, pictures, and what is true of them."""
        a = self.a
        if task == "card":
            return self.card, *cards.draw(self.lessons, self.v, rng, a.pictures)
        if task == "pose":
            return self.pose, *poses.draw(self.videos, rng, a.pictures)
        if task == "whole":
            return self.chest, *whole(self.studies, rng, a)
        return self.chest, *map(torch.from_numpy, self.studies.windows(rng, 3 * a.pictures, 96))

    def loss(self, task, rng):
        """What the tokens tell of the truth, and a fifth of what the deep layers' do; figures to watch."""
        readers, pictures, *truth = self.draw(task, rng)
        with torch.autocast("cpu", torch.bfloat16):
            tokens, layers = self.tower(pictures)
        loss, watch = readers[0](tokens, *truth)
        return (loss + 0.2 * sum(r(d, *truth)[0] for r, d in zip(readers[1:], layers)),
                {f"{task}_{k}": v for k, v in {"loss": loss.detach(), **watch}.items()})


def main():
    p = run.options(__doc__)
    p.add_argument("--vocabulary", required=True)
    p.add_argument("--from", dest="start", help="a checkpoint to go on from, when there is no state to resume")
    p.add_argument("--batch", type=int, default=5, help="series that whole slices are drawn from")
    p.add_argument("--pictures", type=int, default=30, help="of a batch; three times as many windows")
    p.add_argument("--tasks", default="window,card,window,pose,whole", help="taken in turn, one a step and process: window "
                   "(a quarter of the work a picture), whole, card, pose")
    a = run.begin(p)
    t = Trainer(a)
    opt = optim.Optimizer(t.all, lr=a.rate)
    steps = run.Run(a, t.all, opt)
    net.compile_parts(t.tower)
    tasks = a.tasks.split(",")
    for scale in steps:
        loss, watch = t.loss(tasks[(steps.steps * team.size() + a.rank) % len(tasks)], steps.rng)
        loss.backward()
        opt.step(scale)
        steps.saw(watch)
        if steps.steps % 100 == 0:
            for cases in (t.studies, t.lessons, t.videos):
                cases.look()


if __name__ == "__main__":
    main()
