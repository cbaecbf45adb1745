"""The noise-prediction objective: schedule, timesteps, offset noise and the min-SNR weight, as pure
functions.
"""

from __future__ import annotations

import torch
from torch import Tensor


def scaled_linear_alphas(steps: int = 1000, start: float = 0.00085, end: float = 0.012) -> Tensor:
    """Cumulative alphas (steps,) of Stable Diffusion: betas linear in their square root."""
    betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).float()


def stratified_timesteps(batch: int, steps: int, generator: torch.Generator) -> Tensor:
    """`batch` timesteps (int64, 0..steps-1), one from each of `batch` equal slices, shuffled: less
    variance a step.
    """
    slices = torch.arange(batch) + torch.rand(batch, generator=generator)
    drawn = (slices * steps / batch).long().clamp(max=steps - 1)
    return drawn[torch.randperm(batch, generator=generator)]


def offset_noise(like: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Unit noise shaped like (n, c, h, w) plus `strength` times one value a channel, so that means
    are learnt too.

    Source: N. Guttenberg, "Diffusion with offset noise" (2023).
    """
    noise = torch.randn(like.shape, generator=generator)
    return noise + strength * torch.randn(*like.shape[:2], 1, 1, generator=generator)


def add_noise(latents: Tensor, noise: Tensor, alphas: Tensor, timesteps: Tensor) -> Tensor:
    """sqrt(a) x + sqrt(1 - a) noise, a the cumulative alpha of each sample's timestep."""
    kept = alphas[timesteps].view(-1, 1, 1, 1)
    return kept.sqrt() * latents + (1 - kept).sqrt() * noise


def min_snr_loss(
    predicted: Tensor, noise: Tensor, alphas: Tensor, timesteps: Tensor, gamma: float
) -> Tensor:
    """Mean squared error, each sample weighted by min(snr, gamma) / snr (Hang et al. 2023,
    "min-SNR", for epsilon).
    """
    kept = alphas[timesteps]
    snr = kept / (1 - kept)
    weight = snr.clamp(max=gamma) / snr
    return (((predicted - noise) ** 2).mean(dim=(1, 2, 3)) * weight).mean()
