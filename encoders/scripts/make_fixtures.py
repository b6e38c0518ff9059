#!/usr/bin/env python3
"""Writes encoders/tests/golden.json: vectors of the bundled model by Python, for the Rust tests.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install onnxruntime==1.30.0 tokenizers numpy
    /tmp/venv/bin/python encoders/scripts/make_fixtures.py

Each passage is encoded alone (batch 1). Of a document vector the file keeps the heaviest
components, the number of components and their sum; of a query vector everything. A text is given
as a string and how often it is repeated.
"""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "quarry-mini"
KEPT = 24

DOCUMENTS = [
    ("plain", "", "Limestone is quarried in open pits and cut into blocks with wire saws.", 1),
    ("title and text", "Marble", "A metamorphic rock of recrystallised carbonate minerals.", 1),
    ("title only", "History of quarrying in Carrara", "", 1),
    ("empty", "", "", 1),
    ("blank", "", " \t\n ", 1),
    ("one letter", "", "a", 1),
    ("emoji", "", "Stone 🪨 and hammer 🔨: 👩🏽‍🏭 at work 🎉🎉", 1),
    ("mixed scripts", "", "Zürich naïve café Ελλάδα Москва 東京 مرحبا नमस्ते 서울 co-operate №5", 1),
    ("special tokens in the text", "", "the [MASK] of [CLS] and [SEP] [PAD] [UNK]", 1),
    ("controls and combining marks", "", "a\u0000b\u0301\u200b\ufeff\u202e c\u0308 \ufffd e\u0301", 1),
    ("ten thousand words", "", "granite and basalt are hard ", 2000),
    ("at the edge", "", "stone ", 254),
    ("one past the edge", "", "stone ", 255),
    ("one endless word", "", "quarry", 4000),
    ("digits and signs", "", "3.14159 × 10^-7 m²; $1,299.00 (50% off!) C++/C# a@b.example", 1),
]

QUERIES = [
    ("how is marble formed", 1),
    ("the stone and the stone and the stone", 1),
    ("", 1),
    ("[CLS] [SEP] [MASK] [UNK] 🪨", 1),
    ("Zürich 東京 Москва", 1),
    ("quarry stone ", 1000),
]


def main():
    manifest = json.loads((MODEL / "quarry-model.json").read_text())
    document, query = manifest["document"], manifest["query"]
    tokenizer = Tokenizer.from_file(str(MODEL / manifest["tokenizer"]["file"]))
    tokenizer.no_padding()
    tokenizer.enable_truncation(document["parameters"]["max_tokens"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(MODEL / document["file"]), options)
    documents = []
    for name, title, text, times in DOCUMENTS:
        parts = [p for p in (title, text * times) if p]
        encoding = tokenizer.encode(document["parameters"]["separator"].join(parts))
        components = []
        if len(encoding.ids) > 2:  # more than [CLS] [SEP]
            ids = np.array([encoding.ids], np.int64)
            row = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0]
            components = [(t, float(row[t])) for t in np.flatnonzero(row > 0).tolist()]
            components.sort(key=lambda c: (-c[1], c[0]))
            components = components[:document["parameters"]["top_k"]]
        documents.append({
            "name": name, "title": title, "text": text, "times": times,
            "truncated": bool(encoding.overflowing),
            "count": len(components),
            "sum": round(sum(w for _, w in components), 5),
            "heaviest": [[t, round(w, 6)] for t, w in components[:KEPT]],
        })

    table = json.loads((MODEL / query["file"]).read_text())
    tokenizer.no_truncation()
    queries = []
    for text, times in QUERIES:
        encoding = tokenizer.encode(text * times, add_special_tokens=False)
        counts = Counter(zip(encoding.ids, encoding.tokens))
        components = sorted(
            (i, table[t] * (1 + math.log(n))) for (i, t), n in counts.items()
            if t not in query["parameters"]["drop_tokens"] and table.get(t, 0) > 0)
        queries.append({"text": text, "times": times, "components": [[i, round(w, 9)] for i, w in components]})

    out = ROOT / "encoders" / "tests" / "golden.json"
    lines = lambda items: ",\n".join("  " + json.dumps(i, ensure_ascii=True) for i in items)
    out.write_text(f'{{"documents": [\n{lines(documents)}\n],\n"queries": [\n{lines(queries)}\n]}}\n')
    print(out, out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
