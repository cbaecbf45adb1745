"""The objective of a diffusion model as pure functions: noise levels, noise, what is to be
predicted, and the weights of the loss.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from .chance import generator
from .row_order import Shares
from .settings import TrainingSettings


@dataclass(frozen=True)
class Noised:
    """Latents as a network sees them: `noisy` (n, c, h, w) at `timesteps` (n,), what it shall
    predict of them (`wanted`), and the `weights` (n,) of their losses, None where all are 1.
    """

    noisy: Tensor
    timesteps: Tensor
    wanted: Tensor
    weights: Tensor | None


@dataclass(frozen=True)
class Objective:
    """Noise prediction by the schedule `alphas` (levels,) as the settings say.

    `prediction` is "epsilon" or "v_prediction". All chance is drawn on the CPU from the settings'
    seed, the step and the position in the step.
    """

    alphas: Tensor
    prediction: str
    settings: TrainingSettings
    shares: Shares

    def noised(self, latents: Tensor, step: int, part: int) -> Noised:
        """What `latents` (n, c, h, w), this process's batch `part` of a step, become."""
        seed, where = self.settings.seed, self.shares.positions(part)
        stratified = self.settings.timesteps == "stratified"
        drawn = draw_timesteps(
            self.shares.pictures, len(self.alphas), stratified, seed, "timestep", step
        )
        keys = [(seed, "noise", step, position) for position in where]
        noise = draw_noise(tuple(latents.shape[1:]), self.settings.offset_noise, keys)
        timesteps = drawn[where.start : where.stop].to(latents.device, non_blocking=True)
        noise = noise.to(latents.device, non_blocking=True)
        weights = None
        if self.settings.min_snr:
            weights = min_snr_weights(
                self.prediction, self.alphas, timesteps, self.settings.min_snr
            )
        return Noised(
            add_noise(latents, noise, self.alphas, timesteps),
            timesteps,
            target(self.prediction, latents, noise, self.alphas, timesteps),
            weights,
        )


def scaled_linear_alphas(steps: int = 1000, start: float = 0.00085, end: float = 0.012) -> Tensor:
    """Cumulative alphas (steps,) of Stable Diffusion: betas linear in their square root."""
    betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).float()


def draw_timesteps(count: int, levels: int, stratified: bool, *key: int | str) -> Tensor:
    """`count` timesteps (int64, 0..levels-1) drawn from `key`.

    Stratified: one from each of `count` equal slices, shuffled, so that a step's loss depends less
    on luck.
    """
    chance = generator(*key)
    drawn = torch.rand(count, generator=chance, dtype=torch.float64)
    if stratified:
        drawn = ((torch.arange(count) + drawn) / count)[torch.randperm(count, generator=chance)]
    return (drawn * levels).long().clamp(max=levels - 1)


def draw_noise(
    shape: tuple[int, ...], offset: float, keys: Iterable[tuple[int | str, ...]]
) -> Tensor:
    """Unit noise (n, c, h, w), one sample of `shape` (c, h, w) for each key, plus `offset` times
    one unit value a channel, so that the means of pictures are learnt, too.

    Source: N. Guttenberg, "Diffusion with offset noise" (2023), crosslabs.org.
    """
    samples = []
    for key in keys:
        chance = generator(*key)
        noise = torch.randn(shape, generator=chance)
        if offset:
            noise += offset * torch.randn(shape[0], 1, 1, generator=chance)
        samples.append(noise)
    return torch.stack(samples)


def add_noise(latents: Tensor, noise: Tensor, alphas: Tensor, timesteps: Tensor) -> Tensor:
    """sqrt(a) x + sqrt(1 - a) noise, a the cumulative alpha of each sample's timestep."""
    kept = alphas[timesteps].view(-1, 1, 1, 1)
    return kept.sqrt() * latents + (1 - kept).sqrt() * noise


def target(
    prediction: str, latents: Tensor, noise: Tensor, alphas: Tensor, timesteps: Tensor
) -> Tensor:
    """What the network shall predict: the noise ("epsilon"), or v = sqrt(a) noise - sqrt(1 - a) x
    ("v_prediction"; T. Salimans, J. Ho 2022, arXiv 2202.00512).
    """
    if prediction == "epsilon":
        return noise
    if prediction != "v_prediction":
        raise ValueError(f"a base that predicts {prediction!r} is not known here")
    kept = alphas[timesteps].view(-1, 1, 1, 1)
    return kept.sqrt() * noise - (1 - kept).sqrt() * latents


def min_snr_weights(prediction: str, alphas: Tensor, timesteps: Tensor, gamma: float) -> Tensor:
    """Weights (n,) of the samples' losses by their signal-to-noise ratio a / (1 - a).

    min(snr, gamma) / snr for epsilon, which is 1 where there is no signal at all, and
    min(snr, gamma) / (snr + 1) for v (T. Hang et al. 2023, arXiv 2303.09556, section 3.4).
    """
    kept = alphas[timesteps]
    snr = kept / (1 - kept)
    if prediction == "v_prediction":
        return snr.clamp(max=gamma) / (snr + 1)
    return (gamma / snr).clamp(max=1.0)


def weighted_loss(predicted: Tensor, wanted: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean squared error of (n, c, h, w), in fp32, each sample times its weight."""
    error = (predicted.float() - wanted.float()) ** 2
    if weights is None:
        return error.mean()
    return (error.mean(dim=(1, 2, 3)) * weights).mean()
