"""What every preprocessor takes for a picture: uint8 RGB, H x W x 3, at least one pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import UserError


def checked_rgb(image: npt.NDArray[np.uint8], who: str) -> npt.NDArray[np.uint8]:
    """`image` in one block of memory; a UserError that names `who` if it is no such picture."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        shape = " x ".join(str(side) for side in image.shape)
        raise UserError(
            f"{who} needs a picture of bytes, height x width x 3 (RGB), and got {image.dtype} "
            f"of {shape or 'no size'}; convert it first."
        )
    return np.ascontiguousarray(image)
