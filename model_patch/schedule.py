"""A sampler's steps and the host's percents: the same noise levels, counted in two ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .protocols import Sampling


@dataclass(frozen=True)
class Window:
    """Which part of a sampler's steps a run takes: those before it, and of how many (0: not known).

    ComfyUI's KSamplerAdvanced leaves steps out at either end, and counts all.
    """

    before: int = 0
    total: int = 0


@dataclass(frozen=True)
class Schedule:
    """The host's noise schedule and the sampler's own.

    Args:
        sampling: the host's.
        sigmas: the noise levels of the run, descending, one more than steps; or none.
        window: which of the sampler's steps these are.
    """

    sampling: Sampling
    sigmas: tuple[float, ...] = ()
    window: Window = Window()

    @property
    def steps(self) -> int:
        """How many steps the run has."""
        return max(len(self.sigmas) - 1, 0)

    @property
    def total(self) -> int:
        """How many steps the sampler counts, with those that this run leaves out."""
        return max(self.window.total, self.window.before + self.steps)

    def percent(self, sigma: float) -> float:
        """The share of the training timesteps, 0..1 from noise to picture, at which the host has
        this noise level: `percent_to_sigma`, which descends, the other way round."""
        low, high = 0.0, 1.0
        for _ in range(40):  # to 1e-12
            middle = (low + high) / 2
            above = self.sampling.percent_to_sigma(middle) > sigma
            low, high = (middle, high) if above else (low, middle)
        return high

    def step(self, sigma: float) -> float:
        """Which of the sampler's steps begins at this noise level; between two it is a fraction."""
        later = [i for i, start in enumerate(self.sigmas) if start <= sigma]
        after = later[0] if later else len(self.sigmas) - 1
        if after == 0 or self.sigmas[after] == sigma:
            return float(after + self.window.before)
        before, end = self.sigmas[after - 1], self.sigmas[after]
        return self.window.before + after - 1 + (before - sigma) / (before - end)

    def percents(self, first: int, last: int) -> tuple[float, float]:
        """A range of percents that holds the run's steps from `first` up to, without, `last`.

        Its ends lie half-way to the steps beside it, as far as possible from either.
        """

        def before(step: int) -> float:
            return (self.percent(self.sigmas[step - 1]) + self.percent(self.sigmas[step])) / 2

        first, last = first - self.window.before, last - self.window.before
        start = 0.0 if first <= 0 else before(first)
        end = 1.0 if last >= self.steps else before(last)
        return start, end

    def spans(self, active: Sequence[bool]) -> list[tuple[int, int]]:
        """The sampler's steps from a first up to, without, a last, between which all of the run's
        steps are `active`."""
        padded = [False, *active, False]
        edges = [i + self.window.before for i, (a, b) in enumerate(pairwise(padded)) if a != b]
        return list(zip(edges[::2], edges[1::2], strict=True))

    def words(self, active: Sequence[bool]) -> str:
        """Which of the run's steps are active, for a person: "steps 0 to 7 of 20" are the first
        seven."""
        spans = ", ".join(f"{first} to {last}" for first, last in self.spans(active))
        return f"steps {spans} of {self.total}" if spans else "no step"
