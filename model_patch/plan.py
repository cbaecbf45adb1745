"""Stack x sampler schedule -> the strength of every control at every step.

What a timeline draws is what the engine obeys: both ask the same `Plan`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ..ground.errors import UserError
from .control import ControlStack
from .factors import Factor
from .schedule import Schedule


@dataclass(frozen=True)
class Plan:
    """Strengths over a schedule.

    Args:
        names, factors: one entry a control, in the stack's order; factors ready for the run.
        schedule: the sampler's, from noise to picture.
    """

    names: tuple[str, ...]
    factors: tuple[tuple[Factor, ...], ...]
    schedule: Schedule
    _known: dict[float, tuple[float, ...]] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, stack: ControlStack, schedule: Schedule) -> Plan:
        """Resolve every factor of the stack against one model and one schedule.

        Raises:
            UserError: a factor that this schedule does not have; names the control.
        """
        ready = []
        for control in stack:
            try:
                ready.append(tuple(factor.on(schedule) for factor in control.factors))
            except UserError as error:
                raise error.at(control.name) from error
        return cls(tuple(control.name for control in stack), tuple(ready), schedule)

    def at(self, sigma: float) -> tuple[float, ...]:
        """The strength of each control at `sigma`; 0 where it is not active.

        Asked several times a step, and a curve may ask the host's schedule many times for each.
        """
        if sigma not in self._known:
            strengths = (math.prod(f.at(sigma) for f in factors) for factors in self.factors)
            self._known[sigma] = tuple(strengths)
        return self._known[sigma]

    def table(self) -> tuple[tuple[float, ...], ...]:
        """One row a control, one column a step."""
        columns = [self.at(sigma) for sigma in self.schedule.sigmas[:-1]]
        return tuple(tuple(column[row] for column in columns) for row in range(len(self.names)))
