#!/usr/bin/python3
"""Compares Ward's image decoder with Pillow on files made here, in every format and many variants.

  tools/compare/images.py IMAGE_DIGEST [--keep DIR]

IMAGE_DIGEST is the test program tests/media/image_digest. Needs Debian's python3-pil and python3-numpy. Files that
Pillow cannot write (interlaced PNG, tiled TIFF, run-length BMP, ...) come from small writers below. What must equal
what is written in src/media/image.h; the exceptions to "as Pillow" have their own formula here.
"""
import argparse
import hashlib
import io
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import warnings
import zlib

import numpy as np
from PIL import Image, ImageOps

warnings.simplefilter("ignore")


def picture(seed, w, h, channels=3):
    """Smooth parts, noise and edges."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    out = []
    for c in range(channels):
        v = 127 + 90 * np.sin(x / (7 + c) + seed) * np.cos(y / (5 + 2 * c)) + 0.2 * x
        v[(x.astype(int) // 9 + y.astype(int) // 7) % 5 == c] += 60
        out.append(v + rng.normal(0, 12, v.shape))
    a = np.clip(np.stack(out, -1), 0, 255).astype(np.uint8)
    return a[..., 0] if channels == 1 else a


def on_white(im):
    bg = Image.new("RGB", im.size, (255, 255, 255))
    bg.paste(im, mask=im.getchannel("A"))
    return bg


def by_pillow(data, keep=False):
    im = Image.open(io.BytesIO(data))
    im.load()
    if not keep and im.format != "TIFF":  # of which Pillow turns the pixels itself
        im = ImageOps.exif_transpose(im) or im
    if im.mode.startswith("I"):
        a = np.asarray(im).astype(np.uint32) >> 8
        return np.repeat(a.astype(np.uint8)[..., None], 3, 2)
    if "A" in im.mode or "transparency" in im.info:
        return np.asarray(on_white(im.convert("RGBA")))
    return np.asarray(im.convert("RGB"))


# ---- writers for what Pillow cannot write ----

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack_bits(a, bits):
    """[h][n] samples to rows of bytes, high bits first."""
    h, n = a.shape
    if bits == 8:
        return a.astype(np.uint8)
    if bits == 16:
        return a.astype(">u2").view(np.uint8).reshape(h, -1)
    per = 8 // bits
    pad = -n % per
    a = np.pad(a, ((0, 0), (0, pad))).reshape(h, -1, per).astype(np.uint32)
    out = np.zeros(a.shape[:2], np.uint32)
    for i in range(per):
        out |= a[..., i] << (8 - bits * (i + 1))
    return out.astype(np.uint8)


def png(a, bits, kind, interlace=False, palette=None, trns=None, extra=b""):
    """a [h][w][channels] samples."""
    h, w, ch = a.shape

    def lines(part, flt=0):
        if part.shape[0] == 0 or part.shape[1] == 0:
            return b""
        rows = pack_bits(part.reshape(part.shape[0], -1), bits)
        return b"".join(bytes([0]) + r.tobytes() for r in rows)

    if interlace:
        raw = b""
        for y0, x0, dy, dx in ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
                               (1, 0, 2, 1)):
            raw += lines(a[y0::dy, x0::dx])
    else:
        raw = lines(a)
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, bits, kind, 0, 0, int(interlace)))
    if palette is not None:
        out += chunk(b"PLTE", palette.tobytes())
    if trns is not None:
        out += chunk(b"tRNS", trns)
    return out + extra + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def tiff(a, bits, photometric, order="<", tile=None, planar=False, extra=None, palette=None, orientation=None,
         rows_per_strip=7, big=False, sample_format=None, spp=None):
    """Uncompressed TIFF of a [h][w][channels]."""
    h, w, ch = a.shape
    dt = a.astype(np.uint16)

    def coded(part):
        rows = part.reshape(part.shape[0], -1)
        if bits == 16:
            return rows.astype(order + "u2").tobytes()
        return pack_bits(rows, bits).tobytes()

    pieces = []
    planes = [dt[..., c:c + 1] for c in range(ch)] if planar else [dt]
    for p in planes:
        if tile:
            th, tw = tile
            for y in range(0, h, th):
                for x in range(0, w, tw):
                    t = np.zeros((th, tw, p.shape[2]), np.uint16)
                    part = p[y:y + th, x:x + tw]
                    t[:part.shape[0], :part.shape[1]] = part
                    pieces.append(coded(t))
        else:
            for y in range(0, h, rows_per_strip):
                pieces.append(coded(p[y:y + rows_per_strip]))
    tags = {256: (4, [w]), 257: (4, [h]), 258: (3, [bits] * ch), 259: (3, [1]), 262: (3, [photometric]),
            277: (3, [spp or ch]), 284: (3, [2 if planar else 1])}
    if tile:
        tags.update({322: (4, [tile[1]]), 323: (4, [tile[0]])})
    else:
        tags[278] = (4, [rows_per_strip])
    if extra is not None:
        tags[338] = (3, extra)
    if orientation:
        tags[274] = (3, [orientation])
    if sample_format:
        tags[339] = (3, [sample_format] * ch)
    if palette is not None:
        tags[320] = (3, (palette.astype(np.uint32).T.reshape(-1) * 257).tolist())
    head = 16 if big else 8
    offsets, at = [], head
    for p in pieces:
        offsets.append(at)
        at += len(p) + (len(p) & 1)
    off_tag, n_tag = (324, 325) if tile else (273, 279)
    wide = 16 if big else 4
    tags[off_tag] = (wide, offsets)
    tags[n_tag] = (wide, [len(p) for p in pieces])
    size = {3: 2, 4: 4, 16: 8}
    code = {3: "H", 4: "I", 16: "Q"}
    body = b"".join(p + b"\0" * (len(p) & 1) for p in pieces)
    n_entry = 20 if big else 12
    ifd_at = head + len(body)
    data_at = ifd_at + (8 + n_entry * len(tags) + 8 if big else 2 + n_entry * len(tags) + 4)
    inline = 8 if big else 4
    entries, data = b"", b""
    for tag in sorted(tags):
        t, vals = tags[tag]
        raw = struct.pack(order + code[t] * len(vals), *vals)
        entries += struct.pack(order + ("HHQ" if big else "HHI"), tag, t, len(vals))
        if len(raw) <= inline:
            entries += raw.ljust(inline, b"\0")
        else:
            entries += struct.pack(order + ("Q" if big else "I"), data_at + len(data))
            data += raw + b"\0" * (len(raw) & 1)
    magic = b"II" if order == "<" else b"MM"
    if big:
        out = magic + struct.pack(order + "HHHQ", 43, 8, 0, ifd_at)
        return out + body + struct.pack(order + "Q", len(tags)) + entries + struct.pack(order + "Q", 0) + data
    out = magic + struct.pack(order + "HI", 42, ifd_at)
    return out + body + struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", 0) + data


def bmp(w, h, bits, compression, pixels, palette=b"", masks=b"", head=40, top_down=False, n_colours=0):
    if head == 12:
        info = struct.pack("<IHHHH", 12, w, h, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", head, w, -h if top_down else h, 1, bits, compression, len(pixels), 2835, 2835,
                           n_colours, 0)
        if head > 40:
            info += (masks.ljust(16, b"\0") + b"\0" * head)[:head - 40]
            masks = b""
    at = 14 + len(info) + len(masks) + len(palette)
    return b"BM" + struct.pack("<IHHI", at + len(pixels), 0, 0, at) + info + masks + palette + pixels


def rows4(rows):
    return b"".join(r + b"\0" * (-len(r) % 4) for r in rows)


def rle8(a):
    out = b""
    for row in a[::-1]:
        i = 0
        while i < len(row):
            j = i
            while j < len(row) and row[j] == row[i] and j - i < 255:
                j += 1
            if j - i >= 2 or len(row) - i < 3:
                out += bytes([j - i, row[i]])
                i = j
            else:
                n = min(len(row) - i, 3 + (int(row[i]) % 5))
                if n < 3:
                    n = 3
                out += bytes([0, n]) + row[i:i + n].tobytes() + b"\0" * (n & 1)
                i += n
        out += b"\0\0"
    return out + b"\0\1"


def rle4(a):
    out = b""
    for row in a[::-1]:
        i = 0
        while i < len(row):
            n = min(len(row) - i, 2 + int(row[i]) % 9)
            if n >= 3 and row[i] % 2:
                pad = np.append(row[i:i + n], [0] * (n % 2))
                b = bytes(int(pad[k]) << 4 | int(pad[k + 1]) for k in range(0, len(pad), 2))
                out += bytes([0, n]) + b + b"\0" * (len(b) & 1)
            else:
                n = min(n, 2)
                second = int(row[i + 1]) if n > 1 else 0
                out += bytes([n, int(row[i]) << 4 | second])
            i += n
        out += b"\0\0"
    return out + b"\0\1"


def gif_part(im, canvas, at, transparency=None):
    """A GIF whose first frame does not cover its canvas: Pillow's own file with the header changed."""
    buf = io.BytesIO()
    kw = {} if transparency is None else {"transparency": transparency}
    im.save(buf, "GIF", **kw)
    b = bytearray(buf.getvalue())
    b[6:10] = struct.pack("<HH", *canvas)
    p = 13 + (3 << ((b[10] & 7) + 1) if b[10] & 0x80 else 0)
    while b[p] == 0x21:
        p += 2
        while b[p]:
            p += b[p] + 1
        p += 1
    assert b[p] == 0x2C
    b[p + 1:p + 5] = struct.pack("<HH", *at)
    return bytes(b)


