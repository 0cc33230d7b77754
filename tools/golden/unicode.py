#!/usr/bin/env python3
"""Writes src/text/unicode_ranges.inc: the character classes as Hugging Face `tokenizers` has them.

Two Unicode versions meet in that library: the regular expression engine (Oniguruma) knows letters, numbers and white
space of a recent one, the NFC normalizer is frozen at Unicode 9. A tokenizer that is to give the same ids needs
both, whatever version the machine's own libraries have; so the library is asked about every code point.

    python3 tools/golden/unicode.py > src/text/unicode_ranges.inc
"""
import os
import sys
import unicodedata

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizers
from tokenizers import Regex
from tokenizers.normalizers import NFC, NFD
from tokenizers.pre_tokenizers import Split

ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
nfc = NFC().normalize_str
nfd = NFD().normalize_str


def matching(regex):
    split = Split(Regex(regex), "removed")
    return {c for c in ALL if not split.pre_tokenize_str(chr(c))}


def reorders():
    """Code points with a combining class other than 0: they change places with a mark of the lowest class before
    which they stand, or with one of the highest behind which they stand."""
    marks = sorted((unicodedata.combining(chr(c)), c) for c in range(0x300, 0x1100) if unicodedata.combining(chr(c)))
    low, high = chr(marks[0][1]), chr(marks[-1][1])
    out = set()
    for x in map(chr, ALL):  # q takes no mark: nothing composes
        if nfc("q" + x + low) == "q" + low + x or nfc("q" + high + x) == "q" + x + high:
            out.add(ord(x))
    return out | {ord(low), ord(high)}


def composes():
    """(first, second): code points that begin, and that end, a pair which NFC joins into one."""
    first, second = set(), set()
    for c in ALL:
        d = unicodedata.decomposition(chr(c))
        if not d or d.startswith("<") or " " not in d:
            continue
        a, b = (chr(int(h, 16)) for h in d.split())
        if nfc(a + b) == chr(c):
            first.add(ord(a))
            second.add(ord(b))
    first |= set(range(0x1100, 0x1113)) | {0xAC00 + 28 * i for i in range(19 * 21)}
    second |= set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    return first, second


def table(name, comment, points):
    runs = []
    for c in sorted(points):
        if runs and runs[-1][1] == c - 1:
            runs[-1][1] = c
        else:
            runs.append([c, c])
    print("\n/* %s: %d code points. */" % (comment, len(points)))
    print("static const uint32_t %s[][2] = {" % name)
    line = "   "
    for a, b in runs:
        item = " { 0x%x, 0x%x }," % (a, b)
        if len(line) + len(item) > 110:
            print(line)
            line = "   "
        line += item
    print(line)
    print("};")
    print("%s: %d ranges" % (name, len(runs)), file=sys.stderr)


def main():
    first, second = composes()
    changed = {c for c in ALL if nfc(chr(c)) != chr(c)}
    print("/* Character classes as the reference tokenizer has them. Made by tools/golden/unicode.py from tokenizers %s;"
          % tokenizers.__version__)
    print(" * do not edit. First and last code point of each range. */")
    print("/* clang-format off */")
    table("letter_ranges", r"\p{L}", matching(r"\p{L}"))
    table("number_ranges", r"\p{N}", matching(r"\p{N}"))
    table("space_ranges", "White_Space", matching(r"\s"))
    table("nfc_care_ranges", "NFC_Quick_Check is not Yes, or a combining class other than 0",
          changed | second | reorders())
    table("nfc_first_ranges", "Begins a canonical composition, or is one", first | {c for c in ALL if nfd(chr(c)) != chr(c)})


if __name__ == "__main__":
    main()
