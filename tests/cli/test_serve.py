#!/usr/bin/env python3
"""ward serve from outside: several models in one process, loading while it runs, memory limits, tenants' shares.

usage: test_serve.py WARD CHECKPOINTS ADAPTERS MODELS"""
import concurrent.futures
import pathlib
import shutil
import statistics
import sys
import tempfile
import threading
import time
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import program
from program import Data, Refused, run

CKPT, ADAPTERS, MODELS = map(pathlib.Path, sys.argv[2:5])
BASE, CHAT = CKPT / "text-untied", "/v1/chat/completions"


class Server(program.Server):
    def names(self):
        return [m["id"] for m in self.get("/v1/models")["data"]]

    def reply(self, model=None, n=16, **more):
        body = {"messages": [{"role": "user", "content": "the left sinus is blunted"}], "max_tokens": n, "temperature": 0,
                "ignore_eos": True, "logprobs": True, **more}
        if model:
            body["model"] = model
        return [(t["token"], t["logprob"]) for t in self.get(CHAT, body)["choices"][0]["logprobs"]["content"]]


def refused(*args):
    r = run("serve", "--port", 0, *args)
    return r.returncode, "".join(x for x in r.stderr.decode().splitlines(True) if not x.startswith("ward: warn"))


class SeveralModels(unittest.TestCase):
    def test_models_and_adapters_answer_by_name_as_they_do_alone(self):
        with Server("-m", BASE) as s:
            base = s.reply()
        with Server("-m", BASE, "--lora", ADAPTERS / "a") as s:
            a = s.reply()
        with Server("-m", MODELS / "demo-text") as s:
            demo = s.reply()
        self.assertNotEqual(base, a)
        with Server("-m", f"one={BASE}", "-m", MODELS / "demo-text", "--adapter", f"chest={ADAPTERS / 'a'}") as s:
            self.assertEqual(s.names(), ["one", "demo-text", "chest"])
            self.assertEqual([m["parent"] for m in s.get("/v1/models")["data"]], [None, None, "one"])
            with concurrent.futures.ThreadPoolExecutor(12) as pool:  # all at once, each in turns with the others
                got = list(pool.map(s.reply, [None, "one", "demo-text", "chest"] * 6))
            for i, r in enumerate(got):
                self.assertEqual(r, [base, base, demo, a][i % 4], i)
            self.assertEqual(s.metric("vllm:request_success_total", 'model_name="chest",finished_reason="length"'), 6)
            self.assertEqual(s.fault(CHAT, {"model": "two", "messages": []})[1]["code"], "model_not_found")

    def test_memory_options_are_shown_and_add_up(self):
        with Server("-m", BASE, "--kv-mb", 8, "--prefix-mb", 2, "--image-mb", 3, "--max-seqs", 5) as s:
            s.reply()
            for name, value in [("kv_cache_max_bytes", 8 << 20), ("prefix_cache_max_bytes", 2 << 20),
                                ("image_cache_max_bytes", 3 << 20), ("engine_max_calls", 5)]:
                self.assertEqual(s.metric(f"ward:{name}", 'model_name="text-untied"'), value)
            self.assertGreater(s.metric("ward:kv_cache_bytes", 'model_name="text-untied"'), 0)
            self.assertLessEqual(s.metric("ward:prefix_cache_bytes", 'model_name="text-untied"'), 2 << 20)

    def test_what_does_not_fit_is_refused_with_the_numbers(self):
        code, text = refused("-m", BASE, "-m", f"two={BASE}", "--kv-mb", 64, "--memory-mb", 100)
        self.assertEqual(code, 3, text)
        self.assertRegex(text, r"two needs \d+ MiB \(weights \d+, keys and values 64, images 0, work \d+\), and of the 100 MiB "
                               r"for models \d+ are left")
        self.assertEqual(text.count("\n"), 1, text)
        for args, code, part in [(("-m", BASE, "-m", BASE), 1, "of that name already"), ((), 2, "no model"),
                                 (("-m", f"a b={BASE}"), 3, "the name of a model"),
                                 (("-m", BASE, "--models-dir", "/nonexistent"), 3, "no such directory"),
                                 (("-m", BASE, "--adapter", f"x={BASE}"), 3, "adapter_config.json")]:
            got, text = refused(*args)
            self.assertEqual(got, code, text)
            self.assertIn(part, text)


