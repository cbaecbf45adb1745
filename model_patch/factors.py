"""What makes a control act more or less. All factors of a control multiply.

A factor overrides the methods of what it varies with and leaves the others at 1. A new one is a
dataclass in this room and, for a user, a node that makes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..ground.errors import UserError
from .call import CONDITIONAL, Call, Row
from .residuals import Place, Residuals
from .schedule import Schedule
from .view import View

MAX_STRENGTH = 10.0
"""The largest strength, as in ComfyUI's own ControlNetApplyAdvanced."""


class Factor:
    """A reason to act more or less."""

    def on(self, schedule: Schedule) -> Factor:
        """The same factor, ready for one run.

        Raises:
            UserError: a range that this schedule does not have.
        """
        return self

    def under(self, view: View) -> Factor:
        """The same factor, with pictures laid to those that are sampled as `view` says."""
        return self

    def require_pictures(self, count: int) -> None:
        """Raise UserError where it cannot serve a run of `count` pictures or latent frames."""

    def require_blocks(self, places: Sequence[Place]) -> None:
        """Raise UserError where it names blocks that are not among those a net adds to."""

    @property
    def silences(self) -> bool:
        """Whether it is 0 throughout, whatever the run."""
        return False

    @property
    def words(self) -> str:
        """What it is, for a person, in a few words."""
        return type(self).__name__

    def at(self, sigma: float) -> float:
        """What it is at a noise level, for all rows and blocks; the net is not run at 0."""
        return 1.0

    def of_row(self, row: Row) -> float:
        """What it is for a row of the batch; the net is not run for rows at 0."""
        return 1.0

    def of_block(self, place: Place) -> float:
        """What it is for one residual."""
        return 1.0

    def over(self, call: Call, place: Place, like: Tensor) -> Tensor | None:
        """What it is over the picture: weights that a residual `like` is multiplied by; the same
        for all residuals of one shape, or None at some of them."""
        return None


@dataclass(frozen=True)
class Strength(Factor):
    """One number throughout."""

    value: float

    def __post_init__(self) -> None:
        _require_strength("strength", self.value)

    @property
    def silences(self) -> bool:
        return self.value == 0.0

    @property
    def words(self) -> str:
        return f"strength {self.value:g}"

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

    @property
    def words(self) -> str:
        return f"range {self.start:g} to {self.end:g}"

    def on(self, schedule: Schedule) -> Between:
        """The span in sigmas, in single precision, in which samplers count them and ComfyUI
        compares: a step that begins where the span does is in it."""
        ends = [schedule.sampling.percent_to_sigma(percent) for percent in (self.start, self.end)]
        return Between(*torch.tensor(ends, dtype=torch.float32).tolist())


@dataclass(frozen=True)
class StepSpan(Factor):
    """Exact sampler steps, `first` included, `last` not, counted from 0.

    A sampler that evaluates between steps (heun, dpm_2) counts an evaluation by its sigma: at the
    sigma where step i begins, it belongs to step i.

    Args:
        first, last: steps of the sampler; those that a KSamplerAdvanced leaves out count.
        sigmas: the schedule that they are counted on, where it is not the sampler's own: of several
            samplers that share one. One more than steps.
    """

    first: int
    last: int
    sigmas: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last:
            raise UserError(
                f"the steps {self.first} to {self.last} are no range: the first must be 0 or more "
                "and the last not before it."
            )

    @property
    def silences(self) -> bool:
        return self.first == self.last

    @property
    def words(self) -> str:
        return f"steps {self.first} to {self.last}"

    def on(self, schedule: Schedule) -> Factor:
        if self.sigmas:
            schedule = Schedule(schedule.sampling, self.sigmas)
        if schedule.steps < 1:
            raise UserError("a range of exact steps needs the sampler's schedule; there is none.")
        if self.last > self.first >= schedule.total:
            raise UserError(
                f"the steps {self.first} to {self.last} lie outside of the schedule: it has "
                f"{schedule.total} steps, 0 to {schedule.total}, from noise level "
                f"{schedule.sigmas[0]:.4g} down to {schedule.sigmas[-1]:.4g}. Where a sampler is "
                "given a part of a schedule, connect the whole to the sigmas input."
            )
        first, last = (max(step - schedule.window.before, 0) for step in (self.first, self.last))
        if first >= min(last, schedule.steps):
            return NOWHERE
        high = math.inf if first == 0 else schedule.sigmas[first]
        low = -1.0 if last >= schedule.steps else schedule.sigmas[last]
        return Between(high, low, open_low=True)


@dataclass(frozen=True)
class Sides(Factor):
    """A number for each side of the guidance: the prompt's, and all others."""

    cond: float = 1.0
    uncond: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("cond", self.cond), ("uncond", self.uncond)):
            _require_strength(name, value)

    @property
    def silences(self) -> bool:
        return self.cond == self.uncond == 0.0

    @property
    def words(self) -> str:
        return f"prompt x {self.cond:g}, negative prompt x {self.uncond:g}"

    def of_row(self, row: Row) -> float:
        return self.cond if row.side == CONDITIONAL else self.uncond


def _require_strength(what: str, value: float) -> None:
    if not 0.0 <= value <= MAX_STRENGTH:  # also refuses NaN
        raise UserError(f"{what} is {value:g}; it must be between 0 and {MAX_STRENGTH:g}.")


Weighs = Callable[[Tensor, Place], Tensor]
"""Multiplies a residual at its place."""


def weighed(residuals: Residuals, call: Call, factors: Sequence[Factor]) -> Residuals:
    """All of them, as `weighing` multiplies them."""
    return residuals.map(weighing(call, factors))


def weighing(call: Call, factors: Sequence[Factor]) -> Weighs:
    """Multiplies by all that differs between rows, blocks and places; what is one number for all of
    them (`Factor.at`) is the net's own strength. Where nothing differs it gives the residual back.

    Nets of transformers give one tensor to many blocks; it is multiplied once for all of them that
    have the same weight.
    """
    rows = [math.prod(factor.of_row(row) for factor in factors) for row in call.rows]
    alike = all(row == 1.0 for row in rows)
    weights: dict[object, Tensor] = {}  # to copy them to a device takes as long as to multiply
    made: dict[object, tuple[Tensor, Tensor]] = {}  # with the residual, so that its id stays its

    def change(residual: Tensor, place: Place) -> Tensor:
        block = math.prod(factor.of_block(place) for factor in factors)
        overs = [factor.over(call, place, residual) for factor in factors]
        key = (id(residual), block, *(over is None for over in overs))
        if key not in made:
            made[key] = (residual, multiplied(residual, block, overs))
        return made[key][1]

    def multiplied(residual: Tensor, block: float, overs: Sequence[Tensor | None]) -> Tensor:
        if block != 1.0:
            residual = residual * block
        if not alike:
            kind = (residual.dtype, residual.device)
            if kind not in weights:
                weights[kind] = torch.tensor(rows, dtype=kind[0], device=kind[1])
            residual = residual * weights[kind].view(-1, *(1,) * (residual.ndim - 1))
        for over in overs:
            residual = residual if over is None else residual * over
        return residual

    return change
