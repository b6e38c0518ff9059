"""LangChain: a retriever over an index.

>>> from quarry.langchain import QuarryRetriever
>>> retriever = QuarryRetriever(index="notes.qry", k=5)
>>> retriever.invoke("why does bread go stale")
"""

from __future__ import annotations

import os
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, PrivateAttr

import quarry

__all__ = ["QuarryRetriever"]


class QuarryRetriever(BaseRetriever):
    """Documents of an index, best first: the text as content; the other stored fields, ``id`` and ``score`` as metadata.

    ``index`` is an open index or its path, ``options`` those of ``quarry.Index.search``. ``fields`` are the stored fields
    wanted beside title and text.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    index: Any
    k: int = 10
    fields: list[str] = []
    options: dict[str, Any] = {}
    _open: quarry.Index = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        opened = isinstance(self.index, quarry.Index)
        self._open = self.index if opened else quarry.Index.open(os.fspath(self.index))

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None, **options: Any
    ) -> list[Document]:
        fields = ["title", "text", *self.fields]
        answer = self._open.search(query, self.k if k is None else k, **{"fields": fields, **self.options, **options})
        documents = []
        for hit in answer:
            rest = {name: value for name, value in hit.fields.items() if name != "text"}
            documents.append(
                Document(id=hit.id, page_content=hit.text, metadata={**rest, "id": hit.id, "score": hit.score})
            )
        return documents
