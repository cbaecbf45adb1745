"""The tables of `docs/paper.md`, from the JSON that the scripts left.

Run: python -m benchmarks.paper.tables
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from .results import DOCS

DIGITS = {
    **{"distance": 3, "gain": 3, "highest gain": 3},
    **{"step": 0, "CPU seconds": 0, "px": 1, "px by seed": 1},
}
"""Decimals of a column; 2 for the others."""
FIDELITY = ("edge F1", "silhouette IoU", "joints")
SEEN = "hint's things seen"
ROWS: Mapping[str, tuple[str, ...]] = {
    "ablation": ("prompt", "network", *FIDELITY, "distance", SEEN),
    "prompts": ("hint", "prompt", *FIDELITY, "distance", SEEN, "prompt's things seen"),
    "data_size": ("prompt", "pictures", *FIDELITY, "distance", SEEN),
    "stacking": ("scenes", "stack", *FIDELITY, "colours", "solids IoU", "both kept"),
    "meaning": ("net", "equal", "step", "CPU seconds", "gain", "own hint wins", "px", "px by seed"),
    "convergence": (
        "rates", "first", "highest", "25% at step", "50% at step", "75% at step", "steepest",
        "its share",
    ),
    "onset": (
        "net", "rates", "seed", "came at step", "highest gain", "own hint wins", "steps",
    ),
    "transfer": ("net", *FIDELITY, "colours"),
    "few_rows": (
        "rows", "steps", "times each was seen", "gain, seen", "gain, unseen", "px, seen",
        "px, unseen",
    ),
    "moved_base": ("base", "net", *FIDELITY, "weights moved", "features moved"),
}  # fmt: skip
"""Script -> columns of its table of rows."""
DIFFERENCES: Mapping[str, tuple[str, ...]] = {
    "ablation": ("prompt", "less", *FIDELITY),
    "data_size": ("prompt", "of", "less", *FIDELITY),
    "stacking": ("scenes", "of", "less", *FIDELITY, "colours", "solids IoU"),
    "transfer": ("of", "less", *FIDELITY, "colours"),
    "moved_base": ("base", "of", "less", *FIDELITY),
}
"""Script -> columns of its table of paired differences."""


def tables(name: str, found: Mapping[str, Any]) -> list[str]:
    """The one or two markdown tables of a script's JSON."""
    made = [_table(ROWS[name], found["rows"], "")]
    if name in DIFFERENCES:
        made.append(_table(DIFFERENCES[name], found["differences"], "+"))
    return made


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], sign: str) -> str:
    lines = [columns, ["---"] * len(columns)]
    lines += [[_cell(row.get(c, ""), sign, DIGITS.get(c, 2)) for c in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any, sign: str, digits: int) -> str:
    if isinstance(value, Mapping):
        mean, error = value["mean"], value["error"]
        return "" if math.isnan(mean) else f"{mean:{sign}.{digits}f} ± {error:.{digits}f}"
    if isinstance(value, list):
        return ", ".join(_cell(one, "", digits) for one in value)
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Print all tables."""
    for name in ROWS:
        path = DOCS / f"{name}.json"
        if path.exists():
            found = json.loads(path.read_text())
            print(f"## {name}\n\n    {found['command']}\n")
            print("\n\n".join(tables(name, found)), "\n")


if __name__ == "__main__":
    main()
