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
from ..preprocessors.picture_files import (
    colours,
    first_frame,
    read_frames,
    transparency,
    transparent,
)

# The mask of a picture without transparency, as the core makes it.
NO_MASK_SIDE = 64


def read_image(path: Path) -> tuple[Tensor, Tensor]:
    """The frames of a picture file: IMAGE (B, H, W, 3) in 0..1, and MASK (B, h, w).

    The mask is 1 where the picture is transparent; without transparency it is 64 x 64 zeros. EXIF
    rotation is applied; frames of another size than the first are left out, as in the core. Raises
    UserError for a file that is no picture, is cut off, or has more than MAX_PIXELS pixels.
    """
    frames = [(colours(frame), transparency(frame)) for frame in read_frames(path)]
    first = frames[0][0].shape
    kept = [(picture, mask) for picture, mask in frames if picture.shape == first]
    images = np.stack([picture for picture, _ in kept])
    return torch.from_numpy(images), torch.from_numpy(_stack_masks([mask for _, mask in kept]))


def read_channel(path: Path, channel: str) -> Tensor:
    """One channel of the first frame as MASK (1, H, W) in 0..1: "red", "green", "blue", or "alpha".

    "alpha" is 1 where the picture is transparent, and 0 throughout one without transparency.
    Raises UserError as `read_image` does.
    """
    frame, _ = first_frame(path)
    if channel == "alpha":
        # Pillow has no way from 16-bit grey to RGBA, and such a picture is opaque.
        deep = frame.mode.startswith("I")
        size = (frame.height, frame.width)
        return torch.from_numpy(np.zeros(size, np.float32) if deep else transparent(frame))[None]
    index = ["red", "green", "blue"].index(channel)
    return torch.from_numpy(colours(frame)[..., index].copy())[None]


def encode_png(image: Tensor, texts: Mapping[str, object], level: int = 4) -> bytes:
    """An image (H, W, C) in 0..1 as PNG bytes, with each of `texts` as a JSON text chunk.

    Raises UserError for an image with values that are not numbers.
    """
    if not bool(torch.isfinite(image).all()):
        raise UserError("the picture holds values that are not numbers (NaN); nothing is written")
    pixels = (255.0 * image.cpu().float().numpy()).clip(0, 255).astype(np.uint8)
    info = PngInfo()
    for key, value in texts.items():
        info.add_text(key, json.dumps(value))
    stream = io.BytesIO()
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    picture.save(stream, format="PNG", pnginfo=info, compress_level=level)
    return stream.getvalue()


def _stack_masks(masks: list[NDArray[np.float32] | None]) -> NDArray[np.float32]:
    shape = next((mask.shape for mask in masks if mask is not None), (NO_MASK_SIDE, NO_MASK_SIDE))
    zeros = np.zeros(shape, dtype=np.float32)
    return np.stack([zeros if mask is None else mask for mask in masks])
