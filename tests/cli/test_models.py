#!/usr/bin/env python3
"""The bundled demonstration models: small enough, marked as what they are, and right on unseen cases.

usage: test_models.py WARD MODELS   MODELS: the folder models/.

The figures are floors on a handful of seeds, well under what docs/demo-model.md measures on many: an engine or a story
that goes wrong falls through them, a rounding does not."""
import json
import os
import pathlib
import subprocess
import sys
import unittest

WARD, MODELS = sys.argv[1], pathlib.Path(sys.argv[2])


def measure(suite, model, seeds):
    r = subprocess.run([WARD, "eval", suite, "-m", MODELS / model, "--seeds", seeds, "--json"], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "HOME": "/nonexistent"}, timeout=500)
    if r.returncode:
        raise AssertionError(r.stderr.decode())
    return json.loads(r.stdout)["metrics"]


class Models(unittest.TestCase):
    def test_they_are_small_and_marked(self):
        size = sum(f.stat().st_size for f in MODELS.rglob("*") if f.is_file())
        self.assertLess(size, 16_000_000)
        for model in ("demo", "demo-text"):
            self.assertIn("not for clinical", (MODELS / model / "README.md").read_text().lower())

    def test_reports_say_what_is_there(self):
        m = measure("report", "demo", "1..16")
        self.assertGreaterEqual(m["schema_valid"], 0.9)
        self.assertGreaterEqual(m["finding_f1"], 0.7)
        self.assertGreaterEqual(m["laterality"], 0.85)
        self.assertGreaterEqual(m["lobe"], 0.8)

    def test_the_slice_of_a_sentence_is_found(self):
        m = measure("find", "demo", "1..8")
        self.assertGreaterEqual(m["top3"], 0.8)

    def test_steps_of_a_lesson_have_their_times(self):
        m = measure("lesson", "demo", "1..6")
        self.assertGreaterEqual(m["step_f1"], 0.6)
        self.assertLessEqual(m["step_time_err_s_median"], 1)

    def test_questions_become_the_right_calls(self):
        m = measure("assist", "demo-text", "1..8")
        self.assertGreaterEqual(m["tool_call_exact"], 0.9)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
