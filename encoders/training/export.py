#!/usr/bin/env python3
"""Writes the sparse encoder as ONNX, fp32 and int8, checks both, and makes the model's folder.

    export.py STATE OUT [--tokenizer FILE] [--name quarry-mini]

STATE: a safetensors file or pieces. OUT gets model_fp32.onnx (not shipped), and model.onnx,
query_token_weights.json, tokenizer.json, quarry-model.json.

The int8 graph follows quantise.py: integers of 8 bits on both sides of every product with weights,
one activation scale a token (a passage for the vocabulary product), so a passage's weights do not
depend on what shares its batch. The vocabulary matrix is stored once: the embedding lookup gathers
its rows, the vocabulary product takes it transposed when the graph is loaded. Pooling is a maximum
of integers, before scales and bias.
"""

import argparse
import hashlib
import json
import math
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from begin import read_state
from models import HEADS, VOCABULARY, WIDTH, SparseEncoder
from quantise import GELU_LOW, int8, smooth, weight_steps
from store import load_padded

QUERY_DROP = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


class Graph:
    """Collects nodes and weights; every method that adds a node gives the name of its output."""

    def __init__(self):
        self.nodes, self.weights, self.names = [], [], set()

    def weight(self, name, array):
        if name not in self.names:
            self.names.add(name)
            self.weights.append(numpy_helper.from_array(np.array(array, order="C"), name))
        return name

    def real(self, value):
        return self.weight(f"real_{value!r}", np.array(value, np.float32))

    def whole(self, *values):
        return self.weight("whole_" + "_".join(map(str, values)), np.array(values, np.int64))

    def add(self, operator, *inputs, **attributes):
        output = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output


