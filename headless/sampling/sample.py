"""What the KSampler nodes do: a LATENT in, a LATENT out."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ...ground.errors import UserError
from ...ground.memory import require_memory
from ...ground.reporter import reporter
from .conditioning import Conditioning
from .guider import Guider, SamplerRun
from .inpaint import LATENT_CHANNELS
from .model import Model
from .noise import starting_noise
from .samplers import SAMPLERS
from .schedules import schedule

Latent = dict[str, Any]

UNET_MAPS = 25
"""Maps of the first block's width that the U-Net holds at once; 35 were measured."""


def ksample(
    model: Model,
    seed: int,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    positive: Conditioning,
    negative: Conditioning,
    latent_image: Latent,
    denoise: float = 1.0,
    disable_noise: bool = False,
    start_step: int | None = None,
    last_step: int | None = None,
    force_full_denoise: bool = False,
) -> Latent:
    """Noise to picture: `latent_image` ({"samples": (B, 4, h, w)}, unscaled) with new samples.

    "noise_mask" keeps the picture where it is 0, "batch_index" chooses rows of the noise. `seed` is
    0..2^64-1, `denoise` 0..1. Steps before `start_step` and from `last_step` on are left out; with
    `force_full_denoise` the last one that is left ends without noise. Raises `UserError` for an
    unknown sampler or scheduler, for latents or texts that the U-Net cannot take, and for a result
    that is not finite.
    """
    if sampler_name not in SAMPLERS:
        raise UserError(f"There is no sampler {sampler_name!r}; there are {', '.join(SAMPLERS)}.")
    sampler = SAMPLERS[sampler_name]
    samples = _checked(latent_image["samples"])
    sigmas = schedule(
        scheduler,
        model.get_model_object("model_sampling"),
        steps,
        denoise,
        drop_penultimate=sampler.drop_penultimate,
    )
    sigmas = windowed(sigmas, start_step, last_step, force_full_denoise)
    if len(sigmas) < 2:
        return dict(latent_image)
    _require_memory(model, samples, cfg)
    if disable_noise:
        noise = torch.zeros_like(samples, device="cpu")
    else:
        noise = starting_noise(samples, seed, latent_image.get("batch_index"))
    guider = Guider(model, positive, negative, cfg)
    with torch.inference_mode(), reporter().steps(len(sigmas) - 1, "sampling") as progress:
        result = guider.sample(
            noise,
            samples,
            SamplerRun(sampler),
            sigmas,
            latent_image.get("noise_mask"),
            lambda *_: progress.advance(),
            seed,
        )
    if not bool(result.isfinite().all()):
        raise UserError(
            f"Sampling with {sampler_name}, {scheduler} and cfg {cfg:g} gave values that are no "
            "numbers: use a lower cfg, or get the model's file again, it may be damaged."
        )
    # A copy made outside of inference mode: later nodes may write into it or record gradients.
    return {**latent_image, "samples": result.cpu().clone()}


def _checked(samples: Tensor) -> Tensor:
    """The latent, or an empty one as an empty one of this model."""
    if samples.ndim == 4 and samples.shape[1] > LATENT_CHANNELS and not samples.any():
        return samples[:, :LATENT_CHANNELS]
    if samples.ndim != 4 or samples.shape[1] != LATENT_CHANNELS:
        raise UserError(
            f"The latent has shape {tuple(samples.shape)} and the U-Net takes (batch, "
            f"{LATENT_CHANNELS}, height, width): make it with the VAE of this model."
        )
    return samples


def _require_memory(model: Model, samples: Tensor, cfg: float) -> None:
    """UserError where one call of the U-Net on a CPU would take more than there is."""
    base = model.model
    if base.device.type != "cpu":
        return
    batch, _, height, width = samples.shape
    both_sides = 1 if math.isclose(cfg, 1.0) else 2
    pixels = batch * both_sides * height * width
    width_in_bytes = 4 * base.unet_config["block_out_channels"][0]
    words = f"sampling {batch} latents of {width} x {height}"
    require_memory(pixels * width_in_bytes * UNET_MAPS, words)


def windowed(
    sigmas: Tensor, start_step: int | None, last_step: int | None, force_full_denoise: bool
) -> Tensor:
    """Return the sigmas of steps `start_step`..`last_step`; fewer than two where none is left."""
    if last_step is not None and last_step < len(sigmas) - 1:
        sigmas = sigmas[: last_step + 1].clone()
        if force_full_denoise:
            sigmas[-1] = 0.0
    return sigmas if start_step is None else sigmas[start_step:]
