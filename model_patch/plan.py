"""Stack x sampler schedule -> the strength of every control at every step.

What a timeline draws is what the engine obeys: both ask the same `Plan`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .control import ControlStack
from .factors import Factor, Schedule
from .protocols import Sampling


@dataclass(frozen=True)
class Plan:
    """Strengths over a schedule.

    Args:
        names, factors: one entry a control, in the stack's order; factors ready for the run.
        sigmas: the sampler's schedule, from noise to picture; one more value than steps.
    """

    names: tuple[str, ...]
    factors: tuple[tuple[Factor, ...], ...]
    sigmas: tuple[float, ...]

    @classmethod
    def of(cls, stack: ControlStack, sampling: Sampling, sigmas: Sequence[float]) -> Plan:
        """Resolve every factor of the stack against one model and one schedule."""
        schedule = Schedule(sampling, tuple(sigmas))
        ready = tuple(tuple(f.on(schedule) for f in control.factors) for control in stack)
        return cls(tuple(control.name for control in stack), ready, schedule.sigmas)

    def at(self, sigma: float) -> tuple[float, ...]:
        """The strength of each control at `sigma`; 0 where it is not active."""
        return tuple(math.prod(f.at(sigma) for f in factors) for factors in self.factors)

    def table(self) -> tuple[tuple[float, ...], ...]:
        """One row a control, one column a step."""
        columns = [self.at(sigma) for sigma in self.sigmas[:-1]]
        return tuple(tuple(column[row] for column in columns) for row in range(len(self.names)))
