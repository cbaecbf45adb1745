"""Samplers by exponential integrators and stochastic Adams methods, in lambda = -log(sigma).

The linear part of the equation is solved exactly, and the denoised latent is taken for a line or a
polynomial in lambda. Formulas are those of the papers that each names, with alpha = 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from .noise import Noise
from .stepping import Denoise, OnStep, log_middle, towards

POINTS = 200
"""Of the sums for ER-SDE's integrals: `num_integration_points` of
https://github.com/QinpengCui/ER-SDE-Solver (`er_sde_solver.py`)."""

PREDICTED, CORRECTED = 3, 4
"""Orders of SA-Solver's predictor and corrector in ComfyUI."""

STOCHASTIC = (0.2, 0.8)
"""Between which percents of the run SA-Solver adds noise in ComfyUI."""


def seeds(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    on_step: OnStep,
    *,
    shares: Sequence[float] = (0.5,),
    eta: float = 1.0,
    s_noise: float = 1.0,
    averaged: bool = False,
) -> Tensor:
    """SEEDS: Gonzalez et al. 2023 (https://arxiv.org/abs/2305.14267), Runge-Kutta stages at
    `shares` of the way in lambda. With one at the end it is Heun's method.

    `averaged`: the last stage takes a mean of both denoised latents instead of a line through them.
    """
    noisy = eta > 0 and s_noise > 0
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        if target == 0:
            return denoised
        length = (sigma / target).log()
        before, latest, added = 0.0, denoised, torch.zeros_like(x)
        for share in (*shares, 1.0):
            ends = before == shares[-1]
            there = target if ends else log_middle(sigma, target, share)
            passed = share * length * (1 + eta)
            if ends and averaged:
                middle = torch.lerp(denoised, latest, 1 / (2 * before))
                made = towards(x, middle, (-passed).exp())
            else:
                made = towards(x, denoised, (-passed).exp())
                if before:
                    second = (-passed).expm1() / passed + 1  # phi_2, as a share of what passed
                    made = made + share / before * second * (latest - denoised)
            if noisy:
                way = (before - share) * length * eta
                fresh = (2 * way).expm1().neg().sqrt() * noise(sigma, there)
                added = added * way.exp() + fresh
                made = made + added * there * s_noise
            if ends:
                x = made
                break
            before, latest = share, denoise(made, there)
    return x


def er_sde(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise, on_step: OnStep) -> Tensor:
    """ER-SDE-Solver to the third order: Cui et al. 2023 (https://arxiv.org/abs/2309.06169), with
    the noise scale that its code calls the fifth: s (exp(s ** 0.3) + 10).
    """
    before: Tensor | None = None  # what the last step took for the picture
    slope: Tensor | None = None
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        if target == 0:
            return denoised
        scale = _scale(target)
        kept = scale / _scale(sigma)
        x = towards(x, denoised, kept)
        if before is not None:
            step = (sigma - target) / POINTS
            places = target + step * torch.arange(POINTS, dtype=sigma.dtype, device=sigma.device)
            weights = step / _scale(places)
            change = (denoised - before) / (sigma - sigmas[i - 1])
            way = target - sigma
            x = x + (way + weights.sum() * scale) * change
            if slope is not None:
                bend = (change - slope) / ((sigma - sigmas[i - 2]) / 2)
                x = x + (way**2 / 2 + (weights * (places - sigma)).sum() * scale) * bend
            slope = change
        up = (target**2 - sigma**2 * kept**2).sqrt().nan_to_num(0.0)
        x = x + noise(sigma, target) * up
        before = denoised
    return x


def _scale(sigma: Tensor) -> Tensor:
    return sigma * ((sigma**0.3).exp() + 10)


def sa_solver(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    on_step: OnStep,
    *,
    span: tuple[float, float] = (math.inf, 0.0),
    again: bool = False,
) -> Tensor:
    """SA-Solver: Xue et al. 2023 (https://arxiv.org/abs/2309.05019), algorithm 1. A polynomial
    through the last denoised latents predicts the next latent, and one more corrects it.

    Noise is added between the sigmas of `span`, the larger one first. `again`: what was corrected
    is denoised anew (PECE). Towards the end of a run to 0 the orders fall.
    """
    last, to_zero = len(sigmas) - 1, bool(sigmas[-1] == 0)
    lambdas = (-sigmas.double().log()).tolist()
    known: list[Tensor] = []  # denoised latents, oldest first
    ahead, added, tau = x, torch.zeros_like(x), 0.0
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(ahead, sigma)
        on_step(i, denoised, ahead)
        known = [*known, denoised][-CORRECTED:]
        order = min(len(known), last - i) if to_zero else len(known)
        if i == 0 or (target == 0 and not again):
            x = ahead
        else:
            x = _adams(
                x, known[-order:], lambdas[i + 1 - order : i + 1], lambdas[i - 1 : i + 1], tau
            )
            x = x + added
            if again:
                denoised = denoise(x, sigma)
                known[-1] = denoised
        if target == 0:
            return denoised
        order = min(len(known), PREDICTED, last - 1 - i if to_zero else PREDICTED)
        tau = 1.0 if span[0] >= float(target) >= span[1] else 0.0
        ahead = _adams(x, known[-order:], lambdas[i + 1 - order : i + 1], lambdas[i : i + 2], tau)
        added = torch.zeros_like(x)
        if tau > 0:
            length = torch.as_tensor(lambdas[i + 1] - lambdas[i], dtype=x.dtype)
            up = (-2 * tau**2 * length).expm1().neg().sqrt()
            added = noise(sigma, target) * target * up
            ahead = ahead + added
    return ahead


def _adams(
    x: Tensor, known: Sequence[Tensor], at: Sequence[float], ends: Sequence[float], tau: float
) -> Tensor:
    """The latent at the second of two `ends` (lambdas), by the polynomial through the denoised
    latents `known` that were made `at` their lambdas: equations 15 and 18.

    Integrals of (1 + tau^2) exp((1 + tau^2) u) u^p over u = lambda - end, by parts; in double
    precision, as the powers are nearly alike.
    """
    rate, start = 1 + tau**2, ends[0] - ends[1]
    kept = np.exp(rate * start)
    integrals = [1 - kept]
    for power in range(1, len(known)):
        integrals.append(-(start**power) * kept - power / rate * integrals[-1])
    powers = np.vander([place - ends[1] for place in at], increasing=True)
    weights = np.linalg.solve(powers.T, integrals)
    made = x * float(kept)
    for weight, one in zip(weights.tolist(), known, strict=True):
        made = made + weight * one
    return made
