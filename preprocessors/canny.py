"""Canny edges as the Canny ControlNets were trained on: white on black, found on the RGB picture.

The convention is that of lllyasviel/ControlNet (`annotator/canny`, `gradio_canny2image.py`):
`cv2.Canny` on all three channels with the thresholds 100 and 200. A grey picture, or another
library's Canny, gives other edges, which a trained control follows less well.
"""

from __future__ import annotations

from ..ground.errors import UserError
from ..ground.parameters import Parameter
from .opencv import opencv
from .picture import Bytes, checked_rgb, grey_as_rgb
from .spec import Preprocessor

LOW, HIGH = 100, 200
"""Thresholds on the L1 norm of the 3 x 3 Sobel gradient, of values 0..255."""

LIMIT = 255
"""The largest threshold that ControlNet's own demonstration offers."""


def canny(image: Bytes, low_threshold: float = LOW, high_threshold: float = HIGH) -> Bytes:
    """The edges of `image` (uint8 RGB, H x W x 3) in a picture of the same kind, 0 or 255.

    An edge starts where the gradient passes `high_threshold` and goes on while it passes
    `low_threshold`. Raises UserError for another kind of picture, and for what `check_thresholds`
    refuses.
    """
    picture = checked_rgb(image, "Canny")
    check_thresholds(low_threshold, high_threshold)
    return grey_as_rgb(opencv().Canny(picture, low_threshold, high_threshold))


def check_thresholds(low_threshold: float, high_threshold: float) -> None:
    """Raise UserError unless 0 <= low <= high <= LIMIT. OpenCV would swap them without a word."""
    if not 0 <= low_threshold <= high_threshold <= LIMIT:
        raise UserError(
            f"Canny's low threshold is {low_threshold:g} and its high threshold "
            f"{high_threshold:g}; give numbers from 0 to {LIMIT}, the low one not above the high "
            "one."
        )


CANNY = Preprocessor(
    name="canny",
    node="ControlStackCanny",
    title="Canny Hint",
    shows="edges",
    description=(
        "Finds edges, white on black, with OpenCV on the colour picture: what the Canny "
        "ControlNets were trained on. ComfyUI's own Canny node finds other edges."
    ),
    aliases=(
        *("canny", "CannyEdgePreprocessor", "edges", "edge detection", "outline"),
        *("边缘检测", "硬边缘"),
    ),
    controls="Canny: control_v11p_sd15_canny, control_sd15_canny and those of other families",
    parameters=(
        Parameter(
            "low_threshold",
            LOW,
            "How strong an edge must be to go on. Lower gives longer lines.",
            high=LIMIT,
        ),
        Parameter(
            "high_threshold",
            HIGH,
            "How strong an edge must be to begin. Lower finds more edges.",
            high=LIMIT,
        ),
    ),
    drawn=True,
    run=canny,
    check=check_thresholds,
)
