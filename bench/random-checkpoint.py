#!/usr/bin/env python3
"""A Qwen3-VL-2B-shaped checkpoint with random bf16 weights, for measuring speed and memory.

    random-checkpoint.py OUT [--gguf FILE] [--mmproj FILE] [--text-gguf FILE] [--tokenizer DIR] [--layers N] [--seed N]
    random-checkpoint.py OUT --moe --layers 2 [--tokenizer DIR] [--seed N]

OUT becomes a Hugging Face directory (4.26 GB). --gguf and --mmproj write the same weights once more as llama.cpp reads
them: the decoder, and the vision tower with its mergers; --text-gguf writes the decoder as a plain qwen3 in f16, for
programs that read no more. --tokenizer names a directory with the published tokenizer.json (tools/fetch-tokenizer);
without it the one of the golden tests is stretched to the published size: the same special tokens, fewer merges, so that
a text has more tokens. --layers cuts the decoder down, for trying things out. --moe writes the text model Qwen3-30B-A3B
instead: 128 experts, 8 for a token; 1.24 GB a layer and 1.24 GB for embedding and head.

One tensor is in memory at a time. Needs numpy; --gguf and --mmproj also the gguf package (0.19).
"""
import argparse
import functools
import json
import math
import os
import shutil
import struct
import sys
import zlib

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
POOL = os.path.join(HERE, "..", "tests", "golden", "pool")
sys.path.insert(0, os.path.join(HERE, "..", "tools", "golden"))
import shapes  # noqa: E402

N_VOCAB, N_BASE = 151936, 151643
IDS = dict(image_token_id=151655, video_token_id=151656, vision_start_token_id=151652, vision_end_token_id=151653)
STOP = [151645, 151643]
ADDED = """<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|> <|box_end|>
<|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|> <|video_pad|> <tool_call>
</tool_call> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|> <tool_response>
</tool_response> <think> </think>""".split()    # from N_BASE on, as published
TEXT = dict(model_type="qwen3_vl_text", vocab_size=N_VOCAB, hidden_size=2048, intermediate_size=6144,
            num_hidden_layers=28, num_attention_heads=16, num_key_value_heads=8, head_dim=128, rms_norm_eps=1e-6,
            max_position_embeddings=262144, hidden_act="silu", attention_bias=False, attention_dropout=0.0,
            initializer_range=0.02, use_cache=True, dtype="bfloat16", bos_token_id=151643, eos_token_id=151645,
            rope_theta=5000000.0, rope_scaling={"rope_type": "default", "mrope_section": [24, 20, 20],
                                                "mrope_interleaved": True}, tie_word_embeddings=True)
MOE = dict(TEXT, model_type="qwen3_moe", num_hidden_layers=48, num_attention_heads=32, num_key_value_heads=4,
           max_position_embeddings=40960, rope_theta=1000000.0, rope_scaling=None, tie_word_embeddings=False, num_experts=128,
           num_experts_per_tok=8, moe_intermediate_size=768, norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[])
VISION = dict(model_type="qwen3_vl", depth=24, hidden_size=1024, num_heads=16, intermediate_size=4096, in_channels=3,
              patch_size=16, temporal_patch_size=2, spatial_merge_size=2, out_hidden_size=2048,
              num_position_embeddings=2304, deepstack_visual_indexes=[5, 11, 17], hidden_act="gelu_pytorch_tanh",
              initializer_range=0.02)
COMMON = dict(patch_size=16, temporal_patch_size=2, merge_size=2, image_mean=[0.5] * 3, image_std=[0.5] * 3,
              rescale_factor=1 / 255, do_rescale=True, do_normalize=True, do_resize=True, do_convert_rgb=True,
              resample=3, processor_class="Qwen3VLProcessor")


def round_bits(v):
    """f32 to bf16 bit patterns."""
    bits = v.view(np.uint32)
    bits += 0x7fff + ((bits >> 16) & 1)
    return (bits >> 16).astype(np.uint16)


@functools.lru_cache
def pool(seed):
    """Normal values that all matrices are cut from, each from another place; a prime number, so that no row repeats another."""
    return round_bits(np.random.Generator(np.random.SFC64(seed)).standard_normal(4194301, dtype=np.float32))


