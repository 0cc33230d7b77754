#!/usr/bin/env python3
"""Embedding and reranker: the published prompts, tokenised, through vl-tied, and what the heads make of them.

Writes tests/golden/expected/vl-embedding.safetensors and vl-reranker.safetensors with their provenance, which also
holds each prompt as text.
"""
import os
import tempfile

import torch
import transformers
from tokenizers import Tokenizer

import derive
import reference as ref

INSTRUCTION = "Represent the user's input."
EMBED = [("Solid nodule in the right upper lobe.", None), ("右肺上叶见实性结节，边界清楚。", None),
         ("ground-glass nodule", (1, 8, 6)), ("NULL", None)]
JUDGE = ('Judge whether the Document meets the requirements based on the Query and the Instruct provided. '
         'Note that the answer can only be "yes" or "no".')
TASK = "Given a search query, retrieve relevant candidates that answer the query."
RERANK = [("nodule in the right upper lobe", "No pleural effusion is seen.", None),
          ("右肺上叶结节", "右肺上叶见实性结节，大小约8×6mm。", None), ("pneumothorax", "", (1, 6, 10))]
SIZES = (96, 64, 17, 1)


def image_text(grid):
    return "" if grid is None else "<|vision_start|><|image_pad|><|vision_end|>"


def last_hidden(model, ids, grid):
    """Final-norm hidden state of the last token."""
    sample = ref.Sample([])
    sample.ids = torch.tensor(ids)
    if grid:
        sample.images, sample.n_rows = [grid], [grid[0] * grid[1] * grid[2], 0]
    model.model.rope_deltas = None
    with torch.no_grad():
        return model.model(**sample.inputs(), use_cache=False).last_hidden_state[0, -1]


def expand(tok, text, grid):
    ids = tok.encode(text).ids
    if grid:
        at = ids.index(ref.IMG)
        ids[at:at + 1] = [ref.IMG] * ref.merged(grid)
    return ids


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as tmp:
        derive.derive(tmp, ["vl-tied", "vl-embedding"])
        model, _ = ref.load(os.path.join(tmp, "vl-tied"))
        tok = Tokenizer.from_file(os.path.join(tmp, "vl-embedding", "tokenizer.json"))
        out, texts = {}, []
        for i, (text, grid) in enumerate(EMBED):
            texts.append(f"<|im_start|>system\n{INSTRUCTION}<|im_end|>\n<|im_start|>user\n{image_text(grid)}{text}"
                         "<|im_end|>\n<|im_start|>assistant\n")
            ids = expand(tok, texts[-1], grid)
            h = last_hidden(model, ids, grid)
            out[f"{i}.ids"] = torch.tensor(ids, dtype=torch.int32)
            if grid:
                out[f"{i}.grids"] = torch.tensor([grid], dtype=torch.int32)
            for d in SIZES:
                out[f"{i}.embedding_{d}"] = torch.nn.functional.normalize(h[:d], dim=-1)
        ref.provenance("vl-embedding", out, "tools/golden/heads.py", {"prompts": texts})

        tok = Tokenizer.from_file(os.path.join(tmp, "vl-tied", "tokenizer.json"))
        yes, no = tok.token_to_id("yes"), tok.token_to_id("no")
        w, out, texts = model.lm_head.weight.detach(), {}, []
        out["yes_no"] = torch.tensor([yes, no], dtype=torch.int32)
        for i, (query, document, grid) in enumerate(RERANK):
            texts.append(f"<|im_start|>system\n{JUDGE}<|im_end|>\n<|im_start|>user\n<Instruct>: {TASK}<Query>:{query}"
                         f"\n<Document>:{image_text(grid)}{document}<|im_end|>\n<|im_start|>assistant\n")
            ids = expand(tok, texts[-1], grid)
            h = last_hidden(model, ids, grid)
            out[f"{i}.ids"] = torch.tensor(ids, dtype=torch.int32)
            if grid:
                out[f"{i}.grids"] = torch.tensor([grid], dtype=torch.int32)
            out[f"{i}.score"] = torch.sigmoid(h @ (w[yes] - w[no])).view(1)
            print("score", out[f"{i}.score"].item())
        ref.provenance("vl-reranker", out, "tools/golden/heads.py", {"prompts": texts})


if __name__ == "__main__":
    main()
