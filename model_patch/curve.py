"""A strength that changes over the run: points, and what lies between them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from ..ground.errors import UserError
from .factors import MAX_STRENGTH, Factor, Schedule

Between = Literal["linear", "smooth", "cosine", "stepped"]
Over = Literal["percent", "steps", "sigma"]
BETWEEN: tuple[str, ...] = get_args(Between)
OVER: tuple[str, ...] = get_args(Over)

_EASINGS: dict[str, Callable[[float], float]] = {
    "linear": lambda share: share,
    "smooth": lambda share: share * share * (3 - 2 * share),  # Hermite's smoothstep
    "cosine": lambda share: (1 - math.cos(math.pi * share)) / 2,
    "stepped": lambda share: 0.0,
}

PRESETS: dict[str, tuple[tuple[float, float], ...]] = {
    "fade in": ((0.0, 0.0), (1.0, 1.0)),
    "fade out": ((0.0, 1.0), (1.0, 0.0)),
    "hold then release": ((0.0, 1.0), (0.5, 1.0), (0.8, 0.0)),
    "pulse": ((0.0, 0.0), (0.5, 1.0), (1.0, 0.0)),
}
"""Curves by name, over percent."""


@dataclass(frozen=True)
class Curve(Factor):
    """Strength over the run, through `points` (place, strength); the first and last hold beyond.

    Args:
        points: places ascending, strengths 0..10. At 0 the net is not run.
        between: "stepped" holds each strength until the next place; the others go there.
        places: what they are counted in: "percent" 0..1 by the host's rule (a share of the training
            timesteps, as start_percent), "steps" of the sampler from 0, with evaluations between
            two steps lying between them, or "sigma".

    Raises:
        UserError: no points, points out of order or no numbers, strengths out of range.
    """

    points: tuple[tuple[float, float], ...]
    between: Between = "linear"
    places: Over = "percent"

    def __post_init__(self) -> None:
        at = [place for place, _ in self.points]
        if not at or not all(math.isfinite(place) for place in at):
            raise UserError("a curve needs points, and every place of one has to be a number.")
        if any(later <= earlier for earlier, later in pairwise(at)):
            shown = ", ".join(f"{place:g}" for place in at)
            raise UserError(f"the places of a curve have to ascend, and are {shown}.")
        for place, strength in self.points:
            if not 0.0 <= strength <= MAX_STRENGTH:  # also refuses NaN
                raise UserError(
                    f"a curve's strength at {place:g} is {strength:g}; it must be between 0 and "
                    f"{MAX_STRENGTH:g}."
                )

    def on(self, schedule: Schedule) -> Factor:
        if self.places == "sigma":
            return _Placed(self, lambda sigma: sigma)
        if self.places == "percent":
            return _Placed(self, schedule.percent)
        if len(schedule.sigmas) < 2:
            raise UserError("a curve over steps needs the sampler's schedule; there is none.")
        return _Placed(self, schedule.step)

    def strength(self, place: float) -> float:
        """The strength at a place."""
        index = bisect_right([at for at, _ in self.points], place)
        if index == 0:
            return self.points[0][1]
        if index == len(self.points):
            return self.points[-1][1]
        (left, low), (right, high) = self.points[index - 1], self.points[index]
        return low + (high - low) * _EASINGS[self.between]((place - left) / (right - left))


@dataclass(frozen=True)
class _Placed(Factor):
    """A curve on one run."""

    curve: Curve
    place: Callable[[float], float]

    def at(self, sigma: float) -> float:
        return self.curve.strength(self.place(sigma))
