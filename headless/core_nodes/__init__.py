"""The core nodes that ControlNet workflows use, under ComfyUI's own ids, inputs and defaults.
Knows the host's models and samplers; knows nothing of our own nodes or the command line."""

from __future__ import annotations

from typing import Any

from . import conditioning, controlnet, image, latent, loaders, sampling, vae

NODE_CLASS_MAPPINGS: dict[str, type[Any]] = {
    **loaders.NODE_CLASS_MAPPINGS,
    **conditioning.NODE_CLASS_MAPPINGS,
    **controlnet.NODE_CLASS_MAPPINGS,
    **latent.NODE_CLASS_MAPPINGS,
    **sampling.NODE_CLASS_MAPPINGS,
    **vae.NODE_CLASS_MAPPINGS,
    **image.NODE_CLASS_MAPPINGS,
}
