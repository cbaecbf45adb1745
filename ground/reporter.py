"""Who hears how far the work is: silent unless the caller installs a reporter for its context.

Ctrl-C is Python's own KeyboardInterrupt; nothing here catches or delays it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol

from .progress import Steps, unseen


class Reporter(Protocol):
    """What the embedded host tells about its work."""

    def stage(self, text: str) -> None:
        """A piece of work of unknown length begins, such as "loading sd15.safetensors"."""

    def steps(self, total: int, text: str) -> AbstractContextManager[Steps]:
        """A piece of `total` steps begins; it ends with the context, also on an error."""


class Silent:
    """The reporter of a caller who installed none."""

    def stage(self, text: str) -> None:
        return None

    def steps(self, total: int, text: str) -> AbstractContextManager[Steps]:
        return unseen(total, text)


_REPORTER: ContextVar[Reporter] = ContextVar("controlstack_reporter")


def reporter() -> Reporter:
    """The reporter of this context."""
    return _REPORTER.get(Silent())


@contextmanager
def report_to(listener: Reporter) -> Iterator[None]:
    """Send reports to `listener` inside the `with` block, and to the former one after it."""
    token = _REPORTER.set(listener)
    try:
        yield
    finally:
        _REPORTER.reset(token)
