"""The core nodes that ControlNet workflows use, under ComfyUI's own ids, inputs and defaults.
Knows the host's models and samplers; knows nothing of our own nodes or the command line."""

from __future__ import annotations

from typing import Any

from . import conditioning, controlnet, image, latent, loaders, sampling, vae

CORE_NODES: dict[str, type[Any]] = {
    **loaders.CORE_NODES,
    **conditioning.CORE_NODES,
    **controlnet.CORE_NODES,
    **latent.CORE_NODES,
    **sampling.CORE_NODES,
    **vae.CORE_NODES,
    **image.CORE_NODES,
}
