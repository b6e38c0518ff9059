"""The names of Pyserini's searchers over an index of Quarry: a script changes its import and its index. No Java.

>>> from quarry.pyserini import LuceneSearcher
>>> searcher = LuceneSearcher("notes.qry")
>>> for hit in searcher.search("why does bread go stale", k=3):
...     print(hit.docid, hit.score)
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import quarry
from quarry.errors import NotFoundError, OptionError

__all__ = ["Document", "Hit", "LuceneImpactSearcher", "LuceneSearcher"]


@dataclass(frozen=True)
class Hit:
    """A hit: ``docid`` and ``score``."""

    docid: str
    score: float


class Document:
    """A stored document."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def docid(self) -> str:
        """Its id."""
        return str(self._fields["id"])

    id = docid

    def contents(self) -> str:
        """Title and text."""
        parts = (self._fields.get("title"), self._fields.get("text"))
        return "\n".join(str(part) for part in parts if part)

    def raw(self) -> str:
        """All fields as JSON."""
        return json.dumps(self._fields, ensure_ascii=False)

    def get(self, field: str) -> str | None:
        """A field as text; None if it has none of that name."""
        value = self._fields.get(field)
        return None if value is None else str(value)


class _Searcher:
    def __init__(self, index: str | os.PathLike[str] | quarry.Index, options: dict[str, Any]) -> None:
        self.index = index if isinstance(index, quarry.Index) else quarry.Index.open(index)
        self._options = options

    def search(self, query: Any, k: int = 10, fields: Mapping[str, float] | None = None, **options: Any) -> list[Hit]:
        """The k best."""
        return self.batch_search([query], ["q"], k, fields=fields, **options)["q"]

    def batch_search(
        self,
        queries: Sequence[Any],
        qids: Sequence[str],
        k: int = 10,
        threads: int = 1,
        fields: Mapping[str, float] | None = None,
        **options: Any,
    ) -> dict[str, list[Hit]]:
        """The k best of each query by its id. All threads of the package are used, whatever ``threads`` says."""
        if fields:
            raise OptionError("fields have no weights of their own: title and text are searched together", "fields")
        found = self.index.batch(list(queries), k=k, **{**self._options, **options})
        return {qid: [Hit(id, score) for id, score in hits] for qid, hits in zip(qids, found)}

    def doc(self, docid: str) -> Document | None:
        """A stored document; None if there is none of that id."""
        try:
            return Document(self.index.get(docid))
        except NotFoundError as error:
            if error.code == "unknown_document":
                return None
            raise

    def batch_doc(self, docids: Sequence[str], threads: int = 1) -> dict[str, Document]:
        """Stored documents by id, without those that are not there."""
        found = ((docid, self.doc(docid)) for docid in docids)
        return {docid: document for docid, document in found if document is not None}

    @property
    def num_docs(self) -> int:
        """How many documents there are."""
        return len(self.index)

    def close(self) -> None:
        """Nothing is to be done."""

    @classmethod
    def from_prebuilt_index(cls, name: str) -> Any:
        """Pyserini's own indexes are Lucene's, which are not read."""
        raise OptionError(
            f"{name} is an index of Lucene's, which is not read",
            "prebuilt_index",
            "`quarry dataset pull` fetches a collection, quarry.Index.build indexes it",
        )


class LuceneSearcher(_Searcher):
    """Searches words by BM25, with Pyserini's k1 0.9 and b 0.4 unless set."""

    def __init__(self, index_dir: str | os.PathLike[str] | quarry.Index) -> None:
        super().__init__(index_dir, {"channel": "bm25"})

    def set_bm25(self, k1: float = 0.9, b: float = 0.4) -> None:
        """Sets BM25's parameters."""
        self._options.update(k1=k1, b=b)

    def set_rm3(self, fb_terms: int = 10, fb_docs: int = 10, original_query_weight: float = 0.5) -> None:
        """Searches twice, with RM3 in between."""
        self._options["feedback"] = {"terms": fb_terms, "depth": fb_docs, "weight": 1 - original_query_weight}

    def unset_rm3(self) -> None:
        """Searches once."""
        self._options.pop("feedback", None)

    def is_using_rm3(self) -> bool:
        """Whether searches are made twice."""
        return "feedback" in self._options


class LuceneImpactSearcher(_Searcher):
    """Searches learned sparse vectors: queries are texts, which the index's model encodes, or weights by token.

    ``query_encoder`` may be anything with ``encode(text)`` that gives weights by token; ``min_idf`` must be 0.
    """

    def __init__(
        self,
        index_dir: str | os.PathLike[str] | quarry.Index,
        query_encoder: Any = None,
        min_idf: float = 0,
        **options: Any,
    ) -> None:
        if min_idf:
            raise OptionError("min_idf is not supported: leave it at 0", "min_idf")
        super().__init__(index_dir, {"channel": "sparse", **options})
        self._encoder = query_encoder

    def batch_search(
        self,
        queries: Sequence[Any],
        qids: Sequence[str],
        k: int = 10,
        threads: int = 1,
        fields: Mapping[str, float] | None = None,
        **options: Any,
    ) -> dict[str, list[Hit]]:
        """The k best of each query by its id."""
        if self._encoder is not None:
            encode = self._encoder.encode
            queries = [encode(query) if isinstance(query, str) else query for query in queries]
        return super().batch_search(queries, qids, k, threads, fields, **options)
