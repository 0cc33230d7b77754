#!/usr/bin/env python3
"""Second part: the decoder, with the tower or over it as it is, learns report, find, embedding, lessons and poses.

    train-sees.py --data DIR --vocabulary DIR --tower STATE.pt --out STATE.pt --minutes N [--resume] [--export DIR]

Reports are learnt in one wording a finding ("plain" in truth.json): where several are equally right, the most likely
one hangs on the last bit of a logit, and two engines that differ there write different reports.
"""
import json
import os
import re

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import batch
import chest
import export
import net
import optim
import run
import shape
import studies as shards
import vocabulary

JUDGE = ("Judge whether the Document meets the requirements based on the Query and the Instruct provided. Note that "
         "the answer can only be \"yes\" or \"no\".")
FIND = "Retrieve the image slices that show what the sentence of the radiology report describes."
EMBED = "Represent the user's input."   # the published default
PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"


def judge_prompt(sentence):
    return (f"<|im_start|>system\n{JUDGE}<|im_end|>\n<|im_start|>user\n<Instruct>: {FIND}<Query>:{sentence}\n"
            f"<Document>:{PICTURE}<|im_end|>\n<|im_start|>assistant\n")


def embed_prompt(item):
    return f"<|im_start|>system\n{EMBED}<|im_end|>\n<|im_start|>user\n{item}<|im_end|>\n<|im_start|>assistant\n"


def pairs(cases, n_slice, rng, each):
    """(sentence, picture of the batch, shown?): one slice that shows the finding, the rest that do not."""
    out = []
    for k, c in enumerate(cases):
        findings = [f for f in c["truth"]["findings"] if f["slices"]]
        for i in rng.permutation(len(findings))[:1]:
            f = findings[i]
            sentence = f["text"]["en" if rng.random() < 0.5 else "zh"]
            yes = set(f["slices"])
            out.append((sentence, k * n_slice + int(rng.choice(sorted(yes))) - 1, 1.0))
            no = [s for s in range(1, n_slice + 1) if s not in yes]
            # slices that show another finding are the hard ones
            hard = [s for s in no if any(s in g["slices"] for g in findings)]
            for _ in range(each - 1):
                s = int(rng.choice(hard if hard and rng.random() < 0.5 else no)) if no else 0
                if s:
                    out.append((sentence, k * n_slice + s - 1, 0.0))
    return out


ALSO = {"lesson": ("lesson", 4), "cards": ("lesson", 16), "pose": ("rehab", 12), "phrase": ("phrase", 10)}   # suite, calls of a batch
LABEL = {"en": "Slice {} (lung): ", "zh": "第 {} 层（lung）："}


def few(case, language, rng):
    """A study of one to three slices: which, the prompt, and the report's findings that they show.

    Short lessons of what a report needs: a slice's number, what it shows, and how that is said. A full study costs as
    much as a dozen of them."""
    n = len(case["marks"])
    shown = [s for s in range(1, n + 1) if any(s in f["slices"] for f in case["truth"]["findings"])]
    first = rng.choice(shown) if shown and rng.random() < 0.8 else rng.integers(1, n + 1)
    slices = sorted({int(first), *(int(s) for s in rng.integers(1, n + 1, size=rng.integers(3)))})
    findings = [{**f, "slices": [s for s in f["slices"] if s in slices]}
                for f in case["truth"]["plain"][language]["findings"]]
    prompt = "".join(LABEL[language].format(s) + PICTURE for s in slices)
    reply = json.dumps({"findings": [f for f in findings if f["slices"]]}, ensure_ascii=False)
    return slices, f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n", reply


def few_cards(call, rng):
    """One to three cards of a lesson: which, the prompt, and the steps that they show (as few() for slices)."""
    pieces = call["prompt"].split(PICTURE)
    labels = [pieces[0][re.search("(Card |卡片)1", pieces[0]).start():], *pieces[1:-1]]
    which = sorted(int(k) for k in rng.choice(len(labels), min(len(labels), 1 + rng.integers(3)), False))
    reply = {"steps": [s for s in json.loads(call["reply"])["steps"] if s["card"] - 1 in which]}
    prompt = "".join(labels[k] + PICTURE for k in which)
    return which, f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n", json.dumps(reply, ensure_ascii=False)


