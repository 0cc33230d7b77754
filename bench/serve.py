#!/usr/bin/env python3
"""Time to first token, time between tokens and tokens per second of OpenAI-compatible servers under some load.

    bench/serve.py --server ward=http://127.0.0.1:8080/v1 --server llama=http://127.0.0.1:8081/v1 \\
                   --streams 1,4,8,16 --prompt 512 --tokens 64 --rounds 2

For each number of streams, that many clients of each server ask at once, one request after the other, each a stream of
exactly --tokens tokens (ignore_eos). Servers take turns, round by round, in one run: what the machine does meanwhile hits all
alike. Only one server works at a time. Prompts are words drawn from a seed, no two alike from their first word on, so that no
server answers from a cache; --shared WORDS puts that many words before each that are the same.

Times are the client's, from before the request is sent: first token = the first chunk with text or reasoning. Between tokens =
(last chunk - first chunk) / (tokens - 1) of each request, since a chunk may hold several tokens; gap = the longest time between
two chunks. Tokens are counted by the server's own usage. Standard library only.
"""
import argparse
import json
import os
import random
import sys
import threading
import time
import urllib.error
import urllib.request

WORDS = ("left right upper lower lobe effusion nodule fracture normal heart size line tip no free air under "
         "diaphragm mild scoliosis unchanged since last film small large opacity basal atelectasis hilar").split()


def prompt(rng, n, shared):
    """n words after the shared ones, with numbers, so that no two are alike."""
    own = [f"{rng.randrange(10**6)}"] + [rng.choice(WORDS) for _ in range(n - 1)]
    return " ".join(shared + own)


def quantile(v, q):
    v = sorted(v)
    return v[min(len(v) - 1, int(q * len(v)))] if v else float("nan")


class Server:
    def __init__(self, text, key):
        self.name, _, self.url = text.partition("=")
        if not self.url:
            sys.exit(f"--server {text}: expected NAME=URL")
        self.url = self.url.rstrip("/")
        self.key = key
        self.model = None

    def open(self, path, body=None, timeout=600):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        data = None if body is None else json.dumps(body).encode()
        return urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers), timeout=timeout)

    def find_model(self):
        with self.open("/models") as r:
            self.model = json.load(r)["data"][0]["id"]

    def ask(self, text, n_token):
        """One stream: what came of it, or its error."""
        body = {"model": self.model, "messages": [{"role": "user", "content": text}], "stream": True, "max_tokens": n_token,
                "temperature": 0, "ignore_eos": True, "stream_options": {"include_usage": True}}
        start, first, last, gap, usage = time.monotonic(), None, None, 0.0, None
        try:
            with self.open("/chat/completions", body) as r:
                for line in r:
                    if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                        continue
                    v = json.loads(line[6:])
                    if "error" in v:
                        return {"error": v["error"]["message"]}
                    usage = v.get("usage") or usage
                    delta = v["choices"][0]["delta"] if v.get("choices") else {}
                    if not (delta.get("content") or delta.get("reasoning_content")):
                        continue
                    now = time.monotonic()
                    gap = max(gap, now - last) if last else gap
                    first, last = first or now, now
        except (OSError, ValueError, KeyError) as e:
            return {"error": f"{type(e).__name__}: {e}"}
        if first is None or not usage:
            return {"error": "no text, or no usage"}
        n = usage["completion_tokens"]
        return {"first": first - start, "between": (last - first) / max(n - 1, 1), "gap": gap, "tokens": n,
                "prompt": usage["prompt_tokens"], "start": start, "end": time.monotonic()}


def load(server, streams, requests, texts, n_token):
    """`requests` one after the other on each of `streams` threads."""
    done, lock, begin = [], threading.Lock(), threading.Barrier(streams)

    def client(mine):
        begin.wait()
        for text in mine:
            r = server.ask(text, n_token)
            with lock:
                done.append(r)

    threads = [threading.Thread(target=client, args=(texts[i * requests:(i + 1) * requests],)) for i in range(streams)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return done


def summary(results):
    good = [r for r in results if "error" not in r]
    out = {"requests": len(results), "failed": len(results) - len(good)}
    for what in ("first", "between", "gap"):
        v = [r[what] for r in good]
        out[what] = {"p50": quantile(v, 0.5), "p95": quantile(v, 0.95)}
    out["prompt_tokens"] = sum(r["prompt"] for r in good)
    out["tokens"] = sum(r["tokens"] for r in good)
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--server", action="append", required=True, metavar="NAME=URL", help="the part before /chat/completions")
    p.add_argument("--key", default=os.environ.get("OPENAI_API_KEY", "none"), help="default: $OPENAI_API_KEY")
    p.add_argument("--streams", default="1,4,8,16", help="numbers of clients at a time")
    p.add_argument("--requests", type=int, default=1, help="of each client in a round")
    p.add_argument("--rounds", type=int, default=1)
    p.add_argument("--prompt", type=int, default=256, help="words of a prompt")
    p.add_argument("--shared", type=int, default=0, help="words that stand before all of them")
    p.add_argument("--tokens", type=int, default=64, help="of a reply")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    servers = [Server(s, a.key) for s in a.server]
    rng = random.Random(a.seed)
    shared = [rng.choice(WORDS) for _ in range(a.shared)]
    for s in servers:
        s.find_model()
        warm = s.ask(prompt(rng, 16, []), 4)
        if "error" in warm:
            sys.exit(f"{s.name}: {warm['error']}")
    rows = []
    for n in map(int, a.streams.split(",")):
        results, wall = {s.name: [] for s in servers}, {s.name: 0.0 for s in servers}
        for turn in range(a.rounds):
            texts = [prompt(rng, a.prompt, shared) for _ in range(n * a.requests)]
            for s in servers[turn % len(servers):] + servers[:turn % len(servers)]:
                got = load(s, n, a.requests, texts, a.tokens)
                results[s.name] += got
                good = [r for r in got if "error" not in r]
                wall[s.name] += max((r["end"] for r in good), default=0) - min((r["start"] for r in good), default=0)
                for r in got:
                    if "error" in r:
                        print(f"{s.name}: {r['error']}", file=sys.stderr)
        for s in servers:
            row = {"server": s.name, "model": s.model, "streams": n, **summary(results[s.name]), "wall_s": wall[s.name]}
            row["tokens_per_s"] = row["tokens"] / wall[s.name] if wall[s.name] else 0
            rows.append(row)
            if not a.json:
                if len(rows) == 1:
                    print("server      streams  failed   first token s    between ms       longest gap ms   tokens/s")
                    print("                              p50     p95      p50     p95      p50      p95")
                ms = [1000 * row[w][q] for w in ("between", "gap") for q in ("p50", "p95")]
                print(f"{s.name:12}{n:7}{row['failed']:8} {row['first']['p50']:8.2f}{row['first']['p95']:8.2f}"
                      f" {ms[0]:8.0f}{ms[1]:8.0f} {ms[2]:8.0f} {ms[3]:8.0f} {row['tokens_per_s']:10.1f}", flush=True)
    if a.json:
        json.dump(rows, sys.stdout, indent=1)
        print()
    sys.exit(any(r["failed"] for r in rows))


if __name__ == "__main__":
    main()
