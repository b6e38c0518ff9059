"""LangChain, LlamaIndex and Haystack find what the index finds."""

from __future__ import annotations

import pytest

import quarry

QUERY = "why does bread go stale"


def measured(ranked, questions, qrels):
    run = {query: [(id, -at) for at, id in enumerate(ranked(text))] for query, text in questions.items()}
    return quarry.evaluate(run, qrels)["nDCG@10"]


def test_langchain(index, folder, figures, questions, qrels):
    pytest.importorskip("langchain_core")
    from quarry.langchain import QuarryRetriever

    retriever = QuarryRetriever(index=index, k=100)
    found = retriever.invoke(QUERY)
    assert found[0].id == "bread-05" and found[0].metadata["title"] == "Why bread goes stale"
    assert "starch" in found[0].page_content and len(retriever.invoke(QUERY, k=2)) == 2
    assert len(QuarryRetriever(index=str(folder), k=1).invoke(QUERY)) == 1
    ndcg = measured(lambda text: [document.id for document in retriever.invoke(text)], questions, qrels)
    assert ndcg == pytest.approx(figures["sparse"]["nDCG@10"], abs=1e-6)


def test_llamaindex(index, figures, questions, qrels):
    pytest.importorskip("llama_index.core")
    from quarry.llamaindex import QuarryRetriever

    retriever = QuarryRetriever(index, similarity_top_k=100)
    found = retriever.retrieve(QUERY)
    assert found[0].node.node_id == "bread-05" and found[0].score == index.search(QUERY, 1)[0].score
    ndcg = measured(lambda text: [node.node.node_id for node in retriever.retrieve(text)], questions, qrels)
    assert ndcg == pytest.approx(figures["sparse"]["nDCG@10"], abs=1e-6)


def test_haystack(index, figures, questions, qrels):
    haystack = pytest.importorskip("haystack")
    from quarry.haystack import QuarryRetriever

    pipeline = haystack.Pipeline()
    pipeline.add_component("retriever", QuarryRetriever(index, top_k=100))
    again = haystack.Pipeline.loads(pipeline.dumps(), allowed_modules=["quarry.haystack"])

    def ranked(text):
        return [document.id for document in again.run({"retriever": {"query": text}})["retriever"]["documents"]]

    assert ranked(QUERY)[0] == "bread-05"
    assert measured(ranked, questions, qrels) == pytest.approx(figures["sparse"]["nDCG@10"], abs=1e-6)