class Loading(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ward-test-")
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name) / "models"
        self.dir.mkdir()
        for name, path in [("other", MODELS / "demo-text"), ("same", BASE), ("chest", ADAPTERS / "a"), ("spine", ADAPTERS / "b")]:
            (self.dir / name).symlink_to(path.resolve())

    def test_models_come_and_go_by_name(self):
        with Server("-m", f"one={BASE}", "--models-dir", self.dir, "--memory-mb", 1500, "--kv-mb", 64) as s:
            one = s.reply("one")
            v = s.get("/v1/models/load", {"model": "other"})
            self.assertEqual((v["id"], v["loaded"], v["parent"]), ("other", True, None))
            v = s.get("/v1/models/load", {"model": "chest", "base": "one"})
            self.assertEqual(v["parent"], "one")
            self.assertEqual(s.names(), ["one", "other", "chest"])
            chest = s.reply("chest")
            self.assertNotEqual(chest, one)
            for body, http, code in [({"model": "other"}, 409, "model_exists"), ({"model": "../one"}, 400, "invalid_value"),
                                     ({"model": ".."}, 400, "invalid_value"), ({"model": ""}, 400, "invalid_value"),
                                     ({"model": "a b"}, 400, "invalid_value"), ({"model": "none"}, 404, "not_found"),
                                     ({"model": "spine"}, 400, "invalid_value"), ({"model": "spine", "base": "two"}, 404, "model_not_found"),
                                     ({"model": "spine", "base": "chest"}, 400, "invalid_value"), ({}, 400, "missing"),
                                     ({"model": "same", "base": "one"}, 400, "invalid_value"), ({"model": 1}, 400, "invalid_type"),
                                     ({"model": "same", "kv_mb": 4096}, 400, "limit_exceeded")]:
                got, error = s.fault("/v1/models/load", body)
                self.assertEqual((got, error["code"]), (http, code), (body, error))
            self.assertRegex(error["message"], r"same needs \d+ MiB .* of the 1500 MiB for models \d+ are left")
            # the base goes, its weights stay while the adapter needs them
            self.assertEqual(s.get("/v1/models/unload", {"model": "one"}), {"id": "one", "object": "model", "deleted": True, "running": 0})
            self.assertEqual(s.names(), ["other", "chest"])
            self.assertEqual(s.reply("chest"), chest)
            self.assertEqual(s.fault(CHAT, {"model": "one", "messages": []})[0], 404)
            self.assertEqual(s.fault("/v1/models/unload", {"model": "one"})[0], 404)
            s.get("/v1/models/unload", {"model": "chest"})
            for _ in range(8):  # memory comes back: a leak of the budget would refuse the last ones
                s.get("/v1/models/load", {"model": "same", "kv_mb": 700})
                self.assertEqual(s.reply("same"), one)
                s.get("/v1/models/unload", {"model": "same"})
        self.assertIn(b"model loaded name=chest", s.log)

    def test_ward_models_does_the_same_from_the_command_line(self):
        with Server("-m", f"one={BASE}", "--models-dir", self.dir, "--kv-mb", 64) as s:
            def models(*args, code=0, json=True):
                r = run("models", *args, "--url", s.url, *(["--json"] if json else []))
                self.assertEqual(r.returncode, code, r.stderr)
                return program.json.loads(r.stdout) if json else (r.stdout + r.stderr).decode()
            self.assertEqual([(m["id"], m["roles"]) for m in models("list")], [("one", ["chat", "embed", "rerank"])])
            v = models("load", "other", "--role", "rerank", "--role", "embed")
            self.assertEqual((v["id"], v["loaded"]), ("other", True))
            self.assertEqual([m["roles"] for m in models("list")], [["chat"], ["embed", "rerank"]])
            self.assertEqual(s.get("/v1/rerank", {"query": "a", "documents": ["b"]})["model"], "other")
            self.assertIn("409: there is a model of that name", models("load", "other", code=1, json=False))
            models("replace", "other")
            self.assertIn("chest: loaded in ", models("load", "chest", "--base", "one", json=False))
            self.assertRegex(models("list", json=False), r"chest +one")
            self.assertIn("other: unloaded", models("unload", "other", json=False))
            self.assertEqual(s.fault("/v1/rerank", {"query": "a", "documents": ["b"]})[0], 404)
            self.assertIn("404", models("unload", "other", code=3, json=False))
            self.assertIn("roles[0]", models("load", "other", "--role", "boss", code=3, json=False))
            self.assertIn("takes list", models("drop", "other", code=2, json=False))
            self.assertIn("--role", models("unload", "one", "--role", "chat", code=2, json=False))
        r = run("models", "list", "--url", s.url)
        self.assertEqual((r.returncode, b"connect" in r.stderr.lower()), (1, True), r.stderr)
        r = run("models", "list", "--url", "http://ward.example", WARD_KEY="ward_x")
        self.assertEqual((r.returncode, b"unencrypted" in r.stderr), (2, True), r.stderr)
        self.assertEqual(refused("-m", BASE, "--role", "rerank=two")[0], 2)
        self.assertEqual(refused("-m", BASE, "--role", "boss=one")[0], 2)

    def test_without_a_directory_nothing_is_loaded(self):
        with Server("-m", BASE) as s:
            self.assertEqual(s.fault("/v1/models/load", {"model": "x"})[0], 501)

    def test_no_request_is_lost_and_none_changes_while_its_model_is_replaced(self):
        """Streams run while their model is unloaded, loaded anew and replaced by another: each ends with all of its tokens, those
        of the model that it began with."""
        shutil.copytree(ADAPTERS / "a", self.dir / "pick")
        stop, lock, done, missing = threading.Event(), threading.Lock(), [], []
        with Server("-m", f"one={BASE}", "--models-dir", self.dir, "--kv-mb", 64) as s:
            s.get("/v1/models/load", {"model": "pick", "base": "one"})
            a = s.reply("pick", 48)
            shutil.rmtree(self.dir / "pick")
            shutil.copytree(ADAPTERS / "b", self.dir / "pick")
            s.get("/v1/models/load", {"model": "pick", "base": "one", "replace": True})
            b = s.reply("pick", 48)
            self.assertNotEqual(a, b)

            def client():
                while not stop.is_set():
                    try:
                        r = s.reply("pick", 48)
                    except Refused as e:
                        with lock:
                            missing.append(e.status)
                        time.sleep(0.005)
                        continue
                    with lock:
                        done.append(r)

            threads = [threading.Thread(target=client) for _ in range(6)]
            for t in threads:
                t.start()
            for turn in range(6):
                shutil.rmtree(self.dir / "pick")
                shutil.copytree(ADAPTERS / ("ab"[turn % 2]), self.dir / "pick")
                s.get("/v1/models/load", {"model": "pick", "base": "one", "replace": True})
                n, until = len(done), time.monotonic() + 60
                while (a, b)[turn % 2] not in done[n:] and time.monotonic() < until:
                    time.sleep(0.01)
                self.assertIn((a, b)[turn % 2], done[n:])
            self.assertEqual(missing, [])  # replaced: there was one of that name at any time
            for turn in range(3):
                s.get("/v1/models/unload", {"model": "pick"})
                time.sleep(0.05)
                s.get("/v1/models/load", {"model": "pick", "base": "one"})
            stop.set()
            for t in threads:
                t.join()
            self.assertEqual(set(missing) - {404}, set())
            self.assertTrue(all(r in (a, b) for r in done))


