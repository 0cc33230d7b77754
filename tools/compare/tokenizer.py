#!/usr/bin/env python3
"""Compares Ward's tokenizer with Hugging Face `tokenizers` on the published Qwen3 tokenizer: ids and decoded text must be
the same for every document. Also measures both on one thread.

    tools/venv; tools/fetch-tokenizer
    .venv/bin/python tools/compare/tokenizer.py build/tests/text/tokenizer_pipe .cache/qwen3-tokenizer [--seed N]

Exit status 0: no difference, and Ward is at least as fast.
"""
import argparse
import array
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizers
from tokenizers import Tokenizer

import corpus

ROUNDS = 3
HOSTILE_S = 2.0


def run_ward(program, folder, mode, records, rounds=1):
    """records: bytes, or arrays of ids to decode. Gives the answers' raw bytes and the seconds to open and to run."""
    unit = 4 if mode.startswith("decode") else 1
    raw = [r.tobytes() if unit == 4 else r for r in records]
    text = b"".join(struct.pack("<I", len(r) // unit) + r for r in raw)
    done = subprocess.run([program, folder, mode, str(rounds)], input=text, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    if done.returncode:
        sys.exit("tokenizer_pipe: " + done.stderr.decode(errors="replace").strip())
    seconds = dict(line.split() for line in done.stderr.decode().splitlines())
    size = 1 if unit == 4 else 4
    out, at = [], 0
    while at < len(done.stdout):
        n = struct.unpack_from("<I", done.stdout, at)[0] * size
        out.append(done.stdout[at + 4:at + 4 + n])
        at += 4 + n
    if len(out) != len(records):
        sys.exit("tokenizer_pipe: %d answers to %d documents" % (len(out), len(records)))
    return out, float(seconds["open"]), float(seconds["run"])


def encode_hf(tok, docs, post=False):
    return [array.array("I", e.ids) for e in tok.encode_batch(docs, add_special_tokens=post)]


class Tally:
    def __init__(self):
        self.chars = self.docs = self.differences = 0

    def compare(self, name, docs, want, got, show):
        bad = [i for i, (w, g) in enumerate(zip(want, got)) if w != g]
        self.docs += len(docs)
        self.chars += sum(len(d) for d in docs)
        self.differences += len(bad)
        print("  %-34s %8d documents %9d characters %3d differences"
              % (name, len(docs), sum(len(d) for d in docs), len(bad)))
        for i in bad[:5]:
            print("    %s\n      want %s\n      got  %s" % (ascii(docs[i])[:200], show(want[i])[:200], show(got[i])[:200]))
        sys.stdout.flush()


def show_ids(raw):
    return str(list(array.array("I", raw)))


def variants(folder, scratch):
    """The same tokenizer written otherwise: merges as "a b", all in ASCII, an end token by template. And without its
    added tokens, which is what plain text is encoded with."""
    with open(os.path.join(folder, "tokenizer.json"), encoding="utf-8") as f:
        j = json.load(f)
    j["model"]["merges"] = [m if isinstance(m, str) else " ".join(m) for m in j["model"]["merges"]]
    end = next(a for a in j["added_tokens"] if a["content"] == "<|endoftext|>")
    j["post_processor"] = {
        "type": "Sequence", "processors": [
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
            {"type": "TemplateProcessing",
             "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": end["content"], "type_id": 0}}],
             "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
             "special_tokens": {end["content"]: {"id": end["content"], "ids": [end["id"]], "tokens": [end["content"]]}}}]}
    with open(os.path.join(scratch, "tokenizer.json"), "w", encoding="ascii") as f:
        json.dump(j, f, separators=(",", ":"))
    plain = dict(j, added_tokens=[], post_processor=None)
    return Tokenizer.from_file(os.path.join(scratch, "tokenizer.json")), Tokenizer.from_str(json.dumps(plain))


def time_hf(tok, docs):
    best = 1e9
    for _ in range(ROUNDS):
        t = time.process_time()
        tok.encode_batch(docs, add_special_tokens=False)
        best = min(best, time.process_time() - t)
    return best


