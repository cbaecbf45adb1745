"""Pictures by a locked model, with and without a ControlNet, for a look at how far it has come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..ground.latents import LATENT_PIXELS
from .base import Base
from .sdxl import as_sampled, given
from .trainable import controlled


@torch.no_grad()
def sample(
    base: Base,
    network: Any | None,
    hints: Tensor,
    words: Tensor,
    empty: Tensor,
    seeds: Sequence[int],
    steps: int,
    guidance: float,
    pooled: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Latents (n, c, H/8, W/8) drawn by `base`, steered by `network` unless it is None.

    `hints` (n, 3, H, W) RGB in 0..1; `words` (n, tokens, width) and `empty` (1, tokens, width) as
    the U-Net reads them; `pooled` (n, P) and (1, P) are the same prompts for SDXL. DDIM (J. Song et
    al., arXiv 2010.02502) with trailing timesteps (S. Lin et al., arXiv 2305.08891: the last noise
    level of training is where sampling begins) and classifier-free guidance, 1 for none. A picture
    depends on its own seed alone.
    """
    device, dtype = base.device, base.unet.dtype
    scheduler = _ddim(base)
    scheduler.set_timesteps(steps)
    count, channels = len(hints), base.unet.config.in_channels
    size = hints.shape[-2] // LATENT_PIXELS, hints.shape[-1] // LATENT_PIXELS
    latents = torch.cat([_noise(seed, channels, size) for seed in seeds]).to(device)
    hints, words = hints.to(device, dtype), words.to(device, dtype)
    guided = guidance != 1
    told = None if pooled is None else pooled[0].to(device, dtype)
    if guided:
        hints = torch.cat([hints, hints])
        words = torch.cat([empty.to(device, dtype).expand(count, -1, -1), words])
        if pooled is not None and told is not None:
            told = torch.cat([pooled[1].to(device, dtype).expand(count, -1), told])
    added = as_sampled(told, hints.shape[-2], hints.shape[-1])
    for timestep in scheduler.timesteps:
        noisy = (torch.cat([latents, latents]) if guided else latents).to(dtype)
        times = timestep.to(device).expand(len(noisy))
        if network is None:
            predicted = base.unet(noisy, times, words, return_dict=False, **given(added))[0]
        else:
            predicted = controlled(base.unet, network, noisy, times, words, hints, added)
        predicted = predicted.float()
        if guided:
            without, prompted = predicted.chunk(2)
            predicted = without + guidance * (prompted - without)
        latents = scheduler.step(predicted, timestep, latents).prev_sample
    return latents


def _noise(seed: int, channels: int, size: tuple[int, int]) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((1, channels, *size), generator=generator)


def _ddim(base: Base) -> Any:
    from diffusers import DDIMScheduler

    alphas = base.alphas.double().cpu()
    before = torch.cat([torch.ones(1, dtype=torch.float64), alphas[:-1]])
    scheduler = DDIMScheduler(
        num_train_timesteps=len(alphas),
        trained_betas=(1 - alphas / before).tolist(),
        prediction_type=base.prediction,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
    )
    scheduler.alphas_cumprod = alphas.float()  # as they are, without the way over the betas
    return scheduler
