"""Ward and a peer on the same weights and machine, taking turns; ratios of medians with their spread.

A task is "prefill 512", "decode 4096" (at that depth), "image 1024" (a square), "rerank 12" (images of 306 tokens against
one sentence) or "batch 8" (decoded together). A peer is an object with `name` and measure(task, run) -> tokens per second, or
seconds for image and rerank, or None for what it cannot do.
"""
import json
import os
import random
import statistics
import struct
import subprocess
import sys
import zlib

TASKS = ["prefill 512", "prefill 2048", "decode 0", "decode 4096", "image 512", "image 1024", "rerank 12", "batch 8"]
STEPS = 32    # tokens decoded in a run
IN_SECONDS = ("image", "rerank")
SYSTEM = ("Judge whether the Document meets the requirements based on the Query and the Instruct provided. Note that the "
          'answer can only be "yes" or "no".')    # the reranker's words, for peers that have no ranking of their own
QUERY = "Finding {}: a small nodule in the right upper lobe, unchanged since last year."
ASKED = "<Instruct>: Given a search query, retrieve relevant candidates that answer the query.\n<Query>:{}\n<Document>:"
IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"


def arguments(ap, tasks=TASKS):
    """What every comparison takes."""
    ap.add_argument("ward", help="the program")
    ap.add_argument("model", help="its checkpoint, from bench/random-checkpoint.py")
    ap.add_argument("--task", action="append", metavar="'KIND SIZE'", help="default: " + ", ".join(tasks))
    ap.add_argument("-r", "--rounds", type=int, default=3)
    ap.add_argument("-t", "--threads", type=int, default=0, help="of both; 0: one per core")
    ap.add_argument("--ward-args", default="", help="more options of ward bench, in one word")
    ap.add_argument("--json", metavar="FILE", help="also write every figure there")


def output(command, **more):
    p = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                       errors="replace", **more)
    if p.returncode:
        raise RuntimeError(f"{command[0]}: exit {p.returncode}: {p.stderr[-300:]}")
    return p.stdout, p.stderr


class Ward:
    name = "ward"

    def __init__(self, args):
        self.args = args

    def measure(self, task, _run):
        kind, size = task.split()
        command = [self.args.ward, "bench", self.args.model, "--seconds", "0", "--repeat", "1", "--steps", str(STEPS), "--json",
                   "--only", kind, "--" + kind, size, *self.args.ward_args.split()]
        if self.args.threads:
            command += ["--threads", str(self.args.threads)]
        (result,) = json.loads(output(command)[0])["results"]
        return result.get("median")


def ratio(kind, ours, theirs):
    """How many times faster ours is."""
    return theirs / ours if kind in IN_SECONDS else ours / theirs


def compare(args, peer, tasks=TASKS):
    """Prints a line per task: both medians, least and most, and the ratio of medians with that of single rounds."""
    sides, rows = (Ward(args), peer), []
    print(f"{'':14} {'ward':>30} {peer.name:>30}   ward is", flush=True)
    for task in args.task or tasks:
        kind = task.split()[0]
        got, why = ([], []), None
        for run in range(args.rounds):
            order = (0, 1) if run % 2 == 0 else (1, 0)    # neither side always goes first
            for i in order:
                if why:
                    continue
                try:
                    value = sides[i].measure(task, run)
                except (RuntimeError, OSError, ValueError, KeyError, json.JSONDecodeError) as e:
                    why = f"{sides[i].name}: {e}"
                    continue
                if value is None:
                    why = f"{sides[i].name} does not do this"
                else:
                    got[i].append(value)
        if why:
            print(f"{task:14} not compared: {why}", flush=True)
            rows.append({"task": task, "not_compared": why})
            continue
        a, b = map(statistics.median, got)
        each = [ratio(kind, x, y) for x, y in zip(*got)]
        unit = "s" if kind in IN_SECONDS else "tok/s"
        text = [f"{m:.2f} {unit} ({min(v):.2f}..{max(v):.2f})" for m, v in ((a, got[0]), (b, got[1]))]
        print(f"{task:14} {text[0]:>30} {text[1]:>30}   {ratio(kind, a, b):.2f} x ({min(each):.2f}..{max(each):.2f})",
              flush=True)
        rows.append({"task": task, "unit": unit, "ward": got[0], "peer": got[1], "ratio": ratio(kind, a, b), "ratios": each})
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"peer": peer.name, "model": args.model, "results": rows}, f, indent=2)
            f.write("\n")
    return 0


class Worker:
    """A peer that lives in another Python: a script that answers one JSON line per task on standard input."""

    def __init__(self, name, command, env=None):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        if not self.process.stdout.readline().startswith('{"ready"'):
            raise RuntimeError(f"{name} did not start")

    def measure(self, task, _run):
        self.process.stdin.write(task + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("ended")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]


def claim_stdout():
    """For a worker, first of all: standard output for answers alone; whatever a library prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def answer_tasks(real, measure):
    """The other end of Worker."""
    print('{"ready": true}', file=real, flush=True)
    for line in sys.stdin:
        try:
            print(json.dumps({"value": measure(*line.split())}), file=real, flush=True)
        except Exception as e:    # whatever a peer throws is an answer
            print(json.dumps({"error": f"{type(e).__name__}: {e}"[:300]}), file=real, flush=True)


def rerank_prompt(query):
    """One pair as it is read, for a peer that renders no chat."""
    return (f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{ASKED.format(query)}{IMAGE}<|im_end|>\n"
            "<|im_start|>assistant\n")


def noise_png(width, height, seed):
    """A picture that no cache knows."""
    r = random.Random(seed)
    rows = b"".join(b"\0" + r.randbytes(3 * width) for _ in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")
