"""How many pixels of a picture a latent pixel stands for."""

from __future__ import annotations

from collections.abc import Sequence

LATENT_PIXELS = 8
"""Along an edge, in every family that ControlNets were first made for: Stable Diffusion 1 to 3,
SDXL, Flux, Qwen-Image."""

_OTHERS = {
    (4, 3): 1,  # models that sample pixels
    (4, 32): 32,  # DC-AE
    (5, 32): 16,  # HunyuanVideo 1.5
    (4, 48): 16,  # Wan 2.2 5B
    (5, 48): 16,
    (4, 64): 32,  # HunyuanImage 2.1
    (4, 128): 16,  # Flux.2
    (5, 128): 32,  # LTX-Video
}
"""Dimensions and channels of latents of other VAEs (ComfyUI's `comfy/latent_formats.py`)."""


def latent_pixels(shape: Sequence[int]) -> int:
    """For latents of a shape (B, C, h, w) or (B, C, frames, h, w) whose maker says nothing.

    Stable Cascade's two latents look like those of others and cannot be told from their shape.
    """
    return _OTHERS.get((len(shape), shape[1]), LATENT_PIXELS)
