"""A tiny byte-level BPE with the published pipeline (NFC, the Qwen pattern, byte map) and the published added tokens."""
import json

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import corpus
import shapes

PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
           r"\s+(?!\S)|\s+")


def build(path, n_base, added, n_lines, seed=1, append=None):
    """Trains on the seed text and writes tokenizer.json. append: a token that every encoded sequence ends with."""
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=n_base, min_frequency=1, show_progress=False, max_token_length=24,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tok.train_from_iterator(list(corpus.lines(n_lines, seed)), trainer)
    assert tok.get_vocab_size() == n_base, tok.get_vocab_size()
    j = json.loads(tok.to_str())
    j["added_tokens"] = [dict(id=n_base + i, content=t, single_word=False, lstrip=False, rstrip=False,
                              normalized=False, special=t not in shapes.NOT_SPECIAL) for i, t in enumerate(added)]
    if append is not None:
        end = n_base + added.index(append)
        j["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": append, "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": append, "type_id": 0}},
                     {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": append, "type_id": 1}}],
            "special_tokens": {append: {"id": append, "ids": [end], "tokens": [append]}}}
    else:
        j["post_processor"] = json.loads(processors.ByteLevel(add_prefix_space=False, trim_offsets=False,
                                                              use_regex=False).__getstate__())
    with open(path, "w", encoding="utf-8") as f:
        json.dump(j, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")
    again = Tokenizer.from_file(path)
    for i, t in enumerate(added):
        assert again.token_to_id(t) == n_base + i, t
    for word in ("yes", "no"):
        assert len(again.encode(word, add_special_tokens=False).ids) == 1, word
    return again


def main():
    import os
    out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden", "pool")
    build(os.path.join(out, "tokenizer.json"), shapes.N_BASE, shapes.ADDED, 1500)
    with open(os.path.join(out, "tokenizer_config.json"), "w", encoding="utf-8") as f:
        json.dump({"add_bos_token": False, "add_prefix_space": False, "bos_token": None, "eos_token": "<|im_end|>",
                   "pad_token": "<|endoftext|>", "unk_token": None, "errors": "replace", "model_max_length": 4096,
                   "clean_up_tokenization_spaces": False, "split_special_tokens": False,
                   "tokenizer_class": "Qwen2Tokenizer"}, f, indent=2)
        f.write("\n")


if __name__ == "__main__":
    main()
