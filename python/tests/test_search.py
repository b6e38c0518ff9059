"""Searches equal the binary's to the bit, whatever form queries have."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import SAMPLE, run_of

import quarry


@pytest.mark.parametrize("channel", ["sparse", "bm25", "sparse,bm25"])
@pytest.mark.parametrize("method", ["exact", "auto", "scan"])
def test_texts_equal_the_binary(index, sample, questions, command, channel, method):
    if channel == "bm25" and method != "auto":
        pytest.skip("bm25 has no method")
    options = [] if channel == "bm25" else ["--method", method]
    wanted = run_of(command("search", sample, "--queries", SAMPLE, "-k", 10, "--channel", channel, *options))
    found = index.batch(list(questions.values()), k=10, method=method, channel=channel)
    assert found.run(questions) == wanted
    assert len(found) == len(questions) and found.generation == 1


def test_feedback_equals_the_binary(index, sample, questions, command):
    wanted = run_of(command("search", sample, "--queries", SAMPLE, "-k", 20, "--feedback", "after"))
    assert index.batch(list(questions.values()), k=20, feedback=True).run(questions) == wanted


@pytest.fixture(scope="module")
def vectors(tmp_path_factory, command):
    """Queries as the binary encodes them."""
    path = tmp_path_factory.mktemp("vectors") / "queries.jsonl"
    command("encode", SAMPLE, "--queries", "--out", path)
    return path, [json.loads(line) for line in path.read_text().splitlines()]


def test_forms_of_vectors_are_one(index, sample, vectors, command):
    path, records = vectors
    wanted = run_of(command("search", sample, "--queries", path, "-k", 7, "--method", "exact"))
    ids = [record["id"] for record in records]
    dicts = [record["vector"] for record in records]
    assert index.batch(dicts, k=7, method="exact").run(ids) == wanted
    queries = [quarry.Query(vector=vector) for vector in dicts]
    assert index.batch(queries, k=7, method="exact").run(ids) == wanted
    # Columns that are the model's vocabulary, which is the index's.
    place = {token: at for at, token in enumerate(index.tokens())}
    numbers = [{place[token]: weight for token, weight in vector.items()} for vector in dicts]
    assert index.batch(numbers, k=7, method="exact").run(ids) == wanted
    matrix = csr(numbers, len(place))
    assert index.batch(matrix, k=7, method="exact").run(ids) == wanted
    assert index.batch(matrix.tocoo(), k=7, method="exact").run(ids) == wanted
    # Columns of any other vocabulary.
    order = np.random.default_rng(1).permutation(len(place))
    names = index.tokens()
    shuffled = matrix[:, order]
    vocabulary = [names[at] for at in order]
    assert index.batch(shuffled, k=7, method="exact", vocabulary=vocabulary).run(ids) == wanted


def csr(rows: list[dict[int, float]], columns: int) -> sp.csr_matrix:
    indptr = np.cumsum([0, *(len(row) for row in rows)])
    indices = [column for row in rows for column in row]
    data = np.array([weight for row in rows for weight in row.values()], dtype=np.float32)
    return sp.csr_matrix((data, indices, indptr), shape=(len(rows), columns))


def test_torch_tensors(index, vectors):
    torch = pytest.importorskip("torch")
    place = {token: at for at, token in enumerate(index.tokens())}
    matrix = csr([{place[t]: w for t, w in r["vector"].items()} for r in vectors[1]], len(place))
    wanted = index.batch(matrix, k=5).ids
    coo = matrix.tocoo()
    tensor = torch.sparse_coo_tensor(np.vstack([coo.row, coo.col]), coo.data, matrix.shape)
    assert index.batch(tensor, k=5).ids == wanted
    assert index.batch(tensor.to_sparse_csr(), k=5).ids == wanted


def test_unknown_tokens_are_listed_and_empty_queries_find_nothing(index):
    found = index.batch([{"bread": 1.0, "zzqx": 2.0}, {}, ""], k=3)
    assert found.unknown == [["zzqx"], [], []]
    assert len(found.ids[0]) == 3 and found.ids[1:] == [[], []]


def test_arrays_tables_and_frames(index, questions):
    found = index.batch([*questions.values(), {}], k=5, method="exact")
    rows, scores, counts = found.arrays()
    assert rows.shape == scores.shape == (41, 5) and rows.dtype == np.int64 and scores.dtype == np.float32
    assert counts.tolist() == [len(ids) for ids in found.ids]
    assert rows[-1].tolist() == [-1] * 5 and np.isneginf(scores[-1]).all()
    ids = list(index.ids())
    assert [[ids[row] for row in some if row >= 0] for some in rows] == found.ids
    assert scores[0].tolist() == np.array(found.scores[0], dtype=np.float32).tolist()
    table = found.arrow()
    assert table.num_rows == sum(counts) and table["id"].to_pylist()[:5] == found.ids[0]
    assert table["rank"].to_pylist()[:6] == [1, 2, 3, 4, 5, 1]
    frame = found.frame([*questions, "none"])
    assert frame["id"].tolist() == table["id"].to_pylist() and frame["query"][0] == next(iter(questions))


def test_answers_have_fields_and_tokens(index):
    answer = index.explain("why does bread go stale", k=2)
    assert answer.ids[0] == "bread-05" and answer[0].title == "Why bread goes stale" and len(answer) == 2
    assert sum(token["contribution"] for token in answer[0].matched) == pytest.approx(answer[0].score)
    assert answer[0].matched[0]["token"] == "bread" and answer[0].channels["sparse"]["rank"] == 1
    assert index.search({"bread": 1.0}, k=1, fields=["title"])[0].fields.keys() == {"title"}


def test_documents_ids_and_description(index):
    assert index.get("bread-05")["title"] == "Why bread goes stale" and "bread-05" in index
    assert "nothing" not in index and len(index) == 320 and len(list(index.ids())) == 320
    assert index.info["channels"] == ["sparse", "bm25"] and index.generation == 1
    with pytest.raises(quarry.errors.NotFoundError, match="no document has the id `nothing`"):
        index.get("nothing")


def test_errors_say_what_and_where(index, tmp_path):
    with pytest.raises(quarry.errors.IndexError) as raised:
        quarry.Index.open(tmp_path / "nothing")
    assert raised.value.code == "no_index" and "build" in raised.value.hint and raised.value.position is None
    with pytest.raises(quarry.errors.InputError) as raised:
        index.batch([{"bread": 1.0}, {"bread": -1.0}])
    assert (raised.value.code, raised.value.position) == ("weights", 1)
    assert pickle.loads(pickle.dumps(raised.value)).position == 1
    for queries in [["a", 7], [("a", "b")], [{"a": "b"}], [{1: 2.0, "a": 1.0}]]:
        with pytest.raises(quarry.errors.InputError):
            index.batch(queries)
    for options in [{"channel": "dens"}, {"method": "best"}, {"k": 0}, {"overlapp": 1}, {"channel": "dense"}]:
        with pytest.raises(quarry.errors.OptionError):
            index.batch(["bread"], **options)
    with pytest.raises(quarry.errors.OptionError):
        index.batch(["bread"], filter="year:[")
    with pytest.raises(quarry.errors.InputError, match="one"):
        index.batch("bread")
    with pytest.raises(quarry.errors.InputError, match="numbers"):
        index.batch(sp.csr_matrix([[0.0, float("nan")]]))
    with pytest.raises(quarry.errors.TimeoutError):
        index.batch(["bread"] * 100, timeout=0.0)


def test_damaged_matrices_are_refused(index):
    matrix = sp.csr_matrix(([1.0], [3], [0, 1]), shape=(1, 9))
    matrix.indptr = np.array([0, 5])
    with pytest.raises(quarry.errors.InputError, match="indptr"):
        index.batch(matrix)


def test_an_index_is_pickled_by_its_path(index):
    again = pickle.loads(pickle.dumps(index))
    assert again.search("bread", k=1).ids == index.search("bread", k=1).ids and again.path == index.path


def test_a_matrix_by_column_is_the_same_queries(index, questions):
    matrix = quarry.Encoder().encode_queries(list(questions.values())[:5])
    wanted = index.batch(matrix, k=5)
    for form in (matrix.tocsc(), matrix.tocoo(), matrix.todok(), matrix.T.tocsr().T):
        assert index.batch(form, k=5).ids == wanted.ids


def test_what_does_not_go_with_the_queries_is_refused(index, questions):
    found = index.batch(list(questions.values())[:3], k=5)
    for qids in (["a"], ["a", "b", "c", "d"], ["a", "b", "a"], {"a", "b", "c"}, "abc"):
        for call in (found.run, found.dicts, found.frame):
            with pytest.raises(quarry.errors.InputError):
                call(qids)
    assert found[0:2] == [found[0], found[1]]
    with pytest.raises(quarry.errors.InputError):
        index.batch(list(questions.values())[:3], k=2**31 - 1).arrays()
    with pytest.raises(quarry.errors.InputError):
        quarry.Encoder().encode_documents("bread")


def test_the_version_is_the_workspaces():
    line = next(x for x in (Path(SAMPLE).parents[1] / "Cargo.toml").read_text().splitlines() if x.startswith("version"))
    assert f'"{quarry.__version__}"' in line
