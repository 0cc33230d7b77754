#!/usr/bin/env python3
"""ward eval from outside: the table, the JSON contract, records, users' own cases, broken ones, interruption.

usage: test_eval.py WARD CHECKPOINTS   CHECKPOINTS: the derived golden checkpoints."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

WARD, CKPT = sys.argv[1], pathlib.Path(sys.argv[2])
VL = CKPT / "vl-tied"
REPORT = ("finding_precision finding_recall finding_f1 laterality lobe size_err_mm_median impression_rank schema_valid "
          "contradictions template_collapse unsupported").split()
FIND = "top1 top3 mrr ndcg".split()


class Eval(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.dir = pathlib.Path(self.folder.name)
        self.work = self.dir / "tmp"
        self.work.mkdir()
        self.env = {**os.environ, "HOME": "/nonexistent", "TMPDIR": str(self.work)}

    def tearDown(self):
        left = sorted(self.work.iterdir())
        self.folder.cleanup()
        self.assertEqual(left, [], "temporary cases are left")

    def ward(self, *args, **kw):
        return subprocess.run([WARD, *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=self.env, timeout=300, **kw)

    def cases(self, *seeds):
        for seed in seeds:
            r = self.ward("phantom", "ct", "--seed", seed, "-o", self.dir / "cases" / f"case-{seed}")
            self.assertEqual(r.returncode, 0, r.stderr)
        return self.dir / "cases"

    def test_usage_errors_exit_2_with_one_sentence(self):
        for args in ([], ["nothing", "--seeds", 1], ["report"], ["report", "find", "--seeds", 1],
                     ["report", "--oracle", "--seeds", 1, "--cases", "x"], ["report", "--oracle", "--seeds", "5..2"],
                     ["report", "--oracle", "--seeds", "1.."], ["report", "--oracle", "--seeds", "-1"],
                     ["report", "--oracle", "--seeds", "99999999999999999999"],
                     ["report", "--oracle", "--seeds", 1, "-l", "fr"], ["report", "--oracle", "-m", VL, "--seeds", 1],
                     ["report", "--baseline", "embedding", "-m", VL, "--seeds", 1],
                     ["find", "--baseline", "wise", "--seeds", 1], ["report", "--seeds", 1],
                     ["find", "--oracle", "--baseline", "embedding", "--seeds", 1],
                     ["report", "--record", "-", "--json", "--seeds", 1],
                     ["report", "-m", VL, "--seeds", "999999..1000000"]):
            r = self.ward("eval", *args)
            self.assertEqual(r.returncode, 2, (args, r.stderr))
            if "--json" not in args:
                self.assertEqual(r.stdout, b"", args)
            self.assertEqual(r.stderr.count(b"\n"), 1, r.stderr)
        self.assertIn(b"training", r.stderr)

    def test_the_oracle_scores_perfect(self):
        v = json.loads(self.ward("eval", "report", "--oracle", "--seeds", "1..3", "--json").stdout)
        self.assertEqual((v["suite"], v["model"], v["cases"], v["failed"]), ("report", "oracle", 3, []))
        self.assertLessEqual(set(REPORT), set(v["metrics"]))
        self.assertEqual(v["metrics"]["finding_f1"], 1)
        self.assertEqual(v["metrics"]["contradictions"], 0)
        self.assertEqual(v["by"]["type"]["nodule"]["lobe"], 1)
        table = self.ward("eval", "find", "--oracle", "--seeds", 1).stdout.decode()
        for name in FIND:
            self.assertRegex(table, rf"(?m)^{name} +1\.0000 ")
        self.assertIn(">= 0.961", table)
        self.assertIn("reached", table)

    def test_blind_baselines_need_no_model(self):
        for suite, names in (("report", REPORT), ("find", FIND)):
            v = json.loads(self.ward("eval", suite, "--baseline", "blind", "--seeds", "1..3", "--json").stdout)
            self.assertEqual((v["baseline"], v["model"]), ("blind", None))
            self.assertLessEqual(set(names), set(v["metrics"]))
        self.assertLess(v["metrics"]["ndcg"], 1)

    def read(self, path):
        calls = []
        with open(path, "rb") as f:
            while line := f.readline():
                call = json.loads(line)
                call["pixels"] = [f.read(im["width"] * im["height"] * 3) for im in call["images"]]
                calls.append(call)
        return calls

    def test_a_record_holds_prompts_pictures_and_right_replies(self):
        path = self.dir / "rec"
        r = self.ward("eval", "report", "--record", path, "--seeds", "1000000..1000001")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(r.stdout, b"")
        calls = self.read(path)
        self.assertEqual([c["seed"] for c in calls], [1000000, 1000001])
        for c in calls:
            self.assertEqual((c["suite"], c["call"], len(c["images"])), ("report", "generate", 12))
            self.assertEqual(c["truth"]["seed"], c["seed"])
            language = "en" if c["seed"] % 2 else "zh"
            self.assertEqual(json.loads(c["reply"]), c["truth"]["report"][language])
            self.assertEqual(c["prompt"].count("<|image_pad|>"), 12)
            for im, pixels in zip(c["images"], c["pixels"]):
                self.assertEqual(len(pixels), im["width"] * im["height"] * 3)
                self.assertGreater(len(set(pixels)), 20)  # a picture, not nothing

    def test_find_records_every_pair_with_its_answer(self):
        path = self.dir / "rec"
        self.assertEqual(self.ward("eval", "find", "--record", path, "--seeds", 2).returncode, 0)
        calls = self.read(path)
        truth = calls[0]["truth"]
        self.assertEqual(len(calls), 12 * len(truth["findings"]))
        for k, f in enumerate(truth["findings"]):
            mine = calls[12 * k:12 * k + 12]
            self.assertEqual([c["score"] for c in mine], [float(i + 1 in f["slices"]) for i in range(12)])
            self.assertEqual({c["query"][0]["text"] for c in mine}, {f["text"]["zh"]})
        self.assertNotIn("truth", calls[1])

    def test_a_reader_that_leaves_ends_it_with_one_sentence(self):
        p = subprocess.Popen([WARD, "eval", "report", "--record", "-", "--seeds", "1..100000"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=self.env)
        self.assertTrue(p.stdout.read(100000))
        p.stdout.close()
        self.assertEqual(p.wait(60), 1)
        self.assertEqual(p.stderr.read().count(b"\n"), 1)
        p.stderr.close()

    def test_ctrl_c_ends_it_and_cleans_up(self):
        each = self.dir / "each"
        p = subprocess.Popen([WARD, "eval", "report", "--oracle", "--seeds", "1..100000"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=self.env)
        while not any(self.work.iterdir()):
            time.sleep(0.01)
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=60)
        self.assertEqual((p.returncode, out, err.count(b"\n")), (1, b"", 1), err)
        self.assertFalse(each.exists())

    def test_own_cases_are_read_and_a_broken_one_is_said(self):
        cases = self.cases(4, 5)
        v = json.loads(self.ward("eval", "report", "--oracle", "--cases", cases, "--json").stdout)
        self.assertEqual((v["cases"], v["metrics"]["finding_f1"]), (2, 1))
        (cases / "broken").mkdir()
        (cases / "broken" / "truth.json").write_text('{"findings": [{"type": "nodule", "side": "up"}]}')
        r = self.ward("eval", "report", "--oracle", "--cases", cases, "--json")
        self.assertEqual(r.returncode, 1)
        v = json.loads(r.stdout)
        self.assertEqual((v["cases"], [f["case"] for f in v["failed"]]), (2, ["broken"]))
        self.assertIn(b'side is "up"', r.stderr)
        # a truth of a user's own: no report, no sentence, no box
        own = self.dir / "own" / "a"
        own.mkdir(parents=True)
        (cases / "case-4" / "series").rename(own / "series")
        (own / "truth.json").write_text(json.dumps({"language": "zh", "question": "结节？", "findings": [
            {"type": "nodule", "lobe": "左肺上叶", "size_mm": 9}], "report": {"zh": {"impression": ["左肺上叶结节。"]}}}))
        each = self.dir / "each"
        v = json.loads(self.ward("eval", "report", "--oracle", "--cases", own.parent, "--json", "--each", each).stdout)
        self.assertEqual((v["metrics"]["finding_f1"], v["metrics"]["lobe"], v["metrics"]["impression_rank"]),
                         (1, 1, 1))
        self.assertEqual(json.loads(each.read_text())["language"], "zh")
        self.assertEqual(self.ward("eval", "report", "--oracle", "--cases", self.dir / "none").returncode, 3)

    def test_a_model_is_measured_and_written_down_and_repeats(self):
        runs = []
        for name in "ab":
            each, rec = self.dir / f"each-{name}", self.dir / f"rec-{name}"
            r = self.ward("eval", "report", "-m", VL, "--seeds", 1, "--json", "--each", each, "--record", rec)
            self.assertEqual(r.returncode, 0, r.stderr)
            runs.append((json.loads(r.stdout), json.loads(each.read_text()), self.read(rec)))
        (v, case, calls), (v2, case2, calls2) = runs
        self.assertEqual(v["metrics"], v2["metrics"])
        self.assertEqual(case["reply"], case2["reply"])
        self.assertEqual((v["model"], len(v["model_digest"])), (str(VL), 64))
        self.assertEqual(v["metrics"]["schema_valid"], 0)  # random weights
        self.assertEqual(len(calls), 1)
        self.assertEqual(calls[0]["reply"], case["reply"])
        self.assertEqual(calls[0]["reply_ids"], calls2[0]["reply_ids"])
        image = json.loads((VL / "config.json").read_text())["image_token_id"]
        self.assertGreaterEqual(calls[0]["prompt_ids"].count(image), 12)
        for extra in ([], ["--baseline", "embedding"]):
            v = json.loads(self.ward("eval", "find", "-m", VL, "--seeds", 1, "--slices", 4, "--json", *extra).stdout)
            self.assertLessEqual(set(FIND), set(v["metrics"]))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
