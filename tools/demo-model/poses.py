"""Where a pose's reply says that the joints are: for an auxiliary head that teaches the tower to point (as chest.py)."""
import json

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import alter

JOINTS = 13
UNIT = 32


def draw(calls, rng, n, altered=True):
    """n pictures of one size, most of them altered (alter.py) or none, and their joints [n][13][2] in tokens from the
    corner."""
    drawn = [c for c in calls.draw(rng, 2 * n)]
    drawn = [c for c in drawn if c["pictures"][0].shape == drawn[0]["pictures"][0].shape][:n]
    h, w = drawn[0]["pictures"][0].shape[:2]
    pictures, at = [], []
    for c in drawn:
        p, points = c["pictures"][0], np.array(list(json.loads(c["reply"]).values()), np.float32) / 1000 * [w, h]
        if altered and rng.random() < 0.75:
            p, points = alter.picture(p, rng, points)
        pictures.append(p)
        at.append(points)
    at = torch.from_numpy(np.stack(at).astype(np.float32) / UNIT)
    return torch.from_numpy(np.stack(pictures)), at, (h // UNIT, w // UNIT)


class Reader(nn.Module):
    """Tokens [n][t][width]: which of them each joint is in, and where in it."""

    def __init__(self, width):
        super().__init__()
        self.out = nn.Linear(width, 3 * JOINTS)

    def forward(self, tokens, at, grid):
        where, dx, dy = self.out(tokens.float()).split(JOINTS, -1)
        cell = at.long().clamp(min=0)
        cell = torch.minimum(cell, torch.tensor([grid[1] - 1, grid[0] - 1]))
        k = cell[..., 1] * grid[1] + cell[..., 0]
        loss = F.cross_entropy(where.transpose(1, 2).flatten(0, 1), k.flatten())
        mine = torch.stack([d.gather(1, k[:, None])[:, 0] for d in (dx, dy)], -1)
        off = at - cell - 0.5
        near = F.smooth_l1_loss(mine, off, beta=0.1)
        with torch.no_grad():
            right = (where.argmax(1) == k).float().mean()
            error = UNIT * (mine - off).abs().median()
        return loss + 3 * near, {"cell": right, "px": error}
