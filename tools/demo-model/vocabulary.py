"""The demo models' byte-level BPE, in tokenizer.json form, with Qwen's pipeline and special tokens."""
import argparse
import glob
import json
import os
import re
import sys

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import shape

PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
           r"\s+(?!\S)|\s+")
CONFIG = {"add_bos_token": False, "add_prefix_space": False, "bos_token": None, "eos_token": "<|im_end|>",
          "pad_token": "<|endoftext|>", "unk_token": None, "errors": "replace", "model_max_length": 8192,
          "clean_up_tokenization_spaces": False, "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer"}


def build(folder, texts, vocab):
    """Trains on the texts and writes tokenizer.json and tokenizer_config.json into the folder."""
    n_base = vocab - len(shape.ADDED)
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=n_base, min_frequency=1, show_progress=False, max_token_length=36,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    # both words of the reranking head are tokens of their own
    tok.train_from_iterator([*texts, *["yes no"] * 100, *["no yes"] * 100, *["yes", "no"] * 100], trainer)
    if tok.get_vocab_size() != n_base:
        raise ValueError(f"{tok.get_vocab_size()} tokens were found in the texts, {n_base} were asked for")
    j = json.loads(tok.to_str())
    j["added_tokens"] = [dict(id=n_base + i, content=t, single_word=False, lstrip=False, rstrip=False,
                              normalized=False, special=t not in shape.NOT_SPECIAL)
                         for i, t in enumerate(shape.ADDED)]
    j["post_processor"] = json.loads(processors.ByteLevel(add_prefix_space=False, trim_offsets=False,
                                                          use_regex=False).__getstate__())
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as f:
        json.dump(j, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as f:
        json.dump(CONFIG, f, indent=2)
        f.write("\n")


class Vocabulary:
    def __init__(self, folder):
        self.tok = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        self.n = self.tok.get_vocab_size()
        self.image, self.end = (self.tok.token_to_id(t) for t in ("<|image_pad|>", "<|im_end|>"))
        self.yes, self.no = self.word("yes"), self.word("no")

    def word(self, s):
        (i,) = self.tok.encode(s, add_special_tokens=False).ids
        return i

    def ids(self, text):
        """Special tokens written in the text become themselves: for prompts that the product rendered."""
        return self.tok.encode(text, add_special_tokens=False).ids

    def prompt(self, text, tokens):
        """ids with the k-th picture's placeholder repeated tokens[k] times."""
        out, k = [], 0
        for i in self.ids(text):
            if i == self.image:
                out += [i] * tokens[k]
                k += 1
            else:
                out.append(i)
        if k != len(tokens):
            raise ValueError(f"a prompt with {k} places for {len(tokens)} pictures")
        return out


def texts(folder, suites):
    """What is asked and said in the shards of collect.py, and the sentences of chest series in both languages."""
    for suite in suites:
        for path in sorted(glob.glob(os.path.join(folder, f"{suite}-*.jsonl")))[:4]:
            with open(path, encoding="utf-8") as f:
                for line in f:
                    c = json.loads(line)
                    # the same instructions stand before every call: their words count once in a while
                    yield c["reply"]
                    yield c["prompt"].split("<|im_start|>user\n", 1)[1]
                    if c["seed"] % 20 < 2:
                        yield c["prompt"]
                    for finding in c.get("truth", {}).get("findings", []):
                        yield from finding["text"].values()


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", required=True)
    p.add_argument("--suites", required=True, help="comma-separated")
    p.add_argument("--size", type=int, required=True)
    p.add_argument("--more", nargs="*", default=[], help="text files with further words")
    p.add_argument("out")
    a = p.parse_args()
    more = []
    for path in a.more:
        with open(path, encoding="utf-8") as f:
            more += f.read().splitlines()
    special = re.compile(r"<\|[a-z_]+\|>|</?tool_[a-z]+>")
    build(a.out, [s for t in [*texts(a.data, a.suites.split(",")), *more] for s in special.split(t) if s], a.size)
    return 0


if __name__ == "__main__":
    sys.exit(main())
