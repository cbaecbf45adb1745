"""A file on its way from the hub, loaded by a thread of its own: so it can be given up when a user
stops it, when it stalls, and when more comes than was stated.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Thread
from typing import Any

from ..ground.progress import Steps

STEPS = 100
"""Steps of a file's progress: per cent."""
PATIENCE = 600.0
"""Seconds without progress after which a transfer is given up. The hub's client, which tells of
10 MB at a time, gives up sooner where nothing comes, and never where a byte does now and then."""

FAREWELL = 2.0
"""Seconds that a transfer which was given up has to end: its next bytes end it."""


class TooLargeError(Exception):
    """More bytes came than were stated."""


class LoadError(Exception):
    """The hub's client failed for a `reason`."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(reason)
        self.reason = reason


class _GivenUpError(Exception):
    """Ends the thread at the next bytes that it tells of."""


class Transfer:
    """`done` of at most `total` bytes are here."""

    def __init__(self, total: int) -> None:
        self.done, self.total = 0, total
        self._given_up = False

    def run(self, load: Callable[[], None], bar: Steps, watched: bool) -> None:
        """Call `load` in a thread, and advance `bar` up to STEPS in this one.

        `watched` says that `load` tells of its bytes by `bar_class`. Raises LoadError for what
        `load` raised and for a stall, TooLargeError, and what `bar` raises to stop it.
        """
        failed: list[Exception] = []
        loading = Thread(target=self._load, args=(load, failed), daemon=True)
        loading.start()
        shown, seen, since = 0, 0, time.monotonic()
        try:
            while loading.is_alive():
                loading.join(0.1)
                due = min(STEPS, STEPS * self.done // max(self.total, 1))
                while shown < due:
                    shown += 1
                    bar.advance()
                if self.done != seen or not watched:
                    seen, since = self.done, time.monotonic()
                elif time.monotonic() - since > PATIENCE:
                    raise LoadError(TimeoutError(f"no progress in {PATIENCE:.0f} seconds"))
        finally:
            self._given_up = True
            loading.join(FAREWELL)
        if self.done > self.total:
            raise TooLargeError
        if failed:
            raise LoadError(failed[0])
        for _ in range(shown, STEPS):
            bar.advance()

    def _load(self, load: Callable[[], None], failed: list[Exception]) -> None:
        try:
            load()
        except Exception as error:  # the hub's, its HTTP client's and the system's, by version
            failed.append(error)

    def _reached(self, done: int) -> None:
        self.done = done
        if self._given_up or done > self.total:
            raise _GivenUpError

    def bar_class(self) -> type:
        """What huggingface_hub takes for a class of tqdm: the file's bytes are counted."""
        reached = self._reached

        class Bytes:
            def __init__(self, *_: object, initial: int = 0, **options: Any) -> None:
                self.n, self.total = initial, options.get("total")

            def __enter__(self) -> Bytes:
                return self

            def __exit__(self, *_: object) -> None:
                return None

            def update(self, n: float = 1) -> None:
                self.n += int(n)
                reached(self.n)

            def unused(self, *_: object, **__: object) -> None:
                return None

            # The second one is of bytes on the wire, which may be fewer than the file has.
            close = update_transfer = set_postfix_str = set_transfer_postfix_str = refresh = unused

        return Bytes