class Trainer:
    def __init__(self, a):
        self.a, self.v = a, vocabulary.Vocabulary(a.vocabulary)
        self.model = net.Net(shape.sees(self.v.n))
        self.reader = chest.Reader(shape.vision()["out_hidden_size"])
        self.all = torch.nn.ModuleDict({"model": self.model, "reader": self.reader})
        if a.start:
            self.model.take(load_file(os.path.join(a.start, "model.safetensors")))
        self.opt = optim.Optimizer(self.all, lr=a.rate)
        self.run = run.Run(a, self.all, self.opt,
                           kept=lambda: a.export and export.write(a.export, self.model, a.vocabulary))
        if a.tower and self.run.fresh:
            s = torch.load(a.tower, weights_only=True)["net"]
            for module, name in ((self.model.tower, "tower."), (self.reader, "chest.0.")):
                module.load_state_dict({k[len(name):]: v for k, v in s.items() if k.startswith(name)})
        self.model.tower.requires_grad_(not a.frozen)
        self.think = self.model.decoder
        self.cache, self.prompts = {}, {}

    def ids(self, text, tokens=()):
        key = (text, tuple(tokens))
        if key not in self.cache:
            self.cache[key] = np.array(self.v.prompt(text, tokens), np.int32)
        return self.cache[key]

    def reply(self, text):
        key = (text, None)
        if key not in self.cache:
            self.cache[key] = np.array(self.v.ids(text) + [self.v.end], np.int32)
        return self.cache[key]

    def seen(self, pictures, cases):
        """Tokens and deep tokens of each case's pictures, [picture][token][width]; kept from the first time on while
        the tower is frozen."""
        with torch.autocast("cpu", torch.bfloat16):
            if not self.a.frozen:
                return self.model.tower(torch.from_numpy(np.concatenate(pictures)))
            with torch.no_grad():
                for x, c in zip(pictures, cases):
                    if "features" not in c:
                        f, deep = self.model.tower(torch.from_numpy(np.asarray(x)))
                        c["features"] = torch.stack([f, *deep]).bfloat16()
        f, *deep = torch.cat([c["features"] for c in cases], 1)
        return f, deep

    def reply_loss(self, b, features, deep):
        return b.reply_loss(self.model, b.hidden(self.think, features, deep), self.a.decided, self.a.near)

    def chest(self, pictures, cases, rng, watch):
        """Loss of one batch of studies: what tokens show, reports, pairs, embeddings."""
        n, n_slice, h, w = pictures.shape
        grid = (h // 32, w // 32)
        f, deep = self.seen(pictures, cases)
        total = 0
        if not self.a.frozen:
            t = torch.from_numpy(np.stack([c["targets"] for c in cases])).flatten(0, 1)
            aux, seen = self.reader(f, t)
            watch |= {"aux": aux.detach(), **{k: v.detach() for k, v in seen.items()}}
            total = 0.15 * aux
        small = [(k, *few(c, "en" if rng.random() < 0.5 else "zh", rng)) for k, c in enumerate(cases)
                 for _ in range(self.a.few)]
        if small:
            b = batch.Batch([(self.ids(prompt, [grid[0] * grid[1]] * len(slices)), self.reply(reply),
                              [grid] * len(slices)) for _, slices, prompt, reply in small], self.v.image)
            at = torch.tensor([k * n_slice + s - 1 for k, slices, _, _ in small for s in slices])
            loss, right = self.reply_loss(b, f[at], [d[at] for d in deep])
            watch |= {"few": loss.detach(), "few_right": right}
            total = total + loss
        items = []
        for c in cases[:self.a.reports]:
            language = "en" if rng.random() < 0.5 else "zh"
            items.append((self.ids(self.prompts[language], [grid[0] * grid[1]] * n_slice),
                          self.reply(json.dumps(c["truth"]["plain"][language], ensure_ascii=False)),
                          [grid] * n_slice))
        if items:
            b = batch.Batch(items, self.v.image)
            k = len(items) * n_slice
            loss, right = self.reply_loss(b, f[:k], [d[:k] for d in deep])
            watch |= {"report": loss.detach(), "report_right": right}
            total = total + loss
        p = pairs(cases, n_slice, rng, 3)
        if p:
            at = torch.tensor([i for _, i, _ in p])
            want = torch.tensor([y for _, _, y in p])
            b = batch.Batch([(self.ids(judge_prompt(s), [grid[0] * grid[1]]), [], [grid]) for s, _, _ in p],
                            self.v.image)
            hidden = b.hidden(self.think, f[at], [d[at] for d in deep])[b.last].float()
            e = self.model.decoder.embed_tokens.weight
            score = hidden @ (e[self.v.yes] - e[self.v.no])
            find = F.binary_cross_entropy_with_logits(score, want)
            watch |= {"find": find.detach(), "find_right": ((score > 0) == (want > 0)).float().mean()}
            total = total + 0.5 * find
            if self.run.steps % 4 == 0:
                total = total + 0.2 * self.embedding(p, grid, f, deep, watch)
        return total

    def embedding(self, p, grid, f, deep, watch):
        """A sentence's vector is nearest to a slice that shows it (InfoNCE over the batch)."""
        p = [x for x in p if x[2]]
        at = torch.tensor([i for _, i, _ in p])
        b = batch.Batch([(self.ids(embed_prompt(s)), [], []) for s, _, _ in p], self.v.image)
        q = F.normalize(b.hidden(self.think, None, None)[b.last].float(), dim=-1)
        b = batch.Batch([(self.ids(embed_prompt(PICTURE), [grid[0] * grid[1]]), [], [grid]) for _ in p], self.v.image)
        d = F.normalize(b.hidden(self.think, f[at], [x[at] for x in deep])[b.last].float(), dim=-1)
        s = q @ d.T / 0.07
        y = torch.arange(len(p))
        watch["embed"] = F.cross_entropy(s, y).detach()
        return F.cross_entropy(s, y)

    def calls(self, drawn, watch, name, rng):
        """Loss of single calls, with colour pictures of one size or with none."""
        grids = [[(p.shape[0] // 32, p.shape[1] // 32) for p in c["pictures"]] for c in drawn]
        f, deep = self.seen([np.stack(c["pictures"]) for c in drawn], drawn) if any(grids) else (None, None)
        asked = [(range(len(g)), c["prompt"], c["reply"]) for c, g in zip(drawn, grids)]
        if name == "cards":
            asked = [few_cards(c, rng) for c in drawn]
            first = np.cumsum([0, *(len(g) for g in grids)])
            at = torch.tensor([first[i] + k for i, (which, _, _) in enumerate(asked) for k in which])
            f, deep = f[at], [d[at] for d in deep]
        items = []
        for (which, prompt, reply), g in zip(asked, grids):
            g = [g[k] for k in which]
            items.append((self.ids(prompt, [r * k for r, k in g]), self.reply(reply), g))
        b = batch.Batch(items, self.v.image)
        loss, right = self.reply_loss(b, f, deep)
        watch |= {name: loss.detach(), name + "_right": right}
        return loss

    def train(self):
        a, rng = self.a, self.run.rng
        reports = shards.Studies(a.data, a.rank, a.processes)
        for _, _, c in reports.at:
            # the prompt is the same for every series of a language, and the reply is the truth's report as it stands
            language = "en" if c["seed"] % 2 else "zh"
            if self.prompts.setdefault(language, c["prompt"]) != c["prompt"] or c["reply"] != json.dumps(
                    c["truth"]["report"][language], ensure_ascii=False):
                raise ValueError(f"seed {c['seed']}: not the prompt or the reply that was expected")
        also = [kind for kind in a.also.split(",") if kind]
        calls = {s: shards.Calls(a.data, s, a.rank, a.processes, s != "phrase") for s in {ALSO[k][0] for k in also}}
        others = [(kind, ALSO[kind][1], calls[ALSO[kind][0]]) for kind in also]
        for scale in self.run:
            watch = {}
            self.chest(*reports.draw(rng, a.batch), rng, watch).backward()
            if others and self.run.steps % a.every == 0:
                kind, n, cases = others[self.run.steps // a.every % len(others)]
                self.calls(cases.draw(rng, n), watch, kind, rng).backward()
            watch["norm"] = self.opt.step(scale)
            self.run.saw(watch)
            if self.run.steps % 50 == 0:
                for cases in (reports, *calls.values()):
                    cases.look()


def main():
    p = run.options(__doc__)
    p.add_argument("--vocabulary", required=True)
    p.add_argument("--tower", help="a state of train-tower.py")
    p.add_argument("--from", dest="start", help="a checkpoint to go on from, when there is no state to resume")
    p.add_argument("--batch", type=int, default=5, help="studies a step")
    p.add_argument("--reports", type=int, default=2, help="of these, full reports")
    p.add_argument("--few", type=int, default=2, help="studies of one to three slices from each")
    p.add_argument("--also", default="", help="lesson, cards (a few of a lesson), pose, phrase: comma-separated, one "
                   "a step in turn; a kind may come twice")
    p.add_argument("--every", type=int, default=1, help="steps between batches of the others")
    p.add_argument("--frozen", action="store_true", help="the tower stays as it is; its tokens are computed once")
    p.add_argument("--decided", type=float, default=0.0, help="weight of the replies' entropy")
    p.add_argument("--near", type=float, default=0.0, help="weight of the squared sum that normalises the logits")
    p.add_argument("--export")
    Trainer(run.begin(p)).train()


if __name__ == "__main__":
    main()
