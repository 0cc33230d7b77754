#!/usr/bin/env python3
"""Makes the small DICOM and ZIP files of tests/golden/dicom and the seeds of the fuzzers: what Debian's pydicom test
files do not cover (palettes, look-up tables, functional groups, padding, windows, character sets, damaged objects).
Patients are invented. Run with the system's Python (python3-pydicom, python3-pil, python3-numpy, python3-gdcm):

    /usr/bin/python3 tools/golden/dicom.py

Everything repeats to the byte.
"""
import io
import os
import shutil
import struct
import zipfile
import zlib

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian,
                         ImplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless)

TOP = os.path.join(os.path.dirname(__file__), "..", "..")
OUT = os.path.join(TOP, "tests", "golden", "dicom")
SEEDS = os.path.join(TOP, "tests", "fuzz", "corpus")
CT = "1.2.840.10008.5.1.4.1.1.2"
SEEDED = ["plain.dcm", "implicit.dcm", "deflated.dcm", "rle.dcm", "j2k.dcm", "jpeg.dcm", "palette_segmented.dcm",
          "enhanced.dcm", "voi_lut.dcm", "ybr422.dcm", "bits.dcm", "float.dcm", "charset_japanese.dcm",
          "undefined_lengths.dcm"]


def ramp(rows=6, cols=8, dtype=np.uint16, step=37, start=0):
    return (start + step * np.arange(rows * cols)).astype(dtype).reshape(rows, cols)


def base(name, pixels=None, ts=ExplicitVRLittleEndian, **more):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = CT
    ds.file_meta.MediaStorageSOPInstanceUID = f"2.25.{zlib.crc32(name.encode())}"
    ds.file_meta.TransferSyntaxUID = ts
    ds.file_meta.ImplementationClassUID = "2.25.1"
    ds.SOPClassUID = CT
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "2.25.100", "2.25.200"
    ds.Modality = "CT"
    ds.PatientName, ds.PatientID = "Invented^Person", "INV-1"
    ds.SeriesNumber, ds.InstanceNumber = 1, 1
    if pixels is not None:
        ds.Rows, ds.Columns = pixels.shape[:2]
        ds.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
        ds.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
        if pixels.ndim == 3:
            ds.PlanarConfiguration = 0
        ds.BitsAllocated = ds.BitsStored = 8 * pixels.dtype.itemsize
        ds.HighBit = ds.BitsStored - 1
        ds.PixelRepresentation = int(pixels.dtype.kind == "i")
        raw = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes() if ts == ExplicitVRBigEndian else pixels.tobytes()
        ds.PixelData = raw + b"\0" * (len(raw) % 2)
        ds["PixelData"].VR = "OW" if pixels.dtype.itemsize > 1 else "OB"
    for key, value in more.items():
        setattr(ds, key, value)
    return ds


def save(name, ds):
    ts = ds.file_meta.TransferSyntaxUID
    ds.is_little_endian = ts != ExplicitVRBigEndian
    ds.is_implicit_VR = ts == ImplicitVRLittleEndian
    pydicom.dcmwrite(os.path.join(OUT, name), ds, write_like_original=False)


def lut(first, entries, bits=16, **more):
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item["LUTDescriptor"].VR = "US" if first >= 0 else "SS"
    item.add_new("LUTData", "OW", np.asarray(entries, "<u2").tobytes())
    for key, value in more.items():
        setattr(item, key, value)
    return item


