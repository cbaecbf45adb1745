"""Writes the tables of all settings into `docs/train.md`, from the settings themselves.

`python -m tools.train_doc` writes them.
"""

from __future__ import annotations

from controlstack.cli.train import PANELS, flag
from controlstack.ground.parameters import Parameter, parameters
from controlstack.training.settings import SECTIONS
from tests.checkout import ROOT

PATH = ROOT / "docs" / "train.md"
HEADING = "## All settings"
NEXT = "\n## "
INTRODUCTION = "Sections of the file, and their flags."
COLUMNS = ("setting", "flag", "default", "what it is")


def document(now: str) -> str:
    """`now` with the tables as the settings are."""
    before, heading, rest = now.partition(f"{HEADING}\n")
    assert heading, f"{PATH} has no heading {HEADING!r}"
    _, following, after = rest.partition(NEXT)
    tables = "\n".join(_section(name, kind) for name, kind in SECTIONS.items())
    return f"{before}{heading}\n{INTRODUCTION}\n\n{tables}{following}{after}"


def _section(name: str, kind: type) -> str:
    rows = [COLUMNS, *(_row(name, one) for one in parameters(kind))]
    lines = [f"| {' | '.join(row)} |\n".replace("|  |", "| |") for row in rows]
    lines.insert(1, "|" + "---|" * len(COLUMNS) + "\n")
    return f"### [{name}] {PANELS[name]}\n\n{''.join(lines)}"


def _row(section: str, one: Parameter) -> tuple[str, ...]:
    words = f"{one.tooltip} {one.limits}".strip().replace("|", "\\|")
    return f"`{one.name}`", f"`{flag(section, one.name)}`", _default(one), words


def _default(one: Parameter) -> str:
    if one.default == "":
        return ""
    text = str(one.default).lower() if isinstance(one.default, bool) else f"{one.default}"
    return f"`{text}`"


def main() -> None:
    """Write the tables."""
    PATH.write_text(document(PATH.read_text(encoding="utf-8")), encoding="utf-8")
    print(PATH)


if __name__ == "__main__":
    main()
