"""How a command ends: 0; 2 with one sentence for what a user can mend; 130 when stopped; 1 when it
is our own fault."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, TypeAlias

import typer

from ..ground.errors import UserError
from ..ground.memory import is_out_of_memory, out_of_memory
from .interrupt import STOPPED as STOPPED
from .interrupt import interrupts
from .say import tell

USER_ERROR = 2
BUG = 1

DebugOption: TypeAlias = Annotated[
    bool, typer.Option("--debug", help="Show the Python trace of an error.")
]


@contextmanager
def reported(debug: bool) -> Iterator[None]:
    """Turns errors inside into a sentence on stderr and an exit code.

    UserError, what the system refuses (a full disk, a folder without permission) and too little
    memory exit with 2, Ctrl-C with 130, a bug of ours with 1. Only --debug shows a trace.
    """
    try:
        yield
    except typer.Exit:
        raise
    except (KeyboardInterrupt, Exception) as error:
        if isinstance(error, KeyboardInterrupt) or interrupts.asked:  # or what a stop broke
            interrupts.said = True
            tell("Stopped.")
            raise SystemExit(STOPPED) from None
        if debug:
            for line in traceback.format_exc().splitlines():
                tell(line)
        raise SystemExit(_complained(error)) from None


def _complained(error: Exception) -> int:
    """Says what went wrong; the exit code."""
    if is_out_of_memory(error):
        error = out_of_memory(error, "this command")
    if not isinstance(error, (UserError, OSError)):
        tell(f"Error: {type(error).__name__}: {error}. This is a bug; --debug shows where.")
        return BUG
    sentence, *details = _lines(error)
    tell(f"Error: {sentence}")
    for detail in details:
        tell(f"  {detail}")
    return USER_ERROR


def _lines(error: UserError | OSError) -> tuple[str, ...]:
    if isinstance(error, UserError):
        return error.sentence, *error.details
    if error.filename is not None:
        return (f"{error.filename}: {error.strerror}.",)
    return (str(error),)
