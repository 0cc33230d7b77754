#!/usr/bin/env python3
"""Golden data of src/vision: sizes, resized pixels, patch rows, frame choice, times and positions.

Needs torch, torchvision, transformers >= 5.0, pillow, numpy; qwen-vl-utils for the vendor's frame choice.
Writes tests/golden/vision/cases.json. Pictures are made from a formula of integers that the C test knows too, so
that no picture is stored; outputs are stored as BLAKE2b-256 digests with a few values beside them, so that a failure
shows where it begins.

  python tools/golden/vision.py [--out FILE]
"""
import argparse
import base64
import datetime
import hashlib
import json
import logging
import os
import random
import types

import numpy as np
import torch
from PIL import Image
import PIL
import transformers
from transformers import Qwen3VLVideoProcessor
from transformers.models.qwen2_vl import image_processing_pil_qwen2_vl as slow
from transformers.models.qwen2_vl import image_processing_qwen2_vl as fast
from transformers.models.qwen3_vl import modeling_qwen3_vl, processing_qwen3_vl
from transformers.video_utils import VideoMetadata

logging.disable(logging.WARNING)
SEED = 20240607
IMAGE = dict(size={"shortest_edge": 65536, "longest_edge": 16777216}, patch_size=16, temporal_patch_size=2,
             merge_size=2, image_mean=[0.5] * 3, image_std=[0.5] * 3)
VIDEO = dict(IMAGE, size={"shortest_edge": 4096, "longest_edge": 25165824}, fps=2, min_frames=4, max_frames=768,
             cap_pixels_per_frame=False)
EMBED = {"shortest_edge": 4096, "longest_edge": 1843200}


def digest(a):
    return hashlib.blake2b(np.ascontiguousarray(a).tobytes(), digest_size=32).hexdigest()


def bicubic(im, size):
    """Pillow's resize with the horizontal pass first: what every Pillow before 13.0 does in one call. (13.0 turns the
    passes round where the height shrinks much more than the width, which changes a few bytes by rounding.)"""
    return im.resize((size[0], im.height), Image.BICUBIC).resize(size, Image.BICUBIC)


def picture(seed, w, h):
    """Noise and ramps in alternating squares of 16: sharp edges, full range, every byte value."""
    x = np.arange(w, dtype=np.uint32)[None, :, None]
    y = np.arange(h, dtype=np.uint32)[:, None, None]
    c = np.arange(3, dtype=np.uint32)[None, None, :]
    noise = (x * np.uint32(73856093)) ^ (y * np.uint32(19349663)) ^ ((c + np.uint32(seed)) * np.uint32(83492791))
    noise = (noise ^ (noise >> np.uint32(13))) * np.uint32(2654435761) >> np.uint32(24)
    ramp = (x * 3 + y * 2 + c * 40) & 255
    return np.where(((x >> 4) ^ (y >> 4)) & 1, noise, ramp).astype(np.uint8)


def image_cases():
    sizes = [(640, 480), (80, 720), (720, 80), (33, 500), (500, 33), (2000, 300), (100, 100), (48, 48), (1, 1), (1, 200),
             (16, 2500), (31, 33), (257, 255), (1024, 768), (1920, 1080), (320, 64), (1040, 240), (97, 1511), (7, 3),
             (256, 256), (512, 384), (999, 1001), (3000, 2250)]
    out = []
    worst = [0.0, 0]
    for i, (w, h) in enumerate(sizes):
        for name, size in (("image", IMAGE["size"]), ("embed", EMBED)):
            px = picture(i, w, h)
            cfg = dict(IMAGE, size=size)
            pil, tv = slow.Qwen2VLImageProcessorPil(**cfg), fast.Qwen2VLImageProcessor(**cfg)
            im = Image.fromarray(px)
            a, b = pil(im, return_tensors="np"), tv(im, return_tensors="np")
            assert (a["image_grid_thw"] == b["image_grid_thw"]).all()
            grid = a["image_grid_thw"][0].tolist()
            oh, ow = grid[1] * 16, grid[2] * 16
            resized = np.asarray(bicubic(im, (ow, oh)))
            turned = not (resized == np.asarray(im.resize((ow, oh), Image.BICUBIC))).all()
            # Rows of the fused step on exactly these pixels, so that their digest speaks of every bit.
            same = fast.Qwen2VLImageProcessor(**dict(cfg, do_resize=False))
            rows = same(Image.fromarray(resized), return_tensors="np")["pixel_values"]
            assert turned or np.abs(rows - a["pixel_values"]).max() < 1e-6, (w, h)
            if turned:
                print(f"  {w} x {h} to {ow} x {oh}: this Pillow passes vertically first")
            diff = np.rint(np.abs(rows - b["pixel_values"]) * 127.5)
            if diff.max() > 1:
                print(f"  torch resize of {w} x {h} to {ow} x {oh}: {int(diff.max())} grey levels, "
                      f"{float((diff > 1).mean()):.4%} of values by more than 1")
            worst = [max(worst[0], 0 if turned else float(np.abs(rows - a["pixel_values"]).max())), max(worst[1], int(diff.max()))]
            out.append(dict(seed=i, w=w, h=h, budget=name, grid=grid, resized=digest(resized),
                            first=resized.reshape(-1)[:24].tolist(), rows=digest(rows.astype("<f4")),
                            row=[float(v) for v in rows[-1][::171]]))
    print(f"images: {len(out)}; rows against the PIL processor: {worst[0]:.2e}; "
          f"against the torch resize: {worst[1]} grey levels at most")
    return out


