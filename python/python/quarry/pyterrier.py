"""PyTerrier: an index as transformer and indexer. No Java is started.

>>> import pyterrier as pt
>>> import quarry.pyterrier
>>> index = quarry.pyterrier.Index("notes.quarry")
>>> index.index([{"docno": "a", "text": "The tide turns the mill."}], channel="bm25")
>>> pipeline = index.retriever(channel="bm25") % 10
>>> pipeline.search("tide")
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyterrier as pt

import quarry

__all__ = ["Index", "Retriever"]


class Retriever(pt.Transformer):
    """Ranks documents for queries: ``query`` (text), or ``query_toks`` (weights by token) where the frame has that.

    Adds ``docno``, ``score`` and ``rank`` (from 0) to the columns of the queries. ``options`` are those of
    ``quarry.Index.batch``. A cutoff (``% 10``) reaches the search.
    """

    def __init__(self, index: quarry.Index | str | os.PathLike[str], num_results: int = 1000, **options: Any) -> None:
        super().__init__()
        self.quarry_index = index if isinstance(index, quarry.Index) else quarry.Index.open(index)
        self.num_results = num_results
        self.options = options

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        by_vector = "query_toks" in inp.columns
        pt.validate.query_frame(inp, extra_columns=["query_toks" if by_vector else "query"])
        if by_vector:
            texts = inp["query"].tolist() if "query" in inp.columns else [None] * len(inp)
            queries: list[Any] = [quarry.Query(text, dict(toks)) for text, toks in zip(texts, inp["query_toks"])]
        else:
            queries = inp["query"].tolist()
        found = self.quarry_index.batch(queries, k=self.num_results, **self.options)
        at = [place for place, ids in enumerate(found.ids) for _ in ids]
        result = inp.iloc[at].reset_index(drop=True)
        result["docno"] = [id for ids in found.ids for id in ids]
        result["score"] = [score for scores in found.scores for score in scores]
        result["rank"] = [rank for ids in found.ids for rank in range(len(ids))]
        return result

    def fuse_rank_cutoff(self, k: int) -> Retriever | None:
        """This retriever with fewer results, in place of a cutoff after it."""
        return Retriever(self.quarry_index, k, **self.options) if k < self.num_results else None

    def __repr__(self) -> str:
        return f"quarry.pyterrier.Retriever({str(self.quarry_index.path)!r}, num_results={self.num_results})"


class Index(pt.Artifact, pt.Indexer):
    """An index as an artifact of PyTerrier: ``pt.Artifact.load`` finds it, ``index`` builds it."""

    ARTIFACT_TYPE = "sparse_index"
    ARTIFACT_FORMAT = "quarry"
    ARTIFACT_PACKAGE_HINT = "quarry-search"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        self._opened: quarry.Index | None = None

    @property
    def folder(self) -> Path:
        """The folder of the index itself, beside PyTerrier's own file."""
        return Path(self.path) / "index"

    def built(self) -> bool:
        """Whether there is an index."""
        return (self.folder / "CURRENT").exists()

    def index(self, iter: Iterable[Mapping[str, Any]], **options: Any) -> Index:
        """Builds it of records with ``docno`` and ``text`` or ``toks`` (weights by token); ``title`` and others are kept.

        ``options`` are those of ``quarry.Index.build``.
        """
        self._opened = quarry.Index.build(self.folder, _documents(iter), **options)
        meta = {"type": self.ARTIFACT_TYPE, "format": self.ARTIFACT_FORMAT, "package_hint": self.ARTIFACT_PACKAGE_HINT}
        (Path(self.path) / "pt_meta.json").write_text(json.dumps(meta), encoding="utf-8")
        return self

    def open(self) -> quarry.Index:
        """The index, open."""
        if self._opened is None:
            self._opened = quarry.Index.open(self.folder)
        return self._opened

    def retriever(self, num_results: int = 1000, **options: Any) -> Retriever:
        """A transformer over it; ``options`` are those of ``quarry.Index.batch``."""
        return Retriever(self.open(), num_results, **options)


def _documents(records: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for record in records:
        document = dict(record)
        document["id"] = document.pop("docno")
        if "toks" in document:
            document["vector"] = {token: float(weight) for token, weight in dict(document.pop("toks")).items()}
        yield document
