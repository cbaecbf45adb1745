"""Words on their way to the terminal: one line each, and nothing in them that it would obey."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..ground.wording import one_line

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

PIPED_WIDTH = 140
"""Columns of a table where the output is no terminal."""


def say(words: object) -> None:
    """One line on standard output: a result, such as the name of a file that was made."""
    print(one_line(str(words)), flush=True)


def tell(words: object) -> None:
    """One line on standard error: how it goes."""
    print(one_line(str(words)), file=sys.stderr, flush=True)


def note(words: object) -> None:
    """One line on standard error of what a user should know: "Note: ….", a sentence."""
    tell(f"Note: {str(words).removesuffix('.')}.")


def note_former(flags: str, pairs: Sequence[str]) -> None:
    """A note that settings, given by `flags`, have another spelling now; these still work."""
    wanted = " ".join(f"--set {pair}" for pair in pairs)
    note(f"{flags} will go after the next version: write {wanted}, as in every command")


def literal(*lines: object) -> Text:
    """Words for a table, a title or a bar, taken as they are and not as markup."""
    from rich.text import Text

    return Text("\n".join(one_line(str(line)) for line in lines))


def show(*parts: Table | Text) -> None:
    """Tables and what stands below them on standard output."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    for part in parts:
        console.print(part)