def resize_cases():
    rng = random.Random(SEED)
    out = []
    for i in range(60):
        w, h = rng.randint(1, 400), rng.randint(1, 400)
        ow, oh = (rng.randint(1, 500), rng.randint(1, 500)) if i % 3 else (rng.randint(1, 40), rng.randint(1, 40))
        if i % 7 == 0:
            ow = w
        if i % 11 == 0:
            oh = h
        a = np.asarray(bicubic(Image.fromarray(picture(i, w, h)), (ow, oh)))
        out.append([i, w, h, ow, oh, digest(a)])
    # small ones in full
    full = []
    for i, (w, h, ow, oh) in enumerate([(5, 4, 9, 7), (40, 30, 11, 6), (17, 3, 3, 17)]):
        a = np.asarray(bicubic(Image.fromarray(picture(i, w, h)), (ow, oh)))
        full.append([i, w, h, ow, oh, base64.b64encode(a.tobytes()).decode()])
    return out, full


def smart_cases():
    """height, width, budget -> height, width; 0, 0 where the reference refuses."""
    rng = random.Random(SEED + 1)
    out = []
    for i in range(400):
        h = rng.choice([rng.randint(1, 64), rng.randint(1, 4000), rng.randint(1, 20000), 16 * rng.randint(1, 300)])
        w = rng.choice([rng.randint(1, 64), rng.randint(1, 4000), rng.randint(1, 20000), 16 * rng.randint(1, 300)])
        lo, hi = rng.choice([(65536, 16777216), (4096, 1843200), (4096, 16777216)])
        try:
            oh, ow = fast.smart_resize(h, w, 32, lo, hi)
        except ValueError:
            oh, ow = 0, 0
        out.append([h, w, lo, hi, oh, ow])
    return out


def clip_size(proc, n, h, w, cap):
    """What the reference's resize() would ask for, without resizing."""
    seen = {}

    def catch(self, image, size, resample):
        seen["size"] = (size.height, size.width)
        return image

    parent = type(proc).__mro__[1]  # where super().resize is looked for first
    kept = parent.__dict__.get("resize")
    parent.resize = catch
    try:
        proc.resize(torch.empty((1, n, 3, h, w), dtype=torch.uint8, device="meta"),
                    transformers.image_utils.SizeDict(**VIDEO["size"]), 3, 32, 2, cap_pixels_per_frame=cap)
    finally:
        if kept is None:
            del parent.resize
        else:
            parent.resize = kept
    return seen["size"]


def times_of(indices, fps):
    return processing_qwen3_vl.Qwen3VLProcessor._calculate_timestamps(None, np.array(indices), fps, 2)


