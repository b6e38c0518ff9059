"""What goes wrong, as exceptions.

Each carries ``code``, a short name for programs; ``hint``, what to do, or None; and ``position``, which of the queries or
documents given it is about, from 0, or None.
"""

from __future__ import annotations

import builtins

__all__ = [
    "IndexError",
    "InputError",
    "ModelError",
    "NotFoundError",
    "OptionError",
    "QuarryError",
    "RefusedError",
    "TimeoutError",
]


class QuarryError(Exception):
    """Any error of Quarry's."""

    #: A short name for programs, such as ``"no_index"``.
    code: str
    #: What to do, or None.
    hint: str | None
    #: Which of the queries or documents given, from 0, or None.
    position: int | None

    def __init__(
        self,
        message: str,
        code: str = "error",
        hint: str | None = None,
        position: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint
        self.position = position

    def __str__(self) -> str:
        place = "" if self.position is None else f"[{self.position}] "
        hint = "" if self.hint is None else f" ({self.hint})"
        return f"{place}{self.message}{hint}"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message, self.code, self.hint, self.position)


class OptionError(QuarryError, ValueError):
    """Options are out of range, or do not go together or with the index."""


class InputError(QuarryError, ValueError):
    """Documents, queries, judgements or a run are not what they have to be."""


class IndexError(QuarryError):  # noqa: A001 - it is always named with its module
    """There is no index, or its files are damaged."""


class ModelError(QuarryError):
    """A model is missing, cannot be run, or is not the index's."""


class RefusedError(QuarryError):
    """What was asked would do harm, such as replace an index."""


class NotFoundError(QuarryError, KeyError):
    """There is no such document."""

    __str__ = QuarryError.__str__


class TimeoutError(QuarryError, builtins.TimeoutError):  # noqa: A001
    """The time given has passed."""
