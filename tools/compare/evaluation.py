#!/usr/bin/env python3
"""Does transformers, on the same checkpoint, answer the prompts of an evaluation as Ward did? Case by case.

    build/src/cli/ward eval report -m models/demo --seeds 1..200 --record report.rec
    .oracle/bin/python tools/compare/evaluation.py models/demo report.rec [--json out.json]

The record (src/care/eval/oracle.h) holds every prompt as Ward's tokens, its pictures as bytes, and what Ward answered.
Greedy decoding, bf16 (--dtype f32: float32). A reply is identical when all its tokens are, the end token included. For
every other one the first different token is shown, with how far apart the two tokens' logits are there in this type
and in float32: a difference in rounding has a margin of a few units in the last place of bf16, a mistake does not.
Reranked pairs: the scores' largest difference, and queries whose first slice is the same. Embeddings: least cosine.

--itself: also how many replies transformers gives twice when only its attention is another (eager, sdpa), and how far apart
vectors are.

Exit status 1 when fewer than --least (default 0.99) of the replies are identical.
The environment is that of tools/golden/requirements.txt.
"""
import argparse
import json
import math
import os
import sys
import time

import numpy as np
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

PAIR_PIXELS = {"shortest_edge": 4 * 1024, "longest_edge": 1800 * 1024}  # of the published embedding and reranker code;
#                                                                         the checkpoint's processor may allow less


def read_records(path):
    """Each call with its pictures as arrays, in order."""
    with open(path, "rb") as f:
        while line := f.readline():
            call = json.loads(line)
            pixels = []
            for im in call["images"]:
                n = im["width"] * im["height"] * 3
                data = f.read(n)
                if len(data) != n:
                    sys.exit(f"{path}: ends inside the pictures of case {call['case']}")
                pixels.append(np.frombuffer(data, np.uint8).reshape(im["height"], im["width"], 3))
            for v in call["videos"]:
                f.seek(v["width"] * v["height"] * 3 * len(v["frames"]), os.SEEK_CUR)
            call["pixels"] = pixels
            yield call