def measure(name, docs, program, folder, tok):
    """Processor time of both on one thread. True when Ward is the slower."""
    mb = sum(len(d.encode()) for d in docs) / 1e6
    theirs = time_hf(tok, docs)
    _, opened, ours = run_ward(program, folder, "special", [d.encode() for d in docs], ROUNDS)
    print("tokenizer: %s, %.1f MB on one thread: ward %.1f MB/s, tokenizers %.1f MB/s (processor time, best of %d); ward "
          "opens the file in %.0f ms" % (name, mb, mb / ours, mb / theirs, ROUNDS, opened * 1e3))
    return ours > theirs


def time_hostile(program, folder):
    """A megabyte without a place to break: the seconds of the slowest kind."""
    r = random.Random(3)
    kinds = [("one letter", "a" * 1000000), ("no spaces", "".join(r.choices("abcdefghijklmnopqrstuvwxyz", k=1000000))),
             ("marks", "\u0301\u0316" * 250000), ("Chinese", "".join(r.choices("肺部结节影像诊断患者", k=333333))),
             ("line ends", " \n" * 500000)]
    worst, name = max((run_ward(program, folder, "plain", [text.encode()])[2], kind) for kind, text in kinds)
    print("tokenizer: 1 MB without a break: at most %.2f s (%s)" % (worst, name))
    return worst


def compare_decoding(tally, program, folder, tok, r, ids):
    """Ids as they come from text, and any ids in any order: those break characters apart."""
    top = tok.get_vocab_size()
    lists = [array.array("I", i) for i in r.sample(ids, min(20000, len(ids)))]
    lists += [array.array("I", (r.randrange(top) for _ in range(r.choice([1, 2, 5, 50])))) for _ in range(20000)]
    lists += [array.array("I", (r.choice([r.randrange(256), r.randrange(top - 26, top + 300), 151643])
                                for _ in range(12))) for _ in range(10000)]
    for mode, skip in (("decode", False), ("decode-skip", True)):
        want = tok.decode_batch([list(i) for i in lists], skip_special_tokens=skip)
        got, _, _ = run_ward(program, folder, mode, lists)
        tally.compare("decoding%s" % (", special tokens left out" if skip else ""), want,
                      [w.encode() for w in want], got, lambda b: ascii(b.decode()))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("folder")
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    r = random.Random(a.seed)
    tok = Tokenizer.from_file(os.path.join(a.folder, "tokenizer.json"))
    added = [t.content for t in tok.get_added_tokens_decoder().values()]
    speed = corpus.prose(r, 1500000)
    sets = [("clinical text, code, languages", speed),
            ("the same in NFD", corpus.nfd(corpus.prose(r, 200000))),
            ("files of this machine", corpus.system_files(600000)),
            ("every code point", corpus.code_points()),
            ("combining marks, compositions", corpus.marks(r, 20000)),
            ("long pieces", corpus.lumps(r)),
            ("fuzz, seed %d" % a.seed, corpus.fuzz(r, 20000, added) + added)]
    tally, every_id = Tally(), []
    print("tokenizer: against tokenizers %s" % tokenizers.__version__)
    for name, docs in sets:
        want = encode_hf(tok, docs)
        got, _, _ = run_ward(a.program, a.folder, "special", [d.encode() for d in docs])
        tally.compare(name, docs, [w.tobytes() for w in want], got, show_ids)
        every_id += want
    with tempfile.TemporaryDirectory() as scratch:
        post, plain = variants(a.folder, scratch)
        docs = sets[-1][1] + speed[:50]
        for name, mode, hf in (("end token, file written otherwise", "post", post), ("plain: added tokens are text", "plain", plain)):
            want = [w.tobytes() for w in encode_hf(hf, docs, post=True)]
            got, _, _ = run_ward(a.program, scratch, mode, [d.encode() for d in docs])
            tally.compare(name, docs, want, got, show_ids)
    compare_decoding(tally, a.program, a.folder, tok, r, every_id)

    print("tokenizer: %d characters compared in %d documents, %d differences" % (tally.chars, tally.docs, tally.differences))
    slow = time_hostile(a.program, a.folder) > HOSTILE_S
    for name, docs in (sets[0], sets[2]):
        slow |= docs != [] and measure(name, docs, a.program, a.folder, tok)
    if slow:
        print("tokenizer: too slow")
    return 1 if tally.differences or slow else 0


if __name__ == "__main__":
    sys.exit(main())
