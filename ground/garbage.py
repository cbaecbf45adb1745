"""When Python looks for circles of objects that nobody needs, and when not."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Without that search, for imports of large libraries: half a million objects are made, nearly
    all stay, and each search walks through those before it. What was there once something was
    imported is not searched again either (docs/speed.md)."""
    before, known = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > known:  # else nothing came that would stay
            gc.freeze()
        if before:
            gc.enable()


def leave_all() -> None:
    """At the end of a process: what was imported lies in circles, and Python would walk through
    them once more, for memory that the system takes back at once."""
    gc.freeze()
