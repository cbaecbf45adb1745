"""Picture files to tensors and back."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ..ground.errors import UserError
from ..ground.memory import require_memory
from ..preprocessors.picture_files import (
    colours,
    first_frame,
    read_frames,
    transparency,
    transparent,
)

# The mask of a picture without transparency, as the core makes it.
NO_MASK_SIDE = 64
FLOATS = 23
"""Bytes a pixel for IMAGE and MASK: 8 decoded, 3 as RGB, 12 as floats; more with transparency."""
PNG_BYTES = 6
"""Bytes a value while a PNG is made: one float and two copies in 8 bits."""


def read_image(path: Path) -> tuple[Tensor, Tensor]:
    """The frames of a picture file: IMAGE (B, H, W, 3) in 0..1, and MASK (B, h, w).

    The mask is 1 where the picture is transparent; without transparency it is 64 x 64 zeros. EXIF
    rotation is applied; frames of another size than the first are left out, as in the core. Raises
    UserError for a file that is no picture, is cut off, has more than MAX_PIXELS pixels or more
    than fit into memory.
    """
    frames = read_frames(path, FLOATS)
    kept = [frame for frame in frames if frame.size == frames[0].size]
    masks = _stack_masks([transparency(frame) for frame in kept])
    return torch.from_numpy(_stack([colours(frame) for frame in kept])), torch.from_numpy(masks)


def check_image(path: Path) -> None:
    """Raise what `read_image` would, by decoding the file once."""
    read_frames(path, FLOATS)


def read_channel(path: Path, channel: str) -> Tensor:
    """One channel of the first frame as MASK (1, H, W) in 0..1: "red", "green", "blue", or "alpha".

    "alpha" is 1 where the picture is transparent, and 0 throughout one without transparency.
    Raises UserError as `read_image` does.
    """
    frame, _ = first_frame(path)
    if channel == "alpha":
        return torch.from_numpy(transparent(frame))[None]
    index = ["red", "green", "blue"].index(channel)
    return torch.from_numpy(colours(frame)[..., index].copy())[None]


def encode_png(image: Tensor, texts: Mapping[str, object], level: int = 4) -> bytes:
    """An image (H, W, C) in 0..1 as PNG bytes, with each of `texts` as a JSON text chunk.

    Raises UserError for an image with values that are not numbers, and where memory is short.
    """
    require_memory(
        image.numel() * PNG_BYTES, f"a PNG of {image.shape[1]} x {image.shape[0]} pixels"
    )
    if not bool(torch.isfinite(image).all()):
        raise UserError("the picture holds values that are not numbers (NaN); nothing is written")
    scaled = 255.0 * image.cpu().float().numpy()
    pixels = scaled.clip(0, 255, out=scaled).astype(np.uint8)
    del scaled
    info = PngInfo()
    for key, value in texts.items():
        info.add_text(key, json.dumps(value))
    stream = io.BytesIO()
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    picture.save(stream, format="PNG", pnginfo=info, compress_level=level)
    return stream.getvalue()


def _stack(arrays: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """`np.stack`, without a copy of one alone."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


def _stack_masks(masks: list[NDArray[np.float32] | None]) -> NDArray[np.float32]:
    shape = next((mask.shape for mask in masks if mask is not None), (NO_MASK_SIDE, NO_MASK_SIDE))
    zeros = np.zeros(shape, dtype=np.float32)
    return _stack([zeros if mask is None else mask for mask in masks])
