#!/usr/bin/env python3
"""How long it takes to rank pictures by a sentence: all of them in one request, beside one request after another.

    ward serve -m MODEL --port 8080 &
    bench/rerank.py --url http://127.0.0.1:8080/v1 --documents 12 --size 512x512 --rounds 3

Each round draws new pictures and a new sentence (--seed), asks both ways in turns, the other one first each time, and no picture
twice: nothing comes from a cache. Seconds are the client's, from before the first request is sent until the last answer is
read. Then, not counted, the last pictures that were asked together are asked one by one: the scores must be the same, to --apart.

Exit status 1 when a request failed or scores differ. Standard library only.
"""
import argparse
import base64
import json
import os
import random
import struct
import sys
import time
import urllib.request
import zlib

WORDS = "nodule effusion fracture opacity right left upper lower lobe basal small large".split()


def picture(rng, width, height):
    """A PNG of grey squares on a slope, as a data URL."""
    side = 16
    squares = [[rng.randrange(160) for _ in range(width // side + 1)] for _ in range(height // side + 1)]
    rows = b"".join(b"\0" + bytes((squares[y // side][x // side] + x * 80 // width) & 255 for x in range(width)) for y in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")
    return {"image": "data:image/png;base64," + base64.b64encode(png).decode()}


class Server:
    def __init__(self, url, key, silence_s):
        self.url, self.silence_s = url.rstrip("/"), silence_s
        self.headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}

    def rank(self, query, documents):
        """Scores in the documents' order, and tokens."""
        body = json.dumps({"query": query, "documents": documents, "return_documents": False}).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + "/rerank", body, self.headers), timeout=self.silence_s) as r:
            v = json.load(r)
        scores = {x["index"]: x["relevance_score"] for x in v["results"]}
        return [scores[i] for i in range(len(documents))], v.get("usage", {}).get("prompt_tokens", 0)

    def one_by_one(self, query, documents):
        each = [self.rank(query, [d]) for d in documents]
        return [s for scores, _ in each for s in scores], sum(n for _, n in each)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--url", required=True, help="what stands before /rerank")
    p.add_argument("--key", default=os.environ.get("OPENAI_API_KEY", "none"), help="API key; default: $OPENAI_API_KEY")
    p.add_argument("--documents", type=int, default=12, metavar="N")
    p.add_argument("--size", default="512x512", metavar="WxH", help="of each picture; default 512x512")
    p.add_argument("--rounds", type=int, default=3, metavar="N")
    p.add_argument("--seed", type=int, default=1, metavar="N")
    p.add_argument("--apart", type=float, default=0, metavar="X", help="most that two scores of one picture may differ; default 0")
    p.add_argument("--silence-s", type=float, default=1800, metavar="S", help="a server that says nothing for so long has failed")
    p.add_argument("--json", action="store_true", help="print all of it as JSON at the end instead")
    a = p.parse_args()
    try:
        width, height = map(int, a.size.split("x"))
    except ValueError:
        width = height = 0
    if min(width, height, a.documents, a.rounds) < 1:
        p.error("--documents and --rounds are numbers from 1 on, --size is WIDTHxHEIGHT")
    server, rng = Server(a.url, a.key, a.silence_s), random.Random(a.seed)

    def draw():
        return (f"{rng.randrange(10**6)} " + " ".join(rng.choices(WORDS, k=12)), [picture(rng, width, height) for _ in range(a.documents)])

    ways = [("together", server.rank), ("one by one", server.one_by_one)]
    rounds, last = [], None
    try:
        query, documents = draw()
        server.rank(query, documents[:1])  # weights come into memory
        for n in range(a.rounds):
            seconds, tokens = {}, {}
            for name, way in ways[::1 if n % 2 == 0 else -1]:
                query, documents = draw()
                start = time.monotonic()
                scores, tokens[name] = way(query, documents)
                seconds[name] = time.monotonic() - start
                if name == "together":
                    last = (query, documents, scores)
            rounds.append({"seconds": seconds, "tokens": tokens})
            if not a.json:
                print(f"round {n + 1}: " + ", ".join(f"{w} {seconds[w]:.2f} s" for w, _ in ways)
                      + f", {seconds['one by one'] / seconds['together']:.2f} x", flush=True)
        apart = max(abs(x - y) for x, y in zip(last[2], server.one_by_one(*last[:2])[0]))
    except (OSError, ValueError, KeyError) as e:
        sys.exit(f"{a.url}: {type(e).__name__}: {e}")
    best = {w: min(r["seconds"][w] for r in rounds) for w, _ in ways}
    if a.json:
        json.dump({"documents": a.documents, "size": a.size, "rounds": rounds, "best_s": best, "scores_apart": apart}, sys.stdout, indent=1)
        print()
    else:
        print(f"{a.documents} pictures of {a.size}, {rounds[-1]['tokens']['together'] // a.documents} tokens each: together "
              f"{best['together']:.2f} s, one by one {best['one by one']:.2f} s (best of {a.rounds}), "
              f"{best['one by one'] / best['together']:.2f} x; scores differ by {apart:g}")
    sys.exit(not apart <= a.apart)


if __name__ == "__main__":
    main()
