"""Muon for the matrices inside the layers, AdamW for the rest.

Muon (K. Jordan, 2024: the momentum of a matrix, orthogonalised by five Newton-Schulz steps) learns from fewer cases than
Adam here, which is what counts on a processor. Coefficients are those published with it.
"""
import torch

import team

A, B, C = 3.4445, -4.7750, 2.0315


def orthogonal(g):
    """[n][rows][cols] -> nearly orthogonal matrices of the same singular directions."""
    x = g.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        s = x @ x.mT
        x = A * x + (B * s + C * (s @ s)) @ x
    return (x.mT if tall else x).float()


class Optimizer:
    def __init__(self, net, lr=0.01, lr_adam=2e-3, decay=0.05):
        self.lr, self.lr_adam, self.decay, self.t = lr, lr_adam, decay, 0
        matrix, rest = {}, []
        for name, p in net.named_parameters():
            inside = ("layers." in name or "blocks." in name) and p.dim() == 2
            if inside:
                matrix.setdefault(tuple(p.shape), []).append(p)
            else:
                rest.append(p)
        self.matrix, self.rest = list(matrix.values()), rest
        self.maps = {p for name, p in net.named_parameters() if "proj" in name or "linear_fc" in name}
        self.state = {p: [torch.zeros_like(p) for _ in range(1 if any(p is q for g in self.matrix for q in g) else 2)]
                      for p in net.parameters()}

    @torch.no_grad()
    def step(self, scale):
        """One step at `scale` times the full rates; gradients are cleared."""
        self.t += 1
        team.mean_gradients(list(self.state))
        parameters = [p for p in self.state if p.grad is not None]
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in self.matrix:
            group = [p for p in group if p.grad is not None]
            if not group:
                continue
            for p in group:
                self.state[p][0].lerp_(p.grad, 0.05)
            update = orthogonal(torch.stack([p.grad.lerp(self.state[p][0], 0.95) for p in group]))
            size = max(1.0, group[0].shape[0] / group[0].shape[1]) ** 0.5
            for p, u in zip(group, update):
                p.mul_(1 - self.lr * scale * self.decay).add_(u, alpha=-self.lr * scale * size)
        for p in self.rest:
            if p.grad is None:
                continue
            m, v = self.state[p]
            m.lerp_(p.grad, 0.1)
            v.lerp_(p.grad.square(), 0.02)
            mh, vh = m / (1 - 0.9 ** self.t), v / (1 - 0.98 ** self.t)
            # a step changes a large matrix's small entries by more: a fifth of the rate for what maps
            lr = self.lr_adam * scale * (0.2 if p in self.maps else 1)
            if p.dim() >= 2:
                p.mul_(1 - lr * self.decay)
            p.add_(mh / (vh.sqrt() + 1e-8), alpha=-lr)
        for p in self.state:
            p.grad = None
        return float(norm)

    def save(self):
        return {"t": self.t, "state": list(self.state.values())}

    def load(self, s):
        self.t = s["t"]
        for mine, theirs in zip(self.state.values(), s["state"]):
            for a, b in zip(mine, theirs):
                a.copy_(b)
