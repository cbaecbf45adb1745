"""UPSCALE_MODEL: networks that make a picture larger (ESRGAN, SwinIR ...), read by spandrel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...ground.errors import UserError
from ...ground.memory import require_memory
from ...ground.wording import first_line
from ...model_files.files import read_tensors
from .tiles import in_tiles

TILE, OVERLAP = 512, 32
"""Edge of the pieces of a picture that are made larger one by one, and what they share, in pixels;
ComfyUI's."""
WRAPPERS = ("state_dict", "params_ema", "params-ema", "params", "model", "net")
"""Under which names training programs keep weights in a pickle; spandrel's list."""


def require_spandrel() -> Any:
    """The library; UserError where it is not installed."""
    try:
        import spandrel
    except ImportError as error:
        raise UserError(
            "models that make pictures larger are read by spandrel, which is not installed: "
            "python -m pip install spandrel"
        ) from error
    return spandrel


def load_upscaler(path: Path) -> Any:
    """spandrel's descriptor of a file: a callable on (1, 3, H, W) with a `scale`.

    Raises UserError for a file that cannot be read, that spandrel does not know, or that is made
    for more than one picture at once.
    """
    spandrel = require_spandrel()
    weights = dict(read_tensors(path, wrappers=WRAPPERS))
    try:
        loaded = spandrel.ModelLoader().load_from_state_dict(weights).eval()
    except Exception as error:  # spandrel raises what its networks do
        raise UserError(
            f"{path} is no model that makes pictures larger, or none that spandrel knows: "
            f"{first_line(error)}"
        ) from error
    if not isinstance(loaded, spandrel.ImageModelDescriptor):
        raise UserError(f"{path} is no model for single pictures; use one that is")
    return loaded


def enlarge(model: Any, image: Tensor) -> Tensor:
    """Pictures (B, H, W, 3) in 0..1, `model.scale` times as large; large ones in pieces that fade
    into each other.
    """
    count, rows, columns = image.shape[:3]
    scale = int(model.scale)
    size = (rows * scale, columns * scale)
    require_memory(count * size[0] * size[1] * 12 * 2, f"{count} x {size[1]} x {size[0]} pixels")
    with torch.inference_mode():
        pictures = (one[None].float() for one in image.movedim(-1, 1))
        made = [in_tiles(model, one, (TILE, TILE), OVERLAP, scale) for one in pictures]
    return torch.cat(made).movedim(1, -1).clamp(0, 1).clone()
