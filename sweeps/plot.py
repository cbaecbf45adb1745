"""Fidelity against each setting, with its spread, as one picture."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np

from ..evaluation.spread import spread
from ..ground.ours import SOFTWARE
from ..ground.structured import Json
from .record import Record
from .summary import measures

LINE, DOT = "#1d4ed8", "#8a8f98"
MOST_VALUES = 60
"""Values of a setting that are told apart on an axis of words."""
_LETTERS = 28


def draw_plot(records: Sequence[Record], columns: Sequence[str], title: str) -> bytes | None:
    """The plot as PNG: a row a control, a column for each of `columns` that has two values or more.

    The line is the mean of all rows that have a value, the band one standard deviation to each
    side, and a dot a row. None where there is nothing to draw.
    """
    from matplotlib.figure import Figure

    found = measures(records)
    shown = [name for name in columns if 1 < len(_values(records, name)) <= MOST_VALUES]
    if not found or not shown:
        return None
    size = (1.2 + 3.6 * len(shown), 0.9 + 2.9 * len(found))
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    figure.suptitle(title)
    grid = np.atleast_2d(figure.subplots(len(found), len(shown), sharey="row", squeeze=False))
    for row, measure in zip(grid, found, strict=True):
        for axes, name in zip(row, shown, strict=True):
            _draw(axes, records, name, measure)
            axes.grid(True, alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
        better = "higher" if measure.higher_is_better else "lower"
        row[0].set_ylabel(f"{_cut(measure.control)}\n{measure.figure} ({better} is better)")
    for axes, name in zip(grid[-1], shown, strict=True):
        axes.set_xlabel(name)
    png = BytesIO()
    with warnings.catch_warnings():
        # A name in letters that matplotlib's font lacks is drawn with boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(png, format="png", metadata={"Software": SOFTWARE})
    return png.getvalue()


def _draw(axes: Any, records: Sequence[Record], name: str, measure: Any) -> None:
    values = _values(records, name)
    numbers = sorted(v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool))
    numeric = len(numbers) == len(values)
    if numeric:
        values = [*numbers]
    places = [float(at) for at in (numbers if numeric else range(len(values)))]
    place = {repr(value): at for value, at in zip(values, places, strict=True)}
    rows = [(place[repr(r.settings[name])], measure.of(r)) for r in records if name in r.settings]
    groups = [spread(value for at, value in rows if at == one) for one in places]
    means = np.array([group.mean for group in groups])
    widths = np.array([0.0 if math.isnan(g.deviation) else g.deviation for g in groups])
    axes.plot(*zip(*rows, strict=True), ".", color=DOT, alpha=0.5, markersize=4)
    if numeric:
        axes.fill_between(places, means - widths, means + widths, color=LINE, alpha=0.15, lw=0)
        axes.plot(places, means, "o-", color=LINE, markersize=4)
        if len(places) <= 8:
            axes.set_xticks(places, [f"{one:g}" for one in places])
    else:
        axes.errorbar(places, means, widths, fmt="o", color=LINE, capsize=4, markersize=5)
        words = [_cut(str(value)) for value in values]
        tilted = max(map(len, words)) * len(words) > 36
        axes.set_xticks(
            places, words, rotation=30 if tilted else 0, ha="right" if tilted else "center"
        )
        axes.margins(x=0.2)


def _values(records: Sequence[Record], name: str) -> list[Json]:
    found = {repr(r.settings[name]): r.settings[name] for r in records if name in r.settings}
    return list(found.values())


def _cut(words: str) -> str:
    return words if len(words) <= _LETTERS else f"{words[: _LETTERS - 1]}…"
