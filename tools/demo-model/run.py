"""What the training scripts share: options, the rate over the time, log lines, a state that is kept and gone on from."""
import argparse
import json
import math
import os
import time

import numpy as np
import torch

import team


def options(doc):
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True)
    p.add_argument("--out", required=True, help="the state: kept every few minutes")
    p.add_argument("--resume", action="store_true", help="go on from the state, when it is there")
    p.add_argument("--minutes", type=float, required=True)
    p.add_argument("--level", type=float, default=0.6, help="share of the time at full rates; then they fall to nothing")
    p.add_argument("--rate", type=float, default=0.01)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--processes", type=int, default=1, help="that train together (team.py)")
    p.add_argument("--log", default="train.jsonl")
    return p


def begin(p):
    a = p.parse_args()
    a.rank = team.split(a.processes)
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    return a


class Run:
    """for scale in Run(...): one step at `scale` times the full rates."""

    def __init__(self, a, net, opt, every=25, kept=None):
        """kept: called after each keeping of the state, to write the checkpoint."""
        self.a, self.net, self.opt, self.every, self.kept = a, net, opt, every, kept
        self.steps, self.minutes, self.sums = 0, 0.0, {}
        self.fresh = not (a.resume and os.path.exists(a.out))
        if not self.fresh:
            s = torch.load(a.out, weights_only=True)
            net.load_state_dict(s["net"])
            opt.load(s["opt"])
            self.steps, self.minutes = s["steps"], s["minutes"]
        self.rng = np.random.default_rng([self.steps, a.rank])

    def saw(self, values):
        for k, v in values.items():
            if not math.isnan(v := float(torch.as_tensor(v).detach())):
                s, n = self.sums.get(k, (0.0, 0))
                self.sums[k] = (s + v, n + 1)

    def keep(self):
        if self.a.rank:
            return
        torch.save({"net": self.net.state_dict(), "opt": self.opt.save(), "steps": self.steps,
                    "minutes": self.minutes}, self.a.out + ".part")
        os.replace(self.a.out + ".part", self.a.out)
        if self.kept:
            self.kept()

    def note(self, scale):
        mean = {k: round(s / n, 4) for k, (s, n) in sorted(team.together(self.sums).items())}
        self.sums = {}
        if self.a.rank == 0:
            with open(self.a.log, "a", encoding="utf-8") as f:
                f.write(json.dumps({"steps": self.steps, "minutes": round(self.minutes, 2), "scale": round(scale, 3),
                                    **mean}) + "\n")

    def __iter__(self):
        before, start, saved = self.minutes, time.time(), time.time()
        level = self.a.level * self.a.minutes
        while (spent := team.agree((time.time() - start) / 60)) < self.a.minutes:
            self.minutes = before + spent
            scale = 1 if spent < level else (self.a.minutes - spent) / (self.a.minutes - level)
            scale = max(0.01, min(scale, (self.steps + 1) / 50))
            yield scale
            self.steps += 1
            if self.steps % self.every == 0:
                self.note(scale)
            if time.time() - saved > 180:
                self.keep()
                saved = time.time()
        self.keep()
