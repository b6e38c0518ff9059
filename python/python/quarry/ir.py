"""ir_datasets in, ir_measures out.

>>> import ir_datasets, ir_measures, quarry, quarry.ir
>>> dataset = ir_datasets.load("beir/nfcorpus/test")
>>> index = quarry.Index.build("nfcorpus.qry", dataset.docs_iter())
>>> questions = quarry.ir.queries(dataset)
>>> found = index.batch(list(questions.values()), k=100)
>>> ir_measures.calc_aggregate([ir_measures.nDCG @ 10], dataset.qrels_iter(), quarry.ir.scored_docs(found, questions))
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from quarry.results import Batch

__all__ = ["queries", "scored_docs"]


def queries(dataset: Any) -> dict[str, str]:
    """The texts of a dataset's queries, by id."""
    return {
        query.query_id: query.text if hasattr(query, "text") else query.default_text() for query in dataset.queries_iter()
    }


def scored_docs(found: Batch, qids: Iterable[str]) -> Iterator[Any]:
    """What a batch found, as ir_measures takes it. Scores that tie are put in trec_eval's order there, which is ours."""
    from ir_measures import ScoredDoc

    for qid, hits in zip(found._named(qids), found):
        for id, score in hits:
            yield ScoredDoc(qid, id, score)