# ---- the files ----

def saved(im, fmt, **kw):
    buf = io.BytesIO()
    im.save(buf, fmt, **kw)
    return buf.getvalue()


SIZES = [(64, 48), (37, 29), (1, 1), (17, 1), (1, 23), (131, 67)]


def orientation_exif(n):
    e = Image.Exif()
    e[0x0112] = n
    return e.tobytes()


def jpegs():
    for k, (w, h) in enumerate(SIZES):
        rgb = Image.fromarray(picture(k, w, h))
        for q in (30, 75, 96):
            for sub in (0, 1, 2):
                yield f"rgb-{w}x{h}-q{q}-s{sub}.jpg", saved(rgb, "JPEG", quality=q, subsampling=sub)
        yield f"rgb-{w}x{h}-progressive.jpg", saved(rgb, "JPEG", quality=80, progressive=True)
        yield f"rgb-{w}x{h}-optimize.jpg", saved(rgb, "JPEG", quality=80, optimize=True)
        yield f"grey-{w}x{h}.jpg", saved(rgb.convert("L"), "JPEG", quality=85)
        yield f"grey-{w}x{h}-progressive.jpg", saved(rgb.convert("L"), "JPEG", quality=85, progressive=True)
        cmyk = Image.fromarray(picture(k, w, h, 4), "CMYK")
        yield f"cmyk-{w}x{h}.jpg", saved(cmyk, "JPEG", quality=90)
        yield f"cmyk-{w}x{h}-progressive.jpg", saved(cmyk, "JPEG", quality=90, progressive=True)
    for n in range(0, 10):
        yield f"exif-{n}.jpg", saved(Image.fromarray(picture(n, 40, 23)), "JPEG", quality=90, exif=orientation_exif(n))
    yield "exif-6-progressive.jpg", saved(Image.fromarray(picture(6, 41, 22)), "JPEG", progressive=True,
                                          exif=orientation_exif(6))
    yield "icc.jpg", saved(Image.fromarray(picture(3, 40, 23)), "JPEG", icc_profile=b"\0" * 200)


