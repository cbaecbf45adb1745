"""A strength that changes over the run: points, and what lies between them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from ..ground.errors import UserError
from ..ground.log import log
from .factors import MAX_STRENGTH, Factor
from .schedule import Schedule

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
        listed: the points are one a step, for a sampler of as many steps.

    Raises:
        UserError: no points, points out of order or no numbers, strengths out of range.
    """

    points: tuple[tuple[float, float], ...]
    between: Between = "linear"
    places: Over = "percent"
    listed: bool = False

    def __post_init__(self) -> None:
        require_points(self.points, "place")

    @property
    def silences(self) -> bool:
        return all(strength == 0.0 for _, strength in self.points)

    @property
    def words(self) -> str:
        known = [name for name, points in PRESETS.items() if points == self.points]
        if known and self.places == "percent":
            return f"curve {known[0]}, {self.between}"
        return f"curve of {len(self.points)} points over {self.places}, {self.between}"

    def on(self, schedule: Schedule) -> Factor:
        if self.places == "sigma":
            return _Placed(self, lambda sigma: sigma)
        if self.places == "percent":
            beyond = [place for place, _ in self.points if not 0.0 <= place <= 1.0]
            if beyond:
                log.warning(
                    "a curve over percent has places beyond 0 to 1, where no run comes to: %s; "
                    "the middle of a run is 0.5",
                    ", ".join(f"{place:g}" for place in beyond[:4]),
                )
            return _Placed(self, schedule.percent)
        if len(schedule.sigmas) < 2:
            raise UserError("a curve over steps needs the sampler's schedule; there is none.")
        if self.listed and len(self.points) != schedule.total:
            raise UserError(
                f"there are {len(self.points)} strengths for {schedule.total} steps of the "
                "sampler; give one for each, or points (step:strength)."
            )
        return _Placed(self, schedule.step)

    def strength(self, place: float) -> float:
        """The strength at a place."""
        return along(self.points, self.between, place)


@dataclass(frozen=True)
class _Placed(Factor):
    """A curve on one run."""

    curve: Curve
    place: Callable[[float], float]

    def at(self, sigma: float) -> float:
        return self.curve.strength(self.place(sigma))


def along(points: Sequence[tuple[float, float]], between: Between, place: float) -> float:
    """The strength at a place on the way through `points`; the first and last hold beyond."""
    index = bisect_right([at for at, _ in points], place)
    if index == 0:
        return points[0][1]
    if index == len(points):
        return points[-1][1]
    (left, low), (right, high) = points[index - 1], points[index]
    return low + (high - low) * _EASINGS[between]((place - left) / (right - left))


def pairs_in_words(pairs: Sequence[tuple[object, float]], most: int = 4) -> str:
    """`0:1, 8:0`, at most so many pairs and then how many more."""
    shown = [f"{one:g}" if isinstance(one, float) else f"{one}" for one, _ in pairs[:most]]
    text = ", ".join(f"{one}:{n:g}" for one, (_, n) in zip(shown, pairs, strict=False))
    return text + (f" and {len(pairs) - most} more" if len(pairs) > most else "")


def require_points(
    points: Sequence[tuple[float, float]], place_word: str, whole: str = "a curve"
) -> None:
    """Raise UserError for no points, points out of order or no numbers, strengths out of range.

    `place_word` and `whole` are what errors call a point's place, and all of them.
    """
    at = [place for place, _ in points]
    if not at or not all(math.isfinite(place) for place in at):
        raise UserError(f"{whole} needs points, and every {place_word} of one has to be a number.")
    if any(later <= earlier for earlier, later in pairwise(at)):
        shown = ", ".join(f"{place:g}" for place in at)
        raise UserError(f"the {place_word}s of {whole} have to ascend, and are {shown}.")
    for place, strength in points:
        if not 0.0 <= strength <= MAX_STRENGTH:  # also refuses NaN
            raise UserError(
                f"the strength of {whole} at {place_word} {place:g} is {strength:g}; it must be "
                f"between 0 and {MAX_STRENGTH:g}."
            )
