"""Picture files to tensors and back."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import Base
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
    info = PngInfo()
    for key, value in texts.items():
        info.add_text(key, json.dumps(value))
    (picture,) = _in_eight_bits(image[None])
    return _encoded([picture], "PNG", pnginfo=info, compress_level=level)


def encode_moving_png(
    images: Tensor, fps: float, texts: Mapping[str, object], level: int = 4
) -> bytes:
    """Images (B, H, W, C) in 0..1 as an animated PNG, `fps` a second; each of `texts` as JSON lies
    behind the first image in a chunk "comf", as ComfyUI has it. Raises as `encode_png` does.
    """
    info = PngInfo()
    for key, value in texts.items():
        info.add(b"comf", f"{key}\0{json.dumps(value)}".encode("latin-1"), after_idat=True)
    lasting = {"save_all": True, "duration": _milliseconds(fps)}
    return _encoded(_in_eight_bits(images), "PNG", pnginfo=info, compress_level=level, **lasting)


def encode_moving_webp(
    images: Tensor,
    fps: float,
    texts: Mapping[str, object],
    lossless: bool = True,
    quality: int = 80,
    method: int = 4,
) -> bytes:
    """Images (B, H, W, C) in 0..1 as an animated WEBP, `fps` a second; `quality` is 0..100 and
    `method` 0 (fast) to 6 (small). "prompt" of `texts` lies as JSON in EXIF's Model, the others
    from Make on backwards, as ComfyUI has it. Raises as `encode_png` does.
    """
    exif = Image.Exif()
    others = (key for key in texts if key != "prompt")
    tags = {
        "prompt": Base.Model.value,
        **dict(zip(others, count(Base.Make.value, -1), strict=False)),
    }
    for key, value in texts.items():
        exif[tags[key]] = f"{key}:{json.dumps(value)}"
    lasting = {"save_all": True, "duration": _milliseconds(fps), "exif": exif}
    chosen = {"lossless": lossless, "quality": quality, "method": method}
    return _encoded(_in_eight_bits(images), "WEBP", **lasting, **chosen)


def _milliseconds(fps: float) -> int:
    return int(1000.0 / fps)


def _encoded(pictures: list[Image.Image], kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    more = {"append_images": pictures[1:]} if options.get("save_all") else {}
    pictures[0].save(stream, format=kind, **more, **options)
    return stream.getvalue()


def _in_eight_bits(images: Tensor) -> list[Image.Image]:
    """Images (B, H, W, C) in 0..1 cut to eight bits, as the core cuts them."""
    _, height, width, _ = images.shape
    what = f"{len(images)} pictures" if len(images) > 1 else "a picture"
    require_memory(images.numel() * PNG_BYTES, f"writing {what} of {width} x {height} pixels")
    if not bool(torch.isfinite(images).all()):
        raise UserError("the picture holds values that are not numbers (NaN); nothing is written")
    scaled = 255.0 * images.cpu().float().numpy()
    pixels = scaled.clip(0, 255, out=scaled).astype(np.uint8)
    return [Image.fromarray(one[..., 0] if one.shape[-1] == 1 else one) for one in pixels]


def _stack(arrays: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """`np.stack`, without a copy of one alone."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


def _stack_masks(masks: list[NDArray[np.float32] | None]) -> NDArray[np.float32]:
    shape = next((mask.shape for mask in masks if mask is not None), (NO_MASK_SIDE, NO_MASK_SIDE))
    zeros = np.zeros(shape, dtype=np.float32)
    return _stack([zeros if mask is None else mask for mask in masks])