def plain_files():
    save("plain.dcm", base("plain", ramp(dtype=np.int16, start=-800), RescaleSlope="2", RescaleIntercept="-24",
                           RescaleType="HU", WindowCenter=["40", "-600"], WindowWidth=["400", "1500"],
                           WindowCenterWidthExplanation=["soft", "lung"], ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
                           ImagePositionPatient=[-1, -2, 3.5], ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
                           PixelSpacing=["0.7", "0.8"], SliceThickness="1.25", SeriesDescription="Chest 1 mm",
                           ImageLaterality="L", BodyPartExamined="CHEST", FrameOfReferenceUID="2.25.300"))
    save("implicit.dcm", base("implicit", ramp(), ImplicitVRLittleEndian))
    save("big.dcm", base("big", ramp(), ExplicitVRBigEndian))
    save("deflated.dcm", base("deflated", ramp(), DeflatedExplicitVRLittleEndian))
    save("rgb_planar.dcm", planar())
    save("monochrome1.dcm", base("monochrome1", ramp(dtype=np.uint8, step=5), PhotometricInterpretation="MONOCHROME1"))
    ds = base("twelve", ramp(step=85), BitsStored=12, HighBit=11, PixelRepresentation=1)
    save("twelve_signed.dcm", ds)  # sign bit is bit 11; pydicom gives the 16 bits as they are
    ds = base("padding", ramp(dtype=np.int16, step=40, start=-1000))
    ds.add_new("PixelPaddingValue", "SS", -1000)
    ds.add_new("PixelPaddingRangeLimit", "SS", -880)
    save("padding.dcm", ds)
    bits = np.array([1, 0, 1, 1, 0, 0, 1, 0, 1, 1] * 3, np.uint8)
    ds = base("bits", ramp(3, 5, np.uint8), NumberOfFrames="2", BitsAllocated=1, BitsStored=1, HighBit=0)
    ds.PixelData = np.packbits(bits, bitorder="little").tobytes()  # 30 bits, the second frame begins inside a byte
    save("bits.dcm", ds)
    ds = base("ybr422", ramp(4, 6, np.uint8)[..., None].repeat(3, 2), PhotometricInterpretation="YBR_FULL_422")
    ds.PixelData = bytes(range(10, 10 + 4 * 6 * 2))
    save("ybr422.dcm", ds)
    ds = base("float", ramp(4, 4))
    del ds.PixelData, ds.BitsStored, ds.HighBit, ds.PixelRepresentation
    ds.BitsAllocated = 32
    ds.FloatPixelData = (np.arange(16, dtype="<f4") / 3 - 2).tobytes()
    save("float.dcm", ds)


def planar():
    ds = base("rgb_planar", ramp(4, 5, np.uint8)[..., None].repeat(3, 2))
    ds.PlanarConfiguration = 1
    ds.PixelData = bytes(range(60))
    return ds


def tables():
    save("modality_lut.dcm", base("modality_lut", ramp(step=1), ModalityLUTSequence=Sequence(
        [lut(4, [10 * k * k for k in range(20)], ModalityLUTType="US")])))
    save("voi_lut.dcm", base("voi_lut", ramp(step=3), VOILUTSequence=Sequence(
        [lut(10, [k * k for k in range(64)], 12), lut(0, list(range(100, 0, -1)), 8)]),
                             WindowCenter="60", WindowWidth="100"))
    for name, fn in (("linear", "LINEAR"), ("exact", "LINEAR_EXACT"), ("sigmoid", "SIGMOID")):
        save(f"window_{name}.dcm", base("window_" + name, ramp(step=20), WindowCenter="500.5", WindowWidth="301",
                                        VOILUTFunction=fn))
    index = ramp(dtype=np.uint8, step=1)
    ds = base("palette", index, PhotometricInterpretation="PALETTE COLOR")
    for k, c in enumerate(("Red", "Green", "Blue")):
        setattr(ds, f"{c}PaletteColorLookupTableDescriptor", [40, 2, 16])
        setattr(ds, f"{c}PaletteColorLookupTableData",
                np.array([(i * (k + 3) * 500) % 65536 for i in range(40)], "<u2").tobytes())
    save("palette.dcm", ds)
    ds = base("palette_segmented", index, PhotometricInterpretation="PALETTE COLOR")
    # discrete 4 values; linear 20 to 60000; indirect: the first segment again; linear 12 to 100
    words = [0, 4, 100, 20000, 300, 40000, 1, 20, 60000, 2, 1, 0, 0, 1, 12, 100]
    for c in ("Red", "Green", "Blue"):
        setattr(ds, f"{c}PaletteColorLookupTableDescriptor", [40, 0, 16])
        setattr(ds, f"Segmented{c}PaletteColorLookupTableData", struct.pack("<16H", *words))
    save("palette_segmented.dcm", ds)


def group(**more):
    item = Dataset()
    for key, value in more.items():
        setattr(item, key, value)
    return Sequence([item])


def enhanced():
    frames = np.stack([ramp(4, 4, start=100 * k) for k in range(3)])
    ds = base("enhanced", frames[0], NumberOfFrames="3")
    ds.PixelData = frames.tobytes()
    shared = Dataset()
    shared.PixelMeasuresSequence = group(PixelSpacing=["0.5", "0.6"], SliceThickness="2")
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    own = []
    for k, z in enumerate((20, 0, 10)):  # not in order of position
        item = Dataset()
        item.PlanePositionSequence = group(ImagePositionPatient=[1, 2, z])
        item.PixelValueTransformationSequence = group(RescaleSlope=str(k + 1), RescaleIntercept=str(-10 * k),
                                                      RescaleType="HU")
        item.FrameVOILUTSequence = group(WindowCenter=str(100 * k + 50), WindowWidth=str(200 + k))
        own.append(item)
    ds.PerFrameFunctionalGroupsSequence = Sequence(own)
    save("enhanced.dcm", ds)


