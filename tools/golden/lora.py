#!/usr/bin/env python3
"""Two PEFT adapters on text-untied, and what peft computes with one, with one at half strength, and with both.

Writes tests/golden/lora/{a,b}/ (adapter_config.json, adapter_model.safetensors as peft saves them) and
tests/golden/expected/text-lora.safetensors. Adapter a: rank 4, alpha 8, all seven modules, F32, one alpha_pattern and
one rank_pattern entry. Adapter b: rank 3, rank-stabilised (alpha / sqrt(r)), three modules, BF16.
"""
import json
import os
import shutil
import tempfile

import peft
import torch
import transformers

import derive
import pool
import reference as ref

ROOT = os.path.join(derive.HERE, "..", "..", "tests", "golden", "lora")
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
A = peft.LoraConfig(r=4, lora_alpha=8, target_modules=ALL, task_type="CAUSAL_LM",
                    alpha_pattern={"layers.1.self_attn.q_proj": 20}, rank_pattern={"layers.2.mlp.down_proj": 2})
B = peft.LoraConfig(r=3, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"], use_rslora=True,
                    task_type="CAUSAL_LM")


def save(base_dir, name, config, dtype):
    model, _ = ref.load(base_dir)
    m = peft.get_peft_model(model, config)
    for k, p in m.named_parameters():
        if "lora_" in k:
            k = k.replace(".default", "")
            p.data = pool.draw(f"lora.{name}.{k}", list(p.shape)).float() * (0.3 if "lora_B" in k else 1.0)
            p.data = p.data.to(dtype)
    out = os.path.join(ROOT, name)
    shutil.rmtree(out, ignore_errors=True)
    m.save_pretrained(out)
    readme = os.path.join(out, "README.md")
    if os.path.exists(readme):
        os.remove(readme)
    config_path = os.path.join(out, "adapter_config.json")
    with open(config_path, encoding="utf-8") as f:
        saved = json.load(f)
    saved["base_model_name_or_path"] = "text-untied"
    saved["target_modules"] = sorted(saved["target_modules"])    # a set in peft: its order changes from run to run
    derive.dump(out, "adapter_config.json", saved)
    os.chmod(os.path.join(out, "adapter_model.safetensors"), 0o644)
    return out


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as tmp:
        derive.derive(tmp, ["text-untied"])
        base = os.path.join(tmp, "text-untied")
        a, b = save(base, "a", A, torch.float32), save(base, "b", B, torch.bfloat16)
        out, gaps = {}, {}
        for sample, adapters, scale in (("a", ["a"], 1.0), ("half", ["a"], 0.5), ("both", ["a", "b"], 1.0)):
            model, module = ref.load(base)
            m = peft.PeftModel.from_pretrained(model, a, adapter_name="a")
            if "b" in adapters:
                m.load_adapter(b, adapter_name="b")
            m.base_model.set_adapter(adapters)
            m = m.float().eval()
            for layer in m.modules():
                if hasattr(layer, "scaling") and isinstance(layer.scaling, dict):
                    layer.scaling = {k: v * scale for k, v in layer.scaling.items()}
            gaps[sample] = ref.run_sample(model, module, sample, [("text", 30)], "text" if sample == "both" else "end",
                                          out)
        ref.provenance("text-lora", out, "tools/golden/lora.py",
                       {"peft": peft.__version__, "smallest_greedy_gap": gaps})


if __name__ == "__main__":
    main()
