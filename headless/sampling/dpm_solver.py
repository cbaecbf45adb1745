"""DPM-Solver of the third order, as it stands: fast, with a number of evaluations, and adaptive.

Lu et al. 2022, https://arxiv.org/abs/2206.00927, algorithms 1 to 4 in variance-exploding form, and
k-diffusion's step size control (https://github.com/crowsonkb/k-diffusion, MIT). Both end at the
last sigma above 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .noise import Noise
from .stepping import Denoise, OnStep, ancestral

HARDLY = 1e-5
"""What may be left of lambda at the end of an adaptive run."""
MOST_STEPS = 10000
"""An adaptive run that needs more does not end."""


def dpm_fast(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise, on_step: OnStep) -> Tensor:
    """As many evaluations as there are steps, in groups of three, even in lambda."""
    if len(sigmas) < 2:
        return x
    evaluations = len(sigmas) - 1
    start, end = _ends(sigmas)
    groups = evaluations // 3 + 1
    orders = [3] * (groups - 2) + [2, 1] if evaluations % 3 == 0 else [3] * (groups - 1)
    orders += [evaluations % 3] if evaluations % 3 else []
    times = torch.linspace(float(start), float(end), groups + 1, dtype=start.dtype).to(start.device)
    for i, order in enumerate(orders):
        step = _Step(denoise, x, times[i], times[i + 1])
        on_step(i, x - _sigma(times[i]) * step.slope, x)
        x = (step.first, step.second, step.third)[order - 1]()
    return x


def dpm_adaptive(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    on_step: OnStep,
    *,
    order: int = 3,
    rtol: float = 0.05,
    atol: float = 0.0078,
    h_init: float = 0.05,
    pcoeff: float = 0.0,
    icoeff: float = 1.0,
    dcoeff: float = 0.0,
    accept_safety: float = 0.81,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Tensor:
    """Steps as long as two orders agree within `atol` and `rtol`, whatever the number of steps.

    The next length comes from a PID controller of the errors (`pcoeff`, `icoeff`, `dcoeff`).
    """
    if len(sigmas) < 2:
        return x
    now, end = _ends(sigmas)
    lower = x
    propose = _controller(h_init, (pcoeff, icoeff, dcoeff), 1.5 if eta else order, accept_safety)
    length = abs(h_init)
    for i in range(MOST_STEPS):
        if not now < end - HARDLY:
            break
        target = torch.minimum(end, now + length)
        down, up = target, torch.zeros(())
        if eta:
            deeper, _ = ancestral(_sigma(now), _sigma(target), eta)
            down = torch.minimum(end, -deeper.log())
            up = (_sigma(target) ** 2 - _sigma(down) ** 2).sqrt()
        step = _Step(denoise, x, now, down)
        on_step(i, x - _sigma(now) * step.slope, x)
        if order == 2:
            low, high = step.first(), step.second()
        else:
            low, high = step.second(1 / 3), step.third()
        allowed = (rtol * torch.maximum(low.abs(), lower.abs())).clamp(min=atol)
        error = float(((low - high) / allowed).norm() / x.numel() ** 0.5)
        accepted, length = propose(error)
        if accepted:
            fresh = noise(_sigma(now), _sigma(target))
            x, lower, now = high + up * s_noise * fresh, low, target
    return x


class _Step:
    """One step in lambda from `start` to `end`; each place is evaluated once, of whatever order."""

    def __init__(self, denoise: Denoise, x: Tensor, start: Tensor, end: Tensor) -> None:
        self.denoise, self.x, self.start, self.end = denoise, x, start, end
        self.length = end - start
        self.slope = self._slope(x, start)
        self._inner: dict[float, Tensor] = {}

    def first(self) -> Tensor:
        """The first order: along the slope at the start."""
        return self._along(1.0)

    def second(self, share: float = 0.5) -> Tensor:
        """The second order, with the slope at a share of the way."""
        change = self._inside(share) - self.slope
        whole = self.length.expm1()
        return self._along(1.0) - _sigma(self.end) / (2 * share) * whole * change

    def third(self) -> Tensor:
        """The third order, with the slopes at one and two thirds of the way."""
        one, two = 1 / 3, 2 / 3
        change = self._inside(one) - self.slope
        part = two * self.length
        bent = _sigma(self.start + part) * (two / one) * (part.expm1() / part - 1) * change
        further = self._slope(self._along(two) - bent, self.start + part)
        weight = _sigma(self.end) / two * (self.length.expm1() / self.length - 1)
        return self._along(1.0) - weight * (further - self.slope)

    def _along(self, share: float) -> Tensor:
        part = share * self.length
        return self.x - _sigma(self.start + part) * part.expm1() * self.slope

    def _inside(self, share: float) -> Tensor:
        if share not in self._inner:
            place = self.start + share * self.length
            self._inner[share] = self._slope(self._along(share), place)
        return self._inner[share]

    def _slope(self, x: Tensor, time: Tensor) -> Tensor:
        return (x - self.denoise(x, _sigma(time))) / _sigma(time)


def _controller(
    length: float, weights: tuple[float, float, float], order: float, safety: float
) -> Callable[[float], tuple[bool, float]]:
    """error -> whether the step holds, and how long the next one is: Soederlind 2003's digital
    filters with k-diffusion's limiter.
    """
    proportional, integral, derivative = weights
    powers = (
        (proportional + integral + derivative) / order,
        -(proportional + 2 * derivative) / order,
        derivative / order,
    )
    past: list[float] = []

    def propose(error: float) -> tuple[bool, float]:
        nonlocal length, past
        inverse = 1 / (error + 1e-8)
        past = [inverse, *(past[1:] or [inverse, inverse])]
        factor = math.prod(one**power for one, power in zip(past, powers, strict=True))
        factor = 1 + math.atan(factor - 1)
        length *= factor
        accepted = factor >= safety
        if accepted:
            past = [past[0], past[0], past[1]]
        return accepted, length

    return propose


def _ends(sigmas: Tensor) -> tuple[Tensor, Tensor]:
    """The first and last lambda of a run, which ends above 0."""
    last = sigmas[-1] if sigmas[-1] > 0 else sigmas[-2]
    return -sigmas[0].log(), -last.log()


def _sigma(time: Tensor) -> Tensor:
    return (-time).exp()
