"""Timelines as one picture: a row a control over the sampler's steps."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Sequence
from io import BytesIO
from itertools import accumulate
from typing import Any

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
NONE = 0.3
DPI = 110

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
        figure.savefig(png, format="png")
    return png.getvalue()


class _Page:
    """A figure measured in inches from its upper left corner."""

    def __init__(self, figure: Any) -> None:
        self.figure = figure
        self.width, self.height = figure.get_size_inches()

    def axes(self, left: float, top: float, width: float, height: float) -> Any:
        """Axes at a place."""
        bottom = self.height - top - height
        return self.figure.add_axes(
            (left / self.width, bottom / self.height, width / self.width, height / self.height)
        )

    def text(self, left: float, top: float, words: str, size: float, **how: Any) -> None:
        """Words whose upper left corner is at a place; never read as mathematics."""
        place = (left / self.width, 1 - top / self.height)
        how = {"color": INK, "va": "top", **how}
        self.figure.text(*place, one_line_each(words), fontsize=size, parse_math=False, **how)


def one_line_each(words: str) -> str:
    """Line breaks are ours; what else a file's name may hold is escaped."""
    return "\n".join(one_line(line) for line in words.split("\n"))


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
        below, height = top + HEAD, ROW - HEAD - 0.16
        _thumbnail(page, line.hint, EDGE, below)
        if line.mask:
            _thumbnail(page, line.mask, EDGE + THUMB + GAP, below)
        axes = page.axes(left, below, width, height)
        _strengths(axes, timeline, line, colour)
        if number == len(timeline.lines) - 1:
            _label_steps(axes, timeline)
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
    height = ROW - HEAD - 0.16
    axes = page.axes(left, top, THUMB, height)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#d1d5db")
    if picture is None:
        axes.text(0.5, 0.5, "no\npicture", ha="center", va="center", fontsize=7, color=FAINT)
        return
    axes.imshow(picture.pixels, cmap="gray", vmin=0, vmax=255, aspect="equal")
    axes.set_anchor("NW")
    if picture.count > 1:
        box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1}
        axes.text(
            *(0.96, 0.06, f"1 of {picture.count}"),
            **{"transform": axes.transAxes, "ha": "right", "fontsize": 6.5, "bbox": box},
        )


def _strengths(axes: Any, timeline: Timeline, line: Line, colour: str) -> None:
    schedule = timeline.schedule
    first, total = schedule.window.before, schedule.total
    last = first + schedule.steps
    highest = max(1.0, *line.strengths, *line.curve) if line.strengths else 1.0
    steps = range(first, last + 1)
    held = [*line.strengths, *line.strengths[-1:]]
    if held:
        axes.fill_between(steps, held, step="post", color=colour, alpha=0.28, linewidth=0)
        axes.step(steps, held, where="post", color=colour, linewidth=1.6)
        _between_steps(axes, line, first, schedule.steps)
    for outside in ((0, first), (last, total)):
        if outside[0] < outside[1]:
            axes.axvspan(*outside, facecolor="#e5e7eb", hatch="///", edgecolor="#cbd5e1", zorder=0)
    axes.axhline(1.0, color=FAINT, linewidth=0.6, linestyle=":", zorder=0)
    axes.set_xlim(0, max(total, 1))
    axes.set_ylim(0, highest * 1.12)
    axes.set_yticks([0, 1] if highest == 1.0 else [0, 1, round(highest, 2)])
    axes.set_xticks(_labelled(timeline), labels=[])
    axes.tick_params(labelsize=7.5, length=2, colors=FAINT)
    axes.grid(True, axis="x", alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)


def _between_steps(axes: Any, line: Line, first: int, steps: int) -> None:
    """The strength between two steps, a thin line where the sampler's steps hold another."""
    within = (len(line.curve) - 1) // steps
    held = [line.strengths[min(i // within, steps - 1)] for i in range(len(line.curve))]
    if any(abs(a - b) > 1e-6 for a, b in zip(held, line.curve, strict=True)):
        places = [first + i / within for i in range(len(line.curve))]
        axes.plot(places, line.curve, color=INK, linewidth=0.7, alpha=0.75)


def _labelled(timeline: Timeline) -> list[int]:
    total = timeline.schedule.total
    every = next(n for n in _STRIDES if total / n < MOST_LABELS)
    return list(range(0, total + 1, every))


_STRIDES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10**4, 10**5, 10**6)


def _label_steps(axes: Any, timeline: Timeline) -> None:
    schedule = timeline.schedule

    def label(step: int) -> str:
        place = step - schedule.window.before
        there = 0 <= place < len(schedule.sigmas)
        return f"{step}\n{_sigma(schedule.sigmas[place])}" if there else f"{step}\n"

    places = _labelled(timeline)
    axes.set_xticks(places, labels=[label(step) for step in places])
    for text in axes.get_xticklabels():
        text.set_linespacing(1.35)
    axes.annotate(
        *("step\nsigma", (0, 0)),
        **{"xytext": (-15, -4.5), "xycoords": "axes fraction", "textcoords": "offset points"},
        **{"ha": "right", "va": "top", "fontsize": 7.5, "color": FAINT, "linespacing": 1.35},
    )


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
    runs = f"{line.runs} net run{'s' if line.runs != 1 else ''}"
    if line.cost.once:
        runs = "1 net run, held for all steps"
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
    axes = page.axes(left, top, width, 0.16)
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    nets = [(timeline.share(line), i) for i, line in enumerate(timeline.lines)]
    begin = 1.0 - sum(share for share, _ in nets)
    axes.barh(0, begin, color="#d1d5db")
    for share, number in nets:
        axes.barh(0, share, left=begin, color=COLOURS[number % len(COLOURS)], alpha=0.7)
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
