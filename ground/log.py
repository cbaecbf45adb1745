"""The log of this pack, in which names from files stand on one line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import PurePath

from .wording import one_line


class _OneLine(logging.Filter):
    """Escapes what a line is given: texts and paths. Errors are escaped where they are made."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(map(_escaped, record.args))
        return True


def _escaped(given: object) -> object:
    return one_line(str(given)) if isinstance(given, (str, PurePath)) else given


log = logging.getLogger("controlstack")
"""Give it names as arguments: `log.warning("%s is skipped", name)`."""

log.addFilter(_OneLine())

_SAID: ContextVar[set[str] | None] = ContextVar("controlstack_said", default=None)


@contextmanager
def saying_once() -> Iterator[None]:
    """Inside the block `warn_once` says a sentence once."""
    token = _SAID.set(set())
    try:
        yield
    finally:
        _SAID.reset(token)


def warn_once(words: str) -> None:
    """Warn in the log, once in a block of `saying_once`."""
    said = _SAID.get()
    if said is None or words not in said:
        log.warning("%s", words)
    if said is not None:
        said.add(words)
