#!/usr/bin/env python3
"""-m URL against a server nobody here wrote: `transformers serve` of PyPI, with the bundled text model. Both compute in
float32, so that greedy replies are the same text.

usage: test_transformers.py WARD MODELS   (in the environment of tools/oracle)"""
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from program import answer as ward, run

MODELS = pathlib.Path(sys.argv[2]).resolve()
START_S = 240  # until its imports are done and the weights are there, on a busy machine
QUESTIONS = ["Which CRP was the latest?", "最近一次CRP是多少?", "Does the patient take warfarin?"]


@contextlib.contextmanager
def transformers_serve(model):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        (pathlib.Path(home) / "hub").mkdir()
        p = subprocess.Popen([sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve", str(model),
                              "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             env={**os.environ, "HF_HOME": home, "HF_HUB_OFFLINE": "1"})
        try:
            until = time.monotonic() + START_S
            while True:
                assert p.poll() is None, p.stderr.read()
                assert time.monotonic() < until, "it does not start"
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                    break
                time.sleep(0.2)
            yield ("-m", f"http://127.0.0.1:{port}/v1", "--remote-model", str(model))
        finally:
            p.send_signal(signal.SIGINT)
            p.communicate(timeout=60)


class Text(unittest.TestCase):
    def alike(self, here, there, *args, n):
        got = ward("chat", *there, "-t", 0, "-n", n, *args)
        want = ward("chat", *here, "-t", 0, "-n", n, *args)
        self.assertEqual(got["text"], want["text"])
        self.assertEqual(got["finish_reason"], want["finish_reason"])
        for key in ("prompt_tokens", "completion_tokens"):
            self.assertEqual(got["usage"][key], want["usage"][key], key)
        return got

    def test_replies_are_the_same(self):
        here = ("-m", MODELS / "demo-text", "--precision", "exact", "--kv", "f32")
        with transformers_serve(MODELS / "demo-text") as there, tempfile.TemporaryDirectory() as d:
            for q in QUESTIONS:
                self.assertTrue(self.alike(here, there, q, n=24)["text"])
            self.alike(here, there, "--system", "Be brief.", "--no-think", QUESTIONS[0], n=16)
            tools = pathlib.Path(d) / "tools.json"
            tools.write_text(json.dumps([{"type": "function", "function": {"name": "labs", "description": "results", "parameters": {
                "type": "object", "properties": {"test": {"type": "string"}}}}}]))
            self.alike(here, there, "--tools", tools, "--no-think", QUESTIONS[0], n=24)
            # it hands stop strings out with the text; ours ends before them
            whole = ward("chat", *here, "-t", 0, "-n", 24, QUESTIONS[0])["text"]
            cut = ward("chat", *there, "-t", 0, "-n", 24, "--stop", whole[6:9], QUESTIONS[0])
            self.assertEqual(cut["text"], whole[:whole.index(whole[6:9])])
            # a seed repeats; streamed text is the whole text
            one, two = (ward("chat", *there, "-t", 1, "--seed", 3, "-n", 12, QUESTIONS[0])["text"] for _ in range(2))
            self.assertEqual(one, two)
            shown = run("chat", *there, "-t", 0, "-n", 24, QUESTIONS[1])
            self.assertEqual(shown.stdout.decode().strip(), ward("chat", *there, "-t", 0, "-n", 24, QUESTIONS[1])["text"].strip())
            # what it does not know is refused here, or found out there
            self.assertIn(b"top_k", run("chat", *there, "-t", 1, "--top-k", 5, "x").stderr)
            self.assertIn(b"no such route", run("embed", *there, "x").stderr)
            wrong = list(there)
            wrong[-1] = "no-such-model"
            r = run("chat", *wrong, "-n", 4, "SECRET")
            self.assertNotEqual(r.returncode, 0)
            self.assertNotIn(b"SECRET", r.stderr)


unittest.main(argv=sys.argv[:1], verbosity=1)
