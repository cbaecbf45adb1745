"""Where in the picture the values of a residual lie: feature maps, tokens and films."""

from __future__ import annotations

from torch import Tensor

from ..ground.errors import UserError
from .call import Call

PATCHES = (2, 1, 4, 8, 16, 32)
"""Edges of the squares of latent pixels that transformers make a token of: SD 3, Flux, Qwen-Image
and HunyuanDiT take 2. How many tokens there are tells which."""


def grid_of(call: Call, residual: Tensor) -> tuple[int, int, int]:
    """Frames, height and width of a residual's places: of (B, C, h, w), (B, C, frames, h, w), or
    (B, tokens, C), where rows of tokens follow one another, frame after frame.

    Raises:
        UserError: no size of patch makes so many tokens of this latent.
    """
    if residual.ndim != 3:
        height, width = residual.shape[-2:]
        return (residual.shape[2] if residual.ndim == 5 else 1), height, width
    frames = len(call.frames) or 1
    height, width = call.x.shape[-2:]
    for patch in PATCHES:
        rows, columns = -(-height // patch), -(-width // patch)  # hosts pad the last ones
        if frames * rows * columns == residual.shape[1]:
            return frames, rows, columns
    raise UserError(
        f"this model's residuals have {residual.shape[1]} tokens, which no patch size makes of a "
        f"latent of {height} x {width} in {frames} frame(s), so nobody can tell where a mask lies "
        "on them. Remove the mask from this control."
    )


def laid_on(weights: Tensor, residual: Tensor) -> Tensor:
    """Weights (B, 1, frames, h, w) in the shape that `residual` can be multiplied by."""
    if residual.ndim == 3:
        return weights.flatten(2).movedim(1, 2)
    return weights if residual.ndim == 5 else weights[:, :, 0]