def coded():
    grey = ramp(16, 16, np.uint8, 1)
    ds = base("rle", ramp(step=37), RLELossless)
    from pydicom.pixel_data_handlers.rle_handler import rle_encode_frame
    ds.PixelData = encapsulate([rle_encode_frame(ramp(step=37))])
    ds["PixelData"].is_undefined_length = True
    save("rle.dcm", ds)
    out = io.BytesIO()
    Image.fromarray(grey).save(out, "JPEG", quality=90)
    ds = base("jpeg", grey, JPEGBaseline8Bit)
    ds.PixelData = encapsulate([out.getvalue()])
    ds["PixelData"].is_undefined_length = True
    save("jpeg.dcm", ds)
    out = io.BytesIO()
    Image.fromarray(grey).save(out, "JPEG2000", irreversible=False, no_jp2=True)
    code = out.getvalue()
    ds = base("j2k", grey, JPEG2000Lossless, NumberOfFrames="2")
    half = len(code) // 2 // 2 * 2  # two frames in three fragments, told apart by the offset table or by markers
    frags = [code[:half], code[half:], code]
    save_fragments("j2k.dcm", ds, frags, [0, 2])
    save_fragments("j2k_no_table.dcm", ds, frags, None)
    save_fragments("j2k_wrong_size.dcm", base("wrong", ramp(20, 20, np.uint8), JPEG2000Lossless), [code], None)


def save_fragments(name, ds, frags, firsts):
    """firsts: the first fragment of each frame, for the offset table."""
    frags = [f + b"\0" * (len(f) % 2) for f in frags]
    at, offsets = 0, []
    for f in frags:
        offsets.append(at)
        at += 8 + len(f)
    table = b"".join(struct.pack("<I", offsets[i]) for i in firsts) if firsts else b""
    item = lambda b: struct.pack("<HHI", 0xFFFE, 0xE000, len(b)) + b
    ds.PixelData = item(table) + b"".join(item(f) for f in frags)  # the writer adds the delimiter
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    save(name, ds)


def texts():
    for name, sets, text, codec in (
            ("gb18030", ["GB18030"], "胸部CT平扫 𠀀", "gb18030"),
            ("gbk", ["GBK"], "颅脑增强", "gbk"),
            ("utf8", ["ISO_IR 192"], "Thorax – 肺", "utf-8"),
            ("latin2", ["ISO_IR 101"], "Płuco", "iso8859-2"),
            ("cyrillic", ["ISO_IR 144"], "Грудь", "iso8859-5"),
            ("thai", ["ISO_IR 166"], "ทรวงอก", "tis-620")):
        ds = base("charset_" + name)
        ds.SpecificCharacterSet = sets
        ds.SeriesDescription = text
        save(f"charset_{name}.dcm", ds)
    raw = {  # escape sequences written by hand: what pydicom must also decode
        "japanese": ("\\ISO 2022 IR 87", b"\x1b$B6;It\x1b(B CT"),
        "jisx0201": ("ISO_IR 13", b"\xb7\xae\xb3\xcc\xde CT"),
        "jisx0212": ("\\ISO 2022 IR 159", b"\x1b$(D0!\x1b(B!"),
        "korean": ("\\ISO 2022 IR 149", b"\x1b$)C\xc8\xe4\xba\xce CT"),
        "chinese": ("\\ISO 2022 IR 58", b"\x1b$)A\xd0\xd8\xb2\xbf CT"),
        "unknown": ("ISO_IR 999", b"a\xe9b"),
    }
    for name, (sets, text) in raw.items():
        ds = base("charset_" + name)
        ds.add_new(0x00080005, "CS", sets)
        ds.add_new(0x0008103E, "UN", text + b" " * (len(text) % 2))
        save(f"charset_{name}.dcm", ds)
        path = os.path.join(OUT, f"charset_{name}.dcm")  # VR UN was a way around the writer's own encoding
        with open(path, "rb") as f:
            b = f.read()
        n = len(text) + len(text) % 2
        b = b.replace(struct.pack("<HH2sHI", 8, 0x103E, b"UN", 0, n), struct.pack("<HH2sH", 8, 0x103E, b"LO", n))
        with open(path, "wb") as f:
            f.write(b)


