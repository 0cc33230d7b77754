#!/usr/bin/env python3
"""-m URL: every command over a `ward serve` of the same model says what it says with the model in its own process.

usage: test_remote.py WARD CHECKPOINTS MODELS"""
import contextlib
import json
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zlib

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import program
from program import WARD, Server

CKPT, MODELS = pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
NOWHERE = "http://127.0.0.1:9"  # a proxy that must not be used
PROXIES = {"http_proxy": NOWHERE, "https_proxy": NOWHERE, "ALL_PROXY": NOWHERE, "no_proxy": ""}
QUESTION = "Which CRP was the latest?"
SCHEMA = {"type": "object", "properties": {"organ": {"enum": ["lung", "heart"]}, "size_mm": {
    "type": "integer", "minimum": 1, "maximum": 40}}, "required": ["organ", "size_mm"], "additionalProperties": False}


def serve(model, *options):
    return Server("-m", model, *options, **PROXIES)


def url(server):
    return server.url + "/v1"


def run(*args):
    return program.run(*args, **PROXIES)


def ward(*args):
    return program.answer(*args, **PROXIES)


def png(path, side):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes([x * y % 256, y % 256, 7][k] for x in range(side) for k in range(3)) for y in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class Text(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = contextlib.ExitStack()
        cls.server = cls.stack.enter_context(serve(MODELS / "demo-text"))
        cls.url = url(cls.server)
        cls.dir = pathlib.Path(cls.stack.enter_context(tempfile.TemporaryDirectory()))

    @classmethod
    def tearDownClass(cls):
        cls.stack.close()

    def both(self, command, *args):
        return [ward(command, "-m", m, *args) for m in (MODELS / "demo-text", self.url)]

    def alike(self, *args):
        here, there = self.both("chat", "-t", 0, *args)
        for key in ("text", "reasoning", "tool_calls", "finish_reason"):
            self.assertEqual(here[key], there[key], key)
        for key in ("prompt_tokens", "completion_tokens"):
            self.assertEqual(here["usage"][key], there["usage"][key], key)
        self.assertIsNone(there["tokens"])
        self.assertEqual(len(here["tokens"]), there["usage"]["completion_tokens"])
        return there

    def test_chat_says_the_same(self):
        self.alike("-n", 24, QUESTION)
        self.alike("-n", 24, "--system", "Be brief.", "--no-think", QUESTION)
        self.alike("-n", 40, "--stop", "arg", QUESTION)
        self.alike("-n", 12, "--repetition-penalty", 1.3, "--logit-bias", "300=-100", QUESTION)
        here, there = (ward("chat", "-m", m, "-t", 1.2, "--seed", 7, "--top-k", 30, "--top-p", 0.9, "--min-p", 0.01, "-n", 24,
                            QUESTION)["text"] for m in (MODELS / "demo-text", self.url))
        self.assertEqual(here, there)  # the same seed
        shown = run("chat", "-m", self.url, "-t", 0, "-n", 24, QUESTION)
        self.assertEqual(shown.stdout, run("chat", "-m", MODELS / "demo-text", "-t", 0, "-n", 24, QUESTION).stdout)

    def test_chat_is_held_to_what_was_asked_for(self):
        (self.dir / "schema.json").write_text(json.dumps(SCHEMA))
        there = self.alike("-n", 200, "--schema", self.dir / "schema.json", QUESTION)
        self.assertIn(json.loads(there["text"])["organ"], ("lung", "heart"))
        self.alike("-n", 20, "--regex", "[a-c]{5}", QUESTION)

    def test_tools_come_back_as_calls(self):
        tools = [{"type": "function", "function": {"name": "labs", "parameters": {"type": "object", "properties": {
            "test": {"type": "string"}}}}}]
        (self.dir / "tools.json").write_text(json.dumps(tools))
        self.alike("-n", 60, "--no-think", "--tools", self.dir / "tools.json", QUESTION)

    def test_vectors_and_scores_are_the_same(self):
        here, there = self.both("embed", "a nodule")
        self.assertEqual(len(here["embedding"]), len(there["embedding"]))
        for x, y in zip(here["embedding"], there["embedding"]):
            self.assertAlmostEqual(x, y, delta=1e-7)
        self.assertEqual(here["usage"], there["usage"])
        here, there = self.both("embed", "-d", 16, "--instruction", "Find it.", "a nodule")
        for x, y in zip(here["embedding"], there["embedding"], strict=True):
            self.assertAlmostEqual(x, y, delta=1e-7)
        here, there = self.both("rerank", "nodule", "A nodule of 8 mm.", "No fracture.", "x")
        self.assertEqual([r["index"] for r in here["results"]], [r["index"] for r in there["results"]])
        for x, y in zip(here["results"], there["results"]):
            self.assertAlmostEqual(x["score"], y["score"], delta=1e-6)

    def test_a_server_in_front_of_a_server(self):
        want = ward("chat", "-m", MODELS / "demo-text", "-t", 0, "-n", 24, QUESTION)
        with serve(self.url) as front:
            self.assertEqual(front.head["model"], "demo-text")
            self.assertEqual(ward("chat", "-m", url(front), "-t", 0, "-n", 24, QUESTION)["text"], want["text"])
            v = ward("embed", "-m", url(front), "-d", 8, "x")
            self.assertEqual(len(v["embedding"]), 8)
            body = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 8, "logprobs": True}
            self.assertIn(front.fault("/v1/chat/completions", body)[0], (400, 501))

    def test_what_cannot_be_done_is_said_in_one_sentence(self):
        for args, code, part in [
                (("chat", "-m", self.url, "--logprobs", 2, "x"), 3, "log-probabilities"),
                (("chat", "-m", self.url, "--lora", "x", "x"), 2, "--lora"),
                (("chat", "-m", self.url, "--remote-model", "nope", "x"), 3, "no such route or model"),
                (("chat", "-m", self.url, "--remote-kind", "nope", "x"), 2, "--remote-kind"),
                (("chat", "-m", self.url, "--remote-key", "/nonexistent/key", "x"), 3, "/nonexistent/key"),
                (("chat", "-m", "http://192.0.2.1/v1", "x"), 2, "unencrypted"),
                (("chat", "-m", "http://127.0.0.1:1/v1", "x"), 1, "127.0.0.1:1"),
                (("chat", "-m", self.url, "word " * 20000), 3, "longer than the context"),
                (("bench", "-m", self.url), 2, "no URL")]:
            r = run(*args)
            self.assertEqual(r.returncode, code, r.stderr)
            self.assertIn(part, r.stderr.decode())
            self.assertEqual(len(r.stderr.decode().strip().split("\n")), 1, r.stderr)

    def test_ctrl_c_ends_a_call(self):
        p = subprocess.Popen([WARD, "chat", "-m", self.url, "--ignore-end", "-t", "0", QUESTION], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=program.environment(**PROXIES))
        self.assertTrue(p.stdout.read(1))
        start = time.monotonic()
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=20)
        self.assertEqual(p.returncode, 1)
        self.assertLess(time.monotonic() - start, 5)

    def test_another_server_takes_over(self):
        with serve(MODELS / "demo-text") as one:
            both = f"{url(one)},{self.url}"
            self.assertTrue(ward("chat", "-m", both, "-t", 0, "-n", 4, QUESTION)["text"])
        self.assertTrue(ward("chat", "-m", both, "-t", 0, "-n", 4, QUESTION)["text"])  # the first is gone


