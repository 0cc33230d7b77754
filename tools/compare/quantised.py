#!/usr/bin/env python3
"""Perplexity of a text model on replies that it was not trained on, with its weights as stored and quantised.

    tools/compare/quantised.py WARD TEST_QUANTISED MODEL [--seeds 1..40] [--ids FILE] [--only-ids] [--llama BF16,Q8_0,...]

WARD records the prompts of `ward eval assist` and their right replies (training uses seeds from 1,000,000 on); this
renders them with MODEL's chat template and tokenises them with WARD; build/tests/golden/test_quantised --table does the
rest. The likelihood is that of the replies alone. --ids keeps the token ids, as tests/golden/quantised holds some (with
--have they are read instead of made). --llama: the same in llama.cpp with the model as GGUF in these types; needs
llama-cpp-python's bindings and what tools/compare/llama.py says of its libraries. Needs jinja2 to make ids."""
import argparse
import json
import math
import os
import subprocess
import sys
import tempfile

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def template(model):
    import jinja2
    env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    env.filters["tojson"] = lambda v, **_: json.dumps(v, ensure_ascii=False)
    with open(os.path.join(model, "chat_template.jinja"), encoding="utf-8") as f:
        return env.from_string(f.read())


def tokens(ward, model, text):
    out = subprocess.run([ward, "tokenize", "-m", model, "--special", "--json"], input=text.encode(), check=True,
                         stdout=subprocess.PIPE).stdout
    return json.loads(out)["tokens"]


def likelihood(path, replies):
    """Sum of -log p of the replies' tokens, in llama.cpp."""
    import llama_cpp.llama_cpp as L
    import numpy as np
    model = L.llama_model_load_from_file(path.encode(), L.llama_model_default_params())
    if not model:
        sys.exit(f"llama.cpp does not open {path}")
    p = L.llama_context_default_params()
    p.n_ctx = p.n_batch = p.n_ubatch = 4096
    p.n_threads = p.n_threads_batch = 1
    ctx, n_vocab, total = L.llama_init_from_model(model, p), L.llama_vocab_n_tokens(L.llama_model_get_vocab(model)), 0.0
    for n_prompt, ids in replies:
        L.llama_memory_clear(L.llama_get_memory(ctx), True)
        batch = L.llama_batch_init(len(ids) - 1, 0, 1)
        for i, t in enumerate(ids[:-1]):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0] = t, i, 1, 0
            batch.logits[i] = i >= n_prompt - 1
        batch.n_tokens = len(ids) - 1
        if L.llama_decode(ctx, batch):
            sys.exit("llama.cpp cannot decode")
        for i in range(n_prompt - 1, len(ids) - 1):
            z = np.array(L.llama_get_logits_ith(ctx, i)[:n_vocab], np.float64)
            total += z.max() + math.log(np.exp(z - z.max()).sum()) - z[ids[i + 1]]
        L.llama_batch_free(batch)
    L.llama_free(ctx)
    L.llama_model_free(model)
    return total


def llama(model, ids_file, types):
    import ctypes
    import llama_cpp.llama_cpp as L
    libs = os.environ.get("LLAMA_CPP_LIB_PATH") or os.path.join(os.path.dirname(L.__file__), "lib")
    L.llama_backend_init()
    llama.quiet = L.llama_log_callback(lambda *unused: None)
    L.llama_log_set(llama.quiet, None)
    loader = ctypes.CDLL(os.path.join(libs, "libggml.so"))
    if hasattr(loader, "ggml_backend_load_all_from_path"):
        loader.ggml_backend_load_all_from_path(libs.encode())
    with open(ids_file, encoding="ascii") as f:
        replies = [(v[0], v[1:]) for v in ([int(x) for x in line.split()] for line in f)]
    n, base = sum(len(ids) - k for k, ids in replies), None
    print("\n| llama.cpp | perplexity | ratio |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for kind in ["BF16"] + [k for k in types if k != "BF16"]:
            path = os.path.join(folder, kind + ".gguf")
            subprocess.run([sys.executable, os.path.join(TOP, "tools", "to-gguf"), model, path, "--type", kind, "--ggml",
                            os.path.join(libs, "libggml-base.so")], check=True)
            perplexity = math.exp(likelihood(path, replies) / n)
            base = base or perplexity
            print(f"| {kind} | {perplexity:.5f} | {perplexity / base:.5f} |", flush=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("ward")
    ap.add_argument("program")
    ap.add_argument("model")
    ap.add_argument("--seeds", default="1..40")
    ap.add_argument("--ids")
    ap.add_argument("--most", type=int, default=500, help="texts at most")
    ap.add_argument("--only-ids", action="store_true")
    ap.add_argument("--have", action="store_true", help="--ids is there already")
    ap.add_argument("--llama", default="", metavar="TYPES")
    args = ap.parse_args()
    path = args.ids or os.path.join(tempfile.mkdtemp(), "ids")
    if not args.have:
        make_ids(args, path)
    if not args.only_ids:
        subprocess.run([args.program, "--table", args.model, path], check=True)
        if args.llama:
            llama(args.model, path, args.llama.split(","))


def make_ids(args, path):
    chat = template(args.model)
    record = subprocess.run([args.ward, "eval", "assist", "--record", "-", "--seeds", args.seeds], check=True,
                            stdout=subprocess.PIPE).stdout
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


if __name__ == "__main__":
    main()
