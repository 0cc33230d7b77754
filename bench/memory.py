#!/usr/bin/env python3
"""Peak memory of a command, and how much of it is not mapped files as a checkpoint is; of several, one after the other.

    bench/memory.py WARD chat -m MODEL -t 0 -n 8 --ignore-end --json [-i PICTURE] PROMPT
    bench/memory.py WARD bench MODEL --seconds 0 --repeat 1 --only prefill --prefill 2048 -- \\
                    LLAMA_BIN_DIR/llama-bench -m MODEL.gguf -r 1 -n 0 -p 2048 --no-warmup"""
import itertools
import os
import subprocess
import sys
import time


def watch(command):
    """Prints what the command had; returns its exit status."""
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    own = total = 0
    while p.poll() is None:
        try:
            with open(f"/proc/{p.pid}/status", encoding="ascii", errors="replace") as f:
                s = dict(line.split(":", 1) for line in f)
            own = max(own, int(s["RssAnon"].split()[0]) + int(s["RssShmem"].split()[0]))
            total = max(total, int(s["VmHWM"].split()[0]))
        except (OSError, KeyError):
            pass    # it has just ended
        time.sleep(0.005)
    print(f"{os.path.basename(command[0])}: {total / 1024:.0f} MiB resident at most, of which {own / 1024:.0f} MiB were not "
          "mapped files", flush=True)
    return p.returncode


def main():
    commands = [list(words) for cut, words in itertools.groupby(sys.argv[1:], lambda w: w == "--") if not cut]
    if not commands or len(commands[0]) < 2:
        sys.exit(__doc__)
    return max(map(abs, map(watch, commands)))


if __name__ == "__main__":
    sys.exit(main())
