"""Distributions that transformers' logits processors leave: tests/golden/sample.json.

    .oracle/bin/python tools/golden/sample.py

Logits are not stored: logit i of a case is (mix(i + 1000003 case) >> 40) / 2^24 - 0.5, times `scale`, in float32, where
mix is splitmix64's output function. Bias and repetition penalty run in float32 as in generate(), the filters after them
in float64. Frequency and presence penalties, which transformers does not have, are numpy float32 by their definition
(vLLM, OpenAI). Probabilities below 1e-9 are left out.
"""
import datetime
import json
import os

import numpy as np
import torch
import transformers
from transformers.generation import logits_process as lp

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden", "sample.json")
NONE = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0, "frequency_penalty": 0.0,
        "presence_penalty": 0.0}


def mix(x):
    x = (x + np.uint64(0x9E3779B97F4A7C15))
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def logits_of(n, case, scale):
    u = mix(np.arange(n, dtype=np.uint64) + np.uint64(1000003 * case)) >> np.uint64(40)
    return (u.astype(np.float32) / np.float32(2 ** 24) - np.float32(0.5)) * np.float32(scale)


def distribution(o, logits, prompt, reply, bias):
    ids = torch.tensor([prompt + reply], dtype=torch.long)
    s = torch.tensor(logits)[None]
    if bias:
        s = lp.SequenceBiasLogitsProcessor({(k,): v for k, v in bias})(ids, s)
    if o["repetition_penalty"] != 1:
        s = lp.RepetitionPenaltyLogitsProcessor(o["repetition_penalty"])(ids, s)
    w = s[0].numpy().copy()
    for t in set(reply):
        w[t] -= np.float32(o["frequency_penalty"]) * np.float32(reply.count(t)) + np.float32(o["presence_penalty"])
    s = torch.tensor(w.astype(np.float64))[None]
    if o["temperature"] != 1:
        s = lp.TemperatureLogitsWarper(o["temperature"])(ids, s)
    if o["top_k"]:
        s = lp.TopKLogitsWarper(o["top_k"])(ids, s)
    if o["top_p"] < 1:
        s = lp.TopPLogitsWarper(o["top_p"])(ids, s)
    if o["min_p"]:
        s = lp.MinPLogitsWarper(o["min_p"])(ids, s)
    return torch.softmax(s[0], -1).numpy()


def cases():
    few = [("plain", {}), ("cold", {"temperature": 0.3}), ("hot", {"temperature": 1.7}), ("top_k_1", {"top_k": 1}),
           ("top_k", {"top_k": 7}), ("top_k_more_than_there_are", {"top_k": 5000}), ("top_p_small", {"top_p": 0.01}),
           ("top_p", {"top_p": 0.8}), ("top_p_nearly_all", {"top_p": 0.999}), ("min_p", {"min_p": 0.1}),
           ("min_p_all", {"min_p": 1.0}), ("thinking", {"temperature": 0.6, "top_k": 20, "top_p": 0.95}),
           ("instruct", {"temperature": 0.7, "top_k": 20, "top_p": 0.8, "presence_penalty": 1.5}),
           ("all", {"temperature": 0.9, "top_k": 40, "top_p": 0.9, "min_p": 0.05, "repetition_penalty": 1.2,
                    "frequency_penalty": 0.4, "presence_penalty": 0.6}),
           ("repetition", {"repetition_penalty": 1.3}), ("repetition_reward", {"repetition_penalty": 0.7}),
           ("frequency", {"frequency_penalty": 0.9}), ("presence_reward", {"presence_penalty": -1.1})]
    for scale in (2.0, 12.0):
        for name, o in few:
            yield f"{name}_{scale:g}", 97, scale, o
    for name, o in few[11:14] + [("top_p", {"top_p": 0.3}), ("min_p", {"min_p": 0.7}), ("top_k", {"top_k": 100})]:
        yield f"{name}_real_size", 151936, 24.0, o


def main():
    torch.set_num_threads(1)
    out = []
    for k, (name, n, scale, o) in enumerate(cases()):
        o = {**NONE, **o}
        prompt = [int(i * i * 7 + k) % n for i in range(12)]
        reply = [int(i * 5 + k) % n for i in (1, 2, 2, 3, 1, 1)]
        bias = [[3, 4.5], [n - 1, -100.0], [int(k * 11) % (n - 5) + 4, 1.25]] if k % 3 == 0 else []
        p = distribution(o, logits_of(n, k, scale), prompt, reply, bias)
        out.append({"name": name, "case": k, "n": n, "scale": scale, "options": o, "prompt": prompt, "reply": reply, "bias": bias,
                    "prob": [[int(i), float("%.12g" % p[i])] for i in np.nonzero(p > 1e-9)[0]]})
    provenance = {"script": "tools/golden/sample.py", "date": datetime.date.today().isoformat(),
                  "transformers": transformers.__version__, "torch": torch.__version__}
    with open(OUT, "w", encoding="utf-8") as f:
        f.write("{\"provenance\": " + json.dumps(provenance) + ",\n\"cases\": [\n")
        f.write(",\n".join(json.dumps(c) for c in out))
        f.write("\n]}\n")
    print(len(out), "cases,", sum(len(c["prob"]) for c in out), "probabilities,", os.path.getsize(OUT), "bytes")


if __name__ == "__main__":
    np.seterr(over="ignore")
    main()
