"""What the KSampler nodes do: a LATENT in, a LATENT out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ...ground.errors import UserError
from ...ground.memory import require_memory
from ...ground.reporter import reporter
from . import previews
from .base_model import BaseModel
from .conditioning import Conditioning
from .guider import Guider, SamplerRun
from .inpaint import LATENT_CHANNELS
from .model import Model
from .noise import starting_noise
from .samplers import SAMPLERS, Sampler
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
    guided = guidance(model, positive, negative, cfg)
    source = NoiseSource(seed, silent=disable_noise)
    words = f"{sampler_name}, {scheduler}"
    return sample(guided, source, sampler, sigmas, latent_image, words)[0]


Guidance: TypeAlias = Callable[[], Guider]
"""What a guider node gives: the guider of one run."""


def guidance(
    model: Model, positive: Conditioning, negative: Conditioning | None, cfg: float
) -> Guidance:
    """Guidance from the negative towards the positive side; without a negative one, none."""
    return partial(Guider, model, {"positive": positive, "negative": negative or []}, cfg)


@dataclass(frozen=True)
class NoiseSource:
    """What a noise node gives: the noise of a seed, or no noise at the beginning."""

    seed: int
    silent: bool = False

    def draw(self, latent: Latent) -> Tensor:
        """Noise for a LATENT, on the CPU."""
        samples: Tensor = latent["samples"]
        if self.silent:
            return torch.zeros_like(samples, device="cpu")
        return starting_noise(samples, self.seed, latent.get("batch_index"))


def sample(
    guided: Guidance,
    source: NoiseSource,
    sampler: Sampler,
    sigmas: Tensor,
    latent_image: Latent,
    words: str,
) -> tuple[Latent, Latent]:
    """Sample a LATENT along `sigmas`: what came of it, and what the last step took for the picture.

    Without sigmas the latent stays as it is. `words` say what was sampled with. Raises `UserError`
    as `ksample` does.
    """
    if len(sigmas) == 0:
        return dict(latent_image), dict(latent_image)
    latent = {**latent_image, "samples": _checked(latent_image["samples"])}
    guider = guided()
    base = guider.inner_model
    _require_memory(base, latent["samples"], guider.count)
    pictures: list[Tensor] = []
    with torch.inference_mode(), reporter().steps(len(sigmas) - 1, "sampling") as progress:

        def on_step(step: int, denoised: Tensor, *_: object) -> None:
            pictures[:] = [denoised]
            if step < len(sigmas) - 1:  # adaptive samplers take more
                progress.advance(previews.picture(denoised))

        result = guider.sample(
            source.draw(latent),
            latent["samples"],
            SamplerRun(sampler),
            sigmas,
            latent.get("noise_mask"),
            on_step,
            source.seed,
        )
        seen = [base.process_latent_out(one.float()) for one in pictures]
    if not bool(result.isfinite().all()):
        raise UserError(
            f"Sampling with {words} and cfg {guider.cfg:g} gave values that are no numbers: use "
            "a lower cfg, or get the model's file again, it may be damaged."
        )
    # Copies made outside of inference mode: later nodes may write into them or record gradients.
    both = (result, *(seen or [result]))
    made, picture = ({**latent, "samples": one.cpu().clone()} for one in both)
    return made, picture


def noised(model: Model, source: NoiseSource, sigmas: Tensor, latent_image: Latent) -> Latent:
    """A LATENT with noise of the strength from the first of `sigmas` to the last (or of one)."""
    if len(sigmas) == 0:
        return dict(latent_image)
    latent = {**latent_image, "samples": _checked(latent_image["samples"])}
    strength = (sigmas[0] - sigmas[-1]).abs() if len(sigmas) > 1 else sigmas[0]
    samples: Tensor = latent["samples"]
    base = model.model
    if samples.any():  # an empty latent stays empty
        samples = base.process_latent_in(samples)
    both = base.model_sampling.noise_scaling(strength, source.draw(latent), samples)
    return {**latent, "samples": base.process_latent_out(both).nan_to_num(0.0, 0.0, 0.0)}


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


def _require_memory(base: BaseModel, samples: Tensor, sides: int) -> None:
    """UserError where one call of the U-Net on a CPU would take more than there is."""
    if base.device.type != "cpu":
        return
    batch, _, height, width = samples.shape
    pixels = batch * sides * height * width
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
