#!/usr/bin/env python3
"""Ward beside llama.cpp.

    bench/vs/vs_llama.py WARD MODEL LLAMA_BIN_DIR MODEL.gguf [--mmproj MMPROJ.gguf] [-r 3] [--task 'prefill 512' ...]

MODEL, MODEL.gguf and MMPROJ.gguf come from bench/random-checkpoint.py (quantised ones: llama-quantize, ward quantize).
LLAMA_BIN_DIR holds llama-bench, llama-batched-bench, llama-mtmd-cli and llama-server, built for this machine
(GGML_NATIVE=ON); or libllama.so and the libraries beside it, which do all but images and ranking (llama_lib.py).
Decode is timed without sampling on both sides; an image is the vision tower alone on both; ranking is llama-server with a
chat of the reranker's words, its prefix cache on, one token of answer."""
import argparse
import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

import side

PORT = 18437


class Llama:
    name = "llama.cpp"

    def __init__(self, args):
        self.args = args
        self.threads = str(args.threads or len(os.sched_getaffinity(0)))

    def program(self, name):
        path = os.path.join(self.args.llama, name)
        if not os.path.exists(path):
            raise RuntimeError(f"{path} is not there")
        return path

    def bench(self, *what):
        out, _ = side.output([self.program("llama-bench"), "-m", self.args.gguf, "-r", "1", "-o", "json", "-t", self.threads,
                              *what])
        return json.loads(out)[-1]["avg_ts"]

    def image(self, pixels, run):
        if not self.args.mmproj:
            return None
        with tempfile.NamedTemporaryFile(suffix=".png") as f:
            f.write(side.noise_png(pixels, pixels, run))
            f.flush()
            out, err = side.output([self.program("llama-mtmd-cli"), "-m", self.args.gguf, "--mmproj", self.args.mmproj, "--image",
                                    f.name, "-p", "Describe.", "-n", "1", "-c", "8192", "-t", self.threads, "--temp", "0"])
        ms = re.findall(r"(?:encoded|encoding done) in (\d+) ms", out + err)
        return sum(map(int, ms)) / 1000 if ms else None

    def batch(self, n):
        out, _ = side.output([self.program("llama-batched-bench"), "-m", self.args.gguf, "-c", str(n * 64 + 512), "-npp", "16",
                              "-ntg", str(side.STEPS), "-npl", str(n), "-t", self.threads, "--output-format", "jsonl"])
        (line,) = [json.loads(x) for x in out.splitlines() if x.startswith("{") and '"speed_tg"' in x]
        return line["speed_tg"]

    def rerank(self, n, run):
        """One server per run: what it keeps from one run does not help the next."""
        if not self.args.mmproj:
            return None
        images = [base64.b64encode(side.noise_png(576, 544, 100 * run + i)).decode() for i in range(n)]
        server = subprocess.Popen([self.program("llama-server"), "-m", self.args.gguf, "--mmproj", self.args.mmproj, "-c", "8192",
                                   "-np", "1", "-t", self.threads, "--port", str(PORT), "--host", "127.0.0.1"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.wait(server)
            self.ask("warm up", images[0])
            start = time.monotonic()
            for image in images:
                self.ask(side.QUERY.format(run + 1), image)
            return time.monotonic() - start
        finally:
            server.terminate()
            server.wait()

    @staticmethod
    def wait(server):
        for _ in range(600):
            if server.poll() is not None:
                raise RuntimeError(f"llama-server ended with {server.returncode}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=5):
                    return
            except OSError:
                time.sleep(0.2)
        raise RuntimeError("llama-server does not answer")

    @staticmethod
    def ask(query, image):
        body = {"messages": [{"role": "system", "content": side.SYSTEM},
                             {"role": "user", "content": [{"type": "text", "text": side.ASKED.format(query)}, {
                                 "type": "image_url", "image_url": {"url": "data:image/png;base64," + image}}]}],
                "max_tokens": 1, "temperature": 0, "cache_prompt": True}
        rq = urllib.request.Request(f"http://127.0.0.1:{PORT}/v1/chat/completions", json.dumps(body).encode(),
                                    {"Content-Type": "application/json"})
        with urllib.request.urlopen(rq, timeout=600) as reply:
            json.load(reply)

    def measure(self, task, run):
        kind, size = task.split()
        if kind == "prefill":
            return self.bench("-p", "64," + size, "-n", "0", "--no-warmup")    # 64 tokens warm up, not as many again
        if kind == "decode":
            return self.bench("-p", "0", "-n", str(side.STEPS), "-d", size)
        return {"image": lambda: self.image(int(size), run), "rerank": lambda: self.rerank(int(size), run),
                "batch": lambda: self.batch(int(size))}[kind]()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    side.arguments(ap)
    ap.add_argument("llama", help="folder of llama.cpp's programs")
    ap.add_argument("gguf")
    ap.add_argument("--mmproj")
    args = ap.parse_args()
    peer = Llama(args)
    if not os.path.exists(os.path.join(args.llama, "llama-bench")):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "llama_lib.py")
        peer = side.Worker("llama.cpp", [sys.executable, script, args.llama, args.gguf, peer.threads])
    return side.compare(args, peer)


if __name__ == "__main__":
    sys.exit(main())
