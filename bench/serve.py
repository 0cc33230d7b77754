#!/usr/bin/env python3
"""How long readers wait, and how much is done, when many ask an OpenAI-compatible server at once: Ward beside others.

Start the servers first, each with the same weights and threads, and leave them running; only one is asked at a time:

    ward serve -m MODEL --port 8080 &
    llama-server -m MODEL.gguf --port 8081 -np 16 -c 16384 &
    bench/serve.py --server ward=http://127.0.0.1:8080/v1 --server llama=http://127.0.0.1:8081/v1 \\
                   --streams 1,4,8,16 --prompt 96 --tokens 48 --requests 2 --rounds 2

For each number of streams, that many clients ask at once, each --requests questions one after the other, every reply a stream of
exactly --tokens tokens (ignore_eos, temperature 0). Servers take turns, round by round, the next one first each time: what the
machine does meanwhile hits all alike. Prompts are words drawn from --seed, the same for all servers, no two alike from their
first word on, so that nothing comes from a cache (unless the same --seed is used again); --shared WORDS puts that many words before each that are the same.

Times are the client's:
  first token     from before the request is sent until the first text or reasoning arrives
  next text       between two pieces of text of one reply; a piece is a token, or several that make a character together
  a reply's mean  between tokens: (last piece - first piece) / (tokens - 1) of each reply
p50 is the median, p95 what 95 of 100 do not exceed. Tokens are those that the server says it used (usage): of replies, and of
replies and prompts together, over the time from the first question to the last answer.

With several servers the first one is compared: "x" is how many times as many tokens a second, and how many times as long a
wait, as the other's, with the least and the most of a single round in brackets.

It ends by itself: after --limit-s no question is asked any more, and a server that is silent for --silence-s has failed.
Exit status 1 when a request failed. Standard library only.
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
WAITS = ("first", "next", "mean")


def prompt(rng, n, shared):
    """n words after the shared ones, the first a number, so that no two are alike."""
    own = [f"{rng.randrange(10**6)}"] + [rng.choice(WORDS) for _ in range(n - 1)]
    return " ".join(shared + own)


def quantile(v, q):
    v = sorted(v)
    return v[min(len(v) - 1, int(q * len(v)))] if v else float("nan")


class Server:
    def __init__(self, text, key, silence_s):
        self.name, _, self.url = text.partition("=")
        if not self.url:
            sys.exit(f"--server {text}: expected NAME=URL")
        self.url = self.url.rstrip("/")
        self.key, self.silence_s = key, silence_s
        self.model = None

    def open(self, path, body=None):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        data = None if body is None else json.dumps(body).encode()
        return urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers), timeout=self.silence_s)

    def find_model(self):
        try:
            with self.open("/models") as r:
                self.model = json.load(r)["data"][0]["id"]
        except (OSError, ValueError, KeyError, IndexError) as e:
            sys.exit(f"{self.name}: {self.url}/models: {e}")

    def ask(self, text, n_token):
        """One stream: what came of it, or its error."""
        body = {"model": self.model, "messages": [{"role": "user", "content": text}], "stream": True, "max_tokens": n_token,
                "temperature": 0, "ignore_eos": True, "stream_options": {"include_usage": True}}
        start, first, last, gaps, usage = time.monotonic(), None, None, [], None
        try:
            with self.open("/chat/completions", body) as r:
                for line in r:
                    if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                        continue
                    now = time.monotonic()
                    v = json.loads(line[6:])
                    if "error" in v:
                        return {"error": v["error"]["message"]}
                    usage = v.get("usage") or usage
                    delta = v["choices"][0]["delta"] if v.get("choices") else {}
                    if not (delta.get("content") or delta.get("reasoning_content")):
                        continue
                    if last:
                        gaps.append(now - last)
                    first, last = first or now, now
        except (OSError, ValueError, KeyError) as e:
            return {"error": f"{type(e).__name__}: {e}"}
        if first is None or not usage:
            return {"error": "no text, or no usage"}
        n = usage["completion_tokens"]
        return {"first": first - start, "mean": (last - first) / max(n - 1, 1), "next": gaps, "tokens": n,
                "prompt": usage["prompt_tokens"], "start": start, "end": time.monotonic()}


def load(server, streams, texts, n_token, stop_at):
    """The texts, in turn by each of `streams` clients at once."""
    done, lock, begin = [], threading.Lock(), threading.Barrier(streams)

    def client(mine):
        begin.wait()
        for text in mine:
            if time.monotonic() >= stop_at:
                return
            r = server.ask(text, n_token)
            with lock:
                done.append(r)

    threads = [threading.Thread(target=client, args=(texts[i::streams],), daemon=True) for i in range(streams)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return done


def summary(rounds):
    """Of all requests of some rounds; a round's time is from its first question to its last answer."""
    good = [[r for r in results if "error" not in r] for results in rounds]
    flat = [r for results in good for r in results]
    wall = sum(max(r["end"] for r in g) - min(r["start"] for r in g) for g in good if g)
    out = {"requests": sum(map(len, rounds)), "prompt_tokens": sum(r["prompt"] for r in flat),
           "tokens": sum(r["tokens"] for r in flat), "wall_s": wall}
    out["failed"] = out["requests"] - len(flat)
    for what in WAITS:
        v = [x for r in flat for x in (r[what] if what == "next" else [r[what]])]
        out[what] = {"p50": quantile(v, 0.5), "p95": quantile(v, 0.95), "max": max(v, default=float("nan"))}
    out["tokens_per_s"] = out["tokens"] / wall if wall else 0
    out["all_tokens_per_s"] = (out["tokens"] + out["prompt_tokens"]) / wall if wall else 0
    return out


