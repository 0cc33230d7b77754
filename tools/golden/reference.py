#!/usr/bin/env python3
"""What transformers computes on the golden checkpoints: f32, eager attention, one thread.

    reference.py [SET ...]        writes tests/golden/expected/SET.safetensors and SET.json

Stage names are those of src/model/trace.h. Inputs that a program can make again are not stored: pixel rows come from
the integer recipe in pixels().
"""
import datetime
import hashlib
import json
import os
import platform
import sys
import tempfile

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

import derive
import shapes

EXPECTED = os.path.join(derive.HERE, "..", "..", "tests", "golden", "expected")
SEED = 7
# Where tokens choose experts the prompts were drawn 400 times and the seed kept whose closest choice is the clearest:
# 0.024 and 0.015 between the logits of the last expert taken and the first one left.
SEEDS = {"text-moe": 1374, "vl-moe": 1080}
N_GREEDY = 64
IMG, VID, VS, VE = (shapes.IDS[k] for k in ("image_token_id", "video_token_id", "vision_start_token_id",
                                            "vision_end_token_id"))


def mix(x):
    """MurmurHash3's finaliser on an array of uint32."""
    x ^= x >> 16
    x *= np.uint32(0x85ebca6b)
    x ^= x >> 13
    x *= np.uint32(0xc2b2ae35)
    x ^= x >> 16
    return x


def pixels(n_rows, seed):
    """[n_rows, 1536] in steps of 1/32 from -4 to 3.97: a hash of the element's index."""
    x = np.arange(n_rows * 1536, dtype=np.uint64) + np.uint64(seed) * np.uint64(1000003)
    x = mix((x & 0xffffffff).astype(np.uint32))
    return torch.from_numpy(((x >> 24).astype(np.int32) - 128).astype(np.float32) / 32).view(n_rows, 1536)


def words(n, seed, n_vocab=shapes.N_BASE):
    return torch.from_numpy(np.random.default_rng([SEED, seed]).integers(0, n_vocab, n))


def merged(g):
    return g[0] * g[1] * g[2] // 4


class Sample:
    """A prompt: ids, the grids of its images and videos, and pixel rows (images first, then videos)."""

    def __init__(self, parts):
        ids, self.images, self.videos, self.pixel_rows = [], [], [], None
        for kind, *arg in parts:
            if kind == "text":
                ids += words(arg[0], 100 + len(ids), *arg[1:]).tolist()
            elif kind == "image":
                self.images.append(arg[0])
                ids += [VS] + [IMG] * merged(arg[0]) + [VE]
            else:
                t, h, w = arg[0]
                self.videos.append(arg[0])
                for _ in range(t):
                    ids += words(4, 100 + len(ids)).tolist() + [VS] + [VID] * merged((1, h, w)) + [VE]
        self.ids = torch.tensor(ids)
        self.n_rows = [sum(t * h * w for t, h, w in g) for g in (self.images, self.videos)]

    def inputs(self):
        kw = {"input_ids": self.ids[None]}
        types = torch.zeros_like(self.ids)
        types[self.ids == IMG], types[self.ids == VID] = 1, 2
        rows = pixels(sum(self.n_rows), SEED) if self.pixel_rows is None else self.pixel_rows
        if self.images:
            kw["pixel_values"] = rows[:self.n_rows[0]]
            kw["image_grid_thw"] = torch.tensor(self.images)
        if self.videos:
            kw["pixel_values_videos"] = rows[self.n_rows[0]:]
            kw["video_grid_thw"] = torch.tensor(self.videos)
        if self.images or self.videos:
            kw["mm_token_type_ids"] = types[None]
        return kw


VL_MAIN = [("text", 5), ("image", (1, 4, 6)), ("text", 3), ("image", (1, 10, 4)), ("text", 2), ("video", (3, 6, 4)),
           ("text", 7)]
