"""Training cases from the shards of collect.py."""
import glob
import json
import os

import numpy as np

import chest


class Studies:
    """All shards that are there; looked for again now and then, because they are made meanwhile. Of n processes each
    takes every n-th two: one in English and one in Chinese."""

    def __init__(self, folder, rank=0, n=1):
        self.folder, self.rank, self.n, self.seen, self.at = folder, rank, n, set(), []
        self.look()

    def look(self):
        for rows in sorted(glob.glob(os.path.join(self.folder, "report-*.jsonl"))):
            if rows in self.seen or rows.endswith(".part.jsonl"):
                continue
            pictures = np.load(rows[:-5] + "npy", mmap_mode="r")
            with open(rows, encoding="utf-8") as f:
                cases = [json.loads(line) for line in f]
            for i, c in enumerate(cases):
                if i // 2 % self.n != self.rank:
                    continue
                c["marks"] = chest.marks(c["truth"], pictures.shape[2])
                grid = [n // chest.UNIT for n in pictures.shape[2:]]
                c["targets"] = np.stack([chest.targets(m, 0, 0, *grid) for m in c["marks"]])
                self.at.append((pictures, i, c))
            self.seen.add(rows)

    def windows(self, rng, n, side):
        """n windows [side][side] around something that is there (one in six: anywhere), with their targets."""
        pictures, t = [], []
        while len(pictures) < n:
            p, i, c = self.at[rng.integers(len(self.at))]
            s = int(rng.integers(len(c["marks"])))
            # the middle of the chest is where things are
            x, y = rng.uniform(30, 162), rng.uniform(50, 130)
            shown = [s for s, m in enumerate(c["marks"]) if m[0] or m[1]]
            if shown and rng.random() < 0.83:
                s = int(rng.choice(shown))
                nodules, areas = c["marks"][s]
                if nodules and (not areas or rng.random() < 0.7):
                    x, y, _ = nodules[rng.integers(len(nodules))]
                else:
                    _, ax, ay, bx, by, _, _ = areas[rng.integers(len(areas))]
                    x, y = rng.uniform(ax, bx), rng.uniform(ay, by)
            h, w = p.shape[2:]
            x0 = int(np.clip(x - rng.uniform(4, side - 4), 0, w - side))
            y0 = int(np.clip(y - rng.uniform(4, side - 4), 0, h - side))
            pictures.append(p[i, s, y0:y0 + side, x0:x0 + side])
            t.append(chest.targets(c["marks"][s], x0, y0, side // chest.UNIT, side // chest.UNIT))
        t = np.stack(t)
        # a window tells neither the lobe nor how far something reaches
        t[..., chest.L] = -1
        t[..., chest.SIZE] *= t[..., chest.NODULE]
        return np.stack(pictures), t

    def draw(self, rng, n):
        """Pictures [n][slice][h][w], cases."""
        picked = [self.at[k] for k in rng.integers(len(self.at), size=n)]
        return np.stack([p[i] for p, i, _ in picked]), [c for _, _, c in picked]


class Calls:
    """Single calls: of lessons and poses those with (colour) pictures, or those without: phrases."""

    def __init__(self, folder, suite, rank=0, n=1, pictures=True):
        self.folder, self.suite, self.rank, self.n, self.pictures = folder, suite, rank, n, pictures
        self.seen, self.at = set(), []
        self.look()

    def look(self):
        for rows in sorted(glob.glob(os.path.join(self.folder, f"{self.suite}-*.jsonl"))):
            if rows in self.seen or rows.endswith(".part.jsonl"):
                continue
            self.seen.add(rows)
            z = np.load(rows[:-5] + "npz")
            data, shapes, at, used = z["bytes"], z["shape"], 0, 0
            with open(rows, encoding="utf-8") as f:
                for k, line in enumerate(f):
                    c, pictures = json.loads(line), []
                    mine = (c["pictures"] > 0) == self.pictures and k // 2 % self.n == self.rank
                    for _ in range(c["pictures"]):
                        n = int(np.prod(shapes[used]))
                        if mine:
                            pictures.append(data[at:at + n].reshape(shapes[used]).copy())
                        at, used = at + n, used + 1
                    if mine:
                        self.at.append({**c, "pictures": pictures})

    def draw(self, rng, n):
        return [self.at[k] for k in rng.integers(len(self.at), size=n)]
