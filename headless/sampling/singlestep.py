"""Samplers that look at one step alone: Euler, Heun, DPM-Solver-2, DPM-Solver++(2S), and what adds
noise of its own.

Formulas are those of k-diffusion (https://github.com/crowsonkb/k-diffusion, MIT) and of the papers
that each names.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from .noise import Noise
from .stepping import Denoise, OnStep, ancestral, log_middle, slope, towards


def euler(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise, on_step: OnStep) -> Tensor:
    """Euler steps: Karras et al. 2022, algorithm 2 without churn and correction."""
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        x = x + slope(x, denoised, sigma) * (target - sigma)
    return x


def euler_ancestral(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    on_step: OnStep,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Tensor:
    """Euler steps to below the next sigma, with fresh noise back up to it."""
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        down, up = ancestral(sigma, target, eta)
        if down == 0:
            x = denoised + noise(sigma, target) * s_noise * up if target > 0 else denoised
            continue
        x = x + slope(x, denoised, sigma) * (down - sigma) + noise(sigma, target) * s_noise * up
    return x


def heun(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise, on_step: OnStep) -> Tensor:
    """Trapezoidal steps, second order: Karras et al. 2022, algorithm 2 without churn."""
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        first = slope(x, denoised, sigma)
        if target > 0:
            ahead = x + first * (target - sigma)
            first = (first + slope(ahead, denoise(ahead, target), target)) / 2
        x = x + first * (target - sigma)
    return x


def heunpp2(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise, on_step: OnStep) -> Tensor:
    """Heun's steps with the slopes at this sigma and at the two below it, the later weighed by
    their sigma: Heun++ of sd-webui-samplers-scheduler
    (https://github.com/Carzit/sd-webui-samplers-scheduler, MIT).
    """
    end = sigmas[-1]
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        slopes, levels, ahead = [slope(x, denoised, sigma)], [sigma], x
        for level in sigmas[i + 1 : i + 3]:
            if level == end:
                break
            ahead = ahead + slopes[-1] * (level - levels[-1])
            slopes.append(slope(ahead, denoise(ahead, level), level))
            levels.append(level)
        whole = len(levels) * sigmas[0]
        later = [level / whole for level in levels[1:]]
        first = 1 - sum(later)
        mean = slopes[0] * first
        for share, one in zip(later, slopes[1:], strict=True):
            mean = mean + share * one
        x = x + mean * (target - sigma)
    return x


def dpm_2(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise, on_step: OnStep) -> Tensor:
    """Steps along the slope at their middle in log sigma, second order: DPM-Solver-2 (Lu et al.
    2022, https://arxiv.org/abs/2206.00927).
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        x = x + _middle_slope(denoise, x, denoised, sigma, target) * (target - sigma)
    return x


def dpm_2_ancestral(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise, on_step: OnStep
) -> Tensor:
    """DPM-Solver-2's steps to below the next sigma, with fresh noise back up to it."""
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        down, up = ancestral(sigma, target)
        x = x + _middle_slope(denoise, x, denoised, sigma, down) * (down - sigma)
        if target > 0:
            x = x + noise(sigma, target) * up
    return x


def dpmpp_2s_ancestral(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    on_step: OnStep,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Tensor:
    """DPM-Solver++(2S) (Lu et al. 2022, https://arxiv.org/abs/2211.01095): the denoised latent at
    the middle in log sigma holds for the whole step, which is an ancestral one.
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        down, up = ancestral(sigma, target, eta)
        if down > 0:
            middle = log_middle(sigma, down)
            ahead = denoise(towards(x, denoised, middle / sigma), middle)
            x = towards(x, ahead, down / sigma)
        else:
            x = x + slope(x, denoised, sigma) * (down - sigma)
        if target > 0:
            x = x + noise(sigma, target) * s_noise * up
    return x


def dpmpp_sde(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    on_step: OnStep,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r: float = 0.5,
) -> Tensor:
    """DPM-Solver++(2S) for the stochastic equation, by k-diffusion's rule: ancestral steps to a
    share `r` of the way in log sigma and, with the denoised latent found there, over the whole
    step.
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        if target == 0:
            return denoised
        middle = log_middle(sigma, target, r)
        down, up = ancestral(sigma, middle, eta)
        halfway = towards(x, denoised, down / sigma)
        if eta > 0 and s_noise > 0:
            halfway = halfway + noise(sigma, middle) * s_noise * up
        weight = 1 / (2 * r)
        denoised = (1 - weight) * denoised + weight * denoise(halfway, middle)
        down, up = ancestral(sigma, target, eta)
        x = towards(x, denoised, down / sigma)
        if eta > 0 and s_noise > 0:
            x = x + noise(sigma, target) * s_noise * up
    return x


def ddpm(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise, on_step: OnStep) -> Tensor:
    """Ancestral sampling as Ho et al. 2020 have it (algorithm 2, with the smaller variance), on the
    latent divided by sqrt(sigma^2 + 1).
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        on_step(i, denoised, x)
        whole, whole_after = 1 / (sigma**2 + 1), 1 / (target**2 + 1)  # the products of alphas
        alpha = whole / whole_after
        predicted = slope(x, denoised, sigma)
        x = x / (1.0 + sigma**2).sqrt()
        x = (1.0 / alpha).sqrt() * (x - (1 - alpha) * predicted / (1 - whole).sqrt())
        if target > 0:
            deviation = ((1 - alpha) * (1.0 - whole_after) / (1.0 - whole)).sqrt()
            x = (x + deviation * noise(sigma, target)) * (1.0 + target**2).sqrt()
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


def _middle_slope(
    denoise: Denoise, x: Tensor, denoised: Tensor, sigma: Tensor, target: Tensor
) -> Tensor:
    """The slope at the middle between two sigmas in log sigma; here, where the way ends at 0."""
    first = slope(x, denoised, sigma)
    if target == 0:
        return first
    middle = sigma.log().lerp(target.log(), 0.5).exp()
    halfway = x + first * (middle - sigma)
    return slope(halfway, denoise(halfway, middle), middle)
