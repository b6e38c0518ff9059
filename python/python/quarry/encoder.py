"""A model by itself: texts to sparse vectors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from quarry import _native, _places
from quarry.errors import InputError

if TYPE_CHECKING:
    import scipy.sparse as sp


class Encoder:
    """A model's two sides: documents and queries become rows of a matrix over its vocabulary.

    ``model`` is a folder, a name on the hub such as ``org/name``, or ``doc=MODEL,query=MODEL``; by default the bundled
    one. It needs ONNX Runtime (``pip install onnxruntime``); networks are opened by the first text.
    ``sessions`` is the number of sessions of one thread each, by default the machine's cores; it changes no vector.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        device: str = "cpu",
        sessions: int | None = None,
        max_tokens: int | None = None,
        top_k: int | None = None,
    ) -> None:
        self._options = {
            "model": model,
            "device": device,
            "sessions": sessions,
            "max_tokens": max_tokens,
            "top_k": top_k,
        }
        self._native = _native.Encoder(json.dumps({**self._options, "sources": _places.sources()}))

    def encode_documents(self, documents: Iterable[str | tuple[str, str] | Mapping[str, Any]]) -> sp.csr_matrix:
        """Vectors of documents: texts, pairs (title, text), or dicts with ``title`` and ``text``.

        Returns a CSR matrix [documents, vocabulary] of float32. Equal to ``quarry encode`` to the bit for the same
        documents in the same order, which are encoded 1,024 at once.
        """
        if isinstance(documents, (str, Mapping)):
            raise InputError("documents are a list; found one document", "invalid_input")
        return self._matrix(self._native.documents([_passage(document, at) for at, document in enumerate(documents)]))

    def encode_queries(self, texts: Iterable[str]) -> sp.csr_matrix:
        """Vectors of queries: a CSR matrix [queries, vocabulary] of float32, which ``Index.batch`` takes."""
        if isinstance(texts, str):
            raise InputError("texts are a list; found one text", "invalid_input")
        return self._matrix(self._native.queries(list(texts)))

    def tokens_of(self, matrix: Any) -> list[dict[str, float]]:
        """The rows of a matrix as weights by token, heaviest first."""
        matrix = matrix.tocsr()
        rows = []
        for at in range(matrix.shape[0]):
            part = slice(matrix.indptr[at], matrix.indptr[at + 1])
            pairs = zip(matrix.indices[part].tolist(), matrix.data[part].tolist())
            ordered = sorted(pairs, key=lambda pair: -pair[1])
            rows.append({self.tokens[column]: weight for column, weight in ordered})
        return rows

    @cached_property
    def tokens(self) -> list[str]:
        """The vocabulary: the token of each column."""
        return self._native.tokens()

    @property
    def name(self) -> str:
        """The model's name."""
        return self._native.name

    def _matrix(self, parts: tuple[bytes, bytes, bytes]) -> sp.csr_matrix:
        import numpy as np
        import scipy.sparse as sp

        starts, columns, weights = parts
        ends = np.frombuffer(starts, dtype="<i8")
        shape = (len(ends) - 1, len(self.tokens))
        return sp.csr_matrix(
            (np.frombuffer(weights, dtype="<f4").copy(), np.frombuffer(columns, dtype="<i4").copy(), ends.copy()),
            shape=shape,
        )

    def __repr__(self) -> str:
        return f"<quarry.Encoder {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._options,)


def _again(options: dict[str, Any]) -> Encoder:
    return Encoder(options["model"], **{name: value for name, value in options.items() if name != "model"})


def _passage(document: Any, at: int) -> tuple[str, str]:
    if isinstance(document, str):
        return "", document
    if isinstance(document, Mapping):
        return str(document.get("title") or ""), str(document.get("text") or "")
    if isinstance(document, tuple) and len(document) == 2:
        return document
    kind = type(document).__name__
    raise InputError(f"a document is a text, a pair (title, text) or a dict; found {kind}", "invalid_input", None, at)
