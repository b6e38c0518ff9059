"""Queries in the forms that people have them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from quarry.errors import InputError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Query:
    """A query in several forms, for searches of several channels.

    ``vector``: weights by token, or by term number; ``dense``: a dense vector, a list of numbers.
    """

    text: str | None = None
    vector: Mapping[str, float] | Mapping[int, float] | None = None
    dense: Sequence[float] | None = None

    def _native(self) -> tuple[str | None, dict[Any, float] | None, list[float] | None]:
        vector = None if self.vector is None else dict(self.vector)
        dense = None if self.dense is None else [float(value) for value in self.dense]
        return self.text, vector, dense


@dataclass(frozen=True)
class Given:
    """Queries as the native half takes them."""

    form: Literal["list", "rows", "dense"]
    #: Of a list: its items. Of rows: starts (i64), columns (u32), weights (f32). Of dense vectors: f32 and dimensions.
    parts: tuple[Any, ...]
    count: int


def one(query: Any) -> Any:
    """A query as the native half takes it."""
    if isinstance(query, Query):
        return query._native()
    if isinstance(query, Mapping) and not isinstance(query, dict):
        return dict(query)
    return query


def given(queries: Any) -> Given:
    """Queries of a list, a matrix, an array, a tensor, a column or any other iterable."""
    if hasattr(queries, "tocsr"):
        # Also of matrices by column, whose parts have the same names as those by row.
        return _csr(queries.tocsr())
    if isinstance(queries, (str, bytes, Query, Mapping)):
        raise InputError(
            "a batch is of several queries; found one",
            "invalid_input",
            "give a list, or search() for one query",
        )
    module = type(queries).__module__.partition(".")[0]
    if module == "pandas" and hasattr(queries, "columns"):
        raise InputError(
            "queries are a column; found a table", "invalid_input", 'give a column of it, such as frame["query"]'
        )
    if module == "torch" and hasattr(queries, "layout"):
        return _torch(queries)
    if module == "numpy" and getattr(queries, "ndim", 0) == 2:
        return _dense(queries)
    if module == "pyarrow" and hasattr(queries, "to_pylist"):
        queries = queries.to_pylist()
    elif hasattr(queries, "tolist"):
        queries = queries.tolist()
    if not isinstance(queries, Iterable):
        raise InputError(f"queries are an iterable or a matrix; found {type(queries).__name__}", "invalid_input")
    listed = [one(query) for query in queries]
    return Given("list", (listed,), len(listed))


def _csr(matrix: Any) -> Given:
    import numpy as np

    indices = np.asarray(matrix.indices)
    return _rows(np.asarray(matrix.indptr), indices, np.asarray(matrix.data))


def _rows(starts: np.ndarray, columns: np.ndarray, weights: np.ndarray) -> Given:
    import numpy as np

    if len(columns) and (columns.min() < 0 or columns.max() > 0xFFFFFFFF):
        raise InputError("columns of the matrix are not term numbers of 32 bits", "invalid_input")
    parts = (
        np.ascontiguousarray(starts, dtype="<i8").tobytes(),
        np.ascontiguousarray(columns, dtype="<u4").tobytes(),
        np.ascontiguousarray(weights, dtype="<f4").tobytes(),
    )
    return Given("rows", parts, max(len(starts) - 1, 0))


def _dense(array: Any) -> Given:
    import numpy as np

    if array.dtype.kind not in "fiu":
        raise InputError(f"an array of queries is of numbers; found {array.dtype}", "invalid_input")
    values = np.ascontiguousarray(array, dtype="<f4").tobytes()
    return Given("dense", (values, array.shape[1]), array.shape[0])


def _torch(tensor: Any) -> Given:
    import numpy as np
    import torch

    tensor = tensor.detach().cpu()
    if tensor.ndim == 1:
        tensor = tensor.unsqueeze(0)
    if tensor.layout == torch.sparse_csr:
        return _rows(
            tensor.crow_indices().numpy(), tensor.col_indices().numpy(), tensor.values().float().numpy()
        )
    if tensor.layout == torch.sparse_coo:
        tensor = tensor.coalesce()
        rows, columns = tensor.indices().numpy()
        starts = np.zeros(tensor.shape[0] + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows, minlength=tensor.shape[0]), out=starts[1:])
        return _rows(starts, columns, tensor.values().float().numpy())
    return _dense(tensor.float().numpy())
