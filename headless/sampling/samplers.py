"""Samplers by the names of ComfyUI's menu, one function each.

All integrate the same equation in Karras' variance-exploding form, dx/dsigma = (x - D(x)) / sigma,
where D denoises. With lambda = -log(sigma) its exact solution for a constant D is `_towards`; the
DPM-Solver++ family (Lu et al. 2022, https://arxiv.org/abs/2211.01095) corrects D along lambda.
In this form the alpha of those papers is 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from .noise import Noise, brownian, gaussian
from .unipc import uni_pc

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(latent (B, C, h, w), sigma scalar) -> denoised latent."""

OnStep = Callable[[int, Tensor, Tensor], None]
"""Called once a step with its index, the denoised latent and the latent it was made from."""

Sample = Callable[[Denoise, Tensor, Tensor, Noise, OnStep], Tensor]
"""(denoise, latent at sigmas[0], sigmas descending, noise, on_step) -> latent at sigmas[-1]."""


@dataclass(frozen=True)
class Sampler:
    """A sampler, the noise it adds, and two habits that ComfyUI's KSampler ties to its name."""

    sample: Sample
    noise: Callable[[Tensor, Tensor, int], Noise] = gaussian
    drop_penultimate: bool = False  # the last sigma above 0 is left out of the schedule
    own_inpaint_noise: bool = False  # what a mask keeps is noised with another draw


def euler(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise, on_step: OnStep) -> Tensor:
    """Euler steps: Karras et al. 2022, algorithm 2 without churn and correction."""
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        x = x + _slope(x, denoised, sigma) * (target - sigma)
    return x


def euler_ancestral(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise, on_step: OnStep
) -> Tensor:
    """Euler steps to below the next sigma, with fresh noise back up to it."""
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        if target == 0:
            return denoised
        down, up = _ancestral(sigma, target)
        x = x + _slope(x, denoised, sigma) * (down - sigma) + noise(sigma, target) * up
    return x


def heun(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise, on_step: OnStep) -> Tensor:
    """Trapezoidal steps, second order: Karras et al. 2022, algorithm 2 without churn."""
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        slope = _slope(x, denoised, sigma)
        if target > 0:
            ahead = x + slope * (target - sigma)
            slope = (slope + _slope(ahead, denoise(ahead, target), target)) / 2
        x = x + slope * (target - sigma)
    return x


def dpm_2(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise, on_step: OnStep) -> Tensor:
    """Steps along the slope at their middle in log sigma, second order: DPM-Solver-2 (Lu et al.
    2022, https://arxiv.org/abs/2206.00927).
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        slope = _slope(x, denoised, sigma)
        if target > 0:
            middle = sigma.log().lerp(target.log(), 0.5).exp()
            halfway = x + slope * (middle - sigma)
            slope = _slope(halfway, denoise(halfway, middle), middle)
        x = x + slope * (target - sigma)
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
        x = _towards(x, ahead, target / sigma)
        before, length_before = denoised, length
    return x


def dpmpp_sde(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise, on_step: OnStep) -> Tensor:
    """DPM-Solver++(2S) for the stochastic equation, by k-diffusion's rule: ancestral steps to the
    middle in log sigma and, with the denoised latent found there, over the whole step.
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        if target == 0:
            return denoised
        # Written in lambda: the Brownian path is read at exactly this sigma.
        start, end = -sigma.log(), -target.log()
        middle = (-(start + 0.5 * (end - start))).exp()
        down, up = _ancestral(sigma, middle)
        halfway = _towards(x, denoised, down / sigma) + noise(sigma, middle) * up
        denoised = denoise(halfway, middle)
        down, up = _ancestral(sigma, target)
        x = _towards(x, denoised, down / sigma) + noise(sigma, target) * up
    return x


def dpmpp_2m_sde(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise, on_step: OnStep
) -> Tensor:
    """DPM-Solver++(2M) for the stochastic equation, midpoint rule: lambda passes twice as fast and
    noise fills up to the next sigma.
    """
    before: Tensor | None = None
    length_before = sigmas[0]
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        if target == 0:
            return denoised
        length = (sigma / target).log()
        ahead = denoised
        if before is not None:
            ahead = denoised + (denoised - before) * (length / (2 * length_before))
        kept = (target / sigma) ** 2
        x = _towards(x, ahead, kept) + noise(sigma, target) * target * (1 - kept).sqrt()
        before, length_before = denoised, length
    return x


def lcm(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise, on_step: OnStep) -> Tensor:
    """Multistep consistency sampling: denoise, noise again (Song et al. 2023, algorithm 1,
    https://arxiv.org/abs/2303.01469; for latents, Luo et al. 2023).
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        x = denoised + noise(sigma, target) * target if target > 0 else denoised
    return x


SAMPLERS: dict[str, Sampler] = {
    "euler": Sampler(euler),
    "euler_ancestral": Sampler(euler_ancestral),
    "heun": Sampler(heun),
    "dpm_2": Sampler(dpm_2, drop_penultimate=True),
    "dpmpp_sde": Sampler(dpmpp_sde, noise=brownian),
    "dpmpp_2m": Sampler(dpmpp_2m),
    "dpmpp_2m_sde": Sampler(dpmpp_2m_sde, noise=brownian),
    "lcm": Sampler(lcm),
    "ddim": Sampler(euler, own_inpaint_noise=True),  # DDIM without noise is Euler in this form
    "uni_pc": Sampler(uni_pc, drop_penultimate=True),
}
"""In the order of ComfyUI's menu."""


def _slope(x: Tensor, denoised: Tensor, sigma: Tensor) -> Tensor:
    """dx/dsigma."""
    return (x - denoised) / sigma


def _towards(x: Tensor, denoised: Tensor, kept: Tensor) -> Tensor:
    """Keep a share of what `denoised` would take away: exact where D is constant."""
    return kept * x + (1 - kept) * denoised


def _ancestral(sigma: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sigma to go down to, and the noise to add, so that their squares sum to the
    target's: the posterior of DDPM (Ho et al. 2020, equation 7) in this form.
    """
    up = torch.minimum(target, (target**2 * (sigma**2 - target**2) / sigma**2).sqrt())
    return (target**2 - up**2).sqrt(), up
