#!/usr/bin/python3
"""Compares Ward's video decoder with the ffmpeg program on files made here: codecs, containers, odd timing.

  tools/compare/videos.py VIDEO_DUMP [--keep DIR] [--only PART]

VIDEO_DUMP is the test program tests/media/video_dump. Every file is decoded by
`ffmpeg -i FILE -fps_mode passthrough -f rawvideo -pix_fmt rgb24`; number and order of frames, their size after
rotation and every byte must be equal, for all frames in order and for a few chosen ones (the seeking path). An encoder
that this ffmpeg lacks is skipped, and said so. Needs Debian's ffmpeg.
"""
import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

SECONDS, RATE = 2, 24


def source(w, h, rate=RATE, seconds=SECONDS):
    return ["-f", "lavfi", "-i", f"testsrc2=size={w}x{h}:rate={rate}:duration={seconds}"]


TONE = ["-f", "lavfi", "-i", f"sine=frequency=440:duration={SECONDS}"]
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-g", "10", "-pix_fmt", "yuv420p"]
X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=10:log-level=none", "-pix_fmt", "yuv420p"]
VP9 = ["-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime", "-g", "10"]
VP8 = ["-c:v", "libvpx", "-cpu-used", "8", "-deadline", "realtime", "-g", "10", "-auto-alt-ref", "1", "-lag-in-frames", "8"]
AV1 = ["-c:v", "libsvtav1", "-preset", "12", "-g", "10"]
AOM = ["-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-g", "10"]
MPEG4 = ["-c:v", "mpeg4", "-q:v", "4", "-g", "12"]


def plain():
    """name, encoder, arguments"""
    for ext in ("mp4", "mov", "mkv", "avi"):
        yield f"h264-b3.{ext}", "libx264", source(176, 144) + X264 + ["-bf", "3"]
        yield f"h264-b0.{ext}", "libx264", source(176, 144) + X264 + ["-bf", "0"]
        yield f"mpeg4.{ext}", "mpeg4", source(176, 144) + MPEG4
        yield f"mpeg4-b2.{ext}", "mpeg4", source(176, 144) + MPEG4 + ["-bf", "2"]
    for ext in ("mp4", "mov", "mkv"):
        yield f"hevc.{ext}", "libx265", source(176, 144) + X265 + (["-tag:v", "hvc1"] if ext != "mkv" else [])
    for ext in ("webm", "mkv", "mp4"):
        yield f"vp9.{ext}", "libvpx-vp9", source(176, 144) + VP9
        yield f"av1-svt.{ext}", "libsvtav1", source(176, 144) + AV1
        yield f"av1-aom.{ext}", "libaom-av1", source(96, 80, seconds=1) + AOM
    yield "vp8.webm", "libvpx", source(176, 144) + VP8
    yield "h264.ts", "libx264", source(176, 144) + X264
    yield "h264.flv", "libx264", source(176, 144) + X264
    yield "mpeg2.mpg", "mpeg2video", source(176, 144) + ["-c:v", "mpeg2video", "-q:v", "4", "-bf", "2"]
    yield "mjpeg.avi", "mjpeg", source(176, 144) + ["-c:v", "mjpeg", "-q:v", "4"]
    yield "xvid.avi", "libxvid", source(176, 144) + ["-c:v", "libxvid", "-bf", "2", "-g", "12"]


