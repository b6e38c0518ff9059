"""Haystack: a component that retrieves from an index.

>>> from quarry.haystack import QuarryRetriever
>>> QuarryRetriever("notes.qry", top_k=5).run(query="why does bread go stale")["documents"]
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict

import quarry

__all__ = ["QuarryRetriever"]


@component
class QuarryRetriever:
    """Documents of an index, best first: the text as content, the title and other ``fields`` as meta. ``options`` are those
    of ``quarry.Index.search``; ``filter`` is Quarry's own expression."""

    def __init__(
        self,
        index: quarry.Index | str | os.PathLike[str],
        top_k: int = 10,
        fields: Sequence[str] = (),
        options: dict[str, Any] | None = None,
    ) -> None:
        self.index = index if isinstance(index, quarry.Index) else quarry.Index.open(index)
        self.top_k = top_k
        self.fields = list(fields)
        self.options = dict(options or {})

    @component.output_types(documents=list[Document])
    def run(self, query: str, top_k: int | None = None, filter: str | None = None) -> dict[str, list[Document]]:
        """Searches."""
        options = {"fields": ["title", "text", *self.fields], **self.options}
        if filter is not None:
            options["filter"] = filter
        documents = []
        for hit in self.index.search(query, top_k or self.top_k, **options):
            meta = {name: value for name, value in hit.fields.items() if name != "text"}
            documents.append(Document(id=hit.id, content=hit.text, meta=meta, score=hit.score))
        return {"documents": documents}

    def to_dict(self) -> dict[str, Any]:
        """For a pipeline's file: the index by its path."""
        path = str(self.index.path)
        return default_to_dict(self, index=path, top_k=self.top_k, fields=self.fields, options=self.options)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> QuarryRetriever:
        """From a pipeline's file."""
        return default_from_dict(cls, data)