def ratio(ours, theirs, of):
    """[all rounds, least of a round, most of a round] of one figure of two servers; None where there is none."""
    def one(a, b):
        x, y = of(summary(a)), of(summary(b))
        return x / y if x > 0 and y > 0 else float("nan")
    each = [r for r in (one([a], [b]) for a, b in zip(ours, theirs)) if r == r]
    return [one(ours, theirs), min(each), max(each)] if each else None


RATIOS = [("tokens of replies/s", lambda s: s["tokens_per_s"]), ("all tokens/s", lambda s: s["all_tokens_per_s"])] + [
    (f"{name} {q}", lambda s, w=what, q=q: s[w][q])
    for what, name in (("first", "first token"), ("next", "next text"), ("mean", "a reply's mean")) for q in ("p50", "p95")]

HEAD = """server      streams failed  first token s     next text ms          a reply's mean ms   tokens/s of
                             p50    p95     p50    p95    max     p50    p95       replies      all"""


def show(row):
    n, m = row["next"], row["mean"]
    print(f"{row['server']:12}{row['streams']:7}{row['failed']:7} {row['first']['p50']:7.2f}{row['first']['p95']:7.2f}"
          f" {1e3 * n['p50']:7.0f}{1e3 * n['p95']:7.0f}{1e3 * n['max']:7.0f} {1e3 * m['p50']:7.0f}{1e3 * m['p95']:7.0f}"
          f"    {row['tokens_per_s']:10.1f}{row['all_tokens_per_s']:9.1f}", flush=True)


def show_ratios(row, name):
    for other, ratios in row["ratios"].items():
        parts = [f"{what} {r[0]:.2f} x ({r[1]:.2f} to {r[2]:.2f})" for what, r in ratios.items() if r]
        print(f"  {name} / {other}, {row['streams']} streams:", flush=True)
        for i in range(0, len(parts), 2):
            print("    " + "; ".join(parts[i:i + 2]), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--server", action="append", required=True, metavar="NAME=URL",
                   help="a running server; URL is what stands before /chat/completions. Give it again for each; the first is compared")
    p.add_argument("--key", default=os.environ.get("OPENAI_API_KEY", "none"), help="API key; default: $OPENAI_API_KEY")
    p.add_argument("--streams", default="1,4,8,16", metavar="N,N", help="clients at a time, one row of the table each; default 1,4,8,16")
    p.add_argument("--requests", type=int, default=1, metavar="N",
                   help="questions of each client in a round; 1: all ask at the same moment and once, more: prompts come beside replies")
    p.add_argument("--rounds", type=int, default=1, metavar="N", help="turns of each server")
    p.add_argument("--prompt", type=int, default=256, metavar="WORDS", help="of a question; about one token each")
    p.add_argument("--shared", type=int, default=0, metavar="WORDS", help="before all questions, the same for all")
    p.add_argument("--tokens", type=int, default=64, metavar="N", help="of a reply")
    p.add_argument("--seed", type=int, default=1, metavar="N")
    p.add_argument("--limit-s", type=float, default=3600, metavar="S", help="no question after this time; default 3600")
    p.add_argument("--silence-s", type=float, default=600, metavar="S", help="a server that says nothing for so long has failed; default 600")
    p.add_argument("--json", action="store_true", help="print all of it as JSON at the end instead")
    a = p.parse_args()
    try:
        streams = [int(n) for n in a.streams.split(",")]
    except ValueError:
        streams = []
    if not streams or min(streams + [a.requests, a.rounds, a.prompt, a.tokens]) < 1:
        p.error("--streams, --requests, --rounds, --prompt and --tokens are numbers from 1 on")
    servers = [Server(s, a.key, a.silence_s) for s in a.server]
    if len({s.name for s in servers}) < len(servers):
        p.error("--server: every NAME is another")
    stop_at = time.monotonic() + a.limit_s
    rng = random.Random(a.seed)
    shared = [rng.choice(WORDS) for _ in range(a.shared)]
    for s in servers:
        s.find_model()
        warm = s.ask(prompt(rng, 16, []), 4)
        if "error" in warm:
            sys.exit(f"{s.name}: {warm['error']}")
    rows, turn = [], 0
    for n in streams:
        results = {s.name: [] for s in servers}
        for _ in range(a.rounds):
            texts = [prompt(rng, a.prompt, shared) for _ in range(n * a.requests)]
            if time.monotonic() >= stop_at:
                break
            first = turn % len(servers)
            for s in servers[first:] + servers[:first]:
                results[s.name].append(load(s, n, texts, a.tokens, stop_at))
                for r in results[s.name][-1]:
                    if "error" in r:
                        print(f"{s.name}: {r['error']}", file=sys.stderr)
            turn += 1
        if not results[servers[0].name]:
            print(f"{n} streams: --limit-s {a.limit_s:g} has passed", file=sys.stderr)
            continue
        for s in servers:
            rows.append({"server": s.name, "model": s.model, "streams": n, **summary(results[s.name])})
            if not a.json:
                if len(rows) == 1:
                    print(HEAD)
                show(rows[-1])
        if len(servers) > 1:
            ours = rows[-len(servers)]
            ours["ratios"] = {s.name: {what: ratio(results[servers[0].name], results[s.name], of) for what, of in RATIOS}
                              for s in servers[1:]}
            if not a.json:
                show_ratios(ours, servers[0].name)
    if a.json:
        json.dump(rows, sys.stdout, indent=1)
        print()
    sys.exit(any(r["failed"] for r in rows))


if __name__ == "__main__":
    main()
