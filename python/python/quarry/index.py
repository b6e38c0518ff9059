"""An index: opened, built, changed and searched."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from quarry import _documents, _native, _places, queries as _queries
from quarry.errors import InputError
from quarry.results import Answer, Batch

__all__ = ["Index"]

#: Documents of an index: a path; dicts, pairs (id, text) or objects of ir_datasets; or a sparse matrix.
Documents = Any


class Index:
    """An index of documents, open for searches.

    ``Index.open`` opens a folder, ``Index.build`` builds one. Threads can share an index: searches run without Python's
    lock. A forked child can go on using it, and pickling keeps its path and options, so that a process started elsewhere
    opens it for itself. A search sees one generation; changes made by this object are seen by its later searches, those of
    other processes after ``reload()``.
    """

    def __init__(self, path: str | os.PathLike[str], options: dict[str, Any]) -> None:
        self._path = Path(path)
        self._options = options
        self._native = _native.Index(self._path, json.dumps({**options, "sources": _places.sources()}))
        # Of the generation that is searched, made when they are needed.
        self._terms: dict[str, int] | None = None
        self._shown: list[str] | None = None

    # -- opening and building ------------------------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        verify: bool = True,
        preload: bool = False,
        model: str | None = None,
        device: str = "cpu",
        rerank: bool = False,
        token_model: str | None = None,
        rerank_device: str = "cpu",
        dense_model: str | None = None,
    ) -> Index:
        """Opens an index.

        ``verify`` compares checksums, which reads every byte once; ``preload`` copies vectors and lists into memory.
        ``model`` is the model of queries, a folder or a name such as ``org/name``; it is needed only if queries go through
        a network and the model is not where it was when the index was built. ``device`` runs that network (``cpu``,
        ``cuda``). ``rerank`` opens token embeddings, for ``search(..., rerank=True)``; they are scored on
        ``rerank_device``, and queries' are made by ``token_model`` (by default ``model``, else the bundled one).
        ``dense_model`` makes dense vectors of queries; by default the one that the index records.

        Raises ``quarry.errors.IndexError`` if there is no index or a file is damaged, ``ModelError`` if a model is
        missing or is not the one that encoded the documents.
        """
        options = {
            "verify": verify,
            "preload": preload,
            "model": model,
            "device": device,
            "rerank": rerank,
            "token_model": token_model,
            "rerank_device": rerank_device,
            "dense_model": dense_model,
        }
        return cls(path, options)

    @classmethod
    def build(
        cls,
        path: str | os.PathLike[str],
        documents: Documents,
        *,
        ids: Sequence[str] | None = None,
        texts: Sequence[str] | None = None,
        vocabulary: Sequence[str] | None = None,
        channel: str = "sparse",
        model: str | None = None,
        device: str = "cpu",
        sessions: int | None = None,
        max_tokens: int | None = None,
        top_k: int | None = None,
        passages: tuple[int, int] | None = None,
        provenance: bool = False,
        fields: Mapping[str, str] | None = None,
        tokens: bool = False,
        token_model: str | None = None,
        dense: bool = False,
        dense_model: str | None = None,
        dense_dims: int | None = None,
        tune: bool = True,
        memory: int | None = None,
        overwrite: bool = False,
        resume: bool = False,
        **opening: Any,
    ) -> Index:
        """Builds an index in the folder ``path`` and opens it; the arguments of ``open`` may follow.

        ``documents`` is one of

        * an iterable, which may be a generator, of dicts (``id``, ``text``, ``title``, ``vector``, any other fields), of
          pairs (id, text), or of ir_datasets' objects;
        * a sparse matrix of scipy with a row a document, with ``ids`` (by default the rows' numbers), ``texts`` to store
          and search by words, and ``vocabulary``, the token of each column; without it columns are term numbers;
        * the path of a collection, as the command ``quarry index`` takes it.

        Texts are encoded by ``model`` (by default the bundled one), or with ``channel="bm25"`` only their words are
        indexed; vectors are indexed as given; the first document says whether there are any, and a
        vector after one without is passed over. ``passages=(tokens, overlap)`` splits long texts. ``fields`` gives types to
        other fields (keyword, integer, float, date, bool). ``tokens`` and ``dense`` also store token embeddings and dense
        vectors. ``tune`` lets the index measure itself at the end. ``memory`` bounds buffers, in bytes.

        Ctrl-C ends a build of an iterable when what was read ahead is encoded; one of a path goes on to its end. After a crash
        ``resume=True`` goes on, if the documents are those of a path. Raises ``RefusedError`` if there is an index already and ``overwrite`` is not set.
        """
        how = {
            "overwrite": overwrite,
            "resume": resume,
            "texts_as": channel,
            "encoding": {
                "model": model,
                "device": device,
                "sessions": sessions,
                "max_tokens": max_tokens,
                "top_k": top_k,
                "passages": passages,
                "provenance": provenance,
            },
            "fields": dict(fields or {}),
            "memory": memory,
            "tokens": tokens,
            "token_model": token_model,
            "dense": dense,
            "dense_model": dense_model,
            "dense_dims": dense_dims,
            "tune": tune,
            "sources": _places.sources(),
        }
        given = _given(documents, ids, texts, vocabulary)
        _native.build(Path(path), *given, json.dumps(how))
        if tokens:
            opening.setdefault("token_model", token_model)
        if dense_model is not None:
            opening.setdefault("dense_model", dense_model)
        return cls.open(path, **opening)

    def add(
        self,
        documents: Documents,
        *,
        ids: Sequence[str] | None = None,
        texts: Sequence[str] | None = None,
        vocabulary: Sequence[str] | None = None,
        model: str | None = None,
        device: str = "cpu",
        sessions: int | None = None,
        tokens: bool = True,
        dense: bool = True,
        merge: bool = True,
    ) -> dict[str, Any]:
        """Adds documents, given as to ``build``; one whose id is there replaces it. Returns a report.

        Texts are encoded as the index was built, by the model that it records if ``model`` is not given. ``tokens=False``
        and ``dense=False`` leave out token embeddings and dense vectors that the index has; ``merge=False`` leaves small
        segments as they are. Nothing is added if anything fails.
        """
        how = {
            "encoding": {"model": model, "device": device, "sessions": sessions},
            "tokens": tokens,
            "dense": dense,
            "merge": merge,
            "sources": _places.sources(),
        }
        given = _given(documents, ids, texts, vocabulary)
        return self._changed(_native.add(self._path, *given, json.dumps(how)))

    def delete(self, ids: Iterable[str]) -> dict[str, Any]:
        """Deletes documents by id. Returns a report: ``deleted`` counts them, ``unknown`` lists ids that no document has."""
        if isinstance(ids, str):
            ids = [ids]
        return self._changed(_native.delete(self._path, list(ids)))

    def merge(self, *, memory: int | None = None) -> dict[str, Any] | None:
        """Merges all segments into one without the deleted documents. Returns a report; None if there is nothing to do."""
        return self._changed(_native.merge(self._path, memory))

    def _changed(self, report: str) -> Any:
        self.reload()
        return json.loads(report)

    def reload(self) -> bool:
        """Opens the newest generation, if another process committed one. Says whether there was one."""
        self._terms = self._shown = None
        return self._native.reload()

    # -- searching -----------------------------------------------------------------------------------------------

    def search(self, query: Any, k: int = 10, **options: Any) -> Answer:
        """The ``k`` best documents for one query.

        ``query`` is a text, ``{token: weight}``, ``{term number: weight}``, or ``quarry.Query`` with several of these. It
        takes the options of ``batch``, and

        * ``fields``: stored fields wanted with each hit, by default title and text;
        * ``explain``: each hit tells the tokens that matched.
        """
        if self._shown is None:
            self._shown = ["title", "text"] if self.info["stored_fields"] else []
        options.setdefault("fields", self._shown)
        answer = self._native.search(_queries.one(query), self._how(k, options))
        return Answer._of(json.loads(answer))

    def explain(self, query: Any, k: int = 10, **options: Any) -> Answer:
        """``search`` with the tokens that matched: ``hit.matched``, largest contribution first."""
        return self.search(query, k, explain=True, **options)

    def batch(
        self,
        queries: Any,
        k: int = 10,
        method: str = "auto",
        *,
        vocabulary: Sequence[str] | None = None,
        **options: Any,
    ) -> Batch:
        """The ``k`` best documents for each of many queries, over all cores. Ctrl-C ends it within a second.

        ``queries`` is one of

        * an iterable of texts, of ``{token: weight}``, of ``{term number: weight}``, or of ``quarry.Query``; a column of
          pandas or Arrow;
        * a sparse matrix of scipy, or a sparse tensor of torch (COO or CSR), with a row a query. Columns are term numbers
          of the model's vocabulary; with ``vocabulary``, the token of each column, they may be any;
        * an array or tensor of dense vectors, [queries, dims], for ``channel="dense"``.

        ``method``: ``auto`` (the cheapest that reaches ``overlap``), ``exact``, ``scan``, ``impact``, ``clusters``,
        ``seismic``. Further options, with the command line's names and defaults:

        * ``channel``: ``sparse``, ``bm25``, ``dense``, ``maxsim``, or a list of several, which are fused; by default
          sparse if the index has that, else what it has;
        * ``overlap``, ``postings``, ``candidates``, ``query_cut``, ``heap_factor``, ``dense_method``, ``dense_beam``:
          how approximate searches are; ``k1``, ``b``: of BM25;
        * ``filter``: an expression over other fields, such as ``year:[1998 TO 1999]``;
        * ``fusion``: ``{"method": "max", "weights": {"bm25": 0.3}, "window": 1000, "rrf_k": 60}``, each part optional;
        * ``feedback``: True, or ``{"condition", "depth", "channels", "terms", "weight"}``;
        * ``rerank``: True, or ``{"depth": 100, "exact": False, "weight": ...}``; needs ``open(..., rerank=True)``;
        * ``timeout``: seconds, after which ``quarry.errors.TimeoutError`` is raised.

        The first query that fails raises, with its place as the error's ``position``.
        """
        given = _queries.given(queries)
        how = self._how(k, {**options, "method": method})
        if given.form == "dense":
            return Batch(self._native.batch_dense(*given.parts, how), k)
        if given.form == "rows":
            own = vocabulary is not None
            parts = self._own_terms(given.parts, vocabulary) if vocabulary is not None else given.parts
            return Batch(self._native.batch_rows(parts, own, how), k)
        if vocabulary is not None:
            raise InputError("vocabulary names the columns of a matrix, and the queries are none", "invalid_input")
        return Batch(self._native.batch(*given.parts, how), k)

    @staticmethod
    def _how(k: int, options: dict[str, Any]) -> str:
        channel = options.pop("channel", None)
        if channel is None:
            channels = []
        elif isinstance(channel, str):
            channels = [name.strip() for name in channel.split(",")]
        else:
            channels = list(channel)
        for name in ("feedback", "rerank"):
            value = options.get(name)
            if isinstance(value, bool):
                options[name] = {} if value else None
        if isinstance(options.get("fusion"), str):
            options["fusion"] = {"method": options["fusion"]}
        return json.dumps({"method": "auto", **options, "k": int(k), "channels": channels})

    def _own_terms(self, parts: tuple[bytes, bytes, bytes], vocabulary: Sequence[str]) -> tuple[bytes, bytes, bytes]:
        """Rows with columns of a vocabulary as rows of the index's own terms; what it does not know becomes a term beyond
        its last."""
        import numpy as np

        if self._terms is None:
            self._terms = {token: at for at, token in enumerate(self.tokens())}
        terms, beyond = self._terms, len(self._terms)
        places = np.array([terms.get(token, beyond) for token in vocabulary], dtype="<u4")
        columns = np.frombuffer(parts[1], dtype="<u4")
        if len(columns) and columns.max() >= len(places):
            raise InputError(f"a column of the matrix is beyond the {len(places)} tokens of the vocabulary", "invalid_input")
        return parts[0], places[columns].tobytes(), parts[2]

    # -- what is in it -------------------------------------------------------------------------------------------

    def get(self, id: str) -> dict[str, Any]:
        """A stored document: ``id``, ``title``, ``text`` and other fields. Raises ``NotFoundError``."""
        return {"id": id, **json.loads(self._native.document(id))}

    def ids(self) -> Iterator[str]:
        """Ids of all documents that can be found, in the order of their rows; of split documents, once a passage."""
        at, step = 0, 1 << 16
        while some := self._native.ids(at, step):
            yield from some
            at += len(some)

    def tokens(self) -> list[str]:
        """The token of each of the index's own terms; empty for an index without sparse vectors."""
        return self._native.tokens()

    @property
    def path(self) -> Path:
        """Its folder."""
        return self._path

    @property
    def info(self) -> dict[str, Any]:
        """What the index is and can do: ``documents``, ``channels``, ``methods``, ``encoders``, ``version`` and others."""
        return json.loads(self._native.describe())

    @property
    def generation(self) -> int:
        """The generation that is searched."""
        return self.info["version"]["generation"]

    def __len__(self) -> int:
        return self.info["documents"]

    def __contains__(self, id: object) -> bool:
        from quarry.errors import NotFoundError

        try:
            self._native.document(str(id))
        except NotFoundError as error:
            return error.code == "nothing_stored"
        return True

    def __repr__(self) -> str:
        return f"quarry.Index.open({str(self._path)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._path, self._options)


def _given(
    documents: Documents,
    ids: Sequence[str] | None,
    texts: Sequence[str] | None,
    vocabulary: Sequence[str] | None,
) -> tuple[Path | None, Iterator[str] | None]:
    """Documents as the native half takes them: a path, or JSON texts."""
    if hasattr(documents, "tocsr"):
        documents = _documents.of_matrix(documents, ids, texts, vocabulary)
    elif ids is not None or texts is not None or vocabulary is not None:
        raise InputError("ids, texts and vocabulary are of the rows of a sparse matrix", "invalid_input")
    if _documents.is_path(documents):
        return Path(documents), None
    return None, _documents.all_json(documents)