VL_ODD = [("text", 2), ("image", (1, 2, 18)), ("image", (1, 16, 2)), ("text", 4), ("image", (1, 8, 14)), ("text", 3)]
# set -> sample -> (parts, what to keep: "all" stages, the "text" ones, or the "end" alone)
PLAN = {
    "text-untied": {"main": ([("text", 40)], "all")},
    "text-tied": {"main": ([("text", 40)], "end")},
    "text-yarn": {"main": ([("text", 150)], "rope")},
    "text-huge": {"main": ([("text", 24)], "rope")},
    "text-moe": {"main": ([("text", 40)], "text")},
    "text-fp8": {"main": ([("text", 24, 150)], "text")},
    "vl-dense": {"main": (VL_MAIN, "all"), "odd": (VL_ODD, "end"), "text": ([("text", 23)], "end")},
    "vl-tied": {"main": (VL_MAIN, "end")},
    "vl-moe": {"main": (VL_MAIN, "text")},
}


class Recorder:
    """Collects stages by name; a stage that comes twice (images, then videos) is joined along its rows."""

    def __init__(self):
        self.stages = {}

    def put(self, name, t):
        t = t.detach().float()
        t = t.reshape(-1, t.shape[-1])
        old = self.stages.get(name)
        self.stages[name] = t.clone() if old is None else torch.cat([old, t])

    def out(self, module, name):
        return module.register_forward_hook(lambda m, a, o: self.put(name, o[0] if isinstance(o, tuple) else o))

    def into(self, module, name, times=1.0):
        def hook(m, args, kwargs):
            self.put(name, args[0] if args else kwargs["hidden_states"])
        return module.register_forward_pre_hook(hook, with_kwargs=True)


def watch_text(rec, lm, module):
    lm.layers[0].register_forward_pre_hook(lambda m, a: rec.put("inputs_embeds", a[0]))

    def rope(m, a, o):
        half = o[0].shape[-1] // 2
        rec.put("text_cos", o[0][..., :half])
        rec.put("text_sin", o[1][..., :half])
    lm.rotary_emb.register_forward_hook(rope)
    at = lm.layers[0].self_attn
    for name, mod in (("l0_q_norm", at.q_norm), ("l0_k_norm", at.k_norm)):
        mod.register_forward_hook(lambda m, a, o, n=name: rec.put(n, o.reshape(o.shape[1], -1)))
    at.v_proj.register_forward_hook(lambda m, a, o: rec.put("l0_v", o))
    rec.into(at.o_proj, "l0_attn_out")
    n = len(lm.layers)
    for i, layer in enumerate(lm.layers):
        rec.into(layer.post_attention_layernorm, f"layer_{i}_attn")
        rec.out(layer, f"layer_{i}_mlp")
        rec.into(lm.layers[i + 1].input_layernorm if i + 1 < n else lm.norm, f"layer_{i}_out")
        gate = getattr(layer.mlp, "gate", None)
        if gate is not None:
            def routed(m, a, o, i=i):
                rec.put(f"router_probs_{i}", o[0].softmax(-1))
                rec.put(f"router_weights_{i}", o[1])
                rec.put(f"router_ids_{i}", o[2])
            gate.register_forward_hook(routed)
    rec.out(lm.norm, "final_norm")
    eager = module.eager_attention_forward

    def attention(mod, q, k, v, *args, **kw):
        if getattr(mod, "layer_idx", None) == 0:
            rec.put("l0_q_rope", q[0].transpose(0, 1).flatten(1))
            rec.put("l0_k_rope", k[0].transpose(0, 1).flatten(1))
        elif mod is rec.vis0:
            rec.put("vis_q_rope_0", q[0].transpose(0, 1).flatten(1))
            rec.put("vis_k_rope_0", k[0].transpose(0, 1).flatten(1))
        return eager(mod, q, k, v, *args, **kw)
    module.eager_attention_forward = attention
    return lambda: setattr(module, "eager_attention_forward", eager)


