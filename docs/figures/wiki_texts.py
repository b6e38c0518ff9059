#!/usr/bin/env python3
"""Puts the texts and the vectors of the 310,868 Wikipedia passages together, for one index of all channels.

    docs/figures/wiki_texts.py W OUT

W is what $QUARRY_SHARED/tools/unpack_vectors.py W --format csr wrote. Writes to OUT the first 310,868 vectors (documents.csr), their
texts (texts.jsonl, and texts.tsv without ids), the 6,980 questions with their vectors (queries-expanded.jsonl,
queries-inference-free.jsonl) and all questions as `source TAB question` (questions.tsv). Then:

    quarry index OUT/documents.csr --vocab $QUARRY_SHARED/data/tokenizer/vocab.txt --texts OUT/texts.jsonl --out OUT/x
"""

import json
import lzma
import os
import sys
from array import array
from pathlib import Path

PASSAGES = 310_868


def csr(path, rows=None):
    """Rows of a BigANN sparse matrix: width, starts, terms, weights."""
    with open(path, "rb") as file:
        count, width, _ = array("q", file.read(24))
        starts = array("q", file.read(8 * (count + 1)))
        rows = min(count, rows or count)
        terms_at = 24 + 8 * (count + 1)
        file.seek(terms_at)
        terms = array("i", file.read(4 * starts[rows]))
        file.seek(terms_at + 4 * starts[count])
        weights = array("f", file.read(4 * starts[rows]))
    return width, starts[: rows + 1], terms, weights


def lines(path):
    with lzma.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield line.rstrip("\n").split("\t")


def main():
    shared = os.environ.get("QUARRY_SHARED")
    if len(sys.argv) != 3 or not shared:
        sys.exit(__doc__ if shared else "QUARRY_SHARED names no folder: it has to hold data/train and data/tokenizer")
    unpacked, out, data = Path(sys.argv[1]), Path(sys.argv[2]), Path(shared, "data")
    out.mkdir(parents=True, exist_ok=True)
    width, starts, terms, weights = csr(unpacked / "documents.csr", PASSAGES)
    with open(out / "documents.csr", "wb") as file:
        for part in (array("q", [PASSAGES, width, starts[-1]]), starts, terms, weights):
            part.tofile(file)
    with open(out / "texts.jsonl", "w", encoding="utf-8") as file, open(out / "texts.tsv", "w", encoding="utf-8") as plain:
        for at, (title, text) in enumerate(lines(data / "train/wiki2014-en-311k.tsv.xz")):
            file.write(json.dumps({"id": str(at), "title": title, "text": text}, ensure_ascii=False) + "\n")
            plain.write(f"{title}\t{text}\n")
    questions = []
    with open(out / "questions.tsv", "w", encoding="utf-8") as file:
        for source, question, *_ in lines(data / "train/queries.tsv.xz"):
            file.write(f"{source}\t{question}\n")
            if source == "topics.msmarco-passage.dev-subset.txt":
                questions.append(question)
    names = (data / "tokenizer/vocab.txt").read_text(encoding="utf-8").split("\n")
    for kind in ("expanded", "inference-free"):
        _, starts, terms, weights = csr(unpacked / f"queries-{kind}.csr")
        with open(out / f"queries-{kind}.jsonl", "w", encoding="utf-8") as file:
            for at, question in enumerate(questions):
                vector = {names[terms[p]]: weights[p] for p in range(starts[at], starts[at + 1])}
                record = {"id": str(at), "text": question, "vector": vector}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
