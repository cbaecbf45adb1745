"""Writes the tables of all preprocessors, and of other packs' names, into `docs/hints.md`.

Name, node, ControlNets, weights and licence come from the registry; what a hint's convention is,
is written by hand in the table and kept. `python -m tools.help_pages` writes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from controlstack.preprocessors.names import words_of
from controlstack.preprocessors.other_names import EQUALS, WITHOUT
from controlstack.preprocessors.registry import PREPROCESSORS
from controlstack.preprocessors.spec import Preprocessor
from tests.checkout import ROOT

PATH = ROOT / "docs" / "hints.md"
HEADING = "## All preprocessors"
EQUAL_NAMES, OTHER_NAMES = "## Names of other packs", "### Names without an equal"
COLUMNS = ("name", "node", "convention", "ControlNets", "weights", "licence")
NOT_COMMERCIAL = "**not for commercial use**"


def document(now: str) -> str:
    """`now` with the tables as the registry has them; a new row's convention is empty."""
    told = conventions(now)
    entries = [_row(entry, told.get(entry.name, "")) for entry in PREPROCESSORS.values()]
    equals = [(_names(row.names), f"`{words_of(row)}`", row.differs) for row in EQUALS]
    others = [
        (_names(row.names), row.why, f"`{row.nearest}`" if row.nearest else "") for row in WITHOUT
    ]
    now = _with_table(now, HEADING, (COLUMNS, *entries))
    now = _with_table(now, EQUAL_NAMES, (("there", "here", "what differs"), *equals))
    return _with_table(now, OTHER_NAMES, (("there", "why not", "nearest"), *others))


def _with_table(text: str, heading: str, rows: Sequence[Sequence[str]]) -> str:
    """`text` with `rows` for the first table below `heading`."""
    before, found, rest = text.partition(f"{heading}\n")
    assert found, f"{PATH} has no heading {heading!r}"
    lines = [f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    table = "".join(f"{line}\n" for line in lines)
    return (
        before + found + re.sub(r"^(\|.*\n)+", lambda _: table, rest, count=1, flags=re.MULTILINE)
    )


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def conventions(text: str) -> dict[str, str]:
    """Name -> convention, of the table in `text`."""
    rows = re.findall(r"^\| `(\w+)` \| \[[^|]*\| ([^|]*) \|", text, re.MULTILINE)
    return {name: convention.strip() for name, convention in rows}


def _row(entry: Preprocessor, convention: str) -> tuple[str, ...]:
    node = f"[{entry.title}](../web/docs/{entry.node}.md)"
    if entry.learning is None:
        return f"`{entry.name}`", node, convention, entry.controls, "none", ""
    first, *others = entry.learning.models
    more = f" and {len(others)} more" if others else ""
    besides = "".join(f", with {one.name}" for one in entry.learning.also)
    used = (*entry.learning.models, *entry.learning.also)
    licences = dict.fromkeys(
        one.licence if one.commercial else f"{one.licence} ({NOT_COMMERCIAL})" for one in used
    )
    weights = f"{first.name}{more}{besides}" if entry.downloads else f"{first.name}, here already"
    return f"`{entry.name}`", node, convention, entry.controls, weights, ", ".join(licences)


def main() -> None:
    """Write the table."""
    PATH.write_text(document(PATH.read_text(encoding="utf-8")), encoding="utf-8")
    print(PATH)
