"""Samplers under CFG++: the guided latent is where to go, and the noise is what the negative side
saw (Chung et al. 2024, https://arxiv.org/abs/2406.08070).

`denoise` gives both latents; the rest is as in the samplers of the same names. Wants a cfg of 0 to
2 or so.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from .multistep import res_step
from .noise import Noise
from .stepping import DenoiseBoth, OnStep, ancestral, log_middle, slope, towards


def euler_cfg_pp(
    denoise: DenoiseBoth,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    on_step: OnStep,
    *,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Tensor:
    """Euler steps; ancestral with `eta` above 0."""
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised, free = denoise(x, sigma)
        on_step(i, denoised, x)
        if target == 0:
            return denoised
        down, up = ancestral(sigma, target, eta)
        x = denoised + down * slope(x, free, sigma)
        if eta > 0 and s_noise > 0:
            x = x + noise(sigma, target) * s_noise * up
    return x


def dpmpp_2s_ancestral_cfg_pp(
    denoise: DenoiseBoth, x: Tensor, sigmas: Tensor, noise: Noise, on_step: OnStep
) -> Tensor:
    """DPM-Solver++(2S) with ancestral steps."""
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised, free = denoise(x, sigma)
        on_step(i, denoised, x)
        if target == 0:
            return denoised
        down, up = ancestral(sigma, target)
        middle = log_middle(sigma, down)
        halfway = towards(x + (denoised - free), denoised, middle / sigma)
        ahead, free = denoise(halfway, middle)
        x = towards(x + (denoised - free), ahead, down / sigma) + noise(sigma, target) * up
    return x


def dpmpp_2m_cfg_pp(
    denoise: DenoiseBoth, x: Tensor, sigmas: Tensor, noise: Noise, on_step: OnStep
) -> Tensor:
    """DPM-Solver++(2M)."""
    before: Tensor | None = None
    length_before = sigmas[0]
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised, free = denoise(x, sigma)
        on_step(i, denoised, x)
        if target == 0:
            return denoised
        length, kept = (sigma / target).log(), target / sigma
        x = denoised + kept * (x - free)
        if before is not None:
            x = x + (1 - kept) * (length / (2 * length_before)) * (denoised - before)
        before, length_before = free, length
    return x


def res_multistep_cfg_pp(
    denoise: DenoiseBoth,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    on_step: OnStep,
    *,
    eta: float = 0.0,
) -> Tensor:
    """RES; ancestral with `eta` above 0."""
    before: Tensor | None = None
    down_before = sigmas[0]
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised, free = denoise(x, sigma)
        on_step(i, denoised, x)
        down, up = ancestral(sigma, target, eta)
        if down == 0 or before is None:
            x = denoised + slope(x, free, sigma) * down
        else:
            moved = x + (denoised - free)
            x = res_step(moved, free, before, (sigmas[i - 1], down_before, sigma, down))
        if up > 0:
            x = x + noise(sigma, target) * up
        before, down_before = free, down
    return x


def gradient_estimation_cfg_pp(
    denoise: DenoiseBoth, x: Tensor, sigmas: Tensor, noise: Noise, on_step: OnStep
) -> Tensor:
    """Gradient estimation."""
    before: Tensor | None = None
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised, free = denoise(x, sigma)
        on_step(i, denoised, x)
        if target == 0:
            return denoised
        now = slope(x, free, sigma)
        x = denoised + now * target
        if before is not None:
            x = x + (now - before) * (target - sigma)
        before = now
    return x
