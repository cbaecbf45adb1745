"""What a sweep tells: how each setting moves fidelity, and which row is best, in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluation.spread import Spread, spread
from ..ground.structured import Json
from .fidelity import LOWER, WHY, figures_in
from .record import Record


@dataclass(frozen=True)
class Measure:
    """The headline figure of one control."""

    control: str
    figure: str
    higher_is_better: bool

    @property
    def title(self) -> str:
        """For a person."""
        return f"{self.control}: {self.figure}"

    def of(self, record: Record) -> float:
        """A row's value; NaN where it has none."""
        value = record.fidelity.get(self.control, {}).get(self.figure)
        return math.nan if value is None else float(value)


@dataclass(frozen=True)
class Setting:
    """Rows that differ in nothing but cases (seeds, pictures, prompts).

    `score` is the mean over controls of the headline figures, each scaled so that its worst row of
    the sweep is 0 and its best is 1.
    """

    values: Mapping[str, Json]
    figures: Mapping[str, Spread]
    score: float
    count: int


def measures(records: Iterable[Record]) -> tuple[Measure, ...]:
    """The headline figures that any row has."""
    found: dict[str, Measure] = {}
    for record in records:
        for control, values in record.fidelity.items():
            figure = next(iter(figures_in(values)), None)
            if figure is not None:
                found.setdefault(
                    control, Measure(control, figure, figure not in values.get(LOWER, ()))
                )
    return tuple(found.values())


def unmeasured(records: Iterable[Record]) -> dict[str, str]:
    """By control why no row has a figure for it."""
    known = list(records)
    have = {one.control for one in measures(known)}
    return {
        control: str(values[WHY])
        for record in known
        for control, values in record.fidelity.items()
        if control not in have and WHY in values
    }


def settings_of(records: Sequence[Record], names: Sequence[str]) -> list[Setting]:
    """The settings of a sweep, values of the columns `names`, the best first; those without a score
    last."""
    found = measures(records)
    scales = [_Scale(one, records) for one in found]
    groups: dict[tuple[tuple[str, str], ...], list[Record]] = {}
    for record in records:
        key = tuple((name, repr(record.settings.get(name))) for name in names)
        groups.setdefault(key, []).append(record)
    made = []
    for rows in groups.values():
        scores = [
            np.mean([scale(one.of(row)) for one, scale in zip(found, scales, strict=True)])
            for row in rows
            if found
        ]
        score = spread(map(float, scores)).mean
        values = {name: rows[0].settings.get(name) for name in names}
        figures = {one.title: spread(map(one.of, rows)) for one in found}
        made.append(Setting(values, figures, score, len(rows)))
    return sorted(made, key=lambda one: math.inf if math.isnan(one.score) else -one.score)


def best_in_words(settings: Sequence[Setting]) -> str:
    """The best setting, and whether the next one is really worse; "" where nothing is measured."""
    known = [one for one in settings if not math.isnan(one.score)]
    if not known:
        return ""
    if len(known) > 1 and known[0].score == known[-1].score:
        return f"No setting is better than another: {_figures(known[0])} for each."
    said = f"Best: {_said(known[0])}, over {known[0].count} row{'s'[: known[0].count != 1]}."
    if len(known) == 1:
        return said
    said += f" Next: {_said(known[1])}."
    if known[0].count == known[1].count == 1:
        return f"{said} With one row of each, chance may decide: add seeds."
    if _apart(known[0], known[1]):
        return said
    return f"{said} The two are no further apart than rows of one setting are."


def _said(one: Setting) -> str:
    values = ", ".join(f"{name} {value}" for name, value in one.values.items())
    return f"{values or 'the workflow as it is'} ({_figures(one)})"


def _figures(one: Setting) -> str:
    return ", ".join(f"{title} {value.words}" for title, value in one.figures.items())


def _apart(one: Setting, other: Setting) -> bool:
    """Whether some figure differs by more than the larger of its two spreads."""
    for title, mine in one.figures.items():
        theirs = other.figures[title]
        widths = [w for w in (mine.deviation, theirs.deviation) if not math.isnan(w)]
        if widths and abs(mine.mean - theirs.mean) > max(widths):
            return True
    return False


class _Scale:
    """0 for the worst value of a figure, 1 for the best."""

    def __init__(self, measure: Measure, records: Sequence[Record]) -> None:
        values = [v for record in records if not math.isnan(v := measure.of(record))]
        low, high = (min(values), max(values)) if values else (0.0, 0.0)
        self._worst, self._best = (low, high) if measure.higher_is_better else (high, low)

    def __call__(self, value: float) -> float:
        width = self._best - self._worst
        return 1.0 if not width and not math.isnan(value) else (value - self._worst) / (width or 1)
