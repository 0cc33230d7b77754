#!/usr/bin/env python3
"""Cases for training, kept as shards: collect.py --ward WARD --out DIR SUITE FIRST LAST [--shard N]

    report   SUITE-FIRST.npy    [case][slice][h][w] uint8, as the model's processor resizes them
             SUITE-FIRST.jsonl  {"seed", "prompt", "reply", "truth", "language"} a case
    others   SUITE-FIRST.npz    "bytes", "shape" of every picture in order of use (colour)
             SUITE-FIRST.jsonl  {"seed", "prompt", "reply", "pictures"} a call

A shard that is there already is left; one that was cut off is not there.
"""
import argparse
import json
import os
import sys
import time

import numpy as np

import records


def slices(calls, path):
    rows, pictures = [], []
    for r, im in calls:
        rows.append({"seed": r["seed"], "prompt": r["prompt"], "reply": r["reply"], "truth": r["truth"]})
        pictures.append(np.stack([records.resize(p, grey=True) for p in im]))
    np.save(path + ".part.npy", np.stack(pictures))
    os.replace(path + ".part.npy", path + ".npy")
    return rows


def loose(calls, path, every):
    rows, shapes, data, seen = [], [], [], 0
    for r, im in calls:
        seen += len(im) > 0
        if r["call"] != "generate" or (im and seen % every):
            continue
        rows.append({"seed": r["seed"], "prompt": r["prompt"], "reply": r["reply"], "pictures": len(im)})
        for p in im:
            q = records.resize(p)
            shapes.append(q.shape)
            data.append(q.ravel())
    np.savez(path + ".part.npz", bytes=np.concatenate(data) if data else np.zeros(0, np.uint8),
             shape=np.array(shapes, np.int32).reshape(-1, 3))
    os.replace(path + ".part.npz", path + ".npz")
    return rows


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("suite")
    p.add_argument("first", type=int)
    p.add_argument("last", type=int)
    p.add_argument("--ward", default="build/src/cli/ward")
    p.add_argument("--out", required=True)
    p.add_argument("--shard", type=int, default=250)
    p.add_argument("--every", type=int, default=1, help="keep every so many calls with pictures: frames are alike")
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    for first in range(a.first, a.last + 1, a.shard):
        path = os.path.join(a.out, f"{a.suite}-{first}")
        if os.path.exists(path + ".jsonl"):
            continue
        start = time.time()
        calls = records.run(a.ward, a.suite, first, min(first + a.shard - 1, a.last))
        rows = slices(calls, path) if a.suite == "report" else loose(calls, path, a.every)
        with open(path + ".part.jsonl", "w", encoding="utf-8") as f:
            f.writelines(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)
        os.replace(path + ".part.jsonl", path + ".jsonl")
        print(f"{path}: {len(rows)} calls in {time.time() - start:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
