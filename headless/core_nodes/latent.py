"""The core's nodes that make and resize latents."""

from __future__ import annotations

import torch
from torch import Tensor

from ...ground.errors import UserError
from ...ground.memory import require_memory
from ..resize import CROPS, MAX_RESOLUTION
from ..sampling.inpaint import LATENT_CHANNELS
from ..sampling.sample import Latent
from ..sampling.upscale import METHODS
from ..sampling.upscale import upscale as resized
from .declare import core_node, integer, number

FLIPS = ["x-axis: vertically", "y-axis: horizontally"]
TURNS = ["none", "90 degrees", "180 degrees", "270 degrees"]
FACTOR = 8  # pixels a latent pixel, each way
_SD3_CHANNELS = 16


def require_room(width: int, height: int, batch_size: int) -> None:
    """UserError where there is no memory for so many latents of pictures of this size."""
    _require(width, height, batch_size, LATENT_CHANNELS)


def _require_sd3_room(width: int, height: int, batch_size: int) -> None:
    _require(width, height, batch_size, _SD3_CHANNELS)


def _require(width: int, height: int, batch_size: int, channels: int) -> None:
    size = batch_size * channels * (height // FACTOR) * (width // FACTOR)
    require_memory(size * 4, f"{batch_size} latents for {width} x {height} pixels")


@core_node(
    "EmptyLatentImage",
    "latent",
    {
        "width": integer(512, 16, MAX_RESOLUTION, 8, tooltip="Width of the picture in pixels."),
        "height": integer(512, 16, MAX_RESOLUTION, 8, tooltip="Height of the picture in pixels."),
        "batch_size": integer(1, 1, 4096, tooltip="How many pictures."),
    },
    "LATENT",
    check=require_room,
    OUTPUT_TOOLTIPS=("The empty latents.",),
    DESCRIPTION="Makes empty latents for the sampler to fill.",
)
def empty(width: int, height: int, batch_size: int) -> Latent:
    """Latents to begin a picture from nothing: zeros (batch, 4, height / 8, width / 8), rounded
    down.
    """
    require_room(width, height, batch_size)
    shape = (batch_size, LATENT_CHANNELS, height // FACTOR, width // FACTOR)
    return {"samples": torch.zeros(shape)}


@core_node(
    "EmptySD3LatentImage",
    "model/latent/stable diffusion",
    {
        "width": integer(1024, 16, MAX_RESOLUTION, 16),
        "height": integer(1024, 16, MAX_RESOLUTION, 16),
        "batch_size": integer(1, 1, 4096),
    },
    "LATENT",
    check=_require_sd3_room,
)
def empty_sd3(width: int, height: int, batch_size: int) -> Latent:
    """Latents to begin a picture from nothing: zeros (batch, 16, height / 8, width / 8). A sampler
    gives empty ones as many channels as its model has.
    """
    _require_sd3_room(width, height, batch_size)
    return {"samples": torch.zeros(batch_size, _SD3_CHANNELS, height // FACTOR, width // FACTOR)}


@core_node(
    "LatentUpscale",
    "latent",
    {
        "samples": "LATENT",
        "upscale_method": METHODS,
        "width": integer(512, 0, MAX_RESOLUTION, 8),
        "height": integer(512, 0, MAX_RESOLUTION, 8),
        "crop": CROPS,
    },
    "LATENT",
)
def upscale(samples: Latent, upscale_method: str, width: int, height: int, crop: str) -> Latent:
    """Latents at `width` x `height` pixels; a 0 keeps the aspect, both 0 the latent."""
    if width == 0 and height == 0:
        return samples
    rows, columns = samples["samples"].shape[-2:]
    least = 64  # the core's smallest edge, in pixels
    width, height = (edge and max(least, edge) for edge in (width, height))
    width = width or max(least, round(columns * height / rows))
    height = height or max(least, round(rows * width / columns))
    size = (width // FACTOR, height // FACTOR)
    return {**samples, "samples": resized(samples["samples"], *size, upscale_method, crop)}


@core_node(
    "LatentUpscaleBy",
    "latent",
    {"samples": "LATENT", "upscale_method": METHODS, "scale_by": number(1.5, 0.01, 8.0, 0.01)},
    "LATENT",
)
def upscale_by(samples: Latent, upscale_method: str, scale_by: float) -> Latent:
    """Latents larger or smaller by a factor: both edges are rounded to whole latent pixels; raises
    UserError where none is left.
    """
    rows, columns = samples["samples"].shape[-2:]
    width, height = round(columns * scale_by), round(rows * scale_by)
    if not width or not height:
        raise UserError(
            f"scale_by {scale_by:g} leaves nothing of a latent of {columns} x {rows}; give "
            f"more than {0.5 / min(rows, columns):.3f}"
        )
    return {**samples, "samples": resized(samples["samples"], width, height, upscale_method)}


@core_node("SetLatentNoiseMask", "latent/inpaint", {"samples": "LATENT", "mask": "MASK"}, "LATENT")
def set_noise_mask(samples: Latent, mask: Tensor) -> Latent:
    """Sample where `mask` (B, H, W), of any size, is 1, and keep the latent where it is 0."""
    return {**samples, "noise_mask": mask.reshape(-1, 1, *mask.shape[-2:])}


@core_node(
    "LatentFlip", "model/latent/transform", {"samples": "LATENT", "flip_method": FLIPS}, "LATENT"
)
def flip(samples: Latent, flip_method: str) -> Latent:
    """Latents mirrored top to bottom, or left to right."""
    return {**samples, "samples": samples["samples"].flip(2 + FLIPS.index(flip_method))}


@core_node(
    "LatentRotate", "model/latent/transform", {"samples": "LATENT", "rotation": TURNS}, "LATENT"
)
def rotate(samples: Latent, rotation: str) -> Latent:
    """Latents turned clockwise."""
    turned = torch.rot90(samples["samples"], TURNS.index(rotation), (3, 2))
    return {**samples, "samples": turned}


@core_node(
    "LatentCrop",
    "model/latent/transform",
    {
        "samples": "LATENT",
        "width": integer(512, 64, MAX_RESOLUTION, 8),
        "height": integer(512, 64, MAX_RESOLUTION, 8),
        "x": integer(0, 0, MAX_RESOLUTION, 8),
        "y": integer(0, 0, MAX_RESOLUTION, 8),
    },
    "LATENT",
)
def crop(samples: Latent, width: int, height: int, x: int, y: int) -> Latent:
    """The part of latents inside a rectangle, in pixels; it begins 64 pixels before the end at the
    latest.
    """
    inside = samples["samples"]
    rows, columns = inside.shape[-2:]
    top, left = (
        max(0, min(offset // FACTOR, edge - 8)) for offset, edge in ((y, rows), (x, columns))
    )
    cut = inside[..., top : top + height // FACTOR, left : left + width // FACTOR]
    return {**samples, "samples": cut}
