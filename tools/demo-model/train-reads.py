#!/usr/bin/env python3
"""The model that reads text alone: tool calls and grounded answers (assist), phrasing of measured faults (rehab).

    train-reads.py --data DIR --vocabulary DIR --out STATE.pt --minutes N [--resume] [--export DIR]

Conversations of a suite and language begin with the same instructions and tools. A step computes them once and lets many
conversations go on from there: each sees the common beginning and itself, at the positions it would have alone.
"""
import glob
import json
import os

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import export
import net
import optim
import run
import shape
import vocabulary


def conversations(folder, suites):
    """(group, text, [(from, to)]): one text with all that the model says in it; a later call holds the earlier ones."""
    for suite in suites:
        for path in sorted(glob.glob(os.path.join(folder, f"{suite}-*.jsonl"))):
            if path.endswith(".part.jsonl"):
                continue
            last = None
            with open(path, encoding="utf-8") as f:
                for line in f:
                    c = json.loads(line)
                    if c["pictures"]:
                        continue
                    prompt, reply = c["prompt"], c["reply"] + "<|im_end|>"
                    said = [(len(prompt), len(prompt) + len(reply))]
                    if last and prompt.startswith(last[1]):
                        said = last[2] + said
                    elif last:
                        yield last
                    last = (suite + prompt.split("<|im_end|>")[0], prompt + reply, said)
            if last:
                yield last


class Group:
    """Conversations with one beginning."""

    def __init__(self):
        self.tails, self.head = [], None

    def close(self):
        """Takes the common beginning off."""
        first, n = self.tails[0][0], min(len(t[0]) for t in self.tails) - 2
        for ids, said in self.tails:
            n = min(n, int(said.argmax()) - 1)
            same = ids[:n] == first[:n]
            n = n if same.all() else int(same.argmin())
        self.head = first[:n]
        self.tails = sorted(((ids[n:], said[n:]) for ids, said in self.tails), key=lambda t: len(t[0]))


class Texts:
    def __init__(self, folder, suites, v):
        self.groups = {}
        for key, text, said in conversations(folder, suites):
            e = v.tok.encode(text, add_special_tokens=False)
            mask = np.zeros(len(e.ids), bool)
            start = np.array([o[0] for o in e.offsets])
            for a, b in said:
                mask |= (start >= a) & (start < b)
            self.groups.setdefault(key, Group()).tails.append((np.array(e.ids, np.int32), mask))
        for g in self.groups.values():
            g.close()
        self.keys = [k for k, g in self.groups.items() if len(g.tails) > 100]

    def draw(self, rng, n_tail):
        """ids [1][t], places [3][1][t], what each sees, rows asked, ids wanted."""
        g = self.groups[self.keys[rng.choice(len(self.keys))]]
        # neighbours in length, so that little is padding
        first = rng.integers(len(g.tails) - n_tail)
        rows = g.tails[first:first + n_tail]
        n, t = len(g.head), -(-max(len(r) for r, _ in rows) // 32) * 32
        ids, place = np.zeros(n + n_tail * t, np.int64), np.zeros(n + n_tail * t, np.int64)
        ids[:n], place[:n] = g.head, np.arange(n)
        asked, wanted = [], []
        for k, (r, said) in enumerate(rows):
            b = n + k * t
            ids[b:b + len(r)] = r
            place[b:b + t] = n + np.arange(t)
            at = np.flatnonzero(said)
            asked.append(b + at - 1)
            wanted.append(r[at])
        return (torch.from_numpy(ids)[None], torch.from_numpy(place)[None, None].expand(3, -1, -1),
                net.after_one_head(n, n_tail),
                torch.from_numpy(np.concatenate(asked)), torch.from_numpy(np.concatenate(wanted).astype(np.int64)))


def main():
    p = run.options(__doc__)
    p.add_argument("--suites", default="assist,rehab")
    p.add_argument("--vocabulary", required=True)
    p.add_argument("--from", dest="start", help="a checkpoint to go on from, when there is no state to resume")
    p.add_argument("--tails", type=int, default=12, help="conversations of a row")
    p.add_argument("--rows", type=int, default=2, help="a step")
    p.add_argument("--export")
    a = run.begin(p)
    v = vocabulary.Vocabulary(a.vocabulary)
    model = net.Net(shape.reads(v.n))
    if a.start:
        model.take(load_file(os.path.join(a.start, "model.safetensors")))
    opt = optim.Optimizer(model, lr=a.rate)
    steps = run.Run(a, model, opt, every=50, kept=lambda: a.export and export.write(a.export, model, a.vocabulary))
    texts = Texts(a.data, a.suites.split(","), v)
    for k in texts.keys:
        g = texts.groups[k]
        print(f"{k[:40]!r}: {len(g.tails)} conversations, {len(g.head)} tokens before "
              f"{np.mean([len(t[0]) for t in g.tails]):.0f}", flush=True)
    for scale in steps:
        for _ in range(a.rows):
            ids, places, attend, asked, wanted = texts.draw(steps.rng, a.tails)
            with torch.autocast("cpu", torch.bfloat16):
                h = model.decoder(ids, places, attend=attend)[0]
            logits = model.logits(h[asked]).float()
            loss = F.cross_entropy(logits, wanted)
            (loss / a.rows).backward()
            steps.saw({"loss": loss, "right": (logits.argmax(-1) == wanted).float().mean()})
        opt.step(scale)


if __name__ == "__main__":
    main()
