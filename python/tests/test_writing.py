"""Building and changing an index from Python, without a model unless a test says so."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import SAMPLE

import quarry


def documents(numbers):
    for number in numbers:
        yield {"id": f"d{number}", "vector": {"rock": 1.0, f"t{number % 7}": np.float32(0.5)}, "year": 2000 + number}


@pytest.fixture
def built(tmp_path) -> quarry.Index:
    return quarry.Index.build(tmp_path / "index", documents(range(20)))


def test_each_change_is_a_generation_and_is_seen(built):
    assert (len(built), built.generation) == (20, 1)
    report = built.add(documents(range(15, 25)), merge=False)
    assert (report["added"], report["replaced"], built.generation, len(built)) == (10, 5, 2, 25)
    report = built.delete(["d1", "d1", "x"])
    assert (report["deleted"], report["unknown"], len(built)) == (1, ["x"], 24)
    assert "d1" not in list(built.ids()) and len(list(built.ids())) == 24
    assert built.merge()["merged"] == 2 and built.merge() is None
    assert built.delete("d2")["deleted"] == 1


def test_another_objects_changes_are_seen_after_reload(built):
    other = quarry.Index.open(built.path)
    built.add(documents([99]))
    assert len(other) == 20 and other.reload() and len(other) == 21 and not other.reload()


def test_a_built_index_is_replaced_only_if_told(built):
    with pytest.raises(quarry.errors.RefusedError) as raised:
        quarry.Index.build(built.path, documents(range(3)))
    assert raised.value.code == "exists" and "overwrite" in raised.value.hint
    assert len(quarry.Index.build(built.path, documents(range(3)), overwrite=True)) == 3


def test_matrices_become_documents(tmp_path):
    matrix = sp.csr_matrix(np.array([[1.0, 0, 2.0], [0, 3.0, 0], [0, 0, 1.0]]))
    named = quarry.Index.build(
        tmp_path / "named", matrix, ids=["a", "b", "c"], vocabulary=["x", "y", "z"], texts=["one", "two", "three"]
    )
    assert named.batch([{"z": 1.0}], k=5).ids == [["a", "c"]]
    assert named.search("two", channel="bm25").ids == ["b"]
    found = named.batch(matrix, k=1, vocabulary=["x", "y", "z"])
    assert found.ids == [["a"], ["b"], ["a"]]
    numbered = quarry.Index.build(tmp_path / "numbered", matrix)
    assert numbered.batch(matrix, k=1).ids == [["0"], ["1"], ["0"]]
    with pytest.raises(quarry.errors.InputError, match="2, and the matrix has 3"):
        quarry.Index.build(tmp_path / "wrong", matrix, ids=["a", "b"])


def test_texts_without_a_model(tmp_path):
    Doc = namedtuple("Doc", ["doc_id", "title", "text"])
    pairs = [("a", "the tide turns the mill"), Doc("b", "Moon", "the moon turns the tide")]
    words = quarry.Index.build(tmp_path / "words", pairs, channel="bm25")
    assert sorted(words.search("tide", k=5).ids) == ["a", "b"] and words.get("b")["title"] == "Moon"
    words.add([{"_id": "c", "text": "tide tide tide", "year": 1998}])
    assert words.search("tide", k=1).ids == ["c"]
    assert words.search("tide", filter="year:[1990 TO 2000]").ids == ["c"]


def test_what_python_raises_comes_through_and_nothing_is_left(tmp_path):
    class Mine(Exception):
        pass

    def broken():
        yield {"id": "a", "vector": {"t": 1.0}}
        raise Mine("mine")

    with pytest.raises(Mine, match="mine"):
        quarry.Index.build(tmp_path / "index", broken())
    for wrong, reason in [
        ({"id": "a"}, "no"),
        ({"text": "t"}, "id"),
        ({"id": "b", "vector": {"t": -1.0}}, "weight"),
        ({"id": "b", "vector": {"t": float("nan")}}, "Out of range|JSON"),
        (7, "found int"),
        ({"id": "b", "text": "t", "x": object()}, "object"),
    ]:
        with pytest.raises(quarry.errors.InputError, match=reason) as raised:
            quarry.Index.build(tmp_path / "index", [{"id": "a", "vector": {"t": 1.0}}, wrong], overwrite=True)
        assert raised.value.position == 1
    with pytest.raises(quarry.errors.InputError, match="a"):
        quarry.Index.build(tmp_path / "index", [{"id": "a", "vector": {"t": 1.0}}] * 2, overwrite=True)
    # A build that its input ended leaves nothing in the way.
    assert len(quarry.Index.build(tmp_path / "index", documents(range(3)), overwrite=True)) == 3


def test_options_that_do_nothing_are_refused(tmp_path):
    with pytest.raises(quarry.errors.OptionError):
        quarry.Index.build(tmp_path / "index", documents(range(3)), max_tokens=64)
    with pytest.raises(quarry.errors.OptionError, match="no type|not a type"):
        quarry.Index.build(tmp_path / "index", documents(range(3)), fields={"year": "number"})


def test_the_bundled_model_builds_what_the_binary_builds(tmp_path, sample, questions, command):
    """From a path and from dicts; vectors and rankings are those of the binary."""
    again = quarry.Index.build(tmp_path / "path", SAMPLE, tune=False)
    texts = list(questions.values())
    wanted = quarry.Index.open(sample).batch(texts, k=10)
    found = again.batch(texts, k=10)
    assert (found.ids, found.scores) == (wanted.ids, wanted.scores)
    binary = quarry.Index.open(sample)
    given = (binary.get(id) for id in list(binary.ids()))
    found = quarry.Index.build(tmp_path / "dicts", given, tune=False).batch(texts, k=10)
    assert (found.ids, found.scores) == (wanted.ids, wanted.scores)
