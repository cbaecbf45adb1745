"""Are a person's joints where the pose has them?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .edges import same_size

Points = NDArray[np.float32]


def pck(found: Points, wanted: Points, tolerance: float) -> float:
    """Share of joints, 0..1, found within `tolerance` pixels of where they should be (percentage of
    correct keypoints).

    `found` and `wanted` are (joints, 2), x and y; joints with NaN in `wanted` do not count, NaN in
    `found` is a miss.
    """
    same_size(found, wanted, "lists of joints")
    asked = ~np.isnan(wanted).any(axis=-1)
    if not asked.any():
        return 1.0
    distance = np.linalg.norm(found[asked] - wanted[asked], axis=-1)
    return float((distance <= tolerance).mean())


def body_size(joints: Points) -> float:
    """The longer side, in pixels, of the box around the joints (n, 2): the body that a tolerance is
    a tenth of.
    """
    spread = np.nanmax(joints, axis=0) - np.nanmin(joints, axis=0)
    return float(spread.max())
