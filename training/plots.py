"""The curves of a run in one picture: the loss, and how well pictures follow their hints."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from typing import Any

import numpy as np

from ..ground.errors import UserError
from .events import GAIN, Point, Validation
from .gain import OWN_WINS

SMOOTHING = 40
"""The thick line of the loss is its mean over this part of all points."""
LOSS, FIGURE, MARK = "#8a8f98", "#c2410c", "#1d4ed8"


@dataclass(frozen=True)
class Rise:
    """Where a figure changed fastest: between which steps, from what to what."""

    start: int
    end: int
    before: float
    after: float


def steepest(steps: Sequence[int], values: Sequence[float]) -> Rise | None:
    """The neighbours between which `values` change most a step; None without two numbers."""
    known = [(s, v) for s, v in zip(steps, values, strict=True) if not math.isnan(v)]
    pairs = [Rise(s, t, v, w) for (s, v), (t, w) in pairwise(known) if t > s and v != w]
    return max(pairs, key=lambda r: abs(r.after - r.before) / (r.end - r.start), default=None)


def draw_curve(points: Sequence[Point], validations: Sequence[Validation], title: str) -> bytes:
    """The plot as PNG: the loss on a logarithmic scale, and beneath it the headline figure of the
    validations, dashed where the network was not used, and the gain, dashed how often the own hint
    wins; the steepest change of each is marked.

    Raises UserError without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError(
            'The curve is drawn by matplotlib, which is not installed: pip install "controlstack'
            '[train]".'
        ) from None
    panels = _panels(validations)
    count = 1 + len(panels)
    figure = Figure(figsize=(9, 3.2 * count + 0.6), dpi=110, layout="constrained")
    axes = np.atleast_1d(figure.subplots(count, 1, sharex=True))
    figure.suptitle(title)
    _draw_loss(axes[0], points)
    for one, names in zip(axes[1:], panels, strict=True):
        _draw_figures(one, validations, names)
    axes[-1].set_xlabel("step")
    axes[-1].xaxis.get_major_locator().set_params(integer=True)
    for one in axes:
        one.grid(True, alpha=0.25)
        one.spines[["top", "right"]].set_visible(False)
    png = BytesIO()
    with warnings.catch_warnings():
        # A name in letters that matplotlib's font lacks is drawn with boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(png, format="png")
    return png.getvalue()


def moving_mean(values: Sequence[float], window: int) -> list[float]:
    """The mean of each value and those before it, `window` in all."""
    sums = np.cumsum([0.0, *values])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    means: list[float] = ((sums[ends] - sums[starts]) / (ends - starts)).tolist()
    return means


def _draw_loss(axes: Any, points: Sequence[Point]) -> None:
    steps, losses = [p.step for p in points], [p.loss for p in points]
    axes.set_ylabel("loss")
    if not points:
        return
    axes.plot(steps, losses, color=LOSS, linewidth=0.8, alpha=0.6, label="each point")
    window = max(1, len(points) // SMOOTHING)
    if window > 1:
        smooth = moving_mean(losses, window)
        axes.plot(steps, smooth, color=MARK, linewidth=1.8, label=f"mean of {window} points")
        axes.legend(frameon=False, loc="upper right")
    if min(losses) > 0:
        axes.set_yscale("log")


def _panels(validations: Sequence[Validation]) -> list[list[str]]:
    """The figures of each plot beneath the loss's, the headline first."""
    names = list(dict.fromkeys(name for one in validations for name in one.figures))
    measured = [name for name in (GAIN, OWN_WINS) if name in names]
    fidelity = [name for name in names if name not in measured]
    drawn = [name for name in fidelity if name.startswith(fidelity[0])]
    return [panel for panel in (drawn, measured) if panel]


def _draw_figures(axes: Any, validations: Sequence[Validation], names: Sequence[str]) -> None:
    headline = names[0]
    for name in names:
        tried = [one for one in validations if name in one.figures]
        steps, values = [one.step for one in tried], [one.figures[name] for one in tried]
        if name != headline:
            axes.plot(steps, values, color=LOSS, linestyle="--", label=name)
            continue
        axes.plot(steps, values, color=FIGURE, marker="o", markersize=3.5, label=name)
        rise = steepest(steps, values)
        if rise is not None:
            words = (
                f"steepest: {rise.before:.3g} → {rise.after:.3g}, steps {rise.start} to {rise.end}"
            )
            axes.axvspan(rise.start, rise.end, color=MARK, alpha=0.12, linewidth=0, label=words)
    axes.set_ylabel(headline)
    axes.legend(frameon=False, loc="best")