class Eyes(unittest.TestCase):
    """Pictures travel as they are: the same tokens, the same reply."""

    def test_pictures(self):
        with tempfile.TemporaryDirectory() as d, serve(CKPT / "vl-dense") as server:
            picture = pathlib.Path(d) / "p.png"
            png(picture, 80)
            for args in (("chat", "-t", 0, "-n", 8, "-i", picture, "What is it?"),
                         ("chat", "-t", 0, "-n", 8, "-i", picture, "-i", picture, "--add-vision-id", "Compare.")):
                here, there = (ward(*args, "-m", m) for m in (CKPT / "vl-dense", url(server)))
                self.assertEqual(here["text"], there["text"])
                self.assertEqual(here["usage"]["prompt_tokens"], there["usage"]["prompt_tokens"])
            here, there = (ward("embed", "-m", m, "-i", picture, "film") for m in (CKPT / "vl-dense", url(server)))
            for x, y in zip(here["embedding"], there["embedding"], strict=True):
                self.assertAlmostEqual(x, y, delta=1e-6)
            here, there = (ward("rerank", "-m", m, "nodule", "-i", picture, "text") for m in (CKPT / "vl-dense", url(server)))
            for x, y in zip(here["results"], there["results"], strict=True):
                self.assertEqual(x["index"], y["index"])
                self.assertAlmostEqual(x["score"], y["score"], delta=1e-6)


class Tls(unittest.TestCase):
    def test_a_certificate_is_verified(self):
        with tempfile.TemporaryDirectory() as d:
            made = [pathlib.Path(d) / name for name in ("cert.pem", "key.pem")]
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                            "-days", "2", "-subj", "/CN=ward", "-addext", "subjectAltName=IP:127.0.0.1", "-out", made[0],
                            "-keyout", made[1]], check=True, capture_output=True)
            with serve(MODELS / "demo-text", "--tls-cert", made[0], "--tls-key", made[1]) as server:
                there = url(server)
                r = run("chat", "-m", there, "-t", 0, "-n", 4, QUESTION)
                self.assertEqual(r.returncode, 1, r.stderr)
                self.assertIn("certificate", r.stderr.decode())
                self.assertTrue(ward("chat", "-m", there, "--remote-ca", made[0], "-t", 0, "-n", 4, QUESTION)["text"])
                r = run("chat", "-m", there.replace("127.0.0.1", "localhost"), "--remote-ca", made[0], "-n", 4, QUESTION)
                self.assertEqual(r.returncode, 1, r.stderr)  # another name than the certificate's


unittest.main(argv=sys.argv[:1], verbosity=1)
