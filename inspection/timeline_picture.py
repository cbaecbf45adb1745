"""Timelines as one picture: a row a control over the sampler's steps."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import accumulate
from typing import Any

import numpy as np

from ..ground.ours import SOFTWARE
from ..ground.wording import one_line
from .timeline import Line, Picture, Timeline

COLOURS = ("#1d4ed8", "#c2410c", "#15803d", "#7e22ce", "#0e7490", "#be123c", "#a16207", "#475569")
"""Of the controls, from the first again after the last."""
INK, FAINT, WARNING = "#111827", "#6b7280", "#b91c1c"

# Inches.
WIDTH, EDGE = 12.0, 0.25
THUMB, GAP = 0.82, 0.1
WORDS = 2.9
ROW, HEAD, TITLE, AXIS, BAR, NOTE = 1.42, 0.42, 0.5, 0.42, 0.45, 0.2
CHART, NONE = ROW - HEAD - 0.16, 0.3
DPI = 110
DOTTED = {"linewidth": 0.8, "linestyle": ":"}

MOST_LABELS = 25
"""Labels of steps along the bottom."""


def draw(timelines: Sequence[Timeline]) -> bytes:
    """The timelines below one another, as PNG."""
    from matplotlib.figure import Figure

    heights = [_height(one) for one in timelines]
    figure = Figure(figsize=(WIDTH, sum(heights) + EDGE), dpi=DPI, facecolor="white")
    page = _Page(figure)
    for timeline, below in zip(timelines, accumulate(heights), strict=True):
        _draw(page, timeline, below - _height(timeline))
    png = BytesIO()
    with warnings.catch_warnings():
        # A name in letters that matplotlib's font lacks is drawn with boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(
            png, format="png", metadata={"Software": SOFTWARE}, pil_kwargs={"compress_level": 3}
        )
    return png.getvalue()


class _Page:
    """A figure measured in inches from its upper left corner. It has no axes: of the many that a
    page of timelines would have, each takes longer to make than all that is drawn in it."""

    def __init__(self, figure: Any) -> None:
        from matplotlib.transforms import Affine2D

        self._figure = figure
        self._height = figure.get_size_inches()[1]
        flipped = Affine2D().scale(1, -1).translate(0, self._height)
        self._inches = flipped + figure.dpi_scale_trans

    def text(self, left: float, top: float, words: str, size: float, **how: Any) -> None:
        """Words whose upper left corner is at a place; never read as mathematics."""
        lines = "\n".join(one_line(line) for line in words.split("\n"))
        how = {"color": INK, "va": "top", "transform": self._inches, **how}
        self._figure.text(left, top, lines, fontsize=size, parse_math=False, **how)

    def area(self, corners: Sequence[tuple[float, float]], **how: Any) -> None:
        """A filled shape."""
        from matplotlib.patches import Polygon

        self._figure.add_artist(Polygon(corners, transform=self._inches, **{"linewidth": 0, **how}))

    def box(self, left: float, top: float, width: float, height: float, **how: Any) -> None:
        """A filled rectangle."""
        right, bottom = left + width, top + height
        self.area([(left, top), (right, top), (right, bottom), (left, bottom)], **how)

    def line(self, places: Sequence[tuple[float, float]], **how: Any) -> None:
        """A line from place to place."""
        from matplotlib.lines import Line2D

        across, down = zip(*places, strict=True)
        self._figure.add_artist(Line2D(across, down, transform=self._inches, **how))

    def picture(self, left: float, top: float, pixels: Any) -> None:
        """A picture, uint8 (h, w, 3), pixel for pixel."""
        bottom = (self._height - top) * DPI - len(pixels)
        self._figure.figimage(pixels, round(left * DPI), round(bottom), origin="upper")


@dataclass(frozen=True)
class _Chart:
    """Where a row's strengths are drawn, in inches, and what is to fit: steps 0 to `total`,
    strengths up to `highest`."""

    left: float
    top: float
    width: float
    height: float
    total: int
    highest: float

    def at(self, step: float, strength: float = 0.0) -> tuple[float, float]:
        """The place of a strength."""
        share = strength / (self.highest * 1.1)
        return (
            self.left + self.width * step / max(self.total, 1),
            self.top + self.height * (1 - share),
        )


def _height(timeline: Timeline) -> float:
    rows = ROW * len(timeline.lines) + AXIS + BAR if timeline.lines else NONE
    return TITLE + rows + NOTE * len(_notes(timeline)) + EDGE


def _notes(timeline: Timeline) -> list[str]:
    return [line for note in timeline.notes for line in textwrap.wrap(f"Note: {note}", 150)]


def _draw(page: _Page, timeline: Timeline, top: float) -> None:
    has_masks = any(line.mask for line in timeline.lines)
    left = EDGE + (THUMB + GAP) * (2 if has_masks else 1) + 0.3
    width = WIDTH - left - WORDS - EDGE
    page.text(EDGE, top + 0.2, _cut(timeline.title, 130), 12, weight="bold")
    top += TITLE
    for number, line in enumerate(timeline.lines):
        colour = COLOURS[number % len(COLOURS)] if line.active else FAINT
        page.text(EDGE, top, _cut(line.name, 95), 9.5, weight="bold", color=colour)
        page.text(EDGE, top + 0.2, _cut(", ".join(line.settings), 140), 8, color=FAINT)
        below = top + HEAD
        _thumbnail(page, line.hint, EDGE, below)
        if line.mask:
            _thumbnail(page, line.mask, EDGE + THUMB + GAP, below)
        highest = max(1.0, *line.strengths, *line.curve)
        chart = _Chart(left, below, width, CHART, timeline.schedule.total, highest)
        _strengths(page, chart, timeline, line, colour)
        if number == len(timeline.lines) - 1:
            _label_steps(page, chart, timeline)
        _say(page, timeline, line, left + width + 0.15, below)
        top += ROW
    if timeline.lines:
        _cost(page, timeline, left, top + AXIS, width)
        top += AXIS + BAR
    else:
        page.text(EDGE, top, "No control acts here.", 9, color=FAINT)
        top += NONE
    for number, note in enumerate(_notes(timeline)):
        page.text(EDGE, top + NOTE * number, note, 8, color=FAINT)


def _thumbnail(page: _Page, picture: Picture | None, left: float, top: float) -> None:
    if picture is None:
        page.box(left, top, THUMB, CHART, facecolor="#f3f4f6")
        page.text(left + THUMB / 2, top + 0.3, "no\npicture", 7, color=FAINT, ha="center")
        return
    from PIL import Image

    shown = Image.fromarray(picture.pixels).convert("RGB")
    factor = min(THUMB * DPI / shown.width, CHART * DPI / shown.height)
    size = (max(1, round(shown.width * factor)), max(1, round(shown.height * factor)))
    right, bottom = left + size[0] / DPI, top + size[1] / DPI
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    page.line(corners, color="#d1d5db", linewidth=0.8)  # for white masks
    page.picture(left, top, np.asarray(shown.resize(size)))
    if picture.count > 1:
        page.text(left, bottom + 0.02, f"1 of {picture.count}", 6.5, color=FAINT)


def _strengths(page: _Page, chart: _Chart, timeline: Timeline, line: Line, colour: str) -> None:
    first, steps = timeline.schedule.window.before, timeline.schedule.steps
    for outside in ((0, first), (first + steps, chart.total)):
        if outside[0] < outside[1]:
            (begin, top), (end, bottom) = chart.at(outside[0], chart.highest), chart.at(outside[1])
            page.box(begin, top, end - begin, bottom - top, facecolor="#eceef1")
    for step in _labelled(timeline):
        page.line([chart.at(step), chart.at(step, chart.highest)], color="#e5e7eb", linewidth=0.7)
    page.line([chart.at(0, 1.0), chart.at(chart.total, 1.0)], color="#9ca3af", **DOTTED)
    held = [
        chart.at(first + i + late, strength)
        for i, strength in enumerate(line.strengths)
        for late in (0, 1)
    ]
    ends = chart.at(first + steps), chart.at(first)
    page.area([*held, *ends], facecolor=colour, alpha=0.28)
    page.line(held, color=colour, linewidth=1.6)
    _between_steps(page, chart, line, first, steps)
    page.line([chart.at(0), chart.at(chart.total)], color=FAINT, linewidth=0.8)
    for strength in {0.0, 1.0, chart.highest}:
        across, down = chart.at(0, strength)
        place = {"ha": "right", "va": "center", "color": FAINT}
        page.text(across - 0.06, down, f"{strength:.3g}", 7.5, **place)


def _between_steps(page: _Page, chart: _Chart, line: Line, first: int, steps: int) -> None:
    """The strength between two steps, a thin line where the sampler's steps hold another."""
    within = (len(line.curve) - 1) // steps
    held = [line.strengths[min(i // within, steps - 1)] for i in range(len(line.curve))]
    if any(abs(a - b) > 1e-6 for a, b in zip(held, line.curve, strict=True)):
        places = [chart.at(first + i / within, strength) for i, strength in enumerate(line.curve)]
        page.line(places, color=INK, linewidth=0.7, alpha=0.75)


def _labelled(timeline: Timeline) -> list[int]:
    total = timeline.schedule.total
    every = next(n for n in _STRIDES if total / n < MOST_LABELS)
    return list(range(0, total + 1, every))


_STRIDES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10**4, 10**5, 10**6)


def _label_steps(page: _Page, chart: _Chart, timeline: Timeline) -> None:
    schedule = timeline.schedule
    top = chart.top + chart.height + 0.05
    for step in _labelled(timeline):
        place = step - schedule.window.before
        level = _sigma(schedule.sigmas[place]) if 0 <= place < len(schedule.sigmas) else ""
        across, _ = chart.at(step)
        page.text(across, top, f"{step}", 7.5, ha="center", color=FAINT)
        page.text(across, top + 0.15, level, 7.5, ha="center", color=FAINT)
    for number, words in enumerate(("step", "sigma")):
        page.text(chart.left - 0.22, top + 0.15 * number, words, 7.5, ha="right", color=FAINT)


def _sigma(level: float) -> str:
    """Three digits, two below 1: labels stand close to one another."""
    return f"{level:.3g}" if level >= 1 else f"{level:.2g}"


def _say(page: _Page, timeline: Timeline, line: Line, left: float, top: float) -> None:
    if line.silent:
        page.text(left, top, "no step", 9, weight="bold", color=WARNING)
        why = "\n".join(textwrap.wrap(line.silent, 46)[:4])
        page.text(left, top + 0.19, why, 8, color=WARNING)
        return
    steps, _, percents = line.words.partition(" (")
    blocks = [(_wrapped(steps, 38), 9.0, "bold"), (_wrapped(percents.rstrip(")"), 46), 8.0, "")]
    runs = f"net runs in {line.runs} step{'' if line.runs == 1 else 's'}"
    if line.cost.once:
        runs = "net runs once, held for all steps"
    if len(line.sides) == 1:
        runs += f", {line.sides[0]} only"
    if line.rows != 1.0:
        runs += f" ({line.rows:.0%} of the rows)"
    blocks.append((_wrapped(runs, 46), 8.0, ""))
    blocks.append((f"about {timeline.share(line):.0%} of the run's cost", 8.0, ""))
    for words, size, weight in blocks:
        page.text(left, top, words, size, weight=weight or "normal")
        top += (words.count("\n") + 1) * size * 1.45 / 72 + 0.03


def _cost(page: _Page, timeline: Timeline, left: float, top: float, width: float) -> None:
    """One bar: the U-Net's part of the run's cost, then each net's."""
    nets = [(timeline.share(line), i) for i, line in enumerate(timeline.lines)]
    begin = 1.0 - sum(share for share, _ in nets)
    page.box(left, top, width * begin, 0.14, facecolor="#d1d5db")
    for share, number in nets:
        colour = COLOURS[number % len(COLOURS)]
        page.box(left + width * begin, top, width * share, 0.14, facecolor=colour, alpha=0.7)
        begin += share
    unet = 1.0 - sum(share for share, _ in nets)
    page.text(EDGE, top, "cost", 8, color=FAINT)
    by = {line.cost.source for line in timeline.lines if line.active}
    source = {
        frozenset({"weights"}): "by the numbers of weights",
        frozenset({"family"}): "by what such nets were measured to cost",
        frozenset({"weights", "family"}): "by weights, or by what such nets were measured to cost",
    }.get(frozenset(by), "")
    words = f"U-Net {unet:.0%}, controls {1 - unet:.0%}: an estimate {source}".rstrip()
    page.text(left + width + 0.15, top - 0.02, _wrapped(words, 46), 8, color=FAINT)


def _wrapped(words: str, width: int, most: int = 2) -> str:
    lines = textwrap.wrap(words, width)
    return "\n".join([*lines[: most - 1], *([_cut(" ".join(lines[most - 1 :]), width)])]).rstrip()


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"