def draw(name, shape, seed):
    """Sound weights of their size: norms near 1, small biases, the rest N(0, 1 / fan_in) to the nearest power of two; as bf16
    bit patterns. A matrix is a long stretch of the pool, its scale taken off the exponents: drawing two thousand million
    numbers one by one would take minutes."""
    n, at = int(np.prod(shape)), zlib.crc32(name.encode())
    if name.endswith(".bias") or "norm" in name.split(".")[-2]:
        v = np.random.Generator(np.random.SFC64([seed, at])).standard_normal(n, dtype=np.float32) * np.float32(0.02)
        return round_bits(v if name.endswith(".bias") else v + 1).reshape(shape)
    bits = np.resize(np.roll(pool(seed), at % pool(seed).size), n)
    bits -= np.uint16(round(math.log2(np.prod(shape[1:])) / 2) << 7)
    return bits.reshape(shape)


def to_f32(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def read_tokenizer(folder):
    """The published tokenizer, or the golden tests' one with words in between that no text leads to."""
    with open(os.path.join(folder or POOL, "tokenizer.json"), encoding="utf-8") as f:
        t = json.load(f)
    if folder:
        return t
    first = min(a["id"] for a in t["added_tokens"])
    for i in range(first, N_BASE):
        t["model"]["vocab"][f"[{i}]"] = i
    for a in t["added_tokens"]:
        a["id"] = N_BASE + ADDED.index(a["content"])
    t["added_tokens"].sort(key=lambda a: a["id"])
    return t


def dump(out, file, value):
    with open(os.path.join(out, file), "w", encoding="utf-8") as f:
        json.dump(value, f, indent=2, ensure_ascii=False)
        f.write("\n")


def experts(c):
    """The decoder of a mixture of experts, each with its own tensors as published."""
    h, im = c["hidden_size"], c["moe_intermediate_size"]
    t = {"model.embed_tokens.weight": [c["vocab_size"], h]}
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        t.update(shapes.attention(p, c))
        t[p + "mlp.gate.weight"] = [c["num_experts"], h]
        for e in range(c["num_experts"]):
            p_e = f"{p}mlp.experts.{e}."
            t.update({p_e + "gate_proj.weight": [im, h], p_e + "up_proj.weight": [im, h], p_e + "down_proj.weight": [h, im]})
    return {**t, "model.norm.weight": [h], "lm_head.weight": [c["vocab_size"], h]}


def write_weights(out, table, seed):
    os.makedirs(out, exist_ok=True)
    head, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in table.items():
        n = 2 * int(np.prod(shape))
        head[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + n]}
        at += n
    line = json.dumps(head, separators=(",", ":")).encode()
    line += b" " * (-len(line) % 8)
    with open(os.path.join(out, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(line)) + line)
        for name, shape in table.items():
            draw(name, shape, seed).tofile(f)
    print(f"{out}: {at} bytes of weights, {at // 2} parameters", file=sys.stderr)


