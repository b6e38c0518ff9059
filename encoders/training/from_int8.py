#!/usr/bin/env python3
"""Turns the dynamically quantised encoder that training starts from back into floats.

    from_int8.py MODEL_FOLDER OUT.safetensors

MODEL_FOLDER has model.onnx as `onnxruntime.quantization.quantize_dynamic` writes it, tokenizer.json
and query_token_weights.json. Products carry no layer names, so they are told by their order: six
layers of query, key, value, attention output, intermediate, output, and the head's dense layer. The
vocabulary product is the word embeddings again and is left out.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from safetensors.numpy import save_file

from models import LAYERS

ORDER = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
         "intermediate.dense", "output.dense"]


def main():
    folder, out = Path(sys.argv[1]), sys.argv[2]
    graph = onnx.load(folder / "model.onnx").graph
    weights = {w.name: numpy_helper.to_array(w) for w in graph.initializer}

    def floats(name):
        stem = name.removesuffix("_quantized")
        steps = weights[name].astype(np.float32) - weights[f"{stem}_zero_point"].astype(np.float32)
        return steps * weights[f"{stem}_scale"]

    state = {"bias": weights["dec.bias"]}
    for name, value in weights.items():
        if not name.startswith(("bert.", "dense.", "ln.")) or name.endswith(("_scale", "_zero_point")):
            continue
        if name.endswith("_quantized"):
            state[name.removesuffix("_quantized")] = floats(name)
        elif value.dtype == np.float32:
            state[name] = value
    sources = [n.input[1] for n in graph.node if n.op_type == "MatMulInteger" and n.input[1] in weights]
    names = [f"bert.encoder.layer.{i}.{part}.weight" for i in range(LAYERS) for part in ORDER] + ["dense.weight"]
    if len(sources) < len(names):
        sys.exit(f"{folder}/model.onnx has {len(sources)} integer products, expected at least {len(names)}")
    state.update({name: floats(source).T for name, source in zip(names, sources)})
    places = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    table = np.zeros(len(places), np.float32)
    for token, weight in json.loads((folder / "query_token_weights.json").read_text()).items():
        table[places[token]] = weight
    state["qw"] = table
    # fp16, as the runs of results/ read it.
    save_file({k: np.ascontiguousarray(v, np.float16) for k, v in state.items()}, out)
    print(f"{len(state)} tensors")


if __name__ == "__main__":
    main()
