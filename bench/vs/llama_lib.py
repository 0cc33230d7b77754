#!/usr/bin/env python3
"""llama.cpp as a library, for vs_llama.py: llama_lib.py LIBS MODEL.gguf THREADS

LIBS holds libllama.so and what it loads, e.g. the folder bins/linux-x64 of the package @node-llama-cpp/linux-x64, whose
libggml-cpu-*.so are built for one processor family each. Needs llama-cpp-python's bindings for the structures (0.3.36).
Reads a task a line, answers with one JSON line each: tokens per second, or an error for what the library alone cannot do.

    llama_lib.py LIBS --quantise IN.gguf OUT.gguf q8_0|q4_0|q4_k_m      as llama-quantize does
"""
import ctypes
import json
import os
import random
import sys
import time

os.environ["LLAMA_CPP_LIB_PATH"] = sys.argv[1]
import llama_cpp.llama_cpp as L  # noqa: E402

STEPS = 32
FTYPE = {"q8_0": 7, "q4_0": 2, "q4_k_m": 15}    # enum llama_ftype


def start(libs):
    L.llama_backend_init()
    start.quiet = L.llama_log_callback(lambda *unused: None)
    L.llama_log_set(start.quiet, None)
    loader = ctypes.CDLL(os.path.join(libs, "libggml.so"))
    if hasattr(loader, "ggml_backend_load_all_from_path"):
        loader.ggml_backend_load_all_from_path(libs.encode())


class Model:
    def __init__(self, path, threads):
        self.model = L.llama_model_load_from_file(path.encode(), L.llama_model_default_params())
        if not self.model:
            raise RuntimeError(f"llama.cpp does not open {path}")
        self.threads, self.n_vocab = threads, L.llama_vocab_n_tokens(L.llama_model_get_vocab(self.model))
        self.random = random.Random(1)

    def context(self, tokens, sequences=1):
        p = L.llama_context_default_params()
        p.n_ctx, p.n_batch, p.n_ubatch, p.n_seq_max = tokens, 2048, 512, sequences    # as llama-bench
        p.n_threads = p.n_threads_batch = self.threads
        ctx = L.llama_init_from_model(self.model, p)
        if not ctx:
            raise RuntimeError("no context")
        return ctx

    def run(self, ctx, n, at=0, sequences=1):
        """n tokens of each sequence at positions at .., with logits of the last."""
        batch = L.llama_batch_init(n * sequences, 0, 1)
        for s in range(sequences):
            for i in range(n):
                k = s * n + i
                batch.token[k] = self.random.randrange(self.n_vocab)
                batch.pos[k], batch.n_seq_id[k], batch.seq_id[k][0] = at + i, 1, s
                batch.logits[k] = i == n - 1
        batch.n_tokens = n * sequences
        if L.llama_decode(ctx, batch):
            raise RuntimeError("llama_decode failed")
        L.llama_synchronize(ctx)
        L.llama_batch_free(batch)

    def prefill(self, ctx, n):
        for at in range(0, n, 2048):
            self.run(ctx, min(2048, n - at), at)

    def measure(self, kind, size):
        sequences = size if kind == "batch" else 1
        depth = {"prefill": size, "decode": size, "batch": 0}[kind]
        ctx = self.context((depth + STEPS + 64) * sequences, sequences)
        try:
            self.run(ctx, 1)    # warms up
            L.llama_memory_clear(L.llama_get_memory(ctx), True)
            if kind == "prefill":
                start = time.monotonic()
                self.prefill(ctx, size)
                return size / (time.monotonic() - start)
            self.prefill(ctx, depth)
            start = time.monotonic()
            for i in range(STEPS):
                self.run(ctx, 1, depth + i, sequences)
            return STEPS * sequences / (time.monotonic() - start)
        finally:
            L.llama_free(ctx)


def quantise(source, out, kind):
    p = L.llama_model_quantize_default_params()
    p.ftype = FTYPE[kind]
    if L.llama_model_quantize(source.encode(), out.encode(), ctypes.byref(p)):
        sys.exit(f"llama.cpp does not quantise {source}")


def main():
    start(sys.argv[1])
    if sys.argv[2] == "--quantise":
        quantise(*sys.argv[3:6])
        return
    model = Model(sys.argv[2], int(sys.argv[3]))
    print('{"ready": true}', flush=True)
    for line in sys.stdin:
        kind, size = line.split()
        try:
            if kind in ("image", "rerank"):
                raise RuntimeError("llama.cpp's library alone has no tower: build its programs")
            print(json.dumps({"value": model.measure(kind, int(size))}), flush=True)
        except RuntimeError as e:
            print(json.dumps({"error": str(e)}), flush=True)


if __name__ == "__main__":
    main()
