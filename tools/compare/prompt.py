#!/usr/bin/env python3
"""Token ids of the golden conversations on the published Qwen3 tokenizer: prompt.py build/tests/text/test_prompt FOLDER."""
import os
import sys

os.execve(sys.argv[1], sys.argv[1:2], {**os.environ, "WARD_QWEN3": sys.argv[2]})
