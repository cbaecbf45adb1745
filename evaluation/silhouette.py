"""Does what is drawn cover the same area?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .edges import Mask, same_size

SATURATED = 0.3
"""HSV saturation over which a pixel counts as drawn: half-way between the demo's pale ground and
its colours.
"""


def saturation(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """HSV saturation (h, w), 0..1, of an RGB picture (h, w, 3), 0..255."""
    high = rgb.max(axis=-1).astype(np.float32)
    low = rgb.min(axis=-1).astype(np.float32)
    return np.asarray((high - low) / np.maximum(high, 1), np.float32)


def saturated(rgb: NDArray[np.uint8], threshold: float = SATURATED) -> Mask:
    """The silhouette (h, w) of vivid things before a pale ground."""
    return saturation(rgb) > threshold


def silhouette_iou(found: Mask, wanted: Mask) -> float:
    """Intersection over union, 0..1, of two masks (h, w); 1 when both are empty. Raises UserError
    when the sizes differ.
    """
    same_size(found, wanted, "silhouettes")
    union = int((found | wanted).sum())
    return float((found & wanted).sum()) / union if union else 1.0
