#!/usr/bin/env python3
"""-m URL against llama.cpp's llama-server, with the bundled text model in bf16: the same greedy replies, streams, JSON that
satisfies its schema, calls of tools, a caller that goes, a server that is killed. Not part of `make check`, which has no
llama-server.

usage: test_llama_server.py WARD MODELS LLAMA_SERVER TO_GGUF"""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from program import WARD, Server, answer, environment, run

MODELS, LLAMA, TO_GGUF = pathlib.Path(sys.argv[2]).resolve(), sys.argv[3], sys.argv[4]
PATIENCE = 120
QUESTIONS = ["Which CRP was the latest?", "最近一次CRP是多少?", "Does the patient take warfarin?"]
SCHEMA = {"type": "object", "properties": {"organ": {"enum": ["lung", "heart"]}, "size_mm": {"type": "integer", "minimum": 1, "maximum": 40}},
          "required": ["organ", "size_mm"], "additionalProperties": False}
TOOLS = [{"type": "function", "function": {"name": "labs", "description": "results", "parameters": {
    "type": "object", "properties": {"test": {"enum": ["CRP", "WBC"]}}, "required": ["test"], "additionalProperties": False}}}]


class Llama:
    """A llama-server on a port that the system chose."""

    def __init__(self, gguf):
        self.p = subprocess.Popen([LLAMA, "-m", str(gguf), "--host", "127.0.0.1", "--port", "0", "--jinja", "-c", "16384", "-np", "2",
                                   "-t", "2"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.listens, self.url = threading.Event(), None
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        assert self.listens.wait(PATIENCE) and self.url, "it does not start"

    def _read(self):
        for line in self.p.stdout:
            found = re.search(rb"listening on (http://127\.0\.0\.1:\d+)", line)
            if found:
                self.url = found[1].decode()
                self.listens.set()
        self.listens.set()

    def slots_busy(self):
        with urllib.request.urlopen(self.url + "/slots", timeout=PATIENCE) as r:
            return sum(slot["is_processing"] for slot in json.load(r))

    def end(self, how=signal.SIGTERM):
        self.p.send_signal(how)
        self.p.wait(PATIENCE)
        self.reader.join()
        self.p.stdout.close()


class Upstream(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = contextlib.ExitStack()
        cls.dir = pathlib.Path(cls.stack.enter_context(tempfile.TemporaryDirectory()))
        cls.gguf = cls.dir / "m.gguf"
        subprocess.run([sys.executable, TO_GGUF, str(MODELS / "demo-text"), str(cls.gguf), "--type", "F32"], check=True,
                       stdout=subprocess.DEVNULL)
        cls.llama = Llama(cls.gguf)
        cls.stack.callback(cls.llama.end)
        cls.here = ("-m", MODELS / "demo-text", "--precision", "exact", "--kv", "f32")
        cls.there = ("-m", cls.llama.url + "/v1")

    @classmethod
    def tearDownClass(cls):
        cls.stack.close()

    def write(self, name, value):
        path = self.dir / name
        path.write_text(json.dumps(value))
        return path

    def test_replies_are_the_same_also_streamed(self):
        for q in QUESTIONS:
            want, got = (answer("chat", *m, "-t", 0, "-n", 24, q) for m in (self.here, self.there))
            for key in ("text", "finish_reason"):
                self.assertEqual(got[key], want[key])
            for key in ("prompt_tokens", "completion_tokens"):
                self.assertEqual(got["usage"][key], want["usage"][key])
            self.assertEqual(run("chat", *self.there, "-t", 0, "-n", 24, q).stdout.decode().strip(), want["text"].strip())
        one, two = (answer("chat", *self.there, "-t", 1, "--seed", 3, "-n", 12, QUESTIONS[0])["text"] for _ in range(2))
        self.assertEqual(one, two)
        whole = answer("chat", *self.here, "-t", 0, "-n", 24, QUESTIONS[0])["text"]
        cut = answer("chat", *self.there, "-t", 0, "-n", 24, "--stop", whole[6:9], QUESTIONS[0])["text"]
        self.assertEqual(cut, whole[:whole.index(whole[6:9])])

    def test_json_satisfies_its_schema(self):
        schema = self.write("schema.json", SCHEMA)
        for seed in range(6):
            v = json.loads(answer("chat", *self.there, "-t", 1, "--seed", seed, "-n", 64, "--schema", schema, QUESTIONS[0])["text"])
            self.assertEqual(set(v), {"organ", "size_mm"})
            self.assertIn(v["organ"], ("lung", "heart"))
            self.assertTrue(isinstance(v["size_mm"], int) and 1 <= v["size_mm"] <= 40)
        refused = run("chat", *self.there, "--regex", "[a-z]+", "SECRET")
        self.assertNotEqual(refused.returncode, 0)
        self.assertNotIn(b"SECRET", refused.stderr)

    def ask(self, server, body):
        status, _, got = server.ask("POST", "/v1/chat/completions", {"max_tokens": 96, "temperature": 0, "tools": TOOLS, "messages": [
            {"role": "user", "content": QUESTIONS[0]}], **body})
        self.assertEqual(status, 200, got)
        return got

    def test_tools_are_called_also_streamed(self):
        with Server("-m", f"llama={self.llama.url}/v1") as s:  # its own name for it is a path
            for choice in ("required", {"type": "function", "function": {"name": "labs"}}):
                whole = json.loads(self.ask(s, {"tool_choice": choice}))["choices"][0]
                self.assertEqual(whole["finish_reason"], "tool_calls")
                call = whole["message"]["tool_calls"][0]["function"]
                self.assertEqual(call["name"], "labs")
                self.assertIn(json.loads(call["arguments"])["test"], ("CRP", "WBC"))
                lines = [line[6:] for line in self.ask(s, {"tool_choice": choice, "stream": True}).split(b"\n") if line.startswith(b"data: {")]
                deltas = [c["delta"] for line in lines for c in json.loads(line)["choices"]]
                calls = [t for d in deltas for t in d.get("tool_calls") or [] if t["index"] == 0]
                self.assertEqual(calls[0]["function"]["name"], "labs")
                said = "".join(t["function"].get("arguments") or "" for t in calls)
                self.assertEqual(json.loads(said), json.loads(call["arguments"]))
            free = json.loads(self.ask(s, {"tool_choice": "auto", "max_tokens": 24}))["choices"][0]
            self.assertIn(free["finish_reason"], ("stop", "length", "tool_calls"))

    def streaming(self, there):
        """A long reply under way: its first bytes are there."""
        p = subprocess.Popen([WARD, "chat", *map(str, there), "-t", "0", "-n", "4000", "--ignore-end", "SECRET"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        self.assertTrue(os.read(p.stdout.fileno(), 1))
        return p

    def test_a_caller_that_goes_frees_the_server(self):
        p = self.streaming(self.there)
        self.assertEqual(self.llama.slots_busy(), 1)
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=PATIENCE)
        self.assertNotEqual(p.returncode, 0)
        until = time.monotonic() + PATIENCE
        while self.llama.slots_busy():
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)

    def test_a_killed_server_is_an_error_and_another_goes_on(self):
        doomed = Llama(self.gguf)
        p = self.streaming(("-m", doomed.url + "/v1"))
        doomed.end(signal.SIGKILL)
        _, err = p.communicate(timeout=PATIENCE)
        self.assertNotEqual(p.returncode, 0)
        self.assertRegex(err, rb"127\.0\.0\.1")
        self.assertNotIn(b"SECRET", err)
        both = ("-m", f"{doomed.url}/v1,{self.llama.url}/v1")
        self.assertTrue(answer("chat", *both, "-t", 0, "-n", 8, QUESTIONS[0])["text"])


unittest.main(argv=sys.argv[:1] + sys.argv[5:], verbosity=2)
