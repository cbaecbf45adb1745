"""How seldom a control's net runs: the menu, and when each of its entries has the net run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

EXACT = "exact"


@dataclass(frozen=True)
class Refresh:
    """From `share` of a control's active percents on: a run of its net, for both sides of the
    guidance or for the prompt's alone."""

    share: float
    both: bool


Refreshes: TypeAlias = tuple[Refresh, ...]

SPEEDS: dict[str, tuple[Refreshes, Refreshes]] = {
    EXACT: ((), ()),
    "near exact": (
        (
            *(Refresh(0.0, True), Refresh(0.15, False), Refresh(0.35, True)),
            *(Refresh(0.55, False), Refresh(0.75, True), Refresh(0.9, False)),
        ),
    )
    * 2,
    "fast": (
        (Refresh(0.0, True), Refresh(0.25, False), Refresh(0.6, True), Refresh(0.9, False)),
        (Refresh(0.0, True), Refresh(0.25, False), Refresh(0.6, False), Refresh(0.9, False)),
    ),
}
"""When a control's net runs, for the first, third ... control of a stack and for the others; of
`EXACT` at every call. Found by trial on the demo model (docs/near-exact.md)."""