def video_cases():
    rng = random.Random(SEED + 2)
    proc = Qwen3VLVideoProcessor(**VIDEO)
    rates = [30, 29.97, 30000 / 1001, 25, 24, 23.976, 60, 59.94, 15, 12.5, 10, 7, 5, 2, 1, 0.5, 120, 240, 14.985]
    sizes = [(720, 1280), (1080, 1920), (480, 640), (360, 640), (240, 320), (2160, 3840), (1920, 1080), (31, 100),
             (16, 16), (20, 3000), (144, 176), (333, 777), (1, 150)]
    table = [(300, 30, 720, 1280), (150, 29.97, 1080, 1920), (90, 30, 480, 640), (50, 25, 360, 640), (7, 30, 240, 320),
             (9000, 30, 1080, 1920), (54000, 30, 1080, 1920), (2, 30, 480, 640), (3, 1, 480, 640), (216000, 30, 1080, 1920)]
    while len(table) < 300:
        f = rng.choice([rng.randint(2, 40), rng.randint(2, 1000), rng.randint(2, 20000), rng.randint(2, 500000)])
        table.append((f, rng.choice(rates), *rng.choice(sizes)))
    out = []
    for k, (f, rate, h, w) in enumerate(table):
        meta = VideoMetadata(total_num_frames=f, fps=rate)
        kw = {}
        want = [0, 0]  # explicit count, fps asked
        if k % 6 == 4:
            want[0] = kw["num_frames"] = rng.randint(2, 400)
            proc.fps = None
        elif k % 6 == 5:
            want[1] = kw["fps"] = rng.choice([0.5, 1, 3, 4.5, 10])
        idx = proc.sample_frames(meta, **kw)
        proc.fps = 2
        cap = bool(k % 3 == 2)
        try:
            oh, ow = clip_size(proc, len(idx), h, w, cap)
        except ValueError:
            oh, ow = 0, 0
        t = times_of(idx, rate)
        text = "".join(f"<{v:.1f} seconds>" for v in t)
        out.append(dict(f=f, fps=rate, h=h, w=w, want_n=want[0], want_fps=want[1], cap=cap, n=len(idx),
                        first=idx[:6].tolist(), index=digest(idx.astype("<u8")), size=[oh, ow], groups=len(t),
                        times=hashlib.blake2b(text.encode(), digest_size=32).hexdigest(), text=text[:40]))
    return out


def clip_case():
    """Seven frames through the whole processor: rows on the reference's own resized pixels."""
    frames = np.stack([picture(50 + i, 200, 120) for i in range(7)])
    proc = Qwen3VLVideoProcessor(**VIDEO)
    meta = VideoMetadata(total_num_frames=7, fps=30.0)
    got = proc(videos=[torch.from_numpy(frames).permute(0, 3, 1, 2)], video_metadata=[meta], return_tensors="np",
               return_metadata=True)
    grid = got["video_grid_thw"][0].tolist()
    idx = list(got["video_metadata"][0].frames_indices)
    resized = np.stack([np.asarray(bicubic(Image.fromarray(frames[i]), (grid[2] * 16, grid[1] * 16)))
                        for i in idx])
    same = Qwen3VLVideoProcessor(**dict(VIDEO, do_resize=False, do_sample_frames=False))
    rows = same(videos=[torch.from_numpy(resized.copy()).permute(0, 3, 1, 2)], return_tensors="np")["pixel_values_videos"]
    diff = np.rint(np.abs(rows - got["pixel_values_videos"]) * 127.5)
    print(f"clip: frames {idx}, grid {grid}; whole path differs by {int(diff.max())} grey levels at most "
          f"({float((diff > 0).mean()):.4%} of values)")
    odd = np.stack([picture(60 + i, 64, 64) for i in range(3)])
    rows3 = same(videos=[torch.from_numpy(odd.copy()).permute(0, 3, 1, 2)], return_tensors="np")
    return dict(seed=50, n=7, w=200, h=120, fps=30.0, index=[int(i) for i in idx], grid=grid,
                resized=digest(resized), rows=digest(rows.astype("<f4")),
                odd_grid=rows3["video_grid_thw"][0].tolist(), odd_rows=digest(rows3["pixel_values_videos"].astype("<f4")))


def vendor_cases():
    try:
        from qwen_vl_utils import vision_process as vendor
    except ImportError:
        return []
    rng = random.Random(SEED + 3)
    out = []
    while len(out) < 100:
        f, rate = rng.choice([rng.randint(4, 100), rng.randint(4, 5000)]), rng.choice([30, 25, 29.97, 10, 24])
        ele = {}
        if rng.random() < 0.3:
            ele["nframes"] = rng.randint(2, f)
        else:
            ele["fps"] = rng.choice([1.0, 2.0, 0.5, 4.0])
        if rng.random() < 0.4:
            ele["video_start"] = round(rng.uniform(0, f / rate / 2), 2)
            ele["video_end"] = round(ele["video_start"] + rng.uniform(0.5, f / rate), 2)
        case = dict(f=f, rate=rate, **ele)
        try:
            start, end, total = vendor.calculate_video_frame_range(ele, f, rate)
            n = vendor.smart_nframes(ele, total_frames=total, video_fps=rate)
        except ValueError:
            out.append(dict(case, n=0))
            continue
        idx = np.rint(np.linspace(start, end, n)).astype(int)  # double, as Ward; theirs is single precision
        theirs = torch.linspace(start, end, n).round().long().numpy()
        out.append(dict(case, n=n, index=digest(idx.astype("<u8")), first=idx[:4].tolist(),
                        single_differs=int((idx != theirs).sum())))
    print("vendor: single precision would choose another frame in",
          sum(c.get("single_differs", 0) > 0 for c in out), "of", len(out))
    return out


