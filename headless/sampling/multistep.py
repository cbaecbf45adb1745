"""Samplers that remember the steps before, with one evaluation a step.

Formulas are those of k-diffusion (https://github.com/crowsonkb/k-diffusion, MIT), diff-sampler
(https://github.com/zju-pi/diff-sampler, Apache-2.0) and of the papers that each names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.polynomial import Polynomial
from torch import Tensor

from .noise import Noise
from .stepping import Denoise, OnStep, ancestral, slope, towards

ADAMS_BASHFORTH = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
"""Weights of the last slopes, newest first, for even steps."""

DEIS_POINTS = 10000
"""Of diff-sampler's sum for the integral of a step."""


def lms(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    on_step: OnStep,
    *,
    order: int = 4,
) -> Tensor:
    """Linear multistep: the polynomial in sigma through the last `order` slopes, integrated."""
    levels = sigmas.double().cpu().numpy()
    slopes: list[Tensor] = []
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        if target == 0:
            return denoised
        slopes = [slope(x, denoised, sigma), *slopes][:order]
        weights = _integrated(levels[i + 1 - len(slopes) : i + 1][::-1], levels[i], levels[i + 1])
        x = x + sum(weight * one for weight, one in zip(weights, slopes, strict=True))
    return x


def ipndm(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    on_step: OnStep,
) -> Tensor:
    """Adams-Bashforth to the fourth order, as if all steps were as long: Zhang & Chen 2022, iPNDM
    (https://arxiv.org/abs/2204.13902).
    """
    return _adams_bashforth(
        denoise, x, sigmas, on_step, lambda steps: ADAMS_BASHFORTH[len(steps) - 1]
    )


def ipndm_v(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    on_step: OnStep,
) -> Tensor:
    """`ipndm` for steps of any length, by diff-sampler's weights (`ipndm_v_sampler`)."""
    return _adams_bashforth(
        denoise, x, sigmas, on_step, lambda steps: _uneven_weights(steps.tolist())
    )


def _adams_bashforth(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    on_step: OnStep,
    weights_of: Callable[[Tensor], Sequence[float]],
) -> Tensor:
    """Steps along a mean of the last slopes, the newest first, weighted by `weights_of` the lengths
    of their steps."""
    slopes: list[Tensor] = []
    lengths = sigmas[1:] - sigmas[:-1]
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        if target == 0:
            return denoised
        slopes = [slope(x, denoised, sigma), *slopes][: len(ADAMS_BASHFORTH)]
        weights = weights_of(lengths[i + 1 - len(slopes) : i + 1].flip(0))
        mean = sum(weight * one for weight, one in zip(weights, slopes, strict=True))
        x = x + (target - sigma) * mean
    return x


def _uneven_weights(lengths: Sequence[float]) -> list[float]:
    """Weights of the last slopes, newest first, for the last steps' lengths, newest first.

    Of even steps they are those of ADAMS_BASHFORTH to the third order; the fourth is diff-sampler's
    own, which ComfyUI has too.
    """
    if len(lengths) == 1:
        return [1.0]
    a, b, c, d = (*lengths, 0.0, 0.0)[:4]
    half = a / b / 2
    weights = [1 + half, -half, 0.0, 0.0]
    if c:
        third = (1 - a / (3 * (a + b)) * (a * (a + b)) / (b * (b + c))) / 2
        weights = [
            *(weights[0] + third, weights[1] - (1 + b / c) * third),
            *(third * b / c, 0.0),
        ]
    if d:
        bend = (1 - a / (3 * (a + b))) / 2
        bend += (1 - a / (2 * (a + b))) * a / (6 * (a + b + c))
        fourth = bend * (a * (a + b) * (a + b + c)) / (b * (b + c) * (b + c + d))
        ratio = b * (b + c) / (c * (c + d))
        weights = [
            weights[0] + fourth,
            weights[1] - (1 + b / c + ratio) * fourth,
            weights[2] + (b / c + ratio * (1 + c / d)) * fourth,
            -fourth * ratio * b / c,
        ]
    return weights[: len(lengths)]


