"""The core's nodes between pictures and latents."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...ground.errors import UserError
from ..models.vae import Vae
from ..sampling.conditioning import Conditioning
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
    inside, grey = _greyed(vae, pixels, mask)
    return {"samples": vae.encode(grey), "noise_mask": _grown(inside.round(), grow_mask_by)}


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


_OVERLAP = integer(64, 0, 4096, 32, advanced=True)
_FRAMES = {
    "temporal_size": integer(64, 8, 4096, 4, advanced=True),
    "temporal_overlap": integer(8, 4, 4096, 4, advanced=True),
}
"""Of video VAEs, which are not here."""


@core_node(
    "VAEDecodeTiled",
    "model/latent",
    {
        "samples": "LATENT",
        "vae": "VAE",
        "tile_size": integer(512, 64, 4096, 32, advanced=True),
        "overlap": _OVERLAP,
        **_FRAMES,
    },
    "IMAGE",
)
def decode_tiled(vae: Vae, samples: Latent, tile_size: int, overlap: int, **frames: int) -> Tensor:
    """As VAEDecode, in pieces of `tile_size` pixels that fade into each other."""
    shared = min(overlap, tile_size // 4)
    ratio = vae.downscale_ratio
    return vae.decode_in_tiles(samples["samples"], tile_size // ratio, shared // ratio)


@core_node(
    "VAEEncodeTiled",
    "model/latent",
    {
        "pixels": "IMAGE",
        "vae": "VAE",
        "tile_size": integer(512, 64, 4096, 64, advanced=True),
        "overlap": _OVERLAP,
        **_FRAMES,
    },
    "LATENT",
)
def encode_tiled(vae: Vae, pixels: Tensor, tile_size: int, overlap: int, **frames: int) -> Latent:
    """As VAEEncode, in pieces. Raises UserError where pieces would share all of themselves."""
    if overlap >= tile_size // 2:
        raise UserError(
            f"overlap is {overlap} and tile_size {tile_size}; pieces of half that size have to "
            "share less than all of themselves"
        )
    return {"samples": vae.encode_in_tiles(pixels[..., :3], tile_size, overlap)}


@core_node(
    "InpaintModelConditioning",
    "model/conditioning",
    {
        "positive": "CONDITIONING",
        "negative": "CONDITIONING",
        "vae": "VAE",
        "pixels": "IMAGE",
        "mask": "MASK",
        "noise_mask": ("BOOLEAN", {"default": True}),
    },
    *("CONDITIONING", "CONDITIONING", "LATENT"),
    RETURN_NAMES=("positive", "negative", "latent"),
)
def for_inpainting(
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    pixels: Tensor,
    mask: Tensor,
    noise_mask: bool = True,
) -> tuple[Conditioning, Conditioning, Latent]:
    """Both prompts with the picture greyed under `mask`, for models made for inpainting; and the
    picture as LATENT, sampled inside the mask alone where `noise_mask`.
    """
    inside, grey = _greyed(vae, pixels, mask)
    told = {"concat_latent_image": vae.encode(grey), "concat_mask": inside}
    latent: Latent = {"samples": vae.encode(pixels[..., :3])}
    if noise_mask:
        latent["noise_mask"] = inside
    first, second = (
        [[text, {**options, **told}] for text, options in prompt] for prompt in (positive, negative)
    )
    return first, second, latent


def _greyed(vae: Vae, pixels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The mask (B, 1, H, W) at the picture's size, and the picture (B, H, W, 3) grey inside of it,
    both cut as `vae` needs it. Raises UserError where masks are neither one nor one a picture.
    """
    stacked = mask.reshape(-1, 1, *mask.shape[-2:])
    if 1 not in (len(stacked), len(pixels)) and len(stacked) != len(pixels):
        raise UserError(
            f"there are {len(stacked)} masks for {len(pixels)} pictures; give one mask for all, or "
            "one for each"
        )
    stacked = F.interpolate(stacked, size=tuple(pixels.shape[1:3]), mode="bilinear")
    inside = vae.crop(stacked.movedim(1, -1))
    grey = (vae.crop(pixels[..., :3]) - 0.5) * (1.0 - inside.round()) + 0.5
    return inside.movedim(-1, 1), grey


def _grown(mask: Tensor, pixels: int) -> Tensor:
    """A mask of 0 and 1, (B, 1, H, W), widened by a square of `pixels`."""
    if pixels == 0:
        return mask
    square = torch.ones(1, 1, pixels, pixels)
    padding = math.ceil((pixels - 1) / 2)
    grown = F.conv2d(mask, square, padding=padding).clamp(0, 1)
    # An even square adds a row and a column too many.
    return grown[..., : mask.shape[-2], : mask.shape[-1]]
