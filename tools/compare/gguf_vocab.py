#!/usr/bin/env python3
"""GGUF files that others wrote and published (tools/fetch-gguf-vocab): gguf_vocab.py WARD FOLDER.

FOLDER has the published tokenizer.json of Qwen3. The vocabulary of Qwen2, whose pre-tokenizer and merges Qwen3 kept, must give
the ids that llama.cpp has beside it, those of tokenizer.json on longer texts, and the texts again; files that are not for Ward
are refused by one sentence."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
WARD, TOKENIZER = sys.argv[1], sys.argv[2]
BETWEEN = b"\n__ggml_vocab_test__\n"


def ward(*args, stdin=b""):
    return subprocess.run([WARD, *map(str, args)], input=stdin, capture_output=True, timeout=120,
                          env={**os.environ, "HOME": "/nonexistent"})


def tokenize(model, text, *args):
    r = ward("tokenize", "-m", model, *args, stdin=text)
    assert r.returncode == 0, r.stderr
    return r.stdout


class Published(unittest.TestCase):
    folder = None

    def file(self, name):
        return self.folder / f"ggml-vocab-{name}"

    def refused(self, command, model, sentence):
        r = ward(command, "-m", model, *([] if command == "inspect" else ["hi"]))
        self.assertEqual((r.returncode, r.stdout), (3, b""))
        self.assertEqual(r.stderr.decode(), f"ward: {model}: {sentence}\n")

    def test_the_publishers_texts_have_the_publishers_ids(self):
        model = self.file("qwen2.gguf")
        texts = self.file("qwen2.gguf.inp").read_bytes().split(BETWEEN)
        ids = self.file("qwen2.gguf.out").read_text().split("\n")
        self.assertEqual(len(texts), len(ids))
        self.assertGreater(len(texts), 40)
        for text, want in zip(texts, ids):
            self.assertEqual(tokenize(model, text).split(), want.encode().split(), text)
        self.assertEqual(tokenize(model, " ".join(ids).encode(), "--decode"), b"".join(texts))

    def test_long_texts_have_the_ids_of_the_tokenizer_in_json(self):
        for path in ["docs/spec/qwen3-vl.md", "tests/golden/tokenizer/cases.json", "src/care/phantom/chart_words.c"]:
            text = (TOP / path).read_bytes()
            got = tokenize(self.file("qwen2.gguf"), text)
            self.assertGreater(len(got.split()), 1000)
            self.assertEqual(got, tokenize(TOKENIZER, text), path)

    def test_others_are_refused_by_a_sentence(self):
        served = "expected qwen3, qwen3moe, qwen3vl or qwen3vlmoe"
        for command in ["chat", "embed", "inspect"]:
            self.refused(command, self.file("qwen2.gguf"), f'architecture "qwen2" is unknown, {served}')
            self.refused(command, self.file("llama-spm.gguf"), f'architecture "llama" is unknown, {served}')
        self.refused("tokenize", self.file("qwen35.gguf"), 'tokenizer.ggml.pre is "qwen35", expected "qwen2"')
        self.refused("tokenize", self.file("llama-spm.gguf"), 'tokenizer.ggml.model is "llama", expected "gpt2"')

    def test_a_vocabulary_alone_is_no_model(self):
        """The published file, had it been written for Qwen3: the names of its keys, all of one length, changed."""
        old = self.file("qwen2.gguf").read_bytes()
        word = old.index(b"qwen2", old.index(b"general.architecture"))
        new = (old[:word] + b"qwen3" + old[word + 5:]).replace(b"qwen2.", b"qwen3.")
        with tempfile.TemporaryDirectory(prefix="ward-gguf-") as folder:
            model = pathlib.Path(folder) / "vocabulary.gguf"
            model.write_bytes(new)
            for command in ["chat", "embed", "inspect"]:
                self.refused(command, model, "a vocabulary without weights: it can be given to tokenize")
            self.assertEqual(tokenize(model, b"Hello world"), b"9707 1879\n")


def main():
    fetched = subprocess.run([TOP / "tools" / "fetch-gguf-vocab"], stdout=subprocess.PIPE, text=True)
    if fetched.returncode:
        print("skipped: the published GGUF files cannot be fetched (tools/fetch-gguf-vocab)")
        sys.exit(77)
    Published.folder = pathlib.Path(fetched.stdout.strip())
    unittest.main(argv=sys.argv[:1], verbosity=2)


if __name__ == "__main__":
    main()
