"""An evaluation as a page of HTML: means on top, then every hint beside its pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..ground.wording import one_line
from .html import data_uri, render
from .report import Entry, Line, Report, summary

ROWS = 200
"""Rows on a page: some 20 MB with three groups."""


@dataclass(frozen=True)
class Cell:
    """A picture of one group and the condition found in it, both as WebP."""

    picture: bytes
    found: bytes


@dataclass(frozen=True)
class PageRow:
    """A hint (WebP), and the pictures that were made from it, by group. Their figures are in the
    report, under the row's `name`.
    """

    name: str
    hint: bytes
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class Dot:
    """A picture's headline figure on the strip: `x` in 0..100."""

    x: float
    row: str


@dataclass(frozen=True)
class Strip:
    """A group's headline figures on one scale, those beside other pictures' hints (`shuffled`), and
    where the mean is."""

    group: str
    own: tuple[Dot, ...]
    shuffled: tuple[Dot, ...]
    mean: float | None


def report_page(report: Report, rows: Sequence[PageRow], most: int = ROWS) -> bytes:
    """The page, one file that works offline, in UTF-8.

    Rows are sorted by the headline figure of the group that has the best mean: where a method works
    is where its failures tell something, and another may be what chance gives. Of more rows than
    `most` it shows that many, spread evenly from the worst to the best of that group; the means are
    always those of all pictures.
    """
    lines = summary(report)
    headline = lines[0]
    first = (*headline.best, *report.groups)[0]
    entries = {(entry.row, entry.group): entry for entry in report.entries}
    values = {entry.row: _value(entry, headline.name) for entry in report.of(first)}
    shown = _spread(rows, values, headline.higher_is_better, most)
    single = {f.name: f.higher_is_better for entry in report.entries for f in entry.figures}
    return render(
        "report.html",
        title=f"Does it obey? {report.about['preprocessor']}",
        single=single,
        report=report,
        lines=lines,
        headline=headline,
        first=first,
        strips=_strips(report, headline),
        ends=_ends(report, headline.name),
        rows=[_with_figures(row, entries) for row in shown],
        count=len(rows),
        uri=data_uri,
    )


def _spread(
    rows: Sequence[PageRow], values: Mapping[str, float], higher_is_better: bool, most: int
) -> list[PageRow]:
    """At most so many rows, from the worst by `values` to the best; first those without one."""
    if len(rows) <= most:
        return list(rows)

    def badness(row: PageRow) -> float:
        value = values.get(row.name, math.nan)
        return math.inf if math.isnan(value) else -value if higher_is_better else value

    worst_first = sorted(rows, key=badness, reverse=True)
    step = (len(rows) - 1) / max(most - 1, 1)
    return [worst_first[round(number * step)] for number in range(most)]


def _value(entry: Entry, name: str) -> float:
    return next((f.value for f in entry.figures if f.name == name), math.nan)


def _with_figures(row: PageRow, entries: Mapping[tuple[str, str], Entry]) -> dict[str, object]:
    """The row, what was measured of its pictures, and their figures as the page's script sorts
    them: None where there is no number."""
    of = {group: entries[row.name, group] for group in row.cells}
    figures = {
        one_line(group): {f.name: f.value if math.isfinite(f.value) else None for f in one.figures}
        for group, one in of.items()
    }
    return {"row": row, "entries": of, "figures": figures}


def _all(report: Report, name: str) -> list[float]:
    figures = (f for e in report.entries for f in (*e.figures, *e.shuffled))
    return [f.value for f in figures if f.name == name and math.isfinite(f.value)]


def _ends(report: Report, name: str) -> tuple[float, float]:
    """What the strip's scale goes from and to: 0 to 1 where all figures lie there."""
    values = _all(report, name) or [0.0]
    low, high = min(values), max(values)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return (0.0 if 0 <= low < high / 2 else low), (high if high > low else low + 1)


def _strips(report: Report, headline: Line) -> list[Strip]:
    low, high = _ends(report, headline.name)

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    strips = []
    for group in report.groups:
        entries = report.of(group)
        own = [
            Dot(place(v), e.row) for e in entries if math.isfinite(v := _value(e, headline.name))
        ]
        others = [
            Dot(place(f.value), e.row)
            for e in entries
            for f in e.shuffled
            if f.name == headline.name and math.isfinite(f.value)
        ]
        mean = headline.by_group.get(group)
        centre = place(mean.value) if mean and math.isfinite(mean.value) else None
        strips.append(Strip(group, tuple(own), tuple(others), centre))
    return strips
