"""MTEB: a model of its search protocol (``mteb.evaluate(quarry.mteb.Search(), tasks)``)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import Any

import quarry

__all__ = ["Search"]


class Search:
    """Indexes a task's corpus in a temporary folder, and ranks its queries.

    ``build`` are options of ``quarry.Index.build``, ``options`` those of ``quarry.Index.batch``. ``name`` is what MTEB
    calls the model.
    """

    def __init__(self, *, name: str = "quarry/quarry-mini", build: Mapping[str, Any] | None = None, **options: Any) -> None:
        self.name = name
        self.build = dict(build or {})
        self.options = options
        self.index_: quarry.Index | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def mteb_model_meta(self) -> Any:
        """What MTEB records of it."""
        from mteb.models.model_meta import ModelMeta

        return ModelMeta.create_empty({"name": self.name, "revision": quarry.__version__})

    def index(self, corpus: Any, **_: Any) -> None:
        """Indexes a corpus: records with ``id``, ``text`` and ``title``."""
        self._folder = tempfile.TemporaryDirectory(prefix="quarry-mteb-")
        documents = (
            {"id": str(record["id"]), "title": record.get("title") or "", "text": record.get("text") or ""}
            for record in corpus
        )
        self.index_ = quarry.Index.build(os.path.join(self._folder.name, "index"), documents, **self.build)

    def search(
        self, queries: Any, *, top_k: int, top_ranked: Mapping[str, list[str]] | None = None, **_: Any
    ) -> dict[str, dict[str, float]]:
        """The ``top_k`` best for each query: records with ``id`` and ``text``."""
        if self.index_ is None:
            raise quarry.QuarryError("index() comes before search()", "no_index")
        if top_ranked is not None:
            raise quarry.errors.OptionError("reranking of given candidates is not supported", "top_ranked")
        ids = [str(record["id"]) for record in queries]
        found = self.index_.batch([record["text"] for record in queries], k=top_k, **self.options)
        return found.dicts(ids)