def odd():
    yield "sound.mp4", "libx264", source(176, 144) + TONE + X264 + ["-c:a", "aac"]
    yield "sound.mkv", "libx264", source(176, 144) + TONE + X264 + ["-c:a", "aac"]
    yield "open-gop.mkv", "libx264", source(176, 144) + X264 + ["-bf", "3", "-x264-params", "open-gop=1:keyint=8"]
    yield "open-gop-hevc.mkv", "libx265", source(176, 144) + ["-c:v", "libx265", "-preset", "ultrafast", "-bf", "4",
                                                              "-x265-params", "open-gop=1:keyint=8:log-level=none"]
    yield "long-gop.mp4", "libx264", source(176, 144) + X264 + ["-g", "999", "-bf", "3"]
    yield "interlaced.mp4", "libx264", source(176, 144) + X264 + ["-flags", "+ilme+ildct"]
    yield "10-bit.mkv", "libx265", source(176, 144) + X265 + ["-pix_fmt", "yuv420p10le"]
    yield "10-bit-vp9.webm", "libvpx-vp9", source(176, 144) + VP9 + ["-pix_fmt", "yuv420p10le", "-profile:v", "2"]
    yield "444.mp4", "libx264", source(176, 144) + X264 + ["-pix_fmt", "yuv444p"]
    yield "422.mp4", "libx264", source(176, 144) + X264 + ["-pix_fmt", "yuv422p"]
    yield "grey.mkv", "libx264", source(176, 144) + X264 + ["-pix_fmt", "gray"]
    yield "odd-size.mkv", "libx264", source(175, 143) + X264 + ["-pix_fmt", "yuv444p"]
    yield "odd-size-vp9.webm", "libvpx-vp9", source(175, 143) + VP9
    yield "bt709.mp4", "libx264", source(176, 144) + X264 + ["-colorspace", "bt709", "-color_primaries", "bt709",
                                                             "-color_trc", "bt709"]
    yield "bt709-full.mp4", "libx264", source(176, 144) + X264 + ["-colorspace", "bt709", "-color_range", "pc"]
    yield "bt2020.mkv", "libx265", source(176, 144) + X265 + ["-colorspace", "bt2020nc", "-pix_fmt", "yuv420p10le"]
    yield "full-range.mp4", "libx264", source(176, 144) + X264 + ["-color_range", "pc"]
    yield "yuvj.avi", "mjpeg", source(176, 144) + ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p"]
    yield "anamorphic.mp4", "libx264", source(176, 144) + X264 + ["-aspect", "16:9"]
    yield "ntsc.mp4", "libx264", source(176, 144, "30000/1001") + X264
    yield "slow.mp4", "libx264", source(176, 144, "1/2", 40) + X264
    vfr = ["-vf", "setpts='if(lt(N,20),N,20+(N-20)*3+mod(N,3))/24/TB'", "-fps_mode", "vfr"]
    for ext in ("mp4", "mkv", "webm"):
        codec = VP9 if ext == "webm" else X264
        yield f"vfr.{ext}", codec[1], source(176, 144) + vfr + codec
    yield "fragmented.mp4", "libx264", source(176, 144) + X264 + ["-movflags", "frag_keyframe+empty_moov"]
    yield "late-start.mkv", "libx264", source(176, 144) + X264 + ["-output_ts_offset", "100"]
    yield "negative-start.mp4", "libx264", source(176, 144) + X264 + ["-bf", "3", "-avoid_negative_ts", "disabled"]
    yield "faststart.mp4", "libx264", source(176, 144) + X264 + ["-movflags", "+faststart"]
    yield "one-frame.mp4", "libx264", source(176, 144, 24, 0.04) + X264
    yield "two-frames.webm", "libvpx-vp9", source(176, 144, 24, 0.08) + VP9


def derived(work, run):
    """Files made from others by copying packets."""
    base = os.path.join(work, "h264-b3.mp4")
    if not os.path.exists(base):
        return
    for angle in (90, 180, 270):
        path = os.path.join(work, f"rotate-{angle}.mp4")
        run(["-i", base, "-c", "copy", "-metadata:s:v:0", f"rotate={angle}", path])
        yield path
    path = os.path.join(work, "edit-list.mp4")  # begins between key frames
    run(["-ss", "0.7", "-i", base, "-c", "copy", path])
    yield path
    path = os.path.join(work, "no-duration.mkv")  # a pipe: neither length nor seek table
    with open(path, "wb") as f:
        f.write(subprocess.run(["ffmpeg", "-v", "error", "-i", base, "-c", "copy", "-f", "matroska", "-"], check=True,
                               capture_output=True).stdout)
    yield path
    path = os.path.join(work, "no-duration.webm")
    vp9 = os.path.join(work, "vp9.webm")
    if os.path.exists(vp9):
        with open(path, "wb") as f:
            f.write(subprocess.run(["ffmpeg", "-v", "error", "-i", vp9, "-c", "copy", "-f", "webm", "-"], check=True,
                                   capture_output=True).stdout)
        yield path
    mp4 = os.path.join(work, "h264-b0.mp4")
    for name, expr in (("same-times", "floor(PTS/1024)*1024"), ("no-order", "2000*mod(N\\,7)"), ("zero-times", "0")):
        path = os.path.join(work, f"broken-{name}.mkv")
        if run(["-i", mp4, "-c", "copy", "-bsf:v", f"setts=pts={expr}:dts={expr}", path], check=False):
            yield path