def write_config(out, text):
    if text["model_type"] == "qwen3_moe":
        dump(out, "config.json", {"architectures": ["Qwen3MoeForCausalLM"], **text})
    else:
        dump(out, "config.json", {"architectures": ["Qwen3VLForConditionalGeneration"], "model_type": "qwen3_vl",
                                  "tie_word_embeddings": True, **IDS, "text_config": text, "vision_config": VISION})
        dump(out, "preprocessor_config.json", {**COMMON, "size": {"shortest_edge": 65536, "longest_edge": 16777216},
                                               "image_processor_type": "Qwen2VLImageProcessorFast"})
        dump(out, "video_preprocessor_config.json", {
            **COMMON, "size": {"shortest_edge": 4096, "longest_edge": 25165824}, "fps": 2, "min_frames": 4,
            "max_frames": 768, "do_sample_frames": True, "video_processor_type": "Qwen3VLVideoProcessor"})
    dump(out, "generation_config.json", {"do_sample": True, "eos_token_id": STOP, "pad_token_id": N_BASE,
                                         "temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.0})


def write_hf(out, table, text, seed, tokenizer):
    write_weights(out, table, seed)
    write_config(out, text)
    shutil.copyfile(os.path.join(POOL, "chat_template.jinja"), os.path.join(out, "chat_template.jinja"))
    with open(os.path.join(out, "tokenizer.json"), "w", encoding="utf-8") as f:
        json.dump(tokenizer, f, ensure_ascii=False)


# ---- GGUF ----

TEXT_NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
              "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
              "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
              "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
BLOCK_NAMES = {"norm1": "ln1", "norm2": "ln2", "attn.qkv": "attn_qkv", "attn.proj": "attn_out",
               "mlp.linear_fc1": "ffn_up", "mlp.linear_fc2": "ffn_down"}


def gguf_name(name):
    """The llama.cpp name of a tensor and the file it belongs to."""
    stem, kind = name.rsplit(".", 1)
    if stem.startswith("model.visual."):
        p = stem.split(".")[2:]
        if p[0] == "patch_embed":
            return "v.patch_embd." + kind, "mmproj"
        if p[0] == "pos_embed":
            return "v.position_embd." + kind, "mmproj"
        if p[0] == "blocks":
            return f"v.blk.{p[1]}.{BLOCK_NAMES['.'.join(p[2:])]}.{kind}", "mmproj"
        if p[0] == "merger":
            return {"norm": "v.post_ln.", "linear_fc1": "mm.0.", "linear_fc2": "mm.2."}[p[1]] + kind, "mmproj"
        layer = VISION["deepstack_visual_indexes"][int(p[1])]
        return f"v.deepstack.{layer}.{p[2].replace('linear_', '')}.{kind}", "mmproj"
    p = stem.split(".")[2:]
    if p[0] == "embed_tokens":
        return "token_embd.weight", "text"
    if p[0] == "norm":
        return "output_norm.weight", "text"
    return f"blk.{p[1]}.{TEXT_NAMES['.'.join(p[2:])]}.weight", "text"


def vocabulary(tokenizer):
    """tokens, types, merges as GGUF wants them."""
    tokens, types = [f"[{i}]" for i in range(N_VOCAB)], [5] * N_VOCAB
    for word, i in tokenizer["model"]["vocab"].items():
        tokens[i], types[i] = word, 1
    for a in tokenizer["added_tokens"]:
        tokens[a["id"]], types[a["id"]] = a["content"], 3 if a["special"] else 4
    return tokens, types, [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]


def text_metadata(w, text, tokenizer, arch="qwen3vl"):
    p = arch + "."
    w.add_name("random Qwen3-VL 2B")
    w.add_file_type(32 if arch == "qwen3vl" else 1)    # mostly bf16, f16
    for key, value in (("context_length", text["max_position_embeddings"]), ("embedding_length", text["hidden_size"]),
                       ("block_count", text["num_hidden_layers"]), ("feed_forward_length", text["intermediate_size"]),
                       ("attention.head_count", text["num_attention_heads"]),
                       ("attention.head_count_kv", text["num_key_value_heads"]),
                       ("attention.key_length", text["head_dim"]), ("attention.value_length", text["head_dim"])):
        w.add_uint32(p + key, value)
    w.add_float32(p + "rope.freq_base", text["rope_theta"])
    w.add_float32(p + "attention.layer_norm_rms_epsilon", text["rms_norm_eps"])
    if arch == "qwen3vl":
        w.add_uint32(p + "n_deepstack_layers", len(VISION["deepstack_visual_indexes"]))
        w.add_array(p + "rope.dimension_sections", text["rope_scaling"]["mrope_section"] + [0])
    tokens, types, merges = vocabulary(tokenizer)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list(tokens)
    w.add_token_types(types)
    w.add_token_merges(merges)
    w.add_eos_token_id(STOP[0])
    w.add_pad_token_id(N_BASE)
    w.add_bos_token_id(N_BASE)
    w.add_add_bos_token(False)
    with open(os.path.join(POOL, "chat_template.jinja"), encoding="utf-8") as f:
        w.add_chat_template(f.read())


def vision_metadata(w):
    w.add_name("random Qwen3-VL 2B vision")
    w.add_file_type(32)
    w.add_bool("clip.has_vision_encoder", True)
    w.add_string("clip.projector_type", "qwen3vl_merger")
    w.add_bool("clip.use_gelu", True)
    for key, value in (("image_size", 768), ("patch_size", 16), ("embedding_length", VISION["hidden_size"]),
                       ("feed_forward_length", VISION["intermediate_size"]), ("block_count", VISION["depth"]),
                       ("projection_dim", VISION["out_hidden_size"]), ("attention.head_count", VISION["num_heads"]),
                       ("spatial_merge_size", 2)):
        w.add_uint32("clip.vision." + key, value)
    w.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    w.add_array("clip.vision.is_deepstack_layers",
                [i in VISION["deepstack_visual_indexes"] for i in range(VISION["depth"])])
    w.add_array("clip.vision.image_mean", [0.5] * 3)
    w.add_array("clip.vision.image_std", [0.5] * 3)


def gguf_tensors(table, part, seed):
    """(name, maker of the array, shape, is_f32) in file order; vectors, patches and positions as f32."""
    for name, shape in table.items():
        new, where = gguf_name(name)
        if where != part:
            continue
        if new == "v.patch_embd.weight":    # one convolution over two frames is the sum of two over one
            for f, suffix in ((0, ""), (1, ".1")):
                yield (new + suffix, lambda n=name, s=shape, f=f: to_f32(np.ascontiguousarray(draw(n, s, seed)[:, :, f])),
                       [shape[0], shape[1], shape[3], shape[4]], True)
        elif len(shape) == 1 or new.startswith("v.position_embd"):
            yield new, lambda n=name, s=shape: to_f32(draw(n, s, seed)), shape, True
        else:
            yield new, lambda n=name, s=shape: draw(n, s, seed), shape, False


def write_gguf(path, arch, part, table, seed, metadata, f16=False):
    import gguf
    w = gguf.GGUFWriter(path, arch)
    metadata(w)
    tensors = list(gguf_tensors(table, part, seed))
    for name, _, shape, is_f32 in tensors:
        n = int(np.prod(shape))
        if is_f32:
            w.add_tensor_info(name, shape, np.dtype(np.float32), 4 * n)
        elif f16:
            w.add_tensor_info(name, shape, np.dtype(np.float16), 2 * n)
        else:
            w.add_tensor_info(name, shape[:-1] + [2 * shape[-1]], np.dtype(np.uint8), 2 * n,
                              raw_dtype=gguf.GGMLQuantizationType.BF16)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_ti_data_to_file()
    for _, make, _, is_f32 in tensors:
        w.write_tensor_data(to_f32(make()).astype(np.float16) if f16 and not is_f32 else make())
    w.close()
    print(f"{path}: {os.path.getsize(path)} bytes, {len(tensors)} tensors", file=sys.stderr)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("out")
    ap.add_argument("--gguf")
    ap.add_argument("--mmproj")
    ap.add_argument("--text-gguf")
    ap.add_argument("--tokenizer", help="directory with the published tokenizer.json")
    ap.add_argument("--moe", action="store_true")
    ap.add_argument("--layers", type=int)
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    if a.moe and (a.gguf or a.mmproj or a.text_gguf):
        ap.error("--moe goes without GGUF files")
    text = MOE if a.moe else TEXT
    text = dict(text, num_hidden_layers=a.layers or text["num_hidden_layers"])
    table = experts(text) if a.moe else {
        **shapes.decoder("model.language_model.", text, head=False), **shapes.tower("model.visual.", VISION)}
    tokenizer = read_tokenizer(a.tokenizer)
    write_hf(a.out, table, text, a.seed, tokenizer)
    if a.gguf:
        write_gguf(a.gguf, "qwen3vl", "text", table, a.seed, lambda w: text_metadata(w, text, tokenizer))
    if a.text_gguf:
        write_gguf(a.text_gguf, "qwen3", "text", table, a.seed, lambda w: text_metadata(w, text, tokenizer, "qwen3"), f16=True)
    if a.mmproj:
        write_gguf(a.mmproj, "clip", "mmproj", table, a.seed, vision_metadata)


if __name__ == "__main__":
    main()
