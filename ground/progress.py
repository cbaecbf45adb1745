"""How far a piece of work is: counted steps, told to whoever shows them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from PIL.Image import Image


class Steps(Protocol):
    """A counted piece of work under way."""

    def advance(self, picture: Image | None = None) -> None:
        """One more step is done, and this is what it looks like, where that can be shown.

        Raises what shall stop the work, where a user stopped it.
        """


Progress: TypeAlias = Callable[[int, str], AbstractContextManager[Steps]]
"""Begins a piece of so many steps, with words for a user; it ends with the context."""


class _Unseen:
    def advance(self, picture: Image | None = None) -> None:
        return None


def unseen(total: int, text: str) -> AbstractContextManager[Steps]:
    """The Progress of a caller who shows none."""
    return nullcontext(_Unseen())
