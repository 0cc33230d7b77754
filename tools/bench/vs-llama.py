#!/usr/bin/env python3
"""Ward and llama.cpp on the same random bf16 weights, alternating in one run; medians, spread and their ratio.

    tools/bench/vs-llama.py WARD MODEL_DIR LLAMA_BIN_DIR MODEL.gguf [--mmproj MMPROJ.gguf --image PICTURE] [-r 5]

MODEL_DIR, MODEL.gguf and MMPROJ.gguf come from tools/bench/random-checkpoint.py; LLAMA_BIN_DIR holds llama-bench and
llama-mtmd-cli, built for this machine (GGML_NATIVE=ON). Prefill: 512 tokens; decode: 32 tokens after that prompt; both
with all cores."""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys


def timed(command):
    """Output, error output, and peak resident memory (MB, total and without files) of a command."""
    p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                         errors="replace")
    out, err = p.communicate()
    if p.returncode:
        sys.exit(f"{command[0]}: exit {p.returncode}: {err[-500:]}")
    return out, err


def ward(args, prompt, n, extra=()):
    command = [args.ward, "chat", "-m", args.model, "-t", "0", "-n", str(n), "--ignore-end", "--json", *extra, prompt]
    if args.threads:
        command += ["--threads", str(args.threads)]
    return json.loads(timed(command)[0])


def llama_bench(args, what):
    command = [os.path.join(args.llama, "llama-bench"), "-m", args.gguf, "-r", "1", "-o", "json", "-t",
               str(args.threads or os.cpu_count()), *what]
    return json.loads(timed(command)[0])[0]["avg_ts"]


def llama_image(args):
    command = [os.path.join(args.llama, "llama-mtmd-cli"), "-m", args.gguf, "--mmproj", args.mmproj, "--image", args.image,
               "-p", "Describe.", "-n", "1", "-c", "8192", "-t", str(args.threads or os.cpu_count()), "--temp", "0"]
    out, err = timed(command)
    ms = re.findall(r"(?:encoded|encoding done) in (\d+) ms", out + err)
    return sum(map(int, ms)) / 1000 if ms else None


def row(name, ours, theirs, unit, higher_is_better=True):
    ours, theirs = [x for x in ours if x], [x for x in theirs if x]
    if not ours or not theirs:
        print(f"{name:22} not measured")
        return
    a, b = statistics.median(ours), statistics.median(theirs)
    ratio = a / b if higher_is_better else b / a
    print(f"{name:22} ward {a:9.2f} ({min(ours):.2f}..{max(ours):.2f})   llama.cpp {b:9.2f} "
          f"({min(theirs):.2f}..{max(theirs):.2f}) {unit}   ward is {ratio:.2f} x", flush=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("ward")
    ap.add_argument("model")
    ap.add_argument("llama")
    ap.add_argument("gguf")
    ap.add_argument("--mmproj")
    ap.add_argument("--image")
    ap.add_argument("-r", "--rounds", type=int, default=5)
    ap.add_argument("--no-text", action="store_true", help="the image alone")
    ap.add_argument("-t", "--threads", type=int, default=0)
    args = ap.parse_args()

    words = "tok " * 2000
    probe = ward(args, words[:4 * 400], 1)
    per_word = (probe["usage"]["prompt_tokens"]) / 400
    prompt = words[:4 * int(512 / per_word)]
    ours = {"prefill": [], "decode": [], "image": [], "load": []}
    theirs = {"prefill": [], "decode": [], "image": []}
    for _ in range(args.rounds):
        if not args.no_text:
            v = ward(args, prompt, 33)
            n_prompt = len(v["prompt_tokens"])
            ours["prefill"].append(v["timings"]["prefill_tokens_per_s"])
            ours["decode"].append(v["timings"]["decode_tokens_per_s"])
            ours["load"].append(v["timings"]["load"])
            theirs["prefill"].append(llama_bench(args, ["-p", "512", "-n", "0"]))
            theirs["decode"].append(llama_bench(args, ["-p", "0", "-n", "32", "-d", "512"]))
        if args.image and args.mmproj:
            v = ward(args, "Describe.", 1, ["-i", args.image])
            ours["image"].append(v["timings"]["vision"])
            n_visual = v["timings"]["vision"] * v["timings"]["vision_tokens_per_s"]
            theirs["image"].append(llama_image(args))
    if not args.no_text:
        row(f"prefill of {n_prompt}", ours["prefill"], theirs["prefill"], "tokens/s")
        row("decode at depth 512", ours["decode"], theirs["decode"], "tokens/s")
        print(f"ward opens the model in {statistics.median(ours['load']):.3f} s (pages cached)")
    if args.image and args.mmproj:
        row(f"image, {n_visual:.0f} tokens", ours["image"], theirs["image"], "s", higher_is_better=False)
    picture = ["-i", args.image] if args.image else []
    big = subprocess.run([sys.executable, "-c", MEMORY, args.ward, args.model, *picture, prompt],
                         stdout=subprocess.PIPE, text=True)
    print(big.stdout.strip())


# Peak memory that is not the mapped checkpoint: the largest RssAnon + RssShmem seen while it runs.
MEMORY = r"""
import subprocess, sys, time
p = subprocess.Popen([sys.argv[1], "chat", "-m", sys.argv[2], "-t", "0", "-n", "8", "--ignore-end", "--json", *sys.argv[3:]],
                     stdout=subprocess.DEVNULL)
anon = total = 0
while p.poll() is None:
    try:
        s = dict(l.split(":", 1) for l in open(f"/proc/{p.pid}/status"))
        anon = max(anon, int(s["RssAnon"].split()[0]) + int(s["RssShmem"].split()[0]))
        total = max(total, int(s["VmHWM"].split()[0]))
    except (OSError, KeyError):
        pass
    time.sleep(0.005)
print(f"ward peak memory: {total / 1024:.0f} MiB resident, of which {anon / 1024:.0f} MiB are not mapped files")
"""

if __name__ == "__main__":
    main()