class Trust(Data):
    """With accounts: who may load, and what is fair between tenants."""

    def test_only_an_administrator_loads_and_it_is_recorded(self):
        admin, app = self.key("admin"), self.key("service")
        with Server("-m", f"one={BASE}", "--data", self.data, "--models-dir", MODELS, key=app) as s:
            for path in ("/v1/models/load", "/v1/models/unload"):
                self.assertEqual(s.fault(path, {"model": "demo-text"})[0], 403)
                self.assertEqual(s.fault(path, {"model": "demo-text"}, key="ward_none")[0], 401)
            s.get("/v1/models/load", {"model": "demo-text"}, key=admin)
            self.assertEqual(len(s.reply("demo-text")), 16)
            s.get("/v1/models/unload", {"model": "demo-text"}, key=admin)
            asked = ["models", "load", "demo-text", "--url", s.url]
            for key, code in ((app, 1), ("ward_none", 1), (admin, 0)):
                r = run(*asked, WARD_KEY=key)
                self.assertEqual(r.returncode, code, r.stderr)
                self.assertNotIn(key.encode(), r.stdout + r.stderr)
        self.ward("audit", "verify")
        loads, unloads = self.records("--action", "model.load"), self.records("--action", "model.unload")
        self.assertEqual([(x["event"], x.get("outcome"), x.get("model")) for x in loads][-2:],
                         [("begin", None, "demo-text"), ("end", "done", "demo-text")])
        self.assertEqual(sum(x["event"] == "refused" for x in unloads), 2)

    def test_a_flood_leaves_another_tenant_its_time_to_the_first_token(self):
        """16 clients of one tenant with long prompts, all the time; the other's question waits for the step that is under way and
        shares the steps of its own prompt with nobody. How that compares with its time alone is printed: on a busy machine that is
        no ratio to rely on. Held to is what holds on any: it waits a third at most of what the flood's own requests wait in the
        same seconds. First come, first served, it would wait as long as they."""
        self.ward("tenant", "add", "north")
        keys = {t: self.key("service", "--tenant", t) for t in ("main", "north")}
        words = [f"{a} {b}" for a in "left right upper lower small large".split() for b in "lobe effusion nodule line".split()]

        def question(seed, n):
            return f"{seed}. " + " ".join(words[(seed * 7 + i * i) % len(words)] for i in range(n))

        with Server("-m", MODELS / "demo-text", "--data", self.data, "--prefix-mb", 1) as s:
            def ask(tenant, seed, n, max_tokens):
                body = {"messages": [{"role": "user", "content": question(seed, n)}], "max_tokens": max_tokens, "ignore_eos": True,
                        "temperature": 0}
                start = time.monotonic()
                usage = s.get(CHAT, body, keys[tenant])["usage"]
                return time.monotonic() - start, usage["prompt_tokens"]

            def median(first):
                return statistics.median(ask("north", first + i, 100, 1)[0] for i in range(9))

            ask("north", 1, 100, 1)
            alone = median(10)
            stop, asked = threading.Event(), []

            def flood(i):
                for k in range(10**6):
                    if stop.is_set():
                        return
                    asked.append(ask("main", 1000 * (i + 1) + k, 250, 1))

            threads = [threading.Thread(target=flood, args=(i,)) for i in range(16)]
            for t in threads:
                t.start()
            try:
                while len(asked) < 6:
                    time.sleep(0.01)
                loaded = median(100)
                waiting = s.metric("ward:engine_calls_waiting", 'model_name="demo-text"', keys["main"])
            finally:
                stop.set()
                for t in threads:
                    t.join()
            theirs = statistics.median(s for s, _ in asked[6:])
            print(f"time to first token: {alone * 1000:.0f} ms alone, {loaded * 1000:.0f} ms beside {len(asked)} requests of "
                  f"{statistics.mean(n for _, n in asked):.0f} tokens, which take {1000 * theirs:.0f} ms", file=sys.stderr)
            self.assertGreater(waiting, 5)  # the flood was there
            self.assertLess(loaded, theirs / 3)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
