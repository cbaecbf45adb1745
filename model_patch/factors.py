"""What makes a control act more or less. All factors of a control multiply.

A factor overrides the methods of what it varies with and leaves the others at 1. A new one is a
dataclass here and, for a user, an input of a node.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..ground.errors import UserError
from .call import CONDITIONAL, Call, Row
from .grid import grid_of, laid_on
from .protocols import Sampling
from .residuals import Place, Residuals
from .view import View

MAX_STRENGTH = 10.0
"""The largest strength, as in ComfyUI's own ControlNetApplyAdvanced."""

REFERENCE_HEIGHT = 64
"""The 64 of the paper's w_i = 64 / h_i: the latent height of its 512 px pictures."""


@dataclass(frozen=True)
class Schedule:
    """The host's noise schedule and the sampler's own: one more sigma than steps, or none."""

    sampling: Sampling
    sigmas: tuple[float, ...] = ()

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
            return float(after)
        before, end = self.sigmas[after - 1], self.sigmas[after]
        return after - 1 + (before - sigma) / (before - end)


class Factor:
    """A reason to act more or less."""

    def on(self, schedule: Schedule) -> Factor:
        """The same factor, ready for one run."""
        return self

    def at(self, sigma: float) -> float:
        """What it is at a noise level, for all rows and blocks; the net is not run at 0."""
        return 1.0

    def of_row(self, row: Row) -> float:
        """What it is for a row of the batch; the net is not run for rows at 0."""
        return 1.0

    def of_block(self, place: Place) -> float:
        """What it is for one residual."""
        return 1.0

    def over(self, call: Call, like: Tensor) -> Tensor | None:
        """What it is over the picture: weights that a residual `like` is multiplied by."""
        return None


@dataclass(frozen=True)
class Strength(Factor):
    """One number throughout."""

    value: float

    def at(self, sigma: float) -> float:
        return self.value


@dataclass(frozen=True)
class Between(Factor):
    """Active where `low <= sigma <= high` (`low` itself is out when `open_low`)."""

    high: float
    low: float
    open_low: bool = False

    def at(self, sigma: float) -> float:
        above = sigma > self.low if self.open_low else sigma >= self.low
        return float(above and sigma <= self.high)


NOWHERE = Between(high=-math.inf, low=math.inf)


@dataclass(frozen=True)
class Span(Factor):
    """Start and end by the host's percent rule, 0..1.

    Linear in the training timesteps, not in the sampler's steps, and inclusive at both ends: what
    ComfyUI's ControlNetApplyAdvanced does. A start after the end covers nothing.
    """

    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("start", self.start), ("end", self.end)):
            if not 0.0 <= value <= 1.0:  # also refuses NaN
                raise UserError(f"{name}_percent is {value}; it must be between 0 and 1.")

    def on(self, schedule: Schedule) -> Factor:
        """The span in sigmas, in single precision, in which samplers count them and ComfyUI
        compares: a step that begins where the span does is in it."""
        ends = [schedule.sampling.percent_to_sigma(percent) for percent in (self.start, self.end)]
        return Between(*torch.tensor(ends, dtype=torch.float32).tolist())


@dataclass(frozen=True)
class StepSpan(Factor):
    """Exact sampler steps, `first` included, `last` not, counted from 0.

    A sampler that evaluates between steps (heun, dpm_2) counts an evaluation by its sigma: at the
    sigma where step i begins, it belongs to step i.
    """

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last:
            raise UserError(
                f"the steps {self.first}..{self.last} are no range: the first must be 0 or more "
                "and the last not before it."
            )

    def on(self, schedule: Schedule) -> Factor:
        sigmas = schedule.sigmas
        steps = len(sigmas) - 1
        if steps < 1:
            raise UserError("a range of exact steps needs the sampler's schedule; there is none.")
        if self.first >= min(self.last, steps):
            return NOWHERE
        high = math.inf if self.first == 0 else sigmas[self.first]
        low = -1.0 if self.last >= steps else sigmas[self.last]
        return Between(high, low, open_low=True)


@dataclass(frozen=True)
class Sides(Factor):
    """A number for each side of the guidance: the prompt's, and all others."""

    cond: float = 1.0
    uncond: float = 1.0

    def of_row(self, row: Row) -> float:
        return self.cond if row.side == CONDITIONAL else self.uncond


@dataclass(frozen=True)
class Resolution(Factor):
    """The paper's resolution weighting: w_i = 64 / h_i, h_i the height of the block's feature map
    (arXiv 2302.05543, 3.4, "Classifier-free guidance resolution weighting"): 1 at 64 x 64, 8 at
    8 x 8. A transformer's blocks are all of one resolution: there it is 1.
    """

    def of_block(self, place: Place) -> float:
        return 1.0 if place.height is None else REFERENCE_HEIGHT / place.height


@dataclass(frozen=True, eq=False)
class Mask(Factor):
    """Where in the picture: masks (N, H, W) in 0..1, resized bilinearly to each residual's size.

    Picture i takes mask i, by the rules of `view`; latent frames of a film take theirs likewise.
    Transformer tokens take the mask on the grid that the model cuts its latent into.
    """

    masks: Tensor
    view: View = field(default_factory=View)
    _sizes: dict[object, Tensor] = field(default_factory=dict, repr=False)

    def on(self, schedule: Schedule) -> Factor:
        return replace(self, _sizes={})

    def over(self, call: Call, like: Tensor) -> Tensor | None:
        frames, *size = grid = grid_of(call, like)
        if frames > 1:
            numbers = [self.view.number(frame, len(self.masks)) for frame in call.frames]
            rows = self._resized_to(size, like)[numbers].movedim(0, 1)[None]
        elif (seen := self.view(call, len(self.masks))).crops:
            rows = _resize(seen.of(self.masks[:, None]).to(like), size).repeat(
                seen.repeats, 1, 1, 1
            )
        else:
            numbers = [number for number, _ in seen.rows] * seen.repeats
            rows = self._resized_to(size, like)[numbers]
        return laid_on(rows.view(-1, 1, *grid), like)

    def _resized_to(self, size: Sequence[int], like: Tensor) -> Tensor:
        key = (tuple(size), like.dtype, like.device)
        if key not in self._sizes:
            self._sizes[key] = _resize(self.masks[:, None].to(like), size)
        return self._sizes[key]


def _resize(masks: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(masks, size=tuple(size), mode="bilinear")


def weighed(residuals: Residuals, call: Call, factors: Sequence[Factor]) -> Residuals:
    """Multiply by all that differs between rows, blocks and places; what is one number for all of
    them (`Factor.at`) is the net's own strength."""
    rows = [math.prod(factor.of_row(row) for factor in factors) for row in call.rows]
    alike = all(row == 1.0 for row in rows)

    def change(residual: Tensor, place: Place) -> Tensor:
        block = math.prod(factor.of_block(place) for factor in factors)
        if block != 1.0:
            residual = residual * block
        if not alike:
            weights = torch.tensor(rows, dtype=residual.dtype, device=residual.device)
            residual = residual * weights.view(-1, *(1,) * (residual.ndim - 1))
        for factor in factors:
            over = factor.over(call, residual)
            residual = residual if over is None else residual * over
        return residual

    return residuals.map(change)
