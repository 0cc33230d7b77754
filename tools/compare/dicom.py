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
from pydicom.pixel_data_handlers import util

# Largest difference allowed, per transfer syntax. 0 wherever decoding is defined to the bit. The inverse DCT of lossy
# JPEG is not: two decoders may round differently (ITU-T T.81 A.3.3 and T.83), and chroma may be interpolated or not.
LOSSY = {"1.2.840.10008.1.2.4.50": 1, "1.2.840.10008.1.2.4.51": 1}
# Bits beside Bits Stored: PS3.5 8.1.1 says that they are not part of the value, pydicom leaves them in.
MASKED = {"twelve_signed.dcm"}
# What pydicom reads wrongly: it returns an array, and its contents are not the image.
NOT_READ = {
    "JPEG2000-embedded-sequence-delimiter.dcm": "its codestream header is overwritten (it tests the parsing of fragments); "
    "GDCM reports an error and returns memory that it never wrote",
    "j2k.dcm": "GDCM does not put the fragments of a frame together; tests/media/test_dicom.c knows the picture",
    "j2k_no_table.dcm": "the same",
    "j2k_wrong_size.dcm": "the codestream is smaller than Rows and Columns say: GDCM leaves the rest undefined",
}
DATA = os.path.join(os.path.dirname(pydicom.__file__), "data")


def files_of(directories):
    for top in directories:
        for root, dirs, names in os.walk(top):
            dirs.sort()
            for name in sorted(names):
                yield os.path.join(root, name)


class Dump:
    """One dicom_dump, asked for one thing of one file at a time."""

    def __init__(self, program):
        self.p = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, kind, path):
        """The line about it and the bytes."""
        self.p.stdin.write(f"{kind} {path}\n".encode())
        self.p.stdin.flush()
        line = self.p.stdout.readline()
        if not line:
            sys.exit(f"dicom_dump ended: {kind} {path}")
        head = json.loads(line)
        return head, self.p.stdout.read(head["bytes"])

    def end(self):
        self.p.stdin.close()
        if self.p.wait():
            sys.exit(f"dicom_dump: exit status {self.p.returncode}")


def ours(dump, path, what="s"):
    head, rest = dump.ask(what, path)
    if "error" in head:
        return head, None
    kind = np.float32 if head["float"] else np.int32 if head["signed"] else np.uint32
    kind, samples = {"v": (np.float32, 1), "r": (np.uint8, 3)}.get(what, (kind, head["samples"]))
    return head, np.frombuffer(rest, kind).reshape(head["frames"], head["rows"], head["cols"], samples)


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
    if a.size == 0:
        return None, "an image without pixels", ds
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
        if name in MASKED:
            bits = np.array(16 - ds.BitsStored, np.int16)
            want = (want.astype(np.uint16) << bits.astype(np.uint16)).view(np.int16) >> bits
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


def drawn(ds, a):
    """What pydicom's functions make of it, as 0..255; None where they have nothing to say."""
    if "SharedFunctionalGroupsSequence" in ds or "PixelPaddingValue" in ds or "FloatPixelData" in ds:
        return None
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        lut = util.apply_color_lut(a[..., 0], ds)
        return lut >> 8 if lut.dtype.itemsize == 2 else lut
    if ds.get("SamplesPerPixel", 1) != 1 or not ("WindowCenter" in ds or "VOILUTSequence" in ds):
        return None
    value = util.apply_modality_lut(a[..., 0], ds)
    y = util.apply_voi_lut(value, ds).astype(float)
    if "VOILUTSequence" in ds:
        y = y / (2 ** ds.VOILUTSequence[0].LUTDescriptor[2] - 1)
    else:  # the range that apply_windowing spreads over
        lo, hi = (-(2 ** (ds.BitsStored - 1)), 2 ** (ds.BitsStored - 1) - 1) if ds.PixelRepresentation else (
            0, 2**ds.BitsStored - 1)
        if "RescaleSlope" in ds:
            lo, hi = (v * ds.RescaleSlope + ds.RescaleIntercept for v in (lo, hi))
        y = (y - lo) / (hi - lo)
    y = np.floor(np.clip(y, 0, 1) * 255 + 0.5)
    if ds.PhotometricInterpretation == "MONOCHROME1":
        y = 255 - y
    return y[..., None].repeat(3, -1)


def compare_drawing(dump, directories):
    """Modality transforms must be equal; grey levels may differ by one, where rounding meets a half."""
    n_value = n_drawn = n_bad = 0
    for path in files_of(directories):
        want, why, ds = theirs(path)
        if want is None:
            continue
        name = os.path.basename(path)
        if ds.get("SamplesPerPixel", 1) == 1 and ds.PhotometricInterpretation != "PALETTE COLOR" and (
                "SharedFunctionalGroupsSequence" not in ds and "FloatPixelData" not in ds):
            value = util.apply_modality_lut(want[..., 0], ds).astype(np.float32)
            _, got = ours(dump, path, "v")
            n_value += 1
            if not np.array_equal(value, got[..., 0]) and name not in MASKED:
                print(f"DIFFERENT values after the modality transform: {name}")
                n_bad += 1
        picture = drawn(ds, want)
        if picture is None or name in MASKED:
            continue
        _, got = ours(dump, path, "r")
        n_drawn += 1
        diff = np.abs(got.astype(int) - picture.astype(int)).max()
        if diff > 1:
            print(f"DIFFERENT drawing: {name}: largest {diff}")
            n_bad += 1
    print(f"modality transforms: {n_value} files; windows, tables and palettes: {n_drawn} files; {n_bad} differences")
    return n_bad


def compare_names(dump, directory):
    n = n_bad = 0
    for path in files_of([directory]):
        if not path.endswith(".dcm"):
            continue
        ds = pydicom.dcmread(path)
        ds.decode()
        want = str(ds.get("PatientName", "")).rstrip(" =^")
        head, got = dump.ask("t", path)
        n += 1
        if "error" in head or got.decode("utf-8").rstrip(" =^\0") != want:
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
    dump = Dump(a.dump)
    n_file, n_bad = compare_pixels(dump, a.directories or [DATA])
    n_bad += compare_drawing(dump, a.directories or [DATA])
    n_bad += compare_names(dump, os.path.join(DATA, "charset_files"))
    dump.end()
    return 0 if n_file and not n_bad else 1


if __name__ == "__main__":
    sys.exit(main())
