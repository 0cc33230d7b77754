#!/usr/bin/env python3
"""Ward beside OpenVINO GenAI.

    bench/vs/vs_openvino.py WARD MODEL PYTHON OV_MODEL [-r 3] [--task 'prefill 512' ...]

PYTHON is the interpreter of an environment with the package openvino-genai. OV_MODEL is the same weights as
bench/vs/openvino_model.py writes them, in bf16, int8 or int4. Its keys and values are f16 beside bf16 weights and u8 beside the
others: give Ward --ward-args "--kv int8" there. It reads a prompt in one step and keeps prefixes, as its VLMPipeline does.
Prompts are words of one token each; times are its own: to the first token, and per token after it; an image is what it calls
preparing embeddings: resizing and the tower. Several sequences are the time of 33 tokens less that of one. Ranking is a chat of
the reranker's words and one token of answer for each image."""
import argparse
import json
import os
import random
import re
import sys
import time

import side


def worker(model, threads):
    """Runs inside OpenVINO's environment."""
    answers = side.claim_stdout()
    import numpy
    import openvino
    import openvino_genai
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.max_num_batched_tokens, scheduler.enable_prefix_caching = 1 << 20, True
    options = {"INFERENCE_NUM_THREADS": int(threads)}
    pipe = openvino_genai.ContinuousBatchingPipeline(model, scheduler, "CPU", properties=options,
                                                     vision_encoder_properties=options)
    with open(os.path.join(model, "tokenizer.json"), encoding="utf-8") as f:
        words = [w[1:] for w in json.load(f)["model"]["vocab"] if re.fullmatch("Ġ[a-z]+", w)]
    r = random.Random(1)

    def text(n):
        return "".join(" " + w for w in r.choices(words, k=n))

    def answer(prompts, n_new, expected=None, **images):
        rules = openvino_genai.GenerationConfig(max_new_tokens=n_new, ignore_eos=True, do_sample=False, apply_chat_template=False)
        m = pipe.generate(prompts, generation_config=[rules] * len(prompts), **images)[0].perf_metrics
        if expected and m.get_num_input_tokens() != expected:
            raise RuntimeError(f"{m.get_num_input_tokens()} tokens instead of {expected}")
        return m

    def picture(width, height):
        pixels = numpy.frombuffer(r.randbytes(3 * width * height), dtype=numpy.uint8)
        return openvino.Tensor(pixels.reshape(height, width, 3))

    def judge(query, image):
        answer([side.rerank_prompt(query)], 1, images=[[image]])

    def measure(kind, size):
        size, n = int(size), side.STEPS
        if kind == "prefill":
            return 1000 * size / answer([text(size)], 1, size).get_ttft().mean
        if kind == "decode":
            depth = max(size, 1)
            return 1000 / answer([text(depth)], n + 1, depth).get_tpot().mean
        if kind == "image":
            m = answer([side.IMAGE], 1, (size // 32) ** 2 + 2, images=[[picture(size, size)]])
            return m.get_prepare_embeddings_duration().mean / 1000
        if kind == "rerank":
            images = [picture(576, 544) for _ in range(size)]
            judge("warm up", images[0])
            query = side.QUERY.format(r.random())
            start = time.monotonic()
            for image in images:
                judge(query, image)
            return time.monotonic() - start
        times = []
        for n_new in (1, n + 1):
            start = time.monotonic()
            answer([text(16) for _ in range(size)], n_new)
            times.append(time.monotonic() - start)
        return size * n / (times[1] - times[0])

    answer([text(64)], 4)
    side.answer_tasks(answers, measure)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    side.arguments(ap)
    ap.add_argument("python", help="with openvino-genai")
    ap.add_argument("ov_model")
    args = ap.parse_args()
    threads = args.threads or len(os.sched_getaffinity(0))
    peer = side.Worker("openvino-genai", [args.python, __file__, "--worker", args.ov_model, str(threads)])
    return side.compare(args, peer)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        sys.exit(worker(*sys.argv[2:]))
    sys.exit(main())