def pngs():
    for k, (w, h) in enumerate(SIZES):
        for inter in (False, True):
            i = "-interlaced" if inter else ""
            yield f"rgb8-{w}x{h}{i}.png", png(picture(k, w, h), 8, 2, inter)
            yield f"rgba8-{w}x{h}{i}.png", png(picture(k, w, h, 4), 8, 6, inter)
            yield f"la8-{w}x{h}{i}.png", png(picture(k, w, h, 4)[..., :2], 8, 4, inter)
            wide = picture(k, w, h, 4).astype(np.uint16) * 257 ^ picture(k + 9, w, h, 4)
            yield f"rgb16-{w}x{h}{i}.png", png(wide[..., :3], 16, 2, inter)
            yield f"rgba16-{w}x{h}{i}.png", png(wide, 16, 6, inter)
            yield f"la16-{w}x{h}{i}.png", png(wide[..., :2], 16, 4, inter)
            yield f"grey16-{w}x{h}{i}.png", png(wide[..., :1], 16, 0, inter)
            for bits in (1, 2, 4, 8):
                g = picture(k, w, h)[..., :1] >> (8 - bits)
                yield f"grey{bits}-{w}x{h}{i}.png", png(g, bits, 0, inter)
                pal = picture(k + 3, 1 << bits, 1).reshape(-1, 3)
                yield f"palette{bits}-{w}x{h}{i}.png", png(g, bits, 3, inter, pal)
                trns = bytes((37 * j) & 255 for j in range(min(1 << bits, 5)))
                yield f"palette{bits}-alpha-{w}x{h}{i}.png", png(g, bits, 3, inter, pal, trns)
    a = picture(1, 40, 30)
    yield "rgb8-colour-key.png", png(a, 8, 2, trns=struct.pack(">HHH", *[int(v) for v in a[3, 3]]))
    g = picture(1, 40, 30)[..., :1]
    yield "grey8-colour-key.png", png(g, 8, 0, trns=struct.pack(">H", int(g[5, 5, 0])))
    yield "gamma.png", png(a, 8, 2, extra=chunk(b"gAMA", struct.pack(">I", 100000)))
    yield "srgb.png", png(a, 8, 2, extra=chunk(b"sRGB", b"\0"))
    for n in (3, 6, 8):
        yield f"exif-{n}.png", saved(Image.fromarray(picture(n, 40, 23)), "PNG", exif=orientation_exif(n))
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        yield f"pillow-{mode}.png", saved(Image.fromarray(picture(2, 50, 33, 4), "RGBA").convert(mode), "PNG")


