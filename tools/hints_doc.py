"""Writes the table of all preprocessors into `docs/hints.md`.

Name, node, ControlNets, weights and licence come from the registry; what a hint's convention is,
is written by hand in the table and kept. `python -m tools.help_pages` writes it.
"""

from __future__ import annotations

import re

from controlstack.preprocessors.registry import PREPROCESSORS
from controlstack.preprocessors.spec import Preprocessor
from tests.checkout import ROOT

PATH = ROOT / "docs" / "hints.md"
HEADING = "## All preprocessors"
COLUMNS = ("name", "node", "convention", "ControlNets", "weights", "licence")
NOT_COMMERCIAL = "**not for commercial use**"


def document(now: str) -> str:
    """`now` with the table as the registry has it; a new row's convention is empty."""
    before, heading, rest = now.partition(f"{HEADING}\n")
    assert heading, f"{PATH} has no heading {HEADING!r}"
    told = conventions(now)
    rows = [_row(entry, told.get(entry.name, "")) for entry in PREPROCESSORS.values()]
    lines = [f"| {' | '.join(row)} |" for row in (COLUMNS, *rows)]
    lines.insert(1, "|" + "---|" * len(COLUMNS))
    table = "".join(f"{line}\n".replace("|  |", "| |") for line in lines)
    after = re.sub(r"\A(\n|\|.*\n)*", "", rest)
    return f"{before}{heading}\n{table}\n{after}"


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
