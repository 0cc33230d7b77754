#!/usr/bin/env python3
"""Writes the golden checkpoints as Hugging Face directories, in the layouts that are published.

    derive.py OUT [SET ...]        default: every set
    derive.py --stamp FILE OUT     all of them, then touches FILE (what the build runs)
    derive.py --list

Everything comes from tests/golden/pool: one dense Qwen3-VL, the expert layers, one tokenizer. A set takes the tensors
it needs under the names of its own model type, so that a few megabytes in the tree become all the variants: text-only,
tied, YaRN, three expert layouts, other dtypes, shards. Standard library only: the build runs this.
"""
import array
import json
import os
import shutil
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import shapes  # noqa: E402

POOL = os.path.join(HERE, "..", "..", "tests", "golden", "pool")
SIZE = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1}


# ---- safetensors ----

def read_st(path):
    """name -> (dtype, shape, bytes)"""
    with open(path, "rb") as f:
        data = f.read()
    n = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:8 + n])
    head.pop("__metadata__", None)
    return {k: (v["dtype"], v["shape"], data[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]])
            for k, v in head.items()}


def write_st(path, tensors):
    # Widest elements first, as the published writer does, so that every tensor is aligned to its element.
    names = sorted(tensors, key=lambda k: (-SIZE[tensors[k][0]], k))
    head, at = {"__metadata__": {"format": "pt"}}, 0
    for k in names:
        dtype, shape, data = tensors[k]
        n = SIZE[dtype]
        for d in shape:
            n *= d
        assert n == len(data), k
        head[k] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + n]}
        at += n
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for k in names:
            f.write(tensors[k][2])
    return at


# ---- elements ----

def halves(data):
    a = array.array("H")
    a.frombytes(data)
    if sys.byteorder == "big":
        a.byteswap()
    return a


def to_bytes(a):
    if sys.byteorder == "big":
        a.byteswap()
    return a.tobytes()


