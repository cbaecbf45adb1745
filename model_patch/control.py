"""What a user stacks: one frozen `Control` a line, and when each of them is active."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from ..ground.errors import UserError
from .protocols import ControlNet, Sampling

MAX_STRENGTH = 10.0
"""The largest strength, as in ComfyUI's own ControlNetApplyAdvanced."""

Mode = Literal["balanced", "cfg_rw"]
MODES: tuple[str, ...] = get_args(Mode)

AreaHint = Literal["whole", "crop"]
AREA_HINTS: tuple[str, ...] = get_args(AreaHint)


@dataclass(frozen=True)
class Window:
    """The sigmas at which a control is active: `low <= sigma <= high` (`low` itself is out when
    `open_low`)."""

    high: float
    low: float
    open_low: bool = False

    def __contains__(self, sigma: float) -> bool:
        above = sigma > self.low if self.open_low else sigma >= self.low
        return above and sigma <= self.high


NOWHERE = Window(high=-math.inf, low=math.inf)


@dataclass(frozen=True)
class Span:
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

    def window(self, sampling: Sampling, sigmas: Sequence[float]) -> Window:
        """The span in sigmas. `sigmas` (the sampler's schedule) does not matter to this rule.

        Rounded to single precision, in which samplers count sigmas and ComfyUI compares: a step
        that begins where the span does is in it.
        """
        del sigmas
        high, low = (sampling.percent_to_sigma(percent) for percent in (self.start, self.end))
        return Window(_single(high), _single(low))


def _single(value: float) -> float:
    return float(torch.tensor(value, dtype=torch.float32))


@dataclass(frozen=True)
class StepSpan:
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

    def window(self, sampling: Sampling, sigmas: Sequence[float]) -> Window:
        """The span in sigmas, given the sampler's whole schedule (one more value than steps)."""
        del sampling
        steps = len(sigmas) - 1
        if steps < 1:
            raise UserError("a range of exact steps needs the sampler's schedule; there is none.")
        if self.first >= min(self.last, steps):
            return NOWHERE
        high = math.inf if self.first == 0 else sigmas[self.first]
        low = -1.0 if self.last >= steps else sigmas[self.last]
        return Window(high, low, open_low=True)


@dataclass(frozen=True, eq=False)
class Control:
    """One line of the stack. Never changed, only replaced.

    Args:
        net: a CONTROL_NET of the host.
        hint: (B, 3, H, W), 0..1; resized by the net to the size it needs.
        name: what errors call it.
        strength: factor on every residual, 0..10.
        span: when it is active.
        mask: (B, H, W), 0..1, where it acts; resized to each residual. None: everywhere.
        mode: "balanced", or "cfg_rw": the paper's guidance resolution weighting (`weighting.py`).
        vae: the host's VAE, for nets that take latents (SD 3, Flux, Qwen-Image); others ignore it.
        area_hint: what a conditioning with an area sees of the hint. "whole": all of it, squeezed
            into the area, as in ComfyUI; "crop": the part of it that lies in the area.

    Raises:
        UserError: a value out of range, or a hint or mask of the wrong shape.
    """

    net: ControlNet
    hint: Tensor
    name: str = "control"
    strength: float = 1.0
    span: Span | StepSpan = field(default_factory=Span)
    mask: Tensor | None = None
    mode: Mode = "balanced"
    vae: Any = None
    area_hint: AreaHint = "whole"

    def __post_init__(self) -> None:
        if not 0.0 <= self.strength <= MAX_STRENGTH:
            raise UserError(
                f"{self.name}: strength is {self.strength}; it must be between 0 and "
                f"{MAX_STRENGTH:g}."
            )
        if self.mode not in MODES:
            raise UserError(f"{self.name}: mode is {self.mode!r}; choose {' or '.join(MODES)}.")
        if self.area_hint not in AREA_HINTS:
            raise UserError(
                f"{self.name}: area_hint is {self.area_hint!r}; choose {' or '.join(AREA_HINTS)}."
            )
        if self.net is None:  # what some of ComfyUI's loaders give for a file they cannot read
            raise UserError(
                f"{self.name}: there is no ControlNet on the wire; its loader found none in the "
                "file, so choose another file there."
            )
        if self.hint.ndim != 4 or self.hint.shape[1] != 3 or 0 in self.hint.shape:
            raise UserError(
                f"{self.name}: the hint has shape {tuple(self.hint.shape)}; it must be a picture "
                "with three channels, (batch, 3, height, width), and at least one pixel."
            )
        if not self.hint.isfinite().all():
            raise UserError(
                f"{self.name}: the hint holds NaN or infinite values; look at what the node that "
                "made it was given."
            )
        if self.mask is not None and (self.mask.ndim != 3 or 0 in self.mask.shape):
            raise UserError(
                f"{self.name}: the mask has shape {tuple(self.mask.shape)}; it must be "
                "(batch, height, width) with at least one pixel."
            )
        if self.mask is not None and not self.mask.isfinite().all():
            raise UserError(
                f"{self.name}: the mask holds NaN or infinite values; look at what the node that "
                "made it was given."
            )

    @property
    def silent(self) -> bool:
        """Whether it can never change the picture: strength 0 or an all-zero mask."""
        return self.strength == 0.0 or (self.mask is not None and not self.mask.any())


ControlStack: TypeAlias = tuple[Control, ...]
"""Controls in the order they were added; chaining is `stack + (control,)`."""