def frames_of(path):
    """Sizes and digests of all frames, by ffmpeg."""
    probe = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-an", "-fps_mode", "passthrough", "-frames:v", "1",
                            "-f", "image2pipe", "-c:v", "ppm", "-"], check=True, capture_output=True).stdout
    w, h = (int(v) for v in probe.split(b"\n", 2)[1].split())
    raw = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-an", "-fps_mode", "passthrough", "-f", "rawvideo",
                          "-pix_fmt", "rgb24", "-"], check=True, capture_output=True).stdout
    size = w * h * 3
    return (w, h), [hashlib.blake2b(raw[i:i + size], digest_size=32).hexdigest() for i in range(0, len(raw), size)]


def ours(dump, path, what):
    out = subprocess.run([dump, path] + what, capture_output=True, text=True).stdout
    lines = [json.loads(line) for line in out.splitlines()]
    return lines[0] if lines else {"error": "nothing"}, lines[1:]


def compare(dump, path, rng):
    """What differs, as a list of sentences, and how many frames were compared."""
    size, want = frames_of(path)
    info, frames = ours(dump, path, ["all"])
    if "error" in info or (frames and "error" in frames[-1]):
        return [str(info if "error" in info else frames[-1])], 0
    bad = []
    if info["n_frame"] != len(want):
        bad.append(f"{info['n_frame']} frames, ffmpeg shows {len(want)}")
    if (info["width"], info["height"]) != size:
        bad.append(f"{info['width']} x {info['height']}, ffmpeg shows {size[0]} x {size[1]}")
    wrong = [f["frame"] for f, d in zip(frames, want) if f["rgb"] != d]
    if wrong:
        bad.append(f"frames differ: {wrong[:8]} ({len(wrong)})")
    chosen = sorted(rng.sample(range(len(want)), min(len(want), 9)))
    _, some = ours(dump, path, [str(i) for i in chosen])
    wrong = [i for i, f in zip(chosen, some) if f.get("rgb") != want[i]]
    if wrong or len(some) != len(chosen):
        bad.append(f"chosen frames {chosen} differ: {wrong}; {some[-1] if some else 'none'}")
    return bad, len(want) + len(chosen)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("video_dump")
    ap.add_argument("--keep")
    ap.add_argument("--only", default="")
    args = ap.parse_args()
    have = subprocess.run(["ffmpeg", "-hide_banner", "-encoders"], capture_output=True, text=True).stdout
    have = {line.split()[1] for line in have.splitlines() if len(line.split()) > 1}
    work = args.keep or tempfile.mkdtemp(prefix="ward-videos-")
    os.makedirs(work, exist_ok=True)
    rng = random.Random(3)
    os.environ["SVT_LOG"] = "0"

    def run(arguments, check=True):
        return subprocess.run(["ffmpeg", "-v", "error", "-y"] + arguments, check=check,
                              stderr=None if check else subprocess.DEVNULL).returncode == 0

    n_frame = n_file = failed = skipped = 0
    try:
        paths = []
        for group in (plain, odd):
            for name, encoder, arguments in group():
                if encoder not in have:
                    print(f"SKIPPED {name}: this ffmpeg has no {encoder}")
                    skipped += 1
                    continue
                path = os.path.join(work, name)
                if not os.path.exists(path):
                    run(arguments + [path])
                paths.append(path)
        paths += list(derived(work, run))
        for path in paths:
            if args.only not in path:
                continue
            bad, n = compare(args.video_dump, path, rng)
            n_file += 1
            n_frame += n
            failed += bool(bad)
            for line in bad:
                print(f"DIFFERS {os.path.basename(path)}: {line}")
    finally:
        if not args.keep:
            shutil.rmtree(work, ignore_errors=True)
    print(f"{n_file} videos, {n_frame} frames compared byte by byte with ffmpeg; {failed} videos differ, {skipped} skipped")
    return 1 if failed or not n_file else 0


if __name__ == "__main__":
    sys.exit(main())