def transpose(t):
    """[..., r, c] -> [..., c, r] of a 16-bit tensor."""
    dtype, shape, data = t
    r, c = shape[-2:]
    src, out = halves(data), array.array("H")
    for m in range(len(src) // (r * c)):
        for j in range(c):
            out.extend(src[m * r * c + j:(m + 1) * r * c:c])
    return dtype, shape[:-2] + [c, r], to_bytes(out)


def expert(t, e, lo, hi):
    """Columns lo..hi of expert e of a fused [E, in, out] tensor, as an ordinary [out, in] weight."""
    dtype, (_, r, c), data = t
    src, out = halves(data[e * r * c * 2:(e + 1) * r * c * 2]), array.array("H")
    for j in range(lo, hi):
        out.extend(src[j::c])
    return dtype, [hi - lo, r], to_bytes(out)


def f8_value(b):
    e, m = b >> 3 & 15, b & 7
    v = m * 2.0**-9 if e == 0 else (8 + m) * 2.0**(e - 10)
    return -v if b & 128 else v


def convert(t, want):
    dtype, shape, data = t
    if dtype == want or dtype not in ("BF16", "F8_E4M3"):
        return t
    if want == "F32":
        out = bytearray(2 * len(data))
        out[2::4], out[3::4] = data[0::2], data[1::2]
        return "F32", shape, bytes(out)
    values = struct.unpack(f"<{len(data) // 2}f", convert(t, "F32")[2])
    return "F16", shape, struct.pack(f"<{len(values)}e", *values)


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def dequantise(tensors):
    """FP8 weights times their block scales, as F32; the scales go."""
    out = {}
    for k, t in tensors.items():
        if k.endswith("_scale_inv"):
            continue
        if t[0] == "F8_E4M3":
            (rows, cols), data = t[1], t[2]
            sd, (_, sc), s = convert(tensors[k + "_scale_inv"], "F32")
            assert sd == "F32"
            s = struct.unpack(f"<{len(s) // 4}f", s)
            table = [f8_value(b) for b in range(256)]
            t = "F32", t[1], struct.pack(f"<{rows * cols}f", *(
                f32(table[data[r * cols + c]] * s[r // 128 * sc + c // 128])
                for r in range(rows) for c in range(cols)))
        out[k] = convert(t, "F32")
    return out


# ---- sets ----

def text_config(**more):
    c = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", **shapes.TEXT, "rope_theta": 1000000.0,
         "rope_scaling": None, "sliding_window": None, "use_sliding_window": False, "max_window_layers": 5,
         "tie_word_embeddings": False}
    c.update(more)
    return c


def vl_config(moe=False, **more):
    text = {"model_type": "qwen3_vl_moe_text" if moe else "qwen3_vl_text", **shapes.TEXT,
            "rope_theta": 5000000.0,
            "rope_scaling": {"rope_type": "default", "mrope_section": [8, 4, 4], "mrope_interleaved": True}}
    vision = dict(shapes.VISION)
    if moe:
        text.update(shapes.MOE)
        vision["model_type"] = "qwen3_vl_moe"
    c = {"architectures": ["Qwen3VLMoeForConditionalGeneration" if moe else "Qwen3VLForConditionalGeneration"],
         "model_type": "qwen3_vl_moe" if moe else "qwen3_vl", **shapes.IDS, "tie_word_embeddings": False,
         "text_config": text, "vision_config": vision}
    c.update(more)
    return c


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}


def text_names(dense):
    p = "model.language_model."
    return {("model." + k[len(p):] if k.startswith(p) else k): v for k, v in dense.items() if ".visual." not in k}


def without_head(tensors):
    return {k: v for k, v in tensors.items() if k != "lm_head.weight"}


def sparse(tensors, experts, layers, prefix):
    """Takes the dense MLP out of the given layers and puts the experts in."""
    t = dict(tensors)
    for i in layers:
        for name in ("gate", "up", "down"):
            del t[f"{prefix}layers.{i}.mlp.{name}_proj.weight"]
    for k, v in experts.items():
        if int(k.split(".layers.")[1].split(".")[0]) in layers:
            t[k.replace("model.language_model.", prefix)] = v
    return t


def unfuse(tensors):
    im, out = shapes.MOE["moe_intermediate_size"], {}
    for k, v in tensors.items():
        if k.endswith("experts.gate_up_proj"):
            for e in range(v[1][0]):
                out[k[:-12] + f"{e}.gate_proj.weight"] = expert(v, e, 0, im)
                out[k[:-12] + f"{e}.up_proj.weight"] = expert(v, e, im, 2 * im)
        elif k.endswith("experts.down_proj"):
            for e in range(v[1][0]):
                out[k[:-9] + f"{e}.down_proj.weight"] = expert(v, e, 0, v[1][2])
        else:
            out[k] = v
    return out


def turn(tensors):
    return {k: transpose(v) if ".experts." in k else v for k, v in tensors.items()}


def enlarge(tensors, name, power):
    """Times 2^power: exact in bf16."""
    dtype, shape, data = tensors[name]
    a = halves(data)
    for i, v in enumerate(a):
        if v & 0x7f80:
            a[i] = v + (power << 7)
    return {**tensors, name: (dtype, shape, to_bytes(a))}


def build(name, pool):
    """-> config, tensors of a set before its dtype and sharding"""
    dense, experts = pool("dense"), pool("experts")
    all5 = range(shapes.TEXT["num_hidden_layers"])
    if name == "text-untied":
        return text_config(), text_names(dense)
    if name == "text-tied":
        return text_config(tie_word_embeddings=True), without_head(text_names(dense))
    if name == "text-yarn":
        return (text_config(tie_word_embeddings=True, rope_scaling=YARN, max_position_embeddings=256),
                without_head(text_names(dense)))
    if name == "text-huge":    # hidden states beyond f16's 65504
        return (text_config(tie_word_embeddings=True),
                enlarge(without_head(text_names(dense)), "model.layers.1.mlp.down_proj.weight", 20))
    if name == "text-moe":    # one dense layer between the sparse ones
        c = text_config(model_type="qwen3_moe", architectures=["Qwen3MoeForCausalLM"], **shapes.MOE)
        c["mlp_only_layers"] = [1]
        return c, unfuse(sparse(text_names(dense), experts, [0, 2, 3, 4], "model."))
    if name == "vl-dense":
        return vl_config(), dense
    if name == "vl-tied":
        return vl_config(tie_word_embeddings=True), without_head(dense)
    if name.startswith("vl-moe"):
        t = sparse(dense, experts, all5, "model.language_model.")
        return vl_config(moe=True), {"vl-moe": dict, "vl-moe-turned": turn, "vl-moe-unfused": unfuse}[name](t)
    if name.startswith("text-fp8"):
        with open(os.path.join(POOL, "fp8.json"), encoding="utf-8") as f:
            c = json.load(f)
        if name == "text-fp8":
            return c, pool("fp8")
        del c["quantization_config"]
        return c, dequantise(pool("fp8"))
    raise SystemExit(f"derive.py: no such set: {name}")


# set -> (base, dtype, number of shards)
SETS = {
    "text-untied": ("text-untied", "BF16", 1),
    "text-untied-f32": ("text-untied", "F32", 1),
    "text-untied-f16": ("text-untied", "F16", 1),
    "text-untied-sharded": ("text-untied", "BF16", 4),
    "text-tied": ("text-tied", "BF16", 1),
    "text-tied-f32": ("text-tied", "F32", 1),
    "text-yarn": ("text-yarn", "BF16", 1),
    "text-yarn-f32": ("text-yarn", "F32", 1),
    "text-moe": ("text-moe", "BF16", 1),
    "text-moe-f32": ("text-moe", "F32", 1),
    "text-huge": ("text-huge", "BF16", 1),
    "text-fp8": ("text-fp8", None, 1),
    "text-fp8-as-f32": ("text-fp8-as-f32", None, 1),
    "vl-dense": ("vl-dense", "BF16", 1),
    "vl-dense-f32": ("vl-dense", "F32", 1),
    "vl-dense-f16": ("vl-dense", "F16", 1),
    "vl-dense-sharded": ("vl-dense", "BF16", 5),
    "vl-tied": ("vl-tied", "BF16", 1),
    "vl-tied-f32": ("vl-tied", "F32", 1),
    "vl-moe": ("vl-moe", "BF16", 1),
    "vl-moe-f32": ("vl-moe", "F32", 1),
    "vl-moe-turned": ("vl-moe-turned", "BF16", 1),
    "vl-moe-unfused": ("vl-moe-unfused", "BF16", 1),
    "vl-embedding": ("vl-tied", "BF16", 1),
}


def write_weights(out, tensors, n_shard):
    if n_shard == 1:
        write_st(os.path.join(out, "model.safetensors"), tensors)
        return
    names, where, total = sorted(tensors), {}, 0
    for s in range(n_shard):
        file = f"model-{s + 1:05d}-of-{n_shard:05d}.safetensors"
        part = names[s * len(names) // n_shard:(s + 1) * len(names) // n_shard]
        total += write_st(os.path.join(out, file), {k: tensors[k] for k in part})
        where.update({k: file for k in part})
    dump(out, "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": where})


def dump(out, file, value):
    with open(os.path.join(out, file), "w", encoding="utf-8") as f:
        json.dump(value, f, indent=2, ensure_ascii=False)
        f.write("\n")


def write_companions(out, name, vl):
    eos = shapes.N_BASE + shapes.ADDED.index("<|im_end|>")
    pad = shapes.N_BASE + shapes.ADDED.index("<|endoftext|>")
    dump(out, "generation_config.json", {"do_sample": True, "eos_token_id": [eos, pad], "pad_token_id": pad,
                                         "temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.0})
    with open(os.path.join(POOL, "tokenizer.json"), encoding="utf-8") as f:
        tok = json.load(f)
    if name == "vl-embedding":    # every encoded sequence ends with <|endoftext|>
        end = "<|endoftext|>"
        tail = {"SpecialToken": {"id": end, "type_id": 0}}
        tok["post_processor"] = {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}, tail],
                                 "pair": [{"Sequence": {"id": "A", "type_id": 0}}, tail,
                                          {"Sequence": {"id": "B", "type_id": 0}}, tail],
                                 "special_tokens": {end: {"id": end, "ids": [pad], "tokens": [end]}}}
    with open(os.path.join(out, "tokenizer.json"), "w", encoding="utf-8") as f:
        json.dump(tok, f, ensure_ascii=False, separators=(",", ":"))
    for file in ["tokenizer_config.json"] + ["chat_template.jinja"] * vl:
        shutil.copyfile(os.path.join(POOL, file), os.path.join(out, file))
    if not vl:
        return
    common = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2, "image_mean": [0.5, 0.5, 0.5],
              "image_std": [0.5, 0.5, 0.5], "rescale_factor": 1 / 255, "do_rescale": True, "do_normalize": True,
              "do_resize": True, "do_convert_rgb": True, "resample": 3, "processor_class": "Qwen3VLProcessor"}
    dump(out, "preprocessor_config.json", {**common, "size": {"shortest_edge": 4096, "longest_edge": 65536},
                                           "image_processor_type": "Qwen2VLImageProcessorFast"})
    dump(out, "video_preprocessor_config.json", {**common, "size": {"shortest_edge": 4096, "longest_edge": 262144},
                                                 "fps": 2, "min_frames": 4, "max_frames": 768,
                                                 "do_sample_frames": True,
                                                 "video_processor_type": "Qwen3VLVideoProcessor"})


def derive(root, names):
    loaded = {}

    def pool(file):
        if file not in loaded:
            loaded[file] = read_st(os.path.join(POOL, file + ".safetensors"))
        return loaded[file]

    for name in names:
        base, dtype, n_shard = SETS[name]
        out = os.path.join(root, name)
        os.makedirs(out, exist_ok=True)
        config, tensors = build(base, pool)
        if dtype:
            tensors = {k: convert(v, dtype) for k, v in tensors.items()}
            word = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}[dtype]
            config.get("text_config", config)["dtype"] = word
        dump(out, "config.json", config)
        write_weights(out, tensors, n_shard)
        if not name.startswith("text-fp8"):     # its vocabulary is too small for the tokenizer
            write_companions(out, name, "vision_config" in config)


def main():
    args, stamp = sys.argv[1:], None
    if args == ["--list"]:
        print("\n".join(SETS))
        return
    if args[:1] == ["--stamp"]:
        stamp, args = args[1], args[2:]
    if not args or any(a not in SETS for a in args[1:]):
        raise SystemExit("usage: derive.py OUT [SET ...]; sets: " + " ".join(SETS))
    derive(args[0], args[1:] or SETS)
    if stamp:
        open(stamp, "w").close()


if __name__ == "__main__":
    main()
