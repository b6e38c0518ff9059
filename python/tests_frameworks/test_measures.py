"""ir_measures, BEIR's evaluation and Pyserini's names get the figures of `quarry eval`."""

from __future__ import annotations

import pytest

import quarry
import quarry.ir
from quarry.pyserini import LuceneImpactSearcher, LuceneSearcher


@pytest.mark.parametrize("channel", ["sparse", "bm25"])
def test_ir_measures(index, figures, questions, qrels, channel):
    ir_measures = pytest.importorskip("ir_measures")
    found = index.batch(list(questions.values()), k=100, channel=channel)
    measures = [ir_measures.nDCG @ 10, ir_measures.R @ 100]
    judged = [ir_measures.Qrel(query, id, grade) for query, grades in qrels.items() for id, grade in grades.items()]
    means = ir_measures.calc_aggregate(measures, judged, quarry.ir.scored_docs(found, questions))
    for measure, mean in means.items():
        assert mean == pytest.approx(figures[channel][str(measure)], abs=1e-6)
    assert quarry.evaluate(found.run(questions), judged)["nDCG@10"] == pytest.approx(figures[channel]["nDCG@10"])


@pytest.mark.parametrize("channel, searcher", [("sparse", LuceneImpactSearcher), ("bm25", LuceneSearcher)])
def test_pyserinis_names(folder, figures, questions, qrels, channel, searcher):
    searcher = searcher(str(folder))
    hits = searcher.batch_search(list(questions.values()), list(questions), k=100, threads=2)
    run = {query: [(hit.docid, hit.score) for hit in some] for query, some in hits.items()}
    assert quarry.evaluate(run, qrels)["nDCG@10"] == pytest.approx(figures[channel]["nDCG@10"], abs=1e-6)
    one = searcher.search(questions["q01"], k=3)
    assert [hit.docid for hit in one] == [hit.docid for hit in hits["q01"][:3]]
    assert searcher.doc("bread-05").get("title") == "Why bread goes stale" and searcher.doc("nothing") is None
    assert "starch" in searcher.doc("bread-05").contents() and searcher.num_docs == 320


def test_beirs_evaluation(index, figures, corpus, questions, qrels):
    evaluation = pytest.importorskip("beir.retrieval.evaluation")
    import quarry.beir

    for channel in ("sparse", "bm25"):
        retriever = evaluation.EvaluateRetrieval(
            quarry.beir.Search(index, channel=channel), k_values=[10, 100], score_function="dot"
        )
        results = retriever.retrieve(corpus, questions)
        ndcg, _, recall, _ = retriever.evaluate(qrels, results, [10, 100])
        # BEIR rounds to five digits.
        assert ndcg["NDCG@10"] == pytest.approx(figures[channel]["nDCG@10"], abs=1e-5)
        assert recall["Recall@100"] == pytest.approx(figures[channel]["R@100"], abs=1e-5)
    built = quarry.beir.Search(build={"channel": "bm25"}).search(corpus, questions, 10, "dot")
    assert len(built) == len(questions)
