#!/usr/bin/env python3
"""Perplexity of a text model on replies that it was not trained on, with its weights as stored and quantised.

    tools/compare/quantised.py WARD TEST_QUANTISED MODEL [--seeds 1..40] [--ids FILE] [--only-ids]

WARD records the prompts of `ward eval assist` and their right replies (training uses seeds from 1,000,000 on); this
renders them with MODEL's chat template and tokenises them with WARD; build/tests/golden/test_quantised --table does the
rest. The likelihood is that of the replies alone. --ids keeps the token ids, as tests/golden/quantised holds some.
Needs jinja2."""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import jinja2


def template(model):
    env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    env.filters["tojson"] = lambda v, **_: json.dumps(v, ensure_ascii=False)
    with open(os.path.join(model, "chat_template.jinja"), encoding="utf-8") as f:
        return env.from_string(f.read())


def tokens(ward, model, text):
    out = subprocess.run([ward, "tokenize", "-m", model, "--special", "--json"], input=text.encode(), check=True,
                         stdout=subprocess.PIPE).stdout
    return json.loads(out)["tokens"]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("ward")
    ap.add_argument("program")
    ap.add_argument("model")
    ap.add_argument("--seeds", default="1..40")
    ap.add_argument("--ids")
    ap.add_argument("--most", type=int, default=500, help="texts at most")
    ap.add_argument("--only-ids", action="store_true")
    args = ap.parse_args()
    chat = template(args.model)
    record = subprocess.run([args.ward, "eval", "assist", "--record", "-", "--seeds", args.seeds], check=True,
                            stdout=subprocess.PIPE).stdout
    path = args.ids or os.path.join(tempfile.mkdtemp(), "ids")
    n = n_reply = 0
    with open(path, "w", encoding="ascii") as f:
        for line in record.decode().splitlines():
            r = json.loads(line)
            if "messages" not in r or n == args.most:
                continue
            prompt = chat.render(messages=r["messages"], tools=r.get("tools"), add_generation_prompt=True)
            before = tokens(args.ward, args.model, prompt)
            after = tokens(args.ward, args.model, r["reply"] + "<|im_end|>")
            print(len(before), *before, *after, file=f)
            n += 1
            n_reply += len(after)
    print(f"{n} replies, {n_reply} tokens", file=sys.stderr)
    if not args.only_ids:
        sys.exit(subprocess.run([args.program, "--table", args.model, path]).returncode)


if __name__ == "__main__":
    main()
