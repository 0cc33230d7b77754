#!/usr/bin/env python3
"""The same GGUF files in Ward and in llama.cpp: tokens, and the last hidden state of each text.

    tools/compare/llama.py WARD [--texts N] [--types F32,BF16,...] [--keep DIR]

Needs llama-cpp-python's bindings (0.3.36; LLAMA_CPP_LIB_PATH may name the folder of another build of the libraries, with
libggml-base.so, whose quantisers write the files) and numpy. Two models: models/demo-text, and one made here with random
weights and rows of 256 and 768 values, so that every block format fits.

Prints for each type: the distance |a - b| / |b| of normalised hidden states between Ward and llama.cpp on the same file, and
beside it what the type itself costs, llama.cpp on this file against llama.cpp on the F32 file; both the mean over the
texts. Exit status 1 when tokens differ or when Ward is further from llama.cpp than the type costs (for F32, F16 and BF16:
than 1 %).
"""
import argparse
import ctypes
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

import llama_cpp.llama_cpp as L
import numpy as np

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
TYPES = "F32,F16,BF16,Q8_0,Q6_K,Q5_K,Q5_1,Q5_0,Q4_K_M,Q4_K,Q4_1,Q4_0,IQ4_NL"
LIBS = os.environ.get("LLAMA_CPP_LIB_PATH") or os.path.join(os.path.dirname(L.__file__), "lib")


