#!/usr/bin/env python3
"""Log-probabilities of a prompt's tokens and a greedy reply, in Ward and in transformers, on any text checkpoint.

    .oracle/bin/python tools/compare/logprobs.py build/src/cli/ward MODEL [--tokens 16]

For the shapes that golden checkpoints are too small to have: a random checkpoint of the true widths, cut down in depth
(bench/random-checkpoint.py --moe --layers 2). In float32 on both sides every log-probability must be within 1e-4 and the
replies equal; in bf16 and in Ward's 8 bits the distance from transformers' float32 is printed, beside that of transformers' own
bf16. Exit status 1 when float32 differs. The environment is that of tools/golden/requirements.txt.
"""
import argparse
import json
import subprocess
import sys

import numpy as np
import torch
import transformers

PROMPT = ("Case 17: a 64-year-old with dyspnoea for three days. Radiograph: blunting of the left costophrenic angle, meniscus sign, "
          "no pneumothorax, heart borderline. CRP 112 mg/L, leucocytes 14.2 /nL, NT-proBNP 310 pg/mL, creatinine 1.1 mg/dL. "
          "Effusion tapped: protein 42 g/L, LDH 480 U/L, pH 7.18, glucose 2.1 mmol/L. List what speaks for an empyema. ") * 3


def ward(program, model, n, *options):
    out = subprocess.run([program, "chat", "-m", model, "-t", "0", "-n", str(n), "--ignore-end", "--json", "--prompt-logprobs", "0",
                          *options, PROMPT], check=True, stdout=subprocess.PIPE).stdout
    o = json.loads(out)
    return o["prompt_tokens"], np.array([p["logprob"] for p in o["prompt_logprobs"][1:]]), o["tokens"]


def reference(model, ids, n, dtype):
    net = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=dtype)
    with torch.no_grad():
        x = torch.tensor([ids])
        p = torch.log_softmax(net(x).logits[0, :-1].float(), -1)
        reply = net.generate(x, attention_mask=torch.ones_like(x), max_new_tokens=n, min_new_tokens=n, do_sample=False)
    return p[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].numpy(), reply[0, len(ids):].tolist()


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("ward")
    ap.add_argument("model")
    ap.add_argument("--tokens", type=int, default=16)
    a = ap.parse_args()
    transformers.logging.set_verbosity_error()
    ids, exact, reply = ward(a.ward, a.model, a.tokens, "--precision", "exact", "--kv", "f32")
    want, want_reply = reference(a.model, ids, a.tokens, torch.float32)
    worst = np.abs(exact - want).max()
    same = reply == want_reply
    print(f"{len(ids)} tokens of prompt, {a.tokens} of reply; distance of log-probabilities from transformers' float32: worst, mean")
    print(f"Ward, f32           {worst:.2e}  {np.abs(exact - want).mean():.2e}  reply {'equal' if same else 'differs'}")
    bf16, _ = reference(a.model, ids, a.tokens, torch.bfloat16)
    print(f"transformers, bf16  {np.abs(bf16 - want).max():.2e}  {np.abs(bf16 - want).mean():.2e}")
    for name, options in (("Ward, bf16", ()), ("Ward, W8", ("--weights", "w8")), ("Ward, W4", ("--weights", "w4"))):
        _, p, _ = ward(a.ward, a.model, a.tokens, *options)
        print(f"{name:18}  {np.abs(p - want).max():.2e}  {np.abs(p - want).mean():.2e}", flush=True)
    return 0 if worst <= 1e-4 and same else 1


if __name__ == "__main__":
    sys.exit(main())
