"""Encoders and reranking with the bundled model: equal to the binary."""

from __future__ import annotations

import json
import os
import pickle
import shutil

import numpy as np
import pytest
from conftest import SAMPLE, run_of

import quarry
from quarry import _places


@pytest.fixture(scope="module")
def encoder() -> quarry.Encoder:
    return quarry.Encoder()


def test_documents_equal_the_binary(encoder, tmp_path, command):
    command("encode", SAMPLE, "--out", tmp_path / "vectors.jsonl")
    wanted = [json.loads(line)["vector"] for line in (tmp_path / "vectors.jsonl").read_text().splitlines()]
    records = [json.loads(line) for line in (SAMPLE / "corpus.jsonl").read_text().splitlines()]
    rows = encoder.tokens_of(encoder.encode_documents(records))
    assert len(rows) == len(wanted)
    for row, vector in zip(rows, wanted):
        assert {t: np.float32(w) for t, w in row.items()} == {t: np.float32(w) for t, w in vector.items()}


def test_queries_equal_texts(encoder, index, questions):
    texts = list(questions.values())
    matrix = encoder.encode_queries(texts)
    assert matrix.shape == (40, len(encoder.tokens)) and matrix.dtype == np.float32
    by_matrix, by_text = index.batch(matrix, k=10), index.batch(texts, k=10)
    assert (by_matrix.ids, by_matrix.scores) == (by_text.ids, by_text.scores)
    again = pickle.loads(pickle.dumps(encoder))
    assert (again.encode_queries(texts) != matrix).nnz == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_encodes(encoder):
    """Sessions of the parent have no threads in a child: it opens its own."""
    wanted = encoder.encode_documents(["bread and salt"]).sum()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"1" if encoder.encode_documents(["bread and salt"]).sum() == wanted else b"0")
        os._exit(0)
    os.close(write)
    assert os.read(read, 1) == b"1" and os.waitpid(child, 0)[1] == 0


def test_reranking_equals_the_binary(sample, tmp_path, questions, command):
    folder = tmp_path / "tokens.qry"
    shutil.copytree(sample, folder)
    command("tokens", "add", folder)
    wanted = run_of(command("search", folder, "--queries", SAMPLE, "-k", 10, "--rerank", "--device", "cpu"))
    index = quarry.Index.open(folder, rerank=True)
    assert index.batch(list(questions.values()), k=10, rerank=True).run(questions) == wanted
    hit = index.search(questions["q01"], k=1, rerank=True)[0]
    assert (hit.id, hit.rerank) == wanted["q01"][0]
    with pytest.raises(quarry.errors.OptionError) as raised:
        quarry.Index.open(folder).batch(["bread"], rerank=True)
    assert raised.value.code == "no_tokens"


def test_places_of_models_and_runtime(tmp_path, monkeypatch):
    package = tmp_path / "onnxruntime"
    (package / "capi").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('it is not imported')")
    library = package / "capi" / "libonnxruntime.so.1.99.0"
    library.touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("ORT_DYLIB_PATH", raising=False)
    assert _places.environment()["ORT_DYLIB_PATH"] == str(library)
    monkeypatch.setenv("ORT_DYLIB_PATH", "named")
    assert "ORT_DYLIB_PATH" not in _places.environment()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "nothing"))
    assert _places.bundled() is None
    with pytest.raises(quarry.errors.ModelError) as raised:
        quarry.Encoder()
    assert raised.value.code == "no_bundled_model"
    monkeypatch.setenv("HF_HOME", "/hub")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert _places.hub() == {"endpoint": "https://huggingface.co", "cache": "/hub/hub", "token": None, "offline": True}
