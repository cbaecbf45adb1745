"""The core's nodes that add, multiply and mix latents and conditioning."""

from __future__ import annotations

import torch
from torch import Tensor

from ...ground.errors import UserError
from ..batch_rows import of_length
from ..sampling.conditioning import Conditioning
from ..sampling.sample import Latent
from ..sampling.upscale import upscale
from .declare import core_node, number

_MENU = "model/latent/advanced"
_TWO = {"samples1": "LATENT", "samples2": "LATENT"}


def _alike(samples1: Latent, samples2: Latent) -> tuple[Tensor, Tensor]:
    """Both latents, the second one cut and scaled to the size of the first, and as many.

    Raises UserError where their channels differ.
    """
    one, other = samples1["samples"], samples2["samples"]
    if one.shape[1] != other.shape[1]:
        raise UserError(
            f"the latents have {one.shape[1]} and {other.shape[1]} channels; make both with one VAE"
        )
    if one.shape[1:] != other.shape[1:]:
        other = upscale(other, one.shape[-1], one.shape[-2], "bilinear", "center")
    return one, of_length(other, len(one))


@core_node("LatentAdd", _MENU, _TWO, "LATENT")
def add(samples1: Latent, samples2: Latent) -> Latent:
    """The sum of two latents; all else is the first one's."""
    one, other = _alike(samples1, samples2)
    return {**samples1, "samples": one + other}


@core_node("LatentSubtract", _MENU, _TWO, "LATENT")
def subtract(samples1: Latent, samples2: Latent) -> Latent:
    """The first latent less the second; all else is the first one's."""
    one, other = _alike(samples1, samples2)
    return {**samples1, "samples": one - other}


@core_node(
    "LatentMultiply",
    _MENU,
    {"samples": "LATENT", "multiplier": number(1.0, -10.0, 10.0, 0.01)},
    "LATENT",
)
def multiply(samples: Latent, multiplier: float) -> Latent:
    """A latent times a number."""
    return {**samples, "samples": samples["samples"] * multiplier}


@core_node("LatentInterpolate", _MENU, {**_TWO, "ratio": number(1.0, 0.0, 1.0, 0.01)}, "LATENT")
def interpolate(samples1: Latent, samples2: Latent, ratio: float) -> Latent:
    """`ratio` of the first latent and the rest of the second, by direction and length apart.

    The length is over the channels of each pixel.
    """
    one, other = _alike(samples1, samples2)
    first, second = (torch.linalg.vector_norm(each, dim=1, keepdim=True) for each in (one, other))
    mixed = torch.nan_to_num(one / first) * ratio + torch.nan_to_num(other / second) * (1.0 - ratio)
    length = torch.linalg.vector_norm(mixed, dim=1, keepdim=True)
    towards = torch.nan_to_num(mixed / length)
    return {**samples1, "samples": towards * (first * ratio + second * (1.0 - ratio))}


@core_node(
    "ConditioningMultiply",
    "model/conditioning/transform",
    {"conditioning": "CONDITIONING", "multiplier": number(1.0, -100.0, 100.0, 0.01)},
    "CONDITIONING",
)
def multiply_text(conditioning: Conditioning, multiplier: float) -> Conditioning:
    """Texts, and their pooled outputs, times a number."""
    made: Conditioning = []
    for text, options in conditioning:
        pooled = options.get("pooled_output")
        more = {} if pooled is None else {"pooled_output": pooled * multiplier}
        made.append([text * multiplier, {**options, **more}])
    return made
