"""How a command ends: 0; 2 with one sentence for what a user can mend; 130 when stopped; 1 when it
is our own fault."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, TypeAlias

import typer

from ..ground.errors import UserError

STOPPED = 130
"""128 + SIGINT, as a shell reports a process that Ctrl-C ended."""
USER_ERROR = 2
BUG = 1

DebugOption: TypeAlias = Annotated[
    bool, typer.Option("--debug", help="Show the Python trace of an error.")
]


@contextmanager
def reported(debug: bool) -> Iterator[None]:
    """Turns errors inside into a sentence on stderr and an exit code.

    UserError and what the system refuses (a full disk, a folder without permission) exit with 2,
    Ctrl-C with 130, a bug of ours with 1. Only --debug shows a trace.
    """
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)
        raise typer.Exit(STOPPED) from None
    except (UserError, OSError) as error:
        if debug:
            traceback.print_exc()
        typer.echo(f"Error: {_sentence(error)}", err=True)
        raise typer.Exit(USER_ERROR) from None
    except typer.Exit:
        raise
    except Exception as error:
        if debug:
            traceback.print_exc()
        what = f"{type(error).__name__}: {error}"
        typer.echo(f"Error: {what}. This is a bug; --debug shows where.", err=True)
        raise typer.Exit(BUG) from None


def _sentence(error: UserError | OSError) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    return str(error)
