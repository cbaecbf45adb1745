"""Ctrl-C: heard from our first line to our last, never lost, and told once.

Python's own handler raises once, wherever the signal finds it: in an import, which may swallow the
error, or in a finaliser, which prints it and goes on.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time
from collections import namedtuple
from contextlib import suppress
from types import FrameType

STOPPED = 130
"""128 + SIGINT, as a shell reports a process that Ctrl-C ended."""
PATIENCE = 1.0
"""Seconds after which another Ctrl-C ends the process at once; until then, it is the first one's
echo, and what the first one ended is left to tidy up."""
AGAIN = 0.05
"""Seconds between two looks at whether somebody swallowed the interrupt."""


class Interrupts:
    """Raises KeyboardInterrupt at Ctrl-C, and again where it was swallowed, until it is in `main`.

    `asked` says whether there was one, `said` whether the user was told that the work has stopped.
    """

    def __init__(self) -> None:
        self.asked = self.said = False
        self._since = 0.0
        self._looking = False
        self._process = self._thread = 0

    def listen(self) -> None:
        """Hear Ctrl-C from now on, unless this process shall not: a shell's background job."""
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            return
        self._process, self._thread = os.getpid(), _thread.get_ident()
        signal.signal(signal.SIGINT, self._heard)
        sys.unraisablehook = _without_interrupts

    def end(self) -> None:
        """From now on Ctrl-C changes nothing: the exit code stands."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # A KeyboardInterrupt that passes through text which is compiled leaves a mark in Python, by
        # which `python -m` ends with the signal instead of the exit code. Text that compiles, as a
        # named tuple's, removes the mark.
        namedtuple("_Unmarked", ())

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a forked worker leaves it to its parent
            return
        now = time.monotonic()
        if not self.asked:
            self.asked, self._since = True, now
            _thread.start_new_thread(self._look_again, ())
        elif not self._looking and now - self._since > PATIENCE:
            self._leave()
        self._looking = False
        if not _unwinding():
            raise KeyboardInterrupt

    def _leave(self) -> None:
        """End the process at once. `sys.stderr` may be in use, so what is said goes past it."""
        shown_cursor = b"\x1b[?25h" if os.isatty(2) else b""  # progress bars hide it
        with suppress(OSError):
            os.write(2, shown_cursor + (b"" if self.said else b"Stopped.\n"))
        os._exit(STOPPED)

    def _look_again(self) -> None:
        while True:
            time.sleep(AGAIN)
            if signal.getsignal(signal.SIGINT) == self._heard:  # else somebody else hears it
                self._looking = True
                if hasattr(signal, "pthread_kill"):  # wakes a thread that waits, too
                    signal.pthread_kill(self._thread, signal.SIGINT)
                else:
                    _thread.interrupt_main()


interrupts = Interrupts()
"""This process's."""


def _unwinding() -> bool:
    """Whether a KeyboardInterrupt is on its way out, through what tidies up."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _without_interrupts(error: sys.UnraisableHookArgs) -> None:
    """Says nothing of a KeyboardInterrupt that a finaliser could not pass on: it comes again."""
    if not issubclass(error.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(error)