def wide(out):
    """A qwen3 checkpoint with random bf16 weights of sound sizes, and the golden tokenizer."""
    pool = os.path.join(TOP, "tests", "golden", "pool")
    os.makedirs(out)
    for name in ("tokenizer.json", "chat_template.jinja"):
        shutil.copyfile(os.path.join(pool, name), os.path.join(out, name))
    config = dict(model_type="qwen3", vocab_size=2048, hidden_size=256, intermediate_size=768, num_hidden_layers=6,
                  num_attention_heads=8, num_key_value_heads=2, head_dim=64, rms_norm_eps=1e-6, rope_theta=1e6,
                  max_position_embeddings=4096, hidden_act="silu", attention_bias=False, tie_word_embeddings=True,
                  eos_token_id=1992, bos_token_id=1990)
    with open(os.path.join(out, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f)
    shapes = {"model.embed_tokens.weight": [2048, 256], "model.norm.weight": [256]}
    for i in range(6):
        at = f"model.layers.{i}."
        shapes.update({at + "input_layernorm.weight": [256], at + "post_attention_layernorm.weight": [256],
                       at + "self_attn.q_norm.weight": [64], at + "self_attn.k_norm.weight": [64],
                       at + "self_attn.q_proj.weight": [512, 256], at + "self_attn.k_proj.weight": [128, 256],
                       at + "self_attn.v_proj.weight": [128, 256], at + "self_attn.o_proj.weight": [256, 512],
                       at + "mlp.gate_proj.weight": [768, 256], at + "mlp.up_proj.weight": [768, 256],
                       at + "mlp.down_proj.weight": [256, 768]})
    r, head, data = np.random.default_rng(7), {}, b""
    for name, shape in shapes.items():
        v = r.standard_normal(shape).astype(np.float32)
        v = 1 + 0.02 * v if len(shape) == 1 else v / np.float32(np.sqrt(shape[1]))
        raw = ((v.view(np.uint32) + 0x8000) >> 16).astype(np.uint16).tobytes()
        head[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    line = json.dumps(head).encode()
    with open(os.path.join(out, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(line)) + line + data)


class Llama:
    def __init__(self, path):
        self.model = L.llama_model_load_from_file(path.encode(), L.llama_model_default_params())
        if not self.model:
            sys.exit(f"llama.cpp does not open {path}")
        p = L.llama_context_default_params()
        p.n_ctx, p.n_batch, p.n_ubatch, p.embeddings = 2048, 2048, 2048, True
        p.pooling_type, p.type_k, p.type_v = 0, 0, 0    # none; keys and values in f32
        p.n_threads = p.n_threads_batch = 1
        self.ctx = L.llama_init_from_model(self.model, p)
        self.vocab = L.llama_model_get_vocab(self.model)
        self.n = L.llama_model_n_embd(self.model)

    def tokens(self, text):
        raw, out = text.encode(), (ctypes.c_int32 * 4096)()
        n = L.llama_tokenize(self.vocab, raw, len(raw), out, 4096, False, False)
        return list(out[:n])

    def state(self, ids):
        L.llama_memory_clear(L.llama_get_memory(self.ctx), True)
        kept = (ctypes.c_int32 * len(ids))(*ids)    # the batch only points to it
        batch = L.llama_batch_get_one(kept, len(ids))
        if L.llama_decode(self.ctx, batch):
            sys.exit("llama.cpp cannot decode")
        v = np.array(L.llama_get_embeddings_ith(self.ctx, -1)[:self.n], np.float64)
        return v / np.linalg.norm(v)

    def close(self):
        L.llama_free(self.ctx)
        L.llama_model_free(self.model)


def ward(program, command, model, text):
    threads = ["--threads", "1"] if command == "embed" else []
    done = subprocess.run([program, command, "-m", model, "--json", *threads, text], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def texts(n):
    with open(os.path.join(TOP, "tests", "golden", "tokenizer", "cases.json"), encoding="utf-8") as f:
        cases = [c["text"] for c in json.load(f)["cases"]]
    import unicodedata    # llama.cpp does not normalise: texts that NFC leaves alone, and that have no control characters
    good = [t for t in cases if 8 <= len(t) <= 400 and unicodedata.normalize("NFC", t) == t and t.isprintable()
            and not t.startswith("-") and "<|" not in t and "<think" not in t]
    return good[:n]


def distance(a, b):
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("ward")
    ap.add_argument("--texts", type=int, default=12)
    ap.add_argument("--types", default=TYPES)
    ap.add_argument("--keep", help="a folder for the files, which stay")
    a = ap.parse_args()
    folder = a.keep or tempfile.mkdtemp(prefix="ward-llama-")
    os.makedirs(folder, exist_ok=True)
    L.llama_backend_init()
    quiet = L.llama_log_callback(lambda *unused: None)
    L.llama_log_set(quiet, None)
    loader = ctypes.CDLL(os.path.join(LIBS, "libggml.so"))
    if hasattr(loader, "ggml_backend_load_all_from_path"):
        loader.ggml_backend_load_all_from_path(LIBS.encode())
    if not os.path.exists(os.path.join(folder, "wide")):
        wide(os.path.join(folder, "wide"))
    bad, list_of_texts = 0, texts(a.texts)
    for source in (os.path.join(TOP, "models", "demo-text"), os.path.join(folder, "wide")):
        name, base = os.path.basename(source), None
        print(f"{name}: {len(list_of_texts)} texts\n{'type':8} {'ward - llama':>13} {'type costs':>11} {'nearest token':>14}")
        for kind in ["F32"] + [k for k in a.types.split(",") if k != "F32"]:
            path = os.path.join(folder, f"{name}-{kind}.gguf")
            if not os.path.exists(path):
                subprocess.run([sys.executable, os.path.join(TOP, "tools", "to-gguf"), source, path, "--type", kind, "--ggml",
                                os.path.join(LIBS, "libggml-base.so")], check=True)
            llama = Llama(path)
            ids = [llama.tokens(t) for t in list_of_texts]
            for t, i in zip(list_of_texts, ids):
                if kind == "F32" and ward(a.ward, "tokenize", path, t)["tokens"] != i:
                    print(f"  tokens differ: {ascii(t)}")
                    bad = 1
            theirs = [llama.state(i) for i in ids]
            llama.close()
            ours = [np.array(ward(a.ward, "embed", path, t)["embedding"]) for t in list_of_texts]
            base = base or theirs
            off = np.mean([distance(x, y) for x, y in zip(ours, theirs)])
            cost = np.mean([distance(x, y) for x, y in zip(theirs, base)])
            head = np.load(os.path.join(folder, name + ".npy")) if os.path.exists(os.path.join(folder, name + ".npy")) else None
            if head is None:
                sys.path.insert(0, os.path.join(TOP, "tools"))
                import importlib.machinery
                import importlib.util
                spec = importlib.util.spec_from_loader("to_gguf", importlib.machinery.SourceFileLoader(
                    "to_gguf", os.path.join(TOP, "tools", "to-gguf")))
                to_gguf = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(to_gguf)
                head = to_gguf.Checkpoint(source)["embed_tokens.weight"]
                np.save(os.path.join(folder, name + ".npy"), head)
            same = sum(int(np.argmax(head @ x) == np.argmax(head @ y)) for x, y in zip(ours, theirs))
            limit = max(cost, 0.01)
            bad |= off > limit
            print(f"{kind:8} {100 * off:12.3f}% {100 * cost:10.3f}% {same:8}/{len(ids)}{'   FURTHER' if off > limit else ''}")
            sys.stdout.flush()
    if not a.keep:
        shutil.rmtree(folder)
    return bad


if __name__ == "__main__":
    sys.exit(main())
