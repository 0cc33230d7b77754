"""Prompts with pictures and replies as one padded batch, and what is learnt from it."""
import numpy as np
import torch
import torch.nn.functional as F

import places

ROUND = 64   # lengths are rounded up, so that few different ones are met


class Batch:
    """items: [(prompt ids, reply ids, [(rows, cols) in tokens of each picture])]; pictures count in this order."""

    def __init__(self, items, image_id):
        n = max(len(p) + len(r) for p, r, _ in items)
        t = -(-n // ROUND) * ROUND
        ids, where = np.zeros((len(items), t), np.int64), np.zeros((3, len(items), t), np.int64)
        asked, wanted, last = [], [], []
        for b, (p, r, grids) in enumerate(items):
            row = np.concatenate([p, r]).astype(np.int64)
            ids[b, :len(row)] = row
            where[:, b, :len(row)] = places.of(row, image_id, grids)
            asked += range(b * t + len(p) - 1, b * t + len(row) - 1)
            wanted += list(r)
            last.append(b * t + len(p) - 1)
        self.ids, self.places = torch.from_numpy(ids), torch.from_numpy(where)
        self.at = torch.from_numpy(np.flatnonzero(ids.ravel() == image_id))
        self.asked, self.wanted, self.last = (torch.tensor(v, dtype=torch.long) for v in (asked, wanted, last))

    def hidden(self, decoder, features, deep):
        """[row][width]: rows of the flat batch."""
        with torch.autocast("cpu", torch.bfloat16):
            if len(self.at):
                h = decoder(self.ids, self.places, self.at, features.flatten(0, 1), [d.flatten(0, 1) for d in deep])
            else:
                h = decoder(self.ids, self.places)
        return h.flatten(0, 1)

    def reply_loss(self, model, hidden, decided=0.0, near=0.0):
        """Mean over the reply's tokens, and the share of them that is right. decided: weight of the entropy, which makes a
        model that wavers between two readings prefer one of them clearly. near: weight of the squared logarithm of the
        exponentials' sum, which brings the logits near zero, where bf16 tells more of them apart."""
        logits = model.logits(hidden[self.asked]).float()
        logp = F.log_softmax(logits, -1)
        loss = F.nll_loss(logp, self.wanted)
        if decided:
            loss = loss - decided * (logp.exp() * logp).sum(-1).mean()
        if near:
            loss = loss + near * logits.logsumexp(-1).square().mean()
        return loss, (logp.detach().argmax(-1) == self.wanted).float().mean()
