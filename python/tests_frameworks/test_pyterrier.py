"""PyTerrier runs the experiment, and gets the figures of `quarry eval`."""

from __future__ import annotations

import pandas as pd
import pytest

pt = pytest.importorskip("pyterrier")

from ir_measures import R, nDCG  # noqa: E402

import quarry.pyterrier  # noqa: E402


@pytest.fixture(scope="module")
def topics(questions):
    return pd.DataFrame({"qid": list(questions), "query": list(questions.values())})


@pytest.fixture(scope="module")
def judged(qrels):
    rows = [(query, id, grade) for query, grades in qrels.items() for id, grade in grades.items()]
    return pd.DataFrame(rows, columns=["qid", "docno", "label"])


def test_an_experiment_has_the_figures_of_eval(index, figures, topics, judged):
    retrievers = [quarry.pyterrier.Retriever(index, 100, channel=channel) for channel in ("sparse", "bm25")]
    found = pt.Experiment(retrievers, topics, judged, [nDCG @ 10, R @ 100], names=["sparse", "bm25"]).set_index("name")
    for channel in ("sparse", "bm25"):
        for measure in ("nDCG@10", "R@100"):
            assert found.loc[channel, measure] == pytest.approx(figures[channel][measure], abs=1e-6)
    assert not pt.java.started()


def test_pipelines(index, topics):
    sparse = quarry.pyterrier.Retriever(index, 100, channel="sparse")
    ten = (sparse % 10).compile()
    assert isinstance(ten, quarry.pyterrier.Retriever) and ten.num_results == 10
    found = (sparse % 10)(topics.assign(kept="x"))
    first = found[found.qid == topics.qid[0]]
    assert first["rank"].tolist() == list(range(10)) and set(found["kept"]) == {"x"}
    assert first["docno"].tolist() == index.batch([topics["query"][0]], k=10).ids[0]
    # Fused by PyTerrier; then a second transformer.
    both = (sparse + 0.3 * quarry.pyterrier.Retriever(index, 100, channel="bm25")) % 5
    assert both(topics).groupby("qid").size().max() == 5
    kept = sparse >> pt.apply.doc_score(lambda row: -row["score"])
    assert len(kept(topics)) == len(sparse(topics))
    by_vector = sparse(pd.DataFrame({"qid": ["1"], "query_toks": [{"bread": 1.0}]}))
    assert by_vector["docno"].tolist() == index.batch([{"bread": 1.0}], k=100).ids[0]
    assert len(sparse(topics.iloc[:0])) == 0


def test_an_artifact_is_built_and_loaded(tmp_path, corpus):
    made = quarry.pyterrier.Index(tmp_path / "words.quarry")
    assert not made.built()
    records = ({"docno": id, **record} for id, record in corpus.items())
    made.index(records, channel="bm25")
    assert made.built()
    loaded = pt.Artifact.load(str(tmp_path / "words.quarry"))
    assert isinstance(loaded, quarry.pyterrier.Index)
    found = loaded.retriever(3, channel="bm25").search("bread and salt")
    assert len(found) == 3
    vectors = quarry.pyterrier.Index(tmp_path / "vectors.quarry")
    vectors.index([{"docno": "a", "toks": {"x": 1.0}}, {"docno": "b", "toks": {"y": 2.0}}])
    assert vectors.retriever(2)(pd.DataFrame({"qid": ["1"], "query_toks": [{"y": 1.0}]}))["docno"].tolist() == ["b"]
