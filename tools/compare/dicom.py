#!/usr/bin/env python3
"""Compares Ward's DICOM reader with pydicom on the test files of Debian's python3-pydicom: the stored values of every
file that pydicom can read must be equal, and the names in its character set files too.

    python3 tools/compare/dicom.py build/tests/media/dicom_dump [DIRECTORY ...]

pydicom decodes compressed pixels through GDCM (python3-gdcm) and Pillow. Exit status 0: no difference beyond the
tolerances stated below.

Colours are compared as the file codes them: neither reader converts YBR to RGB at this point.
"""
import argparse
import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pydicom

# Largest difference allowed, per transfer syntax. 0 wherever decoding is defined to the bit. The inverse DCT of lossy
# JPEG is not: two decoders may round differently (ITU-T T.81 A.3.3 and T.83), and chroma may be interpolated or not.
LOSSY = {"1.2.840.10008.1.2.4.50": 1, "1.2.840.10008.1.2.4.51": 1}
# What pydicom "reads" but nobody can: pydicom returns an array, its contents are not an image.
NOT_READ = {
    "JPEG2000-embedded-sequence-delimiter.dcm": "its codestream header is overwritten (it tests the parsing of fragments); "
    "GDCM reports an error and returns memory that it never wrote",
}
DATA = os.path.join(os.path.dirname(pydicom.__file__), "data")


def files_of(directories):
    for top in directories:
        for root, dirs, names in os.walk(top):
            dirs.sort()
            for name in sorted(names):
                yield os.path.join(root, name)


def ours(dump, path):
    run = subprocess.run([dump, path], stdout=subprocess.PIPE, check=False)
    line, _, rest = run.stdout.partition(b"\n")
    head = json.loads(line)
    if "error" in head:
        return head, None
    kind = np.float32 if head["float"] else np.int32 if head["signed"] else np.uint32
    shape = (head["frames"], head["rows"], head["cols"], head["samples"])
    return head, np.frombuffer(rest, kind).reshape(shape)


def silent_pixel_array(ds):
    """GDCM complains on the C++ streams."""
    saved = os.dup(2), os.dup(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.dup2(null, 1)
    try:
        return ds.pixel_array
    finally:
        os.dup2(saved[0], 2)
        os.dup2(saved[1], 1)
        for fd in (*saved, null):
            os.close(fd)


def theirs(path):
    try:
        ds = pydicom.dcmread(path, force=True)
        if not any(k in ds for k in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
            return None, "no pixels", ds
    except Exception as e:  # whatever pydicom raises on a file that is no DICOM
        return None, f"not read: {e}", None
    if os.path.basename(path) in NOT_READ:
        return None, NOT_READ[os.path.basename(path)], ds
    try:
        a = silent_pixel_array(ds)
    except Exception as e:
        return None, str(e).split("\n")[0], ds
    samples = a.shape[-1] if ds.get("SamplesPerPixel", 1) > 1 else 1
    rows, cols = ds.Rows, ds.Columns
    return a.reshape(-1, rows, cols, samples), None, ds


def compare_pixels(dump, directories):
    n_file = n_frame = n_bad = 0
    unread, largest = [], {}
    for path in files_of(directories):
        want, why, ds = theirs(path)
        if ds is None or why == "no pixels":
            continue
        head, got = ours(dump, path)
        name = os.path.basename(path)
        if want is None:
            unread.append((name, why, head.get("error") and head["error"].replace(path, "FILE") or "read"))
            continue
        n_file += 1
        n_frame += want.shape[0]
        if got is None:
            print(f"DIFFERENT {name}: Ward: {head['error']}")
            n_bad += 1
            continue
        ts = str(ds.file_meta.get("TransferSyntaxUID", ""))
        allowed = LOSSY.get(ts, 0)
        if got.shape != want.shape:
            print(f"DIFFERENT {name}: shape {got.shape} {want.shape}")
            n_bad += 1
            continue
        diff = np.abs(got.astype(np.int64) - want.astype(np.int64))
        if diff.max(initial=0):
            largest[name] = f"largest {diff.max()}, {np.count_nonzero(diff)} of {diff.size} samples, allowed {allowed}"
        if diff.max(initial=0) > allowed:
            print(f"DIFFERENT {name}: {largest[name]} ({pydicom.uid.UID(ts).name}, {ds.PhotometricInterpretation})")
            n_bad += 1
    print(f"pixels: {n_file} files, {n_frame} frames, {n_bad} files with differences")
    for name, text in largest.items():
        print(f"  within tolerance: {name}: {text}")
    for name, why, mine in unread:
        print(f"  pydicom cannot: {name}: {why}\n            Ward: {mine}")
    return n_file, n_bad


def compare_names(dump, directory):
    n = n_bad = 0
    for path in files_of([directory]):
        if not path.endswith(".dcm"):
            continue
        ds = pydicom.dcmread(path)
        ds.decode()
        want = str(ds.get("PatientName", "")).rstrip(" =^")
        got = subprocess.run([dump, "-t", path], stdout=subprocess.PIPE, check=True).stdout
        n += 1
        if got.decode("utf-8").rstrip(" =^\0") != want:
            print(f"DIFFERENT name in {os.path.basename(path)}")
            n_bad += 1
    print(f"character sets: {n} files, {n_bad} differences")
    return n_bad


def main():
    p = argparse.ArgumentParser()
    p.add_argument("dump")
    p.add_argument("directories", nargs="*", default=[])
    a = p.parse_args()
    warnings.simplefilter("ignore")
    print(f"pydicom {pydicom.__version__}")
    n_file, n_bad = compare_pixels(a.dump, a.directories or [DATA])
    n_bad += compare_names(a.dump, os.path.join(DATA, "charset_files"))
    return 0 if n_file and not n_bad else 1


if __name__ == "__main__":
    sys.exit(main())
