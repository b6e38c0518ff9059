"""Measures and fusion equal the binary's."""

from __future__ import annotations

import json
from collections import namedtuple

import pytest
from conftest import SAMPLE, run_of

import quarry

MEASURES = ["nDCG@10", "R@100", "RR@10", "AP", "P@5"]


@pytest.fixture(scope="module")
def runs(index, questions, tmp_path_factory, command):
    """The run of each channel, and its file."""
    folder = tmp_path_factory.mktemp("runs")
    runs = {}
    for channel in ("sparse", "bm25"):
        path = folder / channel
        command("search", index.path, "--queries", SAMPLE, "-k", 100, "--channel", channel, "--run", path)
        runs[channel] = (index.batch(list(questions.values()), k=100, channel=channel).run(questions), path)
    return runs


def test_measures_equal_the_binary(runs, command):
    run, path = runs["sparse"]
    shown = json.loads(
        command("eval", "--run", path, "--qrels", SAMPLE / "qrels/test.tsv", "--measures", ",".join(MEASURES), "--json")
    )
    for given in (run, path, {query: dict(hits) for query, hits in run.items()}):
        found = quarry.evaluate(given, SAMPLE, MEASURES)
        assert {name: found[name] for name in MEASURES} == {name: shown[name] for name in MEASURES}
    assert list(found) == MEASURES and "nDCG@10  0.49" in str(found)
    assert sum(found.by_query["AP"]) / len(found.queries) == pytest.approx(found["AP"])


def test_judgements_in_other_forms(runs):
    run, _ = runs["sparse"]
    qrels = quarry.read_qrels(SAMPLE)
    Qrel = namedtuple("Qrel", ["query_id", "doc_id", "relevance"])
    listed = [Qrel(query, id, grade) for query, grades in qrels.items() for id, grade in grades.items()]
    wanted = quarry.evaluate(run, SAMPLE)["nDCG@10"]
    assert quarry.evaluate(run, qrels)["nDCG@10"] == wanted == quarry.evaluate(run, iter(listed))["nDCG@10"]


def test_a_query_without_a_ranking_counts_zero():
    found = quarry.evaluate({"1": [("a", 1.0)]}, {"1": {"a": 1}, "2": {"b": 1}}, ["nDCG@10"])
    assert found["nDCG@10"] == 0.5 and found.queries == ["1", "2"]


def test_fused_runs_equal_the_binary(runs, command):
    (sparse, sparse_file), (bm25, bm25_file) = runs["sparse"], runs["bm25"]
    for method in ("max", "minmax", "z", "rrf"):
        wanted = run_of(
            command("fuse", sparse_file, bm25_file, "--weights", "1,0.3", "--fusion", method)
        )
        assert quarry.fuse([sparse, bm25], weights=[1, 0.3], method=method) == wanted


def test_what_is_wrong_is_said():
    with pytest.raises(quarry.errors.OptionError, match="nDCG"):
        quarry.evaluate({}, {"1": {"a": 1}}, ["nDCGx@10"])
    with pytest.raises(quarry.errors.InputError, match="twice") as raised:
        quarry.evaluate({"1": [], "2": [("a", 1.0), ("a", 2.0)]}, {"1": {"a": 1}})
    assert raised.value.position == 1
    with pytest.raises(quarry.errors.OptionError):
        quarry.fuse([{}, {}], weights=[1])
    with pytest.raises(quarry.errors.OptionError):
        quarry.fuse([{}], method="sum")
    with pytest.raises(quarry.errors.InputError):
        quarry.read_run("nothing")
