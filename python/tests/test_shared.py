"""Real collections, where there are some: Python equals the binary to the bit."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from conftest import run_of

import quarry

SHARED = os.environ.get("QUARRY_SHARED", "")


@pytest.mark.skipif(not os.path.isdir(SHARED), reason="QUARRY_SHARED names no folder of real collections")
@pytest.mark.parametrize("name", ["nfcorpus", "scifact", "cranfield"])
def test_words_of_real_collections(name, tmp_path, command):
    collection = Path(str(SHARED)) / "data/beir" / name
    folder = tmp_path / "index"
    command("index", collection, "--out", folder, "--channel", "bm25")
    wanted = run_of(command("search", folder, "--queries", collection, "-k", 100, "--channel", "bm25"))
    questions = quarry.read_queries(collection, split=None)
    found = quarry.Index.open(folder).batch(list(questions.values()), k=100, channel="bm25").run(questions)
    assert {query: hits for query, hits in found.items() if hits} == wanted
    shown = json.loads(command("eval", folder, "--collection", collection, "--channel", "bm25", "--json"))
    measured = quarry.evaluate(found, collection)
    assert measured["nDCG@10"] == pytest.approx(shown["nDCG@10"], abs=1e-12)


@pytest.mark.skipif(not os.path.isdir(SHARED), reason="QUARRY_SHARED names no folder of real collections")
@pytest.mark.parametrize("method", ["exact", "impact", "auto"])
def test_real_vectors(method, tmp_path_factory, command):
    vectors = Path(str(SHARED)) / "data/vectors/nfcorpus-splade-v3"
    folder = tmp_path_factory.getbasetemp() / "splade.qry"
    if not folder.exists():
        command("index", vectors / "documents.jsonl", "--out", folder, "--lists", "impact")
    queries = vectors / "queries.jsonl"
    wanted = run_of(command("search", folder, "--queries", queries, "-k", 10, "--method", method))
    records = [json.loads(line) for line in queries.read_text().splitlines()]
    found = quarry.Index.open(folder).batch([record["vector"] for record in records], k=10, method=method)
    assert found.run([str(record["id"]) for record in records]) == wanted
