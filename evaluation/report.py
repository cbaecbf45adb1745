"""What was measured of every picture of every group, its means, and how that is written as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..ground.parameters import Value
from .fidelity import Figure, Mean, means


@dataclass(frozen=True)
class Entry:
    """One picture: `figures` beside its own hint, `shuffled` beside another picture's hint.

    `row` names the hint, and what is shown in one row of the page; `hint` and `picture` are files.
    `shuffled` is empty where no other hint of its size is there.
    """

    group: str
    row: str
    hint: str
    picture: str
    figures: tuple[Figure, ...]
    shuffled: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Report:
    """An evaluation: every picture's figures, and figures of whole groups (`quality`).

    `about` are the settings in force, `versions` of what computed it, `notes` sentences to whoever
    reads the figures, such as files that were left out.
    """

    about: Mapping[str, Value | Mapping[str, Value]]
    groups: tuple[str, ...]
    entries: tuple[Entry, ...]
    quality: Mapping[str, tuple[Mean, ...]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def of(self, group: str) -> list[Entry]:
        """The pictures of a group."""
        return [entry for entry in self.entries if entry.group == group]


@dataclass(frozen=True)
class Line:
    """A figure's means by group, and those beside other pictures' hints."""

    name: str
    higher_is_better: bool
    by_group: Mapping[str, Mean]
    shuffled: Mapping[str, Mean] = field(default_factory=dict)

    @property
    def best(self) -> tuple[str, ...]:
        """The groups with the best mean, where there are several groups to choose from."""
        known = {g: m.value for g, m in self.by_group.items() if not math.isnan(m.value)}
        if len(self.by_group) < 2 or not known:
            return ()
        top = (max if self.higher_is_better else min)(known.values())
        return tuple(group for group, value in known.items() if value == top)


def summary(report: Report) -> list[Line]:
    """A line for each figure, the headline first, then the figures of whole groups."""
    own = {g: means([e.figures for e in report.of(g)]) for g in report.groups}
    others = {g: means([e.shuffled for e in report.of(g) if e.shuffled]) for g in report.groups}
    return [*_lines(own, others), *_lines(report.quality, {})]


def to_json(report: Report) -> dict[str, object]:
    """The report for `json.dumps`; NaN and infinity become null, and names that are no text become
    text that escapes what is none of it.
    """
    shown: dict[str, object] = _as_text(_plain(report))
    return shown


def _as_text(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_as_text(key): _as_text(one) for key, one in value.items()}
    return [_as_text(one) for one in value] if isinstance(value, list) else value


def _plain(report: Report) -> dict[str, object]:
    return {
        "about": dict(report.about),
        "groups": list(report.groups),
        "summary": [
            {
                "figure": line.name,
                "higher_is_better": line.higher_is_better,
                "groups": {g: _mean(m) for g, m in line.by_group.items()},
                "shuffled": {g: _mean(m) for g, m in line.shuffled.items()},
            }
            for line in summary(report)
        ],
        "pictures": [
            {
                "group": entry.group,
                "row": entry.row,
                "hint": entry.hint,
                "picture": entry.picture,
                "figures": {f.name: _finite(f.value) for f in entry.figures},
                "shuffled": {f.name: _finite(f.value) for f in entry.shuffled},
            }
            for entry in report.entries
        ],
        "notes": list(report.notes),
        "versions": dict(report.versions),
    }


def _lines(own: Mapping[str, Sequence[Mean]], others: Mapping[str, Sequence[Mean]]) -> list[Line]:
    names = {mean.name: mean.higher_is_better for found in own.values() for mean in found}
    return [
        Line(name, higher, _named(own, name), _named(others, name))
        for name, higher in names.items()
    ]


def _named(found: Mapping[str, Sequence[Mean]], name: str) -> dict[str, Mean]:
    return {g: mean for g, group in found.items() for mean in group if mean.name == name}


def _mean(mean: Mean) -> dict[str, float | int | None]:
    return {
        "mean": _finite(mean.value),
        "standard_deviation": _finite(mean.deviation),
        "count": mean.count,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
