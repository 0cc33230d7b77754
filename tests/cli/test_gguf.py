#!/usr/bin/env python3
"""GGUF files in the place of directories: the golden checkpoints and the bundled models, written as GGUF, must give what
they give as they are.

usage: test_gguf.py WARD CHECKPOINTS MODELS TO_GGUF"""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

WARD, CKPT, MODELS, TO_GGUF = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4]
PICTURE = pathlib.Path(__file__).resolve().parent.parent / "golden" / "image" / "phantom.png"
GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden" / "tokenizer" / "cases.json"
EXACT = ["--precision", "exact"]    # routers are F32 in GGUF files: in fast mode their inputs are not rounded to bf16 there
QUESTION = "Is there a nodule in the right upper lobe? 右肺上叶有结节吗？"


def ward(*args):
    return subprocess.run([WARD, *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env={**os.environ, "HOME": "/nonexistent"}, timeout=120)


def ask(command, model, *args):
    threads = [] if command == "tokenize" else ["--threads", "1"]    # many short runs, perhaps beside other tests
    r = ward(command, "-m", model, "--json", *threads, *args)
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


def vector(model, *args):
    return ask("embed", model, *args)["embedding"]


def reply(model, *args):
    return ask("chat", model, "-t", "0", "-n", "24", *args)["text"]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5


class Gguf(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ward-gguf-"))
        self.addCleanup(shutil.rmtree, self.dir)

    def make(self, source, kind, *more):
        config = json.loads((source / "config.json").read_text())
        out = self.dir / f"{source.name}-{kind}"
        out.mkdir()
        vision = ["--mmproj", out / "mmproj.gguf"] if "vision_config" in config else []
        subprocess.run([sys.executable, TO_GGUF, source, out / "model.gguf", "--type", kind, *vision, *more], check=True)
        return out / "model.gguf"

    def same(self, source, kind, *options):
        """Bit for bit: the same values in the same products."""
        file = self.make(source, kind)
        sees = (file.parent / "mmproj.gguf").exists()
        for args in [[QUESTION]] + ([["--image", PICTURE, QUESTION]] if sees else []):
            self.assertEqual(vector(source, *options, *args), vector(file, *options, *args), source.name)
            self.assertEqual(reply(source, *options, *args), reply(file, *options, *args), source.name)
        return file

    def test_text_models_give_the_same_numbers(self):
        for name in "text-untied text-tied text-yarn".split():
            self.same(CKPT / name, "BF16")
        self.same(CKPT / "text-moe", "BF16", *EXACT)
        self.same(CKPT / "text-untied-f32", "F32")

    def test_vision_models_give_the_same_numbers(self):
        for name in "vl-dense vl-tied".split():
            self.same(CKPT / name, "BF16")
        for name in "vl-moe-turned vl-moe-unfused".split():
            self.same(CKPT / name, "BF16", *EXACT)
        # published experts are stored input by output, GGUF's the other way: the same sums in another order
        source, args = CKPT / "vl-moe", [*EXACT, "--image", PICTURE, QUESTION]
        self.assertGreater(cosine(vector(source, *args), vector(self.make(source, "BF16"), *args)), 0.9999999)
        self.same(CKPT / "vl-dense-f32", "F32")

    def test_half_floats_of_a_bf16_model_lose_nothing(self):
        # the pool's values are exact in f16 and in bf16: F16 in the file, and the same products as the bf16 directory
        for name in "text-untied vl-dense".split():
            self.same(CKPT / name, "F16")

    def test_bundled_models_give_the_same_numbers(self):
        self.same(MODELS / "demo-text", "BF16")
        self.same(MODELS / "demo", "BF16")

    def test_quantised_models_are_near(self):
        for kind, least in (("Q8_0", 0.999), ("Q4_0", 0.95)):
            file = self.make(MODELS / "demo-text", kind)
            a, b = vector(MODELS / "demo-text", QUESTION), vector(file, QUESTION)
            self.assertNotEqual(a, b)
            self.assertGreater(cosine(a, b), least, kind)
        file = self.make(MODELS / "demo", "Q8_0", "--mmproj-type", "Q8_0")
        args = ["--image", PICTURE, QUESTION]
        self.assertGreater(cosine(vector(MODELS / "demo", *args), vector(file, *args)), 0.99)

    def test_embedding_models_end_their_texts_as_the_directory_says(self):
        source = CKPT / "vl-embedding"
        file = self.make(source, "BF16")
        for args in ([QUESTION], ["--image", PICTURE]):
            self.assertEqual(vector(source, *args), vector(file, *args))
        self.assertEqual(ask("tokenize", source, "--post", QUESTION)["tokens"],
                         ask("tokenize", file, "--post", QUESTION)["tokens"])

    def test_tokens_are_those_of_the_directory(self):
        texts = [c["text"] for c in json.loads(GOLDEN.read_text())["cases"]]
        text = "\n".join(t for t in texts if "\0" not in t)    # all in one: a process for each would take minutes
        for source in (CKPT / "text-untied", MODELS / "demo-text", MODELS / "demo"):
            file = self.make(source, "BF16")
            for flag in ([], ["--special"]):
                want, got = (ask("tokenize", m, *flag, text) for m in (source, file))
                self.assertEqual(want["tokens"], got["tokens"])
                self.assertGreater(len(got["tokens"]), 500)

    def test_parts_of_a_split_file_are_found(self):
        source, out = CKPT / "text-untied", self.dir / "m-00001-of-00003.gguf"
        subprocess.run([sys.executable, TO_GGUF, source, out, "--split", "3"], check=True)
        self.assertEqual(vector(source, QUESTION), vector(out, QUESTION))
        (self.dir / "m-00002-of-00003.gguf").unlink()
        r = ward("chat", "-m", out, "x")
        self.assertEqual(r.returncode, 3)
        self.assertIn(b"m-00002-of-00003.gguf: cannot open", r.stderr)

    def test_vision_part_may_be_elsewhere_or_not_there(self):
        source = CKPT / "vl-dense"
        file = self.make(source, "BF16")
        args = ["--image", PICTURE, QUESTION]
        want = vector(source, *args)
        there = self.dir / "eyes.bin"
        (file.parent / "mmproj.gguf").rename(there)
        self.assertEqual(want, vector(file, "--mmproj", there, *args))
        self.assertEqual(vector(source, QUESTION), vector(file, QUESTION))    # blind, and the same for text
        r = ward("chat", "-m", file, "-t", "0", "-n", "4", *args)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn(b"no mmproj file beside", r.stderr)

    def test_what_is_wrong_is_one_sentence(self):
        file = self.make(CKPT / "vl-dense", "BF16")
        vision = file.parent / "mmproj.gguf"
        text = self.make(CKPT / "text-untied", "BF16")
        cut, other = self.dir / "cut.gguf", self.dir / "other.gguf"
        cut.write_bytes(text.read_bytes()[:5000])
        key = b"general.architecture"
        other.write_bytes(b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, len(key)) + key + struct.pack("<IQ", 8, 5) + b"llama")
        for args, code, part in (
                (["-m", vision], 3, b"give the text model with -m and this file with --mmproj"),
                (["-m", text, "--mmproj", vision], 3, b"a qwen3 model takes no vision part"),
                (["-m", CKPT / "text-untied", "--mmproj", vision], 2, b"--mmproj goes with a GGUF file"),
                (["-m", cut], 3, b"cut.gguf: the file ends (5000 bytes)"),
                (["-m", other], 3, b'architecture "llama" is unknown, expected qwen3, qwen3moe, qwen3vl or qwen3vlmoe'),
                (["-m", self.dir / "none.gguf"], 3, b"none.gguf")):
            r = ward("chat", *args, "-n", "1", "x")
            self.assertEqual(r.returncode, code, r.stderr)
            self.assertIn(part, r.stderr)
            self.assertEqual(r.stderr.count(b"\n"), 1, r.stderr)

    def test_inspect_shows_the_stored_types(self):
        file = self.make(CKPT / "vl-dense", "Q8_0", "--mmproj-type", "BF16")
        j = json.loads(ward("inspect", file, "--json", "--digest").stdout)
        self.assertEqual(j["architecture"], "qwen3_vl")
        self.assertEqual((j["missing"], j["misshaped"], j["extra"]), ([], [], []))
        self.assertGreater(j["dtypes"]["Q8_0"], 5)
        self.assertEqual(len(j["digest"]), 64)
        size = file.stat().st_size + (file.parent / "mmproj.gguf").stat().st_size
        self.assertEqual(j["memory"]["weights_bytes"], size)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[5:])
