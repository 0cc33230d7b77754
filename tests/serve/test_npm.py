#!/usr/bin/env python3
"""npm's openai package against ward serve with the bundled text model, and against scripted servers: what it does is in
npm/clients.mjs. Here are the servers, and what the command line says.

usage: test_npm.py WARD SCRIPTED_SERVER MODELS   (through tools/npm, which knows where the packages are)"""
import base64
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from program import PATIENCE, Server, answer, scripted

SCRIPTED, MODEL = sys.argv[2], pathlib.Path(sys.argv[3]) / "demo-text"
PICTURE = pathlib.Path(__file__).parent.parent / "golden/image/phantom.png"
CALL = '<tool_call>\n{"name": "labs", "arguments": {"test": "CRP \\"high\\""}}\n</tool_call>'
THOUGHT = "<think>\nLet me look.\n</think>\n\n"


class Npm(unittest.TestCase):
    def test_the_openai_package(self):
        with contextlib.ExitStack() as stack:
            def says(*replies):
                return stack.enter_context(scripted(SCRIPTED, *replies))
            given = {
                "ward": stack.enter_context(Server("-m", MODEL)).url,
                "loop": says(CALL + "\n" + CALL, "It was 12."),
                "loop_streamed": says(CALL + "\n" + CALL, "It was 12."),
                "reasons": says(THOUGHT + "A moment.\n" + CALL + "\n" + CALL),
                "responses": says(THOUGHT + CALL, "It was 12."),
                "want": answer("chat", "-m", MODEL, "-t", 0, "-n", 24, "Which CRP was the latest?"),
                "vector": answer("embed", "-m", MODEL, "a nodule")["embedding"],
                "png": base64.b64encode(PICTURE.read_bytes()).decode(),
            }
            r = subprocess.run(["node", pathlib.Path(os.environ["WARD_NPM"]) / "clients.mjs", json.dumps(given)],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
        said = r.stdout.decode(errors="replace")
        self.assertEqual(r.returncode, 0, said)
        self.assertIn("# pass 13\n", said)
        self.assertIn("# fail 0\n", said)


unittest.main(argv=[sys.argv[0]])
