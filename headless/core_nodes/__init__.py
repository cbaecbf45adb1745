"""The core nodes that ControlNet workflows use, under ComfyUI's own ids, inputs and defaults.
Knows the host's models and samplers; knows nothing of our own nodes or the command line."""

from . import (
    arithmetic,
    batches,
    compositing,
    conditioning,
    controlnet,
    custom_sampling,
    image,
    latent,
    loaders,
    masks,
    model_patches,
    pixels,
    primitives,
    regions,
    sampling,
    sigmas,
    texts,
    upscalers,
    vae,
)
from .declare import CORE_NODES

__all__ = [
    "CORE_NODES",
    "arithmetic",
    "batches",
    "compositing",
    "conditioning",
    "controlnet",
    "custom_sampling",
    "image",
    "latent",
    "loaders",
    "masks",
    "model_patches",
    "pixels",
    "primitives",
    "regions",
    "sampling",
    "sigmas",
    "texts",
    "upscalers",
    "vae",
]
