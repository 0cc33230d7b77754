#!/usr/bin/env python3
"""Writes tests/golden/tokenizer/cases.json: what Hugging Face `tokenizers` makes of short texts with the small tokenizer
of tests/golden/pool, for tests that need neither the network nor that library.

    python3 tools/golden/tokenizer_cases.py
"""
import datetime
import hashlib
import json
import os
import random
import sys

import tokenizers
from tokenizers import Tokenizer

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools", "compare"))

import corpus

SEED = 7


def texts(added):
    r = random.Random(SEED)
    out = ["", " ", "a", "Hello world", "I'M don't we'LL 'ſ", "a1234b", "line1\n\n  line2\t\tend  ", "  \n \n  x", "हिन्दी",
           "e\u0301\u0323 \u212b \u1112\u1161\u11ab \u0958", "<|im_start|>user\nhi<|im_end|>\n", "<|im_start||im_end|>",
           "<think>\n\n</think>\n\n<tool_call>", "a" * 300, "肺" * 120, "\x00\x01\x7f", "👨‍👩‍👧‍👦 🏥"]
    out += corpus.ENGLISH[:3] + corpus.CHINESE[:3] + corpus.OTHER[:4] + corpus.CODE[:2]
    out += [d for d in corpus.fuzz(r, 60, added) if len(d) < 300]
    out += [d for d in corpus.marks(r, 15)[:15] if len(d) < 100]
    return out


def main():
    path = os.path.join(TOP, "tests", "golden", "pool", "tokenizer.json")
    tok = Tokenizer.from_file(path)
    with open(path, encoding="utf-8") as f:
        j = json.load(f)
    plain = Tokenizer.from_str(json.dumps(dict(j, added_tokens=[], post_processor=None)))
    added = [a["content"] for a in j["added_tokens"]]
    with open(path, "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    cases = []
    for t in texts(added):
        t = t.replace("\0", "")  # the reader of this file takes none
        ids = tok.encode(t, add_special_tokens=False).ids
        cases.append({"text": t, "ids": ids, "plain": plain.encode(t, add_special_tokens=False).ids,
                      "decoded": tok.decode(ids, skip_special_tokens=False),
                      "decoded_skip": tok.decode(ids, skip_special_tokens=True)})
    out = {"made": {"script": "tools/golden/tokenizer_cases.py", "tokenizers": tokenizers.__version__, "seed": SEED,
                    "tokenizer_sha256": digest, "date": datetime.date.today().isoformat()}, "cases": cases}
    folder = os.path.join(TOP, "tests", "golden", "tokenizer")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "cases.json"), "w", encoding="ascii") as f:
        f.write('{\n"made": %s,\n"cases": [\n' % json.dumps(out["made"]))
        f.write(",\n".join(json.dumps(c, separators=(",", ":")) for c in cases))
        f.write("\n]\n}\n")
    print("%d cases" % len(cases))


if __name__ == "__main__":
    main()
