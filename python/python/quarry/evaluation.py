"""Runs, judgements and measures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from quarry import _native
from quarry.errors import InputError, OptionError

#: A run: by query, pairs (id, score) or scores by id; or the path of a file.
Run = Union[str, "os.PathLike[str]", Mapping[str, Any]]
#: Judgements: by query grades by id; ir_measures' or ir_datasets' qrels; or the path of a file or collection.
Qrels = Union[str, "os.PathLike[str]", Mapping[str, Mapping[str, int]], Iterable[Any]]


@dataclass(frozen=True)
class Evaluation(Mapping[str, float]):
    """The mean of each measure over all judged queries; ``by_query`` has each query's."""

    means: dict[str, float]
    #: Judged queries, in the order of the judgements.
    queries: list[str]
    #: By measure: one number a query, in that order.
    by_query: dict[str, list[float]]

    def __getitem__(self, measure: str) -> float:
        return self.means[measure]

    def __iter__(self) -> Any:
        return iter(self.means)

    def __len__(self) -> int:
        return len(self.means)

    def __str__(self) -> str:
        return "\n".join(f"{measure}  {mean:.4f}" for measure, mean in self.means.items())


def evaluate(
    run: Run,
    qrels: Qrels,
    measures: Sequence[str] = ("nDCG@10", "R@100"),
    *,
    split: str = "test",
    ignore_identical_ids: bool = False,
) -> Evaluation:
    """Measures of a run, as ``quarry eval`` computes them: a judged query without a ranking counts zero.

    ``run``: ``{query: [(id, score)]}``, ``{query: {id: score}}`` or the path of a run. ``qrels``: ``{query: {id: grade}}``,
    an iterable of ir_measures' or ir_datasets' qrels, or a path; of a collection's folder, those of ``split``. Of equal
    scores the id that is larger bytewise stands first, which is trec_eval's order.
    """
    if isinstance(measures, str):
        measures = [measures]
    means, queries, values = _native.evaluate(
        _rankings(run), _grades(qrels, split), [str(measure) for measure in measures], ignore_identical_ids
    )
    names = [name for name, _ in means]
    return Evaluation(dict(means), queries, dict(zip(names, values)))


def fuse(
    runs: Sequence[Run],
    *,
    weights: Sequence[float] | None = None,
    method: str = "max",
    window: int = 1000,
    rrf_k: float = 60.0,
    k: int = 1000,
) -> dict[str, list[tuple[str, float]]]:
    """One run of several, as ``quarry fuse`` makes it: the ``k`` best of each query, best first.

    ``weights``: one a run, by default 1; ``method``: ``max``, ``minmax``, ``z`` or ``rrf``, with ``rrf_k``; ``window``:
    hits of each ranking that are fused.
    """
    if weights is None:
        weights = [1.0] * len(runs)
    if len(weights) != len(runs):
        raise OptionError(f"{len(weights)} weights for {len(runs)} runs", "invalid_option")
    given = [(_rankings(run), float(weight)) for run, weight in zip(runs, weights)]
    return dict(_native.fuse(given, method, window, rrf_k, k))


def read_run(path: str | os.PathLike[str]) -> dict[str, list[tuple[str, float]]]:
    """A run from a file of TREC's, MS MARCO's or JSON's form, plain or compressed."""
    return dict(_native.read_run(os.fspath(path)))


def read_qrels(path: str | os.PathLike[str], split: str = "test") -> dict[str, dict[str, int]]:
    """Judgements from a file, or those of a split from the folder of a collection."""
    return {query: dict(grades) for query, grades in _native.read_qrels(os.fspath(path), split)}


def read_queries(path: str | os.PathLike[str], split: str | None = "test") -> dict[str, str]:
    """Texts by id from a file of queries, or those that a split judges from the folder of a collection; None: all."""
    return dict(_native.read_queries(os.fspath(path), split))


def _rankings(run: Run) -> list[tuple[str, list[tuple[str, float]]]]:
    if isinstance(run, (str, os.PathLike)):
        return _native.read_run(os.fspath(run))
    if not isinstance(run, Mapping):
        raise InputError(f"a run is a dict by query or a path; found {type(run).__name__}", "invalid_input")
    return [
        (str(query), [(str(id), float(score)) for id, score in (hits.items() if isinstance(hits, Mapping) else hits)])
        for query, hits in run.items()
    ]


def _grades(qrels: Qrels, split: str) -> list[tuple[str, list[tuple[str, int]]]]:
    if isinstance(qrels, (str, os.PathLike)):
        return _native.read_qrels(os.fspath(qrels), split)
    if isinstance(qrels, Mapping):
        return [
            (str(query), [(str(id), int(grade)) for id, grade in grades.items()]) for query, grades in qrels.items()
        ]
    by_query: dict[str, list[tuple[str, int]]] = {}
    for qrel in qrels:
        by_query.setdefault(str(qrel.query_id), []).append((str(qrel.doc_id), int(qrel.relevance)))
    return list(by_query.items())
