"""Files that were looked for and are not there, as values beside the sentences that say so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from .errors import UserError


@dataclass(frozen=True)
class NotFound:
    """What it is ("checkpoint"), its name, what is there instead, where it was looked for (nothing
    where the sentence has to be said whole), and that sentence."""

    what: str
    name: str
    there: tuple[str, ...]
    places: tuple[Path, ...]
    sentence: str


_FOUND: ContextVar[list[NotFound] | None] = ContextVar("controlstack_not_found", default=None)


@contextmanager
def looking() -> Iterator[list[NotFound]]:
    """The files that are looked for in vain inside the block: a node's check hands on their
    sentences alone.
    """
    found: list[NotFound] = []
    token = _FOUND.set(found)
    try:
        yield found
    finally:
        _FOUND.reset(token)


def not_found(
    sentence: str,
    what: str,
    name: str,
    there: Sequence[str] = (),
    places: Sequence[Path] = (),
) -> UserError:
    """The error that says `sentence` of a file; `looking` has it as a value besides."""
    error = UserError(sentence)
    if (found := _FOUND.get()) is not None:
        found.append(NotFound(what, name, tuple(there), tuple(places), error.sentence))
    return error
