"""A node class that is made when the host first asks something of it.

ComfyUI imports the pack at every start and asks its nodes nothing before a page is opened: what
they are made of is imported then, so that the start does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any


class Later(type):
    """The class of a class that stands for the one `make` gives: its attributes and instances."""

    make: Callable[[], type]

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):  # Python's own questions do not need the answer
            raise AttributeError(f"{cls.__name__} has no {name}")
        return getattr(cls.make(), name)

    def __call__(cls, *arguments: Any) -> Any:
        return cls.make()(*arguments)


def later(make: Callable[[], type]) -> type:
    """A class that stands for `make()`, which is called once, when something is asked of it."""
    return Later("Later", (), {"make": staticmethod(cache(make))})
