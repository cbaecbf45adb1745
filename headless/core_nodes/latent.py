"""The core's nodes that make and resize latents."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from ...ground.errors import UserError
from ...ground.memory import require_memory
from ..resize import CROPS, MAX_RESOLUTION
from ..sampling.inpaint import LATENT_CHANNELS
from ..sampling.sample import Latent
from ..sampling.upscale import METHODS, upscale

FACTOR = 8  # pixels a latent pixel, each way


class EmptyLatentImage:
    """Latents to begin a picture from nothing."""

    RETURN_TYPES = ("LATENT",)
    OUTPUT_TOOLTIPS: ClassVar = ("The empty latents.",)
    FUNCTION = "generate"
    CATEGORY = "latent"
    DESCRIPTION = "Makes empty latents for the sampler to fill."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        side = {"default": 512, "min": 16, "max": MAX_RESOLUTION, "step": 8}
        count = {"default": 1, "min": 1, "max": 4096}
        return {
            "required": {
                "width": ("INT", {**side, "tooltip": "Width of the picture in pixels."}),
                "height": ("INT", {**side, "tooltip": "Height of the picture in pixels."}),
                "batch_size": ("INT", {**count, "tooltip": "How many pictures."}),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, width: int, height: int, batch_size: int) -> bool:
        """Whether there is memory for the latents; UserError otherwise."""
        size = batch_size * LATENT_CHANNELS * (height // FACTOR) * (width // FACTOR)
        require_memory(size * 4, f"{batch_size} latents for {width} x {height} pixels")
        return True

    def generate(self, width: int, height: int, batch_size: int = 1) -> tuple[Latent]:
        """Return zeros (batch, 4, height / 8, width / 8), rounded down."""
        self.VALIDATE_INPUTS(width, height, batch_size)
        shape = (batch_size, LATENT_CHANNELS, height // FACTOR, width // FACTOR)
        return ({"samples": torch.zeros(shape)},)


class LatentUpscale:
    """Latents at another size."""

    RETURN_TYPES = ("LATENT",)
    FUNCTION = "upscale"
    CATEGORY = "latent"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        side = {"default": 512, "min": 0, "max": MAX_RESOLUTION, "step": 8}
        return {
            "required": {
                "samples": ("LATENT",),
                "upscale_method": (METHODS,),
                "width": ("INT", side),
                "height": ("INT", side),
                "crop": (CROPS,),
            }
        }

    def upscale(
        self, samples: Latent, upscale_method: str, width: int, height: int, crop: str
    ) -> tuple[Latent]:
        """Resize to `width` x `height` pixels; a 0 keeps the aspect, both 0 the latent."""
        if width == 0 and height == 0:
            return (samples,)
        rows, columns = samples["samples"].shape[-2:]
        least = 64  # the core's smallest side, in pixels
        width, height = (side and max(least, side) for side in (width, height))
        width = width or max(least, round(columns * height / rows))
        height = height or max(least, round(rows * width / columns))
        size = (width // FACTOR, height // FACTOR)
        return ({**samples, "samples": upscale(samples["samples"], *size, upscale_method, crop)},)


class LatentUpscaleBy:
    """Latents larger or smaller by a factor."""

    RETURN_TYPES = ("LATENT",)
    FUNCTION = "upscale"
    CATEGORY = "latent"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        factor = {"default": 1.5, "min": 0.01, "max": 8.0, "step": 0.01}
        return {
            "required": {
                "samples": ("LATENT",),
                "upscale_method": (METHODS,),
                "scale_by": ("FLOAT", factor),
            }
        }

    def upscale(self, samples: Latent, upscale_method: str, scale_by: float) -> tuple[Latent]:
        """Multiply both sides, each rounded to whole latent pixels; raises where none is left."""
        rows, columns = samples["samples"].shape[-2:]
        width, height = round(columns * scale_by), round(rows * scale_by)
        if not width or not height:
            raise UserError(
                f"scale_by {scale_by:g} leaves nothing of a latent of {columns} x {rows}; give "
                f"more than {0.5 / min(rows, columns):.3f}"
            )
        return ({**samples, "samples": upscale(samples["samples"], width, height, upscale_method)},)


class SetLatentNoiseMask:
    """Latents of which only a part is sampled again."""

    RETURN_TYPES = ("LATENT",)
    FUNCTION = "set_mask"
    CATEGORY = "latent/inpaint"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        return {"required": {"samples": ("LATENT",), "mask": ("MASK",)}}

    def set_mask(self, samples: Latent, mask: Tensor) -> tuple[Latent]:
        """Sample where `mask` (B, H, W), of any size, is 1, and keep the latent where it is 0."""
        return ({**samples, "noise_mask": mask.reshape(-1, 1, *mask.shape[-2:])},)


CORE_NODES = {
    "EmptyLatentImage": EmptyLatentImage,
    "LatentUpscale": LatentUpscale,
    "LatentUpscaleBy": LatentUpscaleBy,
    "SetLatentNoiseMask": SetLatentNoiseMask,
}
