"""How far a piece of work is: counted steps, told to whoever shows them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeAlias


class Steps(Protocol):
    """A counted piece of work under way."""

    def advance(self) -> None:
        """One more step is done. Raises what shall stop the work, where a user stopped it."""


Progress: TypeAlias = Callable[[int, str], AbstractContextManager[Steps]]
"""Begins a piece of so many steps, with words for a user; it ends with the context."""


class _Unseen:
    def advance(self) -> None:
        return None


def unseen(total: int, text: str) -> AbstractContextManager[Steps]:
    """The Progress of a caller who shows none."""
    return nullcontext(_Unseen())
