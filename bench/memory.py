#!/usr/bin/env python3
"""Peak memory of a command of ward, and how much of it is not the mapped checkpoint.

    bench/memory.py WARD chat -m MODEL -t 0 -n 8 --ignore-end --json [-i PICTURE] PROMPT"""
import subprocess
import sys
import time


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    p = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
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
    print(f"{total / 1024:.0f} MiB resident at most, of which {own / 1024:.0f} MiB were not mapped files")
    return p.returncode


if __name__ == "__main__":
    sys.exit(main())