class Reference:
    def __init__(self, folder, dtype, attention="eager"):
        config = transformers.AutoConfig.from_pretrained(folder)
        self.sees = config.model_type.startswith("qwen3_vl")
        kind = transformers.Qwen3VLForConditionalGeneration if self.sees else transformers.AutoModelForCausalLM
        self.model = kind.from_pretrained(folder, dtype=dtype, attn_implementation=attention).eval()
        self.tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        self.image_token = getattr(config, "image_token_id", None)
        self.processor = Qwen2VLImageProcessorPil.from_pretrained(folder) if self.sees else None
        self.dtype = dtype
        self.pair = {"size": dict(PAIR_PIXELS)}
        if self.sees:
            self.pair["size"]["longest_edge"] = min(PAIR_PIXELS["longest_edge"], self.processor.size["longest_edge"])

    def inputs(self, ids, pixels, **size):
        """ids hold as many image tokens as there are, or one a picture, which are multiplied here."""
        kw = {}
        if pixels:
            got = self.processor(images=[Image.fromarray(p) for p in pixels], return_tensors="pt", **size)
            counts = (got["image_grid_thw"].prod(-1) // 4).tolist()
            if ids.count(self.image_token) == len(pixels) and sum(counts) != len(pixels):
                out, at = [], iter(counts)
                for i in ids:
                    out += [i] * next(at) if i == self.image_token else [i]
                ids = out
            if ids.count(self.image_token) != sum(counts):
                raise ValueError(f"{ids.count(self.image_token)} image tokens in the prompt, {sum(counts)} by transformers")
            kw = {"pixel_values": got["pixel_values"].to(self.dtype), "image_grid_thw": got["image_grid_thw"]}
        t = torch.tensor([ids])
        if self.sees:
            kw["mm_token_type_ids"] = (t == self.image_token).int()
        return {"input_ids": t, **kw}

    @torch.inference_mode()
    def generate(self, ids, pixels, n):
        kw = self.inputs(ids, pixels)
        out = self.model.generate(**kw, attention_mask=torch.ones_like(kw["input_ids"]), do_sample=False, temperature=None,
                                  top_p=None, top_k=None, max_new_tokens=n)
        return out[0, kw["input_ids"].shape[1]:].tolist()

    @torch.inference_mode()
    def logits_after(self, ids, pixels, **size):
        return self.model(**self.inputs(ids, pixels, **size)).logits[0, -1].float()

    @torch.inference_mode()
    def vector(self, ids, pixels):
        kw = self.inputs(ids, pixels, **self.pair) if pixels else self.inputs(ids, pixels)
        v = self.model.model(**kw).last_hidden_state[0, -1].float()
        return (v / v.norm()).numpy()


class Replies:
    def __init__(self, ref, exact, other):
        self.ref, self.exact, self.other = ref, exact, other
        self.n = self.same = self.same_itself = 0
        self.differences = []

    def add(self, call):
        ids, want = call["prompt_ids"], call["reply_ids"]
        extra = 0 if call["finish"] == "length" else 16
        got = self.ref.generate(ids, call["pixels"], len(want) + extra)
        self.n += 1
        if self.other:
            self.same_itself += self.other.generate(ids, call["pixels"], len(want) + extra) == got
        if got == want:
            self.same += 1
            return
        k = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
        a, b = got[k] if k < len(got) else None, want[k] if k < len(want) else None
        d = {"case": call["case"], "at": k, "of": len(want), "transformers": self.name(a), "ward": self.name(b)}
        if a is not None and b is not None:
            for name, model in (("margin", self.ref), ("margin_f32", self.exact())):
                v = model.logits_after(ids + want[:k], call["pixels"])
                d[name] = float(v[a] - v[b])
        self.differences.append(d)
        print(f"case {d['case']}: token {k} of {len(want)}: transformers {d['transformers']!r}, Ward {d['ward']!r}, "
              f"margin {d.get('margin', math.nan):.4g}, in float32 {d.get('margin_f32', math.nan):.4g}", flush=True)

    def name(self, i):
        return None if i is None else self.ref.tokenizer.decode([i], skip_special_tokens=False)

    def result(self):
        itself = {"identical_to_itself": self.same_itself} if self.other else {}
        return {"replies": self.n, "identical": self.same, **itself, "differences": self.differences}


class Pairs:
    def __init__(self, ref):
        self.ref, self.n, self.largest, self.total = ref, 0, 0.0, 0.0
        self.yes, self.no = (ref.tokenizer.token_to_id(w) for w in ("yes", "no"))
        self.queries = {}  # (case, sentence) -> [(ours, theirs)]

    def add(self, call):
        ids = self.ref.tokenizer.encode(call["prompt"], add_special_tokens=False).ids
        v = self.ref.logits_after(ids, call["pixels"], **(self.ref.pair if call["pixels"] else {}))
        theirs = float(torch.sigmoid(v[self.yes] - v[self.no]))
        self.n += 1
        self.largest = max(self.largest, abs(theirs - call["score"]))
        self.total += abs(theirs - call["score"])
        key = call["case"], json.dumps(call["query"])
        self.queries.setdefault(key, []).append((call["score"], theirs))

    def result(self):
        best = lambda q, i: max(range(len(q)), key=lambda k: (q[k][i], -k))
        same = sum(best(q, 0) == best(q, 1) for q in self.queries.values())
        return {"pairs": self.n, "score_diff_max": self.largest, "score_diff_mean": self.total / self.n,
                "queries": len(self.queries), "same_first": same}


class Vectors:
    def __init__(self, ref, exact, other):
        self.ref, self.exact, self.other = ref, exact, other
        self.n, self.least, self.off = 0, 1.0, {}

    def add(self, call):
        ids = self.ref.tokenizer.encode(call["prompt"]).ids  # with the anchor that the post-processor adds
        self.n += 1
        ours, theirs = np.array(call["vector"], np.float32), self.ref.vector(ids, call["pixels"])
        self.least = min(self.least, float(theirs @ ours))
        if self.other:
            exact, itself = self.exact().vector(ids, call["pixels"]), self.other.vector(ids, call["pixels"])
            for pair, a, b in (("Ward, transformers", ours, theirs), ("transformers, itself", theirs, itself),
                               ("Ward, float32", ours, exact), ("transformers, float32", theirs, exact)):
                self.off[pair] = self.off.get(pair, 0.0) + float(np.linalg.norm(a - b))

    def result(self):
        return {"vectors": self.n, "cosine_min": self.least, "distance": {k: v / self.n for k, v in self.off.items()}}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("record", help="of `ward eval SUITE -m MODEL --record FILE`")
    p.add_argument("--dtype", choices=("bf16", "f32"), default="bf16")
    p.add_argument("--limit", type=int, default=0, help="calls; 0: all")
    p.add_argument("--least", type=float, default=0.99, help="share of identical replies")
    p.add_argument("--itself", action="store_true")
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--json", help="write the result there")
    o = p.parse_args()
    transformers.logging.set_verbosity_error()
    if o.threads:
        torch.set_num_threads(o.threads)
    ref = Reference(o.model, torch.bfloat16 if o.dtype == "bf16" else torch.float32)
    exact = []

    def in_f32():
        if not exact:
            exact.append(ref if o.dtype == "f32" else Reference(o.model, torch.float32))
        return exact[0]

    other = Reference(o.model, ref.dtype, "sdpa") if o.itself else None
    kinds = {"generate": Replies(ref, in_f32, other), "rerank": Pairs(ref), "embed": Vectors(ref, in_f32, other)}
    start, done, skipped = time.time(), 0, 0
    for call in read_records(o.record):
        if o.limit and done == o.limit:
            break
        if call["videos"] or (call["call"] == "generate" and "reply_ids" not in call):
            skipped += 1
            continue
        kinds[call["call"]].add(call)
        done += 1
    if not done:
        sys.exit(f"{o.record}: no call to compare (record with a model: ward eval SUITE -m MODEL --record FILE)")
    out = {"model": o.model, "record": os.path.basename(o.record), "dtype": o.dtype, "torch": torch.__version__,
           "transformers": transformers.__version__, "calls": done, "skipped": skipped,
           "seconds": round(time.time() - start, 1)}
    good = True
    for kind in kinds.values():
        if kind.n:
            out.update(kind.result())
    if kinds["generate"].n:
        share = out["identical"] / out["replies"]
        good = share >= o.least
        print(f"{out['identical']} of {out['replies']} replies identical ({100 * share:.2f} %)")
        if o.itself:
            print(f"{out['identical_to_itself']} of them transformers gives with either attention")
    if kinds["rerank"].n:
        print(f"{out['pairs']} pairs: scores differ by at most {out['score_diff_max']:.4g}, "
              f"{out['same_first']} of {out['queries']} queries have the same first slice")
    if kinds["embed"].n:
        print(f"{out['vectors']} vectors: least cosine {out['cosine_min']:.6f}")
        for pair, off in out["distance"].items():
            print(f"  {pair}: {off:.4f} apart (mean)")
    if o.json:
        with open(o.json, "w", encoding="utf-8") as f:
            json.dump(out, f, ensure_ascii=False, indent=1)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
