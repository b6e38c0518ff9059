"""Documents in the forms that people have them, as JSON, in which the engine reads them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from quarry.errors import InputError

def _plain(value: Any) -> Any:
    """A number or an array of numpy or torch as Python's own."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    raise TypeError(f"a field has a value of type {type(value).__name__}, which JSON has not")


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode


def is_path(documents: Any) -> bool:
    """Whether documents are given by the name of a file or folder."""
    return isinstance(documents, (str, os.PathLike))


def as_json(document: Any, at: int) -> str:
    """A document: a dict with ``id`` and ``text``, ``title``, ``vector`` or others; a pair of id and text; or an object of
    ir_datasets."""
    if isinstance(document, Mapping):
        record = document if isinstance(document, dict) else dict(document)
    elif hasattr(document, "doc_id"):
        record = _of_ir_datasets(document)
    elif isinstance(document, tuple) and len(document) == 2:
        record = {"id": document[0], "text": document[1]}
    else:
        raise InputError(
            f"a document is a dict, a pair (id, text) or one of ir_datasets; found {type(document).__name__}",
            "invalid_input",
            None,
            at,
        )
    try:
        return _encode(record)
    except (TypeError, ValueError) as error:
        raise InputError(f"document: {error}", "invalid_input", None, at) from error


def _of_ir_datasets(document: Any) -> dict[str, Any]:
    record: dict[str, Any] = {"id": document.doc_id}
    fields = document._asdict() if hasattr(document, "_asdict") else {}
    title = fields.get("title")
    if isinstance(title, str):
        record["title"] = title
    if isinstance(fields.get("text"), str):
        record["text"] = fields["text"]
    elif hasattr(document, "default_text"):
        record["text"] = document.default_text()
    return record


def all_json(documents: Iterable[Any]) -> Iterator[str]:
    """Each document as JSON."""
    for at, document in enumerate(documents):
        yield as_json(document, at)


def of_matrix(
    matrix: Any,
    ids: Sequence[str] | None,
    texts: Sequence[str] | None,
    vocabulary: Sequence[str] | None,
) -> Iterator[dict[str, Any]]:
    """Documents of the rows of a sparse matrix."""
    matrix = matrix.tocsr()
    count = matrix.shape[0]
    for name, given in (("ids", ids), ("texts", texts)):
        if given is not None and len(given) != count:
            raise InputError(f"{name} are {len(given)}, and the matrix has {count} rows", "invalid_input")
    if vocabulary is not None and len(vocabulary) != matrix.shape[1]:
        raise InputError(
            f"the vocabulary has {len(vocabulary)} tokens, and the matrix {matrix.shape[1]} columns",
            "invalid_input",
        )
    starts, columns, weights = matrix.indptr, matrix.indices, matrix.data
    for at in range(count):
        part = slice(starts[at], starts[at + 1])
        numbers, values = columns[part].tolist(), weights[part].astype("float32").tolist()
        vector: dict[str, Any]
        if vocabulary is None:
            vector = {"indices": numbers, "values": values}
        else:
            vector = {}
            for number, value in zip(numbers, values):
                vector[vocabulary[number]] = vector.get(vocabulary[number], 0.0) + value
        record: dict[str, Any] = {"id": str(at) if ids is None else ids[at], "vector": vector}
        if texts is not None:
            record["text"] = texts[at]
        yield record
