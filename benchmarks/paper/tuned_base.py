"""Another base: the demo's U-Net fine-tuned on the same scenes in other colours."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as f

from controlstack.demo.build_vae import encode_all
from controlstack.demo.models import BASE
from controlstack.demo.scenes import COLOURS

from . import world as world_module
from .world import World, kept, unet_from

TURNED = (2, 1, 0)
"""Red and blue change places. Forms, saturation and Canny's edges (which are those of the strongest
channel) stay as they are, so the hints of a scene stay right.
"""
NAMES = {name: (rgb[2], rgb[1], rgb[0]) for name, rgb in COLOURS.items()}
"""What a colour's name looks like in the new base."""
SEED, BATCH, RATE, OFFSET = 51, 16, 1e-3, 0.3
AVERAGED = 0.98
"""Decay of the weights' moving average, which is what is kept."""


def turned(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures (..., 3) in the new base's colours."""
    return np.ascontiguousarray(rgb[..., TURNED])


def turned_latents(world: World, count: int) -> Tensor:
    """Latents (count, 4, 16, 16) of the first `count` scenes in the new colours."""

    def make() -> Tensor:
        from dataclasses import replace

        return encode_all(world.vae, replace(world.scenes, rgb=turned(world.scenes.rgb[:count])))

    return kept(world.work / f"turned-latents-{count}.pt", make)


def tuned_base(world: World, rows: int, steps: int) -> Any:
    """The fine-tuned U-Net, locked; trained at the first use on `rows` scenes for `steps`."""
    folder: Path = world.work / f"turned-base-{rows}-{steps}"
    if not folder.exists():
        unfinished = folder.with_suffix(".tmp")
        made = tune(world, turned_latents(world, rows), world.embedded, steps)
        made.save_pretrained(unfinished)
        unfinished.replace(folder)
    return unet_from(folder)


def tune(
    world: World,
    latents: Tensor,
    embedded: Tensor,
    steps: int,
    batch: int | None = None,
    rate: float = RATE,
    halves: bool = True,
) -> Any:
    """The demo's U-Net tuned on `latents` (n, 4, 16, 16) with the embeddings (n, 77, 96) of their
    prompts: AdamW on all weights with a cosine schedule, one prompt in ten dropped, offset noise;
    in fp32 if not in `halves`.
    """
    from diffusers import DDPMScheduler
    from diffusers.training_utils import EMAModel

    generator = torch.Generator().manual_seed(SEED)
    unet = unet_from(BASE / "unet").train().requires_grad_(True)
    schedule = DDPMScheduler.from_pretrained(BASE / "scheduler")
    average = EMAModel(unet.parameters(), decay=AVERAGED)
    optimiser = torch.optim.AdamW(unet.parameters(), lr=rate)
    empty, count = world.words([""]), batch or BATCH
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        picked = torch.randint(len(latents), (count,), generator=generator)
        dropped = torch.rand(count, 1, 1, generator=generator) < 0.1
        words = torch.where(dropped, empty, embedded[picked].float())
        clean = latents[picked]
        level = torch.randn(count, 4, 1, 1, generator=generator)
        noise = torch.randn(clean.shape, generator=generator) + OFFSET * level
        timesteps = torch.randint(1000, (count,), generator=generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=halves and world_module.HALVES):
            noisy = schedule.add_noise(clean, noise, timesteps)
            predicted = unet(noisy, timesteps, words, return_dict=False)[0]
        loss = f.mse_loss(predicted.float(), noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        average.step(unet.parameters())
        if (step + 1) % 50 == 0:
            print(f"new base: step {step + 1}, loss {float(loss):.4f}", flush=True)
    average.copy_to(unet.parameters())
    return unet
