"""What the truth of a chest series says about each picture token: for the auxiliary head that teaches the tower.

The head is a single linear map on the tower's merged tokens, so whatever it reads is there for the decoder to read. It
is thrown away after training.
"""
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

DENSITY = ["solid", "part-solid", "ground-glass", "calcified"]
MARGIN = ["smooth", "lobulated", "spiculated"]
LOBE = ["right upper lobe", "right middle lobe", "right lower lobe", "left upper lobe", "left lower lobe",
        "right pleural cavity", "left pleural cavity"]
AREA = ["effusion", "consolidation", "emphysema"]
# columns of a target row
NODULE, DX, DY, SIZE, D, M, L, A0 = range(8)
WIDTH = A0 + len(AREA)
N_OUT = 1 + 2 + 1 + len(DENSITY) + len(MARGIN) + len(LOBE) + len(AREA)


UNIT = 32   # pixels of a token


def marks(truth, side):
    """Per slice what is there, in pixels of a picture of `side`: nodules (x, y, row of targets), areas (k, x0, y0, x1, y1,
    lobe or -1, size or 0)."""
    out = [([], []) for _ in range(truth["slices"])]
    for f in sorted(truth["findings"], key=lambda f: f["size_mm"] or 0):
        if f["type"] == "nodule":
            x, y = ((f["centre_mm"][k] / truth["field_mm"] + 0.5) * side for k in (0, 1))
            row = (f["size_mm"] / 30, DENSITY.index(f["density"]), MARGIN.index(f["margin"]), LOBE.index(f["lobe"]))
            for s in f["slices"]:
                out[s - 1][0].append((x, y, row))
        else:
            place = f["lobe"] or (f["side"] + " pleural cavity" if f["type"] == "effusion" else None)
            more = LOBE.index(place) if place else -1, (f["size_mm"] or f["depth_mm"] or 0) / 30
            for b in f["boxes"]:
                out[b["slice"] - 1][1].append((AREA.index(f["type"]), *(v / truth["matrix"] * side for v in b["box"]),
                                               *more))
    return out


def targets(mark, x0, y0, rows, cols):
    """[rows * cols][WIDTH] float32 of a window of one slice; classes as indices, -1 where there is none."""
    t = np.zeros((rows, cols, WIDTH), np.float32)
    t[..., D:L + 1] = -1
    for k, ax, ay, bx, by, lobe, size in mark[1]:
        wide = np.outer(*(np.clip(np.minimum((b - o) / UNIT, np.arange(n) + 1) - np.maximum((a - o) / UNIT, np.arange(n)),
                                  0, 1) for a, b, o, n in ((ay, by, y0, rows), (ax, bx, x0, cols))))
        t[..., A0 + k] = np.maximum(t[..., A0 + k], wide)
        if lobe >= 0:
            t[wide > 0.3, SIZE], t[wide > 0.3, L] = size, lobe
    for x, y, row in mark[0]:
        x, y = (x - x0) / UNIT, (y - y0) / UNIT
        if 0 <= x < cols and 0 <= y < rows:
            t[int(y), int(x), :L + 1] = (1, x - int(x) - 0.5, y - int(y) - 0.5, *row)
    return t.reshape(-1, WIDTH)


class Reader(nn.Module):
    """Tokens [n][t][width] against targets -> one loss, and the figures worth watching."""

    def __init__(self, width):
        super().__init__()
        self.out = nn.Linear(width, N_OUT)

    def forward(self, tokens, t):
        y = self.out(tokens.float())
        nodule, place, size, density, margin, lobe, area = y.split([1, 2, 1, len(DENSITY), len(MARGIN), len(LOBE),
                                                                    len(AREA)], -1)
        there = t[..., NODULE] > 0
        hit = F.binary_cross_entropy_with_logits(nodule[..., 0], t[..., NODULE], pos_weight=torch.tensor(4.0))
        # both are rare among tokens
        found = F.binary_cross_entropy_with_logits(area, t[..., A0:], pos_weight=torch.tensor(3.0))
        loss = 8 * hit + 4 * found
        # a quarter of the token is 15 mm: places and sizes count by the millimetre
        loss = loss + 0.3 * F.smooth_l1_loss(place[there], t[there][:, DX:DY + 1], beta=0.1)
        # an area's tokens all tell its size and its lobe (or pleural cavity)
        wide = ~there & (t[..., SIZE] > 0)
        for which, weight in ((there, 2), (wide, 0.5)):
            error = F.smooth_l1_loss(size[which][:, 0], t[which][:, SIZE], beta=0.05, reduction="sum")
            loss = loss + weight * error / max(1, int(which.sum()))
        for logits, k, weight in ((density, D, 0.3), (margin, M, 0.15), (lobe, L, 0.3)):
            told = t[..., k] >= 0
            loss = loss + weight * F.cross_entropy(logits[told], t[told][:, k].long(), reduction="sum") / max(
                1, int(told.sum()))
        with torch.no_grad():
            said = nodule[..., 0] > 0
            both = (said & there).sum()
            watch = {"hit": hit, "recall": both / there.sum(), "precision": both / said.sum().clamp(min=1),
                     "size_mm": 30 * (size[there][:, 0] - t[there][:, SIZE]).abs().median(),
                     "wide_mm": 30 * (size[wide][:, 0] - t[wide][:, SIZE]).abs().median(),
                     "density": (density[there].argmax(-1) == t[there][:, D]).float().mean(),
                     "margin": (margin[there].argmax(-1) == t[there][:, M]).float().mean(),
                     "lobe": (lobe.argmax(-1) == t[..., L])[t[..., L] >= 0].float().mean(),
                     "area": ((area > 1) & (t[..., A0:] > 0.5)).sum() / ((area > 1) | (t[..., A0:] > 0.5)).sum()}
        return loss, watch
