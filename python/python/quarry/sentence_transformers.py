"""sentence-transformers' form of sparse search: ``semantic_search_quarry``, beside its ``semantic_search_seismic``.

>>> from sentence_transformers import SparseEncoder
>>> from quarry.sentence_transformers import semantic_search_quarry
>>> model = SparseEncoder("naver/splade-v3")
>>> documents = model.encode_document(texts, convert_to_sparse_tensor=True)
>>> results, seconds, index = semantic_search_quarry(
...     model.encode_query(questions), corpus_embeddings=documents, output_index=True)
"""

from __future__ import annotations

import tempfile
import time
from typing import Any

import quarry
from quarry.errors import InputError

__all__ = ["semantic_search_quarry"]


def semantic_search_quarry(
    query_embeddings: Any,
    corpus_embeddings: Any = None,
    corpus_index: quarry.Index | None = None,
    top_k: int = 10,
    output_index: bool = False,
    index_kwargs: dict[str, Any] | None = None,
    search_kwargs: dict[str, Any] | None = None,
) -> tuple[list[list[dict[str, int | float]]], float] | tuple[list[list[dict[str, int | float]]], float, quarry.Index]:
    """The ``top_k`` best rows of a corpus for each query.

    Embeddings are what ``SparseEncoder.encode`` gives (a sparse tensor, or a list of them), a matrix of scipy, or what
    ``decode`` gives (``[[(token, weight)]]``). Give ``corpus_embeddings``, of which an index is built in ``index_kwargs["path"]``
    or a temporary folder, or ``corpus_index``, one that this function returned. ``index_kwargs`` and ``search_kwargs`` are
    options of ``quarry.Index.build`` and ``quarry.Index.batch``.

    Returns for each query ``[{"corpus_id", "score"}]``, best first, and the seconds that the search took; with
    ``output_index`` the index as well.
    """
    if (corpus_embeddings is None) == (corpus_index is None):
        raise InputError("give corpus_embeddings or corpus_index, one of the two", "invalid_input")
    if corpus_index is None:
        options = dict(index_kwargs or {})
        folder = None
        if "path" not in options:
            folder = tempfile.TemporaryDirectory(prefix="quarry-st-")
            options["path"] = f"{folder.name}/index"
        path = options.pop("path")
        corpus_index = quarry.Index.build(path, _documents(corpus_embeddings), **options)
        # It lives as long as the index.
        corpus_index._folder = folder  # type: ignore[attr-defined]
    queries = _queries(query_embeddings)
    begun = time.perf_counter()
    found = corpus_index.batch(queries, k=top_k, **(search_kwargs or {}))
    seconds = time.perf_counter() - begun
    results: list[list[dict[str, int | float]]] = [
        [{"corpus_id": int(id), "score": score} for id, score in hits] for hits in found
    ]
    return (results, seconds, corpus_index) if output_index else (results, seconds)


def _stacked(embeddings: Any) -> Any:
    """A list of tensors as one."""
    if isinstance(embeddings, list) and embeddings and hasattr(embeddings[0], "layout"):
        import torch

        return torch.stack([row.coalesce() if row.layout == torch.sparse_coo else row for row in embeddings])
    return embeddings


def _csr(embeddings: Any) -> Any:
    import scipy.sparse as sp
    import torch

    tensor = embeddings.detach().cpu().float()
    if tensor.ndim == 1:
        tensor = tensor.unsqueeze(0)
    if tensor.layout == torch.strided:
        return sp.csr_matrix(tensor.numpy())
    tensor = tensor.to_sparse_coo().coalesce()
    return sp.coo_matrix((tensor.values().numpy(), tensor.indices().numpy()), shape=tuple(tensor.shape)).tocsr()


def _documents(embeddings: Any) -> Any:
    embeddings = _stacked(embeddings)
    if hasattr(embeddings, "layout"):
        return _csr(embeddings)
    if hasattr(embeddings, "tocsr"):
        return embeddings
    return ({"id": str(at), "vector": dict(pairs)} for at, pairs in enumerate(embeddings))


def _queries(embeddings: Any) -> Any:
    embeddings = _stacked(embeddings)
    if hasattr(embeddings, "layout"):
        return _csr(embeddings)
    if hasattr(embeddings, "tocsr"):
        return embeddings
    return [dict(pairs) for pairs in embeddings]