def position_cases():
    rng = random.Random(SEED + 4)
    model = types.SimpleNamespace(config=types.SimpleNamespace(vision_config=types.SimpleNamespace(spatial_merge_size=2)))
    cls = modeling_qwen3_vl.Qwen3VLModel
    model.get_vision_position_ids = types.MethodType(cls.get_vision_position_ids, model)
    out = []
    plans = [[("t", 3), ("i", 4, 6), ("t", 2)], [("t", 9)], [("i", 2, 2)], [("t", 1), ("v", 3, 6, 4), ("t", 1)],
             [("t", 5), ("i", 4, 6), ("t", 3), ("i", 10, 4), ("t", 2), ("v", 3, 6, 4), ("t", 7)]]
    for _ in range(35):
        plan = []
        for _ in range(rng.randint(1, 8)):
            kind = rng.choice("ttiiv")
            gh, gw = 2 * rng.randint(1, 20), 2 * rng.randint(1, 20)
            plan.append(("t", rng.randint(1, 30)) if kind == "t" else
                        ("i", gh, gw) if kind == "i" else ("v", rng.randint(1, 5), gh, gw))
        plans.append(plan)
    for plan in plans:
        ids, kinds, images, videos = [], [], [], []

        def add(token, n):
            ids.extend([token] * n)
            kinds.extend([{151655: 1, 151656: 2}.get(token, 0)] * n)

        for p in plan:
            if p[0] == "t":
                add(100, p[1])
            elif p[0] == "i":
                add(151652, 1), add(151655, p[1] * p[2] // 4), add(151653, 1)
                images.append([1, p[1], p[2]])
            else:
                for _ in range(p[1]):
                    add(101, 4), add(151652, 1), add(151656, p[2] * p[3] // 4), add(151653, 1)
                videos.append([p[1], p[2], p[3]])
        pos, delta = cls.get_rope_index(model, torch.tensor([ids]), torch.tensor([kinds]),
                                        torch.tensor(images) if images else None,
                                        torch.tensor(videos) if videos else None)
        case = dict(plan=[list(p) for p in plan], n=len(ids), delta=int(delta[0][0]),
                    pos=digest(pos[:, 0].numpy().astype("<i4")))
        if len(ids) < 60:
            case["full"] = pos[:, 0].tolist()
        out.append(case)
    return out


def main():
    ap = argparse.ArgumentParser()
    here = os.path.dirname(os.path.abspath(__file__))
    ap.add_argument("--out", default=os.path.join(here, "../../tests/golden/vision/cases.json"))
    args = ap.parse_args()
    torch.set_num_threads(1)
    resize, full = resize_cases()
    doc = dict(provenance=dict(script="tools/golden/vision.py", seed=SEED, date=datetime.date.today().isoformat(),
                               transformers=transformers.__version__, torch=torch.__version__,
                               pillow=PIL.__version__, numpy=np.__version__),
               images=image_cases(), resize=resize, resize_full=full, smart=smart_cases(), videos=video_cases(),
               clip=clip_case(), vendor=vendor_cases(), positions=position_cases())
    with open(args.out, "w") as f:
        f.write("{\n")
        for i, (k, v) in enumerate(doc.items()):
            f.write(("" if i == 0 else ",\n") + json.dumps(k) + ": ")
            if isinstance(v, list):
                f.write("[\n" + ",\n".join(json.dumps(e, separators=(",", ":")) for e in v) + "\n]")
            else:
                f.write(json.dumps(v))
        f.write("\n}\n")
    print({k: len(v) for k, v in doc.items() if isinstance(v, list)}, os.path.getsize(args.out), "bytes")


if __name__ == "__main__":
    main()