def deis(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    on_step: OnStep,
    *,
    order: int = 3,
) -> Tensor:
    """DEIS, tAB-DEIS to the third order: polynomials through the last slopes in the time of a
    variance-preserving process (Zhang & Chen 2022, https://arxiv.org/abs/2204.13902).
    """
    times, low, high = _deis_times(sigmas)
    slopes: list[Tensor] = []
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        slopes = [slope(x, denoised, sigma), *slopes][:order]
        if len(slopes) == 1 or target == 0:
            x = x + (target - sigma) * slopes[0]
            continue
        known = times[i + 1 - len(slopes) : i + 1].flip(0)
        for weight, one in zip(_deis_weights(known, times[i + 1], low, high), slopes, strict=True):
            x = x + weight * one
    return x


def dpmpp_2m(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise, on_step: OnStep) -> Tensor:
    """DPM-Solver++(2M): second order from the step before, one evaluation a step."""
    before: Tensor | None = None
    length_before = sigmas[0]
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        length = (sigma / target).log()
        ahead = denoised
        if before is not None and target > 0:
            ahead = denoised + (denoised - before) * (length / (2 * length_before))
        x = towards(x, ahead, target / sigma)
        before, length_before = denoised, length
    return x


def dpmpp_2m_sde(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    on_step: OnStep,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    solver_type: str = "midpoint",
) -> Tensor:
    """DPM-Solver++(2M) for the stochastic equation: lambda passes 1 + `eta` times as fast and noise
    fills up to the next sigma. By the "midpoint" rule, or "heun", which integrates the line through
    the last two denoised latents.
    """
    before: Tensor | None = None
    length_before = sigmas[0]
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        if target == 0:
            return denoised
        length = (sigma / target).log()
        kept = (target / sigma) ** (1 + eta)
        if before is None:
            x = towards(x, denoised, kept)
        elif solver_type == "midpoint":
            ahead = denoised + (denoised - before) * (length / (2 * length_before))
            x = towards(x, ahead, kept)
        else:
            passed = length * (1 + eta)
            change = (denoised - before) * (length / length_before)
            x = towards(x, denoised, kept) + (1 - (1 - kept) / passed) * change
        x = _renoised(x, sigma, target, noise, eta, s_noise)
        before, length_before = denoised, length
    return x


