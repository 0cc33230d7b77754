"""What a lesson's reply says of each card: for an auxiliary head that teaches the tower to read (as chest.py to see)."""
import json

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import alter

KINDS = 3   # the lesson's title, a step, another


def labels(call, v):
    """Of each picture: its kind, and the ids of the title on it (none on other cards)."""
    reply = json.loads(call["reply"])
    title = {s["card"]: s["title"] for s in reply["steps"]}
    out = [(1, v.ids(title[k])) if k in title else (2, []) for k in range(1, len(call["pictures"]) + 1)]
    if 1 not in title:
        out[0] = (0, v.ids(reply["title"]))
    return out


def draw(calls, v, rng, n, altered=True):
    """n pictures of one size with their labels: most of them altered (alter.py), or none."""
    drawn = []
    while len(drawn) < n:
        c = calls.draw(rng, 1)[0]
        if "labels" not in c:
            c["labels"] = labels(c, v)
        drawn += [(p, *t) for p, t in zip(c["pictures"], c["labels"])
                  if not drawn or p.shape == drawn[0][0].shape]
    drawn = drawn[:n]
    pictures = np.stack([alter.picture(p, rng) if altered and rng.random() < 0.75 else p for p, _, _ in drawn])
    words = np.zeros((n, v.n), np.float32)
    for row, (_, _, ids) in zip(words, drawn):
        row[ids] = 1
    return (torch.from_numpy(pictures), torch.tensor([k for _, k, _ in drawn]),
            torch.from_numpy(words))


class Reader(nn.Module):
    """Tokens [n][t][width] against kinds [n] and words [n][vocabulary]: some token says each word of the title."""

    def __init__(self, width, n_word):
        super().__init__()
        self.word, self.kind = nn.Linear(width, n_word), nn.Linear(width, KINDS)

    def forward(self, tokens, kind, words):
        said = self.word(tokens.float()).logsumexp(1)
        n = words.sum(1)
        there = n > 0
        loss = -(F.log_softmax(said, -1) * words).sum(1)[there] / n[there]
        kinds = self.kind(tokens.float().mean(1))
        with torch.no_grad():
            # of the title's words, those among as many of the likeliest
            rank = said[there].argsort(descending=True).argsort()
            right = ((rank < n[there][:, None]) & (words[there] > 0)).sum() / n[there].sum()
        return loss.mean() + 0.3 * F.cross_entropy(kinds, kind), {
            "words": right, "kind": (kinds.argmax(1) == kind).float().mean()}
