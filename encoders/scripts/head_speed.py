#!/usr/bin/env python3
"""Times a vocabulary head in ONNX Runtime, one thread, in parts and whole: decision 9.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install onnxruntime==1.30.0 numpy onnx
    /tmp/venv/bin/python encoders/scripts/head_speed.py

Random weights, 384 wide, 30,522 terms. Processor time in ms, medians of eight, cases taking turns: the fp32
product with its bias, the int8 product, and each with the maximum over the tokens in 1 to 15 parts.
"""

import statistics
import time

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

TERMS, WIDTH = 30522, 384
RNG = np.random.default_rng(0)
WEIGHTS = RNG.standard_normal((TERMS, WIDTH)).astype(np.float32) * 0.05
BIAS = (RNG.standard_normal(TERMS) * 0.1).astype(np.float32)
INTEGERS = np.clip(np.round(WEIGHTS / np.abs(WEIGHTS).max(1, keepdims=True) * 127), -127, 127).astype(np.int8)


def session(int8, parts):
    """`parts` 0: the product alone."""
    kind, result = (TensorProto.UINT8, TensorProto.INT32) if int8 else (TensorProto.FLOAT, TensorProto.FLOAT)
    weights = [numpy_helper.from_array(INTEGERS if int8 else WEIGHTS, "w"), numpy_helper.from_array(BIAS, "b"),
               numpy_helper.from_array(np.uint8(128), "z")]
    zero = ["z"] if int8 else []
    op = "MatMulInteger" if int8 else "MatMul"
    step = -(-TERMS // max(parts, 1))
    nodes, pooled = [], []
    for at, start in enumerate(range(0, TERMS, step)):
        for name, values in [("from", [start]), ("to", [min(TERMS, start + step)]), ("rows", [0]), ("axis", [1])]:
            weights.append(numpy_helper.from_array(np.array(values, np.int64), f"{name}{at}"))
        nodes += [helper.make_node("Slice", ["w", f"from{at}", f"to{at}", f"rows{at}"], [f"w{at}"]),
                  helper.make_node("Transpose", [f"w{at}"], [f"t{at}"], perm=[1, 0]),
                  helper.make_node(op, ["h", f"t{at}", *zero], [f"x{at}"])]
        if parts:
            nodes.append(helper.make_node("ReduceMax", [f"x{at}", f"axis{at}"], [f"m{at}"], keepdims=0))
        pooled.append(f"m{at}" if parts else f"x{at}")
    last = pooled[0]
    if parts:
        nodes.append(helper.make_node("Concat", pooled, ["c"], axis=1))
        last = "c"
    if not int8:
        nodes.append(helper.make_node("Add", [last, "b"], ["y"]))
        last = "y"
    shape = ["batch", TERMS] if parts else ["batch", "length", TERMS]
    graph = helper.make_graph(nodes, "head", [helper.make_tensor_value_info("h", kind, ["batch", "length", WIDTH])],
                              [helper.make_tensor_value_info(last, result, shape)], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def main():
    cases = {f"{'int8' if int8 else 'fp32'} {parts or 'product'}": session(int8, parts)
             for int8 in (False, True) for parts in (0, 1, 3, 6, 8, 15)}
    for rows, length in [(1, 16), (1, 128), (8, 64), (4, 128), (2, 251), (1, 512)]:
        inputs = {"fp32": RNG.standard_normal((rows, length, WIDTH)).astype(np.float32),
                  "int8": RNG.integers(0, 256, (rows, length, WIDTH)).astype(np.uint8)}
        times = {name: [] for name in cases}
        for _ in range(9):
            for name, graph in cases.items():
                begun = time.thread_time()
                graph.run(None, {"h": inputs[name[:4]]})
                times[name].append(time.thread_time() - begun)
        print(rows, "x", length, {n: round(statistics.median(t[1:]) * 1e3, 1) for n, t in times.items()}, flush=True)


if __name__ == "__main__":
    main()
