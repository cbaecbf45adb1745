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
_PLAIN = str.maketrans({"↑": "^", "↓": "v", "±": "+-", "–": "-", "∞": "inf"})
"""Letters of our tables where standard output has fewer of them, such as Windows' cp1252."""


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


def readable(words: str) -> str:
    """`words` in letters that standard output's encoding has: ours become plain ones, and others
    `\\u2191`.
    """
    encoding = sys.stdout.encoding or "utf-8"
    try:
        words.encode(encoding)
    except UnicodeEncodeError:
        plain = words.translate(_PLAIN)
        return plain.encode(encoding, "backslashreplace").decode(encoding)
    return words


def table(title: str, words: Sequence[str], numbers: Sequence[str], dim: str = "") -> Table:
    """An empty table with columns for `words`, and for `numbers` at their right, of which `dim` is
    faint. `row` makes its rows.
    """
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, title=_cell(title))
    for heading in words:
        made.add_column(_cell(heading))
    for heading in numbers:
        style = "dim" if heading == dim else ""
        made.add_column(_cell(heading), justify="right", overflow="fold", style=style)
    return made


def row(of: Table, *cells: str) -> None:
    """Add a row of a table."""
    of.add_row(*map(_cell, cells))


def _cell(words: str) -> Text:
    return literal(readable(words))


def show(*parts: Table | Text) -> None:
    """Tables and what stands below them on standard output."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    for part in parts:
        console.print(part)