def dpmpp_3m_sde(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    on_step: OnStep,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Tensor:
    """DPM-Solver++(3M) for the stochastic equation, by k-diffusion's rule: third order from the two
    steps before.
    """
    known: list[Tensor] = []  # denoised latents, newest first
    lengths: list[Tensor] = []
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        if target == 0:
            return denoised
        known = [denoised, *known][:3]
        length = (sigma / target).log()
        passed = length * (1 + eta)
        x = towards(x, denoised, (-passed).exp())
        changes = [
            (one - other) / (before / length)
            for (one, other), before in zip(pairwise(known), lengths, strict=True)
        ]
        # phi_2 and phi_3 of exponential integrators.
        second = (-passed).expm1() / passed + 1
        if len(changes) == 1:
            x = x + second * changes[0]
        elif changes:
            ratios = [before / length for before in lengths]
            bend = (changes[0] - changes[1]) / sum(ratios)
            x = x + second * (changes[0] + bend * ratios[0])
            x = x - (second / passed - 0.5) * bend
        x = _renoised(x, sigma, target, noise, eta, s_noise)
        lengths = [length, *lengths][:2]
    return x


def res_multistep(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    on_step: OnStep,
    *,
    eta: float = 0.0,
) -> Tensor:
    """RES: an exponential integrator of second order from the step before (Zhang et al. 2023,
    https://arxiv.org/abs/2308.02157); ancestral with `eta` above 0.
    """
    before: Tensor | None = None
    down_before = sigmas[0]
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        down, up = ancestral(sigma, target, eta)
        if down == 0 or before is None:
            x = x + slope(x, denoised, sigma) * (down - sigma)
        else:
            x = res_step(x, denoised, before, (sigmas[i - 1], down_before, sigma, down))
        if up > 0:
            x = x + noise(sigma, target) * up
        before, down_before = denoised, down
    return x


def res_step(
    x: Tensor,
    denoised: Tensor,
    before: Tensor,
    levels: tuple[Tensor, Tensor, Tensor, Tensor],
) -> Tensor:
    """RES' second step; `levels` are the sigma of the step before, the one that it went down to,
    and those of this step.
    """
    last, reached, now, down = (-level.log() for level in levels)
    length = down - now
    share = (last - reached) / length  # c_2, below 0
    first = (-length).expm1() / -length
    second = (first - 1.0) / -length
    weights = [(first - second / share).nan_to_num(), (second / share).nan_to_num()]
    return (-length).exp() * x + length * (weights[0] * denoised + weights[1] * before)


def gradient_estimation(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    on_step: OnStep,
) -> Tensor:
    """Euler steps along the slope and once more its change since the step before: Permenter & Yuan
    2024, https://openreview.net/pdf?id=o2ND9v0CeK, with gamma 2.
    """
    before: Tensor | None = None
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        if target == 0:
            return denoised
        now = slope(x, denoised, sigma)
        x = x + now * (target - sigma)
        if before is not None:
            x = x + (now - before) * (target - sigma)
        before = now
    return x


def _renoised(
    x: Tensor, sigma: Tensor, target: Tensor, noise: Noise, eta: float, s_noise: float
) -> Tensor:
    if not (eta > 0 and s_noise > 0):
        return x
    share = (1 - (target / sigma) ** (2 * eta)).sqrt()
    return x + noise(sigma, target) * target * share * s_noise


def _integrated(known: np.ndarray, start: float, end: float) -> list[float]:
    """What the polynomials that are 1 at one of `known` and 0 at the others integrate to."""
    weights = []
    for j, point in enumerate(known):
        basis = Polynomial([1.0])
        for k, other in enumerate(known):
            if k != j:
                basis = basis * Polynomial([-other, 1.0]) / (point - other)
        integral = basis.integ()
        weights.append(float(integral(end) - integral(start)))
    return weights


def _deis_times(sigmas: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The times of `sigmas` in a variance-preserving process with linear betas, and the ends of
    these: those at which sigma is 0.002 at time 0.001 and 80 at 1 (diff-sampler's).
    """
    smallest, largest, first = 0.002, 80.0, 0.001
    logs = [(torch.tensor(level) ** 2 + 1).log() for level in (smallest, largest)]
    rise = 2 * (logs[0] / first - logs[1]) / (first - 1)
    low = logs[1] - 0.5 * rise
    levels = (sigmas.cpu() ** 2 + 1).log()
    return ((low**2 + 2 * rise * levels).sqrt() - low) / rise, low, low + rise


def _deis_weights(known: Tensor, end: Tensor, low: Tensor, high: Tensor) -> list[Tensor]:
    """What the slopes at times `known`, newest first, weigh in a step from the first to `end`."""
    times = torch.linspace(float(known[0]), float(end), DEIS_POINTS)
    alpha = (-0.5 * times**2 * (high - low) - times * low).exp()
    rate = 0.5 * (times * (high - low) + low) / (alpha * (1 - alpha)).sqrt()
    width = (end - known[0]) / DEIS_POINTS
    weights = []
    for j, point in enumerate(known):
        basis = torch.ones_like(times)
        for k, other in enumerate(known):
            if k != j:
                basis = basis * ((times - other) / (point - other))
        weights.append((rate * basis).sum() * width)
    return weights