def watch_vision(rec, vis):
    from transformers.vision_utils import get_vision_interpolation_indices_and_weights as interpolation
    rec.vis0 = vis.blocks[0].attn
    rec.out(vis.patch_embed, "patch_embed")

    def before(m, args, kwargs):
        grid = kwargs.get("grid_thw", args[1] if len(args) > 1 else None)
        i, w = interpolation(grid, num_grid_per_side=vis.num_grid_per_side, mode=vis.interpolation_mode,
                             align_corners=True, spatial_merge_size=2, kwargs={})
        rec.put("pos_embed_interp", (vis.pos_embed.weight[i] * w[:, :, None]).sum(1))
    vis.register_forward_pre_hook(before, with_kwargs=True)
    rec.into(vis.blocks[0], "vis_in")
    rec.out(vis.blocks[0].norm1, "vis_norm1_0")
    rec.into(vis.blocks[0].attn.proj, "vis_attn_out_0")
    for j, b in enumerate(vis.blocks):
        rec.out(b, f"vis_block_{j}")
    rec.out(vis.merger, "merger_out")
    for k, m in enumerate(vis.deepstack_merger_list):
        rec.out(m, f"deepstack_{k}")


END = ("final_norm", "logits")
ROPE = END + ("text_cos", "text_sin", "l0_q_rope", "l0_k_rope", "layer_0_out", "layer_4_out")
VISION = ("patch_embed", "pos_embed_interp", "vis_", "merger_out", "deepstack_")


def keep(name, what):
    if what == "all":
        return True
    if what == "text":
        return not name.startswith(VISION)
    return name in (END if what == "end" else ROPE)


def some_rows(n):
    """A third of the rows and the last: every row of a late stage depends on all rows of the early ones."""
    return torch.tensor(sorted(set(range(0, n, 3)) | {n - 1}))


def load(directory):
    kind = json.load(open(os.path.join(directory, "config.json")))["model_type"]
    cls = {"qwen3": "Qwen3ForCausalLM", "qwen3_moe": "Qwen3MoeForCausalLM",
           "qwen3_vl": "Qwen3VLForConditionalGeneration", "qwen3_vl_moe": "Qwen3VLMoeForConditionalGeneration"}[kind]
    model, info = getattr(transformers, cls).from_pretrained(directory, dtype=torch.float32,
                                                             attn_implementation="eager", output_loading_info=True)
    bad = {k: v for k, v in info.items() if v and k != "error_msgs"}
    assert not bad and not info["error_msgs"], (directory, bad)
    model.eval()
    return model, sys.modules[type(model).__module__]


def inner(model):
    """-> decoder, tower or None"""
    if hasattr(model.model, "language_model"):
        return model.model.language_model, model.model.visual
    return model.model, None


def greedy(model, sample, out, prefix):
    """64 tokens by repeated argmax; the smallest distance between the best two logits says how safe the choice is."""
    with torch.no_grad():
        o = model(**sample.inputs(), use_cache=True)
        cache, tokens, gap = o.past_key_values, [], []
        for _ in range(N_GREEDY):
            best = o.logits[0, -1].topk(2)
            gap.append((best.values[0] - best.values[1]).item())
            tokens.append(best.indices[0].item())
            step = {"input_ids": torch.tensor([tokens[-1:]]), "past_key_values": cache, "use_cache": True}
            if hasattr(model.model, "rope_deltas"):
                n = len(sample.ids) + len(tokens) - 1
                pos = n + (model.model.rope_deltas.item() if sample.images or sample.videos else 0)
                step["position_ids"] = torch.full((3, 1, 1), pos)
            o = model(**step)
    out[prefix + "greedy"] = torch.tensor(tokens, dtype=torch.int32)
    return min(gap)


def run_sample(model, module, name, parts, what, out):
    return run(model, module, name, Sample(parts), what, out)


