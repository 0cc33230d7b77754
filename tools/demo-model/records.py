"""Reads what `ward eval SUITE --record` writes: one JSON line per call of the engine, then its pictures' RGB bytes.

The prompt of a record is the prompt that the product sends, so what is trained is what is asked.
"""
import json
import subprocess
import tempfile

import numpy as np
from PIL import Image

import shape

TRAIN_SEED = 1_000_000   # WD_PHANTOM_TRAIN_SEED: seeds from here on are for training alone


def read(stream):
    """(record, [pictures [h][w][3] uint8]) one after another."""
    while line := stream.readline():
        r = json.loads(line)
        pictures = []
        for im in r["images"]:
            n = im["width"] * im["height"] * 3
            data = stream.read(n)
            if len(data) < n:
                raise EOFError("the record ends inside a picture")
            pictures.append(np.frombuffer(data, np.uint8).reshape(im["height"], im["width"], 3))
        yield r, pictures


def run(ward, suite, first, last):
    """Cases first..last of a suite, made and asked for by the product itself. Suite "phrase": rehab's on the true joints,
    so that there are no pictures to look at and the faults are all that is asked for."""
    if first < TRAIN_SEED:
        raise ValueError(f"seed {first} is for evaluation")
    if suite != "phrase":
        yield from recorded([ward, "eval", suite, "--record", "-", "--seeds", f"{first}..{last}"])
        return
    with tempfile.TemporaryDirectory() as cases:
        subprocess.run([ward, "phantom", "exercise", "--points", "--seeds", f"{first}..{last}", "-o", cases],
                       stdout=subprocess.DEVNULL, check=True)
        yield from recorded([ward, "eval", "rehab", "--record", "-", "--cases", cases])


def recorded(command):
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, bufsize=1 << 22) as p:
        yield from read(p.stdout)
        if p.wait():
            raise RuntimeError(f"{' '.join(command)}: exit {p.returncode}")


def fit(h, w, smallest=4096, most=shape.PIXELS_MAX):
    """Size that the processors bring a picture to: multiples of 32 within the budget (smart_resize)."""
    unit = 32
    hh, ww = max(unit, round(h / unit) * unit), max(unit, round(w / unit) * unit)
    if hh * ww > most:
        s = (h * w / most) ** 0.5
        hh, ww = max(unit, int(h / s / unit) * unit), max(unit, int(w / s / unit) * unit)
    elif hh * ww < smallest:
        s = (smallest / (h * w)) ** 0.5
        hh, ww = -(-int(h * s) // unit) * unit, -(-int(w * s) // unit) * unit
    return hh, ww


def resize(picture, grey=False):
    """As the product does before patches: bicubic with antialiasing in 8 bits."""
    h, w = fit(*picture.shape[:2])
    im = Image.fromarray(picture[..., 0] if grey else picture)
    return np.asarray(im if im.size == (w, h) else im.resize((w, h), Image.Resampling.BICUBIC))
