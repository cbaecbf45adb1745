"""The core's nodes between pictures and latents."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.vae import Vae

Latent = dict[str, Any]


class VAEEncode:
    """IMAGE to LATENT."""

    RETURN_TYPES = ("LATENT",)
    FUNCTION = "encode"
    CATEGORY = "latent"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        return {"required": {"pixels": ("IMAGE",), "vae": ("VAE",)}}

    def encode(self, vae: Vae, pixels: Tensor) -> tuple[Latent]:
        """Encode the colours of `pixels` (B, H, W, 3 or 4); an alpha channel is left out."""
        return ({"samples": vae.encode(pixels[..., :3])},)


class VAEEncodeForInpaint:
    """IMAGE and MASK to a LATENT that is sampled inside the mask only."""

    RETURN_TYPES = ("LATENT",)
    FUNCTION = "encode"
    CATEGORY = "latent/inpaint"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        grow = {"default": 6, "min": 0, "max": 64, "step": 1}
        return {
            "required": {
                "pixels": ("IMAGE",),
                "vae": ("VAE",),
                "mask": ("MASK",),
                "grow_mask_by": ("INT", grow),
            }
        }

    def encode(
        self, vae: Vae, pixels: Tensor, mask: Tensor, grow_mask_by: int = 6
    ) -> tuple[Latent]:
        """Paint the mask (B, H, W) grey, encode, and keep the mask, grown, as "noise_mask".

        The mask is brought to the picture's size; what is noised is `grow_mask_by` pixels wider
        than what is grey, so that the seam lies in the untouched picture.
        """
        stacked = mask.reshape(-1, 1, *mask.shape[-2:])
        stacked = F.interpolate(stacked, size=tuple(pixels.shape[1:3]), mode="bilinear")
        inside = vae.crop(stacked.movedim(1, -1)).movedim(-1, 1).round()
        colours = vae.crop(pixels[..., :3])
        outside = 1.0 - inside.movedim(1, -1)
        grey = (colours - 0.5) * outside + 0.5
        return ({"samples": vae.encode(grey), "noise_mask": _grown(inside, grow_mask_by)},)


class VAEDecode:
    """LATENT to IMAGE."""

    RETURN_TYPES = ("IMAGE",)
    OUTPUT_TOOLTIPS: ClassVar = ("The decoded image.",)
    FUNCTION = "decode"
    CATEGORY = "latent"
    DESCRIPTION = "Turns latents back into pictures."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        return {
            "required": {
                "samples": ("LATENT", {"tooltip": "The latent to decode."}),
                "vae": ("VAE", {"tooltip": "The VAE that decodes it."}),
            }
        }

    def decode(self, vae: Vae, samples: Latent) -> tuple[Tensor]:
        """Decode `samples` (B, 4, h, w) to (B, 8h, 8w, 3) in 0..1."""
        return (vae.decode(samples["samples"]),)


def _grown(mask: Tensor, pixels: int) -> Tensor:
    """A mask of 0 and 1, (B, 1, H, W), widened by a square of `pixels`."""
    if pixels == 0:
        return mask
    square = torch.ones(1, 1, pixels, pixels)
    padding = math.ceil((pixels - 1) / 2)
    grown = F.conv2d(mask, square, padding=padding).clamp(0, 1)
    # An even square adds a row and a column too many.
    return grown[..., : mask.shape[-2], : mask.shape[-1]]


CORE_NODES = {
    "VAEEncode": VAEEncode,
    "VAEEncodeForInpaint": VAEEncodeForInpaint,
    "VAEDecode": VAEDecode,
}
