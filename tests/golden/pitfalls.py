#!/usr/bin/env python3
"""Checks pitfalls.md: rows P1 to P36 in order, and every test they name is registered in the file they name."""
import os
import re
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def main():
    bad, expected = [], 1
    for line in open(os.path.join(ROOT, "tests", "golden", "pitfalls.md"), encoding="utf-8"):
        row = re.match(r"\| P(\d+) \| ([^|]*) \| (.*) \|$", line)
        if not row:
            continue
        n, tests = int(row[1]), row[3]
        if n != expected:
            bad.append(f"row P{n} stands where P{expected} should")
        expected = n + 1
        files = re.split(r"(`tests/[\w/.]+`)", tests)
        if len(files) == 1 and n != 17:
            bad.append(f"P{n} names no test")
        for file, names in zip(files[1::2], files[2::2]):
            path = os.path.join(ROOT, file.strip("`"))
            source = open(path, encoding="utf-8").read() if os.path.exists(path) else ""
            if not source:
                bad.append(f"P{n}: no file {file}")
            for name in re.findall(r"\b[a-z0-9]+(?:_[a-z0-9]+){3,}\b", names):
                if f"cmocka_unit_test({name})" not in source:
                    bad.append(f"P{n}: {file} has no test {name}")
    if expected != 37:
        bad.append(f"the table ends at P{expected - 1}")
    print("\n".join(bad) or "36 pitfalls, every named test exists")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
