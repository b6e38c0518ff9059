#!/usr/bin/env python3
"""Writes encoders/tests/toy/: a tokenizer of eight words, its query table, and graphs of a few
hundred bytes, for tests of what the bundled model cannot show.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install onnx numpy
    /tmp/venv/bin/python encoders/scripts/make_toy_models.py

The weight of word v in a passage is (v + 1) / 8 if it occurs in it, else 0. tokens.onnx gives token v
the row [v, 1, v * v, 8].
"""

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, load, numpy_helper, save

TOY = Path(__file__).resolve().parents[1] / "tests" / "toy"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "marble", "slate", "chalk", "flint"]


def tokenizer():
    special = [{"id": i, "content": w, "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": False, "special": True} for i, w in enumerate(WORDS[:4])]
    return {
        "version": "1.0",
        # Wrong on purpose: the loader has to override both.
        "truncation": {"direction": "Left", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 12}, "direction": "Left", "pad_to_multiple_of": None,
                    "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": special, "normalizer": None, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {w: i for i, w in enumerate(WORDS)}, "unk_token": "[UNK]"},
    }


def graph(name, weights, declared, types):
    """presence(v) * weights(v); `declared` is the output's width as the graph states it. One that
    is left open is computed from the input, so that the runtime cannot infer it either."""
    width = len(weights)
    nodes = [] if isinstance(declared, int) else [
        helper.make_node("ReduceMax", ["input_ids"], ["some"], keepdims=0),
        helper.make_node("Sub", ["some", "some"], ["zero"]),
        helper.make_node("Add", ["zero", "width"], ["depth"]),
    ]
    nodes += [
        helper.make_node("OneHot", ["input_ids", "depth", "off_on"], ["hot"], axis=-1),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["hot", "column"], ["seen"]),
        helper.make_node("ReduceMax", ["seen"], ["present"], axes=[1], keepdims=0),
    ]
    if isinstance(declared, int):
        nodes.append(helper.make_node("Mul", ["present", "weights"], ["vector"]))
    else:
        nodes.append(helper.make_node("Identity", ["present"], ["vector"]))
    inputs = ["input_ids", "attention_mask"]
    if types:
        inputs.append("token_type_ids")
        # Adds nothing as long as the segments are 0.
        nodes += [
            helper.make_node("ReduceMax", ["token_type_ids"], ["segment"], axes=[1], keepdims=1),
            helper.make_node("Cast", ["segment"], ["extra"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["vector", "extra"], ["out"]),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["vector"], ["out"]))
    constants = {
        "depth" if isinstance(declared, int) else "width": np.array(width, np.int64), "off_on": np.array([0, 1], np.float32),
        "last": np.array([-1], np.int64),
    }
    if isinstance(declared, int):
        constants["weights"] = np.array(weights, np.float32)
    tensor = lambda n: helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "length"])
    made = helper.make_graph(
        nodes, name, [tensor(n) for n in inputs],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", declared])],
        [numpy_helper.from_array(v, k) for k, v in constants.items()])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    save(model, TOY / f"{name}.onnx")


def exported(name, source, number=TensorProto.INT64, batch=None, length=None, output=TensorProto.FLOAT):
    """The toy `source` as exporters write graphs: inputs of another type, sizes fixed, output of 16 bits."""
    model = load(TOY / f"{source}.onnx")
    made = model.graph
    if number != TensorProto.INT64:
        for tensor in made.input:
            for node in made.node:
                for at, name_of in enumerate(node.input):
                    if name_of == tensor.name:
                        node.input[at] = f"{tensor.name}_64"
            made.node.insert(0, helper.make_node("Cast", [tensor.name], [f"{tensor.name}_64"], to=TensorProto.INT64))
            tensor.type.tensor_type.elem_type = number
    for tensor in list(made.input) + list(made.output):
        sizes = tensor.type.tensor_type.shape.dim
        if batch:
            sizes[0].dim_value = batch
        if length and tensor.name != "out":
            sizes[1].dim_value = length
    if output != TensorProto.FLOAT:
        out = made.output[0]
        for node in made.node:
            for at, name_of in enumerate(node.output):
                if name_of == out.name:
                    node.output[at] = "wide_out"
        made.node.append(helper.make_node("Cast", ["wide_out"], [out.name], to=output))
        out.type.tensor_type.elem_type = output
    checker.check_model(model)
    save(model, TOY / f"{name}.onnx")


def token_graph():
    rows = np.array([[v, 1, v * v, 8] for v in range(len(WORDS))], np.float32)
    tensor = lambda n: helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "length"])
    made = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], ["rows"])], "tokens",
        [tensor("input_ids"), tensor("attention_mask")],
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["batch", "length", 4])],
        [numpy_helper.from_array(rows, "table")])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    save(model, TOY / "tokens.onnx")


def main():
    TOY.mkdir(parents=True, exist_ok=True)
    (TOY / "tokenizer.json").write_text(json.dumps(tokenizer(), indent=1) + "\n")
    table = {"marble": 2.0, "slate": 1.0, "chalk": 0.0, "[CLS]": 5.0}
    (TOY / "query_table.json").write_text(json.dumps(table) + "\n")
    weights = [(v + 1) / 8 for v in range(len(WORDS))]
    graph("good", weights, len(WORDS), types=True)
    graph("nan", weights[:6] + [float("nan")] + weights[7:], len(WORDS), types=False)
    graph("wide", weights + [1.0], len(WORDS) + 1, types=False)
    graph("lying", weights + [1.0], "words", types=False)
    token_graph()
    graph("plain", weights, len(WORDS), types=False)
    int32, half = TensorProto.INT32, TensorProto.FLOAT16
    exported("int32", "plain", number=int32)
    exported("half", "plain", output=half)
    exported("fixed-length", "plain", length=5)
    exported("fixed-batch", "plain", batch=3)
    exported("fixed", "plain", number=int32, batch=2, length=5, output=half)
    exported("fixed-tokens", "tokens", number=int32, batch=2, length=5)
    exported("float-inputs", "plain", number=TensorProto.FLOAT)
    exported("double", "plain", output=TensorProto.DOUBLE)


if __name__ == "__main__":
    main()
