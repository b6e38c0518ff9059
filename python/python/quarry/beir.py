"""BEIR: a searcher for ``beir.retrieval.evaluation.EvaluateRetrieval``.

>>> from beir.retrieval.evaluation import EvaluateRetrieval
>>> import quarry.beir
>>> retriever = EvaluateRetrieval(quarry.beir.Search(), score_function="dot")
>>> results = retriever.retrieve(corpus, queries)
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import Any

import quarry

__all__ = ["Search"]


class Search:
    """Indexes the corpus that it is given, or searches an index that is there, and ranks queries.

    ``index``: an index of the corpus; without it one is built in a temporary folder, of the channels that ``build`` says
    (options of ``quarry.Index.build``). ``options`` are those of ``quarry.Index.batch``. Results are dicts, which keep no
    order of equal scores: pytrec_eval puts them in its own.
    """

    def __init__(
        self,
        index: quarry.Index | str | os.PathLike[str] | None = None,
        *,
        build: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.index = quarry.Index.open(index) if isinstance(index, (str, os.PathLike)) else index
        self.build = dict(build or {})
        self.options = options
        self.results: dict[str, dict[str, float]] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def search(
        self,
        corpus: Mapping[str, Mapping[str, str]],
        queries: Mapping[str, str],
        top_k: int,
        score_function: str = "dot",
        **kwargs: Any,
    ) -> dict[str, dict[str, float]]:
        """The ``top_k`` best for each query; ``score_function`` is ``dot``, the only one."""
        if score_function not in ("dot", None):
            raise quarry.errors.OptionError(
                f"score_function {score_function!r}: sparse vectors are compared by dot product", "score_function"
            )
        if self.index is None:
            self._folder = tempfile.TemporaryDirectory(prefix="quarry-beir-")
            documents = (
                {"id": id, "title": record.get("title") or "", "text": record.get("text") or ""}
                for id, record in corpus.items()
            )
            self.index = quarry.Index.build(os.path.join(self._folder.name, "index"), documents, **self.build)
        found = self.index.batch(list(queries.values()), k=top_k, **self.options)
        self.results = found.dicts(queries)
        return self.results
