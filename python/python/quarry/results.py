"""What searches find."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

from quarry.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from quarry._native import Found


#: Most cells of an array: 3 GiB with rows and scores.
_MOST_CELLS = 1 << 28


class Batch:
    """Rankings of many queries, in their order, over one generation of the index.

    Ids and scores are made when they are first asked for. Scores are in original weight units; larger is better, and of
    equal scores the id that is larger bytewise stands first, which is trec_eval's order.
    """

    def __init__(self, found: Found, k: int) -> None:
        self._found = found
        #: Hits wanted for each query.
        self.k = k

    @cached_property
    def ids(self) -> list[list[str]]:
        """Document ids by query, best first; at most ``k`` each."""
        return self._found.ids()

    @cached_property
    def scores(self) -> list[list[float]]:
        """Scores by query, as runs of the command line print them: the shortest decimals of their 32-bit floats."""
        return self._found.scores()

    @property
    def unknown(self) -> list[list[str]]:
        """Tokens (or term numbers) of each query that the index does not know; they match nothing."""
        return self._found.unknown()

    @property
    def generation(self) -> int:
        """The generation of the index that was searched."""
        return self._found.generation

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[list[tuple[str, float]]]:
        for ids, scores in zip(self.ids, self.scores):
            yield list(zip(ids, scores))

    @overload
    def __getitem__(self, at: int) -> list[tuple[str, float]]: ...

    @overload
    def __getitem__(self, at: slice) -> list[list[tuple[str, float]]]: ...

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [list(zip(ids, scores)) for ids, scores in zip(self.ids[at], self.scores[at])]
        return list(zip(self.ids[at], self.scores[at]))

    def __repr__(self) -> str:
        return f"<quarry.Batch of {len(self)} queries, k={self.k}>"

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``rows`` (int64, [queries, k]), ``scores`` (float32, [queries, k]) and ``counts`` (int64, [queries]).

        A row is a place in this generation, from 0, as ``Index.ids`` counts them without deletions. A query with fewer
        than k hits is padded with row -1 and score minus infinity.
        """
        import numpy as np

        if len(self) * self.k > _MOST_CELLS:
            raise InputError(
                f"arrays of {len(self)} queries and k {self.k} are too large",
                "invalid_input",
                "a smaller k; or ids, frame() or arrow(), which have what was found",
            )
        rows, scores, counts = self._found.padded(self.k)
        shape = (len(self), self.k)
        return (
            np.frombuffer(rows, dtype="<i8").reshape(shape),
            np.frombuffer(scores, dtype="<f4").reshape(shape),
            np.frombuffer(counts, dtype="<i8"),
        )

    def arrow(self, qids: Iterable[str] | None = None) -> pa.Table:
        """A table of one row a hit: ``query`` (its place, or what ``qids`` calls it), ``id``, ``score``, ``rank`` from 1."""
        import numpy as np
        import pyarrow as pa

        ends, data = self._found.arrow_ids()
        counts = np.array([len(scores) for scores in self.scores], dtype=np.int64)
        named = None if qids is None else self._named(qids)
        at = np.repeat(np.arange(len(self)), counts)
        ids = pa.LargeStringArray.from_buffers(len(at), pa.py_buffer(ends), pa.py_buffer(data))
        first = np.repeat(np.cumsum(counts) - counts, counts)
        query = pa.array(at) if named is None else pa.array([named[i] for i in at.tolist()], pa.string())
        scores = pa.array([score for scores in self.scores for score in scores], pa.float64())
        rank = pa.array(np.arange(len(at)) - first + 1)
        return pa.table({"query": query, "id": ids, "score": scores, "rank": rank})

    def frame(self, qids: Iterable[str] | None = None) -> pd.DataFrame:
        """The same as a DataFrame of pandas."""
        import pandas as pd

        named = None if qids is None else self._named(qids)
        rows = [
            (at if named is None else named[at], id, score, rank)
            for at, hits in enumerate(self)
            for rank, (id, score) in enumerate(hits, 1)
        ]
        return pd.DataFrame(rows, columns=["query", "id", "score", "rank"])

    def run(self, qids: Iterable[str]) -> dict[str, list[tuple[str, float]]]:
        """A run: hits by the queries' own ids, as ``evaluate`` and ``fuse`` take it."""
        return dict(zip(self._named(qids), self))

    def dicts(self, qids: Iterable[str]) -> dict[str, dict[str, float]]:
        """A run as pytrec_eval and BEIR have it. A dict keeps no order of ties; those tools put them in their own."""
        return {qid: dict(hits) for qid, hits in zip(self._named(qids), self)}

    def _named(self, qids: Iterable[str]) -> list[str]:
        """The queries' own ids, one a query."""
        if isinstance(qids, (str, set, frozenset)):
            raise InputError(f"ids of queries are in their order; found a {type(qids).__name__}", "invalid_input")
        named = list(qids)
        if len(named) != len(self):
            raise InputError(f"{len(named)} ids for {len(self)} queries", "invalid_input")
        if len(set(named)) != len(named):
            raise InputError("an id of a query is there twice", "invalid_input")
        return named


@dataclass(frozen=True)
class Hit:
    """A document found."""

    #: Its place, from 1.
    rank: int
    #: The collection's name of it.
    id: str
    #: What it is ranked by; larger is better.
    score: float
    #: Stored fields asked for, as far as it has them.
    fields: dict[str, Any] = field(default_factory=dict)
    #: Rank (from 1) and score on each channel that found it.
    channels: dict[str, dict[str, float]] = field(default_factory=dict)
    #: The second stage's score, where there is one.
    rerank: float | None = None
    #: ``ordinal`` and ``bytes`` in the document's text, where documents were split.
    passage: dict[str, Any] | None = None
    #: With ``explain``: tokens that matched, with ``query_weight``, ``document_weight`` and ``contribution``, which sum to
    #: the sparse score; ``word`` is the word that it came from, in an index with provenance.
    matched: list[dict[str, Any]] | None = None

    @property
    def title(self) -> str:
        """The stored title; empty if it was not asked for or there is none."""
        return str(self.fields.get("title", ""))

    @property
    def text(self) -> str:
        """The stored text; empty if it was not asked for or there is none."""
        return str(self.fields.get("text", ""))


@dataclass(frozen=True)
class Answer(Sequence[Hit]):
    """The answer to one query: its hits, best first, and what there is to say of them."""

    hits: list[Hit]
    #: How vectors were searched, such as ``impact`` or ``exact``.
    method: str
    #: The generation of the index that was searched.
    generation: int
    #: What made the answer poorer than it might have been.
    warnings: list[str]
    #: Time by stage, in seconds.
    seconds: dict[str, float]
    #: With feedback and ``explain``: what was searched the second time, by channel.
    expanded: list[dict[str, Any]]

    @classmethod
    def _of(cls, answer: dict[str, Any]) -> Answer:
        hits = [Hit(**hit) for hit in answer.pop("hits")]
        return cls(hits=hits, **answer)

    @property
    def ids(self) -> list[str]:
        """Document ids, best first."""
        return [hit.id for hit in self.hits]

    @property
    def scores(self) -> list[float]:
        """Scores, best first."""
        return [hit.score for hit in self.hits]

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    @overload
    def __getitem__(self, at: int) -> Hit: ...
    @overload
    def __getitem__(self, at: slice) -> list[Hit]: ...
    def __getitem__(self, at: int | slice) -> Hit | list[Hit]:
        return self.hits[at]
