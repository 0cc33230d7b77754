#!/usr/bin/env python3
"""ward quantize: a written checkpoint is read back here from docs/quantised.md alone, and answers as --weights does.

usage: test_quantize.py WARD MODEL   MODEL: models/demo-text"""
import json
import math
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

WARD, MODEL = sys.argv[1], pathlib.Path(sys.argv[2])


def ward(*args, code=0):
    r = subprocess.run([WARD, *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       env={**os.environ, "HOME": "/nonexistent"}, timeout=120)
    if r.returncode != code:
        raise AssertionError(f"{args}: exit {r.returncode}: {r.stderr.decode()}")
    return r.stdout.decode() if code == 0 else r.stderr.decode()


class File:
    def __init__(self, path):
        self.bytes = path.read_bytes()
        n = struct.unpack_from("<Q", self.bytes)[0]
        self.start, self.head = 8 + n, json.loads(self.bytes[8:8 + n])

    def get(self, name):
        t = self.head[name]
        at, end = t["data_offsets"]
        data = self.bytes[self.start + at:self.start + end]
        if t["dtype"] == "BF16":
            return t["shape"], [struct.unpack("<f", b"\0\0" + data[i:i + 2])[0] for i in range(0, len(data), 2)]
        return t["shape"], list(struct.unpack(f"<{len(data) // 2}e", data) if t["dtype"] == "F16" else data)


def matrix(f, name):
    """By docs/quantised.md, a value at a time."""
    (stripes, quads, sixteen, four), u = f.get(name)
    (_, groups, _), scale = f.get(name + "_scale")
    zero = f.get(name + "_zero")[1] if name + "_zero" in f.head else None
    n_in = quads * (8 if zero else 4)
    assert sixteen == 16 and four == 4
    rows = []
    for o in range(16 * stripes):
        row = []
        for k in range(n_in):
            s = (o // 16 * groups + k // (n_in // groups)) * 16 + o % 16
            if zero:
                byte = u[((o // 16 * quads + k // 8) * 16 + o % 16) * 4 + k % 4]
                row.append(scale[s] * ((byte >> 4 if k % 8 >= 4 else byte & 15) - zero[s] / 16))
            else:
                row.append(scale[s] * (u[((o // 16 * quads + k // 4) * 16 + o % 16) * 4 + k % 4] - 128))
        rows.append(row)
    return rows


def answer(model, *options):
    v = json.loads(ward("chat", "-m", model, "--json", "-n", 24, "-t", 0, "--ignore-end", "--threads", 1, *options, "Which medications?"))
    return v["tokens"]


class Quantize(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.out = pathlib.Path(self.dir.name) / "out"

    def tearDown(self):
        self.dir.cleanup()

    def test_what_is_written_is_what_the_page_says(self):
        stored = File(MODEL / "model.safetensors")
        for kind, limit in (("w8", 0.006), ("w4", 0.10)):
            out = self.out / kind
            r = json.loads(ward("quantize", MODEL, out, "--type", kind, "--json"))
            self.assertLess(r["bits_per_weight"], 8.51)
            f = File(out / "model.safetensors")
            self.assertEqual(f.start % 64, 0)
            for name in ("model.layers.0.self_attn.k_proj.weight", "model.layers.1.self_attn.o_proj.weight"):
                self.assertEqual(name + "_zero" in f.head, kind == "w4")
                (n_out, n_in), want = stored.get(name)
                got = [v for row in matrix(f, name) for v in row]
                self.assertEqual(len(got), n_out * n_in)
                error = math.dist(got, want) / math.hypot(*want)
                self.assertLess(error, limit)
                self.assertGreater(error, limit / 10)
            self.assertEqual(f.get("model.norm.weight"), stored.get("model.norm.weight"))
            config = json.loads((out / "config.json").read_text())
            self.assertEqual(config["quantization_config"]["bits"], int(kind[1]))
            self.assertEqual((out / "tokenizer.json").read_bytes(), (MODEL / "tokenizer.json").read_bytes())

    def test_it_answers_as_the_same_weights_quantised_at_start(self):
        ward("quantize", MODEL, self.out, "--type", "w4")
        self.assertEqual(answer(self.out), answer(MODEL, "--weights", "w4"))
        self.assertIn("4 bits", ward("inspect", self.out))
        self.assertIn("already", ward("chat", "-m", self.out, "--weights", "w8", "x", code=3))
        self.assertIn("already", ward("quantize", self.out, self.out / "again", code=3))

    def test_nothing_is_written_over(self):
        self.out.mkdir()
        (self.out / "mine").write_text("keep")
        self.assertIn("empty directory", ward("quantize", MODEL, self.out, code=3))
        self.assertEqual(sorted(os.listdir(self.out)), ["mine"])

    def test_wrong_arguments_are_named(self):
        self.assertIn("expected w8 or w4", ward("quantize", MODEL, self.out, "--type", "q5", code=2))
        self.assertIn("expected 32, 64 or 128", ward("quantize", MODEL, self.out, "--group", 48, code=2))
        self.assertIn("IN and OUT", ward("quantize", MODEL, code=2))
        self.assertIn("as-stored, w8 or w4", ward("chat", "-m", MODEL, "--weights", "w5", "x", code=2))
        self.assertFalse(self.out.exists())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
