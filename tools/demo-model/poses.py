"""Where a pose's reply says that the joints are: for an auxiliary head that teaches the tower to point (as chest.py)."""
import json

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

JOINTS = 13
UNIT = 32


def draw(calls, rng, n):
    """n pictures of one size, and their joints [n][13][2] in tokens from the corner."""
    drawn = [c for c in calls.draw(rng, 2 * n)]
    drawn = [c for c in drawn if c["pictures"][0].shape == drawn[0]["pictures"][0].shape][:n]
    pictures = np.stack([c["pictures"][0] for c in drawn])
    h, w = pictures.shape[1:3]
    at = np.array([list(json.loads(c["reply"]).values()) for c in drawn], np.float32) / 1000
    return torch.from_numpy(pictures), torch.from_numpy(at * np.array([w, h], np.float32) / UNIT), (h // UNIT, w // UNIT)


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
