"""Standard output and error that can be written whatever they lead to: no letter is refused, and
nobody has to read them to the end.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any, TextIO


def prepare() -> None:
    """Make `sys.stdout` and `sys.stderr` such streams. Letters that their encoding lacks become
    `\\u2191`.
    """
    sys.stdout, sys.stderr = _safe(sys.stdout, 1), _safe(sys.stderr, 2)


class _Outlet(io.FileIO):
    """A descriptor that leads nowhere from the first error on.

    A reader who has gone, as `head` does, has what it wanted. Any other error, such as a full disk,
    is raised once of standard output, and never of standard error, where nothing can be said.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)

    def write(self, data: Any) -> int:
        """All of `data`, or nothing that anybody could read."""
        try:
            return super().write(data)
        except OSError as error:
            _lead_nowhere(self.fileno())
            if isinstance(error, BrokenPipeError) or self.fileno() == 2:
                return len(data)
            raise OSError(error.errno, error.strerror, "standard output") from None


def _safe(stream: TextIO | None, number: int) -> TextIO:
    if stream is None:  # closed by whoever started us: else the next file would take its number
        _lead_nowhere(number)
        return io.TextIOWrapper(io.BufferedWriter(_Outlet(number)), "utf-8", "backslashreplace")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.reconfigure(errors="backslashreplace")
    if stream.isatty():
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Outlet(number)),
        stream.encoding,
        "backslashreplace",
        line_buffering=number == 2,
    )


def _lead_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    if nowhere != number:
        os.close(nowhere)
