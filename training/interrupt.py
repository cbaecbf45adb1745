"""Ctrl-C during a run: the first one asks it to save and end, a second one ends what it is doing:
a validation, and then it still saves, or the run itself.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ECHO = 1.0
"""Seconds in which a second signal is the first one's echo: a launcher passes on to its processes
what the terminal has sent them already."""


class StopRequest:
    """Whether a signal has `asked` the run to end."""

    def __init__(self) -> None:
        self.asked = False
        self._since = 0.0

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Inside the block signals are requests. Only a main thread hears them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = [signal.signal(number, self._on_signal) for number in _SIGNALS]
        try:
            yield
        finally:
            for number, handler in zip(_SIGNALS, before, strict=True):
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.asked and now - self._since > _ECHO:
            raise KeyboardInterrupt
        if not self.asked:
            self.asked, self._since = True, now
