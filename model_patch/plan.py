"""Stack x sampler schedule -> the strength of every control at every step.

What a timeline draws is what the engine obeys: both ask the same `Plan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .control import ControlStack, Window
from .protocols import Sampling


@dataclass(frozen=True)
class Plan:
    """Strengths over a schedule.

    Args:
        names, strengths, windows: one entry a control, in the stack's order.
        sigmas: the sampler's schedule, from noise to picture; one more value than steps.
    """

    names: tuple[str, ...]
    strengths: tuple[float, ...]
    windows: tuple[Window, ...]
    sigmas: tuple[float, ...]

    @classmethod
    def of(cls, stack: ControlStack, sampling: Sampling, sigmas: Sequence[float]) -> Plan:
        """Resolve every span of the stack against one model and one schedule."""
        return cls(
            names=tuple(control.name for control in stack),
            strengths=tuple(0.0 if control.silent else control.strength for control in stack),
            windows=tuple(control.span.window(sampling, sigmas) for control in stack),
            sigmas=tuple(sigmas),
        )

    def at(self, sigma: float) -> tuple[float, ...]:
        """The strength of each control at `sigma`; 0 where it is not active."""
        return tuple(
            strength if sigma in window else 0.0
            for strength, window in zip(self.strengths, self.windows, strict=True)
        )

    def table(self) -> tuple[tuple[float, ...], ...]:
        """One row a control, one column a step."""
        columns = [self.at(sigma) for sigma in self.sigmas[:-1]]
        return tuple(tuple(column[row] for column in columns) for row in range(len(self.names)))
