"""The shipped sparse encoder as floats: reads what export.py wrote (model.onnx, int8)."""

import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from models import HEADS, LAYERS, VOCABULARY, WIDTH, SparseEncoder
from quantise import GELU_LOW


def shipped(folder, device):
    """The SparseEncoder of a model's folder, its weights as the int8 graph has them."""
    graph = onnx.load(Path(folder) / "model.onnx").graph
    w = {i.name: numpy_helper.to_array(i).astype(np.float32) for i in graph.initializer}
    state = {}

    def product(name, low=None):
        weight = w[f"{name}.integers"].T * w[f"{name}.scale"][:, None] * w[f"{name}.smooth"]
        return weight, w[f"{name}.bias"] - (0 if low is None else low * weight.sum(1))

    def put(name, weight, bias):
        state[f"{name}.weight"], state[f"{name}.bias"] = weight, bias

    for i in range(LAYERS):
        layer = f"bert.encoder.layer.{i}"
        weight, bias = product(f"{layer}.attention.self")
        for j, part in enumerate(("query", "key", "value")):
            rows, factor = slice(j * WIDTH, (j + 1) * WIDTH), (WIDTH // HEADS) ** 0.5 if j == 0 else 1
            put(f"{layer}.attention.self.{part}", weight[rows] * factor, bias[rows] * factor)
        for name, low in (("attention.output.dense", None), ("intermediate.dense", None), ("output.dense", GELU_LOW)):
            put(f"{layer}.{name}", *product(f"{layer}.{name}", low))
    for name, weight in w.items():
        if "LayerNorm" in name or name.startswith("ln.") or name in ("bias", "dense.bias"):
            state[name] = weight
    words = w["vocabulary.integers"] * w["vocabulary.scale"][:, None] * w["vocabulary.undo"]
    embeddings = "bert.embeddings"
    state[f"{embeddings}.word_embeddings.weight"] = words
    state[f"{embeddings}.position_embeddings.weight"] = w["places"]
    state[f"{embeddings}.token_type_embeddings.weight"] = np.zeros((2, WIDTH))
    state["dense.weight"] = w["dense.weight"].T
    places = json.loads((Path(folder) / "tokenizer.json").read_text())["model"]["vocab"]
    state["qw"] = np.zeros(VOCABULARY)
    for token, weight in json.loads((Path(folder) / "query_token_weights.json").read_text()).items():
        state["qw"][places[token]] = weight
    model = SparseEncoder()
    tensors = {k: torch.from_numpy(np.array(v, np.float32)) for k, v in state.items()}
    missing, extra = model.load_state_dict(tensors, strict=False)
    if set(missing) - {"scale"} or extra:
        raise SystemExit(f"{folder}: missing {missing}, unknown {extra}")
    return model.to(device).eval().requires_grad_(False)
