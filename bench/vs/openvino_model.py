#!/usr/bin/env python3
"""A checkpoint as OpenVINO GenAI opens it, for vs_openvino.py.

    PYTHONPATH=bench/vs/site PYTHON bench/vs/openvino_model.py MODEL OUT [--types bf16,int8,int4]

PYTHON is the interpreter of an environment with openvino-genai, optimum-intel[openvino,nncf] and transformers 5.0 (the last
that the exporter takes for Qwen3-VL). OUT/bf16 is the exporter's form of a Qwen3-VL directory; OUT/int8 and OUT/int4 have the
decoder's weights compressed with NNCF's defaults (int8_asym per channel; int4_asym in groups of 128, head in int8), and link the
tower and the embedding, which stay bf16 as Ward's do. For the 2B shape: 12 GB of memory, 7.7 GB on disk.
"""
import argparse
import os

TYPES = ("bf16", "int8", "int4")
LANGUAGE = "openvino_language_model"


def export(model, out):
    import openvino
    from openvino_tokenizers import convert_tokenizer
    from optimum.exporters.openvino import main_export
    from optimum.intel import OVConfig
    from transformers import AutoTokenizer
    main_export(model, out, task="image-text-to-text", ov_config=OVConfig(dtype="bf16"), library_name="transformers")
    to_ids, to_text = convert_tokenizer(AutoTokenizer.from_pretrained(model), with_detokenizer=True)
    openvino.save_model(to_ids, os.path.join(out, "openvino_tokenizer.xml"))
    openvino.save_model(to_text, os.path.join(out, "openvino_detokenizer.xml"))


def compress(source, out, kind):
    import nncf
    import openvino
    how = {"int8": {"mode": nncf.CompressWeightsMode.INT8_ASYM},
           "int4": {"mode": nncf.CompressWeightsMode.INT4_ASYM, "group_size": 128, "ratio": 1.0}}[kind]
    os.makedirs(out, exist_ok=True)
    for file in os.listdir(source):
        link = os.path.join(out, file)
        if not file.startswith(LANGUAGE) and not os.path.lexists(link):
            os.symlink(os.path.join("..", os.path.basename(source), file), link)
    model = openvino.Core().read_model(os.path.join(source, LANGUAGE + ".xml"))
    # The exporter asks for f16 keys and values unless it compresses the weights: then they are u8, as the plugin chooses.
    options = model.get_rt_info("runtime_options").value
    options.pop("KV_CACHE_PRECISION", None)
    model.set_rt_info(options, "runtime_options")
    openvino.save_model(nncf.compress_weights(model, **how), os.path.join(out, LANGUAGE + ".xml"), compress_to_fp16=False)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("model")
    ap.add_argument("out")
    ap.add_argument("--types", default=",".join(TYPES), help="bf16 must be there for the others (" + ",".join(TYPES) + ")")
    args = ap.parse_args()
    for kind in args.types.split(","):
        where = os.path.join(args.out, kind)
        if kind == "bf16":
            export(args.model, where)
        else:
            compress(os.path.join(args.out, "bf16"), where, kind)


if __name__ == "__main__":
    main()