def webps():
    for k, (w, h) in enumerate(SIZES):
        rgb, rgba = Image.fromarray(picture(k, w, h)), Image.fromarray(picture(k, w, h, 4), "RGBA")
        for q in (20, 80):
            yield f"lossy-{w}x{h}-q{q}.webp", saved(rgb, "WEBP", quality=q)
            yield f"lossy-alpha-{w}x{h}-q{q}.webp", saved(rgba, "WEBP", quality=q)
        yield f"lossless-{w}x{h}.webp", saved(rgb, "WEBP", lossless=True)
        yield f"lossless-alpha-{w}x{h}.webp", saved(rgba, "WEBP", lossless=True, exact=True)
    for n in (1, 3, 6, 8):
        yield f"exif-{n}.webp", saved(Image.fromarray(picture(n, 40, 23)), "WEBP", exif=orientation_exif(n))
    frames = [Image.fromarray(picture(n, 40, 23)) for n in range(3)]
    yield "animated.webp", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=100)
    frames = [Image.fromarray(picture(n, 40, 23, 4), "RGBA") for n in range(3)]
    yield "animated-alpha.webp", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)


def bmps():
    for k, (w, h) in enumerate(SIZES):
        a = picture(k, w, h)
        for mode in ("1", "L", "P", "RGB"):
            yield f"pillow-{mode}-{w}x{h}.bmp", saved(Image.fromarray(a).convert(mode), "BMP")
        yield f"pillow-RGBA-{w}x{h}.bmp", saved(Image.fromarray(picture(k, w, h, 4), "RGBA"), "BMP")
        bgr = a[..., ::-1]
        for top in (False, True):
            t = "-top-down" if top else ""
            order = 1 if top else -1
            yield f"24-{w}x{h}{t}.bmp", bmp(w, h, 24, 0, rows4([r.tobytes() for r in bgr[::order]]), top_down=top)
            v = (a[..., 0].astype(np.uint16) >> 3 << 10) | (a[..., 1].astype(np.uint16) >> 3 << 5) | (a[..., 2] >> 3)
            yield f"555-{w}x{h}{t}.bmp", bmp(w, h, 16, 0, rows4([r.astype("<u2").tobytes() for r in v[::order]]),
                                              top_down=top)
        v = (a[..., 0].astype(np.uint16) >> 3 << 11) | (a[..., 1].astype(np.uint16) >> 2 << 5) | (a[..., 2] >> 3)
        yield f"565-{w}x{h}.bmp", bmp(w, h, 16, 3, rows4([r.astype("<u2").tobytes() for r in v[::-1]]),
                                       masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F))
        x = np.concatenate([bgr, np.full((h, w, 1), 77, np.uint8)], 2)[::-1]
        yield f"32-{w}x{h}.bmp", bmp(w, h, 32, 0, x.tobytes())
        rgba = picture(k, w, h, 4)[::-1]
        for name, masks, order in (("bgra", (0xFF0000, 0xFF00, 0xFF, 0xFF000000), [2, 1, 0, 3]),
                                   ("rgba", (0xFF, 0xFF00, 0xFF0000, 0xFF000000), [0, 1, 2, 3]),
                                   ("abgr", (0xFF000000, 0xFF0000, 0xFF00, 0xFF), [3, 2, 1, 0])):
            for head in (108, 124):
                yield f"{name}-v{head}-{w}x{h}.bmp", bmp(w, h, 32, 3, rgba[..., order].tobytes(),
                                                          masks=struct.pack("<IIII", *masks), head=head)
        pal3 = picture(k + 3, 256, 1).reshape(-1, 3)
        for bits in (1, 4, 8):
            g = a[..., 0] >> (8 - bits)
            pal = b"".join(bytes([*p, 0]) for p in pal3[:1 << bits].tolist())
            data = rows4([r.tobytes() for r in pack_bits(g[::-1], bits)])
            yield f"palette{bits}-{w}x{h}.bmp", bmp(w, h, bits, 0, data, pal)
            yield f"palette{bits}-os2-{w}x{h}.bmp", bmp(w, h, bits, 0, data, pal3[:1 << bits].tobytes(), head=12)
        yield f"24-os2-{w}x{h}.bmp", bmp(w, h, 24, 0, rows4([r.tobytes() for r in bgr[::-1]]), head=12)
        g = (a[..., 0] >> 5 << 5)
        yield f"rle8-{w}x{h}.bmp", bmp(w, h, 8, 1, rle8(g), b"".join(bytes([*p, 0]) for p in pal3.tolist()))
        g = a[..., 0] >> 4
        yield (f"rle4-{w}x{h}.bmp", bmp(w, h, 4, 2, rle4(g), b"".join(bytes([*p, 0]) for p in pal3[:16].tolist())),
               pal3[:16, ::-1][g])  # Pillow loses the last pixel of odd runs


