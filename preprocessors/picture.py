"""What every preprocessor takes for a picture, and how large one may be."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ..ground.errors import UserError
from .opencv import opencv

Bytes: TypeAlias = npt.NDArray[np.uint8]
"""Levels of 0..255: H x W x 3, or H x W."""
Floats: TypeAlias = npt.NDArray[np.float32]
"""Numbers, of 0..1 where they are a picture's: H x W x 3, or H x W."""

Pixel = TypeVar("Pixel", np.uint8, np.float32)

MAX_EDGE = 16384
"""Pixels: the largest side that ComfyUI's own nodes offer."""

MAX_PIXELS = 2**26
"""67 million, 8192 x 8192: beyond any camera's picture, and 0.8 GB as float32 RGB."""


HALF_A_LEVEL = 0.5
"""Of 0..255: what a blur of whole levels differs by less is its rounding as much as the picture."""


def checked_rgb(image: Bytes, who: str) -> Bytes:
    """`image` (uint8 RGB, H x W x 3, at least one pixel) in one block of memory.

    Raises UserError, naming `who`, for anything else and for an enormous picture.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise UserError(
            f"{who} needs a picture of bytes, height x width x 3 (RGB), and got {image.dtype} "
            f"of {size_of(image)}; convert it first."
        )
    checked_size(image.shape[1], image.shape[0], f"The picture for {who}")
    return np.ascontiguousarray(image)


def size_of(array: npt.NDArray[Any]) -> str:
    """An array's size in words: "12 x 8 x 3"."""
    return " x ".join(map(str, array.shape)) or "no size"


def checked_size(width: int, height: int, what: str) -> None:
    """Raise UserError, naming `what`, for a size below one pixel or above the limits."""
    if not (1 <= width <= MAX_EDGE and 1 <= height <= MAX_EDGE) or width * height > MAX_PIXELS:
        raise UserError(
            f"{what} is {width} x {height} pixels; give sides from 1 to {MAX_EDGE} and no "
            f"more than {MAX_PIXELS // 10**6} million pixels."
        )


def grey_as_rgb(grey: Bytes) -> Bytes:
    """A grey picture (uint8, H x W) with three equal channels, H x W x 3."""
    rgb: Bytes = opencv().merge((grey, grey, grey))
    return rgb


def darkest_channel(picture: npt.NDArray[Pixel]) -> npt.NDArray[Pixel]:
    """The smallest of the three channels (H x W x 3 -> H x W)."""
    red, green, blue = opencv().split(picture)
    smallest: npt.NDArray[Pixel] = np.minimum(np.minimum(red, green), blue)
    return smallest