class Writer:
    def __init__(self, model, quantised):
        self.g, self.quantised = Graph(), quantised
        self.state = {k: v.detach().float().numpy() for k, v in model.state_dict().items()}
        self.keep, self.model = model.keep.numpy(), model

    def steps(self, x, low, smooth=None, whole_passage=False):
        """Activations as uint8: (integers, scale, zero point). smooth: (name, divisor of each channel)."""
        g = self.g
        moved = g.add("Sub", x, g.real(low)) if low is not None else x
        if smooth is not None:
            moved = x = g.add("Mul", moved, g.weight(f"{smooth[0]}.smooth", (1 / smooth[1]).astype(np.float32)))
        size = moved if low is not None else g.add("Abs", x)
        largest = g.add("ReduceMax", size, axes=[1, 2] if whole_passage else [-1], keepdims=1)
        largest = g.add("Max", largest, g.real(1e-12))
        scale = g.add("Div", largest, g.real(255.0 if low is not None else 127.0))
        rounded = g.add("Round", g.add("Div", moved, scale))
        if low is None:
            rounded = g.add("Add", rounded, g.real(128.0))
        zero = g.weight(f"zero_{0 if low is not None else 128}", np.array(0 if low is not None else 128, np.uint8))
        return g.add("Cast", rounded, to=TensorProto.UINT8), scale, zero

    def product(self, x, name, weight, bias, source, low=None):
        """x @ weight.T + bias; source: the layer that has the smoothing, None to stay fp32."""
        g = self.g
        if not self.quantised or source is None:
            return g.add("Add", g.add("MatMul", x, g.weight(f"{name}.weight", weight.T)), g.weight(f"{name}.bias", bias))
        divisor = self.model.get_submodule(source).smooth.numpy()
        integers, scale = (t.numpy() for t in weight_steps(torch.from_numpy(weight * divisor)))
        if low is not None:
            bias = bias + low * scale * (integers / divisor).sum(1)
        values, step, zero = self.steps(x, low, (name, divisor))
        out = g.add("MatMulInteger", values, g.weight(f"{name}.integers", integers.T.astype(np.int8)), zero)
        out = g.add("Mul", g.add("Cast", out, to=TensorProto.FLOAT), step)
        out = g.add("Mul", out, g.weight(f"{name}.scale", scale.astype(np.float32)))
        return g.add("Add", out, g.weight(f"{name}.bias", bias.astype(np.float32)))

    def normed(self, x, name):
        g = self.g
        return g.add("LayerNormalization", x, g.weight(f"{name}.weight", self.state[f"{name}.weight"]),
                     g.weight(f"{name}.bias", self.state[f"{name}.bias"]), axis=-1, epsilon=1e-12)

    def gelu(self, x):
        g = self.g
        inner = g.add("Add", g.add("Erf", g.add("Div", x, g.real(math.sqrt(2)))), g.real(1.0))
        return g.add("Mul", g.add("Mul", x, inner), g.real(0.5))

    def linear(self, x, name, low=None):
        return self.product(x, name, self.state[f"{name}.weight"], self.state[f"{name}.bias"], name, low)

    def embed(self):
        g, prefix = self.g, "bert.embeddings"
        table = self.state[f"{prefix}.word_embeddings.weight"]
        if self.quantised:
            self.divisor = self.model.smooth.numpy()
            integers, scale = (t.numpy() for t in weight_steps(torch.from_numpy(table * self.divisor)))
            self.table = g.weight("vocabulary.integers", integers.astype(np.int8))
            self.table_scale = g.weight("vocabulary.scale", scale.astype(np.float32))
            rows = g.add("Cast", g.add("Gather", self.table, "input_ids"), to=TensorProto.FLOAT)
            scales = g.add("Unsqueeze", g.add("Gather", self.table_scale, "input_ids"), g.whole(2))
            words = g.add("Mul", g.add("Mul", rows, scales), g.weight("vocabulary.undo", (1 / self.divisor).astype(np.float32)))
        else:
            self.table = g.weight("vocabulary", table)
            words = g.add("Gather", self.table, "input_ids")
        places = self.state[f"{prefix}.position_embeddings.weight"] + self.state[f"{prefix}.token_type_embeddings.weight"][0]
        length = g.add("Slice", g.add("Shape", "input_ids"), g.whole(1), g.whole(2))
        places = g.add("Slice", g.weight("places", places), g.whole(0), length, g.whole(0))
        return self.normed(g.add("Add", words, places), f"{prefix}.LayerNorm")

    def layer(self, x, index, hidden):
        g, name, width = self.g, f"bert.encoder.layer.{index}", WIDTH // HEADS
        parts = [f"{name}.attention.self.{p}" for p in ("query", "key", "value")]
        shrink = np.float32(1 / math.sqrt(width))
        weight = np.concatenate([self.state[f"{p}.weight"] * (shrink if i == 0 else 1) for i, p in enumerate(parts)])
        bias = np.concatenate([self.state[f"{p}.bias"] * (shrink if i == 0 else 1) for i, p in enumerate(parts)])
        together = self.product(x, f"{name}.attention.self", weight, bias, parts[0])
        together = g.add("Reshape", together, g.whole(0, 0, 3, HEADS, width))
        together = g.add("Transpose", together, perm=[2, 0, 3, 1, 4])
        q, k, v = (g.add("Gather", together, g.weight(f"part_{i}", np.array(i, np.int64)), axis=0) for i in range(3))
        scores = g.add("Add", g.add("MatMul", q, g.add("Transpose", k, perm=[0, 1, 3, 2])), hidden)
        seen = g.add("Transpose", g.add("MatMul", g.add("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
        seen = self.linear(g.add("Reshape", seen, g.whole(0, 0, WIDTH)), f"{name}.attention.output.dense")
        x = self.normed(g.add("Add", x, seen), f"{name}.attention.output.LayerNorm")
        inner = self.gelu(self.linear(x, f"{name}.intermediate.dense"))
        return self.normed(g.add("Add", x, self.linear(inner, f"{name}.output.dense", GELU_LOW)), f"{name}.output.LayerNorm")

    def head(self, h):
        """log(1 + relu(max over positions)); padding holds a copy of the first position."""
        g = self.g
        dense = self.product(h, "dense", self.state["dense.weight"], self.state["dense.bias"], None)
        h = self.normed(self.gelu(dense), "ln")
        real = g.add("Unsqueeze", g.add("Cast", "attention_mask", to=TensorProto.BOOL), g.whole(2))
        h = g.add("Where", real, h, g.add("Slice", h, g.whole(0), g.whole(1), g.whole(1)))
        columns = g.add("Transpose", self.table, perm=[1, 0])
        if self.quantised:
            values, scale, zero = self.steps(h, None, ("vocabulary", self.divisor), whole_passage=True)
            best = g.add("ReduceMax", g.add("MatMulInteger", values, columns, zero), axes=[1], keepdims=0)
            best = g.add("Mul", g.add("Cast", best, to=TensorProto.FLOAT), g.add("Squeeze", scale, g.whole(2)))
            best = g.add("Mul", best, self.table_scale)
        else:
            best = g.add("ReduceMax", g.add("MatMul", h, columns), axes=[1], keepdims=0)
        best = g.add("Relu", g.add("Add", best, g.weight("bias", self.state["bias"])))
        g.nodes.append(helper.make_node("Mul", [g.add("Log", g.add("Add", best, g.real(1.0))), g.weight("keep", self.keep)], ["sparse"]))

    def write(self, path):
        g = self.g
        mask = g.add("Cast", g.add("Unsqueeze", "attention_mask", g.whole(1, 2)), to=TensorProto.FLOAT)
        hidden = g.add("Mul", g.add("Sub", mask, g.real(1.0)), g.real(1e4))
        x = self.embed()
        for i in range(6):
            x = self.layer(x, i, hidden)
        self.head(x)
        ids = [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "length"]) for n in ("input_ids", "attention_mask")]
        out = helper.make_tensor_value_info("sparse", TensorProto.FLOAT, ["batch", VOCABULARY])
        model = helper.make_model(helper.make_graph(g.nodes, "quarry-mini", ids, [out], g.weights),
                                  opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="quarry")
        onnx.checker.check_model(model)
        onnx.save(model, path)


def run(path, ids):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda rows: session.run(None, {"input_ids": rows, "attention_mask": (rows != 0).astype(np.int64)})[0]


def check(out, model):
    """Both graphs against PyTorch, and each passage alone against the same in company."""
    rng = np.random.default_rng(3)
    ids = np.zeros((6, 96), np.int64)
    for row, length in enumerate((4, 9, 31, 64, 95, 96)):
        ids[row, :length] = np.concatenate([[101], rng.integers(1996, 29000, length - 2), [102]])
    with torch.no_grad():
        wanted = {"model_fp32.onnx": model(torch.from_numpy(ids)).numpy(),
                  "model.onnx": int8(model)(torch.from_numpy(ids)).numpy()}
    for name, want in wanted.items():
        encode = run(out / name, ids)
        got = encode(ids)
        alone = np.concatenate([encode(ids[r:r + 1, :(ids[r] != 0).sum()]) for r in range(len(ids))])
        apart, company = np.abs(got - want), np.abs(got - alone)
        print(f"{name}: {(out / name).stat().st_size} bytes, from PyTorch at most {apart.max():.2e} (mean of components "
              f"{apart[want > 0].mean():.1e}), from itself alone {company.max():.2e}, components {(got > 0).sum(1).tolist()}")
        # A rounding that falls the other way moves what follows: int8 agrees on average, not to the digit.
        if (apart.max() > 1e-4 if name == "model_fp32.onnx" else apart[want > 0].mean() > 2.5e-2) or company.max() > 1e-5:
            sys.exit(f"{name} does not compute what PyTorch does")


def manifest(out, name):
    digest = lambda file: hashlib.sha256((out / file).read_bytes()).hexdigest()
    content = {
        "format": 1, "name": name, "dimension": VOCABULARY,
        "tokenizer": {"file": "tokenizer.json", "sha256": digest("tokenizer.json"), "pad_token": "[PAD]"},
        "document": {
            "kind": "onnx", "file": "model.onnx", "sha256": digest("model.onnx"),
            "inputs": {"token_ids": "input_ids", "attention_mask": "attention_mask"},
            "output": "sparse", "pooling": "in-graph", "max_positions": 512,
            "parameters": {"max_tokens": 256, "top_k": 128, "separator": ". ", "drop_tokens": QUERY_DROP}},
        "query": {"kind": "token-table", "file": "query_token_weights.json", "sha256": digest("query_token_weights.json"),
                  "parameters": {"tf": "1+ln", "drop_tokens": QUERY_DROP}}}
    # Lists, and the object of two names, on one line.
    lists = r'\[\n\s+("[^\n]*"(?:,\n\s+"[^\n]*")*)\n\s+\]'
    text = re.sub(lists, lambda m: "[" + " ".join(m[1].split()) + "]", json.dumps(content, indent=2))
    text = re.sub(r'("inputs": ){([^{}]*)}', lambda m: m[1] + "{ " + " ".join(m[2].split()) + " }", text)
    (out / "quarry-model.json").write_text(text + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("state", nargs="+", help="one state, or two to average half and half")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", required=True, help="prepare.py's folder: passages whose activations set the smoothing")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--name", default="quarry-mini")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    states = [read_state(s) for s in args.state]
    state = {k: sum(s[k] for s in states) / len(states) for k in states[-1] if all(k in s for s in states)}
    model = SparseEncoder().eval()
    missing, extra = model.load_state_dict(state, strict=False)
    if set(missing) - {"scale"} or extra:
        sys.exit(f"missing {missing}, unknown {extra}")
    passages = load_padded(args.work, "docs", 96, "cpu")
    passages = passages[(passages != 0).all(1)]
    chosen = torch.randperm(len(passages), generator=torch.Generator().manual_seed(9))[:128]
    smooth(model, passages[chosen].split(16))
    Writer(model, quantised=False).write(args.out / "model_fp32.onnx")
    Writer(model, quantised=True).write(args.out / "model.onnx")
    check(args.out, model)
    vocabulary = json.loads(args.tokenizer.read_text())["model"]["vocab"]
    weights = model.qw.detach().clamp_min(0).tolist()
    table = {token: round(weights[i], 4) for token, i in sorted(vocabulary.items(), key=lambda x: x[1])}
    (args.out / "query_token_weights.json").write_text(json.dumps(table, ensure_ascii=False))
    shutil.copyfile(args.tokenizer, args.out / "tokenizer.json")
    manifest(args.out, args.name)


if __name__ == "__main__":
    main()
