"""Quarry: learned sparse retrieval for Python, without Java.

>>> import quarry
>>> index = quarry.Index.open("sample.qry")
>>> found = index.batch(["why does bread go stale"], k=10)
>>> found.ids[0][0], found.scores[0][0]

``Index`` searches, builds and changes; ``Encoder`` turns texts into sparse vectors; ``evaluate`` and ``fuse`` work on
runs. The guide's page is ``docs/guide/python.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quarry import errors
from quarry._native import version as __version__
from quarry.errors import QuarryError

if TYPE_CHECKING:
    from quarry._native import set_threads
    from quarry.encoder import Encoder
    from quarry.evaluation import Evaluation, evaluate, fuse, read_qrels, read_queries, read_run
    from quarry.index import Index
    from quarry.queries import Query
    from quarry.results import Answer, Batch, Hit
    from quarry.serving import Server, serve

#: Where each name is: modules are imported when they are first used, so that `import quarry` takes milliseconds.
_PLACES = {
    "Answer": "quarry.results",
    "Batch": "quarry.results",
    "Encoder": "quarry.encoder",
    "Evaluation": "quarry.evaluation",
    "Hit": "quarry.results",
    "Index": "quarry.index",
    "Query": "quarry.queries",
    "Server": "quarry.serving",
    "evaluate": "quarry.evaluation",
    "fuse": "quarry.evaluation",
    "read_qrels": "quarry.evaluation",
    "read_queries": "quarry.evaluation",
    "read_run": "quarry.evaluation",
    "serve": "quarry.serving",
    "set_threads": "quarry._native",
}

__all__ = [
    "Answer",
    "Batch",
    "Encoder",
    "Evaluation",
    "Hit",
    "Index",
    "Query",
    "QuarryError",
    "Server",
    "__version__",
    "errors",
    "evaluate",
    "fuse",
    "read_qrels",
    "read_queries",
    "read_run",
    "serve",
    "set_threads",
]


def __getattr__(name: str) -> object:
    import importlib

    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'quarry' has no attribute {name!r}")
    value = getattr(importlib.import_module(place), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
