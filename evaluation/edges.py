"""Do the edges of a picture lie where the hint has them?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

Mask = NDArray[np.bool_]


def edge_f1(found: Mask, wanted: Mask, tolerance: int = 1) -> float:
    """F1, 0..1, of two boolean edge maps (h, w): an edge pixel counts where the other map has one
    within `tolerance` pixels in x and in y. Two empty maps agree: 1. Raises UserError when the
    sizes differ.
    """
    same_size(found, wanted, "edge maps")
    if not found.any() and not wanted.any():
        return 1.0
    precision = _share(found, widened(wanted, tolerance))
    recall = _share(wanted, widened(found, tolerance))
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def widened(mask: Mask, by: int) -> Mask:
    """The mask (h, w) grown by a square of `by` pixels to each side."""
    height, width = mask.shape
    padded = np.pad(mask, by)
    grown = np.zeros_like(mask)
    for y in range(2 * by + 1):
        for x in range(2 * by + 1):
            grown |= padded[y : y + height, x : x + width]
    return grown


def _share(of: Mask, inside: Mask) -> float:
    total = int(of.sum())
    return float((of & inside).sum()) / total if total else 0.0


def same_size(one: NDArray[np.generic], other: NDArray[np.generic], what: str) -> None:
    """Raise UserError unless both arrays have one shape."""
    if one.shape != other.shape:
        raise UserError(
            f"The two {what} differ in size, {one.shape} and {other.shape}: resize one of them."
        )