def tiffs():
    for k, (w, h) in enumerate(SIZES):
        a = picture(k, w, h, 4)
        modes = [("L", Image.fromarray(a[..., 0])), ("RGB", Image.fromarray(a[..., :3])),
                 ("RGBA", Image.fromarray(a, "RGBA")), ("CMYK", Image.fromarray(a, "CMYK")),
                 ("P", Image.fromarray(a[..., :3]).convert("P")), ("LA", Image.fromarray(a, "RGBA").convert("LA"))]
        for name, im in modes:
            for comp in ("raw", "tiff_lzw", "tiff_deflate", "packbits", "tiff_adobe_deflate"):
                yield f"{name}-{comp}-{w}x{h}.tif", saved(im, "TIFF", compression=comp)
        for comp in ("raw", "group3", "group4", "tiff_lzw"):
            yield f"1-{comp}-{w}x{h}.tif", saved(Image.fromarray(a[..., 0]).convert("1"), "TIFF", compression=comp)
        for name, im in modes[:2]:
            yield f"{name}-jpeg-{w}x{h}.tif", saved(im, "TIFF", compression="jpeg", quality=85)
        for order in "<>":
            o = "be" if order == ">" else "le"
            wide = a.astype(np.uint16) * 257 ^ picture(k + 9, w, h, 4)
            yield f"rgb16-{o}-{w}x{h}.tif", tiff(wide[..., :3], 16, 2, order)
            yield (f"rgb16-big-{o}-{w}x{h}.tif", tiff(wide[..., :3], 16, 2, order, big=True),
                   (wide[..., :3] >> 8).astype(np.uint8))
            yield f"rgba16-{o}-{w}x{h}.tif", tiff(wide, 16, 2, order, extra=[2])
            yield f"grey16-{o}-{w}x{h}.tif", tiff(wide[..., :1], 16, 1, order)
            yield f"rgb8-tiled-{o}-{w}x{h}.tif", tiff(a[..., :3], 8, 2, order, tile=(16, 32))
            yield f"rgb8-planar-{o}-{w}x{h}.tif", tiff(a[..., :3], 8, 2, order, planar=True)
            yield f"rgb8-{o}-{w}x{h}.tif", tiff(a[..., :3], 8, 2, order, rows_per_strip=5)
        for bits in (1, 4, 8):
            g = a[..., :1] >> (8 - bits)
            yield f"white{bits}-{w}x{h}.tif", tiff(g, bits, 0)
            yield f"black{bits}-{w}x{h}.tif", tiff(g, bits, 1)
            yield f"palette{bits}-{w}x{h}.tif", tiff(g, bits, 3, palette=picture(k + 5, 1 << bits, 1).reshape(-1, 3))
        yield f"rgba8-unknown-extra-{w}x{h}.tif", tiff(a, 8, 2, extra=[0])
        yield f"rgba8-no-extra-{w}x{h}.tif", tiff(a, 8, 2)
        pre = (a[..., :3].astype(np.uint32) * a[..., 3:] // 255).astype(np.uint8)
        yield f"rgba8-premultiplied-{w}x{h}.tif", tiff(np.concatenate([pre, a[..., 3:]], 2), 8, 2, extra=[1])
    for n in range(1, 9):
        yield f"orientation-{n}.tif", tiff(picture(n, 40, 23), 8, 2, orientation=n)


def gifs():
    for k, (w, h) in enumerate(SIZES):
        rgb = Image.fromarray(picture(k, w, h))
        for colours in (2, 3, 16, 200, 256):
            im = rgb.quantize(colours)
            yield f"{colours}-{w}x{h}.gif", saved(im, "GIF")
            yield f"{colours}-interlaced-{w}x{h}.gif", saved(im, "GIF", interlace=1)
            yield f"{colours}-plain-{w}x{h}.gif", saved(im, "GIF", interlace=0)
            yield f"{colours}-transparent-{w}x{h}.gif", saved(im, "GIF", transparency=1)
        yield f"grey-{w}x{h}.gif", saved(rgb.convert("L"), "GIF")
        frames = [Image.fromarray(picture(k + n, w, h)).quantize(64) for n in range(3)]
        yield f"animated-{w}x{h}.gif", saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)
    big = Image.fromarray(picture(5, 500, 400)).quantize(256)
    yield "big.gif", saved(big, "GIF")  # fills the code table many times
    part = Image.fromarray(picture(5, 20, 13)).quantize(40)
    yield "part.gif", gif_part(part, (40, 30), (7, 9))
    yield "part-transparent.gif", gif_part(part, (40, 30), (7, 9), transparency=3)
    yield "part-beyond.gif", gif_part(part, (10, 10), (7, 9))