def head(ts=b"1.2.840.10008.1.2.1\0"):
    return b"\0" * 128 + b"DICM" + struct.pack("<HH2sH", 2, 0x10, b"UI", len(ts)) + ts


def explicit(group_, element, vr, value):
    if vr in (b"SQ", b"OB", b"OW", b"UN"):
        return struct.pack("<HH2sHI", group_, element, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", group_, element, vr, len(value)) + value


def damaged():
    us = lambda e, v: explicit(0x28, e, b"US", struct.pack("<H", v))
    image = lambda rows, cols, pixels, more=b"": (
        head() + explicit(8, 0x18, b"UI", b"2.25.9") + us(2, 1) + explicit(0x28, 4, b"CS", b"MONOCHROME2 ") + more +
        us(0x10, rows) + us(0x11, cols) + us(0x100, 16) + us(0x101, 16) + us(0x102, 15) + us(0x103, 0) +
        explicit(0x7FE0, 0x10, b"OW", pixels))
    write("bad_short_pixels.dcm", image(4, 4, b"\0" * 30))
    write("bad_huge_rows.dcm", image(65535, 65535, b"\0" * 32))
    write("bad_many_frames.dcm", image(4, 4, b"\0" * 32, explicit(0x28, 8, b"IS", b"99999999")))
    write("bad_zero_rows.dcm", image(0, 4, b"\0" * 32))
    write("bad_length.dcm", head() + struct.pack("<HH2sHI", 9, 0x10, b"OB", 0, 0xFFFFFFF0) + b"abcd")
    write("bad_cut.dcm", head() + explicit(8, 0x18, b"UI", b"2.25.9") + b"\x08\x00\x20")
    nest = b""
    for _ in range(3000):
        nest += struct.pack("<HH2sHI", 8, 0x1111, b"SQ", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    write("bad_nesting_undefined.dcm", head() + nest)
    inner = b""
    for _ in range(200):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
        inner = struct.pack("<HH2sHI", 8, 0x1111, b"SQ", 0, len(item)) + item
    write("bad_nesting_defined.dcm", head() + inner)
    sq = struct.pack("<HH2sHI", 8, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + explicit(8, 0x1150, b"UI", b"1.2.3\0")
    end = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    write("undefined_lengths.dcm", image(4, 4, bytes(range(32)), sq + item + end))
    write("no_preamble.dcm", image(4, 4, bytes(range(32)))[128 + 4:])


def write(name, b):
    with open(os.path.join(OUT, name), "wb") as f:
        f.write(b)


def make_zip(name, entries, **more):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for entry, content in entries:
            z.writestr(zipfile.ZipInfo(entry, (2026, 1, 31, 12, 0, 0)), content, zipfile.ZIP_DEFLATED)
    b = bytearray(out.getvalue())
    if more.get("encrypted"):  # the flag alone: nobody asks for the password
        b[6] |= 1
        at = b.rindex(b"PK\1\2")
        b[at + 8] |= 1
    write(name, bytes(b))


def zips():
    make_zip("good.zip", [("a/1.txt", b"one"), ("../../etc/passwd", b"two"), ("肺.txt", b"three"), ("empty", b""),
                          ("dir/", b"")])
    make_zip("bad_nested.zip", [("x.txt", b"x"), ("inner.ZIP", b"PK\3\4" + b"\0" * 40)])
    make_zip("bad_encrypted.zip", [("x.dcm", b"secret")], encrypted=True)
    make_zip("bad_bomb.zip", [(f"{k}", b"\0" * (24 << 20)) for k in range(4)])
    make_zip("bad_entries.zip", [(f"{k}", b"") for k in range(300)])
    with open(os.path.join(OUT, "good.zip"), "rb") as f:
        good = f.read()
    write("bad_cut.zip", good[:60])


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    plain_files()
    tables()
    enhanced()
    coded()
    texts()
    damaged()
    zips()
    for kind, names in (("dicom", SEEDED), ("zip", ["good.zip", "bad_encrypted.zip", "bad_cut.zip"])):
        directory = os.path.join(SEEDS, kind)
        os.makedirs(directory, exist_ok=True)
        for name in names:
            shutil.copy(os.path.join(OUT, name), os.path.join(directory, name))


if __name__ == "__main__":
    main()