def run(model, module, name, sample, what, out):
    """Puts NAME.ids, inputs, stages, log-probabilities and the greedy continuation into out; -> smallest gap."""
    rec = Recorder()
    rec.vis0 = None
    lm, vis = inner(model)
    undo = watch_text(rec, lm, module)
    if vis is not None:
        watch_vision(rec, vis)
    if hasattr(model.model, "rope_deltas"):
        model.model.rope_deltas = None
    with torch.no_grad():
        logits = model(**sample.inputs(), use_cache=False).logits[0]
    undo()
    for m in model.modules():
        m._forward_hooks.clear()
        m._forward_pre_hooks.clear()
        m._forward_hooks_with_kwargs.clear()
        m._forward_pre_hooks_with_kwargs.clear()
    p = name + "."
    out[p + "ids"] = sample.ids.to(torch.int32)
    n = len(sample.ids)
    if sample.images or sample.videos:
        out[p + "grids"] = torch.tensor(sample.images + sample.videos, dtype=torch.int32)
        out[p + "pixel_seed"] = torch.tensor([SEED], dtype=torch.int32)
        out[p + "n_image"] = torch.tensor([len(sample.images)], dtype=torch.int32)
        kw = sample.inputs()
        pos, delta = model.model.get_rope_index(kw["input_ids"], kw["mm_token_type_ids"], kw.get("image_grid_thw"),
                                                kw.get("video_grid_thw"))
        out[p + "position_ids"] = pos[:, 0].to(torch.int32)
        out[p + "rope_delta"] = delta.view(1).to(torch.int32)
    lp = logits.log_softmax(-1)
    out[p + "logprob"] = lp[torch.arange(n - 1), sample.ids[1:]]
    out[p + "argmax"] = logits.argmax(-1).to(torch.int32)
    rec.stages["logits"] = logits[-4:]
    for stage, t in rec.stages.items():
        if not keep(stage, what):
            continue
        if stage == "logits":
            rows = torch.arange(n - 4, n)
        else:
            rows = torch.arange(len(t)) if "router_ids" in stage else some_rows(len(t))
            t = t[rows]
        out[p + stage + ".rows"] = rows.to(torch.int32)
        out[p + stage] = (t.to(torch.int32) if "router_ids" in stage else t).contiguous()
    return greedy(model, sample, out, p)


def digest(path):
    return hashlib.blake2b(open(path, "rb").read(), digest_size=32).hexdigest()


def provenance(name, out, command, extra):
    path = os.path.join(EXPECTED, name + ".safetensors")
    os.makedirs(EXPECTED, exist_ok=True)
    save_file({k: v.contiguous() for k, v in out.items()}, path)
    os.chmod(path, 0o644)
    versions = {m: __import__(m).__version__ for m in ("torch", "transformers", "safetensors", "numpy")}
    pools = {f: digest(os.path.join(derive.POOL, f)) for f in sorted(os.listdir(derive.POOL)) if f.endswith("tensors")}
    note = {"command": command, "python": platform.python_version(), "versions": versions, "seed": SEED,
            "date": datetime.date.today().isoformat(), "how": "f32, eager attention, CPU, one thread",
            "weights_blake2b": pools, "expected_blake2b": digest(path), **extra}
    derive.dump(EXPECTED, name + ".json", note)
    print(f"{name}: {os.path.getsize(path)} bytes", extra, flush=True)


def main():
    global SEED
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as tmp:
        for name in sys.argv[1:] or PLAN:
            SEED = SEEDS.get(name, 7)
            source = "text-fp8-as-f32" if name == "text-fp8" else name
            derive.derive(tmp, [source])
            model, module = load(os.path.join(tmp, source))
            out, gaps = {}, {}
            for sample, (parts, what) in PLAN[name].items():
                gaps[sample] = run_sample(model, module, sample, parts, what, out)
            provenance(name, out, "tools/golden/reference.py " + name, {"smallest_greedy_gap": gaps})


if __name__ == "__main__":
    main()