def resizes(files):
    """Some decoded files, resized by both. Pillow 13 turns the passes round: two calls keep them in order."""
    rng = random.Random(7)
    for name, data in files:
        im = Image.fromarray(by_pillow(data))
        for _ in range(4):
            w, h = rng.randint(1, 300), rng.randint(1, 300)
            yield name, data, (w, h), np.asarray(im.resize((w, im.height), Image.BICUBIC).resize((w, h), Image.BICUBIC))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("image_digest")
    ap.add_argument("--keep", help="write the files to this directory and leave them there")
    args = ap.parse_args()
    work = args.keep or tempfile.mkdtemp(prefix="ward-images-")
    os.makedirs(work, exist_ok=True)
    want, calls, counts, bad, formula = {}, [], {}, [], 0
    try:
        for group in (jpegs, pngs, webps, bmps, tiffs, gifs):
            for name, data, *known in group():
                path = os.path.join(work, name)
                with open(path, "wb") as f:
                    f.write(data)
                want[path] = known[0] if known else by_pillow(data)
                formula += bool(known)
                calls.append([path])
                kind = name.rsplit(".", 1)[1]
                counts[kind] = counts.get(kind, 0) + 1
        k = 0
        for name, data, size, pixels in resizes(list(pngs())[:12]):
            path = os.path.join(work, f"resize-{k}-{name}")
            k += 1
            with open(path, "wb") as f:
                f.write(data)
            want[path] = pixels
            calls.append(["--resize", str(size[0]), str(size[1]), path])
        counts["resized"] = k
        got = {}
        for i in range(0, len(calls), 200):
            flat = [a for c in calls[i:i + 200] for a in c]
            out = subprocess.run([args.image_digest] + flat, check=True, capture_output=True, text=True).stdout
            for line in out.splitlines():
                part = line.split("\t")
                got[part[0]] = part[1:]
        for path, pixels in want.items():
            h, w = pixels.shape[:2]
            expect = [str(w), str(h), hashlib.blake2b(np.ascontiguousarray(pixels).tobytes(), digest_size=32).hexdigest()]
            if got.get(path) != expect:
                bad.append(f"{os.path.basename(path)}: {got.get(path)}, Pillow {expect[0]} x {expect[1]}")
    finally:
        if not args.keep:
            shutil.rmtree(work, ignore_errors=True)
    for line in bad:
        print("DIFFERS", line)
    print(f"Pillow {Image.__version__}: {len(want)} pictures compared ("
          + ", ".join(f"{v} {k}" for k, v in counts.items()) + f"; {formula} of them with what was written, where Pillow reads wrongly or not at all), {len(bad)} differ")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
