"""The core nodes that ControlNet workflows use, under ComfyUI's own ids, inputs and defaults.
Knows the host's models and samplers; knows nothing of our own nodes or the command line."""

from . import conditioning, controlnet, image, latent, loaders, regions, sampling, vae
from .declare import CORE_NODES

__all__ = [
    "CORE_NODES",
    "conditioning",
    "controlnet",
    "image",
    "latent",
    "loaders",
    "regions",
    "sampling",
    "vae",
]
