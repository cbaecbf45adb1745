"""Canny edges as the Canny ControlNets were trained on: white on black, found on the RGB picture.

The convention is that of lllyasviel/ControlNet (`annotator/canny`, `gradio_canny2image.py`):
`cv2.Canny` on all three channels with the thresholds 100 and 200. A grey picture, or another
library's Canny, gives other edges, which a trained control follows less well.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from .opencv import opencv
from .picture import checked_rgb

LOW, HIGH = 100, 200
"""Thresholds on the L1 norm of the 3 x 3 Sobel gradient, of values 0..255."""

LIMIT = 255
"""The largest threshold that ControlNet's own demonstration offers."""


def canny(
    image: npt.NDArray[np.uint8], low: float = LOW, high: float = HIGH
) -> npt.NDArray[np.uint8]:
    """The edges of `image` (uint8 RGB, H x W x 3) in a picture of the same kind, 0 or 255.

    An edge starts where the gradient passes `high` and goes on while it passes `low`. Raises
    UserError for another kind of picture, and for what `check_thresholds` refuses.
    """
    picture = checked_rgb(image, "Canny")
    check_thresholds(low, high)
    edges = opencv().Canny(picture, low, high)  # (H, W)
    return np.repeat(np.asarray(edges, np.uint8)[:, :, None], 3, axis=2)


def check_thresholds(low: float, high: float) -> None:
    """Raise UserError unless 0 <= low <= high <= LIMIT. OpenCV would swap them without a word."""
    if not 0 <= low <= high <= LIMIT:
        raise UserError(
            f"Canny's low threshold is {low:g} and its high threshold {high:g}; give numbers "
            f"from 0 to {LIMIT}, the low one not above the high one."
        )
