"""The core's nodes between pictures and latents."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.vae import Vae
from ..sampling.sample import Latent
from .declare import core_node, integer


@core_node("VAEEncode", "latent", {"pixels": "IMAGE", "vae": "VAE"}, "LATENT")
def encode(vae: Vae, pixels: Tensor) -> Latent:
    """The colours of `pixels` (B, H, W, 3 or 4) as LATENT; an alpha channel is left out."""
    return {"samples": vae.encode(pixels[..., :3])}


@core_node(
    "VAEEncodeForInpaint",
    "latent/inpaint",
    {
        "pixels": "IMAGE",
        "vae": "VAE",
        "mask": "MASK",
        "grow_mask_by": integer(6, 0, 64, 1),
    },
    "LATENT",
)
def encode_for_inpaint(vae: Vae, pixels: Tensor, mask: Tensor, grow_mask_by: int) -> Latent:
    """A LATENT that is sampled inside the mask (B, H, W) only: the mask is painted grey, and kept,
    grown, as "noise_mask".

    The mask is brought to the picture's size; what is noised is `grow_mask_by` pixels wider than
    what is grey, so that the seam lies in the untouched picture.
    """
    stacked = mask.reshape(-1, 1, *mask.shape[-2:])
    stacked = F.interpolate(stacked, size=tuple(pixels.shape[1:3]), mode="bilinear")
    inside = vae.crop(stacked.movedim(1, -1)).movedim(-1, 1).round()
    colours = vae.crop(pixels[..., :3])
    outside = 1.0 - inside.movedim(1, -1)
    grey = (colours - 0.5) * outside + 0.5
    return {"samples": vae.encode(grey), "noise_mask": _grown(inside, grow_mask_by)}


@core_node(
    "VAEDecode",
    "latent",
    {
        "samples": ("LATENT", {"tooltip": "The latent to decode."}),
        "vae": ("VAE", {"tooltip": "The VAE that decodes it."}),
    },
    "IMAGE",
    OUTPUT_TOOLTIPS=("The decoded image.",),
    DESCRIPTION="Turns latents back into pictures.",
)
def decode(vae: Vae, samples: Latent) -> Tensor:
    """Latents (B, 4, h, w) as pictures (B, 8h, 8w, 3) in 0..1."""
    return vae.decode(samples["samples"])


def _grown(mask: Tensor, pixels: int) -> Tensor:
    """A mask of 0 and 1, (B, 1, H, W), widened by a square of `pixels`."""
    if pixels == 0:
        return mask
    square = torch.ones(1, 1, pixels, pixels)
    padding = math.ceil((pixels - 1) / 2)
    grown = F.conv2d(mask, square, padding=padding).clamp(0, 1)
    # An even square adds a row and a column too many.
    return grown[..., : mask.shape[-2], : mask.shape[-1]]
