"""A node class that is made when the host first asks something of it.

ComfyUI imports the pack at every start and asks its nodes nothing before a page is opened: what
they are made of is imported then, so that the start does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any


class LazyNode(type):
    """The class of a class that stands for the one `make` gives: its attributes and instances."""

    title: str
    make: Callable[[], type]

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):  # Python's own questions do not need the answer
            raise AttributeError(f"{cls.__name__} has no {name}")
        return getattr(cls.make(), name)

    def __call__(cls, *arguments: Any) -> Any:
        return cls.make()(*arguments)


def lazy_node(title: str, make: Callable[[], type]) -> LazyNode:
    """A class that stands for `make()`, which is called once, when something is asked of it;
    `title` is how the host shows the node.
    """
    return LazyNode("LazyNode", (), {"title": title, "make": staticmethod(cache(make))})


def node_in(title: str, module: str, name: str) -> LazyNode:
    """The node class `name` in this room's `module`, which is imported when it is asked."""
    return lazy_node(title, lambda: getattr(import_module(f".{module}", __package__), name))
