#!/usr/bin/env python3
"""Ward beside OpenVINO GenAI.

    bench/vs/vs_openvino.py WARD MODEL PYTHON OV_MODEL [-r 3] [--task 'prefill 512' ...]

PYTHON is the interpreter of an environment with the package openvino-genai. OV_MODEL is the same weights as its LLMPipeline
opens them: a directory in OpenVINO's form, or a GGUF file of a kind it reads (bench/random-checkpoint.py --text-gguf writes the
decoder as plain qwen3). It is given token ids; times are its own: to the first token, and per token after it."""
import argparse
import os
import sys

import side

TASKS = ["prefill 512", "prefill 2048", "decode 0", "decode 4096"]


def worker(model, threads):
    """Runs inside OpenVINO's environment."""
    answers = side.claim_stdout()
    import random
    import numpy
    import openvino
    import openvino_genai
    more = {"INFERENCE_NUM_THREADS": int(threads)} if int(threads) else {}
    pipe = openvino_genai.LLMPipeline(model, "CPU", **more)
    r = random.Random(1)

    def times(n_prompt, n_new):
        """Milliseconds to the first token, and per token after it."""
        ids = numpy.array([[r.randrange(1000, 100000) for _ in range(n_prompt)]], dtype=numpy.int64)
        given = openvino_genai.TokenizedInputs(openvino.Tensor(ids), openvino.Tensor(numpy.ones_like(ids)))
        rules = openvino_genai.GenerationConfig(max_new_tokens=n_new, ignore_eos=True, do_sample=False)
        m = pipe.generate(given, rules).perf_metrics
        return m.get_ttft().mean, m.get_tpot().mean

    def measure(kind, size):
        if kind == "prefill":
            return 1000 * int(size) / times(int(size), 1)[0]
        if kind == "decode":
            return 1000 / times(max(int(size), 1), side.STEPS + 1)[1]
        return None

    times(64, 4)
    side.answer_tasks(answers, measure)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    side.arguments(ap, TASKS)
    ap.add_argument("python", help="with openvino-genai")
    ap.add_argument("ov_model")
    args = ap.parse_args()
    threads = args.threads or len(os.sched_getaffinity(0))
    peer = side.Worker("openvino-genai", [args.python, __file__, "--worker", args.ov_model, str(threads)])
    return side.compare(args, peer, TASKS)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        sys.exit(worker(*sys.argv[2:]))
    sys.exit(main())
