"""LlamaIndex: a retriever over an index.

>>> from quarry.llamaindex import QuarryRetriever
>>> QuarryRetriever("notes.qry", similarity_top_k=5).retrieve("why does bread go stale")
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

import quarry

__all__ = ["QuarryRetriever"]


class QuarryRetriever(BaseRetriever):
    """Nodes of an index, best first: the text, and the title and other ``fields`` as metadata. ``options`` are those of
    ``quarry.Index.search``."""

    def __init__(
        self,
        index: quarry.Index | str | os.PathLike[str],
        similarity_top_k: int = 10,
        fields: Sequence[str] = (),
        callback_manager: Any = None,
        **options: Any,
    ) -> None:
        self._index = index if isinstance(index, quarry.Index) else quarry.Index.open(index)
        self._k = similarity_top_k
        self._options = {"fields": ["title", "text", *fields], **options}
        super().__init__(callback_manager=callback_manager)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        nodes = []
        for hit in self._index.search(query_bundle.query_str, self._k, **self._options):
            metadata = {name: value for name, value in hit.fields.items() if name != "text"}
            nodes.append(NodeWithScore(node=TextNode(id_=hit.id, text=hit.text, metadata=metadata), score=hit.score))
        return nodes
